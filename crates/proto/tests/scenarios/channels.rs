//! Channels are few, and others need them too (P3.11); lists are read back (P2.9); a past is taken over (P2.10).

use genesys_notifications_proto::{
    Backfilled, Certainty, ClientState, Config, Continuity, Effect, Ending, ErrorCode, ErrorReport, Gap,
    Input, Limits, Past, PastEvent, Reason, Topic,
};

use crate::common::manners::Fate;
use crate::common::service::{Channel, http};
use crate::common::world::World;
use crate::stage::{
    A, B, HOUR, MINUTE, SECOND, channel, connected, connected_with, connecting, socket, until_connected,
};

const COUNT: usize = 4;
const LIST: usize = 5;
const COUNT_TIMEOUT_MS: u64 = 5_000;

/// Channels of somebody else, all of them connected.
fn others(world: &mut World, number: u32) {
    for n in 0..number {
        let channel = Channel {
            name: format!("other-{n}"),
            owner: 99,
            ends_at: u64::MAX,
            gone: false,
            topics: Default::default(),
            carrier: Some(genesys_notifications_proto::SocketId(u32::MAX - n)),
            foreign: true,
            skew_ms: 0,
        };
        world.service.channels.insert(1_000 + n, channel);
    }
}

fn others_left(world: &World) -> usize {
    world.service.channels.values().filter(|channel| channel.owner == 99 && !channel.gone).count()
}

fn said(world: &World, code: ErrorCode) -> Vec<ErrorReport> {
    world.record.errors().into_iter().filter(|error| error.code == code).collect()
}

fn with_others(config: Config, number: u32) -> World {
    let mut world = World::new(config, 7);
    others(&mut world, number);
    world.subscribe(&[A]);
    world.connect();
    world
}

// P3.11
#[test]
fn a_first_channel_is_made_whatever_the_count_says_and_that_is_told() {
    let mut world = with_others(Config::default(), 20);
    until_connected(&mut world);
    let errors = said(&world, ErrorCode::TooManyChannels);
    assert_eq!((world.record.creations().len(), errors.len()), (1, 1));
    assert!(errors[0].retryable && errors[0].hint.is_some());
    assert!(errors[0].message.contains("20 of 20"), "{errors:?}");
    world.rotate();
    world.run_for(MINUTE);
    assert_eq!((world.state(), world.record.creations().len()), (ClientState::Connected, 2));
}

// P3.11
#[test]
fn from_fifteen_channels_on_there_is_a_warning_once_an_hour() {
    for (number, warnings, later) in [(8, 0, 0), (15, 1, 2)] {
        let mut world = with_others(Config::default(), number);
        until_connected(&mut world);
        for _ in 0..3 {
            world.run_for(5 * MINUTE);
            world.rotate();
        }
        assert_eq!(said(&world, ErrorCode::TooManyChannels).len(), warnings);
        assert_eq!(world.machine.stats(world.clock.now()).channels_in_use, Some(number as usize + 3));
        world.run_for(HOUR);
        world.rotate();
        world.run_for(MINUTE);
        assert_eq!(said(&world, ErrorCode::TooManyChannels).len(), later);
    }
}

// P3.11
#[test]
fn a_second_channel_is_not_made_at_the_cost_of_others() {
    let config = Config { continuity: Continuity::Standby, ..Config::default() };
    let mut world = with_others(config, 19);
    until_connected(&mut world);
    world.run_for(10 * MINUTE);
    let stats = world.machine.stats(world.clock.now());
    assert_eq!((stats.standby_live, world.record.creations().len(), others_left(&world)), (0, 1, 19));
    world.service.channels.remove(&1_000);
    world.run_for(3 * MINUTE);
    assert_eq!(world.machine.stats(world.clock.now()).standby_live, 1);
}

/// A client that needs so many channels, connected.
fn needing(channels: usize) -> World {
    let names: Vec<String> = (0..channels).map(|n| format!("v2.users.u{n}.presence")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let limits = Limits { topics_per_channel: 1, ..Limits::default() };
    let mut world = World::new(Config { limits, ..Config::default() }, 7);
    world.subscribe(&names);
    world.connect();
    until_connected(&mut world);
    world.run_for(MINUTE);
    world
}

fn warnings_of_no_spare(world: &World) -> Vec<ErrorReport> {
    let mut said = said(world, ErrorCode::TooManyChannels);
    said.retain(|error| error.message.starts_with("the topics need all 20 channels"));
    said
}

// P3.12
#[test]
fn nineteen_channels_are_replaced_without_loss() {
    let mut world = needing(19);
    let request = world.rotate();
    world.run_for(10 * MINUTE);
    assert!(!world.unsettled.contains(&request));
    assert_eq!((world.record.creations().len(), world.record.gaps()), (38, Vec::new()));
    assert!(warnings_of_no_spare(&world).is_empty());
}

// P3.12
#[test]
fn topics_that_need_all_channels_are_warned_of_and_their_replacement_displaces_some_and_is_over() {
    let mut world = needing(20);
    let warnings = warnings_of_no_spare(&world);
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].retryable
            && warnings[0].hint.as_deref().unwrap_or_default().contains("at most 19 topics")
    );
    let request = world.rotate();
    world.run_for(20 * MINUTE);
    assert!(!world.unsettled.contains(&request));
    let (creations, gaps) = (world.record.creations().len(), world.record.closed_gaps());
    assert!(gaps.iter().any(|gap| gap.reason == Reason::ChannelEvicted), "{gaps:?}");
    world.run_for(HOUR);
    assert_eq!((world.state(), world.record.creations().len()), (ClientState::Connected, creations));
    assert_eq!(world.machine.stats(world.clock.now()).topics.subscribed, 20);
    // Wanted again, one topic more needs the last channel again.
    world.unsubscribe(&["v2.users.u0.presence"]);
    world.subscribe(&["v2.users.u1.presence"]);
    assert_eq!(warnings_of_no_spare(&world).len(), 1);
    world.subscribe(&["v2.users.u0.presence"]);
    assert_eq!(warnings_of_no_spare(&world).len(), 2);
}

// P3.11
#[test]
fn channels_of_our_own_that_nobody_uses_make_room() {
    let mut world = with_others(Config::default(), 15);
    until_connected(&mut world);
    for _ in 0..12 {
        let request = world.rotate();
        world.run_for(2 * MINUTE);
        assert!(!world.unsettled.contains(&request));
    }
    assert_eq!((world.record.creations().len(), others_left(&world)), (13, 15));
}

// P3.11
#[test]
fn channels_that_cannot_be_counted_are_not_waited_for() {
    let mut world = World::new(Config::default(), 7);
    world.manners.script[COUNT].extend(vec![Fate::Fail(http(403, "forbidden")); 5]);
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    assert_eq!(world.machine.stats(world.clock.now()).channels_in_use, None);
    assert!(world.record.errors().is_empty());
}

// P3.11
#[test]
fn a_count_that_is_not_answered_delays_a_first_channel_by_seconds_only() {
    let mut world = World::new(Config::default(), 7);
    world.manners.script[COUNT].push_back(Fate::Late(29_000));
    world.subscribe(&[A]);
    world.connect();
    world.run_until(8 * SECOND, |world| world.state() == ClientState::Connected);
    assert!(world.record.errors().is_empty());
}

// P3.11
#[test]
fn a_count_under_way_holds_up_nothing_that_takes_the_place_of_a_lost_channel() {
    let mut world = connected(&[A]);
    world.run_for(10 * MINUTE);
    world.manners.script[COUNT].push_back(Fate::Late(29_000));
    world.rotate();
    world.run_for(100);
    assert_eq!(world.record.creations().len(), 1, "the count is waited for");
    let key = channel(&world, socket(&world));
    world.channel_ends(key);
    let gone_at = world.clock.now().mono;
    world.end_socket(socket(&world), Ending::Closed(1008, String::new()));
    world.run_until(2 * SECOND, |world| world.record.creations().len() == 2);
    world.run_until(SECOND, |world| world.state() == ClientState::Connected);
    assert!(world.clock.now().mono - gone_at < COUNT_TIMEOUT_MS, "the count is still under way");
}

// P3.11, P6.6
#[test]
fn a_count_that_is_refused_says_nothing_of_the_token() {
    let mut world = World::new(Config::default(), 7);
    world.manners.script[COUNT].extend(vec![Fate::Fail(http(401, "bad.credentials")); 5]);
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    world.run_for(10 * MINUTE);
    world.rotate();
    world.run_for(MINUTE);
    assert_eq!((world.record.tokens().len(), world.record.creations().len()), (1, 2));
    assert!(world.record.errors().is_empty());
}

/// Nine pairs, the most there may be, and how many channels the client used at most during so many hours.
fn most_used(hours: u64, happens: impl FnOnce(&mut World)) -> (World, usize) {
    let names: Vec<String> = (0..9).map(|n| format!("v2.users.u{n}.presence")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let limits = Limits { topics_per_channel: 1, ..Limits::default() };
    let config = Config { limits, continuity: Continuity::Standby, ..Config::default() };
    let mut world = World::new(config, 7);
    world.service.token_life = HOUR;
    world.subscribe(&names);
    world.connect();
    until_connected(&mut world);
    world.run_until(HOUR, |world| world.machine.stats(world.clock.now()).standby_live == 9);
    happens(&mut world);
    let (end, mut most) = (world.clock.truth + hours * HOUR, 0);
    while world.next_at().is_some_and(|at| at <= end) {
        world.step();
        let alive = |key: &u32| world.service.channels.get(key).is_some_and(|channel| !channel.gone);
        most = most.max(world.channel_of.values().filter(|key| alive(key)).count());
    }
    (world, most)
}

// P3.9, P3.10
#[test]
fn no_replacement_makes_this_client_use_more_channels_than_there_may_be() {
    let (world, most) = most_used(3, |_| {});
    assert_eq!((most, world.record.gaps().len()), (20, 0));
    assert!(world.machine.stats(world.clock.now()).rotations >= 18 * 3);
    let mut request = None;
    let (world, most) = most_used(1, |world| request = Some(world.rotate()));
    assert_eq!((most, world.record.gaps().len()), (20, 0));
    assert!(request.is_some_and(|request| !world.unsettled.contains(&request)));
}

// P2.9
#[test]
fn a_subscription_that_the_service_has_lost_is_found_told_and_mended() {
    let mut world = connected(&[A, B]);
    let (key, b) = (channel(&world, socket(&world)), world.service.number(B));
    world.run_for(20 * MINUTE);
    assert_eq!((world.record.subscriptions().len(), world.record.gaps().len()), (1, 0));
    let before = world.machine.stats(world.clock.now()).audits;
    assert!((3..=5).contains(&before), "{before}");
    let lost_at = world.clock.now().wall;
    world.service.channels.get_mut(&key).expect("its channel").topics.remove(&b);
    world.run_for(7 * MINUTE);
    let gaps = world.record.closed_gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let gap = &gaps[0];
    assert_eq!((gap.reason, gap.certainty), (Reason::SubscriptionMismatch, Certainty::Possible));
    assert_eq!(gap.topics, [B]);
    assert!(gap.from <= lost_at && lost_at - gap.from <= 6 * MINUTE && gap.to > Some(lost_at), "{gap:?}");
    assert!(world.service.channels[&key].topics.contains(&b));
    assert_eq!(world.machine.stats(world.clock.now()).audit_mismatches, 1);
    assert_eq!(world.state(), ClientState::Connected);
}

// P2.9
#[test]
fn a_list_that_never_names_what_it_confirms_is_not_believed_for_ever() {
    let mut world = connected(&[A]);
    for _ in 0..20 {
        world.manners.script[LIST].push_back(Fate::Serve);
    }
    world.service.unlisted = true;
    world.run_for(2 * HOUR);
    let stats = world.machine.stats(world.clock.now());
    assert_eq!((stats.audit_mismatches, world.record.closed_gaps().len()), (1, 1));
    assert!(world.record.subscriptions().len() <= 3);
}

// P2.9
#[test]
fn a_channel_that_cannot_be_listed_because_it_is_gone_is_replaced() {
    let mut world = connected(&[A]);
    world.manners.script[LIST].push_back(Fate::Fail(http(404, "not.found")));
    world.run_for(7 * MINUTE);
    assert_eq!((world.record.creations().len(), world.state()), (2, ClientState::Connected));
    assert_eq!(world.record.closed_gaps().len(), 1);
}

// P2.9
#[test]
fn with_a_second_channel_a_subscription_that_one_of_them_lost_is_mended_without_a_gap() {
    let config = Config { continuity: Continuity::Standby, ..Config::default() };
    let mut world = connected_with(config, &[A]);
    world.run_for(7 * MINUTE);
    let (open, a) = (world.wires.open_here(), world.service.number(A));
    let key = channel(&world, open[0]);
    world.service.channels.get_mut(&key).expect("its channel").topics.clear();
    world.run_for(10 * MINUTE);
    assert!(world.service.channels[&key].topics.contains(&a));
    assert!(world.record.gaps().is_empty(), "{:?}", world.record.gaps());
    assert_eq!(world.machine.stats(world.clock.now()).audit_mismatches, 1);
}

// P2.9
#[test]
fn lists_are_not_read_back_if_the_option_says_so() {
    let mut world = connected_with(Config { audit_every_ms: 0, ..Config::default() }, &[A]);
    world.run_for(2 * HOUR);
    let reads = |effect: &Effect| matches!(effect, Effect::ListSubscriptions { .. });
    assert!(!world.record.starts.iter().any(|(_, start)| reads(&start.effect)));
}

fn topic(name: &str) -> Topic {
    Topic::expand(name).expect("a topic").remove(0)
}

fn gap(id: &str, from: u64, to: Option<u64>, topics: &[&str]) -> Gap {
    Gap {
        id: id.into(),
        from,
        to,
        reason: Reason::Silence,
        topics: topics.iter().map(|name| (*name).to_owned()).collect(),
        certainty: Certainty::Certain,
        backfilled: Backfilled::No,
    }
}

// P2.10
#[test]
fn the_time_in_which_the_process_was_down_is_a_gap_and_ids_go_on() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A, B]);
    let wall = world.clock.now().wall;
    let past = Past {
        sound_until: wall - 5_000,
        covered: vec![topic(A), topic("v2.users.gone.presence")],
        gaps: vec![
            gap("gap-6", wall - 90_000, Some(wall - 80_000), &[A]),
            gap("gap-7", wall - 60_000, None, &[B]),
        ],
        seen: vec![PastEvent { topic: topic(A), body: "{}".into(), received_at: wall - 6_000 }],
        cursor: None,
    };
    world.call(|machine, cx| machine.restore(cx, past));
    assert!(world.machine.sound_until(world.clock.now()) == wall);
    world.connect();
    until_connected(&mut world);
    let gaps = world.machine.gaps();
    let ids: Vec<&str> = gaps.iter().map(|gap| gap.id.as_str()).collect();
    assert_eq!(ids, ["gap-6", "gap-7", "gap-8"]);
    assert_eq!((gaps[1].from, gaps[1].reason), (wall - 60_000, Reason::Silence));
    assert_eq!((gaps[2].from, gaps[2].reason), (wall - 5_000, Reason::ProcessDown));
    assert_eq!(gaps[2].topics, [A]);
    let to = gaps[2].to.expect("it is closed");
    assert_eq!(gaps[1].to, Some(to));
    assert!((wall..=world.clock.now().wall).contains(&to));
    let sound_until = world.machine.sound_until(world.clock.now());
    assert!((to - 200..=world.clock.now().wall).contains(&sound_until), "{sound_until} {to}");
}

// P2.8, P2.11
#[test]
fn a_filled_gap_is_told_again_and_what_the_journal_threw_away_is_a_gap() {
    let mut world = connected(&[A]);
    let now = world.clock.now().wall;
    world.tell(Input::Evicted { topics: vec![topic(A)], from: now - 500, to: now - 100 });
    let gap = world.record.closed_gaps().pop().expect("a gap");
    assert_eq!((gap.reason, gap.from, gap.to), (Reason::JournalFull, now - 500, Some(now - 100)));
    world.tell(Input::Backfilled { gap: gap.id.clone(), outcome: Backfilled::Partial });
    let told = world.record.closed_gaps().pop().expect("it is told again");
    assert_eq!((told.id, told.backfilled), (gap.id, Backfilled::Partial));
    assert_eq!(world.machine.gaps()[0].backfilled, Backfilled::Partial);
    let before = world.record.gaps().len();
    world.tell(Input::Backfilled { gap: "gap-99".into(), outcome: Backfilled::Yes });
    assert_eq!(world.record.gaps().len(), before);
}

// P2.11
#[test]
fn a_journal_that_fails_ends_the_client() {
    for (code, reason) in
        [(ErrorCode::JournalFull, Reason::JournalFull), (ErrorCode::JournalFailed, Reason::JournalFailed)]
    {
        let mut world = connecting(Config::default(), &[A]);
        until_connected(&mut world);
        let report = ErrorReport {
            code,
            message: "full".into(),
            retryable: true,
            hint: None,
            status: None,
            correlation_id: None,
        };
        world.tell(Input::JournalFailed(report));
        assert_eq!(world.state(), ClientState::Failed);
        let change = world.record.changes().pop().expect("it failed");
        assert_eq!(
            (change.reason, change.error.map(|error| (error.code, error.retryable))),
            (reason, Some((code, false)))
        );
        world.run_for(10 * SECOND);
    }
}

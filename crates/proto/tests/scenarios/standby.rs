//! Hot standby: two live channels per shard, and the loss of one costs nothing (P2, P3.8 to P3.12).

use genesys_notifications_proto::{
    ChannelStage, ClientState, Config, Continuity, Effect, Ending, ErrorCode, Limits, MomentKind,
    NetworkKind, Reason, SocketId, SystemNotice, TopicState,
};

use crate::common::agenda::Cargo;
use crate::common::manners::Fate;
use crate::common::service::{http, network};
use crate::common::world::World;
use crate::stage::{A, B, HOUR, MINUTE, SECOND, channel, connected_with, until_connected, with_events};

const CREATE: usize = 1;
const SUBSCRIBE: usize = 2;
const OPEN: usize = 3;

fn standby() -> Config {
    Config { continuity: Continuity::Standby, ..Config::default() }
}

/// A client whose second channels stand by.
fn standing_by(config: Config, topics: &[&str]) -> World {
    let mut world = connected_with(config, topics);
    until_standing_by(&mut world);
    world
}

fn until_standing_by(world: &mut World) {
    world.run_until(MINUTE, |world| standbys(world) == shards(world));
    world.run_for(100);
}

fn standbys(world: &World) -> usize {
    world.machine.stats(world.clock.now()).standby_live
}

fn shards(world: &World) -> usize {
    world.machine.stats(world.clock.now()).channels.len()
}

/// The sockets of the link in use and of the one that stands by, as the history tells.
fn sockets(world: &World) -> (SocketId, SocketId) {
    let (mut primary, mut second) = (0, 0);
    for moment in world.record.moments() {
        match moment.what {
            MomentKind::Channel { link, stage: ChannelStage::Primary, .. } => primary = link,
            MomentKind::Channel { link, stage: ChannelStage::Standby, .. } => second = link,
            _ => {}
        }
    }
    let of = |link: u32| {
        let mut open = world.wires.open_here().into_iter();
        open.find(|id| world.wires.by_id[id].link.0 == link).expect("it is open")
    };
    (of(primary), of(second))
}

fn reset() -> Ending {
    Ending::Broken(network(NetworkKind::Reset))
}

fn missed(world: &mut World) -> u64 {
    let (wall, known_until) = (world.clock.now().wall, world.known_until());
    world.truth.settle_all(wall, known_until);
    world.truth.missed
}

fn nothing_was_lost(world: &mut World) {
    assert_eq!(missed(world), 0);
    assert!(world.record.gaps().is_empty(), "{:?}", world.record.gaps());
    assert_eq!(world.record.states(), [ClientState::Connecting, ClientState::Connected]);
}

// P3.8, P5.1
#[test]
fn the_second_channel_carries_on_when_either_is_lost_and_another_is_built_behind_it() {
    for lose_the_first in [true, false] {
        let mut world = standing_by(standby(), &[A]);
        for _ in 0..20 {
            let (primary, second) = sockets(&world);
            world.end_socket(if lose_the_first { primary } else { second }, reset());
            with_events(&mut world, 2_000);
            assert_eq!(standbys(&world), 1);
        }
        assert!(world.truth.copies > 1_000);
        assert!(world.record.creations().len() <= 5, "a lost channel is opened again");
        nothing_was_lost(&mut world);
    }
}

// P3.8
#[test]
fn the_loss_of_both_is_a_gap_from_the_last_sign_of_the_later_one() {
    let mut world = standing_by(standby(), &[A]);
    let (primary, second) = sockets(&world);
    world.manners.shut[2] = (world.clock.truth + MINUTE, Some(network(NetworkKind::Refused)));
    world.end_socket(primary, reset());
    with_events(&mut world, 5_000);
    let heard = world.clock.now().wall;
    assert!(world.record.gaps().is_empty());
    world.send(second, Cargo::Beat);
    world.run_for(20);
    world.end_socket(second, reset());
    world.run_for(100);
    let gap = world.record.gaps().pop().expect("nobody carries the topic");
    assert!(gap.to.is_none() && gap.from.abs_diff(heard) < 100, "{gap:?}, heard at {heard}");
    assert_eq!(world.state(), ClientState::Reconnecting);
    until_connected(&mut world);
    assert_eq!(missed(&mut world), 0);
}

// P2.1, P3.8
#[test]
fn a_link_in_use_that_was_dead_already_has_a_gap_since_the_second_one_was_lost_only() {
    let mut world = standing_by(standby(), &[A]);
    let (primary, second) = sockets(&world);
    world.cut(primary);
    with_events(&mut world, 10_000);
    let alone = world.clock.now().wall;
    world.manners.script[OPEN].push_back(Fate::Late(20_000));
    world.end_socket(second, reset());
    world.run_for(500);
    with_events(&mut world, 3_000);
    world.run_for(MINUTE);
    let gaps = world.record.closed_gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].from.abs_diff(alone) < 1_500, "{gaps:?}, alone since {alone}");
    assert!(missed(&mut world) > 100);
}

// P2.1, P3.5
#[test]
fn a_link_that_is_left_alone_shows_at_once_whether_it_is_alive() {
    let mut world = standing_by(standby(), &[A]);
    let (primary, second) = sockets(&world);
    let before = world.clock.now().mono;
    world.end_socket(second, reset());
    world.run_for(50);
    let pinged = world.record.pings.iter().any(|(at, socket)| *socket == primary && *at >= before);
    assert!(pinged, "{:?}", world.record.pings);
}

// P3.9
#[test]
fn the_two_are_replaced_half_a_life_apart_and_nothing_is_lost() {
    let mut world = standing_by(standby(), &[A]);
    world.service.token_life = 90 * 24 * HOUR;
    let mut creations = Vec::new();
    for _ in 0..10 {
        world.run_for(12 * HOUR);
        creations = world.record.creations();
    }
    with_events(&mut world, SECOND);
    // Of the first two days the token's renewal is a part.
    let apart: Vec<u64> = creations.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let last = &apart[apart.len() - 4..];
    assert!(last.iter().all(|ms| (6 * HOUR..16 * HOUR).contains(ms)), "{apart:?}");
    nothing_was_lost(&mut world);
}

// P3.9, P3.2
#[test]
fn a_renewed_token_replaces_both_one_after_the_other() {
    let mut world = World::new(standby(), 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    until_standing_by(&mut world);
    world.run_for(44 * MINUTE);
    let (first, second) = sockets(&world);
    with_events(&mut world, 6 * MINUTE);
    assert!(!world.wires.is_open_here(first) && !world.wires.is_open_here(second));
    assert_eq!((world.record.tokens().len(), world.record.creations().len(), standbys(&world)), (2, 4, 1));
    assert_eq!(world.rules.links(), 2);
    nothing_was_lost(&mut world);
}

// P3.9
#[test]
fn planned_replacements_are_made_one_shard_after_the_other() {
    let mut config = standby();
    config.limits.topics_per_channel = 1;
    let mut world = World::new(config, 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A, B, "v2.users.c.presence"]);
    world.connect();
    until_connected(&mut world);
    until_standing_by(&mut world);
    let before = world.record.moments().len();
    world.run_for(50 * MINUTE);
    let (mut under_construction, mut most, mut rotations) = (0_i32, 0, 0);
    for moment in &world.record.moments()[before..] {
        match moment.what {
            MomentKind::Channel { stage: ChannelStage::Made, .. } => under_construction += 1,
            MomentKind::Rotation { reason, .. } => {
                assert_eq!(reason, Reason::TokenRenewed);
                under_construction -= 1;
                rotations += 1;
            }
            _ => {}
        }
        most = most.max(under_construction);
    }
    assert_eq!((most, rotations), (1, 6));
    nothing_was_lost(&mut world);
}

// P3.3, P3.8
#[test]
fn notices_and_rotate_replace_the_channel_they_are_about() {
    for kind in 0..4 {
        let mut world = standing_by(standby(), &[A]);
        let (first, second) = sockets(&world);
        let mut rotate = None;
        match kind {
            0 => world.send(second, Cargo::System(SystemNotice::SocketClosing)),
            1 => {
                let key = channel(&world, second);
                world.displace(key);
            }
            2 => world.send(first, Cargo::System(SystemNotice::SocketClosing)),
            _ => rotate = Some(world.rotate()),
        }
        with_events(&mut world, 12_000);
        let open = (world.wires.is_open_here(first), world.wires.is_open_here(second));
        assert_eq!(open, [(true, false), (true, false), (false, true), (false, false)][kind], "case {kind}");
        assert!(rotate.is_none_or(|request| !world.unsettled.contains(&request)));
        assert_eq!(standbys(&world), 1, "case {kind}");
        nothing_was_lost(&mut world);
    }
}

// P3.7
#[test]
fn a_topic_change_reaches_both() {
    let mut world = standing_by(standby(), &[A]);
    let (first, second) = sockets(&world);
    let request = world.subscribe(&[B]);
    world.run_for(SECOND);
    assert!(!world.unsettled.contains(&request));
    let b = world.service.number(B);
    for socket in [first, second] {
        let key = channel(&world, socket);
        assert!(world.service.channels[&key].topics.contains(&b));
    }
    world.end_socket(first, reset());
    world.run_for(50);
    world.publish(b, None);
    world.run_for(SECOND);
    nothing_was_lost(&mut world);
    assert_eq!(world.record.topics().last().map(|status| status.state), Some(TopicState::Subscribed));
}

// P2.1, P3.8
#[test]
fn a_second_channel_that_takes_over_and_does_not_carry_a_topic_leaves_a_gap_of_that_topic() {
    let mut world = standing_by(standby(), &[A]);
    let (first, second) = sockets(&world);
    world.manners.script[SUBSCRIBE].push_back(Fate::Serve);
    world.manners.script[SUBSCRIBE].extend(vec![Fate::Fail(http(503, "service.unavailable")); 4]);
    world.subscribe(&[B]);
    world.run_for(SECOND);
    let (b, key) = (world.service.number(B), channel(&world, second));
    assert!(world.truth.was_live(b) && !world.service.channels[&key].topics.contains(&b));
    let lost_at = world.clock.now().wall;
    world.end_socket(first, reset());
    world.run_for(50);
    world.publish(b, None);
    world.run_for(MINUTE);
    let gaps = world.record.closed_gaps();
    assert_eq!((gaps.len(), &gaps[0].topics), (1, &vec![B.to_owned()]), "{gaps:?}");
    assert!(gaps[0].from <= lost_at + 50 && gaps[0].to > Some(lost_at + 50), "{gaps:?} for {lost_at}");
    assert!(world.truth.missed <= 1);
}

// P3.10, P7.6
#[test]
fn with_a_second_channel_for_each_nine_shards_are_the_most_and_the_rest_is_refused_loudly() {
    let names: Vec<String> = (0..12).map(|n| format!("v2.users.u{n}.presence")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let limits = Limits { topics_per_channel: 1, ..Limits::default() };
    let world = standing_by(Config { limits, ..standby() }, &names);
    assert_eq!((shards(&world), standbys(&world)), (9, 9));
    let error = &world.record.errors()[0];
    assert_eq!((error.code, error.retryable), (ErrorCode::TooManyTopics, false));
    assert!(error.message.contains("3 topics") && error.message.contains("9 pairs of channels"), "{error:?}");
    let refused: Vec<_> =
        world.record.topics().into_iter().filter(|status| status.state == TopicState::Rejected).collect();
    assert_eq!(refused.len(), 3);
    let alive = world.service.channels.values().filter(|channel| !channel.gone).count();
    assert_eq!(alive, 18);
}

// P3.8, P6.1
#[test]
fn a_second_channel_that_cannot_be_had_is_tried_for_with_backoff_while_the_first_serves() {
    let mut world = World::new(standby(), 7);
    world.subscribe(&[A]);
    world.manners.script[CREATE].push_back(Fate::Serve);
    for _ in 0..6 {
        world.manners.script[CREATE].push_back(Fate::Fail(network(NetworkKind::Refused)));
    }
    world.connect();
    until_connected(&mut world);
    with_events(&mut world, 2 * MINUTE);
    assert_eq!((world.record.creations().len(), standbys(&world)), (8, 1));
    nothing_was_lost(&mut world);
}

// P5.5
#[test]
fn how_far_apart_copies_arrive_is_measured_and_what_one_channel_alone_brought_is_counted() {
    let mut world = standing_by(standby(), &[A]);
    with_events(&mut world, 2_000);
    let (_, second) = sockets(&world);
    let key = channel(&world, second);
    let a = world.service.number(A);
    world.service.channels.get_mut(&key).expect("its channel").topics.remove(&a);
    world.publish(a, None);
    world.run_for(SECOND);
    world.service.channels.get_mut(&key).expect("its channel").topics.insert(a);
    world.run_for(90 * SECOND);
    world.publish(a, None);
    world.run_for(SECOND);
    let stats = world.machine.stats(world.clock.now());
    let skew = stats.skew.expect("there were copies");
    assert!(skew.pairs > 200 && skew.p50_ms <= skew.p999_ms && skew.max_ms < 100, "{skew:?}");
    assert_eq!(stats.single_sided, 1);
}

// P2.12
#[test]
fn the_history_tells_the_life_of_every_channel() {
    let mut world = standing_by(standby(), &[A]);
    world.rotate();
    world.run_for(20 * SECOND);
    world.close();
    let mut stages: std::collections::BTreeMap<u32, Vec<ChannelStage>> = Default::default();
    for moment in world.record.moments() {
        if let MomentKind::Channel { link, stage, .. } = moment.what {
            stages.entry(link).or_default().push(stage);
        }
    }
    assert_eq!(stages.len(), 4);
    for (link, stages) in &stages {
        assert_eq!(stages[..2], [ChannelStage::Made, ChannelStage::Live], "{link}");
        assert_eq!(stages.last(), Some(&ChannelStage::Ended), "{link}");
    }
    let kinds = |kind: fn(&MomentKind) -> bool| {
        world.record.moments().iter().filter(|moment| kind(&moment.what)).count()
    };
    assert_eq!(kinds(|what| matches!(what, MomentKind::Rotation { .. })), 2);
    assert_eq!(kinds(|what| matches!(what, MomentKind::Token { generation: 1 })), 1);
    assert_eq!(kinds(|what| *what == MomentKind::Covered { topics: vec![A.to_owned()] }), 1);
    let creations =
        world.record.starts.iter().filter(|(_, start)| matches!(start.effect, Effect::CreateChannel { .. }));
    assert_eq!(creations.count(), 4);
}

//! What the random world found, reduced to stories.

mod common;

use common::agenda::Cargo;
use common::manners::Fate;
use common::service::http;
use common::world::World;
use genesys_notifications_proto::{ClientState, Config, Continuity, Ending, Reason, SystemNotice};

const A: &str = "v2.users.a.presence";
const B: &str = "v2.users.b.presence";
const MINUTE: u64 = 60_000;

/// A pair of channels that has been live for a while.
fn pair(topics: &[&str]) -> World {
    let mut world = World::new(Config { continuity: Continuity::Standby, ..Config::default() }, 7);
    if !topics.is_empty() {
        world.subscribe(topics);
    }
    world.connect();
    world.run_until(MINUTE, |world| world.state() == ClientState::Connected);
    world.run_for(MINUTE);
    assert_eq!(world.wires.open_here().len(), 2);
    world
}

// P2.1
#[test]
fn a_topic_that_only_the_replaced_channel_carried_has_a_gap() {
    let mut world = pair(&[A, B]);
    let a = world.service.number(A);
    world.service.forbidden.insert(a);
    world.rotate();
    world.run_for(MINUTE);
    let gaps = world.record.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(
        (gaps[0].reason, gaps[0].to, gaps[0].topics.clone()),
        (Reason::TopicRejected, None, vec![A.to_owned()])
    );
}

// P5.1
#[test]
fn a_pair_that_was_made_while_nothing_was_wanted_brings_no_copies() {
    let mut world = pair(&[]);
    world.subscribe(&[A]);
    world.run_for(MINUTE);
    let a = world.service.number(A);
    world.publish(a, None);
    world.run_for(1_000);
    assert_eq!(world.record.delivered.len(), 1);
}

// P5.1
#[test]
fn a_channel_that_is_opened_again_before_its_list_was_answered_brings_no_copies() {
    let mut world = World::new(Config { continuity: Continuity::Standby, ..Config::default() }, 7);
    world.subscribe(&[A]);
    world.manners.script[2].extend([Fate::Serve, Fate::Late(2_000)]);
    world.manners.script[3].extend([Fate::Serve, Fate::Fail(http(503, "service.unavailable"))]);
    world.connect();
    world.run_for(MINUTE);
    let open = world.wires.open_here();
    assert_eq!(open.len(), 2);
    world.pause(open[1], 10_000);
    let a = world.service.number(A);
    world.publish(a, None);
    world.run_for(1_000);
    world.subscribe(&[B]);
    world.run_for(MINUTE);
    assert_eq!(world.record.delivered.len(), 1);
}

// P3.3
#[test]
fn a_rotation_that_was_asked_for_is_carried_out_though_maintenance_came_in_between() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A]);
    world.connect();
    world.run_for(MINUTE);
    let gone = Fate::Fail(http(404, "not.found"));
    world.manners.script[3].extend([Fate::Lose, Fate::Serve, gone]);
    let request = world.rotate();
    world.run_for(2_000);
    let socket = world.wires.open_here()[0];
    world.send(socket, Cargo::System(SystemNotice::SocketClosing));
    world.run_for(1_000);
    world.end_socket(socket, Ending::Closed(1001, String::new()));
    world.run_for(5 * MINUTE);
    assert!(world.manners.script[3].is_empty() && world.record.creations().len() == 3);
    assert!(!world.unsettled.contains(&request), "the user waits for ever");
}

// P2.9
#[test]
fn what_the_service_lost_from_a_list_is_found_told_and_mended() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A, B]);
    world.connect();
    world.run_for(30 * MINUTE);
    let lost_at = world.clock.now().wall;
    let socket = world.wires.open_here()[0];
    world.lose_from_list(socket);
    world.run_for(10 * MINUTE);
    let gaps = world.record.closed_gaps();
    assert_eq!((gaps.len(), gaps[0].reason), (1, Reason::SubscriptionMismatch));
    assert!(gaps[0].from <= lost_at && gaps[0].to.is_some_and(|to| to > lost_at), "{gaps:?} for {lost_at}");
    assert!(world.lost_entries.is_empty());
}

// P2.9
#[test]
fn a_lost_subscription_counts_since_the_list_was_last_good_though_the_socket_was_lost_in_between() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A, B]);
    world.connect();
    world.run_for(30 * MINUTE);
    let socket = world.wires.open_here()[0];
    let lost_at = world.clock.now().wall;
    world.lose_from_list(socket);
    world.run_for(2_000);
    world.end_socket(socket, Ending::Closed(1006, String::new()));
    world.run_for(10 * MINUTE);
    assert_eq!(world.record.creations().len(), 1, "the same channel, with the same list");
    let gaps = world.record.closed_gaps();
    let mismatch = gaps.iter().find(|gap| gap.reason == Reason::SubscriptionMismatch);
    let mismatch = mismatch.expect("the loss is found");
    assert!(mismatch.from <= lost_at && lost_at - mismatch.from < 6 * MINUTE, "{mismatch:?} for {lost_at}");
    assert!(world.lost_entries.is_empty());
}

// P2.9
#[test]
fn a_topic_that_was_listed_and_is_lost_again_at_once_is_found_again() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A]);
    world.connect();
    world.run_for(30 * MINUTE);
    let socket = world.wires.open_here()[0];
    for lost in 1..=2 {
        world.lose_from_list(socket);
        world.run_until(7 * MINUTE, |world| world.lost_entries.is_empty());
        world.run_for(1_000);
        assert_eq!(world.record.closed_gaps().len(), lost);
    }
    let readings = world.record.readings();
    let last = readings.windows(2).last().map_or(0, |pair| pair[1] - pair[0]);
    assert!(last <= 12_500, "the second loss came before the list was read again: {last}");
}

// P2.9
#[test]
fn a_reading_that_failed_is_repeated_soon() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A, B]);
    world.connect();
    world.run_until(MINUTE, |world| world.state() == ClientState::Connected);
    world.manners.script[5].push_back(Fate::Fail(http(503, "service.unavailable")));
    world.run_for(10 * MINUTE);
    let readings: Vec<u64> = world.record.readings();
    assert!(readings.len() >= 2 && readings[1] - readings[0] <= 73_000, "{readings:?}");
}

// P2.9
#[test]
fn a_topic_that_is_listed_after_all_is_looked_for_again() {
    let mut world = World::new(Config::default(), 7);
    world.subscribe(&[A, B]);
    world.connect();
    world.service.unlisted = true;
    world.run_for(20 * MINUTE);
    let told = world.record.closed_gaps().len();
    world.service.unlisted = false;
    world.run_for(20 * MINUTE);
    assert_eq!(world.record.closed_gaps().len(), told, "the list is right");
    let socket = world.wires.open_here()[0];
    world.lose_from_list(socket);
    world.run_for(20 * MINUTE);
    assert_eq!(world.record.closed_gaps().len(), told + 1);
    assert!(world.lost_entries.is_empty());
}

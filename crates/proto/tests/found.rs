//! What the random world found, reduced to stories.

mod common;

use common::clock::EPOCH;
use common::manners::Fate;
use common::sabotage::Fault;
use common::service::http;
use common::world::World;
use genesys_notifications_proto::{ClientState, Config, Continuity, Gap, GovernorConfig, Reason};

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

/// The gaps after the service has lost a topic from a list, and whether the list is whole again.
fn after_a_lost_subscription(fault: Option<Fault>) -> (Vec<Gap>, bool) {
    let mut world = World::with(Config::default(), GovernorConfig::default(), 7, fault);
    world.subscribe(&[A, B]);
    world.connect();
    world.run_for(30 * MINUTE);
    let socket = world.wires.open_here()[0];
    world.lose_from_list(socket);
    world.run_for(10 * MINUTE);
    (world.record.closed_gaps(), world.lost_lists.is_empty())
}

// P2
#[test]
fn what_the_service_lost_from_a_list_is_found_told_and_mended() {
    let lost_at = EPOCH + 1_000 + 30 * MINUTE;
    let (gaps, is_whole) = after_a_lost_subscription(None);
    assert_eq!((gaps.len(), gaps[0].reason, is_whole), (1, Reason::SubscriptionMismatch, true));
    assert!(gaps[0].from <= lost_at && gaps[0].to.is_some_and(|to| to > lost_at));
    let (gaps, is_whole) = after_a_lost_subscription(Some(Fault::AuditIgnored));
    assert!(gaps.is_empty() && !is_whole, "the service loses nothing");
}

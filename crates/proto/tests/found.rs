//! What the random world found, reduced to stories.

mod common;

use common::manners::Fate;
use common::service::http;
use common::world::World;
use genesys_notifications_proto::{ClientState, Config, Continuity, Reason};

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

//! Planned change loses nothing (P3), and nothing comes twice (P5).

use genesys_notifications_proto::{
    ClientState, Config, Continuity, Ending, NetworkKind, Reason, Rotation, SystemNotice,
};

use crate::common::agenda::Cargo;
use crate::common::manners::Fate;
use crate::common::service::network;
use crate::common::world::World;
use crate::stage::{
    A, B, HOUR, MINUTE, SECOND, channel, connected, connected_with, socket, until_connected, with_events,
};

const CREATE: usize = 1;
const SUBSCRIBE: usize = 2;

fn nothing_was_lost(world: &mut World) {
    let (wall, known_until) = (world.clock.now().wall, world.known_until());
    world.truth.settle_all(wall, known_until);
    assert_eq!(world.truth.missed, 0);
    assert!(world.record.gaps().is_empty(), "{:?}", world.record.gaps());
    assert_eq!(world.record.states(), [ClientState::Connecting, ClientState::Connected]);
}

// P3.1, P5.1
#[test]
fn a_channel_is_replaced_before_it_ends_and_nothing_is_lost_or_doubled() {
    for continuity in [Continuity::Overlap, Continuity::Reconnect] {
        let rotation = Rotation { before_expiry_ms: Some(10 * MINUTE), ..Rotation::default() };
        let mut world = connected_with(Config { rotation, continuity, ..Config::default() }, &[A]);
        let first = socket(&world);
        world.run_to(24 * HOUR - 10 * MINUTE - 2_000);
        assert_eq!(world.record.creations().len(), 2, "one more with the token, at four fifths of its life");
        with_events(&mut world, 12_000);
        assert_eq!(world.record.tokens().len(), 2);
        assert!(!world.wires.is_open_here(first));
        nothing_was_lost(&mut world);
    }
}

// P3.2
#[test]
fn a_renewed_token_replaces_the_channel_at_four_fifths_of_its_life() {
    let mut world = World::new(Config::default(), 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    world.run_for(44 * MINUTE);
    let first = socket(&world);
    with_events(&mut world, 5 * MINUTE);
    assert!(!world.wires.is_open_here(first));
    assert_eq!((world.record.tokens().len(), world.record.creations().len()), (2, 2));
    nothing_was_lost(&mut world);
}

// P3.3
#[test]
fn notices_of_maintenance_displacement_and_revocation_start_a_replacement_at_once() {
    for kind in 0..4 {
        let mut world = connected(&[A]);
        let first = socket(&world);
        with_events(&mut world, 500);
        match kind {
            0 => world.send(first, Cargo::System(SystemNotice::SocketClosing)),
            1 => {
                let key = channel(&world, first);
                world.displace(key);
            }
            2 => world.revoke_newest(true),
            _ => {
                world.rotate();
            }
        }
        with_events(&mut world, 10_000);
        assert!(!world.wires.is_open_here(first), "case {kind}");
        assert!(world.truth.copies > 0, "case {kind}");
        assert!(world.unsettled.is_empty(), "case {kind}");
        nothing_was_lost(&mut world);
    }
}

// P3.4
#[test]
fn the_old_link_is_drained_kept_for_the_overlap_closed_and_cleared() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    let key = channel(&world, old);
    world.rotate();
    let started = world.clock.now().mono;
    world.run_for(20 * SECOND);
    let (closed_at, closed, code) = world.record.closed[0];
    assert_eq!((closed, code), (old, Some(1000)));
    assert!((5_000..6_000).contains(&(closed_at - started)), "{}", closed_at - started);
    assert!(world.service.channels.get(&key).is_none_or(|channel| channel.topics.is_empty()));
    assert_eq!(world.rules.links(), 1);
}

// P3.4
#[test]
fn with_reconnect_the_old_link_is_closed_as_soon_as_it_is_drained() {
    let config = Config { continuity: Continuity::Reconnect, ..Config::default() };
    let mut world = connected_with(config, &[A]);
    world.rotate();
    world.run_for(SECOND);
    assert_eq!(world.record.closed.len(), 1);
}

// P5.2
#[test]
fn what_the_service_sent_twice_is_delivered_twice() {
    let mut world = connected(&[A]);
    let topic = world.service.number(A);
    world.rotate();
    for _ in 0..100 {
        let first = world.publish(topic, None);
        for _ in 0..3 {
            world.run_for(11);
            world.publish(topic, Some(first));
        }
        world.run_for(20);
    }
    world.run_for(2 * MINUTE);
    assert_eq!(world.truth.delivered, 400);
    assert!(world.truth.copies > 100);
}

// P3.5
#[test]
fn if_the_new_link_dies_the_one_still_draining_carries_on() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    world.rotate();
    world
        .run_until(MINUTE, |world| world.record.creations().len() == 2 && world.wires.open_here().len() == 2);
    world.run_for(SECOND);
    let new = world.wires.open_here()[1];
    let topic = world.service.number(A);
    world.end_socket(new, Ending::Broken(network(NetworkKind::Reset)));
    world.run_for(50);
    world.publish(topic, None);
    world.run_for(MINUTE);
    assert!(!world.wires.is_open_here(old), "it was replaced in its turn");
    assert_eq!((world.truth.delivered, world.record.creations().len()), (1, 3));
    nothing_was_lost(&mut world);
}

// P3.6, P6.7
#[test]
fn if_the_old_link_dies_its_channel_is_opened_again_beside_the_successor_under_construction() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    world.manners.script[CREATE].push_back(Fate::Late(3_000));
    world.rotate();
    world.run_for(SECOND);
    world.end_socket(old, Ending::Broken(network(NetworkKind::Reset)));
    world.run_for(MINUTE);
    assert_eq!((world.record.creations().len(), world.record.opens().len()), (2, 3));
    let gap = world.record.closed_gaps().pop().expect("the time without either is a gap");
    assert!(gap.to.is_some_and(|to| to - gap.from < 2_000), "{gap:?}");
    assert_eq!(world.state(), ClientState::Connected);
}

// P3.6
#[test]
fn if_the_old_channel_dies_the_successor_under_construction_takes_over() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    world.manners.script[CREATE].push_back(Fate::Late(3_000));
    world.rotate();
    world.run_for(SECOND);
    world.end_socket(old, Ending::Closed(4404, String::new()));
    world.run_for(MINUTE);
    assert_eq!((world.record.creations().len(), world.record.opens().len()), (2, 2));
    let gap = world.record.closed_gaps().pop().expect("the time without either is a gap");
    assert!(gap.to.is_some_and(|to| (2_000..3_500).contains(&(to - gap.from))), "{gap:?}");
    assert_eq!(world.state(), ClientState::Connected);
}

// P2.1, P3.5
#[test]
fn an_old_link_that_was_dead_already_is_told_of() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    let topic = world.service.number(A);
    world.cut(old);
    world.publish(topic, None);
    world.run_for(10 * SECOND);
    world.rotate();
    world.run_for(5 * MINUTE);
    let (wall, known_until) = (world.clock.now().wall, world.known_until());
    world.truth.settle_all(wall, known_until);
    assert_eq!(world.truth.missed, 1);
}

// P3.6
#[test]
fn a_topic_change_during_a_replacement_reaches_both_links() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    world.manners.script[CREATE].push_back(Fate::Late(2_000));
    world.rotate();
    world.run_for(SECOND);
    let request = world.subscribe(&[B]);
    world.run_for(500);
    let (key, b) = (channel(&world, old), world.service.number(B));
    assert!(world.service.channels[&key].topics.contains(&b));
    assert!(!world.unsettled.contains(&request));
    world.run_for(MINUTE);
    let key = channel(&world, socket(&world));
    assert!(world.service.channels[&key].topics.contains(&b));
    assert!(world.record.gaps().is_empty());
}

// P3.5
#[test]
fn a_list_under_way_to_the_old_link_is_waited_for() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    world.manners.script[CREATE].push_back(Fate::Late(2_000));
    world.rotate();
    world.run_for(1_500);
    // The old link's list is answered long after the successor could have taken over.
    world.manners.script[SUBSCRIBE].push_back(Fate::Late(10_000));
    world.subscribe(&[B]);
    world.run_for(8 * SECOND);
    assert_eq!(world.wires.open_here().len(), 2, "the successor waits");
    world.run_for(MINUTE);
    assert_ne!(socket(&world), old);
    assert!(world.record.gaps().is_empty(), "{:?}", world.record.gaps());
}

// P3.3
#[test]
fn rotate_is_settled_although_the_channel_was_reopened_meanwhile() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.manners.script[CREATE].push_back(Fate::Fail(network(NetworkKind::Reset)));
    let request = world.rotate();
    world.run_for(15);
    world.end_socket(open, Ending::Broken(network(NetworkKind::Reset)));
    world.run_for(MINUTE);
    assert!(!world.unsettled.contains(&request));
    assert_eq!(world.state(), ClientState::Connected);
}

// P3.1
#[test]
fn a_replacement_that_fails_is_tried_again_while_the_old_link_serves() {
    let mut world = connected(&[A]);
    for _ in 0..5 {
        world.manners.script[CREATE].push_back(Fate::Fail(network(NetworkKind::Refused)));
    }
    world.rotate();
    with_events(&mut world, 90_000);
    assert_eq!(world.record.creations().len(), 7);
    nothing_was_lost(&mut world);
    assert!(world.record.errors().iter().all(|error| error.retryable));
    assert!(world.record.changes().iter().all(|change| change.reason != Reason::Unreachable));
}

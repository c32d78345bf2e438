//! Never silently dead (P1).

use genesys_notifications_proto::{Certainty, ClientState, Ending, Reason, SystemNotice};

use crate::common::agenda::Cargo;
use crate::stage::{A, HOUR, MINUTE, connected, connecting, socket, until_connected};

// P1.2, P1.3
#[test]
fn a_silent_socket_is_pinged_at_20_25_and_30_seconds_and_dropped_at_35() {
    let mut world = connected(&[A]);
    world.run_for(25_000);
    let (dying, pings) = (socket(&world), world.record.pings.len());
    world.send(dying, Cargo::Beat);
    world.run_for(10);
    let last_frame = world.clock.now().mono;
    world.cut(dying);
    world.run_until(MINUTE, |world| world.state() != ClientState::Connected);
    let after: Vec<u64> = world.record.pings[pings..].iter().map(|(at, _)| at - last_frame).collect();
    assert_eq!(after, [20_000, 25_000, 30_000]);
    let (at, dropped, code) = world.record.closed[0];
    assert_eq!((at - last_frame, dropped, code), (35_000, dying, None));
}

// P1.1
#[test]
fn any_frame_is_life() {
    let mut world = connected(&[A]);
    world.manners.answers_pings = false;
    world.manners.beat_ms = HOUR;
    let open = socket(&world);
    for _ in 0..20 {
        for cargo in [
            Cargo::System(SystemNotice::Other),
            Cargo::Reply(200),
            Cargo::Beat,
            Cargo::Garbage(genesys_notifications_proto::Unreadable::NotJson),
        ] {
            world.run_for(30_000);
            world.send(open, cargo);
        }
    }
    assert!(world.wires.is_open_here(open));
}

// P1.4
#[test]
fn a_server_that_answers_no_ping_is_proven_by_its_other_frames() {
    let mut world = connecting(Default::default(), &[A]);
    world.manners.answers_pings = false;
    world.manners.beat_ms = 2_000;
    until_connected(&mut world);
    assert!((5_000..9_000).contains(&world.clock.truth), "{}", world.clock.truth);
}

// P1.5
#[test]
fn a_suspended_computer_notices_that_its_socket_died() {
    for asleep in [true, false] {
        let mut world = connected(&[A]);
        let dying = socket(&world);
        world.freeze(2 * HOUR, asleep);
        world.cut(dying);
        world.run_for(2 * HOUR + 25_000);
        assert!(!world.wires.is_open_here(dying));
        until_connected(&mut world);
        let gap = world.record.closed_gaps().pop().expect("a gap");
        assert_eq!((gap.reason, gap.certainty), (Reason::ClockJump, Certainty::Certain));
        assert!(gap.to.is_some_and(|to| to - gap.from >= 2 * HOUR));
    }
}

// P1.5
#[test]
fn what_ended_during_a_sleep_is_replaced_when_the_computer_wakes() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.freeze(25 * HOUR, true);
    world.run_for(25 * HOUR + MINUTE);
    assert_eq!(
        (world.record.tokens().len(), world.record.creations().len()),
        (2, 2),
        "both live for 24 hours"
    );
    assert!(!world.wires.is_open_here(open));
    until_connected(&mut world);
}

// P1.5
#[test]
fn a_socket_that_survives_a_long_pause_leaves_a_possible_gap() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.freeze(10 * MINUTE, true);
    world.run_for(11 * MINUTE);
    assert!(world.wires.is_open_here(open));
    let gaps = world.record.closed_gaps();
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].reason, gaps[0].certainty), (Reason::ClockJump, Certainty::Possible));
    assert_eq!(world.state(), ClientState::Connected);
}

// P1.5
#[test]
fn a_late_wake_up_is_noticed_by_whatever_call_comes_first() {
    // The service's last frame before the pause is read first, and must not make the dead socket look alive.
    let mut world = connected(&[A]);
    let dying = socket(&world);
    world.run_for(10_000);
    let before = world.clock.now().wall;
    world.send(dying, Cargo::Beat);
    world.freeze(25_000, false);
    world.run_for(1_000);
    world.cut(dying);
    world.run_for(2 * MINUTE);
    let gap = world.record.closed_gaps().pop().expect("a gap");
    assert!(gap.from <= before, "{} ms are not told", gap.from - before);
}

// P1.6
#[test]
fn a_socket_that_is_not_read_is_not_called_silent() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.pause(open, 10 * MINUTE);
    world.run_for(9 * MINUTE);
    assert!(world.wires.is_open_here(open));
    world.run_for(2 * MINUTE);
    assert!(world.wires.is_open_here(open));
    assert!(world.record.gaps().is_empty());
}

// P1.6, P2.1
#[test]
fn a_socket_that_died_while_it_was_not_read_has_a_gap_from_the_pause_on() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    let paused = world.clock.now().wall;
    world.pause(open, 5 * MINUTE);
    world.run_for(MINUTE);
    world.cut(open);
    world.publish(0, None);
    world.run_for(10 * MINUTE);
    let gap = world.record.closed_gaps().pop().expect("a gap");
    assert!(gap.from <= paused);
    let (wall, known_until) = (world.clock.now().wall, world.known_until());
    world.truth.settle_all(wall, known_until);
    assert_eq!(world.truth.missed, 1);
}

#[test]
fn the_end_of_a_socket_is_noticed_at_once() {
    let mut world = connected(&[A]);
    let open = socket(&world);
    world.end_socket(open, Ending::Closed(1006, String::new()));
    world.run_for(10);
    assert_eq!(world.state(), ClientState::Reconnecting);
}

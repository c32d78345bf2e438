//! A service, or something in its place, that does what it must not: the client goes on, with bounded memory.
#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use genesys_notifications_client::{ClientState, ErrorCode, Reason};

// P9.4, P2.6
#[test]
fn frames_that_cannot_be_read_are_reported_as_gaps_and_the_socket_stays() {
    for action in [r#"{"kind":"binary"}"#, r#"{"kind":"garbage"}"#, r#"{"kind":"deep","levels":100000}"#] {
        let mut world = World::live("", "");
        world.fault(&format!(r#"{{"match":{{"operation":"event"}},"action":{action}}}"#));
        world.publish(1);
        world.until("a gap", |world| !world.observer.gaps().is_empty());
        assert_eq!(world.observer.gaps()[0].reason, Reason::UnreadableFrame, "{action}");
        world.publish(2);
        world.until("the next event", |world| world.observer.events().iter().any(|event| event.n() == 2));
        assert_eq!(world.sim.log().sockets.len(), 1, "{action}");
        assert_eq!(world.observer.client.state(), ClientState::Connected);
    }
}

// P9.4
#[test]
fn how_deep_a_frame_may_be_nested_is_an_option() {
    // The frame and the body are two levels.
    let nested = |n: u64, levels: usize| {
        format!(r#"{{"n":{n},"x":{}{}}}"#, "[".repeat(levels - 2), "]".repeat(levels - 2))
    };
    for (options, limit) in
        [("", 64), (r#"{"delivery":{"maxDepth":8}}"#, 8), (r#"{"delivery":{"maxDepth":128}}"#, 128)]
    {
        let mut world = World::live("", options);
        world.sim.publish(common::TOPIC, Some(&nested(1, limit))).unwrap();
        world.until("the event", |world| world.observer.events().iter().any(|event| event.n() == 1));
        assert!(world.observer.errors().is_empty(), "{limit}: {:?}", world.observer.errors());
        world.sim.publish(common::TOPIC, Some(&nested(2, limit + 1))).unwrap();
        world.until("a gap", |world| !world.observer.gaps().is_empty());
        assert_eq!(world.observer.gaps()[0].reason, Reason::UnreadableFrame, "{limit}");
        let errors = world.observer.errors();
        assert!(
            errors.iter().any(|error| error.contains(&format!("deeper than {limit} levels"))),
            "{errors:?}"
        );
        world.publish(3);
        world.until("the next event", |world| world.observer.events().iter().any(|event| event.n() == 3));
        assert!(world.observer.events().iter().all(|event| event.n() != 2));
    }
}

// P9.4
#[test]
fn frames_that_break_the_protocol_cost_the_socket_and_nothing_else() {
    for action in [r#"{"kind":"invalidUtf8"}"#, r#"{"kind":"oversize","bytes":5242880}"#] {
        let mut world = World::live("", "");
        world.fault(&format!(r#"{{"match":{{"operation":"event"}},"action":{action}}}"#));
        world.publish(1);
        world.until("another socket", |world| world.sim.log().sockets.len() == 2);
        world.until_connected();
        world.until_events_flow();
        let gaps = world.observer.gaps();
        assert!(gaps.iter().any(|gap| gap.to.is_some()), "{action}: {gaps:?}");
        assert!(!world.observer.errors().is_empty(), "{action}");
    }
}

// P9.4, P4.1
#[test]
fn a_flood_of_large_and_broken_frames_is_survived_in_bounded_memory() {
    let mut world = World::live("", r#"{"queue":{"maxBytes":1048576,"onFull":"dropOldest"}}"#);
    let before = resident_bytes();
    world.observer.is_busy = true;
    world.fault(
        r#"{"match":{"operation":"event","probability":0.2},"action":{"kind":"garbage"},"times":null}"#,
    );
    world.fault(r#"{"match":{"operation":"event","probability":0.5},"action":{"kind":"bigBody","bytes":1000000},"times":null}"#);
    let arrived = |world: &mut World| {
        let stats = world.observer.client.stats();
        stats.received + stats.machine.unreadable
    };
    for n in 0..400 {
        world.publish(n);
        // The simulator would reset a peer that is 64 MiB behind, and keeps in memory what waits.
        world.until("the flood to be read", |world| arrived(world) + 20 > n);
    }
    world.until("the flood's end", |world| arrived(world) >= 400);
    let grown = resident_bytes().saturating_sub(before);
    let stats = world.observer.client.stats();
    assert!(stats.queue.bytes <= 1 << 20 || stats.queue.events == 1, "{stats:?}");
    // The simulator lives in the same process and keeps its own log.
    assert!(grown < 64 << 20, "{grown} bytes more");
    world.sim.clear_faults();
    world.observer.is_busy = false;
    world.until_events_flow();
}

// P8.2
#[test]
fn a_connect_uri_elsewhere_is_never_dialled_and_never_shown() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for uri in [
        format!("ws://127.0.0.1:{port}/channels/canary-uri"),
        format!("ws://user:canary-uri@127.0.0.1:{port}/channels/x"),
        "wss://evil.example.com/channels/canary-uri".to_owned(),
        "file:///canary-uri".to_owned(),
        "canary-uri".to_owned(),
    ] {
        let mut world = World::new("", "");
        world.fault(&format!(
            r#"{{"match":{{"operation":"createChannel"}},"action":{{"kind":"connectUri","uri":"{uri}"}}}}"#
        ));
        world.observer.client.connect().unwrap();
        world.until_connected();
        assert_eq!(world.requests("createChannel").len(), 2, "{uri}");
        let told = format!("{:?} {:?}", world.observer.told, world.observer.client.stats());
        assert!(told.contains(&format!("{:?}", ErrorCode::UntrustedConnectUri)), "{told}");
        assert!(!told.contains("canary") && !told.contains("evil"), "{told}");
        assert!(listener.accept().is_err(), "{uri} was dialled");
    }
}

// P8.2
#[test]
fn redirects_are_failures_and_are_not_followed() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let to = format!("http://127.0.0.1:{}/canary", listener.local_addr().unwrap().port());
    for operation in ["token", "createChannel", "putSubscriptions", "upgrade"] {
        let mut world = World::new("", "");
        world.fault(&format!(
            r#"{{"match":{{"operation":"{operation}"}},"action":{{"kind":"redirect","to":"{to}"}}}}"#
        ));
        world.observer.client.connect().unwrap();
        world.until_connected();
        assert!(listener.accept().is_err(), "{operation} followed a redirect");
        assert!(!format!("{:?}", world.observer.told).contains("canary"), "{operation}");
    }
}

#[test]
fn answers_that_are_cut_or_wrong_are_asked_for_again() {
    let actions = [
        r#"{"kind":"truncate"}"#,
        r#"{"kind":"garbage"}"#,
        r#"{"kind":"oversize","bytes":8388608}"#,
        r#"{"kind":"deep","levels":100000}"#,
        r#"{"kind":"invalidUtf8"}"#,
        r#"{"kind":"reset"}"#,
        r#"{"kind":"status","status":500,"body":"<html>canary</html>"}"#,
    ];
    for operation in ["token", "createChannel", "putSubscriptions"] {
        for action in actions {
            let mut world = World::new("", "");
            world.fault(&format!(r#"{{"match":{{"operation":"{operation}"}},"action":{action}}}"#));
            world.observer.client.connect().unwrap();
            world.until_connected();
            world.until_events_flow();
        }
    }
}

#[test]
fn an_upgrade_that_is_no_websocket_is_tried_again() {
    for action in [
        r#"{"kind":"garbage"}"#,
        r#"{"kind":"reset"}"#,
        r#"{"kind":"close"}"#,
        r#"{"kind":"status","status":503}"#,
    ] {
        let mut world = World::new("", "");
        world.fault(&format!(r#"{{"match":{{"operation":"upgrade"}},"action":{action}}}"#));
        world.observer.client.connect().unwrap();
        world.until_connected();
        world.until_events_flow();
    }
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * 4096
}

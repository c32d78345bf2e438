//! Connecting, staying connected and ending, against the simulator.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{OTHER, TOPIC, World};
use genesys_notifications_client::{
    ClientState, Clock, Control, Notice, Now, Reason, SystemClock, TopicChange, TopicState,
};

#[test]
fn it_gets_live_and_receives_events_in_order() {
    let mut world = World::live("", "");
    for n in 1..=500 {
        world.publish(n);
    }
    world.until("500 events", |world| world.observer.events().len() == 500);
    let events = world.observer.events();
    assert!(
        events
            .iter()
            .zip(1..)
            .all(|(event, n)| event.n() == n && event.sequence == n && event.topic == TOPIC)
    );
    assert_eq!(events[0].channel, world.sim.channels()[0].id);
    assert!(events[0].text.contains("\"topicName\""));
    assert_eq!(world.requests("token").len(), 1);
    assert_eq!(world.requests("createChannel").len(), 1);
    assert_eq!(world.requests("putSubscriptions").len() + world.requests("postSubscriptions").len(), 1);
    let stats = world.observer.client.stats();
    assert_eq!((stats.received, stats.delivered, stats.dropped, stats.queue.events), (500, 500, 0, 0));
    assert!(world.observer.gaps().is_empty());
}

// P9.1
#[test]
fn closing_says_goodbye_and_nothing_follows() {
    let mut world = World::live("", "");
    world.observer.client.close();
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    assert_eq!(world.observer.client.state(), ClientState::Closed);
    world.until("the socket's end", |world| {
        world
            .sim
            .log()
            .sockets
            .iter()
            .all(|s| s.ended.as_deref() == Some("peerClosed") && s.close_code == Some(1000))
    });
    world.publish(1);
    world.observer.client.connect().unwrap();
    world.observer.observe();
    assert!(world.observer.is_closed());
    assert_eq!(world.requests("createChannel").len(), 1);
}

// P1.4, P3.5
#[test]
fn a_quiet_service_that_answers_no_application_ping_is_served_and_rotated() {
    let heartbeat = r#""heartbeat":{"pingAfterMs":10000,"pongTimeoutMs":300,"silenceMs":20000}"#;
    let options = format!(r#"{{"continuity":"reconnect",{heartbeat}}}"#);
    let mut world = World::new(r#"{"heartbeatMs":60000}"#, &options);
    world.fault(r#"{"match":{"operation":"pong"},"action":{"kind":"drop"},"times":null}"#);
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.observer.client.rotate();
    world.until("the rotation", |world| world.observer.client.stats().machine.rotations == 1);
    assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
}

// P9.2
#[test]
fn closing_while_connecting_ends_at_once() {
    for operation in ["token", "createChannel", "putSubscriptions", "upgrade"] {
        let mut world = World::new("", "");
        world.fault(&format!(
            r#"{{"match":{{"operation":"{operation}"}},"action":{{"kind":"stall"}},"times":null}}"#
        ));
        world.observer.client.connect().unwrap();
        world.until(operation, |world| !world.requests(operation).is_empty());
        let begin = Instant::now();
        world.observer.client.close();
        world.until("closed", |world| world.observer.is_closed());
        assert!(begin.elapsed() < Duration::from_secs(1), "{operation}: {:?}", begin.elapsed());
    }
}

#[test]
fn closing_before_connecting_needs_no_thread() {
    let mut world = World::new("", "");
    world.observer.client.close();
    world.observer.observe();
    assert!(world.observer.is_closed());
    assert_eq!(world.sim.log().requests.len(), 0);
}

// P9.3
#[test]
fn dropping_a_client_drops_its_sockets() {
    let World { sim, observer } = World::live("", "");
    drop(observer);
    let begin = Instant::now();
    while sim.log().sockets.iter().any(|socket| socket.ended.is_none()) {
        assert!(begin.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
}

// P6.7, P2.1
#[test]
fn a_lost_socket_reopens_its_channel_once_and_then_makes_a_new_one() {
    let mut world = World::live("", "");
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("a second socket", |world| world.sim.log().sockets.len() == 2);
    world.until_connected();
    assert_eq!(world.requests("createChannel").len(), 1);
    world.until_events_flow();
    let gaps = world.observer.gaps();
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].to.is_some());

    world.fault(r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":503},"times":2}"#);
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("a new channel", |world| world.requests("createChannel").len() == 2);
    world.until_connected();
    world.until_events_flow();
}

// P2.3
#[test]
fn a_gap_is_told_before_the_first_event_after_it() {
    let mut world = World::live("", "");
    for round in 0..5 {
        world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
        let gaps = world.observer.gaps().len();
        let mut n = round * 1_000_000;
        world.until("the gap's end", |world| {
            n += 1;
            world.publish(n);
            world.observer.gaps().len() > gaps && world.observer.gaps().iter().all(|gap| gap.to.is_some())
        });
        world.until_events_flow();
    }
    // Gaps may be told earlier than events that arrived before them, never later than events that arrived after them.
    // A gap begins up to a round trip and 2 ms before the last frame (P2.1).
    const MARGIN_MS: u64 = 50;
    let mut open = std::collections::HashMap::new();
    for told in &world.observer.told {
        match told {
            common::Told::Control(Control::Notice(Notice::Gap(gap))) => {
                match gap.to {
                    None => open.insert(gap.id.clone(), gap.from),
                    Some(_) => open.remove(&gap.id),
                };
            }
            common::Told::Event(event) => {
                assert!(
                    open.values().all(|from| event.received_at <= *from + MARGIN_MS),
                    "event {} inside {open:?}",
                    event.sequence
                );
            }
            common::Told::Control(_) => {}
        }
    }
}

// P6.7
#[test]
fn an_upgrade_refused_as_unknown_creates_a_new_channel() {
    for status in [404, 401, 403] {
        let mut world = World::new("", "");
        // The first refusal may mean that the streaming host does not know the new channel yet.
        world.fault(&format!(
            r#"{{"match":{{"operation":"upgrade"}},"action":{{"kind":"status","status":{status}}},"times":2}}"#
        ));
        world.observer.client.connect().unwrap();
        world.until_connected();
        assert_eq!(world.requests("createChannel").len(), 2, "{status} {:#?}", world.sim.log().requests);
        world.until_events_flow();
    }
}

// P6.6
#[test]
fn a_token_refused_while_subscribing_is_renewed_once() {
    let mut world = World::new("", "");
    world.fault(
        r#"{"match":{"operation":"putSubscriptions"},"action":{"kind":"status","status":401,"code":"bad.credentials"}}"#,
    );
    world.observer.client.connect().unwrap();
    world.until_connected();
    assert_eq!(world.requests("token").len(), 2);
    world.until_events_flow();
}

// S1, P8.1
#[test]
fn wrong_credentials_fail_with_a_reason_and_end() {
    let sim = genesys_notifications_sim::Simulator::start(
        genesys_notifications_sim::SimOptions::from_json("{}").unwrap(),
    )
    .unwrap();
    let credentials = format!(
        r#"{{"kind":"clientCredentials","clientId":"{}","clientSecret":"canary-wrong"}}"#,
        sim.credentials().client_id
    );
    let options = common::options(&common::urls(&sim), &credentials, "");
    let mut world = World { observer: common::Observer::new(options, common::environment()), sim };
    world.observer.client.connect().unwrap();
    world.until("the end", |world| world.observer.is_closed());
    assert_eq!(world.observer.client.state(), ClientState::Failed);
    let told = format!("{:?}", world.observer.told);
    assert!(told.contains("InvalidCredentials") && !told.contains("canary"), "{told}");
}

// P6.3
#[test]
fn a_retry_after_is_never_undercut() {
    for (operation, is_date) in [("createChannel", false), ("token", false), ("putSubscriptions", true)] {
        let retry_after = if is_date { in_two_seconds() } else { "2".to_owned() };
        let mut world = World::new("", "");
        world.fault(&format!(
            r#"{{"match":{{"operation":"{operation}"}},"action":{{"kind":"status","status":429,"retryAfter":{retry_after}}}}}"#
        ));
        world.observer.client.connect().unwrap();
        world.until("an answer", |world| {
            world.requests(operation).first().is_some_and(|r| r.status.is_some())
        });
        world.until("a retry", |world| world.requests(operation).len() == 2);
        let requests = world.requests(operation);
        let waited = requests[1].at - requests[0].at;
        // A date counts whole seconds, so up to one of the two may be gone.
        let floor = if is_date { 900 } else { 2_000 };
        assert!(waited >= floor, "{operation} waited {waited} ms");
        assert!(waited < 10_000, "{operation} waited {waited} ms");
    }
}

// P1.3
#[test]
fn a_stalled_socket_is_noticed_within_the_silence_and_a_second() {
    let mut world = World::live("", "");
    let fault = world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"stall"}}"#);
    let begin = Instant::now();
    world.until("the drop", |world| world.observer.client.state() != ClientState::Connected);
    assert!(begin.elapsed() < Duration::from_millis(1_000 + 1_000), "{:?}", begin.elapsed());
    world.sim.clear_fault(fault);
    world.until_connected();
    world.until_events_flow();
    assert!(world.sim.log().sockets[0].pings >= 1 || world.sim.log().sockets[0].stalled_at.is_some());
}

// P1.1, P1.2
#[test]
fn heartbeats_alone_keep_a_socket_and_a_quiet_one_is_kept_by_pings() {
    let mut world = World::live(r#"{"heartbeatMs":100000}"#, "");
    world.until("three pings", |world| world.sim.log().sockets[0].pings >= 4);
    assert_eq!(world.sim.log().sockets.len(), 1);
    assert_eq!(world.observer.client.state(), ClientState::Connected);
}

// P6.6
#[test]
fn one_token_request_is_in_flight_at_most() {
    let mut world = World::new(r#"{"heartbeatMs":200,"tokenLifeMs":400}"#, "");
    world.fault(r#"{"match":{"operation":"token"},"action":{"kind":"delay","ms":50},"times":null}"#);
    world.fault(
        r#"{"match":{"operation":"putSubscriptions","nth":3},"action":{"kind":"status","status":401}}"#,
    );
    world.observer.client.connect().unwrap();
    world.until("ten tokens", |world| world.requests("token").len() >= 10);
    assert!(world.requests("token").iter().all(|request| request.concurrent == Some(1)));
}

// P7.1
#[test]
fn topics_come_and_go_and_one_bad_one_harms_no_other() {
    let bad = "v2.users.00000000-0000-4000-8000-000000000003.presence";
    let mut world = World::live(
        &format!(
            r#"{{"heartbeatMs":200,"forbidden":[{{"topic":"{bad}","missingPermissions":["a:b:view"]}}]}}"#
        ),
        "",
    );
    let names = [OTHER.to_owned(), bad.to_owned()];
    let request = world.observer.client.request_topics(TopicChange::Add, &names).unwrap();
    world.until("settled", |world| {
        world
            .observer
            .controls()
            .iter()
            .any(|c| matches!(c, Control::Notice(Notice::Settled(n)) if n.0 == request))
    });
    assert!(world.observer.is_subscribed(OTHER) && world.observer.is_subscribed(TOPIC));
    let status = world.observer.status(bad).unwrap();
    assert_eq!(status.state, TopicState::Rejected);
    assert_eq!(status.missing_permissions.unwrap(), ["a:b:view"]);
    world.sim.publish(OTHER, Some(r#"{"n":1}"#)).unwrap();
    world.until("the other topic's event", |world| world.observer.events().iter().any(|e| e.topic == OTHER));

    let error =
        world.observer.client.request_topics(TopicChange::Add, &[TOPIC.into(), "nope".into()]).unwrap_err();
    assert_eq!(error.path, "topics[1]");
    world.observer.client.request_topics(TopicChange::Remove, &names).unwrap();
    world.until("only one is left", |world| world.observer.client.topics().len() == 1);
}

// P1.5
#[test]
fn a_jump_of_the_wall_clock_is_noticed_within_five_seconds_and_the_socket_asked() {
    #[derive(Default)]
    struct Jumping(AtomicU64);
    impl Clock for Jumping {
        fn now(&self) -> Now {
            let now = SystemClock.now();
            Now { wall: now.wall + self.0.load(Ordering::SeqCst), ..now }
        }
    }
    let clock = Arc::new(Jumping::default());
    let quiet = r#"{"heartbeat":{"pingAfterMs":60000,"silenceMs":120000}}"#;
    let environment = common::environment().with_clock(clock.clone());
    let mut world = World::in_environment(environment, r#"{"heartbeatMs":100000}"#, quiet);
    world.observer.client.connect().unwrap();
    world.until_connected();
    let pings = world.sim.log().sockets[0].pings;
    let begin = Instant::now();
    clock.0.store(3_600_000, Ordering::SeqCst);
    world.until("a ping", |world| world.sim.log().sockets[0].pings > pings);
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    world.until_events_flow();
    assert!(world.observer.client.stats().machine.clock_jumps >= 1);
    assert_eq!(world.sim.log().sockets.len(), 1);
    assert!(world.observer.gaps().iter().any(|gap| gap.reason == Reason::ClockJump));
}

#[test]
fn without_a_fault_the_thread_sleeps() {
    let mut world =
        World::live(r#"{"heartbeatMs":100000}"#, r#"{"heartbeat":{"pingAfterMs":60000,"silenceMs":120000}}"#);
    world.observer.observe();
    let rings = world.observer.rings();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(world.observer.rings(), rings);
}

fn in_two_seconds() -> String {
    format!("\"{}\"", httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(2)))
}

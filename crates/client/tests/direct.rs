//! Direct endpoints, against the simulator's gateway and odd servers.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::gateway::{Gateway, event, listen};
use common::{OTHER, Observer, TOPIC, Told, World};
use genesys_notifications_client::{
    Client, ClientState, Control, Environment, Notice, OptionError, Options, Reason, TopicChange,
};
use genesys_notifications_sim::{GatewayRecord, SimOptions, Simulator};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

fn sim(options: &str) -> Simulator {
    let options = if options.is_empty() { "{}" } else { options };
    Simulator::start(SimOptions::from_json(options).unwrap()).unwrap()
}

/// A client of a place of the simulator's gateway, connected or about to be; `topics` are none unless `more` says so.
fn on(sim: Simulator, place: &str, endpoint: &serde_json::Value, more: &serde_json::Value) -> World {
    let mut endpoint = endpoint.clone();
    endpoint["url"] = format!("{}/{place}", sim.urls().gateway).into();
    let mut all = json!({ "topics": [], "endpoint": endpoint });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let world = World::on(sim, &all.to_string());
    world.observer.client.connect().unwrap();
    world
}

fn live(sim: Simulator, place: &str, endpoint: &serde_json::Value, more: &serde_json::Value) -> World {
    let mut world = on(sim, place, endpoint, more);
    world.until_connected();
    world
}

/// A client of an odd server that authenticates nobody, about to be connected.
fn odd(gateway: &Gateway, endpoint: &serde_json::Value, more: &serde_json::Value) -> Observer {
    let mut endpoint = endpoint.clone();
    endpoint["url"] = format!("{}{}", gateway.url(), endpoint["url"].as_str().unwrap_or_default()).into();
    if endpoint["auth"].is_null() {
        endpoint["auth"] = "none".into();
    }
    let mut all = json!({
        "endpoint": endpoint,
        "heartbeat": { "pingAfterMs": 500, "pongTimeoutMs": 2_000, "silenceMs": 5_000 },
        "backoff": { "initialMs": 20, "maxMs": 200, "suspendedMaxMs": 400, "healthyMs": 60_000 },
        "rotation": { "overlapMs": 100 },
    });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let observer = Observer::new(Options::from_json(&all.to_string()).unwrap(), common::environment());
    observer.client.connect().unwrap();
    observer
}

fn connections(world: &World) -> Vec<GatewayRecord> {
    world.sim.log().gateway
}

fn numbers(observer: &Observer) -> Vec<u64> {
    observer.events().iter().map(|event| event.n()).collect()
}

fn since() -> serde_json::Value {
    json!({ "resume": { "parameter": "since", "pointer": "/timestamp" }, "event": { "id": "/id" } })
}

fn first_message() -> serde_json::Value {
    json!({
        "firstMessage": r#"{"access_token":"{token}"}"#,
        "ready": { "pointer": "/event", "equals": "connected" },
        "subscribe": { "message": r#"{"message":"subscribe","topic":"{topic}"}"# },
    })
}

#[test]
fn every_way_to_prove_who_is_there_leads_to_events() {
    let none = json!({});
    for (place, endpoint, token) in [
        ("query", json!({}), "valid"),
        ("query?access_token={token}", json!({}), "valid"),
        ("header", json!({ "auth": "header" }), "valid"),
        ("first-message", first_message(), "valid"),
        ("open", json!({ "auth": "none" }), "none"),
    ] {
        let more = if token == "none" { json!({ "credentials": null }) } else { none.clone() };
        let more = if place == "first-message" { json!({ "topics": [TOPIC] }) } else { more };
        let mut world = live(sim(""), place, &endpoint, &more);
        for n in 1..=100 {
            world.publish(n);
        }
        world.until(place, |world| world.observer.events().len() == 100);
        assert_eq!(numbers(&world.observer), (1..=100).collect::<Vec<_>>());
        let events = world.observer.events();
        assert!(events.iter().all(|event| event.topic == TOPIC && event.channel == "endpoint"));
        assert!(events[0].text.contains("\"timestamp\""), "{}", events[0].text);
        let connections = connections(&world);
        assert_eq!(connections.len(), 1, "{connections:#?}");
        assert_eq!((connections[0].token, connections[0].early_frames), (token, 0));
        assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
    }
}

#[test]
fn a_server_that_is_never_ready_is_given_up_in_time() {
    let mut endpoint = first_message();
    endpoint["ready"]["timeoutMs"] = 200.into();
    let mut world = on(
        sim(r#"{"gateway":{"readyDelayMs":60000}}"#),
        "first-message",
        &endpoint,
        &json!({"topics":[TOPIC]}),
    );
    world.until("two attempts", |world| connections(world).len() >= 2);
    let errors = world.observer.controls();
    let told = errors.iter().any(|control| serde_json::to_string(control).unwrap().contains("NOT_READY"));
    assert!(told, "{errors:?}");
    assert!(connections(&world).iter().all(|connection| connection.asked.is_empty()));
}

#[test]
fn topics_are_asked_for_once_it_is_ready_and_again_on_every_connection() {
    let sim = sim(r#"{"gateway":{"readyDelayMs":100}}"#);
    let mut world = live(sim, "first-message", &first_message(), &json!({ "topics": [TOPIC] }));
    world.fault(r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":503},"times":3}"#);
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("the loss", |world| world.observer.client.state() != ClientState::Connected);
    world.observer.client.request_topics(TopicChange::Add, &[OTHER.to_owned()]).unwrap();
    world.until("another connection", |world| {
        connections(world).last().is_some_and(|last| last.asked.len() == 2)
    });
    world.until_connected();
    world.observer.client.request_topics(TopicChange::Add, &["of any name/é \"".to_owned()]).unwrap();
    world.until("a third topic", |world| connections(world).last().is_some_and(|last| last.asked.len() == 3));
    let connections = connections(&world);
    assert!(connections.iter().all(|connection| connection.early_frames == 0), "{connections:#?}");
    let asked: Vec<&str> = connections.last().unwrap().asked.iter().map(|asked| &*asked.topic).collect();
    assert_eq!(asked, [TOPIC, OTHER, "of any name/é \""]);
    world.until("its status", |world| world.observer.is_subscribed("of any name/é \""));
}

#[test]
fn a_renewed_token_is_told_on_the_live_socket_or_by_another_connection() {
    for renewal in ["message", "reconnect"] {
        let mut endpoint = first_message();
        endpoint["renewal"] = renewal.into();
        // Renewed long before its end, so that a busy machine makes no difference.
        let rotation = json!({ "overlapMs": 100, "tokenRenewalFraction": 0.25 });
        let more = json!({ "topics": [TOPIC], "rotation": rotation });
        let mut world = live(sim(r#"{"tokenLifeMs":6000}"#), "first-message", &endpoint, &more);
        let mut n = 0;
        world.until(renewal, |world| {
            n += 1;
            world.publish(n);
            let mut connections = connections(world);
            connections.retain(|connection| connection.ready_at.is_some());
            if renewal == "message" { connections[0].renewals >= 2 } else { connections.len() >= 2 }
        });
        let connections = connections(&world);
        let mut tokens = connections.iter().filter(|connection| connection.ready_at.is_some());
        assert!(tokens.all(|connection| connection.token == "valid"), "{connections:#?}");
        if renewal == "message" {
            assert_eq!(connections.len(), 1);
        }
        assert!(world.observer.gaps().is_empty(), "{renewal}: {:?}", world.observer.gaps());
        world.until("every event", |world| numbers(&world.observer).last() == Some(&n));
        assert_eq!(numbers(&world.observer), (1..=n).collect::<Vec<_>>());
    }
}

#[test]
fn a_stream_is_resumed_where_it_was_lost() {
    let mut world = live(sim(""), "since", &since(), &json!({}));
    let mut n = 0;
    for round in 1..=5 {
        for _ in 0..50 {
            n += 1;
            world.publish(n);
        }
        world.until("events", |world| world.observer.events().len() as u64 >= n / 2);
        world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
        for _ in 0..50 {
            n += 1;
            world.publish(n);
        }
        world.until("another connection", |world| connections(world).len() > round);
        world.until_connected();
    }
    world.until("every event", |world| world.observer.events().len() as u64 == n);
    assert_eq!(numbers(&world.observer), (1..=n).collect::<Vec<_>>());
    assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
    assert!(connections(&world).iter().all(|connection| connection.position.is_some()));
}

#[test]
fn each_event_of_a_batch_is_one() {
    let mut endpoint = since();
    endpoint["event"]["batch"] = true.into();
    let mut world = live(sim(r#"{"gateway":{"batch":20}}"#), "since", &endpoint, &json!({}));
    for n in 1..=100 {
        world.publish(n);
    }
    world.until("events", |world| world.observer.events().len() == 100);
    let events = world.observer.events();
    assert_eq!(numbers(&world.observer), (1..=100).collect::<Vec<_>>());
    // The item, not the frame it came in.
    assert!(events.iter().all(|event| event.text.starts_with('{') && event.text.ends_with('}')));
    assert!(events.iter().all(|event| event.text.matches("topicName").count() == 1));
}

#[test]
fn what_nobody_asked_for_keeps_its_name_and_what_was_given_up_stays_away() {
    let gateway = Gateway::open(|mut socket| {
        for (topic, n) in [("asked", 1), ("unasked", 2), ("given up", 3), ("asked", 4)] {
            socket.send(event(topic, n)).unwrap();
        }
        listen(&mut socket, |socket, text| {
            if text != "asked" {
                return;
            }
            for (topic, n) in [("given up", 5), ("unasked", 6), ("asked", 7)] {
                socket.send(event(topic, n)).unwrap();
            }
        });
    });
    let endpoint = json!({ "subscribe": { "message": "{topic}" } });
    let mut observer = odd(&gateway, &endpoint, &json!({}));
    observer.until("four events", |observer| observer.events().len() == 4);
    let client = &observer.client;
    client.request_topics(TopicChange::Add, &["given up".to_owned()]).unwrap();
    observer.until("the topic", |observer| observer.is_subscribed("given up"));
    let client = &observer.client;
    client.request_topics(TopicChange::Remove, &["given up".to_owned()]).unwrap();
    client.request_topics(TopicChange::Add, &["asked".to_owned()]).unwrap();
    observer.until("two more", |observer| numbers(observer).contains(&7));
    let events: Vec<(String, u64)> =
        observer.events().iter().map(|event| (event.topic.clone(), event.n())).collect();
    assert!(events.contains(&("unasked".into(), 6)) && events.contains(&("asked".into(), 7)), "{events:?}");
    assert!(!numbers(&observer).contains(&5), "{events:?}");
    assert_eq!(observer.client.topics().len(), 1);
}

#[test]
fn a_server_that_sends_before_it_reads_is_asked_for_every_topic() {
    const TOPICS: usize = 1_200;
    const EVENTS: u64 = 20_000;
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let gateway = Gateway::open(move |mut socket| {
        // More than all buffers on the way hold: who waits for our reading before reading waits for ever.
        for n in 1..=EVENTS {
            let filling = "x".repeat(500);
            let text = format!(r#"{{"topicName":"t","eventBody":{{"n":{n},"x":"{filling}"}}}}"#);
            socket.send(Message::text(text)).unwrap();
        }
        listen(&mut socket, |_, _| {
            count.fetch_add(1, Ordering::SeqCst);
        });
    });
    let long = "é".repeat(200);
    let topics: Vec<String> = (0..TOPICS).map(|n| format!("{n}/{long}")).collect();
    let mut observer =
        odd(&gateway, &json!({ "subscribe": { "message": "{topic}" } }), &json!({ "topics": topics }));
    observer.until("events and questions", |observer| {
        observer.events().len() as u64 == EVENTS && asked.load(Ordering::SeqCst) == TOPICS as u64
    });
    observer.until("connected", |observer| observer.client.state() == ClientState::Connected);
    assert_eq!(gateway.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_frame_of_a_million_items_that_are_nothing_harms_nobody() {
    let gateway = Gateway::open(|mut socket| {
        let mut items = "1,".repeat(2_000_000);
        items.pop();
        for n in 1..=2 {
            socket.send(Message::text(format!("[{items}]"))).unwrap();
            socket.send(event("t", n)).unwrap();
        }
        listen(&mut socket, |_, _| ());
    });
    let mut observer = odd(&gateway, &json!({ "event": { "batch": true } }), &json!({}));
    observer.until("both events", |observer| numbers(observer) == [1, 2]);
    observer.until("connected", |observer| observer.client.state() == ClientState::Connected);
    assert_eq!(gateway.asked.lock().unwrap().len(), 1);
}

#[test]
fn a_server_that_takes_no_bytes_is_given_up() {
    // It sends and never reads: alive by every other measure.
    let gateway = Gateway::open(|mut socket| {
        let mut n = 0;
        while socket.send(event("t", n)).is_ok() {
            n += 1;
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let long = "x".repeat(900);
    let topics: Vec<String> = (0..20_000).map(|n| format!("{n}/{long}")).collect();
    let heartbeat = json!({ "pingAfterMs": 60_000, "pongTimeoutMs": 60_000, "silenceMs": 60_000 });
    let more = json!({ "topics": topics, "heartbeat": heartbeat });
    let mut observer = odd(&gateway, &json!({ "subscribe": { "message": "{topic}" } }), &more);
    observer.until("another connection", |_| gateway.asked.lock().unwrap().len() >= 2);
    let words = format!("{:?}", observer.controls());
    assert!(words.contains("takes no bytes"), "{words}");
}

#[test]
fn a_refused_upgrade_is_told_with_its_status_and_its_wait_is_kept() {
    let refused = Arc::new(AtomicU64::new(0));
    let count = refused.clone();
    let gateway = Gateway::start(
        move |_| {
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                return None;
            }
            let refusal = tokio_tungstenite::tungstenite::http::Response::builder()
                .status(429)
                .header("Retry-After", "1")
                .body(Some("slow down".to_owned()));
            Some(refusal.unwrap())
        },
        |mut socket| listen(&mut socket, |_, _| ()),
    );
    let begin = std::time::Instant::now();
    let mut observer = odd(&gateway, &json!({}), &json!({}));
    observer.until("connected", |observer| observer.client.state() == ClientState::Connected);
    assert!(begin.elapsed() >= std::time::Duration::from_secs(1), "{:?}", begin.elapsed());
    let told = serde_json::to_string(&observer.controls()).unwrap();
    assert!(told.contains("RATE_LIMITED") && told.contains("\"status\":429"), "{told}");
}

fn with_file(path: &Path) -> serde_json::Value {
    json!({ "cursor": { "kind": "file", "path": path } })
}

/// Acknowledges everything that was observed.
fn ack(observer: &Observer) {
    observer.client.ack(observer.events().last().map_or(0, |event| event.sequence));
}

fn saved_position(observer: &Observer) -> Option<String> {
    observer.client.stats().cursor.unwrap().position
}

#[test]
fn the_next_process_goes_on_after_what_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut seen = Vec::new();
    let mut next = 1;
    let mut sim = sim("");
    for round in 0..4 {
        let mut world = live(sim, "since", &since(), &with_file(&path));
        for n in next..next + 100 {
            world.publish(n);
        }
        world.until("events", |world| numbers(&world.observer).last() == Some(&(next + 99)));
        next += 100;
        ack(&world.observer);
        let position = world.observer.client.stats().machine.direct.unwrap().position;
        world.until("a save", |world| saved_position(&world.observer) == position);
        // Not acknowledged any more: repeated by the next process.
        world.publish(next);
        world.until("one more", |world| numbers(&world.observer).last() == Some(&next));
        seen.extend(numbers(&world.observer).into_iter().filter(|n| *n < next));
        next += 1;
        assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
        sim = if round % 2 == 0 { world.crash().0 } else { world.close().0 };
    }
    assert_eq!(seen, (1..next - 1).collect::<Vec<_>>());
}

#[test]
fn closing_waits_for_the_last_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut world = live(sim(""), "since", &since(), &with_file(&path));
    for n in 1..=10 {
        world.publish(n);
    }
    world.until("events", |world| world.observer.events().len() == 10);
    ack(&world.observer);
    let (sim, _) = world.close();
    let mut world = live(sim, "since", &since(), &with_file(&path));
    world.publish(11);
    world.until("the next event", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [11]);
}

#[test]
fn what_is_acknowledged_meanwhile_is_in_the_next_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = live(sim(""), "since", &since(), &with_file(&folder.path().join("cursor.json")));
    let begin = std::time::Instant::now();
    let mut n = 0;
    world.until("a second", |world| {
        n += 1;
        world.publish(n);
        ack(&world.observer);
        begin.elapsed() > std::time::Duration::from_secs(1)
    });
    world.until("every event", |world| numbers(&world.observer).last() == Some(&n));
    ack(&world.observer);
    let position = world.observer.client.stats().machine.direct.unwrap().position;
    world.until("the last save", |world| saved_position(&world.observer) == position);
    let most = begin.elapsed().as_millis() as u64 / 100 + 1;
    let stats = world.observer.client.stats().cursor.unwrap();
    assert!((2..=most).contains(&stats.saves), "{stats:?}, at most {most}");
    assert!(stats.saved_at.is_some() && stats.failures == 0, "{stats:?}");
}

#[test]
fn events_that_are_not_handed_over_move_the_cursor_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut more = with_file(&folder.path().join("cursor.json"));
    more["delivery"] = json!({ "topics": [TOPIC] });
    let mut world = live(sim(""), "since", &since(), &more);
    world.publish(1);
    world.until("an event", |world| world.observer.events().len() == 1);
    ack(&world.observer);
    for _ in 0..20 {
        world.sim.publish(OTHER, Some("{}")).unwrap();
    }
    world.until("the others", |world| world.observer.client.stats().filtered == 20);
    let position = world.observer.client.stats().machine.direct.unwrap().position;
    world.until("a save", |world| saved_position(&world.observer) == position);
    // One that waits to be acknowledged holds up those behind it.
    world.publish(2);
    world.until("an event", |world| world.observer.events().len() == 2);
    world.sim.publish(OTHER, Some("{}")).unwrap();
    world.until("one more", |world| world.observer.client.stats().filtered == 21);
    let mut world = live(world.crash().0, "since", &since(), &more);
    world.publish(3);
    world.until("both", |world| world.observer.events().len() == 2);
    assert_eq!(numbers(&world.observer), [2, 3]);
}

#[test]
fn a_cursor_beside_a_journal_follows_what_was_acknowledged_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let mut more = with_file(&path);
    more["journal"] = json!({ "path": folder.path().join("journal.db") });
    let mut world = live(sim(""), "since", &since(), &more);
    for n in 1..=20 {
        world.publish(n);
    }
    world.until("events", |world| world.observer.events().len() == 20);
    world.observer.client.ack(10);
    let position = |world: &World, n: usize| {
        let text: serde_json::Value = serde_json::from_str(&world.observer.events()[n - 1].text).unwrap();
        text["timestamp"].as_str().map(str::to_owned)
    };
    let tenth = position(&world, 10);
    world.until("a save", |world| saved_position(&world.observer) == tenth);
    let mut world = live(world.crash().0, "since", &since(), &more);
    // The journal brings again what was not acknowledged, and acknowledging that moves the cursor.
    world.publish(21);
    world.until("the rest", |world| world.observer.events().len() == 11);
    assert_eq!(numbers(&world.observer), (11..=21).collect::<Vec<_>>());
    ack(&world.observer);
    let last = position(&world, 11);
    world.until("another save", |world| saved_position(&world.observer) == last);
    // Without the journal the cursor alone goes on.
    let mut world = live(world.close().0, "since", &since(), &with_file(&path));
    world.publish(22);
    world.until("the next", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [22]);
}

fn refusal(more: &serde_json::Value) -> OptionError {
    let mut all = json!({ "endpoint": since(), "credentials": { "kind": "provider" } });
    all["endpoint"]["url"] = "wss://gateway.example.com/".into();
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let options = Options::from_json(&all.to_string()).unwrap();
    Client::with_environment(options, Arc::new(common::CountingBell::default()), Environment::default())
        .unwrap_err()
}

#[test]
fn a_cursor_that_cannot_be_read_is_never_reset() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cursor.json");
    let content = r#"{"checksum":"00000000","cursor":{"version":1,"position":"canary"}}"#;
    std::fs::write(&path, content).unwrap();
    let error = refusal(&with_file(&path));
    assert_eq!(error.path, "cursor.path");
    assert!(error.message.contains("damaged") && !error.message.contains("canary"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    assert_eq!(refusal(&with_file(folder.path())).path, "cursor.path");
}

/// The caller's functions, answered by hand.
#[derive(Default)]
struct Store {
    kept: Mutex<Option<String>>,
    /// Calls to come that fail.
    failures: AtomicU64,
    calls: AtomicU64,
}

impl Store {
    fn answer(&self, observer: &Observer, from: usize) {
        for told in &observer.told[from..] {
            let Told::Control(control) = told else { continue };
            let fails = || {
                self.failures
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
            };
            match control {
                Control::LoadCursor { ticket } => {
                    self.calls.fetch_add(1, Ordering::SeqCst);
                    let kept = self.kept.lock().unwrap().clone();
                    let answer = if fails() { Err("the disk is on fire".into()) } else { Ok(kept) };
                    observer.client.provide_cursor(*ticket, answer);
                }
                Control::SaveCursor { ticket, cursor } => {
                    self.calls.fetch_add(1, Ordering::SeqCst);
                    let answer = if fails() { Err("the disk is on fire".into()) } else { Ok(()) };
                    if answer.is_ok() {
                        *self.kept.lock().unwrap() = Some(cursor.clone());
                    }
                    observer.client.cursor_saved(*ticket, answer);
                }
                _ => {}
            }
        }
    }

    /// Observes and answers until the condition holds.
    fn until(&self, world: &mut World, what: &str, mut holds: impl FnMut(&World) -> bool) {
        let mut answered = world.observer.told.len();
        world.until(what, |world| {
            let told = world.observer.told.len();
            self.answer(&world.observer, answered);
            answered = told;
            holds(world)
        });
    }
}

fn with_functions() -> serde_json::Value {
    json!({ "cursor": { "kind": "functions" } })
}

#[test]
fn functions_that_fail_are_asked_again_and_nothing_is_lost() {
    let store = Store::default();
    store.failures.store(2, Ordering::SeqCst);
    let mut world = on(sim(""), "since", &since(), &with_functions());
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_FAILED") && told.contains("the disk is on fire"), "{told}");
    assert_eq!(store.calls.load(Ordering::SeqCst), 3);

    for n in 1..=20 {
        world.publish(n);
    }
    store.until(&mut world, "events", |world| world.observer.events().len() == 20);
    store.failures.store(3, Ordering::SeqCst);
    ack(&world.observer);
    let last = world.observer.client.stats().machine.direct.unwrap().position;
    store.until(&mut world, "a save", |world| saved_position(&world.observer) == last);
    assert_eq!(world.observer.client.stats().cursor.unwrap().failures, 3);
    let failed = "the cursor was not saved: the disk is on fire";
    assert_eq!(world.observer.errors().iter().filter(|error| error.contains(failed)).count(), 3);

    // One more, saved at the end.
    world.publish(21);
    store.until(&mut world, "one more", |world| world.observer.events().len() == 21);
    ack(&world.observer);
    world.observer.client.close();
    store.until(&mut world, "closed", |world| world.observer.is_closed());
    let (sim, _) = world.crash();
    let mut world = on(sim, "since", &since(), &with_functions());
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    world.publish(22);
    world.until("the next", |world| !world.observer.events().is_empty());
    assert_eq!(numbers(&world.observer), [22]);
    assert!(world.observer.gaps().is_empty());
}

#[test]
fn a_function_that_never_answers_holds_up_no_end() {
    let timeout = json!({ "cursor": { "kind": "functions" }, "network": { "requestTimeoutMs": 300 } });
    let store = Store::default();
    let mut world = on(sim(""), "since", &since(), &timeout);
    // Nobody answers the first call.
    world.until("a second call", |world| {
        let is_call = |control: &&&Control| matches!(control, Control::LoadCursor { .. });
        world.observer.controls().iter().filter(is_call).count() >= 2
    });
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_FAILED") && told.contains("no result within 300 ms"), "{told}");
    assert!(connections(&world).is_empty(), "not before it is known where to begin");
    let asked =
        |control: &&Control| if let Control::LoadCursor { ticket } = control { Some(*ticket) } else { None };
    let ticket = world.observer.controls().iter().rev().find_map(asked).unwrap();
    world.observer.client.provide_cursor(ticket, Ok(None));
    store.until(&mut world, "connected", |world| world.observer.client.state() == ClientState::Connected);
    world.publish(1);
    world.until("an event", |world| !world.observer.events().is_empty());
    ack(&world.observer);
    let begin = std::time::Instant::now();
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    assert!(begin.elapsed() < std::time::Duration::from_secs(8), "{:?}", begin.elapsed());
    assert!(world.observer.client.stats().cursor.unwrap().failures >= 1);
}

#[test]
fn a_loaded_text_that_is_no_cursor_ends_the_client() {
    let store =
        Store { kept: Mutex::new(Some(r#"{"version":9,"position":"canary"}"#.into())), ..Store::default() };
    let mut world = on(sim(""), "since", &since(), &with_functions());
    store.until(&mut world, "failed", |world| world.observer.client.state() == ClientState::Failed);
    let told = serde_json::to_string(&world.observer.controls()).unwrap();
    assert!(told.contains("CURSOR_CORRUPT") && !told.contains("canary"), "{told}");
    assert!(connections(&world).is_empty());
}

#[test]
fn a_journal_goes_on_from_its_last_event() {
    let folder = tempfile::tempdir().unwrap();
    let more = json!({ "journal": { "path": folder.path().join("journal.db") } });
    let mut sim = sim("");
    let (mut next, mut seen) = (1, Vec::new());
    for round in 0..3 {
        let mut world = live(sim, "since", &since(), &more);
        for n in next..next + 50 {
            world.publish(n);
        }
        next += 50;
        world.until("events", |world| numbers(&world.observer).last() == Some(&(next - 1)));
        ack(&world.observer);
        let fresh = world.observer.events();
        seen.extend(fresh.iter().filter(|event| !event.redelivered).map(|event| event.n()));
        assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
        sim = if round % 2 == 0 { world.crash().0 } else { world.close().0 };
        // While nobody listens.
        for n in next..next + 50 {
            sim.publish(TOPIC, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
        }
        next += 50;
    }
    let mut world = live(sim, "since", &since(), &more);
    world.until("the rest", |world| numbers(&world.observer).last() == Some(&(next - 1)));
    let fresh = world.observer.events();
    seen.extend(fresh.iter().filter(|event| !event.redelivered).map(|event| event.n()));
    assert_eq!(seen, (1..next).collect::<Vec<_>>());
    assert!(
        world
            .observer
            .events()
            .iter()
            .all(|event| event.topic == TOPIC && event.channel.ends_with("endpoint"))
    );
}

#[test]
fn without_resume_a_journal_tells_what_the_time_between_two_processes_cost() {
    let mut sim = sim("");
    for topics in [&[][..], &[TOPIC]] {
        let folder = tempfile::tempdir().unwrap();
        let more = json!({ "journal": { "path": folder.path().join("journal.db") }, "topics": topics });
        let mut world = live(sim, "query", &json!({}), &more);
        world.publish(1);
        world.until("an event", |world| !world.observer.events().is_empty());
        ack(&world.observer);
        let world = live(world.crash().0, "query", &json!({}), &more);
        let gaps = world.observer.gaps();
        let down: Vec<_> = gaps.iter().filter(|gap| gap.reason == Reason::ProcessDown).collect();
        assert!(!down.is_empty(), "{topics:?}: {gaps:?}");
        assert!(down.iter().all(|gap| gap.to.is_some()), "{down:?}");
        let names = if topics.is_empty() { vec!["*"] } else { topics.to_vec() };
        assert_eq!(down.last().unwrap().topics, names);
        sim = world.close().0;
    }
}

#[test]
fn an_endpoint_behind_tls_is_verified_as_hosts_are() {
    let sim = sim(r#"{"tls":true}"#);
    let authority = sim.certificate().unwrap().to_owned();
    let network = json!({ "connectTimeoutMs": 3_000, "requestTimeoutMs": 5_000, "ca": authority });
    let more = json!({ "network": network });
    let mut world = live(sim, "header", &json!({ "auth": "header" }), &more);
    world.publish(1);
    world.until("an event", |world| !world.observer.events().is_empty());
    let (sim, _) = world.crash();
    let mut world = on(sim, "open", &json!({ "auth": "none" }), &json!({ "credentials": null }));
    world.until("a refusal", |world| {
        serde_json::to_string(&world.observer.controls()).unwrap().contains("TLS_ERROR")
    });
}

// P8.1
#[test]
fn no_secret_of_an_endpoint_is_in_anything_the_client_tells() {
    const URL: &str = "canary-1n-url";
    const FIRST: &str = "canary-1n-first";
    const ASK: &str = "canary-1n-ask";
    const TOKEN: &str = "canary-1n-token";
    let round = AtomicU64::new(0);
    let gateway = Gateway::start(
        move |request| {
            if round.fetch_add(1, Ordering::SeqCst) > 0 {
                return None;
            }
            let echo = format!("no {} for {TOKEN}, {FIRST} or {ASK}", request.uri());
            let refusal =
                tokio_tungstenite::tungstenite::http::Response::builder().status(503).body(Some(echo));
            Some(refusal.unwrap())
        },
        |mut socket| {
            let mut heard = String::new();
            listen(&mut socket, |socket, text| {
                heard.push_str(text);
                if !text.contains(ASK) {
                    let _ = socket.send(Message::text(r#"{"event":"connected"}"#));
                    return;
                }
                let echo =
                    json!({ "status": 400, "error": format!("bad {heard} at {URL}"), "message": heard });
                let _ = socket.send(Message::text(echo.to_string()));
                let reason = format!("{TOKEN} {ASK} {URL}").into();
                let _ = socket.close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
                    code: 1008.into(),
                    reason,
                }));
            });
        },
    );
    let endpoint = json!({
        "url": format!("/hooks/{URL}?key={URL}&t={{token}}"), "auth": "firstMessage",
        "firstMessage": format!(r#"{{"access_token":"{{token}}","key":"{FIRST}"}}"#),
        "ready": { "pointer": "/event", "equals": "connected" },
        "subscribe": { "message": format!(r#"{{"ask":"{{topic}}","key":"{ASK}"}}"#) },
    });
    let more = json!({ "credentials": { "kind": "provider" }, "topics": ["t"] });
    let mut observer = odd(&gateway, &endpoint, &more);
    let mut answered = 0;
    observer.until("three connections", |observer| {
        let told = observer.told.len();
        for told in &observer.told[answered..] {
            if let Told::Control(Control::TokenRequest { ticket, .. }) = told {
                let token = genesys_notifications_client::ProvidedToken {
                    access_token: TOKEN.to_owned(),
                    expires_in_ms: None,
                };
                observer.client.provide_token(*ticket, Ok(token));
            }
        }
        answered = told;
        gateway.asked.lock().unwrap().len() >= 3
    });
    assert!(gateway.asked.lock().unwrap().iter().all(|asked| asked.contains(TOKEN) && asked.contains(URL)));
    let mut shown = format!("{:?} {:?}", observer.client, observer.client.gaps());
    for control in observer.controls() {
        shown.push_str(&format!("{control:?}{}", serde_json::to_string(control).unwrap()));
    }
    shown.push_str(&serde_json::to_string(&observer.client.stats()).unwrap());
    assert!(shown.contains("[redacted]") && !shown.contains("canary"), "{shown}");
}

#[test]
fn a_stream_whose_position_is_gone_begins_anew_with_a_gap() {
    let sim = sim(r#"{"gateway":{"retentionMs":300}}"#);
    let mut world = live(sim, "since", &since(), &json!({}));
    world.publish(1);
    world.until("an event", |world| !world.observer.events().is_empty());
    world.fault(r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":503},"times":12}"#);
    world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
    world.until("a refused position", |world| {
        connections(world).iter().any(|connection| connection.status == 400)
    });
    world.until_connected();
    world.until("the gap", |world| {
        world.observer.gaps().iter().any(|gap| gap.reason == Reason::PositionRefused && gap.to.is_some())
    });
    let refused = connections(&world).iter().filter(|connection| connection.status == 400).count();
    assert_eq!(refused, 1);
    let is_error = |control: &&&Control| matches!(control, Control::Notice(Notice::Error(_)));
    let errors = world.observer.controls();
    let errors: Vec<_> = errors.iter().filter(is_error).collect();
    assert!(format!("{errors:?}").contains("PositionRefused"), "{errors:?}");
}

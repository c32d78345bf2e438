//! How connections are made, kept and replaced, and what they bring.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use genesys_notifications_client::{ClientState, Control, Notice, Reason, TopicChange};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::gateway::{Gateway, event, listen};
use crate::common::{OTHER, TOPIC};
use crate::stage::{connections, first_message, live, numbers, odd, on, sim, since};

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

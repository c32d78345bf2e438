//! From the socket into the caller's hands: nothing lost, nothing twice, drops counted.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::{Told, World};
use genesys_notifications_client::{ClientState, Control, Notice, Reason};

// P3, P5.1
#[test]
fn twenty_rotations_at_500_events_a_second_lose_nothing_and_repeat_nothing() {
    let sim = r#"{"heartbeatMs":200,"rateLimit":1000000,"correlationPerDelivery":true}"#;
    let mut world = World::live(sim, "");
    let begin = Instant::now();
    let mut published = 0_u64;
    for rotation in 1..=20 {
        let request = world.observer.client.rotate();
        let at_least = published + 60;
        world.until("the rotation", |world| {
            while Duration::from_millis(published * 2) < begin.elapsed() {
                published += 1;
                world.publish(published);
            }
            let settled =
                |c: &&Control| matches!(c, Control::Notice(Notice::Settled(number)) if number.0 == request);
            world.observer.controls().iter().any(settled)
                && world.observer.client.stats().machine.rotations >= rotation
                && published >= at_least
        });
    }
    world.until("every event", |world| world.observer.events().len() as u64 >= published);
    world.until("the old sockets' end", |world| {
        world.sim.log().sockets.iter().filter(|socket| socket.ended.is_none()).count() == 1
    });
    let seen: Vec<u64> = world.observer.events().iter().map(|event| event.n()).collect();
    let unique: HashSet<u64> = seen.iter().copied().collect();
    assert_eq!(seen.len() as u64, published, "repeats");
    assert_eq!(unique.len() as u64, published, "losses");
    let stats = world.observer.client.stats();
    assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
    assert_eq!(stats.machine.rotations, 20);
    eprintln!("{published} events, 20 rotations, {:?}, {} copies", begin.elapsed(), stats.machine.duplicates);
    assert!(published >= 1_200);
}

// P5.2
#[test]
fn real_repeats_are_delivered() {
    let mut world = World::live("", "");
    for _ in 0..10 {
        world.publish(7);
    }
    world.until("ten", |world| world.observer.events().len() == 10);
}

// P4.1, P1.6
#[test]
fn pausing_loses_nothing_and_survives_a_long_stall_of_the_consumer() {
    let mut world = World::live("", r#"{"queue":{"maxEvents":100}}"#);
    world.observer.is_busy = true;
    for n in 1..=20_000 {
        world.publish(n);
    }
    world.until("a full queue", |world| world.observer.client.stats().queue.paused);
    // Longer than the silence after which an unread socket would be dropped.
    let begin = Instant::now();
    world.until("patience", |_| begin.elapsed() > Duration::from_millis(2_500));
    let stats = world.observer.client.stats();
    assert!(stats.queue.events <= 101, "{stats:?}");
    world.observer.is_busy = false;
    world.until("every event", |world| world.observer.events().len() == 20_000);
    assert!(world.observer.events().iter().zip(1..).all(|(event, n)| event.n() == n && event.sequence == n));
    assert_eq!(world.sim.log().sockets.len(), 1);
    assert_eq!(world.observer.client.state(), ClientState::Connected);
    assert!(world.observer.gaps().is_empty(), "{:?}", world.observer.gaps());
    assert_eq!(world.observer.client.stats().dropped, 0);
}

// P4.1, P2.7
#[test]
fn drops_are_counted_exactly_and_told_before_what_follows_them() {
    for policy in ["dropOldest", "dropNewest"] {
        let mut world = World::live("", &format!(r#"{{"queue":{{"maxEvents":100,"onFull":"{policy}"}}}}"#));
        world.observer.is_busy = true;
        for n in 1..=1_000 {
            world.publish(n);
        }
        world.until("all received", |world| world.observer.client.stats().received == 1_000);
        world.observer.is_busy = false;
        world.until("what is left", |world| world.observer.events().len() == 100);
        let stats = world.observer.client.stats();
        assert_eq!((stats.received, stats.delivered, stats.dropped), (1_000, 100, 900), "{policy}");
        let first = world.observer.events()[0].n();
        assert_eq!(first, if policy == "dropOldest" { 901 } else { 1 });
        let is_gap = |told: &Told| matches!(told, Told::Control(Control::Notice(Notice::Gap(gap))) if gap.reason == Reason::QueueFull);
        let gap = world.observer.told.iter().position(is_gap).unwrap();
        let event = world.observer.told.iter().position(|told| matches!(told, Told::Event(_))).unwrap();
        assert!(gap < event, "{policy}");
    }
}

#[test]
fn under_load_the_bell_rings_far_less_often_than_events_arrive() {
    for (max_wait_ms, at_most) in [(0, 5_000), (50, 100)] {
        let mut world = World::live("", &format!(r#"{{"delivery":{{"maxWaitMs":{max_wait_ms}}}}}"#));
        let before = world.observer.rings();
        let begin = Instant::now();
        for n in 1..=5_000 {
            world.publish(n);
        }
        world.until("all", |world| world.observer.events().len() == 5_000);
        let rings = world.observer.rings() - before;
        eprintln!("maxWaitMs {max_wait_ms}: {rings} rings for 5000 events in {:?}", begin.elapsed());
        assert!(rings < at_most, "{rings}");
    }
}

#[test]
fn texts_of_every_script_arrive_as_they_were_sent() {
    let mut world = World::live("", "");
    let texts = ["Grüße", "日本語", "Ελληνικά", "😀👩‍👩‍👧", "ÿĀ", "\u{2028}", "plain"];
    for (n, text) in (1..).zip(texts) {
        let body = serde_json::json!({ "n": n, "text": text }).to_string();
        world.sim.publish(common::TOPIC, Some(&body)).unwrap();
    }
    world.until("all", |world| world.observer.events().len() == texts.len());
    for (event, text) in world.observer.events().iter().zip(texts) {
        let body: serde_json::Value = serde_json::from_str(event.body.as_deref().unwrap()).unwrap();
        assert_eq!(body["text"], *text);
        assert!(event.text.chars().all(|c| u32::from(c) < 256));
    }
}

#[test]
fn fragments_and_unknown_fields_are_no_trouble() {
    let mut world = World::live("", "");
    for action in [
        r#"{"kind":"fragment","bytes":1}"#,
        r#"{"kind":"unknownFields"}"#,
        r#"{"kind":"missingVersion"}"#,
        r#"{"kind":"missingMetadata"}"#,
        r#"{"kind":"bigBody","bytes":3000000}"#,
    ] {
        world.fault(&format!(r#"{{"match":{{"operation":"event"}},"action":{action}}}"#));
        let n = world.observer.events().len() as u64;
        world.publish(n);
        world.until(action, |world| world.observer.events().iter().any(|event| event.n() == n));
    }
    assert_eq!(world.sim.log().sockets.len(), 1);
}

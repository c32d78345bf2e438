//! What need not be handed over is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{OTHER, TOPIC, World};
use genesys_notifications_client::{Batch, Control, Notice, Replay, ReplayBound, TopicChange, TopicOptions};

// P10.1
#[test]
fn events_that_match_no_pattern_are_counted_also_across_a_rotation_and_are_no_gap() {
    let more = format!(r#"{{"topics":["{TOPIC}","{OTHER}"],"delivery":{{"topics":["{OTHER}"]}}}}"#);
    let mut world = World::live("", &more);
    let publish = |world: &World, numbers: std::ops::Range<u64>| {
        for n in numbers {
            world.publish(n);
            world.sim.publish(OTHER, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
        }
    };
    publish(&world, 0..50);
    world.observer.client.rotate();
    publish(&world, 50..100);
    world.until("the rotation", |world| world.observer.client.stats().machine.rotations == 1);
    publish(&world, 100..150);
    world.until("every event", |world| {
        world.observer.events().len() == 150 && world.observer.client.stats().filtered == 150
    });
    assert!(world.observer.events().iter().all(|event| event.topic == OTHER));
    assert_eq!(world.observer.client.stats().received, 150);
    assert!(world.observer.gaps().is_empty());
}

fn options(json: &str) -> TopicOptions {
    TopicOptions::from_json(json).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The bodies of a topic's events, in order.
fn bodies(world: &World, topic: &str) -> Vec<String> {
    let events = world.observer.events().into_iter().filter(|event| event.topic == topic);
    events.map(|event| event.body.clone().unwrap()).collect()
}

// P10.2, P10.3
#[test]
fn a_body_is_cut_as_the_last_call_says_and_no_longer_once_its_topic_went() {
    let mut world = World::new("", "");
    let select = options(r#"{"select":["n","o.p"]}"#);
    let client = &world.observer.client;
    client.request_topics_with(TopicChange::Add, &names(&[TOPIC]), Some(&select)).unwrap();
    client.connect().unwrap();
    world.until_connected();
    let publish = |world: &World, n: u64| {
        for topic in [TOPIC, OTHER] {
            world
                .sim
                .publish(topic, Some(&format!(r#"{{"x":[1,2],"n":{n},"o":{{"q":1,"p":"ü"}}}}"#)))
                .unwrap();
        }
    };
    let change = |world: &mut World, change, topics: &[&str], options: Option<&TopicOptions>| {
        let request = world.observer.client.request_topics_with(change, &names(topics), options).unwrap();
        world.until("settled", |world| {
            let settled = |c: &&Control| matches!(c, Control::Notice(Notice::Settled(n)) if n.0 == request);
            world.observer.controls().iter().any(settled)
        });
    };
    let until = |world: &mut World, events: usize| {
        world.until("events", |world| bodies(world, TOPIC).len() == events);
    };
    publish(&world, 1);
    until(&mut world, 1);
    // Without options topics keep theirs.
    change(&mut world, TopicChange::Add, &[TOPIC, OTHER], None);
    publish(&world, 2);
    until(&mut world, 2);
    change(&mut world, TopicChange::Add, &[TOPIC], Some(&options(r#"{"select":["o"]}"#)));
    publish(&world, 3);
    until(&mut world, 3);
    change(&mut world, TopicChange::Replace, &[OTHER], None);
    change(&mut world, TopicChange::Replace, &[TOPIC, OTHER], None);
    publish(&world, 4);
    until(&mut world, 4);
    assert_eq!(
        bodies(&world, TOPIC),
        [
            r#"{"n":1,"o":{"p":"ü"}}"#,
            r#"{"n":2,"o":{"p":"ü"}}"#,
            r#"{"o":{"q":1,"p":"ü"}}"#,
            r#"{"x":[1,2],"n":4,"o":{"q":1,"p":"ü"}}"#,
        ]
    );
    let first = world.observer.events()[0].clone();
    assert!(first.text.contains(r#""eventBody":{"n":1,"o":{"p":"ü"}}"#), "{}", first.text);
    world.until("the other's", |world| bodies(world, OTHER).len() == 3);
    assert!(bodies(&world, OTHER).iter().all(|body| body.starts_with(r#"{"x":[1,2]"#)));
}

// P10.4, P2.3
#[test]
fn what_waits_is_delivered_when_its_time_comes_and_a_change_or_the_end_do_not_wait() {
    let mut world = World::live("", &format!(r#"{{"topics":["{TOPIC}","{OTHER}"]}}"#));
    let conflate = |world: &World, rate: &str| {
        let options = options(&format!(r#"{{"select":["n"],"conflate":{{"maxPerSecond":{rate}}}}}"#));
        world
            .observer
            .client
            .request_topics_with(TopicChange::Add, &names(&[TOPIC]), Some(&options))
            .unwrap();
    };
    let seen = |world: &World| -> Vec<u64> {
        let events = world.observer.events().into_iter().filter(|event| event.topic == TOPIC);
        events.map(|event| event.n()).collect()
    };
    let received = |world: &World| world.observer.client.stats().received;
    conflate(&world, "0.5");
    for n in 1..=50 {
        world.publish(n);
    }
    world.until("the first", |world| seen(world) == [1]);
    world.until("all are received", |world| received(world) == 50);
    let stats = world.observer.client.stats();
    assert_eq!((stats.conflated, stats.queue.events, stats.dropped), (48, 1, 0));
    world.until("the latest", |world| seen(world) == [1, 50]);
    let [first, latest] = [0, 1].map(|i| world.observer.events()[i].clone());
    assert_eq!((first.sequence, latest.sequence, latest.body.as_deref()), (1, 2, Some(r#"{"n":50}"#)));

    // A change of the pace, and unsubscribing, hand over what waits.
    for (n, rate) in [(51, Some("0.01")), (52, None)] {
        world.publish(n);
        world.until("it is received", |world| received(world) == n);
        match rate {
            Some(rate) => conflate(&world, rate),
            None => {
                world.observer.client.request_topics(TopicChange::Remove, &names(&[TOPIC])).unwrap();
            }
        }
        world.until("it comes", |world| seen(world).last() == Some(&n));
    }

    // The end does, too.
    conflate(&world, "0.01");
    world.until("subscribed", |world| world.observer.is_subscribed(TOPIC));
    for n in [53, 54] {
        world.publish(n);
        world.until("it is received", |world| received(world) == n);
    }
    assert_eq!(world.observer.client.stats().queue.events, 1);
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    world.until("the last", |world| seen(world).last() == Some(&54));
    let stats = world.observer.client.stats();
    assert_eq!((stats.conflated, stats.queue.events, stats.delivered), (48, 0, 6));
    assert!(world.observer.gaps().is_empty());
}

// P10.3, P4.5
#[test]
fn a_journal_keeps_whole_events_and_refuses_to_conflate() {
    let folder = tempfile::tempdir().unwrap();
    let path = serde_json::json!(folder.path().join("events.db"));
    let journal = format!(r#"{{"journal":{{"path":{path}}}}}"#);
    let mut world = World::new("", &journal);
    let select = options(r#"{"select":["n"]}"#);
    let add = |world: &World, options: &TopicOptions| {
        world.observer.client.request_topics_with(TopicChange::Add, &names(&[TOPIC]), Some(options))
    };
    let error = add(&world, &options(r#"{"conflate":{"maxPerSecond":1}}"#)).unwrap_err();
    assert_eq!(error.path, "conflate");
    add(&world, &select).unwrap();
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.sim.publish(TOPIC, Some(r#"{"n":1,"x":2}"#)).unwrap();
    world.until("an event", |world| bodies(world, TOPIC) == [r#"{"n":1}"#]);
    let (sim, _) = world.close();

    // Nothing was acknowledged. Options that are given before anybody asks for events hold for what comes again.
    let mut world = World::on(sim, &journal);
    add(&world, &select).unwrap();
    world.until("the event again", |world| bodies(world, TOPIC) == [r#"{"n":1}"#]);
    assert!(world.observer.events()[0].redelivered);
    let mut replay = Replay::open(&folder.path().join("events.db"), ReplayBound::Sequence(0), None).unwrap();
    let mut batch = Batch::default();
    replay.page(&mut batch, 10, 1 << 16).unwrap();
    let text = String::from_utf8_lossy(&batch.text).into_owned();
    assert!(text.contains(r#""eventBody":{"n":1,"x":2}"#), "{text}");
}

//! Many channels of one client: still one thread and one bell.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use common::World;

/// The last of them needs a channel of its own.
const TOPICS: usize = 19_001;

// P9.3
#[test]
fn twenty_channels_have_one_thread_and_one_bell() {
    let topic = |n: usize| format!("v2.users.00000000-0000-4000-8000-{n:012}.presence");
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    let options = serde_json::json!({ "topics": topics, "heartbeat": { "silenceMs": 35_000 } }).to_string();
    let mut world = World::new(r#"{"heartbeatMs":10000,"rateLimit":1000000}"#, &options);
    world.observer.client.connect().unwrap();
    world.until("twenty channels", |world| {
        let channels = world.observer.client.stats().machine.channels;
        channels.len() == 20 && channels.iter().all(|channel| channel.live)
    });
    world.until_connected();
    assert_eq!(threads(), 1);

    // One ring is outstanding, whichever channel it was for, until somebody comes.
    world.observer.is_busy = true;
    let before = world.observer.rings();
    for topic in topics.iter().step_by(1_000) {
        world.sim.publish(topic, Some(r#"{"n":1}"#)).unwrap();
    }
    world.until("an event of each channel", |world| world.observer.client.stats().received == 20);
    assert_eq!(world.observer.rings() - before, 1);
    world.observer.is_busy = false;
    world.until("all of them", |world| world.observer.events().len() == 20);
    let mut channels: Vec<String> =
        world.observer.events().iter().map(|event| event.channel.clone()).collect();
    channels.sort();
    channels.dedup();
    assert_eq!(channels.len(), 20);
    assert_eq!(threads(), 1);
}

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("genesys-notify")).count()
}

//! The promises under a random sequence of faults: what was lost lies inside a reported gap, and nothing came twice.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{TOPIC, World};
use genesys_notifications_client::{Random, SplitMix};

const FAULTS: &[&str] = &[
    r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"close","code":1001}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"close"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"halfOpen"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"stall"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"socketClosing","graceMs":300}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"garbage"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"oversize","bytes":5242880}}"#,
    r#"{"match":{"operation":"channel"},"action":{"kind":"evict"}}"#,
    r#"{"match":{"operation":"channel"},"action":{"kind":"expire"}}"#,
    r#"{"match":{"operation":"channel"},"action":{"kind":"revoke"}}"#,
    r#"{"match":{"operation":"createChannel"},"action":{"kind":"status","status":503},"times":2}"#,
    r#"{"match":{"operation":"createChannel"},"action":{"kind":"delay","ms":200},"times":2}"#,
    r#"{"match":{"operation":"putSubscriptions"},"action":{"kind":"status","status":500},"times":1}"#,
    r#"{"match":{"operation":"putSubscriptions"},"action":{"kind":"reset","phase":"response"},"times":1}"#,
    r#"{"match":{"operation":"upgrade"},"action":{"kind":"status","status":404},"times":1}"#,
    r#"{"match":{"operation":"upgrade"},"action":{"kind":"delay","ms":300},"times":1}"#,
    r#"{"match":{"operation":"token"},"action":{"kind":"status","status":503},"times":1}"#,
    r#"{"match":{"operation":"event","probability":0.02},"action":{"kind":"binary"},"times":3}"#,
    r#"{"match":{"operation":"event","probability":0.05},"action":{"kind":"reorder","ms":50},"times":3}"#,
    r#"{"match":{"operation":"pong"},"action":{"kind":"drop"},"times":2}"#,
];

/// An event may be lost while the last frame that arrived was still on its way, so a gap may seem to begin this much late
/// by the service's clock. On a busy machine a frame takes a few milliseconds from one thread to the other.
const TRANSIT_MS: u64 = 20;

// P2, P3, P5.1
#[test]
fn what_was_lost_lies_inside_a_gap_and_nothing_came_twice() {
    let seed = setting("PROMISES_SEED", 1);
    let seconds = setting("PROMISES_SECONDS", 8);
    let sim = r#"{"heartbeatMs":200,"tokenLifeMs":5000,"channelLifeMs":4000,"rateLimit":100000,"channelsPerClient":100}"#;
    let mut world = World::live(sim, "");
    let mut random = SplitMix::new(seed);
    let begin = Instant::now();
    let (mut published, mut next_fault) = (0_u64, Duration::ZERO);
    while begin.elapsed() < Duration::from_secs(seconds) {
        while Duration::from_millis(published * 2) < begin.elapsed() {
            published += 1;
            world.publish(published);
        }
        if begin.elapsed() >= next_fault {
            next_fault = begin.elapsed() + Duration::from_millis(random.between(50, 700));
            world.fault(FAULTS[random.up_to(FAULTS.len() as u64 - 1) as usize]);
        }
        world.observer.observe();
        world.observer.wait(Duration::from_millis(2));
    }
    // What is left of the faults does its work; unreadable frames are reported within a second.
    world.until_events_flow();
    world.until_connected();
    let end = Instant::now();
    world.until("the end of every gap", |world| {
        end.elapsed() > Duration::from_millis(1_500)
            && world.observer.gaps().iter().all(|gap| gap.to.is_some())
    });

    let mut times: HashMap<u64, u32> = HashMap::new();
    for event in world.observer.events() {
        *times.entry(event.n()).or_default() += 1;
    }
    let log = world.sim.log();
    let gaps = world.observer.gaps();
    let (mut lost, mut most_off, mut silent) = (0, 0, Vec::new());
    for (event, n) in log.events.iter().filter(|event| event.topic == TOPIC).zip(1..=published) {
        if times.contains_key(&n) {
            continue;
        }
        lost += 1;
        let off = gaps.iter().map(|gap| {
            let before = gap.from.saturating_sub(event.at);
            before.max(event.at.saturating_sub(gap.to.unwrap()))
        });
        let off = off.min().unwrap_or(u64::MAX);
        most_off = most_off.max(off);
        if off > TRANSIT_MS {
            silent.push((n, event.at, off, event.deliveries.clone()));
        }
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    eprintln!(
        "seed {seed}: {published} published, {lost} lost inside {} gaps, at most {most_off} ms off, {} faults",
        gaps.len(),
        log.faults.len()
    );
    assert!(
        silent.is_empty() && twice.is_empty(),
        "seed {seed}: {} lost silently: {silent:#?}\ntwice: {twice:?}\ngaps {gaps:#?}\nfaults {:#?}\nsockets {:#?}",
        silent.len(),
        log.faults,
        log.sockets,
    );
}

/// Longer runs and other seeds are asked for in the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

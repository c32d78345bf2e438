//! Two live channels: the loss of one costs nothing, the loss of both is told exactly.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::truth::{judge, setting};
use common::{TOPIC, World};
use genesys_notifications_client::{Random, Reason, SplitMix};

const SIM: &str = r#"{"heartbeatMs":200,"rateLimit":1000000,"channelsPerClient":1000}"#;

fn standing_by(more: &str) -> World {
    let mut world = World::live(SIM, &format!(r#"{{"continuity":"standby"{more}}}"#));
    world.until("a live standby", |world| world.observer.client.stats().machine.standby_live == 1);
    world
}

/// Channels with an open socket.
fn open(world: &World) -> Vec<String> {
    let log = world.sim.log();
    log.sockets.iter().filter(|socket| socket.ended.is_none()).map(|socket| socket.channel.clone()).collect()
}

fn kill(world: &World, channel: &str, how: &str) {
    world.fault(&format!(r#"{{"match":{{"operation":"socket","channelId":"{channel}"}},"action":{how}}}"#));
}

const DEATHS: &[&str] = &[
    r#"{"kind":"reset"}"#,
    r#"{"kind":"close","code":1001}"#,
    r#"{"kind":"halfOpen"}"#,
    r#"{"kind":"close"}"#,
];

// P3, P5
#[test]
fn either_socket_may_die_again_and_again() {
    let seed = setting("PROMISES_SEED", 1);
    let seconds = setting("STANDBY_SECONDS", 10);
    let mut random = SplitMix::new(seed);
    let mut world = standing_by("");
    let begin = Instant::now();
    let (mut published, mut kills) = (0_u64, 0);
    let mut next = Duration::from_millis(300);
    world.until("kills", |world| {
        while Duration::from_millis(published * 2) < begin.elapsed() {
            published += 1;
            world.publish(published);
        }
        // Never both within the time it takes to build the pair again.
        let is_whole = begin.elapsed() >= next && world.observer.client.stats().machine.standby_live == 1;
        // The client may not have noticed the last one yet.
        let channels = if is_whole { open(world) } else { Vec::new() };
        if channels.len() >= 2 {
            let channel = &channels[random.up_to(channels.len() as u64 - 1) as usize];
            kill(world, channel, DEATHS[random.up_to(DEATHS.len() as u64 - 1) as usize]);
            kills += 1;
            next = begin.elapsed() + Duration::from_millis(300);
        }
        begin.elapsed() > Duration::from_secs(seconds)
    });
    world.until("the pair", |world| world.observer.client.stats().machine.standby_live == 1);
    world.until("every event", |world| world.observer.events().len() as u64 >= published);
    let verdict = judge(&world, published);
    let stats = world.observer.client.stats().machine;
    eprintln!(
        "seed {seed}: {kills} kills; {verdict}; skew {:?}, single-sided {}",
        stats.skew, stats.single_sided
    );
    assert!(kills >= seconds / 2, "only {kills} kills");
    assert!(verdict.is_perfect(), "seed {seed}: {verdict:#?}\n{:#?}", world.sim.log().sockets);
}

// P2
#[test]
fn the_loss_of_both_is_a_gap_from_the_last_proof_to_the_first() {
    let mut world = standing_by("");
    let begin = Instant::now();
    let mut published = 0_u64;
    let mut killed_at = None;
    world.until("the gap's end", |world| {
        while Duration::from_millis(published * 2) < begin.elapsed() {
            published += 1;
            world.publish(published);
        }
        if killed_at.is_none() && begin.elapsed() > Duration::from_millis(500) {
            // Else both may be open again before the next event.
            world.fault(r#"{"match":{"operation":"upgrade"},"action":{"kind":"delay","ms":30},"times":2}"#);
            killed_at = Some(world.sim.log().now);
            world.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
        }
        world.observer.gaps().iter().any(|gap| gap.to.is_some())
            && world.observer.client.stats().machine.standby_live == 1
    });
    world.until_events_flow();
    let verdict = judge(&world, published);
    eprintln!("{verdict}");
    assert!(verdict.is_kept(), "{verdict:#?}");
    assert_eq!(verdict.gaps.len(), 1, "{verdict:#?}");
    let gap = &verdict.gaps[0];
    assert_eq!(gap.topics, [TOPIC]);
    assert!(matches!(gap.reason, Reason::ConnectionLost | Reason::SocketClosed), "{gap:?}");
    let killed_at = killed_at.unwrap();
    // Events came every 2 ms: the last proof of life is hardly older than the end.
    assert!(gap.from <= killed_at + 20 && gap.from + 100 > killed_at, "{gap:?}, killed at {killed_at}");
    assert!(verdict.lost > 0 && verdict.gap_ms <= verdict.outage_ms * 3 / 2 + 50, "{verdict}");
}

// P3.1
#[test]
fn both_rotate_and_never_together() {
    let sim = r#"{"heartbeatMs":200,"rateLimit":1000000,"channelsPerClient":1000,"channelLifeMs":3000}"#;
    let mut world = World::live(sim, r#"{"continuity":"standby"}"#);
    world.until("a live standby", |world| world.observer.client.stats().machine.standby_live == 1);
    let begin = Instant::now();
    let mut published = 0_u64;
    world.until("rotations", |world| {
        while Duration::from_millis(published * 2) < begin.elapsed() {
            published += 1;
            world.publish(published);
        }
        world.observer.client.stats().machine.rotations >= 6
    });
    world.until("every event", |world| world.observer.events().len() as u64 >= published);
    let verdict = judge(&world, published);
    assert!(verdict.is_perfect(), "{verdict:#?}");
}

// P4, P5
#[test]
fn after_a_crash_a_copy_of_what_is_in_the_journal_is_not_delivered_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events.db");
    let options = format!(r#"{{"continuity":"standby","journal":{{"path":"{}"}}}}"#, path.display());
    let mut world = World::live(SIM, &options);
    world.until("a live standby", |world| world.observer.client.stats().machine.standby_live == 1);
    for n in 1..=200 {
        world.publish(n);
    }
    world.until("200 events", |world| world.observer.events().len() == 200);
    let (sim, _) = world.crash();
    let mut world = World::on(sim, &options);
    world.observer.client.connect().unwrap();
    world.until_connected();
    world.until("a live standby", |world| world.observer.client.stats().machine.standby_live == 1);
    for n in 201..=400 {
        world.publish(n);
    }
    world.until("400 events", |world| world.observer.events().len() >= 400);
    let numbers: Vec<u64> = world.observer.events().iter().map(|event| event.n()).collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    assert!(world.observer.events().iter().all(|event| event.redelivered == (event.n() <= 200)));
}

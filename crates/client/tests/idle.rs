//! A connected client to which nothing happens: what wakes its threads.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::World;

/// The service speaks so often, and the clocks are compared every five seconds.
const HEARTBEAT_MS: u64 = 6_000;

/// Far below what any task that looks every so often would need: at 50 us each, 0.02 % of a core.
const WAKES_A_SECOND: f64 = 4.0;

#[test]
fn an_idle_client_is_woken_by_nothing_but_the_service_and_its_own_long_timers() {
    let sim = format!(r#"{{"heartbeatMs":{HEARTBEAT_MS}}}"#);
    let folder = tempfile::tempdir().unwrap();
    let heartbeat = r#""heartbeat":{"pingAfterMs":20000,"pongTimeoutMs":5000,"silenceMs":35000}"#;
    let journal = format!(r#""journal":{{"path":"{}"}}"#, folder.path().join("events.db").display());
    let mut plain = World::live(&sim, &format!("{{{heartbeat}}}"));
    let mut kept = World::live(&sim, &format!("{{{heartbeat},{journal}}}"));
    // What follows a beginning has followed by then.
    until_it_beats(&mut plain);
    let (before, begin) = (wakes(), Instant::now());
    until_it_beats(&mut plain);
    kept.observer.observe();
    let (woken, seconds) = (wakes() - before, begin.elapsed().as_secs_f64());
    assert!(seconds > 0.9 * HEARTBEAT_MS as f64 / 1_000.0, "{seconds} s between two heartbeats");
    eprintln!("{woken} wakes in {seconds:.1} s");
    assert!((woken as f64) < WAKES_A_SECOND * seconds, "{woken} wakes in {seconds} s");
    assert!(woken > 0, "the threads are found");
}

/// Returns right after a frame that followed a silence: a heartbeat.
fn until_it_beats(world: &mut World) {
    let age = |world: &World| world.observer.client.stats().machine.last_frame_age_ms.unwrap();
    let mut last = age(world);
    let begin = Instant::now();
    loop {
        let now = age(world);
        if now + 1_000 < last {
            return;
        }
        last = now;
        assert!(begin.elapsed() < common::PATIENCE, "no heartbeat");
        world.observer.observe();
        world.observer.wait(Duration::from_millis(20));
    }
}

/// How often the threads of clients and journals went to sleep so far.
fn wakes() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let read = |file| std::fs::read_to_string(file).unwrap_or_default();
    let theirs = tasks.filter(|task| {
        let name = read(task.path().join("comm"));
        name.starts_with("genesys-notify") || name.starts_with("journal")
    });
    let voluntary = theirs.map(|task| {
        let status = read(task.path().join("status"));
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0, |count| count.trim().parse().unwrap())
    });
    voluntary.sum()
}

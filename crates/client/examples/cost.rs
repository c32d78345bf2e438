//! What an event costs each thread, with and without a journal in the given directory (default: the one for temporary
//! files): `cargo run --release -p genesys-notifications-client --example cost [directory]`. Linux only.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use common::World;
use common::truth::setting;

/// Processor time of each thread of this process, by name, in milliseconds.
fn threads() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        // Nanoseconds on a processor, nanoseconds waiting for one, slices.
        let Ok(times) = std::fs::read_to_string(path.join("schedstat")) else { continue };
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        let on: u64 = times.split(' ').next().unwrap().parse().unwrap();
        *all.entry(name).or_default() += on / 1_000;
    }
    all
}

fn measure(label: &str, options: &str, bytes: usize) {
    let total = setting("COST_EVENTS", 100_000);
    let mut world = World::live(r#"{"heartbeatMs":10000,"rateLimit":1000000}"#, options);
    let filling = "x".repeat(bytes.saturating_sub(200));
    let (before, begin) = (threads(), Instant::now());
    let mut published = 0;
    world.until("all events", |world| {
        let seen = world.observer.client.stats().received;
        // A window, so that neither side's queue is what is measured.
        while published < total && published < seen + 2_000 {
            published += 1;
            let body = format!(r#"{{"n":{published},"x":"{filling}"}}"#);
            world.sim.publish(common::TOPIC, Some(&body)).unwrap();
        }
        if let Some(event) = world.observer.events().last() {
            world.observer.client.ack(event.sequence);
        }
        world.observer.told.drain(..world.observer.told.len().saturating_sub(1));
        world.observer.client.stats().delivered >= total
    });
    let took = begin.elapsed();
    let spent = threads().into_iter().map(|(name, us)| (us - before.get(&name).copied().unwrap_or(0), name));
    let mut spent: Vec<_> = spent.filter(|(us, _)| *us > 1_000).collect();
    spent.sort_unstable_by(|a, b| b.cmp(a));
    let each: Vec<String> =
        spent.iter().map(|(us, name)| format!("{name} {:.2} us", *us as f64 / total as f64)).collect();
    let rate = total as f64 / took.as_secs_f64();
    eprintln!("{label}, {bytes} B: {rate:.0} events/s; processor time per event: {}", each.join(", "));
    if let Some(journal) = world.observer.client.stats().journal {
        eprintln!("  {journal:?}");
    }
}

fn main() {
    let place = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    for bytes in [450, 4_096] {
        for _ in 0..2 {
            measure("without a journal", "", bytes);
            let directory = tempfile::tempdir_in(&place).unwrap();
            let path = directory.path().join("events.db");
            measure("with a journal", &format!(r#"{{"journal":{{"path":"{}"}}}}"#, path.display()), bytes);
        }
    }
}

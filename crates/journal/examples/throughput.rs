//! What a journal costs: `cargo run --release -p genesys-notifications-journal --example throughput [directory] [always|interval]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use genesys_notifications_journal::{Journal, News, Options, Origin, Outlet, Record, Stored, Sync};

struct Acker {
    journal: Mutex<Option<Arc<Journal>>>,
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    last: u64,
    count: u64,
    /// Nanoseconds from append to delivery.
    latencies: Vec<u64>,
}

impl Outlet for Acker {
    fn has_room(&self) -> bool {
        true
    }

    fn deliver(&self, event: &Stored) {
        let mut seen = self.seen.lock().unwrap();
        seen.last = event.sequence;
        seen.count += 1;
        // `received_at` carries nanoseconds since the start here.
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap();
        seen.latencies.push(now - event.received_at);
    }

    fn flush(&self) {
        let last = self.seen.lock().unwrap().last;
        if let Some(journal) = &*self.journal.lock().unwrap() {
            journal.ack(last);
        }
    }

    fn tell(&self, news: News) {
        if news != News::Room {
            println!("{news:?}");
        }
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let base = words.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let sync =
        if words.next().as_deref() == Some("interval") { Sync::Interval { ms: 100 } } else { Sync::Always };
    let frame = "x".repeat(450);
    for rate in [None, Some(1_000), Some(20_000)] {
        let path = base.join(format!("throughput-{}", std::process::id())).join("journal.db");
        let options = Options { sync, ..Options::new(&path) };
        let (journal, _) = Journal::open(options, 0).unwrap();
        let journal = Arc::new(journal);
        let acker = Arc::new(Acker {
            journal: Mutex::new(Some(Arc::clone(&journal))),
            started: Instant::now(),
            seen: Mutex::default(),
        });
        journal.start(acker.clone()).unwrap();
        let count: u64 = rate.map_or(1_000_000, |rate| rate * 5);
        let begun = Instant::now();
        for number in 0..count {
            if let Some(rate) = rate {
                let due = Duration::from_nanos(number * 1_000_000_000 / rate);
                if let Some(left) = due.checked_sub(begun.elapsed()) {
                    std::thread::sleep(left);
                }
            }
            while journal.is_full() {
                std::thread::sleep(Duration::from_micros(100));
            }
            let received_at = u64::try_from(acker.started.elapsed().as_nanos()).unwrap();
            let topic = "v2.users.5f0e1b2c-aaaa-bbbb-cccc-0123456789ab.presence";
            journal.append(&Record { received_at, origin: Origin::Live, topic, channel: 1, frame: &frame });
        }
        while acker.seen.lock().unwrap().count < count {
            std::thread::sleep(Duration::from_micros(100));
        }
        let took = begun.elapsed();
        let mut seen = acker.seen.lock().unwrap();
        seen.latencies.sort_unstable();
        let at = |part: f64| seen.latencies[((count - 1) as f64 * part) as usize] as f64 / 1e6;
        println!(
            "{}: {:.0} events/s, append to deliver p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms, {} commits",
            rate.map_or("as fast as it goes".to_owned(), |rate| format!("{rate}/s")),
            count as f64 / took.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(1.0),
            journal.stats().commits
        );
        drop(seen);
        acker.journal.lock().unwrap().take();
        journal.close();
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}

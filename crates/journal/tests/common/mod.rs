//! An outlet that collects, and journals in directories of their own.
// Every test file uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use genesys_notifications_journal::{
    Journal, News, OpenError, Options, Origin, Outlet, Record, Restored, Stored,
};

pub const DEADLINE: Duration = Duration::from_secs(20);
pub const NOW: u64 = 1_790_000_000_000;

#[derive(Default)]
pub struct Seen {
    pub events: Vec<Stored>,
    pub news: Vec<News>,
    pub room: Option<usize>,
}

/// Takes `room` more events, or any number if that is `None`.
#[derive(Default)]
pub struct Collector {
    seen: Mutex<Seen>,
    bell: Condvar,
}

impl Collector {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::new(Seen { room: Some(room), ..Seen::default() }),
            bell: Condvar::new(),
        })
    }

    pub fn give_room(&self, room: usize) {
        self.seen.lock().unwrap().room = Some(room);
    }

    pub fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap())
    }

    /// Waits until it is as wished; panics after the deadline.
    pub fn until<T>(&self, what: &str, mut wish: impl FnMut(&Seen) -> Option<T>) -> T {
        let end = Instant::now() + DEADLINE;
        let mut seen = self.seen.lock().unwrap();
        loop {
            if let Some(answer) = wish(&seen) {
                return answer;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "not within {DEADLINE:?}: {what}; {} events, {:?}",
                seen.events.len(),
                seen.news
            );
            seen = self.bell.wait_timeout(seen, left).unwrap().0;
        }
    }

    pub fn until_count(&self, count: usize) -> Vec<Stored> {
        self.until(&format!("{count} events"), |seen| {
            (seen.events.len() >= count).then(|| seen.events.clone())
        })
    }

    pub fn sequences(&self) -> Vec<u64> {
        self.look(|seen| seen.events.iter().map(|event| event.sequence).collect())
    }
}

impl Outlet for Collector {
    fn has_room(&self) -> bool {
        self.seen.lock().unwrap().room != Some(0)
    }

    fn deliver(&self, event: &Stored) {
        let mut seen = self.seen.lock().unwrap();
        if let Some(room) = &mut seen.room {
            *room -= 1;
        }
        seen.events.push(event.clone());
        self.bell.notify_all();
    }

    fn flush(&self) {}

    fn tell(&self, news: News) {
        self.seen.lock().unwrap().news.push(news);
        self.bell.notify_all();
    }
}

pub fn options(directory: &Path) -> Options {
    Options::new(directory.join("state").join("journal.db"))
}

/// A journal that delivers to an outlet without bounds.
pub fn running(options: &Options) -> (Journal, Arc<Collector>) {
    let (journal, _) = open(options);
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    (journal, outlet)
}

pub fn open(options: &Options) -> (Journal, Restored) {
    Journal::open(options.clone(), NOW).unwrap()
}

pub fn refusal(options: &Options) -> OpenError {
    match Journal::open(options.clone(), NOW) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

pub fn append(journal: &Journal, number: u64) -> u64 {
    append_sized(journal, number, 100)
}

pub fn append_all(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        append(journal, number);
    }
}

/// A frame of so many bytes that names its number.
pub fn append_sized(journal: &Journal, number: u64, bytes: usize) -> u64 {
    let head = format!(
        "{{\"topicName\":\"v2.users.{}.presence\",\"eventBody\":{{\"n\":{number},\"x\":\"",
        number % 7
    );
    let fill = "x".repeat(bytes.saturating_sub(head.len() + 3));
    journal.append(&Record {
        received_at: NOW + number,
        origin: Origin::Live,
        topic: &format!("v2.users.{}.presence", number % 7),
        channel: (number % 3) as u32,
        frame: &format!("{head}{fill}\"}}}}"),
    })
}

/// Polls a condition that has no bell.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::yield_now();
    }
}

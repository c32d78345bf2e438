//! The way out: where committed events and news go.

use crate::record::Stored;

/// Where committed events go. Called from the journal's thread, never while a lock of the journal is held.
pub trait Outlet: Send + Sync {
    /// Whether one more event may be delivered now. After `false`, call [`wake`](crate::Journal::wake) when there is room.
    fn has_room(&self) -> bool;
    /// A committed event: in order of sequence, each once per run of the process.
    fn deliver(&self, event: &Stored);
    /// A run of deliveries is over.
    fn flush(&self);
    /// Something happened to the journal.
    fn tell(&self, news: News);
}

/// What happened to the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// [`is_full`](crate::Journal::is_full) has become false.
    Room,
    /// Events that nobody had acknowledged are gone: evicted, or unreadable. Told again by the next run unless a gap that
    /// spans it was noted.
    Evicted {
        /// Whose events, sorted.
        topics: Vec<String>,
        /// When the first was received, milliseconds since the epoch.
        from: u64,
        /// When the last was received.
        to: u64,
    },
    /// The bound is reached and [`OnFull::Fail`](crate::OnFull::Fail) chosen. Told once.
    Full,
    /// A commit failed. Nothing is lost, it is tried again every second; reading should stop.
    Failing(String),
    /// A commit succeeded again.
    Recovered,
}

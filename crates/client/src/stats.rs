//! Numbers about a client.

use genesys_notifications_journal as journal;
use genesys_notifications_proto::MachineStats;
use serde::Serialize;

use crate::keeper::CursorStats;
use crate::queue::Counts;

/// A snapshot; a plain object in JavaScript.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// What the rules know: state, attempts, ages, topics, duplicates, gaps.
    #[serde(flatten)]
    pub machine: MachineStats,
    /// Events that reached the queue.
    pub received: u64,
    /// Events handed to JavaScript.
    pub delivered: u64,
    /// Events the queue dropped.
    pub dropped: u64,
    /// Events of topics that `delivery.topics` does not name.
    pub filtered: u64,
    /// Events in whose place a later one of their topic came.
    pub conflated: u64,
    /// The queue now.
    pub queue: QueueStats,
    /// The journal now, if there is one.
    pub journal: Option<journal::Stats>,
    /// The cursor now, if there is one.
    pub cursor: Option<CursorStats>,
}

/// The delivery queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStats {
    /// Events waiting.
    pub events: usize,
    /// Their bytes, bookkeeping included.
    pub bytes: usize,
    /// Whether sockets are not read until there is room.
    pub paused: bool,
}

impl Stats {
    pub(crate) fn new(
        machine: MachineStats,
        counts: Counts,
        filtered: u64,
        paused: bool,
        journal: Option<journal::Stats>,
        cursor: Option<CursorStats>,
    ) -> Self {
        Self {
            machine,
            received: counts.received,
            delivered: counts.delivered,
            dropped: counts.dropped,
            filtered,
            conflated: counts.conflated,
            queue: QueueStats { events: counts.events, bytes: counts.bytes, paused },
            journal,
            cursor,
        }
    }
}

//! Figures of a journal.

use serde::Serialize;

/// Figures of a journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Events on disk.
    pub events: u64,
    /// Of those, not acknowledged.
    pub unacknowledged: u64,
    /// Bytes in use.
    pub bytes: u64,
    /// Bound of `bytes`.
    pub max_bytes: u64,
    /// Highest sequence given out.
    pub last_sequence: u64,
    /// Highest sequence acknowledged, on disk.
    pub acknowledged: u64,
    /// Bytes in memory waiting for the disk.
    pub waiting: u64,
    /// Commits of this run.
    pub commits: u64,
    /// Events thrown away before they were acknowledged, over the life of the journal.
    pub evicted: u64,
    /// How long the last commit took, in milliseconds.
    pub last_commit_ms: f64,
}

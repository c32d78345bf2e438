//! What the user may choose.

use std::path::PathBuf;

use crate::error::OpenError;

/// Smallest bound of a journal.
pub const MIN_BYTES: u64 = 1 << 20;
/// Default bound of a journal.
pub const DEFAULT_BYTES: u64 = 1 << 30;
/// Default time acknowledged events are kept: 24 hours.
pub const DEFAULT_AGE_MS: u64 = 24 * 60 * 60 * 1000;

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The database file; a directory that does not exist is created, for its owner only.
    pub path: PathBuf,
    /// Bound of the space in use, in bytes: default 1 GiB, at least 1 MiB. The file can be an eighth larger (at least
    /// 16 MiB), for what was on its way when the bound was reached.
    pub max_bytes: u64,
    /// How long acknowledged events are kept for replay, in milliseconds: default 24 hours, 0 keeps none beyond the
    /// last 60 s. With [`OnFull::EvictOldest`] it bounds events that were not acknowledged too.
    pub max_age_ms: u64,
    /// What to do when events that nobody acknowledged reach the bound.
    pub on_full: OnFull,
    /// When a commit reaches the disk.
    pub sync: Sync,
}

/// What to do when events that nobody acknowledged reach the bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// [`is_full`](crate::Journal::is_full) until there is room: stop reading, the service drops, a gap tells.
    #[default]
    Pause,
    /// Delete the oldest, tell which ([`News::Evicted`](crate::News::Evicted)).
    EvictOldest,
    /// [`News::Full`](crate::News::Full), and full from then on.
    Fail,
}

/// When a commit reaches the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before it counts: survives a power cut.
    #[default]
    Always,
    /// At most that many milliseconds later: survives a crash of the process; a power cut may cost the last interval.
    Interval {
        /// Milliseconds between two commits that reach the disk, 1 to 60,000.
        ms: u64,
    },
}

impl Options {
    /// The defaults for a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_bytes: DEFAULT_BYTES,
            max_age_ms: DEFAULT_AGE_MS,
            on_full: OnFull::default(),
            sync: Sync::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let refuse = |field, reason| Err(OpenError::Option { field, reason });
        if self.path.file_name().is_none() {
            return refuse("path", "must name a file");
        }
        if self.max_bytes < MIN_BYTES {
            return refuse("maxBytes", "must be at least 1048576");
        }
        if matches!(self.sync, Sync::Interval { ms } if !(1..=60_000).contains(&ms)) {
            return refuse("syncIntervalMs", "must be between 1 and 60000");
        }
        Ok(())
    }
}

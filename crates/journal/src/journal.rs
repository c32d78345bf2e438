//! The journal as its client sees it.

use std::sync::Arc;

use crate::error::OpenError;
use crate::options::Options;
use crate::outlet::Outlet;
use crate::record::{Note, Record, Restored};
use crate::stats::Stats;

/// A journal. One per file and machine; dropping it closes it.
#[derive(Debug)]
pub struct Journal {}

impl Journal {
    /// Opens or creates a journal and locks it. `now_wall` is in milliseconds since the epoch.
    pub fn open(options: Options, now_wall: u64) -> Result<(Self, Restored), OpenError> {
        options.check()?;
        unimplemented!("{now_wall}")
    }

    /// Starts the journal's thread; what an earlier run left unacknowledged is delivered first.
    pub fn start(&self, _outlet: Arc<dyn Outlet>) {
        unimplemented!()
    }

    /// Takes an event and returns its sequence. Never waits for the disk.
    pub fn append(&self, _record: &Record<'_>) -> u64 {
        unimplemented!()
    }

    /// Takes a note, in order with the events.
    pub fn note(&self, _note: Note) {
        unimplemented!()
    }

    /// Everything up to that sequence is dealt with. Goes with the next commit, or within 50 ms by one of its own; never
    /// goes back, nor beyond what was delivered.
    pub fn ack(&self, _up_to: u64) {
        unimplemented!()
    }

    /// The outlet has room again.
    pub fn wake(&self) {
        unimplemented!()
    }

    /// Whether reading should stop: the bound is reached (`Pause`, `Fail`), more than 8 MiB wait for the disk, or commits
    /// fail.
    pub fn is_full(&self) -> bool {
        unimplemented!()
    }

    /// Its figures.
    pub fn stats(&self) -> Stats {
        unimplemented!()
    }

    /// Commits what was taken, closes the file and releases it. Nothing is delivered any more. Idempotent.
    pub fn close(&self) {
        unimplemented!()
    }
}

//! Events of a journal once more, by time or sequence, and its continuity report. Also while a client writes it.

use std::path::Path;

use genesys_notifications_journal::{
    Bound, Cursor, OpenError, Origin, Range, ReadError, Reader, Report, Stored,
};
use thiserror::Error;

use crate::batch::{Batch, Flags};
use crate::delivery::{BACKFILL_CHANNEL, earlier_channel};
use crate::options::{OnFull, QueueOptions};
use crate::queue::{Arrived, EventQueue};
use crate::reader::Reader as FrameReader;

/// Why a journal cannot be read.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read on.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// One end of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayBound {
    /// Received at that time, in milliseconds since the epoch.
    Time(u64),
    /// That sequence.
    Sequence(u64),
}

impl From<ReplayBound> for Bound {
    fn from(bound: ReplayBound) -> Self {
        match bound {
            ReplayBound::Time(at) => Self::Time(at),
            ReplayBound::Sequence(sequence) => Self::Sequence(sequence),
        }
    }
}

/// The continuity report of a journal.
///
/// # Errors
/// If the journal cannot be opened or read.
pub fn report(path: &Path) -> Result<Report, ReplayError> {
    Ok(Report::of(&Reader::open(path)?)?)
}

/// A walk through the events of a journal; their origin is `replay`.
#[derive(Debug)]
pub struct Replay {
    reader: Reader,
    cursor: Cursor,
    queue: EventQueue,
}

/// How much is read from the file at once.
const PAGE_EVENTS: usize = 256;
const PAGE_BYTES: usize = 1 << 20;

impl Replay {
    /// A walk from the first event at or after `from` to the last one before `to`, or to the end.
    ///
    /// # Errors
    /// If there is no journal there, or it cannot be read.
    pub fn open(path: &Path, from: ReplayBound, to: Option<ReplayBound>) -> Result<Self, ReplayError> {
        let reader = Reader::open(path)?;
        let cursor = reader.events(Range { from: Some(from.into()), to: to.map(Bound::from) });
        let options = QueueOptions { max_events: usize::MAX, max_bytes: usize::MAX, on_full: OnFull::Pause };
        Ok(Self { reader, cursor, queue: EventQueue::new(options) })
    }

    /// The next events, as [`Client::drain`](crate::Client::drain) would hand them over. Returns `false` once the end was
    /// reached; what a client journals later is found by asking again.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub fn page(
        &mut self,
        batch: &mut Batch,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<bool, ReplayError> {
        batch.clear();
        if self.queue.is_empty() {
            for event in self.reader.page(&mut self.cursor, PAGE_EVENTS, PAGE_BYTES)? {
                self.push(&event);
            }
        }
        let is_over = self.queue.is_empty();
        self.queue.drain(batch, max_events, max_bytes);
        Ok(!is_over)
    }

    fn push(&mut self, event: &Stored) {
        let channel = match event.origin {
            Origin::Live => self.queue.intern_once(&earlier_channel(event.channel)),
            Origin::Backfill => self.queue.intern_once(BACKFILL_CHANNEL),
        };
        // The options of an endpoint are not at hand.
        let parts = FrameReader::default().again(&event.frame);
        self.queue.push(&Arrived::stored(event, &parts, channel, Flags::REPLAY));
    }
}

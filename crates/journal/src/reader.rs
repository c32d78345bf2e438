//! Reading a journal, also while a client writes it.

use std::path::Path;

use serde::Serialize;

use crate::error::{OpenError, ReadError};
use crate::record::{GapRow, Stored};

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Received at that time, milliseconds since the epoch.
    Time(u64),
    /// That sequence.
    Sequence(u64),
}

/// Which events to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first; from the beginning if not given.
    pub from: Option<Bound>,
    /// The first not to be read any more; to the end if not given.
    pub to: Option<Bound>,
}

/// A place in a range.
#[derive(Clone, Debug)]
pub struct Cursor {}

/// A read-only view of a journal.
#[derive(Debug)]
pub struct Reader {}

/// Something for the continuity report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MomentRow {
    /// Milliseconds since the epoch.
    pub at: u64,
    /// What.
    pub kind: String,
    /// A JSON object.
    pub detail: serde_json::Value,
}

impl Reader {
    /// Opens a journal for reading; it must exist.
    pub fn open(_path: &Path) -> Result<Self, OpenError> {
        unimplemented!()
    }

    /// A place before the first event of a range.
    pub fn events(&self, _range: Range) -> Cursor {
        unimplemented!()
    }

    /// The next events, at least one if there is one, within the limits; empty at the end of the range. Events that come
    /// later are found by asking again.
    pub fn page(
        &self,
        _cursor: &mut Cursor,
        _max_events: usize,
        _max_bytes: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        unimplemented!()
    }

    /// The last 1,000 closed gaps and every open one, oldest first.
    pub fn gaps(&self) -> Result<Vec<GapRow>, ReadError> {
        unimplemented!()
    }
}

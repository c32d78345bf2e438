//! The continuity report: connected time, gaps and what happened to channels.

use serde::Serialize;

use crate::error::ReadError;
use crate::reader::Reader;

/// A continuity report.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {}

impl Report {
    /// The report of a journal.
    pub fn of(_reader: &Reader) -> Result<Self, ReadError> {
        unimplemented!()
    }

    /// For people.
    pub fn text(&self) -> String {
        unimplemented!()
    }

    /// A timeline.
    pub fn svg(&self) -> String {
        unimplemented!()
    }
}

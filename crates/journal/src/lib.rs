//! The journal of a notification stream: what arrived is on disk before it counts as received.

#![allow(clippy::unimplemented, reason = "the types land before what is behind them")]

mod error;
mod journal;
mod options;
mod outlet;
mod reader;
mod record;
pub mod report;
mod stats;

pub use error::{OpenError, ReadError};
pub use journal::Journal;
pub use options::{DEFAULT_AGE_MS, DEFAULT_BYTES, MIN_BYTES, OnFull, Options, Sync};
pub use outlet::{News, Outlet};
pub use reader::{Bound, Cursor, MomentRow, Range, Reader};
pub use record::{Damage, GapRow, Note, Origin, Record, Restored, Stored};
pub use report::Report;
pub use stats::Stats;

//! The journal of a notification stream: what arrived is on disk before it counts as received.
//!
//! [`Journal::append`] puts an event into memory; one thread commits what waits there, up to 256 events at a time, and
//! only then hands it to the [`Outlet`]. What [`Journal::ack`] has not named is delivered again by the next run, first and
//! flagged. The file is an SQLite database with a documented schema (docs/journal.md); [`Reader`] and [`Report`] read it
//! while a client writes.
//!
//! Walls: `place` knows files and locks, `schema` and `rows` the tables, `open` and `salvage` how to trust a file, `change`
//! one transaction, `writer` what to do when, `shared` what crosses threads. The crate knows SQLite, but neither the
//! protocol nor tokio.

mod change;
mod crc;
mod error;
mod journal;
mod network;
mod open;
mod options;
mod outlet;
mod place;
mod reader;
mod record;
pub mod report;
mod rows;
mod salvage;
mod schema;
mod shared;
mod state;
mod stats;
mod writer;

pub use crc::checksum;
pub use error::{OpenError, ReadError};
pub use journal::Journal;
pub use options::{DEFAULT_AGE_MS, DEFAULT_BYTES, MIN_BYTES, OnFull, Options, Sync};
pub use outlet::{News, Outlet};
pub use reader::{Bound, CoverageRow, Cursor, MomentRow, Range, Reader, Summary};
pub use record::{Damage, GapRow, Note, Origin, Record, Restored, Stored};
pub use report::Report;
pub use stats::Stats;

//! The database: its schema, its settings, and how to tell ours from others.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;
use crate::options::{Options, Sync};

/// `PRAGMA application_id` of a journal: "GCNJ".
pub(crate) const APPLICATION_ID: i32 = 0x4743_4E4A;
/// `PRAGMA user_version`: the schema.
pub(crate) const VERSION: i64 = 1;
pub(crate) const PAGE_BYTES: u64 = 4096;

/// The tables. docs/journal.md explains them.
const TABLES: &str = "
CREATE TABLE state(
  id INTEGER PRIMARY KEY CHECK (id = 1),
  acknowledged INTEGER NOT NULL,   -- everything up to this sequence is dealt with
  last_sequence INTEGER NOT NULL,  -- highest sequence used
  events INTEGER NOT NULL,         -- rows of event
  unacknowledged INTEGER NOT NULL, -- rows of event above acknowledged
  evicted INTEGER NOT NULL,        -- events thrown away before they were acknowledged
  last_channel INTEGER NOT NULL,   -- highest channel number of an event
  sound_until INTEGER,             -- ms: nothing sent before can be missing on a covered topic
  complete_from INTEGER NOT NULL,  -- ms: gaps and moments are complete since
  wanted INTEGER,                  -- topic_set
  covered INTEGER,                 -- topic_set
  reserved INTEGER NOT NULL,       -- sync=interval: sequences up to this one may have been used
  clean INTEGER NOT NULL           -- 1: closed in order
);
CREATE TABLE topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE event(
  sequence INTEGER PRIMARY KEY,
  received_at INTEGER NOT NULL,    -- ms since the epoch
  origin INTEGER NOT NULL,         -- 0 live, 1 backfill
  topic INTEGER NOT NULL,          -- topic.id
  channel INTEGER NOT NULL,        -- a number, never the channel's id
  crc INTEGER NOT NULL,            -- CRC-32 of topic.name || frame
  frame TEXT NOT NULL              -- as it came
);
CREATE TABLE topic_set(id INTEGER PRIMARY KEY, crc INTEGER NOT NULL, topics TEXT NOT NULL);
CREATE INDEX topic_set_crc ON topic_set(crc);
CREATE TABLE gap(
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  opened_at INTEGER NOT NULL,      -- ms
  closed_at INTEGER,               -- ms, null while open
  reason TEXT NOT NULL,
  topics INTEGER NOT NULL,         -- topic_set.id
  certainty TEXT NOT NULL,
  backfilled TEXT NOT NULL
);
CREATE TABLE moment(number INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
CREATE TABLE coverage(topic TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER, PRIMARY KEY(topic, since)) WITHOUT ROWID;
CREATE TABLE eviction(number INTEGER PRIMARY KEY, opened_at INTEGER NOT NULL, closed_at INTEGER NOT NULL, events INTEGER NOT NULL, topics TEXT NOT NULL);
CREATE VIEW events AS
  SELECT sequence, strftime('%Y-%m-%dT%H:%M:%fZ', received_at / 1000.0, 'unixepoch') AS received,
         CASE origin WHEN 0 THEN 'live' ELSE 'backfill' END AS origin, topic.name AS topic, channel,
         sequence <= (SELECT acknowledged FROM state) AS acknowledged, frame
  FROM event JOIN topic ON topic.id = event.topic;
CREATE VIEW gaps AS
  SELECT gap.id, strftime('%Y-%m-%dT%H:%M:%fZ', opened_at / 1000.0, 'unixepoch') AS opened,
         strftime('%Y-%m-%dT%H:%M:%fZ', closed_at / 1000.0, 'unixepoch') AS closed,
         closed_at - opened_at AS ms, reason, certainty, backfilled, topic_set.topics AS topics
  FROM gap LEFT JOIN topic_set ON topic_set.id = gap.topics ORDER BY number;
";

/// What a file is by its first bytes, without SQLite touching it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Empty,
    Ours { version: i64 },
    Other(&'static str),
}

pub(crate) fn header_of(path: &Path) -> std::io::Result<Header> {
    let mut bytes = Vec::with_capacity(100);
    File::open(path)?.take(100).read_to_end(&mut bytes)?;
    let number = |at: usize| {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, |b: [u8; 4]| i32::from_be_bytes(b))
    };
    Ok(if bytes.is_empty() {
        Header::Empty
    } else if !bytes.starts_with(b"SQLite format 3\0") {
        Header::Other("something that is no SQLite database")
    } else if number(68) != APPLICATION_ID {
        Header::Other("the SQLite database of another program")
    } else {
        Header::Ours { version: i64::from(number(60)) }
    })
}

/// A writing connection.
pub(crate) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the tables, in one transaction, synced, before the file counts as a journal.
pub(crate) fn create(connection: &Connection, last_sequence: u64) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "PRAGMA page_size={PAGE_BYTES}; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=DELETE; PRAGMA synchronous=EXTRA;"
    ))?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; {TABLES}
         INSERT INTO state VALUES(1, {last_sequence}, {last_sequence}, 0, 0, 0, 0, NULL, 0, NULL, NULL, 0, 1); COMMIT;"
    ))
}

/// Write-ahead log, bounds and durability.
pub(crate) fn configure(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA journal_size_limit=8388608; PRAGMA cache_size=-8192;
         PRAGMA temp_store=MEMORY;",
    )?;
    connection.execute_batch(match options.sync {
        Sync::Always => "PRAGMA synchronous=FULL;",
        Sync::Interval { .. } => "PRAGMA synchronous=NORMAL;",
    })?;
    if cfg!(target_vendor = "apple") {
        connection.execute_batch("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;")?;
    }
    let pages = hard_bytes(options.max_bytes) / PAGE_BYTES;
    connection.query_row(&format!("PRAGMA max_page_count={pages}"), [], |_| Ok(()))
}

/// The file never grows beyond this.
pub(crate) fn hard_bytes(max_bytes: u64) -> u64 {
    max_bytes.saturating_add((max_bytes / 8).max(16 << 20)).min(u64::from(u32::MAX - 1) * PAGE_BYTES)
}

/// Pages in use and pages of the file.
pub(crate) fn pages(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let number = |sql| -> rusqlite::Result<u64> {
        connection.prepare_cached(sql)?.query_row([], |row| Ok(unsigned(row.get(0)?)))
    };
    let all = number("PRAGMA page_count")?;
    let free = number("PRAGMA freelist_count")?;
    Ok((all.saturating_sub(free), all))
}

/// Milliseconds, sequences and counts are below 2^63.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Turns SQLite's refusal into ours.
pub(crate) fn refused(file: &str, action: &'static str) -> impl Fn(rusqlite::Error) -> OpenError + use<> {
    let file = file.to_owned();
    move |error| OpenError::Database { file: file.clone(), action, detail: error.to_string() }
}

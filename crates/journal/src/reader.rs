//! Reading a journal, also while a client writes it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::Serialize;

use crate::error::{OpenError, ReadError};
use crate::record::{GapRow, Stored};
use crate::rows::{self, EVENT_COLUMNS, Found};
use crate::schema::{self, Header, PAGE_BYTES, VERSION, signed, unsigned};
use crate::state::State;

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
pub struct Cursor {
    range: Range,
    after: u64,
    unreadable: u64,
}

impl Cursor {
    /// Events of the range that were damaged and left out so far.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }
}

/// A read-only view of a journal. Holds nothing that hinders the writer between two calls.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    file: String,
    topics: Mutex<HashMap<i64, Arc<str>>>,
}

/// What a journal holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Events on disk.
    pub events: u64,
    /// Of those, not acknowledged.
    pub unacknowledged: u64,
    /// Events thrown away before they were acknowledged.
    pub evicted: u64,
    /// Highest sequence acknowledged.
    pub acknowledged: u64,
    /// Highest sequence used.
    pub last_sequence: u64,
    /// Sequence and time received of the oldest event.
    pub first: Option<(u64, u64)>,
    /// Sequence and time received of the newest event.
    pub last: Option<(u64, u64)>,
    /// Nothing sent before that on a covered topic can be missing; milliseconds since the epoch.
    pub sound_until: Option<u64>,
    /// Gaps and moments are complete since; milliseconds since the epoch.
    pub complete_from: u64,
    /// Bytes in use.
    pub bytes: u64,
}

/// Something that happened to a channel or a token.
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

/// When a topic counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CoverageRow {
    /// The topic.
    pub topic: String,
    /// First proven live, milliseconds since the epoch.
    pub since: u64,
    /// No longer wanted; `None` if it still is.
    pub until: Option<u64>,
}

impl Reader {
    /// Opens a journal for reading; it must exist.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let header = schema::header_of(path).map_err(|source| OpenError::Io {
            file: file.clone(),
            action: "read",
            source,
        })?;
        match header {
            Header::Ours { version: VERSION } => {}
            Header::Ours { version } => {
                return Err(OpenError::Version { file, found: version, known: VERSION });
            }
            Header::Other(what) => return Err(OpenError::Foreign { file, what }),
            Header::Empty => return Err(OpenError::Foreign { file, what: "an empty file" }),
        }
        let refused = schema::refused(&file, "read");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(&refused)?;
        connection.busy_timeout(Duration::from_secs(5)).map_err(&refused)?;
        Ok(Self { connection, file, topics: Mutex::default() })
    }

    /// A place before the first event of a range.
    pub fn events(&self, range: Range) -> Cursor {
        let after = match range.from {
            Some(Bound::Sequence(sequence)) => sequence.saturating_sub(1),
            _ => 0,
        };
        Cursor { range, after, unreadable: 0 }
    }

    /// The next events, at least one if there is one, within the limits; empty at the end of the range. Events that come
    /// later are found by asking again.
    pub fn page(
        &self,
        cursor: &mut Cursor,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Stored>, ReadError> {
        loop {
            let before = cursor.after;
            let events = self.some(cursor, max_events, max_bytes).map_err(|error| self.failed(&error))?;
            // A page that held damaged events only is not the end.
            if !events.is_empty() || cursor.after == before {
                return Ok(events);
            }
        }
    }

    fn some(
        &self,
        cursor: &mut Cursor,
        max_events: usize,
        max_bytes: usize,
    ) -> rusqlite::Result<Vec<Stored>> {
        let bound = |bound: Option<Bound>, or: i64| match bound {
            Some(Bound::Sequence(sequence)) => (signed(sequence), or),
            Some(Bound::Time(time)) => (or, signed(time)),
            None => (or, or),
        };
        let (_, from_time) = bound(cursor.range.from, 0);
        let (to_sequence, to_time) = bound(cursor.range.to, i64::MAX);
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM event WHERE sequence > ?1 AND sequence < ?2 AND received_at >= ?3
             AND received_at < ?4 ORDER BY sequence LIMIT ?5"
        ))?;
        let mut found = statement.query(params![
            signed(cursor.after),
            to_sequence,
            from_time,
            to_time,
            signed(max_events.max(1) as u64)
        ])?;
        let (mut events, mut bytes) = (Vec::new(), 0);
        while let Some(row) = found.next()? {
            match rows::event(row, &|number| self.topic(number))? {
                Found::Sound(event) => {
                    bytes += event.frame.len();
                    if bytes > max_bytes && !events.is_empty() {
                        break;
                    }
                    cursor.after = event.sequence;
                    events.push(event);
                }
                Found::Unreadable { sequence, .. } => {
                    cursor.after = sequence;
                    cursor.unreadable += 1;
                }
            }
        }
        Ok(events)
    }

    /// The last 1,000 closed gaps and every open one, oldest first.
    pub fn gaps(&self) -> Result<Vec<GapRow>, ReadError> {
        rows::gaps(&self.connection).map_err(|error| self.failed(&error))
    }

    /// What happened to channels and tokens, at most 100,000, of the last 30 days, oldest first.
    pub fn moments(&self) -> Result<Vec<MomentRow>, ReadError> {
        self.all("SELECT at, kind, detail FROM moment ORDER BY number", |row| {
            let detail: String = row.get(2)?;
            Ok(MomentRow {
                at: unsigned(row.get(0)?),
                kind: row.get(1)?,
                detail: serde_json::from_str(&detail).unwrap_or(serde_json::Value::Null),
            })
        })
    }

    /// When which topic counted, by topic and time.
    pub fn coverage(&self) -> Result<Vec<CoverageRow>, ReadError> {
        self.all("SELECT topic, since, until FROM coverage ORDER BY topic, since", |row| {
            Ok(CoverageRow {
                topic: row.get(0)?,
                since: unsigned(row.get(1)?),
                until: row.get::<_, Option<i64>>(2)?.map(unsigned),
            })
        })
    }

    /// What the journal holds.
    pub fn summary(&self) -> Result<Summary, ReadError> {
        self.summed().map_err(|error| self.failed(&error))
    }

    fn summed(&self) -> rusqlite::Result<Summary> {
        let state = State::load(&self.connection)?;
        let end = |order: &str| {
            let sql = format!("SELECT sequence, received_at FROM event ORDER BY sequence {order} LIMIT 1");
            let row =
                self.connection.query_row(&sql, [], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))));
            row.optional()
        };
        Ok(Summary {
            events: state.events,
            unacknowledged: state.unacknowledged,
            evicted: state.evicted,
            acknowledged: state.acknowledged,
            last_sequence: state.last_sequence,
            first: end("ASC")?,
            last: end("DESC")?,
            sound_until: state.sound_until,
            complete_from: state.complete_from,
            bytes: schema::pages(&self.connection)?.0 * PAGE_BYTES,
        })
    }

    fn all<T>(
        &self,
        sql: &str,
        read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let rows =
            || -> rusqlite::Result<Vec<T>> { self.connection.prepare(sql)?.query_map([], read)?.collect() };
        rows().map_err(|error| self.failed(&error))
    }

    /// Topics are never renamed: what was read once holds.
    fn topic(&self, number: i64) -> Option<Arc<str>> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = topics.get(&number) {
            return Some(Arc::clone(name));
        }
        let name: String = self
            .connection
            .prepare_cached("SELECT name FROM topic WHERE id = ?1")
            .and_then(|mut statement| statement.query_row([number], |row| row.get(0)))
            .ok()?;
        let name: Arc<str> = name.into();
        topics.insert(number, Arc::clone(&name));
        Some(name)
    }

    pub(crate) fn failed(&self, error: &rusqlite::Error) -> ReadError {
        ReadError { file: self.file.clone(), detail: error.to_string() }
    }
}

//! Rows of the database as the values they stand for.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::crc;
use crate::record::{GapRow, Origin, Stored};
use crate::schema::{signed, unsigned};

/// Closed gaps that are kept.
pub(crate) const CLOSED_GAPS: usize = 1000;

/// Names of topics and their numbers in the database.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    numbers: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
    last: i64,
    /// Added by the transaction that is not committed yet.
    fresh: Vec<Arc<str>>,
}

impl Topics {
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let mut topics = Self::default();
        let mut statement = connection.prepare("SELECT id, name FROM topic")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            topics.add(row.get(0)?, row.get::<_, String>(1)?.into());
        }
        Ok(topics)
    }

    pub(crate) fn number(&mut self, connection: &Connection, name: &Arc<str>) -> rusqlite::Result<i64> {
        if let Some(number) = self.numbers.get(name) {
            return Ok(*number);
        }
        let number = self.last + 1;
        connection
            .prepare_cached("INSERT INTO topic(id, name) VALUES(?1, ?2)")?
            .execute(params![number, &**name])?;
        self.add(number, Arc::clone(name));
        self.fresh.push(Arc::clone(name));
        Ok(number)
    }

    pub(crate) fn name(&self, number: i64) -> Option<Arc<str>> {
        self.names.get(&number).cloned()
    }

    pub(crate) fn committed(&mut self) {
        self.fresh.clear();
    }

    pub(crate) fn rolled_back(&mut self) {
        for name in std::mem::take(&mut self.fresh) {
            if let Some(number) = self.numbers.remove(&name) {
                self.names.remove(&number);
            }
        }
        self.last = self.names.keys().copied().max().unwrap_or_default();
    }

    fn add(&mut self, number: i64, name: Arc<str>) {
        self.last = self.last.max(number);
        self.numbers.insert(Arc::clone(&name), number);
        self.names.insert(number, name);
    }
}

/// An event as it was found.
#[derive(Debug)]
pub(crate) enum Found {
    Sound(Stored),
    /// Its text is not what was written.
    Unreadable {
        sequence: u64,
        received_at: u64,
        topic: Option<Arc<str>>,
    },
}

impl Found {
    pub(crate) fn sequence(&self) -> u64 {
        match self {
            Self::Sound(event) => event.sequence,
            Self::Unreadable { sequence, .. } => *sequence,
        }
    }
}

/// The columns that [`event`] reads.
pub(crate) const EVENT_COLUMNS: &str = "sequence, received_at, origin, topic, channel, crc, frame";

pub(crate) fn event(row: &Row<'_>, topics: &dyn Fn(i64) -> Option<Arc<str>>) -> rusqlite::Result<Found> {
    let sequence = unsigned(row.get(0)?);
    let sound = (|| {
        let topic = topics(row.get(3).ok()?)?;
        let frame = row.get::<_, String>(6).ok()?;
        if row.get::<_, u32>(5).ok()? != crc::of_event(&topic, &frame) {
            return None;
        }
        Some(Stored {
            sequence,
            received_at: unsigned(row.get(1).ok()?),
            origin: Origin::from_number(row.get(2).ok()?)?,
            topic,
            channel: row.get(4).ok()?,
            redelivered: false,
            frame,
        })
    })();
    Ok(sound.map_or_else(
        || Found::Unreadable {
            sequence,
            received_at: row.get(1).map(unsigned).unwrap_or_default(),
            topic: row.get(3).ok().and_then(topics),
        },
        Found::Sound,
    ))
}

/// Number of a set of topics, which is stored once however often it is used.
pub(crate) fn topic_set(connection: &Connection, topics: &[String]) -> rusqlite::Result<i64> {
    let text = serde_json::to_string(topics).unwrap_or_default();
    let crc = crc::of_event("", &text);
    let known = connection
        .prepare_cached("SELECT id FROM topic_set WHERE crc = ?1 AND topics = ?2")?
        .query_row(params![crc, text], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO topic_set(crc, topics) VALUES(?1, ?2)")?
        .execute(params![crc, text])?;
    Ok(connection.last_insert_rowid())
}

pub(crate) fn topics_of(connection: &Connection, set: Option<i64>) -> rusqlite::Result<Vec<String>> {
    let Some(set) = set else { return Ok(Vec::new()) };
    let text: Option<String> = connection
        .prepare_cached("SELECT topics FROM topic_set WHERE id = ?1")?
        .query_row([set], |row| row.get(0))
        .optional()?;
    Ok(parse_topics(text.as_deref()))
}

pub(crate) fn parse_topics(text: Option<&str>) -> Vec<String> {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

pub(crate) fn save_gap(connection: &Connection, gap: &GapRow) -> rusqlite::Result<()> {
    let set = topic_set(connection, &gap.topics)?;
    connection
        .prepare_cached(
            "INSERT INTO gap(id, opened_at, closed_at, reason, topics, certainty, backfilled)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(id) DO UPDATE SET opened_at = ?2, closed_at = ?3,
             reason = ?4, topics = ?5, certainty = ?6, backfilled = ?7",
        )?
        .execute(params![
            gap.id,
            signed(gap.from),
            gap.to.map(signed),
            gap.reason,
            set,
            gap.certainty,
            gap.backfilled
        ])?;
    Ok(())
}

/// The last closed gaps and every open one, oldest first.
pub(crate) fn gaps(connection: &Connection) -> rusqlite::Result<Vec<GapRow>> {
    let mut statement = connection.prepare(
        "SELECT gap.id, opened_at, closed_at, reason, certainty, backfilled, topic_set.topics, number FROM gap
         LEFT JOIN topic_set ON topic_set.id = gap.topics WHERE closed_at IS NULL OR number >=
         ifnull((SELECT number FROM gap WHERE closed_at IS NOT NULL ORDER BY number DESC LIMIT 1 OFFSET ?1), 0)
         ORDER BY number",
    )?;
    let rows = statement.query_map([signed(CLOSED_GAPS as u64 - 1)], |row| {
        Ok(GapRow {
            id: row.get(0)?,
            from: unsigned(row.get(1)?),
            to: row.get::<_, Option<i64>>(2)?.map(unsigned),
            reason: row.get(3)?,
            certainty: row.get(4)?,
            backfilled: row.get(5)?,
            topics: parse_topics(row.get::<_, Option<String>>(6)?.as_deref()),
        })
    })?;
    rows.collect()
}

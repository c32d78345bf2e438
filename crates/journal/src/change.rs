//! One transaction: acknowledgement, bounded deletion, events and notes, together or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, params};

use crate::crc;
use crate::record::{GapRow, Note, Stored};
use crate::rows::{self, CLOSED_GAPS, Topics};
use crate::schema::{signed, unsigned};
use crate::shared::Entry;
use crate::state::State;

/// One deletion takes no more rows than that, nor more text.
const CHUNK_ROWS: u64 = 1000;
const CHUNK_BYTES: u64 = 2 << 20;
/// What a row costs beside its text.
const ROW_BYTES: u64 = 40;
/// Moments are kept that long.
const MOMENT_AGE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Events that went before they were acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Eviction {
    pub(crate) number: i64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) events: u64,
    pub(crate) topics: BTreeSet<String>,
}

impl Eviction {
    fn add(&mut self, received_at: u64, topic: Option<&str>) {
        self.from = if self.events == 0 { received_at } else { self.from.min(received_at) };
        self.to = self.to.max(received_at);
        self.events += 1;
        if let Some(topic) = topic
            && !self.topics.contains(topic)
        {
            self.topics.insert(topic.to_owned());
        }
    }

    fn is_spanned_by(&self, gap: &GapRow) -> bool {
        gap.from <= self.from
            && gap.to.is_none_or(|to| to >= self.to)
            && self.topics.iter().all(|topic| gap.topics.contains(topic))
    }
}

/// What may be deleted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Bytes to free, whatever the age.
    pub(crate) over: u64,
    /// Acknowledged events received before are too old.
    pub(crate) acknowledged_before: u64,
    /// Events that were not acknowledged may go for space, and if received before.
    pub(crate) evict_before: Option<u64>,
}

/// A transaction in the making.
pub(crate) struct Change<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) topics: &'a mut Topics,
    pub(crate) state: State,
    /// On disk, and no gap yet spans them.
    pub(crate) evictions: Vec<Eviction>,
    /// What this transaction throws away before it was acknowledged.
    pub(crate) evicted: Option<Eviction>,
    /// A deletion came to its bounds: there is more.
    pub(crate) more: bool,
    /// Highest sequence deleted.
    pub(crate) deleted_until: u64,
}

impl Change<'_> {
    pub(crate) fn acknowledge(&mut self, up_to: u64) -> rusqlite::Result<()> {
        if up_to <= self.state.acknowledged {
            return Ok(());
        }
        let events: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM event WHERE sequence > ?1 AND sequence <= ?2")?
            .query_row([signed(self.state.acknowledged), signed(up_to)], |row| row.get(0))?;
        self.state.unacknowledged = self.state.unacknowledged.saturating_sub(unsigned(events));
        self.state.acknowledged = up_to;
        Ok(())
    }

    /// Deletes the oldest, a chunk at most.
    pub(crate) fn delete(&mut self, plan: Plan) -> rusqlite::Result<()> {
        let (mut rows, mut freed, mut last) = (0, 0, None);
        {
            let mut statement = self.connection.prepare_cached(
                "SELECT sequence, received_at, octet_length(frame), topic FROM event ORDER BY sequence",
            )?;
            let mut found = statement.query([])?;
            while let Some(row) = found.next()? {
                let sequence = unsigned(row.get(0)?);
                let received_at = unsigned(row.get(1)?);
                let for_space = freed < plan.over;
                let is_acknowledged = sequence <= self.state.acknowledged;
                let goes = if is_acknowledged {
                    for_space || received_at < plan.acknowledged_before
                } else {
                    plan.evict_before.is_some_and(|before| for_space || received_at < before)
                };
                if !goes {
                    break;
                }
                if rows == CHUNK_ROWS || freed >= CHUNK_BYTES {
                    self.more = true;
                    break;
                }
                if !is_acknowledged {
                    let topic = row.get(3).ok().and_then(|number| self.topics.name(number));
                    self.evicted.get_or_insert_default().add(received_at, topic.as_deref());
                    self.state.unacknowledged = self.state.unacknowledged.saturating_sub(1);
                    self.state.evicted += 1;
                }
                rows += 1;
                freed += unsigned(row.get(2)?) + ROW_BYTES;
                last = Some(sequence);
            }
        }
        if let Some(last) = last {
            self.connection
                .prepare_cached("DELETE FROM event WHERE sequence <= ?1")?
                .execute([signed(last)])?;
            self.state.events = self.state.events.saturating_sub(rows);
            self.deleted_until = last;
        }
        Ok(())
    }

    /// Deletes an event whose text is not what was written.
    pub(crate) fn delete_unreadable(
        &mut self,
        sequence: u64,
        received_at: u64,
        topic: Option<&str>,
    ) -> rusqlite::Result<()> {
        let gone = self
            .connection
            .prepare_cached("DELETE FROM event WHERE sequence = ?1")?
            .execute([signed(sequence)])?;
        if gone == 1 {
            self.state.events = self.state.events.saturating_sub(1);
            if sequence > self.state.acknowledged {
                self.state.unacknowledged = self.state.unacknowledged.saturating_sub(1);
                self.state.evicted += 1;
                self.evicted.get_or_insert_default().add(received_at, topic);
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, batch: &[Entry]) -> rusqlite::Result<()> {
        for entry in batch {
            match entry {
                Entry::Event(event) => self.insert(event)?,
                Entry::Note(note) => self.note(note)?,
            }
        }
        Ok(())
    }

    fn insert(&mut self, event: &Stored) -> rusqlite::Result<()> {
        let topic = self.topics.number(self.connection, &event.topic)?;
        self.connection
            .prepare_cached(
                "INSERT INTO event(sequence, received_at, origin, topic, channel, crc, frame)
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                signed(event.sequence),
                signed(event.received_at),
                event.origin as i64,
                topic,
                event.channel,
                crc::of_event(&event.topic, &event.frame),
                event.frame
            ])?;
        self.state.last_sequence = event.sequence;
        self.state.last_channel = self.state.last_channel.max(event.channel);
        self.state.events += 1;
        self.state.unacknowledged += 1;
        Ok(())
    }

    fn note(&mut self, note: &Note) -> rusqlite::Result<()> {
        match note {
            Note::Gap(gap) => {
                rows::save_gap(self.connection, gap)?;
                self.forget_evictions(gap)
            }
            Note::Moment { at, kind, detail } => match kind.as_str() {
                "covered" => self.cover(*at, detail),
                "forgotten" => self.uncover(*at, detail),
                _ => {
                    self.connection
                        .prepare_cached("INSERT INTO moment(at, kind, detail) VALUES(?1, ?2, ?3)")?
                        .execute(params![signed(*at), kind, detail])?;
                    Ok(())
                }
            },
            Note::Wanted { topics } => {
                self.state.wanted = Some(rows::topic_set(self.connection, topics)?);
                Ok(())
            }
            Note::Covered { topics } => {
                self.state.covered = Some(rows::topic_set(self.connection, topics)?);
                Ok(())
            }
            Note::SoundUntil(at) => {
                self.state.sound_until = Some(*at);
                Ok(())
            }
        }
    }

    fn cover(&self, at: u64, detail: &str) -> rusqlite::Result<()> {
        let mut insert = self.connection.prepare_cached(
            "INSERT OR IGNORE INTO coverage(topic, since) SELECT ?1, ?2
             WHERE NOT EXISTS (SELECT 1 FROM coverage WHERE topic = ?1 AND until IS NULL)",
        )?;
        for topic in topics_in(detail) {
            insert.execute(params![topic, signed(at)])?;
        }
        Ok(())
    }

    fn uncover(&self, at: u64, detail: &str) -> rusqlite::Result<()> {
        let mut update = self.connection.prepare_cached(
            "UPDATE coverage SET until = max(since, ?2) WHERE topic = ?1 AND until IS NULL",
        )?;
        for topic in topics_in(detail) {
            update.execute(params![topic, signed(at)])?;
        }
        Ok(())
    }

    fn forget_evictions(&mut self, gap: &GapRow) -> rusqlite::Result<()> {
        let (spanned, left) =
            std::mem::take(&mut self.evictions).into_iter().partition(|eviction| eviction.is_spanned_by(gap));
        self.evictions = left;
        for eviction in spanned {
            self.connection
                .prepare_cached("DELETE FROM eviction WHERE number = ?1")?
                .execute([eviction.number])?;
        }
        Ok(())
    }

    /// Puts what was thrown away on the record: into the row `run`, if it is still told of as one.
    pub(crate) fn record_eviction(&mut self, run: Option<i64>) -> rusqlite::Result<()> {
        let Some(evicted) = &mut self.evicted else { return Ok(()) };
        let mut row = match run.and_then(|run| self.evictions.iter().position(|e| e.number == run)) {
            Some(at) => self.evictions.remove(at),
            None => Eviction {
                number: self.evictions.iter().map(|e| e.number).max().unwrap_or_default() + 1,
                from: evicted.from,
                ..Eviction::default()
            },
        };
        row.from = row.from.min(evicted.from);
        row.to = row.to.max(evicted.to);
        row.events += evicted.events;
        row.topics.extend(evicted.topics.iter().cloned());
        evicted.number = row.number;
        let topics: Vec<&String> = row.topics.iter().collect();
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO eviction(number, opened_at, closed_at, events, topics) VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                row.number,
                signed(row.from),
                signed(row.to),
                signed(row.events),
                serde_json::to_string(&topics).unwrap_or_default()
            ])?;
        self.evictions.push(row);
        Ok(())
    }

    /// Keeps gaps, moments and sets of topics within their bounds.
    pub(crate) fn prune(&mut self, now: u64, max_moments: u64) -> rusqlite::Result<()> {
        let db = self.connection;
        let until = |sql: &str, bound: i64| -> rusqlite::Result<Option<i64>> {
            db.prepare_cached(sql)?.query_row([bound], |row| row.get(0))
        };
        let oldest_gap = until(
            "SELECT max(closed_at) FROM (SELECT closed_at FROM gap WHERE closed_at IS NOT NULL
             ORDER BY number DESC LIMIT -1 OFFSET ?1)",
            CLOSED_GAPS as i64,
        )?;
        if oldest_gap.is_some() {
            db.prepare_cached(
                "DELETE FROM gap WHERE number IN (SELECT number FROM gap WHERE closed_at IS NOT NULL
                 ORDER BY number DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([CLOSED_GAPS as i64])?;
        }
        let spare = "SELECT number, at FROM moment ORDER BY number DESC LIMIT 1000 OFFSET ?1";
        let spare_moment = until(&format!("SELECT max(at) FROM ({spare})"), signed(max_moments))?;
        if spare_moment.is_some() {
            db.prepare_cached(&format!("DELETE FROM moment WHERE number IN (SELECT number FROM ({spare}))"))?
                .execute([signed(max_moments)])?;
        }
        let old = signed(now.saturating_sub(MOMENT_AGE_MS));
        let gone = db
            .prepare_cached(
                "DELETE FROM moment WHERE at < ?1 AND number IN (SELECT number FROM moment ORDER BY number LIMIT 1000)",
            )?
            .execute([old])?;
        let old_moment = (gone > 0).then_some(old);
        for bound in [oldest_gap, spare_moment, old_moment].into_iter().flatten() {
            self.state.complete_from = self.state.complete_from.max(unsigned(bound));
        }
        db.prepare_cached("DELETE FROM coverage WHERE until < ?1")?
            .execute([signed(self.state.complete_from).max(old)])?;
        db.prepare_cached(
            "DELETE FROM topic_set WHERE id NOT IN (SELECT topics FROM gap) AND id IS NOT ?1 AND id IS NOT ?2",
        )?
        .execute(params![self.state.wanted, self.state.covered])?;
        Ok(())
    }
}

pub(crate) fn load_evictions(connection: &Connection) -> rusqlite::Result<Vec<Eviction>> {
    let mut statement = connection
        .prepare("SELECT number, opened_at, closed_at, events, topics FROM eviction ORDER BY number")?;
    let rows = statement.query_map([], |row| {
        Ok(Eviction {
            number: row.get(0)?,
            from: unsigned(row.get(1)?),
            to: unsigned(row.get(2)?),
            events: unsigned(row.get(3)?),
            topics: rows::parse_topics(Some(&row.get::<_, String>(4)?)).into_iter().collect(),
        })
    })?;
    rows.collect()
}

/// The topics of a moment's detail.
fn topics_in(detail: &str) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Detail {
        topics: Vec<String>,
    }
    serde_json::from_str(detail).map(|detail: Detail| detail.topics).unwrap_or_default()
}

/// What was found unreadable and is to be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) sequence: u64,
    pub(crate) received_at: u64,
    pub(crate) topic: Option<Arc<str>>,
}

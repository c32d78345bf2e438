//! Saving what is sound from a damaged file: row by row into a new one; the damaged one is kept.
//!
//! The new file is written under another name and takes its place by renames, each of which leaves a state that
//! [`finish_earlier`] can go on from.

use std::fs;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::OpenError;
use crate::place::Place;
use crate::record::Damage;
use crate::rows::{self, EVENT_COLUMNS, Found, Topics};
use crate::schema::{self, refused, signed, unsigned};
use crate::state::State;

/// Being written: worthless after a crash.
const GROWING: &str = ".salvaging";
/// Complete: takes the place of the damaged one.
const COMPLETE: &str = ".salvaged";
/// If nothing says how far sequences went, they go on that far above the last one seen.
const LEAP: u64 = 1_000_000_000;
/// Rows copied in one transaction.
const CHUNK: usize = 1000;

/// Goes on with what an earlier run that died had begun.
pub(crate) fn finish_earlier(place: &Place) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(place.beside(&format!("{GROWING}{suffix}")));
    }
    let complete = place.beside(COMPLETE);
    if !complete.exists() {
        return Ok(());
    }
    if place.path.exists() {
        // The damaged one is still in place: it is saved again, from the start.
        return fs::remove_file(complete).map_err(io(place, "replace"));
    }
    // The damaged one's log must not be taken for the new one's.
    for suffix in ["-wal", "-shm"] {
        let from = place.beside(suffix);
        if from.exists() {
            fs::rename(from, place.beside(&format!(".damaged{suffix}"))).map_err(io(place, "set aside"))?;
        }
    }
    fs::rename(complete, &place.path).map_err(io(place, "replace"))
}

/// Returns what is lost, and the sequence above which new ones are safe.
pub(crate) fn salvage(
    place: &Place,
    detail: &str,
    known_last: u64,
    now_wall: u64,
) -> Result<(Damage, u64), OpenError> {
    let damaged = |detail: String| OpenError::Damaged { file: place.name.clone(), detail };
    let source = schema::connect(&place.path).map_err(refused(&place.name, "open"))?;
    // The damaged file stays as it is, its log too.
    source
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(refused(&place.name, "open"))?;
    let topics = Topics::load(&source).map_err(|error| damaged(format!("{detail}; its topics: {error}")))?;

    let growing = place.beside(GROWING);
    create_private(&growing).map_err(io(place, "salvage"))?;
    let copied = copy(&source, &growing, &topics, known_last).map_err(refused(&place.name, "salvage"))?;
    drop(source);

    let kept_as = free_name(place, now_wall);
    let complete = place.beside(COMPLETE);
    fs::OpenOptions::new()
        .write(true)
        .open(&growing)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(&growing, &complete))
        .map_err(io(place, "salvage"))?;
    for suffix in ["", "-wal", "-shm"] {
        let from = place.beside(suffix);
        if from.exists() {
            fs::rename(&from, place.path.with_file_name(format!("{kept_as}{suffix}")))
                .map_err(io(place, "set aside"))?;
        }
    }
    fs::rename(&complete, &place.path).map_err(io(place, "replace"))?;
    place.sync_directory();

    let Copied { saved, expected, holes, floor } = copied;
    let skipped: u64 = holes.iter().map(|hole| hole.to - hole.from + 1).sum();
    let damage = Damage {
        detail: detail.lines().next().unwrap_or_default().to_owned(),
        kept_as: Some(kept_as),
        saved,
        lost: expected.map_or(skipped, |expected| expected.saturating_sub(saved)),
        sequences: holes.first().zip(holes.last()).map(|(first, last)| (first.from, last.to)),
        between: (holes.first().and_then(|hole| hole.after), holes.last().and_then(|hole| hole.before)),
    };
    Ok((damage, floor))
}

struct Copied {
    saved: u64,
    /// How many events there were, if that could be read.
    expected: Option<u64>,
    holes: Vec<Hole>,
    floor: u64,
}

/// Sequences that are missing, and when their sound neighbours were received.
struct Hole {
    from: u64,
    to: u64,
    after: Option<u64>,
    before: Option<u64>,
}

fn copy(source: &Connection, path: &Path, topics: &Topics, known_last: u64) -> rusqlite::Result<Copied> {
    let target = schema::connect(path)?;
    schema::create(&target, 0)?;
    // Worthless until it is complete: synced once, then.
    target.execute_batch("PRAGMA journal_mode=MEMORY; PRAGMA synchronous=OFF")?;
    let state = State::load(source).ok();
    let mut names = Topics::default();
    let mut saver = Saver {
        source,
        target: &target,
        topics,
        names: &mut names,
        saved: 0,
        first: None,
        last: None,
        holes: Vec::new(),
    };
    saver.events(&state)?;
    let Saver { saved, first, last, mut holes, .. } = saver;
    copy_the_rest(source, &target)?;

    let last_saved = last.map_or(0, |(sequence, _)| sequence);
    let known = state.as_ref().map(|state| state.last_sequence.max(state.reserved));
    let floor = match (known, known_last) {
        (None, 0) => last_saved + LEAP,
        (known, known_last) => known.unwrap_or_default().max(known_last).max(last_saved),
    };
    let end = state.as_ref().map_or(known_last, |state| state.last_sequence.max(known_last));
    let is_end_missing = state.as_ref().is_none_or(|state| state.events > 0);
    if end > last_saved && is_end_missing {
        holes.push(Hole { from: last_saved + 1, to: end, after: last.map(|(_, at)| at), before: None });
    }
    let ended_at = known_last.saturating_sub(state.as_ref().map_or(known_last, |state| state.last_sequence));
    let expected = state.as_ref().map(|state| state.events + ended_at);
    let explained = saved + holes.iter().map(|hole| hole.to - hole.from + 1).sum::<u64>();
    // Nothing says where the events began: what no hole explains was missing before the first.
    if let (Some((first, at)), Some(expected)) = (first, expected)
        && expected > explained
    {
        let from = first.saturating_sub(expected - explained).max(1);
        holes.insert(0, Hole { from, to: first.saturating_sub(1).max(from), after: None, before: Some(at) });
    }
    let mut saved_state = state.clone().unwrap_or_default();
    saved_state.last_sequence = floor;
    saved_state.events = saved;
    saved_state.unacknowledged = unsigned(target.query_row(
        "SELECT count(*) FROM event WHERE sequence > ?1",
        [signed(saved_state.acknowledged)],
        |row| row.get(0),
    )?);
    saved_state.wanted = set_that_exists(&target, saved_state.wanted)?;
    saved_state.covered = set_that_exists(&target, saved_state.covered)?;
    saved_state.clean = true;
    saved_state.save(&target)?;
    target.close().map_err(|(_, error)| error)?;
    Ok(Copied { saved, expected, holes, floor })
}

struct Saver<'a> {
    source: &'a Connection,
    target: &'a Connection,
    topics: &'a Topics,
    names: &'a mut Topics,
    saved: u64,
    /// The first and the last event saved and when they were received.
    first: Option<(u64, u64)>,
    last: Option<(u64, u64)>,
    holes: Vec<Hole>,
}

impl Saver<'_> {
    fn events(&mut self, state: &Option<State>) -> rusqlite::Result<()> {
        let end = self.end(state);
        let mut from = 0;
        while let Some(next) = self.stretch(from)? {
            // The row at `next` cannot be reached: look for the first behind it that can.
            match self.first_readable(next, end) {
                Some(sequence) => from = sequence,
                None => break,
            }
        }
        Ok(())
    }

    /// No event lies above.
    fn end(&self, state: &Option<State>) -> u64 {
        let seen = self
            .source
            .query_row("SELECT sequence FROM event ORDER BY sequence DESC LIMIT 1", [], |row| row.get(0))
            .map(unsigned)
            .unwrap_or_default();
        seen.max(state.as_ref().map_or(0, |state| state.last_sequence))
    }

    /// Copies from a sequence on until the end (`None`) or until something cannot be read (the sequence to go on at).
    fn stretch(&mut self, from: u64) -> rusqlite::Result<Option<u64>> {
        let mut from = from;
        loop {
            let mut chunk = Vec::new();
            let mut failed = false;
            {
                let mut statement = self.source.prepare_cached(&format!(
                    "SELECT {EVENT_COLUMNS} FROM event WHERE sequence >= ?1 ORDER BY sequence LIMIT {CHUNK}"
                ))?;
                let mut rows = statement.query([signed(from)])?;
                loop {
                    match rows.next() {
                        Ok(Some(row)) => match rows::event(row, &|number| self.topics.name(number)) {
                            // Order shows that the page is what it should be.
                            Ok(found) if found.sequence() < from => failed = true,
                            Ok(found) => {
                                from = found.sequence() + 1;
                                chunk.push(found);
                                continue;
                            }
                            Err(_) => failed = true,
                        },
                        Ok(None) => {}
                        Err(_) => failed = true,
                    }
                    break;
                }
            }
            let is_last = chunk.len() < CHUNK && !failed;
            self.save(chunk)?;
            if failed {
                return Ok(Some(from));
            }
            if is_last {
                return Ok(None);
            }
        }
    }

    /// In steps that double, then halving the last one.
    fn first_readable(&self, from: u64, end: u64) -> Option<u64> {
        let (mut bad, mut step) = (from, 1);
        let (mut good, mut found) = loop {
            let probe = from.saturating_add(step).min(end);
            match self.readable_at(probe) {
                Some(found) => break (probe, found),
                None if probe == end => return None,
                None => bad = probe,
            }
            step *= 2;
        };
        while good > bad + 1 {
            let middle = bad + (good - bad) / 2;
            match self.readable_at(middle) {
                Some(sequence) => (good, found) = (middle, sequence),
                None => bad = middle,
            }
        }
        // Progress, whatever a damaged page says.
        (found > from).then_some(found)
    }

    /// The first sequence from one on, if the way there can be read.
    fn readable_at(&self, sequence: u64) -> Option<u64> {
        self.source
            .prepare_cached(
                "SELECT sequence, frame FROM event WHERE sequence >= ?1 ORDER BY sequence LIMIT 1",
            )
            .and_then(|mut statement| statement.query_row([signed(sequence)], |row| row.get(0)).optional())
            .ok()?
            .map(unsigned)
            .filter(|found| *found >= sequence)
    }

    fn save(&mut self, chunk: Vec<Found>) -> rusqlite::Result<()> {
        let transaction = self.target.unchecked_transaction()?;
        {
            let mut insert = transaction.prepare_cached(&format!(
                "INSERT OR IGNORE INTO event({EVENT_COLUMNS}) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"
            ))?;
            for found in chunk {
                let Found::Sound(event) = found else { continue };
                let topic = self.names.number(&transaction, &event.topic)?;
                insert.execute(params![
                    signed(event.sequence),
                    signed(event.received_at),
                    event.origin as i64,
                    topic,
                    event.channel,
                    crate::crc::of_event(&event.topic, &event.frame),
                    event.frame
                ])?;
                self.saved += 1;
                if let Some((last, at)) = self.last
                    && event.sequence > last + 1
                {
                    self.holes.push(Hole {
                        from: last + 1,
                        to: event.sequence - 1,
                        after: Some(at),
                        before: Some(event.received_at),
                    });
                }
                self.first.get_or_insert((event.sequence, event.received_at));
                self.last = Some((event.sequence, event.received_at));
            }
        }
        transaction.commit()
    }
}

/// Gaps, moments, coverage: what can be read of them.
fn copy_the_rest(source: &Connection, target: &Connection) -> rusqlite::Result<()> {
    for (table, columns) in [
        ("topic_set", "id, crc, topics"),
        ("gap", "number, id, opened_at, closed_at, reason, topics, certainty, backfilled"),
        ("moment", "number, at, kind, detail"),
        ("coverage", "topic, since, until"),
        ("eviction", "number, opened_at, closed_at, events, topics"),
    ] {
        let count = columns.split(',').count();
        let marks = vec!["?"; count].join(", ");
        let transaction = target.unchecked_transaction()?;
        {
            let mut insert =
                transaction.prepare(&format!("INSERT OR IGNORE INTO {table}({columns}) VALUES({marks})"))?;
            let Ok(mut statement) = source.prepare(&format!("SELECT {columns} FROM {table}")) else {
                continue;
            };
            let Ok(mut rows) = statement.query([]) else { continue };
            while let Ok(Some(row)) = rows.next() {
                let values = (0..count)
                    .map(|column| row.get::<_, rusqlite::types::Value>(column))
                    .collect::<rusqlite::Result<Vec<_>>>();
                if let Ok(values) = values {
                    // A row that breaks a rule of its table is damaged.
                    let _ = insert.execute(rusqlite::params_from_iter(values));
                }
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

fn set_that_exists(target: &Connection, set: Option<i64>) -> rusqlite::Result<Option<i64>> {
    let Some(set) = set else { return Ok(None) };
    target.query_row("SELECT id FROM topic_set WHERE id = ?1", [set], |row| row.get(0)).optional()
}

fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn free_name(place: &Place, now_wall: u64) -> String {
    let name = |number: u64| format!("{}.damaged-{number}", place.name);
    let mut number = now_wall;
    while place.path.with_file_name(name(number)).exists() {
        number += 1;
    }
    name(number)
}

fn io(place: &Place, action: &'static str) -> impl FnOnce(std::io::Error) -> OpenError {
    let file = place.name.clone();
    move |source| OpenError::Io { file, action, source }
}

//! Opening: what is there is looked at before it is trusted.

use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::change::load_evictions;
use crate::error::OpenError;
use crate::options::{Options, Sync};
use crate::place::Place;
use crate::record::{Damage, Restored, Stored};
use crate::rows::{self, EVENT_COLUMNS, Found, Topics};
use crate::salvage::{self, salvage};
use crate::schema::{self, Header, VERSION, refused, signed, unsigned};
use crate::state::State;
use crate::writer::{Opened, RESERVE};

/// How long a journal that was not closed in order may be checked before it is trusted as far as it was seen.
const CHECK_FOR: Duration = Duration::from_secs(2);
/// The dedup window that is restored.
const RECENT_MS: u64 = 60_000;
const RECENT_EVENTS: usize = 100_000;
const RECENT_BYTES: usize = 64 << 20;

/// What a look at the file showed.
enum Look {
    New(Connection),
    Sound(Connection, State),
    Torn(String),
}

pub(crate) fn open(options: Options, now_wall: u64) -> Result<(Opened, Restored), OpenError> {
    options.check()?;
    let mut place = Place::take(&options.path)?;
    salvage::finish_earlier(&place)?;
    let known = place.before.unwrap_or_default();
    let is_missing = !place.path.exists();
    recognise(&place)?;
    place.create_or_tighten()?;
    // From now on the file is known as ours, whatever happens to its first page.
    place.write(known.last, known.suspect);
    let database = |action| refused(&place.name, action);

    let (connection, mut state, mut damage, mut floor) = match look(&place, known.suspect)? {
        Look::New(connection) => {
            schema::create(&connection, known.last).map_err(database("create"))?;
            place.sync_directory();
            let state = State::load(&connection).map_err(database("create"))?;
            let damage = (known.last > 0).then(|| missing(is_missing, known.last));
            (connection, state, damage, known.last)
        }
        Look::Sound(connection, state) => {
            let damage =
                (known.last > state.last_sequence).then(|| torn_end(&connection, &state, known.last));
            let floor = state.last_sequence.max(known.last);
            (connection, state, damage, floor)
        }
        Look::Torn(detail) => {
            let (damage, floor) = salvage(&place, &detail, known.last, now_wall)?;
            let connection = schema::connect(&place.path).map_err(database("open"))?;
            let state = State::load(&connection).map_err(database("open"))?;
            (connection, state, Some(damage), floor)
        }
    };
    let is_new = state.last_sequence == 0 && damage.is_none() && state.sound_until.is_none();
    if !state.clean {
        floor = floor.max(state.reserved);
    }
    if let Some(damage) = &mut damage {
        damage.sequences = damage.sequences.filter(|(from, to)| from <= to);
    }

    schema::configure(&connection, &options).map_err(database("open"))?;
    state.clean = false;
    state.last_sequence = floor;
    state.reserved = if options.sync == Sync::Always { 0 } else { floor + RESERVE };
    connection
        .execute_batch("PRAGMA synchronous=FULL")
        .and_then(|()| state.save(&connection))
        .and_then(|()| schema::configure(&connection, &options))
        .map_err(database("write"))?;

    let topics = Topics::load(&connection).map_err(database("read"))?;
    let evictions = load_evictions(&connection).map_err(database("read"))?;
    let restored = restored(&connection, &state, &topics, is_new, damage).map_err(database("read"))?;
    let opened = Opened { place, connection, options, state, topics, evictions, floor, now_wall };
    Ok((opened, restored))
}

/// Refuses what is not ours before anything is done to it.
fn recognise(place: &Place) -> Result<(), OpenError> {
    let file = || place.name.clone();
    let header = match schema::header_of(&place.path) {
        Ok(header) => header,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(OpenError::Io { file: file(), action: "read", source }),
    };
    match header {
        Header::Ours { version } if version != VERSION => {
            Err(OpenError::Version { file: file(), found: version, known: VERSION })
        }
        // A creation that was cut off: SQLite takes it back.
        Header::Other(_) if place.before.is_some() && place.beside("-journal").exists() => Ok(()),
        Header::Other(what) if place.before.is_none() => Err(OpenError::Foreign { file: file(), what }),
        Header::Other(what) => {
            Err(OpenError::Damaged { file: file(), detail: format!("its first page is {what}") })
        }
        Header::Ours { .. } | Header::Empty => Ok(()),
    }
}

fn look(place: &Place, is_suspect: bool) -> Result<Look, OpenError> {
    let connection = schema::connect(&place.path).map_err(refused(&place.name, "open"))?;
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    match tables {
        Ok(0) => return Ok(Look::New(connection)),
        Ok(_) => {}
        Err(error) => return torn_or_refused(place, error),
    }
    let state = match State::load(&connection) {
        Ok(state) => state,
        Err(error) => return torn_or_refused(place, error),
    };
    match check(&connection, &state, is_suspect) {
        Ok(None) => Ok(Look::Sound(connection, state)),
        Ok(Some(detail)) => Ok(Look::Torn(detail)),
        Err(error) => torn_or_refused(place, error),
    }
}

fn torn_or_refused(place: &Place, error: rusqlite::Error) -> Result<Look, OpenError> {
    use rusqlite::ErrorCode::{
        DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(DatabaseBusy | DatabaseLocked | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure) => {
            Err(refused(&place.name, "open")(error))
        }
        _ => Ok(Look::Torn(error.to_string())),
    }
}

/// What is wrong with the file. Thorough only when the last run did not close it.
fn check(connection: &Connection, state: &State, is_suspect: bool) -> rusqlite::Result<Option<String>> {
    let (first, last): (Option<i64>, Option<i64>) = (
        connection.query_row("SELECT min(sequence) FROM event", [], |row| row.get(0))?,
        connection.query_row("SELECT max(sequence) FROM event", [], |row| row.get(0))?,
    );
    let last = last.map(unsigned).unwrap_or_default();
    if last > state.last_sequence || state.acknowledged > state.last_sequence {
        return Ok(Some(format!("events up to {last}, but {} is the last known", state.last_sequence)));
    }
    if first.is_none() != (state.events == 0) {
        return Ok(Some(format!("{} events are missing", state.events)));
    }
    if state.clean && !is_suspect {
        return Ok(None);
    }
    let budget = (!is_suspect).then_some(CHECK_FOR);
    match interruptible(connection, budget, || {
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
    }) {
        Ok(answer) if answer == "ok" => Ok(None),
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Runs a query that is interrupted when its time is up.
fn interruptible<T>(connection: &Connection, budget: Option<Duration>, query: impl FnOnce() -> T) -> T {
    let Some(budget) = budget else { return query() };
    let handle = connection.get_interrupt_handle();
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        let deadline = Instant::now() + budget;
        let timed_out = std::sync::mpsc::RecvTimeoutError::Timeout;
        if waiting.recv_timeout(deadline.saturating_duration_since(Instant::now())) == Err(timed_out) {
            handle.interrupt();
        }
    });
    let answer = query();
    drop(done);
    // A watch that panicked has interrupted nothing.
    let _ = watch.join();
    answer
}

fn missing(is_missing: bool, last: u64) -> Damage {
    Damage {
        detail: format!(
            "the file was {}, but its lock file tells of events up to {last}",
            if is_missing { "missing" } else { "empty" }
        ),
        kept_as: None,
        saved: 0,
        lost: last,
        sequences: Some((1, last)),
        between: (None, None),
    }
}

/// Commits that had reached the log are not there any more.
fn torn_end(connection: &Connection, state: &State, last: u64) -> Damage {
    let before = connection
        .query_row("SELECT received_at FROM event ORDER BY sequence DESC LIMIT 1", [], |row| row.get(0))
        .map(unsigned)
        .ok();
    Damage {
        detail: "its last commits are missing: the write-ahead log was cut off or removed".to_owned(),
        kept_as: None,
        saved: state.events,
        lost: last - state.last_sequence,
        sequences: Some((state.last_sequence + 1, last)),
        between: (before, None),
    }
}

fn restored(
    connection: &Connection,
    state: &State,
    topics: &Topics,
    is_new: bool,
    damage: Option<Damage>,
) -> rusqlite::Result<Restored> {
    Ok(Restored {
        is_new,
        sound_until: state.sound_until,
        wanted: rows::topics_of(connection, state.wanted)?,
        covered: rows::topics_of(connection, state.covered)?,
        gaps: rows::gaps(connection)?,
        recent: recent(connection, state, topics)?,
        unacknowledged: state.unacknowledged,
        last_sequence: state.last_sequence,
        last_channel: state.last_channel,
        damage,
    })
}

/// Backwards from the end until an event is too old, or there are too many. The last one is never too old: it says where the
/// stream stood.
fn recent(connection: &Connection, state: &State, topics: &Topics) -> rusqlite::Result<Vec<Stored>> {
    let mut statement =
        connection.prepare(&format!("SELECT {EVENT_COLUMNS} FROM event ORDER BY sequence DESC LIMIT ?1"))?;
    let mut found = statement.query(params![signed(RECENT_EVENTS as u64)])?;
    let mut since = None;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while let Some(row) = found.next()? {
        let Found::Sound(mut event) = rows::event(row, &|number| topics.name(number))? else { continue };
        if event.origin != crate::Origin::Live {
            continue;
        }
        let newest = state.sound_until.map_or(event.received_at, |until| until.min(event.received_at));
        let since = *since.get_or_insert(newest.saturating_sub(RECENT_MS));
        bytes += event.frame.len();
        if event.received_at < since || bytes > RECENT_BYTES {
            break;
        }
        event.redelivered = event.sequence > state.acknowledged;
        events.push(event);
    }
    events.reverse();
    Ok(events)
}

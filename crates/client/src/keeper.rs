//! The cursor: which events are dealt with, and where that is kept for a later process.
//!
//! Saved only after acknowledgement, one save at a time; what changes meanwhile is in the next one.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use genesys_notifications_proto::{BackoffConfig, Cursor, ErrorCode, ErrorReport, Failure, Notice, Track};
use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::control::Control;
use crate::cursor_file::{CursorFile, FileStore};
use crate::reader::Mark;
use crate::shared::Shared;

/// Two saves are at least so far apart.
const EVERY: Duration = Duration::from_millis(100);

/// How long the next try of a save waits while the client ends.
const LAST_WAIT: Duration = Duration::from_millis(100);

/// The cursor of one client.
pub(crate) struct Keeper {
    store: Store,
    /// Bounds of the waits between failing saves, the first and any, in milliseconds.
    waits: (u64, u64),
    state: Mutex<State>,
    /// Something is to be saved, or the end has come.
    wake: Notify,
}

enum Store {
    /// Until the end, which frees it for others.
    File(Arc<FileStore>),
    /// Asked for by controls.
    Functions { deadline: Duration },
}

struct State {
    track: Track,
    /// What an earlier process has left; taken once it was asked for.
    found: Option<Cursor>,
    /// It differs from what was saved last.
    is_dirty: bool,
    is_ending: bool,
    saved: CursorStats,
    waiting: HashMap<u64, oneshot::Sender<Result<(), String>>>,
    last_ticket: u64,
}

/// What is known of the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CursorStats {
    /// The position that was saved last, or found at the start.
    pub position: Option<String>,
    /// When it was saved, in milliseconds since the epoch; nothing before the first save.
    pub saved_at: Option<u64>,
    /// Saves that succeeded.
    pub saves: u64,
    /// Saves that failed.
    pub failures: u64,
    /// The last one did.
    pub failing: bool,
}

impl Keeper {
    /// Keeps the cursor in a file.
    ///
    /// # Errors
    /// In words for the option `cursor.path`.
    pub(crate) fn of_file(path: &Path, backoff: &BackoffConfig) -> Result<Self, String> {
        let (file, found) = CursorFile::open(path)?;
        let found = found.map(|text| Cursor::read(&text)).transpose();
        let found = found.map_err(|why| format!("the file cannot be used: what it holds {why}"))?;
        Ok(Self::new(Store::File(FileStore::new(file)), found, backoff))
    }

    /// Lets the caller's functions keep it; each save has so much time.
    pub(crate) fn of_functions(deadline: Duration, backoff: &BackoffConfig) -> Self {
        Self::new(Store::Functions { deadline }, None, backoff)
    }

    fn new(store: Store, found: Option<Cursor>, backoff: &BackoffConfig) -> Self {
        let state = State {
            track: Track::new(found.as_ref()),
            is_dirty: false,
            is_ending: false,
            saved: CursorStats { position: position(found.as_ref()), ..CursorStats::default() },
            found,
            waiting: HashMap::new(),
            last_ticket: 0,
        };
        let waits = (backoff.initial_ms, backoff.max_ms);
        Self { store, waits, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Whether the caller's functions keep it.
    pub(crate) fn asks_for_it(&self) -> bool {
        matches!(self.store, Store::Functions { .. })
    }

    /// What an earlier process has left in the file.
    pub(crate) fn found(&self) -> Option<Cursor> {
        self.state().found.clone()
    }

    /// What the caller's function gave.
    pub(crate) fn loaded(&self, answer: Result<Option<String>, String>) -> Result<Option<Cursor>, Failure> {
        let text =
            answer.map_err(|why| Failure::Store(format!("the cursor's load function failed: {why}")))?;
        let found = text.map(|text| Cursor::read(&text)).transpose();
        let found = found
            .map_err(|why| Failure::CorruptCursor(format!("what the cursor's load function gave {why}")))?;
        let mut state = self.state();
        // Events of a journal may have been acknowledged before it was asked for.
        if state.track.cursor().is_none() {
            state.track = Track::new(found.as_ref());
            state.saved.position = position(found.as_ref());
        }
        Ok(found)
    }

    /// A connection asks the server to go on from this position.
    pub(crate) fn connecting(&self, position: &str) {
        self.state().track.connecting(position);
    }

    /// An event was queued with this sequence.
    pub(crate) fn arrived(&self, sequence: u64, mark: &Mark<'_>, received_at: u64) {
        let mut state = self.state();
        if state.track.arrived(sequence, mark.position.as_deref(), mark.identity, received_at) {
            self.dirty(&mut state);
        }
    }

    /// An event will not be delivered.
    pub(crate) fn passed(&self, mark: &Mark<'_>, received_at: u64) {
        let mut state = self.state();
        if state.track.passed(mark.position.as_deref(), mark.identity, received_at) {
            self.dirty(&mut state);
        }
    }

    /// Every event up to this sequence is dealt with.
    pub(crate) fn acked(&self, up_to: u64) {
        let mut state = self.state();
        if state.track.acked(up_to) {
            self.dirty(&mut state);
        }
    }

    /// The caller's function has saved, or says why it has not.
    pub(crate) fn answered(&self, ticket: u64, answer: Result<(), String>) {
        let waiting = self.state().waiting.remove(&ticket);
        if let Some(waiting) = waiting {
            // It may have run out of time just now.
            let _ = waiting.send(answer);
        }
    }

    /// No event follows: what is not saved yet is saved now, and [`run`] ends.
    pub(crate) fn end(&self) {
        self.state().is_ending = true;
        self.wake.notify_one();
    }

    /// Another client may have the file, once a save that is under way has ended; for that it waits so long.
    pub(crate) fn release(&self, patience: Duration) {
        if let Store::File(file) = &self.store {
            file.release(patience);
        }
    }

    pub(crate) fn stats(&self) -> CursorStats {
        self.state().saved.clone()
    }

    fn dirty(&self, state: &mut State) {
        if !state.is_dirty {
            state.is_dirty = true;
            self.wake.notify_one();
        }
    }

    /// What is to be saved, once there is something; nothing at the end.
    async fn next(&self) -> Option<Cursor> {
        loop {
            {
                let mut state = self.state();
                if std::mem::take(&mut state.is_dirty)
                    && let Some(cursor) = state.track.cursor()
                {
                    return Some(cursor);
                }
                if state.is_ending {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    async fn save(&self, shared: &Shared, text: String) -> Result<(), String> {
        let secrets = &shared.services.secrets;
        match &self.store {
            Store::File(file) => {
                let saving = file.begin().ok_or("the client was closed")?;
                let saved = tokio::task::spawn_blocking(move || saving.save(&text)).await;
                saved.map_err(|error| error.to_string())?.map_err(|error| secrets.scrub(&error.to_string()))
            }
            Store::Functions { deadline } => {
                let (sender, receiver) = oneshot::channel();
                let ticket = {
                    let mut state = self.state();
                    state.last_ticket += 1;
                    let ticket = state.last_ticket;
                    state.waiting.insert(ticket, sender);
                    ticket
                };
                shared.tell(Control::SaveCursor { ticket, cursor: text });
                let answer = timeout(*deadline, receiver).await;
                self.state().waiting.remove(&ticket);
                match answer {
                    Ok(Ok(answer)) => answer.map_err(|why| secrets.scrub(&why)),
                    Ok(Err(_)) => Err("the client was closed".to_owned()),
                    Err(_) => Err(format!("no answer within {} ms", deadline.as_millis())),
                }
            }
        }
    }

    /// Waits so long, but not beyond the end.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.until_end() => {}
        }
    }

    async fn until_end(&self) {
        while !self.state().is_ending {
            self.wake.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn position(cursor: Option<&Cursor>) -> Option<String> {
    cursor.map(|cursor| cursor.position.clone())
}

/// Saves what is acknowledged, until [`Keeper::end`] and what was left then.
pub(crate) async fn run(shared: Arc<Shared>, keeper: Arc<Keeper>) {
    let (first_wait, longest_wait) = keeper.waits;
    let mut bound = first_wait;
    while let Some(cursor) = keeper.next().await {
        let saved = keeper.save(&shared, cursor.to_text()).await;
        let now = shared.clock.now().wall;
        match saved {
            Ok(()) => {
                {
                    let mut state = keeper.state();
                    state.saved.position = Some(cursor.position);
                    state.saved.saved_at = Some(now);
                    state.saved.saves += 1;
                    state.saved.failing = false;
                }
                bound = first_wait;
                keeper.pause(EVERY).await;
            }
            Err(why) => {
                {
                    let mut state = keeper.state();
                    state.saved.failures += 1;
                    state.saved.failing = true;
                    state.is_dirty = true;
                }
                shared.tell(Control::Notice(Notice::Error(report(&why))));
                let wait = Duration::from_millis(shared.random_up_to(bound)).max(EVERY);
                bound = bound.saturating_mul(2).min(longest_wait);
                keeper.pause(wait).await;
                let is_ending = keeper.state().is_ending;
                if is_ending {
                    sleep(LAST_WAIT).await;
                }
            }
        }
    }
}

fn report(why: &str) -> ErrorReport {
    ErrorReport {
        code: ErrorCode::CursorFailed,
        message: format!("the cursor was not saved: {why}"),
        retryable: true,
        hint: None,
        status: None,
        correlation_id: None,
    }
}

//! The one that writes: takes what waits, commits it, delivers it, and keeps the journal within its bounds.
//!
//! [`Writer::turn`] does whatever is due and says when to come again; time is given to it.

mod bounds;
mod delivery;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::change::{Change, Eviction, Unreadable};
use crate::options::{OnFull, Options, Sync};
use crate::outlet::{News, Outlet};
use crate::place::Place;
use crate::record::Stored;
use crate::rows::Topics;
use crate::schema::{self, PAGE_BYTES};
use crate::shared::{ACK_AFTER, COMMIT_AFTER, COMMIT_EVENTS, Entry, Shared, Waiting};
use crate::state::State;
use crate::stats::Stats;

/// Events of one transaction at most.
const BATCH: usize = 256;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Evictions are told that much later at the latest, and before the next event.
const TELL_AFTER: Duration = Duration::from_millis(250);
/// Sequences that a run with `Sync::Interval` sets aside at once.
pub(crate) const RESERVE: u64 = 1_000_000;
/// A transaction of this size at most fails at the hard bound; one that fails further away met a full disk.
const STUCK_PAGES: u64 = 2048;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    place: Place,
    connection: Connection,
    options: Options,
    state: State,
    topics: Topics,
    outlet: Option<Arc<dyn Outlet>>,
    /// Taken out of the inbox and not committed yet.
    batch: Vec<Entry>,

    /// Highest sequence delivered or passed over.
    delivered: u64,
    /// There are committed events above `delivered`.
    is_behind: bool,
    /// Read back and not delivered yet.
    page: VecDeque<Stored>,
    /// Events up to this one come from an earlier run.
    redelivered_until: u64,
    unreadable: Vec<Unreadable>,

    /// A commit or a read failed: what is tried again, and when.
    trouble: Option<Trouble>,
    /// The file is at its hard bound: first make space, then write; when to try again if there is none to make.
    stuck_until: Option<Instant>,
    /// The bound was reached with events that stay, until it is no longer.
    is_paused: bool,
    has_given_up: bool,

    used_pages: u64,
    file_pages: u64,
    more_to_delete: bool,
    maintain_at: Instant,
    evictions: Vec<Eviction>,
    untold: Option<(Eviction, Instant)>,

    /// Commits since the last one that reached the disk, with `Sync::Interval`.
    unsynced_since: Option<Instant>,
    started: (Instant, u64),
    last_received: u64,
    commits: u64,
    last_commit: Duration,
    is_closing: bool,
}

#[derive(Debug)]
struct Trouble {
    retry_at: Instant,
    is_reading: bool,
}

/// What [`Writer::new`] is made from.
pub(crate) struct Opened {
    pub(crate) place: Place,
    pub(crate) connection: Connection,
    pub(crate) options: Options,
    pub(crate) state: State,
    pub(crate) topics: Topics,
    pub(crate) evictions: Vec<Eviction>,
    /// New sequences lie above.
    pub(crate) floor: u64,
    pub(crate) now_wall: u64,
}

impl Writer {
    pub(crate) fn new(opened: Opened) -> rusqlite::Result<(Self, Arc<Shared>)> {
        let Opened { place, connection, options, state, topics, evictions, floor, now_wall } = opened;
        let shared = Arc::new(Shared::new(floor, state.acknowledged));
        let now = Instant::now();
        let (used_pages, file_pages) = schema::pages(&connection)?;
        let mut writer = Self {
            shared: Arc::clone(&shared),
            place,
            connection,
            options,
            topics,
            outlet: None,
            batch: Vec::new(),
            delivered: state.acknowledged,
            is_behind: state.unacknowledged > 0,
            page: VecDeque::new(),
            redelivered_until: floor,
            unreadable: Vec::new(),
            trouble: None,
            stuck_until: None,
            is_paused: false,
            has_given_up: false,
            used_pages,
            file_pages,
            more_to_delete: false,
            maintain_at: now,
            evictions,
            untold: None,
            unsynced_since: None,
            started: (now, now_wall),
            last_received: 0,
            commits: 0,
            last_commit: Duration::ZERO,
            is_closing: false,
            state,
        };
        writer.place.write(floor, false);
        writer.publish();
        writer.is_paused = writer.is_blocked();
        writer.shared.settle_full(writer.is_paused);
        Ok((writer, shared))
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    /// Does what is due and returns when there will be something again, if nothing comes in before.
    pub(crate) fn turn(&mut self, now: Instant) -> Option<Instant> {
        let waiting = self.shared.waiting();
        self.is_closing = waiting.closing;
        if self.is_closing {
            return None;
        }
        let may_try = self.trouble.as_ref().is_none_or(|trouble| trouble.retry_at <= now);
        if may_try && self.stuck_until.is_none_or(|until| until <= now || self.could_make_space(&waiting)) {
            self.write(now, &waiting);
        }
        self.deliver(now);
        self.maintain(now);
        if self.untold.as_ref().is_some_and(|(_, since)| *since + TELL_AFTER <= now) {
            self.tell_evictions();
        }
        self.publish();
        let waiting = self.shared.waiting();
        self.is_paused = self.is_over() && (self.is_paused || self.is_blocked());
        if self.is_paused && self.options.on_full == OnFull::Fail && !self.has_given_up {
            self.has_given_up = true;
            self.tell(News::Full);
        }
        let is_full = self.trouble.is_some() || self.stuck_until.is_some() || self.is_paused;
        if self.shared.settle_full(is_full || self.has_given_up) {
            self.tell(News::Room);
        }
        self.deadline(now, &waiting)
    }

    /// Returns at the deadline, or when something came in.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        self.shared.wait(deadline);
    }

    /// Commits what was taken and closes the file. Nothing is delivered any more.
    pub(crate) fn finish(mut self) {
        loop {
            if self.batch.is_empty() {
                self.shared.take(&mut self.batch, BATCH);
            }
            let ack = self.shared.waiting().ack;
            if self.batch.is_empty() && ack <= self.state.acknowledged {
                break;
            }
            if self.commit(Instant::now(), ack, true).is_err() {
                return;
            }
            self.batch.clear();
        }
        self.state.clean = true;
        self.state.reserved = 0;
        let closed = self
            .connection
            .execute_batch("PRAGMA synchronous=FULL")
            .and_then(|()| self.state.save(&self.connection))
            .and_then(|()| self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())));
        // A failure leaves `clean` at 0 or the log to be read: the next run looks closer.
        drop(closed);
    }

    fn write(&mut self, now: Instant, waiting: &Waiting) {
        if self.batch.is_empty() && is_due(waiting, now) {
            self.shared.take(&mut self.batch, BATCH);
        }
        let ack_due = waiting.ack > self.state.acknowledged
            && (self.stuck_until.is_some() || waiting.ack_at.is_none_or(|at| at + ACK_AFTER <= now));
        let has_work = !self.batch.is_empty()
            || ack_due
            || (self.is_over() && self.can_delete())
            || self.more_to_delete
            || !self.unreadable.is_empty()
            || self.is_sync_due(now)
            || self.trouble.as_ref().is_some_and(|trouble| !trouble.is_reading);
        if !has_work || (self.stuck_until.is_some() && self.commit(now, waiting.ack, false).is_err()) {
            return;
        }
        if self.commit(now, waiting.ack, true).is_ok() {
            let batch = std::mem::take(&mut self.batch);
            self.deliver_fresh(&batch);
            self.batch = batch;
            self.batch.clear();
        }
    }

    /// One transaction; with the batch or only what makes space for it.
    fn commit(&mut self, now: Instant, ack: u64, with_batch: bool) -> Result<(), ()> {
        let begun = Instant::now();
        let syncs = self.options.sync == Sync::Always || self.is_sync_due(now) || self.is_closing;
        match self.transact(now, ack, with_batch, syncs) {
            Ok(()) => {
                self.last_commit = begun.elapsed();
                self.commits += 1;
                if with_batch {
                    self.place.write(self.state.last_sequence, false);
                    self.shared.written(&self.batch);
                    if let Some(event) = self.batch.iter().rev().find_map(Entry::event) {
                        self.last_received = event.received_at;
                    }
                }
                self.shared.acknowledged(self.state.acknowledged);
                self.unsynced_since = if syncs { None } else { self.unsynced_since.or(Some(now)) };
                if with_batch {
                    self.stuck_until = None;
                    self.recover(false);
                }
                Ok(())
            }
            Err(error) => {
                self.topics.rolled_back();
                self.fail(now, &error, false);
                Err(())
            }
        }
    }

    fn transact(&mut self, now: Instant, ack: u64, with_batch: bool, syncs: bool) -> rusqlite::Result<()> {
        let plan = self.plan(now);
        let is_interval = self.options.sync != Sync::Always;
        let mut state = self.state.clone();
        let last = match self.batch.iter().rev().find_map(Entry::sequence) {
            Some(last) if with_batch => last,
            _ => 0,
        };
        let reserves = is_interval && last + RESERVE / 10 > state.reserved;
        if reserves {
            state.reserved = last.max(state.last_sequence) + RESERVE;
        }
        let syncs = syncs || reserves;
        if is_interval && syncs {
            self.connection.execute_batch("PRAGMA synchronous=FULL")?;
        }
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let mut change = Change {
            connection: &transaction,
            topics: &mut self.topics,
            state,
            evictions: self.evictions.clone(),
            evicted: None,
            more: false,
            deleted_until: 0,
        };
        change.acknowledge(ack)?;
        for gone in &self.unreadable {
            change.delete_unreadable(gone.sequence, gone.received_at, gone.topic.as_deref())?;
        }
        if let Some(plan) = plan {
            change.delete(plan)?;
        }
        let run = self.untold.as_ref().map(|(eviction, _)| eviction.number);
        change.record_eviction(run)?;
        if with_batch {
            change.write(&self.batch)?;
        }
        change.state.save(change.connection)?;
        let Change { state, evictions, evicted, more, deleted_until, .. } = change;
        let pages = schema::pages(&transaction)?;
        transaction.commit()?;
        if is_interval && syncs {
            self.connection.execute_batch("PRAGMA synchronous=NORMAL")?;
        }
        self.topics.committed();
        self.state = state;
        self.evictions = evictions;
        (self.used_pages, self.file_pages) = pages;
        self.more_to_delete = more;
        self.unreadable.clear();
        self.pass_over(deleted_until);
        if let Some(evicted) = evicted {
            self.note_eviction(evicted, now);
        }
        Ok(())
    }

    fn fail(&mut self, now: Instant, error: &rusqlite::Error, is_reading: bool) {
        let retry_at = now + RETRY_AFTER;
        let code = error.sqlite_error_code();
        let at_bound = schema::hard_bytes(self.options.max_bytes) / PAGE_BYTES;
        if code == Some(ErrorCode::DiskFull)
            && !is_reading
            && schema::pages(&self.connection).is_ok_and(|(_, all)| all + STUCK_PAGES >= at_bound)
        {
            self.stuck_until = Some(retry_at);
            return;
        }
        if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
            self.place.write(self.state.last_sequence, true);
        }
        match &mut self.trouble {
            Some(trouble) => trouble.retry_at = retry_at,
            None => {
                self.trouble = Some(Trouble { retry_at, is_reading });
                let action = if is_reading { "read" } else { "write" };
                self.tell(News::Failing(format!("cannot {action} journal '{}': {error}", self.place.name)));
            }
        }
    }

    fn recover(&mut self, is_reading: bool) {
        if self.trouble.as_ref().is_some_and(|trouble| trouble.is_reading == is_reading) {
            self.trouble = None;
            self.tell(News::Recovered);
        }
    }

    fn is_sync_due(&self, now: Instant) -> bool {
        let Sync::Interval { ms } = self.options.sync else { return false };
        self.unsynced_since.is_some_and(|since| since + Duration::from_millis(ms) <= now)
    }

    fn could_make_space(&self, waiting: &Waiting) -> bool {
        self.can_delete() || waiting.ack > self.state.acknowledged
    }

    fn deadline(&self, now: Instant, waiting: &Waiting) -> Option<Instant> {
        let retry_at = self.trouble.as_ref().map(|trouble| trouble.retry_at);
        let write_at = if waiting.events >= COMMIT_EVENTS {
            Some(now)
        } else {
            waiting.first_at.map(|first| first + COMMIT_AFTER)
        };
        let ack_at = (waiting.ack > self.state.acknowledged)
            .then_some(waiting.ack_at.map_or(now, |at| at + ACK_AFTER));
        let sync_at = match (self.options.sync, self.unsynced_since) {
            (Sync::Interval { ms }, Some(since)) => Some(since + Duration::from_millis(ms)),
            _ => None,
        };
        let delete_at =
            ((self.is_over() && self.can_delete()) || self.more_to_delete || !self.unreadable.is_empty())
                .then_some(now);
        let work_at = [write_at, ack_at, sync_at, delete_at].into_iter().flatten().min();
        let stuck_at = self.stuck_until.map(|until| if self.could_make_space(waiting) { now } else { until });
        let work_at = match (retry_at, stuck_at) {
            (Some(retry_at), _) => Some(work_at.map_or(retry_at, |at| at.max(retry_at))),
            (None, Some(stuck_at)) => Some(stuck_at),
            (None, None) => work_at,
        };
        let read_at = (self.is_behind && self.reads_on()).then_some(now);
        let tell_at = self.untold.as_ref().map(|(_, since)| *since + TELL_AFTER);
        [work_at, read_at, tell_at, Some(self.maintain_at)].into_iter().flatten().min()
    }

    /// Whether there is room for what waits on the disk.
    fn reads_on(&self) -> bool {
        let may_read = self.trouble.as_ref().is_none_or(|trouble| !trouble.is_reading);
        may_read && self.outlet.as_ref().is_some_and(|outlet| self.has_room(&**outlet))
    }

    fn publish(&self) {
        self.shared.set_stats(Stats {
            events: self.state.events,
            unacknowledged: self.state.unacknowledged,
            bytes: self.used_pages * PAGE_BYTES,
            max_bytes: self.options.max_bytes,
            last_sequence: 0,
            acknowledged: self.state.acknowledged,
            waiting: 0,
            commits: self.commits,
            evicted: self.state.evicted,
            last_commit_ms: self.last_commit.as_secs_f64() * 1000.0,
        });
    }

    fn tell(&self, news: News) {
        if let Some(outlet) = &self.outlet {
            outlet.tell(news);
        }
    }
}

fn is_due(waiting: &Waiting, now: Instant) -> bool {
    waiting.events >= COMMIT_EVENTS || waiting.first_at.is_some_and(|first| first + COMMIT_AFTER <= now)
}

#[cfg(test)]
mod tests;

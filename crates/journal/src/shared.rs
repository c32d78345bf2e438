//! What the client's threads and the journal's thread share: the inbox, and figures to look at.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::record::{Note, Record, Stored};
use crate::stats::Stats;

/// A commit is made when that many events wait, …
pub(crate) const COMMIT_EVENTS: usize = 32;
/// … or that long after the first, …
pub(crate) const COMMIT_AFTER: Duration = Duration::from_millis(5);
/// … and an acknowledgement waits no longer than that for one to ride on.
pub(crate) const ACK_AFTER: Duration = Duration::from_millis(50);
/// Beyond this the journal is full, until half of it is written.
const WAITING_BYTES: u64 = 8 << 20;
/// What an entry costs beside its text.
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;
/// One transaction takes no more text than that, unless a single event is longer.
const COMMIT_BYTES: u64 = 2 << 20;
/// Names of topics kept for reuse.
const NAMES: usize = 100_000;

#[derive(Debug)]
pub(crate) enum Entry {
    Event(Stored),
    Note(Note),
}

impl Entry {
    pub(crate) fn event(&self) -> Option<&Stored> {
        match self {
            Self::Event(event) => Some(event),
            Self::Note(_) => None,
        }
    }

    pub(crate) fn sequence(&self) -> Option<u64> {
        self.event().map(|event| event.sequence)
    }

    fn cost(&self) -> u64 {
        let text = match self {
            Self::Event(event) => event.frame.len(),
            Self::Note(Note::Moment { detail, .. }) => detail.len(),
            Self::Note(
                Note::Gap(crate::GapRow { topics, .. }) | Note::Wanted { topics } | Note::Covered { topics },
            ) => topics.iter().map(|topic| topic.len() + size_of::<String>()).sum(),
            Self::Note(Note::SoundUntil(_)) => 0,
        };
        ENTRY_BYTES + text as u64
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    inbox: Mutex<Inbox>,
    bell: Condvar,
    full: AtomicBool,
    /// The outlet had no room: it is worth ringing when it has.
    starving: AtomicBool,
    /// Highest sequence handed to the outlet.
    delivered: AtomicU64,
    stats: Mutex<Stats>,
}

#[derive(Debug, Default)]
struct Inbox {
    entries: VecDeque<Entry>,
    events: usize,
    /// Of the entries and of those that are being written.
    bytes: u64,
    last_sequence: u64,
    first_at: Option<Instant>,
    ack: u64,
    ack_at: Option<Instant>,
    names: HashSet<Arc<str>>,
    rung: bool,
    closing: bool,
}

/// What waits, at a glance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) events: usize,
    pub(crate) first_at: Option<Instant>,
    pub(crate) ack: u64,
    pub(crate) ack_at: Option<Instant>,
    pub(crate) closing: bool,
}

impl Shared {
    pub(crate) fn new(last_sequence: u64, acknowledged: u64) -> Self {
        Self {
            inbox: Mutex::new(Inbox { last_sequence, ack: acknowledged, ..Inbox::default() }),
            bell: Condvar::new(),
            full: AtomicBool::new(false),
            starving: AtomicBool::new(false),
            delivered: AtomicU64::new(acknowledged),
            stats: Mutex::new(Stats::default()),
        }
    }

    pub(crate) fn append(&self, record: &Record<'_>) -> u64 {
        let frame = record.frame.to_owned();
        let mut inbox = self.inbox();
        inbox.last_sequence += 1;
        let sequence = inbox.last_sequence;
        let topic = inbox.name(record.topic);
        self.push(
            &mut inbox,
            Entry::Event(Stored {
                sequence,
                received_at: record.received_at,
                origin: record.origin,
                topic,
                channel: record.channel,
                redelivered: false,
                frame,
            }),
        );
        sequence
    }

    pub(crate) fn note(&self, note: Note) {
        self.push(&mut self.inbox(), Entry::Note(note));
    }

    fn push(&self, inbox: &mut Inbox, entry: Entry) {
        if inbox.closing {
            return;
        }
        inbox.bytes += entry.cost();
        if matches!(entry, Entry::Event(_)) {
            inbox.events += 1;
        }
        inbox.entries.push_back(entry);
        if inbox.bytes > WAITING_BYTES {
            self.full.store(true, Ordering::Release);
        }
        if inbox.first_at.is_none() {
            inbox.first_at = Some(Instant::now());
            self.ring(inbox);
        } else if inbox.events == COMMIT_EVENTS {
            self.ring(inbox);
        }
    }

    pub(crate) fn ack(&self, up_to: u64) {
        let up_to = up_to.min(self.delivered.load(Ordering::Acquire));
        let mut inbox = self.inbox();
        if up_to <= inbox.ack {
            return;
        }
        inbox.ack = up_to;
        if inbox.ack_at.is_none() {
            inbox.ack_at = Some(Instant::now());
            self.ring(&mut inbox);
        }
    }

    pub(crate) fn wake(&self) {
        if self.starving.swap(false, Ordering::SeqCst) {
            self.ring(&mut self.inbox());
        }
    }

    pub(crate) fn close(&self) {
        let mut inbox = self.inbox();
        inbox.closing = true;
        self.ring(&mut inbox);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> Stats {
        let (waiting, last_sequence) = {
            let inbox = self.inbox();
            (inbox.bytes, inbox.last_sequence)
        };
        Stats { waiting, last_sequence, ..*self.stats.lock().unwrap_or_else(PoisonError::into_inner) }
    }

    // From here on for the journal's thread.

    pub(crate) fn set_stats(&self, stats: Stats) {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// Whether the outlet is to be asked again only after `wake`; to be set before it is asked.
    pub(crate) fn set_starving(&self, starving: bool) {
        self.starving.store(starving, Ordering::SeqCst);
    }

    pub(crate) fn set_delivered(&self, sequence: u64) {
        self.delivered.fetch_max(sequence, Ordering::AcqRel);
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let inbox = self.inbox();
        Waiting {
            events: inbox.events,
            first_at: inbox.first_at,
            ack: inbox.ack,
            ack_at: inbox.ack_at,
            closing: inbox.closing,
        }
    }

    /// Moves entries into a batch, at most so many events. They go on counting as waiting until [`Self::written`].
    pub(crate) fn take(&self, batch: &mut Vec<Entry>, max_events: usize) {
        let mut inbox = self.inbox();
        let (mut events, mut bytes) = (0, 0);
        while let Some(entry) = inbox.entries.front() {
            if matches!(entry, Entry::Event(_)) {
                bytes += entry.cost();
                if events == max_events || (events > 0 && bytes > COMMIT_BYTES) {
                    break;
                }
                events += 1;
            }
            batch.extend(inbox.entries.pop_front());
        }
        inbox.events -= events;
        inbox.first_at = if inbox.entries.is_empty() { None } else { inbox.first_at };
    }

    /// The batch is on disk.
    pub(crate) fn written(&self, batch: &[Entry]) {
        let bytes: u64 = batch.iter().map(Entry::cost).sum();
        let mut inbox = self.inbox();
        inbox.bytes = inbox.bytes.saturating_sub(bytes);
    }

    /// The acknowledgement is on disk.
    pub(crate) fn acknowledged(&self, up_to: u64) {
        let mut inbox = self.inbox();
        if inbox.ack <= up_to {
            inbox.ack_at = None;
        }
    }

    /// Decides whether the journal is full; returns true when it no longer is.
    pub(crate) fn settle_full(&self, for_other_reasons: bool) -> bool {
        let inbox = self.inbox();
        let was = self.full.load(Ordering::Acquire);
        let bound = if was { WAITING_BYTES / 2 } else { WAITING_BYTES };
        let is = for_other_reasons || inbox.bytes > bound;
        self.full.store(is, Ordering::Release);
        was && !is
    }

    /// Returns at the deadline, or when something was put in, acknowledged or asked for.
    pub(crate) fn wait(&self, deadline: Option<Instant>) {
        let mut inbox = self.inbox();
        while !inbox.rung {
            let Some(deadline) = deadline else {
                inbox = self.bell.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inbox = self.bell.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inbox.rung = false;
    }

    fn ring(&self, inbox: &mut Inbox) {
        if !inbox.rung {
            inbox.rung = true;
            self.bell.notify_one();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn name(&mut self, topic: &str) -> Arc<str> {
        if let Some(name) = self.names.get(topic) {
            return Arc::clone(name);
        }
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        let name: Arc<str> = topic.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

//! The two queues towards JavaScript, events and controls, and the bell that announces them.
//!
//! Order: while a control waits no event is handed out, so a gap is known before the first event after it. Controls may
//! come earlier than events that arrived before them, never later than events that arrived after them. A fenced control is
//! told only once every event before it was handed out, and the caller has come again.

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genesys_notifications_journal::{Origin, Stored};
use genesys_notifications_proto::{ClientState, Notice, TopicChange};
use tokio::sync::Notify;

use crate::batch::{Batch, Flags};
use crate::control::Control;
use crate::keeper::Keeper;
use crate::options::QueueOptions;
use crate::queue::{Arrived, Counts, Drops, EventQueue};
use crate::reader::{Mark, Reader};
use crate::shared::log;
use crate::strangers;
use crate::topic_options::TopicOptions;
use crate::treatment::Treatments;

use pace::Pace;

mod pace;

/// How the shell wakes JavaScript. Called from any thread, never while a lock of the client is held.
pub trait Bell: Send + Sync {
    /// There is something to take: first controls, then events.
    fn ring(&self);
}

/// What waits after a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Draining again brings events, or shows controls.
    pub events: bool,
    /// Controls are to be taken first.
    pub controls: bool,
}

/// The queues of one client.
pub(crate) struct Delivery {
    state: Mutex<State>,
    bell: Mutex<Option<Arc<dyn Bell>>>,
    /// A ring was decided on under the lock and is to be done outside of it.
    ringing: AtomicBool,
    /// Mirrors `EventQueue::is_full`, for readers that have not paused yet.
    full: AtomicBool,
    /// Mirrors `EventQueue::has_drops`, for every drain.
    drops: AtomicBool,
    /// Mirrors [`State::deadline`], for every turn.
    deadline: AtomicU64,
    /// Notified when the queue is no longer full.
    room: Notify,
    /// For what comes back from the journal.
    reader: Reader,
    /// The cursor, if there is one.
    keeper: Option<Arc<Keeper>>,
}

const NEVER: u64 = u64::MAX;

struct State {
    queue: EventQueue,
    treatments: Treatments,
    controls: Vec<Control>,
    /// Controls that wait until the event with this sequence was handed out; in rising order.
    fences: VecDeque<(u64, Control)>,
    /// Names of the channels that the journal knows by number.
    channels: HashMap<u32, u32>,
    /// One ring may be outstanding for controls and one for events, each until its queue was found or left empty.
    controls_rung: bool,
    events_rung: bool,
    /// News from which controls may follow that must come before any event queued since.
    news: usize,
    /// That names of topics have no room.
    told_of_strangers: bool,
    /// A drain found controls waiting, or news, and handed out nothing.
    held_back: bool,
    pace: Pace,
    /// When to ring for events that wait for others.
    ring_at: Option<u64>,
    report_at: Option<u64>,
    closed: bool,
}

/// Dropped events are reported this much later at the latest; a drain reports them before it hands out others.
const REPORT_AFTER_MS: u64 = 250;

impl Delivery {
    pub(crate) fn new(options: QueueOptions, max_wait_ms: u64, bell: Arc<dyn Bell>) -> Self {
        Self {
            reader: Reader::default(),
            keeper: None,
            state: Mutex::new(State {
                queue: EventQueue::new(options),
                treatments: Treatments::default(),
                controls: Vec::new(),
                fences: VecDeque::new(),
                channels: HashMap::new(),
                controls_rung: false,
                events_rung: false,
                news: 0,
                told_of_strangers: false,
                held_back: false,
                pace: Pace::new(max_wait_ms),
                ring_at: None,
                report_at: None,
                closed: false,
            }),
            bell: Mutex::new(Some(bell)),
            ringing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            drops: AtomicBool::new(false),
            deadline: AtomicU64::new(NEVER),
            room: Notify::new(),
        }
    }

    /// The same, for events that are read so and followed by a cursor.
    pub(crate) fn with_reading(mut self, reader: Reader, keeper: Option<Arc<Keeper>>) -> Self {
        self.reader = reader;
        self.keeper = keeper;
        self
    }

    /// Queues an event, and lets the cursor know; `now` is `Now::mono`.
    pub(crate) fn push(&self, event: &Arrived<'_>, mark: Option<&Mark<'_>>, now: u64) {
        let mut state = self.state();
        let State { treatments, queue, .. } = &mut *state;
        let before = queue.last_sequence();
        let is_queued = treatments.push(queue, event, now);
        if let (Some(keeper), Some(mark)) = (&self.keeper, mark) {
            match queue.last_sequence() {
                // It had no room.
                after if after == before => keeper.passed(mark, event.received_at),
                after => keeper.arrived(after, mark, event.received_at),
            }
        }
        if is_queued {
            self.queued(&mut state, now);
        }
    }

    /// The wanted topics change, and with them the options of those that are named or go.
    pub(crate) fn treat(
        &self,
        change: TopicChange,
        names: &[String],
        options: Option<&TopicOptions>,
        now: u64,
    ) {
        let mut state = self.state();
        let State { treatments, queue, .. } = &mut *state;
        if treatments.change(queue, change, names, options) {
            self.queued(&mut state, now);
        }
    }

    /// The options of a topic.
    pub(crate) fn topic_options(&self, name: &str) -> Option<TopicOptions> {
        self.state().treatments.of(name).cloned()
    }

    /// Something was queued.
    fn queued(&self, state: &mut State, now: u64) {
        if state.queue.has_strangers() && !state.told_of_strangers {
            state.told_of_strangers = true;
            self.tell(state, log("warn", strangers::WARNING.into()));
        }
        if state.queue.is_full() {
            self.full.store(true, Ordering::Release);
        }
        if state.queue.has_drops() {
            state.report_at.get_or_insert(now.saturating_add(REPORT_AFTER_MS));
        }
        if state.events_rung {
            return;
        }
        match state.pace.next(now) {
            next if next <= now => self.ring_for_events(state, now),
            next => state.ring_at = Some(next),
        }
    }

    /// Queues an event that the journal has committed.
    pub(crate) fn push_stored(&self, event: &Stored, now: u64) {
        let (channel, flags, parts) = match event.origin {
            Origin::Live => (self.channel_of(event.channel), Flags::LIVE, self.reader.again(&event.frame)),
            Origin::Backfill => {
                // Made here, in the shape that the service has.
                let parts = Reader::default().again(&event.frame);
                (self.intern_once(BACKFILL_CHANNEL), Flags::BACKFILL, parts)
            }
        };
        let flags = if event.redelivered { flags.redelivered() } else { flags };
        self.push(&Arrived::stored(event, &parts, channel, flags), parts.mark.as_ref(), now);
    }

    /// Queues a control; nothing follows `Closed`.
    pub(crate) fn push_control(&self, control: Control) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.closed = matches!(control, Control::Closed);
        if state.closed || is_terminal(&control) {
            // What is withheld comes now or never.
            let State { treatments, queue, .. } = &mut *state;
            treatments.release_all(queue);
        }
        if state.closed {
            state.release_fences();
            state.fences.clear();
        }
        self.tell(&mut state, control);
    }

    fn tell(&self, state: &mut State, control: Control) {
        state.controls.push(control);
        if !state.controls_rung {
            state.controls_rung = true;
            self.ringing.store(true, Ordering::Release);
        }
    }

    /// No event is handed out until this was heard.
    pub(crate) fn await_news(&self) {
        self.state().news += 1;
    }

    /// What there was to tell because of so many news was pushed.
    pub(crate) fn news_heard(&self, heard: usize) {
        let mut state = self.state();
        state.news -= heard;
        // With controls, taking them rings for the events behind them.
        if state.news == 0 && state.held_back && state.controls.is_empty() {
            state.held_back = false;
            self.ringing.store(true, Ordering::Release);
        }
    }

    /// Queues a control that is told after every event that is queued now and, with a journal, after the one with the sequence
    /// `last`, which may still be on its way.
    pub(crate) fn push_control_after(&self, control: Control, last: Option<u64>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        let last = last.unwrap_or_else(|| state.queue.last_sequence());
        let last = state.fences.back().map_or(last, |(before, _)| last.max(*before));
        state.fences.push_back((last, control));
        if state.fence_is_due() && !state.events_rung {
            state.events_rung = true;
            self.ringing.store(true, Ordering::Release);
        }
    }

    /// When [`Delivery::ring_late`], a report of drops or a withheld event is due. Takes no lock.
    pub(crate) fn deadline(&self) -> Option<u64> {
        Some(self.deadline.load(Ordering::Acquire)).filter(|at| *at != NEVER)
    }

    /// Queues what was withheld until now, and rings for events that were to wait for others.
    pub(crate) fn ring_late(&self, now: u64) {
        let mut state = self.state();
        let State { treatments, queue, .. } = &mut *state;
        if treatments.release_due(queue, now) {
            self.queued(&mut state, now);
        }
        if state.ring_at.is_some_and(|at| at <= now) {
            state.ring_at = None;
            if !state.events_rung && !state.queue.is_empty() {
                self.ring_for_events(&mut state, now);
            }
        }
    }

    /// Does what was decided under a lock. To be called without any.
    pub(crate) fn ring_if_due(&self) {
        if self.ringing.swap(false, Ordering::AcqRel) {
            let bell = self.bell.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(bell) = bell {
                bell.ring();
            }
        }
    }

    /// Never rings again.
    pub(crate) fn remove_bell(&self) {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn take_controls(&self) -> Vec<Control> {
        let mut state = self.state();
        state.controls_rung = false;
        if state.held_back && state.news == 0 {
            // Whoever drained before taking controls would otherwise never learn of the events behind them.
            state.held_back = false;
            if !state.queue.is_empty() {
                self.ringing.store(true, Ordering::Release);
            }
        }
        std::mem::take(&mut state.controls)
    }

    /// Fills the batch, and says what else there is to be had at once.
    pub(crate) fn drain(&self, batch: &mut Batch, max_events: usize, max_bytes: usize) -> Remains {
        batch.clear();
        let mut state = self.state();
        if state.release_fences() && !state.controls_rung {
            state.controls_rung = true;
            self.ringing.store(true, Ordering::Release);
        }
        if !state.controls.is_empty() || state.news > 0 {
            state.held_back = true;
            return Remains { events: false, controls: !state.controls.is_empty() };
        }
        state.queue.drain(batch, max_events, max_bytes);
        let more = !state.queue.is_empty() || state.fence_is_due();
        if !more {
            state.events_rung = false;
            state.ring_at = None;
        }
        let resumed = self.full.load(Ordering::Acquire) && !state.queue.is_full();
        if resumed {
            self.full.store(false, Ordering::Release);
        }
        drop(state);
        if resumed {
            self.room.notify_waiters();
        }
        Remains { events: more, controls: false }
    }

    /// Whether sockets must not be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Whether nothing that can wait should be added.
    pub(crate) fn is_crowded(&self) -> bool {
        self.state().queue.is_crowded()
    }

    /// Waits until sockets may be read again, by whatever measure.
    ///
    /// # Cancel safety
    /// Safe.
    pub(crate) async fn room(&self, is_full: impl Fn() -> bool) {
        loop {
            let notified = self.room.notified();
            if !is_full() {
                return;
            }
            notified.await;
        }
    }

    /// Whoever waits for room is to look again.
    pub(crate) fn make_room(&self) {
        self.room.notify_waiters();
    }

    pub(crate) fn shape_bodies(&self, up_to_bytes: usize) {
        self.state().queue.shape_bodies(up_to_bytes);
    }

    pub(crate) fn intern(&self, name: &str) -> u32 {
        self.state().queue.intern(name)
    }

    /// The same for a name that may have been asked for before.
    pub(crate) fn intern_once(&self, name: &str) -> u32 {
        self.state().queue.intern_once(name)
    }

    /// Says which channel the journal means by a number.
    pub(crate) fn name_channel(&self, number: u32, name: &str) {
        let mut state = self.state();
        let name = state.queue.intern(name);
        state.channels.insert(number, name);
    }

    /// Index of the name of a channel the journal knows by number; one of an earlier run has a pseudonym.
    pub(crate) fn channel_of(&self, number: u32) -> u32 {
        let mut state = self.state();
        if let Some(name) = state.channels.get(&number) {
            return *name;
        }
        let name = state.queue.intern(&earlier_channel(number));
        state.channels.insert(number, name);
        name
    }

    /// Sequence of the event handed out last.
    pub(crate) fn handed(&self) -> u64 {
        self.state().queue.handed()
    }

    /// Events up to this sequence were handed out in an earlier run and need not be waited for.
    pub(crate) fn begin_after(&self, handed: u64) {
        self.state().queue.begin_after(handed);
    }

    /// Takes no lock.
    pub(crate) fn has_drops(&self) -> bool {
        self.drops.load(Ordering::Acquire)
    }

    pub(crate) fn report_is_due(&self, now: u64) -> bool {
        self.state().report_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn take_drops(&self) -> Option<Drops> {
        let mut state = self.state();
        state.report_at = None;
        state.queue.take_drops()
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = self.state();
        state.treatments.counts(&state.queue)
    }

    fn ring_for_events(&self, state: &mut State, now: u64) {
        state.events_rung = true;
        state.pace.rung(now);
        state.ring_at = None;
        self.ringing.store(true, Ordering::Release);
    }

    fn state(&self) -> Locked<'_> {
        Locked { delivery: self, state: self.state.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// The state under its lock. What others read of it without the lock is brought up to date when the lock is given back.
struct Locked<'a> {
    delivery: &'a Delivery,
    state: MutexGuard<'a, State>,
}

impl Deref for Locked<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.delivery.deadline.store(self.state.deadline(), Ordering::Release);
        self.delivery.drops.store(self.state.queue.has_drops(), Ordering::Release);
    }
}

fn is_terminal(control: &Control) -> bool {
    let Control::Notice(Notice::State(change)) = control else { return false };
    matches!(change.state, ClientState::Closed | ClientState::Failed)
}

impl State {
    fn deadline(&self) -> u64 {
        let due = [self.ring_at, self.report_at, self.treatments.deadline()];
        due.into_iter().flatten().min().unwrap_or(NEVER)
    }

    /// Whether a control waits for nothing but the caller's coming again.
    fn fence_is_due(&self) -> bool {
        self.fences.front().is_some_and(|(last, _)| *last <= self.queue.handed())
    }

    /// Returns whether any was due.
    fn release_fences(&mut self) -> bool {
        let mut any = false;
        while self.fence_is_due()
            && let Some((_, control)) = self.fences.pop_front()
        {
            self.controls.push(control);
            any = true;
        }
        any
    }
}

/// The channel of what came from the REST API.
pub(crate) const BACKFILL_CHANNEL: &str = "backfill";

/// The channel of what came from a direct endpoint, over whatever connection.
pub(crate) const ENDPOINT_CHANNEL: &str = "endpoint";

/// What a channel of an earlier run is called: its id was a secret and is not kept.
pub(crate) fn earlier_channel(number: u32) -> String {
    format!("earlier-{number}")
}

#[cfg(test)]
mod tests;

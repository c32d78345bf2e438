//! Filling gaps from the REST API: one after the other, at low priority, with what the rules and the caller know.

mod calls;
mod options;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use genesys_notifications_proto::backfill::Plan;
use genesys_notifications_proto::{Backfilled, ClientState, Frame, Gap, Notice, Reason};
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::yield_now;

use crate::control::Control;
use crate::options::OptionError;
use crate::shared::{Shared, log, panic_text};

pub(crate) use calls::Call;
pub(crate) use options::{BackfillOptions, read};

/// Gaps that wait; the oldest beyond that stay as they are.
const MOST_WAITING: usize = 100;

/// An older gap of an earlier run is not filled.
const OLDEST_MS: u64 = 24 * 60 * 60 * 1000;

/// Calls of the caller's function at the same time; each may hold an answer.
const CALLS_AT_ONCE: usize = 4;

/// Items handed over before others of the runtime have their turn.
const ITEMS_AT_ONCE: usize = 64;

/// What fills gaps, for the life of a client.
pub(crate) struct Backfill {
    options: BackfillOptions,
    state: Mutex<State>,
    /// A gap waits, or the caller's function is done.
    changed: Notify,
    connected: watch::Sender<bool>,
    calls: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Gap>,
    /// The gap that the caller's function fills now.
    theirs: Option<Theirs>,
    next_call: u64,
    /// `Now::mono` before which no call is to be made: the service asked for it, or the last one failed.
    floor: u64,
}

struct Theirs {
    gap: Gap,
    done: Option<Backfilled>,
}

impl Backfill {
    pub(crate) fn new(options: BackfillOptions) -> Self {
        Self {
            options,
            state: Mutex::default(),
            changed: Notify::new(),
            connected: watch::Sender::new(false),
            calls: Semaphore::new(CALLS_AT_ONCE),
        }
    }

    /// Hears what the user is told. Called under the lock of the core.
    pub(crate) fn hear(&self, notice: &Notice) {
        match notice {
            Notice::State(change) => {
                self.connected.send_replace(change.state == ClientState::Connected);
            }
            Notice::Gap(gap) => self.add(gap),
            _ => {}
        }
    }

    fn add(&self, gap: &Gap) {
        // What a full queue or journal threw away arrived: to ask for more of it would fill them again.
        let is_local = matches!(gap.reason, Reason::QueueFull | Reason::JournalFull);
        if gap.to.is_none() || gap.backfilled != Backfilled::No || is_local {
            return;
        }
        let mut state = self.state();
        if state.waiting.iter().all(|known| known.id != gap.id) {
            state.waiting.push_back(gap.clone());
            self.changed.notify_waiters();
        }
    }

    /// Waits until the state gives something.
    async fn wait<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before the look, so that nothing is missed between the two.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.state()) {
                return found;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fills gaps until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let Some(backfill) = &shared.services.backfill else { return };
    let (gaps, now) = shared.look(|machine, now| (machine.gaps(), now.wall));
    for gap in gaps.iter().filter(|gap| gap.to.is_some_and(|to| now.saturating_sub(to) < OLDEST_MS)) {
        backfill.add(gap);
    }
    loop {
        let (gap, is_over) = backfill
            .wait(|state| {
                let is_over = state.waiting.len() > MOST_WAITING;
                Some((state.waiting.pop_front()?, is_over))
            })
            .await;
        let id = gap.id.clone();
        let outcome = if is_over {
            let text = format!("{id} is not backfilled: more than {MOST_WAITING} gaps wait for it");
            shared.tell(log("warn", text));
            Backfilled::No
        } else {
            match AssertUnwindSafe(fill(&shared, backfill, gap)).catch_unwind().await {
                Ok(outcome) => outcome,
                Err(panic) => {
                    let text = format!("internal error: {}", panic_text(&*panic));
                    shared.tell(log("error", shared.services.secrets.scrub(&text)));
                    backfill.state().theirs = None;
                    Backfilled::No
                }
            }
        };
        shared.turn(|turn| turn.backfilled(id, outcome));
    }
}

/// Recipes first, then the caller's function; the better of the two counts.
async fn fill(shared: &Arc<Shared>, backfill: &Backfill, gap: Gap) -> Backfilled {
    let mut outcome = Backfilled::No;
    if !backfill.options.rules.recipes.is_empty() {
        outcome = follow_recipes(shared, backfill, &gap).await;
    }
    if backfill.options.custom {
        outcome = outcome.max(ask_caller(shared, backfill, gap).await);
    }
    outcome
}

async fn follow_recipes(shared: &Arc<Shared>, backfill: &Backfill, gap: &Gap) -> Backfilled {
    let mut plan = Plan::new(gap, &backfill.options.rules, shared.clock.now().wall);
    let mut is_whole = true;
    while let Some(request) = plan.next() {
        let answer = calls::ask(shared, backfill, &Call::from(&request), request.not_before).await;
        let (answer, now) = (answer.map(|(_, text)| text), shared.clock.now().wall);
        let items = plan.answer(answer.as_deref().map_err(Clone::clone), now);
        drop(answer);
        for report in plan.take_reports() {
            shared.tell(Control::Notice(Notice::Error(report)));
        }
        for (i, item) in items.iter().enumerate() {
            if i % ITEMS_AT_ONCE == 0 {
                yield_now().await;
            }
            shared.spare_room().await;
            let frame = frame(&gap.id, &item.topic, &item.body, item.source);
            is_whole &= is_readable(&frame, shared.services.max_depth);
            shared.turn(|turn| turn.backfill(&item.topic, &frame));
        }
    }
    if is_whole { plan.outcome() } else { plan.outcome().min(Backfilled::Partial) }
}

async fn ask_caller(shared: &Arc<Shared>, backfill: &Backfill, gap: Gap) -> Backfilled {
    let _ = backfill.connected.subscribe().wait_for(|connected| *connected).await;
    backfill.state().theirs = Some(Theirs { gap: gap.clone(), done: None });
    shared.tell(Control::BackfillRequest(gap));
    let outcome = backfill.wait(|state| state.theirs.as_ref().and_then(|theirs| theirs.done)).await;
    backfill.state().theirs = None;
    outcome
}

/// An item of the caller's function; returns the number of a call that is answered once there is room for the next, if
/// there is none now.
pub(crate) fn item(
    shared: &Arc<Shared>,
    gap: &str,
    topic: &str,
    body: &str,
) -> Result<Option<u64>, OptionError> {
    let refuse = |path: &str, why: &str| Err(OptionError::new(path, why));
    let Some(backfill) = &shared.services.backfill else { return refuse("backfill", "is off") };
    {
        let state = backfill.state();
        match state.theirs.as_ref().filter(|theirs| theirs.gap.id == gap && theirs.done.is_none()) {
            None => return refuse("gap", "is not being filled"),
            Some(theirs) if !theirs.gap.topics.iter().any(|known| known == topic) => {
                return refuse("topicName", "is not one of the gap's topics");
            }
            Some(_) => {}
        }
    }
    if shared.has_ended() {
        return refuse("gap", "cannot be filled any more: the client has ended");
    }
    let Ok(body) = serde_json::from_str::<&RawValue>(body) else {
        return refuse("eventBody", "is not JSON");
    };
    let frame = frame(gap, topic, body.get(), "custom");
    if !is_readable(&frame, shared.services.max_depth) {
        return refuse("eventBody", "is nested too deeply");
    }
    shared.turn(|turn| turn.backfill(topic, &frame));
    if !shared.is_crowded() {
        return Ok(None);
    }
    let call = backfill.next_call();
    let theirs = shared.clone();
    shared.spawn_spare(async move {
        theirs.spare_room().await;
        theirs.tell(Control::ApiAnswer { call, answer: Ok((204, String::new())) });
    });
    Ok(Some(call))
}

/// The caller's function has ended; about a gap that it does not fill, nothing changes.
pub(crate) fn done(shared: &Shared, gap: &str, outcome: Backfilled) {
    let Some(backfill) = &shared.services.backfill else { return };
    if let Some(theirs) = backfill.state().theirs.as_mut().filter(|theirs| theirs.gap.id == gap) {
        theirs.done.get_or_insert(outcome);
        backfill.changed.notify_waiters();
    }
}

/// A call of the caller's function; its answer is told under the number returned.
pub(crate) fn call(shared: &Arc<Shared>, method: &str, path: &str, body: Option<String>) -> u64 {
    calls::start(shared, method, path, body)
}

/// The frame of an event that stands for something lost.
fn frame(gap: &str, topic: &str, body: &str, source: &str) -> String {
    let [topic, gap, source] = [topic, gap, source].map(|text| serde_json::Value::from(text).to_string());
    format!(r#"{{"topicName":{topic},"eventBody":{body},"metadata":{{"gap":{gap},"source":{source}}}}}"#)
}

fn is_readable(frame: &str, max_depth: usize) -> bool {
    matches!(Frame::read_within(frame, max_depth), Frame::Event(_))
}

impl Backfill {
    fn next_call(&self) -> u64 {
        let mut state = self.state();
        state.next_call += 1;
        state.next_call
    }
}

#[cfg(test)]
mod tests {
    use genesys_notifications_proto::Certainty;

    use super::*;

    fn gap(id: &str) -> Gap {
        Gap {
            id: id.into(),
            from: 1,
            to: Some(2),
            reason: Reason::ConnectionLost,
            topics: vec!["v2.users.u.presence".into()],
            certainty: Certainty::Possible,
            backfilled: Backfilled::No,
        }
    }

    #[test]
    fn closed_gaps_wait_once_unless_they_are_filled_or_the_loss_was_local() {
        let backfill = Backfill::new(read(Default::default()).unwrap());
        backfill.add(&Gap { to: None, ..gap("open") });
        backfill.add(&Gap { reason: Reason::QueueFull, ..gap("queue") });
        backfill.add(&Gap { reason: Reason::JournalFull, ..gap("journal") });
        backfill.add(&Gap { backfilled: Backfilled::Partial, ..gap("filled") });
        for id in ["a", "b", "a"] {
            backfill.hear(&Notice::Gap(gap(id)));
        }
        let waiting: Vec<_> = backfill.state().waiting.iter().map(|gap| gap.id.clone()).collect();
        assert_eq!(waiting, ["a", "b"]);
    }

    #[test]
    fn a_frame_is_read_as_an_event_with_its_source() {
        let text = frame("gap-3", "v2.users.u.presence", r#"{"a":1.50}"#, "GET \"x\"");
        let Frame::Event(envelope) = Frame::read(&text) else { panic!("{text}") };
        assert_eq!((&*envelope.topic, envelope.body), ("v2.users.u.presence", r#"{"a":1.50}"#));
        assert_eq!(envelope.metadata, Some(r#"{"gap":"gap-3","source":"GET \"x\""}"#));
        assert!(!is_readable(&frame("g", "v2.a.b", &"[".repeat(100), "s"), 64));
    }
}

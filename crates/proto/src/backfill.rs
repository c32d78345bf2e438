//! What the REST API can give back of a gap: pure recipes, one for each family of topics (P2).
//!
//! A [`Plan`] asks one request after the other and reads the answers into [`Item`]s. Who carries the requests out, when,
//! and with what patience, is the driver's business.

mod harvest;
mod recipe;
mod search;
mod standing;
mod usage;

use std::collections::VecDeque;

use crate::date;
use crate::failure::Failure;
use crate::notice::{Backfilled, ErrorCode, ErrorReport, Gap};

use harvest::{Harvest, Progress};
use recipe::Subject;

pub use recipe::Recipe;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The service keeps and searches about that much; an older gap is not asked for.
const OLDEST_MS: u64 = 31 * DAY_MS;

/// How gaps are filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillConfig {
    /// Which recipes may be used.
    pub recipes: Vec<Recipe>,
    /// A gap is widened by this much at both ends, because events come later than what they tell. Default 60,000 ms.
    pub margin_ms: u64,
    /// How long after the end of a gap its history is asked for, because the service gathers it late. Default 60,000 ms.
    pub latency_ms: u64,
}

impl Default for BackfillConfig {
    fn default() -> Self {
        Self { recipes: Recipe::ALL.to_vec(), margin_ms: 60_000, latency_ms: 60_000 }
    }
}

/// One request to the API host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Begins with `/api/v2/`.
    pub path: String,
    /// Encoded, without the question mark; may be empty.
    pub query: String,
    /// JSON.
    pub body: Option<String>,
    /// Not to be sent before, in milliseconds since the epoch.
    pub not_before: u64,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
}

/// Something that belongs into a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The topic of the gap that it stands for.
    pub topic: String,
    /// JSON as the API gave it, which is not what the notification would have been.
    pub body: String,
    /// Where it comes from, e.g. `GET /api/v2/users/{userId}/routingstatus`.
    pub source: &'static str,
}

/// Asks one family's requests.
trait Step: Send {
    fn recipe(&self) -> Recipe;

    fn request(&self) -> Request;

    /// Reads an answer; returns whether there is more to ask.
    ///
    /// # Errors
    /// If the answer is not what it should be.
    fn read(&mut self, answer: &str, now: u64, harvest: &mut Harvest) -> Result<bool, String>;

    /// What to ask instead after a 404; `None` if that is a failure.
    fn not_found(&self) -> Option<Vec<Box<dyn Step>>> {
        None
    }
}

/// Everything to be asked for one gap.
pub struct Plan {
    gap: String,
    steps: VecDeque<Box<dyn Step>>,
    progress: Vec<Progress>,
    /// Some topics have no recipe.
    has_unfillable: bool,
    harvest: Harvest,
    reports: Vec<ErrorReport>,
}

impl Plan {
    /// A plan for a closed gap; for an open one there is nothing to ask. `now` is wall time in milliseconds.
    pub fn new(gap: &Gap, config: &BackfillConfig, now: u64) -> Self {
        let window = gap.to.filter(|_| now.saturating_sub(gap.from) <= OLDEST_MS).map(|to| Window {
            from: gap.from.saturating_sub(config.margin_ms),
            to: to.saturating_add(config.margin_ms),
            not_before: to.saturating_add(config.latency_ms),
            latency_ms: config.latency_ms,
        });
        let mut subjects = Vec::new();
        let mut has_unfillable = false;
        for topic in &gap.topics {
            let subject = Subject::of(topic).filter(|s| config.recipes.contains(&s.recipe()));
            match subject.filter(|_| window.is_some()) {
                Some(subject) => subjects.push((subject, topic.clone())),
                None => has_unfillable = true,
            }
        }
        let mut steps: VecDeque<Box<dyn Step>> = VecDeque::new();
        if let Some(window) = window {
            // What is known at once comes first.
            steps.extend(standing::steps(&subjects));
            steps.extend(usage::steps(&subjects, window));
            steps.extend(search::steps(&subjects, window));
        }
        let mut progress: Vec<Progress> = Vec::new();
        for step in &steps {
            if progress.iter().all(|known| known.recipe != step.recipe()) {
                progress.push(Progress::new(step.recipe()));
            }
        }
        let gap = gap.id.clone();
        Self { gap, steps, progress, has_unfillable, harvest: Harvest::default(), reports: Vec::new() }
    }

    /// What to ask next; `None` once all is done. The same until it is answered.
    pub fn next(&self) -> Option<Request> {
        self.steps.front().map(|step| step.request())
    }

    /// The answer to what [`Plan::next`] asked: a body, or why there is none in spite of all patience. Returns what it
    /// brought. `now` is wall time in milliseconds.
    pub fn answer(&mut self, answer: Result<&str, Failure>, now: u64) -> Vec<Item> {
        let Some(mut step) = self.steps.pop_front() else { return Vec::new() };
        let recipe = step.recipe();
        let read = match answer {
            Ok(text) => step.read(text, now, &mut self.harvest).map_err(Failure::Protocol),
            Err(failure) => Err(failure),
        };
        let Some(progress) = self.progress.iter_mut().find(|progress| progress.recipe == recipe) else {
            return Vec::new();
        };
        let items = self.harvest.take(progress);
        match read {
            Ok(more) => {
                progress.answered += 1;
                if more {
                    self.steps.push_front(step);
                }
            }
            Err(failure) => {
                progress.is_cut = true;
                match step.not_found().filter(|_| failure.status() == Some(404)) {
                    Some(instead) => instead.into_iter().rev().for_each(|step| self.steps.push_front(step)),
                    None => self.give_up(recipe, &failure),
                }
            }
        }
        if self.harvest.is_full() && !self.steps.is_empty() {
            self.stop_short();
        }
        items
    }

    /// How much of the gap is filled by what was read so far.
    pub fn outcome(&self) -> Backfilled {
        let unfillable = self.has_unfillable.then_some(Backfilled::No);
        let unasked = self.progress.is_empty().then_some(Backfilled::No);
        let families = self.progress.iter().map(Progress::outcome);
        let mut outcomes = families.chain(unfillable).chain(unasked);
        let Some(first) = outcomes.next() else { return Backfilled::No };
        if outcomes.all(|outcome| outcome == first) { first } else { Backfilled::Partial }
    }

    /// What went wrong since it was last asked.
    pub fn take_reports(&mut self) -> Vec<ErrorReport> {
        std::mem::take(&mut self.reports)
    }

    /// A family that failed once would fail again.
    fn give_up(&mut self, recipe: Recipe, failure: &Failure) {
        self.steps.retain(|step| step.recipe() != recipe);
        let permission = recipe.permission().filter(|_| failure.status() == Some(403));
        let words = match failure {
            Failure::Http(http) => http.message.as_deref().unwrap_or_default(),
            _ => "",
        };
        let mut message = format!("{} could not be backfilled from {}: {failure}", self.gap, recipe.source());
        if !words.is_empty() {
            message.push_str(&format!(": {words}"));
        }
        self.reports.push(ErrorReport {
            code: ErrorCode::BackfillFailed,
            message,
            retryable: false,
            hint: permission.map(|permission| format!("the OAuth client needs the permission {permission}")),
            status: failure.status(),
            correlation_id: failure.correlation_id().map(str::to_owned),
        });
    }

    fn stop_short(&mut self) {
        for step in std::mem::take(&mut self.steps) {
            if let Some(progress) = self.progress.iter_mut().find(|p| p.recipe == step.recipe()) {
                progress.is_cut = true;
            }
        }
        let limits = harvest::LIMITS;
        self.reports.push(ErrorReport {
            code: ErrorCode::BackfillFailed,
            message: format!("{} was backfilled only in part: {limits}", self.gap),
            retryable: false,
            hint: None,
            status: None,
            correlation_id: None,
        });
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let asks = self.steps.len();
        f.debug_struct("Plan").field("gap", &self.gap).field("steps", &asks).finish_non_exhaustive()
    }
}

/// The widened gap, and when its history may be asked for. Wall time in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: u64,
    to: u64,
    not_before: u64,
    latency_ms: u64,
}

impl Window {
    fn interval(&self) -> String {
        format!("{}/{}", date::iso(self.from), date::iso(self.to))
    }
}

/// Percent-encodes what may not stand in a path or a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;

use serde::Deserialize;

/// Longer runs are refused: a forgotten source must not run on.
const MAX_EVENTS: usize = 10_000_000;
const MAX_PER_SECOND: u32 = 100_000;

/// What to send on the socket that was opened last.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Order {
    /// One of the names in the first line.
    pub(crate) payload: String,
    /// How many events; heartbeats come on top.
    pub(crate) events: usize,
    /// The pace. Absent: as fast as they are read.
    #[serde(default)]
    pub(crate) per_second: Option<u32>,
    /// One more event at the end, on a topic of its own: for consumers that do not get all the others.
    #[serde(default)]
    pub(crate) ends_with_mark: bool,
}

impl Order {
    /// What is wrong with it, if anything is.
    pub(crate) fn refusal(&self) -> Option<String> {
        if self.events == 0 || self.events > MAX_EVENTS {
            return Some(format!("events must be 1 to {MAX_EVENTS}"));
        }
        match self.per_second {
            Some(rate) if rate == 0 || rate > MAX_PER_SECOND => {
                Some(format!("perSecond must be 1 to {MAX_PER_SECOND}"))
            }
            _ => None,
        }
    }
}

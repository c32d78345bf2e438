//! Where the acknowledged part of a stream ends.

use std::collections::VecDeque;

use super::{Cursor, MOST_SEEN};

/// Where an event is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Without a position: where the event before it is.
    Same,
    At(String),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) identity: u64,
    pub(super) received_at: u64,
}

/// A cursor that moves.
#[derive(Clone, Debug, Default)]
pub(super) struct Trail {
    pub(super) position: Option<String>,
    before: Option<String>,
    /// Where the first connection asked the stream to begin.
    pub(super) start: Option<String>,
    pub(super) is_shared: bool,
    at: Option<u64>,
    /// The events at these positions, those at the one before first.
    pub(super) seen: VecDeque<u64>,
    seen_before: usize,
}

impl Place {
    pub(super) fn is(&self, position: &str) -> bool {
        match self {
            Self::Same => false,
            Self::At(own) => own == position,
        }
    }
}

impl Trail {
    pub(super) fn cursor(&self) -> Option<Cursor> {
        Some(Cursor {
            position: self.position.as_ref().or(self.start.as_ref())?.clone(),
            before: self.before.clone(),
            is_shared: self.is_shared,
            at: self.at,
            seen: self.seen.iter().copied().collect(),
        })
    }

    /// Whether an event was acknowledged at this position, or a later one already.
    pub(super) fn has_event_at(&self, position: &str) -> bool {
        let is_here = self.position.as_deref() == Some(position) && self.seen.len() > self.seen_before;
        is_here || self.before.as_deref() == Some(position)
    }

    /// Returns whether that is somewhere else. An event that comes late, at the position before, moves nothing.
    pub(super) fn enter(&mut self, place: &Place) -> bool {
        let Place::At(position) = place else { return false };
        if [&self.position, &self.before].into_iter().flatten().any(|own| own == position) {
            return false;
        }
        self.seen.drain(..self.seen_before);
        self.seen_before = self.seen.len();
        let last = self.position.replace(position.clone());
        self.before = last.or_else(|| self.start.take().filter(|start| start != position));
        true
    }

    /// An event of the place that was entered is acknowledged. Returns whether that matters: before the first position, nothing
    /// can be resumed.
    pub(super) fn see(&mut self, place: &Place, event: Event) -> bool {
        if self.position.is_none() && self.start.is_none() {
            return false;
        }
        self.at = Some(event.received_at);
        if matches!(place, Place::At(position) if Some(position) == self.before.as_ref()) {
            self.seen.push_front(event.identity);
            self.seen_before += 1;
        } else {
            self.seen.push_back(event.identity);
        }
        if self.seen.len() > MOST_SEEN {
            self.seen.pop_front();
            self.seen_before = self.seen_before.saturating_sub(1);
        }
        true
    }
}

impl From<&Cursor> for Trail {
    fn from(cursor: &Cursor) -> Self {
        Self {
            position: Some(cursor.position.clone()),
            before: cursor.before.clone(),
            start: None,
            is_shared: cursor.is_shared,
            at: cursor.at,
            // At which of the two each was is not known: all are kept for as long as at the later.
            seen: cursor.seen.iter().copied().collect(),
            seen_before: 0,
        }
    }
}

//! From where a stream is to go on (direct endpoints with `resume`).

use std::collections::HashMap;

use crate::backoff::Retry;
use crate::config::{Initial, Resume};
use crate::cursor::{Cursor, MOST_SEEN};
use crate::io::Ticket;

/// The last two positions of a stream, as far as its events have arrived.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    last: Option<Place>,
    before: Option<Place>,
    /// Events were seen to share a position, so the last one may not be complete.
    is_shared: bool,
    /// What has arrived on connections that were not proven, and so did not move the position.
    early: Vec<u64>,
    /// The server refused the last position while another connection carried the stream on.
    pub(crate) is_refused: bool,
    pub(crate) cursor: Loading,
}

/// The cursor of an earlier process, on its way.
#[derive(Debug, Default)]
pub(crate) struct Loading {
    pub(crate) is_loaded: bool,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) retry: Retry,
}

/// A position and what came with it: should it come again, it is a copy.
#[derive(Debug)]
struct Place {
    position: String,
    seen: Vec<u64>,
}

impl Place {
    fn new(position: &str) -> Self {
        Self { position: position.to_owned(), seen: Vec::new() }
    }

    fn see(&mut self, identity: u64) {
        if self.seen.len() < MOST_SEEN {
            self.seen.push(identity);
        }
    }
}

impl Positions {
    /// An event arrived that is no copy. One without a position belongs to the last.
    pub(crate) fn arrived(&mut self, position: Option<&str>, identity: u64) {
        // Of two connections one may lag behind: what came at the place to which it goes back is not forgotten.
        if position.is_some() && self.before.as_ref().is_some_and(|it| Some(&*it.position) == position) {
            std::mem::swap(&mut self.last, &mut self.before);
        }
        match (position, &self.last) {
            (Some(position), Some(last)) if last.position == position => {
                self.is_shared |= !last.seen.is_empty();
            }
            (Some(position), _) => {
                self.is_refused = false;
                let place = Place::new(position);
                self.before = self.last.replace(place).or(self.before.take());
            }
            (None, _) => {}
        }
        if let Some(last) = &mut self.last {
            last.see(identity);
        }
    }

    /// An event arrived on a connection that is not proven.
    pub(crate) fn arrived_early(&mut self, identity: u64) {
        if self.early.len() < MOST_SEEN {
            self.early.push(identity);
        }
    }

    /// A connection was proven, which brought these. Where topics came one after the other, the last position is not behind all
    /// of them: any may come again.
    pub(crate) fn caught_up(&mut self, arrived: Vec<(Option<String>, u64)>) {
        self.early.clear();
        for (position, identity) in &arrived {
            self.arrived(position.as_deref(), *identity);
        }
        let is_placed =
            |position: &str| self.before.iter().chain(&self.last).any(|place| place.position == position);
        let others =
            arrived.iter().filter(|(position, _)| position.as_deref().is_some_and(|it| !is_placed(it)));
        let others: Vec<u64> = others.map(|(_, identity)| *identity).collect();
        if let Some(last) = &mut self.last {
            last.seen.extend(others.iter().rev().take(MOST_SEEN.saturating_sub(last.seen.len())));
        }
    }

    /// What the next connection asks for. The first one's time is kept, so that nothing falls between it and the second.
    pub(crate) fn next(&mut self, resume: &Resume, now: impl FnOnce() -> String) -> String {
        let last = self.last.get_or_insert_with(|| {
            Place::new(&match &resume.initial {
                Initial::Now => now(),
                Initial::Given(position) => position.clone(),
            })
        });
        let takes_the_one_before = !resume.inclusive.unwrap_or(!self.is_shared);
        let place = self.before.as_ref().filter(|_| takes_the_one_before).unwrap_or(last);
        place.position.clone()
    }

    /// What may come again after resuming, and how often.
    pub(crate) fn expected(&self) -> HashMap<u64, u32> {
        let mut expected = HashMap::new();
        let placed = self.before.iter().chain(&self.last).flat_map(|place| &place.seen);
        for identity in placed.chain(&self.early) {
            *expected.entry(*identity).or_default() += 1;
        }
        expected
    }

    /// The server does not know it: the next connection begins as the very first did.
    pub(crate) fn forget(&mut self) {
        (self.last, self.before, self.is_refused) = (None, None, false);
    }

    /// Goes on where an earlier process has left off.
    pub(crate) fn restore(&mut self, cursor: &Cursor) {
        self.last = Some(Place { position: cursor.position.clone(), seen: cursor.seen.clone() });
        self.before = cursor.before.as_deref().map(Place::new);
        self.is_shared = cursor.is_shared;
    }

    /// The last position, if there is one.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_ref().map(|place| place.position.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resume(inclusive: Option<bool>) -> Resume {
        Resume { initial: Initial::Now, inclusive }
    }

    fn sent(positions: &mut Positions, inclusive: Option<bool>) -> String {
        positions.next(&resume(inclusive), || "now".into())
    }

    #[test]
    fn the_time_of_the_first_connection_is_kept_until_an_event_arrives() {
        let mut positions = Positions::default();
        let first = positions.next(&resume(None), || "t0".into());
        let second = positions.next(&resume(None), || "t1".into());
        assert_eq!((first.as_str(), second.as_str()), ("t0", "t0"));
        positions.arrived(Some("p1"), 1);
        assert_eq!(sent(&mut positions, None), "p1");
        assert_eq!(sent(&mut positions, Some(false)), "t0");
    }

    #[test]
    fn once_events_share_a_position_the_one_before_is_sent_unless_the_server_repeats_the_last() {
        let mut positions = Positions::default();
        for (position, identity) in [("a", 1), ("b", 2), ("b", 3)] {
            positions.arrived(Some(position), identity);
        }
        assert_eq!(sent(&mut positions, None), "a");
        assert_eq!(sent(&mut positions, Some(true)), "b");
        assert_eq!(sent(&mut positions, Some(false)), "a");
        positions.arrived(Some("c"), 4);
        assert_eq!(sent(&mut positions, None), "b", "what was learnt is kept");
    }

    #[test]
    fn what_came_at_the_last_two_positions_is_expected_again_as_often_as_it_came() {
        let mut positions = Positions::default();
        for (position, identity) in
            [(Some("a"), 1), (Some("b"), 2), (Some("b"), 2), (None, 3), (Some("c"), 4)]
        {
            positions.arrived(position, identity);
        }
        assert_eq!(positions.expected(), HashMap::from([(2, 2), (3, 1), (4, 1)]));
    }

    #[test]
    fn a_connection_that_lags_behind_makes_nothing_forgotten() {
        let mut positions = Positions::default();
        for (position, identity) in [("a", 1), ("a", 2), ("b", 3), ("a", 4), ("b", 5)] {
            positions.arrived(Some(position), identity);
        }
        assert_eq!(positions.last(), Some("b"));
        assert_eq!(sent(&mut positions, None), "a");
        assert_eq!(positions.expected().len(), 5);
    }

    #[test]
    fn a_refused_position_is_not_sent_again() {
        let mut positions = Positions::default();
        positions.arrived(Some("a"), 1);
        positions.forget();
        assert_eq!(sent(&mut positions, None), "now");
        assert!(positions.expected().is_empty());
    }

    #[test]
    fn a_cursor_restores_what_may_come_again() {
        let mut positions = Positions::default();
        let (position, before) = ("b".to_owned(), Some("a".to_owned()));
        positions.restore(&Cursor { position, before, is_shared: true, at: None, seen: vec![7, 8] });
        assert_eq!(sent(&mut positions, None), "a");
        assert_eq!(positions.expected(), HashMap::from([(7, 1), (8, 1)]));
    }
}

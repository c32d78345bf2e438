//! Which position is acknowledged.

use std::collections::VecDeque;

use super::Cursor;
use super::trail::{Event, Place, Trail};

/// Of the events between two that are delivered, so many are remembered at each position: they would be left out again.
const MOST_PASSED: usize = 64;

/// The way from events as they arrive to the cursor of those that are acknowledged.
///
/// Events come in the order of the stream; those that are delivered have the sequence of the delivery queue, and whoever
/// acknowledges one acknowledges all before it. Copies of what came before, which are dropped, are not told.
///
/// Resuming from the cursor repeats nothing that was acknowledged at its two positions, and loses nothing behind it: from its
/// position where no two events share one, otherwise from the position before.
#[derive(Clone, Debug, Default)]
pub struct Track {
    done: Trail,
    /// Where the events are that wait to be acknowledged, and how many at each place.
    stops: VecDeque<Stop>,
    events: VecDeque<Waiting>,
    /// The sequence of the last event that is delivered, until it is acknowledged.
    last: Option<u64>,
}

#[derive(Clone, Debug)]
struct Stop {
    place: Place,
    /// What has to be acknowledged to get there.
    sequence: u64,
    events: usize,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// What has to be acknowledged for this.
    sequence: u64,
    event: Event,
}

impl Track {
    /// Goes on from the cursor of an earlier process.
    pub fn new(from: Option<&Cursor>) -> Self {
        Self { done: from.map(Trail::from).unwrap_or_default(), ..Self::default() }
    }

    /// A connection asks the server to go on from this position. It counts as long as no event brought one.
    pub fn connecting(&mut self, position: &str) {
        let is_first =
            self.done.position.is_none() && self.stops.iter().all(|stop| stop.place == Place::Same);
        if is_first {
            self.done.start = Some(position.to_owned());
        }
    }

    /// An event arrived that is delivered under this sequence, higher than all before. Returns whether the cursor changed,
    /// which it does where this is the first event seen to share a position.
    pub fn arrived(
        &mut self,
        sequence: u64,
        position: Option<&str>,
        identity: u64,
        received_at: u64,
    ) -> bool {
        self.last = Some(sequence);
        self.event(position, Event { identity, received_at })
    }

    /// An event arrived that is not delivered, since nobody wants it: it counts as acknowledged with the one before it. Returns
    /// whether the cursor changed.
    pub fn passed(&mut self, position: Option<&str>, identity: u64, received_at: u64) -> bool {
        self.event(position, Event { identity, received_at })
    }

    /// All events up to this sequence are acknowledged. Returns whether the cursor changed.
    pub fn acked(&mut self, up_to: u64) -> bool {
        let mut has_changed = false;
        while let Some(stop) = self.stops.front_mut().filter(|stop| stop.sequence <= up_to) {
            has_changed |= self.done.enter(&stop.place);
            while stop.events > 0
                && let Some(next) = self.events.front().filter(|next| next.sequence <= up_to)
            {
                has_changed |= self.done.see(&stop.place, next.event);
                stop.events -= 1;
                self.events.pop_front();
            }
            if stop.events > 0 {
                break;
            }
            self.stops.pop_front();
        }
        self.last = self.last.filter(|last| *last > up_to);
        has_changed
    }

    /// From where a later process has to go on. Nothing before the first position; one that is only
    /// [asked for](Self::connecting) counts.
    pub fn cursor(&self) -> Option<Cursor> {
        self.done.cursor()
    }

    fn event(&mut self, position: Option<&str>, event: Event) -> bool {
        let is_news = !self.done.is_shared && position.is_some_and(|it| self.is_shared(it));
        self.done.is_shared |= is_news;
        let place = position.map_or(Place::Same, |position| Place::At(position.to_owned()));
        self.add(place, event) || is_news && self.done.position.is_some()
    }

    /// Whether an event that came before, and not long ago, has this position as well.
    fn is_shared(&self, position: &str) -> bool {
        let mut last = self.stops.iter().rev().take(2);
        last.any(|stop| stop.place.is(position)) || self.done.has_event_at(position)
    }

    fn add(&mut self, place: Place, event: Event) -> bool {
        let Some(sequence) = self.last else {
            let has_moved = self.done.enter(&place);
            return self.done.see(&place, event) || has_moved;
        };
        if !self.stops.back().is_some_and(|stop| place == Place::Same || stop.place == place) {
            self.forget_between(sequence);
            self.stops.push_back(Stop { place, sequence, events: 0 });
        }
        if let Some(stop) = self.stops.back_mut() {
            self.events.push_back(Waiting { sequence, event });
            stop.events += 1;
            self.forget_passed(sequence);
        }
        false
    }

    /// Of positions that are reached together, the last two count.
    fn forget_between(&mut self, sequence: u64) {
        let Some(at) = self.stops.len().checked_sub(2) else { return };
        if self.stops.range(at..).all(|stop| stop.sequence == sequence) {
            let end = self.events.len() - self.stops[at + 1].events;
            self.events.drain(end - self.stops[at].events..end);
            self.stops.remove(at);
        }
    }

    /// The first event under a sequence is the one that is delivered.
    fn forget_passed(&mut self, sequence: u64) {
        let Some(stop) = self.stops.back_mut() else { return };
        let here = self.events.iter().rev().take(stop.events);
        let together = here.take_while(|event| event.sequence == sequence).take(MOST_PASSED + 2).count();
        if together > MOST_PASSED + 1 {
            self.events.remove(self.events.len() - together + 1);
            stop.events -= 1;
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! What goes out: straight from memory what was just committed, from the disk what waits there.

use std::sync::Arc;
use std::time::Instant;

use crate::change::{Eviction, Unreadable};
use crate::outlet::{News, Outlet};
use crate::record::Stored;
use crate::rows::{self, EVENT_COLUMNS, Found};
use crate::schema::signed;
use crate::shared::Entry;

use super::Writer;

/// What is read back from the disk at once.
const PAGE_EVENTS: usize = 256;
const PAGE_TEXT: usize = 1 << 20;

impl Writer {
    pub(crate) fn set_outlet(&mut self, outlet: Arc<dyn Outlet>) {
        for eviction in &self.evictions {
            outlet.tell(news_of(eviction));
        }
        self.outlet = Some(outlet);
    }

    /// Events that were deleted before they were delivered are not delivered any more.
    pub(super) fn pass_over(&mut self, deleted_until: u64) {
        if deleted_until > self.delivered {
            self.delivered = deleted_until;
            self.shared.set_delivered(deleted_until);
            self.page.retain(|event| event.sequence > deleted_until);
        }
    }

    pub(super) fn note_eviction(&mut self, evicted: Eviction, now: Instant) {
        match &mut self.untold {
            Some((untold, _)) => {
                untold.from = untold.from.min(evicted.from);
                untold.to = untold.to.max(evicted.to);
                untold.topics.extend(evicted.topics);
            }
            None => self.untold = Some((evicted, now)),
        }
    }

    pub(super) fn tell_evictions(&mut self) {
        if let Some((eviction, _)) = self.untold.take() {
            self.tell(news_of(&eviction));
        }
    }

    /// Straight from memory what was just committed, if nothing older waits.
    pub(super) fn deliver_fresh(&mut self, batch: &[Entry]) {
        let Some(outlet) = self.outlet.clone() else {
            self.is_behind = true;
            return;
        };
        let mut has_delivered = false;
        for event in batch.iter().filter_map(Entry::event) {
            if self.is_behind || event.sequence <= self.delivered {
                continue;
            }
            if !self.has_room(&*outlet) {
                self.is_behind = true;
                break;
            }
            self.hand_out(&*outlet, event);
            has_delivered = true;
        }
        if has_delivered {
            outlet.flush();
        }
    }

    /// From the disk what waits there; returns to the inbox after every page.
    pub(super) fn deliver(&mut self, now: Instant) {
        let Some(outlet) = self.outlet.clone() else { return };
        if !self.is_behind {
            return;
        }
        let may_read =
            self.trouble.as_ref().is_none_or(|trouble| !trouble.is_reading || trouble.retry_at <= now);
        let mut has_delivered = false;
        while self.has_room(&*outlet) {
            if self.page.is_empty() {
                let is_waiting = has_delivered || !may_read || !self.unreadable.is_empty();
                if is_waiting || !self.read_page(now) {
                    break;
                }
            }
            if let Some(event) = self.page.pop_front() {
                self.hand_out(&*outlet, &event);
                has_delivered = true;
            }
        }
        if has_delivered {
            outlet.flush();
        }
    }

    pub(super) fn has_room(&self, outlet: &dyn Outlet) -> bool {
        // Said before the question is asked: room that comes in between is not missed.
        self.shared.set_starving(true);
        let has_room = outlet.has_room();
        if has_room {
            self.shared.set_starving(false);
        }
        has_room
    }

    pub(super) fn hand_out(&mut self, outlet: &dyn Outlet, event: &Stored) {
        self.tell_evictions();
        self.delivered = event.sequence;
        // Before it is handed out: it may be acknowledged at once.
        self.shared.set_delivered(event.sequence);
        outlet.deliver(event);
    }

    /// Reads the next page; false if there is none.
    pub(super) fn read_page(&mut self, now: Instant) -> bool {
        match self.next_page() {
            Ok(is_more) => {
                self.recover(true);
                self.is_behind = is_more;
                is_more
            }
            Err(error) => {
                self.fail(now, &error, true);
                false
            }
        }
    }

    pub(super) fn next_page(&mut self) -> rusqlite::Result<bool> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {EVENT_COLUMNS} FROM event WHERE sequence > ?1 ORDER BY sequence LIMIT {PAGE_EVENTS}"
        ))?;
        let mut rows = statement.query([signed(self.delivered)])?;
        let (mut found, mut bytes) = (0, 0);
        let topics = &self.topics;
        while bytes < PAGE_TEXT
            && let Some(row) = rows.next()?
        {
            found += 1;
            match rows::event(row, &|number| topics.name(number))? {
                Found::Sound(mut event) => {
                    bytes += event.frame.len();
                    event.redelivered = event.sequence <= self.redelivered_until;
                    self.page.push_back(event);
                }
                Found::Unreadable { sequence, received_at, topic } => {
                    // What follows waits until this is on the record.
                    self.unreadable.push(Unreadable { sequence, received_at, topic });
                    break;
                }
            }
        }
        Ok(found > 0)
    }
}

fn news_of(eviction: &Eviction) -> News {
    News::Evicted { topics: eviction.topics.iter().cloned().collect(), from: eviction.from, to: eviction.to }
}

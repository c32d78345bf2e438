//! The journal within its bounds: what is deleted, when, and what that gives back.

use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior};

use crate::change::{Change, Plan};
use crate::options::OnFull;
use crate::schema::{self, PAGE_BYTES, unsigned};

use super::Writer;

const MAINTAIN_EVERY: Duration = Duration::from_secs(5);
/// The dedup window: kept for the next run while there is space.
const WINDOW_MS: u64 = 60_000;
/// Pages given back to the file system at once.
const VACUUM_PAGES: u64 = 256;

impl Writer {
    pub(super) fn bound_pages(&self) -> u64 {
        self.options.max_bytes / PAGE_BYTES
    }

    pub(super) fn is_over(&self) -> bool {
        self.used_pages > self.bound_pages()
    }

    pub(super) fn can_delete(&self) -> bool {
        self.state.events > self.state.unacknowledged
            || (self.options.on_full == OnFull::EvictOldest && self.state.events > 0)
    }

    /// Over the bound with events that nobody acknowledged, and they stay.
    pub(super) fn is_blocked(&self) -> bool {
        let has_to_stay = self.state.unacknowledged > 0 && self.options.on_full != OnFull::EvictOldest;
        self.is_over() && !self.can_delete() && has_to_stay
    }

    pub(super) fn plan(&self, now: Instant) -> Option<Plan> {
        let wall = self.wall(now);
        let age = self.options.max_age_ms;
        let over = if self.is_over() || self.stuck_until.is_some() {
            let target = self.bound_pages() - self.bound_pages() / 64;
            (self.used_pages.saturating_sub(target)) * PAGE_BYTES
        } else {
            0
        };
        let is_due = over > 0 || self.more_to_delete || self.maintain_at <= now;
        (is_due && self.state.events > 0).then_some(Plan {
            over,
            acknowledged_before: wall.saturating_sub(age.max(WINDOW_MS)),
            evict_before: (self.options.on_full == OnFull::EvictOldest)
                .then(|| wall.saturating_sub(age.max(WINDOW_MS))),
        })
    }

    pub(super) fn wall(&self, now: Instant) -> u64 {
        let (instant, wall) = self.started;
        let elapsed = now.saturating_duration_since(instant).as_millis();
        wall.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX)).max(self.last_received)
    }

    /// Every few seconds: what is too old, sets nobody uses, pages nobody needs.
    pub(super) fn maintain(&mut self, now: Instant) {
        if self.maintain_at > now {
            return;
        }
        let plan = self.plan(now);
        self.maintain_at = now + MAINTAIN_EVERY;
        if self.trouble.is_some() || self.stuck_until.is_some() {
            return;
        }
        let maintained = self.is_oldest_old(plan).and_then(|is_old| {
            self.more_to_delete |= is_old;
            self.prune(now)?;
            self.vacuum()
        });
        if let Err(error) = maintained {
            self.fail(now, &error, false);
        }
    }

    pub(super) fn is_oldest_old(&self, plan: Option<Plan>) -> rusqlite::Result<bool> {
        let Some(plan) = plan else { return Ok(false) };
        let oldest = self
            .connection
            .prepare_cached("SELECT sequence, received_at FROM event ORDER BY sequence LIMIT 1")?
            .query_row([], |row| Ok((unsigned(row.get(0)?), unsigned(row.get(1)?))))
            .optional()?;
        Ok(oldest.is_some_and(|(sequence, received_at)| {
            let before = if sequence <= self.state.acknowledged {
                Some(plan.acknowledged_before)
            } else {
                plan.evict_before
            };
            before.is_some_and(|before| received_at < before)
        }))
    }

    pub(super) fn prune(&mut self, now: Instant) -> rusqlite::Result<()> {
        let wall = self.wall(now);
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let mut change = Change {
            connection: &transaction,
            topics: &mut self.topics,
            state: self.state.clone(),
            evictions: Vec::new(),
            evicted: None,
            more: false,
            deleted_until: 0,
        };
        change.prune(wall, (self.options.max_bytes / 2048).min(100_000))?;
        let state = change.state;
        if state != self.state {
            state.save(&transaction)?;
        }
        transaction.commit()?;
        self.state = state;
        Ok(())
    }

    /// Gives pages back when a quarter of the file is free.
    pub(super) fn vacuum(&mut self) -> rusqlite::Result<()> {
        let (used, all) = schema::pages(&self.connection)?;
        (self.used_pages, self.file_pages) = (used, all);
        if all - used > used / 4 + VACUUM_PAGES {
            self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({})", 16 * VACUUM_PAGES))?;
        }
        Ok(())
    }
}

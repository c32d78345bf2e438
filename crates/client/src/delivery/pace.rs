//! How often the bell may ring for events: at once while they are few, about once per `max_wait_ms` under load.

/// Early rings that may follow each other.
const MOST_CREDITS: u64 = 8;

/// A credit is earned in so many times `max_wait_ms`: a steady load rings at most one and a half times per `max_wait_ms`.
const WAITS_PER_CREDIT: u64 = 2;

/// A ring `max_wait_ms` after the one before is free; an earlier one costs a credit. Without credit it has to wait, so that
/// a rate tells, and no gap between two events: 1,000 a second come in pairs now and then.
#[derive(Debug)]
pub(super) struct Pace {
    max_wait_ms: u64,
    last: Option<u64>,
    credits: u64,
    /// Since when the next credit is earned.
    earning_since: u64,
}

impl Pace {
    pub(super) fn new(max_wait_ms: u64) -> Self {
        Self { max_wait_ms, last: None, credits: MOST_CREDITS, earning_since: 0 }
    }

    /// When the bell may ring for an event that came at `now`: then, or later.
    pub(super) fn next(&mut self, now: u64) -> u64 {
        let free_at = self.last.map_or(now, |last| last.saturating_add(self.max_wait_ms));
        if free_at <= now {
            return now;
        }
        self.earn(now);
        if self.credits > 0 { now } else { free_at }
    }

    pub(super) fn rung(&mut self, now: u64) {
        if self.last.is_some_and(|last| now < last.saturating_add(self.max_wait_ms)) {
            self.earn(now);
            self.credits = self.credits.saturating_sub(1);
        }
        self.last = Some(now);
    }

    fn earn(&mut self, now: u64) {
        let each = self.max_wait_ms.saturating_mul(WAITS_PER_CREDIT).max(1);
        let earned = now.saturating_sub(self.earning_since) / each;
        self.credits = (self.credits + earned).min(MOST_CREDITS);
        self.earning_since = match self.credits {
            MOST_CREDITS => now.max(self.earning_since),
            _ => self.earning_since + earned * each,
        };
    }
}

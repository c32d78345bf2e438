//! Copies: when they are looked for, and what they tell of the channels (P5).

use crate::dedup::{Sighting, SingleSided, Window};
use crate::io::{LinkId, PastEvent, TopicId};
use crate::roster::ShardIndex;
use crate::time::Now;

use super::{Context, Machine};

/// That copies arrive far apart is said this often.
const WARN_EVERY_MS: u64 = 60 * 60 * 1_000;

impl Machine {
    pub(super) fn is_copy(
        &mut self,
        now: Now,
        index: ShardIndex,
        topic: TopicId,
        body: &str,
        (link, joined_at): (LinkId, u64),
    ) -> bool {
        let shard = &mut self.shards[index];
        if shard.copies.is_none() {
            return false;
        }
        let (is_late, has_company) = (shard.reads_late(), shard.links().nth(1).is_some());
        let Some(window) = &mut shard.copies else { return false };
        let single_sided = if is_late { Vec::new() } else { window.forget(now.mono as i64) };
        let (joined_at, now_ms) = (joined_at as i64, now.mono as i64);
        let identity = None;
        let event = Sighting { topic, body, identity, link, joined_at, now: now_ms, has_company, is_late };
        let was_canonical = self.likeness.is_canonical();
        let is_copy = window.is_copy(&mut self.likeness, event);
        for single in single_sided {
            self.count_single_sided(now, index, single);
        }
        if self.likeness.is_canonical() != was_canonical {
            self.log(
                "warn",
                "copies differ in their bytes: from now on they are recognised by what they mean",
            );
        }
        if is_copy {
            self.warn_of_skew(now.mono);
        }
        is_copy
    }

    /// It counts if another link carried the topic all the while.
    fn count_single_sided(&mut self, now: Now, index: ShardIndex, single: SingleSided) {
        let age = (now.mono as i64 - single.first_seen).unsigned_abs();
        let seen_at = now.wall.saturating_sub(age);
        let mut carriers = self.shards[index].carriers().filter(|link| link.id != single.link);
        let has_missed = carriers.any(|link| link.carried(single.topic, seen_at));
        self.counts.single_sided += u64::from(has_missed);
    }

    fn warn_of_skew(&mut self, now: u64) {
        let (skew, window) = (self.likeness.skew.usual_ms(), self.config.limits.dedup_window_ms);
        if skew <= window / 4 || self.skew_told.is_some_and(|at| now < at + WARN_EVERY_MS) {
            return;
        }
        self.skew_told = Some(now);
        self.log(
            "warn",
            format!(
                "copies of an event arrive up to {skew} ms apart; beyond {window} ms they are not recognised"
            ),
        );
    }

    /// From now on events of two links can be copies of each other.
    pub(super) fn expect_copies(&mut self, index: ShardIndex, now: u64) {
        let window = self.config.limits.dedup_window_ms;
        let shard = &mut self.shards[index];
        shard.copies.get_or_insert_with(|| Window::new(window));
        shard.copies_until = now + window;
    }

    pub(super) fn drive_copies(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let now = cx.now.mono;
        let (window, keeps) = (self.config.limits.dedup_window_ms, self.resumes());
        let shard = &mut self.shards[index];
        if shard.copies.is_none() || keeps {
            return;
        }
        if shard.standby.is_some() || shard.successor.is_some() || !shard.draining.is_empty() {
            shard.copies_until = now + window;
        } else if shard.reads_late() {
            shard.copies_until = now + window;
            self.wake_at(now + window);
        } else if now >= shard.copies_until {
            shard.copies = None;
        } else {
            let until = shard.copies_until;
            self.wake_at(until);
        }
    }

    /// What arrived just before the process ended.
    pub(super) fn remember(&mut self, now: Now, event: &PastEvent) {
        let topic = self.roster.intern(&event.topic);
        let age = now.wall.saturating_sub(event.received_at);
        let Some(index) = self.roster.shard_of(topic).filter(|_| age < self.config.limits.dedup_window_ms)
        else {
            return;
        };
        self.expect_copies(index, now.mono);
        if let Some(window) = &mut self.shards[index].copies {
            window.remember(topic, &event.body, now.mono as i64 - age as i64);
        }
    }
}

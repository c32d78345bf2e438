//! The client's state: derived from its shards, told with reason, attempt, next retry and outage.

use crate::notice::{ClientState, ErrorCode, ErrorReport, Notice, Reason, StateChange, TopicState};
use crate::roster::{ShardIndex, Verdict};
use crate::time::Now;

use super::{Context, Machine};

/// What the state is told with.
#[derive(Debug, Default)]
pub(super) struct Standing {
    reason: Option<Reason>,
    report: Option<ErrorReport>,
    outage_since: Option<u64>,
    next_attempt: Option<u64>,
    announced_attempt: u32,
    pub(super) was_connected: bool,
    now: u64,
}

impl Standing {
    pub(super) fn begin(&mut self, now: Now) {
        self.outage_since = Some(now.mono);
    }

    /// Something keeps topics from being live.
    pub(super) fn trouble(&mut self, reason: Reason, report: Option<ErrorReport>) {
        self.reason = Some(reason);
        self.report = report;
    }

    pub(super) fn no_attempt(&mut self) {
        self.next_attempt = None;
    }

    pub(super) fn attempt_at(&mut self, at: u64) {
        self.next_attempt = Some(self.next_attempt.map_or(at, |next| next.min(at)));
    }
}

impl Machine {
    pub(super) fn update_state(&mut self, cx: &mut Context<'_>) {
        if self.state.is_terminal() {
            return;
        }
        let now = cx.now.mono;
        self.standing.now = now;
        if self.everything_is_live() {
            if !self.standing.was_connected && self.every_topic_is_refused() {
                return self.fail(Reason::AllTopicsRejected, self.all_refused());
            }
            self.standing.was_connected = true;
            self.standing.outage_since = None;
            self.standing.report = None;
            for index in 0..self.shards.len() {
                self.shards[index].was_live |= self.shard_is_live(index);
            }
            return self.enter(ClientState::Connected, Reason::Live, cx.now);
        }
        let since = *self.standing.outage_since.get_or_insert(now);
        let suspended_at = since + self.config.limits.suspend_after_ms;
        let state = if now >= suspended_at {
            ClientState::Suspended
        } else {
            self.wake_at(suspended_at);
            if self.standing.was_connected { ClientState::Reconnecting } else { ClientState::Connecting }
        };
        let reason = self.standing.reason.unwrap_or(Reason::Requested);
        self.enter(state, reason, cx.now);
    }

    /// Changes the state, or tells of a new attempt in the same state.
    pub(super) fn enter(&mut self, state: ClientState, reason: Reason, now: Now) {
        self.standing.now = now.mono;
        let attempt = self.attempt_in(state);
        let news = state != self.state
            || (state != ClientState::Connected && attempt > self.standing.announced_attempt);
        if news {
            let previous = std::mem::replace(&mut self.state, state);
            self.notify_state(previous, reason);
        }
        self.standing.announced_attempt = attempt;
    }

    pub(super) fn notify_state(&mut self, previous: ClientState, reason: Reason) {
        let now = self.standing.now;
        let retrying = matches!(
            self.state,
            ClientState::Connecting | ClientState::Reconnecting | ClientState::Suspended
        );
        self.notify(Notice::State(StateChange {
            state: self.state,
            previous,
            reason,
            attempt: self.attempt(),
            retry_in_ms: self.standing.next_attempt.filter(|_| retrying).map(|at| at.saturating_sub(now)),
            outage_ms: self.standing.outage_since.filter(|_| retrying).map(|since| now.saturating_sub(since)),
            error: self.standing.report.clone().filter(|_| retrying || self.state == ClientState::Failed),
        }));
    }

    /// Attempts since the last healthy period, of the worst shard.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt_in(self.state)
    }

    fn attempt_in(&self, state: ClientState) -> u32 {
        if matches!(state, ClientState::Connected | ClientState::Closing | ClientState::Closed) {
            return 0;
        }
        let shards =
            (0..self.shards.len()).filter(|index| self.is_needed(*index) && !self.shard_is_live(*index));
        let worst = shards.map(|index| self.shards[index].retry.attempt).max().unwrap_or(0);
        let without_token = self.tokens.current(self.standing.now).is_none();
        worst.max(if without_token { self.tokens.retry.attempt } else { 0 })
    }

    fn everything_is_live(&self) -> bool {
        let counts = |index: &ShardIndex| {
            self.is_needed(*index) && (!self.standing.was_connected || self.shards[*index].was_live)
        };
        let live = (0..self.shards.len()).filter(counts).all(|index| self.shard_is_live(index));
        live && (self.standing.was_connected || !self.some_topic_is_pending())
    }

    /// Proven alive, and the service has answered for the whole list at least once.
    fn shard_is_live(&self, index: ShardIndex) -> bool {
        let shard = &self.shards[index];
        shard.is_live() && shard.primary.as_ref().is_some_and(|link| link.subscriptions.synced.is_some())
    }

    fn some_topic_is_pending(&self) -> bool {
        self.roster.wanted().any(|id| {
            let covered = self.ledger.is_covered(id);
            match self.roster.verdict(id) {
                Verdict::Pending => true,
                Verdict::Subscribed => !covered,
                Verdict::Rejected(_) => false,
            }
        })
    }

    fn every_topic_is_refused(&self) -> bool {
        let mut wanted = self.roster.wanted().peekable();
        wanted.peek().is_some() && wanted.all(|id| matches!(self.roster.verdict(id), Verdict::Rejected(_)))
    }

    fn all_refused(&self) -> ErrorReport {
        let refused: Vec<_> = self.roster.wanted().map(|id| self.roster.status(id)).collect();
        let first = refused.iter().find(|status| status.state == TopicState::Rejected);
        let example = first.map_or_else(String::new, |status| {
            format!(
                "; the first, {}: {}",
                status.topic,
                status.reason.as_deref().unwrap_or("no reason given")
            )
        });
        ErrorReport::new(
            ErrorCode::AllTopicsRejected,
            format!("all {} topics were refused{example}", refused.len()),
        )
    }
}

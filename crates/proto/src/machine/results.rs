//! The results of started operations.

use crate::decision::{Decision, Judgement, Step, judge};
use crate::failure::Failure;
use crate::io::{Generation, LinkId, NewChannel, Outcome, Output, SocketId, Ticket, TokenGrant};
use crate::link::{Channel, Socket};
use crate::liveness::OpenSocket;
use crate::notice::{ChannelStage, ClientState, ErrorCode, ErrorReport, Notice, Reason};
use crate::roster::ShardIndex;
use crate::shard::Role;
use crate::throttle::Door;

use super::loss::Loss;
use super::{Context, Machine, What};

impl Machine {
    pub(super) fn done(&mut self, cx: &mut Context<'_>, ticket: Ticket, outcome: Outcome) {
        // What the service asks of us counts even if the request was given up.
        if let Some(wait) = failure_of(&outcome).and_then(Failure::retry_after_ms) {
            self.throttle.retry_after(Door::of_outcome(&outcome), cx.now.mono, wait, cx.random);
        }
        let Some(started) = self.operations.remove(&ticket) else { return };
        match (started.what, outcome) {
            (What::Token, Outcome::Token(result)) => self.token_done(cx, result),
            (What::Create(index, link, owner), Outcome::Channel(result)) => {
                self.channel_done(cx, index, link, owner, result);
            }
            (What::Subscribe(index, link), Outcome::Subscriptions(result)) => {
                self.subscribe_done(cx, index, link, ticket, result);
            }
            (What::Open(index, link, socket), Outcome::Socket(result)) => {
                self.open_done(cx, index, link, socket, result);
            }
            (What::Clear(index, link, generation), Outcome::Subscriptions(result)) => {
                self.clear_done(cx, index, link, generation, result.err());
            }
            (What::Count, Outcome::Channels(result)) => self.channels_counted(cx, result),
            (What::Audit(index, link), Outcome::Listed(result)) => self.listed(cx, index, link, result),
            (What::Cursor, Outcome::Cursor(result)) => self.cursor_loaded(cx, result),
            // A result of another kind under this ticket: forged. The operation itself is still under way.
            (_, _) => {
                self.operations.insert(ticket, started);
            }
        }
    }

    /// The driver owes every operation a result; if it fails to, the operation counts as timed out.
    pub(super) fn expire_operations(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let overdue: Vec<(Ticket, What)> = self
            .operations
            .iter()
            .filter(|(_, started)| started.overdue_at <= now)
            .map(|(ticket, started)| (*ticket, started.what))
            .collect();
        for (ticket, what) in overdue {
            // The one before it may have ended its link.
            if !self.operations.contains_key(&ticket) {
                continue;
            }
            let outcome = match what {
                What::Token => Outcome::Token(Err(Failure::timed_out("the token request"))),
                What::Create(..) => Outcome::Channel(Err(Failure::timed_out("the channel creation"))),
                What::Subscribe(..) | What::Clear(..) => {
                    Outcome::Subscriptions(Err(Failure::timed_out("the subscription request")))
                }
                What::Open(..) => Outcome::Socket(Err(Failure::timed_out("opening the socket"))),
                What::Count => Outcome::Channels(Err(Failure::timed_out("counting the channels"))),
                What::Audit(..) => Outcome::Listed(Err(Failure::timed_out("listing the subscriptions"))),
                What::Cursor => Outcome::Cursor(Err(Failure::timed_out("loading the cursor"))),
            };
            self.outbox.push_back(Output::Cancel(ticket));
            self.done(cx, ticket, outcome);
        }
        if let Some(at) = self.operations.values().map(|started| started.overdue_at).min() {
            self.wake_at(at);
        }
    }

    fn token_done(&mut self, cx: &mut Context<'_>, result: Result<TokenGrant, Failure>) {
        let now = cx.now.mono;
        match result {
            Ok(grant) => {
                let old_ends_at = self.tokens.current(now).and_then(|_| self.tokens.current_ends_at());
                let generation = self.tokens.granted(now, grant.expires_in_ms, &self.config, cx.random);
                // Channels go with their token; spread, but well before the old one ends.
                let spread = old_ends_at.map_or(0, |at| (at.saturating_sub(now) / 4).min(5_000));
                for shard in &mut self.shards {
                    shard.token_rotation_at = now + cx.random.up_to(spread);
                }
                if let Some(generation) = generation {
                    self.moment_of_token(generation);
                }
                self.log("debug", "got an access token");
            }
            Err(failure) => {
                let judgement = judge(Step::Token, &failure);
                let report = ErrorReport::of(Step::Token, &failure, &judgement);
                let suspended = self.state == ClientState::Suspended;
                self.tokens.request_failed(&self.config, suspended, now, cx.random);
                if judgement.decision == Decision::Fatal {
                    self.tokens.note_refusal(now);
                    if self.tokens.endpoint_refusal_is_final(&self.config, now) {
                        return self.fail(Reason::Credentials, report);
                    }
                }
                if self.tokens.current(now).is_none() {
                    self.standing.trouble(judgement.reason, Some(retryable(&report)));
                }
                self.notify(Notice::Error(retryable(&report)));
            }
        }
    }

    fn channel_done(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        owner: Generation,
        result: Result<NewChannel, Failure>,
    ) {
        let now = cx.now.mono;
        let life = result.as_ref().map_or(0, |channel| channel.expires_in_ms.max(1));
        let rotate_at = if life > 0 { self.replacement_at(cx, index, link, life) } else { now };
        let Some((role, link)) = self.shards[index].by_id(link) else { return };
        link.creating = None;
        match result {
            Ok(channel) => {
                link.channel = Some(Channel {
                    name: channel.id,
                    owner,
                    made_at: now,
                    rotate_at,
                    ends_at: now + life,
                    gone: false,
                });
                let who = link.who();
                self.stage(who, ChannelStage::Made, None);
                self.tokens.accepted();
            }
            Err(failure) => {
                let judgement = judge(Step::Create, &failure);
                let report = ErrorReport::of(Step::Create, &failure, &judgement);
                self.census.not_made(now, &failure);
                if judgement.decision == Decision::Renew {
                    self.token_refused(cx, owner, &report);
                }
                self.step_failed(cx, index, role, &judgement, report);
            }
        }
    }

    /// When a link that lives so long from now on is to be replaced. Of 24 h: within the last 1–4 h, never two clients at the same
    /// moment.
    pub(super) fn replacement_at(
        &self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        life: u64,
    ) -> u64 {
        let now = cx.now.mono;
        let given = self.config.rotation.before_expiry_ms;
        let before = given
            .unwrap_or_else(|| cx.random.between(life / 24, life / 6) + (life / 6).min(1_000))
            .min(life / 2);
        apart(now, now + life - before, self.rotates_beside(index, link), life)
    }

    /// When the link is replaced beside which this one will stand.
    fn rotates_beside(&self, index: ShardIndex, link: LinkId) -> Option<u64> {
        let shard = &self.shards[index];
        let stands_by = self.has_standby() && shard.successor.as_ref().is_some_and(|own| own.id == link);
        let beside = shard.primary.as_ref().filter(|_| stands_by)?;
        beside.channel.as_ref().map(|channel| channel.rotate_at)
    }

    fn open_done(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        socket: SocketId,
        result: Result<(), Failure>,
    ) {
        let Some((role, link)) = self.shards[index].by_id(link) else { return };
        if !matches!(&link.socket, Socket::Opening { id, .. } if *id == socket) {
            return;
        }
        match result {
            Ok(()) => {
                link.socket = Socket::Open(OpenSocket::new(socket, cx.now));
                self.direct_opened(cx, index, role, socket);
            }
            Err(failure) if link.handshake.is_some() => {
                link.socket = Socket::Closed;
                self.direct_refused(cx, index, role, &failure);
            }
            Err(failure) => {
                link.socket = Socket::Closed;
                let judgement = judge(Step::Open, &failure);
                let report = ErrorReport::of(Step::Open, &failure, &judgement);
                if judgement.code == ErrorCode::UntrustedConnectUri {
                    self.notify(Notice::Error(report.clone()));
                }
                // Nothing about one socket is beyond mending.
                let decision =
                    if judgement.decision == Decision::Fatal { Decision::Retry } else { judgement.decision };
                self.lost(cx, index, role, Loss { reason: judgement.reason, decision, report: Some(report) });
            }
        }
    }

    fn clear_done(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        link: LinkId,
        generation: Generation,
        failure: Option<Failure>,
    ) {
        if let Some(failure) = failure {
            let judgement = judge(Step::Subscribe, &failure);
            if judgement.decision == Decision::Renew {
                let report = ErrorReport::of(Step::Subscribe, &failure, &judgement);
                self.token_refused(cx, generation, &report);
            }
        }
        let draining = &mut self.shards[index].draining;
        if let Some(position) = draining.iter().position(|drain| drain.link.id == link) {
            let drain = draining.remove(position);
            self.discard(drain.link);
        }
    }

    /// The API refused a token. Fails the client when renewing has not helped.
    pub(super) fn token_refused(
        &mut self,
        cx: &mut Context<'_>,
        generation: Generation,
        report: &ErrorReport,
    ) {
        self.tokens.refused(generation, &self.config, cx.now.mono, cx.random);
        if self.tokens.hopeless(&self.config, cx.now.mono) {
            self.fail(Reason::TokenRejected, report.clone());
        }
    }

    /// A request failed that the link cannot do without: note it and wait.
    fn step_failed(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        judgement: &Judgement,
        report: ErrorReport,
    ) {
        if self.state.is_terminal() {
            return;
        }
        if judgement.decision == Decision::Fatal && !self.tokens.has_proven() {
            return self.fail(judgement.reason, report);
        }
        let suspended = self.state == ClientState::Suspended;
        let shard = &mut self.shards[index];
        let retry = if role == Role::Primary { &mut shard.retry } else { &mut shard.rotation_retry };
        retry.again(&self.config.backoff, suspended, cx.now.mono, cx.random);
        if role == Role::Primary {
            shard.trouble = Some(judgement.reason);
            self.standing.trouble(judgement.reason, Some(retryable(&report)));
        }
        self.notify(Notice::Error(retryable(&report)));
    }
}

/// Two links of a shard are replaced about half a life apart.
fn apart(now: u64, rotate_at: u64, beside: Option<u64>, life: u64) -> u64 {
    match beside {
        Some(other) if rotate_at.abs_diff(other) < life / 4 => now + (rotate_at - now) / 2,
        _ => rotate_at,
    }
}

pub(super) fn retryable(report: &ErrorReport) -> ErrorReport {
    ErrorReport { retryable: true, ..report.clone() }
}

fn failure_of(outcome: &Outcome) -> Option<&Failure> {
    match outcome {
        Outcome::Token(result) => result.as_ref().err(),
        Outcome::Channel(result) => result.as_ref().err(),
        Outcome::Subscriptions(result) => result.as_ref().err(),
        Outcome::Socket(result) => result.as_ref().err(),
        Outcome::Channels(result) => result.as_ref().err(),
        Outcome::Listed(result) => result.as_ref().err(),
        Outcome::Cursor(result) => result.as_ref().err(),
    }
}

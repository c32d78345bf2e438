//! What happens when a link is lost, proven, or takes over from another.

use std::collections::BTreeSet;

use crate::backoff::Retry;
use crate::config::Heartbeat;
use crate::decision::{Decision, judge_close, judge_direct_close};
use crate::handshake::Handshake;
use crate::io::{Ending, Output, RequestId, SocketId, TopicId};
use crate::link::{Link, Socket};
use crate::notice::{ChannelStage, ClientState, ErrorCode, ErrorReport, Notice, Reason};
use crate::roster::ShardIndex;
use crate::shard::Role;
use crate::time::Now;

use super::wanted::Awaited;
use super::{Context, Machine};

/// Genesys' own client forces a new channel after this many reopenings of the same one.
const MOST_REOPENINGS: u32 = 10;
/// A channel that cannot be opened is not given up for another one more often: they are few, and a streaming host that is
/// down opens none of them.
const NEW_CHANNEL_EVERY_MS: u64 = 600_000;

/// Why a link is no longer usable.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    pub(super) reason: Reason,
    pub(super) decision: Decision,
    pub(super) report: Option<ErrorReport>,
}

impl Loss {
    pub(super) fn silent(heartbeat: &Heartbeat) -> Self {
        let message = format!("no frame arrived for up to {} ms", heartbeat.silence_ms);
        Self::retry(Reason::Silence, ErrorReport::new(ErrorCode::SilentSocket, message))
    }

    pub(super) fn clock_jump() -> Self {
        let message = "the clock jumped (suspend or pause) and the socket did not survive it";
        Self::retry(Reason::ClockJump, ErrorReport::new(ErrorCode::SilentSocket, message))
    }

    pub(super) fn channel_gone() -> Self {
        Self {
            reason: Reason::ChannelGone,
            decision: Decision::Recreate,
            report: Some(ErrorReport::new(
                ErrorCode::ChannelGone,
                "the service says that the channel is gone",
            )),
        }
    }

    pub(super) fn evicted() -> Self {
        Self {
            reason: Reason::ChannelEvicted,
            decision: Decision::Recreate,
            report: Some(ErrorReport::new(
                ErrorCode::ChannelGone,
                "another channel has taken this one's place",
            )),
        }
    }

    fn of(ending: Ending) -> Self {
        match ending {
            Ending::Closed(code, why) => {
                let why = if why.is_empty() { String::new() } else { format!(": {why}") };
                let report = ErrorReport::new(
                    ErrorCode::ConnectionLost,
                    format!("the peer closed the socket with {code}{why}"),
                );
                Self { reason: Reason::SocketClosed, decision: judge_close(code), report: Some(report) }
            }
            Ending::Broken(failure) => Self::retry(
                Reason::ConnectionLost,
                ErrorReport::new(ErrorCode::ConnectionLost, failure.to_string()),
            ),
            Ending::Unreadable(what) => {
                Self::retry(Reason::UnreadableFrame, ErrorReport::new(ErrorCode::UnreadableFrame, what))
            }
        }
    }

    fn retry(reason: Reason, report: ErrorReport) -> Self {
        Self { reason, decision: Decision::Retry, report: Some(report) }
    }
}

impl Machine {
    pub(super) fn socket_closed(&mut self, cx: &mut Context<'_>, socket: SocketId, ending: Ending) {
        let Some((index, role)) = self.whose(socket) else { return };
        if let Ending::Unreadable(what) = &ending {
            self.notify(Notice::Error(ErrorReport::new(ErrorCode::UnreadableFrame, what.clone())));
        }
        if role == Role::Draining {
            let shard = &mut self.shards[index];
            if let Some((_, link)) = shard.by_socket(socket) {
                link.socket_ended();
            }
            return;
        }
        match &ending {
            Ending::Closed(code, _) if self.config.direct.is_some() => {
                let decision = judge_direct_close(*code);
                self.direct_lost(cx, index, role, decision, Loss::of(ending));
            }
            _ => self.lost(cx, index, role, Loss::of(ending)),
        }
    }

    pub(super) fn whose(&mut self, socket: SocketId) -> Option<(ShardIndex, Role)> {
        self.shards
            .iter_mut()
            .enumerate()
            .find_map(|(index, shard)| shard.by_socket(socket).map(|(role, _)| (index, role)))
    }

    pub(super) fn paused(&mut self, now: Now, socket: SocketId, paused: bool) {
        for shard in &mut self.shards {
            if let Some(open) = shard.by_socket(socket).and_then(|(_, link)| link.open_mut()) {
                open.paused(now, paused);
            }
        }
    }

    /// A link's socket is no more, or not to be had, or its channel is dead.
    pub(super) fn lost(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role, loss: Loss) {
        self.dirty = true;
        let live = self.shards[index].link(role).filter(|link| link.is_live()).and_then(Link::who);
        self.stage(live, ChannelStage::Lost, Some(loss.reason));
        match role {
            Role::Primary => self.primary_lost(cx, index, loss),
            Role::Standby => self.standby_lost(cx, index, &loss),
            Role::Successor => self.successor_lost(cx, index, &loss),
            Role::Draining => {}
        }
    }

    fn primary_lost(&mut self, cx: &mut Context<'_>, index: ShardIndex, loss: Loss) {
        let now = cx.now.mono;
        let suspended = self.state == ClientState::Suspended;
        let Some(mut link) = self.shards[index].primary.take() else { return };
        let was_live = link.is_live();
        let sound_until = link.open().map_or(cx.now.wall, |open| open.sound_until());
        // Servers that end each connection after a minute are common, and were never healthy by the default of a minute.
        let healthy_ms = self.config.backoff.healthy_ms / if link.handshake.is_some() { 2 } else { 1 };
        if link.live_since.is_some_and(|since| now.saturating_sub(since) >= healthy_ms) {
            self.shards[index].retry.reset();
            link.reopened = 0;
        }
        if was_live {
            self.counts.drops += 1;
            self.doubt_list(&link, sound_until);
            self.doubt_what_began_anew(index, sound_until);
            let alone = self
                .standby_takes_over(cx, index, link, sound_until, &loss)
                .and_then(|link| self.successor_takes_over(index, link, sound_until, cx.now.wall, &loss))
                .and_then(|link| self.survivor_takes_over(index, link, sound_until, &loss));
            let Some(lost) = alone else { return };
            link = self.lose_carried(lost, sound_until, loss.reason, cx.now.wall);
        }
        // The user waits for this channel to be replaced; anything else is over with its socket.
        link.doomed = link.doomed.filter(|why| *why == Reason::Requested);
        self.standing.trouble(loss.reason, loss.report.clone());
        self.shards[index].trouble = Some(loss.reason);
        let reuse = reusable(&mut link, &loss, was_live, now);
        if !reuse && let Some(successor) = self.shards[index].successor.take() {
            self.shards[index].primary = Some(successor);
            self.shards[index].purpose = None;
            self.shards[index].rotation_retry = Retry::default();
            self.refresh_verdicts(index);
            return self.discard(link);
        }
        self.shards[index].retry.again(&self.config.backoff, suspended, now, cx.random);
        if reuse {
            // Beside a successor that is not ready: whichever is first to carry.
            self.close_socket_of(&mut link);
            self.shards[index].primary = Some(link);
        } else {
            self.discard(link);
        }
    }

    fn successor_lost(&mut self, cx: &mut Context<'_>, index: ShardIndex, loss: &Loss) {
        let now = cx.now.mono;
        let shard = &mut self.shards[index];
        shard.rotation_retry.again(&self.config.backoff, false, now, cx.random);
        let Some(mut link) = shard.successor.take() else { return };
        if reusable(&mut link, loss, false, now) {
            self.close_socket_of(&mut link);
            self.shards[index].successor = Some(link);
        } else {
            self.shards[index].purpose = None;
            self.discard(link);
        }
    }

    pub(super) fn close_socket_of(&mut self, link: &mut Link) {
        match &link.socket {
            Socket::Opening { ticket, .. } => self.cancel(*ticket),
            Socket::Open(open) => {
                self.outbox.push_back(Output::Release(open.id));
                self.outbox.push_back(Output::DropSocket(open.id));
            }
            Socket::Closed => {}
        }
        link.socket_ended();
    }

    /// A pong, or what stands for it, proves the confirmations up to this one: since it was asked for, as the link was open
    /// and confirmed by then.
    pub(super) fn proven(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        confirmation: u64,
        asked: u64,
    ) {
        let Some(link) = self.shards[index].link_mut(role) else { return };
        let confirmation = confirmation.min(link.subscriptions.confirmations);
        link.subscriptions.proven = link.subscriptions.proven.max(confirmation);
        if link.awaits_proof() || link.subscriptions.confirmations == 0 {
            return;
        }
        // The answer to a topic that is asked for on the socket is the pong itself.
        let is_direct = link.handshake.is_some();
        link.carries_all(if is_direct { cx.now.wall } else { asked });
        let who = link.who().filter(|_| link.live_since.is_none());
        if link.live_since.is_none() {
            link.live_since = Some(cx.now.mono);
            // Whatever was missed until now lies in a gap already.
            link.subscriptions.unsure_since = link.subscriptions.unsure_since.map(|_| cx.now.wall);
        }
        link.failed_opens = 0;
        let arrived = link.handshake.as_mut().map(Handshake::proven).unwrap_or_default();
        let confirmed = link.subscriptions.confirmed.clone();
        let Some(open) = link.open_mut() else { return };
        open.proof_ended();
        let socket = open.id;
        self.dirty = true;
        self.stage(who, ChannelStage::Live, None);
        match role {
            Role::Primary | Role::Standby => {
                if role == Role::Primary {
                    self.stage(who, ChannelStage::Primary, None);
                    // Nothing but the pong says that the server has read what was asked for.
                    if is_direct {
                        self.refresh_verdicts(index);
                    }
                }
                self.cover(index, &confirmed, cx.now.wall);
                self.outbox.push_back(Output::Release(socket));
            }
            Role::Successor | Role::Draining => {}
        }
        if is_direct {
            self.tokens.works(cx.now.mono);
            self.come_so_far(arrived);
        }
    }

    pub(super) fn cover(&mut self, index: ShardIndex, confirmed: &BTreeSet<TopicId>, wall: u64) {
        let covered: Vec<TopicId> = confirmed.intersection(&self.shards[index].wanted).copied().collect();
        let is_new = |id: &TopicId| !self.ledger.is_covered(*id) && !self.ledger.is_blind(*id);
        let new: Vec<TopicId> = covered.iter().copied().filter(is_new).collect();
        let closed = self.ledger.regain(&covered, wall);
        self.notify_gaps(closed);
        self.moment_of_coverage(&new);
        self.shards[index].trouble = None;
    }

    /// Starts anew on new channels, at once.
    pub(super) fn reconnect(&mut self, cx: &mut Context<'_>, request: RequestId) {
        self.wait_for(request, Awaited::Connected);
        if self.state == ClientState::Idle {
            return;
        }
        for index in 0..self.shards.len() {
            // The one in use last: what the others brought until now is not missing.
            let shard = &mut self.shards[index];
            let first = shard.successor.take().into_iter().chain(shard.draining.drain(..).map(|d| d.link));
            let others: Vec<Link> = first.chain(shard.standby.take()).collect();
            (shard.purpose, shard.handing_over) = (None, false);
            for link in others {
                self.cut_off(cx.now.wall, link);
            }
            let Some(link) = self.shards[index].primary.take() else { continue };
            if let Some(open) = link.open().filter(|_| link.is_live()) {
                self.doubt_what_began_anew(index, open.sound_until());
            }
            self.cut_off(cx.now.wall, link);
            let shard = &mut self.shards[index];
            shard.retry.reset();
            shard.trouble = Some(Reason::Requested);
        }
        self.standing.trouble(Reason::Requested, None);
    }

    fn cut_off(&mut self, wall: u64, mut link: Link) {
        if link.is_live() {
            let sound_until = link.open().map_or(wall, |open| open.sound_until());
            link = self.lose_carried(link, sound_until, Reason::Requested, wall);
        }
        self.discard(link);
    }

    /// Replaces every live channel, overlapped.
    pub(super) fn rotate(&mut self, request: RequestId) {
        let mut old = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| shard.is_live()) {
            for link in shard.primary.iter_mut().chain(&mut shard.standby) {
                link.doomed = Some(Reason::Requested);
                old.push(link.id);
            }
        }
        self.wait_for(request, Awaited::Replaced(old));
    }
}

/// The same channel once after it was live, then a new one; a channel that was never live is worth a few tries, so that
/// a streaming host that is down does not cost a channel for every attempt.
pub(super) fn reusable(link: &mut Link, loss: &Loss, was_live: bool, now: u64) -> bool {
    // A direct link leaves nothing behind that could be opened again.
    if link.handshake.is_some() || !link.channel_is_usable(now) {
        return false;
    }
    let never_live = link.reopened == 0 && !was_live;
    if loss.decision == Decision::Recreate {
        // A channel made a moment ago may not be known to the streaming host yet.
        let young = never_live
            && link.failed_opens == 0
            && loss.reason == Reason::ChannelGone
            && link.open().is_none();
        link.failed_opens += 1;
        return young;
    }
    if was_live {
        link.reopened += 1;
        return link.reopened <= MOST_REOPENINGS;
    }
    link.failed_opens += 1;
    let young = link.channel.as_ref().is_some_and(|channel| now < channel.made_at + NEW_CHANNEL_EVERY_MS);
    never_live && (young || link.failed_opens <= MOST_REOPENINGS)
}

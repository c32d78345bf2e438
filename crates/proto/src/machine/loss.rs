//! What happens when a link is lost, proven, or takes over from another.

use std::collections::BTreeSet;

use crate::backoff::Retry;
use crate::config::Heartbeat;
use crate::decision::{Decision, judge_close};
use crate::io::{Ending, Output, RequestId, SocketId, TopicId};
use crate::link::{Link, Socket};
use crate::notice::{Certainty, ClientState, ErrorCode, ErrorReport, Notice, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Drain, Role};
use crate::time::Now;

use super::wanted::Awaited;
use super::{Context, Machine};

/// Genesys' own client forces a new channel after this many reopenings of the same one.
const MOST_REOPENINGS: u32 = 10;

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

    fn evicted() -> Self {
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
        self.lost(cx, index, role, Loss::of(ending));
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
        match role {
            Role::Primary => self.primary_lost(cx, index, loss),
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
        let asked_for = self.shards[index].rotate_for.take().filter(|why| *why == Reason::Requested);
        if link.live_since.is_some_and(|since| now.saturating_sub(since) >= self.config.backoff.healthy_ms) {
            self.shards[index].retry.reset();
            link.reopened = 0;
        }
        if was_live {
            self.counts.drops += 1;
            self.doubt_list(&link, sound_until);
            if self.successor_takes_over(index, &link, sound_until, cx.now.wall, &loss)
                || self.survivor_takes_over(index, &link, sound_until, &loss)
            {
                return self.discard(link);
            }
            let lost =
                self.ledger.lose(&link.subscriptions.confirmed, sound_until, loss.reason, Certainty::Certain);
            self.notify_gaps(lost);
        }
        self.standing.trouble(loss.reason, loss.report.clone());
        self.shards[index].trouble = Some(loss.reason);
        let reuse = reusable(&mut link, &loss, was_live, now);
        if !reuse && let Some(successor) = self.shards[index].successor.take() {
            self.shards[index].primary = Some(successor);
            self.shards[index].rotation_retry = Retry::default();
            self.refresh_verdicts(index);
            return self.discard(link);
        }
        self.shards[index].retry.again(&self.config.backoff, suspended, now, cx.random);
        if reuse {
            // Beside a successor that is not ready: whichever is first to carry.
            self.close_socket_of(&mut link);
            self.shards[index].primary = Some(link);
            // The user waits for this channel to be replaced.
            self.shards[index].rotate_for = asked_for;
        } else {
            self.discard(link);
        }
    }

    /// A list that was never answered may have dropped topics, a part of a split list surely has.
    fn doubt_list(&mut self, link: &Link, sound_until: u64) {
        let Some(since) = link.subscriptions.unsure_since.filter(|since| *since < sound_until) else {
            return;
        };
        let covered = |id: &TopicId| self.ledger.is_covered(*id);
        let topics: BTreeSet<TopicId> =
            link.subscriptions.confirmed.iter().copied().filter(covered).collect();
        let record =
            self.ledger.blemish(topics, since, sound_until, Reason::TopicRejected, Certainty::Possible);
        self.notify_gaps(record);
    }

    /// A successor that is proven alive, though not of the youngest change, carries on with what it has.
    fn successor_takes_over(
        &mut self,
        index: ShardIndex,
        lost: &Link,
        sound_until: u64,
        wall: u64,
        loss: &Loss,
    ) -> bool {
        let Some(successor) = self.shards[index].successor.take_if(|link| link.is_live()) else {
            return false;
        };
        let confirmed = successor.subscriptions.confirmed.clone();
        let (socket, carries_since) = (successor.open().map(|open| open.id), successor.carries_since);
        let is_missing = |id: &&TopicId| carries_since > sound_until || !confirmed.contains(*id);
        let missing: BTreeSet<TopicId> =
            lost.subscriptions.confirmed.iter().filter(is_missing).copied().collect();
        let record = self.ledger.lose(&missing, sound_until, loss.reason, Certainty::Certain);
        self.notify_gaps(record);
        let shard = &mut self.shards[index];
        shard.primary = Some(successor);
        shard.rotation_retry = Retry::default();
        self.cover(index, &confirmed, wall);
        self.outbox.extend(socket.map(Output::Release));
        self.refresh_verdicts(index);
        true
    }

    /// A link that is still draining carries on alone, and is replaced at once.
    fn survivor_takes_over(&mut self, index: ShardIndex, lost: &Link, sound_until: u64, loss: &Loss) -> bool {
        let draining = &mut self.shards[index].draining;
        let Some(position) =
            draining.iter().position(|drain| drain.link.is_live() && drain.clearing.is_none())
        else {
            return false;
        };
        let survivor = draining.remove(position).link;
        let only_lost: BTreeSet<TopicId> =
            lost.subscriptions.confirmed.difference(&survivor.subscriptions.confirmed).copied().collect();
        let record = self.ledger.lose(&only_lost, sound_until, loss.reason, Certainty::Certain);
        self.notify_gaps(record);
        let shard = &mut self.shards[index];
        shard.primary = Some(survivor);
        shard.rotate_for = Some(loss.reason);
        true
    }

    fn successor_lost(&mut self, cx: &mut Context<'_>, index: ShardIndex, loss: &Loss) {
        let now = cx.now.mono;
        let shard = &mut self.shards[index];
        shard.rotation_retry.again(&self.config.backoff, false, now, cx.random);
        let Some(mut link) = shard.successor.take() else { return };
        if reusable(&mut link, loss, false, now) && link.failed_opens <= 3 {
            self.close_socket_of(&mut link);
            self.shards[index].successor = Some(link);
        } else {
            self.discard(link);
        }
    }

    fn close_socket_of(&mut self, link: &mut Link) {
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

    /// A pong, or what stands for it, proves the confirmations up to this one.
    pub(super) fn proven(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role, confirmation: u64) {
        let Some(link) = self.shards[index].link_mut(role) else { return };
        let confirmation = confirmation.min(link.subscriptions.confirmations);
        if confirmation > link.subscriptions.proven {
            link.subscriptions.proven = confirmation;
            link.carries_since = cx.now.wall;
        }
        if link.awaits_proof() || link.subscriptions.confirmations == 0 {
            return;
        }
        if link.live_since.is_none() {
            link.live_since = Some(cx.now.mono);
            // Whatever was missed until now lies in a gap already.
            link.subscriptions.unsure_since = link.subscriptions.unsure_since.map(|_| cx.now.wall);
        }
        link.failed_opens = 0;
        let confirmed = link.subscriptions.confirmed.clone();
        let Some(open) = link.open_mut() else { return };
        open.proof_ended();
        let socket = open.id;
        self.dirty = true;
        match role {
            Role::Primary => {
                self.cover(index, &confirmed, cx.now.wall);
                self.outbox.push_back(Output::Release(socket));
            }
            Role::Successor | Role::Draining => {}
        }
    }

    fn cover(&mut self, index: ShardIndex, confirmed: &BTreeSet<TopicId>, wall: u64) {
        let covered: Vec<TopicId> = confirmed.intersection(&self.shards[index].wanted).copied().collect();
        let closed = self.ledger.regain(&covered, wall);
        self.notify_gaps(closed);
        self.shards[index].trouble = None;
    }

    /// The successor is proven alive and carries everything. Before it takes over, the link in use must show that it was
    /// alive until then, or what it missed would be told after later events.
    pub(super) fn drive_handover(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let (now, pong_timeout) = (cx.now.mono, self.config.heartbeat.pong_timeout_ms);
        let shard = &mut self.shards[index];
        let is_ready = shard.successor.as_ref().is_some_and(|link| {
            link.is_live() && !link.awaits_proof() && link.subscriptions.synced == Some(shard.revision)
        });
        if !is_ready {
            shard.handing_over = false;
            return;
        }
        let Some(open) = shard.primary.as_mut().filter(|link| link.is_live()).and_then(Link::open_mut) else {
            return self.promote(cx, index);
        };
        if open.is_condemned() {
            return self.lost(cx, index, Role::Primary, Loss::evicted());
        }
        if !shard.handing_over {
            shard.handing_over = true;
            open.read_late();
        }
        match open.asked() {
            _ if !open.reads_late() => self.promote(cx, index),
            _ if open.paused => {}
            // The next pass asks.
            None => self.dirty = true,
            Some(asked) if now < asked + pong_timeout => self.wake_at(asked + pong_timeout),
            Some(_) => self.lost(cx, index, Role::Primary, Loss::silent(&self.config.heartbeat.clone())),
        }
    }

    /// It takes over, the old link drains.
    fn promote(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let shard = &mut self.shards[index];
        let Some(successor) = shard.successor.take() else { return };
        let confirmed = successor.subscriptions.confirmed.clone();
        let socket = successor.open().map(|open| open.id);
        shard.rotate_for = None;
        shard.rotation_retry = Retry::default();
        shard.handing_over = false;
        let old = shard.primary.replace(successor);
        self.counts.rotations += 1;
        self.cover(index, &confirmed, cx.now.wall);
        self.outbox.extend(socket.map(Output::Release));
        let refused: BTreeSet<TopicId> = self.shards[index].wanted.difference(&confirmed).copied().collect();
        let from = old.as_ref().map_or(cx.now.wall, |old| old.refused_since(cx.now));
        let record = self.ledger.lose(&refused, from, Reason::TopicRejected, Certainty::Certain);
        self.notify_gaps(record);
        self.refresh_verdicts(index);
        match old {
            Some(old) if old.open().is_some() => self.drain(cx.now.mono, index, old),
            Some(old) => self.discard(old),
            None => {}
        }
        self.log("info", format!("shard {index}: the new channel has taken over"));
    }

    fn drain(&mut self, now: u64, index: ShardIndex, mut link: Link) {
        self.outbox.extend(link.open().map(|open| Output::Release(open.id)));
        if let Some(request) = link.subscriptions.in_flight.take() {
            self.cancel(request.ticket);
        }
        let drain = Drain { link, since: now, pinged: false, drained_at: None, clearing: None };
        self.shards[index].draining.push(drain);
    }

    /// Starts anew on new channels, at once.
    pub(super) fn reconnect(&mut self, cx: &mut Context<'_>, request: RequestId) {
        self.wait_for(request, Awaited::Connected);
        if self.state == ClientState::Idle {
            return;
        }
        for index in 0..self.shards.len() {
            let Some(link) = self.shards[index].primary.take() else { continue };
            if link.is_live() {
                let sound_until = link.open().map_or(cx.now.wall, |open| open.sound_until());
                let confirmed = &link.subscriptions.confirmed;
                let record = self.ledger.lose(confirmed, sound_until, Reason::Requested, Certainty::Certain);
                self.notify_gaps(record);
            }
            self.discard(link);
            let shard = &mut self.shards[index];
            shard.retry.reset();
            shard.trouble = Some(Reason::Requested);
            let others =
                shard.successor.take().into_iter().chain(shard.draining.drain(..).map(|drain| drain.link));
            for link in others.collect::<Vec<_>>() {
                self.discard(link);
            }
        }
        self.standing.trouble(Reason::Requested, None);
    }

    /// Replaces every live channel, overlapped.
    pub(super) fn rotate(&mut self, request: RequestId) {
        let mut old = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| shard.is_live()) {
            shard.rotate_for = Some(Reason::Requested);
            old.extend(shard.primary.as_ref().map(|link| link.id));
        }
        self.wait_for(request, Awaited::Replaced(old));
    }
}

/// The same channel once after it was live, then a new one; a channel that was never live is worth a few tries, so that
/// a streaming host that is down does not cost a channel for every attempt.
fn reusable(link: &mut Link, loss: &Loss, was_live: bool, now: u64) -> bool {
    if !link.channel_is_usable(now) {
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
    never_live && link.failed_opens <= MOST_REOPENINGS
}

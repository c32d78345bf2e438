//! Frames: any of them is life; events are sorted, the rest acted upon.

use std::collections::BTreeSet;

use crate::envelope::{Envelope, Frame, SystemNotice, Unreadable};
use crate::io::{SocketId, TopicId};
use crate::link::Link;
use crate::notice::{Certainty, ErrorCode, ErrorReport, Notice, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Blemish, Role};

use super::loss::Loss;
use super::{Context, Machine};

/// Unreadable frames are reported at most this often per shard; none is left out of the record.
const REPORT_EVERY_MS: u64 = 1_000;

/// What to do with a frame's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// An event: hand it over.
    Deliver(TopicId),
    /// An event on a socket that is not yet proven, inside a gap: keep it until `Output::Release`, so that the gap's
    /// end is told before it.
    Hold(TopicId),
    /// An event of a stream that is resumed which nobody wants: where it stands counts all the same.
    Pass,
    /// Not an event, a copy, or not wanted.
    Drop,
}

impl Machine {
    /// A text frame arrived on a socket. Drain [`Self::poll_output`] afterwards.
    pub fn frame(&mut self, cx: &mut Context<'_>, socket: SocketId, frame: &Frame<'_>) -> Disposition {
        self.watch_clock(cx.now);
        let Some((index, role)) = self.whose(socket) else { return Disposition::Drop };
        // Before this frame counts as heard: what it tells of may have happened right after the one before.
        match frame {
            Frame::Unreadable(why) => self.unreadable(cx, index, socket, *why),
            Frame::System(SystemNotice::NoLongerSubscribed { channel }) => self.displaced(channel),
            Frame::Reply(Some(404)) => self.condemn(index, socket),
            _ => {}
        }
        self.heard(cx, index, socket);
        match frame {
            Frame::Event(envelope) if self.config.direct.is_some() => {
                return self.direct_event(cx, index, socket, envelope);
            }
            Frame::Event(envelope) => return self.event(cx, index, socket, envelope),
            Frame::Heartbeat | Frame::Unreadable(_) | Frame::Other => {}
            Frame::Ready => self.direct_ready(cx.now.mono, index, socket),
            Frame::Refused(refusal) => self.refused_on_socket(cx, index, role, socket, refusal),
            Frame::Pong => self.pong(cx, index, role, socket),
            Frame::ProbeAnswered if self.config.direct.is_some() => self.pong(cx, index, role, socket),
            Frame::ProbeAnswered => {
                let link = self.shards[index].by_socket(socket).map(|(_, link)| link);
                if let Some(open) = link.and_then(Link::open_mut) {
                    open.probe_answered(cx.now);
                }
            }
            Frame::System(notice) => self.system_notice(cx, index, role, socket, notice),
            Frame::Reply(Some(404)) => self.lost(cx, index, role, Loss::channel_gone()),
            Frame::Reply(_) => {}
        }
        if !matches!(frame, Frame::Heartbeat | Frame::Other) {
            self.drive(cx);
        }
        Disposition::Drop
    }

    fn heard(&mut self, cx: &mut Context<'_>, index: ShardIndex, socket: SocketId) {
        let silence = self.config.heartbeat.silence_ms;
        let Some((_, link)) = self.shards[index].by_socket(socket) else { return };
        if link.handshake.is_some() && link.is_live() && self.tokens.was_refused() {
            let owner = link.channel.as_ref().map(|channel| channel.owner);
            if owner == self.tokens.current(cx.now.mono) {
                self.tokens.works(cx.now.mono);
            }
        }
        let Some((from, to)) = link.open_mut().and_then(|open| open.heard(cx.now)) else { return };
        if to.saturating_sub(from) > silence && link.is_live() {
            let topics: BTreeSet<TopicId> = link.subscriptions.confirmed.clone();
            // Told by the first link that survived it; what it missed, another one missed as well.
            let told_until = std::mem::replace(&mut self.shards[index].paused_until, to);
            if told_until >= from {
                return;
            }
            let record = self.ledger.blemish(topics, from, to, Reason::ClockJump, Certainty::Possible);
            self.notify_gaps(record);
        }
    }

    fn event(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        socket: SocketId,
        envelope: &Envelope<'_>,
    ) -> Disposition {
        self.counts.events += 1;
        // A topic that has moved to another shard is that shard's business: its copies are recognised there.
        let wanted = self.roster.find_wanted(&envelope.topic);
        let Some(topic) = wanted.filter(|id| self.roster.shard_of(*id) == Some(index)) else {
            self.counts.unwanted += 1;
            return Disposition::Drop;
        };
        let shard = &mut self.shards[index];
        let Some((role, link)) = shard.by_socket(socket) else { return Disposition::Drop };
        let (id, joined_at) = (link.id, link.joined_at.unwrap_or(0));
        if let Some(open) = link.open_mut() {
            open.vindicate();
        }
        let unproven = role != Role::Draining && (!link.is_live() || link.awaits_proof());
        if self.is_copy(cx.now, index, topic, envelope.body, (id, joined_at)) {
            self.counts.duplicates += 1;
            return Disposition::Drop;
        }
        if unproven && self.ledger.is_blind(topic) {
            Disposition::Hold(topic)
        } else {
            Disposition::Deliver(topic)
        }
    }

    fn pong(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role, socket: SocketId) {
        let shard = &mut self.shards[index];
        let Some(open) = shard.by_socket(socket).and_then(|(_, link)| link.open_mut()) else { return };
        let (confirmation, asked) = open.pong(cx.now, &self.config.heartbeat);
        if role != Role::Draining {
            return self.proven(cx, index, role, confirmation, asked);
        }
        if confirmation == u64::MAX {
            let drains = shard.draining.iter_mut();
            for drain in drains.filter(|drain| drain.link.open().is_some_and(|open| open.id == socket)) {
                drain.drained_at.get_or_insert(cx.now.mono);
            }
        }
    }

    fn system_notice(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        socket: SocketId,
        notice: &SystemNotice,
    ) {
        match notice {
            SystemNotice::SocketClosing if matches!(role, Role::Primary | Role::Standby) => {
                // What the user asked for outlives this socket, the service's notice does not.
                let link = self.shards[index].link_mut(role);
                if let Some(link) = link.filter(|link| link.doomed != Some(Reason::Requested)) {
                    link.doomed = Some(Reason::Maintenance);
                }
            }
            SystemNotice::TokenRevoked => {
                let shard = &mut self.shards[index];
                let owner =
                    shard.by_socket(socket).and_then(|(_, link)| link.channel.as_ref()).map(|c| c.owner);
                if let Some(owner) = owner {
                    let report = ErrorReport::new(ErrorCode::TokenRejected, "the service revoked the token");
                    self.token_refused(cx, owner, &report);
                }
            }
            SystemNotice::SubscriptionsExpiring => self.shards[index].change(cx.now.mono),
            SystemNotice::SocketClosing | SystemNotice::NoLongerSubscribed { .. } | SystemNotice::Other => {}
        }
    }

    fn condemn(&mut self, index: ShardIndex, socket: SocketId) {
        if let Some(open) = self.shards[index].by_socket(socket).and_then(|(_, link)| link.open_mut()) {
            open.condemn();
        }
    }

    fn displaced(&mut self, name: &str) {
        for (role, link) in self.shards.iter_mut().flat_map(|shard| shard.links_in_use_mut()) {
            let Some(channel) = link.channel.as_mut().filter(|channel| channel.name == name) else {
                continue;
            };
            channel.gone = true;
            if role != Role::Successor {
                link.doomed = Some(Reason::ChannelEvicted);
            }
            if let Some(open) = link.open_mut() {
                open.condemn();
            }
        }
    }

    /// What it carried is unknown, so every topic of the channel may miss an event.
    fn unreadable(&mut self, cx: &mut Context<'_>, index: ShardIndex, socket: SocketId, why: Unreadable) {
        self.counts.unreadable += 1;
        let at = cx.now.wall;
        let open = self.shards[index].by_socket(socket).and_then(|(_, link)| link.open());
        let from = open.map_or(at, |open| open.sound_until());
        match &mut self.shards[index].blemish {
            Some(blemish) => blemish.add(from, at),
            None => {
                self.shards[index].blemish = Some(Blemish { reported_at: cx.now.mono, pending: Vec::new() });
                self.notify(Notice::Error(ErrorReport::new(
                    ErrorCode::UnreadableFrame,
                    format!("a frame could not be read: {why}"),
                )));
                self.report_blemish(index, from, at);
            }
        }
    }

    pub(super) fn drive_blemish(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let now = cx.now.mono;
        let Some(blemish) = &mut self.shards[index].blemish else { return };
        let due = blemish.reported_at + REPORT_EVERY_MS;
        if now < due {
            return self.wake_at(due);
        }
        let pending = std::mem::take(&mut blemish.pending);
        if pending.is_empty() {
            self.shards[index].blemish = None;
            return;
        }
        blemish.reported_at = now;
        self.wake_at(now + REPORT_EVERY_MS);
        for (from, to) in pending {
            self.report_blemish(index, from, to);
        }
    }

    /// What is gathered is told now: its topics may not be wanted, or nobody be there, in a second.
    pub(super) fn flush_blemishes(&mut self) {
        for index in 0..self.shards.len() {
            let blemish = self.shards[index].blemish.as_mut();
            for (from, to) in blemish.map(|blemish| std::mem::take(&mut blemish.pending)).unwrap_or_default()
            {
                self.report_blemish(index, from, to);
            }
        }
    }

    fn report_blemish(&mut self, index: ShardIndex, from: u64, to: u64) {
        // Blind ones too: their gap may have begun after the frame.
        let was_live = |id: &&TopicId| self.ledger.is_covered(**id) || self.ledger.is_blind(**id);
        let topics: BTreeSet<TopicId> = self.shards[index].wanted.iter().filter(was_live).copied().collect();
        let record = self.ledger.blemish(topics, from, to, Reason::UnreadableFrame, Certainty::Possible);
        self.notify_gaps(record);
    }
}

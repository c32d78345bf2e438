//! One link takes over from another.

use std::collections::BTreeSet;

use crate::backoff::Retry;
use crate::io::{Output, TopicId};
use crate::link::Link;
use crate::notice::{Certainty, ChannelStage, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Drain, Role};

use super::loss::Loss;
use super::{Context, Machine};

/// Whether a live link has answered since it was asked.
enum Life {
    Shown,
    Awaited,
    None(Loss),
}

impl Machine {
    /// The successor is proven alive and carries everything. Before it takes over or stands by, the live links must show
    /// that they were alive until then, or what they missed would be told after later events.
    pub(super) fn drive_handover(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let shard = &mut self.shards[index];
        let is_ready = shard.successor.as_ref().is_some_and(|link| {
            link.is_live() && !link.awaits_proof() && link.subscriptions.synced == Some(shard.revision)
        });
        let is_asked = std::mem::replace(&mut shard.handing_over, is_ready);
        if !is_ready {
            return;
        }
        let mut all_answered = true;
        for role in [Role::Primary, Role::Standby] {
            match self.shows_life(cx, index, role, is_asked) {
                Life::Shown => {}
                Life::Awaited => all_answered = false,
                Life::None(loss) => return self.lost(cx, index, role, loss),
            }
            // Nobody would ever know whether a list that is not waited for dropped a topic.
            let link = self.shards[index].link(role).filter(|link| link.is_live());
            all_answered &= link.is_none_or(|link| link.subscriptions.in_flight.is_none());
        }
        match all_answered {
            false => {}
            true if self.has_standby() && self.shards[index].is_live() => self.stand_by(cx, index),
            true => self.promote(cx, index),
        }
    }

    fn shows_life(&mut self, cx: &Context<'_>, index: ShardIndex, role: Role, is_asked: bool) -> Life {
        let (now, pong_timeout) = (cx.now.mono, self.config.heartbeat.pong_timeout_ms);
        let link = self.shards[index].link_mut(role).filter(|link| link.is_live());
        let Some(open) = link.and_then(Link::open_mut) else { return Life::Shown };
        if open.is_condemned() {
            return Life::None(Loss::evicted());
        }
        if !is_asked {
            open.read_late();
        }
        match open.asked() {
            _ if !open.reads_late() => return Life::Shown,
            _ if open.paused => {}
            // The next pass asks.
            None => self.dirty = true,
            Some(asked) if now < asked + pong_timeout => self.wake_at(asked + pong_timeout),
            Some(_) => return Life::None(Loss::silent(&self.config.heartbeat)),
        }
        Life::Awaited
    }

    /// It takes over, the old link drains.
    fn promote(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let shard = &mut self.shards[index];
        let Some(successor) = shard.successor.take() else { return };
        let confirmed = successor.subscriptions.confirmed.clone();
        let (socket, who, id) = (successor.open().map(|open| open.id), successor.who(), successor.id);
        let purpose = shard.purpose.take();
        shard.rotation_retry = Retry::default();
        shard.handing_over = false;
        let old = shard.primary.replace(successor);
        self.counts.rotations += 1;
        self.stage(who, ChannelStage::Primary, None);
        if let Some(old) = &old {
            self.moment_of_rotation(index, old.id, id, purpose);
            self.doubt_list(old, cx.now.wall);
        }
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
        self.dirty = true;
        self.log("info", format!("shard {index}: the new channel has taken over"));
    }

    pub(super) fn drain(&mut self, now: u64, index: ShardIndex, mut link: Link) {
        self.stage(link.who(), ChannelStage::Draining, None);
        self.outbox.extend(link.open().map(|open| Output::Release(open.id)));
        if let Some(request) = link.subscriptions.in_flight.take() {
            self.cancel(request.ticket);
        }
        let drain = Drain { link, since: now, pinged: false, drained_at: None, clearing: None };
        self.shards[index].draining.push(drain);
    }

    /// A successor that is proven alive, though not of the youngest change, carries on with what it has. Without one, the
    /// lost link is given back.
    pub(super) fn successor_takes_over(
        &mut self,
        index: ShardIndex,
        lost: Link,
        sound_until: u64,
        wall: u64,
        loss: &Loss,
    ) -> Option<Link> {
        let Some(successor) = self.shards[index].successor.take_if(|link| link.is_live()) else {
            return Some(lost);
        };
        let (socket, who) = (successor.open().map(|open| open.id), successor.who());
        let shard = &mut self.shards[index];
        shard.primary = Some(successor);
        shard.purpose = None;
        shard.rotation_retry = Retry::default();
        self.stage(who, ChannelStage::Primary, Some(loss.reason));
        let lost = self.lose_carried(lost, sound_until, loss.reason, wall);
        self.outbox.extend(socket.map(Output::Release));
        self.refresh_verdicts(index);
        self.discard(lost);
        None
    }

    /// A link that is still draining carries on alone, and is replaced at once. Without one, the lost link is given back.
    pub(super) fn survivor_takes_over(
        &mut self,
        index: ShardIndex,
        lost: Link,
        sound_until: u64,
        loss: &Loss,
    ) -> Option<Link> {
        let draining = &mut self.shards[index].draining;
        let Some(position) =
            draining.iter().position(|drain| drain.link.is_live() && drain.clearing.is_none())
        else {
            return Some(lost);
        };
        let mut survivor = draining.remove(position).link;
        survivor.doomed = Some(loss.reason);
        let only_lost: BTreeSet<TopicId> =
            lost.subscriptions.confirmed.difference(&survivor.subscriptions.confirmed).copied().collect();
        let record = self.ledger.lose(&only_lost, sound_until, loss.reason, Certainty::Certain);
        self.notify_gaps(record);
        self.stage(survivor.who(), ChannelStage::Primary, Some(loss.reason));
        self.shards[index].primary = Some(survivor);
        self.discard(lost);
        None
    }
}

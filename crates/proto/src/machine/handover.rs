//! One link takes over from another.

use std::collections::BTreeSet;

use crate::backoff::Retry;
use crate::io::{Output, TopicId};
use crate::link::Link;
use crate::notice::{Certainty, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Drain, Role};

use super::loss::Loss;
use super::{Context, Machine};

impl Machine {
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
        if let Some(old) = &old {
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

    /// A successor that is proven alive, though not of the youngest change, carries on with what it has.
    pub(super) fn successor_takes_over(
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
    pub(super) fn survivor_takes_over(
        &mut self,
        index: ShardIndex,
        lost: &Link,
        sound_until: u64,
        loss: &Loss,
    ) -> bool {
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
}

//! Hot standby: two live links carry the same topics; the loss of one costs nothing (P3).

use std::collections::BTreeSet;

use crate::backoff::Retry;
use crate::io::{Output, TopicId};
use crate::link::Link;
use crate::notice::{Certainty, ChannelStage, MomentKind, Reason};
use crate::roster::ShardIndex;
use crate::shard::Purpose;

use super::loss::{Loss, reusable};
use super::{Context, Machine};

/// A link that was live this long beside another one was no failed attempt: its successor may follow at once.
const SETTLED_MS: u64 = 1_000;

impl Machine {
    /// The successor is proven, and so are the links beside it: from now on it counts.
    pub(super) fn stand_by(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let shard = &mut self.shards[index];
        let Some(successor) = shard.successor.take() else { return };
        let purpose = shard.purpose.take();
        shard.rotation_retry = Retry::default();
        shard.handing_over = false;
        let (who, id, socket) = (successor.who(), successor.id, successor.open().map(|open| open.id));
        let carried: BTreeSet<TopicId> = successor.carries.keys().copied().collect();
        let old = shard.standby.replace(successor);
        self.cover(index, &carried, cx.now.wall);
        self.outbox.extend(socket.map(Output::Release));
        self.stage(who, ChannelStage::Standby, None);
        self.dirty = true;
        let Some(old) = old else {
            return self.log("info", format!("shard {index}: a second channel stands by"));
        };
        self.counts.rotations += 1;
        self.moment_of_rotation(index, old.id, id, purpose);
        self.doubt_list(&old, cx.now.wall);
        self.lose_what_only_it_carried(cx, index, &old);
        self.drain(cx.now.mono, index, old);
        self.log("info", format!("shard {index}: another channel stands by"));
    }

    /// A topic that the service refuses by now: the link that goes was the last to carry it.
    fn lose_what_only_it_carried(&mut self, cx: &Context<'_>, index: ShardIndex, old: &Link) {
        let shard = &self.shards[index];
        let is_carried = |id: &&TopicId| {
            shard.primary.iter().chain(&shard.standby).any(|link| link.subscriptions.confirmed.contains(id))
        };
        let refused: BTreeSet<TopicId> = shard.wanted.iter().filter(|id| !is_carried(id)).copied().collect();
        let record =
            self.ledger.lose(&refused, old.refused_since(cx.now), Reason::TopicRejected, Certainty::Certain);
        self.notify_gaps(record);
    }

    /// The link that stands by becomes the one in use, and the other way round; both carry on.
    pub(super) fn swap(&mut self, index: ShardIndex) {
        let shard = &mut self.shards[index];
        if shard.standby.as_ref().is_none_or(|link| !link.is_live()) {
            return;
        }
        std::mem::swap(&mut shard.primary, &mut shard.standby);
        let (first, second) =
            (shard.primary.as_ref().and_then(Link::who), shard.standby.as_ref().and_then(Link::who));
        self.stage(first, ChannelStage::Primary, None);
        self.stage(second, ChannelStage::Standby, None);
        self.refresh_verdicts(index);
    }

    /// The link in use is lost: the one that stands by carries on at once. Without one, the lost link is given back.
    pub(super) fn standby_takes_over(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        lost: Link,
        sound_until: u64,
        loss: &Loss,
    ) -> Option<Link> {
        let Some(standby) = self.shards[index].standby.take_if(|link| link.is_live()) else {
            return Some(lost);
        };
        let who = standby.who();
        self.shards[index].primary = Some(standby);
        self.stage(who, ChannelStage::Primary, Some(loss.reason));
        let lost = self.lose_carried(lost, sound_until, loss.reason, cx.now.wall);
        self.refresh_verdicts(index);
        self.log(
            "warn",
            format!("shard {index}: its channel was lost ({:?}), the second one carries on", loss.reason),
        );
        self.build_behind(cx, index, lost, loss);
        None
    }

    pub(super) fn standby_lost(&mut self, cx: &mut Context<'_>, index: ShardIndex, loss: &Loss) {
        let Some(link) = self.shards[index].standby.take() else { return };
        let sound_until = link.open().map_or(cx.now.wall, |open| open.sound_until());
        self.counts.drops += 1;
        self.doubt_list(&link, sound_until);
        let link = self.lose_carried(link, sound_until, loss.reason, cx.now.wall);
        self.log("warn", format!("shard {index}: its second channel was lost ({:?})", loss.reason));
        self.build_behind(cx, index, link, loss);
    }

    /// One live link is left. It shows at once whether it is alive, and another one is built beside it: on the channel
    /// that was lost, if that can be opened again.
    fn build_behind(&mut self, cx: &mut Context<'_>, index: ShardIndex, mut lost: Link, loss: &Loss) {
        let now = cx.now.mono;
        let lived = lost.live_since.map_or(0, |since| now.saturating_sub(since));
        if lived >= self.config.backoff.healthy_ms {
            lost.reopened = 0;
        }
        let shard = &mut self.shards[index];
        if let Some(open) = shard.primary.as_mut().and_then(Link::open_mut) {
            open.read_late();
        }
        if shard.successor.is_some() {
            return self.discard(lost);
        }
        if lived >= SETTLED_MS.min(self.config.backoff.healthy_ms) {
            shard.rotation_retry.reset();
        }
        shard.rotation_retry.again(&self.config.backoff, false, now, cx.random);
        if lost.doomed.is_some() || !reusable(&mut lost, loss, true, now) {
            return self.discard(lost);
        }
        self.close_socket_of(&mut lost);
        let shard = &mut self.shards[index];
        (shard.successor, shard.purpose) = (Some(lost), Some(Purpose::Missing));
    }

    pub(super) fn moment_of_rotation(
        &mut self,
        index: ShardIndex,
        from: crate::io::LinkId,
        to: crate::io::LinkId,
        purpose: Option<Purpose>,
    ) {
        let reason = match purpose {
            Some(Purpose::Planned(reason) | Purpose::Forced(reason)) => reason,
            Some(Purpose::Missing) | None => Reason::Requested,
        };
        self.moment(MomentKind::Rotation { shard: index as u16, from: from.0, to: to.0, reason });
    }
}

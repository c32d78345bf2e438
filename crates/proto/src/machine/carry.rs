//! Who carries a topic: its gap is the time in which no live link did (P2).

use std::collections::{BTreeMap, BTreeSet};

use crate::io::TopicId;
use crate::link::Link;
use crate::notice::{Certainty, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Fallen, Shard};

use super::Machine;

impl Machine {
    /// A live link was lost, and is no longer part of its shard. What no other one carried since then is missing from
    /// the instant at which the last of them had carried it.
    pub(super) fn lose_carried(&mut self, lost: Link, sound_until: u64, reason: Reason, wall: u64) -> Link {
        let index = ShardIndex::from(lost.shard);
        let shard = &self.shards[index];
        let mut missing: BTreeMap<u64, Vec<TopicId>> = BTreeMap::new();
        for id in &lost.subscriptions.confirmed {
            if !shard.carriers().any(|link| link.carried(*id, sound_until)) {
                missing.entry(shard.missing_since(*id, sound_until)).or_default().push(*id);
            }
        }
        for (from, topics) in missing {
            let record = self.ledger.lose(&topics, from, reason, Certainty::Certain);
            self.notify_gaps(record);
        }
        // Noticed only now, but over since another one carried them.
        let mut back: BTreeMap<u64, BTreeSet<TopicId>> = BTreeMap::new();
        for (id, since) in self.shards[index].carried_since() {
            back.entry(since.min(wall)).or_default().insert(id);
        }
        for (at, topics) in back {
            self.cover(index, &topics, at);
        }
        self.shards[index].fallen = Some(Fallen { sound_until, carried: lost.carries.clone() });
        lost
    }

    /// A link no longer carries these topics, and perhaps has not since then. Another live link may, from some time on.
    pub(super) fn may_miss(
        &mut self,
        index: ShardIndex,
        from: u64,
        topics: &[TopicId],
        reason: Reason,
        certainty: Certainty,
    ) {
        let mut until: BTreeMap<Option<u64>, BTreeSet<TopicId>> = BTreeMap::new();
        for id in topics.iter().filter(|id| self.ledger.is_covered(**id)) {
            let carried_since = self.shards[index].carriers().filter_map(|link| link.carries.get(id)).min();
            until.entry(carried_since.copied()).or_default().insert(*id);
        }
        for (to, topics) in until {
            let record = match to {
                Some(to) if to <= from => None,
                Some(to) => self.ledger.blemish(topics, from, to, reason, certainty),
                None => self.ledger.lose(&topics, from, reason, certainty),
            };
            self.notify_gaps(record);
        }
    }

    /// A list that was never answered may have dropped topics, a part of a split list surely has.
    pub(super) fn doubt_list(&mut self, link: &Link, sound_until: u64) {
        let Some(since) = link.subscriptions.unsure_since.filter(|since| *since < sound_until) else {
            return;
        };
        let confirmed = link.subscriptions.confirmed.iter().copied();
        let topics = self.only_doubtful(link, since, confirmed);
        let record =
            self.ledger.blemish(topics, since, sound_until, Reason::TopicRejected, Certainty::Possible);
        self.notify_gaps(record);
    }

    /// The covered ones of these topics that no other live link carried for sure since then.
    pub(super) fn only_doubtful(
        &self,
        link: &Link,
        since: u64,
        topics: impl Iterator<Item = TopicId>,
    ) -> BTreeSet<TopicId> {
        let shard = &self.shards[ShardIndex::from(link.shard)];
        let is_sure = |other: &&Link| other.id != link.id && other.subscriptions.unsure_since.is_none();
        let elsewhere =
            |id: &TopicId| shard.carriers().filter(is_sure).any(|other| other.carried(*id, since));
        topics.filter(|id| self.ledger.is_covered(*id) && !elsewhere(id)).collect()
    }
}

impl Shard {
    /// Since when each topic is carried by one link or another.
    fn carried_since(&self) -> BTreeMap<TopicId, u64> {
        let mut all = BTreeMap::new();
        for (id, since) in self.carriers().flat_map(|link| &link.carries) {
            let first = all.entry(*id).or_insert(*since);
            *first = (*first).min(*since);
        }
        all
    }

    /// Since when a topic is missing whose last carrier was sound until then: later, if another that carried it at that
    /// time was lost later.
    fn missing_since(&self, topic: TopicId, sound_until: u64) -> u64 {
        let carried =
            |fallen: &&Fallen| fallen.carried.get(&topic).is_some_and(|since| *since <= sound_until);
        self.fallen.as_ref().filter(carried).map_or(sound_until, |fallen| sound_until.max(fallen.sound_until))
    }
}

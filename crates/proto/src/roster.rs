//! The topics a user wants, where each stands, and which shard carries it.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::config::Limits;
use crate::io::{Rejection, TopicId};
use crate::notice::{TopicState, TopicStatus};
use crate::topic::{Topic, slots};

/// Index of a shard.
pub(crate) type ShardIndex = usize;

/// Every topic ever named, and the wanted ones among them. No failure shrinks the wanted set (P7).
#[derive(Debug, Default)]
pub(crate) struct Roster {
    topics: Vec<Entry>,
    by_name: HashMap<Topic, TopicId>,
    by_lower_case: HashMap<String, Vec<TopicId>>,
    loads: Vec<Load>,
}

#[derive(Debug)]
struct Entry {
    topic: Topic,
    wanted_in: Option<ShardIndex>,
    verdict: Verdict,
    /// Never combined with others: the service refused a combined name it was part of.
    alone: bool,
}

/// What the service says of a wanted topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    #[default]
    Pending,
    Subscribed,
    Rejected(Rejection),
}

/// What one shard carries, by prefix.
#[derive(Debug, Default)]
struct Load {
    slots: usize,
    groups: BTreeMap<String, (usize, BTreeSet<TopicId>)>,
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Roster {
    pub(crate) fn topic(&self, id: TopicId) -> &Topic {
        &self.topics[id.0 as usize].topic
    }

    /// The topic of exactly this name.
    pub(crate) fn find(&self, name: &str) -> Option<TopicId> {
        self.by_name.get(name).copied()
    }

    /// The wanted topic the service means: exactly as named, else whatever its case.
    pub(crate) fn find_wanted(&self, name: &str) -> Option<TopicId> {
        self.find(name).filter(|id| self.is_wanted(*id)).or_else(|| {
            let alike = self.by_lower_case.get(&name.to_ascii_lowercase())?;
            alike.iter().find(|id| self.is_wanted(**id)).copied()
        })
    }

    pub(crate) fn is_wanted(&self, id: TopicId) -> bool {
        self.topics[id.0 as usize].wanted_in.is_some()
    }

    pub(crate) fn shard_of(&self, id: TopicId) -> Option<ShardIndex> {
        self.topics[id.0 as usize].wanted_in
    }

    pub(crate) fn verdict(&self, id: TopicId) -> &Verdict {
        &self.topics[id.0 as usize].verdict
    }

    pub(crate) fn is_alone(&self, id: TopicId) -> bool {
        self.topics[id.0 as usize].alone
    }

    /// From now on sent under its own name only.
    pub(crate) fn set_alone(&mut self, id: TopicId) {
        self.topics[id.0 as usize].alone = true;
    }

    /// Says whether that was news.
    pub(crate) fn set_verdict(&mut self, id: TopicId, verdict: Verdict) -> bool {
        let entry = &mut self.topics[id.0 as usize];
        let news = entry.verdict != verdict;
        entry.verdict = verdict;
        news
    }

    /// Wanted topics, in order of their first naming.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = TopicId> + '_ {
        self.topics
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.wanted_in.is_some())
            .map(|(i, _)| TopicId(i as u32))
    }

    pub(crate) fn wanted_in(&self, shard: ShardIndex) -> BTreeSet<TopicId> {
        self.loads.get(shard).map_or_else(BTreeSet::new, |load| {
            load.groups.values().flat_map(|(_, topics)| topics.iter().copied()).collect()
        })
    }

    pub(crate) fn is_empty(&self, shard: ShardIndex) -> bool {
        self.loads.get(shard).is_none_or(|load| load.groups.is_empty())
    }

    pub(crate) fn shards_in_use(&self) -> usize {
        (0..self.loads.len()).filter(|shard| !self.is_empty(*shard)).count()
    }

    /// Names the topic, wanted or not.
    pub(crate) fn intern(&mut self, topic: &Topic) -> TopicId {
        if let Some(id) = self.by_name.get(topic) {
            return *id;
        }
        let id = TopicId(self.topics.len() as u32);
        self.by_name.insert(topic.clone(), id);
        self.by_lower_case.entry(topic.as_str().to_ascii_lowercase()).or_default().push(id);
        self.topics.push(Entry {
            topic: topic.clone(),
            wanted_in: None,
            verdict: Verdict::Pending,
            alone: false,
        });
        id
    }

    /// Wants a topic: beside those it combines with if they have room, else in the first shard with room.
    ///
    /// # Errors
    /// If every shard is full and no more may be opened.
    pub(crate) fn want(&mut self, id: TopicId, limits: &Limits) -> Result<ShardIndex, ()> {
        if let Some(shard) = self.shard_of(id) {
            return Ok(shard);
        }
        let prefix = self.topic(id).split().0.to_owned();
        let beside = self.loads.iter().position(|load| load.groups.contains_key(&prefix));
        let fits = |roster: &Self, shard: ShardIndex| {
            roster.grown(shard, &prefix, id, limits) <= limits.topics_per_channel
        };
        let shard = beside
            .filter(|shard| fits(self, *shard))
            .or_else(|| (0..self.loads.len()).find(|shard| fits(self, *shard)))
            .unwrap_or(self.loads.len());
        if shard >= limits.channels {
            return Err(());
        }
        if shard == self.loads.len() {
            self.loads.push(Load::default());
        }
        let grown = self.grown(shard, &prefix, id, limits);
        let load = &mut self.loads[shard];
        let group = load.groups.entry(prefix).or_default();
        group.0 += grown - load.slots;
        group.1.insert(id);
        load.slots = grown;
        let entry = &mut self.topics[id.0 as usize];
        (entry.wanted_in, entry.verdict) = (Some(shard), Verdict::Pending);
        Ok(shard)
    }

    /// No longer wants a topic. Says which shard carried it.
    pub(crate) fn unwant(&mut self, id: TopicId, limits: &Limits) -> Option<ShardIndex> {
        let entry = &mut self.topics[id.0 as usize];
        let shard = entry.wanted_in.take()?;
        entry.verdict = Verdict::Pending;
        let prefix = self.topic(id).split().0.to_owned();
        let (before, mut rest) = self.loads[shard].groups.remove(&prefix)?;
        rest.remove(&id);
        let after = match self.topic(id).combines() {
            true => self.slots_of(&rest, limits),
            false => before - 1,
        };
        let load = &mut self.loads[shard];
        load.slots = load.slots - before + after;
        if !rest.is_empty() {
            load.groups.insert(prefix, (after, rest));
        }
        Some(shard)
    }

    pub(crate) fn status(&self, id: TopicId) -> TopicStatus {
        let entry = &self.topics[id.0 as usize];
        let (state, reason, missing_permissions) = match &entry.verdict {
            Verdict::Pending => (TopicState::Pending, None, None),
            Verdict::Subscribed => (TopicState::Subscribed, None, None),
            Verdict::Rejected(why) => (
                TopicState::Rejected,
                Some(why.reason.clone()),
                Some(why.missing_permissions.clone()).filter(|missing| !missing.is_empty()),
            ),
        };
        let shard = entry.wanted_in.unwrap_or_default() as u16;
        TopicStatus { topic: entry.topic.as_str().to_owned(), state, reason, missing_permissions, shard }
    }

    /// How many names the shard would send if it carried this topic as well.
    fn grown(&self, shard: ShardIndex, prefix: &str, id: TopicId, limits: &Limits) -> usize {
        let load = &self.loads[shard];
        match load.groups.get(prefix) {
            None => load.slots + 1,
            // Thousands of ids may share a prefix: nothing needs to be packed for one more.
            Some(_) if !self.topic(id).combines() => load.slots + 1,
            Some((before, group)) => {
                let with: BTreeSet<TopicId> = group.iter().copied().chain([id]).collect();
                load.slots - before + self.slots_of(&with, limits)
            }
        }
    }

    fn slots_of(&self, group: &BTreeSet<TopicId>, limits: &Limits) -> usize {
        let topics: Vec<&Topic> = group.iter().map(|id| self.topic(*id)).collect();
        slots(&topics, limits.combined_topic_chars)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(topics_per_channel: usize, channels: usize) -> Limits {
        Limits { topics_per_channel, channels, ..Limits::default() }
    }

    fn topic(name: &str) -> Topic {
        Topic::expand(name).unwrap().remove(0)
    }

    #[test]
    fn combined_topics_share_a_slot_and_a_shard() {
        let (mut roster, limits) = (Roster::default(), limits(2, 20));
        let mut shards = Vec::new();
        for name in
            ["v2.users.u.presence", "v2.users.w.presence", "v2.users.u.station", "v2.users.x.presence"]
        {
            let id = roster.intern(&topic(name));
            shards.push(roster.want(id, &limits).unwrap());
        }
        assert_eq!(shards, [0, 0, 0, 1]);
    }

    #[test]
    fn slots_are_what_packing_gives_whatever_the_order() {
        let (mut roster, limits) = (Roster::default(), limits(1_000, 20));
        let names = ["v2.a.b.x1", "v2.a.b.x", "v2.a.b.y", "v2.a.b.2", "v2.a.b.z", "v2.a.c.3"];
        let ids: Vec<TopicId> = names.iter().map(|name| roster.intern(&topic(name))).collect();
        let is_sound = |roster: &Roster| {
            let load = &roster.loads[0];
            let packed = |group: &BTreeSet<TopicId>| roster.slots_of(group, &limits);
            assert!(load.groups.values().all(|(slots, group)| *slots == packed(group)));
            assert_eq!(load.slots, load.groups.values().map(|(slots, _)| slots).sum::<usize>());
        };
        for id in &ids {
            roster.want(*id, &limits).unwrap();
            is_sound(&roster);
        }
        for id in &ids {
            roster.unwant(*id, &limits);
            is_sound(&roster);
        }
    }

    #[test]
    fn full_channels_are_said_to_be_full_and_room_is_found_again() {
        let (mut roster, limits) = (Roster::default(), limits(1, 2));
        let ids: Vec<TopicId> =
            ["v2.a.a.x", "v2.a.b.x", "v2.a.c.x"].iter().map(|name| roster.intern(&topic(name))).collect();
        assert_eq!(roster.want(ids[0], &limits), Ok(0));
        assert_eq!(roster.want(ids[1], &limits), Ok(1));
        assert_eq!(roster.want(ids[2], &limits), Err(()));
        assert_eq!(roster.unwant(ids[0], &limits), Some(0));
        assert!(roster.is_empty(0));
        assert_eq!(roster.want(ids[2], &limits), Ok(0));
        assert_eq!(roster.wanted().collect::<Vec<_>>(), [ids[1], ids[2]]);
    }

    #[test]
    fn names_are_found_exactly_first_and_whatever_their_case_then() {
        let mut roster = Roster::default();
        let limits = limits(1_000, 20);
        let old = roster.intern(&topic("v2.users.u.RoutingStatus"));
        let id = roster.intern(&topic("v2.users.u.routingStatus"));
        roster.want(id, &limits).unwrap();
        for name in ["v2.users.u.routingStatus", "v2.users.u.routingstatus", "v2.users.u.RoutingStatus"] {
            assert_eq!(roster.find_wanted(name), Some(id), "{name}");
        }
        roster.want(old, &limits).unwrap();
        assert_eq!(roster.find_wanted("v2.users.u.RoutingStatus"), Some(old));
        assert_eq!(roster.find_wanted("v2.users.u.presence"), None);
    }
}

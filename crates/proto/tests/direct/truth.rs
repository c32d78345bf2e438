//! The reference: what was published, who has it, and which losses were owned up to.

use std::collections::{BTreeMap, BTreeSet};

use genesys_notifications_proto::{Certainty, Gap};

/// From the upgrade to the first event of a stream that is resumed.
const RESUMING_MS: u64 = 2_000;
/// From the delivery of an event to its acknowledgement.
const UNACKNOWLEDGED_MS: u64 = 60_000;

/// Events that cannot be told apart.
#[derive(Debug)]
struct Group {
    topic: u8,
    position: String,
    /// Of each: when it was published, in the world's own time.
    published: Vec<u64>,
    delivered: u32,
    acknowledged: u32,
    delivered_at: u64,
    /// The user is owed it, or a gap.
    is_owed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Truth {
    groups: Vec<Group>,
    /// Of a stream that is resumed: from where on, and whether that position itself counts.
    begun: Option<(String, bool)>,
    /// Topics that were proven live, or everything.
    live: BTreeSet<u8>,
    /// Topics that were wanted now and then: what of them is missing cannot be known.
    pub(crate) changed: BTreeSet<u8>,
    /// Positions of which a server that leaves them out may have more than anybody could know.
    pub(crate) unknowable: BTreeSet<String>,
    /// Where the stream began anew, and when: what was published later at an earlier position, as coarse as positions are, is not
    /// sent.
    fresh: Vec<(String, u64)>,
    pub(crate) sharing_seen: bool,
    last_new: Option<String>,
    gaps: BTreeMap<String, Told>,
    pub(crate) lost: u64,
    pub(crate) copies: u64,
    pub(crate) deliveries: u64,
    pub(crate) redelivered: u64,
    pub(crate) gaps_told: u64,
    /// How long nobody carried what was live once.
    pub(crate) dark_ms: u64,
    dark_since: Option<u64>,
    dark: Vec<(u64, u64)>,
}

#[derive(Debug)]
struct Told {
    from: u64,
    to: Option<u64>,
    /// Names, or `*`.
    topics: Vec<String>,
    is_certain: bool,
}

impl Truth {
    pub(crate) fn new(never_wanted: BTreeSet<u8>) -> Self {
        Self { changed: never_wanted, ..Self::default() }
    }

    /// The number of an event of its own, or of a twin.
    pub(crate) fn publish(&mut self, topic: u8, position: &str, twin: Option<usize>, at: u64) -> usize {
        let is_owed = self.live.contains(&topic) && !self.changed.contains(&topic);
        if let Some(group) = twin {
            self.groups[group].published.push(at);
            self.groups[group].is_owed &= is_owed;
            return group;
        }
        self.groups.push(Group {
            topic,
            position: position.to_owned(),
            published: vec![at],
            delivered: 0,
            acknowledged: 0,
            delivered_at: 0,
            is_owed,
        });
        self.groups.len() - 1
    }

    /// The first connection asks for this.
    pub(crate) fn begins(&mut self, position: &str, is_inclusive: bool) {
        self.begun.get_or_insert_with(|| (position.to_owned(), is_inclusive));
    }

    pub(crate) fn begins_anew(&mut self, position: &str, now: u64) {
        self.fresh.push((position.to_owned(), now));
    }

    pub(crate) fn is_live(&mut self, topics: impl IntoIterator<Item = u8>) {
        self.live.extend(topics);
    }

    /// The machine took it for new.
    pub(crate) fn took(&mut self, position: Option<&str>) {
        if let Some(position) = position {
            self.sharing_seen |= self.last_new.as_deref() == Some(position);
            self.last_new = Some(position.to_owned());
        }
    }

    pub(crate) fn delivered(&mut self, number: usize, now: u64) {
        self.deliveries += 1;
        let group = &mut self.groups[number];
        group.delivered_at = now;
        group.delivered += 1;
        assert!(
            group.delivered as usize <= group.published.len(),
            "P5.1: event {number} at {} was delivered {} times",
            group.position,
            group.delivered
        );
    }

    pub(crate) fn acknowledged(&mut self, group: usize) {
        self.groups[group].acknowledged += 1;
    }

    /// The process ended before this was acknowledged.
    pub(crate) fn comes_again(&mut self, group: usize) {
        self.groups[group].delivered -= 1;
        self.redelivered += 1;
    }

    pub(crate) fn gap(&mut self, gap: &Gap) {
        if let Some(to) = gap.to {
            assert!(gap.from <= to, "P2.1: {} ends before it begins", gap.id);
        }
        let is_certain = gap.certainty == Certainty::Certain;
        let told = Told { from: gap.from, to: gap.to, topics: gap.topics.clone(), is_certain };
        if self.gaps.insert(gap.id.clone(), told).is_none() {
            self.gaps_told += 1;
        }
    }

    pub(crate) fn knows_gap(&self, id: &str) -> bool {
        self.gaps.contains_key(id)
    }

    /// A process is no more: what it told of ends with it, and its ids are used again.
    pub(crate) fn process_ended(&mut self, life: u32, wall: u64) {
        for told in self.gaps.values_mut() {
            told.to.get_or_insert(wall.max(told.from));
        }
        let gaps = std::mem::take(&mut self.gaps);
        let renamed = |id: String| if id.contains('/') { id } else { format!("{life}/{id}") };
        self.gaps = gaps.into_iter().map(|(id, told)| (renamed(id), told)).collect();
    }

    pub(crate) fn carried(&mut self, is_carried: bool, now: u64) {
        match self.dark_since {
            None if !is_carried && !self.live.is_empty() => self.dark_since = Some(now),
            Some(since) if is_carried => {
                self.dark_ms += now - since;
                self.dark.push((since, now));
                self.dark_since = None;
            }
            _ => {}
        }
    }

    /// When an event that was published then would have been received at the latest, had nothing gone wrong since: a stream that
    /// is resumed brings what was published while nobody carried it, and what a process has not acknowledged.
    fn arrives(&self, group: &Group, published: u64, slowest_ms: u64) -> u64 {
        let usual = published + 2 * slowest_ms;
        if self.begun.is_none() {
            return usual;
        }
        // One outage after the other, before what the first one held up was all read and acknowledged.
        let mut arrives = usual.max(group.delivered_at);
        for (from, to) in self.dark.iter().filter(|(_, to)| *to > published) {
            if *from <= arrives + UNACKNOWLEDGED_MS {
                arrives = arrives.max(to + RESUMING_MS + 2 * slowest_ms);
            }
        }
        arrives
    }

    /// What is missing was owned up to. The functions say what the wall clock showed then, and when an event was read that arrived
    /// then.
    pub(crate) fn settle(&mut self, slowest_ms: u64, wall: impl Fn(u64) -> u64, read: impl Fn(u64) -> u64) {
        let mut lost = 0;
        for (number, group) in self.groups.iter().enumerate() {
            let is_owed = match &self.begun {
                Some((begun, true)) => group.position >= *begun,
                Some((begun, false)) => group.position > *begun,
                None => group.is_owed,
            };
            let missing = group.published.len() - group.delivered as usize;
            if !is_owed || missing == 0 || self.changed.contains(&group.topic) {
                continue;
            }
            lost += missing as u64;
            let is_too_early = |(position, at): &(String, u64)| {
                group.position <= *position && group.published.iter().any(|published| published >= at)
            };
            if self.unknowable.contains(&group.position) || self.fresh.iter().any(is_too_early) {
                continue;
            }
            let in_gap = group.published.iter().filter(|at| {
                let (sent, due) = (wall(**at), read(self.arrives(group, **at, slowest_ms)));
                self.gaps.values().any(|gap| {
                    gap.names(group.topic) && gap.from <= due && gap.to.is_none_or(|to| sent <= to)
                })
            });
            let in_gap = in_gap.count();
            assert!(
                missing <= in_gap,
                "P2.1: event {number} of topic {} at {} was lost outside every gap ({missing} of {}, {in_gap} in gaps), \
                 published at {:?}",
                group.topic,
                group.position,
                group.published.len(),
                group.published
            );
        }
        self.lost = lost;
    }

    /// Everything delivered was acknowledged, and no more.
    pub(crate) fn settle_acknowledgements(&self) {
        for (number, group) in self.groups.iter().enumerate() {
            assert_eq!(group.acknowledged, group.delivered, "event {number} at {}", group.position);
        }
    }

    /// How long the certain gaps were, by the wall clock.
    pub(crate) fn gap_ms(&self, real: impl Fn(u64, u64) -> u64, now: u64) -> u64 {
        let certain = self.gaps.values().filter(|gap| gap.is_certain);
        // Gaps of several topics that are lost together are one.
        let mut spans: Vec<(u64, u64)> = certain.map(|gap| (gap.from, gap.to.unwrap_or(now))).collect();
        spans.sort_unstable();
        let (mut sum, mut end) = (0, 0);
        for (from, to) in spans {
            sum += real(from.max(end), to.max(end));
            end = end.max(to);
        }
        sum
    }
}

impl Told {
    fn names(&self, topic: u8) -> bool {
        self.topics.iter().any(|name| name == "*" || *name == name_of(topic))
    }
}

pub(crate) fn name_of(topic: u8) -> String {
    format!("topic {topic}")
}

pub(crate) fn topic_of(name: &str) -> Option<u8> {
    name.strip_prefix("topic ")?.parse().ok()
}

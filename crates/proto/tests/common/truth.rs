//! The reference: what was published, who would have received it, and what the machine owned up to (P2, P5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use genesys_notifications_proto::{Certainty, Gap, LinkId, Reason, TopicState};

/// One published event.
#[derive(Debug)]
struct Event {
    topic: u16,
    /// Which events have the same body.
    body: u32,
    /// The topic's epoch if it was live once and still wanted, else 0.
    epoch: u32,
    /// When it was published and when it would have been received, by the wall clock.
    sent: u64,
    due: u64,
    /// The same in the world's own time.
    at: u64,
    /// Copies on their way or held back.
    pending: u16,
    delivered: u16,
}

/// Events of one topic with one body, published within moments.
#[derive(Debug, Default)]
struct Body {
    published: u32,
    delivered: u32,
    unsettled: u32,
    /// Whether every one of them was owed to the user.
    owed: bool,
    seen_by: Vec<(LinkId, u32)>,
}

/// One topic as the user and the world see it.
#[derive(Debug, Default)]
pub(crate) struct TopicTruth {
    pub(crate) wanted: bool,
    pub(crate) status: Option<TopicState>,
    /// Counts from 1, at each new subscription; accounts are kept per epoch.
    epoch: u32,
    /// By the wall clock.
    live_since: Option<u64>,
    open_gap: Option<(Reason, u64)>,
    gaps: Vec<(u64, u64)>,
    missing: Vec<(u64, u64, u64)>,
    /// Since when nobody carries it, by the wall clock.
    dark_since: Option<u64>,
}

/// The reference.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) topics: Vec<TopicTruth>,
    events: HashMap<u32, Event>,
    bodies: HashMap<u32, Body>,
    published: u32,
    /// How long wanted topics that were live once were really dark, summed over topics.
    pub(crate) dark_ms: u64,
    /// How long certain gaps were, and how many, summed over topics.
    pub(crate) gap_ms: u64,
    pub(crate) gap_count: u64,
    /// How long we did not read, summed over the topics that were live: what was lost then cannot be told from what was
    /// not.
    pub(crate) unread_ms: u64,
    pub(crate) delivered: u64,
    pub(crate) missed: u64,
    pub(crate) copies: u64,
    gap_ids: BTreeMap<String, u64>,
    /// Stretches of the wall clock that never were: it was set forward.
    pub(crate) unreal: Vec<(u64, u64)>,
    forgiven: Vec<(u16, u64, u64)>,
    /// Gaps that a list read back has shown: topic, and when they were told.
    mismatches: Vec<(u16, u64)>,
    /// The closed gaps that the journal kept when a process ended.
    kept: BTreeSet<(u64, u64)>,
    /// Topics of which held events were released during this call of the machine.
    released: BTreeSet<u16>,
}

impl Truth {
    pub(crate) fn topic(&mut self, number: u16) -> &mut TopicTruth {
        let number = usize::from(number);
        while self.topics.len() <= number {
            self.topics.push(TopicTruth::default());
        }
        &mut self.topics[number]
    }

    pub(crate) fn wanted(&self) -> BTreeSet<u16> {
        let wanted = self.topics.iter().enumerate().filter(|(_, topic)| topic.wanted);
        wanted.map(|(number, _)| number as u16).collect()
    }

    pub(crate) fn want(&mut self, number: u16) {
        let topic = self.topic(number);
        if !topic.wanted {
            topic.wanted = true;
            topic.epoch += 1;
        }
    }

    pub(crate) fn unwant(&mut self, number: u16, wall: u64, known_until: u64) {
        self.settle_account(number, wall, known_until);
        let topic = self.topic(number);
        (topic.wanted, topic.live_since, topic.status) = (false, None, None);
        (topic.dark_since, topic.open_gap) = (None, None);
        topic.gaps.clear();
        topic.missing.clear();
    }

    /// From here on every event is owed to the user, or a gap.
    pub(crate) fn is_live(&mut self, number: u16, wall: u64) {
        let topic = self.topic(number);
        if topic.wanted {
            topic.live_since.get_or_insert(wall);
        }
    }

    pub(crate) fn unread(&mut self, ms: u64) {
        self.unread_ms += ms * self.topics.iter().filter(|topic| topic.live_since.is_some()).count() as u64;
    }

    pub(crate) fn was_live(&self, number: u16) -> bool {
        self.topics.get(usize::from(number)).is_some_and(|topic| topic.live_since.is_some())
    }

    /// Notes whether some channel carries the topic to us.
    pub(crate) fn carried(&mut self, number: u16, carried: bool, wall: u64) {
        let topic = self.topic(number);
        if topic.live_since.is_none() {
            topic.dark_since = None;
            return;
        }
        match (topic.dark_since, carried) {
            (None, false) => topic.dark_since = Some(wall),
            (Some(since), true) => {
                topic.dark_since = None;
                self.dark_ms += self.real_ms(since, wall);
            }
            _ => {}
        }
    }

    // Events.

    /// Publishes an event with a body of its own, or with the body of an earlier one.
    pub(crate) fn publish(&mut self, topic: u16, like: Option<u32>, at: u64, (sent, due): (u64, u64)) -> u32 {
        self.published += 1;
        let number = self.published;
        let body = like.and_then(|like| self.events.get(&like)).map_or(number, |event| event.body);
        let account = self.topic(topic);
        let epoch = if account.wanted && account.live_since.is_some() { account.epoch } else { 0 };
        let entry = self.bodies.entry(body).or_default();
        entry.owed = (entry.published == 0 || entry.owed) && epoch > 0;
        entry.published += 1;
        entry.unsettled += 1;
        self.events.insert(number, Event { topic, body, epoch, sent, due, at, pending: 1, delivered: 0 });
        number
    }

    pub(crate) fn latest_of(&self, topic: u16) -> Option<u32> {
        let latest = self.events.get(&self.published)?;
        (latest.topic == topic).then_some(self.published)
    }

    pub(crate) fn topic_and_body(&self, event: u32) -> (u16, u32) {
        self.events.get(&event).map_or((0, event), |event| (event.topic, event.body))
    }

    pub(crate) fn copy_sent(&mut self, event: u32) {
        if let Some(event) = self.events.get_mut(&event) {
            event.pending += 1;
        }
    }

    /// The machine was shown this copy.
    pub(crate) fn seen(&mut self, event: u32, link: LinkId) {
        let Some(event) = self.events.get(&event) else { return };
        let Some(body) = self.bodies.get_mut(&event.body) else { return };
        match body.seen_by.iter_mut().find(|(by, _)| *by == link) {
            Some((_, times)) => *times += 1,
            None => body.seen_by.push((link, 1)),
        }
    }

    pub(crate) fn delivered(&mut self, event: u32) {
        self.delivered += 1;
        let Some(event) = self.events.get_mut(&event) else { return };
        event.delivered += 1;
        if let Some(body) = self.bodies.get_mut(&event.body) {
            body.delivered += 1;
            assert!(
                body.delivered <= body.published,
                "P5.1: an event was delivered twice (body {}, published {} times, seen {:?})",
                event.body,
                body.published,
                body.seen_by
            );
        }
    }

    /// It was read, but a crash came before its commit. Alone it is missed; among events of one body nothing can be said.
    pub(crate) fn lost_by_crash(&mut self, event: u32) {
        let body = self.events.get(&event).and_then(|event| self.bodies.get_mut(&event.body));
        if let Some(body) = body {
            body.owed = false;
        }
        self.copy_ended(event);
    }

    /// One copy is accounted for: delivered, dropped or lost.
    pub(crate) fn copy_ended(&mut self, number: u32) {
        let Some(event) = self.events.get_mut(&number) else { return };
        event.pending -= 1;
        if event.pending > 0 {
            return;
        }
        let Some(event) = self.events.remove(&number) else { return };
        let alone = self.bodies.get(&event.body).is_none_or(|body| body.published == 1);
        let topic = &mut self.topics[usize::from(event.topic)];
        let owed = event.epoch > 0 && topic.wanted && topic.epoch == event.epoch;
        if owed && event.delivered == 0 && alone {
            self.missed += 1;
            topic.missing.push((event.sent, event.due, event.at));
        }
        if let Some(body) = self.bodies.get_mut(&event.body) {
            body.owed &= owed;
            body.unsettled -= 1;
            if body.unsettled == 0 {
                self.settle_body(event.body);
            }
        }
    }

    fn settle_body(&mut self, number: u32) {
        let Some(body) = self.bodies.remove(&number) else { return };
        let best = body.seen_by.iter().map(|(_, times)| *times).max().unwrap_or(0);
        self.copies +=
            u64::from(body.seen_by.iter().map(|(_, times)| *times).sum::<u32>() - best.min(body.delivered));
        assert!(
            !body.owed || body.published == 1 || body.delivered >= best,
            "P5.2: a real repeat was swallowed ({} delivered, one link brought {best})",
            body.delivered
        );
    }

    // Gaps.

    pub(crate) fn begin_call(&mut self) {
        self.released.clear();
    }

    pub(crate) fn released(&mut self, topic: u16) {
        self.released.insert(topic);
    }

    /// A gap was told of.
    pub(crate) fn gap(&mut self, gap: &Gap, topics: &[u16], now: u64) {
        if gap.reason == Reason::SubscriptionMismatch {
            self.mismatches.extend(topics.iter().map(|topic| (*topic, now)));
        }
        match gap.to {
            None => {
                assert!(
                    self.gap_ids.insert(gap.id.clone(), gap.from).is_none(),
                    "P2.3: {} was opened twice",
                    gap.id
                );
                for number in topics {
                    let topic = self.topic(*number);
                    assert!(topic.open_gap.is_none(), "P2.3: topic {number} has two open gaps");
                    topic.open_gap = Some((gap.reason, gap.from));
                }
            }
            Some(to) => {
                assert!(gap.from <= to, "P2.1: {} ends before it begins", gap.id);
                self.gap_ids.remove(&gap.id);
                for number in topics {
                    assert!(
                        !self.released.contains(number),
                        "P2.3: events of topic {number} were released before the end of their gap was told"
                    );
                    let topic = self.topic(*number);
                    let known = topic.live_since.is_some_and(|since| since <= gap.from);
                    let counts = known && gap.certainty == Certainty::Certain;
                    topic.gaps.push((gap.from, to));
                    // A part of a split gap has another id than the whole.
                    if topic.open_gap == Some((gap.reason, gap.from)) {
                        topic.open_gap = None;
                    }
                    if counts {
                        self.gap_count += 1;
                        self.gap_ms += self.real_ms(gap.from, to);
                    }
                }
            }
        }
    }

    /// A process has ended. What counts from now on is what its journal holds; the next one tells of it again.
    pub(crate) fn process_ended(&mut self, gaps: &BTreeMap<u64, Gap>, was_covered: impl Fn(u16) -> bool) {
        self.gap_ids.clear();
        for (number, topic) in self.topics.iter_mut().enumerate() {
            topic.open_gap = None;
            topic.status = None;
            if topic.live_since.is_some() && !was_covered(number as u16) {
                // The journal never learned that it was live.
                (topic.live_since, topic.dark_since) = (None, None);
                topic.epoch += 1;
                topic.missing.clear();
                topic.gaps.clear();
            }
        }
        self.kept = gaps.values().filter_map(|gap| gap.to.map(|to| (gap.from, to))).collect();
        for topic in &mut self.topics {
            topic.gaps.retain(|gap| self.kept.contains(gap));
        }
    }

    /// What is lost of this topic in that time cannot be known.
    pub(crate) fn forgive(&mut self, topic: u16, from: u64, to: u64) {
        self.forgiven.push((topic, from, to));
    }

    pub(crate) fn mismatch_was_told(&self, topic: u16, since: u64) -> bool {
        self.mismatches.iter().any(|(of, at)| *of == topic && *at >= since)
    }

    pub(crate) fn has_open_gap(&self, number: u16) -> bool {
        self.topics.get(usize::from(number)).is_some_and(|topic| topic.open_gap.is_some())
    }

    /// Every missing event of the topic lies inside a gap, as far as a loss can be known by now.
    pub(crate) fn settle_account(&mut self, number: u16, wall: u64, known_until: u64) {
        let forgiven = std::mem::take(&mut self.forgiven);
        let is_forgiven =
            |at: u64| forgiven.iter().any(|(of, from, to)| *of == number && (*from..=*to).contains(&at));
        let topic = self.topic(number);
        let mut gaps = topic.gaps.clone();
        gaps.extend(topic.open_gap.as_ref().map(|(_, from)| (*from, u64::MAX)));
        gaps.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (from, to) in gaps {
            match merged.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => merged.push((from, to)),
            }
        }
        for (sent, due, at) in std::mem::take(&mut topic.missing) {
            if at >= known_until || is_forgiven(at) {
                continue;
            }
            let next = merged.partition_point(|(_, to)| *to < sent);
            let inside = merged.get(next).is_some_and(|(from, _)| *from <= due);
            assert!(
                inside,
                "P2.1: an event of topic {number} was lost outside every gap at {at} ({sent} to {due}); {:?} {:?}",
                next.checked_sub(1).and_then(|before| merged.get(before)),
                merged.get(next)
            );
        }
        self.forgiven = forgiven;
        let topic = &mut self.topics[usize::from(number)];
        if let Some(since) = topic.dark_since.replace(wall) {
            self.dark_ms += self.real_ms(since, wall);
        }
        let topic = &self.topics[usize::from(number)];
        let open = topic.open_gap.as_ref().map(|(_, from)| *from);
        if let Some(from) = open.filter(|from| topic.live_since.is_some_and(|since| since <= *from)) {
            self.gap_ms += self.real_ms(from, wall);
            self.gap_count += 1;
        }
    }

    fn real_ms(&self, from: u64, to: u64) -> u64 {
        let unreal = self.unreal.iter().map(|(begin, end)| to.min(*end).saturating_sub(from.max(*begin)));
        to.saturating_sub(from).saturating_sub(unreal.sum())
    }

    pub(crate) fn settle_all(&mut self, wall: u64, known_until: u64) {
        for number in 0..self.topics.len() {
            if self.topics[number].wanted {
                self.settle_account(number as u16, wall, known_until);
            }
        }
    }
}

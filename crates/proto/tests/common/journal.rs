//! A journal as the driver keeps one: in order, committed a little later, and all that is left after a crash.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use genesys_notifications_proto::{Gap, Moment, MomentKind, Past, PastEvent, Topic};

/// How often the driver notes how far the journal is sound: while events come, and while none do.
const MARK_MS: u64 = 100;
const IDLE_MARK_MS: u64 = 4_000;
/// The window in which copies are recognised, as the driver hands it over.
const RECENT_MS: u64 = 60_000;

/// One thing noted.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// An event that is to be delivered once it is committed.
    Event {
        event: u32,
        topic: String,
        body: String,
        received_at: u64,
    },
    Gap(Gap),
    Covered(Vec<String>),
    Forgotten(Vec<String>),
    SoundUntil(u64),
}

/// What is committed, and what is not yet.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pending: VecDeque<(u64, Entry)>,
    pub(crate) gaps: BTreeMap<u64, Gap>,
    pub(crate) covered: BTreeSet<String>,
    sound_until: Option<u64>,
    recent: VecDeque<PastEvent>,
    moved: bool,
    marked: u64,
    marked_at: u64,
}

impl Journal {
    pub(crate) fn note(&mut self, at: u64, entry: Entry) {
        self.moved |= matches!(entry, Entry::Event { .. });
        self.pending.push_back((at, entry));
    }

    pub(crate) fn moment(&mut self, at: u64, moment: &Moment) {
        match &moment.what {
            MomentKind::Covered { topics } => self.note(at, Entry::Covered(topics.clone())),
            MomentKind::Forgotten { topics } => self.note(at, Entry::Forgotten(topics.clone())),
            _ => {}
        }
    }

    pub(crate) fn mark_is_due(&self, mono: u64) -> bool {
        mono >= self.marked_at + if self.moved { MARK_MS } else { IDLE_MARK_MS }
    }

    pub(crate) fn mark(&mut self, at: u64, mono: u64, sound_until: u64) {
        (self.moved, self.marked_at) = (false, mono);
        if sound_until > self.marked {
            self.marked = sound_until;
            self.note(at, Entry::SoundUntil(sound_until));
        }
    }

    /// Commits what was noted until then. Says which events are delivered by it.
    pub(crate) fn commit(&mut self, until: u64) -> Vec<u32> {
        let mut events = Vec::new();
        while self.pending.front().is_some_and(|(at, _)| *at <= until) {
            let Some((_, entry)) = self.pending.pop_front() else { break };
            match entry {
                Entry::Event { event, topic, body, received_at } => {
                    events.push(event);
                    let topic = Topic::expand(&topic).expect("a topic of the test").remove(0);
                    self.recent.push_back(PastEvent { topic, body, received_at });
                    while self.recent.front().is_some_and(|first| first.received_at + RECENT_MS < received_at)
                    {
                        self.recent.pop_front();
                    }
                }
                Entry::Gap(gap) => {
                    self.gaps.insert(number(&gap.id), gap);
                }
                Entry::Covered(topics) => self.covered.extend(topics),
                Entry::Forgotten(topics) => self.covered.retain(|topic| !topics.contains(topic)),
                Entry::SoundUntil(at) => self.sound_until = Some(at),
            }
        }
        events
    }

    /// What was not committed is gone. Says which events were never delivered for it.
    pub(crate) fn crash(&mut self) -> Vec<u32> {
        (self.moved, self.marked_at, self.marked) = (false, 0, self.sound_until.unwrap_or(0));
        let lost = self.pending.drain(..).filter_map(|(_, entry)| match entry {
            Entry::Event { event, .. } => Some(event),
            _ => None,
        });
        lost.collect()
    }

    /// The committed gap of this number, if there is one: its number names no other gap.
    pub(crate) fn gap(&self, id: &str) -> Option<&Gap> {
        self.gaps.get(&number(id))
    }

    pub(crate) fn past(&self, wall: u64) -> Past {
        let (open, closed): (Vec<&Gap>, Vec<&Gap>) = self.gaps.values().partition(|gap| gap.to.is_none());
        let recent = closed.len().saturating_sub(1_000);
        let topics = self.covered.iter().flat_map(|name| Topic::expand(name).expect("a topic of the test"));
        Past {
            sound_until: self.sound_until.unwrap_or(wall),
            covered: topics.collect(),
            gaps: closed[recent..].iter().chain(&open).map(|gap| (*gap).clone()).collect(),
            seen: self.recent.iter().cloned().collect(),
            cursor: None,
        }
    }
}

fn number(id: &str) -> u64 {
    id.strip_prefix("gap-").and_then(|number| number.parse().ok()).expect("a gap's id")
}

//! The record of gaps (P2): per topic, connected time + gap time = wall-clock time since it was first live.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::io::TopicId;
use crate::notice::{Backfilled, Certainty, Gap, Reason};

/// Closed gaps kept for `gaps()`; older ones were delivered and are only counted.
const KEPT: usize = 1_000;

/// Fewer are kept if they name more topics than this together: a channel's gap names up to 1,000.
const KEPT_NAMES: usize = 100_000;

/// A gap as the ledger keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    number: u64,
    from: u64,
    to: Option<u64>,
    reason: Reason,
    certainty: Certainty,
    topics: BTreeSet<TopicId>,
    backfilled: Backfilled,
    /// A gap that a resumed stream may yet fill is told only once that has failed.
    is_told: bool,
}

/// Open and closed gaps, and which topics are covered.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    last_number: u64,
    covered: BTreeSet<TopicId>,
    blind: BTreeMap<TopicId, u64>,
    open: BTreeMap<u64, Record>,
    closed: VecDeque<Record>,
    /// How many topics the closed ones name.
    closed_names: usize,
    pub(crate) recorded: u64,
    pub(crate) closed_ms: u64,
    /// What is lost from now on is not told: the stream is to be resumed where it ended.
    pub(crate) is_quiet: bool,
    /// Gaps that were never told, because the stream was resumed.
    pub(crate) bridged: u64,
}

impl Ledger {
    /// Whether the topic was live once and is not now.
    pub(crate) fn is_blind(&self, topic: TopicId) -> bool {
        self.blind.contains_key(&topic)
    }

    pub(crate) fn is_covered(&self, topic: TopicId) -> bool {
        self.covered.contains(&topic)
    }

    /// The same, and the user knows.
    pub(crate) fn is_told_blind(&self, topic: TopicId) -> bool {
        let number = self.blind.get(&topic);
        number.and_then(|number| self.open.get(number)).is_some_and(|record| record.is_told)
    }

    pub(crate) fn open_count(&self) -> usize {
        self.open.values().filter(|record| record.is_told).count()
    }

    /// Since when something is missing that nobody was told of.
    pub(crate) fn quiet_since(&self) -> Option<u64> {
        self.open.values().filter(|record| !record.is_told).map(|record| record.from).min()
    }

    /// What was kept quiet will not be filled: it is told now, for this reason if there is a new one.
    pub(crate) fn speak(&mut self, reason: Option<Reason>) -> Vec<Record> {
        let quiet = self.open.values_mut().filter(|record| !record.is_told);
        let told: Vec<Record> = quiet
            .map(|record| {
                record.is_told = true;
                record.reason = reason.unwrap_or(record.reason);
                record.clone()
            })
            .collect();
        self.recorded += told.len() as u64;
        told
    }

    /// No channel carries these any more. Topics that were not covered are left as they are.
    pub(crate) fn lose<'a>(
        &mut self,
        topics: impl IntoIterator<Item = &'a TopicId>,
        from: u64,
        reason: Reason,
        certainty: Certainty,
    ) -> Option<Record> {
        let lost: BTreeSet<TopicId> =
            topics.into_iter().copied().filter(|id| self.covered.remove(id)).collect();
        if lost.is_empty() {
            return None;
        }
        let number = self.next_number();
        self.blind.extend(lost.iter().map(|id| (*id, number)));
        let (backfilled, is_told) = (Backfilled::No, !self.is_quiet);
        let record = Record { number, from, to: None, reason, certainty, topics: lost, backfilled, is_told };
        self.open.insert(number, record.clone());
        self.recorded += u64::from(is_told);
        is_told.then_some(record)
    }

    /// A channel is proven to carry these. Closes what was open for them; a gap that closes for a part of its topics
    /// is split.
    pub(crate) fn regain<'a>(
        &mut self,
        topics: impl IntoIterator<Item = &'a TopicId>,
        at: u64,
    ) -> Vec<Record> {
        let mut back: BTreeMap<u64, BTreeSet<TopicId>> = BTreeMap::new();
        for id in topics {
            self.covered.insert(*id);
            if let Some(number) = self.blind.remove(id) {
                back.entry(number).or_default().insert(*id);
            }
        }
        back.into_iter().filter_map(|(number, topics)| self.close(number, topics, at)).collect()
    }

    /// The user no longer wants these: their gaps end here, and a later subscription starts anew.
    pub(crate) fn forget<'a>(
        &mut self,
        topics: impl IntoIterator<Item = &'a TopicId>,
        at: u64,
    ) -> Vec<Record> {
        let topics: Vec<TopicId> = topics.into_iter().copied().collect();
        let bridged = self.bridged;
        let closed = self.regain(
            topics.iter().filter(|id| self.blind.contains_key(id)).copied().collect::<Vec<_>>().iter(),
            at,
        );
        for id in &topics {
            self.covered.remove(id);
        }
        self.bridged = bridged;
        closed
    }

    /// Something may be missing from a period in which the topics were covered all the same.
    pub(crate) fn blemish(
        &mut self,
        topics: BTreeSet<TopicId>,
        from: u64,
        to: u64,
        reason: Reason,
        certainty: Certainty,
    ) -> Option<Record> {
        if topics.is_empty() {
            return None;
        }
        let number = self.next_number();
        self.recorded += 1;
        let (to, backfilled) = (Some(to.max(from)), Backfilled::No);
        let record = Record { number, from, to, reason, certainty, topics, backfilled, is_told: true };
        self.keep(record.clone());
        Some(record)
    }

    /// A closed gap was filled, or that was tried. Nothing if it is not kept any more, or not closed.
    pub(crate) fn backfilled(&mut self, number: u64, outcome: Backfilled) -> Option<Record> {
        let record = self.closed.iter_mut().find(|record| record.number == number)?;
        record.backfilled = outcome;
        Some(record.clone())
    }

    /// A gap from before this process ran. An open one stays open for those of its topics that are still wanted, and is
    /// closed for the others. Says what there is to tell.
    pub(crate) fn restore(
        &mut self,
        gap: &Gap,
        topics: BTreeSet<TopicId>,
        is_wanted: impl Fn(&TopicId) -> bool,
        now: u64,
    ) -> Vec<Record> {
        let Some(number) = number_of(&gap.id) else { return Vec::new() };
        self.last_number = self.last_number.max(number);
        if topics.is_empty() {
            return Vec::new();
        }
        self.recorded += 1;
        let (from, to, reason, certainty) = (gap.from, gap.to, gap.reason, gap.certainty);
        let (backfilled, is_told) = (gap.backfilled, true);
        let record = Record { number, from, to, reason, certainty, topics, backfilled, is_told };
        if to.is_some() {
            self.keep(record);
            return Vec::new();
        }
        let over: Vec<TopicId> = record.topics.iter().filter(|id| !is_wanted(id)).copied().collect();
        self.blind.extend(record.topics.iter().map(|id| (*id, number)));
        self.open.insert(number, record);
        let closed = self.forget(&over, now);
        self.open.get(&number).cloned().into_iter().chain(closed).collect()
    }

    /// These were live when the process ended and are not now.
    pub(crate) fn restore_covered(&mut self, topics: impl IntoIterator<Item = TopicId>) {
        self.covered.extend(topics.into_iter().filter(|id| !self.blind.contains_key(id)));
    }

    /// Every record kept, oldest first, open ones last.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.closed.iter().chain(self.open.values().filter(|record| record.is_told))
    }

    /// The closed gaps kept, by how far they were filled: not, partly, wholly.
    pub(crate) fn kept(&self) -> [usize; 3] {
        let mut kept = [0; 3];
        for record in &self.closed {
            kept[match record.backfilled {
                Backfilled::No => 0,
                Backfilled::Partial => 1,
                Backfilled::Yes => 2,
            }] += 1;
        }
        kept
    }

    fn close(&mut self, number: u64, topics: BTreeSet<TopicId>, at: u64) -> Option<Record> {
        let open = self.open.get_mut(&number)?;
        if !open.is_told {
            self.bridged += u64::from(open.topics.len() == topics.len());
            open.topics.retain(|id| !topics.contains(id));
            if open.topics.is_empty() {
                self.open.remove(&number);
            }
            return None;
        }
        let to = Some(at.max(open.from));
        let record = if open.topics.len() == topics.len() {
            Record { to, ..self.open.remove(&number)? }
        } else {
            open.topics.retain(|id| !topics.contains(id));
            let (from, reason, certainty) = (open.from, open.reason, open.certainty);
            self.recorded += 1;
            let (number, backfilled, is_told) = (self.next_number(), Backfilled::No, true);
            Record { number, from, to, reason, certainty, topics, backfilled, is_told }
        };
        self.keep(record.clone());
        Some(record)
    }

    fn keep(&mut self, record: Record) {
        self.closed_ms += record.to.unwrap_or(record.from).saturating_sub(record.from);
        self.closed_names += record.topics.len();
        self.closed.push_back(record);
        while self.closed.len() > KEPT || (self.closed_names > KEPT_NAMES && self.closed.len() > 1) {
            let Some(oldest) = self.closed.pop_front() else { return };
            self.closed_names -= oldest.topics.len();
        }
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

/// The number in a gap's id.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix("gap-")?.parse().ok()
}

impl Record {
    /// In the names of the public surface.
    pub(crate) fn public(&self, name: impl Fn(TopicId) -> String) -> Gap {
        Gap {
            id: format!("gap-{}", self.number),
            from: self.from,
            to: self.to,
            reason: self.reason,
            topics: self.topics.iter().map(|id| name(*id)).collect(),
            certainty: self.certainty,
            backfilled: self.backfilled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TopicId = TopicId(1);
    const B: TopicId = TopicId(2);

    fn live() -> Ledger {
        let mut ledger = Ledger::default();
        assert!(ledger.regain(&[A, B], 0).is_empty());
        ledger
    }

    #[test]
    fn a_topic_that_was_never_live_has_no_gap() {
        assert!(Ledger::default().lose(&[A], 5, Reason::Silence, Certainty::Certain).is_none());
    }

    #[test]
    fn a_gap_opens_once_and_closes_with_its_topics() {
        let mut ledger = live();
        let opened = ledger.lose(&[A, B], 5, Reason::Silence, Certainty::Certain).unwrap();
        assert!(ledger.lose(&[A], 6, Reason::SocketClosed, Certainty::Certain).is_none());
        let closed = ledger.regain(&[A, B], 9);
        assert_eq!(closed.len(), 1);
        assert_eq!((closed[0].number, closed[0].from, closed[0].to), (opened.number, 5, Some(9)));
        assert_eq!((ledger.open_count(), ledger.closed_ms), (0, 4));
    }

    #[test]
    fn a_gap_that_ends_for_one_topic_stays_open_for_the_other() {
        let mut ledger = live();
        let opened = ledger.lose(&[A, B], 5, Reason::Silence, Certainty::Certain).unwrap();
        let closed = ledger.regain(&[A], 9);
        assert_ne!(closed[0].number, opened.number);
        assert_eq!(closed[0].topics, BTreeSet::from([A]));
        assert!(ledger.is_blind(B) && ledger.is_covered(A));
        assert_eq!(ledger.regain(&[B], 12)[0].number, opened.number);
    }

    #[test]
    fn an_unwanted_topic_ends_its_gap_and_starts_anew() {
        let mut ledger = live();
        ledger.lose(&[A, B], 5, Reason::Silence, Certainty::Certain);
        assert_eq!(ledger.forget(&[A], 7).len(), 1);
        assert!(!ledger.is_blind(A) && !ledger.is_covered(A));
        assert!(ledger.regain(&[A], 20).is_empty());
    }

    #[test]
    fn a_clock_that_went_back_makes_no_negative_gap() {
        let mut ledger = live();
        ledger.lose(&[A], 50, Reason::Silence, Certainty::Certain);
        assert_eq!(ledger.regain(&[A], 10)[0].to, Some(50));
    }

    #[test]
    fn old_records_are_counted_but_not_kept_for_ever() {
        let mut ledger = live();
        for at in 0..3_000 {
            ledger.lose(&[A], at, Reason::Silence, Certainty::Certain);
            ledger.regain(&[A], at + 1);
        }
        assert_eq!((ledger.records().count(), ledger.recorded), (KEPT, 3_000));
        ledger.backfilled(3_000, Backfilled::Partial).unwrap();
        assert_eq!(ledger.kept(), [KEPT - 1, 1, 0]);
    }

    #[test]
    fn records_of_many_topics_are_kept_for_a_shorter_time_but_the_last_always() {
        let names = |count: u32| -> Vec<TopicId> { (0..count).map(TopicId).collect() };
        let mut ledger = Ledger::default();
        for (at, count) in [(0, 10), (10, 60_000), (20, 60_000), (30, 150_000)] {
            ledger.regain(&names(count), at);
            ledger.lose(&names(count), at + 1, Reason::Silence, Certainty::Certain);
            ledger.regain(&names(count), at + 2);
            let names: usize = ledger.records().map(|record| record.topics.len()).sum();
            assert_eq!(names, ledger.closed_names);
        }
        assert_eq!(ledger.records().map(|record| record.from).collect::<Vec<_>>(), [31]);
    }
}

//! At most so many events per second of a topic: the first at once, then the latest, and the last in any case.
//!
//! Pure: time is an argument, and what waits is whatever the caller keeps.

use std::collections::{BTreeSet, HashMap};

/// The topics that are conflated, by numbers of the caller's.
#[derive(Debug)]
pub(crate) struct Conflate<T> {
    topics: HashMap<usize, Paced<T>>,
    /// When what waits is due.
    due: BTreeSet<(u64, usize)>,
    replaced: u64,
}

#[derive(Debug)]
struct Paced<T> {
    every_ms: u64,
    not_before: u64,
    waiting: Option<T>,
}

/// What is to be done with an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer<'a, T> {
    Now,
    /// To be kept here, in the place of what is there.
    Later(&'a mut Option<T>),
}

impl<T> Default for Conflate<T> {
    fn default() -> Self {
        Self { topics: HashMap::new(), due: BTreeSet::new(), replaced: 0 }
    }
}

impl<T> Conflate<T> {
    /// Sets a topic's shortest time between two events, or none. What waits is given back if that is a change.
    pub(crate) fn set(&mut self, topic: usize, every_ms: Option<u64>) -> Option<T> {
        if self.topics.get(&topic).map(|paced| paced.every_ms) == every_ms {
            return None;
        }
        let waiting = self.take(topic);
        match every_ms {
            Some(every_ms) => {
                let known = self.topics.get(&topic);
                let not_before = known.map_or(0, |paced| paced.not_before.min(paced.begin() + every_ms));
                self.topics.insert(topic, Paced { every_ms, not_before, waiting: None });
            }
            None => drop(self.topics.remove(&topic)),
        }
        waiting
    }

    /// An event of a topic; `now` is in milliseconds.
    pub(crate) fn offer(&mut self, topic: usize, now: u64) -> Offer<'_, T> {
        let Some(paced) = self.topics.get_mut(&topic) else { return Offer::Now };
        let is_due = now >= paced.not_before;
        if paced.waiting.is_some() {
            self.replaced += 1;
            if is_due {
                paced.waiting = None;
                self.due.remove(&(paced.not_before, topic));
            }
        } else if !is_due {
            self.due.insert((paced.not_before, topic));
        }
        if is_due {
            paced.not_before = now + paced.every_ms;
            return Offer::Now;
        }
        Offer::Later(&mut paced.waiting)
    }

    /// One that has waited long enough.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<T> {
        let (_, topic) = *self.due.first().filter(|(at, _)| *at <= now)?;
        let waiting = self.take(topic);
        if let Some(paced) = self.topics.get_mut(&topic) {
            paced.not_before = now + paced.every_ms;
        }
        waiting
    }

    /// What waits of a topic.
    pub(crate) fn take(&mut self, topic: usize) -> Option<T> {
        let paced = self.topics.get_mut(&topic)?;
        self.due.remove(&(paced.not_before, topic));
        paced.waiting.take()
    }

    /// Any that waits, the first to be due first.
    pub(crate) fn take_any(&mut self) -> Option<T> {
        let (_, topic) = *self.due.first()?;
        self.take(topic)
    }

    /// When [`Conflate::take_due`] has something.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &T> {
        self.due.iter().filter_map(|(_, topic)| self.topics.get(topic)?.waiting.as_ref())
    }

    /// Events in whose place a later one came.
    pub(crate) fn replaced(&self) -> u64 {
        self.replaced
    }
}

impl<T> Paced<T> {
    /// When the last event went, or a time before.
    fn begin(&self) -> u64 {
        self.not_before.saturating_sub(self.every_ms)
    }
}

#[cfg(test)]
mod tests {
    use genesys_notifications_proto::{Random, SplitMix};

    use super::*;

    /// What becomes of an event at once.
    fn offer(conflate: &mut Conflate<u32>, topic: usize, now: u64, event: u32) -> Option<u32> {
        match conflate.offer(topic, now) {
            Offer::Now => Some(event),
            Offer::Later(place) => {
                *place = Some(event);
                None
            }
        }
    }

    // P10.4
    #[test]
    fn the_first_goes_at_once_then_the_latest_when_its_time_comes() {
        let mut conflate = Conflate::default();
        assert_eq!(conflate.set(1, Some(100)), None);
        assert_eq!(offer(&mut conflate, 1, 1_000, 1), Some(1));
        assert_eq!(conflate.deadline(), None);
        assert_eq!(offer(&mut conflate, 1, 1_010, 2), None);
        assert_eq!(offer(&mut conflate, 1, 1_099, 3), None);
        assert_eq!(offer(&mut conflate, 2, 1_099, 9), Some(9));
        assert_eq!((conflate.deadline(), conflate.replaced()), (Some(1_100), 1));
        assert_eq!(conflate.take_due(1_099), None);
        assert_eq!(conflate.take_due(1_105), Some(3));
        assert_eq!((conflate.take_due(1_105), conflate.deadline()), (None, None));
        // Counted from when it went.
        assert_eq!(offer(&mut conflate, 1, 1_204, 4), None);
        // A late timer does not delay what is due.
        assert_eq!(offer(&mut conflate, 1, 1_206, 5), Some(5));
        assert_eq!((conflate.deadline(), conflate.replaced()), (None, 2));
        assert_eq!(offer(&mut conflate, 1, 1_306, 6), Some(6));
    }

    // P10.4
    #[test]
    fn a_change_of_the_pace_gives_back_what_waits() {
        let mut conflate = Conflate::default();
        conflate.set(1, Some(1_000));
        assert_eq!(offer(&mut conflate, 1, 0, 1), Some(1));
        assert_eq!(offer(&mut conflate, 1, 1, 2), None);
        assert_eq!(conflate.set(1, Some(1_000)), None);
        assert_eq!(conflate.waiting().collect::<Vec<_>>(), [&2]);
        assert_eq!(conflate.set(1, Some(10)), Some(2));
        assert_eq!(offer(&mut conflate, 1, 9, 3), None);
        assert_eq!(conflate.set(1, None), Some(3));
        assert_eq!(offer(&mut conflate, 1, 9, 4), Some(4));
        assert_eq!((conflate.deadline(), conflate.replaced()), (None, 0));
    }

    // P10.4
    #[test]
    fn whatever_comes_no_topic_exceeds_its_pace_and_none_loses_its_last() {
        let mut random = SplitMix::new(5);
        for _ in 0..200 {
            let mut conflate = Conflate::default();
            let every: Vec<u64> = (0..4).map(|_| 1 + random.up_to(300)).collect();
            for (topic, every) in every.iter().enumerate() {
                conflate.set(topic, Some(*every));
            }
            let (mut now, mut offered) = (random.up_to(1_000), 0_u64);
            let mut last = [0; 4];
            let mut out: Vec<Vec<(u64, u32)>> = vec![Vec::new(); 4];
            for event in 1..500_u32 {
                let longest = if random.up_to(50) == 0 { 2_000 } else { 9 };
                now += random.up_to(longest);
                // Sometimes the timer is late.
                while random.up_to(20) > 0
                    && let Some(waited) = conflate.take_due(now)
                {
                    out[waited as usize % 4].push((now, waited));
                }
                let topic = event as usize % 4;
                offered += 1;
                last[topic] = event;
                if let Some(event) = offer(&mut conflate, topic, now, event) {
                    out[topic].push((now, event));
                }
            }
            while let Some(at) = conflate.deadline() {
                now = now.max(at);
                let waited = conflate.take_due(now).unwrap();
                out[waited as usize % 4].push((now, waited));
            }
            for (topic, out) in out.iter().enumerate() {
                assert!(out.windows(2).all(|pair| pair[1].0 - pair[0].0 >= every[topic]), "{out:?}");
                assert!(out.windows(2).all(|pair| pair[1].1 > pair[0].1), "{out:?}");
                assert_eq!(out.last().map(|(_, event)| *event), Some(last[topic]));
            }
            let delivered: usize = out.iter().map(Vec::len).sum();
            assert_eq!(delivered as u64 + conflate.replaced(), offered);
        }
    }
}

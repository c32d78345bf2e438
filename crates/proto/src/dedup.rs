//! Copies that overlapping channels bring are recognised by matching instances (P5).
//!
//! An instance is one occurrence of a topic and body; it remembers which links showed it. An event on link L is a copy
//! if an instance inside the window has not been shown by L yet, and was first seen after L joined. So an event that the
//! service really sent twice is delivered twice.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use crate::io::{LinkId, TopicId};

/// Beyond this many instances the oldest are forgotten: about 20 MB.
const MOST_INSTANCES: usize = 200_000;

/// What makes two events the same: topic and exact body bytes, as length and 64-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    topic: TopicId,
    length: u32,
    hash: u64,
}

impl Key {
    pub(crate) fn of(topic: TopicId, body: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body.as_bytes());
        Self { topic, length: body.len() as u32, hash: hasher.finish() }
    }
}

#[derive(Debug)]
struct Instance {
    first_seen: u64,
    seen_by: Vec<LinkId>,
}

/// The instances of one shard within the window.
#[derive(Debug)]
pub(crate) struct Window {
    length_ms: u64,
    instances: HashMap<Key, VecDeque<Instance>>,
    order: VecDeque<(u64, Key)>,
}

impl Window {
    pub(crate) fn new(length_ms: u64) -> Self {
        Self { length_ms, instances: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether this event is a copy of one that another link brought. Records it either way.
    pub(crate) fn is_copy(&mut self, key: Key, link: LinkId, joined_at: u64, now: u64) -> bool {
        if self.order.len() >= MOST_INSTANCES {
            self.forget_oldest();
        }
        let instances = self.instances.entry(key).or_default();
        let unseen = instances
            .iter_mut()
            .find(|instance| instance.first_seen >= joined_at && !instance.seen_by.contains(&link));
        if let Some(instance) = unseen {
            instance.seen_by.push(link);
            return true;
        }
        instances.push_back(Instance { first_seen: now, seen_by: vec![link] });
        self.order.push_back((now, key));
        false
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget(&mut self, now: u64) {
        while self.order.front().is_some_and(|(seen, _)| now.saturating_sub(*seen) > self.length_ms) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.order.pop_front() else { return };
        if let Some(instances) = self.instances.get_mut(&key) {
            instances.pop_front();
            if instances.is_empty() {
                self.instances.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: LinkId = LinkId(1);
    const NEW: LinkId = LinkId(2);

    fn key(body: &str) -> Key {
        Key::of(TopicId(0), body)
    }

    #[test]
    fn a_copy_on_another_link_is_recognised_whichever_comes_first() {
        let mut window = Window::new(60_000);
        assert!(!window.is_copy(key("a"), OLD, 0, 1));
        assert!(window.is_copy(key("a"), NEW, 0, 2));
        assert!(!window.is_copy(key("b"), NEW, 0, 3));
        assert!(window.is_copy(key("b"), OLD, 0, 4));
    }

    #[test]
    fn what_the_service_sent_twice_is_delivered_twice() {
        let mut window = Window::new(60_000);
        let verdicts: Vec<bool> =
            [OLD, OLD, NEW, NEW, NEW].iter().map(|link| window.is_copy(key("a"), *link, 0, 1)).collect();
        assert_eq!(verdicts, [false, false, true, true, false]);
    }

    #[test]
    fn a_late_joiner_matches_nothing_from_before_it_joined() {
        let mut window = Window::new(60_000);
        assert!(!window.is_copy(key("a"), OLD, 0, 10));
        assert!(!window.is_copy(key("a"), NEW, 11, 12));
    }

    #[test]
    fn nothing_is_matched_beyond_the_window() {
        let mut window = Window::new(60_000);
        assert!(!window.is_copy(key("a"), OLD, 0, 0));
        window.forget(60_001);
        assert!(!window.is_copy(key("a"), NEW, 0, 60_001));
    }

    #[test]
    fn the_same_body_on_another_topic_is_another_event() {
        let mut window = Window::new(60_000);
        assert!(!window.is_copy(Key::of(TopicId(1), "a"), OLD, 0, 0));
        assert!(!window.is_copy(Key::of(TopicId(2), "a"), NEW, 0, 0));
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::new(u64::MAX);
        for i in 0..MOST_INSTANCES + 1_000 {
            window.is_copy(key(&i.to_string()), OLD, 0, 0);
        }
        assert!(window.order.len() <= MOST_INSTANCES + 1 && window.instances.len() <= MOST_INSTANCES + 1);
    }
}

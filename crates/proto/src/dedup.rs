//! Copies that overlapping channels bring are recognised by matching instances (P5).
//!
//! An instance is one occurrence of a topic and body; it remembers which links showed it. An event on link L is a copy
//! if an instance inside the window has not been shown by L yet, and was first seen after L joined, give or take the skew
//! between channels. So an event that the service really sent twice is delivered twice.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, VecDeque};
use std::hash::Hasher;

use crate::canonical;
use crate::io::{LinkId, TopicId};
use crate::likeness::Likeness;

/// Beyond this many instances the oldest are forgotten: about 20 MB.
const MOST_INSTANCES: usize = 200_000;

/// What makes two events the same: topic and body, as length and 64-bit hash of its bytes or of what they mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    topic: TopicId,
    length: u32,
    hash: u64,
}

impl Key {
    fn of(topic: TopicId, body: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body.as_bytes());
        Self { topic, length: body.len() as u32, hash: hasher.finish() }
    }

    /// The same for bodies that differ in the order of members and in white space only.
    fn canonical(topic: TopicId, body: &str) -> Self {
        match canonical::hash(body) {
            Some(hash) => Self { topic, length: 0, hash },
            None => Self::of(topic, body),
        }
    }
}

/// One event as one link brought it. Times are of the monotonic clock; before its origin, they are negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting<'a> {
    pub(crate) topic: TopicId,
    pub(crate) body: &'a str,
    /// Of a direct endpoint: what it is recognised by, instead of its body.
    pub(crate) identity: Option<u64>,
    pub(crate) link: LinkId,
    pub(crate) joined_at: i64,
    pub(crate) now: i64,
    /// Another link of the shard may bring a copy.
    pub(crate) has_company: bool,
    /// It may have waited to be read, so that it does not show how far apart copies arrive.
    pub(crate) is_late: bool,
}

/// An instance that aged out although one link only had shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SingleSided {
    pub(crate) topic: TopicId,
    pub(crate) link: LinkId,
    pub(crate) first_seen: i64,
}

#[derive(Debug)]
struct Instance {
    first_seen: i64,
    seen_by: Vec<LinkId>,
}

/// Instances by key, and in the order of their first sighting.
#[derive(Debug, Default)]
struct Instances {
    by_key: HashMap<Key, VecDeque<Instance>>,
    order: VecDeque<(i64, Key)>,
}

impl Instances {
    /// The oldest instance not yet shown by this link is shown by it now. Says when it was first seen.
    fn shown(&mut self, key: Key, link: LinkId, joined_at: i64) -> Option<i64> {
        let mut instances = self.by_key.get_mut(&key)?.iter_mut();
        let unseen = instances.find(|one| one.first_seen >= joined_at && !one.seen_by.contains(&link))?;
        unseen.seen_by.push(link);
        Some(unseen.first_seen)
    }

    fn add(&mut self, key: Key, link: LinkId, first_seen: i64) {
        if self.order.len() >= MOST_INSTANCES {
            self.forget_oldest();
        }
        self.by_key.entry(key).or_default().push_back(Instance { first_seen, seen_by: vec![link] });
        self.order.push_back((first_seen, key));
    }

    fn forget_oldest(&mut self) -> Option<SingleSided> {
        let (first_seen, key) = self.order.pop_front()?;
        let instances = self.by_key.get_mut(&key)?;
        let oldest = instances.pop_front();
        if instances.is_empty() {
            self.by_key.remove(&key);
        }
        match oldest?.seen_by.as_slice() {
            [link] => Some(SingleSided { topic: key.topic, link: *link, first_seen }),
            _ => None,
        }
    }

    fn forget(&mut self, before: i64) -> Vec<SingleSided> {
        let mut single_sided = Vec::new();
        while self.order.front().is_some_and(|(seen, _)| *seen < before) {
            single_sided.extend(self.forget_oldest());
        }
        single_sided
    }
}

/// The instances of one shard within the window.
#[derive(Debug)]
pub(crate) struct Window {
    length_ms: u64,
    instances: Instances,
    /// The same by what bodies mean, until it is known whether their bytes are the same on every channel.
    alike: Option<Instances>,
    is_canonical: bool,
}

impl Window {
    pub(crate) fn new(length_ms: u64) -> Self {
        Self { length_ms, instances: Instances::default(), alike: None, is_canonical: false }
    }

    /// Whether this event is a copy of one that another link brought. Records it either way.
    pub(crate) fn is_copy(&mut self, likeness: &mut Likeness, event: Sighting<'_>) -> bool {
        if likeness.is_canonical() && !self.is_canonical {
            self.is_canonical = true;
            self.instances = self.alike.take().unwrap_or_default();
        }
        let Sighting { topic, body, link, now, .. } = event;
        let key = match event.identity {
            Some(hash) => Key { topic, length: 0, hash },
            None if self.is_canonical => Key::canonical(topic, body),
            None => Key::of(topic, body),
        };
        let joined_at = event.joined_at - likeness.allowance();
        let alike = match likeness.is_open() && event.has_company {
            true => Some((self.alike.get_or_insert_default(), Key::canonical(topic, body))),
            false => {
                self.alike = None;
                None
            }
        };
        if let Some(first_seen) = self.instances.shown(key, link, joined_at) {
            if let Some((instances, key)) = alike {
                instances.shown(key, link, joined_at);
            }
            likeness.matched((now - first_seen).unsigned_abs(), event.is_late);
            return true;
        }
        self.instances.add(key, link, now);
        if let Some((instances, key)) = alike {
            match instances.shown(key, link, joined_at) {
                Some(_) => likeness.matched_in_meaning_only(),
                None => instances.add(key, link, now),
            }
        }
        false
    }

    /// An event that arrived before this process ran.
    pub(crate) fn remember(&mut self, topic: TopicId, body: &str, first_seen: i64) {
        self.instances.add(Key::of(topic, body), LinkId(0), first_seen);
    }

    /// Forgets what is older than the window. Says what one link only had shown.
    pub(crate) fn forget(&mut self, now: i64) -> Vec<SingleSided> {
        let before = now.saturating_sub(i64::try_from(self.length_ms).unwrap_or(i64::MAX));
        if let Some(alike) = &mut self.alike {
            alike.forget(before);
        }
        self.instances.forget(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: LinkId = LinkId(1);
    const NEW: LinkId = LinkId(2);

    struct Stage {
        window: Window,
        likeness: Likeness,
    }

    impl Stage {
        fn new(length_ms: u64) -> Self {
            Self { window: Window::new(length_ms), likeness: Likeness::default() }
        }

        fn sees(&mut self, topic: u32, body: &str, link: LinkId, joined_at: i64, now: i64) -> bool {
            let topic = TopicId(topic);
            let event = Sighting {
                topic,
                body,
                identity: None,
                link,
                joined_at,
                now,
                has_company: true,
                is_late: false,
            };
            self.window.is_copy(&mut self.likeness, event)
        }
    }

    #[test]
    fn a_copy_on_another_link_is_recognised_whichever_comes_first() {
        let mut stage = Stage::new(60_000);
        assert!(!stage.sees(0, "a", OLD, 0, 1));
        assert!(stage.sees(0, "a", NEW, 0, 2));
        assert!(!stage.sees(0, "b", NEW, 0, 3));
        assert!(stage.sees(0, "b", OLD, 0, 4));
    }

    #[test]
    fn what_the_service_sent_twice_is_delivered_twice() {
        let mut stage = Stage::new(60_000);
        let verdicts: Vec<bool> =
            [OLD, OLD, NEW, NEW, NEW].iter().map(|link| stage.sees(0, "a", *link, 0, 1)).collect();
        assert_eq!(verdicts, [false, false, true, true, false]);
    }

    #[test]
    fn a_late_joiner_matches_nothing_from_before_it_joined() {
        let mut stage = Stage::new(60_000);
        assert!(!stage.sees(0, "a", OLD, 0, 10));
        assert!(!stage.sees(0, "a", NEW, 11, 12));
    }

    #[test]
    fn a_late_joiner_matches_what_came_earlier_on_the_other_link_by_the_usual_skew_but_a_second_at_most() {
        for (skew, back, is_copy) in
            [(300, 200, true), (300, 400, false), (5_000, 900, true), (5_000, 1_100, false)]
        {
            let mut stage = Stage::new(60_000);
            assert!(!stage.sees(0, "first", OLD, 0, 0));
            assert!(stage.sees(0, "first", NEW, 0, skew));
            assert!(!stage.sees(0, "second", OLD, 0, 10_000));
            assert_eq!(
                stage.sees(0, "second", LinkId(3), 10_000 + back, 10_001 + back),
                is_copy,
                "{skew} {back}"
            );
        }
    }

    #[test]
    fn nothing_is_matched_beyond_the_window_and_what_one_link_showed_is_told() {
        let mut stage = Stage::new(60_000);
        assert!(!stage.sees(7, "a", OLD, 0, 0));
        assert!(!stage.sees(7, "b", OLD, 0, 0));
        assert!(stage.sees(7, "b", NEW, 0, 1));
        assert_eq!(stage.window.forget(60_000), []);
        let single = SingleSided { topic: TopicId(7), link: OLD, first_seen: 0 };
        assert_eq!(stage.window.forget(60_001), [single]);
        assert!(!stage.sees(7, "a", NEW, 0, 60_001));
    }

    #[test]
    fn what_arrived_before_the_process_ran_is_matched_by_nobody_who_joined_later() {
        let mut stage = Stage::new(60_000);
        stage.window.remember(TopicId(0), "a", -5_000);
        assert!(!stage.sees(0, "a", OLD, 10, 20));
        stage.window.remember(TopicId(0), "b", -5);
        assert!(stage.sees(0, "b", OLD, -5, 20));
    }

    #[test]
    fn the_same_body_on_another_topic_is_another_event() {
        let mut stage = Stage::new(60_000);
        assert!(!stage.sees(1, "a", OLD, 0, 0));
        assert!(!stage.sees(2, "a", NEW, 0, 0));
    }

    #[test]
    fn bodies_that_mean_the_same_are_the_same_once_bytes_are_seen_to_differ() {
        let mut stage = Stage::new(60_000);
        let bodies = |n: i64| (format!(r#"{{"n":{n},"m":"x"}}"#), format!(r#"{{ "m": "x", "n": {n} }}"#));
        for n in 0..3 {
            let (first, second) = bodies(n);
            assert!(!stage.sees(0, &first, OLD, 0, n) && !stage.sees(0, &second, NEW, 0, n), "{n}");
        }
        for n in 3..20 {
            let (first, second) = bodies(n);
            assert!(!stage.sees(0, &first, OLD, 0, n) && stage.sees(0, &second, NEW, 0, n), "{n}");
        }
        assert!(!stage.sees(0, r#"{"n":99,"m":"y"}"#, OLD, 0, 20));
    }

    #[test]
    fn one_exact_match_shows_that_bytes_do_not_differ_and_sixteen_end_the_question() {
        let mut stage = Stage::new(60_000);
        let (one, other) = (r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#);
        assert!(!stage.sees(0, "{}", OLD, 0, 0) && stage.sees(0, "{}", NEW, 0, 0));
        for now in 1..20 {
            assert!(!stage.sees(0, one, OLD, now, now) && !stage.sees(0, other, NEW, now, now));
            stage.window.forget(now + 100_000);
        }
        assert!(stage.window.alike.is_some());
        for n in 0..15 {
            let body = n.to_string();
            assert!(!stage.sees(0, &body, OLD, 0, 30) && stage.sees(0, &body, NEW, 0, 31));
        }
        stage.sees(0, "last", OLD, 0, 40);
        assert!(stage.window.alike.is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let mut stage = Stage::new(u64::MAX);
        for i in 0..MOST_INSTANCES + 1_000 {
            stage.sees(0, &i.to_string(), OLD, 0, 0);
        }
        for instances in [Some(&stage.window.instances), stage.window.alike.as_ref()].into_iter().flatten() {
            assert!(instances.order.len() <= MOST_INSTANCES && instances.by_key.len() <= MOST_INSTANCES);
        }
    }
}

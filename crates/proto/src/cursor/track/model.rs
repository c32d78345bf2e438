//! A stream that is consumed by one process after another: whatever the server does with the position itself, nothing is lost and
//! nothing comes twice.

use std::collections::HashMap;

use crate::{Cursor, Random, SplitMix};

use super::Track;

const EVENTS: u64 = 60;

/// What the server has: each event's position, in order, and whether anybody wants it.
struct Stream(Vec<(u64, bool)>);

impl Stream {
    fn new(random: &mut SplitMix) -> Self {
        let sharing = random.up_to(3);
        let mut position = 1;
        Self(
            (0..EVENTS)
                .map(|_| {
                    position += u64::from(random.up_to(3) >= sharing);
                    (position, random.up_to(5) > 0)
                })
                .collect(),
        )
    }

    /// Every tenth event is the same as the one before, where they share a position.
    fn identity(&self, event: usize) -> u64 {
        let is_twin = event % 10 == 9 && self.0[event - 1] == self.0[event];
        (event - usize::from(is_twin)) as u64
    }

    /// How many are published if so many are, or the rest of the last position as well: while no two events were seen to share
    /// one, nobody can know that a server which leaves out the position itself has more there.
    fn end_of(&self, published: usize, may_split: bool) -> usize {
        let published = published.min(self.0.len());
        let Some((last, _)) = published.checked_sub(1).map(|last| self.0[last]) else { return 0 };
        if may_split { published } else { self.0.partition_point(|(position, _)| *position <= last) }
    }

    /// The events from `position` on, of those published so far.
    fn since(&self, position: u64, is_inclusive: bool, published: usize) -> impl Iterator<Item = usize> {
        let is_due = move |at: u64| at > position || is_inclusive && at == position;
        (0..published).filter(move |event| is_due(self.0[*event].0)).collect::<Vec<_>>().into_iter()
    }
}

/// From where the rules resume.
fn resume_at(cursor: &Cursor, knows_inclusive: bool) -> u64 {
    let is_before = cursor.is_shared && !knows_inclusive;
    cursor.before.as_ref().filter(|_| is_before).unwrap_or(&cursor.position).parse().unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice_whatever_the_server_does_with_the_position_itself() {
    let (mut processes, mut resumed_before, mut unsaved) = (0, 0, 0);
    for seed in 0..6_000 {
        let mut random = SplitMix::new(seed);
        let stream = Stream::new(&mut random);
        let is_inclusive = random.up_to(1) == 0;
        let knows_inclusive = is_inclusive && random.up_to(1) == 0;
        let mut acknowledged: HashMap<usize, u32> = HashMap::new();
        let mut saved: Option<Cursor> = None;
        let mut published = 0;
        loop {
            processes += 1;
            // One process: it resumes, is told of what is published meanwhile, acknowledges late, and ends somewhere.
            let is_last = processes % 7 == 0;
            let mut track = Track::new(saved.as_ref());
            let start = saved.as_ref().map_or(0, |cursor| resume_at(cursor, knows_inclusive));
            resumed_before +=
                u32::from(saved.as_ref().is_some_and(|cursor| cursor.position != start.to_string()));
            track.connecting(&start.to_string());
            // As whoever is told of a change does.
            saved = track.cursor();
            // As the rules do: what was seen is dropped as often as it was.
            let mut seen = saved.clone().unwrap_or_default().seen;
            published = if is_last { EVENTS as usize } else { published + random.up_to(9) as usize };
            let is_sharing_known = saved.as_ref().is_some_and(|cursor| cursor.is_shared);
            published = stream.end_of(published, is_inclusive || is_sharing_known);
            let mut delivered = Vec::new();
            for event in stream.since(start, is_inclusive, published) {
                let (position, is_wanted) = stream.0[event];
                let position = position.to_string();
                let identity = stream.identity(event);
                if let Some(at) = seen.iter().position(|seen| *seen == identity) {
                    seen.swap_remove(at);
                    continue;
                }
                let has_changed = if is_wanted {
                    delivered.push(event);
                    track.arrived(delivered.len() as u64, Some(&position), identity, identity)
                } else {
                    track.passed(Some(&position), identity, identity)
                };
                if has_changed {
                    saved = track.cursor();
                }
            }
            let mut acked = 0;
            while acked < delivered.len() && (is_last || random.up_to(3) > 0) {
                let next = acked + 1 + random.up_to((delivered.len() - acked - 1) as u64) as usize;
                delivered[acked..next].iter().for_each(|event| *acknowledged.entry(*event).or_default() += 1);
                acked = next;
                assert!(track.acked(acked as u64), "seed {seed}");
                saved = track.cursor();
            }
            unsaved += delivered.len() - acked;
            if is_last {
                break;
            }
        }
        for (event, (_, is_wanted)) in stream.0.iter().enumerate() {
            let times = acknowledged.get(&event).copied().unwrap_or(0);
            assert_eq!(
                times,
                u32::from(*is_wanted),
                "seed {seed}: event {event} was acknowledged {times} times"
            );
        }
    }
    assert!(
        processes > 12_000 && resumed_before > 1_000 && unsaved > 10_000,
        "{processes} {resumed_before} {unsaved}"
    );
}

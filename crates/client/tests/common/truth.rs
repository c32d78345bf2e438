//! What the simulator knows, held against what the client told.

use std::collections::HashMap;
use std::fmt;

use genesys_notifications_client::{Certainty, Gap};
use genesys_notifications_sim::DeliveryState;

use super::{Event, TOPIC, World};

/// The two sides read their clocks one after the other and round to milliseconds, and a heartbeat may be what arrived last,
/// whose way to the client nobody measures.
const GRAIN_MS: u64 = 5;

/// What became of the events of [`World::publish`], numbered from 1.
#[derive(Debug, Default)]
pub struct Verdict {
    pub published: u64,
    pub lost: u64,
    /// Lost events outside of every gap: number, time, how far outside, what the simulator says.
    pub silent: Vec<(u64, u64, u64, String)>,
    /// Events that came more than once and were not flagged: number and times.
    pub twice: Vec<(u64, u32)>,
    pub gaps: Vec<Gap>,
    /// Time in which some gap lay over the topic.
    pub gap_ms: u64,
    /// The same of gaps that are certain.
    pub certain_ms: u64,
    /// Time in which no open, healthy socket on a live, subscribed channel existed, as the fates of the events show.
    pub outage_ms: u64,
    /// The same, one by one: from the last event written to the next.
    pub outages: Vec<(u64, u64)>,
    pub most_off: u64,
}

impl Verdict {
    /// Nothing lost silently, nothing twice.
    pub fn is_kept(&self) -> bool {
        self.silent.is_empty() && self.twice.is_empty()
    }

    /// Nothing lost, nothing twice, no gap.
    pub fn is_perfect(&self) -> bool {
        self.is_kept() && self.lost == 0 && self.gaps.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, {} lost inside {} gaps of {} ms ({} ms certain), true outage {} ms, at most {} ms off, {} silent, {} twice",
            self.published,
            self.lost,
            self.gaps.len(),
            self.gap_ms,
            self.certain_ms,
            self.outage_ms,
            self.most_off,
            self.silent.len(),
            self.twice.len()
        )
    }
}

/// Judges what was told about the first `published` events.
pub fn judge(world: &World, published: u64) -> Verdict {
    let mut seen = Seen::default();
    seen.add(world.observer.events());
    judge_seen(world, published, &seen, world.observer.gaps())
}

/// Live events that were told: how often, and when they were received.
#[derive(Default)]
pub struct Seen(HashMap<u64, (u32, u64)>);

impl Seen {
    pub fn add<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events.into_iter().filter(|event| event.origin == 0) {
            let seen = self.0.entry(event.n()).or_insert((0, event.received_at));
            // What is delivered again is said to be.
            seen.0 = if event.redelivered { seen.0.max(1) } else { seen.0 + 1 };
        }
    }
}

/// The same, of events that several clients were told of one after the other. The outage is measured by whatever was
/// published, so that it ends where the gaps do.
pub fn judge_seen(world: &World, published: u64, seen: &Seen, gaps: Vec<Gap>) -> Verdict {
    let certain = gaps.iter().filter(|gap| gap.certainty == Certainty::Certain);
    let (gap_ms, certain_ms) = (union_ms(&gaps), union_ms(certain));
    let mut verdict = Verdict { published, gap_ms, certain_ms, ..Verdict::default() };
    let log = world.sim.log();
    let mut last_written = None;
    let mut is_out = false;
    let mut heard_at = 0;
    for (event, n) in log.events.iter().filter(|event| event.topic == TOPIC).zip(1..) {
        let is_written = event.deliveries.iter().any(|delivery| delivery.state == DeliveryState::Written);
        if is_written {
            if is_out && let Some(before) = last_written {
                verdict.outage_ms += event.at - before;
                verdict.outages.push((before, event.at));
            }
            last_written = Some(event.at);
        }
        is_out = !is_written;
        if let Some((_, received_at)) = seen.0.get(&n) {
            heard_at = heard_at.max(*received_at);
            continue;
        }
        if n > published {
            continue;
        }
        verdict.lost += 1;
        // A stream keeps its order: by the client's clock this could not have come before those that were sent before it,
        // however long they were on their way.
        let due = event.at.max(heard_at);
        let off = gaps.iter().map(|gap| {
            let before = gap.from.saturating_sub(due);
            before.max(event.at.saturating_sub(gap.to.unwrap_or(u64::MAX)))
        });
        let off = off.min().unwrap_or(u64::MAX);
        verdict.most_off = verdict.most_off.max(off);
        if off > GRAIN_MS {
            verdict.silent.push((n, event.at, off, format!("{:?}", event.deliveries)));
        }
    }
    let twice = seen.0.iter().filter(|(n, (times, _))| **n <= published && *times > 1);
    verdict.twice = twice.map(|(n, (times, _))| (*n, *times)).collect();
    verdict.gaps = gaps;
    verdict
}

/// Milliseconds that lie in at least one gap.
fn union_ms<'a>(gaps: impl IntoIterator<Item = &'a Gap>) -> u64 {
    let mut spans: Vec<(u64, u64)> =
        gaps.into_iter().map(|gap| (gap.from, gap.to.unwrap_or(gap.from))).collect();
    spans.sort_unstable();
    let (mut total, mut until) = (0, 0);
    for (from, to) in spans {
        total += to.saturating_sub(from.max(until));
        until = until.max(to);
    }
    total
}

/// Longer runs and other seeds are asked for in the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

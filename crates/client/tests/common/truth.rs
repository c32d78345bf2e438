//! What the simulator knows, held against what the client told.

use std::collections::HashMap;
use std::fmt;

use genesys_notifications_client::Gap;
use genesys_notifications_sim::DeliveryState;

use super::{Event, TOPIC, World};

/// An event may be lost while the last frame that arrived was still on its way, so by the service's clock a gap may seem to
/// begin as much late as that frame took, which on a busy machine is long, and this much more.
const TRANSIT_MS: u64 = 20;

/// A service that takes longer to write an event is not healthy.
const HELD_UP_MS: u64 = 100;

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
            "{} published, {} lost inside {} gaps of {} ms, true outage {} ms, at most {} ms off, {} silent, {} twice",
            self.published,
            self.lost,
            self.gaps.len(),
            self.gap_ms,
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
    let mut verdict = Verdict { published, gap_ms: union_ms(&gaps), ..Verdict::default() };
    let log = world.sim.log();
    let mut last_written = None;
    let mut is_out = false;
    let mut lag = 0;
    for (event, n) in log.events.iter().filter(|event| event.topic == TOPIC).zip(1..) {
        // What is written late was held up by a service that was as good as gone.
        let is_prompt = |at: u64| at.saturating_sub(event.at) < HELD_UP_MS;
        let is_written = event
            .deliveries
            .iter()
            .any(|delivery| delivery.state == DeliveryState::Written && delivery.at.is_some_and(is_prompt));
        if is_written {
            if is_out && let Some(before) = last_written {
                verdict.outage_ms += event.at - before;
                verdict.outages.push((before, event.at));
            }
            last_written = Some(event.at);
        }
        is_out = !is_written;
        if let Some((_, received_at)) = seen.0.get(&n) {
            lag = received_at.saturating_sub(event.at);
            continue;
        }
        if n > published {
            continue;
        }
        verdict.lost += 1;
        let off = gaps.iter().map(|gap| {
            let before = gap.from.saturating_sub(event.at);
            before.max(event.at.saturating_sub(gap.to.unwrap_or(u64::MAX)))
        });
        let off = off.min().unwrap_or(u64::MAX);
        verdict.most_off = verdict.most_off.max(off);
        if off > TRANSIT_MS + lag {
            verdict.silent.push((n, event.at, off, format!("{:?}", event.deliveries)));
        }
    }
    let twice = seen.0.iter().filter(|(n, (times, _))| **n <= published && *times > 1);
    verdict.twice = twice.map(|(n, (times, _))| (*n, *times)).collect();
    verdict.gaps = gaps;
    verdict
}

/// Milliseconds that lie in at least one gap.
fn union_ms(gaps: &[Gap]) -> u64 {
    let mut spans: Vec<(u64, u64)> = gaps.iter().map(|gap| (gap.from, gap.to.unwrap_or(gap.from))).collect();
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

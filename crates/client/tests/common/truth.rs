//! What the simulator knows, held against what the client told.

use std::collections::HashMap;
use std::fmt;

use genesys_notifications_client::Gap;
use genesys_notifications_sim::DeliveryState;

use super::{TOPIC, World};

/// An event may be lost while the last frame that arrived was still on its way, so a gap may seem to begin this much late
/// by the service's clock. On a busy machine a frame takes a few milliseconds from one thread to the other.
const TRANSIT_MS: u64 = 20;

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
    let mut times: HashMap<u64, u32> = HashMap::new();
    for event in world.observer.events().iter().filter(|event| !event.redelivered && event.origin == 0) {
        *times.entry(event.n()).or_default() += 1;
    }
    judge_times(world, published, &times, world.observer.gaps())
}

/// The same, of events that several clients were told of one after the other.
pub fn judge_times(world: &World, published: u64, times: &HashMap<u64, u32>, gaps: Vec<Gap>) -> Verdict {
    let mut verdict = Verdict { published, gap_ms: union_ms(&gaps), ..Verdict::default() };
    let log = world.sim.log();
    let mut last_written = None;
    let mut is_out = false;
    for (event, n) in log.events.iter().filter(|event| event.topic == TOPIC).zip(1..=published) {
        let is_written = event.deliveries.iter().any(|delivery| delivery.state == DeliveryState::Written);
        if is_written {
            if is_out && let Some(before) = last_written {
                verdict.outage_ms += event.at - before;
            }
            last_written = Some(event.at);
        }
        is_out = !is_written;
        if times.contains_key(&n) {
            continue;
        }
        verdict.lost += 1;
        let off = gaps.iter().map(|gap| {
            let before = gap.from.saturating_sub(event.at);
            before.max(event.at.saturating_sub(gap.to.unwrap_or(u64::MAX)))
        });
        let off = off.min().unwrap_or(u64::MAX);
        verdict.most_off = verdict.most_off.max(off);
        if off > TRANSIT_MS {
            verdict.silent.push((n, event.at, off, format!("{:?}", event.deliveries)));
        }
    }
    verdict.twice = times.iter().filter(|(_, times)| **times > 1).map(|(n, times)| (*n, *times)).collect();
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

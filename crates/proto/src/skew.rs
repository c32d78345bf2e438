//! How far apart copies of an event arrive: a histogram of fixed size.

use crate::machine::SkewStats;

/// Exact below this many milliseconds; above, within a thirty-second.
const EXACT: u64 = 64;
/// Buckets for each doubling above.
const STEPS: usize = 32;
/// Up to about an hour.
const BUCKETS: usize = EXACT as usize + 16 * STEPS;
/// Once this many are counted, all counts are halved: what was measured long ago fades.
const MOST: u64 = 1 << 16;

/// Times between the two sightings of an event.
#[derive(Debug)]
pub(crate) struct Skew {
    counts: Vec<u32>,
    counted: u64,
    max_ms: u64,
    pairs: u64,
    /// The 99.9th percentile, kept up to date because every sighting asks for it.
    usual_ms: u64,
}

impl Default for Skew {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], counted: 0, max_ms: 0, pairs: 0, usual_ms: 0 }
    }
}

impl Skew {
    pub(crate) fn measured(&mut self, ms: u64) {
        self.counts[bucket(ms)] += 1;
        self.counted += 1;
        self.pairs += 1;
        self.max_ms = self.max_ms.max(ms);
        if self.counted >= MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.counted = self.counts.iter().map(|count| u64::from(*count)).sum();
        }
        if ms > self.usual_ms || self.pairs.is_multiple_of(256) {
            self.usual_ms = self.percentile(999);
        }
    }

    /// Of a thousand copies, 999 came within this.
    pub(crate) fn usual_ms(&self) -> u64 {
        self.usual_ms
    }

    pub(crate) fn stats(&self) -> Option<SkewStats> {
        (self.pairs > 0).then(|| SkewStats {
            p50_ms: self.percentile(500),
            p99_ms: self.percentile(990),
            p999_ms: self.percentile(999),
            max_ms: self.max_ms,
            pairs: self.pairs,
        })
    }

    fn percentile(&self, per_mille: u64) -> u64 {
        let rank = (self.counted * per_mille).div_ceil(1_000);
        let mut below = 0;
        let reaches = |count: &u32| {
            below += u64::from(*count);
            below >= rank
        };
        self.counts.iter().position(reaches).map_or(0, longest_in).min(self.max_ms)
    }
}

fn bucket(ms: u64) -> usize {
    if ms < EXACT {
        return ms as usize;
    }
    let doubling = ms.ilog2() as usize - EXACT.ilog2() as usize;
    let step = (ms >> (doubling + 1)) as usize - STEPS;
    (EXACT as usize + doubling * STEPS + step).min(BUCKETS - 1)
}

/// The longest time that falls into a bucket.
fn longest_in(bucket: usize) -> u64 {
    if bucket < EXACT as usize {
        return bucket as u64;
    }
    let (doubling, step) = ((bucket - EXACT as usize) / STEPS, (bucket - EXACT as usize) % STEPS);
    (((STEPS + step + 1) as u64) << (doubling + 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket_and_buckets_are_narrow() {
        for ms in (0..5_000).chain((5_000..2_000_000).step_by(997)) {
            let longest = longest_in(bucket(ms));
            assert!(ms <= longest && longest - ms <= ms / 16, "{ms} {longest}");
            assert!(bucket(ms) == 0 || longest_in(bucket(ms) - 1) < ms, "{ms}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_measured() {
        let mut skew = Skew::default();
        assert_eq!(skew.stats(), None);
        for ms in 1..=1_000 {
            skew.measured(ms);
        }
        let stats = skew.stats().expect("there were pairs");
        assert!((500..=516).contains(&stats.p50_ms), "{stats:?}");
        assert!((990..=1_000).contains(&stats.p99_ms) && (999..=1_000).contains(&stats.p999_ms), "{stats:?}");
        assert_eq!((stats.max_ms, stats.pairs), (1_000, 1_000));
        assert_eq!(skew.usual_ms(), stats.p999_ms);
    }

    #[test]
    fn what_was_measured_long_ago_fades_and_counts_do_not_overflow() {
        let mut skew = Skew::default();
        (0..1_000).for_each(|_| skew.measured(10_000));
        (0..3_000_000).for_each(|_| skew.measured(5));
        let stats = skew.stats().expect("there were pairs");
        assert_eq!((stats.p999_ms, stats.max_ms, stats.pairs), (5, 10_000, 3_001_000));
        assert_eq!(skew.usual_ms(), 5);
        skew.measured(u64::MAX);
        assert!(skew.counted < MOST + 1);
    }
}

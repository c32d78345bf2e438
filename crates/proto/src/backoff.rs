//! Waits between attempts: exponential, full jitter (P6).

use crate::config::BackoffConfig;
use crate::random::Random;

/// The first retry after a healthy period comes within this.
const FIRST_WITHIN_MS: u64 = 250;

/// Attempts since the last healthy period, and when the next may start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retry {
    pub(crate) attempt: u32,
    pub(crate) at: u64,
}

impl Retry {
    /// One more attempt failed: the next waits a random part of a bound that doubles.
    pub(crate) fn again(
        &mut self,
        config: &BackoffConfig,
        suspended: bool,
        now: u64,
        random: &mut dyn Random,
    ) {
        let cap = if suspended { config.suspended_max_ms } else { config.max_ms };
        let bound = match self.attempt {
            0 => config.initial_ms.min(FIRST_WITHIN_MS),
            n => config.initial_ms.saturating_mul(1 << n.min(32)).min(cap),
        };
        self.attempt = self.attempt.saturating_add(1);
        self.at = now + 1 + random.up_to(bound.saturating_sub(1));
    }

    /// Health was proven, or the attempts belong to the past.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    fn waits(suspended: bool) -> Vec<u64> {
        let (config, mut random) = (BackoffConfig::default(), SplitMix::new(7));
        let mut retry = Retry::default();
        (0..200)
            .map(|_| {
                retry.again(&config, suspended, 1_000, &mut random);
                retry.at - 1_000
            })
            .collect()
    }

    #[test]
    fn the_first_retry_comes_within_a_quarter_second() {
        for seed in 0..100 {
            let mut retry = Retry::default();
            retry.again(&BackoffConfig::default(), false, 0, &mut SplitMix::new(seed));
            assert!((1..=250).contains(&retry.at));
        }
    }

    #[test]
    fn waits_are_spread_and_capped() {
        let waits = waits(false);
        assert!(waits[1] <= 1_000 && waits[2] <= 2_000 && waits[3] <= 4_000);
        assert!(waits.iter().all(|wait| *wait <= 30_000));
        assert!(
            waits[20..].iter().any(|wait| *wait < 5_000) && waits[20..].iter().any(|wait| *wait > 25_000)
        );
    }

    #[test]
    fn a_suspended_client_waits_longer() {
        assert!(waits(true).iter().any(|wait| *wait > 30_000));
    }

    #[test]
    fn it_never_gives_up_counting() {
        let mut retry = Retry { attempt: u32::MAX, at: 0 };
        retry.again(&BackoffConfig::default(), false, 0, &mut SplitMix::new(1));
        assert_eq!(retry.attempt, u32::MAX);
    }
}

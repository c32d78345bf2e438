//! One governor for every client of a process: channel creations and REST calls (P6).

/// How much the process may ask of the service.
#[derive(Clone, Debug)]
pub struct GovernorConfig {
    /// Channel creations at once. Default 20: a full client's channels.
    pub channel_burst: u32,
    /// One more creation after this long. Default 1,000 ms; a test script of Genesys' own hints at a limit of 65 a minute.
    pub channel_interval_ms: u64,
    /// REST calls at once. Default 60.
    pub rest_burst: u32,
    /// One more call after this long. Default 250 ms: with the burst, never over the 300 a minute that a token may make.
    pub rest_interval_ms: u64,
}

impl Default for GovernorConfig {
    fn default() -> Self {
        Self { channel_burst: 20, channel_interval_ms: 1_000, rest_burst: 60, rest_interval_ms: 250 }
    }
}

/// Hands out permits. Pure: the caller brings the time.
#[derive(Debug)]
pub struct Governor {
    channels: Bucket,
    rest: Bucket,
    /// How far ahead of `call` the bucket must be for `call_spare`.
    reserve_ms: u64,
}

impl Governor {
    /// With every permit of its bursts at hand.
    pub fn new(config: GovernorConfig) -> Self {
        Self {
            reserve_ms: config.rest_interval_ms.saturating_mul(u64::from(config.rest_burst.div_ceil(5))),
            channels: Bucket::new(config.channel_burst, config.channel_interval_ms),
            rest: Bucket::new(config.rest_burst, config.rest_interval_ms),
        }
    }

    /// Takes the permits for creating one channel, or says when to ask again.
    ///
    /// # Errors
    /// The time, in `Now::mono`, at which both permits will be there.
    pub fn create_channel(&mut self, now: u64) -> Result<(), u64> {
        match self.channels.ready_at(now).max(self.rest.ready_at(now)) {
            at if at > now => Err(at),
            _ => {
                self.channels.take(now);
                self.rest.take(now);
                Ok(())
            }
        }
    }

    /// Takes the permit for one REST call, or says when to ask again.
    ///
    /// # Errors
    /// The time, in `Now::mono`, at which the permit will be there.
    pub fn call(&mut self, now: u64) -> Result<(), u64> {
        match self.rest.ready_at(now) {
            at if at > now => Err(at),
            _ => {
                self.rest.take(now);
                Ok(())
            }
        }
    }

    /// Takes the permit for one REST call that can wait, or says when to ask again. A fifth of the burst is always left
    /// to the calls that carry events.
    ///
    /// # Errors
    /// The time, in `Now::mono`, at which the permit will be there if nobody else takes one.
    pub fn call_spare(&mut self, now: u64) -> Result<(), u64> {
        match self.rest.spare_at(now, self.reserve_ms) {
            at if at > now => Err(at),
            _ => {
                self.rest.take(now);
                Ok(())
            }
        }
    }
}

/// A leaky bucket as one number: the time at which it will be empty.
#[derive(Debug)]
struct Bucket {
    interval: u64,
    tolerance: u64,
    empty_at: u64,
}

impl Bucket {
    fn new(burst: u32, interval: u64) -> Self {
        Self { interval, tolerance: interval.saturating_mul(u64::from(burst.saturating_sub(1))), empty_at: 0 }
    }

    fn ready_at(&self, now: u64) -> u64 {
        self.empty_at.saturating_sub(self.tolerance).max(now)
    }

    /// When a permit is there and so much of the burst will be left; a burst of one has nothing to leave.
    fn spare_at(&self, now: u64, reserve: u64) -> u64 {
        self.empty_at.saturating_sub(self.tolerance.saturating_sub(reserve)).max(now)
    }

    fn take(&mut self, now: u64) {
        self.empty_at = self.empty_at.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_twenty_channels_then_one_per_second() {
        let mut governor = Governor::new(GovernorConfig::default());
        for _ in 0..20 {
            assert_eq!(governor.create_channel(1_000), Ok(()));
        }
        assert_eq!(governor.create_channel(1_000), Err(2_000));
        assert_eq!(governor.create_channel(1_999), Err(2_000));
        assert_eq!(governor.create_channel(2_000), Ok(()));
        assert_eq!(governor.create_channel(2_000), Err(3_000));
    }

    #[test]
    fn a_call_that_can_wait_leaves_a_fifth_of_the_burst_to_others() {
        let mut governor = Governor::new(GovernorConfig::default());
        let spare = (0..100).filter(|_| governor.call_spare(1_000).is_ok()).count();
        let others = (0..100).filter(|_| governor.call(1_000).is_ok()).count();
        assert_eq!((spare, others), (48, 12));
        let Err(at) = governor.call_spare(1_000) else { panic!() };
        assert_eq!((governor.call_spare(at - 1), governor.call_spare(at)), (Err(at), Ok(())));
    }

    #[test]
    fn a_burst_of_one_lets_those_who_can_wait_in_too() {
        let config = GovernorConfig { rest_burst: 1, ..GovernorConfig::default() };
        assert_eq!(Governor::new(config).call_spare(0), Ok(()));
    }

    #[test]
    fn never_more_than_300_calls_in_any_minute() {
        let mut governor = Governor::new(GovernorConfig::default());
        let mut granted = Vec::new();
        for now in 0..180_000 {
            while governor.call(now).is_ok() {
                granted.push(now);
            }
        }
        for window in granted.windows(301) {
            assert!(window[300] - window[0] >= 60_000 - 250);
        }
    }
}

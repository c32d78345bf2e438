//! Waits that the service asked for: floors that outlive the attempt that learned them (P6).

use crate::io::Outcome;
use crate::random::Random;

/// No wait is believed beyond this; some limits of the service are daily.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1_000;

/// Which door of the service a wait stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Login,
    Api,
    Streaming,
    /// Of the cursor, which asks for no waits.
    Store,
}

impl Door {
    pub(crate) fn of_outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Token(_) => Self::Login,
            Outcome::Channel(_) | Outcome::Subscriptions(_) | Outcome::Channels(_) | Outcome::Listed(_) => {
                Self::Api
            }
            Outcome::Socket(_) => Self::Streaming,
            Outcome::Cursor(_) => Self::Store,
        }
    }
}

/// When each door opens again.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    floors: [u64; 4],
}

impl Throttle {
    /// The service said `Retry-After`. Jitter is added on top: a fleet that waits exactly returns as one.
    pub(crate) fn retry_after(&mut self, door: Door, now: u64, wait_ms: u64, random: &mut dyn Random) {
        let wait = wait_ms.min(LONGEST_MS);
        let jitter = random.up_to((wait / 4).max(1_000));
        self.raise(door, now + wait + jitter);
    }

    /// The window's requests are used up.
    pub(crate) fn used_up(&mut self, now: u64, reset_ms: u64, random: &mut dyn Random) {
        self.raise(Door::Api, now + reset_ms.min(LONGEST_MS) + random.up_to(1_000));
    }

    /// When the door is open; in the past if it is.
    pub(crate) fn opens_at(&self, door: Door) -> u64 {
        self.floors[door as usize]
    }

    fn raise(&mut self, door: Door, at: u64) {
        let floor = &mut self.floors[door as usize];
        *floor = (*floor).max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    #[test]
    fn a_floor_is_never_lowered_and_stands_before_its_own_door_only() {
        let (mut throttle, mut random) = (Throttle::default(), SplitMix::new(1));
        throttle.retry_after(Door::Api, 1_000, 10_000, &mut random);
        let floor = throttle.opens_at(Door::Api);
        assert!((11_000..=13_500).contains(&floor), "{floor}");
        throttle.retry_after(Door::Api, 1_000, 1, &mut random);
        assert_eq!(throttle.opens_at(Door::Api), floor);
        assert_eq!(throttle.opens_at(Door::Login), 0);
    }

    #[test]
    fn an_endless_wait_is_cut_to_a_day() {
        let (mut throttle, mut random) = (Throttle::default(), SplitMix::new(1));
        throttle.retry_after(Door::Login, 0, u64::MAX, &mut random);
        assert!(throttle.opens_at(Door::Login) <= LONGEST_MS * 5 / 4);
    }
}

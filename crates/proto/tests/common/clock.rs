//! Time as the world has it, and as the machine is told.

use genesys_notifications_proto::Now;

/// The wall clock at the world's beginning.
pub(crate) const EPOCH: u64 = 1_700_000_000_000;

/// Both clocks of the machine, derived from the world's own time.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Milliseconds since the world began; the service lives by it.
    pub(crate) truth: u64,
    /// Time that the monotonic clock did not count: the computer was suspended.
    asleep: u64,
    /// How far the wall clock was set forward.
    stepped: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { truth: 1_000, asleep: 0, stepped: 0 }
    }

    pub(crate) fn now(&self) -> Now {
        Now { mono: self.truth - self.asleep, wall: self.wall(self.truth) }
    }

    pub(crate) fn wall(&self, truth: u64) -> u64 {
        EPOCH + truth + self.stepped
    }

    pub(crate) fn truth_of(&self, mono: u64) -> u64 {
        mono + self.asleep
    }

    pub(crate) fn sleep(&mut self, ms: u64) {
        self.asleep += ms;
    }

    pub(crate) fn step_wall(&mut self, ms: u64) {
        self.stepped += ms;
    }
}

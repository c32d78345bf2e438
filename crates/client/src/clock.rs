//! The two clocks, read together.

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use genesys_notifications_proto::Now;
use tokio::time::Instant;

/// Where a client reads the time. Clients that share a governor must share the origin of `mono`.
pub trait Clock: Send + Sync {
    /// Both clocks at one instant.
    fn now(&self) -> Now;
}

/// The system's clocks; `mono` counts from the first reading in this process.
///
/// The wall clock is read anew each time, so that a jump (suspend, pause of the machine, set clock) shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(Instant::now);
        Now { mono: millis(Instant::now().saturating_duration_since(origin)), wall: wall_ms() }
    }
}

fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

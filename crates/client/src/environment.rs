//! What a client shares with its process, or what a test puts in its place.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, LazyLock, Mutex};

use genesys_notifications_proto::{Governor, GovernorConfig};

use crate::clock::{Clock, SystemClock};

/// One governor per process (P6): channel creations and REST calls of all clients pass it.
static GOVERNOR: LazyLock<Arc<Mutex<Governor>>> =
    LazyLock::new(|| Arc::new(Mutex::new(Governor::new(GovernorConfig::default()))));

/// Governor, clock and randomness of a client. The default is the process's own.
#[derive(Clone)]
pub struct Environment {
    pub(crate) governor: Arc<Mutex<Governor>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
}

impl Default for Environment {
    fn default() -> Self {
        Self { governor: GOVERNOR.clone(), clock: Arc::new(SystemClock), seed: seed() }
    }
}

impl Environment {
    /// A governor of its own, so that tests in one process do not slow each other down.
    #[must_use]
    pub fn with_governor(mut self, governor: Arc<Mutex<Governor>>) -> Self {
        self.governor = governor;
        self
    }

    /// Another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Jitter that repeats.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// From the system's randomness, by way of the keys of std's hash maps: enough for jitter, not for secrets.
fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

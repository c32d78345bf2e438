//! The one timer of a client: sleeps until the next deadline, wherever that moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::shared::Shared;

const NEVER: u64 = u64::MAX;

/// No deadline is served more often; a rule that asked for the present again and again would otherwise spin.
const SHORTEST: u64 = 1;

/// The next deadline, as `Now::mono`.
#[derive(Debug)]
pub(crate) struct Timer {
    deadline: AtomicU64,
    /// What the task sleeps for now; an earlier deadline wakes it, a later one does not.
    asleep_until: AtomicU64,
    earlier: Notify,
}

impl Default for Timer {
    fn default() -> Self {
        Self { deadline: AtomicU64::new(NEVER), asleep_until: AtomicU64::new(NEVER), earlier: Notify::new() }
    }
}

impl Timer {
    pub(crate) fn set(&self, deadline: Option<u64>) {
        let deadline = deadline.unwrap_or(NEVER);
        self.deadline.store(deadline, Ordering::SeqCst);
        if deadline < self.asleep_until.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }
}

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let timer = &shared.timer;
    loop {
        let deadline = timer.deadline.load(Ordering::SeqCst);
        timer.asleep_until.store(deadline, Ordering::SeqCst);
        if timer.deadline.load(Ordering::SeqCst) < deadline {
            continue;
        }
        let now = shared.clock.now().mono;
        if deadline == NEVER {
            timer.earlier.notified().await;
        } else if deadline > now {
            let wait = Duration::from_millis((deadline - now).max(SHORTEST));
            tokio::select! {
                () = sleep(wait) => {}
                () = timer.earlier.notified() => {}
            }
        } else {
            shared.turn(|turn| turn.timeout());
            if timer.deadline.load(Ordering::SeqCst) <= shared.clock.now().mono {
                sleep(Duration::from_millis(SHORTEST)).await;
            }
        }
    }
}

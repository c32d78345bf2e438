//! The one timer of a client: sleeps until the next deadline, wherever that moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use genesys_notifications_proto::Now;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::shared::Shared;

const NEVER: u64 = u64::MAX;

/// No deadline is served more often; a rule that asked for the present again and again would otherwise spin.
const SHORTEST: u64 = 1;

/// How often the clocks are compared while nothing else is due: after a suspend the sleep goes on as if nothing had been.
const WATCH: u64 = 5_000;

/// How far apart the two clocks may run between two looks.
const JUMP: u64 = 1_000;

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

fn jumped(before: Now, now: Now) -> bool {
    now.wall.saturating_sub(before.wall) > now.mono.saturating_sub(before.mono) + JUMP
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
        let now = shared.clock.now();
        if deadline > now.mono {
            let wait = Duration::from_millis((deadline - now.mono).clamp(SHORTEST, WATCH));
            tokio::select! {
                () = sleep(wait) => {}
                () = timer.earlier.notified() => {}
            }
            if jumped(now, shared.clock.now()) {
                shared.turn(|turn| turn.look_at_the_clock());
            }
        } else {
            shared.turn(|turn| turn.timeout());
            if timer.deadline.load(Ordering::SeqCst) <= shared.clock.now().mono {
                sleep(Duration::from_millis(SHORTEST)).await;
            }
        }
    }
}

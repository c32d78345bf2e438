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
    /// A deadline of somebody who does not take the core's lock.
    aside: AtomicU64,
    earlier: Notify,
}

impl Default for Timer {
    fn default() -> Self {
        let never = || AtomicU64::new(NEVER);
        Self { deadline: never(), asleep_until: never(), aside: never(), earlier: Notify::new() }
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

impl Timer {
    /// Something is due at `at`, whatever [`Timer::set`] says.
    pub(crate) fn no_later_than(&self, at: u64) {
        self.aside.fetch_min(at, Ordering::SeqCst);
        if at < self.asleep_until.load(Ordering::SeqCst) {
            self.earlier.notify_one();
        }
    }

    fn next(&self) -> u64 {
        self.deadline.load(Ordering::SeqCst).min(self.aside.load(Ordering::SeqCst))
    }
}

fn jumped(before: Now, now: Now) -> bool {
    now.wall.saturating_sub(before.wall) > now.mono.saturating_sub(before.mono) + JUMP
}

/// Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    let timer = &shared.timer;
    loop {
        let deadline = timer.next();
        timer.asleep_until.store(deadline, Ordering::SeqCst);
        if timer.next() < deadline {
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
            shared.mark_if_idle();
        } else {
            // What asked for it is done in this turn.
            timer.aside.store(NEVER, Ordering::SeqCst);
            shared.turn(|turn| turn.timeout());
            if timer.next() <= shared.clock.now().mono {
                sleep(Duration::from_millis(SHORTEST)).await;
            }
        }
    }
}

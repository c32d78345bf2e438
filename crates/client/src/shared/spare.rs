//! What calls need that the machine did not ask for.

use std::future::Future;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use genesys_notifications_proto::{Input, Random as _};
use tokio::time::sleep;

use crate::control::Control;
use crate::http::RateLimit;
use crate::secret::Secret;

use super::Shared;

/// How often a queue that drops is looked at while something waits for room.
const LOOK: Duration = Duration::from_millis(20);

impl Shared {
    /// Tells the caller something.
    pub(crate) fn tell(&self, control: Control) {
        self.delivery.push_control(control);
        self.delivery.ring_if_due();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.core().ended
    }

    /// The token that was got last, if the client has one.
    pub(crate) fn newest_token(&self) -> Option<Secret> {
        self.core().tokens.back().map(|(_, token)| token.clone())
    }

    /// When the service lets the API be called again, as `Now::mono`.
    pub(crate) fn api_opens_at(&self) -> u64 {
        self.core().machine.api_opens_at()
    }

    /// Takes a permit for one call, if there are more than others may need soon; else says when to ask again.
    pub(crate) fn spare_permit(&self, now: u64) -> Result<(), u64> {
        self.governor.lock().unwrap_or_else(PoisonError::into_inner).call_spare(now)
    }

    /// What the headers of an answer said about the rate limit.
    pub(crate) fn tell_rate_limit(self: &Arc<Self>, limit: RateLimit) {
        self.turn(|turn| {
            turn.input(Input::RateLimit { remaining: limit.remaining, reset_ms: limit.reset_ms });
        });
    }

    pub(crate) fn random_up_to(&self, bound: u64) -> u64 {
        self.core().random.up_to(bound)
    }

    /// Whether an event that can wait must wait.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_full() || (self.kept.is_none() && self.delivery.is_crowded())
    }

    /// Waits until an event that can wait may be added.
    pub(crate) async fn spare_room(&self) {
        loop {
            self.room().await;
            if !self.is_crowded() {
                return;
            }
            // A queue that drops tells nobody when it has room.
            sleep(LOOK).await;
        }
    }

    /// Runs something until it ends or the client does; `false` if the client does not run.
    pub(crate) fn spawn_spare(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let mut core = self.core();
        if core.ended {
            return false;
        }
        let Some(runtime) = core.runtime.clone() else { return false };
        core.spare.retain(|task| !task.is_finished());
        let task = runtime.handle().spawn(work).abort_handle();
        core.spare.push(task);
        true
    }
}

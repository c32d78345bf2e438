use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Notify,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    error::{SimError, parse},
    generate,
    state::{State, World},
    topics::Catalogue,
};

/// How often due events are published; between two ticks nothing is lost, only late.
const TICK: Duration = Duration::from_millis(2);
/// The most that one tick makes up for, so that the service stays responsive.
const MOST_AT_ONCE: u64 = 1_000;
/// For those who are sent whatever there is, where nobody asks for anything.
const UNASKED: [&str; 5] = [
    "v2.users.7a1e.presence",
    "v2.users.7a1e.routingStatus",
    "v2.users.7a1e.conversations",
    "v2.routing.queues.51c0.conversations",
    "v2.routing.queues.51c0.users",
];

/// A background stream of generated events.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Traffic {
    /// Events per second over all topics, above 0, at most 100 000. What a busy moment delays is made up for.
    pub rate_per_second: f64,
    /// Full topic names, used at random. Default: whatever is subscribed or asked for, and nothing
    /// while nothing is; but a few topics of users and queues while a gateway connection is sent everything.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    /// Ends by itself after so many events. Default null: until stopped.
    #[serde(default)]
    pub count: Option<u64>,
}

impl Traffic {
    /// Reads traffic from JSON.
    ///
    /// # Errors
    /// [`SimError::Invalid`] naming the path, for example `traffic.ratePerSecond`.
    pub fn from_json(text: &str) -> Result<Self, SimError> {
        let traffic: Self = parse("traffic", text)?;
        traffic.check()?;
        Ok(traffic)
    }

    pub(crate) fn check(&self) -> Result<(), SimError> {
        if !(self.rate_per_second > 0.0 && self.rate_per_second <= 100_000.0) {
            return Err(SimError::invalid("traffic.ratePerSecond", "must be above 0 and at most 100000"));
        }
        if self.topics.as_ref().is_some_and(Vec::is_empty) {
            return Err(SimError::invalid("traffic.topics", "must not be empty"));
        }
        for (i, topic) in self.topics.iter().flatten().enumerate() {
            if Catalogue::shared().find(topic).is_none() {
                return Err(SimError::invalid(format!("traffic.topics[{i}]"), "is no topic of the service"));
            }
        }
        Ok(())
    }
}

/// Publishes until stopped.
pub(crate) async fn run(world: Arc<World>, traffic: Traffic, id: u64, stop: Arc<Notify>) {
    let given = traffic.topics.map(Arc::new);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut began = Instant::now();
    let (mut published, mut base) = (0u64, 0u64);
    while traffic.count.is_none_or(|count| published < count) {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.notified() => break,
            () = world.until_stopped() => break,
        }
        let topics = given.clone().unwrap_or_else(|| world.with(State::heard));
        if topics.is_empty() {
            // Time without a listener is not made up for.
            (began, base) = (Instant::now(), published);
            continue;
        }
        let due = base + (began.elapsed().as_secs_f64() * traffic.rate_per_second) as u64;
        let due = due.min(traffic.count.unwrap_or(u64::MAX)).min(published + MOST_AT_ONCE);
        while published < due {
            // Whoever stopped it counts on the last event being the last, also in the middle of a burst.
            let goes_on = world.with(|state| {
                let goes_on = state.traffic.contains_key(&id);
                if goes_on {
                    state.publish_generated(&topics);
                }
                goes_on
            });
            if !goes_on {
                return;
            }
            published += 1;
        }
    }
    world.with(|state| state.traffic.remove(&id));
}

impl State {
    fn publish_generated(&mut self, topics: &[String]) {
        let topic = &topics[self.bodies.index(topics.len())];
        let seed = self.bodies.next();
        let told = self.told(self.now);
        let body = generate::body(topic, seed, told);
        // A gateway may have topics that the service has not.
        let body = body.unwrap_or_else(|| json!({ "id": self.ids.uuid() }).to_string());
        self.publish(topic, &body);
    }

    /// Topics that somebody listens to.
    fn heard(&mut self) -> Arc<Vec<String>> {
        let heard = self.channels.heard();
        let (asked, sends_all) = self.gateway_topics();
        if asked.is_empty() && (!sends_all || !heard.is_empty()) {
            return heard;
        }
        let mut topics: Vec<_> = heard.iter().cloned().chain(asked).collect();
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() {
            topics.extend(UNASKED.map(str::to_owned));
        }
        Arc::new(topics)
    }
}

//! A client in front of a simulator, and a patient observer of what it says.
// Every test file uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod gateway;
pub mod proxy;
pub mod recipe;
pub mod truth;

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use genesys_notifications_client::{
    Batch, Bell, Client, ClientState, Control, Environment, Gap, Governor, GovernorConfig, Notice, Options,
    TopicState, TopicStatus,
};
use genesys_notifications_sim::{Rule, SimOptions, Simulator};

pub const TOPIC: &str = "v2.users.00000000-0000-4000-8000-000000000001.presence";
pub const OTHER: &str = "v2.users.00000000-0000-4000-8000-000000000002.presence";

/// Events beyond this number are no part of what a test counts.
const LATER: u64 = 1_000_000;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Event {
    pub topic: String,
    pub channel: String,
    pub text: String,
    pub body: Option<String>,
    pub sequence: u64,
    pub received_at: u64,
    /// 0 live, 1 backfill, 2 replay.
    pub origin: u8,
    pub redelivered: bool,
}

impl Event {
    /// The member `n` of the body.
    pub fn n(&self) -> u64 {
        let body: serde_json::Value = serde_json::from_str(self.body.as_deref().unwrap()).unwrap();
        body["n"].as_u64().unwrap()
    }
}

/// In the order in which they were told.
#[derive(Clone, Debug)]
pub enum Told {
    Event(Event),
    Control(Control),
}

#[derive(Default)]
pub struct CountingBell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell for CountingBell {
    fn ring(&self) {
        *self.rings.lock().unwrap() += 1;
        self.rung.notify_all();
    }
}

pub struct World {
    pub sim: Simulator,
    pub observer: Observer,
}

pub struct Observer {
    pub client: Client,
    pub told: Vec<Told>,
    bell: Arc<CountingBell>,
    names: Vec<String>,
    batch: Batch,
    /// Does not take events while set.
    pub is_busy: bool,
}

/// Options with small times; `more` replaces any of them.
pub fn options(urls: &str, credentials: &str, more: &str) -> Options {
    let mut all: serde_json::Value = serde_json::from_str(&format!(
        r#"{{"region":{urls},"credentials":{credentials},"topics":["{TOPIC}"],
            "heartbeat":{{"pingAfterMs":500,"pongTimeoutMs":300,"silenceMs":1000}},
            "backoff":{{"initialMs":20,"maxMs":200,"suspendedMaxMs":400,"healthyMs":60000}},
            "rotation":{{"overlapMs":100}},"network":{{"connectTimeoutMs":3000,"requestTimeoutMs":5000}}}}"#
    ))
    .unwrap();
    let more: serde_json::Value = serde_json::from_str(if more.is_empty() { "{}" } else { more }).unwrap();
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    Options::from_json(&all.to_string()).unwrap()
}

/// A governor of its own and, as there is no service to spare, one that hardly waits.
pub fn environment() -> Environment {
    let config = GovernorConfig {
        channel_burst: 1_000,
        channel_interval_ms: 1,
        rest_burst: 1_000,
        rest_interval_ms: 1,
    };
    Environment::default().with_governor(Arc::new(Mutex::new(Governor::new(config))))
}

impl World {
    /// A client in front of a simulator, not yet connected.
    pub fn new(sim_options: &str, client_options: &str) -> Self {
        Self::in_environment(environment(), sim_options, client_options)
    }

    pub fn in_environment(environment: Environment, sim_options: &str, client_options: &str) -> Self {
        let sim_options = if sim_options.is_empty() { r#"{"heartbeatMs":200}"# } else { sim_options };
        let sim = Simulator::start(SimOptions::from_json(sim_options).unwrap()).unwrap();
        let observer = Observer::new(options(&urls(&sim), &credentials(&sim), client_options), environment);
        Self { sim, observer }
    }

    /// A client in front of a simulator that has seen others, not yet connected.
    pub fn on(sim: Simulator, client_options: &str) -> Self {
        let observer = Observer::new(options(&urls(&sim), &credentials(&sim), client_options), environment());
        Self { sim, observer }
    }

    /// The client ends without a word, as in a crash; what it told is returned.
    pub fn crash(self) -> (Simulator, Vec<Told>) {
        let Self { sim, observer } = self;
        let Observer { client, told, .. } = observer;
        drop(client);
        (sim, told)
    }

    /// The client is closed in good order.
    pub fn close(mut self) -> (Simulator, Vec<Told>) {
        self.observer.client.close();
        self.until("closed", |world| world.observer.is_closed());
        self.crash()
    }

    /// The same, connected.
    pub fn live(sim_options: &str, client_options: &str) -> Self {
        let mut world = Self::new(sim_options, client_options);
        world.observer.client.connect().unwrap();
        world.until("connected", |world| world.observer.client.state() == ClientState::Connected);
        world
    }

    pub fn fault(&self, rule: &str) -> u64 {
        self.sim.fault(Rule::from_json(rule).unwrap()).unwrap()
    }

    /// Publishes a numbered event.
    pub fn publish(&self, n: u64) {
        self.sim.publish(TOPIC, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
    }

    /// Observes until the condition holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        loop {
            self.observer.observe();
            if holds(self) {
                return;
            }
            if begin.elapsed() > PATIENCE {
                let log = self.sim.log();
                panic!(
                    "waited in vain for: {what}\nstate {:?}\nrequests {:#?}\nsockets {:#?}\ngateway {:#?}\ntold {:#?}",
                    self.observer.client.state(),
                    log.requests,
                    log.sockets,
                    log.gateway,
                    self.observer.controls().iter().rev().take(30).collect::<Vec<_>>(),
                );
            }
            self.observer.wait(Duration::from_millis(5));
        }
    }

    /// Publishes until an event arrives; proves that the client is live now.
    pub fn until_events_flow(&mut self) {
        let mut n = LATER;
        let before = self.observer.events().len();
        self.until("an event", |world| {
            n += 1;
            world.publish(n);
            world.observer.events()[before..].iter().any(|event| event.n() > LATER)
        });
    }

    pub fn until_connected(&mut self) {
        self.until("connected", |world| world.observer.client.state() == ClientState::Connected);
    }

    /// Requests of one operation.
    pub fn requests(&self, operation: &str) -> Vec<genesys_notifications_sim::RequestRecord> {
        self.sim.log().requests.into_iter().filter(|request| request.operation == operation).collect()
    }
}

impl Observer {
    pub fn new(options: Options, environment: Environment) -> Self {
        let bell = Arc::new(CountingBell::default());
        let client = Client::with_environment(options, bell.clone(), environment).unwrap();
        Self { client, told: Vec::new(), bell, names: Vec::new(), batch: Batch::default(), is_busy: false }
    }

    pub fn rings(&self) -> u64 {
        *self.bell.rings.lock().unwrap()
    }

    /// Takes everything there is.
    pub fn observe(&mut self) {
        loop {
            let controls = self.client.take_controls();
            let had_controls = !controls.is_empty();
            self.told.extend(controls.into_iter().map(Told::Control));
            if self.is_busy {
                return;
            }
            let more = self.client.drain(&mut self.batch, 64, 1 << 16).events;
            self.names.append(&mut self.batch.names);
            let text: Vec<char> = self.batch.text.iter().map(|byte| char::from(*byte)).collect();
            let cut = |range: Range<usize>| text[range].iter().collect::<String>();
            for row in self.batch.events() {
                self.told.push(Told::Event(Event {
                    topic: self.names[row.topic].clone(),
                    channel: self.names[row.channel].clone(),
                    text: cut(row.text),
                    body: row.body.map(cut),
                    sequence: row.sequence,
                    received_at: row.received_at,
                    origin: row.flags.origin(),
                    redelivered: row.flags.is_redelivered(),
                }));
            }
            if !had_controls && !more && self.batch.is_empty() {
                return;
            }
        }
    }

    /// Observes until the condition holds.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        loop {
            self.observe();
            if holds(self) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "waited in vain for: {what}\n{:#?}", self.controls());
            self.wait(Duration::from_millis(5));
        }
    }

    /// Until the bell rings, or a little while for what does not ring.
    pub fn wait(&self, at_most: Duration) {
        let rings = self.bell.rings.lock().unwrap();
        let _ = self.bell.rung.wait_timeout(rings, at_most).unwrap();
    }

    pub fn events(&self) -> Vec<&Event> {
        self.told
            .iter()
            .filter_map(|told| if let Told::Event(event) = told { Some(event) } else { None })
            .collect()
    }

    pub fn controls(&self) -> Vec<&Control> {
        self.told
            .iter()
            .filter_map(|told| if let Told::Control(control) = told { Some(control) } else { None })
            .collect()
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.controls().last(), Some(Control::Closed))
    }

    /// Gaps as last told, by id.
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        for control in self.controls() {
            if let Control::Notice(Notice::Gap(gap)) = control {
                gaps.retain(|known| known.id != gap.id);
                gaps.push(gap.clone());
            }
        }
        gaps
    }

    pub fn errors(&self) -> Vec<String> {
        let controls = self.controls();
        let errors = controls.iter().filter_map(|control| match control {
            Control::Notice(Notice::Error(error)) => Some(error.message.clone()),
            _ => None,
        });
        errors.collect()
    }

    pub fn status(&self, topic: &str) -> Option<TopicStatus> {
        self.client.topics().into_iter().find(|status| status.topic == topic)
    }

    pub fn is_subscribed(&self, topic: &str) -> bool {
        self.status(topic).is_some_and(|status| status.state == TopicState::Subscribed)
    }
}

pub fn urls(sim: &Simulator) -> String {
    let urls = sim.urls();
    format!(r#"{{"login":"{}","api":"{}","streaming":"{}"}}"#, urls.login, urls.api, urls.streaming)
}

pub fn credentials(sim: &Simulator) -> String {
    let credentials = sim.credentials();
    format!(
        r#"{{"kind":"clientCredentials","clientId":"{}","clientSecret":"{}"}}"#,
        credentials.client_id, credentials.client_secret
    )
}

//! A client of a gateway endpoint whose connection is killed every second, while tokens live three seconds and 200 events a
//! second are published.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use genesys_notifications_client::{ClientState, Control, Gap, Notice};
use genesys_notifications_sim::{Log, SimOptions, Simulator};

use super::truth::{Seen, Verdict, judge_seen, setting};
use super::{Event, TOPIC, Told, World};

const RATE: u64 = 200;
/// The two sides read their clocks one after the other.
const GRAIN_MS: u64 = 5;
const EVERY: Duration = Duration::from_secs(1);

/// In turn.
const KILLS: [&str; 3] = [
    r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"close","code":1000}}"#,
    r#"{"match":{"operation":"socket"},"action":{"kind":"close"}}"#,
];

/// How long a run takes, in seconds; longer ones are asked for in the environment.
pub fn length() -> Duration {
    Duration::from_secs(setting("RECIPES_SECONDS", 6))
}

pub struct Recipe<'a> {
    /// The simulator's option `gateway`.
    pub gateway: &'a str,
    /// Below the gateway.
    pub path: &'a str,
    /// Members of `endpoint` beside its url.
    pub endpoint: &'a str,
    /// Further options of the client.
    pub client: &'a str,
    /// A fault that is set with each kill, if there is to be one.
    pub outage: Option<&'a str>,
}

pub struct Run<'a> {
    recipe: Recipe<'a>,
    pub world: World,
    pub published: u64,
    pub kills: u64,
    /// What earlier clients were told.
    lives: Vec<Vec<Told>>,
    /// Connections that were killed beside another one.
    beside: usize,
    began: Instant,
    next_kill: Instant,
}

impl<'a> Run<'a> {
    /// A client that is connected.
    pub fn begin(recipe: Recipe<'a>) -> Self {
        let options = format!(r#"{{"tokenLifeMs":3000,"gateway":{}}}"#, recipe.gateway);
        let sim = Simulator::start(SimOptions::from_json(&options).unwrap()).unwrap();
        let world = client(sim, &recipe);
        let now = Instant::now();
        Self {
            recipe,
            world,
            published: 0,
            kills: 0,
            lives: Vec::new(),
            beside: 0,
            began: now,
            next_kill: now + EVERY,
        }
    }

    /// Publishes for so long and has the connection killed; `each` is called again and again.
    pub fn go_on(&mut self, length: Duration, mut each: impl FnMut(&mut World)) {
        let end = Instant::now() + length;
        while Instant::now() < end {
            self.publish_due();
            self.world.observer.observe();
            if Instant::now() >= self.next_kill
                && self.world.observer.client.state() == ClientState::Connected
            {
                self.kill();
            }
            each(&mut self.world);
            self.world.observer.wait(Duration::from_millis(2));
        }
    }

    fn publish_due(&mut self) {
        while Duration::from_micros(self.published * 1_000_000 / RATE) < self.began.elapsed() {
            self.published += 1;
            publish(&self.world.sim, self.published);
        }
    }

    fn kill(&mut self) {
        if self.recipe.path == "minute" {
            // It closes by itself.
            return;
        }
        let open = self.world.sim.log().gateway.iter().filter(|record| record.ended_at.is_none()).count();
        self.beside += open.saturating_sub(1);
        if let Some(outage) = self.recipe.outage {
            self.world.fault(outage);
        }
        self.world.fault(KILLS[self.kills as usize % KILLS.len()]);
        self.kills += 1;
        self.next_kill = Instant::now() + EVERY;
    }

    /// The client ends, in good order or without a word, and another one goes on after so many events.
    pub fn restart(self, in_good_order: bool, missed: u64) -> Self {
        let Self { recipe, world, mut published, kills, mut lives, beside, began, next_kill } = self;
        let (sim, told) = if in_good_order { world.close() } else { world.crash() };
        lives.push(told);
        for _ in 0..missed {
            published += 1;
            publish(&sim, published);
        }
        let world = client(sim, &recipe);
        Self { recipe, world, published, kills, lives, beside, began, next_kill }
    }

    /// What was published is delivered, or will never be.
    pub fn end(&mut self) {
        self.world.until_connected();
        self.world.until_events_flow();
        self.world
            .until("the end of every gap", |world| world.observer.gaps().iter().all(|gap| gap.to.is_some()));
    }

    /// Of each event, how often it was told, over all clients.
    pub fn times(&self) -> HashMap<u64, u32> {
        let mut times = HashMap::new();
        for event in self.told().filter_map(event) {
            *times.entry(event.n()).or_default() += 1;
        }
        times
    }

    /// Events of one client, told by their numbers; lives are counted from 0.
    pub fn numbers(&self, life: usize) -> Vec<u64> {
        let told = self.lives.get(life).unwrap_or(&self.world.observer.told);
        told.iter().filter_map(event).map(|event| event.n()).filter(|n| *n <= self.published).collect()
    }

    pub fn verdict(&self) -> Verdict {
        let mut seen = Seen::default();
        seen.add(self.told().filter_map(event));
        judge_seen(&self.world, self.published, &seen, self.gaps())
    }

    pub fn gaps(&self) -> Vec<Gap> {
        self.world.observer.gaps()
    }

    fn told(&self) -> impl Iterator<Item = &Told> {
        self.lives.iter().flatten().chain(&self.world.observer.told)
    }

    /// What the simulator saw of the connections: each with a live token, none with a frame before it was ready, and no more
    /// than the waits and the renewals account for.
    pub fn judge_connections(&self) {
        let log = self.world.sim.log();
        for record in &log.gateway {
            // Before the first message nothing was presented.
            let is_sound =
                record.token == "valid" || (record.token == "none" && record.endpoint == "first-message");
            assert!(is_sound && record.early_frames == 0, "{record:#?}");
        }
        let steps: usize =
            self.lives.iter().chain([&self.world.observer.told]).map(|told| 1 + steps(told)).sum();
        let renewals = self.renewals(&log);
        let upgrades: Vec<_> = log.requests.iter().filter(|request| request.operation == "upgrade").collect();
        let attempts = upgrades.len();
        // The step after the refusal of a connection beside another one is told to nobody.
        let is_beside = |at: u64| {
            let mut open = log.gateway.iter().filter(|record| record.status == 101 && record.opened_at <= at);
            open.any(|record| record.ended_at.is_none_or(|end| end >= at))
        };
        let refused = upgrades.iter().filter(|request| request.status != Some(101));
        let refusals = refused.filter(|request| is_beside(request.at)).count();
        let most = steps + renewals + self.beside + refusals;
        eprintln!(
            "{}: {attempts} connections, {steps} steps, {renewals} renewals, {} beside, {refusals} refused beside, {} kills, {} events",
            self.recipe.path, self.beside, self.kills, self.published
        );
        assert!(attempts <= most, "{attempts} connections, {most} accounted for: {:#?}", log.gateway);
        for pair in upgrades.windows(2) {
            let Some(wait) = pair[0].retry_after.as_deref() else { continue };
            let wait: u64 = wait.parse().unwrap();
            assert!(pair[1].at + GRAIN_MS >= pair[0].at + 1_000 * wait, "{pair:#?}");
        }
    }

    /// Renewals of a token that call for another connection.
    fn renewals(&self, log: &Log) -> usize {
        if self.recipe.endpoint.contains(r#""renewal":"message""#) {
            return 0;
        }
        let tokens = log.requests.iter().filter(|request| request.operation == "token").count();
        tokens - 1
    }
}

fn publish(sim: &Simulator, n: u64) {
    sim.publish(TOPIC, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
}

fn client(sim: Simulator, recipe: &Recipe<'_>) -> World {
    let Recipe { path, endpoint, client, .. } = recipe;
    let url = format!("{}/{path}", sim.urls().gateway);
    let options = format!(r#"{{"endpoint":{{"url":"{url}"{endpoint}}}{client}}}"#);
    let mut world = World::on(sim, &options);
    world.observer.client.connect().unwrap();
    world.until_connected();
    world
}

fn event(told: &Told) -> Option<&Event> {
    if let Told::Event(event) = told { Some(event) } else { None }
}

/// Attempts after a wait: the client counts them on and on, as no connection here lives long enough to count as healthy.
fn steps(told: &[Told]) -> usize {
    let attempts = told.iter().filter_map(|told| match told {
        Told::Control(Control::Notice(Notice::State(change))) => Some(change.attempt as usize),
        _ => None,
    });
    attempts.max().unwrap_or(0)
}

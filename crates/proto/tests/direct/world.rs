//! The machine, the server and a network between them, under a clock that jumps to whatever comes next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use genesys_notifications_proto::{
    Config, Context, Governor, GovernorConfig, Input, Layout, LayoutParts, Machine, Operation, Random,
    SplitMix, Ticket,
};

use super::agenda::Item;
use super::chaos::Weather;
use super::manners::{Manners, TOPICS};
use super::process::Process;
use super::sabotage::{Fault, Sabotage};
use super::server::{Server, Wire};
use super::truth::Truth;
use crate::common::agenda::Agenda;
use crate::common::clock::Clock;
use crate::common::rules::{Bounds, Rules};

/// Everything.
pub(crate) struct World {
    pub(crate) manners: Manners,
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) governor: Governor,
    pub(crate) jitter: SplitMix,
    pub(crate) dice: SplitMix,
    pub(crate) clock: Clock,
    pub(crate) agenda: Agenda<Item>,
    pub(crate) server: Server,
    pub(crate) layout: Rc<Layout>,
    pub(crate) rules: Rules,
    pub(crate) truth: Truth,
    pub(crate) sabotage: Sabotage,
    pub(crate) weather: Weather,
    pub(crate) requests: BTreeMap<Ticket, Operation>,
    pub(crate) old_tickets: Vec<Ticket>,
    pub(crate) process: Process,
    /// What the store of the cursor holds.
    pub(crate) saved: Option<String>,
    pub(crate) wanted: BTreeSet<u8>,
    pub(crate) last_request: u64,
    /// Processes that have begun.
    pub(crate) lives: u32,
    pub(crate) is_down: bool,
    /// The process does not run until then; whether the monotonic clock stands still meanwhile, and since when.
    pub(crate) frozen: Option<(u64, bool, u64)>,
    pub(crate) pauses: Vec<(u64, u64)>,
    /// When the wall clock was set forward, and by how much.
    pub(crate) steps: Vec<(u64, u64)>,
    /// When the machine was told that a position is not known.
    pub(crate) position_refused_at: Option<u64>,
    pub(crate) calls: u64,
    pub(crate) connections: u64,
    pub(crate) trace: Option<VecDeque<String>>,
}

impl World {
    pub(crate) fn new(seed: u64, fault: Option<Fault>) -> Self {
        let mut dice = SplitMix::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let manners = Manners::of(&mut dice);
        let mut config = manners.config();
        let sabotage = Sabotage::new(fault);
        sabotage.config(&mut config);
        let all: BTreeSet<u8> = (0..TOPICS).collect();
        let wanted: BTreeSet<u8> = match manners.names_topics {
            true => (0..TOPICS - 1).collect(),
            false => BTreeSet::new(),
        };
        let unwanted: BTreeSet<u8> = all.difference(&wanted).copied().collect();
        let never = if wanted.is_empty() { BTreeSet::new() } else { unwanted };
        Self {
            machine: Machine::new(config.clone()),
            config,
            governor: Governor::new(GovernorConfig::default()),
            jitter: SplitMix::new(seed ^ 0x5eed),
            dice,
            clock: Clock::new(),
            agenda: Agenda::default(),
            server: Server::default(),
            layout: Rc::new(layout(&manners)),
            rules: rules(),
            truth: Truth::new(never),
            sabotage,
            weather: Weather::default(),
            requests: BTreeMap::new(),
            old_tickets: Vec::new(),
            process: Process::default(),
            saved: None,
            wanted,
            last_request: 0,
            lives: 0,
            is_down: false,
            frozen: None,
            pauses: Vec::new(),
            steps: Vec::new(),
            position_refused_at: None,
            calls: 0,
            connections: 0,
            trace: None,
            manners,
        }
    }

    // Calls of the machine.

    pub(crate) fn tell(&mut self, input: Input) {
        self.note(|| format!("{input:?}"));
        if matches!(input, Input::Reconnect(_)) {
            // The user does not wait.
            self.process.next_attempt = None;
        }
        self.call(|machine, cx| machine.handle(cx, input));
    }

    pub(crate) fn call<T>(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
        self.calls += 1;
        let mut zeros = Zeros;
        let random: &mut dyn Random =
            if self.sabotage.is(Fault::NoBackoff) { &mut zeros } else { &mut self.jitter };
        let mut cx = Context { now: self.clock.now(), random, governor: &mut self.governor };
        let result = call(&mut self.machine, &mut cx);
        self.drain();
        result
    }

    fn timeout(&mut self) {
        self.note(|| "timeout".to_owned());
        self.call(|machine, cx| machine.handle_timeout(cx));
        let (now, wake) = (self.clock.now().mono, self.machine.poll_timeout());
        assert!(wake.is_none_or(|wake| wake > now), "the next deadline lies in the past: {wake:?} at {now}");
    }

    // Time.

    fn wake(&self) -> Option<u64> {
        let wake = self.machine.poll_timeout().map(|mono| self.clock.truth_of(mono));
        wake.filter(|_| self.frozen.is_none() && !self.is_down)
    }

    /// One thing happens: the next item of the agenda, or the machine's deadline.
    fn step(&mut self) {
        match (self.agenda.next_at(), self.wake()) {
            (Some(due), wake) if wake.is_none_or(|wake| due <= wake) => {
                self.clock.truth = self.clock.truth.max(due);
                if let Some(item) = self.agenda.take() {
                    self.happen(item);
                }
            }
            (_, Some(wake)) => {
                self.clock.truth = self.clock.truth.max(wake);
                self.timeout();
            }
            (_, None) => {}
        }
        self.review();
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        let end = self.clock.truth + ms;
        while [self.agenda.next_at(), self.wake()].into_iter().flatten().min().is_some_and(|at| at <= end) {
            self.step();
        }
        self.clock.truth = self.clock.truth.max(end);
    }

    fn happen(&mut self, item: Item) {
        if let Some((until, ..)) = self.frozen
            && item.is_for_the_process()
        {
            return self.agenda.plan(until, item);
        }
        if !matches!(item, Item::Publish | Item::Arrive(..) | Item::Acknowledge | Item::Sent(..)) {
            self.note(|| format!("* {item:?}"));
        }
        match item {
            Item::AtServer(ticket) => self.at_server(ticket),
            Item::Answer(ticket, outcome) => self.answer(ticket, outcome),
            Item::Sent(socket, word) => self.heard_at_server(socket, word),
            Item::Ready(socket) => self.accept(socket),
            Item::ReadyAgain(socket) => self.say_ready(socket),
            Item::Replay(socket) => self.replay_asked(socket),
            Item::Arrive(socket, bytes) => self.arrive(socket, bytes),
            Item::Ends(socket, ending) => self.ends(socket, ending),
            Item::LeftAtServer(socket) => drop(self.server.wires.remove(&socket)),
            Item::PlannedClose(socket) => self.close_there(socket, 1000),
            Item::TokenEnds(life, generation) => self.token_ends(life, generation),
            Item::Publish => self.publish_next(),
            Item::Acknowledge => self.acknowledge(),
            Item::Chaos => self.chaos(),
            Item::Thaw => self.thaw(),
            Item::Begin => self.begin(),
        }
    }

    /// Whether what was live once is carried now.
    fn review(&mut self) {
        let now = self.clock.truth;
        let is_carried = (0..TOPICS).all(|topic| {
            let is_due = self.wanted.is_empty() || self.wanted.contains(&topic);
            !is_due || self.server.wires.values().any(|wire: &Wire| wire.carries(topic))
        });
        self.truth.carried(is_carried, now);
    }

    /// The reading of the wall clock at that time.
    pub(crate) fn wall_at(&self, truth: u64) -> u64 {
        let later: u64 = self.steps.iter().filter(|(at, _)| *at > truth).map(|(_, ms)| ms).sum();
        self.clock.wall(truth) - later
    }

    /// What the wall clock showed when something was read that arrived then.
    pub(crate) fn read_at(&self, arrived: u64) -> u64 {
        let paused = self.pauses.iter().find(|(from, to)| *from <= arrived && arrived < *to);
        self.wall_at(paused.map_or(arrived, |(_, to)| *to))
    }

    pub(crate) fn latency(&mut self) -> u64 {
        let (low, high) = self.manners.latency_ms;
        self.dice.between(low, high)
    }

    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.dice.up_to(one_in - 1) == 0
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        trace.push_back(format!("{:>12.3} {}", self.clock.truth as f64 / 1_000.0, line()));
        if trace.len() > crate::common::seeds::steps_shown().max(400) {
            trace.pop_front();
        }
    }
}

pub(crate) fn rules() -> Rules {
    // A connection a minute by plan, some by misfortune, and those of backoff: nobody hammers.
    let bounds = Bounds { window_ms: 60_000, tokens: 40, creations: 0, subscriptions: 0, opens: 60 };
    Rules::new(GovernorConfig::default(), bounds)
}

fn layout(manners: &Manners) -> Layout {
    let some = |text: &str| Some(text.to_owned());
    let parts = LayoutParts {
        topic: some("/t"),
        body: some("/b"),
        id: manners.has_ids.then(|| "/id".to_owned()),
        batch: manners.in_batches.then(String::new),
        ready: manners.says_ready.then(|| ("/event".to_owned(), "ready".into())),
        position: manners.resuming.map(|_| "/at".to_owned()),
    };
    Layout::new(&parts).expect("the layout of the test")
}

struct Zeros;

impl Random for Zeros {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

//! The machine, a fake service and a network between them, under a clock that jumps to whatever comes next.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use genesys_notifications_proto::{
    ClientState, Config, Context, Continuity, Effect, Ending, Governor, GovernorConfig, Input, LinkId,
    Machine, Operation, Random, SocketId, SplitMix, Ticket,
};

use super::agenda::{Agenda, Cargo, Item};
use super::clock::Clock;
use super::journal::Journal;
use super::lists::LostEntry;
use super::manners::Manners;
use super::record::Record;
use super::rules::{Bounds, Rules};
use super::sabotage::{Fault, Sabotage};
use super::service::Service;
use super::truth::Truth;
use super::weather::Weather;
use super::wire::Wires;

/// A list the service confirmed, as the machine was told: when asked for, when told, and which topics.
#[derive(Debug)]
pub(crate) struct Acked {
    pub(crate) ticket: Ticket,
    pub(crate) asked_at: u64,
    pub(crate) told_at: u64,
    pub(crate) topics: BTreeSet<u16>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) journal: Option<Journal>,
    /// No process runs.
    pub(crate) down: bool,
    /// This process has not been connected yet: if every topic is refused, it fails (S4).
    pub(crate) fresh: bool,
    /// Processes that have ended.
    pub(crate) lives: u32,
    pub(crate) governor: Governor,
    pub(crate) governor_config: GovernorConfig,
    pub(crate) jitter: SplitMix,
    pub(crate) dice: SplitMix,
    pub(crate) clock: Clock,
    pub(crate) agenda: Agenda,
    pub(crate) service: Service,
    pub(crate) wires: Wires,
    pub(crate) truth: Truth,
    pub(crate) rules: Rules,
    pub(crate) record: Record,
    pub(crate) manners: Manners,
    pub(crate) silence_ms: u64,
    pub(crate) sabotage: Sabotage,
    pub(crate) requests: BTreeMap<Ticket, (Operation, u64)>,
    pub(crate) channel_of: HashMap<LinkId, u32>,
    pub(crate) asked: HashMap<LinkId, BTreeSet<u16>>,
    pub(crate) acked: HashMap<LinkId, Acked>,
    pub(crate) asked_at: HashMap<Ticket, u64>,
    /// Since when each link's list is not answered for.
    pub(crate) unanswered: HashMap<LinkId, u64>,
    /// The youngest subscription request of each link.
    pub(crate) last_asked: HashMap<LinkId, Ticket>,
    pub(crate) wanted_at: HashMap<u16, u64>,
    pub(crate) unsettled: BTreeSet<u64>,
    pub(crate) last_request: u64,
    /// The socket whose end is being told.
    pub(crate) ending: Option<SocketId>,
    /// Whether the socket being released ends at once.
    pub(crate) ends_now: bool,
    /// The process does not run until then; whether the monotonic clock stands still meanwhile, and since when.
    pub(crate) frozen: Option<(u64, bool, u64)>,
    /// When a channel last ended.
    pub(crate) last_end: u64,
    pub(crate) thawed_at: u64,
    /// Nothing arrived anywhere before.
    pub(crate) stalled_until: u64,
    pub(crate) calls: u64,
    /// Whether the scenario is about credentials that are no good.
    pub(crate) may_fail: bool,
    pub(crate) trace: Option<VecDeque<String>>,
    pub(crate) chaos: Option<fn(&mut World)>,
    /// The API accepted a token since one was last revoked.
    pub(crate) accepted: bool,
    pub(crate) old_tickets: Vec<Ticket>,
    pub(crate) old_sockets: Vec<SocketId>,
    pub(crate) ticks: u64,
    /// Topics that the service has silently lost from a channel's list.
    pub(crate) lost_entries: Vec<LostEntry>,
    /// When the wall clock was set forward, and by how much.
    pub(crate) wall_steps: Vec<(u64, u64)>,
    /// Shards of which a link is being replaced as planned.
    pub(crate) planned: BTreeSet<u16>,
    /// Those that began in this call of the machine.
    pub(crate) planned_now: BTreeSet<u16>,
    /// How many such losses the machine has found, and how many were over before anybody looked.
    pub(crate) losses_found: u64,
    pub(crate) losses_forgiven: u64,
    /// Until then events are published densely.
    pub(crate) watched_until: u64,
    pub(crate) weather: Weather,
}

impl World {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self::with(config, GovernorConfig::default(), seed, None)
    }

    pub(crate) fn with(config: Config, governor: GovernorConfig, seed: u64, fault: Option<Fault>) -> Self {
        let links = if config.continuity == Continuity::Standby { 2 } else { 1 };
        let bounds = Bounds {
            window_ms: 60_000,
            tokens: 40,
            creations: 100 * links,
            subscriptions: 300 * links,
            opens: 300 * links,
        };
        Self {
            silence_ms: config.heartbeat.silence_ms,
            machine: Machine::new(config.clone()),
            config,
            journal: None,
            down: false,
            fresh: false,
            lives: 0,
            governor: Governor::new(governor.clone()),
            governor_config: governor.clone(),
            jitter: SplitMix::new(seed ^ 0x5eed),
            dice: SplitMix::new(seed),
            clock: Clock::new(),
            agenda: Agenda::default(),
            service: Service::new(),
            wires: Wires::default(),
            truth: Truth::default(),
            rules: Rules::new(governor, bounds),
            record: Record { keep: true, ..Record::default() },
            manners: Manners::default(),
            sabotage: Sabotage::new(fault),
            requests: BTreeMap::new(),
            channel_of: HashMap::new(),
            asked: HashMap::new(),
            acked: HashMap::new(),
            asked_at: HashMap::new(),
            unanswered: HashMap::new(),
            last_asked: HashMap::new(),
            wanted_at: HashMap::new(),
            unsettled: BTreeSet::new(),
            last_request: 0,
            ending: None,
            ends_now: false,
            frozen: None,
            last_end: 0,
            thawed_at: 0,
            stalled_until: 0,
            calls: 0,
            may_fail: true,
            trace: None,
            chaos: None,
            accepted: false,
            old_tickets: Vec::new(),
            old_sockets: Vec::new(),
            ticks: 0,
            lost_entries: Vec::new(),
            wall_steps: Vec::new(),
            planned: BTreeSet::new(),
            planned_now: BTreeSet::new(),
            losses_found: 0,
            losses_forgiven: 0,
            watched_until: 0,
            weather: Weather::default(),
        }
    }

    // Calls of the machine.

    pub(crate) fn tell(&mut self, input: Input) {
        self.note(|| format!("{input:?}"));
        self.call(|machine, cx| machine.handle(cx, input));
    }

    pub(crate) fn call<T>(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
        self.calls += 1;
        if self.sabotage.is(Fault::NoGovernor) {
            self.governor = Governor::new(self.governor_config.clone());
        }
        let mut zeros = Zeros;
        let random: &mut dyn Random =
            if self.sabotage.is(Fault::NoBackoff) { &mut zeros } else { &mut self.jitter };
        let mut cx = Context { now: self.clock.now(), random, governor: &mut self.governor };
        let result = call(&mut self.machine, &mut cx);
        self.drain();
        result
    }

    pub(crate) fn timeout(&mut self) {
        self.note(|| "timeout".to_owned());
        self.call(|machine, cx| machine.handle_timeout(cx));
        let now = self.clock.now().mono;
        let mut wake = self.machine.poll_timeout();
        if self.sabotage.is(Fault::Spins) && self.calls > 1_000 {
            wake = Some(now);
        }
        assert!(wake.is_none_or(|wake| wake > now), "the next deadline lies in the past: {wake:?} at {now}");
    }

    // Time.

    /// One thing happens: the next item of the agenda, or the machine's deadline. False if nothing ever will.
    pub(crate) fn step(&mut self) -> bool {
        let due = self.agenda.next_at();
        let wake = self.machine.poll_timeout().map(|mono| self.clock.truth_of(mono));
        let wake = if self.frozen.is_some() { None } else { wake };
        match (due, wake) {
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
            (_, None) => return false,
        }
        self.journal_works();
        true
    }

    pub(crate) fn run_for(&mut self, ms: u64) {
        self.run_to(self.clock.truth + ms);
    }

    pub(crate) fn run_to(&mut self, end: u64) {
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.clock.truth = self.clock.truth.max(end);
    }

    /// Runs until the condition holds, at most so long.
    pub(crate) fn run_until(&mut self, within_ms: u64, condition: impl Fn(&Self) -> bool) {
        let end = self.clock.truth + within_ms;
        while !condition(self) {
            let next = self.next_at();
            assert!(next.is_some_and(|at| at <= end), "it did not come about within {within_ms} ms");
            self.step();
        }
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        let wake = self.machine.poll_timeout().map(|mono| self.clock.truth_of(mono));
        let wake = wake.filter(|_| self.frozen.is_none());
        [self.agenda.next_at(), wake].into_iter().flatten().min()
    }

    /// What was lost later cannot be known yet: silence takes its time, what is not read is not
    /// judged, and a list that is not answered may have dropped anything.
    pub(crate) fn known_until(&self) -> u64 {
        let now = self.clock.truth;
        let silence = now.saturating_sub(self.silence_ms + self.silence_ms / 5);
        let open = self.wires.by_id.values().filter(|wire| wire.open_here);
        let doubts = open.filter_map(|wire| wire.doubt).map(|(since, _)| since);
        let unanswered = self.unanswered.values().copied();
        let unlisted = self.lost_entries.iter().map(|entry| entry.at);
        let unread =
            doubts.chain(unanswered).chain(unlisted).chain(self.frozen.map(|(_, _, since)| since)).min();
        unread.map_or(silence, |at| silence.min(at.saturating_sub(self.silence_ms)))
    }

    pub(crate) fn state(&self) -> ClientState {
        self.machine.state()
    }

    /// The process does not run for so long; `asleep` if the monotonic clock stands still as well.
    pub(crate) fn freeze(&mut self, ms: u64, asleep: bool) {
        if self.frozen.is_none() {
            self.note(|| format!("FREEZE for {ms} ms, asleep {asleep}"));
            let now = self.clock.truth;
            self.frozen = Some((now + ms, asleep, now));
            self.agenda.plan(now + ms, Item::Thaw);
        }
    }

    pub(crate) fn step_wall(&mut self, ms: u64) {
        let wall = self.clock.now().wall;
        self.truth.unreal.push((wall, wall + ms));
        self.wall_steps.push((self.clock.truth, ms));
        self.clock.step_wall(ms);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    pub(crate) fn thaw(&mut self) {
        let Some((_, asleep, since)) = self.frozen.take() else { return };
        self.thawed_at = self.clock.truth;
        let paused = self.clock.truth - since;
        self.truth.unread(paused);
        if asleep {
            self.clock.sleep(paused);
        }
        self.note(|| "THAW".to_owned());
        let until = self.clock.truth;
        for wire in self.wires.by_id.values_mut().filter(|wire| wire.open_here) {
            wire.doubt = Some((wire.doubt.map_or(since, |(since, _)| since), until));
        }
        let now = self.clock.now().mono;
        if self.dice.up_to(1) == 0 && self.machine.poll_timeout().is_some_and(|wake| wake <= now) {
            self.timeout();
        }
    }

    // Happenings.

    pub(crate) fn happen(&mut self, item: Item) {
        if let Some((until, ..)) = self.frozen
            && item.is_for_the_machine()
        {
            return self.agenda.plan(until, item);
        }
        if !matches!(item, Item::Beat(_) | Item::Publish | Item::Burst | Item::Arrive(..)) {
            self.note(|| format!("* {item:?}"));
        }
        match item {
            Item::AtService(ticket) => self.at_service(ticket),
            Item::Answer(ticket, outcome) => self.answer(ticket, outcome),
            Item::PingAtService(socket, sent) => {
                let answers = self.manners.answers_pings;
                let Some(wire) = self.wires.of(socket) else { return };
                if answers && wire.open_there && !wire.dead {
                    self.send(socket, Cargo::Pong(sent));
                }
            }
            Item::Arrive(socket, cargo) => self.arrive(socket, cargo),
            Item::Read(socket, cargo) => self.read(socket, cargo),
            Item::Ends(socket, ending) => self.ends(socket, ending),
            Item::LeftAtService(socket) => self.left_at_service(socket),
            Item::Beat(socket) => {
                let Some(wire) = self.wires.of(socket) else { return };
                if wire.open_there && !wire.dead {
                    self.send(socket, Cargo::Beat);
                    self.agenda.plan(self.clock.truth + self.manners.beat_ms, Item::Beat(socket));
                } else if wire.dead && self.sabotage.is(Fault::SilenceHidden) {
                    self.agenda.plan(self.clock.truth, Item::Read(socket, Cargo::Beat));
                    self.agenda.plan(self.clock.truth + self.manners.beat_ms, Item::Beat(socket));
                }
            }
            Item::TokenEnds(generation) => self.token_ends(generation),
            Item::ChannelEnds(key) => self.channel_ends(key),
            Item::Maintenance(socket) => self.end_socket(socket, Ending::Closed(1001, String::new())),
            Item::Cut(socket) => self.cut(socket),
            Item::Resume(socket) => self.resume(socket),
            Item::Publish => self.publish_next(),
            Item::Burst => self.burst(),
            Item::Thaw => self.thaw(),
            Item::Begin => self.begin(),
            Item::Chaos => {
                self.ticks += 1;
                if let Some(chaos) = self.chaos {
                    chaos(self);
                }
            }
        }
    }

    // Chance.

    pub(crate) fn rest_latency(&mut self, effect: &Effect) -> u64 {
        let (low, high) = match effect {
            Effect::OpenSocket { .. } => self.manners.socket_ms,
            _ => self.manners.rest_ms,
        };
        self.dice.between(low, high)
    }

    pub(crate) fn socket_latency(&mut self) -> u64 {
        let (low, high) = self.manners.socket_ms;
        self.dice.between(low, high)
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        let now = self.clock.truth;
        trace.push_back(format!("{:>12.3} {}", now as f64 / 1_000.0, line()));
        if trace.len() > super::seeds::steps_shown().max(400) {
            trace.pop_front();
        }
    }
}

struct Zeros;

impl Random for Zeros {
    fn next_u64(&mut self) -> u64 {
        0
    }
}

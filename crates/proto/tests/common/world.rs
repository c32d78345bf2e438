//! The machine, a fake service and a network between them, under a clock that jumps to whatever comes next.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use genesys_notifications_proto::{
    ClientState, Config, Context, Disposition, Effect, Ending, Envelope, Failure, Frame, Governor,
    GovernorConfig, Input, LinkId, Machine, NetworkKind, Operation, Outcome, Random, RequestId, SocketId,
    SplitMix, SystemNotice, Ticket, TokenGrant, Topic, TopicChange, TopicId, TopicRequest,
};

use super::agenda::{Agenda, Cargo, Item};
use super::clock::Clock;
use super::record::Record;
use super::rules::{Bounds, Rules};
use super::sabotage::{Fault, Sabotage};
use super::service::{Channel, Service, Token, http, network, oauth, throttled};
use super::truth::Truth;
use super::weather::Weather;
use super::wire::{Wire, Wires};

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Serve,
    /// The service answers this instead.
    Fail(Failure),
    /// It never reaches the service.
    Lose,
    /// It is carried out, but its answer is lost.
    LoseAnswer,
    /// It is carried out, and answered this much later.
    Late(u64),
}

/// The doors of the service, as the machine numbers its floors.
pub(crate) const LOGIN: usize = 0;
pub(crate) const API: usize = 1;
pub(crate) const STREAMING: usize = 2;

/// How the world treats its inhabitants.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// One-way latencies, low and high.
    pub(crate) rest_ms: (u64, u64),
    pub(crate) socket_ms: (u64, u64),
    pub(crate) beat_ms: u64,
    pub(crate) answers_pings: bool,
    /// What becomes of the next requests, by kind; then chance decides.
    pub(crate) script: [VecDeque<Fate>; 4],
    /// Of a thousand requests, so many meet a misfortune.
    pub(crate) misfortune: u64,
    /// Of a thousand results, so many are repeated or forged.
    pub(crate) forgery: u64,
    /// Doors that are shut until then, and how.
    pub(crate) shut: [(u64, Option<Failure>); 3],
    /// The token endpoint refuses the credentials.
    pub(crate) refuses_credentials: bool,
    /// Of a thousand new channels, so many are not known to the streaming host at first.
    pub(crate) young_404: u64,
    /// Every REST answer says that the window is used up, this long.
    pub(crate) publish_every_ms: u64,
    pub(crate) longest_wait_ms: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            rest_ms: (20, 20),
            socket_ms: (10, 10),
            beat_ms: 30_000,
            answers_pings: true,
            script: Default::default(),
            misfortune: 0,
            forgery: 0,
            shut: [(0, None), (0, None), (0, None)],
            refuses_credentials: false,
            young_404: 0,
            publish_every_ms: 0,
            longest_wait_ms: 120_000,
        }
    }
}

/// Index of a kind in `Manners::script`.
pub(crate) fn kind(effect: &Effect) -> usize {
    match effect {
        Effect::FetchToken { .. } => 0,
        Effect::CreateChannel { .. } => 1,
        Effect::Subscribe { .. } => 2,
        Effect::OpenSocket { .. } => 3,
    }
}

/// A list the service confirmed, as the machine was told: when asked for, when told, and which topics.
#[derive(Debug)]
pub(crate) struct Acked {
    asked_at: u64,
    told_at: u64,
    topics: BTreeSet<u16>,
}

/// Everything.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) governor: Governor,
    governor_config: GovernorConfig,
    jitter: SplitMix,
    pub(crate) dice: SplitMix,
    pub(crate) clock: Clock,
    pub(crate) agenda: Agenda,
    pub(crate) service: Service,
    pub(crate) wires: Wires,
    pub(crate) truth: Truth,
    pub(crate) rules: Rules,
    pub(crate) record: Record,
    pub(crate) manners: Manners,
    silence_ms: u64,
    pub(crate) sabotage: Sabotage,
    pub(crate) requests: BTreeMap<Ticket, (Operation, u64)>,
    pub(crate) channel_of: HashMap<LinkId, u32>,
    pub(crate) asked: HashMap<LinkId, BTreeSet<u16>>,
    pub(crate) acked: HashMap<LinkId, Acked>,
    pub(crate) asked_at: HashMap<Ticket, u64>,
    wanted_at: HashMap<u16, u64>,
    pub(crate) unsettled: BTreeSet<u64>,
    last_request: u64,
    /// The socket whose end is being told.
    pub(crate) ending: Option<SocketId>,
    /// Whether the socket being released ends at once.
    pub(crate) ends_now: bool,
    /// The process does not run until then; whether the monotonic clock stands still meanwhile, and since when.
    frozen: Option<(u64, bool, u64)>,
    thawed_at: u64,
    /// Nothing arrived anywhere before.
    stalled_until: u64,
    pub(crate) calls: u64,
    /// Whether the scenario is about credentials that are no good.
    pub(crate) may_fail: bool,
    pub(crate) trace: Option<VecDeque<String>>,
    pub(crate) chaos: Option<fn(&mut World)>,
    /// The API accepted a token since one was last revoked.
    accepted: bool,
    old_tickets: Vec<Ticket>,
    old_sockets: Vec<SocketId>,
    pub(crate) ticks: u64,
    pub(crate) weather: Weather,
}

impl World {
    pub(crate) fn new(config: Config, seed: u64) -> Self {
        Self::with(config, GovernorConfig::default(), seed, None)
    }

    pub(crate) fn with(config: Config, governor: GovernorConfig, seed: u64, fault: Option<Fault>) -> Self {
        let bounds = Bounds { window_ms: 60_000, tokens: 40, creations: 100, subscriptions: 300, opens: 300 };
        Self {
            silence_ms: config.heartbeat.silence_ms,
            machine: Machine::new(config),
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
            wanted_at: HashMap::new(),
            unsettled: BTreeSet::new(),
            last_request: 0,
            ending: None,
            ends_now: false,
            frozen: None,
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
            weather: Weather::default(),
        }
    }

    // The user.

    pub(crate) fn connect(&mut self) {
        self.tell(Input::Connect);
    }

    pub(crate) fn close(&mut self) {
        self.tell(Input::Close);
    }

    pub(crate) fn rotate(&mut self) -> u64 {
        let request = self.request();
        self.tell(Input::Rotate(RequestId(request)));
        request
    }

    pub(crate) fn reconnect(&mut self) -> u64 {
        let request = self.request();
        self.tell(Input::Reconnect(RequestId(request)));
        request
    }

    pub(crate) fn change(&mut self, change: TopicChange, names: &[&str]) -> u64 {
        let topics: Vec<Topic> =
            names.iter().flat_map(|name| Topic::expand(name).expect("a topic of the test")).collect();
        let numbers: BTreeSet<u16> = topics.iter().map(|topic| self.service.number(topic.as_str())).collect();
        let wall = self.clock.now().wall;
        let (before, known_until) = (self.truth.wanted(), self.known_until());
        // The machine's word on the gaps of a topic that is no longer wanted comes first.
        let gone: Vec<u16> = match change {
            TopicChange::Add => Vec::new(),
            TopicChange::Remove => before.intersection(&numbers).copied().collect(),
            TopicChange::Replace => before.difference(&numbers).copied().collect(),
        };
        if change != TopicChange::Remove {
            for number in &numbers {
                if !before.contains(number) {
                    self.truth.want(*number);
                    self.wanted_at.insert(*number, self.clock.truth);
                }
            }
        }
        let request = self.request();
        self.tell(Input::Topics(TopicRequest { request: RequestId(request), change, topics }));
        for number in gone {
            self.truth.unwant(number, wall, known_until);
            self.wanted_at.remove(&number);
        }
        self.refresh();
        request
    }

    pub(crate) fn subscribe(&mut self, names: &[&str]) -> u64 {
        self.change(TopicChange::Add, names)
    }

    pub(crate) fn unsubscribe(&mut self, names: &[&str]) -> u64 {
        self.change(TopicChange::Remove, names)
    }

    fn request(&mut self) -> u64 {
        self.last_request += 1;
        self.unsettled.insert(self.last_request);
        self.last_request
    }

    // Calls of the machine.

    pub(crate) fn tell(&mut self, input: Input) {
        self.note(|| format!("{input:?}"));
        self.call(|machine, cx| machine.handle(cx, input));
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
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

    fn timeout(&mut self) {
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

    fn next_at(&self) -> Option<u64> {
        let wake = self.machine.poll_timeout().map(|mono| self.clock.truth_of(mono));
        let wake = wake.filter(|_| self.frozen.is_none());
        [self.agenda.next_at(), wake].into_iter().flatten().min()
    }

    /// What was lost later cannot be known yet: silence takes its time, and what is not read is
    /// not judged.
    pub(crate) fn known_until(&self) -> u64 {
        let now = self.clock.truth;
        let silence = now.saturating_sub(self.silence_ms + self.silence_ms / 5);
        let open = self.wires.by_id.values().filter(|wire| wire.open_here);
        let doubts = open.filter_map(|wire| wire.doubt).map(|(since, _)| since);
        let unread = doubts.chain(self.frozen.map(|(_, _, since)| since)).min();
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
        self.clock.step_wall(ms);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn thaw(&mut self) {
        let Some((_, asleep, since)) = self.frozen.take() else { return };
        self.thawed_at = self.clock.truth;
        let paused = self.clock.truth - since;
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

    fn happen(&mut self, item: Item) {
        if let Some((until, ..)) = self.frozen
            && item.is_for_the_machine()
        {
            return self.agenda.plan(until, item);
        }
        if !matches!(item, Item::Beat(_) | Item::Publish | Item::Arrive(..)) {
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
            Item::Thaw => self.thaw(),
            Item::Chaos => {
                self.ticks += 1;
                if let Some(chaos) = self.chaos {
                    chaos(self);
                }
            }
        }
    }

    fn at_service(&mut self, ticket: Ticket) {
        let Some((operation, started)) = self.requests.remove(&ticket) else { return };
        let now = self.clock.truth;
        let kind = kind(&operation.effect);
        let fate = self.fate(kind, &operation.effect);
        let mut back = self.rest_latency(&operation.effect);
        let deadline = started + operation.timeout_ms;
        let outcome = match &fate {
            Fate::Fail(failure) => failed(kind, failure.clone()),
            Fate::Lose => {
                // Half of the time even the driver's own deadline fails.
                if self.dice.up_to(1) == 0 {
                    let late = failed(kind, network(NetworkKind::TimedOut));
                    self.agenda.plan(deadline.max(now + 1), Item::Answer(ticket, late));
                }
                return;
            }
            Fate::Serve | Fate::LoseAnswer | Fate::Late(_) => self.serve(&operation),
        };
        if let Fate::Late(more) = fate {
            back += more;
        }
        let socket = match &operation.effect {
            Effect::OpenSocket { socket, .. } => Some(*socket),
            _ => None,
        };
        if matches!(fate, Fate::LoseAnswer) || now + back > deadline {
            if let Some(wire) = socket.and_then(|socket| self.wires.of(socket)) {
                wire.dead = true;
            }
            if self.dice.up_to(1) == 0 {
                let late = failed(kind, network(NetworkKind::TimedOut));
                self.agenda.plan(deadline.max(now + 1), Item::Answer(ticket, late));
            }
            return;
        }
        let at = now + back;
        if let Some(wire) = socket.and_then(|socket| self.wires.of(socket)) {
            wire.last_arrival = at;
        }
        if self.dice.up_to(999) < self.manners.forgery {
            self.agenda.plan(at + self.dice.up_to(5_000), Item::Answer(ticket, outcome.clone()));
        }
        self.agenda.plan(at, Item::Answer(ticket, outcome));
    }

    fn fate(&mut self, kind: usize, effect: &Effect) -> Fate {
        if let Some(fate) = self.manners.script[kind].pop_front() {
            return fate;
        }
        let door = [LOGIN, API, API, STREAMING][kind];
        let (until, how) = &self.manners.shut[door];
        if self.clock.truth < *until {
            return how.clone().map_or(Fate::Lose, Fate::Fail);
        }
        if self.sabotage.is(Fault::NeverOpens) && self.weather.recoveries > 0 && kind == 3 {
            return Fate::Lose;
        }
        if self.manners.refuses_credentials && kind == 0 {
            return Fate::Fail(oauth(400, "invalid_client"));
        }
        if matches!(effect, Effect::OpenSocket { .. }) && self.dice.up_to(999) < self.manners.young_404 {
            return Fate::Fail(http(404, "not.found"));
        }
        if self.dice.up_to(999) >= self.manners.misfortune {
            return Fate::Serve;
        }
        self.misfortune(kind)
    }

    fn misfortune(&mut self, kind: usize) -> Fate {
        let wait = self.dice.up_to(self.manners.longest_wait_ms);
        match self.dice.up_to(9) {
            0 => Fate::Lose,
            1 => Fate::LoseAnswer,
            2 => Fate::Late(self.dice.up_to(40_000)),
            3 if kind == 0 => Fate::Fail(Failure::OAuth {
                status: 429,
                error: String::new(),
                description: None,
                retry_after_ms: Some(wait),
                correlation_id: None,
            }),
            3 => Fate::Fail(throttled(429, wait)),
            4 => Fate::Fail(throttled(503, wait / 4)),
            5 => Fate::Fail(http(500, "internal.server.error")),
            6 => Fate::Fail(network(NetworkKind::Refused)),
            7 => Fate::Fail(Failure::Protocol("an answer of nonsense".into())),
            8 => Fate::Fail(http(504, "request.timeout")),
            _ => Fate::Fail(network(NetworkKind::Reset)),
        }
    }

    fn serve(&mut self, operation: &Operation) -> Outcome {
        let now = self.clock.truth;
        match &operation.effect {
            Effect::FetchToken { generation, .. } => {
                let ends_at = now + self.service.token_life;
                self.service.tokens.insert(generation.0, Token { ends_at, revoked: false });
                self.agenda.plan(ends_at, Item::TokenEnds(generation.0));
                let life = self.service.token_life;
                let expires_in_ms = (life != 24 * 3_600_000).then_some(life);
                Outcome::Token(Ok(TokenGrant { expires_in_ms }))
            }
            Effect::CreateChannel { link, generation } => match self.service.create(generation.0, now) {
                Ok((key, channel, displaced)) => {
                    self.agenda.plan(now + self.service.channel_life, Item::ChannelEnds(key));
                    self.channel_of.insert(*link, key);
                    if let Some(other) = displaced {
                        self.displace(other);
                    }
                    self.service.tidy();
                    Outcome::Channel(Ok(channel))
                }
                Err(failure) => Outcome::Channel(Err(failure)),
            },
            Effect::Subscribe { link, generation, verb, topics } => {
                let key = self.channel_of.get(link).copied().unwrap_or(0);
                let result = self.service.subscribe(key, generation.0, *verb, topics, now);
                self.refresh();
                Outcome::Subscriptions(result)
            }
            Effect::OpenSocket { link, socket } => {
                let key = self.channel_of.get(link).copied().unwrap_or(0);
                let Some(channel) = self.service.channels.get_mut(&key).filter(|channel| !channel.gone)
                else {
                    return Outcome::Socket(Err(http(404, "not.found")));
                };
                // A second socket on the same channel ends the first.
                let before = channel.carrier.replace(*socket);
                self.wires.by_id.insert(*socket, Wire::new(*link, key));
                self.agenda.plan(now + self.manners.beat_ms, Item::Beat(*socket));
                if let Some(before) = before {
                    self.end_socket(before, Ending::Closed(1000, String::new()));
                }
                Outcome::Socket(Ok(()))
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let now = self.clock.now().mono;
        let effect = self.rules.knows(ticket).cloned();
        // The driver stops a cancelled operation, but its result may be on the way already.
        if effect.is_none() && self.dice.up_to(1) == 0 {
            return;
        }
        if effect.is_some() && self.dice.up_to(999) < self.manners.forgery {
            self.forge(ticket, kind(effect.as_ref().expect("just checked")));
        }
        let awaited = self.rules.answered(ticket, &outcome, now);
        if let (true, Some(effect)) = (awaited, &effect) {
            match (effect, &outcome) {
                (Effect::OpenSocket { socket, .. }, Outcome::Socket(Ok(()))) => {
                    if let Some(wire) = self.wires.of(*socket) {
                        (wire.opening, wire.open_here) = (false, true);
                    }
                    self.old_sockets.push(*socket);
                }
                (Effect::Subscribe { link, .. }, Outcome::Subscriptions(Ok(_))) => {
                    let key = self.channel_of.get(link).copied().unwrap_or(0);
                    let topics = self.service.channels.get(&key).map(|channel| channel.topics.clone());
                    // A list confirmed earlier still holds; what matters is when the youngest part was asked for.
                    let asked_at = self.asked_at.remove(&ticket).unwrap_or(0);
                    let told_at = self.clock.truth;
                    self.acked.insert(*link, Acked { asked_at, told_at, topics: topics.unwrap_or_default() });
                }
                _ => {}
            }
        }
        self.accepted |=
            awaited && matches!(outcome, Outcome::Channel(Ok(_)) | Outcome::Subscriptions(Ok(_)));
        self.old_tickets.push(ticket);
        let outcome = self.sabotage.outcome(outcome);
        self.tell(Input::Done(ticket, outcome));
        self.refresh();
    }

    /// A result of another kind, one for a ticket that never was, one for an old one, the end of an old socket.
    fn forge(&mut self, ticket: Ticket, kind: usize) {
        let other = (kind + 1 + self.dice.up_to(1) as usize) % 4;
        let other = if other == kind { (kind + 1) % 4 } else { other };
        let outcome = match other {
            0 => Outcome::Token(Ok(TokenGrant { expires_in_ms: Some(1) })),
            1 => Outcome::Channel(Err(http(403, "forged"))),
            2 => Outcome::Subscriptions(Ok(Vec::new())),
            _ => Outcome::Socket(Err(http(404, "forged"))),
        };
        self.tell(Input::Done(ticket, outcome.clone()));
        let never = Ticket(u64::MAX - self.dice.up_to(1_000));
        self.tell(Input::Done(never, outcome));
        let pick = self.dice.up_to(self.old_tickets.len().max(1) as u64 - 1) as usize;
        if let Some(old) = self.old_tickets.get(pick).copied()
            && self.rules.knows(old).is_none()
        {
            self.tell(Input::Done(old, failed(kind, http(401, "bad.credentials"))));
        }
        let pick = self.dice.up_to(self.old_sockets.len().max(1) as u64 - 1) as usize;
        if let Some(old) = self.old_sockets.get(pick).copied()
            && !self.wires.is_open_here(old)
        {
            self.tell(Input::SocketClosed(old, Ending::Closed(1008, "forged".into())));
            self.tell(Input::Paused(old, true));
            let disposition = self.call(|machine, cx| machine.frame(cx, old, &Frame::Reply(Some(404))));
            assert_eq!(disposition, Disposition::Drop, "a frame of an old socket did something");
        }
        self.old_tickets.drain(..self.old_tickets.len().saturating_sub(20));
        self.old_sockets.drain(..self.old_sockets.len().saturating_sub(20));
    }

    // Sockets.

    pub(crate) fn send(&mut self, socket: SocketId, cargo: Cargo) {
        let latency = self.socket_latency();
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket) else { return };
        let at = (now + latency).max(wire.last_arrival).max(wire.stalled_until);
        wire.last_arrival = at;
        self.agenda.plan(at, Item::Arrive(socket, cargo));
    }

    fn arrive(&mut self, socket: SocketId, cargo: Cargo) {
        // What waited during a pause is read first.
        let (frozen, now) = (self.frozen, self.clock.truth);
        let thawing = self.thawed_at == now;
        let item = Item::Read(socket, cargo);
        let Some(wire) = self.wires.of(socket) else { return self.lose(&item) };
        if wire.dead || !(wire.open_here || wire.opening) {
            return self.lose(&item);
        }
        if wire.paused {
            wire.unread.push_back(item);
        } else if let Some((until, ..)) = frozen {
            self.agenda.plan(until, item);
        } else if thawing {
            self.agenda.plan(now, item);
        } else if let Item::Read(socket, cargo) = item {
            self.read(socket, cargo);
        }
    }

    fn read(&mut self, socket: SocketId, cargo: Cargo) {
        let item = Item::Read(socket, cargo);
        let Some(wire) = self.wires.of(socket).filter(|wire| wire.open_here) else {
            return self.lose(&item);
        };
        if wire.paused {
            return wire.unread.push_back(item);
        }
        let (link, Item::Read(_, cargo)) = (wire.link, item) else { return };
        if !matches!(cargo, Cargo::Beat) {
            self.note(|| format!("{socket:?} reads {cargo:?}"));
        }
        match cargo {
            Cargo::Event(event) => self.read_event(socket, link, event),
            Cargo::Damaged(event) => {
                let why = genesys_notifications_proto::Unreadable::NotJson;
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Unreadable(why)));
                self.truth.copy_ended(event);
            }
            Cargo::Garbage(why) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Unreadable(why)));
            }
            Cargo::Beat => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Heartbeat));
            }
            Cargo::Pong(sent) => {
                if let Some(wire) = self.wires.of(socket) {
                    wire.doubt = wire.doubt.filter(|(_, until)| sent < *until);
                }
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Pong));
                self.proven(link, sent);
            }
            Cargo::System(notice) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::System(notice)));
            }
            Cargo::Reply(code) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Reply(Some(code))));
            }
        }
    }

    fn read_event(&mut self, socket: SocketId, link: LinkId, event: u32) {
        let (topic, body) = self.truth.topic_and_body(event);
        self.truth.seen(event, link);
        let body = format!("{{\"n\":{body}}}");
        let name = std::mem::take(&mut self.service.names[usize::from(topic)]);
        let envelope = Envelope { topic: Cow::Borrowed(&name), body: &body, version: None, metadata: None };
        self.calls += 1;
        let mut cx =
            Context { now: self.clock.now(), random: &mut self.jitter, governor: &mut self.governor };
        let disposition = self.machine.frame(&mut cx, socket, &Frame::Event(envelope));
        self.service.names[usize::from(topic)] = name;
        self.drain();
        let disposition = self.sabotage.disposition(disposition, TopicId(u32::from(topic)), event);
        self.note(|| format!("  = {disposition:?}"));
        match disposition {
            Disposition::Deliver(_) => self.deliver(event, false),
            Disposition::Hold(_) => {
                if let Some(wire) = self.wires.of(socket) {
                    wire.held.push(event);
                }
            }
            Disposition::Drop => self.truth.copy_ended(event),
        }
    }

    /// An event is handed to the user; `released` if it was held back until its socket was proven.
    pub(crate) fn deliver(&mut self, event: u32, released: bool) {
        let (topic, _) = self.truth.topic_and_body(event);
        if released {
            self.truth.released(topic);
        }
        if self.record.keep {
            self.record.delivered.push((self.clock.now().mono, topic));
        }
        self.truth.delivered(event);
        self.truth.copy_ended(event);
    }

    /// A frame nobody will read.
    pub(crate) fn lose(&mut self, item: &Item) {
        if let Item::Read(_, Cargo::Event(event) | Cargo::Damaged(event)) = item {
            self.truth.copy_ended(*event);
        }
    }

    fn ends(&mut self, socket: SocketId, ending: Ending) {
        let Some(wire) = self.wires.of(socket) else { return };
        if wire.paused {
            return wire.unread.push_back(Item::Ends(socket, ending));
        }
        if !wire.open_here || wire.dead {
            return;
        }
        self.ending = Some(socket);
        self.tell(Input::SocketClosed(socket, ending));
        self.ending = None;
        if self.wires.is_open_here(socket) {
            self.leave(socket);
        }
    }

    /// The service ends a socket; its end arrives behind its last frames.
    pub(crate) fn end_socket(&mut self, socket: SocketId, ending: Ending) {
        let latency = self.socket_latency();
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket) else { return };
        if !wire.open_there {
            return;
        }
        wire.open_there = false;
        let at = (now + latency).max(wire.last_arrival).max(wire.stalled_until);
        let key = wire.channel;
        self.agenda.plan(at, Item::Ends(socket, ending));
        if let Some(channel) = self.service.channels.get_mut(&key)
            && channel.carrier == Some(socket)
        {
            channel.carrier = None;
        }
        self.refresh();
    }

    /// From now on nothing passes, and nobody is told.
    pub(crate) fn cut(&mut self, socket: SocketId) {
        if let Some(wire) = self.wires.of(socket) {
            wire.dead = true;
        }
        self.refresh();
    }

    /// Nothing arrives on this socket for so long; then everything does.
    pub(crate) fn stall(&mut self, socket: SocketId, ms: u64) {
        let until = self.clock.truth + ms;
        self.stalled_until = self.stalled_until.max(until);
        if let Some(wire) = self.wires.of(socket) {
            wire.stalled_until = until;
        }
    }

    pub(crate) fn pause(&mut self, socket: SocketId, ms: u64) {
        let now = self.clock.truth;
        if let Some(wire) = self.wires.of(socket).filter(|wire| wire.open_here && !wire.paused) {
            wire.paused = true;
            wire.doubt = Some((wire.doubt.map_or(now, |(since, _)| since), u64::MAX));
            self.tell(Input::Paused(socket, true));
            self.agenda.plan(self.clock.truth + ms, Item::Resume(socket));
        }
    }

    fn resume(&mut self, socket: SocketId) {
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket).filter(|wire| wire.paused) else { return };
        wire.paused = false;
        wire.doubt = wire.doubt.map(|(since, _)| (since, now));
        let unread: Vec<Item> = wire.unread.drain(..).collect();
        if !self.wires.is_open_here(socket) {
            return;
        }
        self.tell(Input::Paused(socket, false));
        for item in unread {
            self.happen(item);
        }
    }

    fn left_at_service(&mut self, socket: SocketId) {
        let Some(wire) = self.wires.by_id.remove(&socket) else { return };
        for item in &wire.unread {
            self.lose(item);
        }
        if let Some(channel) = self.service.channels.get_mut(&wire.channel)
            && channel.carrier == Some(socket)
        {
            channel.carrier = None;
        }
        self.refresh();
    }

    fn token_ends(&mut self, generation: u32) {
        if self.service.channels_end_with_token {
            let of = |channel: &Channel| channel.owner == generation && !channel.gone;
            let keys: Vec<u32> =
                self.service.channels.iter().filter(|(_, c)| of(c)).map(|(key, _)| *key).collect();
            for key in keys {
                self.channel_ends(key);
            }
        }
    }

    /// Only if the machine has used it: credentials refused again and again are hopeless (S2).
    pub(crate) fn revoke_newest(&mut self, told: bool) {
        let Some(newest) = self.service.tokens.last_key_value().map(|(generation, _)| *generation) else {
            return;
        };
        if std::mem::take(&mut self.accepted) {
            self.revoke(newest, told);
        }
    }

    pub(crate) fn revoke(&mut self, generation: u32, told: bool) {
        if let Some(token) = self.service.tokens.get_mut(&generation) {
            token.revoked = true;
        }
        if told {
            for socket in self.wires.open_here() {
                let key = self.wires.by_id[&socket].channel;
                if self.service.channels.get(&key).is_some_and(|channel| channel.owner == generation) {
                    self.send(socket, Cargo::System(SystemNotice::TokenRevoked));
                }
            }
            // What is told beforehand leaves time for an overlap.
            self.agenda.plan(self.clock.truth + 60_000, Item::TokenEnds(generation));
        } else {
            self.token_ends(generation);
        }
    }

    pub(crate) fn channel_ends(&mut self, key: u32) {
        let Some(channel) = self.service.channels.get_mut(&key).filter(|channel| !channel.gone) else {
            return;
        };
        channel.gone = true;
        let Some(socket) = channel.carrier else { return };
        match self.dice.up_to(3) {
            0 => self.end_socket(socket, Ending::Closed(1000, String::new())),
            1 => self.end_socket(socket, Ending::Closed(1008, String::new())),
            2 => self.cut(socket),
            _ => {
                self.send(socket, Cargo::Reply(404));
                self.end_socket(socket, Ending::Closed(1005, String::new()));
            }
        }
        self.refresh();
    }

    /// Another channel takes this one's place: told, and ended a minute later.
    pub(crate) fn displace(&mut self, key: u32) {
        let Some(channel) = self.service.channels.get(&key) else { return };
        let name = channel.name.clone();
        match channel.carrier {
            None => self.channel_ends(key),
            Some(socket) => {
                let notice = SystemNotice::NoLongerSubscribed { channel: name };
                self.send(socket, Cargo::System(notice));
                self.agenda.plan(self.clock.truth + 60_000, Item::ChannelEnds(key));
            }
        }
    }

    // Events.

    fn publish_next(&mut self) {
        let every = self.manners.publish_every_ms;
        if every == 0 || self.service.names.is_empty() {
            return;
        }
        let topic = self.dice.up_to(self.service.names.len() as u64 - 1) as u16;
        let like = (self.dice.up_to(9) == 0).then(|| self.truth.latest_of(topic)).flatten();
        self.publish(topic, like);
        let next = self.dice.between(1, 2 * every);
        self.agenda.plan(self.clock.truth + next, Item::Publish);
        // Bursts, some of them of one body.
        if self.dice.up_to(40) == 0 {
            let first = self.publish(topic, None);
            for _ in 0..self.dice.up_to(4) {
                let same = self.dice.up_to(1) == 0;
                self.publish(topic, same.then_some(first));
            }
        }
    }

    pub(crate) fn publish(&mut self, topic: u16, like: Option<u32>) -> u32 {
        let now = self.clock.truth;
        let due = (now + self.manners.socket_ms.1).max(self.stalled_until);
        let event = self.truth.publish(topic, like, now, (self.clock.wall(now), self.clock.wall(due)));
        let carriers: Vec<SocketId> = self
            .service
            .channels
            .values()
            .filter(|channel| !channel.gone && channel.topics.contains(&topic))
            .filter_map(|channel| channel.carrier)
            .collect();
        for socket in carriers {
            self.truth.copy_sent(event);
            self.send(socket, Cargo::Event(event));
        }
        self.truth.copy_ended(event);
        event
    }

    /// Who carries what has changed.
    pub(crate) fn refresh(&mut self) {
        let wall = self.clock.wall(self.clock.truth);
        let mut carried: BTreeSet<u16> = BTreeSet::new();
        for channel in self.service.channels.values().filter(|channel| !channel.gone) {
            let wire = channel.carrier.and_then(|socket| self.wires.by_id.get(&socket));
            if wire.is_some_and(Wire::carries) {
                carried.extend(&channel.topics);
            }
        }
        for number in self.truth.wanted() {
            self.truth.carried(number, carried.contains(&number), wall);
        }
    }

    /// A pong came back to a ping sent then: what was confirmed before that is live, if no other link is in play.
    fn proven(&mut self, link: LinkId, sent: u64) {
        let Some(acked) = self.acked.get(&link).filter(|acked| acked.told_at <= sent) else { return };
        let live: Vec<u16> = acked
            .topics
            .iter()
            .filter(|topic| !self.truth.was_live(**topic))
            .filter(|topic| self.wanted_at.get(topic).is_some_and(|at| *at <= acked.asked_at))
            .filter(|topic| self.asked.iter().all(|(other, asked)| *other == link || !asked.contains(topic)))
            .copied()
            .collect();
        let wall = self.clock.now().wall;
        for topic in live {
            self.truth.is_live(topic, wall);
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

pub(crate) fn failed(kind: usize, failure: Failure) -> Outcome {
    match kind {
        0 => Outcome::Token(Err(failure)),
        1 => Outcome::Channel(Err(failure)),
        2 => Outcome::Subscriptions(Err(failure)),
        _ => Outcome::Socket(Err(failure)),
    }
}

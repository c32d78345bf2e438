//! What no run may do, whatever the world does to it: checked at every output.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use genesys_notifications_proto::{
    ClientState, Effect, Failure, GovernorConfig, LinkId, Notice, Operation, Outcome, Output, SocketId,
    StateChange, Ticket, Verb,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Operations of one kind within a minute, per shard, that no misfortune justifies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) window_ms: u64,
    pub(crate) tokens: usize,
    pub(crate) creations: usize,
    pub(crate) subscriptions: usize,
    pub(crate) opens: usize,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    ends_at: u64,
    refused: bool,
}

/// The rules and what they need to remember.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    governor: GovernorConfig,
    state: ClientState,
    ended: bool,
    last_ticket: u64,
    last_socket: u32,
    operations: BTreeMap<Ticket, Effect>,
    links: BTreeSet<LinkId>,
    forgotten: BTreeSet<LinkId>,
    grants: BTreeMap<u32, Grant>,
    floors: [u64; 3],
    /// When the governor's buckets will be empty, kept independently of it.
    creations_empty_at: u64,
    calls_empty_at: u64,
    recent: HashMap<&'static str, VecDeque<u64>>,
    pub(crate) creations: u64,
    pub(crate) most_links: usize,
}

impl Rules {
    pub(crate) fn new(governor: GovernorConfig, bounds: Bounds) -> Self {
        Self {
            bounds,
            governor,
            state: ClientState::Idle,
            ended: false,
            last_ticket: 0,
            last_socket: 0,
            operations: BTreeMap::new(),
            links: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            grants: BTreeMap::new(),
            floors: [0; 3],
            creations_empty_at: 0,
            calls_empty_at: 0,
            recent: HashMap::new(),
            creations: 0,
            most_links: 80,
        }
    }

    pub(crate) fn knows(&self, ticket: Ticket) -> Option<&Effect> {
        self.operations.get(&ticket)
    }

    pub(crate) fn open_tickets(&self) -> Vec<Ticket> {
        self.operations.keys().copied().collect()
    }

    pub(crate) fn is_connecting(&self) -> bool {
        self.operations.values().any(|effect| matches!(effect, Effect::Connect { .. }))
    }

    pub(crate) fn floors(&self) -> [u64; 3] {
        self.floors
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// After the end only a request that came too late is settled.
    pub(crate) fn before_output(&self, output: &Output) {
        let settles = matches!(output, Output::Notify(Notice::Settled(_)));
        assert!(!self.ended || settles, "P9.1: an output after the end");
    }

    pub(crate) fn started(&mut self, operation: &Operation, now: u64) {
        assert!(
            !matches!(self.state, ClientState::Idle | ClientState::Closed | ClientState::Failed),
            "an operation was started in state {:?}",
            self.state
        );
        assert!(operation.ticket.0 > self.last_ticket, "a ticket was used twice");
        assert!(operation.timeout_ms > 0, "an operation has no deadline");
        self.last_ticket = operation.ticket.0;
        match &operation.effect {
            Effect::FetchToken { .. } => {
                let in_flight =
                    self.operations.values().any(|effect| matches!(effect, Effect::FetchToken { .. }));
                assert!(!in_flight, "P6.6: two token requests in flight");
                self.respects_floor(0, now);
                self.paced("token", now, self.bounds.tokens);
            }
            Effect::CreateChannel { link, generation } => {
                assert!(!self.forgotten.contains(link), "an output names {link:?}, which was forgotten");
                self.links.insert(*link);
                self.creations += 1;
                self.token_is_best(generation.0, now);
                self.respects_floor(1, now);
                self.paced("creation", now, self.bounds.creations);
                let (burst, interval) = (self.governor.channel_burst, self.governor.channel_interval_ms);
                take(&mut self.creations_empty_at, burst, interval, now);
                self.one_call(now);
            }
            Effect::Subscribe { link, generation, verb, topics } => {
                self.link_is_known(*link);
                let writing = self
                    .operations
                    .values()
                    .any(|effect| matches!(effect, Effect::Subscribe { link: other, .. } if other == link));
                assert!(!writing, "two subscription requests in flight for one channel");
                assert!(*verb == Verb::Clear || !topics.is_empty(), "a request about nothing");
                self.token_is_best(generation.0, now);
                self.respects_floor(1, now);
                self.paced("subscription", now, self.bounds.subscriptions);
                self.one_call(now);
            }
            Effect::OpenSocket { link, socket } => {
                self.link_is_known(*link);
                assert!(socket.0 > self.last_socket, "a socket's name was used twice");
                self.last_socket = socket.0;
                self.respects_floor(2, now);
                self.paced("open", now, self.bounds.opens);
            }
            Effect::ListChannels { generation } => {
                self.token_is_best(generation.0, now);
                self.respects_floor(1, now);
                self.one_call(now);
            }
            Effect::Connect { link, socket, generation, .. } => {
                assert!(!self.forgotten.contains(link), "an output names {link:?}, which was forgotten");
                self.links.insert(*link);
                let mut others = self.operations.values();
                let is_beside = others
                    .any(|effect| matches!(effect, Effect::Connect { link: other, .. } if other == link));
                assert!(!is_beside, "P6.1: two connections under way for one link");
                assert!(socket.0 > self.last_socket, "a socket's name was used twice");
                self.last_socket = socket.0;
                if let Some(generation) = generation {
                    self.token_is_best(generation.0, now);
                    let lives = self.grants.get(&generation.0).is_some_and(|grant| now < grant.ends_at);
                    assert!(lives, "P6.6: a connection with a token that has ended");
                }
                self.respects_floor(2, now);
                self.paced("open", now, self.bounds.opens);
            }
            Effect::LoadCursor => {
                let is_loading = self.operations.values().any(|effect| *effect == Effect::LoadCursor);
                assert!(!is_loading, "the cursor is loaded twice at once");
            }
            Effect::ListSubscriptions { link, generation } => {
                self.link_is_known(*link);
                self.token_is_best(generation.0, now);
                self.respects_floor(1, now);
                self.one_call(now);
            }
        }
        self.operations.insert(operation.ticket, operation.effect.clone());
        assert!(self.operations.len() <= self.most_links, "operations leak: {:?}", self.operations);
    }

    pub(crate) fn cancelled(&mut self, ticket: Ticket) -> Effect {
        let effect = self.operations.remove(&ticket);
        effect.expect("an operation was cancelled that had ended or never begun")
    }

    /// A result is about to be handed over. Says whether the machine is waiting for it.
    pub(crate) fn answered(&mut self, ticket: Ticket, outcome: &Outcome, now: u64) -> bool {
        let (door, failure) = match outcome {
            Outcome::Token(result) => (0, result.as_ref().err()),
            Outcome::Channel(result) => (1, result.as_ref().err()),
            Outcome::Subscriptions(result) => (1, result.as_ref().err()),
            Outcome::Socket(result) => (2, result.as_ref().err()),
            Outcome::Channels(result) => (1, result.as_ref().err()),
            Outcome::Listed(result) => (1, result.as_ref().err()),
            // Asks for no waits.
            Outcome::Cursor(_) => (2, None),
        };
        if let Some(wait) = failure.and_then(Failure::retry_after_ms) {
            self.floor(door, now + wait.min(DAY_MS));
        }
        let Some(effect) = self.operations.get(&ticket) else { return false };
        match (effect, outcome) {
            (Effect::FetchToken { generation, .. }, Outcome::Token(result)) => {
                if let Ok(grant) = result {
                    let ends_at = now + grant.expires_in_ms.unwrap_or(DAY_MS);
                    self.grants.insert(generation.0, Grant { ends_at, refused: false });
                }
            }
            (Effect::CreateChannel { generation, .. }, Outcome::Channel(Err(failure)))
            | (Effect::Connect { generation: Some(generation), .. }, Outcome::Socket(Err(failure)))
            | (Effect::Subscribe { generation, .. }, Outcome::Subscriptions(Err(failure))) => {
                if let (Some(401), Some(grant)) = (failure.status(), self.grants.get_mut(&generation.0)) {
                    grant.refused = true;
                }
            }
            (Effect::CreateChannel { .. }, Outcome::Channel(Ok(_)))
            | (Effect::Subscribe { .. }, Outcome::Subscriptions(Ok(_)))
            | (Effect::OpenSocket { .. } | Effect::Connect { .. }, Outcome::Socket(_))
            | (Effect::LoadCursor, Outcome::Cursor(_))
            | (Effect::ListChannels { .. }, Outcome::Channels(_))
            | (Effect::ListSubscriptions { .. }, Outcome::Listed(_)) => {}
            _ => return false,
        }
        self.operations.remove(&ticket);
        true
    }

    pub(crate) fn floor(&mut self, door: usize, at: u64) {
        self.floors[door] = self.floors[door].max(at);
    }

    pub(crate) fn forgot(&mut self, link: LinkId) {
        self.links.remove(&link);
        assert!(self.forgotten.insert(link), "{link:?} was forgotten twice");
        let left = self.operations.values().any(|effect| match effect {
            Effect::FetchToken { .. } | Effect::ListChannels { .. } | Effect::LoadCursor => false,
            Effect::CreateChannel { link: of, .. }
            | Effect::Connect { link: of, .. }
            | Effect::Subscribe { link: of, .. }
            | Effect::OpenSocket { link: of, .. }
            | Effect::ListSubscriptions { link: of, .. } => *of == link,
        });
        assert!(!left, "a link was forgotten with an operation under way");
    }

    pub(crate) fn link_is_known(&self, link: LinkId) {
        assert!(self.links.contains(&link), "an output names {link:?}, which was forgotten");
    }

    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }

    pub(crate) fn socket_is_known(&self, socket: SocketId, open: bool) {
        assert!(open, "an output names {socket:?}, which is not open");
    }

    pub(crate) fn state_changed(&mut self, change: &StateChange) {
        use ClientState::{Closed, Closing, Connected, Connecting, Failed, Idle, Reconnecting, Suspended};
        assert_eq!(change.previous, self.state, "a state was left that was never entered");
        let legal = match (change.previous, change.state) {
            (Closed | Failed, _) | (_, Idle) => false,
            (Idle, to) => matches!(to, Connecting | Closing),
            (Closing, to) => to == Closed,
            (_, Closed) => false,
            (Connecting, Reconnecting) | (Connected, Connecting) => false,
            (Reconnecting | Suspended, Connecting) | (Connected, Connected) => false,
            (Suspended, Reconnecting) => false,
            _ => true,
        };
        assert!(legal, "states: {:?} to {:?}", change.previous, change.state);
        self.state = change.state;
    }

    pub(crate) fn state(&self) -> ClientState {
        self.state
    }

    pub(crate) fn end(&mut self) {
        assert!(self.state.is_terminal(), "P9.1: closed in state {:?}", self.state);
        assert!(self.operations.is_empty() && self.links.is_empty(), "P9.2: something is left at the end");
        self.ended = true;
    }

    /// No expired or refused token while a better one is at hand.
    fn token_is_best(&self, generation: u32, now: u64) {
        let good = |grant: &Grant| !grant.refused && now < grant.ends_at;
        let used = self.grants.get(&generation).expect("a token is used that was never granted");
        let newest = self.grants.last_key_value().expect("there is at least the one in use").1;
        assert!(good(used) || !good(newest), "P6.6: an old token is used although a valid one is at hand");
    }

    fn respects_floor(&self, door: usize, now: u64) {
        assert!(
            now >= self.floors[door],
            "P6.3: Retry-After undercut by {} ms at door {door}",
            self.floors[door] - now
        );
    }

    fn paced(&mut self, what: &'static str, now: u64, most: usize) {
        let recent = self.recent.entry(what).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|at| *at + self.bounds.window_ms < now) {
            recent.pop_front();
        }
        assert!(recent.len() <= most, "P6.1: a storm, {} times \"{what}\" within a minute", recent.len());
    }

    fn one_call(&mut self, now: u64) {
        take(&mut self.calls_empty_at, self.governor.rest_burst, self.governor.rest_interval_ms, now);
    }
}

fn take(empty_at: &mut u64, burst: u32, interval: u64, now: u64) {
    *empty_at = (*empty_at).max(now) + interval;
    assert!(*empty_at <= now + interval * u64::from(burst), "P6.5: more than the governor allows");
}

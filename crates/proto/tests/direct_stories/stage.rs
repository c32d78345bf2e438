//! A machine, driven by hand.

use std::borrow::Cow;

use genesys_notifications_proto::{
    Auth, BackoffConfig, ClientState, Config, Context, Continuity, Direct, Disposition, Effect, Ending,
    Envelope, ErrorCode, Failure, Frame, Gap, Generation, Governor, GovernorConfig, HttpFailure, Initial,
    Input, Limits, Machine, Notice, Now, Operation, Outcome, Output, Renewal, RequestId, Resume, SocketId,
    SplitMix, Ticket, TokenGrant, Topic, TopicChange, TopicRequest,
};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
/// What a wall clock showed when the stage was built.
pub(crate) const EPOCH: u64 = 1_800_000_000_000;

/// A machine, and what it said since it was last asked.
pub(crate) struct Stage {
    pub(crate) machine: Machine,
    pub(crate) now: u64,
    pub(crate) random: SplitMix,
    pub(crate) governor: Governor,
    pub(crate) said: Vec<Output>,
}

pub(crate) fn direct() -> Direct {
    Direct {
        auth: Auth::Opening,
        ready_timeout_ms: None,
        lifetime_ms: None,
        subscribes: true,
        renewal: Renewal::Reconnect,
        resume: None,
        has_cursor: false,
        survives: false,
    }
}

pub(crate) fn resuming() -> Direct {
    Direct { resume: Some(Resume { initial: Initial::Now, inclusive: None }), ..direct() }
}

pub(crate) fn with_first_message() -> Direct {
    Direct { auth: Auth::FirstMessage, ready_timeout_ms: Some(10 * SECOND), ..direct() }
}

pub(crate) fn http(status: u16) -> Failure {
    Failure::Http(HttpFailure { status, ..HttpFailure::default() })
}

impl Stage {
    pub(crate) fn new(direct: Direct) -> Self {
        Self::with(direct, Continuity::Overlap)
    }

    pub(crate) fn with(direct: Direct, continuity: Continuity) -> Self {
        let backoff = BackoffConfig { initial_ms: 100, max_ms: 1_000, ..BackoffConfig::default() };
        let limits = Limits { topics_per_channel: usize::MAX, channels: 1, ..Limits::default() };
        let config = Config { direct: Some(direct), continuity, backoff, limits, ..Config::default() };
        Self {
            machine: Machine::new(config),
            now: 1_000,
            random: SplitMix::new(11),
            governor: Governor::new(GovernorConfig::default()),
            said: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, input: Input) {
        let now = Now { mono: self.now, wall: EPOCH + self.now };
        let mut cx = Context { now, random: &mut self.random, governor: &mut self.governor };
        self.machine.handle(&mut cx, input);
        self.listen();
    }

    pub(crate) fn frame(&mut self, socket: SocketId, frame: &Frame<'_>) -> Disposition {
        let now = Now { mono: self.now, wall: EPOCH + self.now };
        let mut cx = Context { now, random: &mut self.random, governor: &mut self.governor };
        let disposition = self.machine.frame(&mut cx, socket, frame);
        self.listen();
        disposition
    }

    pub(crate) fn listen(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.said.push(output);
        }
    }

    /// Lets time pass, with every deadline on the way.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let now = Now { mono: self.now, wall: EPOCH + self.now };
            let mut cx = Context { now, random: &mut self.random, governor: &mut self.governor };
            self.machine.handle_timeout(&mut cx);
            self.listen();
            assert!(
                self.machine.poll_timeout().is_none_or(|at| at > self.now),
                "the next deadline lies ahead"
            );
        }
        self.now = end;
    }

    pub(crate) fn want(&mut self, change: TopicChange, names: &[&str]) {
        let topics = names.iter().map(|name| Topic::free(name).expect("a topic of the test")).collect();
        self.tell(Input::Topics(TopicRequest { request: RequestId(1), change, topics }));
    }

    pub(crate) fn heard(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    /// The operation that was started last of those that fit, and was not asked for before.
    pub(crate) fn started(&mut self, fits: impl Fn(&Effect) -> bool) -> Option<Operation> {
        let is_it = |output: &Output| matches!(output, Output::Start(it) if fits(&it.effect));
        let position = self.said.iter().position(is_it)?;
        match self.said.remove(position) {
            Output::Start(operation) => Some(operation),
            _ => None,
        }
    }

    pub(crate) fn grant(&mut self, life: u64) -> Ticket {
        let operation = self.started(|it| matches!(it, Effect::FetchToken { .. })).expect("asks for a token");
        let grant = TokenGrant { expires_in_ms: Some(life) };
        self.tell(Input::Done(operation.ticket, Outcome::Token(Ok(grant))));
        operation.ticket
    }

    pub(crate) fn connection(&mut self) -> Option<Connection> {
        let operation = self.started(|it| matches!(it, Effect::Connect { .. }))?;
        let Effect::Connect { socket, generation, position, .. } = operation.effect else { unreachable!() };
        Some(Connection { ticket: operation.ticket, socket, generation, position })
    }

    /// Waits for the next attempt and lets it succeed.
    pub(crate) fn connect(&mut self) -> Connection {
        let connection = self.attempt();
        self.tell(Input::Done(connection.ticket, Outcome::Socket(Ok(()))));
        connection
    }

    pub(crate) fn attempt(&mut self) -> Connection {
        for _ in 0..2_000 {
            if let Some(connection) = self.connection() {
                return connection;
            }
            self.pass(50);
        }
        panic!("nothing is opened: {:?}", self.said);
    }

    pub(crate) fn refuse(&mut self, connection: &Connection, failure: Failure) {
        self.tell(Input::Done(connection.ticket, Outcome::Socket(Err(failure))));
    }

    /// The server answers the WebSocket pings that were sent.
    pub(crate) fn pong(&mut self, socket: SocketId) {
        let before = self.said.len();
        self.said.retain(|output| !same(output, &Output::Probe(socket)));
        let pings = before - self.said.len();
        assert!(pings > 0, "no WebSocket ping: {:?}", self.said);
        for _ in 0..pings {
            self.frame(socket, &Frame::ProbeAnswered);
        }
    }

    /// A client that is live.
    pub(crate) fn live(direct: Direct, topics: &[&str], life: u64) -> (Self, SocketId) {
        let mut stage = Self::new(direct);
        stage.want(TopicChange::Add, topics);
        stage.tell(Input::Connect);
        if stage
            .said
            .iter()
            .any(|it| matches!(it, Output::Start(o) if matches!(o.effect, Effect::FetchToken{..})))
        {
            stage.grant(life);
        }
        let socket = stage.go_live();
        (stage, socket)
    }

    pub(crate) fn go_live(&mut self) -> SocketId {
        let connection = self.connect();
        let socket = connection.socket;
        if self.said.iter().any(|it| matches!(it, Output::Authenticate(..))) {
            self.frame(socket, &Frame::Ready);
        }
        self.pong(socket);
        assert_eq!(self.machine.state(), ClientState::Connected);
        socket
    }

    pub(crate) fn event(
        &mut self,
        socket: SocketId,
        topic: &str,
        body: &str,
        position: Option<&str>,
    ) -> Disposition {
        let (topic, position) = (Cow::Borrowed(topic), position.map(Cow::Borrowed));
        let envelope = Envelope { topic, body, version: None, metadata: None, id: None, position };
        self.frame(socket, &Frame::Event(envelope))
    }

    pub(crate) fn is_delivered(&mut self, socket: SocketId, body: &str, position: &str) -> bool {
        matches!(self.event(socket, "a", body, Some(position)), Disposition::Deliver(_))
    }

    pub(crate) fn close(&mut self, socket: SocketId, code: u16) {
        self.tell(Input::SocketClosed(socket, Ending::Closed(code, String::new())));
    }

    pub(crate) fn has_said(&self, wanted: &Output) -> bool {
        self.said.iter().any(|output| same(output, wanted))
    }

    /// The topics asked for on a socket, in order.
    pub(crate) fn asked(&mut self, socket: SocketId) -> Vec<String> {
        let asks = self.said.iter().filter_map(|it| match it {
            Output::Ask(on, topic) if *on == socket => Some(self.machine.topic(*topic).as_str().to_owned()),
            _ => None,
        });
        let asked = asks.collect();
        self.said.retain(|it| !matches!(it, Output::Ask(..)));
        asked
    }

    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.machine.gaps()
    }

    pub(crate) fn told_gaps(&self) -> Vec<&Gap> {
        let gaps = self.said.iter().filter_map(|output| match output {
            Output::Notify(Notice::Gap(gap)) => Some(gap),
            _ => None,
        });
        gaps.collect()
    }

    pub(crate) fn errors(&self) -> Vec<ErrorCode> {
        let errors = self.said.iter().filter_map(|output| match output {
            Output::Notify(Notice::Error(report)) => Some(report.code),
            _ => None,
        });
        errors.collect()
    }
}

pub(crate) type Refuses = Box<dyn Fn(&mut Stage, &Connection)>;

pub(crate) struct Connection {
    pub(crate) ticket: Ticket,
    pub(crate) socket: SocketId,
    pub(crate) generation: Option<Generation>,
    pub(crate) position: Option<String>,
}

pub(crate) fn same(a: &Output, b: &Output) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// The server speaks each second, but says nothing of importance.
pub(crate) fn chatter(stage: &mut Stage, socket: SocketId, seconds: u64) {
    for _ in 0..seconds {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
}

//! Stories about direct endpoints, told by hand: every output is looked at, every input given.

use std::borrow::Cow;

use genesys_notifications_proto::{
    Auth, BackoffConfig, Certainty, ClientState, Config, Context, Continuity, Cursor, Direct, Disposition,
    Effect, Ending, Envelope, ErrorCode, Failure, Frame, Gap, Generation, Governor, GovernorConfig,
    HttpFailure, Initial, Input, Limits, Machine, Notice, Now, Operation, Outcome, Output, Reason, Renewal,
    RequestId, Resume, SocketId, SplitMix, Ticket, TokenGrant, Topic, TopicChange, TopicRequest,
};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// What a wall clock showed when the stage was built.
const EPOCH: u64 = 1_800_000_000_000;

/// A machine, and what it said since it was last asked.
struct Stage {
    machine: Machine,
    now: u64,
    random: SplitMix,
    governor: Governor,
    said: Vec<Output>,
}

fn direct() -> Direct {
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

fn resuming() -> Direct {
    Direct { resume: Some(Resume { initial: Initial::Now, inclusive: None }), ..direct() }
}

fn with_first_message() -> Direct {
    Direct { auth: Auth::FirstMessage, ready_timeout_ms: Some(10 * SECOND), ..direct() }
}

fn http(status: u16) -> Failure {
    Failure::Http(HttpFailure { status, ..HttpFailure::default() })
}

impl Stage {
    fn new(direct: Direct) -> Self {
        Self::with(direct, Continuity::Overlap)
    }

    fn with(direct: Direct, continuity: Continuity) -> Self {
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

    fn tell(&mut self, input: Input) {
        let now = Now { mono: self.now, wall: EPOCH + self.now };
        let mut cx = Context { now, random: &mut self.random, governor: &mut self.governor };
        self.machine.handle(&mut cx, input);
        self.listen();
    }

    fn frame(&mut self, socket: SocketId, frame: &Frame<'_>) -> Disposition {
        let now = Now { mono: self.now, wall: EPOCH + self.now };
        let mut cx = Context { now, random: &mut self.random, governor: &mut self.governor };
        let disposition = self.machine.frame(&mut cx, socket, frame);
        self.listen();
        disposition
    }

    fn listen(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            self.said.push(output);
        }
    }

    /// Lets time pass, with every deadline on the way.
    fn pass(&mut self, ms: u64) {
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

    fn want(&mut self, change: TopicChange, names: &[&str]) {
        let topics = names.iter().map(|name| Topic::free(name).expect("a topic of the test")).collect();
        self.tell(Input::Topics(TopicRequest { request: RequestId(1), change, topics }));
    }

    fn heard(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.said)
    }

    /// The operation that was started last of those that fit, and was not asked for before.
    fn started(&mut self, fits: impl Fn(&Effect) -> bool) -> Option<Operation> {
        let is_it = |output: &Output| matches!(output, Output::Start(it) if fits(&it.effect));
        let position = self.said.iter().position(is_it)?;
        match self.said.remove(position) {
            Output::Start(operation) => Some(operation),
            _ => None,
        }
    }

    fn grant(&mut self, life: u64) -> Ticket {
        let operation = self.started(|it| matches!(it, Effect::FetchToken { .. })).expect("asks for a token");
        let grant = TokenGrant { expires_in_ms: Some(life) };
        self.tell(Input::Done(operation.ticket, Outcome::Token(Ok(grant))));
        operation.ticket
    }

    fn connection(&mut self) -> Option<Connection> {
        let operation = self.started(|it| matches!(it, Effect::Connect { .. }))?;
        let Effect::Connect { socket, generation, position, .. } = operation.effect else { unreachable!() };
        Some(Connection { ticket: operation.ticket, socket, generation, position })
    }

    /// Waits for the next attempt and lets it succeed.
    fn connect(&mut self) -> Connection {
        let connection = self.attempt();
        self.tell(Input::Done(connection.ticket, Outcome::Socket(Ok(()))));
        connection
    }

    fn attempt(&mut self) -> Connection {
        for _ in 0..2_000 {
            if let Some(connection) = self.connection() {
                return connection;
            }
            self.pass(50);
        }
        panic!("nothing is opened: {:?}", self.said);
    }

    fn refuse(&mut self, connection: &Connection, failure: Failure) {
        self.tell(Input::Done(connection.ticket, Outcome::Socket(Err(failure))));
    }

    /// The server answers the WebSocket pings that were sent.
    fn pong(&mut self, socket: SocketId) {
        let before = self.said.len();
        self.said.retain(|output| !same(output, &Output::Probe(socket)));
        let pings = before - self.said.len();
        assert!(pings > 0, "no WebSocket ping: {:?}", self.said);
        for _ in 0..pings {
            self.frame(socket, &Frame::ProbeAnswered);
        }
    }

    /// A client that is live.
    fn live(direct: Direct, topics: &[&str], life: u64) -> (Self, SocketId) {
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

    fn go_live(&mut self) -> SocketId {
        let connection = self.connect();
        let socket = connection.socket;
        if self.said.iter().any(|it| matches!(it, Output::Authenticate(..))) {
            self.frame(socket, &Frame::Ready);
        }
        self.pong(socket);
        assert_eq!(self.machine.state(), ClientState::Connected);
        socket
    }

    fn event(&mut self, socket: SocketId, topic: &str, body: &str, position: Option<&str>) -> Disposition {
        let (topic, position) = (Cow::Borrowed(topic), position.map(Cow::Borrowed));
        let envelope = Envelope { topic, body, version: None, metadata: None, id: None, position };
        self.frame(socket, &Frame::Event(envelope))
    }

    fn is_delivered(&mut self, socket: SocketId, body: &str, position: &str) -> bool {
        matches!(self.event(socket, "a", body, Some(position)), Disposition::Deliver(_))
    }

    fn close(&mut self, socket: SocketId, code: u16) {
        self.tell(Input::SocketClosed(socket, Ending::Closed(code, String::new())));
    }

    fn has_said(&self, wanted: &Output) -> bool {
        self.said.iter().any(|output| same(output, wanted))
    }

    /// The topics asked for on a socket, in order.
    fn asked(&mut self, socket: SocketId) -> Vec<String> {
        let asks = self.said.iter().filter_map(|it| match it {
            Output::Ask(on, topic) if *on == socket => Some(self.machine.topic(*topic).as_str().to_owned()),
            _ => None,
        });
        let asked = asks.collect();
        self.said.retain(|it| !matches!(it, Output::Ask(..)));
        asked
    }

    fn gaps(&self) -> Vec<Gap> {
        self.machine.gaps()
    }

    fn told_gaps(&self) -> Vec<&Gap> {
        let gaps = self.said.iter().filter_map(|output| match output {
            Output::Notify(Notice::Gap(gap)) => Some(gap),
            _ => None,
        });
        gaps.collect()
    }

    fn errors(&self) -> Vec<ErrorCode> {
        let errors = self.said.iter().filter_map(|output| match output {
            Output::Notify(Notice::Error(report)) => Some(report.code),
            _ => None,
        });
        errors.collect()
    }
}

type Refuses = Box<dyn Fn(&mut Stage, &Connection)>;

struct Connection {
    ticket: Ticket,
    socket: SocketId,
    generation: Option<Generation>,
    position: Option<String>,
}

fn same(a: &Output, b: &Output) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

// P12.1
#[test]
fn it_waits_for_a_token_then_opens_then_asks_then_is_live_once_a_websocket_pong_came() {
    let mut stage = Stage::new(direct());
    stage.want(TopicChange::Add, &["a", "b"]);
    stage.tell(Input::Connect);
    assert!(stage.connection().is_none(), "without a token");
    stage.grant(MINUTE);
    let connection = stage.connect();
    assert_eq!(connection.generation, Some(Generation(1)));
    assert_eq!(connection.position, None);
    assert_eq!(stage.asked(connection.socket), ["a", "b"]);
    assert_eq!(stage.machine.state(), ClientState::Connecting);
    stage.pong(connection.socket);
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(!stage.said.iter().any(|it| matches!(it, Output::Ping(_))), "no application ping");
}

// P12.1
#[test]
fn nothing_is_sent_before_ready_but_the_first_message() {
    let mut stage = Stage::new(with_first_message());
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let socket = stage.connect().socket;
    assert!(stage.has_said(&Output::Authenticate(socket, Generation(1))));
    stage.want(TopicChange::Add, &["b"]);
    stage.pass(9 * SECOND);
    assert!(stage.asked(socket).is_empty());
    stage.frame(socket, &Frame::Ready);
    assert_eq!(stage.asked(socket), ["a", "b"]);
}

// P12.1
#[test]
fn a_server_that_never_says_that_it_is_ready_is_left_in_time() {
    let mut stage = Stage::new(with_first_message());
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let socket = stage.connect().socket;
    stage.pass(10 * SECOND);
    assert!(stage.has_said(&Output::DropSocket(socket)));
    assert_ne!(stage.attempt().socket, socket);
}

// P12.1
#[test]
fn nobody_is_authenticated_where_nothing_is_to_be() {
    let mut stage = Stage::new(Direct { auth: Auth::None, ..direct() });
    stage.tell(Input::Connect);
    assert!(stage.started(|it| matches!(it, Effect::FetchToken { .. })).is_none());
    assert_eq!(stage.connect().generation, None);
}

// P12.2
#[test]
fn topics_are_asked_for_again_on_every_connection_and_those_added_offline_as_well() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], MINUTE);
    stage.heard();
    stage.want(TopicChange::Add, &["b"]);
    assert_eq!(stage.asked(socket), ["b"], "only what is new");
    stage.close(socket, 1000);
    stage.want(TopicChange::Add, &["c"]);
    stage.want(TopicChange::Remove, &["a"]);
    let socket = stage.connect().socket;
    assert_eq!(stage.asked(socket), ["b", "c"]);
}

// P12.2
#[test]
fn a_topic_counts_as_subscribed_once_a_pong_shows_that_the_server_has_read_of_it() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], MINUTE);
    stage.heard();
    stage.want(TopicChange::Add, &["b"]);
    let is_settled = |stage: &Stage| stage.has_said(&Output::Notify(Notice::Settled(RequestId(1))));
    assert_eq!(stage.asked(socket), ["b"]);
    assert!(!is_settled(&stage));
    stage.pong(socket);
    assert!(is_settled(&stage));
}

// P12.2
#[test]
fn what_was_not_asked_for_is_delivered_too_unless_it_was_unsubscribed() {
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], MINUTE);
    stage.want(TopicChange::Remove, &["b"]);
    let verdicts = ["a", "b", "odd", "A"].map(|topic| stage.event(socket, topic, "1", None));
    assert!(matches!(verdicts[0], Disposition::Deliver(_)));
    assert_eq!(verdicts[1], Disposition::Drop);
    assert!(matches!(verdicts[2], Disposition::Deliver(_)));
    assert!(matches!(verdicts[3], Disposition::Deliver(_)));
}

// P12.3
#[test]
fn a_close_with_1000_is_not_the_end_and_its_outage_is_a_gap() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * MINUTE);
    stage.heard();
    stage.close(socket, 1000);
    assert_eq!(stage.machine.state(), ClientState::Reconnecting);
    assert_eq!(stage.told_gaps().len(), 1);
    stage.go_live();
    let gaps = stage.gaps();
    assert_eq!((gaps.len(), gaps[0].reason), (1, Reason::SocketClosed));
    assert!(gaps[0].to.is_some());
    assert_eq!(gaps[0].topics, ["a"]);
}

// P12.3
#[test]
fn without_topics_gaps_are_told_of_everything_and_the_list_of_topics_is_empty() {
    let (mut stage, socket) = Stage::live(direct(), &[], 10 * MINUTE);
    assert!(stage.machine.topics().is_empty());
    assert!(!stage.said.iter().any(|it| matches!(it, Output::Notify(Notice::Topic(_)))), "{:?}", stage.said);
    assert!(stage.asked(socket).is_empty());
    stage.close(socket, 1006);
    assert_eq!(stage.gaps()[0].topics, ["*"]);
}

// P12.2
#[test]
fn a_topic_that_is_called_a_star_is_a_topic() {
    let (mut stage, socket) = Stage::live(direct(), &["*"], 10 * MINUTE);
    assert_eq!(stage.asked(socket), ["*"]);
    assert_eq!(stage.machine.topics().len(), 1);
}

// P12.4
#[test]
fn a_renewed_token_means_a_second_connection_before_the_first_one_goes() {
    let (mut stage, old) = Stage::live(direct(), &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    let connection = stage.connect();
    assert_eq!(connection.generation, Some(Generation(2)));
    assert!(!stage.has_said(&Output::CloseSocket(old, 1000)));
    // The old one shows that it lived until the new one is proven; only then it goes.
    stage.pong(connection.socket);
    stage.pong(old);
    stage.pong(old);
    stage.pass(5 * SECOND);
    assert!(stage.has_said(&Output::CloseSocket(old, 1000)));
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(stage.gaps().is_empty());
}

// P5, P12.4
#[test]
fn what_both_connections_bring_is_delivered_once_also_after_an_outage() {
    let (mut stage, first) = Stage::live(direct(), &["a"], 20 * SECOND);
    stage.close(first, 1006);
    let connection = stage.attempt();
    stage.pass(3 * SECOND);
    stage.refuse(&connection, http(503));
    let old = stage.go_live();
    stage.pass(16 * SECOND);
    assert!(matches!(stage.event(old, "a", "1", None), Disposition::Deliver(_)));
    stage.pass(1);
    stage.grant(20 * SECOND);
    let new = stage.connect().socket;
    stage.pass(100);
    assert!(matches!(stage.event(old, "a", "2", None), Disposition::Deliver(_)));
    assert_eq!(stage.event(new, "a", "2", None), Disposition::Drop);
    // What came before the second connection was opened is no copy of what it brings.
    assert_ne!(stage.event(new, "a", "1", None), Disposition::Drop);
}

// P12.4
#[test]
fn copies_of_two_connections_are_known_however_long_the_first_one_took() {
    let mut stage = Stage::new(direct());
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.pass(10 * SECOND);
    stage.grant(10 * SECOND);
    let old = stage.go_live();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    let new = stage.connect().socket;
    let is_delivered = |stage: &mut Stage, socket: SocketId, body: &str| {
        matches!(stage.event(socket, "a", body, None), Disposition::Deliver(_))
    };
    for (first, second, body) in [(old, new, "1"), (new, old, "2")] {
        assert!(is_delivered(&mut stage, first, body));
        assert!(!is_delivered(&mut stage, second, body), "{body}");
        // The server really sends it again.
        assert!(is_delivered(&mut stage, second, body), "{body}");
    }
}

// P12.4
#[test]
fn a_connection_whose_end_is_known_is_replaced_before_it() {
    for auth in [Auth::Opening, Auth::None] {
        let direct = Direct { auth, lifetime_ms: Some(MINUTE), ..direct() };
        let (mut stage, old) = Stage::live(direct, &["a"], 60 * MINUTE);
        for _ in 0..48 {
            stage.pass(SECOND);
            stage.frame(old, &Frame::Other);
        }
        assert!(stage.connection().is_none(), "too soon");
        for _ in 0..10 {
            stage.pass(SECOND);
            stage.frame(old, &Frame::Other);
        }
        let new = stage.connect().socket;
        stage.pong(new);
        stage.pong(old);
        stage.close(old, 1000);
        assert_eq!(stage.machine.state(), ClientState::Connected);
        assert!(stage.gaps().is_empty());
    }
}

// P12.4
#[test]
fn a_renewed_token_is_told_on_the_same_socket_where_that_is_the_way() {
    let direct = Direct { renewal: Renewal::Message, ..with_first_message() };
    let (mut stage, socket) = Stage::live(direct, &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    stage.pass(5 * SECOND);
    assert!(stage.has_said(&Output::Authenticate(socket, Generation(2))));
    assert_eq!(stage.frame(socket, &Frame::Ready), Disposition::Drop);
    stage.pass(SECOND);
    assert!(stage.connection().is_none(), "no second connection");
    assert_eq!(stage.machine.state(), ClientState::Connected);
}

// P12.4
#[test]
fn a_renewal_that_is_not_answered_is_done_by_a_second_connection() {
    let direct = Direct { renewal: Renewal::Message, ..with_first_message() };
    let (mut stage, socket) = Stage::live(direct, &["a"], 100 * SECOND);
    stage.heard();
    // Heartbeats go on, the answer does not come.
    for _ in 0..80 {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
    stage.grant(100 * SECOND);
    for _ in 0..16 {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
    assert!(stage.connection().is_some());
    assert!(!stage.has_said(&Output::DropSocket(socket)));
}

// P12.4
#[test]
fn nothing_is_opened_with_a_token_that_ends_at_any_moment() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(9_900);
    let renewal = stage.started(|it| matches!(it, Effect::FetchToken { .. })).unwrap();
    stage.close(socket, 1006);
    stage.pass(5 * SECOND);
    assert!(stage.connection().is_none(), "the token ends while the connection is opened");
    let grant = TokenGrant { expires_in_ms: Some(10 * SECOND) };
    stage.tell(Input::Done(renewal.ticket, Outcome::Token(Ok(grant))));
    assert_eq!(stage.attempt().generation, Some(Generation(2)));
}

// P12.5
#[test]
fn a_refused_token_is_renewed_before_the_next_attempt_whatever_the_words() {
    let close = |code| {
        move |stage: &mut Stage, it: &Connection| {
            stage.tell(Input::Done(it.ticket, Outcome::Socket(Ok(()))));
            stage.close(it.socket, code);
        }
    };
    let frame = |status| {
        move |stage: &mut Stage, it: &Connection| {
            stage.tell(Input::Done(it.ticket, Outcome::Socket(Ok(()))));
            stage.frame(it.socket, &Frame::Refused(HttpFailure { status, ..HttpFailure::default() }));
        }
    };
    let ways: Vec<Refuses> = vec![
        Box::new(|stage, it| stage.refuse(it, http(401))),
        Box::new(|stage, it| stage.refuse(it, http(403))),
        Box::new(frame(401)),
        Box::new(frame(403)),
        Box::new(close(4401)),
        Box::new(close(4403)),
        Box::new(close(1008)),
        Box::new(close(3000)),
    ];
    for (number, refuse) in ways.iter().enumerate() {
        let mut stage = Stage::new(with_first_message());
        stage.tell(Input::Connect);
        stage.grant(MINUTE);
        let first = stage.attempt();
        refuse(&mut stage, &first);
        stage.pass(SECOND);
        assert!(stage.connection().is_none(), "way {number}: with the same token");
        stage.grant(MINUTE);
        assert_eq!(stage.attempt().generation, Some(Generation(2)), "way {number}");
    }
}

// P12.5
#[test]
fn credentials_that_never_worked_fail_once_a_renewed_token_is_refused_as_well() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let first = stage.attempt();
    stage.refuse(&first, http(401));
    stage.pass(SECOND);
    stage.grant(MINUTE);
    let second = stage.attempt();
    stage.refuse(&second, http(401));
    assert_eq!(stage.machine.state(), ClientState::Failed);
}

// P12.5
#[test]
fn a_token_that_is_refused_in_mid_stream_is_renewed_while_the_socket_stays() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * MINUTE);
    stage.heard();
    stage.frame(socket, &Frame::Refused(HttpFailure { status: 401, ..HttpFailure::default() }));
    assert_eq!(stage.errors(), [ErrorCode::TokenRejected]);
    stage.grant(10 * MINUTE);
    stage.pass(5 * SECOND);
    assert!(!stage.has_said(&Output::DropSocket(socket)));
    assert_eq!(stage.attempt().generation, Some(Generation(2)));
}

// P6.6
#[test]
fn a_server_that_refuses_every_token_a_moment_too_late_makes_no_storm() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    let mut refused_at = Vec::new();
    for _ in 0..8 {
        stage.heard();
        stage.frame(socket, &Frame::Refused(HttpFailure { status: 401, ..HttpFailure::default() }));
        refused_at.push(stage.now);
        while !stage
            .said
            .iter()
            .any(|it| matches!(it, Output::Start(it) if matches!(it.effect, Effect::FetchToken { .. })))
        {
            stage.pass(10);
        }
        stage.grant(60 * MINUTE);
        let old = socket;
        socket = stage.connect().socket;
        stage.pong(socket);
        stage.pong(old);
        stage.pong(old);
        assert_eq!(stage.machine.state(), ClientState::Connected);
    }
    let (first, last) = (refused_at[2] - refused_at[1], refused_at[7] - refused_at[0]);
    assert!(first <= 200 && last >= 1_000, "{refused_at:?}");
}

// P12.5
#[test]
fn attempts_keep_the_steps_of_the_backoff_and_what_the_server_asks_for() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let mut attempts = Vec::new();
    for _ in 0..30 {
        let attempt = stage.attempt();
        attempts.push(stage.now);
        stage.refuse(&attempt, http(503));
        assert!(stage.connection().is_none(), "one attempt a step");
    }
    let limited = HttpFailure { status: 429, retry_after_ms: Some(7_000), ..HttpFailure::default() };
    let attempt = stage.attempt();
    let refused_at = stage.now;
    stage.refuse(&attempt, Failure::Http(limited));
    stage.pass(6_900);
    assert!(stage.connection().is_none());
    stage.attempt();
    assert!(stage.now >= refused_at + 7_000);
}

// P12.6
#[test]
fn a_resumed_stream_has_no_gap_and_what_comes_again_is_dropped() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    assert!(stage.is_delivered(socket, "1", "t1"));
    assert!(stage.is_delivered(socket, "2", "t2"));
    stage.heard();
    stage.close(socket, 1006);
    assert_eq!(stage.machine.state(), ClientState::Reconnecting);
    let connection = stage.connect();
    assert_eq!(connection.position.as_deref(), Some("t2"), "as it came");
    assert!(!stage.is_delivered(connection.socket, "2", "t2"), "a copy");
    assert!(stage.is_delivered(connection.socket, "3", "t2"), "of the same instant, but not a copy");
    assert!(stage.is_delivered(connection.socket, "2", "t3"), "the same body again");
    stage.pong(connection.socket);
    assert!(stage.gaps().is_empty() && stage.told_gaps().is_empty());
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).direct.unwrap().resumed, 1);
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).duplicates, 1);
}

// P12.6
#[test]
fn copies_are_known_however_long_the_outage_or_the_silence_was() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 48 * 60 * MINUTE);
    stage.is_delivered(socket, "1", "t1");
    for _ in 0..30 {
        stage.pass(10 * SECOND);
        stage.frame(socket, &Frame::Other);
    }
    stage.close(socket, 1006);
    for _ in 0..100 {
        let attempt = stage.attempt();
        stage.refuse(&attempt, http(503));
        stage.pass(30 * SECOND);
    }
    let socket = stage.connect().socket;
    assert!(!stage.is_delivered(socket, "1", "t1"));
    assert!(stage.is_delivered(socket, "2", "t2"));
}

// P12.6
#[test]
fn once_events_share_a_position_the_one_before_it_is_sent() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    for (body, position) in [("1", "t1"), ("2", "t2"), ("3", "t2")] {
        assert!(stage.is_delivered(socket, body, position));
    }
    stage.close(socket, 1006);
    let connection = stage.connect();
    assert_eq!(connection.position.as_deref(), Some("t1"));
    let again = [("1", "t1"), ("2", "t2"), ("3", "t2"), ("4", "t2")];
    let delivered = again.map(|(body, position)| stage.is_delivered(connection.socket, body, position));
    assert_eq!(delivered, [false, false, false, true]);
}

// P12.6
#[test]
fn the_first_connection_asks_for_what_comes_from_now_on_and_the_second_for_the_same() {
    let mut stage = Stage::new(resuming());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.attempt();
    let now = first.position.clone().unwrap();
    assert!(now.starts_with("2027-01-15T08:00:0") && now.ends_with('Z'), "{now}");
    stage.refuse(&first, http(503));
    assert_eq!(stage.attempt().position, Some(now));
}

// P12.7
#[test]
fn a_position_that_is_refused_is_given_up_once_and_the_gap_is_told() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.is_delivered(socket, "1", "t1");
    let lost_at = EPOCH + stage.now;
    stage.heard();
    stage.close(socket, 1006);
    let stale = stage.attempt();
    assert_eq!(stale.position.as_deref(), Some("t1"));
    assert!(stage.told_gaps().is_empty());
    stage.refuse(&stale, http(400));
    assert_eq!(stage.errors(), [ErrorCode::PositionRefused]);
    assert_eq!(stage.told_gaps().len(), 1, "told as soon as it is known");
    let fresh = stage.connect();
    assert!(fresh.position.as_deref().unwrap().starts_with("2027-"), "{:?}", fresh.position);
    assert!(matches!(stage.event(fresh.socket, "a", "9", Some("t9")), Disposition::Hold(_)));
    stage.pong(fresh.socket);
    let gaps = stage.gaps();
    assert_eq!((gaps.len(), gaps[0].reason), (1, Reason::PositionRefused));
    assert!(gaps[0].from <= lost_at && gaps[0].to.is_some());
    stage.close(fresh.socket, 1006);
    assert_eq!(stage.attempt().position.as_deref(), Some("t9"), "from then on as ever");
}

// P12.7
#[test]
fn without_resume_a_400_is_a_failure_like_any_other() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.attempt();
    stage.refuse(&first, http(400));
    stage.attempt();
    assert!(stage.gaps().is_empty());
}

// P12.7
#[test]
fn who_closes_in_an_outage_is_told_what_is_missing_unless_a_later_process_goes_on() {
    for survives in [false, true] {
        let (mut stage, socket) = Stage::live(Direct { survives, ..resuming() }, &["a"], 60 * MINUTE);
        stage.is_delivered(socket, "1", "t1");
        stage.close(socket, 1006);
        stage.heard();
        stage.tell(Input::Close);
        assert_eq!(stage.told_gaps().len(), usize::from(!survives));
    }
}

// P12.8
#[test]
fn a_cursor_is_loaded_before_the_first_connection() {
    let mut stage = Stage::new(Direct { has_cursor: true, survives: true, ..resuming() });
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    assert!(stage.connection().is_none());
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).unwrap();
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Err(Failure::Store("the store is down".into())))));
    assert_eq!(stage.errors(), [ErrorCode::CursorFailed]);
    stage.pass(SECOND);
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).expect("tried again");
    let at = Some(EPOCH - MINUTE);
    let cursor = Cursor { position: "t7".into(), at, ..Cursor::default() };
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Ok(Some(cursor)))));
    let connection = stage.attempt();
    assert_eq!(connection.position.as_deref(), Some("t7"));
    // It is stale: what was missed began when the last process ended.
    stage.refuse(&connection, http(400));
    let gaps = stage.gaps();
    assert_eq!((gaps[0].from, gaps[0].reason), (EPOCH - MINUTE, Reason::PositionRefused));
}

// P12.8
#[test]
fn a_cursor_that_cannot_be_read_ends_the_client_instead_of_being_ignored() {
    let mut stage = Stage::new(Direct { has_cursor: true, survives: true, ..resuming() });
    stage.tell(Input::Connect);
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).unwrap();
    let corrupt = Failure::CorruptCursor("the cursor is not one".into());
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Err(corrupt))));
    assert_eq!(stage.machine.state(), ClientState::Failed);
    assert_eq!(stage.errors(), [ErrorCode::CursorCorrupt]);
}

// P1.2
#[test]
fn a_silent_socket_is_pinged_and_left() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    stage.heard();
    stage.pass(20 * SECOND);
    assert!(stage.has_said(&Output::Probe(socket)));
    stage.pass(15 * SECOND);
    assert!(stage.has_said(&Output::DropSocket(socket)));
}

// P12.6
#[test]
fn a_second_connection_stands_by_and_the_loss_of_one_costs_nothing() {
    let mut stage = Stage::with(resuming(), Continuity::Standby);
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.go_live();
    let second = stage.connect().socket;
    stage.pong(second);
    stage.pong(first);
    assert!(stage.is_delivered(first, "1", "t1"));
    assert!(!stage.is_delivered(second, "1", "t1"));
    assert!(stage.is_delivered(second, "2", "t2"));
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).standby_live, 1);
    stage.close(first, 1006);
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(stage.is_delivered(second, "3", "t3"));
    let third = stage.connect();
    assert_eq!(third.position.as_deref(), Some("t3"));
    assert!(!stage.is_delivered(third.socket, "3", "t3"));
    assert!(stage.gaps().is_empty());
}

// P5.1
#[test]
fn two_connections_bring_each_event_once_also_after_both_were_gone() {
    let mut stage = Stage::with(direct(), Continuity::Standby);
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    for round in ["1", "2"] {
        let first = stage.go_live();
        let second = stage.connect().socket;
        stage.pong(second);
        stage.pong(first);
        assert!(stage.is_delivered(first, round, "t"));
        assert!(!stage.is_delivered(second, round, "t"));
        stage.close(first, 1000);
        stage.close(second, 1000);
        let unreachable = stage.attempt();
        stage.pass(SECOND);
        stage.refuse(&unreachable, http(503));
    }
}

/// The server speaks each second, but says nothing of importance.
fn chatter(stage: &mut Stage, socket: SocketId, seconds: u64) {
    for _ in 0..seconds {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
}

// P12.2
#[test]
fn a_topic_that_comes_back_is_asked_for_on_the_next_socket_only() {
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], 60 * MINUTE);
    stage.heard();
    stage.want(TopicChange::Remove, &["a"]);
    stage.pass(SECOND);
    stage.want(TopicChange::Add, &["a"]);
    stage.pass(SECOND);
    assert!(stage.asked(socket).is_empty(), "nobody told the server to stop");
    stage.close(socket, 1006);
    let next = stage.connect();
    assert_eq!(stage.asked(next.socket), ["a", "b"]);
}

// P6.2
#[test]
fn a_server_that_closes_every_minute_is_healthy() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 24 * 60 * MINUTE);
    for _ in 0..12 {
        chatter(&mut stage, socket, 59);
        stage.close(socket, 1000);
        let closed_at = stage.now;
        socket = stage.go_live();
        assert!(
            stage.now - closed_at <= 300,
            "the first retry comes at once, not after {}",
            stage.now - closed_at
        );
    }
}

// P12.5
#[test]
fn refusals_of_before_do_not_count_once_a_token_has_worked_for_a_while() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    for _ in 0..4 {
        stage.close(socket, 4401);
        for _ in 0..200 {
            if stage
                .said
                .iter()
                .any(|it| matches!(it, Output::Start(o) if matches!(o.effect, Effect::FetchToken { .. })))
            {
                break;
            }
            stage.pass(100);
        }
        stage.grant(60 * MINUTE);
        socket = stage.go_live();
    }
    chatter(&mut stage, socket, 180);
    stage.close(socket, 4401);
    assert_ne!(stage.machine.state(), ClientState::Failed);
}

// P12.6
#[test]
fn what_nobody_wants_is_passed_over_and_moves_the_position() {
    let (mut stage, socket) = Stage::live(resuming(), &["a", "b"], 60 * MINUTE);
    assert!(stage.is_delivered(socket, "1", "t1"));
    stage.want(TopicChange::Remove, &["b"]);
    assert_eq!(stage.event(socket, "b", "2", Some("t2")), Disposition::Pass);
    stage.close(socket, 1006);
    let next = stage.connect();
    assert_eq!(next.position.as_deref(), Some("t2"));
    stage.want(TopicChange::Add, &["b"]);
    assert_eq!(stage.event(next.socket, "b", "2", Some("t2")), Disposition::Drop, "it is no news now");
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], 60 * MINUTE);
    stage.want(TopicChange::Remove, &["b"]);
    assert_eq!(stage.event(socket, "b", "2", None), Disposition::Drop, "there is nothing to resume");
}

// P12.7
#[test]
fn events_of_a_resumed_stream_are_held_back_together() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.close(socket, 1006);
    let stale = stage.attempt();
    stage.refuse(&stale, http(400));
    let fresh = stage.connect();
    stage.want(TopicChange::Add, &["b"]);
    assert!(matches!(stage.event(fresh.socket, "a", "1", Some("t1")), Disposition::Hold(_)));
    let behind = stage.event(fresh.socket, "b", "2", Some("t2"));
    assert!(
        matches!(behind, Disposition::Hold(_)),
        "a cursor must not pass over what is before it: {behind:?}"
    );
}

// P12.7
#[test]
fn a_position_that_is_refused_beside_a_connection_in_use_costs_nothing_while_that_lives() {
    let (mut stage, old) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.is_delivered(old, "1", "t1");
    stage.heard();
    stage.tell(Input::Rotate(RequestId(9)));
    let stale = stage.attempt();
    assert_eq!(stale.position.as_deref(), Some("t1"));
    stage.refuse(&stale, http(400));
    assert!(stage.told_gaps().is_empty());
    stage.pass(SECOND);
    let fresh = stage.attempt();
    assert!(fresh.position.as_deref().unwrap().starts_with("2027-"), "{:?}", fresh.position);
    let begun = EPOCH + stage.now;
    stage.close(old, 1006);
    let told: Vec<Gap> = stage.told_gaps().into_iter().cloned().collect();
    assert_eq!(
        told.len(),
        1,
        "what came between the last frame and the fresh position may be missing: {told:?}"
    );
    assert_eq!((told[0].reason, told[0].certainty), (Reason::PositionRefused, Certainty::Possible));
    assert!(told[0].from < begun && told[0].to.is_some_and(|to| to <= begun));
}

//! A machine that is connected: a service that grants everything at once, and a clock that is set.

use genesys_notifications_proto::{
    ChannelsInUse, Config, Context, Continuity, Disposition, Effect, Frame, Governor, GovernorConfig, Input,
    Machine, NewChannel, Now, Operation, Outcome, Output, RequestId, SocketId, SplitMix, TokenGrant, Topic,
    TopicChange, TopicRequest, TopicResult,
};

use crate::payload::{TOPICS, topic};

const DAY_MS: u64 = 86_400_000;
/// Longer than it takes until every link is live.
const SETTLED_MS: u64 = 20_000;

pub(crate) struct Stage {
    machine: Machine,
    now: Now,
    random: SplitMix,
    governor: Governor,
    sockets: Vec<SocketId>,
    channels: u32,
}

impl Stage {
    pub(crate) fn connected(continuity: Continuity) -> Self {
        let mut stage = Self {
            machine: Machine::new(Config { continuity, ..Config::default() }),
            now: Now { mono: 1_000, wall: 1_800_000_000_000 },
            random: SplitMix::new(1),
            governor: Governor::new(GovernorConfig::default()),
            sockets: Vec::new(),
            channels: 0,
        };
        let topics = (0..TOPICS).flat_map(|number| Topic::expand(&topic(number)).unwrap()).collect();
        let request = TopicRequest { request: RequestId(1), change: TopicChange::Replace, topics };
        stage.input(Input::Topics(request));
        stage.input(Input::Connect);
        for _ in 0..SETTLED_MS / 100 {
            stage.advance(100);
        }
        stage
    }

    /// Those that are open, in the order they were opened in.
    pub(crate) fn sockets(&self) -> Vec<SocketId> {
        self.sockets.clone()
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.now = Now { mono: self.now.mono + ms, wall: self.now.wall + ms };
        if self.machine.poll_timeout().is_some_and(|at| at <= self.now.mono) {
            self.change(|machine, cx| machine.handle_timeout(cx));
        }
    }

    pub(crate) fn frame(&mut self, socket: SocketId, frame: &Frame<'_>) -> Disposition {
        self.change(|machine, cx| machine.frame(cx, socket, frame))
    }

    fn input(&mut self, input: Input) {
        self.change(|machine, cx| machine.handle(cx, input));
    }

    fn change<T>(&mut self, act: impl FnOnce(&mut Machine, &mut Context<'_>) -> T) -> T {
        let mut cx = Context { now: self.now, random: &mut self.random, governor: &mut self.governor };
        let result = act(&mut self.machine, &mut cx);
        while let Some(output) = self.machine.poll_output() {
            self.follow(output);
        }
        result
    }

    fn follow(&mut self, output: Output) {
        match output {
            Output::Start(Operation { ticket, effect, .. }) => {
                let outcome = self.grant(effect);
                self.input(Input::Done(ticket, outcome));
            }
            Output::Ping(socket) => {
                self.frame(socket, &Frame::Pong);
            }
            Output::Probe(socket) => {
                self.frame(socket, &Frame::ProbeAnswered);
            }
            Output::CloseSocket(socket, _) | Output::DropSocket(socket) => {
                panic!("{socket:?} is no longer wanted")
            }
            _ => {}
        }
    }

    fn grant(&mut self, effect: Effect) -> Outcome {
        match effect {
            Effect::FetchToken { .. } => Outcome::Token(Ok(TokenGrant { expires_in_ms: Some(DAY_MS) })),
            Effect::CreateChannel { .. } => {
                self.channels += 1;
                let id = format!("streaming-0-{}", self.channels);
                Outcome::Channel(Ok(NewChannel { id, expires_in_ms: DAY_MS }))
            }
            Effect::Subscribe { topics, .. } => {
                let permitted = |id| TopicResult { id, rejected: None };
                Outcome::Subscriptions(Ok(topics.into_iter().map(permitted).collect()))
            }
            Effect::OpenSocket { socket, .. } => {
                self.sockets.push(socket);
                Outcome::Socket(Ok(()))
            }
            Effect::ListChannels { .. } => {
                Outcome::Channels(Ok(ChannelsInUse { total: self.channels as usize }))
            }
            Effect::ListSubscriptions { .. } => Outcome::Listed(Ok((0..TOPICS).map(topic).collect())),
            Effect::Connect { .. } | Effect::LoadCursor => panic!("these are channels"),
        }
    }
}

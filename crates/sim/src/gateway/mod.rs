//! Endpoints of the kind that gateways and relays have, which authenticate on the socket. Not Genesys Cloud's protocol.

mod batch;
mod events;
mod messages;
mod options;
mod position;
mod record;
mod replay;
mod tokens;
mod upgrade;

pub use options::{BadPosition, BadToken, EarlyFrame, GatewayOptions, Positions, TokenEnd};
pub use record::{Asked, GatewayRecord};
pub(crate) use replay::{Buffer, Kept};

/// One of the handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Query,
    Header,
    FirstMessage,
    Since,
    Minute,
    Open,
}

impl Endpoint {
    pub(crate) fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/gateway/")? {
            "query" => Self::Query,
            "header" => Self::Header,
            "first-message" => Self::FirstMessage,
            "since" => Self::Since,
            "minute" => Self::Minute,
            "open" => Self::Open,
            _ => return None,
        })
    }

    /// What stands where a channel's id stands elsewhere: in the log and in the rules of faults.
    pub(crate) fn channel(self) -> &'static str {
        match self {
            Self::Query => "gateway/query",
            Self::Header => "gateway/header",
            Self::FirstMessage => "gateway/first-message",
            Self::Since => "gateway/since",
            Self::Minute => "gateway/minute",
            Self::Open => "gateway/open",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.channel().trim_start_matches("gateway/")
    }
}

/// What the state knows of an open gateway connection beside its socket.
pub(crate) struct Gateway {
    pub(crate) record: u64,
    endpoint: Endpoint,
    /// The number of its live token.
    token: Option<u64>,
    stage: Stage,
    /// Topics that were asked for; None until the first.
    asked: Option<Vec<String>>,
    /// Where topics that are asked for begin, from the first message.
    since: Option<String>,
    /// Events that wait for others.
    batch: Vec<batch::Waiting>,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The first message is awaited.
    Unproven,
    /// It was accepted, the acknowledgement is under way.
    Accepted,
    /// Events flow.
    Ready,
    /// Refused with a frame, or its token has ended: open, and told nothing more.
    Mute,
}

impl Gateway {
    fn new(endpoint: Endpoint, record: u64, token: Option<u64>, stage: Stage) -> Self {
        Self { record, endpoint, token, stage, asked: None, since: None, batch: Vec::new() }
    }

    fn wants(&self, topic: &str) -> bool {
        match &self.asked {
            Some(asked) => self.stage == Stage::Ready && asked.iter().any(|asked| asked == topic),
            None => self.wants_all(),
        }
    }

    /// Nothing was asked for, and the endpoint sends everything then.
    fn wants_all(&self) -> bool {
        self.stage == Stage::Ready && self.asked.is_none() && self.endpoint != Endpoint::FirstMessage
    }
}

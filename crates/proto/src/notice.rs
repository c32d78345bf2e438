//! What the user is told: states, gaps, topics, errors. Serialised in the names of the public surface.

use serde::{Deserialize, Serialize};

use crate::io::RequestId;

/// Something the user should know.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "camelCase")]
pub enum Notice {
    /// The client's state, or its attempt, changed.
    State(StateChange),
    /// A gap opened (`to` is null) or closed.
    Gap(Gap),
    /// A topic's status changed.
    Topic(TopicStatus),
    /// Something failed that the client goes on to mend, or that ended it.
    Error(ErrorReport),
    /// A request is carried out: every topic of it is decided, every channel rotated, or the client has ended.
    Settled(RequestId),
    /// For the log only.
    Log(LogLine),
    /// For the continuity report only.
    History(Moment),
}

/// State of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ClientState {
    /// Before `connect`.
    #[default]
    Idle,
    /// Until every accepted topic is live for the first time.
    Connecting,
    /// Every accepted topic is live.
    Connected,
    /// Some topic is not live; retrying.
    Reconnecting,
    /// As `Reconnecting` or `Connecting`, for longer than 120 s.
    Suspended,
    /// `close` was called.
    Closing,
    /// Terminal: closed by the user.
    Closed,
    /// Terminal: what retrying cannot mend.
    Failed,
}

impl ClientState {
    /// Nothing leaves a terminal state.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Closed | Self::Failed)
    }
}

/// Why something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The user asked: `connect`, `close`, `rotate`, `reconnect`.
    Requested,
    /// Every accepted topic is live.
    Live,
    /// The peer closed the socket.
    SocketClosed,
    /// The transport broke.
    ConnectionLost,
    /// No frame within `silenceMs`, or no pong within `pongTimeoutMs` on a new socket.
    Silence,
    /// The clock jumped: suspend or pause of the machine or process.
    ClockJump,
    /// The service announced maintenance (`v2.system.socket_closing`).
    Maintenance,
    /// The channel is gone: expired, displaced, or unknown to the service.
    ChannelGone,
    /// The service said `no_longer_subscribed`: another channel took its place.
    ChannelEvicted,
    /// The channel comes to its end.
    ChannelExpiring,
    /// The token was renewed, and channels go with it.
    TokenRenewed,
    /// The token was refused or revoked.
    TokenRejected,
    /// No token could be had.
    TokenUnavailable,
    /// The service asks to slow down (429).
    RateLimited,
    /// The service failed (5xx).
    ServiceUnavailable,
    /// The service could not be reached.
    Unreachable,
    /// The service broke its own protocol.
    ProtocolViolation,
    /// A frame could not be read; what it carried is unknown.
    UnreadableFrame,
    /// The local queue was full and its option says to drop.
    QueueFull,
    /// The service refused the topic.
    TopicRejected,
    /// Credentials are refused for good.
    Credentials,
    /// Every topic was refused.
    AllTopicsRejected,
    /// The process did not run, as its journal tells.
    ProcessDown,
    /// The journal was full and its option says to throw away or to fail.
    JournalFull,
    /// The journal cannot be written any more.
    JournalFailed,
    /// The service's own list of a channel's subscriptions is not what it had confirmed.
    SubscriptionMismatch,
    /// A direct endpoint did not say in time that the connection is ready.
    NotReady,
    /// A direct endpoint does not know the position from which it was to go on: what came since is lost.
    PositionRefused,
    /// The cursor could not be loaded.
    CursorUnavailable,
}

/// A change of state or attempt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// Now.
    pub state: ClientState,
    /// Before; the same when only the attempt changed.
    pub previous: ClientState,
    /// Why.
    pub reason: Reason,
    /// Attempts since the last healthy period, 0 when live.
    pub attempt: u32,
    /// When the next attempt starts, in milliseconds from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// How long topics have not been live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_ms: Option<u64>,
    /// What failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorReport>,
}

/// A period in which topics were not proven live (P2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// Unique within a client, e.g. `gap-3`.
    pub id: String,
    /// Last proof of life before it, milliseconds since the epoch.
    pub from: u64,
    /// First proof of life after it; `None` while open.
    pub to: Option<u64>,
    /// Why it began.
    pub reason: Reason,
    /// Whose events may be missing.
    pub topics: Vec<String>,
    /// Whether a stretch without any channel is certain.
    pub certainty: Certainty,
    /// Whether it was filled from the REST API.
    pub backfilled: Backfilled,
}

/// How sure a gap is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Certainty {
    /// No channel could have carried events for part of it.
    Certain,
    /// Events may or may not have been missed.
    Possible,
}

/// How far a gap was filled; more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Backfilled {
    /// Not at all.
    No,
    /// For some of its topics, or not to its end.
    Partial,
    /// As far as the REST API can tell.
    Yes,
}

/// Where a wanted topic stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStatus {
    /// The name asked for.
    pub topic: String,
    /// Pending, subscribed or rejected.
    pub state: TopicState,
    /// The service's words, when rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is missing, when rejected and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_permissions: Option<Vec<String>>,
    /// Which shard carries it.
    pub shard: u16,
}

/// State of a wanted topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TopicState {
    /// Wanted, not yet confirmed.
    Pending,
    /// Confirmed by the service on the channel in use.
    Subscribed,
    /// Refused by the service.
    Rejected,
}

/// An error as JavaScript sees it: a stable code, words for people, fields for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorReport {
    /// Stable code.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
    /// Whether the client retries by itself.
    pub retryable: bool,
    /// What to do, only where it is certainly right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The service's correlation id, for its support.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Stable error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The token endpoint refused the credentials.
    InvalidCredentials,
    /// The API refused the token.
    TokenRejected,
    /// No token could be had for another reason.
    TokenUnavailable,
    /// The caller's `accessToken` function failed.
    TokenProviderFailed,
    /// The client's address is not on the organisation's allow list.
    IpNotAllowed,
    /// A scope or permission is missing for the call itself.
    Forbidden,
    /// Every topic was refused.
    AllTopicsRejected,
    /// A topic was refused.
    TopicRejected,
    /// 429.
    RateLimited,
    /// 5xx.
    ServiceUnavailable,
    /// DNS, TCP.
    NetworkError,
    /// TLS.
    TlsError,
    /// A deadline passed.
    TimedOut,
    /// The socket was lost.
    ConnectionLost,
    /// No frame in time.
    SilentSocket,
    /// The channel is gone.
    ChannelGone,
    /// `connectUri` is not on the streaming host.
    UntrustedConnectUri,
    /// The service broke its own protocol.
    ProtocolViolation,
    /// A frame could not be read.
    UnreadableFrame,
    /// More topics than channels can carry.
    TooManyTopics,
    /// The journal was full and its option says to fail.
    JournalFull,
    /// The journal cannot be written any more.
    JournalFailed,
    /// All channels are in use, or soon will be.
    TooManyChannels,
    /// A gap could not be filled from the REST API.
    BackfillFailed,
    /// A direct endpoint did not say in time that the connection is ready.
    NotReady,
    /// A direct endpoint refused the position from which it was to go on.
    PositionRefused,
    /// The cursor could not be loaded or saved.
    CursorFailed,
    /// The cursor that was loaded cannot be read.
    CursorCorrupt,
}

/// A line for the caller's logger.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// One sentence, no secrets.
    pub message: String,
}

/// Something that happened to what carries the events, for the continuity report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// When, in milliseconds since the epoch.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: MomentKind,
}

/// Kinds of moments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum MomentKind {
    /// A link's channel came to a stage of its life.
    Channel {
        /// The link's number, which stands for the channel: its id is a secret.
        link: u32,
        /// Its shard.
        shard: u16,
        /// The stage.
        stage: ChannelStage,
        /// Why, where there is a reason.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// A planned replacement took over.
    Rotation {
        /// Its shard.
        shard: u16,
        /// The link replaced.
        from: u32,
        /// The new link.
        to: u32,
        /// Why.
        reason: Reason,
    },
    /// A token was obtained.
    Token {
        /// Its number.
        generation: u32,
    },
    /// Topics were proven live for the first time, or again after having been unwanted.
    Covered {
        /// Which.
        topics: Vec<String>,
    },
    /// Topics are no longer wanted.
    Forgotten {
        /// Which.
        topics: Vec<String>,
    },
}

/// Stages of a channel's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChannelStage {
    /// The service made it.
    Made,
    /// Its socket is open and its subscriptions are proven.
    Live,
    /// It stands by: live, and ready to carry on alone.
    Standby,
    /// It is the one in use.
    Primary,
    /// Another one has taken its place; its stream is drained.
    Draining,
    /// Its socket was lost.
    Lost,
    /// It is not used any more.
    Ended,
}

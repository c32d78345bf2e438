use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{SimError, parse, parse_value};

/// A fault: what it matches, what it does, and how many times.
///
/// ```
/// # use genesys_notifications_sim::Rule;
/// Rule::from_json(r#"{"match":{"operation":"createChannel"},"action":{"kind":"status","status":503},"times":2}"#)?;
/// # Ok::<(), genesys_notifications_sim::SimError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which occurrences it applies to.
    pub matching: Match,
    /// What happens then.
    pub action: Action,
    /// How often.
    pub times: Times,
}

/// How often a rule applies; in JSON a number, null for [`Times::UntilCleared`], or nothing for [`Times::Once`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// For the operations `socket` and `channel`: once on each one open now, or on the next one if there is none.
    /// Elsewhere as `Exactly(1)`.
    Once,
    /// So many times, at least 1.
    Exactly(u64),
    /// Until `clear_fault` or `clear_faults`; for `socket` and `channel` that includes those opened later.
    UntilCleared,
}

/// What a rule matches; every given field must fit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Match {
    /// What must happen.
    pub operation: Operation,
    /// Only on this channel.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// Only events of this topic, a full name or a template with `{id}`. Operation `event` only.
    #[serde(default)]
    pub topic: Option<String>,
    /// Only the n-th fitting occurrence since the rule was set, counted from 1.
    #[serde(default)]
    pub nth: Option<u64>,
    /// Only after so many fitting occurrences.
    #[serde(default)]
    pub after: u64,
    /// With this probability, 0 to 1, from the seeded generator.
    #[serde(default)]
    pub probability: Option<f64>,
}

macro_rules! operations {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What a rule can match; the variants are the JSON names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub enum Operation { $($(#[doc = $doc])+ $variant,)+ }

        impl Operation {
            /// The name in JSON and in the log.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

operations! {
    /// Any HTTP request, upgrades included.
    Any = "any",
    /// Any request to the API host.
    Rest = "rest",
    /// `POST /oauth/token`.
    Token = "token",
    /// `GET availabletopics`.
    AvailableTopics = "availableTopics",
    /// `POST channels`.
    CreateChannel = "createChannel",
    /// `GET channels`.
    ListChannels = "listChannels",
    /// `HEAD channels/{id}`.
    HeadChannel = "headChannel",
    /// `GET channels/{id}/subscriptions`.
    GetSubscriptions = "getSubscriptions",
    /// `POST channels/{id}/subscriptions`.
    PostSubscriptions = "postSubscriptions",
    /// `PUT channels/{id}/subscriptions`.
    PutSubscriptions = "putSubscriptions",
    /// `DELETE channels/{id}/subscriptions`.
    DeleteSubscriptions = "deleteSubscriptions",
    /// `POST analytics/conversations/details/query`.
    ConversationDetails = "conversationDetails",
    /// `GET users/presences/purecloud/bulk`.
    UserPresences = "userPresences",
    /// `GET users/{id}/presences/purecloud`.
    UserPresence = "userPresence",
    /// `GET users/{id}/routingstatus`.
    UserRoutingStatus = "userRoutingStatus",
    /// `GET users`.
    Users = "users",
    /// `POST analytics/queues/observations/query`.
    QueueObservations = "queueObservations",
    /// `POST usage/events/query`.
    UsageEvents = "usageEvents",
    /// The WebSocket handshake.
    Upgrade = "upgrade",
    /// An open WebSocket: acts at once, and on sockets that open later while it lasts.
    Socket = "socket",
    /// A channel, connected or not: acts at once, and on channels created later while it lasts.
    Channel = "channel",
    /// One event on its way to one socket.
    Event = "event",
    /// One heartbeat.
    Heartbeat = "heartbeat",
    /// One answer to a JSON ping.
    Pong = "pong",
}

/// For requests: before or after the service does what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Nothing was done yet (default).
    #[default]
    Request,
    /// It was done; only the answer suffers.
    Response,
}

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal { $($(#[doc = $fdoc:literal])+ $(#[serde($serde:meta)])* $field:ident: $ty:ty,)* },)+) => {
        /// What a fault does; in JSON `{"kind":"delay","ms":50}`.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Action { $($(#[doc = $doc])+ $variant { $($(#[doc = $fdoc])+ $field: $ty,)* },)+ }

        impl Action {
            /// `action.kind`.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name,)+ }
            }

            fn from_fields(kind: &str, fields: Map<String, Value>) -> Result<Self, SimError> {
                match kind {
                    $($name => {
                        #[derive(Deserialize)]
                        #[serde(deny_unknown_fields, rename_all = "camelCase")]
                        struct Fields { $($(#[serde($serde)])* $field: $ty,)* }
                        let Fields { $($field),* } = parse_value("fault.action", Value::Object(fields))?;
                        Ok(Self::$variant { $($field),* })
                    })+
                    other => Err(SimError::invalid("fault.action.kind", format!("`{other}` is none of {}", KINDS.join(", ")))),
                }
            }
        }

        const KINDS: &[&str] = &[$($name),+];
    };
}

actions! {
    /// TCP reset. What is written but not yet read by the peer is lost.
    Reset = "reset" {
        /// Requests only.
        #[serde(default)]
        phase: Phase,
    },
    /// Neither read nor write; the connection stays open and counts as open. Ends when the rule is cleared or after `ms`.
    Stall = "stall" {
        /// How long; null (default): until the rule is cleared.
        #[serde(default)]
        ms: Option<u64>,
        /// Requests only.
        #[serde(default)]
        phase: Phase,
    },
    /// The service forgets the connection without telling: never writes, swallows what it reads, counts it as ended.
    HalfOpen = "halfOpen" {
        /// Requests only.
        #[serde(default)]
        phase: Phase,
    },
    /// A close frame on a WebSocket, the end of the connection on a request. On `upgrade`: accepted, then closed.
    Close = "close" {
        /// Close code; null (default): no code, which the peer reports as 1005.
        #[serde(default)]
        code: Option<u16>,
        /// Close reason, at most 123 bytes.
        #[serde(default)]
        reason: String,
        /// Requests only.
        #[serde(default)]
        phase: Phase,
    },
    /// Connections to the listener are accepted and closed before a byte is read; idle ones are closed at once.
    Refuse = "refuse" {},
    /// Wait first.
    Delay = "delay" {
        /// How long.
        ms: u64,
        /// Requests only.
        #[serde(default)]
        phase: Phase,
    },
    /// Answer with this status instead.
    Status = "status" {
        /// 400 to 599.
        status: u16,
        /// `Retry-After`: seconds, or any text such as a date; null (default): no header.
        #[serde(default)]
        retry_after: Option<RetryAfter>,
        /// Error code in the body; default by status.
        #[serde(default)]
        code: Option<String>,
        /// The whole body as text, instead of the service's shape.
        #[serde(default)]
        body: Option<String>,
    },
    /// The answer's headers are right, its body stops early and the connection ends.
    Truncate = "truncate" {
        /// Bytes of the body that are sent; null (default): half.
        #[serde(default)]
        bytes: Option<usize>,
    },
    /// Text that is not JSON. On `upgrade`: a handshake answer with a wrong accept key.
    Garbage = "garbage" {},
    /// A binary frame.
    Binary = "binary" {},
    /// Text that is not UTF-8.
    InvalidUtf8 = "invalidUtf8" {},
    /// JSON nested this deep.
    Deep = "deep" {
        /// Nested arrays.
        levels: usize,
    },
    /// Valid JSON of this size.
    Oversize = "oversize" {
        /// Bytes of the frame's text or the body.
        bytes: usize,
    },
    /// Answer with a redirect.
    Redirect = "redirect" {
        /// `Location`.
        to: String,
        /// 301, 302, 303, 307 (default) or 308.
        #[serde(default = "redirect_status")]
        status: u16,
    },
    /// The created channel's `connectUri` is this. `{id}` stands for the channel's id.
    ConnectUri = "connectUri" {
        /// The text, which need not be a URI.
        uri: String,
    },
    /// The channel is displaced as by the 20-channel rule.
    Evict = "evict" {},
    /// The channel's life is over.
    Expire = "expire" {},
    /// The token is revoked: `token_revoked` to the sockets of its channels, 401 from then on.
    Revoke = "revoke" {},
    /// The channel silently loses a topic: no event of it any more, and the list of subscriptions lacks it.
    LoseTopic = "loseTopic" {
        /// The single topic's full name.
        topic: String,
    },
    /// Maintenance: `v2.system.socket_closing`, events go on, then a close.
    SocketClosing = "socketClosing" {
        /// From the warning to the close; null (default): `maintenanceGraceMs`.
        #[serde(default)]
        grace_ms: Option<u64>,
    },
    /// The frame is not sent.
    Drop = "drop" {},
    /// The frame is sent again.
    Duplicate = "duplicate" {
        /// Further copies, at least 1 (default).
        #[serde(default = "one")]
        count: usize,
        /// Each copy of an event gets a `CorrelationId` of its own.
        #[serde(default)]
        new_correlation_id: bool,
    },
    /// The event is sent after the next frame of its socket.
    Reorder = "reorder" {
        /// Sent anyhow after so long. Default 1 000.
        #[serde(default = "a_second")]
        ms: u64,
    },
    /// `eventBody` is null.
    NullBody = "nullBody" {},
    /// Fields nobody knows, in the envelope, the metadata and the body.
    UnknownFields = "unknownFields" {},
    /// No `version`.
    MissingVersion = "missingVersion" {},
    /// No `metadata`.
    MissingMetadata = "missingMetadata" {},
    /// A field `padding` makes the body at least so big.
    BigBody = "bigBody" {
        /// Bytes of `eventBody`.
        bytes: usize,
    },
    /// The message is sent in fragments.
    Fragment = "fragment" {
        /// Bytes of each, at least 1.
        bytes: usize,
    },
}

/// A `Retry-After` as given in a rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// As it stands.
    Text(String),
}

impl std::fmt::Display for RetryAfter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Seconds(seconds) => seconds.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl Rule {
    /// A rule that applies [`Times::Once`] to every occurrence of `operation`.
    pub fn new(operation: Operation, action: Action) -> Self {
        let matching =
            Match { operation, channel_id: None, topic: None, nth: None, after: 0, probability: None };
        Self { matching, action, times: Times::Once }
    }

    /// The same rule, `times` often.
    #[must_use]
    pub fn times(mut self, times: Times) -> Self {
        self.times = times;
        self
    }

    /// Reads a rule from JSON: `{"match":{…},"action":{"kind":…},"times":…}`.
    ///
    /// # Errors
    /// [`SimError::Invalid`] naming the path, for example `fault.action.kind`.
    pub fn from_json(text: &str) -> Result<Self, SimError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Raw {
            r#match: Match,
            action: Map<String, Value>,
            #[serde(default, deserialize_with = "present")]
            times: Option<Option<u64>>,
        }
        let Raw { r#match: matching, action: mut fields, times } = parse("fault", text)?;
        let kind = match fields.remove("kind") {
            Some(Value::String(kind)) => kind,
            Some(_) => return Err(SimError::invalid("fault.action.kind", "must be a text")),
            None => return Err(SimError::invalid("fault.action.kind", "is missing")),
        };
        let times = match times {
            None => Times::Once,
            Some(None) => Times::UntilCleared,
            Some(Some(times)) => Times::Exactly(times),
        };
        let rule = Self { matching, action: Action::from_fields(&kind, fields)?, times };
        rule.check()?;
        Ok(rule)
    }

    pub(crate) fn check(&self) -> Result<(), SimError> {
        let matching = &self.matching;
        if self.times == Times::Exactly(0) {
            return Err(SimError::invalid("fault.times", "must be at least 1, or null for until cleared"));
        }
        if matching.nth == Some(0) {
            return Err(SimError::invalid("fault.match.nth", "counts from 1"));
        }
        if matching.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return Err(SimError::invalid("fault.match.probability", "must be between 0 and 1"));
        }
        if matching.topic.is_some() && matching.operation != Operation::Event {
            return Err(SimError::invalid("fault.match.topic", "is for the operation `event` only"));
        }
        if matching.channel_id.is_some() && !matching.operation.has_channel() {
            let message = format!("the operation `{}` concerns no channel", matching.operation.name());
            return Err(SimError::invalid("fault.match.channelId", message));
        }
        if !self.action.fits(matching.operation) {
            let message =
                format!("`{}` cannot be done to `{}`", self.action.kind(), matching.operation.name());
            return Err(SimError::invalid("fault.action.kind", message));
        }
        self.action.check()
    }
}

fn redirect_status() -> u16 {
    307
}

fn one() -> usize {
    1
}

fn a_second() -> u64 {
    1_000
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::<u64>::deserialize(deserializer).map(Some)
}

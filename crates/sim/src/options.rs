use serde::Deserialize;

use crate::{
    error::{SimError, parse},
    gateway::GatewayOptions,
};

/// How the simulated service behaves; every field has the real service's value as its default.
///
/// From JSON the names are camelCase and unknown names are refused. Times are milliseconds and may be small, so that
/// a test can compress a day into a second. The certainty of each default is said as *official* (Genesys' own
/// repositories, SDKs, Swagger or blog), *third party* (other people's clients and quotes), *inferred* or *unknown*.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct SimOptions {
    /// 0 (default): three free ports, one each for login, API and streaming. Otherwise all three share this port.
    pub port: u16,
    /// All three hosts speak TLS (`https`, `wss`), with a certificate for 127.0.0.1 and localhost by an authority made for
    /// this simulator, see `Simulator::certificate`. Default false.
    pub tls: bool,
    /// Seed of fault probabilities and generated bodies. Default 1. Ids and tokens are not derived from it.
    pub seed: u64,
    /// Added to every date the service tells (`Date`, `expires`, bodies), never to its own timers. Default 0.
    pub clock_skew_ms: i64,
    /// Who may ask for tokens. Default: one client with a generated id and secret, see `Simulator::credentials`.
    pub clients: Vec<ClientOptions>,

    /// Life of an access token, at least 1. Default 86 400 000 (24 h; official). The service allows 300 s to 48 h.
    /// `expires_in` is an integer when the life is whole seconds, else a decimal fraction of seconds.
    pub token_life_ms: u64,
    /// A new token ends the client's older ones. Default false (unknown).
    pub single_token: bool,
    /// Status for a wrong id or secret, 400 or 401. Default 400 (third party).
    pub bad_client_status: u16,
    /// The channels of a token end with it. Default true (third party).
    pub channel_dies_with_token: bool,
    /// What an open socket sees when its channel's token ends. Default `close` (unknown).
    pub token_expiry: Ending,

    /// Requests per token and window, at least 1. Default 300 (official).
    pub rate_limit: u32,
    /// Length of the fixed window, at least 1. Default 60 000 (official).
    pub rate_window_ms: u64,
    /// Channel creations per client and window; null (default): no limit of their own. Near 60 may be real (inferred).
    pub create_rate_limit: Option<u32>,

    /// Life of a channel. Default 86 400 000 (24 h; official).
    pub channel_life_ms: u64,
    /// A successful subscription call starts the channel's life anew. Default true (official text, detail unknown).
    pub renew_on_subscribe: bool,
    /// What an open socket sees when its channel's life ends. Default `close` (unknown).
    pub channel_expiry: Ending,
    /// Channels per client and user; one more evicts the oldest. Default 20 (official).
    pub channels_per_client: usize,
    /// An evicted channel's socket is told `v2.system.no_longer_subscribed.<id>` first. Default true (inferred).
    pub eviction_notice: bool,
    /// Another token of the same client uses a channel it did not create. Default `notFound` (unknown).
    pub foreign_token: ForeignToken,

    /// Topics per channel; a combined topic counts once. Default 1 000 (official).
    pub topics_per_channel: usize,
    /// Characters of a topic, combined or not. Default 200 (third party).
    pub topic_max_length: usize,
    /// An unknown topic in a call with `ignoreErrors=true`. Default `refuse` (the Swagger speaks of permission
    /// checks only; inferred).
    pub invalid_topics: InvalidTopics,
    /// Topics that need permissions the caller lacks. Default none.
    pub forbidden: Vec<ForbiddenTopic>,
    /// Topics (names or templates) that exist on EventBridge only. Default none.
    pub event_bridge_only: Vec<String>,
    /// `subscribe` and `unsubscribe` frames are obeyed. Default true (third party).
    pub subscribe_over_socket: bool,

    /// Status of an upgrade on a channel that is gone: 404 (default; third party), 401 or 403.
    pub dead_upgrade_status: u16,
    /// Time between heartbeat frames, at least 1. Default 30 000 (official text).
    pub heartbeat_ms: u64,
    /// Close with 1001 a socket whose peer sent nothing for so long; null (default): never (reported, rule unknown).
    pub idle_timeout_ms: Option<u64>,
    /// Close code for the first socket when a second opens on its channel. Default 1000 (inferred).
    pub displaced_close_code: u16,
    /// Close code after an eviction notice. Default 1000 (unknown).
    pub evict_close_code: u16,
    /// Close code for `tokenExpiry` and `channelExpiry` of `close`. Default 1000 (unknown).
    pub expiry_close_code: u16,
    /// From `socket_closing` to the close. Default 60 000 (official comment).
    pub maintenance_grace_ms: u64,
    /// Close code of maintenance. Default 1001 (inferred).
    pub maintenance_close_code: u16,
    /// A peer that leaves so many bytes unread is reset, at least 1. Default 67 108 864 (invented: the limit is unknown).
    pub socket_backlog_bytes: usize,
    /// Each socket gets a `CorrelationId` of its own for the same event. Default false (unknown).
    pub correlation_per_delivery: bool,

    /// Key order of `eventBody`. Default `same` (unknown).
    pub body_keys: BodyKeys,
    /// Of an event that goes to several channels, the copy on each but the first comes up to so much later; nothing on
    /// a socket overtakes anything else. Default 0 (unknown).
    pub skew_ms: u64,
    /// Base of `connectUri` instead of the simulator's own streaming URL, for something that stands in between, such as
    /// `ws://127.0.0.1:4711`. Default null.
    pub advertised_streaming: Option<String>,

    /// How late events are seen by the conversation details and usage queries. Default 0 (official: they lag, by how
    /// much is unknown).
    pub data_latency_ms: u64,
    /// Added to `totalHits` of conversation details, never below 0. Default 0 (official: it is approximate).
    pub total_hits_off: i64,
    /// So many of the oldest conversations are missing from the details query at first; one more is there with each
    /// further query, so that pages shift. Default 0 (official: pages shift while data arrives).
    pub late_conversations: usize,
    /// Paths of the REST API that answer 403. Default none.
    pub denied_paths: Vec<DeniedPath>,
    /// Bytes of published events that the REST API can still tell about until it is asked, at least 1, and as many again for
    /// `/gateway/since`; the oldest are forgotten. Default 67 108 864.
    pub history_bytes: usize,

    /// The endpoints under `/gateway/`, which are not Genesys Cloud's.
    pub gateway: GatewayOptions,

    /// Records kept of each kind (requests, events, sockets, channels, gateway connections, faults); the oldest go first and are counted.
    /// Default 1 000 000, at least 1. A million events take about half a gigabyte.
    pub log_limit: usize,
}

/// One OAuth client.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ClientOptions {
    /// The client id.
    pub id: String,
    /// The client secret.
    pub secret: String,
    /// The user that code, refresh and SAML grants act for. Default: an invented id.
    #[serde(default)]
    pub user_id: Option<String>,
    /// Authorization codes that may be redeemed, once each. Default none.
    #[serde(default)]
    pub codes: Vec<AuthorizationCode>,
    /// Refresh tokens that are valid from the start, once each. Default none.
    #[serde(default)]
    pub refresh_tokens: Vec<String>,
    /// SAML2 assertions (the base64 text as sent) that are accepted. Default none.
    #[serde(default)]
    pub assertions: Vec<String>,
}

/// One authorization code.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AuthorizationCode {
    /// The code.
    pub code: String,
    /// What the request's `redirect_uri` must be. Default: anything.
    #[serde(default)]
    pub redirect_uri: Option<String>,
}

/// A topic that may not be subscribed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ForbiddenTopic {
    /// A topic, or a template with `{id}`.
    pub topic: String,
    /// The permissions told in the answer.
    #[serde(default)]
    pub missing_permissions: Vec<String>,
    /// Answer with `notification.unauthorized.divisioned.topic` instead of `notification.unauthorized.topic`.
    #[serde(default)]
    pub divisioned: bool,
}

/// A path of the REST API that is not permitted.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct DeniedPath {
    /// The path without its query, such as `/api/v2/users/{id}/routingstatus`; `{id}` stands for any one segment.
    pub path: String,
    /// The permissions told in the answer. Default: those that the operation needs.
    #[serde(default)]
    pub missing_permissions: Vec<String>,
}

/// Key order of event bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BodyKeys {
    /// The same bytes on every channel.
    Same,
    /// Another order of keys on each channel.
    Shuffled,
}

/// What an open socket sees when its channel ends under it; a later upgrade is refused in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ending {
    /// Nothing: events stop, heartbeats and pongs go on.
    Silence,
    /// A close frame.
    Close,
    /// A frame `{"result":"404",…}`, then as `silence`.
    Result404,
}

/// The answer to a token that did not create the channel but belongs to the same client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ForeignToken {
    /// It may use the channel.
    Allow,
    /// 404 `not.found`.
    NotFound,
    /// 400 `notification.unable.to.get.channel.id`.
    UnableToGetChannel,
}

/// What `ignoreErrors=true` does for topics that do not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InvalidTopics {
    /// The whole call fails with 400, as without `ignoreErrors`.
    Refuse,
    /// They come back as `Rejected`.
    Reject,
}

const DAY_MS: u64 = 86_400_000;

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            port: 0,
            tls: false,
            seed: 1,
            clock_skew_ms: 0,
            clients: Vec::new(),
            token_life_ms: DAY_MS,
            single_token: false,
            bad_client_status: 400,
            channel_dies_with_token: true,
            token_expiry: Ending::Close,
            rate_limit: 300,
            rate_window_ms: 60_000,
            create_rate_limit: None,
            channel_life_ms: DAY_MS,
            renew_on_subscribe: true,
            channel_expiry: Ending::Close,
            channels_per_client: 20,
            eviction_notice: true,
            foreign_token: ForeignToken::NotFound,
            topics_per_channel: 1_000,
            topic_max_length: 200,
            invalid_topics: InvalidTopics::Refuse,
            forbidden: Vec::new(),
            event_bridge_only: Vec::new(),
            subscribe_over_socket: true,
            dead_upgrade_status: 404,
            heartbeat_ms: 30_000,
            idle_timeout_ms: None,
            displaced_close_code: 1000,
            evict_close_code: 1000,
            expiry_close_code: 1000,
            maintenance_grace_ms: 60_000,
            maintenance_close_code: 1001,
            socket_backlog_bytes: 64 << 20,
            correlation_per_delivery: false,
            body_keys: BodyKeys::Same,
            skew_ms: 0,
            advertised_streaming: None,
            data_latency_ms: 0,
            total_hits_off: 0,
            late_conversations: 0,
            denied_paths: Vec::new(),
            history_bytes: 64 << 20,
            gateway: GatewayOptions::default(),
            log_limit: 1_000_000,
        }
    }
}

impl SimOptions {
    /// Reads options from JSON.
    ///
    /// # Errors
    /// [`SimError::Invalid`] naming the path of an unknown, mistyped or out-of-range field.
    pub fn from_json(text: &str) -> Result<Self, SimError> {
        let options: Self = parse("options", text)?;
        options.check()?;
        Ok(options)
    }

    pub(crate) fn check(&self) -> Result<(), SimError> {
        at_least_one("tokenLifeMs", self.token_life_ms)?;
        at_least_one("rateLimit", u64::from(self.rate_limit))?;
        at_least_one("rateWindowMs", self.rate_window_ms)?;
        at_least_one("channelLifeMs", self.channel_life_ms)?;
        at_least_one("channelsPerClient", self.channels_per_client as u64)?;
        at_least_one("topicsPerChannel", self.topics_per_channel as u64)?;
        at_least_one("topicMaxLength", self.topic_max_length as u64)?;
        at_least_one("heartbeatMs", self.heartbeat_ms)?;
        at_least_one("socketBacklogBytes", self.socket_backlog_bytes as u64)?;
        at_least_one("historyBytes", self.history_bytes as u64)?;
        at_least_one("logLimit", self.log_limit as u64)?;
        at_least_one("idleTimeoutMs", self.idle_timeout_ms.unwrap_or(1))?;
        one_of("badClientStatus", self.bad_client_status, &[400, 401])?;
        one_of("deadUpgradeStatus", self.dead_upgrade_status, &[404, 401, 403])?;
        close_code("displacedCloseCode", self.displaced_close_code)?;
        close_code("evictCloseCode", self.evict_close_code)?;
        close_code("expiryCloseCode", self.expiry_close_code)?;
        close_code("maintenanceCloseCode", self.maintenance_close_code)?;
        self.gateway.check()?;
        if let Some(url) = &self.advertised_streaming
            && !(url.starts_with("ws://") || url.starts_with("wss://"))
        {
            return Err(SimError::invalid("advertisedStreaming", "must begin with ws:// or wss://"));
        }
        for (i, denied) in self.denied_paths.iter().enumerate() {
            if !denied.path.starts_with("/api/v2/") {
                return Err(SimError::invalid(format!("deniedPaths[{i}].path"), "must begin with /api/v2/"));
            }
        }
        for (i, client) in self.clients.iter().enumerate() {
            if client.id.is_empty() || client.id.contains(':') {
                return Err(SimError::invalid(
                    format!("clients[{i}].id"),
                    "must be a non-empty text without a colon",
                ));
            }
            if client.secret.is_empty() {
                return Err(SimError::invalid(format!("clients[{i}].secret"), "must not be empty"));
            }
            if self.clients[..i].iter().any(|earlier| earlier.id == client.id) {
                return Err(SimError::invalid(format!("clients[{i}].id"), "is used by an earlier client"));
            }
        }
        Ok(())
    }
}

/// A close frame may carry any of these; 1006 is played by a lost connection, not by a code.
pub(crate) fn close_code(path: &str, code: u16) -> Result<(), SimError> {
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(()),
        _ => Err(SimError::invalid(
            path,
            "must be a close code a server may send: 1000-1003, 1007-1014 or 3000-4999",
        )),
    }
}

pub(crate) fn at_least_one(path: &str, value: u64) -> Result<(), SimError> {
    if value == 0 { Err(SimError::invalid(path, "must be at least 1")) } else { Ok(()) }
}

fn one_of(path: &str, value: u16, allowed: &[u16]) -> Result<(), SimError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(SimError::invalid(path, format!("must be one of {allowed:?}")))
}

impl std::fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions").field("id", &self.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationCode").field("redirect_uri", &self.redirect_uri).finish_non_exhaustive()
    }
}

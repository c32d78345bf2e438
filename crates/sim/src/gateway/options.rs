use serde::Deserialize;

use crate::{
    error::SimError,
    options::{at_least_one, close_code},
};

/// How the gateway endpoints behave, and how strict they are. Nothing of this is Genesys Cloud's: every default is a choice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayOptions {
    /// Name of the query parameter that holds the token. Default `access_token`.
    pub token_parameter: String,
    /// From an accepted first message to its acknowledgement. Default 0.
    pub ready_delay_ms: u64,
    /// How a connection without a valid token is refused. Default `upgrade`.
    pub bad_token: BadToken,
    /// What an open connection sees when its token ends. Default `close`.
    pub token_end: TokenEnd,
    /// What follows a frame that comes before `/first-message` is ready, the first message itself excepted. It is counted in any
    /// case. Default `close`.
    pub early: EarlyFrame,
    /// `/since` refuses a connection without a position. Default true.
    pub require_position: bool,
    /// How long published events are kept for `/since`, at least 1. Default 60 000. A position older than that is stale.
    pub retention_ms: u64,
    /// The most events that are kept for `/since`, at least 1; the oldest go first, and a position before one that went is
    /// stale. Default 20 000.
    pub retention_events: usize,
    /// `/since` begins with the events of the position itself (`>=`), otherwise with those after it (`>`). Default true.
    pub inclusive: bool,
    /// What a position of `/since` is. Default `timestamp`.
    pub positions: Positions,
    /// How a connection to `/since` with a missing, unreadable, unknown or stale position is refused. Default `upgrade`.
    pub stale_position: BadPosition,
    /// Events come as arrays of up to so many, at least 1, which an event waits 10 ms for; null (default): one by one, without an
    /// array.
    pub batch: Option<usize>,
    /// `/minute` closes a connection so long after it was opened, at least 1. Default 60 000.
    pub close_every_ms: u64,
    /// The code it closes with. Default 1000.
    pub close_code: u16,
    /// Connections to one endpoint in a window, refused ones included, at least 1; more are answered with 429 and
    /// `Retry-After`. Null (default): 5 for `/minute`, no limit for the others.
    pub connect_limit: Option<u32>,
    /// Length of that window, at least 1; the first connection begins it. Default 10 000.
    pub connect_window_ms: u64,
}

/// How a token that is missing, unknown or has ended is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BadToken {
    /// 401 to the upgrade; to a first message a close with 4401.
    Upgrade,
    /// A frame `{"status":401,"error":…}` on the open connection, which stays open and gets no events.
    Frame,
}

/// What an open connection sees when its token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenEnd {
    /// A close with 4401.
    Close,
    /// A frame `{"status":401,"error":"token_expired"}`; the connection stays open and gets no events.
    Frame,
    /// Nothing: events go on.
    Ignore,
}

/// What follows a frame that comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EarlyFrame {
    /// A close with 1002.
    Close,
    /// Nothing: it is not obeyed.
    Ignore,
}

/// What a position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Positions {
    /// The `timestamp` of an event, which other events of the same millisecond share; an ISO date or epoch milliseconds.
    Timestamp,
    /// The `sequence` of an event, which no other has.
    Sequence,
}

/// How a position is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BadPosition {
    /// 400 to the upgrade.
    Upgrade,
    /// A frame `{"status":400,"error":…}` on the open connection, which stays open and gets no events.
    Frame,
}

/// Connections to `/minute` in a window, unless the options say otherwise.
pub(crate) const MINUTE_CONNECT_LIMIT: u32 = 5;

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            token_parameter: "access_token".to_owned(),
            ready_delay_ms: 0,
            bad_token: BadToken::Upgrade,
            token_end: TokenEnd::Close,
            early: EarlyFrame::Close,
            require_position: true,
            retention_ms: 60_000,
            retention_events: 20_000,
            inclusive: true,
            positions: Positions::Timestamp,
            stale_position: BadPosition::Upgrade,
            batch: None,
            close_every_ms: 60_000,
            close_code: 1000,
            connect_limit: None,
            connect_window_ms: 10_000,
        }
    }
}

impl GatewayOptions {
    pub(crate) fn check(&self) -> Result<(), SimError> {
        if self.token_parameter.is_empty() {
            return Err(SimError::invalid("gateway.tokenParameter", "must not be empty"));
        }
        at_least_one("gateway.retentionMs", self.retention_ms)?;
        at_least_one("gateway.retentionEvents", self.retention_events as u64)?;
        at_least_one("gateway.batch", self.batch.unwrap_or(1) as u64)?;
        at_least_one("gateway.closeEveryMs", self.close_every_ms)?;
        at_least_one("gateway.connectLimit", u64::from(self.connect_limit.unwrap_or(1)))?;
        at_least_one("gateway.connectWindowMs", self.connect_window_ms)?;
        close_code("gateway.closeCode", self.close_code)
    }
}

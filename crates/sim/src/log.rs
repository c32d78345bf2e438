use serde::Serialize;

use crate::gateway::GatewayRecord;

/// What happened so far, or since a cursor. All times are epoch milliseconds of the simulator's clock.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// Cursor for `log_since`; grows with every change.
    pub revision: u64,
    /// When the simulator started.
    pub started_at: u64,
    /// When this snapshot was taken.
    pub now: u64,
    /// Totals since the start, whatever the snapshot leaves out.
    pub counts: Counts,
    /// Requests on all three hosts, upgrades included, oldest first.
    pub requests: Vec<RequestRecord>,
    /// Published events, oldest first.
    pub events: Vec<EventRecord>,
    /// WebSockets, oldest first.
    pub sockets: Vec<SocketRecord>,
    /// Channels, oldest first.
    pub channels: Vec<ChannelRecord>,
    /// Connections to gateway endpoints, oldest first.
    pub gateway: Vec<GatewayRecord>,
    /// Faults that took effect, oldest first.
    pub faults: Vec<FaultRecord>,
}

/// Totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Requests received.
    pub requests: u64,
    /// Events published.
    pub published: u64,
    /// Events that were written to at least one socket.
    pub delivered: u64,
    /// Frames of events written to sockets, copies included.
    pub deliveries: u64,
    /// Events that reached no socket and cannot any more.
    pub undelivered: u64,
    /// WebSockets opened.
    pub sockets: u64,
    /// Channels created.
    pub channels: u64,
    /// Connections to gateway endpoints, refused ones included.
    pub gateway: u64,
    /// Records of any kind forgotten because of `logLimit`.
    pub forgotten: u64,
}

/// One HTTP request.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// Number of the request.
    pub id: u64,
    /// When its head and body had been read.
    pub at: u64,
    /// What it asks for, in the words of a fault's `match.operation`; `unknown` for any other path.
    pub operation: &'static str,
    /// HTTP method.
    pub method: String,
    /// Path and query; a token stands there as its label.
    pub path: String,
    /// `grant_type` of a token request.
    pub grant: Option<String>,
    /// The status that was sent; null while unanswered and when no answer was sent.
    pub status: Option<u16>,
    /// Error code of the answer's body.
    pub code: Option<String>,
    /// Client id.
    pub client: Option<String>,
    /// Label of the bearer token, or of the token that was issued: `token-1`, never the token itself.
    pub token: Option<String>,
    /// The channel in the path, or the one that was created, or `gateway/<endpoint>`.
    pub channel: Option<String>,
    /// Topics in the request's body.
    pub topics: Option<usize>,
    /// `ININ-Correlation-Id` of the answer.
    pub correlation_id: Option<String>,
    /// The `Retry-After` that was sent.
    pub retry_after: Option<String>,
    /// From `at` to the last byte of the answer, or to the end without one; null while in work.
    pub duration_ms: Option<u64>,
    /// Token requests only: the most that were in work at the same time as this one, itself included.
    pub concurrent: Option<usize>,
    /// Faults that touched it.
    pub faults: Vec<&'static str>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// One published event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// Number of the event, as `publish` returned it.
    pub seq: u64,
    /// When it was published.
    pub at: u64,
    /// Topic, always in its expanded form.
    pub topic: String,
    /// `metadata.CorrelationId`; to gateway connections it is sent as `id`.
    pub correlation_id: String,
    /// Bytes of the undisturbed frame's text.
    pub bytes: usize,
    /// One entry for each subscribed channel or gateway connection, for each copy of a duplicated frame, and for each replay.
    pub deliveries: Vec<Delivery>,
    /// Why it has reached nobody; null once a frame of it was written.
    pub reason: Option<String>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// What became of an event on one channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// The channel, or `gateway/<endpoint>`.
    pub channel: String,
    /// The socket it was meant for, if one was open.
    pub socket: Option<u64>,
    /// Whether it was written.
    pub state: DeliveryState,
    /// When its last byte was handed to the operating system. A socket that was reset later may still have lost it:
    /// compare with the socket's end.
    pub at: Option<u64>,
    /// Why it was lost: `noSocket`, `stalled`, `faulted:<kind>`, or how the socket ended.
    pub reason: Option<String>,
    /// The `CorrelationId` of this copy, where it is not the event's.
    pub correlation_id: Option<String>,
    /// Kinds of faults that changed the frame without replacing it.
    pub altered: Vec<&'static str>,
}

/// The three states of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DeliveryState {
    /// Waiting for the socket, or held back by a fault.
    Queued,
    /// Handed to the operating system, whole.
    Written,
    /// It will not be written.
    Lost,
}

/// One WebSocket.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SocketRecord {
    /// Number of the socket.
    pub id: u64,
    /// Its channel, or `gateway/<endpoint>`.
    pub channel: String,
    /// When the upgrade was answered.
    pub opened_at: u64,
    /// When the simulator stopped counting it as open.
    pub ended_at: Option<u64>,
    /// How it ended: `peerClosed`, `peerGone`, `displaced`, `evicted`, `expired`, `tokenEnded`, `maintenance`,
    /// `idle`, `backlog`, `protocolError`, `stopped`, or `faulted:<kind>`.
    pub ended: Option<String>,
    /// Code of the close frame, sent or received.
    pub close_code: Option<u16>,
    /// When the TCP connection was gone; after a stall later than what counts for events.
    pub gone_at: Option<u64>,
    /// When its channel ended under it while it stayed open.
    pub channel_gone_at: Option<u64>,
    /// When it was stalled last.
    pub stalled_at: Option<u64>,
    /// When a stall was lifted last.
    pub resumed_at: Option<u64>,
    /// When the last bytes came from the peer.
    pub last_inbound_at: Option<u64>,
    /// JSON pings received.
    pub pings: u64,
    /// RFC 6455 pings received.
    pub control_pings: u64,
    /// Heartbeats queued.
    pub heartbeats: u64,
    /// Events written.
    pub events: u64,
    #[serde(skip)]
    pub(crate) gateway: Option<u64>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// One channel.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelRecord {
    /// The channel's id.
    pub id: String,
    /// Its client.
    pub client: String,
    /// Label of the token that created it.
    pub token: String,
    /// When it was created.
    pub created_at: u64,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// `evicted`, `expired`, `tokenEnded`.
    pub ended: Option<String>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

/// One effect of a fault.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultRecord {
    /// When.
    pub at: u64,
    /// The id `fault` returned.
    pub fault: u64,
    /// `action.kind`.
    pub kind: &'static str,
    /// `match.operation` of the occurrence; for `refuse` the listener's.
    pub operation: &'static str,
    /// The channel concerned.
    pub channel: Option<String>,
    /// The socket concerned.
    pub socket: Option<u64>,
    /// The event concerned.
    pub seq: Option<u64>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

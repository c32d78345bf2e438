//! What the rules may be told. Checked by the driver before it gets here.

/// Settings of one client. Every time is in milliseconds.
#[derive(Clone, Debug)]
pub struct Config {
    /// When a silent socket is pinged and given up.
    pub heartbeat: Heartbeat,
    /// How retries are spaced.
    pub backoff: BackoffConfig,
    /// How planned changes of channel are timed.
    pub rotation: Rotation,
    /// What the service allows.
    pub limits: Limits,
    /// How planned changes treat the old channel.
    pub continuity: Continuity,
    /// Deadline of one REST or OAuth request. Default 30,000 (Genesys' own streaming client).
    pub request_timeout_ms: u64,
    /// Deadline of dialling, TLS and upgrade together. Default 15,000 (Genesys' own streaming client).
    pub connect_timeout_ms: u64,
    /// How often the service's own list of each live channel's subscriptions is read back, give or take a fifth. Default
    /// 300,000; 0 is never.
    pub audit_every_ms: u64,
    /// Instead of channels: a server that authenticates on the socket itself.
    pub direct: Option<Direct>,
}

/// What the rules have to know of a direct endpoint. How its frames are made and read is the driver's business.
#[derive(Clone, Debug)]
pub struct Direct {
    /// How a connection proves who it is.
    pub auth: Auth,
    /// How long a connection may take to say that it is ready; without it, it is ready once open (and told the token).
    pub ready_timeout_ms: Option<u64>,
    /// How long the server keeps a connection, where that is known: it is replaced, overlapped, before.
    pub lifetime_ms: Option<u64>,
    /// Whether topics are asked for on the socket. If not, the server sends what it sends.
    pub subscribes: bool,
    /// What happens when the token is renewed.
    pub renewal: Renewal,
    /// How the next connection goes on where the last one ended; without it, what an outage costs is a gap.
    pub resume: Option<Resume>,
    /// Whether a position of an earlier process is to be loaded before the first connection.
    pub has_cursor: bool,
    /// Whether a later process will go on where this one ends: by a cursor or a journal.
    pub survives: bool,
}

/// How a connection to a direct endpoint proves who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// With the token in the URL or in a header.
    Opening,
    /// With the token in the first message.
    FirstMessage,
    /// Not at all: no token is asked for.
    None,
}

/// What a direct link does when the token is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// A new connection, overlapped.
    Reconnect,
    /// The first message again, on the same socket.
    Message,
}

/// How a stream is resumed.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The position of the very first connection, and of one after the server refused a position.
    pub initial: Initial,
    /// Whether the server sends the events of the position itself again. Where that is not known, the last position is sent
    /// until events are seen to share one, then the one before it.
    pub inclusive: Option<bool>,
}

/// Where a stream begins that has no position yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Initial {
    /// The time of the connection, in ISO 8601 with milliseconds.
    Now,
    /// This.
    Given(String),
}

/// What happens to the old channel once its successor is proven alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Closed as soon as a pong shows that its stream is drained.
    Reconnect,
    /// Kept for `Rotation::overlap_ms` after that, then closed and its subscriptions deleted.
    Overlap,
    /// As `Overlap`, and a second live channel per shard carries the same topics, so that the loss of one costs nothing.
    Standby,
}

/// Liveness (P1). Any inbound frame is life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Silence after which an application ping is sent. Default 20,000.
    pub ping_after_ms: u64,
    /// How long a pong may take before the ping is repeated, and how long a new socket has to prove itself.
    /// Default 5,000.
    pub pong_timeout_ms: u64,
    /// Silence after which the socket is dropped. Default 35,000: the service beats every 30 s and Genesys' own
    /// client uses 35 s.
    pub silence_ms: u64,
}

/// Backoff (P6), full jitter.
#[derive(Clone, Debug)]
pub struct BackoffConfig {
    /// Upper bound of the first wait; doubles with each attempt. Default 500.
    pub initial_ms: u64,
    /// Upper bound of any wait while the outage is shorter than `Limits::suspend_after_ms`. Default 30,000.
    pub max_ms: u64,
    /// Upper bound of any wait while suspended. Default 60,000.
    pub suspended_max_ms: u64,
    /// Healthy traffic after which the attempt count starts again. Default 60,000.
    pub healthy_ms: u64,
}

/// Planned changes (P3).
#[derive(Clone, Debug)]
pub struct Rotation {
    /// How long before its end a channel is replaced. Default: random within the last 1–4 h of 24 h, and in
    /// proportion for shorter lives.
    pub before_expiry_ms: Option<u64>,
    /// How long the old link is kept once its stream is drained. Default 5,000.
    pub overlap_ms: u64,
    /// Part of a token's life after which it is renewed, 0.1–0.95. Default 0.8.
    pub token_renewal_fraction: f64,
}

/// What the service allows, as far as it is known; see `docs/behaviour.md`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Topics per channel, a combined topic counting as one. Default 1,000.
    pub topics_per_channel: usize,
    /// Channels per client and user. Default 20.
    pub channels: usize,
    /// Channels in use, those of other applications included, from which a warning is given. Default 15.
    pub channels_warn_from: usize,
    /// Characters of a combined topic. Default 200; Genesys' own client stays below, and so do we.
    pub combined_topic_chars: usize,
    /// Window in which topic changes are gathered into one request, low and high end. Default 50–250.
    pub coalesce_ms: (u64, u64),
    /// Outage after which the state becomes `suspended`. Default 120,000.
    pub suspend_after_ms: u64,
    /// Window in which copies from two overlapping channels are recognised. Default 60,000.
    pub dedup_window_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            heartbeat: Heartbeat::default(),
            backoff: BackoffConfig::default(),
            rotation: Rotation::default(),
            limits: Limits::default(),
            continuity: Continuity::Overlap,
            request_timeout_ms: 30_000,
            connect_timeout_ms: 15_000,
            audit_every_ms: 300_000,
            direct: None,
        }
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { ping_after_ms: 20_000, pong_timeout_ms: 5_000, silence_ms: 35_000 }
    }
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self { initial_ms: 500, max_ms: 30_000, suspended_max_ms: 60_000, healthy_ms: 60_000 }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self { before_expiry_ms: None, overlap_ms: 5_000, token_renewal_fraction: 0.8 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            topics_per_channel: 1_000,
            channels: 20,
            channels_warn_from: 15,
            combined_topic_chars: 200,
            coalesce_ms: (50, 250),
            suspend_after_ms: 120_000,
            dedup_window_ms: 60_000,
        }
    }
}

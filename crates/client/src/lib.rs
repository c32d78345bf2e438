//! The tokio driver of a Genesys Cloud notification stream: OAuth, REST, sockets, delivery queue.
//!
//! The rules are in `genesys-notifications-proto`; here is one async function for each effect they ask for, and the queue
//! towards JavaScript. See [`Client`].

mod authorities;
mod backfill;
mod batch;
mod chronicle;
mod chunk;
mod client;
mod clock;
mod closing;
mod conflate;
mod connect_uri;
mod control;
mod cursor_file;
mod cursor_options;
mod delivery;
mod effects;
mod endpoint;
mod endpoint_options;
mod environment;
mod filter;
mod given;
mod held;
mod http;
mod journal_options;
mod keeper;
mod oauth;
mod options;
mod outlet;
mod past;
mod queue;
mod reader;
mod regions;
mod replay;
mod rest;
mod retry_after;
mod runtime;
mod secret;
mod shared;
mod socket;
mod stats;
mod strangers;
mod timer;
mod tls;
mod topic_options;
mod treatment;

pub use batch::{Batch, Flags, ROW_WIDTH, Row};
pub use client::Client;
pub use clock::{Clock, SystemClock};
pub use control::Control;
pub use delivery::{Bell, Remains};
pub use environment::Environment;
pub use genesys_notifications_journal::{Report, Stats as JournalStats};
pub use genesys_notifications_proto::{
    Backfilled, Certainty, ChannelStats, ClientState, ErrorCode, ErrorReport, Gap, GapStats, Governor,
    GovernorConfig, KeptGaps, LogLine, MachineStats, Notice, Now, Random, Reason, RequestId, SplitMix,
    StateChange, TokenReason, Topic, TopicChange, TopicError, TopicState, TopicStats, TopicStatus,
};
pub use keeper::CursorStats;
pub use options::{OptionError, Options};
pub use replay::{Replay, ReplayBound, ReplayError, report};
pub use shared::ProvidedToken;
pub use stats::{QueueStats, Stats};
pub use topic_options::{ConflateOptions, TopicOptions, TopicReport};

//! The rules of a Genesys Cloud notification stream as a pure machine.
//!
//! Four verbs: [`Machine::handle`], [`Machine::handle_timeout`], [`Machine::poll_output`],
//! [`Machine::poll_timeout`], and a fifth for the hot path, [`Machine::frame`]. Change once, drain every output, then
//! wait until the next deadline. Time and randomness are arguments; nothing here performs I/O.

pub mod backfill;
pub mod one_byte;

mod backoff;
mod canonical;
mod config;
mod cursor;
mod date;
mod decision;
mod dedup;
mod envelope;
mod failure;
mod gap;
mod governor;
mod handshake;
mod io;
mod layout;
mod likeness;
mod link;
mod liveness;
mod machine;
mod notice;
mod pointer;
mod position;
mod random;
mod roster;
mod select;
mod shapes;
mod shard;
mod skew;
mod template;
mod throttle;
mod time;
mod token;
mod topic;

pub use config::{
    Auth, BackoffConfig, Config, Continuity, Direct, Heartbeat, Initial, Limits, Renewal, Resume, Rotation,
};
pub use cursor::{Cursor, CursorError, MOST_SEEN, Track};
pub use decision::{Decision, Judgement, Step, judge, judge_close, judge_direct_close};
pub use envelope::{DEFAULT_DEPTH, DEPTHS, Envelope, Frame, SystemNotice, Unreadable};
pub use failure::{Failure, HttpFailure, NetworkKind};
pub use governor::{Governor, GovernorConfig};
pub use handshake::Life;
pub use io::{
    ChannelsInUse, Effect, Ending, Generation, Input, LinkId, NewChannel, Operation, Outcome, Output, Past,
    PastEvent, Rejection, RequestId, SocketId, Ticket, TokenGrant, TokenReason, TopicChange, TopicId,
    TopicRequest, TopicResult, Verb,
};
pub use layout::{Layout, LayoutError, LayoutParts};
pub use machine::{
    ChannelStats, Context, DirectStats, Disposition, GapStats, KeptGaps, Machine, MachineStats, SkewStats,
    TopicStats,
};
pub use notice::{
    Backfilled, Certainty, ChannelStage, ClientState, ErrorCode, ErrorReport, Gap, LogLine, Moment,
    MomentKind, Notice, Reason, StateChange, TopicState, TopicStatus,
};
pub use pointer::{Pointer, PointerError};
pub use random::{Random, SplitMix};
pub use select::{Select, SelectError};
pub use shapes::{Shape, Shapes};
pub use template::{Placeholder, Template, TemplateError, Values};
pub use time::Now;
pub use topic::{Packed, Topic, TopicError, pack};

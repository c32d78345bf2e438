//! What goes into the machine and what comes out of it.

use serde::Serialize;

use crate::cursor::Cursor;
use crate::failure::Failure;
use crate::notice::{Backfilled, ErrorReport, Gap, Notice};
use crate::topic::Topic;

/// Names one started operation. A result with an old ticket changes nothing, except that its `Retry-After` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one use of a channel: create, subscribe, open, live, draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Names one socket of a link. A link that reopens its channel gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// Index of a topic name known to the machine; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TopicId(pub u32);

/// Counts the tokens of a client; a 401 for an old generation renews nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// The caller's number for a request; comes back in [`Notice::Settled`] once it is carried out or moot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RequestId(pub u64);

/// Everything the machine can be told, except frames (see `Machine::frame`) and time.
#[derive(Clone, Debug)]
pub enum Input {
    /// Start connecting; does nothing unless idle.
    Connect,
    /// Close every socket and stop for ever.
    Close,
    /// Replace every live channel, overlapped. The request is settled once none of them is in use any more.
    Rotate(RequestId),
    /// Drop every socket and start again on new channels, without backoff. The request is settled once connected.
    Reconnect(RequestId),
    /// Change the wanted topics.
    Topics(TopicRequest),
    /// The one result of a started operation.
    Done(Ticket, Outcome),
    /// A socket ended that the machine did not drop itself.
    SocketClosed(SocketId, Ending),
    /// The driver stopped (`true`) or resumed (`false`) reading a socket because the queue is full.
    Paused(SocketId, bool),
    /// Events that arrived were thrown away by the queue: reported as a gap.
    QueueDropped {
        /// Whose events.
        topics: Vec<TopicId>,
        /// When the first was received, in milliseconds since the epoch.
        from: u64,
        /// When the last was received.
        to: u64,
    },
    /// `inin-ratelimit-*` of a REST answer.
    RateLimit {
        /// Requests left in this window.
        remaining: u64,
        /// Milliseconds until the window ends.
        reset_ms: u64,
    },
    /// Events that were never acknowledged were thrown away by the journal: reported as a gap.
    Evicted {
        /// Whose events.
        topics: Vec<Topic>,
        /// When the first was received, in milliseconds since the epoch.
        from: u64,
        /// When the last was received.
        to: u64,
    },
    /// The journal is full and its option says to fail, or it cannot be written any more: the client fails.
    JournalFailed(ErrorReport),
    /// A closed gap was filled from the REST API, as far as that goes.
    Backfilled {
        /// The gap's id.
        gap: String,
        /// How far.
        outcome: Backfilled,
    },
}

/// A change of the wanted topics.
#[derive(Clone, Debug)]
pub struct TopicRequest {
    /// Comes back once every topic of the request is subscribed, rejected or no longer wanted.
    pub request: RequestId,
    /// Add, remove or replace.
    pub change: TopicChange,
    /// Single names, no combined ones.
    pub topics: Vec<Topic>,
}

/// How a request changes the wanted set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicChange {
    /// Want these as well.
    Add,
    /// No longer want these.
    Remove,
    /// Want exactly these.
    Replace,
}

/// Everything the machine can ask for.
#[derive(Clone, Debug)]
pub enum Output {
    /// Start an operation; it must end in exactly one [`Input::Done`] with this ticket.
    Start(Operation),
    /// The result of this operation is no longer wanted; it may be stopped. No `Done` is expected.
    Cancel(Ticket),
    /// Send `{"message":"ping"}`.
    Ping(SocketId),
    /// Of a direct link: send the first message, with this token.
    Authenticate(SocketId, Generation),
    /// Of a direct link: ask for this topic.
    Ask(SocketId, TopicId),
    /// Send a WebSocket ping: a server that does not know the application ping is bound by RFC 6455 to answer this one.
    Probe(SocketId),
    /// Close with the WebSocket handshake and this code, bounded; nothing it brings is wanted any more.
    CloseSocket(SocketId, u16),
    /// Drop without waiting for a handshake.
    DropSocket(SocketId),
    /// Hand over the events held back for this socket.
    Release(SocketId),
    /// Forget this link's channel (its connectUri).
    ForgetLink(LinkId),
    /// Something the user should know.
    Notify(Notice),
    /// Everything has ended: no operation, socket or timer is left.
    Closed,
}

/// One started operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its name in the answer.
    pub ticket: Ticket,
    /// What to do.
    pub effect: Effect,
    /// The driver gives up after this long and reports a timeout.
    pub timeout_ms: u64,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Get an access token. Answer: [`Outcome::Token`].
    FetchToken {
        /// The generation that a success creates.
        generation: Generation,
        /// Why.
        why: TokenReason,
    },
    /// `POST channels`. Answer: [`Outcome::Channel`]; the driver keeps the connectUri under `link`.
    CreateChannel {
        /// For whom.
        link: LinkId,
        /// With which token.
        generation: Generation,
    },
    /// Change the subscriptions of a link's channel. Answer: [`Outcome::Subscriptions`].
    Subscribe {
        /// Whose channel.
        link: LinkId,
        /// With which token.
        generation: Generation,
        /// How.
        verb: Verb,
        /// Topics as they go over the wire, possibly combined.
        topics: Vec<String>,
    },
    /// Open a socket on a link's channel. Answer: [`Outcome::Socket`].
    OpenSocket {
        /// Whose channel.
        link: LinkId,
        /// The new socket's name.
        socket: SocketId,
    },
    /// Of a direct link: open its socket. Answer: [`Outcome::Socket`].
    Connect {
        /// Whose.
        link: LinkId,
        /// The new socket's name.
        socket: SocketId,
        /// With which token; none where nobody is to be authenticated.
        generation: Option<Generation>,
        /// From where the server is to go on, where streams are resumed.
        position: Option<String>,
    },
    /// Read the cursor that an earlier process has left. Answer: [`Outcome::Cursor`].
    LoadCursor,
    /// `GET channels?includechannels=oauthclient`. Answer: [`Outcome::Channels`].
    ListChannels {
        /// With which token.
        generation: Generation,
    },
    /// `GET channels/{id}/subscriptions`. Answer: [`Outcome::Listed`].
    ListSubscriptions {
        /// Whose channel.
        link: LinkId,
        /// With which token.
        generation: Generation,
    },
}

/// How subscriptions change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `PUT`: exactly these.
    Replace,
    /// `POST`: these as well.
    Add,
    /// `DELETE`: none.
    Clear,
}

/// Why a token is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenReason {
    /// There is none yet.
    Initial,
    /// The one at hand ends soon.
    Renewal,
    /// The service refused the one at hand.
    Rejected,
    /// The one at hand ended before it could be renewed.
    Expired,
}

/// The result of an operation.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Of `FetchToken`: the token's life in milliseconds.
    Token(Result<TokenGrant, Failure>),
    /// Of `CreateChannel`.
    Channel(Result<NewChannel, Failure>),
    /// Of `Subscribe`.
    Subscriptions(Result<Vec<TopicResult>, Failure>),
    /// Of `OpenSocket` and `Connect`.
    Socket(Result<(), Failure>),
    /// Of `LoadCursor`: nothing if there is none yet. A failure is tried again, a cursor that cannot be read is not.
    Cursor(Result<Option<Cursor>, Failure>),
    /// Of `ListChannels`.
    Channels(Result<ChannelsInUse, Failure>),
    /// Of `ListSubscriptions`: the ids as they came over the wire, possibly combined.
    Listed(Result<Vec<String>, Failure>),
}

/// The channels of this client and user that exist, whoever made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelsInUse {
    /// How many.
    pub total: usize,
}

/// What the journal knows from before this process ran.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Everything that arrived before is in the journal; milliseconds since the epoch.
    pub sound_until: u64,
    /// Topics that were wanted and live then.
    pub covered: Vec<Topic>,
    /// The last closed gaps, oldest first, and the open ones.
    pub gaps: Vec<Gap>,
    /// What arrived within the last window in which copies are recognised.
    pub seen: Vec<PastEvent>,
    /// Of a direct endpoint: the position of the last event that arrived. With it no cursor is loaded.
    pub cursor: Option<Cursor>,
}

/// An event that arrived before this process ran.
#[derive(Clone, Debug)]
pub struct PastEvent {
    /// Its topic.
    pub topic: Topic,
    /// The text of its body.
    pub body: String,
    /// When it arrived, in milliseconds since the epoch.
    pub received_at: u64,
}

/// A token the driver now holds.
#[derive(Clone, Copy, Debug)]
pub struct TokenGrant {
    /// Its life in milliseconds; `None` if the provider did not say (24 h is assumed, the service's default).
    pub expires_in_ms: Option<u64>,
}

/// A channel the driver now holds.
#[derive(Clone, Debug)]
pub struct NewChannel {
    /// Its id. A bearer secret as part of connectUri, but shown in full nowhere except to the user's own events.
    pub id: String,
    /// Its life in milliseconds, skew of the clocks already removed.
    pub expires_in_ms: u64,
}

/// What the service says of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicResult {
    /// The topic as the service names it, possibly combined.
    pub id: String,
    /// `Rejected` with this reason, or permitted.
    pub rejected: Option<Rejection>,
}

/// Why the service refused a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejection {
    /// The service's words.
    pub reason: String,
    /// Permissions that are missing, e.g. `telephony:otherStationAssociation:view`.
    pub missing_permissions: Vec<String>,
}

/// How a socket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed with a code; 1005 if it gave none.
    Closed(u16, String),
    /// The transport broke.
    Broken(Failure),
    /// The peer sent what cannot be read: too large a message, a protocol violation.
    Unreadable(String),
}

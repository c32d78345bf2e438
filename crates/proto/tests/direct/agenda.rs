//! What will happen.

use genesys_notifications_proto::{Ending, Generation, Outcome, SocketId, Ticket};

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A request reaches the server.
    AtServer(Ticket),
    /// The driver has the result of an operation.
    Answer(Ticket, Outcome),
    /// What the driver sent reaches the server.
    Sent(SocketId, Word),
    /// The server has checked the token of a connection.
    Ready(SocketId),
    /// The server says ready once more.
    ReadyAgain(SocketId),
    /// The server begins to send the topics that it was asked for by then.
    Replay(SocketId),
    /// What the server sent reaches this computer.
    Arrive(SocketId, Bytes),
    /// The end of a socket reaches this computer.
    Ends(SocketId, Ending),
    /// The server notices that a socket was closed by the client.
    LeftAtServer(SocketId),
    /// The server closes a connection that has lasted long enough.
    PlannedClose(SocketId),
    /// A token ends.
    TokenEnds(u32, Generation),
    Publish,
    /// The user acknowledges some of what was delivered.
    Acknowledge,
    Chaos,
    /// The process runs again after a pause.
    Thaw,
    /// The next process begins.
    Begin,
}

/// From the client.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Token(Generation),
    Ask(u8),
    Probe,
}

/// From the server.
#[derive(Clone, Debug)]
pub(crate) enum Bytes {
    Text(String),
    Pong,
}

impl Item {
    /// Whether it waits while the process does not run.
    pub(crate) fn is_for_the_process(&self) -> bool {
        matches!(self, Self::Answer(..) | Self::Arrive(..) | Self::Ends(..) | Self::Acknowledge | Self::Chaos)
    }

    /// Whether it happens although the process is no more.
    pub(crate) fn outlives_the_process(&self) -> bool {
        matches!(self, Self::Publish | Self::Acknowledge | Self::Chaos | Self::Begin)
    }
}

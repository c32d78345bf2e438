//! What a direct link has come to, beside its socket.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::io::{Generation, TopicId};
use crate::link::{Link, Socket};

/// The life of a direct link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Life {
    /// It cannot be opened before there is a token.
    AwaitingToken,
    /// It is being opened, or waits for its turn.
    Opening,
    /// It is open, and the server has not said yet that it is ready.
    Authenticating,
    /// Topics can be asked for.
    Ready,
    /// They were asked for; a WebSocket pong will show that this was read.
    Subscribing,
    /// It is proven to carry them.
    Live,
}

/// Of one socket.
#[derive(Debug)]
pub(crate) struct Handshake {
    phase: Phase,
    /// When it began, by the clock of copies.
    pub(crate) joined_at: i64,
    /// Events that may come again, and how often.
    expected: HashMap<u64, u32>,
    /// Positions and identities of what arrived before the connection was proven, which do not count yet: a server that is asked
    /// topic by topic sends the past of one after the other.
    arrived: Vec<(Option<String>, u64)>,
    /// A token was sent to a live socket, and its answer is due by then.
    renewal_due: Option<u64>,
    /// Topics that were asked for and are no longer wanted: the server sends them all the same.
    left: BTreeSet<TopicId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    /// The server owes its answer until then.
    Authenticating(u64),
    Ready,
}

impl Handshake {
    pub(crate) fn new(joined_at: i64, expected: HashMap<u64, u32>) -> Self {
        Self {
            joined_at,
            phase: Phase::Opening,
            expected,
            renewal_due: None,
            left: BTreeSet::new(),
            arrived: Vec::new(),
        }
    }

    /// The socket is open. Without a deadline nothing is waited for.
    pub(crate) fn opened(&mut self, ready_due: Option<u64>) {
        self.phase = ready_due.map_or(Phase::Ready, Phase::Authenticating);
    }

    /// The server said that it is ready.
    pub(crate) fn ready(&mut self) {
        if self.phase != Phase::Opening {
            self.phase = Phase::Ready;
        }
        self.renewal_due = None;
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// When the server's answer to the first token is due, while it is waited for.
    pub(crate) fn ready_due(&self) -> Option<u64> {
        match self.phase {
            Phase::Authenticating(due) => Some(due),
            Phase::Opening | Phase::Ready => None,
        }
    }

    /// A new token was sent.
    pub(crate) fn renewed(&mut self, answer_due: Option<u64>) {
        self.renewal_due = answer_due;
    }

    pub(crate) fn renewal_due(&self) -> Option<u64> {
        self.renewal_due
    }

    /// An event arrived that is no copy, and the connection is not proven.
    pub(crate) fn early(&mut self, position: Option<&str>, identity: u64) {
        self.arrived.push((position.map(str::to_owned), identity));
    }

    /// The connection is proven: what it was asked for has arrived.
    pub(crate) fn proven(&mut self) -> Vec<(Option<String>, u64)> {
        std::mem::take(&mut self.arrived)
    }

    /// Wanted topics have changed. Says which of them are to be asked for, of those that the socket did not carry until now.
    pub(crate) fn questions(
        &mut self,
        carried: &BTreeSet<TopicId>,
        wanted: &BTreeSet<TopicId>,
    ) -> Vec<TopicId> {
        self.left.extend(carried.difference(wanted));
        wanted.difference(carried).filter(|id| !self.left.remove(id)).copied().collect()
    }

    /// Whether this event was to come again.
    pub(crate) fn was_expected(&mut self, identity: u64) -> bool {
        let Some(times) = self.expected.get_mut(&identity) else { return false };
        *times -= 1;
        if *times == 0 {
            self.expected.remove(&identity);
        }
        true
    }
}

impl Link {
    /// How far a direct link has come.
    pub(crate) fn life(&self, token: Option<Generation>, needs_token: bool) -> Life {
        let is_ready = self.handshake.as_ref().is_some_and(Handshake::is_ready);
        match &self.socket {
            Socket::Closed if needs_token && token.is_none() => Life::AwaitingToken,
            Socket::Closed | Socket::Opening { .. } => Life::Opening,
            Socket::Open(_) if !is_ready => Life::Authenticating,
            Socket::Open(_) if self.subscriptions.confirmations == 0 => Life::Ready,
            Socket::Open(_) if !self.is_live() => Life::Subscribing,
            Socket::Open(_) => Life::Live,
        }
    }
}

//! What a socket has to send, one message at a time and never in the way of what it reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::SinkExt as _;
use genesys_notifications_proto::Topic;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::WebSocket;
use crate::endpoint::{Endpoint, Filling};
use crate::secret::Secret;

/// How long a message may wait for the peer to take it.
const SENDING: Duration = Duration::from_secs(5);

/// The service's application ping.
const PING: &str = r#"{"message":"ping"}"#;

/// A message to be.
#[derive(Debug)]
pub(crate) enum Saying {
    /// The application ping.
    Ping,
    /// The WebSocket ping.
    Probe,
    /// The first message to a direct endpoint, with this token.
    First(Secret),
    /// What asks a direct endpoint for a topic.
    Ask(Topic),
}

/// What a direct endpoint is told, and what is filled in.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) filling: Filling,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Templates are filled in only when it is their turn: thousands may wait.
    waiting: VecDeque<Saying>,
    script: Option<Script>,
    /// The message that is being sent is given up then.
    deadline: Option<Instant>,
    /// Whether it has been handed over to the stream.
    is_written: bool,
}

impl Outbox {
    pub(super) fn new(script: Option<Script>) -> Self {
        Self { script, ..Self::default() }
    }

    pub(super) fn push(&mut self, saying: Saying) {
        self.waiting.push_back(saying);
    }

    /// When the peer has taken no byte for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Sends what can be sent now. Ready once nothing waits.
    pub(super) fn poll(&mut self, stream: &mut WebSocket, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.is_written {
                ready!(stream.poll_flush_unpin(cx))?;
                self.is_written = false;
                self.deadline = None;
            }
            if self.waiting.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.deadline.get_or_insert_with(|| Instant::now() + SENDING);
            ready!(stream.poll_ready_unpin(cx))?;
            let message = self.waiting.pop_front().and_then(|saying| self.message(saying));
            if let Some(message) = message {
                stream.start_send_unpin(message)?;
            }
            self.is_written = true;
        }
    }

    fn message(&mut self, saying: Saying) -> Option<Message> {
        let Self { script, .. } = self;
        Some(match saying {
            Saying::Ping => Message::text(PING),
            Saying::Probe => Message::Ping(Vec::new().into()),
            Saying::First(token) => {
                let Script { endpoint, filling } = script.as_mut()?;
                filling.token = Some(token);
                Message::text(endpoint.first_message(filling)?)
            }
            Saying::Ask(topic) => {
                let Script { endpoint, filling } = script.as_ref()?;
                Message::text(endpoint.ask(filling, topic.as_str())?)
            }
        })
    }
}

//! One open socket: a task that reads frames, sends pings and closes, and ends in exactly one way.

pub(crate) mod dial;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use genesys_notifications_proto::{Ending, Failure, Frame, Input, NetworkKind, SocketId, Unreadable};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) use dial::WebSocket;

use crate::secret::Secrets;
use crate::shared::{Shared, Turn, panic_text};

/// How long a close handshake may take; then the socket is dropped.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// How long a ping may wait for the peer to take bytes.
const SENDING: Duration = Duration::from_secs(5);

/// What one turn reads at most, so that the core's lock and the runtime's thread are there for others again.
const TURN_FRAMES: usize = 256;
const TURN_BYTES: usize = 256 << 10;

/// What one turn reads between two looks at the clocks.
const LOOK_FRAMES: usize = 16;
const LOOK_BYTES: usize = 32 << 10;

/// The service's application ping.
const PING: &str = r#"{"message":"ping"}"#;

/// What the client can do to a socket.
pub(crate) struct Handle {
    commands: UnboundedSender<Command>,
    task: JoinHandle<()>,
    /// Index of its channel's id among the announced names.
    pub(crate) channel: u32,
}

enum Command {
    Ping,
    Probe,
    Close(u16),
}

impl Handle {
    pub(crate) fn ping(&self) {
        // A task that ended has said so itself.
        let _ = self.commands.send(Command::Ping);
    }

    pub(crate) fn probe(&self) {
        let _ = self.commands.send(Command::Probe);
    }

    /// Says goodbye within [`GOODBYE`]; the task ends by itself.
    pub(crate) fn close(self, code: u16) -> JoinHandle<()> {
        let _ = self.commands.send(Command::Close(code));
        self.task
    }

    /// Drops the connection at once.
    pub(crate) fn abort(self) {
        self.task.abort();
    }
}

/// Starts the task of an open socket.
pub(crate) fn spawn(
    runtime: &runtime::Handle,
    shared: &Arc<Shared>,
    id: SocketId,
    stream: Box<WebSocket>,
    channel: u32,
) -> Handle {
    let (commands, receiver) = unbounded_channel();
    let task = runtime.spawn(supervise(shared.clone(), id, stream, receiver));
    Handle { commands, task, channel }
}

/// Runs the socket and reports its end, even if that was a panic.
async fn supervise(
    shared: Arc<Shared>,
    id: SocketId,
    stream: Box<WebSocket>,
    commands: UnboundedReceiver<Command>,
) {
    let mut socket = Socket { shared: shared.clone(), id, stream, commands };
    let ending = match AssertUnwindSafe(socket.run()).catch_unwind().await {
        Ok(ending) => ending,
        Err(panic) => {
            let text = shared.services.secrets.scrub(&format!("internal error: {}", panic_text(&*panic)));
            Some(Ending::Unreadable(text))
        }
    };
    let Some(ending) = ending else { return };
    let closed_by_peer = matches!(ending, Ending::Closed(..));
    shared.turn(|turn| turn.socket_ended(id, ending));
    if closed_by_peer {
        // The answer to the close frame is on its way; whoever waits for it should get it.
        let _ = timeout(GOODBYE, async { while let Some(Ok(_)) = socket.stream.next().await {} }).await;
    }
}

struct Socket {
    shared: Arc<Shared>,
    id: SocketId,
    stream: Box<WebSocket>,
    commands: UnboundedReceiver<Command>,
}

impl Socket {
    /// Returns how the peer or the transport ended it; nothing if we did.
    async fn run(&mut self) -> Option<Ending> {
        let mut paused = false;
        loop {
            if self.shared.is_full() != paused {
                paused = !paused;
                self.shared.turn(|turn| turn.input(Input::Paused(self.id, paused)));
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Ping) => {
                        if let Err(ending) = self.send(Message::text(PING)).await {
                            return Some(ending);
                        }
                    }
                    Some(Command::Probe) => {
                        if let Err(ending) = self.send(Message::Ping(Vec::new().into())).await {
                            return Some(ending);
                        }
                    }
                    Some(Command::Close(code)) => {
                        self.close(code).await;
                        return None;
                    }
                    None => return None,
                },
                () = self.shared.room(), if paused => {}
                ending = poll_fn(|cx| read(&self.shared, self.id, &mut self.stream, cx)), if !paused => {
                    if let Some(ending) = ending {
                        return Some(ending);
                    }
                }
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Ending> {
        match timeout(SENDING, self.stream.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(broken(&error, &self.shared.services.secrets)),
            Err(_) => Err(Ending::Broken(Failure::Network {
                kind: NetworkKind::TimedOut,
                detail: "the peer takes no bytes".into(),
            })),
        }
    }

    async fn close(&mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        let goodbye = async {
            if WebSocket::close(&mut self.stream, Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.stream.next().await {}
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

/// Handles all that has arrived, in one turn. Ready when that was something, with how the socket ended if it did.
fn read(
    shared: &Arc<Shared>,
    id: SocketId,
    stream: &mut WebSocket,
    cx: &mut Context<'_>,
) -> Poll<Option<Ending>> {
    let mut message = ready!(stream.poll_next_unpin(cx));
    Poll::Ready(shared.turn(|turn| {
        let (mut total, mut since_look) = (Measure::default(), Measure::default());
        loop {
            let bytes = length(&message);
            if let Some(ending) = handle(turn, id, message) {
                return Some(ending);
            }
            total.add(bytes);
            since_look.add(bytes);
            // What is not taken off the stream waits there: a full queue loses nothing.
            if total.reaches(TURN_FRAMES, TURN_BYTES) || shared.is_full() || !turn.has_socket(id) {
                return None;
            }
            message = match stream.poll_next_unpin(cx) {
                Poll::Ready(message) => message,
                Poll::Pending => return None,
            };
            if since_look.reaches(LOOK_FRAMES, LOOK_BYTES) {
                since_look = Measure::default();
                turn.look_at_the_time();
            }
        }
    }))
}

/// Frames and their bytes.
#[derive(Default)]
struct Measure {
    frames: usize,
    bytes: usize,
}

impl Measure {
    fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes;
    }

    fn reaches(&self, frames: usize, bytes: usize) -> bool {
        self.frames >= frames || self.bytes >= bytes
    }
}

fn length(message: &Option<Result<Message, Error>>) -> usize {
    message.as_ref().and_then(|message| message.as_ref().ok()).map_or(0, Message::len)
}

/// Says how the socket ended, if that is what came.
fn handle(turn: &mut Turn<'_>, id: SocketId, message: Option<Result<Message, Error>>) -> Option<Ending> {
    match message {
        Some(Ok(Message::Text(text))) => {
            turn.frame(id, &Frame::read_within(text.as_str(), turn.max_depth()), text.as_str())
        }
        Some(Ok(Message::Binary(_))) => turn.frame(id, &Frame::Unreadable(Unreadable::NotJson), ""),
        // tungstenite answers a ping when it reads on. Either way the peer is alive.
        Some(Ok(Message::Ping(_))) => turn.frame(id, &Frame::Heartbeat, ""),
        Some(Ok(Message::Pong(_))) => turn.frame(id, &Frame::ProbeAnswered, ""),
        Some(Ok(Message::Frame(_))) => {}
        Some(Ok(Message::Close(frame))) => return Some(closed(frame, turn.secrets())),
        Some(Err(error)) => return Some(broken(&error, turn.secrets())),
        None => return Some(broken(&Error::ConnectionClosed, turn.secrets())),
    }
    None
}

fn closed(frame: Option<CloseFrame>, secrets: &Secrets) -> Ending {
    match frame {
        Some(frame) => Ending::Closed(frame.code.into(), secrets.scrub(frame.reason.as_str())),
        // RFC 6455, 7.1.5: no status code was in the frame.
        None => Ending::Closed(1005, String::new()),
    }
}

fn broken(error: &Error, secrets: &Secrets) -> Ending {
    let reset =
        |detail: &str| Ending::Broken(Failure::Network { kind: NetworkKind::Reset, detail: detail.into() });
    match error {
        Error::Io(error) => Ending::Broken(dial::io_failure(error, secrets)),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            reset("the connection ended without a closing handshake")
        }
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Ending::Unreadable(format!("a message longer than {} bytes", dial::MAX_MESSAGE_BYTES))
        }
        other => Ending::Unreadable(secrets.scrub(&other.to_string())),
    }
}

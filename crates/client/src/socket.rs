//! One open socket: a task that reads frames, sends what it is told to and closes, and ends in exactly one way.

pub(crate) mod dial;
mod outbox;

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use genesys_notifications_proto::{Ending, Failure, Frame, Input, NetworkKind, SocketId, Unreadable};
use tokio::runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) use dial::WebSocket;
pub(crate) use outbox::{Saying, Script};

use crate::secret::Secrets;
use crate::shared::{Shared, Turn, panic_text};

use outbox::Outbox;

/// How long a close handshake may take; then the socket is dropped.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);

/// What one turn reads at most, so that the core's lock and the runtime's thread are there for others again.
const TURN_FRAMES: usize = 256;
const TURN_BYTES: usize = 256 << 10;

/// What one turn reads between two looks at the clocks.
const LOOK_FRAMES: usize = 16;
const LOOK_BYTES: usize = 32 << 10;

/// What the client can do to a socket.
pub(crate) struct Handle {
    commands: UnboundedSender<Command>,
    task: JoinHandle<()>,
    /// Index of its channel's id among the announced names.
    pub(crate) channel: u32,
}

enum Command {
    Say(Saying),
    Close(u16),
}

impl Handle {
    /// Sends it, after what it was told before.
    pub(crate) fn say(&self, saying: Saying) {
        // A task that ended has said so itself.
        let _ = self.commands.send(Command::Say(saying));
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

/// Starts the task of an open socket. A direct endpoint's has a script.
pub(crate) fn spawn(
    runtime: &runtime::Handle,
    shared: &Arc<Shared>,
    id: SocketId,
    stream: Box<WebSocket>,
    channel: u32,
    script: Option<Script>,
) -> Handle {
    let (commands, receiver) = unbounded_channel();
    let outbox = Outbox::new(script);
    let socket = Socket { shared: shared.clone(), id, stream, commands: receiver, outbox };
    Handle { commands, task: runtime.spawn(supervise(socket)), channel }
}

/// Runs the socket and reports its end, even if that was a panic.
async fn supervise(mut socket: Socket) {
    let (shared, id) = (socket.shared.clone(), socket.id);
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
    outbox: Outbox,
}

impl Socket {
    /// Returns how the peer or the transport ended it; nothing if we did.
    async fn run(&mut self) -> Option<Ending> {
        let Self { shared, id, stream, commands, outbox } = self;
        let mut paused = false;
        loop {
            if shared.is_full() != paused {
                paused = !paused;
                shared.turn(|turn| turn.input(Input::Paused(*id, paused)));
            }
            let deadline = outbox.deadline();
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Say(saying)) => outbox.push(saying),
                    Some(Command::Close(code)) => {
                        close(stream, code).await;
                        return None;
                    }
                    None => return None,
                },
                () = reached(deadline), if deadline.is_some() => {
                    return Some(Ending::Broken(Failure::Network {
                        kind: NetworkKind::TimedOut,
                        detail: "the peer takes no bytes".into(),
                    }));
                }
                () = shared.room(), if paused => {}
                ending = poll_fn(|cx| exchange(shared, *id, stream, outbox, paused, cx)) => {
                    if let Some(ending) = ending {
                        return Some(ending);
                    }
                }
            }
        }
    }
}

/// Sends and reads what can be sent and read now: a peer that sends before it reads must not wait for us, nor we for it. Ready
/// when something changed, with how the socket ended if it did.
fn exchange(
    shared: &Arc<Shared>,
    id: SocketId,
    stream: &mut WebSocket,
    outbox: &mut Outbox,
    paused: bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Ending>> {
    let deadline = outbox.deadline();
    let sent = outbox.poll(stream, cx);
    let has_moved = outbox.deadline() != deadline;
    let read = if paused { Poll::Pending } else { read(shared, id, stream, cx) };
    match (sent, read) {
        // What the peer said before it hung up tells more.
        (Poll::Ready(Err(error)), Poll::Pending) => {
            Poll::Ready(Some(broken(&error, &shared.services.secrets)))
        }
        (_, Poll::Pending) if has_moved => Poll::Ready(None),
        (_, read) => read,
    }
}

async fn close(stream: &mut WebSocket, code: u16) {
    let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
    let goodbye = async {
        if stream.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
        }
    };
    let _ = timeout(GOODBYE, goodbye).await;
}

async fn reached(deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
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
        Some(Ok(Message::Text(text))) => turn.text(id, text.as_str()),
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

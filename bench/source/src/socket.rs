use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, Read, Write},
    net::TcpStream,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::{
    frames::{self, Frames},
    order::Order,
};

/// How long an idle socket waits for its peer before it looks for orders.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// A peer that reads nothing for so long has failed.
const STALLED: Duration = Duration::from_secs(30);
/// A blast is written in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// An order, and where its answer goes.
type Task = (Order, Sender<Value>);

/// The socket that was opened last.
#[derive(Clone, Default)]
pub(crate) struct Latest(Arc<Mutex<Option<Sender<Task>>>>);

impl Latest {
    /// Has the order carried out, and answers what came of it.
    pub(crate) fn carry_out(&self, order: Order) -> Value {
        if let Some(refusal) = order.refusal() {
            return json!({ "error": refusal });
        }
        let (answer, answers) = channel();
        let orders = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_given = orders.is_some_and(|orders| orders.send((order, answer)).is_ok());
        match is_given.then(|| answers.recv()) {
            Some(Ok(answer)) => answer,
            Some(Err(_)) => json!({ "error": "the socket ended meanwhile" }),
            None => json!({ "error": "no socket is open" }),
        }
    }

    fn replace(&self) -> Receiver<Task> {
        let (orders, taken) = channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(orders);
        taken
    }
}

/// Accepts a WebSocket, answers its pings and carries out orders until it ends.
pub(crate) fn serve<S: Read + Write>(
    stream: TcpStream,
    open: impl Fn(TcpStream) -> Result<S, Box<dyn Error>>,
    payloads: &BTreeMap<&'static str, Frames>,
    latest: &Latest,
) -> Result<(), Box<dyn Error>> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(STALLED))?;
    let timeouts = stream.try_clone()?;
    timeouts.set_read_timeout(Some(STALLED))?;
    let mut socket = tungstenite::accept(open(stream)?).map_err(|error| error.to_string())?;
    timeouts.set_read_timeout(Some(LOOK_EVERY))?;
    let orders = latest.replace();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) if is_ping(&text) => {
                socket.send(Message::text(
                    r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#,
                ))?;
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if let Ok((order, answer)) = orders.try_recv() {
            let sent = send(&mut socket, &payloads[order.payload.as_str()], &order)?;
            answer.send(sent)?;
        }
    }
}

/// Frames are written past tungstenite: nothing of it stands between the memory they are in and the socket.
fn send<S: Read + Write>(socket: &mut WebSocket<S>, frames: &Frames, order: &Order) -> io::Result<Value> {
    let out = socket.get_mut();
    let begin = Instant::now();
    let mut sent_at = Vec::new();
    match order.per_second {
        None => {
            for piece in frames.pieces(order.events, PIECE_BYTES) {
                out.write_all(piece)?;
            }
            out.flush()?;
        }
        Some(rate) => {
            sent_at.reserve(order.events);
            let start = begin + Duration::from_millis(1);
            for (i, piece) in (0_u32..).zip(frames.pieces(order.events, 0)) {
                let due = start + Duration::from_secs(1) * i / rate;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                sent_at.push(micros());
                out.write_all(piece)?;
                out.flush()?;
            }
        }
    }
    if order.ends_with_mark {
        out.write_all(&frames::mark())?;
        out.flush()?;
    }
    Ok(json!({ "elapsedMs": begin.elapsed().as_secs_f64() * 1_000.0, "sentAt": sent_at }))
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn is_ping(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value["message"] == "ping")
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

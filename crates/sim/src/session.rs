use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};

use crate::{
    frame::{self, Decoder, Inbound},
    recorder::Mark,
    server::reset,
    socket::{Control, End, Opened, Out},
    state::World,
};

/// How long a peer may take to answer a close frame before the connection is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// How often a connection nobody reads from is looked at: has the peer gone, is the fault cleared?
pub(crate) const WATCH_EVERY: Duration = Duration::from_millis(20);
const PIECES_AT_ONCE: usize = 256;

/// Runs an upgraded connection until it ends.
pub(crate) async fn run(world: Arc<World>, stream: TcpStream, buffer: BytesMut, opened: Opened) {
    let mut session = Session {
        world,
        stream,
        buffer,
        opened,
        decoder: Decoder::default(),
        pieces: VecDeque::new(),
        closing: None,
        end: End::new("stopped"),
    };
    let outcome = session.live().await;
    session.finish(outcome).await;
}

struct Session {
    world: Arc<World>,
    stream: TcpStream,
    buffer: BytesMut,
    opened: Opened,
    decoder: Decoder,
    /// Taken from the outbox, not yet wholly written.
    pieces: VecDeque<Piece>,
    /// When waiting for the end of the close handshake is over.
    closing: Option<Instant>,
    /// How it ends, as far as is known.
    end: End,
}

struct Piece {
    rest: Bytes,
    whole: usize,
    mark: Option<Mark>,
}

/// Why the session stops.
enum Outcome {
    /// Nothing more to do: drop the connection.
    Over,
    Reset,
    /// Read on, say nothing.
    Swallow,
}

impl Session {
    async fn live(&mut self) -> Outcome {
        let options = &self.world.settings.options;
        let every = Duration::from_millis(options.heartbeat_ms);
        let idle = options.idle_timeout_ms.map(Duration::from_millis);
        let mut heartbeat = interval_at(Instant::now() + every, every);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_inbound = Instant::now();
        let id = self.opened.id;
        if let Some(over) = self.take_messages() {
            return over;
        }
        loop {
            let idle_at = idle.filter(|_| self.closing.is_none()).map(|idle| last_inbound + idle);
            tokio::select! {
                Some(control) = self.opened.control.recv() => {
                    if let Some(outcome) = self.obey(control).await {
                        return outcome;
                    }
                }
                _ = heartbeat.tick(), if self.closing.is_none() => self.world.with(|state| state.heartbeat(id)),
                () = at(idle_at) => {
                    let end = End::new("idle").code(1001).reason("Idle Timeout");
                    self.world.with(|state| state.close_socket(id, end));
                    last_inbound = Instant::now();
                }
                () = at(self.closing) => return Outcome::Over,
                ready = self.stream.writable(), if !self.pieces.is_empty() => {
                    if ready.and_then(|()| self.flush()).is_err() {
                        return self.peer_gone();
                    }
                }
                Some(out) = self.opened.outbox.recv(), if self.pieces.is_empty() && self.closing.is_none() => {
                    self.take(out);
                    if self.flush().is_err() {
                        return self.peer_gone();
                    }
                }
                ready = self.stream.readable() => {
                    match ready.and_then(|()| self.stream.try_read_buf(&mut self.buffer)) {
                        Ok(0) => return self.peer_gone(),
                        Ok(_) => {
                            last_inbound = Instant::now();
                            if let Some(over) = self.take_messages() {
                                return over;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return self.peer_gone(),
                    }
                }
            }
        }
    }

    async fn obey(&mut self, control: Control) -> Option<Outcome> {
        match control {
            Control::Reset(how) => {
                self.end = End::new(how);
                Some(Outcome::Reset)
            }
            Control::HalfOpen => {
                self.end = End::new("faulted:halfOpen");
                Some(Outcome::Swallow)
            }
            Control::Stall { fault, until } => self.stall(fault, until).await,
        }
    }

    /// Touches nothing until the fault is lifted or the peer is gone.
    async fn stall(&mut self, fault: u64, until: Option<u64>) -> Option<Outcome> {
        self.end = End::new("stalled");
        let mut close = None;
        let mut lost = Vec::new();
        while let Ok(out) = self.opened.outbox.try_recv() {
            match out {
                Out::Frame(frame, mark) => {
                    self.opened.unwritten.fetch_sub(frame.len(), Ordering::Relaxed);
                    lost.extend(mark);
                }
                Out::Close(end) => close = Some(end),
            }
        }
        // A frame whose beginning is out must be finished if the stall ends; the others never were sent.
        let begun = usize::from(self.pieces.front().is_some_and(|piece| piece.rest.len() < piece.whole));
        for piece in self.pieces.drain(begun..) {
            self.opened.unwritten.fetch_sub(piece.whole, Ordering::Relaxed);
            lost.extend(piece.mark);
        }
        self.world.with(|state| lost.into_iter().for_each(|mark| state.log.lost(mark, "stalled")));

        let id = self.opened.id;
        loop {
            if peer_has_closed(&self.stream) {
                self.world.with(|state| state.peer_ended(id, &End::new("peerGone")));
                return Some(Outcome::Over);
            }
            let now = self.world.clock.now();
            if until.is_some_and(|until| now >= until) || !self.world.with(|state| state.book.holds(fault)) {
                break;
            }
            tokio::select! {
                control = self.opened.control.recv() => match control {
                    Some(Control::Reset(how)) => {
                        self.end = End::new(how);
                        return Some(Outcome::Reset);
                    }
                    Some(Control::HalfOpen) => {
                        self.end = End::new("faulted:halfOpen");
                        return Some(Outcome::Swallow);
                    }
                    Some(Control::Stall { .. }) | None => {}
                },
                () = sleep(WATCH_EVERY) => {}
            }
        }
        self.world.with(|state| state.socket_resumed(id));
        self.end = End::new("stopped");
        if let Some(end) = close {
            self.take(Out::Close(end));
        }
        None
    }

    fn take(&mut self, first: Out) {
        let mut next = Some(first);
        while let Some(out) = next {
            match out {
                Out::Frame(rest, mark) => self.pieces.push_back(Piece { whole: rest.len(), rest, mark }),
                Out::Close(end) => {
                    let rest = frame::close(end.code, &end.reason);
                    self.pieces.push_back(Piece { whole: 0, rest, mark: None });
                    self.end = end;
                    self.closing = Some(Instant::now() + CLOSE_WAIT);
                    return;
                }
            }
            next = if self.pieces.len() < PIECES_AT_ONCE { self.opened.outbox.try_recv().ok() } else { None };
        }
    }

    /// Writes what the operating system takes, and reports the events that are wholly out.
    fn flush(&mut self) -> io::Result<()> {
        let mut written = Vec::new();
        let mut result = Ok(());
        while !self.pieces.is_empty() {
            let slices: Vec<_> = self.pieces.iter().take(64).map(|piece| IoSlice::new(&piece.rest)).collect();
            match self.stream.try_write_vectored(&slices) {
                Ok(bytes) => self.advance(bytes, &mut written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        if !written.is_empty() {
            self.world.with(|state| {
                let now = state.now;
                written.into_iter().for_each(|mark| state.log.written(mark, now));
            });
        }
        result
    }

    fn advance(&mut self, mut bytes: usize, written: &mut Vec<Mark>) {
        while let Some(piece) = self.pieces.front_mut() {
            if bytes < piece.rest.len() {
                piece.rest.advance(bytes);
                return;
            }
            bytes -= piece.rest.len();
            self.opened.unwritten.fetch_sub(piece.whole, Ordering::Relaxed);
            written.extend(piece.mark);
            self.pieces.pop_front();
        }
    }

    fn take_messages(&mut self) -> Option<Outcome> {
        let id = self.opened.id;
        loop {
            match self.decoder.next(&mut self.buffer) {
                Ok(None) => return None,
                Ok(Some(Inbound::Text(text))) => self.world.with(|state| state.socket_text(id, &text)),
                Ok(Some(Inbound::Binary | Inbound::Pong)) => self.world.with(|state| state.heard_from(id)),
                Ok(Some(Inbound::Ping(payload))) => self.world.with(|state| state.control_ping(id, &payload)),
                Ok(Some(Inbound::Close(code))) => {
                    if self.closing.is_none() {
                        self.end = End::new("peerClosed").code(code);
                        self.world.with(|state| state.peer_ended(id, &self.end));
                        self.pieces.push_back(Piece { whole: 0, rest: frame::close(code, ""), mark: None });
                    }
                    let _ = self.flush();
                    return Some(Outcome::Over);
                }
                Err(violation) => {
                    let end = End::new("protocolError").code(violation.0).reason(violation.1);
                    self.world.with(|state| state.close_socket(id, end));
                    // What follows a violation cannot be read.
                    self.buffer.clear();
                    return None;
                }
            }
        }
    }

    fn peer_gone(&mut self) -> Outcome {
        if self.closing.is_none() {
            self.end = End::new("peerGone");
        }
        Outcome::Over
    }

    async fn finish(mut self, outcome: Outcome) {
        self.opened.outbox.close();
        let mut unwritten: Vec<Mark> = self.pieces.drain(..).filter_map(|piece| piece.mark).collect();
        while let Ok(out) = self.opened.outbox.try_recv() {
            if let Out::Frame(_, Some(mark)) = out {
                unwritten.push(mark);
            }
        }
        let (id, end) = (self.opened.id, self.end.clone());
        match outcome {
            Outcome::Over => {}
            Outcome::Reset => reset(&self.stream),
            Outcome::Swallow => {
                self.world.with(|state| unwritten.drain(..).for_each(|mark| state.log.lost(mark, &end.how)));
                swallow(&self.stream).await;
            }
        }
        drop(self.stream);
        self.world.with(|state| state.socket_finished(id, unwritten, &end));
    }
}

/// Reads and discards until the peer is gone.
pub(crate) async fn swallow(stream: &TcpStream) {
    let mut nowhere = vec![0; 16 << 10];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut nowhere) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// Whether the peer has ended its side, found out without reading.
pub(crate) fn peer_has_closed(stream: &TcpStream) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let ready = std::pin::pin!(stream.ready(Interest::READABLE | Interest::ERROR));
    match ready.poll(&mut context) {
        std::task::Poll::Ready(Ok(ready)) => has_ended(ready),
        std::task::Poll::Ready(Err(_)) => true,
        std::task::Poll::Pending => false,
    }
}

fn has_ended(ready: Ready) -> bool {
    ready.is_read_closed() || ready.is_error()
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

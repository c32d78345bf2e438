use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    book::Occurrence,
    fault::Operation,
    frame,
    gateway::Gateway,
    recorder::Mark,
    state::{State, Timer},
};

/// The state's side of an open WebSocket.
pub(crate) struct Socket {
    /// Its channel, or what stands there for a gateway endpoint.
    pub(crate) channel: Arc<str>,
    pub(crate) gateway: Option<Box<Gateway>>,
    /// The fault that stalled it.
    pub(crate) stalled: Option<u64>,
    /// Its channel is gone, the socket was left open.
    pub(crate) orphan: bool,
    outbox: UnboundedSender<Out>,
    control: UnboundedSender<Control>,
    unwritten: Arc<AtomicUsize>,
    /// How long the way to it is, because of `skewMs`: what is sent now arrives then.
    pub(crate) late_until: u64,
    /// Frames under way, which nothing may overtake.
    pub(crate) under_way: usize,
    /// Frames that wait for another one to overtake them.
    held: Vec<(Bytes, Option<Mark>)>,
}

/// The session's side of the same.
pub(crate) struct Opened {
    pub(crate) id: u64,
    pub(crate) outbox: UnboundedReceiver<Out>,
    pub(crate) control: UnboundedReceiver<Control>,
    pub(crate) unwritten: Arc<AtomicUsize>,
}

/// What is written in order.
pub(crate) enum Out {
    Frame(Bytes, Option<Mark>),
    Close(End),
}

/// What happens at once, whatever waits to be written.
pub(crate) enum Control {
    Reset(String),
    Stall { fault: u64, until: Option<u64> },
    HalfOpen,
}

/// How a socket ends.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) how: String,
    pub(crate) code: Option<u16>,
    pub(crate) reason: String,
}

impl End {
    pub(crate) fn new(how: impl Into<String>) -> Self {
        Self { how: how.into(), code: None, reason: String::new() }
    }

    pub(crate) fn code(mut self, code: impl Into<Option<u16>>) -> Self {
        self.code = code.into();
        self
    }

    pub(crate) fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

impl State {
    /// Opens a socket on a live channel; an earlier one on the same channel is displaced.
    pub(crate) fn open_socket(&mut self, channel: &str) -> Option<Opened> {
        let channel = Arc::clone(&self.channels.find(channel)?.id);
        let opened = self.attach(Arc::clone(&channel), None);
        let (id, now) = (opened.id, self.now);
        let displaced = self.channels.find_mut(&channel).and_then(|channel| {
            channel.last_use = now;
            channel.socket.replace(id)
        });
        if let Some(first) = displaced {
            let code = self.settings.options.displaced_close_code;
            self.close_socket(first, End::new("displaced").code(code));
        }
        self.socket_occurred(id);
        Some(opened)
    }

    /// A socket to which nothing has happened yet.
    pub(crate) fn attach(&mut self, channel: Arc<str>, gateway: Option<Box<Gateway>>) -> Opened {
        let id = self.log.socket(&channel, self.now);
        if gateway.is_some() {
            self.gateways.insert(id);
        }
        let (outbox, outbox_receiver) = unbounded_channel();
        let (control, control_receiver) = unbounded_channel();
        let unwritten = Arc::new(AtomicUsize::new(0));
        let socket = Socket {
            channel,
            gateway,
            stalled: None,
            orphan: false,
            outbox,
            control,
            unwritten: Arc::clone(&unwritten),
            late_until: 0,
            under_way: 0,
            held: Vec::new(),
        };
        self.sockets.insert(id, socket);
        Opened { id, outbox: outbox_receiver, control: control_receiver, unwritten }
    }

    /// A socket was opened.
    pub(crate) fn socket_occurred(&mut self, id: u64) {
        let Some(channel) = self.sockets.get(&id).map(|socket| Arc::clone(&socket.channel)) else { return };
        let occurrence = Occurrence { operation: Operation::Socket, channel: Some(&channel), topic: None };
        for hit in self.book.take(occurrence) {
            self.harm_socket(&hit, id);
        }
    }

    /// Sends a frame that is no event.
    pub(crate) fn send_plain(&mut self, socket: u64, text: String) {
        self.send_in_order(socket, frame::text(&text), None);
    }

    /// Sends a frame behind whatever was accepted for this socket before.
    pub(crate) fn send_in_order(&mut self, socket: u64, frame: Bytes, mark: Option<Mark>) {
        self.flush_batch(socket);
        match self.is_lagging(socket) {
            true => self.send_behind(socket, frame, mark),
            false => self.send_marked(socket, frame, mark),
        }
    }

    /// Whether something is under way to this socket, or will be as long as something under way.
    pub(crate) fn is_lagging(&self, socket: u64) -> bool {
        self.sockets.get(&socket).is_some_and(|s| s.under_way > 0 || s.late_until > self.now)
    }

    /// Sends a frame behind what is under way.
    pub(crate) fn send_behind(&mut self, id: u64, frame: Bytes, mark: Option<Mark>) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.under_way += 1;
        let at = socket.late_until.max(now);
        self.schedule(at, Timer::Arrival { socket: id, frame, mark });
    }

    /// A frame that was under way arrives.
    pub(crate) fn arrived(&mut self, id: u64, frame: Bytes, mark: Option<Mark>) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.under_way -= 1;
        }
        self.send_marked(id, frame, mark);
    }

    /// Sends a frame of an event that is already in the log.
    pub(crate) fn send_marked(&mut self, socket: u64, frame: Bytes, mark: Option<Mark>) {
        if let (Err(reason), Some(mark)) = (self.send(socket, frame, mark), mark) {
            self.log.lost(mark, reason);
        }
    }

    /// Queues a frame, or says why it will not be written.
    pub(crate) fn send(&mut self, id: u64, frame: Bytes, mark: Option<Mark>) -> Result<(), &'static str> {
        let limit = self.settings.options.socket_backlog_bytes;
        let Some(socket) = self.sockets.get_mut(&id) else { return Err("socketEnded") };
        if socket.stalled.is_some() {
            return Err("stalled");
        }
        if socket.unwritten.load(Ordering::Relaxed) > limit {
            self.reset_socket(id, "backlog");
            return Err("backlog");
        }
        socket.push(frame, mark);
        for (frame, mark) in std::mem::take(&mut socket.held) {
            socket.push(frame, mark);
        }
        Ok(())
    }

    /// Keeps a frame back until the next one was sent, or until `ms` have passed.
    pub(crate) fn hold(
        &mut self,
        id: u64,
        frame: Bytes,
        mark: Option<Mark>,
        ms: u64,
    ) -> Result<(), &'static str> {
        let Some(socket) = self.sockets.get_mut(&id) else { return Err("socketEnded") };
        if socket.stalled.is_some() {
            return Err("stalled");
        }
        socket.held.push((frame, mark));
        self.schedule(self.now.saturating_add(ms), Timer::Release(id));
        Ok(())
    }

    pub(crate) fn release_held(&mut self, id: u64) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        for (frame, mark) in std::mem::take(&mut socket.held) {
            socket.push(frame, mark);
        }
    }

    /// Ends a socket with a close frame, after what is queued.
    pub(crate) fn close_socket(&mut self, id: u64, end: End) {
        self.flush_batch(id);
        self.release_held(id);
        if let Some(socket) = self.forget_socket(id, &end) {
            let _ = socket.outbox.send(Out::Close(end));
        }
    }

    /// Ends a socket with a TCP reset, ahead of what is queued.
    pub(crate) fn reset_socket(&mut self, id: u64, how: &str) {
        if let Some(socket) = self.forget_socket(id, &End::new(how)) {
            let _ = socket.control.send(Control::Reset(how.to_owned()));
        }
    }

    /// Forgets a socket without telling its peer.
    pub(crate) fn half_open_socket(&mut self, id: u64) {
        if let Some(socket) = self.forget_socket(id, &End::new("faulted:halfOpen")) {
            let _ = socket.control.send(Control::HalfOpen);
        }
    }

    pub(crate) fn stall_socket(&mut self, id: u64, fault: u64, ms: Option<u64>) {
        let until = ms.map(|ms| self.now.saturating_add(ms));
        self.lose_batch(id, "stalled");
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        socket.stalled = Some(fault);
        let held = std::mem::take(&mut socket.held);
        let _ = socket.control.send(Control::Stall { fault, until });
        for mark in held.into_iter().filter_map(|(_, mark)| mark) {
            self.log.lost(mark, "stalled");
        }
        let now = self.now;
        self.log.update_socket(id, |record| record.stalled_at = Some(now));
    }

    pub(crate) fn socket_resumed(&mut self, id: u64) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.stalled = None;
        }
        let now = self.now;
        self.log.update_socket(id, |record| record.resumed_at = Some(now));
    }

    /// Its channel is gone, the socket stays.
    pub(crate) fn orphan_socket(&mut self, id: u64) {
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.orphan = true;
        }
        let now = self.now;
        self.log.update_socket(id, |record| record.channel_gone_at = Some(now));
    }

    /// The session reports that the peer ended it.
    pub(crate) fn peer_ended(&mut self, id: u64, end: &End) {
        self.forget_socket(id, end);
    }

    /// The session reports that the TCP connection is gone, and what was never written.
    pub(crate) fn socket_finished(&mut self, id: u64, unwritten: Vec<Mark>, end: &End) {
        self.forget_socket(id, end);
        for mark in unwritten {
            self.log.lost(mark, &end.how);
        }
        let now = self.now;
        self.log.update_socket(id, |record| record.gone_at = Some(now));
    }

    /// From now on nothing is sent to it; the first reason to end is the one that counts.
    fn forget_socket(&mut self, id: u64, end: &End) -> Option<Socket> {
        self.lose_batch(id, &end.how);
        let mut socket = self.sockets.remove(&id)?;
        for mark in std::mem::take(&mut socket.held).into_iter().filter_map(|(_, mark)| mark) {
            self.log.lost(mark, &end.how);
        }
        let now = self.now;
        if let Some(gateway) = &socket.gateway {
            self.gateways.remove(&id);
            self.log.update_gateway(gateway.record, |record| {
                record.ended_at = Some(now);
                record.ended = Some(end.how.clone());
                record.close_code = end.code;
            });
        }
        if let Some(channel) = self.channels.find_mut(&socket.channel).filter(|c| c.socket == Some(id)) {
            channel.socket = None;
            channel.last_use = now;
        }
        self.log.update_socket(id, |record| {
            record.ended_at = Some(now);
            record.ended = Some(end.how.clone());
            record.close_code = end.code;
        });
        Some(socket)
    }
}

impl Socket {
    fn push(&self, frame: Bytes, mark: Option<Mark>) {
        self.unwritten.fetch_add(frame.len(), Ordering::Relaxed);
        let _ = self.outbox.send(Out::Frame(frame, mark));
    }
}

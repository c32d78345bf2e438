//! Frames on their way, and the ways in which sockets end.

use std::borrow::Cow;

use genesys_notifications_proto::{
    Context, Disposition, Ending, Envelope, Frame, Input, LinkId, SocketId, TopicId,
};

use super::agenda::{Cargo, Item};
use super::restart::body_text;
use super::world::World;

impl World {
    pub(crate) fn send(&mut self, socket: SocketId, cargo: Cargo) {
        self.send_later(socket, cargo, 0);
    }

    /// It takes so much longer than chance has it; nothing overtakes it.
    pub(crate) fn send_later(&mut self, socket: SocketId, cargo: Cargo, skew: u64) {
        let latency = self.socket_latency() + skew;
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket) else { return };
        let at = (now + latency).max(wire.last_arrival).max(wire.stalled_until);
        wire.last_arrival = at;
        self.agenda.plan(at, Item::Arrive(socket, cargo));
    }

    pub(crate) fn arrive(&mut self, socket: SocketId, cargo: Cargo) {
        // What waited during a pause is read first.
        let (frozen, now) = (self.frozen, self.clock.truth);
        let thawing = self.thawed_at == now;
        let item = Item::Read(socket, cargo);
        let Some(wire) = self.wires.of(socket) else { return self.lose(&item) };
        if wire.dead || !(wire.open_here || wire.opening) {
            return self.lose(&item);
        }
        if wire.paused {
            wire.unread.push_back(item);
        } else if let Some((until, ..)) = frozen {
            self.agenda.plan(until, item);
        } else if thawing {
            self.agenda.plan(now, item);
        } else if let Item::Read(socket, cargo) = item {
            self.read(socket, cargo);
        }
    }

    pub(crate) fn read(&mut self, socket: SocketId, cargo: Cargo) {
        let item = Item::Read(socket, cargo);
        let Some(wire) = self.wires.of(socket).filter(|wire| wire.open_here) else {
            return self.lose(&item);
        };
        if wire.paused {
            return wire.unread.push_back(item);
        }
        let (link, Item::Read(_, cargo)) = (wire.link, item) else { return };
        if !matches!(cargo, Cargo::Beat) {
            self.note(|| format!("{socket:?} reads {cargo:?}"));
        }
        match cargo {
            Cargo::Event(event) => self.read_event(socket, link, event),
            Cargo::Damaged(event) => {
                let why = genesys_notifications_proto::Unreadable::NotJson;
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Unreadable(why)));
                self.truth.copy_ended(event);
            }
            Cargo::Garbage(why) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Unreadable(why)));
            }
            Cargo::Beat => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Heartbeat));
            }
            Cargo::Pong(sent) => {
                if let Some(wire) = self.wires.of(socket) {
                    wire.doubt = wire.doubt.filter(|(_, until)| sent < *until);
                }
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Pong));
                self.proven(link, sent);
            }
            Cargo::System(notice) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::System(notice)));
            }
            Cargo::Reply(code) => {
                self.call(|machine, cx| machine.frame(cx, socket, &Frame::Reply(Some(code))));
            }
        }
    }

    pub(crate) fn read_event(&mut self, socket: SocketId, link: LinkId, event: u32) {
        let (topic, body) = self.truth.topic_and_body(event);
        // The next process counts its links from one again.
        self.truth.seen(event, LinkId(link.0 + self.lives * 1_000_000));
        let body = body_text(body);
        let name = std::mem::take(&mut self.service.names[usize::from(topic)]);
        let envelope = Envelope {
            topic: Cow::Borrowed(&name),
            body: &body,
            version: None,
            metadata: None,
            id: None,
            position: None,
        };
        self.calls += 1;
        let mut cx =
            Context { now: self.clock.now(), random: &mut self.jitter, governor: &mut self.governor };
        let disposition = self.machine.frame(&mut cx, socket, &Frame::Event(envelope));
        self.service.names[usize::from(topic)] = name;
        self.drain();
        let disposition = self.sabotage.disposition(disposition, TopicId(u32::from(topic)), event);
        self.note(|| format!("  = {disposition:?}"));
        match disposition {
            Disposition::Deliver(_) => self.deliver(event, false),
            Disposition::Hold(_) => {
                if let Some(wire) = self.wires.of(socket) {
                    wire.held.push(event);
                }
            }
            Disposition::Drop | Disposition::Pass => self.truth.copy_ended(event),
        }
    }

    /// An event is handed to the user; `released` if it was held back until its socket was proven.
    pub(crate) fn deliver(&mut self, event: u32, released: bool) {
        let (topic, _) = self.truth.topic_and_body(event);
        if released {
            self.truth.released(topic);
        }
        if self.record.keep {
            self.record.delivered.push((self.clock.now().mono, topic));
        }
        self.received(event);
    }

    /// A frame nobody will read.
    pub(crate) fn lose(&mut self, item: &Item) {
        if let Item::Read(_, Cargo::Event(event) | Cargo::Damaged(event))
        | Item::Arrive(_, Cargo::Event(event) | Cargo::Damaged(event)) = item
        {
            self.truth.copy_ended(*event);
        }
    }

    pub(crate) fn ends(&mut self, socket: SocketId, ending: Ending) {
        let Some(wire) = self.wires.of(socket) else { return };
        if wire.paused {
            return wire.unread.push_back(Item::Ends(socket, ending));
        }
        if !wire.open_here || wire.dead {
            return;
        }
        self.ending = Some(socket);
        self.tell(Input::SocketClosed(socket, ending));
        self.ending = None;
        if self.wires.is_open_here(socket) {
            self.leave(socket);
        }
    }

    /// The service ends a socket; its end arrives behind its last frames.
    pub(crate) fn end_socket(&mut self, socket: SocketId, ending: Ending) {
        let latency = self.socket_latency();
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket) else { return };
        if !wire.open_there {
            return;
        }
        wire.open_there = false;
        let at = (now + latency).max(wire.last_arrival).max(wire.stalled_until);
        let key = wire.channel;
        self.agenda.plan(at, Item::Ends(socket, ending));
        if let Some(channel) = self.service.channels.get_mut(&key)
            && channel.carrier == Some(socket)
        {
            channel.carrier = None;
        }
        self.refresh();
    }

    /// From now on nothing passes, and nobody is told.
    pub(crate) fn cut(&mut self, socket: SocketId) {
        if let Some(wire) = self.wires.of(socket) {
            wire.dead = true;
        }
        self.refresh();
    }

    /// Nothing arrives on this socket for so long; then everything does.
    pub(crate) fn stall(&mut self, socket: SocketId, ms: u64) {
        let until = self.clock.truth + ms;
        self.stalled_until = self.stalled_until.max(until);
        if let Some(wire) = self.wires.of(socket) {
            wire.stalled_until = until;
        }
    }

    pub(crate) fn pause(&mut self, socket: SocketId, ms: u64) {
        let now = self.clock.truth;
        if let Some(wire) = self.wires.of(socket).filter(|wire| wire.open_here && !wire.paused) {
            wire.paused = true;
            wire.doubt = Some((wire.doubt.map_or(now, |(since, _)| since), u64::MAX));
            self.truth.unread(ms);
            self.tell(Input::Paused(socket, true));
            self.agenda.plan(self.clock.truth + ms, Item::Resume(socket));
        }
    }

    pub(crate) fn resume(&mut self, socket: SocketId) {
        let now = self.clock.truth;
        let Some(wire) = self.wires.of(socket).filter(|wire| wire.paused) else { return };
        wire.paused = false;
        wire.doubt = wire.doubt.map(|(since, _)| (since, now));
        let unread: Vec<Item> = wire.unread.drain(..).collect();
        if !self.wires.is_open_here(socket) {
            return;
        }
        self.tell(Input::Paused(socket, false));
        for item in unread {
            self.happen(item);
        }
    }

    pub(crate) fn left_at_service(&mut self, socket: SocketId) {
        let Some(wire) = self.wires.by_id.remove(&socket) else { return };
        for item in &wire.unread {
            self.lose(item);
        }
        if let Some(channel) = self.service.channels.get_mut(&wire.channel)
            && channel.carrier == Some(socket)
        {
            channel.carrier = None;
        }
        self.refresh();
    }
}

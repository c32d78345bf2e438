//! What goes over sockets, in both directions.

use std::rc::Rc;

use genesys_notifications_proto::{Disposition, Ending, Frame, Generation, Input, Random, SocketId, TopicId};

use super::agenda::{Bytes, Item, Word};
use super::manners::{TOPICS, Way};
use super::server::{Arrived, Event};
use super::truth::name_of;
use super::world::World;

/// Events in one array.
const BATCH: usize = 5;
const DEPTH: usize = 64;
/// From the first topic that is asked for to the stream.
const GATHER_MS: u64 = 400;

impl World {
    // To the server.

    pub(crate) fn heard_at_server(&mut self, socket: SocketId, word: Word) {
        let now = self.clock.truth;
        let Some(wire) = self.server.wires.get_mut(&socket) else { return };
        if !wire.open_there || wire.is_dead {
            return;
        }
        match word {
            Word::Token(generation) => {
                wire.generation = Some(generation);
                let thinks = if self.manners.says_ready { self.dice.up_to(500) } else { 0 };
                self.agenda.plan(now + thinks, Item::Ready(socket));
            }
            Word::Ask(topic) => {
                let is_late = !wire.is_accepted || !wire.sends.is_empty() || self.manners.resuming.is_none();
                if self.manners.replays_by_topic && wire.is_accepted {
                    wire.sends.insert(topic);
                    self.replay(socket, |event| event.topic == topic);
                } else if is_late {
                    wire.sends.insert(topic);
                } else if wire.gathers.insert(topic) && wire.gathers.len() == 1 {
                    self.agenda.plan(now + GATHER_MS, Item::Replay(socket));
                }
            }
            Word::Probe => {
                if now >= self.weather.pongs_lost_until {
                    self.send_back(socket, Bytes::Pong);
                }
            }
        }
    }

    /// The server checks the token of a connection, or a new one that was told.
    pub(crate) fn accept(&mut self, socket: SocketId) {
        let now = self.clock.truth;
        let Some(wire) = self.server.wires.get(&socket).filter(|wire| wire.open_there && !wire.is_dead)
        else {
            return;
        };
        let (is_new, generation, position) = (!wire.is_accepted, wire.generation, wire.position.clone());
        if !self.is_good(generation) {
            return self.refuse(socket, self.manners.bad_token, 401);
        }
        if is_new && self.is_stale(position.as_deref()) {
            let stale = self.manners.resuming.map_or(Way::Ignore, |it| it.stale);
            return self.refuse(socket, stale, 400);
        }
        if self.manners.says_ready {
            if now < self.weather.mute_until {
                return;
            }
            if now < self.weather.slow_until && self.chance(2) {
                return self.agenda.plan(now + self.dice.up_to(15_000), Item::Ready(socket));
            }
            self.say_ready(socket);
            if self.chance(8) {
                self.agenda.plan(now + self.dice.up_to(2_000), Item::ReadyAgain(socket));
            }
        }
        if !is_new {
            return;
        }
        let sends_all = !self.manners.subscribes;
        if let Some(wire) = self.server.wires.get_mut(&socket) {
            (wire.is_accepted, wire.sends_all) = (true, sends_all);
        }
        if sends_all {
            self.replay(socket, |_| true);
        }
        if let Some(every) = self.manners.closes_every_ms {
            self.agenda.plan(now + every, Item::PlannedClose(socket));
        }
    }

    pub(crate) fn say_ready(&mut self, socket: SocketId) {
        self.send_back(socket, Bytes::Text(r#"{"event":"ready"}"#.to_owned()));
    }

    fn refuse(&mut self, socket: SocketId, way: Way, status: u16) {
        match way {
            Way::Close(code) => self.close_there(socket, code),
            Way::Frame => {
                self.send_back(socket, Bytes::Text(format!(r#"{{"error":{{"code":{status}}}}}"#)));
                // It may be that nobody listens to what it says.
                self.agenda.plan(self.clock.truth + 20_000, Item::PlannedClose(socket));
            }
            Way::Upgrade | Way::Ignore => self.close_there(socket, 4000 + status),
        }
    }

    /// The server closes; that arrives behind its last frames.
    pub(crate) fn close_there(&mut self, socket: SocketId, code: u16) {
        self.end_there(socket, Ending::Closed(code, String::new()));
    }

    pub(crate) fn end_there(&mut self, socket: SocketId, ending: Ending) {
        let at = self.clock.truth + self.latency();
        if let Some(wire) = self.server.wires.get_mut(&socket).filter(|wire| wire.open_there) {
            wire.open_there = false;
            self.agenda.plan(at.max(wire.last_arrival), Item::Ends(socket, ending));
        }
    }

    pub(crate) fn token_ends(&mut self, life: u32, generation: Generation) {
        if life != self.lives {
            return;
        }
        self.server.tokens.remove(&generation);
        let own = self
            .server
            .wires
            .iter()
            .filter(|(_, wire)| wire.is_accepted && wire.generation == Some(generation));
        let sockets: Vec<SocketId> = own.map(|(socket, _)| *socket).collect();
        for socket in sockets {
            match self.manners.token_end {
                Way::Close(code) => self.close_there(socket, code),
                Way::Frame => self.refuse(socket, Way::Frame, 401),
                Way::Upgrade | Way::Ignore => {}
            }
        }
    }

    // The stream.

    pub(crate) fn publish_next(&mut self) {
        let every = self.manners.publish_every_ms;
        if self.weather.is_publishing {
            self.publish();
            while self.chance(4) {
                self.publish();
            }
            self.agenda.plan(self.clock.truth + self.dice.between(1, 2 * every), Item::Publish);
        }
    }

    fn publish(&mut self) {
        let now = self.clock.truth;
        let position = self.server.position(self.clock.wall(now), self.manners.resuming);
        let last = self.server.log.last().filter(|last| self.manners.has_twins && last.position == position);
        let twin = last.map(|last| (last.topic, last.group)).filter(|_| self.dice.up_to(5) == 0);
        let topic = twin.map_or_else(|| self.dice.up_to(u64::from(TOPICS) - 1) as u8, |(topic, _)| topic);
        let group = self.truth.publish(topic, &position, twin.map(|(_, group)| group), now);
        let bare_one_in = self.manners.resuming.and_then(|it| it.bare_one_in);
        let shows_position = bare_one_in.is_none_or(|one_in| !self.chance(one_in));
        let event = Event { topic, group, position, shows_position };
        let carriers: Vec<SocketId> = self
            .server
            .wires
            .iter()
            .filter(|(_, wire)| wire.sends(topic))
            .map(|(socket, _)| *socket)
            .collect();
        for socket in carriers {
            self.send_events(socket, std::slice::from_ref(&event));
        }
        self.server.log.push(event);
    }

    pub(crate) fn replay_asked(&mut self, socket: SocketId) {
        let Some(wire) = self.server.wires.get_mut(&socket).filter(|wire| wire.open_there) else { return };
        let gathered = std::mem::take(&mut wire.gathers);
        wire.sends.extend(&gathered);
        self.replay(socket, |event| gathered.contains(&event.topic));
    }

    /// What was published since the position that the connection asked for.
    fn replay(&mut self, socket: SocketId, is_due: impl Fn(&Event) -> bool) {
        let (Some(resuming), Some(wire)) = (self.manners.resuming, self.server.wires.get(&socket)) else {
            return;
        };
        let Some(position) = &wire.position else { return };
        let range = self.server.since(position, resuming.is_inclusive);
        let events: Vec<Event> =
            self.server.log[range].iter().filter(|event| is_due(event)).cloned().collect();
        for some in events.chunks(BATCH) {
            self.send_events(socket, some);
        }
    }

    fn send_events(&mut self, socket: SocketId, events: &[Event]) {
        let texts: Vec<String> = events.iter().map(|event| self.text(event)).collect();
        if self.manners.in_batches {
            return self.send_back(socket, Bytes::Text(format!("[{}]", texts.join(","))));
        }
        for text in texts {
            self.send_back(socket, Bytes::Text(text));
        }
    }

    fn text(&self, event: &Event) -> String {
        let (name, group) = (name_of(event.topic), event.group);
        let at = if event.shows_position { format!(r#","at":"{}""#, event.position) } else { String::new() };
        format!(r#"{{"t":"{name}","id":{group},"b":{group}{at}}}"#)
    }

    pub(crate) fn send_back(&mut self, socket: SocketId, bytes: Bytes) {
        let at = self.clock.truth + self.latency();
        if let Some(wire) = self.server.wires.get_mut(&socket).filter(|wire| wire.open_there && !wire.is_dead)
        {
            wire.last_arrival = wire.last_arrival.max(at);
            self.agenda.plan(wire.last_arrival, Item::Arrive(socket, bytes));
        }
    }

    // To the client.

    pub(crate) fn is_read(&self, socket: SocketId) -> bool {
        self.server.wires.get(&socket).is_some_and(|wire| wire.open_here && !wire.is_dead)
    }

    pub(crate) fn arrive(&mut self, socket: SocketId, bytes: Bytes) {
        if !self.is_read(socket) {
            return;
        }
        match bytes {
            Bytes::Pong => {
                self.frame(socket, &Frame::ProbeAnswered);
            }
            Bytes::Text(text) => {
                let layout = Rc::clone(&self.layout);
                layout.read(&text, DEPTH, |frame, _| {
                    if self.is_read(socket) {
                        self.read(socket, frame);
                    }
                });
            }
        }
    }

    pub(crate) fn read(&mut self, socket: SocketId, frame: &Frame<'_>) {
        let Frame::Event(envelope) = frame else {
            match frame {
                Frame::Ready => {
                    self.server.wires.get_mut(&socket).into_iter().for_each(|wire| wire.heard_ready = true)
                }
                Frame::Refused(refusal) => {
                    if refusal.status == 400 {
                        self.position_refused_at = Some(self.clock.truth);
                    }
                    if let Some(wait) = refusal.retry_after_ms {
                        self.rules.floor(2, self.clock.now().mono + wait);
                    }
                }
                _ => {}
            }
            self.frame(socket, frame);
            return;
        };
        let group: usize = envelope.body.parse().expect("the body is the event's number");
        let position = envelope.position.as_deref().map(str::to_owned);
        let arrived = Arrived { group, position, identity: envelope.identity() };
        let disposition = self.frame(socket, frame);
        let disposition = self.sabotage.disposition(disposition, TopicId(0), group);
        self.note(|| format!("  {group} at {:?} on {socket:?}: {disposition:?}", arrived.position));
        match disposition {
            Disposition::Deliver(_) => self.deliver(arrived),
            Disposition::Hold(_) => {
                self.truth.took(arrived.position.as_deref());
                self.server
                    .wires
                    .get_mut(&socket)
                    .into_iter()
                    .for_each(|wire| wire.held.push(arrived.clone()));
            }
            Disposition::Pass => self.pass(&arrived),
            Disposition::Drop => self.truth.copies += 1,
        }
    }

    fn frame(&mut self, socket: SocketId, frame: &Frame<'_>) -> Disposition {
        self.call(|machine, cx| machine.frame(cx, socket, frame))
    }

    pub(crate) fn ends(&mut self, socket: SocketId, ending: Ending) {
        let Some(wire) = self.server.wires.get(&socket).filter(|wire| wire.open_here && !wire.is_dead) else {
            return;
        };
        let is_refusal = matches!(ending, Ending::Closed(4400, _));
        let is_early = !wire.is_accepted;
        if is_refusal && is_early {
            self.position_refused_at = Some(self.clock.truth);
        }
        self.process.ending = Some(socket);
        self.tell(Input::SocketClosed(socket, ending));
        self.process.ending = None;
        if self.server.wires.get(&socket).is_some_and(|wire| wire.open_here) {
            self.leave(socket);
        }
    }
}

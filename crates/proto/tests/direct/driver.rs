//! The driver's part: carries out what the machine asks for.

use std::collections::VecDeque;

use genesys_notifications_proto::{
    Auth, Certainty, ChannelStage, ClientState, Effect, Gap, LinkId, MomentKind, Notice, Operation, Output,
    SocketId, TopicId,
};

use super::agenda::{Item, Word};
use super::manners::TOPICS;
use super::server::{Wire, iso};
use super::truth::topic_of;
use super::world::World;

impl World {
    /// Carries out every output. Called after each call of the machine.
    pub(crate) fn drain(&mut self) {
        let mut outputs = VecDeque::new();
        while let Some(output) = self.machine.poll_output() {
            outputs.extend(self.sabotage.outputs(output));
        }
        self.process.released = false;
        while let Some(output) = outputs.pop_front() {
            self.note(|| format!("  -> {output:?}"));
            self.rules.before_output(&output);
            self.carry_out(output);
        }
        for link in std::mem::take(&mut self.process.live) {
            self.is_asked_for_everything(link);
        }
        let (state, wake) = (self.machine.state(), self.machine.poll_timeout());
        assert!(!state.is_terminal() || wake.is_none(), "P9.2: a deadline after the end");
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Start(operation) => self.start(operation),
            Output::Cancel(ticket) => {
                if let Effect::Connect { socket, .. } = self.rules.cancelled(ticket) {
                    self.leave(socket);
                }
            }
            Output::Authenticate(socket, generation) => {
                self.socket_is_known(socket);
                assert_eq!(self.manners.auth, Auth::FirstMessage, "a first message that nobody asked for");
                self.send(socket, Word::Token(generation));
            }
            Output::Ask(socket, topic) => self.ask(socket, topic),
            Output::Probe(socket) => {
                self.socket_is_known(socket);
                self.send(socket, Word::Probe);
            }
            Output::Ping(_) => panic!("an application ping for a server that has none"),
            Output::CloseSocket(socket, _) | Output::DropSocket(socket) => {
                self.socket_is_known(socket);
                self.leave(socket);
            }
            Output::Release(socket) => {
                self.socket_is_known(socket);
                let held = self.server.wires.get_mut(&socket).map(|wire| std::mem::take(&mut wire.held));
                for arrived in held.into_iter().flatten() {
                    self.process.released = true;
                    self.deliver(arrived);
                }
            }
            Output::ForgetLink(link) => {
                self.rules.forgot(link);
                let ending = self.process.ending;
                let mut left = self.server.wires.iter().filter(|(id, _)| Some(**id) != ending);
                let is_left = left.any(|(_, wire)| wire.link == link && wire.open_here);
                assert!(!is_left, "P9.2: a link was forgotten with its socket open");
            }
            Output::Notify(notice) => self.noticed(notice),
            Output::Closed => {
                self.rules.end();
                let is_open = self.server.wires.values().any(|wire| wire.open_here);
                assert!(!is_open, "P9.2: a socket is open at the end");
            }
        }
    }

    fn start(&mut self, operation: Operation) {
        self.rules.started(&operation, self.clock.now().mono);
        let is_channel_effect = !matches!(
            operation.effect,
            Effect::FetchToken { .. } | Effect::Connect { .. } | Effect::LoadCursor
        );
        assert!(!is_channel_effect, "an effect of channels: {:?}", operation.effect);
        if let Effect::Connect { link, socket, generation, position } = &operation.effect {
            self.connections += 1;
            let now = self.clock.now().mono;
            let told = self.process.next_attempt.take().unwrap_or(now);
            assert!(now >= told, "P6.1: an attempt {} ms before the time that was told", told - now);
            assert_eq!(generation.is_some(), self.manners.auth != Auth::None, "with a token or without");
            assert_eq!(position.is_some(), self.manners.resuming.is_some(), "with a position or without");
            assert!(
                self.process.is_cursor_loaded || !self.manners.has_cursor,
                "P12: the cursor was not waited for"
            );
            if let (Some(position), Some(resuming)) = (position, self.manners.resuming) {
                self.process.track.connecting(position);
                self.truth.begins(position, resuming.is_inclusive);
                if *position == iso(self.clock.now().wall) {
                    self.truth.begins_anew(position, self.clock.truth);
                }
                if !resuming.is_inclusive && resuming.told.is_none() && !self.truth.sharing_seen {
                    self.truth.unknowable.insert(position.clone());
                }
            }
            let wire = Wire::new(*link, *generation, position.clone());
            self.server.wires.insert(*socket, wire);
        }
        let at = self.clock.truth + self.latency();
        self.agenda.plan(at, Item::AtServer(operation.ticket));
        self.requests.insert(operation.ticket, operation);
    }

    fn ask(&mut self, socket: SocketId, topic: TopicId) {
        self.socket_is_known(socket);
        let name = self.machine.topic(topic).as_str().to_owned();
        let number = topic_of(&name).unwrap_or_else(|| panic!("asked for {name:?}, which nobody wants"));
        assert!(self.wanted.contains(&number), "asked for topic {number}, which is not wanted");
        assert!(self.manners.subscribes, "asked for, although everything is sent");
        if let Some(wire) = self.server.wires.get_mut(&socket) {
            assert!(wire.heard_ready, "P12: topic {number} is asked for before the connection is ready");
            assert!(wire.asked.insert(number), "P12: topic {number} is asked for twice on {socket:?}");
        }
        self.send(socket, Word::Ask(number));
    }

    fn send(&mut self, socket: SocketId, word: Word) {
        if let (Word::Token(_), false, Some(wire)) =
            (&word, self.manners.says_ready, self.server.wires.get_mut(&socket))
        {
            wire.heard_ready = true;
        }
        let at = self.clock.truth + self.latency();
        let Some(wire) = self.server.wires.get_mut(&socket) else { return };
        wire.last_sent = wire.last_sent.max(at);
        let at = wire.last_sent;
        self.agenda.plan(at, Item::Sent(socket, word));
    }

    fn socket_is_known(&self, socket: SocketId) {
        let is_open = self.server.wires.get(&socket).is_some_and(|wire| wire.open_here);
        self.rules.socket_is_known(socket, is_open);
    }

    /// The client's end is closed; the server hears of it, unless nothing passes any more.
    pub(crate) fn leave(&mut self, socket: SocketId) {
        let latency = self.latency();
        let Some(wire) = self.server.wires.get_mut(&socket) else { return };
        (wire.open_here, wire.is_opening) = (false, false);
        assert!(wire.held.is_empty(), "P2.3: events held back for {socket:?} were never released");
        let delay = if wire.is_dead { 60_000 } else { latency };
        self.agenda.plan(self.clock.truth + delay, Item::LeftAtServer(socket));
    }

    fn noticed(&mut self, notice: Notice) {
        match &notice {
            Notice::State(change) => {
                self.rules.state_changed(change);
                // While one is under way, it is about another link.
                let wait = change.retry_in_ms.filter(|_| !self.rules.is_connecting());
                self.process.next_attempt = wait.map(|wait| self.clock.now().mono + wait);
                let failed = change.state == ClientState::Failed;
                assert!(!failed, "failed, although the credentials are good: {change:?}");
            }
            Notice::Gap(gap) => self.gap(gap),
            Notice::History(moment) => {
                if let MomentKind::Channel { link, stage: ChannelStage::Live, .. } = &moment.what {
                    self.process.live.push(LinkId(*link));
                }
                if let MomentKind::Covered { topics } = &moment.what {
                    let all = topics.iter().any(|name| name == "*");
                    let named = topics.iter().filter_map(|name| topic_of(name));
                    self.truth.is_live(if all { (0..TOPICS).collect() } else { named.collect::<Vec<_>>() });
                }
            }
            _ => {}
        }
    }

    /// A connection is live: it was asked for every topic.
    fn is_asked_for_everything(&self, link: LinkId) {
        let mut wires = self.server.wires.values().filter(|wire| wire.link == link && wire.open_here);
        if let (true, Some(wire)) = (self.manners.subscribes, wires.next()) {
            let missing: Vec<&u8> = self.wanted.difference(&wire.asked).collect();
            assert!(missing.is_empty(), "P12: not every topic was asked for: {missing:?} on {link:?}");
        }
    }

    fn gap(&mut self, gap: &Gap) {
        assert!(!gap.topics.is_empty(), "P2.3: a gap of nothing");
        assert!(
            gap.to.is_none() || !self.process.released,
            "P2.3: events were released before the end of their gap was told"
        );
        // Closing, nobody will go on from here; and what is only possible is told in any case.
        let is_new = gap.certainty == Certainty::Certain && !self.truth.knows_gap(&gap.id);
        let is_closing = self.machine.state() == ClientState::Closing || self.machine.state().is_terminal();
        if is_new && self.manners.resuming.is_some() && !is_closing {
            let is_excused = self.position_refused_at.is_some();
            assert!(is_excused, "P12: a gap is told of a stream that is resumed: {gap:?}");
        }
        self.truth.gap(gap);
    }
}

//! The driver's part: carries out what the machine asks for.

use std::collections::VecDeque;

use genesys_notifications_proto::{ClientState, Effect, MomentKind, Notice, Output, SocketId};

use super::agenda::Item;
use super::journal::Entry;
use super::world::World;

impl World {
    /// Carries out every output. Called after each call of the machine.
    pub(crate) fn drain(&mut self) {
        let mut outputs = VecDeque::new();
        self.truth.begin_call();
        while let Some(output) = self.machine.poll_output() {
            outputs.extend(self.sabotage.outputs(output));
        }
        while let Some(output) = outputs.pop_front() {
            self.note(|| format!("  -> {output:?}"));
            self.rules.before_output(&output);
            if let Output::Release(socket) = output {
                let is_its_end = |output: &Output| matches!(output, Output::DropSocket(id) | Output::CloseSocket(id, _) if *id == socket);
                self.ends_now = self.ending == Some(socket) || outputs.iter().any(is_its_end);
            }
            self.carry_out(output);
        }
        self.review_rotations();
        let (state, wake) = (self.machine.state(), self.machine.poll_timeout());
        assert!(!state.is_terminal() || wake.is_none(), "P9.2: a deadline after the end");
    }

    fn carry_out(&mut self, output: Output) {
        let now = self.clock.now();
        if self.record.keep {
            let text = format!("{output:?}");
            let word = text.split(['(', ' ']).next().unwrap_or_default();
            let detail = match &output {
                Output::Start(operation) => format!("{:?}", operation.effect),
                Output::Notify(notice) => format!("{notice:?}"),
                _ => String::new(),
            };
            let detail = detail.split(['(', ' ', '{']).next().unwrap_or_default().to_owned();
            self.record.words.push(if detail.is_empty() { word.to_owned() } else { detail });
        }
        match output {
            Output::Start(operation) => {
                self.rules.started(&operation, now.mono);
                if let Effect::Subscribe { link, topics, .. } = &operation.effect {
                    let numbers: Vec<u16> =
                        topics.iter().flat_map(|wire| self.service.members(wire)).collect();
                    self.asked.entry(*link).or_default().extend(numbers);
                    self.asked_at.insert(operation.ticket, self.clock.truth);
                    self.last_asked.insert(*link, operation.ticket);
                    self.unanswered.entry(*link).or_insert(self.clock.truth);
                }
                let delay = self.rest_latency(&operation.effect);
                self.agenda.plan(self.clock.truth + delay, Item::AtService(operation.ticket));
                if self.record.keep {
                    self.record.starts.push((now.mono, operation.clone()));
                }
                self.requests.insert(operation.ticket, (operation, self.clock.truth));
            }
            Output::Cancel(ticket) => {
                if let Effect::OpenSocket { socket, .. } = self.rules.cancelled(ticket) {
                    self.leave(socket);
                }
            }
            Output::Authenticate(..) | Output::Ask(..) => unreachable!("this world has channels only"),
            // The service's edge answers it, but this world's service answers the application ping.
            Output::Probe(socket) => self.rules.socket_is_known(socket, self.wires.is_open_here(socket)),
            Output::Ping(socket) => {
                self.rules.socket_is_known(socket, self.wires.is_open_here(socket));
                if self.record.keep {
                    self.record.pings.push((now.mono, socket));
                }
                let at = self.clock.truth + self.socket_latency();
                self.agenda.plan(at, Item::PingAtService(socket, self.clock.truth));
            }
            Output::CloseSocket(socket, code) => self.close_here(socket, Some(code)),
            Output::DropSocket(socket) => self.close_here(socket, None),
            Output::Release(socket) => self.release(socket),
            Output::ForgetLink(link) => {
                self.rules.forgot(link);
                let ending = self.ending;
                let mut sockets = self.wires.by_id.iter().filter(|(id, _)| Some(**id) != ending);
                let left = sockets.any(|(_, wire)| wire.link == link && wire.open_here);
                assert!(!left, "P9.2: a link was forgotten with its socket open");
                self.channel_of.remove(&link);
                self.asked.remove(&link);
                self.acked.remove(&link);
                self.last_asked.remove(&link);
                self.unanswered.remove(&link);
                self.review_lists();
            }
            Output::Notify(notice) => self.noticed(notice),
            Output::Closed => {
                self.rules.end();
                assert!(self.wires.open_here().is_empty(), "P9.2: a socket is open at the end");
            }
        }
    }

    fn noticed(&mut self, notice: Notice) {
        let now = self.clock.now();
        match &notice {
            Notice::State(change) => {
                self.rules.state_changed(change);
                self.fresh &= change.state != ClientState::Connected;
                let failed = change.state == ClientState::Failed;
                assert!(!failed || self.may_fail, "failed, although the credentials are good: {change:?}");
            }
            Notice::Gap(gap) => {
                let numbers: Vec<u16> = gap.topics.iter().map(|name| self.service.number(name)).collect();
                assert!(!numbers.is_empty(), "P2.3: a gap of nothing");
                if let Some(journal) = &mut self.journal {
                    if let Some(old) = journal.gap(&gap.id) {
                        assert_eq!(old.from, gap.from, "I4: the id of {old:?} was used again");
                    }
                    journal.note(self.clock.truth, Entry::Gap(gap.clone()));
                }
                self.truth.gap(gap, &numbers, self.clock.truth);
            }
            Notice::Topic(status) => {
                let number = self.service.number(&status.topic);
                self.truth.topic(number).status = Some(status.state);
            }
            Notice::Settled(request) => {
                assert!(self.unsettled.remove(&request.0), "a request was settled twice");
            }
            Notice::History(moment) => {
                self.changed_hands(&moment.what);
                let ended = self.machine.state().is_terminal();
                if let Some(journal) = self.journal.as_mut().filter(|_| !ended) {
                    journal.moment(self.clock.truth, moment);
                }
                // What the machine claims to be live it owes, whichever of its links carries it.
                if let (MomentKind::Covered { topics }, true) = (&moment.what, self.manners.answers_pings) {
                    for name in topics {
                        let number = self.service.number(name);
                        self.truth.is_live(number, now.wall);
                    }
                }
            }
            Notice::Log(line) => self.builds(&line.message),
            Notice::Error(_) => {}
        }
        if self.record.keep {
            self.record.notices.push((self.clock.now().mono, notice));
        }
    }

    fn close_here(&mut self, socket: SocketId, code: Option<u16>) {
        self.rules.socket_is_known(socket, self.wires.is_open_here(socket));
        if self.record.keep {
            self.record.closed.push((self.clock.now().mono, socket, code));
        }
        self.leave(socket);
    }

    /// The client's end is closed; the service hears of it, unless nothing passes any more.
    pub(crate) fn leave(&mut self, socket: SocketId) {
        let latency = self.socket_latency();
        let Some(wire) = self.wires.of(socket) else { return };
        (wire.open_here, wire.opening) = (false, false);
        let unread: Vec<Item> = wire.unread.drain(..).collect();
        let held = std::mem::take(&mut wire.held);
        // A half-open connection is noticed by the service's own timers.
        let notice = if wire.dead { 60_000 } else { latency };
        assert!(held.is_empty(), "P2.3: events held back for {socket:?} were never released");
        for item in unread {
            self.lose(&item);
        }
        self.agenda.plan(self.clock.truth + notice, Item::LeftAtService(socket));
        self.refresh();
    }

    fn release(&mut self, socket: SocketId) {
        self.rules.socket_is_known(socket, self.wires.is_open_here(socket));
        let held = self.wires.of(socket).map(|wire| std::mem::take(&mut wire.held)).unwrap_or_default();
        let link = self.wires.of(socket).map(|wire| wire.link);
        for event in held {
            let (topic, _) = self.truth.topic_and_body(event);
            let acked = link.and_then(|link| self.acked.get(&link));
            let carried = acked.is_some_and(|acked| acked.topics.contains(&topic));
            self.deliver(event, carried && !self.ends_now);
        }
    }
}

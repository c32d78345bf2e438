use std::sync::Arc;

use crate::{
    book::{Hit, Occurrence},
    envelope::foreign_frame,
    fault::{Action, Operation, Rule, Times},
    socket::End,
    state::State,
};

impl State {
    /// Sets a fault; those for sockets and channels act at once. Returns its id.
    pub(crate) fn set_fault(&mut self, rule: Rule) -> u64 {
        let operation = rule.matching.operation;
        let channel_id = rule.matching.channel_id.clone();
        let once = rule.times == Times::Once;
        let fault = self.book.add(rule);
        let concerns = |id: &Arc<str>| channel_id.as_deref().is_none_or(|wanted| wanted == &**id);
        match operation {
            Operation::Socket => {
                let open: Vec<_> =
                    self.sockets.iter().map(|(id, socket)| (*id, socket.channel.clone())).collect();
                let open: Vec<_> = open.into_iter().filter(|(_, channel)| concerns(channel)).collect();
                if once && !open.is_empty() {
                    self.book.set_left(fault, open.len() as u64);
                }
                for (socket, channel) in &open {
                    for hit in self.book.take_from(fault, occurrence(operation, channel)) {
                        self.harm_socket(&hit, *socket);
                    }
                }
                if once && !open.is_empty() {
                    self.book.set_left(fault, 0);
                }
            }
            Operation::Channel => {
                let live: Vec<_> = self.channels.ids().into_iter().filter(concerns).collect();
                if once && !live.is_empty() {
                    self.book.set_left(fault, live.len() as u64);
                }
                for channel in &live {
                    for hit in self.book.take_from(fault, occurrence(operation, channel)) {
                        self.harm_channel(&hit, operation, channel);
                    }
                }
                if once && !live.is_empty() {
                    self.book.set_left(fault, 0);
                }
            }
            _ => {}
        }
        fault
    }

    /// A channel was created.
    pub(crate) fn channel_occurred(&mut self, channel: &str) {
        for hit in self.book.take(occurrence(Operation::Channel, channel)) {
            self.harm_channel(&hit, Operation::Channel, channel);
        }
    }

    /// Does to an open socket what a rule for `socket` says.
    pub(crate) fn harm_socket(&mut self, hit: &Hit, socket: u64) {
        let Some(channel) = self.sockets.get(&socket).map(|s| s.channel.clone()) else { return };
        match &hit.action {
            Action::Evict {} | Action::Expire {} | Action::Revoke {} | Action::LoseTopic { .. } => {
                match self.is_gateway(socket) {
                    true => self.harm_gateway(hit, socket),
                    false => self.harm_channel(hit, Operation::Socket, &channel),
                }
            }
            action => {
                let name = Operation::Socket.name();
                self.fault_applied(hit.fault, action.kind(), name, Some(&channel), Some(socket), None);
                match foreign_frame(action, "channel.metadata") {
                    Some(frame) => self.send_in_order(socket, frame, None),
                    None => self.harm(hit, socket),
                }
            }
        }
    }

    /// Does to a channel what a rule for `channel`, `socket` or one of its requests says.
    pub(crate) fn harm_channel(&mut self, hit: &Hit, operation: Operation, channel: &str) {
        let Some((socket, token)) = self.channels.find(channel).map(|c| (c.socket, c.token.number)) else {
            return;
        };
        self.fault_applied(hit.fault, hit.action.kind(), operation.name(), Some(channel), socket, None);
        match &hit.action {
            Action::Evict {} => self.evict_channel(channel),
            Action::Expire {} => self.expire_channel(channel),
            Action::Revoke {} => self.revoke_token(token),
            Action::LoseTopic { topic } => drop(self.channels.lose_topic(channel, topic)),
            _ => {}
        }
    }

    /// Does to a socket's connection what the fault says.
    pub(crate) fn harm(&mut self, hit: &Hit, socket: u64) {
        match &hit.action {
            Action::Reset { .. } => self.reset_socket(socket, "faulted:reset"),
            Action::Stall { ms, .. } => self.stall_socket(socket, hit.fault, *ms),
            Action::HalfOpen { .. } => self.half_open_socket(socket),
            Action::Close { code, reason, .. } => {
                self.close_socket(socket, End::new("faulted:close").code(*code).reason(reason));
            }
            Action::SocketClosing { grace_ms } => self.begin_maintenance(socket, *grace_ms),
            _ => {}
        }
    }
}

fn occurrence(operation: Operation, channel: &str) -> Occurrence<'_> {
    Occurrence { operation, channel: Some(channel), topic: None }
}

//! What a process has of its own: what it has delivered, and how far that is acknowledged.

use std::collections::VecDeque;

use genesys_notifications_proto::{
    Cursor, Governor, GovernorConfig, Input, LinkId, Machine, Random, SocketId, Track,
};

use super::agenda::Item;
use super::server::Arrived;
use super::world::{World, rules};

#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) track: Track,
    pub(crate) is_cursor_loaded: bool,
    /// The sequence of the last event delivered.
    sequence: u64,
    /// What is not acknowledged: sequence and event.
    outstanding: VecDeque<(u64, usize)>,
    /// Links that have become live during this call of the machine.
    pub(crate) live: Vec<LinkId>,
    /// Before that, as the user was told, nothing is attempted.
    pub(crate) next_attempt: Option<u64>,
    /// The socket whose end is being told.
    pub(crate) ending: Option<SocketId>,
    /// Events were released during this call of the machine.
    pub(crate) released: bool,
}

impl Process {
    pub(crate) fn loaded(&mut self, cursor: Option<&Cursor>) {
        self.track = Track::new(cursor);
        self.is_cursor_loaded = true;
    }
}

impl World {
    /// An event is handed to the user, or left out by what the user wants of its topic.
    pub(crate) fn deliver(&mut self, arrived: Arrived) {
        self.truth.took(arrived.position.as_deref());
        self.truth.delivered(arrived.group, self.clock.truth);
        let (at, position) = (self.clock.now().wall, arrived.position.as_deref());
        let is_passed = self.manners.filters && self.dice.up_to(5) == 0;
        let process = &mut self.process;
        let has_changed = if is_passed {
            match process.outstanding.back() {
                Some((sequence, _)) => process.outstanding.push_back((*sequence, arrived.group)),
                None => self.truth.acknowledged(arrived.group),
            }
            process.track.passed(position, arrived.identity, at)
        } else {
            process.sequence += 1;
            process.outstanding.push_back((process.sequence, arrived.group));
            process.track.arrived(process.sequence, position, arrived.identity, at)
        };
        if has_changed {
            self.save();
        }
    }

    /// An event that nobody wants.
    pub(crate) fn pass(&mut self, arrived: &Arrived) {
        let (at, position) = (self.clock.now().wall, arrived.position.as_deref());
        self.truth.took(position);
        if self.process.track.passed(position, arrived.identity, at) {
            self.save();
        }
    }

    fn save(&mut self) {
        let cursor = self.process.track.cursor();
        self.saved = cursor.map(|cursor| cursor.to_text());
    }

    pub(crate) fn acknowledge(&mut self) {
        let outstanding = self.process.outstanding.len() as u64;
        if !self.is_down {
            let some = self.dice.up_to(outstanding) as usize;
            self.acknowledge_some(some);
        }
        self.agenda.plan(self.clock.truth + self.dice.between(1, 8_000), Item::Acknowledge);
    }

    pub(crate) fn acknowledge_all(&mut self) {
        self.acknowledge_some(self.process.outstanding.len());
    }

    fn acknowledge_some(&mut self, some: usize) {
        let Some((sequence, _)) = some.checked_sub(1).and_then(|last| self.process.outstanding.get(last))
        else {
            return;
        };
        let sequence = *sequence;
        let behind = self.process.outstanding.partition_point(|(it, _)| *it <= sequence);
        for (_, group) in self.process.outstanding.drain(..behind) {
            self.truth.acknowledged(group);
        }
        if self.process.track.acked(sequence) {
            self.save();
        }
    }

    /// The process is no more: without a word, its sockets with it.
    pub(crate) fn crash(&mut self) {
        self.note(|| "CRASH".to_owned());
        for (_, group) in std::mem::take(&mut self.process.outstanding) {
            self.truth.comes_again(group);
        }
        let held: usize = self.server.wires.values().map(|wire| wire.held.len()).sum();
        self.note(|| format!("{held} events were held back"));
        self.server.wires.clear();
        self.server.tokens.clear();
        self.requests.clear();
        self.agenda.keep(Item::outlives_the_process);
        if let Some((_, asleep, since)) = self.frozen.take()
            && asleep
        {
            self.clock.sleep(self.clock.truth - since);
        }
        self.is_down = true;
        self.truth.process_ended(self.lives, self.clock.now().wall);
        let down = self.dice.between(10, 20_000);
        self.agenda.plan(self.clock.truth + down, Item::Begin);
    }

    pub(crate) fn begin(&mut self) {
        self.lives += 1;
        self.process = Process::default();
        self.machine = Machine::new(self.config.clone());
        self.governor = Governor::new(GovernorConfig::default());
        self.rules = rules();
        self.old_tickets.clear();
        self.is_down = false;
        self.position_refused_at = None;
        self.want_all();
        self.tell(Input::Connect);
    }
}

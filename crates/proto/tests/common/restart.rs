//! The end of a process at any instant, and the beginning of the next one on the same journal (C1, C2, I1, I2).

use genesys_notifications_proto::{
    Governor, Input, Machine, Random, RequestId, Topic, TopicChange, TopicRequest,
};

use super::agenda::Item;
use super::journal::{Entry, Journal};
use super::rules::Rules;
use super::sabotage::Fault;
use super::world::World;

/// What was received this long before a crash may not be committed.
const LATEST_COMMIT_MS: u64 = 300;

impl World {
    /// From now on what arrives is journaled, and delivered once it is committed.
    pub(crate) fn keep_journal(&mut self) {
        self.journal = Some(Journal::default());
    }

    pub(crate) fn is_down(&self) -> bool {
        self.down
    }

    /// An event is handed to the journal, or to the user if there is none.
    pub(crate) fn received(&mut self, event: u32) {
        let (topic, body) = self.truth.topic_and_body(event);
        let (at, received_at) = (self.clock.truth, self.clock.now().wall);
        let Some(journal) = &mut self.journal else {
            self.truth.delivered(event);
            return self.truth.copy_ended(event);
        };
        let topic = self.service.names[usize::from(topic)].clone();
        journal.note(at, Entry::Event { event, topic, body: body_text(body), received_at });
    }

    /// The journal's thread: it commits a little later than things are noted.
    pub(crate) fn journal_works(&mut self) {
        let (at, now) = (self.clock.truth, self.clock.now());
        let Some(journal) = &mut self.journal else { return };
        if !self.down && journal.mark_is_due(now.mono) {
            let ahead = if self.sabotage.is(Fault::MarkRunsAhead) { 30_000 } else { 0 };
            journal.mark(at, now.mono, self.machine.sound_until(now) + ahead);
        }
        self.commit(at.saturating_sub(LATEST_COMMIT_MS));
    }

    fn commit(&mut self, until: u64) {
        let Some(journal) = &mut self.journal else { return };
        for event in journal.commit(until) {
            self.truth.delivered(event);
            self.truth.copy_ended(event);
        }
    }

    /// The process is killed, or closes, and another one begins after so long.
    pub(crate) fn restart(&mut self, down_ms: u64, killed: bool) {
        if self.down || self.journal.is_none() {
            return;
        }
        self.note(|| format!("RESTART after {down_ms} ms, killed {killed}"));
        let now = self.clock.truth;
        if killed {
            let until = now - self.dice.up_to(LATEST_COMMIT_MS);
            self.commit(until);
        } else {
            self.close();
            self.commit(now);
        }
        let lost = self.journal.as_mut().map(Journal::crash).unwrap_or_default();
        for event in lost {
            self.truth.lost_by_crash(event);
        }
        self.forget_process();
        self.down = true;
        self.lives += 1;
        self.agenda.plan(now + down_ms, Item::Begin);
        self.refresh();
    }

    /// The kernel closes the sockets, and every answer on its way is for nobody. Its channels end as well: how many of a
    /// process that is no more may stand in the way of the next one is not this world's question.
    fn forget_process(&mut self) {
        for item in self.agenda.forget_process() {
            self.lose(&item);
        }
        for wire in std::mem::take(&mut self.wires.by_id).into_values() {
            for event in wire.held {
                self.truth.lost_by_crash(event);
            }
            for item in wire.unread {
                self.lose(&item);
            }
        }
        for channel in self.service.channels.values_mut() {
            (channel.carrier, channel.owner) = (None, 0);
            channel.gone |= !channel.foreign;
        }
        self.service.tokens.clear();
        self.requests.clear();
        self.channel_of.clear();
        self.asked.clear();
        self.acked.clear();
        self.asked_at.clear();
        self.unanswered.clear();
        self.last_asked.clear();
        self.unsettled.clear();
        self.old_tickets.clear();
        self.old_sockets.clear();
        (self.frozen, self.ending, self.accepted) = (None, None, false);
        if let Some(journal) = &self.journal {
            let names = &self.service.names;
            self.truth
                .process_ended(&journal.gaps, |number| journal.covered.contains(&names[usize::from(number)]));
        }
        self.machine = Machine::new(self.config.clone());
        self.governor = Governor::new(self.governor_config.clone());
        self.rules = Rules::new(self.governor_config.clone(), self.rules.bounds);
    }

    /// The next process, with the topics of the last one.
    pub(crate) fn begin(&mut self) {
        (self.down, self.fresh) = (false, true);
        let Some(journal) = &self.journal else { return };
        let now = self.clock.truth;
        let past = self.sabotage.past(journal.past(self.clock.now().wall));
        let wanted = self.truth.wanted();
        if wanted.is_subset(&self.service.forbidden) {
            self.service.forbidden.clear();
        }
        self.wanted_at = wanted.iter().map(|number| (*number, now)).collect();
        let names = wanted.iter().map(|number| &self.service.names[usize::from(*number)]);
        let topics: Vec<Topic> =
            names.flat_map(|name| Topic::expand(name).expect("a topic of the test")).collect();
        self.last_request += 1;
        self.unsettled.insert(self.last_request);
        let request = RequestId(self.last_request);
        self.tell(Input::Topics(TopicRequest { request, change: TopicChange::Add, topics }));
        self.note(|| format!("RESTORE {past:?}"));
        self.call(|machine, cx| machine.restore(cx, past));
        self.connect();
    }
}

pub(crate) fn body_text(body: u32) -> String {
    format!("{{\"n\":{body}}}")
}

//! Events: published, carried, and what is owed to the user.

use std::collections::BTreeSet;

use genesys_notifications_proto::{LinkId, Random, SocketId};

use super::agenda::{Cargo, Item};
use super::wire::Wire;
use super::world::World;

impl World {
    pub(crate) fn publish_next(&mut self) {
        let every = self.manners.publish_every_ms;
        if every == 0 || self.service.names.is_empty() {
            return;
        }
        let topic = self.dice.up_to(self.service.names.len() as u64 - 1) as u16;
        let like = (self.dice.up_to(9) == 0).then(|| self.truth.latest_of(topic)).flatten();
        self.publish(topic, like);
        let next = self.dice.between(1, 2 * every);
        self.agenda.plan(self.clock.truth + next, Item::Publish);
        // Bursts, some of them of one body.
        if self.dice.up_to(40) == 0 {
            let first = self.publish(topic, None);
            for _ in 0..self.dice.up_to(4) {
                let same = self.dice.up_to(1) == 0;
                self.publish(topic, same.then_some(first));
            }
        }
    }

    /// Something may be lost or seen twice soon: events are dense until then.
    pub(crate) fn watch(&mut self, ms: u64) {
        let now = self.clock.truth;
        if self.manners.burst_every_ms > 0 && self.watched_until <= now {
            self.agenda.plan(now, Item::Burst);
        }
        self.watched_until = self.watched_until.max(now + ms);
    }

    pub(crate) fn burst(&mut self) {
        let wanted: Vec<u16> = self.truth.wanted().into_iter().collect();
        let topic = wanted[self.dice.up_to(wanted.len() as u64 - 1) as usize];
        let like = (self.dice.up_to(9) == 0).then(|| self.truth.latest_of(topic)).flatten();
        self.publish(topic, like);
        let next = self.clock.truth + self.dice.between(1, 2 * self.manners.burst_every_ms);
        if next < self.watched_until {
            self.agenda.plan(next, Item::Burst);
        } else {
            self.watched_until = 0;
        }
    }

    pub(crate) fn publish(&mut self, topic: u16, like: Option<u32>) -> u32 {
        let now = self.clock.truth;
        let due = (now + self.manners.socket_ms.1 + self.manners.most_skew_ms).max(self.stalled_until);
        let event = self.truth.publish(topic, like, now, (self.clock.wall(now), self.clock.wall(due)));
        let carriers: Vec<(SocketId, u64)> = self
            .service
            .channels
            .values()
            .filter(|channel| !channel.gone && channel.topics.contains(&topic))
            .filter_map(|channel| channel.carrier.map(|socket| (socket, channel.skew_ms)))
            .collect();
        for (socket, skew) in carriers {
            self.truth.copy_sent(event);
            self.send_later(socket, Cargo::Event(event), skew);
        }
        self.truth.copy_ended(event);
        event
    }

    /// Who carries what has changed.
    pub(crate) fn refresh(&mut self) {
        self.review_lists();
        let wall = self.clock.wall(self.clock.truth);
        let mut carried: BTreeSet<u16> = BTreeSet::new();
        for channel in self.service.channels.values().filter(|channel| !channel.gone) {
            let wire = channel.carrier.and_then(|socket| self.wires.by_id.get(&socket));
            if wire.is_some_and(Wire::carries) {
                carried.extend(&channel.topics);
            }
        }
        for number in self.truth.wanted() {
            self.truth.carried(number, carried.contains(&number), wall);
        }
    }

    /// A pong came back to a ping sent then: what was confirmed before that is live, if no other link is in play.
    pub(crate) fn proven(&mut self, link: LinkId, sent: u64) {
        let Some(acked) = self.acked.get(&link).filter(|acked| acked.told_at <= sent) else { return };
        // With several links it is for the machine to say which of them counts.
        if self.channel_of.len() > 1 {
            return;
        }
        // A later list that was not confirmed may have changed it.
        if self.last_asked.get(&link) != Some(&acked.ticket) {
            return;
        }
        let live: Vec<u16> = acked
            .topics
            .iter()
            .filter(|topic| !self.truth.was_live(**topic))
            .filter(|topic| self.wanted_at.get(topic).is_some_and(|at| *at <= acked.asked_at))
            .filter(|topic| self.asked.iter().all(|(other, asked)| *other == link || !asked.contains(topic)))
            .copied()
            .collect();
        let wall = self.clock.now().wall;
        for topic in live {
            self.truth.is_live(topic, wall);
        }
    }
}

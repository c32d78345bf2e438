//! What the service alone knows: subscriptions that it has lost without a word.

use genesys_notifications_proto::{Random, SocketId};

use super::world::World;

/// A list is read back every five minutes, give or take a fifth, and mended then.
const FOUND_WITHIN_MS: u64 = 15 * 60_000;

impl World {
    /// The service forgets one topic of a channel, and tells nobody.
    pub(crate) fn lose_from_list(&mut self, socket: SocketId) {
        let key = self.wires.by_id[&socket].channel;
        let wanted = self.truth.wanted();
        let Some(channel) = self.service.channels.get_mut(&key) else { return };
        let topics: Vec<u16> = channel.topics.intersection(&wanted).copied().collect();
        if topics.is_empty() {
            return;
        }
        let topic = topics[self.dice.up_to(topics.len() as u64 - 1) as usize];
        channel.topics.remove(&topic);
        self.note(|| format!("LOSES topic {topic} from the list of channel {key}"));
        self.lost_lists.push((key, socket, topic, self.clock.truth));
        self.refresh();
    }

    /// A list that was sent again, or a channel that ended, before anybody looked: nobody can know. Of a socket that was
    /// lost in between nothing is asked either: the rules count from the proof of the next one.
    pub(crate) fn review_lists(&mut self) {
        if self.lost_lists.is_empty() {
            return;
        }
        self.nothing_is_overlooked();
        let now = self.clock.truth;
        let (service, truth) = (&self.service, &mut self.truth);
        self.lost_lists.retain(|(key, socket, topic, at)| {
            let channel = service.channels.get(key).filter(|channel| !channel.gone);
            let is_lost = channel
                .is_some_and(|channel| channel.carrier == Some(*socket) && !channel.topics.contains(topic));
            if !is_lost && !truth.mismatch_was_told(*topic, *at) {
                truth.forgive(*topic, *at, now);
            }
            is_lost
        });
    }

    /// What was lost from a list is found when the list is read back.
    fn nothing_is_overlooked(&self) {
        let calm_since = self.clock.truth.saturating_sub(FOUND_WITHIN_MS);
        let forgotten = self.lost_lists.iter().find(|(.., at)| *at < calm_since);
        let is_calm = self.frozen.is_none() && self.weather.last_incident.max(self.thawed_at) < calm_since;
        let overlooked = forgotten.filter(|_| is_calm);
        assert!(overlooked.is_none(), "P2: no audit found that the service lost {overlooked:?} from a list");
    }
}

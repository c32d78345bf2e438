//! What the service alone knows: subscriptions that it has lost without a word.

use genesys_notifications_proto::{Random, SocketId};

use super::wire::Wire;
use super::world::World;

/// A list is read back so often, give or take a fifth.
const AUDIT_EVERY_MS: u64 = 5 * 60_000;
/// For a request or two, and for one that failed.
const MARGIN_MS: u64 = 2 * 60_000;

/// A topic that a channel's list lacks.
#[derive(Debug)]
pub(crate) struct LostEntry {
    channel: u32,
    topic: u16,
    pub(crate) at: u64,
    /// How long somebody could have looked since then: the channel was open, its list settled, the process running.
    live_ms: u64,
    counted_at: u64,
    was_live: bool,
}

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
        let at = self.clock.truth;
        let entry = LostEntry { channel: key, topic, at, live_ms: 0, counted_at: at, was_live: false };
        self.lost_entries.push(entry);
        self.refresh();
    }

    /// A list that was sent again, a topic that nobody wants any more, or a channel that was given up, before anybody looked:
    /// nobody can know what was missed.
    pub(crate) fn review_lists(&mut self) {
        if self.lost_entries.is_empty() {
            return;
        }
        let now = self.clock.truth;
        let mut entries = std::mem::take(&mut self.lost_entries);
        let wanted = self.truth.wanted();
        entries.retain_mut(|entry| {
            let channel = self.service.channels.get(&entry.channel).filter(|channel| !channel.gone);
            let lacks = channel.is_some_and(|channel| !channel.topics.contains(&entry.topic));
            let link = self.channel_of.iter().find(|(_, key)| **key == entry.channel).map(|(link, _)| *link);
            let is_told = self.truth.mismatch_was_told(entry.topic, entry.at);
            let (true, Some(link), true) = (lacks, link, wanted.contains(&entry.topic)) else {
                if is_told {
                    self.losses_found += 1;
                } else {
                    self.losses_forgiven += 1;
                    self.truth.forgive(entry.topic, entry.at, now);
                }
                return false;
            };
            let wire = channel.and_then(|channel| self.wires.by_id.get(&channel.carrier?));
            let is_settled = self.acked.contains_key(&link) && !self.unanswered.contains_key(&link);
            let is_live = is_settled && wire.is_some_and(Wire::carries);
            let since = entry.counted_at.max(self.thawed_at);
            if self.frozen.is_none() && entry.was_live && is_live {
                entry.live_ms += now.saturating_sub(since);
            }
            (entry.counted_at, entry.was_live) = (now, is_live && self.frozen.is_none());
            let is_overdue = entry.live_ms > AUDIT_EVERY_MS * 6 / 5 + MARGIN_MS;
            assert!(is_told || !is_overdue, "P2.9: no audit found that the service has lost {entry:?}");
            true
        });
        self.lost_entries = entries;
    }
}

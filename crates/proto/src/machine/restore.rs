//! What a journal knows from before this process ran, and until when it may say so of this one.

use std::collections::BTreeSet;

use crate::gap::number_of;
use crate::io::{Past, TopicId};
use crate::link::Link;
use crate::notice::{Certainty, Gap, Reason};
use crate::shard::Shard;
use crate::time::Now;
use crate::topic::Topic;

use super::{Context, Machine};

impl Machine {
    /// Takes over what a journal knows. Call it before `Input::Connect`, once the wanted topics are added; drain
    /// [`Self::poll_output`] afterwards. Gaps keep their ids, and new ones are numbered after them. Topics that were live
    /// then and are still wanted have a gap since then.
    pub fn restore(&mut self, cx: &mut Context<'_>, past: Past) {
        self.watch_clock(cx.now);
        for gap in &past.gaps {
            let mut topics = self.known(gap);
            for part in past.gaps.iter().filter(|part| is_part(part, gap)) {
                topics.retain(|id| !part.topics.iter().any(|name| name == self.roster.topic(*id).as_str()));
            }
            let roster = &self.roster;
            let news = self.ledger.restore(gap, topics, |id| roster.is_wanted(*id), cx.now.wall);
            self.notify_gaps(news);
        }
        let covered: Vec<TopicId> = past.covered.iter().map(|topic| self.roster.intern(topic)).collect();
        let covered: Vec<TopicId> = covered.into_iter().filter(|id| self.roster.is_wanted(*id)).collect();
        self.ledger.restore_covered(covered.iter().copied());
        if let Some(cursor) = &past.cursor {
            self.go_on_from(cursor);
        }
        let down = self.ledger.lose(&covered, past.sound_until, Reason::ProcessDown, Certainty::Certain);
        self.notify_gaps(down);
        self.left_behind(cx.now, past.sound_until);
        for event in &past.seen {
            self.remember(cx.now, event);
        }
    }

    /// The instant before which nothing sent can be missing on any topic that is live, in milliseconds since the epoch:
    /// what a journal has to note, so that the next process knows since when it missed something.
    pub fn sound_until(&self, now: Now) -> u64 {
        let is_covered = |id: &TopicId| self.ledger.is_covered(*id);
        let shards = self.shards.iter().filter(|shard| shard.wanted.iter().any(is_covered));
        let sound = shards.filter_map(|shard| sound_until(shard, is_covered)).min().unwrap_or(now.wall);
        // Frames that could not be read and of which nobody has been told yet.
        let untold = self.shards.iter().filter_map(|shard| shard.blemish.as_ref()?.pending.first());
        let quiet = self.ledger.quiet_since();
        untold.map(|(from, _)| *from).chain(quiet).min().map_or(sound, |from| from.min(sound))
    }

    fn known(&mut self, gap: &Gap) -> BTreeSet<TopicId> {
        let topics: Vec<Topic> = match self.config.direct {
            Some(_) => gap.topics.iter().filter_map(|name| Topic::free(name).ok()).collect(),
            None => gap.topics.iter().filter_map(|name| Topic::expand(name).ok()).flatten().collect(),
        };
        topics.iter().map(|topic| self.roster.intern(topic)).collect()
    }
}

/// A gap that ended for a part of its topics was split (P2.4): the part has a later id, the rest kept its own.
fn is_part(part: &Gap, whole: &Gap) -> bool {
    whole.to.is_none()
        && part.to.is_some()
        && number_of(&part.id) > number_of(&whole.id)
        && (part.from, part.reason, part.certainty) == (whole.from, whole.reason, whole.certainty)
}

/// A topic is sound as long as one link carries it: the one that has carried it longest until its last proof of life, then
/// another, if that carried it already by then. What all of them carry is as sound as the least sound topic.
fn sound_until(shard: &Shard, is_covered: impl Fn(&TopicId) -> bool) -> Option<u64> {
    let links: Vec<(&Link, u64)> =
        shard.carriers().filter_map(|link| Some((link, link.open()?.sound_until()))).collect();
    if let [(_, sound_until)] = links[..] {
        return Some(sound_until);
    }
    let of_topic = |id: &TopicId| {
        let mut carried: Vec<(u64, u64)> =
            links.iter().filter_map(|(link, sound)| Some((*link.carries.get(id)?, *sound))).collect();
        carried.sort_unstable();
        carried.into_iter().reduce(|(first, until), (since, sound)| {
            (first, if since <= until { until.max(sound) } else { until })
        })
    };
    let covered = shard.wanted.iter().filter(|id| is_covered(id));
    let least = covered.filter_map(of_topic).map(|(_, until)| until).min();
    least.or_else(|| links.iter().map(|(_, sound)| *sound).min())
}

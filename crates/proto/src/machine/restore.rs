//! What a journal knows from before this process ran, and until when it may say so of this one.

use std::collections::BTreeSet;

use crate::io::{Past, TopicId};
use crate::link::Link;
use crate::liveness::OpenSocket;
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
            let topics: BTreeSet<TopicId> = self.known(gap);
            let roster = &self.roster;
            let news = self.ledger.restore(gap, topics, |id| roster.is_wanted(*id), cx.now.wall);
            self.notify_gaps(news);
        }
        let covered: Vec<TopicId> = past.covered.iter().map(|topic| self.roster.intern(topic)).collect();
        let covered: Vec<TopicId> = covered.into_iter().filter(|id| self.roster.is_wanted(*id)).collect();
        self.ledger.restore_covered(covered.iter().copied());
        let down = self.ledger.lose(&covered, past.sound_until, Reason::ProcessDown, Certainty::Certain);
        self.notify_gaps(down);
    }

    /// The instant before which nothing sent can be missing on any topic that is live, in milliseconds since the epoch:
    /// what a journal has to note, so that the next process knows since when it missed something.
    pub fn sound_until(&self, now: Now) -> u64 {
        let shards =
            self.shards.iter().filter(|shard| shard.wanted.iter().any(|id| self.ledger.is_covered(*id)));
        shards.filter_map(sound_until).min().unwrap_or(now.wall)
    }

    fn known(&mut self, gap: &Gap) -> BTreeSet<TopicId> {
        let topics = gap.topics.iter().filter_map(|name| Topic::expand(name).ok()).flatten();
        topics.map(|topic| self.roster.intern(&topic)).collect()
    }
}

fn sound_until(shard: &Shard) -> Option<u64> {
    shard
        .primary
        .iter()
        .filter(|link| link.is_live())
        .filter_map(Link::open)
        .map(OpenSocket::sound_until)
        .max()
}

//! What the continuity report is made of: moments in the life of channels, tokens and coverage.

use crate::io::{Generation, TopicId};
use crate::link::Who;
use crate::notice::{ChannelStage, Moment, MomentKind, Notice, Reason};

use super::Machine;

impl Machine {
    /// A link's channel came to a stage of its life. A link that never had a channel has none.
    pub(super) fn stage(&mut self, who: Option<Who>, stage: ChannelStage, reason: Option<Reason>) {
        if let Some(Who { link, shard }) = who {
            self.moment(MomentKind::Channel { link, shard, stage, reason });
        }
    }

    pub(super) fn moment_of_token(&mut self, generation: Generation) {
        self.moment(MomentKind::Token { generation: generation.0 });
    }

    pub(super) fn moment_of_coverage(&mut self, topics: &[TopicId]) {
        if !topics.is_empty() {
            let topics = self.names(topics);
            self.moment(MomentKind::Covered { topics });
        }
    }

    pub(super) fn moment_of_oblivion(&mut self, topics: &[TopicId]) {
        if !topics.is_empty() {
            let topics = self.names(topics);
            self.moment(MomentKind::Forgotten { topics });
        }
    }

    pub(super) fn moment(&mut self, what: MomentKind) {
        let at = self.seen.map_or(0, |now| now.wall);
        self.notify(Notice::History(Moment { at, what }));
    }

    fn names(&self, topics: &[TopicId]) -> Vec<String> {
        topics.iter().map(|id| self.roster.topic(*id).as_str().to_owned()).collect()
    }
}

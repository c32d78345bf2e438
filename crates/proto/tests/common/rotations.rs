//! Planned replacements are made one at a time (P3.9).

use genesys_notifications_proto::{ChannelStage, MomentKind};

use super::world::World;

/// Less than this before its channel or token ends, a replacement no longer waits for its turn: a minute, and what an answer
/// may have been under way.
const URGENT_MS: u64 = 105_000;

impl World {
    /// The machine says what it builds; nothing else tells a planned replacement from another one before its end.
    pub(crate) fn builds(&mut self, message: &str) {
        let Some((shard, why)) = message.split_once(": building a channel (") else { return };
        let Some(shard) = shard.strip_prefix("shard ").and_then(|shard| shard.parse::<u16>().ok()) else {
            return;
        };
        self.planned.remove(&shard);
        self.planned_now.remove(&shard);
        if why.starts_with("Planned(") {
            self.planned_now.insert(shard);
        }
    }

    /// A shard of which a link was lost or took over builds something else, if anything; that is not always said.
    pub(crate) fn changed_hands(&mut self, what: &MomentKind) {
        use ChannelStage::{Lost, Primary, Standby};
        if let MomentKind::Rotation { shard, .. }
        | MomentKind::Channel { shard, stage: Lost | Primary | Standby, .. } = what
        {
            self.planned.remove(shard);
        }
    }

    /// The machine has said all it had to say.
    pub(crate) fn review_rotations(&mut self) {
        if self.planned_now.is_empty() {
            return;
        }
        let channels = self.machine.stats(self.clock.now()).channels;
        let rotates = |shard: &u16| channels.iter().any(|of| of.shard == *shard && of.rotating);
        self.planned.retain(rotates);
        self.planned.append(&mut self.planned_now);
        let is_exempt = self.weather.scale < 100 || self.is_urgent();
        let planned = &self.planned;
        assert!(
            planned.len() == 1 || is_exempt,
            "P3.9: shards {planned:?} are replaced as planned at one time"
        );
    }

    /// Whether one of our channels or its token ends soon.
    fn is_urgent(&self) -> bool {
        // A wall clock that was set forward looks like sleep, and what was made before seems that much older.
        let seems_older = |made: u64| -> u64 {
            self.wall_steps.iter().filter(|(at, _)| *at >= made).map(|(_, ms)| *ms).sum()
        };
        let is_soon = |ends_at: u64, life: u64| {
            ends_at <= self.clock.truth + URGENT_MS + seems_older(ends_at.saturating_sub(life))
        };
        let channels = self.channel_of.values().filter_map(|key| self.service.channels.get(key));
        channels.into_iter().any(|channel| {
            let token = self.service.tokens.get(&channel.owner);
            is_soon(channel.ends_at, self.service.channel_life)
                || token.is_none_or(|token| is_soon(token.ends_at, self.service.token_life))
        })
    }
}

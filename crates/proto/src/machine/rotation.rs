//! When a successor is built, and for which link: a standby that is missing, or a link that is to be replaced (P3).

use crate::config::{Auth, Continuity, Renewal};
use crate::io::Generation;
use crate::link::Link;
use crate::notice::Reason;
use crate::roster::ShardIndex;
use crate::shard::{Purpose, Role};

use super::{Context, Machine};

/// A planned replacement no longer waits for its turn so long before its channel or token ends, if not sooner.
const URGENT_MS: u64 = 60_000;

impl Machine {
    pub(super) fn drive_rotation(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let now = cx.now.mono;
        if self.shards[index].successor.is_some() || !self.shards[index].is_live() {
            return;
        }
        let Some((role, purpose)) = self.successor_due(index, now) else { return };
        let retry_at = self.shards[index].rotation_retry.at;
        if retry_at > now {
            return self.wake_at(retry_at);
        }
        if !self.has_its_turn(index, role, purpose, now) {
            return;
        }
        if role == Role::Primary && self.has_standby() {
            self.swap(index);
        }
        self.log("info", format!("shard {index}: building a channel ({purpose:?})"));
        // A little before it subscribes: its first events may be later copies than that.
        self.expect_copies(index, now);
        let link = self.new_link(index);
        let shard = &mut self.shards[index];
        (shard.successor, shard.purpose) = (Some(link), Some(purpose));
    }

    pub(super) fn has_standby(&self) -> bool {
        self.config.continuity == Continuity::Standby
    }

    /// For which link a successor is to be built.
    fn successor_due(&mut self, index: ShardIndex, now: u64) -> Option<(Role, Purpose)> {
        if self.has_standby() && self.shards[index].standby.is_none() {
            return Some((Role::Standby, Purpose::Missing));
        }
        let primary = self.replacement_due(index, Role::Primary, now);
        let standby = self.replacement_due(index, Role::Standby, now);
        let due = |role: Role, purpose: Option<Purpose>| purpose.map(|purpose| (role, purpose));
        match (primary, standby) {
            (Some(Purpose::Forced(_)), Some(Purpose::Planned(_)) | None) => due(Role::Primary, primary),
            (_, Some(_)) => due(Role::Standby, standby),
            (_, None) => due(Role::Primary, primary),
        }
    }

    fn replacement_due(&mut self, index: ShardIndex, role: Role, now: u64) -> Option<Purpose> {
        let shard = &self.shards[index];
        let link = shard.link(role)?;
        if let Some(reason) = link.doomed {
            return Some(Purpose::Forced(reason));
        }
        let channel = link.channel.as_ref()?;
        let (rotate_at, owner, token_at) = (channel.rotate_at, channel.owner, shard.token_rotation_at);
        if now >= rotate_at {
            return Some(Purpose::Planned(Reason::ChannelExpiring));
        }
        if let Some(direct) = &self.config.direct {
            let goes_with_token = direct.renewal == Renewal::Reconnect && direct.auth != Auth::None;
            if direct.lifetime_ms.is_some() {
                self.wake_at(rotate_at);
            }
            if !goes_with_token {
                return None;
            }
        } else {
            self.wake_at(rotate_at);
        }
        if self.tokens.current(now).is_some_and(|current| current > owner) {
            if self.tokens.ends_at(owner).is_none_or(|at| at <= now) {
                return Some(Purpose::Forced(Reason::TokenRenewed));
            }
            if now >= token_at {
                return Some(Purpose::Planned(Reason::TokenRenewed));
            }
            self.wake_at(token_at);
        }
        None
    }

    /// Planned replacements are made one after the other, so that never two shards are on young channels only. Whatever can
    /// wait does while this client uses all the channels there may be.
    fn has_its_turn(&mut self, index: ShardIndex, role: Role, purpose: Purpose, now: u64) -> bool {
        let can_wait =
            matches!(purpose, Purpose::Planned(_) | Purpose::Missing | Purpose::Forced(Reason::Requested));
        let must_wait = can_wait && self.uses_all();
        if !matches!(purpose, Purpose::Planned(_)) {
            return !must_wait;
        }
        let others = self.shards.iter().enumerate().filter(|(other, _)| *other != index);
        let is_free = !others.into_iter().any(|(_, shard)| {
            shard.successor.is_some() && matches!(shard.purpose, Some(Purpose::Planned(_)))
        });
        if is_free && !must_wait {
            return true;
        }
        let token_at = self.shards[index].token_rotation_at;
        let urgent_at = self.shards[index].link(role).map_or(0, |link| self.urgent_at(link, token_at));
        if urgent_at > now {
            self.wake_at(urgent_at);
        }
        urgent_at <= now
    }

    /// When a replacement can wait no longer: half of what is left after its time has come, or a minute, before the end.
    fn urgent_at(&self, link: &Link, token_at: u64) -> u64 {
        let Some(channel) = &link.channel else { return 0 };
        let before = |due: u64, ends: u64| ends - (ends.saturating_sub(due) / 2).min(URGENT_MS);
        let by_channel = before(channel.rotate_at, channel.ends_at);
        let token_ends = |owner: Generation| self.tokens.ends_at(owner).map(|ends| before(token_at, ends));
        token_ends(channel.owner).map_or(by_channel, |by_token| by_channel.min(by_token))
    }
}

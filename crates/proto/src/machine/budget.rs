//! Channels are few and shared with other applications of the same client and user: they are counted before one is made,
//! and a channel of somebody else is never displaced for one that only stands by (P3).

use std::collections::VecDeque;

use crate::backoff::Retry;
use crate::failure::Failure;
use crate::io::{ChannelsInUse, Effect};
use crate::link::Link;
use crate::notice::{ClientState, ErrorCode, ErrorReport, Notice};
use crate::roster::ShardIndex;
use crate::shard::{Purpose, Role, Shard};
use crate::time::Now;

use super::{Context, Machine, What};

/// A count is believed for so long.
const FRESH_MS: u64 = 60_000;
/// A count is waited for no longer: a channel is made without it.
pub(super) const COUNT_TIMEOUT_MS: u64 = 5_000;
/// Before a channel is refused they are counted again, unless that was done just now.
const RECOUNT_MS: u64 = 1_000;
/// That there are many channels is said this often.
const WARN_EVERY_MS: u64 = 60 * 60 * 1_000;

/// The life of a channel whose end was never told (documented).
const CHANNEL_LIFE_MS: u64 = 24 * 60 * 60 * 1_000;
/// More are not remembered: the service has no more.
const MOST_LINGERING: usize = 100;

/// The channels of this client and user, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Census {
    in_flight: bool,
    /// When they were counted last, or that failed.
    read_at: Option<u64>,
    /// What was counted; nothing if that failed.
    total: Option<usize>,
    /// Creations of our own that it does not hold.
    made_since: usize,
    /// When our own channels end that nobody uses any more: the service displaces such first.
    lingering: VecDeque<u64>,
    /// All are in use: not counted again before.
    blocked_until: Option<u64>,
    retry: Retry,
    warned_at: Option<u64>,
}

impl Census {
    pub(super) fn in_use(&self) -> Option<usize> {
        self.total.map(|total| total + self.made_since)
    }

    /// One is about to be made.
    pub(super) fn making(&mut self, limit: usize) {
        if self.in_use().is_some_and(|in_use| in_use >= limit) {
            self.lingering.pop_front();
        } else {
            self.made_since += 1;
        }
    }

    /// It was not made, or nobody knows: without an answer it may be there, and is of no use.
    pub(super) fn not_made(&mut self, now: u64, failure: &Failure) {
        self.made_since = self.made_since.saturating_sub(1);
        if failure.status().is_none() {
            self.lingering.push_back(now + CHANNEL_LIFE_MS);
        }
    }

    /// The monotonic clock stood still for so long, the channels' lives did not.
    pub(super) fn age(&mut self, slept: u64) {
        self.lingering.iter_mut().for_each(|ends_at| *ends_at = ends_at.saturating_sub(slept));
    }
}

impl Machine {
    /// Whether a channel may be made, as far as others are concerned; if that is not known, it is found out.
    ///
    /// What takes the place of a channel that was lost is made at once. A first channel, and one that is to replace
    /// another, is made whatever the count says: a count does not tell those in use from those that were left behind,
    /// which the service displaces first. One that only stands by waits until there is room for certain.
    pub(super) fn has_room(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) -> bool {
        let now = cx.now.mono;
        let shard = &self.shards[index];
        if role == Role::Primary && shard.was_live {
            return true;
        }
        let is_extra = role != Role::Primary && shard.purpose == Some(Purpose::Missing);
        if self.census.in_flight {
            return false;
        }
        if let Some(at) = self.census.blocked_until.filter(|at| is_extra && *at > now) {
            let has_lingering = self.has_lingering(now);
            if !has_lingering {
                self.wake_at(at);
            }
            return has_lingering;
        }
        if self.census.read_at.is_none_or(|at| now >= at + FRESH_MS) {
            self.count_channels(cx);
            return false;
        }
        let limit = self.config.limits.channels;
        let has_room = self.census.in_use().is_none_or(|in_use| in_use < limit);
        if has_room || !is_extra || self.has_lingering(now) {
            return true;
        }
        let is_guess = self.census.made_since > 0;
        if is_guess && self.census.read_at.is_some_and(|at| now >= at + RECOUNT_MS) {
            // Of those made since the count some may have ended.
            self.count_channels(cx);
        } else {
            self.refuse_channel(cx);
        }
        false
    }

    /// Whether a channel more would displace one that this client uses: then those that drain, or are about to replace others,
    /// come first.
    pub(super) fn uses_all(&self) -> bool {
        if self.config.direct.is_some() {
            return false;
        }
        // A successor may still wait for the count, or for the governor: it will need a channel all the same.
        let is_used = |role: Role, link: &Link| {
            role == Role::Successor
                || link.creating.is_some()
                || link.channel.as_ref().is_some_and(|channel| !channel.gone)
        };
        let links = self.shards.iter().flat_map(Shard::links);
        let used: Vec<Role> =
            links.filter(|(role, link)| is_used(*role, link)).map(|(role, _)| role).collect();
        let passing = used.iter().any(|role| matches!(role, Role::Successor | Role::Draining));
        passing && used.len() >= self.config.limits.channels
    }

    /// Whether the topics leave a channel for replacements.
    pub(super) fn has_a_spare(&self) -> bool {
        self.config.direct.is_some() || self.roster.shards_in_use() < self.config.limits.channels
    }

    pub(super) fn warn_of_no_spare(&mut self) {
        let limits = &self.config.limits;
        let message = format!(
            "the topics need all {} channels: one that is replaced displaces another",
            limits.channels
        );
        let spared = limits.channels.saturating_sub(1) * limits.topics_per_channel;
        let hint =
            format!("Want at most {spared} topics with one OAuth client: use a second one for the rest.");
        self.log("warn", message.clone());
        self.notify(Notice::Error(ErrorReport { hint: Some(hint), ..too_many(message) }));
    }

    fn has_lingering(&mut self, now: u64) -> bool {
        let lingering = &mut self.census.lingering;
        lingering.drain(..lingering.len().saturating_sub(MOST_LINGERING));
        lingering.retain(|ends_at| *ends_at > now);
        !self.census.lingering.is_empty()
    }

    fn count_channels(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let Some(generation) = self.tokens.current(now) else { return };
        if let Err(at) = cx.governor.call(now) {
            return self.attempt_at(at);
        }
        self.census.in_flight = true;
        self.census.blocked_until = None;
        self.start(now, What::Count, Effect::ListChannels { generation });
    }

    pub(super) fn channels_counted(&mut self, cx: &mut Context<'_>, result: Result<ChannelsInUse, Failure>) {
        let now = cx.now.mono;
        self.dirty = true;
        let under_way =
            self.shards.iter().flat_map(|shard| shard.links()).filter(|(_, link)| link.creating.is_some());
        let made_since = under_way.count();
        let census = &mut self.census;
        (census.in_flight, census.read_at, census.made_since) = (false, Some(now), made_since);
        // Unknown is not full: whoever may not list channels may still make one.
        census.total = result.ok().map(|channels| channels.total);
        let (limits, Some(total)) = (&self.config.limits, census.total) else { return };
        if total < limits.channels {
            census.retry.reset();
        }
        if total < limits.channels_warn_from || census.warned_at.is_some_and(|at| now < at + WARN_EVERY_MS) {
            return;
        }
        census.warned_at = Some(now);
        let message = self.many_channels(total);
        self.log("warn", message.clone());
        self.notify(Notice::Error(too_many(message)));
    }

    fn many_channels(&self, in_use: usize) -> String {
        let ours =
            self.shards.iter().flat_map(|shard| shard.links()).filter(|(_, link)| link.channel.is_some());
        let (ours, limit) = (ours.count(), self.config.limits.channels);
        format!("{in_use} of {limit} channels are in use, {ours} of them by this client")
    }

    fn refuse_channel(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let suspended = self.state == ClientState::Suspended;
        let census = &mut self.census;
        census.retry.again(&self.config.backoff, suspended, now, cx.random);
        let at = census.read_at.unwrap_or(now).max(now) + FRESH_MS + (census.retry.at - now);
        census.blocked_until = Some(at);
        let message = self.many_channels(self.census.in_use().unwrap_or_default());
        self.notify(Notice::Error(too_many(format!("{message}: there is none left to stand by"))));
        self.wake_at(at);
    }

    /// A link is given up: its channel lasts until its end, perhaps only until its token's; as that is not known, it is
    /// not counted on.
    pub(super) fn lingers(&mut self, link: &Link) {
        let channel = link.channel.as_ref().filter(|channel| !channel.gone && link.handshake.is_none());
        if let Some(channel) = channel {
            self.census.lingering.push_back(channel.ends_at);
        }
    }

    /// The process that ended had channels, and nobody uses them any more: at least one for each shard that was live.
    pub(super) fn left_behind(&mut self, now: Now, ended_at: u64) {
        let live = |shard: &&Shard| shard.wanted.iter().any(|id| self.ledger.is_blind(*id));
        let shards = self.shards.iter().filter(live).count();
        let each = if self.has_standby() { 2 } else { 1 };
        let left = CHANNEL_LIFE_MS.saturating_sub(now.wall.saturating_sub(ended_at));
        self.census.lingering.extend(std::iter::repeat_n(now.mono + left, shards * each));
    }
}

fn too_many(message: String) -> ErrorReport {
    let hint = "close applications that use the same OAuth client, or give each its own; channels nobody uses end with \
                their token";
    ErrorReport {
        hint: Some(hint.into()),
        retryable: true,
        ..ErrorReport::new(ErrorCode::TooManyChannels, message)
    }
}

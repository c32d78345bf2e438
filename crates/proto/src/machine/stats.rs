//! Figures for `stats()`.

use serde::Serialize;

use crate::handshake::Life;
use crate::link::Link;
use crate::notice::ClientState;
use crate::roster::Verdict;
use crate::time::Now;

use super::Machine;

/// Counters since the machine was made.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) events: u64,
    pub(super) duplicates: u64,
    pub(super) unwanted: u64,
    pub(super) unreadable: u64,
    pub(super) drops: u64,
    pub(super) rotations: u64,
    pub(super) token_requests: u64,
    pub(super) channel_creations: u64,
    pub(super) subscription_requests: u64,
    pub(super) queue_drops: u64,
    pub(super) clock_jumps: u64,
    pub(super) single_sided: u64,
    pub(super) audits: u64,
    pub(super) audit_mismatches: u64,
    pub(super) repositions: u64,
}

/// What the machine knows of itself at one moment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStats {
    /// The client's state.
    pub state: ClientState,
    /// Attempts since the last healthy period; 0 when connected.
    pub attempt: u32,
    /// Age of the youngest frame of the most silent link in use, in milliseconds; `null` without an open socket.
    pub last_frame_age_ms: Option<u64>,
    /// Milliseconds until the token in use ends; `null` without one.
    pub token_expires_in_ms: Option<u64>,
    /// The channels in use, one per shard.
    pub channels: Vec<ChannelStats>,
    /// Wanted topics by status.
    pub topics: TopicStats,
    /// Gaps.
    pub gaps: GapStats,
    /// Copies recognised and not delivered.
    pub duplicates: u64,
    /// Events for topics that are not wanted.
    pub unwanted: u64,
    /// Frames that could not be read.
    pub unreadable: u64,
    /// Live sockets that were lost.
    pub drops: u64,
    /// Channels replaced by overlap.
    pub rotations: u64,
    /// Token requests started.
    pub token_requests: u64,
    /// Channel creations started.
    pub channel_creations: u64,
    /// Subscription requests started.
    pub subscription_requests: u64,
    /// Times the clock jumped.
    pub clock_jumps: u64,
    /// Shards whose second channel is live; always 0 without `continuity: 'standby'`.
    pub standby_live: usize,
    /// Events that one channel brought and another, which carried the topic all the while, did not.
    pub single_sided: u64,
    /// How far apart copies of an event arrive; `null` until there was a copy.
    pub skew: Option<SkewStats>,
    /// Times a channel's list of subscriptions was read back.
    pub audits: u64,
    /// Times it was not what the service had confirmed.
    pub audit_mismatches: u64,
    /// Channels of this client and user that existed when they were last counted, those of other applications included;
    /// `null` until then.
    pub channels_in_use: Option<usize>,
    /// Of a direct endpoint; `null` with channels.
    pub direct: Option<DirectStats>,
}

/// A direct endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectStats {
    /// How far the connection in use has come.
    pub life: Life,
    /// The position of the last event, from which the next connection goes on; `null` without one.
    pub position: Option<String>,
    /// Outages that cost nothing, because the stream was resumed.
    pub resumed: u64,
    /// Times the server did not know the position.
    pub repositions: u64,
}

/// How far apart the copies of an event arrive on two channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkewStats {
    /// Half of the copies came within this, in milliseconds.
    pub p50_ms: u64,
    /// 99 of 100.
    pub p99_ms: u64,
    /// 999 of 1,000.
    pub p999_ms: u64,
    /// All of them.
    pub max_ms: u64,
    /// Copies measured.
    pub pairs: u64,
}

/// A channel in use.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelStats {
    /// Its shard.
    pub shard: u16,
    /// Whether it is proven alive.
    pub live: bool,
    /// Whether a successor is being built.
    pub rotating: bool,
    /// Milliseconds until it ends; `null` while there is none.
    pub expires_in_ms: Option<u64>,
    /// Topics it carries.
    pub topics: usize,
}

/// Wanted topics by status.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicStats {
    /// All of them.
    pub wanted: usize,
    /// Confirmed.
    pub subscribed: usize,
    /// Not yet decided.
    pub pending: usize,
    /// Refused.
    pub rejected: usize,
}

/// Gaps.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GapStats {
    /// Recorded so far, open ones included.
    pub total: u64,
    /// Open now.
    pub open: usize,
    /// Sum of the lengths of the closed ones, in milliseconds.
    pub closed_ms: u64,
    /// The last closed ones, by how far they were filled from the REST API.
    pub kept: KeptGaps,
}

/// The closed gaps that are still known, by how far they were filled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptGaps {
    /// Not at all.
    pub no: usize,
    /// In part.
    pub partial: usize,
    /// As far as the API knows.
    pub yes: usize,
}

impl Machine {
    /// Figures at this moment.
    pub fn stats(&self, now: Now) -> MachineStats {
        let mut topics = TopicStats::default();
        for id in self.roster.wanted().filter(|id| !self.is_everything(*id)) {
            topics.wanted += 1;
            match self.roster.verdict(id) {
                Verdict::Pending => topics.pending += 1,
                Verdict::Subscribed => topics.subscribed += 1,
                Verdict::Rejected(_) => topics.rejected += 1,
            }
        }
        let open = self.shards.iter().filter_map(|shard| shard.primary.as_ref()?.open());
        let counts = &self.counts;
        MachineStats {
            state: self.state,
            attempt: self.attempt(),
            last_frame_age_ms: open.map(|open| now.mono.saturating_sub(open.last.mono)).max(),
            token_expires_in_ms: self
                .tokens
                .current(now.mono)
                .and_then(|_| self.tokens.current_ends_at())
                .map(|at| at.saturating_sub(now.mono)),
            channels: self.channel_stats(now),
            topics,
            gaps: GapStats {
                total: self.ledger.recorded,
                open: self.ledger.open_count(),
                closed_ms: self.ledger.closed_ms,
                kept: self.kept_gaps(),
            },
            duplicates: counts.duplicates,
            unwanted: counts.unwanted,
            unreadable: counts.unreadable,
            drops: counts.drops,
            rotations: counts.rotations,
            token_requests: counts.token_requests,
            channel_creations: counts.channel_creations,
            subscription_requests: counts.subscription_requests,
            clock_jumps: counts.clock_jumps,
            standby_live: self.standby_live(),
            single_sided: counts.single_sided,
            skew: self.likeness.skew.stats(),
            audits: counts.audits,
            audit_mismatches: counts.audit_mismatches,
            channels_in_use: self.census.in_use(),
            direct: self.direct_stats(now),
        }
    }

    fn kept_gaps(&self) -> KeptGaps {
        let [no, partial, yes] = self.ledger.kept();
        KeptGaps { no, partial, yes }
    }

    fn standby_live(&self) -> usize {
        self.shards.iter().filter(|shard| shard.standby.as_ref().is_some_and(Link::is_live)).count()
    }

    fn channel_stats(&self, now: Now) -> Vec<ChannelStats> {
        let shards = self.shards.iter().enumerate().filter(|(_, shard)| shard.primary.is_some());
        shards
            .map(|(index, shard)| {
                let link = shard.primary.as_ref();
                let channel = link.and_then(|link| link.channel.as_ref());
                ChannelStats {
                    shard: index as u16,
                    live: shard.is_live(),
                    rotating: shard.successor.is_some(),
                    expires_in_ms: channel
                        .filter(|channel| channel.ends_at != u64::MAX)
                        .map(|channel| channel.ends_at.saturating_sub(now.mono)),
                    topics: link.map_or(0, |link| link.subscriptions.confirmed.len()),
                }
            })
            .collect()
    }
}

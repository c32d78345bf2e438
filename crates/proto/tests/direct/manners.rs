//! What kind of server it is, and what the client is told of it, by seed.

use genesys_notifications_proto::{
    Auth, BackoffConfig, Config, Continuity, Direct, Initial, Limits, Random, Renewal, Resume, SplitMix,
};

/// Topics that the server has.
pub(crate) const TOPICS: u8 = 4;

/// With what the server refuses or ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Upgrade,
    Frame,
    Close(u16),
    /// Only for tokens that end: nothing happens.
    Ignore,
}

/// How a stream can be resumed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resuming {
    /// The server repeats the events of the position itself.
    pub(crate) is_inclusive: bool,
    /// What the client is told of that.
    pub(crate) told: Option<bool>,
    /// Positions are times, this coarse; nothing if no two events share one.
    pub(crate) coarse_ms: Option<u64>,
    /// Older positions are refused.
    pub(crate) retention_ms: u64,
    pub(crate) stale: Way,
    /// One event in so many has no position.
    pub(crate) bare_one_in: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Manners {
    pub(crate) auth: Auth,
    /// It says when it is ready.
    pub(crate) says_ready: bool,
    pub(crate) renews_by_message: bool,
    /// It sends the topics that are asked for; otherwise everything.
    pub(crate) subscribes: bool,
    /// The user names topics.
    pub(crate) names_topics: bool,
    pub(crate) resuming: Option<Resuming>,
    /// It sends the past of each topic as soon as that is asked for, one after the other.
    pub(crate) replays_by_topic: bool,
    pub(crate) has_cursor: bool,
    pub(crate) has_ids: bool,
    /// Events come in arrays.
    pub(crate) in_batches: bool,
    /// Some events are the same as another one, of the same position.
    pub(crate) has_twins: bool,
    /// The user leaves out some events.
    pub(crate) filters: bool,
    pub(crate) token_life_ms: u64,
    pub(crate) bad_token: Way,
    pub(crate) token_end: Way,
    pub(crate) closes_every_ms: Option<u64>,
    pub(crate) latency_ms: (u64, u64),
    pub(crate) publish_every_ms: u64,
    pub(crate) chaos_every_ms: u64,
    pub(crate) continuity: Continuity,
}

impl Manners {
    pub(crate) fn of(dice: &mut SplitMix) -> Self {
        let auth =
            one(dice, &[Auth::Opening, Auth::Opening, Auth::FirstMessage, Auth::FirstMessage, Auth::None]);
        let by_message = auth == Auth::FirstMessage;
        let closes = [Way::Close(1000), Way::Close(1008), Way::Close(4401)];
        let subscribes = dice.up_to(1) == 0;
        let resuming = (dice.up_to(3) > 0).then(|| Resuming::of(dice));
        let has_cursor = resuming.is_some() && dice.up_to(2) > 0;
        Self {
            auth,
            replays_by_topic: subscribes && !has_cursor && dice.up_to(1) == 0,
            says_ready: by_message || dice.up_to(3) == 0,
            renews_by_message: by_message && dice.up_to(1) == 0,
            subscribes,
            names_topics: subscribes || dice.up_to(1) == 0,
            has_cursor,
            has_ids: dice.up_to(1) == 0,
            in_batches: dice.up_to(2) == 0,
            has_twins: resuming.is_some_and(|it| it.coarse_ms.is_some()) && dice.up_to(2) == 0,
            resuming,
            filters: dice.up_to(2) == 0,
            token_life_ms: one(dice, &[30_000, 300_000, 1_800_000]),
            bad_token: match by_message {
                true => one(dice, &[Way::Frame, Way::Close(4401), Way::Close(1008)]),
                false => one(dice, &[Way::Upgrade, Way::Upgrade, Way::Frame, Way::Close(4401)]),
            },
            token_end: one(dice, &[closes[0], closes[1], closes[2], Way::Frame, Way::Ignore]),
            closes_every_ms: (dice.up_to(2) == 0).then_some(60_000),
            latency_ms: one(dice, &[(5, 40), (20, 300)]),
            publish_every_ms: one(dice, &[700, 3_000]),
            chaos_every_ms: one(dice, &[7_000, 40_000, 90_000]),
            continuity: one(
                dice,
                &[Continuity::Reconnect, Continuity::Overlap, Continuity::Overlap, Continuity::Standby],
            ),
        }
    }

    pub(crate) fn config(&self) -> Config {
        let resume = self.resuming.map(|it| Resume { initial: Initial::Now, inclusive: it.told });
        let direct = Direct {
            auth: self.auth,
            ready_timeout_ms: self.says_ready.then_some(10_000),
            lifetime_ms: None,
            subscribes: self.subscribes,
            renewal: if self.renews_by_message { Renewal::Message } else { Renewal::Reconnect },
            resume,
            has_cursor: self.has_cursor,
            survives: self.has_cursor,
        };
        let limits = Limits { topics_per_channel: usize::MAX, channels: 1, ..Limits::default() };
        let backoff = BackoffConfig::default();
        Config { direct: Some(direct), limits, backoff, continuity: self.continuity, ..Config::default() }
    }
}

impl Resuming {
    fn of(dice: &mut SplitMix) -> Self {
        let is_inclusive = dice.up_to(1) == 0;
        let coarse_ms = (dice.up_to(2) > 0).then(|| one(dice, &[1, 1_000, 5_000]));
        Self {
            is_inclusive,
            told: (dice.up_to(1) == 0).then_some(is_inclusive),
            coarse_ms,
            retention_ms: one(dice, &[120_000, 3_600_000]),
            stale: one(dice, &[Way::Upgrade, Way::Upgrade, Way::Frame, Way::Close(4400)]),
            bare_one_in: (coarse_ms.is_none() && dice.up_to(1) == 0).then_some(8),
        }
    }
}

pub(crate) fn one<T: Copy>(dice: &mut SplitMix, of: &[T]) -> T {
    of[dice.up_to(of.len() as u64 - 1) as usize]
}

//! How the world treats requests and frames.

use std::collections::VecDeque;

use genesys_notifications_proto::{Effect, Failure, Outcome};

/// What becomes of one request.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    Serve,
    /// The service answers this instead.
    Fail(Failure),
    /// It never reaches the service.
    Lose,
    /// It is carried out, but its answer is lost.
    LoseAnswer,
    /// It is carried out, and answered this much later.
    Late(u64),
}

/// The doors of the service, as the machine numbers its floors.
pub(crate) const LOGIN: usize = 0;
pub(crate) const API: usize = 1;
pub(crate) const STREAMING: usize = 2;

/// How the world treats its inhabitants.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// One-way latencies, low and high.
    pub(crate) rest_ms: (u64, u64),
    pub(crate) socket_ms: (u64, u64),
    /// Events come up to so much later on one channel than on another.
    pub(crate) most_skew_ms: u64,
    pub(crate) beat_ms: u64,
    pub(crate) answers_pings: bool,
    /// What becomes of the next requests, by kind; then chance decides.
    pub(crate) script: [VecDeque<Fate>; 6],
    /// Of a thousand requests, so many meet a misfortune.
    pub(crate) misfortune: u64,
    /// Of a thousand results, so many are repeated or forged.
    pub(crate) forgery: u64,
    /// Doors that are shut until then, and how.
    pub(crate) shut: [(u64, Option<Failure>); 3],
    /// The token endpoint refuses the credentials.
    pub(crate) refuses_credentials: bool,
    /// Of a thousand new channels, so many are not known to the streaming host at first.
    pub(crate) young_404: u64,
    /// Every REST answer says that the window is used up, this long.
    pub(crate) publish_every_ms: u64,
    /// The same while something is about to happen or has just happened; 0 if it makes no difference.
    pub(crate) burst_every_ms: u64,
    pub(crate) longest_wait_ms: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            rest_ms: (20, 20),
            socket_ms: (10, 10),
            most_skew_ms: 0,
            beat_ms: 30_000,
            answers_pings: true,
            script: Default::default(),
            misfortune: 0,
            forgery: 0,
            shut: [(0, None), (0, None), (0, None)],
            refuses_credentials: false,
            young_404: 0,
            publish_every_ms: 0,
            burst_every_ms: 0,
            longest_wait_ms: 120_000,
        }
    }
}

/// Index of a kind in `Manners::script`.
pub(crate) fn kind(effect: &Effect) -> usize {
    match effect {
        Effect::FetchToken { .. } => 0,
        Effect::CreateChannel { .. } => 1,
        Effect::Subscribe { .. } => 2,
        Effect::OpenSocket { .. } => 3,
        Effect::ListChannels { .. } => 4,
        Effect::ListSubscriptions { .. } => 5,
        Effect::Connect { .. } | Effect::LoadCursor => unreachable!("this world has channels only"),
    }
}

pub(crate) fn failed(kind: usize, failure: Failure) -> Outcome {
    match kind {
        0 => Outcome::Token(Err(failure)),
        1 => Outcome::Channel(Err(failure)),
        2 => Outcome::Subscriptions(Err(failure)),
        3 => Outcome::Socket(Err(failure)),
        4 => Outcome::Channels(Err(failure)),
        _ => Outcome::Listed(Err(failure)),
    }
}

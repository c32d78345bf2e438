//! The access token: one request in flight, renewal before the end, one forced renewal per refused generation.

use crate::backoff::Retry;
use crate::config::Config;
use crate::io::{Generation, TokenReason};
use crate::random::Random;

/// What the service gives when it does not say (its documented default for OAuth clients).
const DEFAULT_LIFE_MS: u64 = 24 * 60 * 60 * 1_000;
/// A token that ends sooner is worth no more than a failure: asking for the next at once would never end.
const SHORTEST_LIFE_MS: u64 = 1_000;
/// Renewal comes up to this part of the life earlier than the fraction says, so that a fleet does not renew as one.
const JITTER_FRACTION: f64 = 0.05;
/// A direct endpoint may accept a connection first and refuse its token a moment later.
const SETTLED_MS: u64 = 10_000;

/// The tokens of one client. The driver holds their texts, by generation.
#[derive(Debug)]
pub(crate) struct Tokens {
    current: Option<Held>,
    previous: Option<Held>,
    last_generation: u32,
    /// The generation that the one request in flight will create.
    request: Option<Generation>,
    pub(crate) retry: Retry,
    rejected: bool,
    /// Refusals in a row, by the token endpoint or by the API, and when they began.
    refusals: u32,
    refused_since: u64,
    refused_at: u64,
    /// Whether the API ever accepted a token of this client.
    proven: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    generation: Generation,
    renew_at: u64,
    ends_at: u64,
}

/// What the token needs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A request, for this reason.
    Fetch(TokenReason),
    /// Nothing before this time.
    Wait(u64),
    /// Nothing until the request in flight ends.
    InFlight,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self {
            current: None,
            previous: None,
            last_generation: 0,
            request: None,
            retry: Retry::default(),
            rejected: false,
            refusals: 0,
            refused_since: 0,
            refused_at: 0,
            proven: false,
        }
    }

    pub(crate) fn need(&self, now: u64) -> Need {
        if self.request.is_some() {
            return Need::InFlight;
        }
        let (due, why) = match self.current {
            Some(held) if now >= held.ends_at => (0, TokenReason::Expired),
            Some(held) => (held.renew_at, TokenReason::Renewal),
            None if self.rejected => (0, TokenReason::Rejected),
            None => (0, TokenReason::Initial),
        };
        match due.max(self.retry.at) {
            at if at > now => Need::Wait(at),
            _ => Need::Fetch(why),
        }
    }

    /// A request has started. Says which generation it will create.
    pub(crate) fn start(&mut self) -> Generation {
        self.last_generation += 1;
        let generation = Generation(self.last_generation);
        self.request = Some(generation);
        generation
    }

    pub(crate) fn granted(
        &mut self,
        now: u64,
        expires_in_ms: Option<u64>,
        config: &Config,
        random: &mut dyn Random,
    ) -> Option<Generation> {
        let generation = self.request.take()?;
        let life = expires_in_ms.unwrap_or(DEFAULT_LIFE_MS).max(1);
        let early = random.up_to((life as f64 * JITTER_FRACTION) as u64);
        let renew_in = ((life as f64 * config.rotation.token_renewal_fraction) as u64).saturating_sub(early);
        self.previous = self.current.take();
        self.current = Some(Held { generation, renew_at: now + renew_in, ends_at: now + life });
        if life < SHORTEST_LIFE_MS {
            self.retry.again(&config.backoff, false, now, random);
        } else if self.refusals == 0 {
            // Tokens that are refused one after the other come ever more slowly.
            self.retry.reset();
        }
        self.rejected = false;
        Some(generation)
    }

    pub(crate) fn request_failed(
        &mut self,
        config: &Config,
        suspended: bool,
        now: u64,
        random: &mut dyn Random,
    ) {
        self.request = None;
        self.retry.again(&config.backoff, suspended, now, random);
    }

    /// The monotonic clock stood still for so long, the tokens' lives did not.
    pub(crate) fn age(&mut self, slept: u64) {
        for held in [&mut self.previous, &mut self.current].into_iter().flatten() {
            held.renew_at = held.renew_at.saturating_sub(slept);
            held.ends_at = held.ends_at.saturating_sub(slept);
        }
    }

    /// The newest token, if it can be used.
    pub(crate) fn current(&self, now: u64) -> Option<Generation> {
        self.current.filter(|held| now < held.ends_at).map(|held| held.generation)
    }

    /// The newest token, if it lasts until a connection that is opened now is up: as long as that may take, or half of what is
    /// left of a token's life after its renewal was due.
    pub(crate) fn for_opening(&self, now: u64, connect_timeout_ms: u64) -> Option<Generation> {
        let lasts = |held: &Held| {
            let spare = (held.ends_at - held.renew_at) / 2;
            now.saturating_add(connect_timeout_ms.min(spare)) < held.ends_at
        };
        self.current.filter(lasts).map(|held| held.generation)
    }

    pub(crate) fn current_ends_at(&self) -> Option<u64> {
        self.current.map(|held| held.ends_at)
    }

    /// When a token ends; nothing if it is forgotten: it was refused, or replaced twice.
    pub(crate) fn ends_at(&self, generation: Generation) -> Option<u64> {
        let held = [self.previous, self.current].into_iter().flatten();
        held.filter(|held| held.generation == generation).map(|held| held.ends_at).next()
    }

    /// The token to use for a channel that was made with `owner`: its owner while that lives, else the newest. Whether
    /// a new token may manage an old token's channel is unknown.
    pub(crate) fn for_channel(&self, owner: Generation, now: u64) -> Option<Generation> {
        [self.previous, self.current]
            .into_iter()
            .flatten()
            .find(|held| held.generation == owner && now < held.ends_at)
            .map(|held| held.generation)
            .or_else(|| self.current(now))
    }

    /// The API refused this generation, or the service revoked it. A 401 for an older one forces nothing: that token is
    /// only forgotten.
    pub(crate) fn refused(
        &mut self,
        generation: Generation,
        config: &Config,
        now: u64,
        random: &mut dyn Random,
    ) {
        if self.previous.is_some_and(|held| held.generation == generation) {
            self.previous = None;
        }
        if self.current.is_some_and(|held| held.generation == generation) {
            self.current = None;
            self.rejected = true;
            // The first renewal is at once; a fresh token that is refused as well must not make a storm.
            if self.refusals > 0 {
                self.retry.again(&config.backoff, false, now, random);
            }
            self.note_refusal(now);
        }
    }

    pub(crate) fn note_refusal(&mut self, now: u64) {
        if self.refusals == 0 {
            self.refused_since = now;
        }
        self.refused_at = now;
        self.refusals += 1;
    }

    /// The API accepted a token.
    pub(crate) fn accepted(&mut self) {
        self.proven = true;
        if self.refusals > 0 {
            self.refusals = 0;
            self.retry.reset();
        }
    }

    /// Whether a token was refused since one was last accepted.
    pub(crate) fn was_refused(&self) -> bool {
        self.refusals > 0
    }

    /// A connection that was opened with a token works. Refusals of a moment ago count on.
    pub(crate) fn works(&mut self, now: u64) {
        self.proven = true;
        if now >= self.refused_at.saturating_add(SETTLED_MS) {
            self.accepted();
        }
    }

    /// Whether the API ever accepted a token of this client.
    pub(crate) fn has_proven(&self) -> bool {
        self.proven
    }

    /// Whether refusals have gone on for so long that retrying cannot mend them. Credentials that once worked are given
    /// the time of an outage; ones that never did fail at the first refusal of a renewed token.
    pub(crate) fn hopeless(&self, config: &Config, now: u64) -> bool {
        if self.proven {
            self.refusals >= 5 && now.saturating_sub(self.refused_since) >= config.limits.suspend_after_ms
        } else {
            self.refusals >= 2
        }
    }

    /// Whether a token or its refusal decides: with neither a token nor proof, one refusal by the endpoint is enough.
    pub(crate) fn endpoint_refusal_is_final(&self, config: &Config, now: u64) -> bool {
        self.current(now).is_none() && (!self.proven || self.hopeless(config, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix;

    fn granted(life: Option<u64>) -> Tokens {
        let mut tokens = Tokens::new();
        tokens.start();
        tokens.granted(1_000, life, &Config::default(), &mut SplitMix::new(3));
        tokens
    }

    #[test]
    fn renewal_is_due_at_four_fifths_of_the_life_with_a_little_jitter() {
        for life in [3_000, 300_000, 86_400_000, 172_800_000_u64] {
            let tokens = granted(Some(life));
            let Need::Wait(at) = tokens.need(1_000) else { panic!() };
            let part = (at - 1_000) as f64 / life as f64;
            assert!((0.749..=0.8).contains(&part), "{part}");
            assert_eq!(tokens.need(1_000 + life), Need::Fetch(TokenReason::Expired));
        }
    }

    #[test]
    fn one_request_at_a_time() {
        let mut tokens = Tokens::new();
        assert_eq!(tokens.need(0), Need::Fetch(TokenReason::Initial));
        tokens.start();
        assert_eq!(tokens.need(0), Need::InFlight);
    }

    #[test]
    fn a_failed_renewal_leaves_the_old_token_serving() {
        let mut tokens = granted(Some(10_000));
        tokens.start();
        tokens.request_failed(&Config::default(), false, 9_000, &mut SplitMix::new(1));
        assert_eq!(tokens.current(9_000), Some(Generation(1)));
        assert!(matches!(tokens.need(9_000), Need::Wait(at) if at <= 9_250));
        assert_eq!(tokens.current(11_000), None);
    }

    #[test]
    fn a_refusal_of_an_old_generation_renews_nothing() {
        let (config, mut random) = (Config::default(), SplitMix::new(1));
        let mut tokens = granted(Some(100_000));
        tokens.start();
        tokens.granted(2_000, Some(100_000), &config, &mut random);
        tokens.refused(Generation(1), &config, 3_000, &mut random);
        assert_eq!(tokens.current(3_000), Some(Generation(2)));
        assert_eq!(tokens.for_channel(Generation(1), 3_000), Some(Generation(2)));
        tokens.refused(Generation(2), &config, 3_000, &mut random);
        assert_eq!(tokens.need(3_000), Need::Fetch(TokenReason::Rejected));
    }

    #[test]
    fn credentials_that_once_worked_get_the_time_of_an_outage() {
        let config = Config::default();
        let mut tokens = granted(Some(1_000));
        tokens.note_refusal(0);
        assert!(!tokens.hopeless(&config, 0));
        tokens.note_refusal(0);
        assert!(tokens.hopeless(&config, 0));
        tokens.accepted();
        for _ in 0..5 {
            tokens.note_refusal(1_000);
        }
        assert!(!tokens.hopeless(&config, 100_000));
        assert!(tokens.hopeless(&config, 121_000));
    }
}

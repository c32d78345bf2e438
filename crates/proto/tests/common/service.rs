//! The service: tokens by generation, channels with owner and end, subscriptions with a verdict per topic.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use genesys_notifications_proto::{
    Failure, HttpFailure, NetworkKind, NewChannel, Rejection, SocketId, TopicResult, Verb,
};

/// How the service answers for topics it does not permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Each topic has its own result; a combined name succeeds beside rejections of its members.
    PerTopic,
    /// A combined name is rejected as a whole if one member is forbidden.
    PerName,
    /// One forbidden topic makes the whole call fail with this status.
    WholeCall(u16),
    /// Forbidden topics are not mentioned.
    LeftOut,
}

/// A token the service has given.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) ends_at: u64,
    pub(crate) revoked: bool,
}

/// The server's object.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) owner: u32,
    pub(crate) ends_at: u64,
    pub(crate) gone: bool,
    /// Of another application.
    pub(crate) foreign: bool,
    /// Events on it come so much later than on others.
    pub(crate) skew_ms: u64,
    pub(crate) topics: BTreeSet<u16>,
    pub(crate) carrier: Option<SocketId>,
}

/// The service's state.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) token_life: u64,
    pub(crate) channel_life: u64,
    pub(crate) most_channels: usize,
    pub(crate) channels_end_with_token: bool,
    pub(crate) only_the_owner_may_subscribe: bool,
    pub(crate) refusal: Refusal,
    /// Lists of subscriptions are empty, whatever they hold.
    pub(crate) unlisted: bool,
    pub(crate) tokens: BTreeMap<u32, Token>,
    pub(crate) channels: BTreeMap<u32, Channel>,
    pub(crate) forbidden: BTreeSet<u16>,
    pub(crate) names: Vec<String>,
    by_lower_case: HashMap<String, u16>,
    made: u32,
}

pub(crate) fn http(status: u16, code: &str) -> Failure {
    Failure::Http(HttpFailure { status, code: Some(code.to_owned()), ..HttpFailure::default() })
}

pub(crate) fn throttled(status: u16, retry_after_ms: u64) -> Failure {
    Failure::Http(HttpFailure { status, retry_after_ms: Some(retry_after_ms), ..HttpFailure::default() })
}

pub(crate) fn network(kind: NetworkKind) -> Failure {
    Failure::Network { kind, detail: "planned".into() }
}

pub(crate) fn oauth(status: u16, error: &str) -> Failure {
    Failure::OAuth {
        status,
        error: error.into(),
        description: None,
        retry_after_ms: None,
        correlation_id: None,
    }
}

impl Service {
    pub(crate) fn new() -> Self {
        Self {
            token_life: 24 * 3_600_000,
            channel_life: 24 * 3_600_000,
            most_channels: 20,
            channels_end_with_token: true,
            only_the_owner_may_subscribe: false,
            refusal: Refusal::PerTopic,
            unlisted: false,
            tokens: BTreeMap::new(),
            channels: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            names: Vec::new(),
            by_lower_case: HashMap::new(),
            made: 0,
        }
    }

    /// A topic's number, whatever its case.
    pub(crate) fn number(&mut self, name: &str) -> u16 {
        let lower = name.to_ascii_lowercase();
        let next = self.names.len() as u16;
        let number = *self.by_lower_case.entry(lower).or_insert(next);
        if number == next {
            self.names.push(name.to_owned());
        }
        number
    }

    pub(crate) fn token_is_good(&self, generation: u32, now: u64) -> bool {
        self.tokens.get(&generation).is_some_and(|token| !token.revoked && now < token.ends_at)
    }

    /// Makes a channel. Says which other one had to go for it.
    pub(crate) fn create(
        &mut self,
        generation: u32,
        now: u64,
    ) -> Result<(u32, NewChannel, Option<u32>), Failure> {
        if !self.token_is_good(generation, now) {
            return Err(http(401, "bad.credentials"));
        }
        let alive: Vec<u32> = self.channels.iter().filter(|(_, c)| !c.gone).map(|(key, _)| *key).collect();
        let displaced = (alive.len() >= self.most_channels)
            .then(|| {
                let unconnected = alive.iter().find(|key| self.channels[key].carrier.is_none());
                unconnected.or(alive.first()).copied()
            })
            .flatten();
        self.made += 1;
        let name = format!("streaming-0-{}", self.made);
        let channel = Channel {
            name: name.clone(),
            owner: generation,
            ends_at: now + self.channel_life,
            gone: false,
            foreign: false,
            skew_ms: 0,
            topics: BTreeSet::new(),
            carrier: None,
        };
        self.channels.insert(self.made, channel);
        Ok((self.made, NewChannel { id: name, expires_in_ms: self.channel_life }, displaced))
    }

    /// How many channels there are.
    pub(crate) fn count(&self, generation: u32, now: u64) -> Result<usize, Failure> {
        if !self.token_is_good(generation, now) {
            return Err(http(401, "bad.credentials"));
        }
        Ok(self.channels.values().filter(|channel| !channel.gone).count())
    }

    /// A channel's list.
    pub(crate) fn list(&self, key: u32, generation: u32, now: u64) -> Result<Vec<String>, Failure> {
        if !self.token_is_good(generation, now) {
            return Err(http(401, "bad.credentials"));
        }
        let Some(channel) = self.channels.get(&key).filter(|channel| !channel.gone) else {
            return Err(http(404, "not.found"));
        };
        if self.unlisted {
            return Ok(Vec::new());
        }
        Ok(channel.topics.iter().map(|topic| self.names[usize::from(*topic)].clone()).collect())
    }

    /// Changes a channel's list.
    pub(crate) fn subscribe(
        &mut self,
        key: u32,
        generation: u32,
        verb: Verb,
        wires: &[String],
        now: u64,
    ) -> Result<Vec<TopicResult>, Failure> {
        if !self.token_is_good(generation, now) {
            return Err(http(401, "bad.credentials"));
        }
        let Some(channel) = self.channels.get(&key).filter(|channel| !channel.gone) else {
            return Err(http(404, "not.found"));
        };
        if self.only_the_owner_may_subscribe && channel.owner != generation {
            return Err(http(404, "not.found"));
        }
        let asked: Vec<Vec<u16>> = wires.iter().map(|wire| self.members(wire)).collect();
        let bad = asked.iter().flatten().any(|topic| self.forbidden.contains(topic));
        if let (true, Refusal::WholeCall(status)) = (bad, self.refusal) {
            return Err(http(status, "notification.invalid.topic"));
        }
        let (mut permitted, mut results) = (BTreeSet::new(), Vec::new());
        for (wire, members) in wires.iter().zip(asked) {
            let (refused, good): (Vec<u16>, Vec<u16>) =
                members.iter().partition(|topic| self.forbidden.contains(topic));
            let whole_is_refused =
                good.is_empty() || (self.refusal == Refusal::PerName && !refused.is_empty());
            if self.refusal == Refusal::LeftOut {
                permitted.extend(&good);
                let named = good.iter().map(|topic| self.names[usize::from(*topic)].clone());
                results.extend(named.map(|id| TopicResult { id, rejected: None }));
                continue;
            }
            if whole_is_refused {
                results.push(TopicResult { id: wire.clone(), rejected: Some(rejection()) });
                continue;
            }
            permitted.extend(&good);
            results.push(TopicResult { id: wire.clone(), rejected: None });
            results.extend(refused.iter().map(|topic| TopicResult {
                id: self.names[usize::from(*topic)].clone(),
                rejected: Some(rejection()),
            }));
        }
        if let Some(channel) = self.channels.get_mut(&key) {
            match verb {
                Verb::Replace => channel.topics = permitted,
                Verb::Add => channel.topics.extend(permitted),
                Verb::Clear => channel.topics.clear(),
            }
        }
        Ok(results)
    }

    /// The topics a name on the wire stands for.
    pub(crate) fn members(&mut self, wire: &str) -> Vec<u16> {
        match wire.split_once('?') {
            None => vec![self.number(wire)],
            Some((prefix, suffixes)) => {
                suffixes.split('&').map(|suffix| self.number(&format!("{prefix}.{suffix}"))).collect()
            }
        }
    }

    /// Forgets what is long over.
    pub(crate) fn tidy(&mut self) {
        self.channels.retain(|_, channel| !channel.gone || channel.carrier.is_some());
        while self.tokens.len() > 50 {
            self.tokens.pop_first();
        }
    }
}

fn rejection() -> Rejection {
    Rejection { reason: "forbidden".into(), missing_permissions: vec!["a:b:view".into()] }
}

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    channels::Subscription,
    options::{InvalidTopics, SimOptions},
    rest::ApiError,
    topics::{Catalogue, expand, matches},
};

/// How a list of topics changes what a channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Add,
    Replace,
}

/// The outcome of a subscription call: what the channel has afterwards, and the entities of the answer.
pub(crate) struct Decided {
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) entities: Vec<Value>,
}

enum Verdict {
    Granted(Vec<String>),
    Partly { granted: Vec<String>, refused: Vec<Refused> },
    Forbidden(Refused),
    Invalid,
    WrongTransport,
}

struct Refused {
    topic: String,
    missing: Vec<String>,
    divisioned: bool,
}

/// Topic names of a request's body, an array of `{id}`.
pub(crate) fn requested(body: &[u8]) -> Result<Vec<String>, ApiError> {
    #[derive(Deserialize)]
    struct ChannelTopic {
        id: String,
    }
    let topics: Vec<ChannelTopic> = serde_json::from_slice(body).map_err(|_| ApiError::bad_request())?;
    Ok(topics.into_iter().map(|topic| topic.id).collect())
}

/// Judges a whole call: without `ignore_errors` one bad topic fails it, and nothing changes.
pub(crate) fn decide(
    options: &SimOptions,
    held: &[Subscription],
    wanted: Vec<String>,
    change: Change,
    ignore_errors: bool,
) -> Result<Decided, ApiError> {
    let mut kept = Kept::new(if change == Change::Add { held } else { &[] });
    let mut entities = Vec::new();
    let mut unauthorized = None;
    for id in wanted {
        let verdict = judge(options, &id);
        let tolerated = ignore_errors && options.invalid_topics == InvalidTopics::Reject;
        match verdict {
            Verdict::Granted(granted) => {
                entities.push(permitted(&id));
                kept.hold(Subscription { id, granted });
            }
            Verdict::Partly { granted, refused } => {
                unauthorized = unauthorized.or(refused.first().map(Refused::error));
                entities.push(permitted(&id));
                entities.extend(refused.iter().map(Refused::entity));
                kept.hold(Subscription { id, granted });
            }
            Verdict::Forbidden(refused) => {
                unauthorized = unauthorized.or(Some(refused.error()));
                entities.push(refused.entity());
            }
            Verdict::Invalid if tolerated => entities.push(rejected(&id, INVALID_TEXT, &[])),
            Verdict::Invalid => return Err(ApiError::new(400, "notification.invalid.topic", INVALID_TEXT)),
            Verdict::WrongTransport if tolerated => entities.push(rejected(&id, TRANSPORT_TEXT, &[])),
            Verdict::WrongTransport => {
                return Err(ApiError::new(400, "notification.transport.not.allowed", TRANSPORT_TEXT));
            }
        }
    }
    if kept.subscriptions.len() > options.topics_per_channel {
        let code = "notification.subscription.too.many.subscriptions";
        return Err(ApiError::new(400, code, "Too many subscriptions"));
    }
    match unauthorized {
        Some(error) if !ignore_errors => Err(error),
        _ => Ok(Decided { subscriptions: kept.subscriptions, entities }),
    }
}

/// The entities of `GET subscriptions`.
pub(crate) fn listing(subscriptions: &[Subscription]) -> Vec<Value> {
    subscriptions.iter().map(|subscription| permitted(&subscription.id)).collect()
}

const INVALID_TEXT: &str = "The subscription topic is not valid.";
const TRANSPORT_TEXT: &str = "unable to subscribe, transport type not permitted.";
const UNAUTHORIZED_TEXT: &str = "Not authorized for this topic.";
const DIVISIONED_TEXT: &str = "No divisioned permissions for this topic.";

fn judge(options: &SimOptions, id: &str) -> Verdict {
    if id.chars().count() > options.topic_max_length {
        return Verdict::Invalid;
    }
    let Some(names) = expand(id) else { return Verdict::Invalid };
    if names.iter().any(|name| Catalogue::shared().find(name).is_none()) {
        return Verdict::Invalid;
    }
    if names.iter().any(|name| options.event_bridge_only.iter().any(|pattern| matches(pattern, name))) {
        return Verdict::WrongTransport;
    }
    let (mut granted, mut refused) = (Vec::new(), Vec::new());
    for name in names {
        match options.forbidden.iter().find(|forbidden| matches(&forbidden.topic, &name)) {
            None => granted.push(name),
            Some(forbidden) => refused.push(Refused {
                topic: name,
                missing: forbidden.missing_permissions.clone(),
                divisioned: forbidden.divisioned,
            }),
        }
    }
    match (granted.is_empty(), refused.is_empty()) {
        (_, true) => Verdict::Granted(granted),
        (false, false) => Verdict::Partly { granted, refused },
        (true, false) => {
            let missing: BTreeSet<_> = refused.iter().flat_map(|r| r.missing.clone()).collect();
            let missing = missing.into_iter().collect();
            let divisioned = refused.iter().all(|r| r.divisioned);
            Verdict::Forbidden(Refused { topic: id.to_owned(), missing, divisioned })
        }
    }
}

/// Subscriptions in order, each once.
struct Kept {
    subscriptions: Vec<Subscription>,
    positions: HashMap<String, usize>,
}

impl Kept {
    fn new(held: &[Subscription]) -> Self {
        let positions = held.iter().enumerate().map(|(i, held)| (held.id.clone(), i)).collect();
        Self { subscriptions: held.to_vec(), positions }
    }

    /// Subscribing twice is once; a later call replaces what was granted before.
    fn hold(&mut self, new: Subscription) {
        match self.positions.get(&new.id) {
            Some(&at) => self.subscriptions[at] = new,
            None => {
                self.positions.insert(new.id.clone(), self.subscriptions.len());
                self.subscriptions.push(new);
            }
        }
    }
}

impl Refused {
    fn error(&self) -> ApiError {
        if self.divisioned {
            return ApiError::new(403, "notification.unauthorized.divisioned.topic", DIVISIONED_TEXT);
        }
        ApiError::new(403, "notification.unauthorized.topic", UNAUTHORIZED_TEXT)
    }

    fn entity(&self) -> Value {
        let text = if self.divisioned { DIVISIONED_TEXT } else { UNAUTHORIZED_TEXT };
        rejected(&self.topic, text, &self.missing)
    }
}

fn permitted(id: &str) -> Value {
    json!({ "id": id, "state": "Permitted", "selfUri": self_uri(id) })
}

fn rejected(id: &str, reason: &str, missing: &[String]) -> Value {
    let mut entity =
        json!({ "id": id, "state": "Rejected", "rejectionReason": reason, "selfUri": self_uri(id) });
    if !missing.is_empty() {
        entity["missingPermissions"] = json!(missing);
    }
    entity
}

fn self_uri(id: &str) -> String {
    format!("/api/v2/notifications/availabletopics/{id}")
}

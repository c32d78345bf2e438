use genesys_notifications_client::{OptionError, Topic};
use genesys_notifications_proto::pack;
use napi_derive::napi;
use serde::Serialize;

use crate::error::{Result, invalid, json};

/// Topics per channel and characters per combined topic, as the service allows them.
const TOPICS_PER_CHANNEL: usize = 1_000;
const COMBINED_CHARS: usize = 200;

/// The single topics that names, possibly combined, stand for.
#[napi(catch_unwind)]
pub fn expand_topics(names: Vec<String>) -> Result<Vec<String>> {
    Ok(expand(&names)?.iter().map(|topic| topic.as_str().to_owned()).collect())
}

/// How the client would subscribe to topics, as JSON.
#[napi(catch_unwind)]
pub fn plan_topics(names: Vec<String>) -> Result<String> {
    let mut topics = expand(&names)?;
    topics.sort();
    topics.dedup();
    let packed = pack(&topics, COMBINED_CHARS);
    let channels = packed.len().div_ceil(TOPICS_PER_CHANNEL);
    json(&Plan {
        topics: topics.len(),
        channels,
        // A token, then for each channel its creation and its subscriptions.
        requests: 1 + 2 * channels,
        names: packed.into_iter().map(|packed| packed.wire).collect(),
    })
}

#[derive(Serialize)]
struct Plan {
    topics: usize,
    channels: usize,
    requests: usize,
    names: Vec<String>,
}

fn expand(names: &[String]) -> Result<Vec<Topic>> {
    let mut topics = Vec::with_capacity(names.len());
    for (i, name) in names.iter().enumerate() {
        let single = Topic::expand(name).map_err(|error| {
            invalid(&OptionError { path: format!("topics[{i}]"), message: error.to_string() })
        })?;
        topics.extend(single);
    }
    Ok(topics)
}

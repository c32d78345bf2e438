use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    clock::iso,
    history::{Conversation, Known, Part},
    resources::interval,
    rest::ApiError,
};

const DAY_MS: u64 = 86_400_000;
const MOST_PER_PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Query {
    interval: String,
    #[serde(default)]
    conversation_filters: Vec<Filter>,
    #[serde(default)]
    segment_filters: Vec<Filter>,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    order_by: OrderBy,
    #[serde(default)]
    paging: Paging,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
enum Order {
    #[default]
    Asc,
    Desc,
    Unordered,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
enum OrderBy {
    #[default]
    ConversationStart,
    ConversationEnd,
    SegmentStart,
    SegmentEnd,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    page_size: usize,
    page_number: usize,
}

impl Default for Paging {
    fn default() -> Self {
        Self { page_size: 25, page_number: 1 }
    }
}

#[derive(Deserialize)]
struct Filter {
    r#type: Junction,
    #[serde(default)]
    clauses: Vec<Filter>,
    #[serde(default)]
    predicates: Vec<Predicate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Junction {
    And,
    Or,
}

#[derive(Deserialize)]
struct Predicate {
    dimension: String,
    value: String,
}

/// User, queue and media type of an event.
type Whose<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// A conversation as far as its data has arrived.
struct Seen<'a> {
    id: &'a str,
    parts: &'a [Part],
    started: u64,
    ended: Option<u64>,
}

/// `POST analytics/conversations/details/query`: the conversations that *started on a day* (UTC) the interval touches.
///
/// Nothing after `seen_until` has arrived yet. The `late` oldest conversations have not either, although `totalHits`,
/// which is `off` by so much, counts them.
pub(crate) fn answer(
    known: &Known,
    body: &[u8],
    seen_until: u64,
    late: usize,
    off: i64,
) -> Result<Value, ApiError> {
    let query: Query = serde_json::from_slice(body).map_err(|_| ApiError::bad_request())?;
    let (from, to) = interval(&query.interval)?;
    let Paging { page_size, page_number } = query.paging;
    if !(1..=MOST_PER_PAGE).contains(&page_size) || page_number == 0 {
        return Err(ApiError::bad_request());
    }
    let days = from - from % DAY_MS..to.next_multiple_of(DAY_MS);
    let mut found = Vec::new();
    for (id, conversation) in &known.conversations {
        let Some(seen) = Seen::until(id, conversation, seen_until) else { continue };
        if days.contains(&seen.started) && query.fits(&seen)? {
            found.push(seen);
        }
    }
    found.sort_by_key(|seen| seen.started);
    let total = (found.len() as u64).saturating_add_signed(off);
    found.drain(..late.min(found.len()));
    match query.order_by {
        OrderBy::ConversationStart => {}
        OrderBy::ConversationEnd => found.sort_by_key(|seen| seen.ended.unwrap_or(u64::MAX)),
        OrderBy::SegmentStart => found.sort_by_key(|seen| seen.parts[0].at),
        OrderBy::SegmentEnd => found.sort_by_key(|seen| seen.last().at),
    }
    if query.order == Order::Desc {
        found.reverse();
    }
    let page = found.iter().skip(page_size.saturating_mul(page_number - 1)).take(page_size);
    let conversations: Vec<_> = page.map(Seen::told).collect();
    let mut answer = json!({ "totalHits": total });
    // As with other empty answers of this query, there is no list then.
    if !conversations.is_empty() {
        answer["conversations"] = conversations.into();
    }
    Ok(answer)
}

impl Query {
    fn fits(&self, seen: &Seen<'_>) -> Result<bool, ApiError> {
        for filter in &self.conversation_filters {
            let about = |dimension: &str, value: &str| match dimension {
                "conversationId" => Some(seen.id == value),
                _ => None,
            };
            if !filter.holds(&about)? {
                return Ok(false);
            }
        }
        for filter in &self.segment_filters {
            let mut any = false;
            for part in seen.parts {
                any |= filter.holds(&|dimension: &str, value: &str| match dimension {
                    "userId" => Some(part.user.as_deref() == Some(value)),
                    "queueId" => Some(part.queue.as_deref() == Some(value)),
                    "mediaType" => Some(part.media == Some(value)),
                    _ => None,
                })?;
            }
            if !any {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Filter {
    /// Whether it holds of something that `about` knows; a dimension it does not know is an error.
    fn holds(&self, about: &impl Fn(&str, &str) -> Option<bool>) -> Result<bool, ApiError> {
        let mut verdicts = Vec::new();
        for predicate in &self.predicates {
            let verdict = about(&predicate.dimension, &predicate.value);
            verdicts.push(verdict.ok_or_else(ApiError::bad_request)?);
        }
        for clause in &self.clauses {
            verdicts.push(clause.holds(about)?);
        }
        Ok(match self.r#type {
            Junction::And => verdicts.iter().all(|holds| *holds),
            Junction::Or => verdicts.iter().any(|holds| *holds),
        })
    }
}

impl<'a> Seen<'a> {
    fn until(id: &'a str, conversation: &'a Conversation, seen_until: u64) -> Option<Self> {
        let arrived = conversation.parts.partition_point(|part| part.at <= seen_until);
        let parts = &conversation.parts[..arrived];
        let started = conversation.started.unwrap_or(parts.first()?.at);
        Some(Self { id, parts, started, ended: parts.iter().rev().find_map(|part| part.ended) })
    }

    fn last(&self) -> &Part {
        &self.parts[self.parts.len() - 1]
    }

    /// Each user and each queue is a participant with one session for each of its media types.
    fn told(&self) -> Value {
        let mut participants: Vec<(Whose<'_>, Vec<Value>)> = Vec::new();
        for (i, part) in self.parts.iter().enumerate() {
            let whose = (part.user.as_deref(), part.queue.as_deref(), part.media);
            let mut segment =
                json!({ "segmentStart": iso(part.at), "segmentType": "interact", "conference": false });
            let until = self.parts.get(i + 1).map(|next| next.at).or(self.ended);
            if let Some(until) = until {
                segment["segmentEnd"] = iso(until.max(part.at)).into();
            }
            if let Some(queue) = &part.queue {
                segment["queueId"] = queue.as_str().into();
            }
            match participants.iter_mut().find(|(known, _)| *known == whose) {
                Some((_, segments)) => segments.push(segment),
                None => participants.push((whose, vec![segment])),
            }
        }
        let participants =
            participants.into_iter().enumerate().map(|(i, ((user, queue, media), segments))| {
                let mut session = json!({ "sessionId": format!("{}-{i}", self.id), "segments": segments });
                if let Some(media) = media {
                    session["mediaType"] = media.into();
                }
                let purpose = if user.is_some() {
                    "agent"
                } else if queue.is_some() {
                    "acd"
                } else {
                    "customer"
                };
                let mut participant = json!({
                    "participantId": format!("{}-p{i}", self.id), "purpose": purpose, "sessions": [session],
                });
                if let Some(user) = user {
                    participant["userId"] = user.into();
                }
                participant
            });
        let mut told = json!({
            "conversationId": self.id,
            "conversationStart": iso(self.started),
            "participants": participants.collect::<Vec<_>>(),
        });
        if let Some(ended) = self.ended {
            told["conversationEnd"] = iso(ended).into();
        }
        told
    }
}

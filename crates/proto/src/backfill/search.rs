//! Conversations of users and queues, and single ones, by the analytics details query.
//!
//! The query finds conversations that *started on a day* its interval touches, its pages shift while data arrives, and
//! its `totalHits` is approximate. So the interval begins earlier, what was not active in the gap is left out, every
//! conversation counts once, and if more are said to exist than were seen, all pages are read again, later.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::harvest::Harvest;
use super::recipe::Subject;
use super::{DAY_MS, Method, OLDEST_MS, Recipe, Request, Step, Window};
use crate::date;

/// A conversation may have begun that much before the gap.
const EARLIER_MS: u64 = 2 * DAY_MS;

/// Users, queues or conversations in one query.
const AT_ONCE: usize = 50;

const PAGE_SIZE: usize = 100;

/// Pages of one query; they hold 10,000 conversations.
const MOST_PAGES: u32 = 100;

/// Conversations of some users and queues, or some conversations.
struct Search {
    window: Window,
    /// The filter is on conversations, not on segments.
    is_by_id: bool,
    /// Dimension and value.
    predicates: Vec<(&'static str, String)>,
    topics: Vec<(Subject, String)>,
    page: u32,
    is_second_pass: bool,
    not_before: u64,
    seen: BTreeSet<String>,
    new_in_pass: usize,
    total: usize,
}

pub(super) fn steps(subjects: &[(Subject, String)], window: Window) -> Vec<Box<dyn Step>> {
    let mut groups: [Vec<(&'static str, String)>; 2] = [Vec::new(), Vec::new()];
    for (subject, _) in subjects {
        let Some(predicate) = predicate(subject) else { continue };
        let group = &mut groups[usize::from(predicate.0 == "conversationId")];
        if !group.contains(&predicate) {
            group.push(predicate);
        }
    }
    let chunks = groups.iter().zip([false, true]).flat_map(|(group, is_by_id)| {
        group.chunks(AT_ONCE).map(move |predicates| (predicates.to_vec(), is_by_id))
    });
    let step = |(predicates, is_by_id): (Vec<(&'static str, String)>, bool)| {
        let concerns = |subject: &Subject| predicate(subject).is_some_and(|p| predicates.contains(&p));
        let topics = subjects.iter().filter(|(subject, _)| concerns(subject)).cloned().collect();
        Box::new(Search {
            window,
            is_by_id,
            predicates,
            topics,
            page: 1,
            is_second_pass: false,
            not_before: window.not_before,
            seen: BTreeSet::new(),
            new_in_pass: 0,
            total: 0,
        }) as Box<dyn Step>
    };
    chunks.map(step).collect()
}

fn predicate(subject: &Subject) -> Option<(&'static str, String)> {
    match subject {
        Subject::UserConversations { user, .. } => Some(("userId", user.clone())),
        Subject::QueueConversations { queue, .. } => Some(("queueId", queue.clone())),
        Subject::Conversation(id) => Some(("conversationId", id.clone())),
        _ => None,
    }
}

impl Step for Search {
    fn recipe(&self) -> Recipe {
        Recipe::Conversations
    }

    fn request(&self) -> Request {
        let Window { from, to, .. } = self.window;
        // The service searches a month at most.
        let earliest = from.saturating_sub(EARLIER_MS).max(to.saturating_sub(OLDEST_MS));
        let predicates = self.predicates.iter().map(|(dimension, value)| {
            json!({ "type": "dimension", "dimension": dimension, "operator": "matches", "value": value })
        });
        let filter = json!([{ "type": "or", "predicates": predicates.collect::<Vec<_>>() }]);
        let mut body = json!({
            "interval": format!("{}/{}", date::iso(earliest), date::iso(to)),
            "order": "asc",
            "orderBy": "conversationStart",
            "paging": { "pageSize": PAGE_SIZE, "pageNumber": self.page },
        });
        body[if self.is_by_id { "conversationFilters" } else { "segmentFilters" }] = filter;
        Request {
            method: Method::Post,
            path: "/api/v2/analytics/conversations/details/query".to_owned(),
            query: String::new(),
            body: Some(body.to_string()),
            not_before: self.not_before,
        }
    }

    fn read(&mut self, answer: &str, now: u64, harvest: &mut Harvest) -> Result<bool, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page<'a> {
            #[serde(borrow)]
            conversations: Option<Vec<&'a RawValue>>,
            total_hits: Option<usize>,
        }
        let page: Page<'_> =
            serde_json::from_str(answer).map_err(|_| "the answer holds no conversations".to_owned())?;
        let conversations = page.conversations.unwrap_or_default();
        self.total = page.total_hits.unwrap_or(0);
        let mut new = 0;
        for text in &conversations {
            let Ok(conversation) = serde_json::from_str::<Conversation>(text.get()) else {
                harvest.lacks();
                continue;
            };
            if self.seen.insert(conversation.conversation_id.clone()) {
                new += 1;
                self.keep(&conversation, text.get(), harvest);
            }
        }
        self.new_in_pass += new;
        let has_all = self.seen.len() >= self.total;
        let is_last = conversations.is_empty() || (has_all && (new == 0 || conversations.len() < PAGE_SIZE));
        if !is_last {
            if self.page >= MOST_PAGES {
                if !has_all {
                    harvest.lacks();
                }
                return Ok(false);
            }
            self.page += 1;
            return Ok(true);
        }
        if has_all {
            return Ok(false);
        }
        if self.is_second_pass {
            // Approximate, or still on its way: what came in this time says which.
            if self.new_in_pass > 0 {
                harvest.lacks();
            }
            return Ok(false);
        }
        self.is_second_pass = true;
        self.new_in_pass = 0;
        self.page = 1;
        self.not_before = now.saturating_add(self.window.latency_ms);
        Ok(true)
    }
}

impl Search {
    fn keep(&self, conversation: &Conversation, text: &str, harvest: &mut Harvest) {
        if !conversation.is_active_in(&self.window) {
            return;
        }
        for (subject, topic) in &self.topics {
            if conversation.concerns(subject) {
                harvest.add(topic, text, Recipe::Conversations.source());
            }
        }
    }
}

/// As much of `AnalyticsConversationWithoutAttributes` as matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Conversation {
    conversation_id: String,
    conversation_start: Option<String>,
    conversation_end: Option<String>,
    participants: Option<Vec<Participant>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Participant {
    user_id: Option<String>,
    sessions: Option<Vec<Session>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    media_type: Option<String>,
    segments: Option<Vec<Segment>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Segment {
    segment_start: Option<String>,
    segment_end: Option<String>,
    queue_id: Option<String>,
}

impl Conversation {
    /// Some segment reaches into the window, or the conversation is not over. A date that cannot be read excludes nothing.
    fn is_active_in(&self, window: &Window) -> bool {
        let read = |text: &Option<String>| text.as_deref().and_then(date::parse);
        let began = read(&self.conversation_start).unwrap_or(0);
        if self.conversation_end.is_none() {
            return began <= window.to;
        }
        let reaches = |start: &Option<String>, end: &Option<String>| {
            read(start).unwrap_or(0) <= window.to && read(end).unwrap_or(u64::MAX) >= window.from
        };
        let mut segments =
            self.sessions().flat_map(|(_, session)| session.segments.iter().flatten()).peekable();
        if segments.peek().is_none() {
            return reaches(&self.conversation_start, &self.conversation_end);
        }
        segments.any(|segment| reaches(&segment.segment_start, &segment.segment_end))
    }

    fn concerns(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Conversation(id) => self.conversation_id.eq_ignore_ascii_case(id),
            Subject::UserConversations { user, media } => {
                let is_theirs = |whose: &Option<String>| same(whose, user);
                self.sessions()
                    .any(|(participant, session)| is_theirs(&participant.user_id) && session.is_of(*media))
            }
            Subject::QueueConversations { queue, media } => self.sessions().any(|(_, session)| {
                session.is_of(*media)
                    && session.segments.iter().flatten().any(|segment| same(&segment.queue_id, queue))
            }),
            _ => false,
        }
    }

    fn sessions(&self) -> impl Iterator<Item = (&Participant, &Session)> {
        let participants = self.participants.iter().flatten();
        participants.flat_map(|participant| {
            participant.sessions.iter().flatten().map(move |session| (participant, session))
        })
    }
}

impl Session {
    /// Whether it may be of this type; one of unknown type may be of any.
    fn is_of(&self, media: Option<&str>) -> bool {
        match (media, self.media_type.as_deref()) {
            (None, _) | (_, None | Some("unknown")) => true,
            (Some(wanted), Some(given)) => wanted == given,
        }
    }
}

fn same(id: &Option<String>, wanted: &str) -> bool {
    id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(wanted))
}

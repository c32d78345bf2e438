use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

/// Families of topics that the REST API can tell something about.
const FAMILIES: [&str; 5] = [
    "v2.users.",
    "v2.routing.queues.",
    "v2.detail.events.conversation.",
    "v2.analytics.queues.",
    "v2.operations.events.",
];

/// What the REST API knows: derived from every published event, delivered or not.
///
/// Events are kept as text until somebody asks, so that publishing stays cheap.
pub(crate) struct History {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    most_bytes: usize,
    known: Known,
}

struct Waiting {
    at: u64,
    topic: String,
    body: String,
}

/// What the events amount to. All times are what the service tells, in epoch milliseconds.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) conversations: BTreeMap<String, Conversation>,
    /// By queue and media type.
    pub(crate) queues: BTreeMap<String, BTreeMap<String, Value>>,
    /// Operational events, oldest first.
    pub(crate) usage: Vec<UsageEvent>,
}

/// The last state that was told of a user.
#[derive(Default)]
pub(crate) struct User {
    pub(crate) presence: Map<String, Value>,
    pub(crate) routing_status: Map<String, Value>,
    pub(crate) out_of_office: Map<String, Value>,
}

/// One conversation.
#[derive(Default)]
pub(crate) struct Conversation {
    /// When it began, if a body said so.
    pub(crate) started: Option<u64>,
    /// Its events, oldest first.
    pub(crate) parts: Vec<Part>,
}

/// One event of a conversation.
pub(crate) struct Part {
    pub(crate) at: u64,
    pub(crate) user: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) media: Option<&'static str>,
    /// When it ended, if this event says so.
    pub(crate) ended: Option<u64>,
}

/// One operational event.
pub(crate) struct UsageEvent {
    pub(crate) at: u64,
    pub(crate) definition: String,
    pub(crate) body: Map<String, Value>,
}

impl History {
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, most_bytes, known: Known::default() }
    }

    /// An event was published.
    pub(crate) fn add(&mut self, at: u64, topic: &str, body: &str) {
        if !FAMILIES.iter().any(|family| topic.starts_with(family)) {
            return;
        }
        self.bytes += topic.len() + body.len();
        self.waiting.push_back(Waiting { at, topic: topic.to_owned(), body: body.to_owned() });
        while self.bytes > self.most_bytes
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.bytes -= oldest.topic.len() + oldest.body.len();
        }
    }

    /// Everything published so far.
    pub(crate) fn known(&mut self) -> &Known {
        self.bytes = 0;
        for Waiting { at, topic, body } in std::mem::take(&mut self.waiting) {
            let body = match serde_json::from_str(&body) {
                Ok(Value::Object(body)) => body,
                _ => Map::new(),
            };
            self.known.learn(at, &topic, body);
        }
        &self.known
    }
}

impl Known {
    fn learn(&mut self, at: u64, topic: &str, mut body: Map<String, Value>) {
        let parts: Vec<_> = topic.split('.').collect();
        match parts.as_slice() {
            ["v2", "users", user, "presence"] => self.user(user).presence = body,
            ["v2", "users", user, "routingStatus"] => {
                self.user(user).routing_status = take(&mut body, "routingStatus").unwrap_or(body);
            }
            ["v2", "users", user, "outofoffice"] => self.user(user).out_of_office = body,
            ["v2", "users", user, "activity"] => {
                let user = self.user(user);
                let members = [
                    ("presence", &mut user.presence),
                    ("routingStatus", &mut user.routing_status),
                    ("outOfOffice", &mut user.out_of_office),
                ];
                for (name, state) in members {
                    if let Some(told) = take(&mut body, name) {
                        *state = told;
                    }
                }
            }
            ["v2", "users", user, "conversations", media @ ..] if media.len() < 2 => {
                let part = Part { user: Some((*user).to_owned()), ..Part::new(at, media.first()) };
                self.user(user);
                self.converse(None, part, &body);
            }
            ["v2", "routing", "queues", queue, "conversations", media @ ..] if media.len() < 2 => {
                let part = Part { queue: Some((*queue).to_owned()), ..Part::new(at, media.first()) };
                self.converse(None, part, &body);
            }
            ["v2", "detail", "events", "conversation", id, rest @ ..] => {
                let mut part = Part::new(at, None);
                part.ended = (rest == ["customer", "end"]).then_some(at);
                self.converse(Some(id), part, &body);
            }
            ["v2", "analytics", "queues", queue, "observations"] => {
                let media =
                    body.get("group").and_then(|group| group.get("mediaType")).and_then(Value::as_str);
                let media = media.unwrap_or_default().to_owned();
                self.queues.entry((*queue).to_owned()).or_default().insert(media, Value::Object(body));
            }
            ["v2", "operations", "events", definition] => {
                self.usage.push(UsageEvent { at, definition: (*definition).to_owned(), body });
            }
            ["v2", "users", user, ..] => drop(self.user(user)),
            _ => {}
        }
    }

    fn user(&mut self, id: &str) -> &mut User {
        self.users.entry(id.to_owned()).or_default()
    }

    fn converse(&mut self, id: Option<&str>, mut part: Part, body: &Map<String, Value>) {
        let Some(id) = id.or_else(|| body.get("id").and_then(Value::as_str)) else { return };
        part.ended = part.ended.or_else(|| end_of(body, part.at));
        let started = moment(body, &["startTime", "conversationStart"]);
        let conversation = self.conversations.entry(id.to_owned()).or_default();
        conversation.started = conversation.started.or(started);
        conversation.parts.push(part);
    }
}

impl Part {
    fn new(at: u64, suffix: Option<&&str>) -> Self {
        let media = suffix.and_then(|suffix| media_type(suffix));
        Self { at, user: None, queue: None, media, ended: None }
    }
}

/// `mediaType` of sessions by the last part of a topic.
fn media_type(suffix: &str) -> Option<&'static str> {
    Some(match suffix {
        "calls" => "voice",
        "callbacks" => "callback",
        "chats" => "chat",
        "cobrowseSessions" => "cobrowse",
        "emails" => "email",
        "messages" | "socialexpressions" => "message",
        "screenshares" => "screenshare",
        "videos" => "video",
        _ => return None,
    })
}

/// A conversation is over when its body says so, or when all of its participants have left.
fn end_of(body: &Map<String, Value>, at: u64) -> Option<u64> {
    let participants = body.get("participants").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let left = !participants.is_empty() && participants.iter().all(|p| p.get("endTime").is_some());
    moment(body, &["endTime", "conversationEnd"]).or(left.then_some(at))
}

fn moment(body: &Map<String, Value>, names: &[&str]) -> Option<u64> {
    names.iter().find_map(|name| crate::clock::parse_iso(body.get(*name)?.as_str()?))
}

fn take(body: &mut Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match body.remove(name) {
        Some(Value::Object(inner)) => Some(inner),
        _ => None,
    }
}

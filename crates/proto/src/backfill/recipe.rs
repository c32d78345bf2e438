//! Families of topics, and which of them can be filled.

use serde::Deserialize;

/// A built-in way to fill a gap; the names are those of the option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Recipe {
    /// `v2.users.{id}.conversations*`, `v2.routing.queues.{id}.conversations*`, `v2.detail.events.conversation.{id}.*`:
    /// the analytics conversation details query.
    Conversations,
    /// `v2.users.{id}.presence`: the presence now.
    Presence,
    /// `v2.users.{id}.routingStatus`: the status now.
    RoutingStatus,
    /// `v2.users.{id}.activity`: presence, routing status and out of office now.
    Activity,
    /// `v2.analytics.queues.{id}.observations`: the observations now.
    QueueObservations,
    /// `v2.operations.events.{id}`: the usage events query.
    UsageEvents,
}

impl Recipe {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Conversations,
        Self::Presence,
        Self::RoutingStatus,
        Self::Activity,
        Self::QueueObservations,
        Self::UsageEvents,
    ];

    /// The recipe for a topic, by its full name.
    pub fn of(topic: &str) -> Option<Self> {
        Subject::of(topic).map(|subject| subject.recipe())
    }

    /// The permission its requests need; `None` if an OAuth scope is enough.
    pub fn permission(self) -> Option<&'static str> {
        match self {
            Self::Conversations => {
                Some("analytics:conversationDetail:view or analytics:agentConversationDetail:view")
            }
            Self::QueueObservations => Some("analytics:queueObservation:view"),
            Self::UsageEvents => Some("usage:events:view"),
            Self::Presence | Self::RoutingStatus | Self::Activity => None,
        }
    }

    /// The operation that its items come from.
    pub fn source(self) -> &'static str {
        match self {
            Self::Conversations => "POST /api/v2/analytics/conversations/details/query",
            Self::Presence => "GET /api/v2/users/presences/purecloud/bulk",
            Self::RoutingStatus => "GET /api/v2/users/{userId}/routingstatus",
            Self::Activity => "GET /api/v2/users",
            Self::QueueObservations => "POST /api/v2/analytics/queues/observations/query",
            Self::UsageEvents => "POST /api/v2/usage/events/query",
        }
    }

    /// Whether it gives back what happened, not only what is now.
    pub(super) fn is_history(self) -> bool {
        matches!(self, Self::Conversations | Self::UsageEvents)
    }
}

/// Whom or what a topic is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    UserConversations { user: String, media: Option<&'static str> },
    QueueConversations { queue: String, media: Option<&'static str> },
    Conversation(String),
    Presence(String),
    RoutingStatus(String),
    Activity(String),
    Observations(String),
    UsageEvents(String),
}

impl Subject {
    pub(super) fn of(topic: &str) -> Option<Self> {
        let parts: Vec<&str> = topic.split('.').collect();
        Some(match parts.as_slice() {
            ["v2", "users", user, "presence"] => Self::Presence((*user).to_owned()),
            ["v2", "users", user, "routingStatus"] => Self::RoutingStatus((*user).to_owned()),
            ["v2", "users", user, "activity"] => Self::Activity((*user).to_owned()),
            ["v2", "users", user, "conversations", rest @ ..] => {
                Self::UserConversations { user: (*user).to_owned(), media: media(rest)? }
            }
            ["v2", "routing", "queues", queue, "conversations", rest @ ..] => {
                Self::QueueConversations { queue: (*queue).to_owned(), media: media(rest)? }
            }
            ["v2", "detail", "events", "conversation", id, _, ..] => Self::Conversation((*id).to_owned()),
            ["v2", "analytics", "queues", queue, "observations"] => Self::Observations((*queue).to_owned()),
            ["v2", "operations", "events", definition] => Self::UsageEvents((*definition).to_owned()),
            _ => return None,
        })
    }

    pub(super) fn recipe(&self) -> Recipe {
        match self {
            Self::UserConversations { .. } | Self::QueueConversations { .. } | Self::Conversation(_) => {
                Recipe::Conversations
            }
            Self::Presence(_) => Recipe::Presence,
            Self::RoutingStatus(_) => Recipe::RoutingStatus,
            Self::Activity(_) => Recipe::Activity,
            Self::Observations(_) => Recipe::QueueObservations,
            Self::UsageEvents(_) => Recipe::UsageEvents,
        }
    }
}

/// The `mediaType` that a topic of conversations is restricted to, if it is; `None` for what no conversation tells, such
/// as `…conversations.summaries`.
fn media(rest: &[&str]) -> Option<Option<&'static str>> {
    Some(match rest {
        [] => None,
        ["calls"] => Some("voice"),
        ["callbacks"] => Some("callback"),
        ["chats"] => Some("chat"),
        ["cobrowseSessions"] => Some("cobrowse"),
        ["emails"] => Some("email"),
        ["messages" | "socialexpressions"] => Some("message"),
        ["screenshares"] => Some("screenshare"),
        ["videos"] => Some("video"),
        _ => return None,
    })
}

//! The envelope of a frame: topic and metadata are read, the body is left as the text it came in.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::failure::HttpFailure;
use fields::Fields;

#[cfg(test)]
mod differential;
pub(crate) mod fields;
mod identity;
pub(crate) mod scan;
pub(crate) mod token;

/// Nesting beyond this is refused, unless another limit is given: deeper values make `JSON.stringify` and `structuredClone`
/// throw in user code.
pub const DEFAULT_DEPTH: usize = 64;

/// The limits that can be given.
pub const DEPTHS: RangeInclusive<usize> = 8..=MAX_DEPTH;

/// The scanner has a bit for each level.
const MAX_DEPTH: usize = 128;

/// One text frame, sorted.
#[derive(Debug)]
pub enum Frame<'a> {
    /// A notification.
    Event(Envelope<'a>),
    /// `channel.metadata` other than a pong.
    Heartbeat,
    /// `channel.metadata` with the message `pong`.
    Pong,
    /// Not a text frame: the WebSocket pong to `Output::Probe`.
    ProbeAnswered,
    /// `v2.system.…` and `streaming-subscriptions-expiring`.
    System(SystemNotice),
    /// An answer to a frame of ours, or `{"result":"404"}`: the string result as a number, if it is one.
    Reply(Option<u16>),
    /// Of a direct endpoint: the connection is ready, or its token was renewed.
    Ready,
    /// Of a direct endpoint: it refuses something, as by an HTTP status.
    Refused(HttpFailure),
    /// Of a direct endpoint: a frame that says nothing to the rules.
    Other,
    /// Not a frame of this protocol.
    Unreadable(Unreadable),
}

/// A notification's parts, all of them slices of the frame where JSON escapes allow it.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// `topicName`.
    pub topic: Cow<'a, str>,
    /// `eventBody` as text; `null` if it was missing.
    pub body: &'a str,
    /// `version`.
    pub version: Option<Cow<'a, str>>,
    /// `metadata` as text.
    pub metadata: Option<&'a str>,
    /// Of a direct endpoint: what names this event and no other, as the JSON it came in.
    pub id: Option<&'a str>,
    /// Of a direct endpoint: from where the stream can be resumed, as it came: a text without its quotes, a number as written.
    pub position: Option<Cow<'a, str>>,
}

/// A notice of the service about the connection itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemNotice {
    /// `v2.system.socket_closing`: the socket closes within a minute.
    SocketClosing,
    /// `v2.system.no_longer_subscribed.{channel}`: the channel was displaced.
    NoLongerSubscribed {
        /// Which channel, as the topic names it.
        channel: String,
    },
    /// `v2.system.token_revoked.{id}`.
    TokenRevoked,
    /// `streaming-subscriptions-expiring`: the subscriptions must be renewed.
    SubscriptionsExpiring,
    /// Anything else under `v2.system`, and `v2.subscription.updated`.
    Other,
}

/// Why a frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not JSON, or not an object.
    NotJson,
    /// Neither `topicName` nor `result`.
    NoTopic,
    /// Nested deeper than this limit.
    TooDeep(usize),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("not a JSON object"),
            Self::NoTopic => f.write_str("no topicName"),
            Self::TooDeep(limit) => write!(f, "nested deeper than {limit} levels"),
        }
    }
}

impl<'a> Frame<'a> {
    /// Sorts a text frame, nested no deeper than [`DEFAULT_DEPTH`]. Reads each byte of a usual frame once and allocates only
    /// for escaped names.
    pub fn read(text: &'a str) -> Self {
        Self::read_within(text, DEFAULT_DEPTH)
    }

    /// Sorts a frame that was read before, whatever the limit then.
    pub fn read_again(text: &'a str) -> Self {
        Self::read_within(text, MAX_DEPTH)
    }

    /// Sorts a text frame, nested no deeper than `max_depth`, which is one of [`DEPTHS`] or as the next of them.
    pub fn read_within(text: &'a str, max_depth: usize) -> Self {
        let limit = max_depth.clamp(*DEPTHS.start(), *DEPTHS.end());
        match scan::fields(text, limit).map_or_else(|| fields::by_serde(text, limit), Ok) {
            Ok(fields) => Self::of(fields),
            Err(why) => Self::Unreadable(why),
        }
    }

    fn of(fields: Fields<'a>) -> Self {
        let Some(topic) = fields.topic else {
            return match fields.result {
                Some(result) => Self::Reply(result.parse().ok()),
                None => Self::Unreadable(Unreadable::NoTopic),
            };
        };
        let body = fields.body.unwrap_or("null");
        if topic.eq_ignore_ascii_case("channel.metadata") {
            return if is_pong(body) { Self::Pong } else { Self::Heartbeat };
        }
        if let Some(notice) = SystemNotice::of(&topic) {
            return Self::System(notice);
        }
        Self::Event(Envelope {
            topic,
            body,
            version: fields.version,
            metadata: fields.metadata,
            id: None,
            position: None,
        })
    }
}

impl SystemNotice {
    fn of(topic: &str) -> Option<Self> {
        if topic == "streaming-subscriptions-expiring" {
            return Some(Self::SubscriptionsExpiring);
        }
        if topic == "v2.subscription.updated" {
            return Some(Self::Other);
        }
        let name = topic.strip_prefix("v2.system.")?;
        Some(match name.split_once('.') {
            None if name == "socket_closing" => Self::SocketClosing,
            Some(("no_longer_subscribed", channel)) => {
                Self::NoLongerSubscribed { channel: channel.to_owned() }
            }
            Some(("token_revoked", _)) => Self::TokenRevoked,
            _ => Self::Other,
        })
    }
}

fn is_pong(body: &str) -> bool {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        message: Cow<'a, str>,
    }
    serde_json::from_str::<Body<'_>>(body).is_ok_and(|body| body.message.eq_ignore_ascii_case("pong"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Envelope<'_> {
        match Frame::read(text) {
            Frame::Event(envelope) => envelope,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn body_and_metadata_stay_the_text_they_came_in() {
        let text = r#" {"metadata": {"CorrelationId":"c"},"eventBody" : {"b": 1.0e400,"a":[9007199254740993]} ,"x":[1],"version":"2","topicName":"v2.users.u.presence"}"#;
        let envelope = event(text);
        assert_eq!(envelope.topic, "v2.users.u.presence");
        assert_eq!(envelope.body, r#"{"b": 1.0e400,"a":[9007199254740993]}"#);
        assert_eq!(envelope.version.as_deref(), Some("2"));
        assert_eq!(envelope.metadata, Some(r#"{"CorrelationId":"c"}"#));
    }

    #[test]
    fn escaped_and_repeated_members_do_as_in_json_parse() {
        let envelope =
            event(r#"{"topicName":"v2.a.b","top\u0069cName":"v2.c\u002ed","eventBody":1,"eventBody":null}"#);
        assert_eq!((&*envelope.topic, envelope.body), ("v2.c.d", "null"));
    }

    #[test]
    fn a_missing_body_is_null() {
        assert_eq!(event(r#"{"topicName":"v2.a.b"}"#).body, "null");
    }

    #[test]
    fn frames_are_sorted() {
        let table: &[(&str, &str)] = &[
            (
                r#"{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}"#,
                "Heartbeat",
            ),
            (r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#, "Pong"),
            (r#"{"eventBody":{"message":"Pong"},"topicName":"channel.metadata"}"#, "Pong"),
            (r#"{"topicName":"channel.metadata"}"#, "Heartbeat"),
            (r#"{"topicName":"v2.system.socket_closing","eventBody":{}}"#, "System(SocketClosing)"),
            (
                r#"{"topicName":"v2.system.no_longer_subscribed.streaming-0-a"}"#,
                r#"System(NoLongerSubscribed { channel: "streaming-0-a" })"#,
            ),
            (r#"{"topicName":"v2.system.token_revoked.x"}"#, "System(TokenRevoked)"),
            (r#"{"topicName":"v2.system.news.x"}"#, "System(Other)"),
            (r#"{"topicName":"v2.subscription.updated"}"#, "System(Other)"),
            (r#"{"topicName":"streaming-subscriptions-expiring"}"#, "System(SubscriptionsExpiring)"),
            (r#"{"result":"404","message":"gone"}"#, "Reply(Some(404))"),
            (r#"{"result":200}"#, "Reply(Some(200))"),
            (r#"{"message":"?"}"#, "Unreadable(NoTopic)"),
            (r#"{"topicName":7}"#, "Unreadable(NotJson)"),
            (r#"[{"topicName":"v2.a.b"}]"#, "Unreadable(NotJson)"),
            (r#"{"topicName":"v2.a.b"} x"#, "Unreadable(NotJson)"),
            ("", "Unreadable(NotJson)"),
            ("ping", "Unreadable(NotJson)"),
        ];
        for (text, expected) in table {
            assert_eq!(format!("{:?}", Frame::read(text)), *expected, "{text}");
        }
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        let nested = |levels: usize| {
            format!(
                r#"{{"topicName":"v2.a.b","eventBody":{}"x{{["{}}}"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        assert!(matches!(Frame::read(&nested(63)), Frame::Event(_)));
        assert!(matches!(Frame::read(&nested(64)), Frame::Unreadable(Unreadable::TooDeep(64))));
        assert!(matches!(Frame::read(&nested(100_000)), Frame::Unreadable(Unreadable::TooDeep(64))));
        for limit in [8, 100, 128] {
            assert!(matches!(Frame::read_within(&nested(limit - 1), limit), Frame::Event(_)));
            let deeper = nested(limit);
            let refused = Frame::read_within(&deeper, limit);
            assert!(matches!(refused, Frame::Unreadable(Unreadable::TooDeep(it)) if it == limit));
        }
        assert!(matches!(Frame::read_again(&nested(127)), Frame::Event(_)));
        assert!(matches!(Frame::read_within(&nested(128), 200), Frame::Unreadable(Unreadable::TooDeep(128))));
    }

    #[test]
    fn brackets_inside_strings_do_not_nest() {
        let text =
            format!(r#"{{"topicName":"v2.a.b","eventBody":"{}\"{}"}}"#, "[".repeat(100), "{".repeat(100));
        assert!(matches!(Frame::read(&text), Frame::Event(_)));
    }
}

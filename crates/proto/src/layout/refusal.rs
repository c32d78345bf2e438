//! Frames with which a server refuses: no protocol fixes them, these shapes are common.

use std::borrow::Cow;

use crate::envelope::scan::scalar;
use crate::failure::HttpFailure;
use crate::pointer::{Finder, Pointer};

/// Where an HTTP status may stand, the more telling place first. `error` is both a place and what others stand in.
const STATUS: [&[&str]; 8] = [
    &["status"],
    &["statusCode"],
    &["error", "status"],
    &["error", "statusCode"],
    &["code"],
    &["error", "code"],
    &["error"],
    &["result"],
];
/// Where a word for the reason may stand.
const WORD: [&[&str]; 3] = [&["error"], &["code"], &["error", "code"]];
const WAIT: [&[&str]; 4] =
    [&["retryAfter"], &["retry_after"], &["error", "retryAfter"], &["error", "retry_after"]];
const MESSAGE: [&[&str]; 3] = [&["message"], &["error_description"], &["error", "message"]];

const SLOTS: usize = STATUS.len() + WORD.len() + WAIT.len() + MESSAGE.len();

/// Any nesting that a frame can have.
const MAX_DEPTH: usize = 128;

/// Finds what a refusal consists of.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    finder: Finder,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let places = STATUS.into_iter().chain(WORD).chain(WAIT).chain(MESSAGE);
        let pointers: Vec<Pointer> = places.map(Pointer::members).collect();
        Self { finder: Finder::new(pointers.iter().enumerate()) }
    }

    /// As an HTTP answer, with the server's own words as they came. `text` is valid JSON.
    pub(super) fn read(&self, text: &str) -> Option<HttpFailure> {
        let mut found = [None; SLOTS];
        self.finder.find(text, MAX_DEPTH, &mut found).ok()?;
        let (statuses, rest) = found.split_at(STATUS.len());
        let (words, rest) = rest.split_at(WORD.len());
        let (waits, messages) = rest.split_at(WAIT.len());
        let status = first(statuses, status).or_else(|| first(words, |text| known(&word(text)?)))?;
        Some(HttpFailure {
            status,
            code: first(words, |text| word(text).map(Cow::into_owned)),
            message: first(messages, |text| word(text).map(Cow::into_owned)),
            retry_after_ms: first(waits, milliseconds),
            correlation_id: None,
        })
    }
}

fn first<T>(found: &[Option<&str>], read: impl Fn(&str) -> Option<T>) -> Option<T> {
    found.iter().flatten().find_map(|text| read(text))
}

fn status(text: &str) -> Option<u16> {
    scalar(text)?.parse().ok().filter(|status| (400..600).contains(status))
}

/// A text that is no number.
fn word(text: &str) -> Option<Cow<'_, str>> {
    let text = if text.starts_with('"') { scalar(text)? } else { return None };
    (text.parse::<f64>().is_err() && !text.is_empty()).then_some(text)
}

fn known(word: &str) -> Option<u16> {
    let word = word.to_ascii_lowercase().replace(['-', ' '], "_");
    Some(match &*word {
        "invalid_token" | "expired_token" | "token_expired" | "unauthorized" => 401,
        "forbidden" | "access_denied" | "insufficient_scope" => 403,
        "rate_limited" | "too_many_requests" => 429,
        _ => return None,
    })
}

/// Of seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let seconds: f64 = scalar(text)?.parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| (seconds * 1_000.0).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<HttpFailure> {
        Refusals::new().read(text)
    }

    #[test]
    fn statuses_are_found_wherever_servers_put_them() {
        let table = [
            (r#"{"status":401}"#, Some(401)),
            (r#"{"status":"403"}"#, Some(403)),
            (r#"{"statusCode":429}"#, Some(429)),
            (r#"{"code":400}"#, Some(400)),
            (r#"{"result":"404","message":"gone"}"#, Some(404)),
            (r#"{"error":503}"#, Some(503)),
            (r#"{"error":{"status":401}}"#, Some(401)),
            (r#"{"error":{"statusCode":"401"}}"#, Some(401)),
            (r#"{"error":{"code":403,"message":"no"}}"#, Some(403)),
            (r#"{"error":"x","code":"invalid_token"}"#, Some(401)),
            (r#"{"error":"invalid_token"}"#, Some(401)),
            (r#"{"error":{"code":"Token Expired"}}"#, Some(401)),
            (r#"{"error":"Unauthorized"}"#, Some(401)),
            (r#"{"error":"expired-token"}"#, Some(401)),
            (r#"{"code":"ACCESS_DENIED"}"#, Some(403)),
            (r#"{"error":"forbidden"}"#, Some(403)),
            (r#"{"error":"insufficient_scope","status":400}"#, Some(400)),
            (r#"{"error":"too_many_requests"}"#, Some(429)),
            (r#"{"code":"rate_limited"}"#, Some(429)),
            (r#"{"status":599}"#, Some(599)),
            (r#"{"status":600}"#, None),
            (r#"{"status":399}"#, None),
            (r#"{"status":200}"#, None),
            (r#"{"result":"200"}"#, None),
            (r#"{"status":"unauthorized"}"#, None),
            (r#"{"status":4e2}"#, None),
            (r#"{"status":[401]}"#, None),
            (r#"{"error":null,"code":null}"#, None),
            (r#"{"error":"strange"}"#, None),
            (r#"{"message":"401"}"#, None),
            (r#"{"data":{"status":401}}"#, None),
            (r#"[{"status":401}]"#, None),
            ("401", None),
            (r#""unauthorized""#, None),
            ("{}", None),
        ];
        for (text, status) in table {
            assert_eq!(read(text).map(|failure| failure.status), status, "{text}");
        }
    }

    #[test]
    fn waits_are_in_seconds_and_words_are_kept() {
        let failure = read(r#"{"error":"rate_limited","retryAfter":2.5,"message":"slow down"}"#).unwrap();
        assert_eq!(failure.retry_after_ms, Some(2_500));
        assert_eq!(failure.code.as_deref(), Some("rate_limited"));
        assert_eq!(failure.message.as_deref(), Some("slow down"));
        let waits = [
            (r#"{"status":429,"retry_after":"7"}"#, Some(7_000)),
            (r#"{"status":429,"error":{"retry_after":0.0001}}"#, Some(1)),
            (r#"{"status":429,"retryAfter":0}"#, Some(0)),
            (r#"{"status":429,"retryAfter":-1}"#, None),
            (r#"{"status":429,"retryAfter":"NaN"}"#, None),
            (r#"{"status":429,"retryAfter":1e999}"#, None),
            (r#"{"status":429,"retryAfter":"soon"}"#, None),
            (r#"{"status":429}"#, None),
        ];
        for (text, expected) in waits {
            assert_eq!(read(text).unwrap().retry_after_ms, expected, "{text}");
        }
        assert_eq!(read(r#"{"status":429,"code":"429"}"#).unwrap().code, None);
    }
}

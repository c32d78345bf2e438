//! Texts that must not be shown, and the scrubber that keeps them out of every other text (P8).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

/// What stands in the place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// The longest foreign text that gets into an error, in characters.
pub(crate) const MAX_TEXT_CHARS: usize = 300;

/// Forms of passing secrets kept for scrubbing: enough for 20 channels and their successors, about ten forms each.
const REMEMBERED: usize = 1_024;

/// Shorter secrets cannot be told from ordinary text.
const SHORTEST: usize = 4;

/// Only letters of so many, and letters and others of so many, are taken for a secret where nobody says what is one.
const LONGEST_WORD: usize = 16;
const LONGEST_NUMBER: usize = 8;

/// A text that prints as `[redacted]` and is wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself; its callers are the places where a secret leaves for the service.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Every secret a client knows, in every form in which a server or a library might repeat it.
#[derive(Default)]
pub(crate) struct Secrets {
    forms: Mutex<Forms>,
}

/// In ASCII lower case; percent escapes come in both.
#[derive(Default)]
struct Forms {
    lasting: Vec<Secret>,
    passing: VecDeque<Secret>,
}

impl Secrets {
    /// A secret that lives as long as the client: client secret and the Basic header made of it.
    pub(crate) fn keep(&self, secret: &str) {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        for form in forms_of(secret) {
            if !forms.lasting.contains(&form) {
                forms.lasting.push(form);
            }
        }
    }

    /// A secret that is replaced from time to time: token, refresh token, connectUri, channel id.
    pub(crate) fn remember(&self, secret: &str) {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        for form in forms_of(secret) {
            if !forms.passing.contains(&form) {
                forms.passing.push_back(form);
            }
        }
        while forms.passing.len() > REMEMBERED {
            forms.passing.pop_front();
        }
    }

    /// A foreign text made fit for an error or a log: no secret, no control characters, at most 300 characters.
    pub(crate) fn scrub(&self, text: &str) -> String {
        // Control characters go first: one in the middle must not hide a secret.
        let mut clean: String = text.chars().filter(|c| !is_odd(*c)).collect();
        let lower = clean.to_ascii_lowercase();
        let forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        let known = forms.lasting.iter().chain(&forms.passing);
        let mut found: Vec<&Secret> = known.filter(|form| lower.contains(form.expose())).collect();
        // The longest first: the URI before the id within it.
        found.sort_by_key(|form| std::cmp::Reverse(form.expose().len()));
        for form in found {
            clean = replace_ignoring_case(&clean, form.expose());
        }
        shorten(&clean)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Parts of a text of the caller's that could be secrets: it is not said which are. Words of the language are none.
pub(crate) fn possible_secrets(text: &str) -> Vec<Secret> {
    let ends = |c: char| c.is_whitespace() || "\"'{}[](),:;=&?#/\\".contains(c);
    let is_possible = |part: &&str| {
        part.len() >= LONGEST_WORD
            || (part.len() >= LONGEST_NUMBER && !part.bytes().all(|b| b.is_ascii_alphabetic()))
    };
    let parts = text.split(ends).filter(is_possible);
    let decoded = |part: &str| percent_decoded(part).filter(|decoded| decoded != part);
    parts.flat_map(|part| decoded(part).into_iter().chain([part.to_owned()])).map(Secret::from).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let pair = format!("={}", text.replace('+', "%2B"));
    form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned())
}

fn is_odd(c: char) -> bool {
    // Beside controls: marks that turn the direction of text, and line separators.
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn forms_of(secret: &str) -> Vec<Secret> {
    let percent: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let forms = [
        secret.to_owned(),
        percent.replace('+', "%20"),
        percent,
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        serde_json::to_string(secret).map(|json| json.trim_matches('"').to_owned()).unwrap_or_default(),
    ];
    let mut unique: Vec<Secret> = Vec::with_capacity(forms.len());
    for form in forms.map(|form| Secret::from(form.to_ascii_lowercase())) {
        if form.expose().len() >= SHORTEST && !unique.contains(&form) {
            unique.push(form);
        }
    }
    unique
}

fn replace_ignoring_case(text: &str, needle: &str) -> String {
    let haystack = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = haystack[from..].find(needle) {
        out.push_str(&text[from..from + at]);
        out.push_str(REDACTED);
        from += at + needle.len();
    }
    out.push_str(&text[from..]);
    out
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_redacted() {
        let secret = Secret::from("hunter2-canary".to_owned());
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Some(&secret)),
            "[redacted] [redacted] Some([redacted])"
        );
    }

    #[test]
    fn no_form_of_a_secret_survives() {
        let secrets = Secrets::default();
        secrets.keep("s3cr=t/+ \"quoted\"");
        secrets.keep(&format!("{}:{}", "client-id", "s3cr=t/+ \"quoted\""));
        secrets.remember("wss://streaming.mypurecloud.com/channels/streaming-0-canarycanary");
        secrets.remember("streaming-0-canarycanary");
        let table = [
            "refused s3cr=t/+ \"quoted\" at once",
            "refused S3CR=T/+ \"QUOTED\" at once",
            "secret=s3cr%3Dt%2F%2B+%22quoted%22&x",
            "secret=s3cr%3dt%2f%2b%20%22quoted%22&x",
            "{\"secret\":\"s3cr=t/+ \\\"quoted\\\"\"}",
            "Basic Y2xpZW50LWlkOnMzY3I9dC8rICJxdW90ZWQi",
            "s3cr=\u{0}t/+ \"quo\nted\"",
            "cannot open wss://streaming.mypurecloud.com/channels/streaming-0-canarycanary",
            "GET /channels/streaming-0-canarycanary?x HTTP/1.1",
        ];
        for text in table {
            let clean = secrets.scrub(text);
            assert!(clean.contains(REDACTED), "{text} -> {clean}");
            for part in ["s3cr", "quoted", "canary", "czN", "Y2xp"] {
                assert!(!clean.to_lowercase().contains(&part.to_lowercase()), "{text} -> {clean}");
            }
        }
    }

    #[test]
    fn what_may_be_a_secret_in_a_template_is_found_and_words_are_left() {
        let found = |text| {
            let mut found: Vec<String> =
                possible_secrets(text).iter().map(|secret| secret.expose().to_owned()).collect();
            found.sort();
            found
        };
        let none: [&str; 0] = [];
        assert_eq!(found("/api/v2/notifications?format=json&token={token}"), none);
        assert_eq!(found(r#"{"message":"subscribe","topic":"{topic}","n":1234567}"#), none);
        assert_eq!(
            found("/hooks/k3y-0f-mine/s?key=a%2Fb%2B12345"),
            ["a%2Fb%2B12345", "a/b+12345", "k3y-0f-mine"]
        );
        assert_eq!(found(r#"{"key":"correcthorsebattery"}"#), ["correcthorsebattery"]);
    }

    #[test]
    fn foreign_texts_become_short_and_plain() {
        let secrets = Secrets::default();
        assert_eq!(secrets.scrub("a\u{1b}[31mb\r\nc\u{202e}d"), "a[31mbcd");
        assert_eq!(secrets.scrub(&"é".repeat(1000)).chars().count(), MAX_TEXT_CHARS + 1);
        assert_eq!(secrets.scrub(""), "");
    }

    #[test]
    fn old_tokens_are_forgotten_but_lasting_secrets_are_not() {
        let secrets = Secrets::default();
        secrets.keep("lasting-secret");
        for i in 0..1000 {
            secrets.remember(&format!("token-number-{i}"));
        }
        assert_eq!(secrets.scrub("lasting-secret token-number-999"), "[redacted] [redacted]");
        assert!(secrets.forms.lock().unwrap().passing.len() <= REMEMBERED);
    }
}

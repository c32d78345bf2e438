//! Texts with places to fill in: the URL of a direct endpoint and what is sent to it.
//!
//! What is around the places may be secret, and what goes into them is: nothing here shows either.

use std::fmt;

use thiserror::Error;

/// Longer names of unknown placeholders are not repeated: they might be anything.
const MAX_NAME: usize = 32;

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `{token}`: the access token.
    Token,
    /// `{cursor}`: the position from where the stream is resumed.
    Cursor,
    /// `{topic}`: the topic asked for.
    Topic,
}

/// What is filled in. What is not there is empty.
#[derive(Clone, Copy, Default)]
pub struct Values<'a> {
    /// For `{token}`.
    pub token: &'a str,
    /// For `{cursor}`.
    pub cursor: &'a str,
    /// For `{topic}`.
    pub topic: &'a str,
}

/// A text with placeholders.
#[derive(Clone, PartialEq, Eq)]
pub struct Template {
    kind: Kind,
    parts: Vec<Part>,
}

/// Why a text is no template. Names a placeholder at most.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Not one that is known here.
    #[error("holds the placeholder {{{0}}}, which is not known here; {{token}} and {{cursor}} are")]
    Unknown(String),
    /// Braces around something else, or one that is not closed.
    #[error("holds a brace that begins neither {{token}} nor {{cursor}}; as a character, write it as %7B")]
    Brace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Url,
    Message,
}

#[derive(Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Placeholder),
}

impl Placeholder {
    const ALL: [Self; 3] = [Self::Token, Self::Cursor, Self::Topic];

    fn written(self) -> &'static str {
        match self {
            Self::Token => "{token}",
            Self::Cursor => "{cursor}",
            Self::Topic => "{topic}",
        }
    }

    fn value<'a>(self, values: &Values<'a>) -> &'a str {
        match self {
            Self::Token => values.token,
            Self::Cursor => values.cursor,
            Self::Topic => values.topic,
        }
    }
}

impl Template {
    /// A URL with `{token}` and `{cursor}`, which are percent-encoded when filled in.
    ///
    /// # Errors
    /// If it holds any other brace.
    pub fn url(text: &str) -> Result<Self, TemplateError> {
        let parts = parts(text, &[Placeholder::Token, Placeholder::Cursor]);
        let brace = parts.iter().find_map(|part| match part {
            Part::Text(text) => text.split_once('{'),
            Part::Place(_) => None,
        });
        match brace {
            None => Ok(Self { kind: Kind::Url, parts }),
            Some((_, behind)) => Err(match behind.split_once('}') {
                Some((name, _)) if is_name(name) => TemplateError::Unknown(name.to_owned()),
                _ => TemplateError::Brace,
            }),
        }
    }

    /// A message with `{token}`, `{cursor}` and `{topic}`, which are escaped as within a JSON string when filled in. Other braces
    /// are ordinary text: messages are JSON mostly.
    pub fn message(text: &str) -> Self {
        Self { kind: Kind::Message, parts: parts(text, &Placeholder::ALL) }
    }

    /// Whether this is filled in somewhere.
    pub fn holds(&self, placeholder: Placeholder) -> bool {
        self.parts.contains(&Part::Place(placeholder))
    }

    /// The text with everything filled in. As secret as the token.
    pub fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match (part, self.kind) {
                (Part::Text(text), _) => out.push_str(text),
                (Part::Place(place), Kind::Url) => percent_encode(&mut out, place.value(values)),
                (Part::Place(place), Kind::Message) => json_escape(&mut out, place.value(values)),
            }
        }
        out
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<Placeholder> =
            Placeholder::ALL.into_iter().filter(|place| self.holds(*place)).collect();
        f.debug_struct("Template").field("kind", &self.kind).field("places", &places).finish_non_exhaustive()
    }
}

impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").finish_non_exhaustive()
    }
}

fn parts(text: &str, known: &[Placeholder]) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut begin, mut at) = (0, 0);
    while let Some(brace) = text[at..].find('{').map(|brace| at + brace) {
        let Some(place) = known.iter().find(|place| text[brace..].starts_with(place.written())) else {
            at = brace + 1;
            continue;
        };
        if brace > begin {
            parts.push(Part::Text(text[begin..brace].to_owned()));
        }
        parts.push(Part::Place(*place));
        at = brace + place.written().len();
        begin = at;
    }
    if begin < text.len() {
        parts.push(Part::Text(text[begin..].to_owned()));
    }
    parts
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

/// RFC 3986: everything but unreserved characters, whatever part of a URL it stands in.
fn percent_encode(out: &mut String, text: &str) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]),
        }
    }
}

/// As in a JSON string, without its quotes.
fn json_escape(out: &mut String, text: &str) {
    let quoted = serde_json::Value::from(text).to_string();
    out.push_str(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values<'static> =
        Values { token: "a+b/c=\"d", cursor: "2026-01-02T03:04:05.678+01:00", topic: "v2.é \\\n{token}" };

    #[test]
    fn urls_are_percent_encoded_wherever_they_are_filled_in() {
        let table = [
            ("wss://h/x", "wss://h/x"),
            ("wss://h/x?t={token}", "wss://h/x?t=a%2Bb%2Fc%3D%22d"),
            (
                "wss://h/{token}/{cursor}{token}",
                "wss://h/a%2Bb%2Fc%3D%22d/2026-01-02T03%3A04%3A05.678%2B01%3A00a%2Bb%2Fc%3D%22d",
            ),
            ("{cursor}}", "2026-01-02T03%3A04%3A05.678%2B01%3A00}"),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(Template::url(text).unwrap().fill(&VALUES), expected, "{text}");
        }
        let all: String = (' '..='\u{7f}').chain(['é', '€', '😀']).collect();
        let filled = Template::url("{token}").unwrap().fill(&Values { token: &all, ..Values::default() });
        assert!(filled.ends_with("%7D~%7F%C3%A9%E2%82%AC%F0%9F%98%80"), "{filled}");
        let plain: String = filled.split('%').map(|part| part.get(2..).unwrap_or_default()).collect();
        assert_eq!(plain, "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~");
    }

    #[test]
    fn messages_are_escaped_as_json_and_their_own_braces_stay() {
        let table = [
            (r#"{"access_token":"{token}"}"#, r#"{"access_token":"a+b/c=\"d"}"#),
            (r#"{"a":{"topic":"{topic}"}}"#, r#"{"a":{"topic":"v2.é \\\n{token}"}}"#),
            ("{token{token}}", r#"{tokena+b/c=\"d}"#),
            ("{}{x}{Token}{ token}{{cursor}", "{}{x}{Token}{ token}{2026-01-02T03:04:05.678+01:00"),
            ("SUB {topic", "SUB {topic"),
            ("é{", "é{"),
        ];
        for (text, expected) in table {
            assert_eq!(Template::message(text).fill(&VALUES), expected, "{text}");
        }
        let every: String = ('\0'..='\u{2ff}').chain(['\u{2028}', '😀', '\u{fffe}']).collect();
        let filled = Template::message(r#""{topic}""#).fill(&Values { topic: &every, ..Values::default() });
        assert_eq!(serde_json::from_str::<String>(&filled).unwrap(), every);
    }

    #[test]
    fn unknown_placeholders_of_urls_are_refused_by_their_name_only() {
        let unknown = |name: &str| TemplateError::Unknown(name.to_owned());
        let table = [
            ("wss://h/s3cret/{topic}", unknown("topic")),
            ("wss://h/s3cret/{token}{since}", unknown("since")),
            ("wss://h/s3cret/{Token}", unknown("Token")),
            ("wss://h/{s3cret}", TemplateError::Brace),
            ("wss://h/s3cret{}", TemplateError::Brace),
            ("wss://h/s3cret{token", TemplateError::Brace),
            ("wss://h/s3cret{{token}}", TemplateError::Brace),
            ("wss://h/{abcdefghijklmnopqrstuvwxyzsecretabcdefgh}", TemplateError::Brace),
        ];
        for (text, why) in table {
            let error = Template::url(text).unwrap_err();
            assert!(!error.to_string().contains("cret"), "{error}");
            assert_eq!(error, why, "{text}");
        }
    }

    #[test]
    fn what_is_held_is_known_and_nothing_is_shown() {
        let template = Template::message(r#"{"key":"s3cret","t":"{topic}","a":"{token}"}"#);
        assert!(template.holds(Placeholder::Topic) && template.holds(Placeholder::Token));
        assert!(!template.holds(Placeholder::Cursor));
        let shown = format!("{template:?} {VALUES:?}");
        assert_eq!(shown, "Template { kind: Message, places: [Token, Topic], .. } Values { .. }");
    }
}

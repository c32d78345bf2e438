//! A cursor as text: JSON of one line, or a bare position that somebody wrote by hand.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Cursor, MOST_SEEN};

const VERSION: u64 = 1;
/// Hexadecimal digits of one identity: as JSON numbers, a store that parses them would round them.
const DIGITS: usize = 16;

/// Why a text is no cursor. Holds nothing of the text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CursorError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// A bare position is one line of text.
    #[error("is neither a cursor nor a position: it holds a control character")]
    Control,
    /// It begins like a cursor and ends otherwise, or a member has the wrong type.
    #[error("is no cursor: {0}")]
    Json(String),
    /// Written by another version of this software.
    #[error("has version {0}; this software reads version 1")]
    Version(u64),
    /// A member is not what it should be.
    #[error("is no cursor: its {0}")]
    Member(&'static str),
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u64,
    position: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    shared: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    seen: String,
}

/// The version alone: a later one may have other members.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

impl Cursor {
    /// Reads what [`Cursor::to_text`] wrote, whatever white space and further members somebody added. A text that does not begin
    /// with `{` is a bare position, without the white space around it.
    ///
    /// # Errors
    /// If it is empty, broken off, of another version, or not a cursor.
    pub fn read(text: &str) -> Result<Self, CursorError> {
        let text = text.trim();
        if text.starts_with('{') {
            return Self::read_object(text);
        }
        let position = position(text.to_owned(), CursorError::Empty)?;
        if position.contains(char::is_control) {
            return Err(CursorError::Control);
        }
        Ok(Self { position, ..Self::default() })
    }

    fn read_object(text: &str) -> Result<Self, CursorError> {
        let Versioned { version } = serde_json::from_str(text).map_err(json)?;
        if version != VERSION {
            return Err(CursorError::Version(version));
        }
        let written: Written = serde_json::from_str(text).map_err(json)?;
        let before = written.before.map(|text| position(text, CursorError::Member("before is empty")));
        Ok(Self {
            position: position(written.position, CursorError::Member("position is empty"))?,
            before: before.transpose()?,
            is_shared: written.shared,
            at: written.at,
            seen: identities(&written.seen).ok_or(CursorError::Member("seen is no list of identities"))?,
        })
    }

    /// One line of JSON that holds `"version":1` and `"position"`, at most 66 KB beside its positions.
    pub fn to_text(&self) -> String {
        let mut seen = String::with_capacity(self.seen.len() * DIGITS);
        for identity in &self.seen {
            // Writing to a string cannot fail.
            let _ = write!(seen, "{identity:016x}");
        }
        let written = Written {
            version: VERSION,
            position: self.position.clone(),
            before: self.before.clone(),
            shared: self.is_shared,
            at: self.at,
            seen,
        };
        // Nothing in it is a map with other keys than texts, the one thing that JSON cannot have.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

fn position(text: String, why: CursorError) -> Result<String, CursorError> {
    if text.is_empty() { Err(why) } else { Ok(text) }
}

fn identities(text: &str) -> Option<Vec<u64>> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (chunks, rest) = text.as_bytes().as_chunks::<DIGITS>();
    if !is_hex || !rest.is_empty() || chunks.len() > MOST_SEEN {
        return None;
    }
    chunks.iter().map(|digits| u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).collect()
}

/// What is wrong and where, but no value: serde's words may repeat one.
fn json(error: serde_json::Error) -> CursorError {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it is broken off",
        serde_json::error::Category::Data => "a member is missing or of the wrong type",
        _ => "not JSON",
    };
    CursorError::Json(format!("{what}, at column {} of line {}", error.column(), error.line()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Random, SplitMix};

    #[test]
    fn cursors_are_written_as_documented_and_read_back() {
        let bare = Cursor { position: "17".into(), ..Cursor::default() };
        assert_eq!(bare.to_text(), r#"{"version":1,"position":"17"}"#);
        let full = Cursor {
            position: "2026-01-02T03:04:05.678Z".into(),
            before: Some("a\"\u{7}é".into()),
            is_shared: true,
            at: Some(1_767_323_045_999),
            seen: vec![1, u64::MAX, 0x0123_4567_89ab_cdef],
        };
        let text = r#"{"version":1,"position":"2026-01-02T03:04:05.678Z","before":"a\"\u0007é","shared":true,"at":1767323045999,"seen":"0000000000000001ffffffffffffffff0123456789abcdef"}"#;
        assert_eq!(full.to_text(), text);
        for cursor in [bare, full] {
            assert_eq!(Cursor::read(&cursor.to_text()), Ok(cursor.clone()));
            let spaced = cursor.to_text().replace("{\"", "\n{ \"checksum\" : [7],\n\"");
            assert_eq!(Cursor::read(&spaced), Ok(cursor));
        }
    }

    #[test]
    fn any_cursor_is_read_back() {
        let mut random = SplitMix::new(3);
        for _ in 0..2_000 {
            let text = |random: &mut SplitMix| -> String {
                (0..random.between(1, 9)).filter_map(|_| char::from_u32(random.up_to(0x2ff) as u32)).collect()
            };
            let cursor = Cursor {
                position: text(&mut random),
                before: (random.up_to(1) == 0).then(|| text(&mut random)),
                is_shared: random.up_to(1) == 0,
                at: (random.up_to(1) == 0).then(|| random.up_to(u64::MAX - 1)),
                seen: (0..random.up_to(5)).map(|_| random.up_to(u64::MAX - 1)).collect(),
            };
            assert_eq!(Cursor::read(&cursor.to_text()), Ok(cursor));
        }
        let most = Cursor { position: "p".into(), seen: vec![7; MOST_SEEN], ..Cursor::default() };
        let text = most.to_text();
        assert!(text.len() < 66_000, "{}", text.len());
        assert_eq!(Cursor::read(&text), Ok(most));
    }

    #[test]
    fn a_text_that_is_no_object_is_a_bare_position() {
        for (text, position) in [
            ("2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678Z"),
            (" 4711\n", "4711"),
            ("\"quoted\"", "\"quoted\""),
            ("[1]", "[1]"),
            ("null", "null"),
            ("a b", "a b"),
        ] {
            let expected = Cursor { position: position.into(), ..Cursor::default() };
            assert_eq!(Cursor::read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused_without_showing_it() {
        let table: &[(&str, &str)] = &[
            ("", "is empty"),
            (" \n", "is empty"),
            ("s3cret\0", "control character"),
            ("s3cret\nmore", "control character"),
            (r#"{"version":1,"position":"s3cret""#, "broken off, at column 32 of line 1"),
            (r#"{"version":1,"position":"s3cret"#, "broken off"),
            (r#"{"version":1,"position":"s3cret"} x"#, "not JSON"),
            (r#"{"position":"s3cret"}"#, "missing or of the wrong type"),
            (r#"{"version":"s3cret","position":"a"}"#, "missing or of the wrong type"),
            (r#"{"version":1}"#, "missing or of the wrong type"),
            (r#"{"version":1,"position":7}"#, "missing or of the wrong type"),
            (r#"{"version":1,"position":""}"#, "its position is empty"),
            (r#"{"version":1,"position":"a","before":""}"#, "its before is empty"),
            (r#"{"version":1,"position":"a","at":-1}"#, "wrong type"),
            (r#"{"version":1,"position":"a","seen":"0"}"#, "its seen"),
            (r#"{"version":1,"position":"a","seen":"000000000000s3cr"}"#, "its seen"),
            (r#"{"version":1,"position":"a","seen":"+00000000000000f"}"#, "its seen"),
            (r#"{"version":1,"position":"a","seen":"ééé00000000000"}"#, "its seen"),
            (r#"{"version":2,"where":"s3cret"}"#, "has version 2"),
            ("{}", "missing"),
        ];
        for (text, why) in table {
            let error = Cursor::read(text).unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("s3cr"), "{text:?}: {error}");
        }
        let more = format!(r#"{{"version":1,"position":"a","seen":"{}"}}"#, "0".repeat(16 * (MOST_SEEN + 1)));
        assert!(Cursor::read(&more).is_err());
    }
}

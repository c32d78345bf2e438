//! The members of a frame that count, in one pass over a frame of the usual kind.
//!
//! What is taken here is valid JSON, no deeper than allowed, with its names and its topic written without escapes.
//! Everything else is left to serde: why a frame is refused is decided there alone.

use std::borrow::Cow;

use super::fields::{Fields, scalar_text};
use super::token::{behind_number, behind_string, behind_word, special, token};

/// `max_depth` is 128 at most.
pub(super) fn fields(text: &str, max_depth: usize) -> Option<Fields<'_>> {
    let bytes = text.as_bytes();
    let mut fields = Fields::default();
    let (b'{', at) = token(bytes, 0)? else { return None };
    let (mut first, mut at) = token(bytes, at + 1)?;
    while first != b'}' {
        let name = plain(text, at)?;
        let start = behind_colon(bytes, at + name.len() + 2)?;
        if name == "topicName" {
            let topic = plain(text, start)?;
            fields.topic = Some(Cow::Borrowed(topic));
            at = start + topic.len() + 2;
        } else {
            at = behind_value(bytes, start, max_depth)?;
            let value = text.get(start..at)?;
            match name {
                "eventBody" => fields.body = Some(value),
                "version" => fields.version = scalar(value),
                "metadata" => fields.metadata = Some(value),
                "result" => fields.result = scalar(value),
                _ => {}
            }
        }
        (first, at) = token(bytes, at)?;
        if first == b',' {
            (first, at) = token(bytes, at + 1)?;
            if first != b'"' {
                return None;
            }
        } else if first != b'}' {
            return None;
        }
    }
    token(bytes, at + 1).is_none().then_some(fields)
}

/// The content of the string at `at`, if there is one and it is written without escapes.
fn plain(text: &str, at: usize) -> Option<&str> {
    let bytes = text.as_bytes();
    if *bytes.get(at)? != b'"' {
        return None;
    }
    let (b'"', end) = special(bytes, at + 1)? else { return None };
    text.get(at + 1..end)
}

/// As serde reads it, without asking serde where there is nothing to unescape.
pub(crate) fn scalar(value: &str) -> Option<Cow<'_, str>> {
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match inside {
        Some(inside) if !inside.contains('\\') => Some(Cow::Borrowed(inside)),
        _ => scalar_text(value),
    }
}

/// The value at `at` lies in one bracket that is counted: `max_depth` is 129 at most.
pub(crate) fn behind_value(bytes: &[u8], mut at: usize, max_depth: usize) -> Option<usize> {
    // One bit for each open bracket, the innermost lowest: whether it is an object's. The frame's own is not counted.
    let mut objects = 0_u128;
    let mut depth = 1;
    loop {
        match *bytes.get(at)? {
            b'"' => at = behind_string(bytes, at + 1)?,
            bracket @ (b'{' | b'[') => {
                if depth == max_depth {
                    return None;
                }
                let is_object = bracket == b'{';
                let (first, inside) = token(bytes, at + 1)?;
                if first == closing(is_object) {
                    at = inside + 1;
                } else {
                    depth += 1;
                    objects = objects << 1 | u128::from(is_object);
                    at = if is_object { behind_name(bytes, first, inside)? } else { inside };
                    continue;
                }
            }
            b't' => at = behind_word(bytes, at, b"true")?,
            b'f' => at = behind_word(bytes, at, b"false")?,
            b'n' => at = behind_word(bytes, at, b"null")?,
            b'-' => at = behind_number(bytes, at + 1)?,
            b'0'..=b'9' => at = behind_number(bytes, at)?,
            _ => return None,
        }
        // To the next value, out of all that ends here.
        loop {
            if depth == 1 {
                return Some(at);
            }
            let is_object = objects & 1 == 1;
            let (next, here) = token(bytes, at)?;
            if next == b',' {
                let (first, inside) = token(bytes, here + 1)?;
                at = if is_object { behind_name(bytes, first, inside)? } else { inside };
                break;
            }
            if next != closing(is_object) {
                return None;
            }
            at = here + 1;
            depth -= 1;
            objects >>= 1;
        }
    }
}

#[inline(always)]
fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

/// Where the value begins whose name begins with the byte `first`, at `at`.
#[inline(always)]
fn behind_name(bytes: &[u8], first: u8, at: usize) -> Option<usize> {
    if first != b'"' {
        return None;
    }
    behind_colon(bytes, behind_string(bytes, at + 1)?)
}

#[inline(always)]
pub(crate) fn behind_colon(bytes: &[u8], at: usize) -> Option<usize> {
    let (b':', at) = token(bytes, at)? else { return None };
    Some(token(bytes, at + 1)?.1)
}

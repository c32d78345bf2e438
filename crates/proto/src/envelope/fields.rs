//! The members of a frame that count, as serde reads them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Unreadable;

/// Decides on every frame that `scan` leaves, and so on every refusal.
///
/// Of a repeated member the last one counts, even if it is worth nothing: a `version` or `result` that is neither
/// string nor number, or a string of unpaired surrogates, is as none. A `topicName` that is no string, in any of its
/// places, refuses the frame, as do unpaired surrogates in it or in a name; in a value they stay as they came. Too
/// deep goes before not JSON, and brackets behind the end of the JSON count.
pub(super) fn by_serde(text: &str, max_depth: usize) -> Result<Fields<'_>, Unreadable> {
    if too_deep(text.as_bytes(), max_depth) {
        return Err(Unreadable::TooDeep(max_depth));
    }
    serde_json::from_str(text).map_err(|_| Unreadable::NotJson)
}

/// serde_json skips a raw value without recursion and so without a limit of its own.
pub(crate) fn too_deep(bytes: &[u8], max_depth: usize) -> bool {
    let (mut depth, mut in_string, mut i) = (0_usize, false, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'\\' if in_string => i += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > max_depth {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        i += 1;
    }
    false
}

#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) topic: Option<Cow<'a, str>>,
    pub(super) body: Option<&'a str>,
    pub(super) version: Option<Cow<'a, str>>,
    pub(super) metadata: Option<&'a str>,
    pub(super) result: Option<Cow<'a, str>>,
}

/// Written by hand because repeated members must do as in `JSON.parse`: the last one counts.
impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a frame")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
                    match &*key {
                        "topicName" => fields.topic = Some(map.next_value::<Text<'de>>()?.0),
                        "eventBody" => fields.body = Some(map.next_value::<&RawValue>()?.get()),
                        "version" => fields.version = scalar_text(map.next_value::<&RawValue>()?.get()),
                        "metadata" => fields.metadata = Some(map.next_value::<&RawValue>()?.get()),
                        "result" => fields.result = scalar_text(map.next_value::<&RawValue>()?.get()),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A string's content, or the text of a number; the service writes `"2"` and `"404"`, a gateway might not quote.
pub(crate) fn scalar_text(text: &str) -> Option<Cow<'_, str>> {
    match text.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(text).ok().map(|text| text.0),
        Some(b'0'..=b'9' | b'-') => Some(Cow::Borrowed(text)),
        _ => None,
    }
}

struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

//! What a body means, whatever the order of its members and the white space between them.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde_json::Value;

/// A hash of the meaning of a JSON text; nothing if it is none.
pub(crate) fn hash(text: &str) -> Option<u64> {
    let value: Value = serde_json::from_str(text).ok()?;
    let mut hasher = DefaultHasher::new();
    absorb(&value, &mut hasher);
    Some(hasher.finish())
}

fn absorb(value: &Value, hasher: &mut DefaultHasher) {
    std::mem::discriminant(value).hash(hasher);
    match value {
        Value::Null => {}
        Value::Bool(bool) => bool.hash(hasher),
        Value::Number(number) => number.to_string().hash(hasher),
        Value::String(text) => text.hash(hasher),
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| absorb(item, hasher));
        }
        Value::Object(members) => {
            members.len().hash(hasher);
            // In one order, whatever order the map keeps.
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, value) in members {
                name.hash(hasher);
                absorb(value, hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_members_and_white_space_do_not_matter_and_everything_else_does() {
        let same = [
            r#"{"a":1,"b":[{"c":null,"d":"x"}]}"#,
            "{ \"b\" : [ {\"d\":\"\\u0078\", \"c\":null} ],\n \"a\":1 }",
        ];
        assert_eq!(hash(same[0]), hash(same[1]));
        let others = [
            r#"{"a":2,"b":[{"c":null,"d":"x"}]}"#,
            r#"{"a":1,"b":[{"c":false,"d":"x"}]}"#,
            r#"{"a":1,"b":[{"c":null,"d":"x"},null]}"#,
            r#"{"a":"1","b":[{"c":null,"d":"x"}]}"#,
        ];
        assert!(others.iter().all(|other| hash(other) != hash(same[0]) && hash(other).is_some()));
        assert_eq!(hash("{"), None);
    }
}

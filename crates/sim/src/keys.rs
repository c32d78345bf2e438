use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The same JSON with the keys of its objects turned by `by` places; texts and numbers stay as they are written.
pub(crate) fn turned(json: &str, by: u64) -> String {
    let Ok(Members(mut members)) = serde_json::from_str::<Members<'_>>(json) else { return json.to_owned() };
    if !members.is_empty() {
        let places = by % members.len() as u64;
        members.rotate_left(places as usize);
    }
    let members = members.into_iter().map(|(key, value)| {
        let value = match value.get().starts_with('{') {
            true => turned(value.get(), by),
            false => value.get().to_owned(),
        };
        format!("{}:{value}", key.get())
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The members of an object in their order, keys as they are written.
struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_order_of_keys_changes() {
        let body = r#"{"a":1.50,"b":{"x":"\u0041","y":[{"p":1,"q":2}]},"c":null}"#;
        assert_eq!(turned(body, 1), r#"{"b":{"y":[{"p":1,"q":2}],"x":"\u0041"},"c":null,"a":1.50}"#);
        assert_eq!(turned(body, 6), body);
        assert_eq!(turned("[1,2]", 1), "[1,2]");
        assert_eq!(turned("{}", 3), "{}");
    }
}

//! Whether a value is the one that says ready, by what it means.

use serde_json::{Number, Value};

/// The value, and how it is written mostly.
#[derive(Clone, Debug)]
pub(super) struct Ready {
    value: Value,
    written: String,
}

impl Ready {
    pub(super) fn new(value: Value) -> Self {
        let written = value.to_string();
        Self { value, written }
    }

    /// `text` is valid JSON. Most frames are something else, and most of those are seen to be at their first byte.
    pub(super) fn is(&self, text: &str) -> bool {
        if text == self.written {
            return true;
        }
        let could_be = match (&self.value, text.as_bytes().first()) {
            (Value::String(_), Some(b'"')) => text.contains('\\'),
            (Value::Number(_), Some(b'-' | b'0'..=b'9')) | (Value::Array(_), Some(b'[')) => true,
            (Value::Object(_), Some(b'{')) => true,
            _ => false,
        };
        could_be && serde_json::from_str(text).is_ok_and(|value: Value| is_same(&self.value, &value))
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => is_same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| is_same(one, other)))
        }
        _ => one == other,
    }
}

/// 1 and 1.0 are one number, as in JavaScript.
fn is_same_number(one: &Number, other: &Number) -> bool {
    one == other || one.as_f64() == other.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let table = [
            (json!("connected"), r#""connected""#, true),
            (json!("connected"), r#""c\u006fnnected""#, true),
            (json!("connected"), r#""Connected""#, false),
            (json!("connected"), r#"["connected"]"#, false),
            (json!("a\"b\u{1}é"), r#""a\"b\u0001\u00e9""#, true),
            (json!(true), "true", true),
            (json!(true), "false", false),
            (json!(true), "1", false),
            (json!(true), r#""true""#, false),
            (json!(null), "null", true),
            (json!(null), "0", false),
            (json!(200), "200", true),
            (json!(200), "200.0", true),
            (json!(200), "2e2", true),
            (json!(200), "201", false),
            (json!(200), r#""200""#, false),
            (json!(-0.5), "-5e-1", true),
            (json!({"a": [1, {"b": null}], "c": "x"}), r#"{ "c":"x", "a":[ 1.0, {"b":null} ] }"#, true),
            (json!({"a": 1}), r#"{"a":1,"b":2}"#, false),
            (json!({"a": 1, "b": 2}), r#"{"a":1}"#, false),
            (json!({"a": 1}), r#"{"b":1}"#, false),
            (json!([1, 2]), "[2,1]", false),
            (json!([]), "[]", true),
            (json!([]), "{}", false),
        ];
        for (value, text, expected) in table {
            assert_eq!(Ready::new(value.clone()).is(text), expected, "{value} {text}");
        }
    }
}

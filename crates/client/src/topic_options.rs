//! The options of a subscription, parsed once into what cannot be wrong afterwards.

use std::sync::Arc;

use genesys_notifications_proto::{Select, TopicStatus};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::options::{OptionError, members};

/// Events per second of a topic.
const SLOWEST: f64 = 0.01;
const FASTEST: f64 = 1_000.0;

/// What is done to the events of a topic before they are handed over.
#[derive(Clone, Debug, Default)]
pub struct TopicOptions {
    pub(crate) select: Option<Selected>,
    pub(crate) conflate: Option<ConflateOptions>,
}

/// Paths as they were written, and ready for use.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) paths: Arc<[String]>,
    pub(crate) select: Arc<Select>,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConflateOptions {
    /// At most so many events of each topic in a second. 0.01 to 1,000.
    pub max_per_second: f64,
}

/// A wanted topic's status, and what is done to its events.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicReport {
    /// Where it stands.
    #[serde(flatten)]
    pub status: TopicStatus,
    /// The paths its bodies are cut down to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub select: Option<Vec<String>>,
    /// How it is conflated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conflate: Option<ConflateOptions>,
}

impl TopicOptions {
    /// Reads a JSON object with the members `select`, an array of paths, and `conflate`, `{"maxPerSecond":…}`.
    ///
    /// # Errors
    /// Names the member, e.g. `select[1]` or `conflate.maxPerSecond`.
    pub fn from_json(json: &str) -> Result<Self, OptionError> {
        let mut given = members(json).map_err(|_| OptionError::new("options", "must be an object"))?;
        let select = given.remove("select").map(selected).transpose()?;
        let conflate = given.remove("conflate").map(conflate).transpose()?;
        if let Some(name) = given.keys().next() {
            return Err(OptionError::new(name.clone(), "is not an option"));
        }
        Ok(Self { select, conflate })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.select.is_none() && self.conflate.is_none()
    }
}

impl ConflateOptions {
    /// The shortest time between two events; clocks here count whole milliseconds.
    pub(crate) fn every_ms(self) -> u64 {
        (1_000.0 / self.max_per_second).ceil() as u64
    }
}

fn selected(value: &RawValue) -> Result<Selected, OptionError> {
    let given: Vec<&RawValue> = serde_json::from_str(value.get())
        .map_err(|_| OptionError::new("select", "must be an array of paths"))?;
    let path = |(i, value): (usize, &&RawValue)| {
        serde_json::from_str::<String>(value.get())
            .map_err(|_| OptionError::new(format!("select[{i}]"), "must be a text"))
    };
    let paths = given.iter().enumerate().map(path).collect::<Result<Vec<_>, _>>()?;
    let select = Select::compile(&paths).map_err(|error| {
        let path = error.index.map_or_else(|| "select".to_owned(), |i| format!("select[{i}]"));
        OptionError::new(path, error.reason)
    })?;
    Ok(Selected { paths: paths.into(), select: Arc::new(select) })
}

fn conflate(value: &RawValue) -> Result<ConflateOptions, OptionError> {
    let given = members(value.get()).map_err(|_| OptionError::new("conflate", "must be an object"))?;
    if let Some(name) = given.keys().find(|name| *name != "maxPerSecond") {
        return Err(OptionError::new(format!("conflate.{name}"), "is not an option"));
    }
    let wrong = || {
        OptionError::new(
            "conflate.maxPerSecond",
            format!("must be a number between {SLOWEST} and {FASTEST}, of events per second"),
        )
    };
    let options: ConflateOptions = serde_json::from_str(value.get()).map_err(|_| wrong())?;
    if (SLOWEST..=FASTEST).contains(&options.max_per_second) { Ok(options) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = |json: &str| TopicOptions::from_json(json).unwrap();
        assert!(read("{}").is_empty() && read(r#"{"select":null}"#).is_empty());
        let both = read(r#"{"select":["id","a.b"],"conflate":{"maxPerSecond":0.5}}"#);
        assert_eq!(&*both.select.unwrap().paths, ["id", "a.b"]);
        for (rate, every) in [(0.5, 2_000), (0.01, 100_000), (1_000.0, 1), (3.0, 334), (999.0, 2)] {
            assert_eq!(ConflateOptions { max_per_second: rate }.every_ms(), every);
        }
    }

    #[test]
    fn errors_name_the_option() {
        let table = [
            ("7", "options", "object"),
            (r#"{"selects":[]}"#, "selects", "not an option"),
            (r#"{"select":"id"}"#, "select", "array"),
            (r#"{"select":[]}"#, "select", "must name a path"),
            (r#"{"select":["id",7]}"#, "select[1]", "text"),
            (r#"{"select":["id","\ud800"]}"#, "select[1]", "text"),
            (r#"{"select":["id","a..b"]}"#, "select[1]", "empty"),
            (r#"{"conflate":5}"#, "conflate", "object"),
            (r#"{"conflate":{}}"#, "conflate.maxPerSecond", "between"),
            (r#"{"conflate":{"maxPerSecond":"1"}}"#, "conflate.maxPerSecond", "between"),
            (r#"{"conflate":{"maxPerSecond":0}}"#, "conflate.maxPerSecond", "between"),
            (r#"{"conflate":{"maxPerSecond":1000.5}}"#, "conflate.maxPerSecond", "between"),
            (r#"{"conflate":{"perSecond":1}}"#, "conflate.perSecond", "not an option"),
        ];
        for (json, path, why) in table {
            let error = TopicOptions::from_json(json).unwrap_err();
            assert_eq!(error.path, path, "{json}");
            assert!(error.message.contains(why), "{json}: {error}");
        }
    }
}

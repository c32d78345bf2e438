use std::{collections::HashMap, sync::OnceLock};

use serde::Deserialize;
use serde_json::Value;

/// The 242 topic templates and their body schemas, from the .NET SDK named in `data/topics.min.json` (MIT).
pub(crate) struct Catalogue {
    templates: Vec<Template>,
    /// By the number of segments and the second one, which is never a placeholder.
    by_kind: HashMap<(usize, String), Vec<usize>>,
    schemas: Vec<Vec<(String, Kind)>>,
}

/// One topic template and the schema of its bodies.
pub(crate) struct Template {
    pub(crate) text: String,
    pub(crate) schema: usize,
}

/// The type of a value in a body.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text,
    Date,
    Integer,
    Number,
    Boolean,
    Any,
    Schema(usize),
    Array(Box<Kind>),
    Map(Box<Kind>),
    Choice(Vec<String>),
    Object(Vec<(String, Kind)>),
}

#[derive(Deserialize)]
struct Data {
    topics: Vec<(String, usize)>,
    schemas: Vec<serde_json::Map<String, Value>>,
}

impl Catalogue {
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Catalogue> = OnceLock::new();
        SHARED.get_or_init(|| {
            let data: Data = serde_json::from_str(include_str!("../data/topics.min.json"))
                .expect("the data file is part of this crate");
            Self::new(data)
        })
    }

    fn new(data: Data) -> Self {
        let schemas = data.schemas.iter().map(fields).collect();
        let templates: Vec<_> =
            data.topics.into_iter().map(|(text, schema)| Template { text, schema }).collect();
        let mut by_kind: HashMap<_, Vec<usize>> = HashMap::new();
        for (i, template) in templates.iter().enumerate() {
            by_kind.entry(kind_of(&template.text)).or_default().push(i);
        }
        Self { templates, by_kind, schemas }
    }

    pub(crate) fn templates(&self) -> &[Template] {
        &self.templates
    }

    pub(crate) fn schema(&self, number: usize) -> &[(String, Kind)] {
        self.schemas.get(number).map_or(&[], Vec::as_slice)
    }

    /// The template a full topic name belongs to; a literal segment wins over a placeholder.
    pub(crate) fn find(&self, topic: &str) -> Option<&Template> {
        // The WebSocket has no wildcards: a literal `{id}` names nothing.
        let candidates = self.by_kind.get(&kind_of(topic)).filter(|_| !topic.contains('{'))?;
        candidates
            .iter()
            .map(|&i| &self.templates[i])
            .filter(|template| matches(&template.text, topic))
            .min_by_key(|template| template.text.matches("{id}").count())
    }
}

fn kind_of(topic: &str) -> (usize, String) {
    (topic.split('.').count(), topic.split('.').nth(1).unwrap_or_default().to_owned())
}

/// Whether a topic is `pattern`, a name or a template whose `{id}` stands for any one segment.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    let (mut pattern, mut topic) = (pattern.split('.'), topic.split('.'));
    loop {
        match (pattern.next(), topic.next()) {
            (None, None) => return true,
            (Some("{id}"), Some(segment)) if is_id(segment) => {}
            (Some(literal), Some(segment)) if literal == segment => {}
            _ => return false,
        }
    }
}

/// The full names of a subscription: itself, or for `prefix?a&b` each of `prefix.a` and `prefix.b`.
pub(crate) fn expand(subscription: &str) -> Option<Vec<String>> {
    let Some((prefix, suffixes)) = subscription.split_once('?') else {
        return Some(vec![subscription.to_owned()]);
    };
    let mut names = Vec::new();
    for suffix in suffixes.split('&') {
        // Only the last segment combines.
        if suffix.is_empty() || suffix.contains(['.', '?']) {
            return None;
        }
        let name = format!("{prefix}.{suffix}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

fn is_id(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains(['{', '}', '*', '?', '&', ' '])
}

fn fields(schema: &serde_json::Map<String, Value>) -> Vec<(String, Kind)> {
    schema.iter().map(|(name, value)| (name.clone(), kind(value))).collect()
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::String(text) => match text.as_str() {
            "s" => Kind::Text,
            "t" => Kind::Date,
            "i" => Kind::Integer,
            "n" => Kind::Number,
            "b" => Kind::Boolean,
            other => {
                other.strip_prefix('#').and_then(|number| number.parse().ok()).map_or(Kind::Any, Kind::Schema)
            }
        },
        Value::Array(parts) => match (parts.first().and_then(Value::as_str), parts.get(1)) {
            (Some("a"), Some(item)) => Kind::Array(Box::new(kind(item))),
            (Some("m"), Some(item)) => Kind::Map(Box::new(kind(item))),
            (Some("o"), Some(Value::Object(inline))) => Kind::Object(fields(inline)),
            (Some("e"), _) => {
                Kind::Choice(parts[1..].iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => Kind::Any,
        },
        _ => Kind::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_finds_itself() {
        let catalogue = Catalogue::shared();
        assert_eq!(catalogue.templates().len(), 242);
        for template in catalogue.templates() {
            let name = template.text.replace("{id}", "0b1c");
            assert_eq!(catalogue.find(&name).map(|t| t.text.as_str()), Some(template.text.as_str()));
        }
    }

    #[test]
    fn combined_topics_expand_in_their_last_segment_only() {
        assert_eq!(
            expand("v2.users.a?presence&station&presence"),
            Some(vec!["v2.users.a.presence".to_owned(), "v2.users.a.station".to_owned()])
        );
        assert_eq!(expand("v2.users.a?"), None);
        assert_eq!(expand("v2.users.a?presence&"), None);
        assert_eq!(expand("v2.users.a?conversations.calls"), None);
    }

    #[test]
    fn wildcards_are_no_ids() {
        assert!(Catalogue::shared().find("v2.users.{id}.presence").is_none());
        assert!(Catalogue::shared().find("v2.users.*.presence").is_none());
        assert!(Catalogue::shared().find("v2.users..presence").is_none());
    }
}

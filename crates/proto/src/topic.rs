//! Topic names: single and combined, packed and unpacked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest single topic accepted; the longest template with ids filled in is about 150 characters.
const MAX_CHARS: usize = 200;

/// A single topic name, e.g. `v2.users.{id}.presence` with the id filled in. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// The longest name of a direct endpoint's topic: its servers have rules of their own.
const MAX_FREE_CHARS: usize = 1_000;

/// Why a text is not a topic.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TopicError {
    /// Nothing there.
    #[error("a topic must not be empty")]
    Empty,
    /// Topics have a version and a family.
    #[error("topic \"{0}\" must begin with \"v2.\" and a family, as in \"v2.users.<id>.presence\"")]
    Shape(String),
    /// A character that no topic has.
    #[error("topic \"{0}\" holds {1:?}, which no topic name has")]
    Character(String, char),
    /// A placeholder that was not filled in.
    #[error(
        "topic \"{0}\" still holds a placeholder: put the id in its place; the WebSocket knows no wildcards"
    )]
    Placeholder(String),
    /// Too long for the service.
    #[error("topic \"{0}…\" is longer than {1} characters")]
    TooLong(String, usize),
    /// Arrives without being asked for.
    #[error("topic \"{0}\" cannot be subscribed to: the service sends it by itself")]
    System(String),
}

impl Topic {
    /// Reads a name, which may be combined (`prefix?a&b`), into the single topics it stands for.
    ///
    /// # Errors
    /// If the text is not a topic name; nothing is guessed.
    pub fn expand(text: &str) -> Result<Vec<Self>, TopicError> {
        let Some((prefix, suffixes)) = text.split_once('?') else {
            return Ok(vec![Self::single(text)?]);
        };
        suffixes.split('&').map(|suffix| Self::single(&format!("{prefix}.{suffix}"))).collect()
    }

    /// Reads a name as a direct endpoint's server has it: anything on one line.
    ///
    /// # Errors
    /// If it is empty, longer than 1,000 characters, or holds a control character.
    pub fn free(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.chars().count() > MAX_FREE_CHARS {
            return Err(TopicError::TooLong(text.chars().take(40).collect(), MAX_FREE_CHARS));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(odd) => Err(TopicError::Character(text.to_owned(), odd)),
            None => Ok(Self(text.into())),
        }
    }

    fn single(text: &str) -> Result<Self, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.len() > MAX_CHARS {
            return Err(TopicError::TooLong(text.chars().take(40).collect(), MAX_CHARS));
        }
        if text.contains(['{', '}', '*']) {
            return Err(TopicError::Placeholder(text.to_owned()));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@' | '+');
        if let Some(odd) = text.chars().find(|c| !legal(*c)) {
            return Err(TopicError::Character(text.to_owned(), odd));
        }
        if text == "channel.metadata" || text.starts_with("v2.system.") || text == "v2.subscription.updated" {
            return Err(TopicError::System(text.to_owned()));
        }
        let mut segments = text.split('.');
        if segments.next() != Some("v2") || text.split('.').count() < 3 || text.split('.').any(str::is_empty)
        {
            return Err(TopicError::Shape(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last dot, and the rest. A free name may have no dot.
    pub(crate) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('.').unwrap_or(("", &self.0))
    }

    /// Only names combine; whether ids in the last place do is unknown, so they do not.
    pub(crate) fn combines(&self) -> bool {
        let (prefix, suffix) = self.split();
        prefix.matches('.').count() >= 2 && suffix.chars().all(|c| c.is_ascii_alphabetic())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic as it goes over the wire, and the single topics it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// `v2.users.u?presence&station`, or a single name.
    pub wire: String,
    /// The single topics.
    pub members: Vec<Topic>,
}

/// Packs topics into as few names of fewer than `max_chars` characters as a first fit finds.
///
/// The order of the input does not matter: the same set gives the same names.
pub fn pack<'a>(topics: impl IntoIterator<Item = &'a Topic>, max_chars: usize) -> Vec<Packed> {
    let mut groups: BTreeMap<&str, Vec<&Topic>> = BTreeMap::new();
    for topic in topics {
        groups.entry(topic.split().0).or_default().push(topic);
    }
    groups.into_values().flat_map(|group| pack_group(group, max_chars)).collect()
}

/// How many names [`pack`] makes of topics that share one prefix.
pub(crate) fn slots(group: &[&Topic], max_chars: usize) -> usize {
    pack_group(group.to_vec(), max_chars).len()
}

fn pack_group(mut group: Vec<&Topic>, max_chars: usize) -> Vec<Packed> {
    group.sort();
    group.dedup();
    let mut packed: Vec<Packed> = Vec::new();
    let mut open: Option<usize> = None;
    for topic in group {
        let (prefix, suffix) = topic.split();
        let combined = open.filter(|_| topic.combines()).map(|i| {
            let wire = &packed[i].wire;
            let joined = if packed[i].members.len() == 1 {
                format!("{prefix}?{}&{suffix}", packed[i].members[0].split().1)
            } else {
                format!("{wire}&{suffix}")
            };
            (i, joined)
        });
        match combined {
            Some((i, wire)) if wire.len() < max_chars => {
                packed[i].wire = wire;
                packed[i].members.push(topic.clone());
            }
            _ => {
                packed.push(Packed { wire: topic.as_str().to_owned(), members: vec![topic.clone()] });
                if topic.combines() {
                    open = Some(packed.len() - 1);
                }
            }
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(names: &[&str]) -> Vec<Topic> {
        names.iter().flat_map(|name| Topic::expand(name).unwrap()).collect()
    }

    fn wires(names: &[&str]) -> Vec<String> {
        pack(&topics(names), 200).into_iter().map(|packed| packed.wire).collect()
    }

    #[test]
    fn topics_sharing_all_but_the_last_segment_are_combined() {
        assert_eq!(
            wires(&["v2.users.u.station", "v2.users.u.presence", "v2.users.w.presence"]),
            ["v2.users.u?presence&station", "v2.users.w.presence"]
        );
        assert_eq!(
            wires(&[
                "v2.users.u.conversations.calls",
                "v2.users.u.conversations.chats",
                "v2.users.u.conversations"
            ]),
            ["v2.users.u.conversations", "v2.users.u.conversations?calls&chats"]
        );
    }

    #[test]
    fn ids_in_the_last_place_are_not_combined() {
        assert_eq!(wires(&["v2.operations.events.a1", "v2.operations.events.b2"]).len(), 2);
        assert_eq!(wires(&["v2.outbound.settings", "v2.outbound.other"]).len(), 2);
    }

    #[test]
    fn a_combined_name_stays_below_the_limit_and_nothing_is_lost() {
        let names: Vec<String> =
            (b'a'..=b'z').map(|c| format!("v2.users.u.{}", String::from(c as char).repeat(20))).collect();
        let all = topics(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let packed = pack(&all, 200);
        assert!(packed.iter().all(|p| p.wire.len() < 200));
        assert!(packed.len() < 5);
        let mut members: Vec<Topic> = packed.iter().flat_map(|p| p.members.clone()).collect();
        members.sort();
        assert_eq!(members, all);
    }

    #[test]
    fn expanding_a_packed_name_gives_its_members_back() {
        for packed in pack(&topics(&["v2.users.u?a&b&c", "v2.users.w.x"]), 200) {
            assert_eq!(Topic::expand(&packed.wire).unwrap(), packed.members);
        }
    }

    #[test]
    fn what_is_not_a_topic_is_refused_with_a_reason() {
        let table = [
            ("", "must not be empty"),
            ("users.u.presence", "begin with"),
            ("v2.users", "begin with"),
            ("v2..users", "begin with"),
            ("v2.users.u.", "begin with"),
            ("v2.users.{id}.presence", "placeholder"),
            ("v2.users.*.presence", "placeholder"),
            ("v2.users.u presence", "' '"),
            ("v2.users.u.presence\n", "'\\n'"),
            ("v2.system.socket_closing", "by itself"),
            ("channel.metadata", "by itself"),
            ("v2.users.u?presence&", "begin with"),
            ("v2.users.u?a?b", "'?'"),
        ];
        for (text, reason) in table {
            let error = Topic::expand(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(Topic::expand(&format!("v2.users.{}.x", "a".repeat(200))).is_err());
    }
}

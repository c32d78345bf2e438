//! Which topics' events are handed over at all.

use genesys_notifications_proto::TopicId;

use crate::options::OptionError;

/// Bounds that no list written by hand reaches.
const MAX_PATTERNS: usize = 1_000;
const MAX_CHARS: usize = 200;

/// The option `delivery.topics`: patterns of topic names, and how many events matched none of them.
///
/// `*` stands for one segment, `**` at the end for one or more. Names match whatever their case.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    patterns: Vec<Pattern>,
    /// By number of the topic, once it was asked for.
    decided: Vec<Option<bool>>,
    filtered: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    segments: Vec<Segment>,
    is_open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Any,
    Word(String),
}

impl Filter {
    /// The service's names have few characters; those of an endpoint's topics are free.
    ///
    /// # Errors
    /// If a text is not a pattern, or there is none; the path names it, e.g. `delivery.topics[2]`.
    pub(crate) fn compile(path: &str, texts: &[String], is_free: bool) -> Result<Self, OptionError> {
        if texts.is_empty() {
            return Err(OptionError::new(path, "must name a pattern; without it everything is delivered"));
        }
        if texts.len() > MAX_PATTERNS {
            return Err(OptionError::new(path, format!("must be at most {MAX_PATTERNS} patterns")));
        }
        let compile = |(i, text): (usize, &String)| {
            Pattern::compile(text, is_free).map_err(|why| OptionError::new(format!("{path}[{i}]"), why))
        };
        let patterns = texts.iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        Ok(Self { patterns, decided: Vec::new(), filtered: 0 })
    }

    /// Whether an event of this topic is handed over; counted if not.
    pub(crate) fn passes(&mut self, topic: TopicId, name: &str) -> bool {
        let slot = topic.0 as usize;
        let decided = self.decided.get(slot).copied().flatten();
        let passes = decided.unwrap_or_else(|| {
            let passes = self.matches(name);
            self.decided.resize(self.decided.len().max(slot + 1), None);
            self.decided[slot] = Some(passes);
            passes
        });
        self.filtered += u64::from(!passes);
        passes
    }

    /// The same for an event whose topic has no number.
    pub(crate) fn passes_named(&mut self, name: &str) -> bool {
        let passes = self.matches(name);
        self.filtered += u64::from(!passes);
        passes
    }

    /// Events that matched no pattern.
    pub(crate) fn filtered(&self) -> u64 {
        self.filtered
    }

    fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }
}

impl Pattern {
    fn compile(text: &str, is_free: bool) -> Result<Self, String> {
        let legal = |c: char| {
            (is_free && !c.is_control())
                || c.is_ascii_alphanumeric()
                || matches!(c, '.' | '-' | '_' | ':' | '@' | '+' | '*')
        };
        if let Some(odd) = text.chars().find(|c| !legal(*c)) {
            return Err(format!(
                "holds {odd:?}; a pattern is a topic name with * for a segment, ** at its end for the rest"
            ));
        }
        if text.len() > MAX_CHARS {
            return Err(format!("must be at most {MAX_CHARS} characters"));
        }
        let (closed, is_open) = match text.strip_suffix("**") {
            Some("") => ("", true),
            Some(rest) => match rest.strip_suffix('.') {
                Some(rest) => (rest, true),
                None => return Err("** must be the whole last segment".into()),
            },
            None => (text, false),
        };
        if closed.is_empty() && is_open {
            return Ok(Self { segments: Vec::new(), is_open });
        }
        let segments = closed.split('.').map(|segment| match segment {
            "" => Err("holds an empty segment".to_owned()),
            "*" => Ok(Segment::Any),
            "**" => Err("** can only be the last segment".to_owned()),
            word if word.contains('*') => Err("* stands for a whole segment, not for a part of one".into()),
            word => Ok(Segment::Word(word.to_owned())),
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()?, is_open })
    }

    fn matches(&self, name: &str) -> bool {
        let mut names = name.split('.');
        let matches = self.segments.iter().all(|segment| {
            names.next().is_some_and(|name| match segment {
                Segment::Any => true,
                Segment::Word(word) => word.eq_ignore_ascii_case(name),
            })
        });
        matches && names.next().is_some() == self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(texts: &[&str]) -> Result<Filter, OptionError> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Filter::compile("delivery.topics", &texts, false)
    }

    // P10.1
    #[test]
    fn patterns_match_whole_names_segment_by_segment() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("v2.users.u.presence", &["v2.users.u.presence", "v2.users.U.Presence"], &["v2.users.u"]),
            (
                "v2.users.*.presence",
                &["v2.users.u.presence", "v2.users.0-1.presence"],
                &[
                    "v2.users.u.station",
                    "v2.users.u.x.presence",
                    "v2.users.presence",
                    "v2.users.u.presence.x",
                ],
            ),
            ("*.*.*", &["v2.users.u"], &["v2.users", "v2.users.u.presence"]),
            (
                "v2.users.*.**",
                &["v2.users.u.presence", "v2.users.u.conversations.calls"],
                &["v2.users.u", "v2.users"],
            ),
            ("**", &["v2.users.u.presence"], &[]),
        ];
        for (pattern, passing, others) in table {
            let mut filter = filter(&[pattern]).unwrap();
            for name in *passing {
                assert!(filter.passes_named(name), "{pattern} {name}");
            }
            for name in *others {
                assert!(!filter.passes_named(name), "{pattern} {name}");
            }
            assert_eq!(filter.filtered(), others.len() as u64);
        }
    }

    // P10.1
    #[test]
    fn each_topic_is_decided_once_and_counted_each_time() {
        let mut filter = filter(&["v2.a.*", "v2.b.x"]).unwrap();
        for (id, name, passes) in
            [(3, "v2.a.y", true), (0, "v2.b.y", false), (1, "v2.b.x", true), (0, "v2.b.y", false)]
        {
            assert_eq!(filter.passes(TopicId(id), name), passes, "{name}");
        }
        // The name is not looked at again.
        assert!(filter.passes(TopicId(3), "v2.c"));
        assert_eq!(filter.filtered(), 2);
    }

    #[test]
    fn names_of_an_endpoints_topics_are_free() {
        let free = |text: &str| Filter::compile("delivery.topics", &[text.to_owned(), "é.*".into()], true);
        for (text, why) in [("/users/*.x", "whole segment"), ("a\nb", "'\\n'")] {
            let error = free(text).unwrap_err();
            assert!(error.message.contains(why), "{error}");
        }
        let mut filter = free("/users/1 & 2").unwrap();
        assert!(filter.passes_named("/users/1 & 2") && filter.passes_named("é.ü"));
        assert!(!filter.passes_named("/users/1"));
    }

    #[test]
    fn what_is_not_a_pattern_is_refused_with_a_reason() {
        let table = [
            ("", "empty segment"),
            ("v2..x", "empty segment"),
            ("v2.users.", "empty segment"),
            ("v2.us*.x", "whole segment"),
            ("v2.**.x", "last segment"),
            ("v2.x**", "last segment"),
            ("v2.users.{id}.x", "'{'"),
            ("v2.users.u?a&b", "'?'"),
        ];
        for (text, why) in table {
            let error = filter(&["v2.a.b", text]).unwrap_err();
            assert_eq!(error.path, "delivery.topics[1]", "{text}");
            assert!(error.message.contains(why), "{text}: {error}");
        }
        assert_eq!(filter(&[]).unwrap_err().path, "delivery.topics");
        assert_eq!(filter(&["x"; MAX_PATTERNS + 1]).unwrap_err().path, "delivery.topics");
        assert_eq!(filter(&[&"x".repeat(MAX_CHARS + 1)]).unwrap_err().path, "delivery.topics[0]");
    }
}

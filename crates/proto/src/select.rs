//! Bodies cut down to named paths, as text: no value tree, one pass.
//!
//! What counts is what `JSON.parse` would make of the text:
//! - a path names members from the outermost inwards, `a.b`; a dot in a name is written `\.`, a backslash `\\`; names are
//!   compared by what they mean, however they are written;
//! - what a path ends at is kept whole, as the text it came in; `a` and `a.b` together are `a`;
//! - arrays are transparent: a path goes on in each item. The items that are objects or arrays stay, cut down in their turn,
//!   even to nothing; others are left out where the path goes on;
//! - an object on the way stays, even if it becomes empty; a member that is neither object nor array is left out where the
//!   path goes on, as is one that is missing;
//! - members keep their order; of a repeated one the last counts, in the place of the first;
//! - a body that is neither object nor array stays as it is.

mod blocks;
mod cut;
mod path;
#[cfg(test)]
mod reference;

use thiserror::Error;

use path::segments;

/// Paths in one [`Select`].
const MAX_PATHS: usize = 100;

/// Members on the way of one path: bodies are not nested deeper by default.
const MAX_SEGMENTS: usize = 64;

/// Paths to keep of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    root: Node,
}

/// Why paths cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct SelectError {
    /// Which path; nothing if it is their number.
    pub index: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

/// The paths that begin with the same members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    children: Vec<(String, Node)>,
    /// A path ends here.
    is_whole: bool,
    /// One bit for each byte that a child's name begins with.
    firsts: [u64; 4],
}

impl Select {
    /// 1 to 100 paths of at most 64 names each.
    ///
    /// # Errors
    /// If a path cannot be read, or there are none or too many.
    pub fn compile<T: AsRef<str>>(paths: &[T]) -> Result<Self, SelectError> {
        let refuse = |index, reason: &str| SelectError { index, reason: reason.to_owned() };
        if paths.is_empty() {
            return Err(refuse(None, "must name a path; without it bodies are whole"));
        }
        if paths.len() > MAX_PATHS {
            return Err(refuse(None, "must be at most 100 paths"));
        }
        let mut root = Node::default();
        for (i, path) in paths.iter().enumerate() {
            let names = segments(path.as_ref()).map_err(|reason| refuse(Some(i), reason))?;
            if names.len() > MAX_SEGMENTS {
                return Err(refuse(Some(i), "must be at most 64 names"));
            }
            root.add(&names);
        }
        Ok(Self { root })
    }

    /// Appends the body, which must be valid JSON, cut down. Anything else is appended as it is.
    pub fn cut(&self, body: &str, out: &mut String) {
        cut::cut(&self.root, body, out);
    }
}

impl Node {
    fn add(&mut self, names: &[String]) {
        if self.is_whole {
            return;
        }
        let Some((name, rest)) = names.split_first() else {
            self.is_whole = true;
            self.children.clear();
            return;
        };
        let at = self.children.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.children.push((name.clone(), Self::default()));
            let first = name.bytes().next().unwrap_or_default();
            self.firsts[usize::from(first >> 6)] |= 1 << (first & 63);
            self.children.len() - 1
        });
        self.children[at].1.add(rest);
    }

    /// Whether a member may be on the way whose name is written with this byte first.
    #[inline]
    fn may_have(&self, first: u8) -> bool {
        first == b'\\' || self.firsts[usize::from(first >> 6)] >> (first & 63) & 1 == 1
    }

    /// Index of the member of this name.
    #[inline]
    fn find(&self, name: &str) -> Option<usize> {
        self.children.iter().position(|(known, _)| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(paths: &[&str], body: &str) -> String {
        let mut out = "before".to_owned();
        Select::compile(paths).unwrap().cut(body, &mut out);
        out.strip_prefix("before").unwrap().to_owned()
    }

    // P10.2
    #[test]
    fn what_the_rules_say() {
        let table: &[(&[&str], &str, &str)] = &[
            (&["id"], r#"{"id":"x","name":"y"}"#, r#"{"id":"x"}"#),
            (&["b", "a"], r#"{ "a" : 1 , "c" : 2 , "b" : [ 1, 2 ] }"#, r#"{"a":1,"b":[ 1, 2 ]}"#),
            (&["n"], r#"{"n":1.50e400,"m":1}"#, r#"{"n":1.50e400}"#),
            (&["a.b"], r#"{"a":{"b":1,"c":2},"b":3}"#, r#"{"a":{"b":1}}"#),
            (&["a.b", "a"], r#"{"a":{"b":1,"c":2},"b":3}"#, r#"{"a":{"b":1,"c":2}}"#),
            (&["a", "a.b"], r#"{"a":{"b":1,"c":2},"b":3}"#, r#"{"a":{"b":1,"c":2}}"#),
            (&["a"], r#"{}"#, r#"{}"#),
            (&["a"], r#"{"b":1}"#, r#"{}"#),
            // Arrays are transparent.
            (&["p.x"], r#"{"p":[{"x":1,"y":2},{"y":3},{},[],7,"s",null]}"#, r#"{"p":[{"x":1},{},{},[]]}"#),
            (&["p.x"], r#"{"p":[[{"x":1}],[[{"y":1}],2]]}"#, r#"{"p":[[{"x":1}],[[{}]]]}"#),
            (&["p"], r#"{"p":[1,[2],{"x":3}],"q":0}"#, r#"{"p":[1,[2],{"x":3}]}"#),
            (&["id"], r#"[{"id":1,"x":2},3,[{"id":4}]]"#, r#"[{"id":1},[{"id":4}]]"#),
            // No object where the path goes on.
            (&["a.b"], r#"{"a":5,"c":1}"#, r#"{}"#),
            (&["a.b", "c"], r#"{"a":null,"c":1}"#, r#"{"c":1}"#),
            (&["a.b"], r#"{"a":{"c":1}}"#, r#"{"a":{}}"#),
            // Names by their meaning.
            (&["ab"], r#"{"\u0061b":1,"a\u0062":2}"#, r#"{"a\u0062":2}"#),
            (&["a\"b"], r#"{"a\"b":1,"a\\b":2}"#, r#"{"a\"b":1}"#),
            (&["a\\\\b"], r#"{"a\"b":1,"a\\b":2}"#, r#"{"a\\b":2}"#),
            (&["a\\.b"], r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a.b":1}"#),
            (&["é😀"], r#"{"é\ud83d\ude00":1}"#, r#"{"é\ud83d\ude00":1}"#),
            (&["a"], r#"{"\ud800":1,"a":2,"\udc00a":3}"#, r#"{"a":2}"#),
            // Repeated: the last in the place of the first.
            (&["a", "b"], r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (&["a.x", "b"], r#"{"a":{"x":1},"b":2,"a":{"y":3}}"#, r#"{"a":{},"b":2}"#),
            (&["a.x", "b"], r#"{"a":{"x":1},"b":2,"a":3}"#, r#"{"b":2}"#),
            (&["a.x", "b"], r#"{"a":3,"b":2,"a":{"x":1}}"#, r#"{"a":{"x":1},"b":2}"#),
            // Scalars stay.
            (&["a"], "null", "null"),
            (&["a"], r#""{\"a\":1}""#, r#""{\"a\":1}""#),
            (&["a"], "-1.5", "-1.5"),
            (&["a"], "", ""),
            (&["a"], r#"{"a":"#, r#"{"a":"#),
        ];
        for (paths, body, expected) in table {
            assert_eq!(cut(paths, body), *expected, "{paths:?} {body}");
        }
    }

    // P10.2
    #[test]
    fn brackets_and_commas_in_strings_are_no_brackets_and_commas() {
        for padding in 0..140 {
            let noise = format!(r#"{}]}}\\\"{{[,"#, "x".repeat(padding));
            let body = format!(r#"{{"n":"{noise}","o":{{"n":["{noise}",{{}}]}},"a":"{noise}","z":"\\"}}"#);
            assert_eq!(cut(&["a"], &body), format!(r#"{{"a":"{noise}"}}"#));
            assert_eq!(cut(&["o.n", "z"], &body), format!(r#"{{"o":{{"n":["{noise}",{{}}]}},"z":"\\"}}"#));
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{{\"a\":1,\"b\":2}}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(cut(&["a"], &deep), deep.replace(",\"b\":2", ""));
    }

    #[test]
    fn what_is_not_a_path_is_refused_with_a_reason() {
        let table = [
            ("", "empty"),
            (".", "empty"),
            ("a.", "empty"),
            (".a", "empty"),
            ("a..b", "empty"),
            ("a\\b", "backslash"),
            ("a\\", "backslash"),
        ];
        for (path, why) in table {
            let error = Select::compile(&["ok", path]).unwrap_err();
            assert_eq!(error.index, Some(1), "{path}");
            assert!(error.reason.contains(why), "{path}: {error}");
        }
        assert_eq!(Select::compile::<&str>(&[]).unwrap_err().index, None);
        assert_eq!(Select::compile(&["a"; MAX_PATHS + 1]).unwrap_err().index, None);
        let long = vec!["a"; MAX_SEGMENTS + 1].join(".");
        assert_eq!(Select::compile(&[&long[2..], &long]).unwrap_err().index, Some(1));
    }
}

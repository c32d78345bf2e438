//! The pass: only as deep as pointers go, everything else is skipped.

use crate::envelope::Unreadable;
use crate::envelope::fields::too_deep;
use crate::envelope::scan::{behind_colon, behind_value};
use crate::envelope::token::{behind_string, special, token};

use super::Pointer;

/// Pointers that are looked for together, each with the slot its value goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Finder {
    root: Node,
}

/// The pointers that begin with the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// Pointers that end here.
    slots: Vec<usize>,
    children: Vec<Child>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Child {
    name: String,
    /// The same as the place in an array, if it can be one.
    index: Option<usize>,
    node: Node,
}

impl Finder {
    /// Pointers and their slots.
    pub(crate) fn new<'p>(pointers: impl IntoIterator<Item = (usize, &'p Pointer)>) -> Self {
        let mut finder = Self::default();
        for (slot, pointer) in pointers {
            finder.root.add(&pointer.names, slot);
        }
        finder
    }

    /// Fills the slots of a text that is nested no deeper than `max_depth`, 128 at most.
    ///
    /// As in `JSON.parse`, of a repeated member the last one counts. A name of unpaired surrogates is no pointer's. Too deep
    /// goes before not JSON.
    pub(crate) fn find<'a>(
        &self,
        text: &'a str,
        max_depth: usize,
        found: &mut [Option<&'a str>],
    ) -> Result<(), Unreadable> {
        let bytes = text.as_bytes();
        let ended = token(bytes, 0).and_then(|(_, at)| self.root.walk(text, at, max_depth, found));
        match ended {
            Some(end) if token(bytes, end).is_none() => Ok(()),
            _ if too_deep(bytes, max_depth) => Err(Unreadable::TooDeep(max_depth)),
            _ => Err(Unreadable::NotJson),
        }
    }

    /// Hands each item of an array on: its text, and its slots. The text is one that was found; anything but an array has no
    /// items.
    pub(crate) fn each_item<'a, const SLOTS: usize>(
        &self,
        array: &'a str,
        max_depth: usize,
        mut each: impl FnMut(&'a str, &mut [Option<&'a str>; SLOTS]),
    ) {
        let bytes = array.as_bytes();
        let Some((b'[', open)) = token(bytes, 0) else { return };
        let mut next = token(bytes, open + 1);
        while let Some((first, at)) = next
            && first != b']'
        {
            let mut found = [None; SLOTS];
            let Some(end) = self.root.walk(array, at, max_depth, &mut found) else { return };
            if let Some(item) = array.get(at..end) {
                each(item, &mut found);
            }
            next = match token(bytes, end) {
                Some((b',', comma)) => token(bytes, comma + 1),
                _ => None,
            };
        }
    }
}

impl Node {
    fn add(&mut self, names: &[String], slot: usize) {
        let Some((name, rest)) = names.split_first() else { return self.slots.push(slot) };
        let at = self.children.iter().position(|child| child.name == *name).unwrap_or_else(|| {
            self.children.push(Child { name: name.clone(), index: index(name), node: Self::default() });
            self.children.len() - 1
        });
        self.children[at].node.add(rest, slot);
    }

    /// Behind the value at `at`, in which so many more brackets may be open at once; nothing if that is not so.
    fn walk<'a>(
        &self,
        text: &'a str,
        at: usize,
        levels: usize,
        found: &mut [Option<&'a str>],
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let end = match bytes.get(at)? {
            b'{' if !self.children.is_empty() => self.walk_object(text, at, levels.checked_sub(1)?, found)?,
            b'[' if !self.children.is_empty() => self.walk_array(text, at, levels.checked_sub(1)?, found)?,
            _ => behind_value(bytes, at, levels + 1)?,
        };
        if !self.slots.is_empty() {
            let value = text.get(at..end)?;
            self.slots.iter().for_each(|slot| found[*slot] = Some(value));
        }
        Some(end)
    }

    fn walk_object<'a>(
        &self,
        text: &'a str,
        open: usize,
        levels: usize,
        found: &mut [Option<&'a str>],
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let (mut first, mut at) = token(bytes, open + 1)?;
        while first != b'}' {
            if first != b'"' {
                return None;
            }
            let (child, behind) = self.member(text, at)?;
            let start = behind_colon(bytes, behind)?;
            at = match child {
                Some(child) => {
                    child.node.clear(found);
                    child.node.walk(text, start, levels, found)?
                }
                None => behind_value(bytes, start, levels + 1)?,
            };
            (first, at) = token(bytes, at)?;
            if first == b',' {
                (first, at) = token(bytes, at + 1)?;
                // Nothing may stand between a comma and the end.
                if first != b'"' {
                    return None;
                }
            } else if first != b'}' {
                return None;
            }
        }
        Some(at + 1)
    }

    fn walk_array<'a>(
        &self,
        text: &'a str,
        open: usize,
        levels: usize,
        found: &mut [Option<&'a str>],
    ) -> Option<usize> {
        let bytes = text.as_bytes();
        let (mut first, mut at) = token(bytes, open + 1)?;
        let mut index = 0;
        while first != b']' || index > 0 {
            at = match self.children.iter().find(|child| child.index == Some(index)) {
                Some(child) => child.node.walk(text, at, levels, found)?,
                None => behind_value(bytes, at, levels + 1)?,
            };
            index += 1;
            (first, at) = token(bytes, at)?;
            match first {
                b',' => (_, at) = token(bytes, at + 1)?,
                b']' => break,
                _ => return None,
            }
        }
        Some(at + 1)
    }

    /// The child of the name at `at`, if it has one, and where the name ends.
    fn member(&self, text: &str, at: usize) -> Option<(Option<&Child>, usize)> {
        let bytes = text.as_bytes();
        let (byte, end) = special(bytes, at + 1)?;
        if byte == b'"' {
            let name = text.get(at + 1..end)?;
            return Some((self.children.iter().find(|child| child.name == name), end + 1));
        }
        let end = behind_string(bytes, at + 1)?;
        let name: Option<String> = serde_json::from_str(text.get(at..end)?).ok();
        Some((name.and_then(|name| self.children.iter().find(|child| child.name == name)), end))
    }

    /// What an earlier member of the same name has brought does not count.
    fn clear(&self, found: &mut [Option<&str>]) {
        self.slots.iter().for_each(|slot| found[*slot] = None);
        self.children.iter().for_each(|child| child.node.clear(found));
    }
}

/// RFC 6901: digits without leading zeros.
fn index(name: &str) -> Option<usize> {
    let is_index = name.bytes().all(|byte| byte.is_ascii_digit()) && (name == "0" || !name.starts_with('0'));
    if is_index { name.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(pointers: &[&str], text: &'a str) -> Result<Vec<Option<&'a str>>, Unreadable> {
        let pointers: Vec<Pointer> = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        let mut found = vec![None; pointers.len()];
        Finder::new(pointers.iter().enumerate()).find(text, 8, &mut found)?;
        Ok(found)
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let text = r#" {"foo":["bar", "baz" ], "":0,"a/b":1,"c%d":2,"k\"l":6.50e1," ":7,"m~n":{"x" : null},"01":[true]} "#;
        let table = [
            ("", Some(text.trim())),
            ("/foo", Some(r#"["bar", "baz" ]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/foo/1", Some(r#""baz""#)),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/00", None),
            ("/foo/+1", None),
            ("/foo/length", None),
            ("/foo/18446744073709551616", None),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/c%d", Some("2")),
            ("/k\"l", Some("6.50e1")),
            ("/ ", Some("7")),
            ("/m~0n", Some(r#"{"x" : null}"#)),
            ("/m~0n/x", Some("null")),
            ("/m~0n/x/y", None),
            ("/m~0n/y", None),
            ("/01/0", Some("true")),
            ("/foo/0/0", None),
        ];
        let pointers: Vec<&str> = table.iter().map(|(pointer, _)| *pointer).collect();
        let together = find(&pointers, text).unwrap();
        for ((pointer, expected), found) in table.into_iter().zip(together) {
            assert_eq!(found, expected, "{pointer:?} among others");
            assert_eq!(find(&[pointer], text), Ok(vec![expected]), "{pointer:?}");
        }
    }

    #[test]
    fn of_repeated_members_the_last_counts_with_all_that_is_in_it() {
        let table: &[(&str, &str, Option<&str>)] = &[
            ("/a", r#"{"a":1,"a":2}"#, Some("2")),
            ("/a", r#"{"a":1,"\u0061":2}"#, Some("2")),
            ("/a/b", r#"{"a":{"b":1},"a":{"c":2}}"#, None),
            ("/a/b", r#"{"a":{"b":1},"a":3}"#, None),
            ("/a/b", r#"{"a":3,"a":{"b":1,"b":[]}}"#, Some("[]")),
            ("/a/0", r#"{"a":[1],"a":[]}"#, None),
        ];
        for (pointer, text, expected) in table {
            assert_eq!(find(&[pointer], text), Ok(vec![*expected]), "{pointer} {text}");
        }
    }

    #[test]
    fn escaped_names_are_compared_by_what_they_mean() {
        let text = r#"{"\ud800":0,"top\u0069c":1,"\ud83d\ude00":2,"a\/b":3}"#;
        assert_eq!(find(&["/topic", "/😀", "/a~1b"], text), Ok(vec![Some("1"), Some("2"), Some("3")]));
    }

    #[test]
    fn what_is_no_json_is_refused_wherever_it_stands() {
        let texts = [
            "",
            " ",
            "nul",
            "{",
            "[",
            "{}x",
            "{} {}",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a" 1}"#,
            r#"{"a":1 "b":2}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":{"b":1,}}"#,
            r#"{"a":{"b":tru}}"#,
            "{\"a\":\"\n\"}",
            r#"{"\x":1}"#,
            r#"{"a":]"#,
            "[}",
            "]",
        ];
        for text in texts {
            for pointers in [&["/a/b", "/0"][..], &["/x"], &[""]] {
                assert_eq!(find(pointers, text), Err(Unreadable::NotJson), "{text:?} {pointers:?}");
            }
        }
    }

    #[test]
    fn depth_is_limited_on_the_way_and_beside_it() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        for pointer in ["", "/0", "/0/0/0/0/0/0/0/0/0", "/a/a/a/a/a/a/a/a/a/a", "/a"] {
            for text in [nested, objects as fn(usize) -> String] {
                assert!(find(&[pointer], &text(8)).is_ok(), "{pointer}");
                assert_eq!(find(&[pointer], &text(9)), Err(Unreadable::TooDeep(8)), "{pointer}");
                assert_eq!(find(&[pointer], &text(100_000)), Err(Unreadable::TooDeep(8)), "{pointer}");
            }
        }
        let most = nested(128);
        let deep = Pointer::parse(&"/0".repeat(127)).unwrap();
        for pointer in [&Pointer::parse("").unwrap(), &deep] {
            let mut found = [None];
            Finder::new([(0, pointer)]).find(&most, 128, &mut found).unwrap();
            assert_eq!(found[0].map(str::len), Some(if pointer.is_whole() { 256 } else { 2 }));
            let more = nested(129);
            let refused = Finder::new([(0, pointer)]).find(&more, 128, &mut [None]);
            assert_eq!(refused, Err(Unreadable::TooDeep(128)));
        }
    }

    #[test]
    fn items_are_handed_on_one_by_one() {
        let id = Pointer::parse("/id").unwrap();
        let finder = Finder::new([(0, &id)]);
        let mut items = Vec::new();
        let array = r#"[ {"id":1} , {"x":[]}, 7 ,[{"id":2}],{"id" : "]"}]"#;
        finder.each_item(array, 8, |item, [id]| items.push((item, *id)));
        let expected = [
            (r#"{"id":1}"#, Some("1")),
            (r#"{"x":[]}"#, None),
            ("7", None),
            (r#"[{"id":2}]"#, None),
            (r#"{"id" : "]"}"#, Some(r#""]""#)),
        ];
        assert_eq!(items, expected);
        for none in ["[]", "[ ]", "{}", "7", "null"] {
            finder.each_item(none, 8, |item, [_]| panic!("{item} of {none}"));
        }
    }
}

//! The finder against serde_json's own pointers on a tree of values.

use std::fmt::Write;

use serde_json::Value;

use super::{Finder, Pointer};
use crate::{Random, SplitMix};

const NAMES: [&str; 9] = ["a", "b", "0", "1", "", "a/b", "~", "é😀", "a\"b"];
const SCALARS: [&str; 8] = ["null", "true", "0", "-1.5e3", "\"x\"", "\"]}\\\"{[\"", "\"\\u00e9\"", "12"];
const SPACES: [&str; 4] = ["", "", " ", "\n\t"];
const POINTERS: usize = 12;

struct Source(SplitMix);

impl Source {
    fn below(&mut self, limit: usize) -> usize {
        self.0.up_to(limit as u64 - 1) as usize
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn value(&mut self, levels: usize, text: &mut String) {
        text.push_str(self.one(&SPACES));
        match self.below(if levels == 0 { 1 } else { 4 }) {
            0 => text.push_str(self.one(&SCALARS)),
            1 => {
                text.push('[');
                for i in 0..self.below(4) {
                    text.push_str(if i == 0 { "" } else { "," });
                    self.value(levels - 1, text);
                }
                text.push(']');
            }
            _ => {
                text.push('{');
                // Names repeat often.
                for i in 0..self.below(6) {
                    text.push_str(if i == 0 { "" } else { "," });
                    text.push_str(self.one(&SPACES));
                    self.name(text);
                    text.push_str(self.one(&SPACES));
                    text.push(':');
                    self.value(levels - 1, text);
                }
                text.push('}');
            }
        }
        text.push_str(self.one(&SPACES));
    }

    fn name(&mut self, text: &mut String) {
        let name = self.one(&NAMES);
        if self.below(4) == 0 {
            text.push('"');
            for unit in name.encode_utf16() {
                write!(text, "\\u{unit:04x}").unwrap();
            }
            text.push('"');
        } else {
            text.push_str(&serde_json::to_string(name).unwrap());
        }
    }

    fn pointer(&mut self) -> String {
        let names = (0..self.below(5)).map(|_| self.one(&NAMES).replace('~', "~0").replace('/', "~1"));
        names.fold(String::new(), |pointer, name| pointer + "/" + &name)
    }
}

#[test]
fn what_is_found_is_what_a_tree_of_values_holds_there() {
    let mut source = Source(SplitMix::new(6901));
    let (mut hits, mut misses) = (0, 0);
    for _ in 0..20_000 {
        let mut text = String::new();
        source.value(4, &mut text);
        let written: Vec<String> = (0..POINTERS).map(|_| source.pointer()).collect();
        let pointers: Vec<Pointer> = written.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        let mut found = [None; POINTERS];
        Finder::new(pointers.iter().enumerate()).find(&text, 64, &mut found).unwrap();
        let tree: Value = serde_json::from_str(&text).unwrap();
        for (pointer, found) in written.iter().zip(found) {
            let parsed: Option<Value> = found.map(|value| serde_json::from_str(value).unwrap());
            assert_eq!(parsed.as_ref(), tree.pointer(pointer), "{pointer:?} in {text}");
            if let Some(value) = found {
                let offset = value.as_ptr() as usize - text.as_ptr() as usize;
                assert_eq!(text.get(offset..offset + value.len()), Some(value), "a slice of the text");
                assert_eq!(value, value.trim());
                hits += 1;
            } else {
                misses += 1;
            }
        }
    }
    assert!(hits > 10_000 && misses > 10_000, "{hits} found, {misses} not");
}

#[test]
fn what_serde_refuses_is_refused() {
    let mut source = Source(SplitMix::new(8259));
    let (mut valid, mut invalid) = (0, 0);
    for _ in 0..40_000 {
        let mut text = String::new();
        source.value(3, &mut text);
        let mut bytes = text.into_bytes();
        for _ in 0..=source.below(2) {
            let place = source.below(bytes.len() + 1);
            let byte = b"{}[],:\"\\ 0-.eun\n"[source.below(16)];
            match source.below(3) {
                0 => bytes.insert(place, byte),
                1 if place < bytes.len() => bytes[place] = byte,
                _ => bytes.truncate(place),
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let pointer = Pointer::parse(&source.pointer()).unwrap();
        let ours = Finder::new([(0, &pointer)]).find(&text, 64, &mut [None]);
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}");
        *(if ours.is_ok() { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid > 2_000 && invalid > 2_000, "{valid} valid, {invalid} not");
}

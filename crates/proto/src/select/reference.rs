//! The pass against a reference that cuts what serde read: alike for every body and all paths.

use std::fmt;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Select;

const CASES: u32 = 6_000;

/// A body as `JSON.parse` sees it: of a repeated member the last value, in the place of the first.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    Scalar(Value),
    Array(Vec<Body>),
    Object(Vec<(String, Body)>),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Body, E> {
                Ok(Body::Scalar(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Body, E> {
                Ok(Body::Scalar(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Body, E> {
                Ok(Body::Scalar(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Body, E> {
                Ok(Body::Scalar(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Body, E> {
                Ok(Body::Scalar(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Body, E> {
                Ok(Body::Scalar(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Body, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Body::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Body, A::Error> {
                let mut all: Vec<(String, Body)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, Body>()? {
                    match all.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = value,
                        None => all.push((name, value)),
                    }
                }
                Ok(Body::Object(all))
            }
        }
        deserializer.deserialize_any(BodyVisitor)
    }
}

impl Body {
    fn cut(&self, paths: &[&[String]]) -> Self {
        match self {
            Self::Scalar(_) => self.clone(),
            Self::Array(items) => {
                let kept = items.iter().filter(|item| !matches!(item, Self::Scalar(_)));
                Self::Array(kept.map(|item| item.cut(paths)).collect())
            }
            Self::Object(members) => {
                let kept = members.iter().filter_map(|(name, value)| {
                    let on_the_way = paths.iter().filter(|path| path[0] == *name).map(|path| &path[1..]);
                    let rest: Vec<&[String]> = on_the_way.collect();
                    let value = match value {
                        _ if rest.is_empty() => return None,
                        _ if rest.iter().any(|path| path.is_empty()) => value.clone(),
                        Self::Scalar(_) => return None,
                        _ => value.cut(&rest),
                    };
                    Some((name.clone(), value))
                });
                Self::Object(kept.collect())
            }
        }
    }
}

/// Few names, so that paths meet members; each with ways to write it.
const NAMES: &[(&str, &[&str])] = &[
    ("a", &["a", "\\u0061"]),
    ("b", &["b"]),
    ("a.b", &["a.b", "a\\u002Eb"]),
    ("é\"\\", &["é\\\"\\\\", "\\u00e9\\u0022\\u005c"]),
    ("ab,{}", &["ab,{}"]),
    (
        "a rather long name that does not fit into a block of the scanner at all",
        &["a rather long name that does not fit into a block of the scanner at all"],
    ),
];

const SCALARS: &[&str] = &[
    "0",
    "-1.5e3",
    "9007199254740993",
    "true",
    "null",
    r#""""#,
    r#""a""#,
    r#""]}\\\"{[,:""#,
    r#""\\\\""#,
    r#""\u20ac é 😀""#,
    r#""a string of some length, with a comma, a {bracket} and \"quotes\" that are escaped""#,
];

/// Decisions, made beforehand.
struct Tape {
    bytes: Vec<u8>,
    at: usize,
}

impl Tape {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.bytes.get(self.at - 1).copied().unwrap_or(0).into()
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() % all.len()]
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(self.of(&["", "", "", "", " ", "\n", "\t\r ", "                    "]));
    }

    fn body(&mut self, depth: usize, out: &mut String) {
        self.space(out);
        let kind = self.next();
        if depth == 0 || (depth < 6 && kind.is_multiple_of(3)) {
            out.push_str(self.of(SCALARS));
        } else {
            let is_object = kind % 4 != 1;
            out.push(if is_object { '{' } else { '[' });
            for i in 0..self.next() % 6 {
                if i > 0 {
                    out.push(',');
                }
                if is_object {
                    self.space(out);
                    let (_, spellings) = self.of(NAMES);
                    out.push('"');
                    out.push_str(self.of(spellings));
                    out.push('"');
                    self.space(out);
                    out.push(':');
                }
                self.body(depth - 1, out);
            }
            self.space(out);
            out.push(if is_object { '}' } else { ']' });
        }
        self.space(out);
    }

    fn path(&mut self) -> Vec<String> {
        (0..=self.next() % 3).map(|_| self.of(NAMES).0.to_owned()).collect()
    }
}

fn written(path: &[String]) -> String {
    let names = path.iter().map(|name| name.replace('\\', "\\\\").replace('.', "\\."));
    names.collect::<Vec<_>>().join(".")
}

// P10.2
#[test]
fn every_body_is_cut_as_the_reference_cuts_it() {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&vec(any::<u8>(), 0..600), |bytes| {
        let mut tape = Tape { bytes, at: 0 };
        let paths: Vec<Vec<String>> = (0..=tape.next() % 4).map(|_| tape.path()).collect();
        let mut body = String::new();
        tape.body(6, &mut body);
        let texts: Vec<String> = paths.iter().map(|path| written(path)).collect();
        let mut out = String::from("[");
        Select::compile(&texts).unwrap().cut(&body, &mut out);
        let whole: Body = serde_json::from_str(&body).unwrap();
        let slices: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
        let cut: Body = serde_json::from_str(&out[1..]).unwrap();
        assert_eq!(cut, whole.cut(&slices), "{texts:?} of {body}");
        Ok(())
    });
    result.unwrap();
}

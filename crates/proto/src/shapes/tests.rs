use super::*;

mod decoder;

use decoder::{decode, parse};

/// Encodes several times over, so that shapes are found, and compares each time.
fn check(shapes: &mut Shapes, known: &mut Vec<Shape>, body: &str) -> bool {
    let mut out = b"before".to_vec();
    let is_shaped = shapes.encode(body, &mut out);
    known.extend(shapes.take_new());
    assert_eq!(&out[..6], b"before");
    if is_shaped {
        let text: String = out[6..].iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(decode(&text, known), parse(body), "{body} as {text}");
    } else {
        assert_eq!(out.len(), 6, "{body}");
    }
    is_shaped
}

fn taught(body: &str) -> (Shapes, Vec<Shape>) {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    for _ in 0..100 {
        check(&mut shapes, &mut known, body);
    }
    (shapes, known)
}

/// What a body becomes once its shapes are known.
fn encoded(body: &str) -> Option<String> {
    let (mut shapes, mut known) = taught(body);
    let mut out = Vec::new();
    let is_shaped = shapes.encode(body, &mut out);
    assert_eq!(check(&mut shapes, &mut known, body), is_shaped);
    is_shaped.then(|| out.iter().map(|byte| char::from(*byte)).collect())
}

#[test]
fn the_keys_stay_behind() {
    let table = [
        (r#"{"id":"a","n":1}"#, Some(r#"[0,"a",1]"#)),
        ("{\"id\" : \"a\" ,\r\n\t\"n\":-1.5e+3 }", Some(r#"[0,"a",-1.5e+3]"#)),
        (r#"{"user":{"id":"u"},"ok":true,"on":null}"#, Some(r#"[0,1,"u",true,null]"#)),
        (r#"{"id":"x","l":[{"a":1},{"a":2}]}"#, Some(r#"[1,"x",-3 ,0,1,0,2]"#)),
        (r#"{"id":"x","l":["a","b"],"m":[],"o":{}}"#, Some(r#"[0,"x",["a","b"],[],{}]"#)),
        (r#"[{"a":1},{"a":2}]"#, Some(r#"[-3 ,0,1,0,2]"#)),
        (r#"{"a":"é","b":"€"}"#, Some("[0,\"é\",\"\\u20ac\"]")),
        ("[]", None),
        ("[1,2]", None),
        ("{}", None),
        ("7", None),
        (r#""{}""#, None),
        (r#"{"a":1,"a":2}"#, None),
        (
            r#"{"a":{"b":1,"c":2,"b":3},"d":"and much more text that is shaped well enough"}"#,
            Some(r#"[0,{"b":1,"c":2,"b":3},"and much more text that is shaped well enough"]"#),
        ),
    ];
    for (body, expected) in table {
        let encoded = encoded(body).map(|text| text.replace("-3  ", "-3 "));
        assert_eq!(encoded.as_deref(), expected, "{body}");
    }
}

/// Any JSON, its objects often with the same keys.
mod any {
    use proptest::prelude::*;

    const KEYS: [&str; 14] = [
        "id",
        "name",
        "a",
        "b",
        "",
        "__proto__",
        "constructor",
        "1",
        "0",
        "-1",
        r"a\u0062c",
        r#"a\":1,\"b"#,
        "schl\u{fc}ssel\u{20ac}",
        r"\ud800",
    ];
    const PIECES: [&str; 14] = [
        "a",
        " ",
        "{[",
        "]}",
        ",:",
        "\u{e9}\u{ff}",
        "\u{20ac}",
        "\u{1f600}",
        "\u{2028}",
        r#"\""#,
        r"\\",
        r"\n",
        r"\ud83d\ude00",
        r"\udc00",
    ];
    const NUMBERS: [&str; 9] = [
        "0",
        "-0",
        "1",
        "-1",
        "5",
        "1e400",
        "-1.5E-400",
        "9007199254740993",
        "123456789012345678901234567890.10",
    ];

    fn space() -> impl Strategy<Value = &'static str> {
        prop_oneof![9 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t ")]
    }

    fn text(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(pieces), 0..5)
            .prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            9 => prop::sample::select(&KEYS[..]).prop_map(|key| format!("\"{key}\"")),
            1 => text(&PIECES),
        ]
    }

    fn spaced(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
        (space(), value, space()).prop_map(|(before, value, behind)| format!("{before}{value}{behind}"))
    }

    pub(super) fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(&["null", "true", "false", "[]", "{}", "[ ]"][..]).prop_map(str::to_owned),
            prop::sample::select(&NUMBERS[..]).prop_map(str::to_owned),
            text(&PIECES),
        ];
        let tree = leaf.prop_recursive(7, 64, 6, |inner| {
            let member = (spaced(key()), spaced(inner.clone())).prop_map(|(key, value)| format!("{key}:{value}"));
            prop_oneof![
                3 => prop::collection::vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(","))),
                1 => prop::collection::vec(spaced(inner), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            ]
        });
        spaced(tree)
    }
}

#[test]
fn any_json_comes_out_as_it_went_in() {
    use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    // Kinds learnt from one document meet the others.
    let long_lived = std::cell::RefCell::new((Shapes::new(), Vec::new(), [0_usize; 2]));
    let result = runner.run(&proptest::collection::vec(any::json(), 1..4), |bodies| {
        let (shapes, known, shaped) = &mut *long_lived.borrow_mut();
        let (mut new, mut of_new) = (Shapes::new(), Vec::new());
        for _ in 0..40 {
            for body in &bodies {
                shaped[0] += usize::from(check(&mut new, &mut of_new, body));
                shaped[1] += usize::from(check(shapes, known, body));
            }
        }
        Ok(())
    });
    result.unwrap();
    let (_, known, shaped) = long_lived.into_inner();
    assert!(shaped[0] > 1_000 && shaped[1] > 1_000, "{shaped:?}");
    assert!(known.len() > 100 && known.len() <= 512, "{}", known.len());
}

#[test]
fn what_is_not_json_panics_nowhere() {
    let text = "{\"a\":[{\"b\":-1.5,\"c\\n\":\"x\u{e9}\\u00e9\"},null],\"d\":true,\"e\":{\"f\":{}}}";
    let (mut shapes, mut known) = taught(text);
    let mut out = Vec::new();
    for (end, _) in text.char_indices() {
        shapes.encode(&text[..end], &mut out);
        for odd in ["}", "]", "{", "[", "\"", "\\", ",", ":", "7", "t", "", " ", "\u{e9}"] {
            shapes.encode(&format!("{}{odd}", &text[..end]), &mut out);
            shapes.encode(&format!("{}{odd}{}", &text[..end], &text[end..]), &mut out);
            let rest = text[end..].chars().skip(1).collect::<String>();
            shapes.encode(&format!("{}{odd}{rest}", &text[..end]), &mut out);
        }
    }
    shapes.encode(&"[".repeat(100_000), &mut out);
    shapes.encode(&r#"{"a":"#.repeat(100_000), &mut out);
    known.extend(shapes.take_new());
    assert!((0..3_000).any(|_| check(&mut shapes, &mut known, text)));
}

#[test]
fn depth_is_limited() {
    for (levels, is_shaped) in [(100, true), (127, true), (129, false), (5_000, false)] {
        let body = format!(r#"{}{{"b":1}}{}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let mut shapes = Shapes::new();
        let mut out = Vec::new();
        // Each level is seen once the one around it is known to hold it.
        let any = (0..2_000).any(|_| {
            out.clear();
            shapes.encode(&body, &mut out)
        });
        assert_eq!(any, is_shaped, "{levels}");
    }
}

#[test]
fn a_million_unique_keys_leave_nothing_behind() {
    let (mut shapes, mut known) = taught(r#"{"id":"a","user":{"id":"u","name":"n"}}"#);
    let mut out = Vec::new();
    for i in 0..50_000 {
        out.clear();
        // One level down, at the top and as the last of some usual ones.
        let keys: String = (0..10).map(|key| format!(r#","k{i}_{key}":{{"x":{key},"y{i}":1}}"#)).collect();
        shapes.encode(&format!(r#"{{"id":"a"{keys}}}"#), &mut out);
        shapes.encode(&format!(r#"{{"k{i}":1,"l{i}":{{"m{i}":[{{"n{i}":1}}]}}}}"#), &mut out);
        let (nodes, found, steps) = shapes.trie.sizes();
        assert!(nodes < 5_000 && found <= 512 && steps < 1_000, "{nodes} {found} {steps}");
    }
    assert!(check(&mut shapes, &mut known, r#"{"id":"b","user":{"id":"v","name":"o"}}"#));
}

#[test]
fn shapes_are_few_and_those_that_were_found_stay() {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    let body = |i: usize| format!(r#"{{"id":{i},"k{}":"x","l{}":{{}}}}"#, i % 40, i / 40);
    for i in 0..1_000 {
        for _ in 0..35 {
            check(&mut shapes, &mut known, &body(i));
        }
    }
    assert_eq!(known.len(), 512);
    assert!((0..500).any(|_| check(&mut shapes, &mut known, &body(0))));
    assert!(!check(&mut shapes, &mut known, r#"{"other":1,"keys":2}"#));
}

#[test]
fn what_a_key_holds_is_learnt_anew_twice_at_most() {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    let bodies = [r#"{"id":"x","v":{"a":"b"}}"#, r#"{"id":"x","v":7}"#, r#"{"id":"x","v":[{"a":"b"}]}"#];
    for i in 0..600 {
        check(&mut shapes, &mut known, bodies[i / 100 % 3]);
    }
    let kinds: Vec<bool> =
        known.iter().filter(|shape| shape.keys == ["id", "v"]).map(|shape| shape.containers[1]).collect();
    assert_eq!(kinds, [true, false]);
    for body in bodies {
        assert!(check(&mut shapes, &mut known, body));
    }
}

#[test]
fn hopeless_bodies_are_seldom_tried() {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    for i in 0..1_000 {
        assert!(!check(&mut shapes, &mut known, &format!(r#"{{"id":1,"name":2,"k{i}":3}}"#)));
    }
    // By now most are given up before the third key.
    let before = shapes.trie.sizes().0;
    for i in 0..200 {
        check(&mut shapes, &mut known, &format!(r#"{{"id":1,"name":2,"l{i}":3}}"#));
    }
    assert!(shapes.trie.sizes().0 - before < 5);
}

#[test]
fn a_place_crowded_with_candidates_is_cleared() {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    for i in 0..1_000 {
        check(&mut shapes, &mut known, &format!(r#"{{"k{i}":1,"l":2}}"#));
    }
    let is_shaped = (0..10_000).any(|_| check(&mut shapes, &mut known, r#"{"id":1,"name":2}"#));
    assert!(is_shaped);
}

#[test]
fn a_shape_is_found_among_many_unique_keys() {
    let (mut shapes, mut known) = (Shapes::new(), Vec::new());
    let is_found = (0..5_000).any(|i| {
        let keys: String = (0..100).map(|key| format!(r#","k{i}_{key}":1"#)).collect();
        check(&mut shapes, &mut known, &format!(r#"{{"id":{i}{keys}}}"#));
        check(&mut shapes, &mut known, r#"{"name":"a","user":{"id":"u"}}"#)
    });
    assert!(is_found);
}

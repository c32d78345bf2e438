//! The scanner against serde: what one of them reads, the other reads, byte for byte.

mod documents;

use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::fields::by_serde;
use super::{DEFAULT_DEPTH, Frame, scan};
use documents::Tape;

const CASES: u32 = 4_000;
const MUTANTS_OF_EACH: usize = 8;
const LIMITS: [usize; 4] = [8, 9, DEFAULT_DEPTH, 128];

/// Whether the scanner took it.
fn compare(text: &str) -> bool {
    compare_within(text, DEFAULT_DEPTH)
}

fn compare_within(text: &str, limit: usize) -> bool {
    let by_serde = by_serde(text, limit);
    let scanned = scan::fields(text, limit);
    let is_scanned = scanned.is_some();
    match (scanned, &by_serde) {
        (Some(ours), Ok(theirs)) => {
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"), "{text:?}");
            assert_eq!(ours.body.map(str::as_ptr), theirs.body.map(str::as_ptr), "{text:?}");
            assert_eq!(ours.metadata.map(str::as_ptr), theirs.metadata.map(str::as_ptr), "{text:?}");
        }
        (Some(_), Err(why)) => panic!("{text:?} is refused by serde: {why}"),
        (None, Ok(_)) => assert!(text.contains('\\'), "{text:?} is left without an escape in it"),
        (None, Err(_)) => {}
    }
    let expected = by_serde.map_or_else(Frame::Unreadable, Frame::of);
    assert_eq!(format!("{:?}", Frame::read_within(text, limit)), format!("{expected:?}"), "{text:?}");
    is_scanned
}

fn for_many_tapes(test: impl Fn(Tape)) {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&vec(any::<u8>(), 0..500), |tape| {
        test(Tape::new(tape));
        Ok(())
    });
    result.unwrap();
}

#[test]
fn documents_are_read_alike_and_usual_ones_without_serde() {
    for_many_tapes(|mut tape| {
        let (text, is_usual) = tape.frame();
        let depth = depth(&text);
        for limit in LIMITS {
            assert_eq!(compare_within(&text, limit), is_usual && depth <= limit, "{limit}: {text:?}");
        }
    });
}

#[test]
fn broken_documents_are_read_alike() {
    for_many_tapes(|mut tape| {
        let (text, _) = tape.frame();
        for limit in LIMITS.into_iter().cycle().take(MUTANTS_OF_EACH) {
            compare_within(&tape.mutant(&text), limit);
        }
    });
}

#[test]
fn a_frame_cut_anywhere_is_read_alike() {
    let text = r#" { "topicName" : "v2.a.b" , "eventBody" : {"a":[-1.5e+3,true,null,"xüy\u00e9\"\\z"]},"version":"2"} "#;
    for (end, _) in text.char_indices() {
        compare(&text[..end]);
    }
    assert!(compare(text));
}

#[test]
fn every_byte_at_every_place_of_a_chunk_is_read_alike() {
    for place in 0..20 {
        for byte in 0..=0x7f_u8 {
            for (before, after) in [("é", ""), ("", "é"), ("!", "\u{80}\u{2028}"), ("]", "\u{7f} !#[]")] {
                let padding = before.repeat(place);
                let byte = char::from(byte);
                compare(&format!(r#"{{"topicName":"v2.a.b","eventBody":"{padding}{byte}{after}"}}"#));
                compare(&format!(r#"{{"topicName":"{padding}{byte}{after}"}}"#));
                compare(&format!(r#"{{"{padding}{byte}{after}":1,"topicName":"v2.a.b"}}"#));
            }
        }
    }
}

#[test]
fn every_byte_of_an_escape_is_read_alike() {
    for byte in (0..=0x7f_u8).map(char::from) {
        for escape in [format!("{byte}"), format!("u{byte}123"), format!("u00{byte}1"), format!("u012{byte}")]
        {
            let is_valid = match escape.as_bytes() {
                [b'u', digits @ ..] => digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit),
                _ => r#""\/bfnrt"#.contains(byte),
            };
            let text = format!(r#"{{"topicName":"v2.a.b","eventBody":"\{escape}1234567890"}}"#);
            assert!(compare(&text) == is_valid || escape == "u", "{text:?}");
            compare(&format!(r#"{{"topicName":"v2.a.b","version":"\{escape}"}}"#));
            compare(&format!(r#"{{"topicName":"v2.a.b\{escape}"}}"#));
        }
    }
}

#[test]
fn odd_values_are_read_alike() {
    let taken = [
        "0",
        "-0",
        "10",
        "0.0",
        "1e5",
        "1E+05",
        "0e0",
        "-0.10e-09",
        "9007199254740993",
        "1e400",
        r#""""#,
        r#""\ud800""#,
        r#""\udc00\uD800x""#,
        r#""\u0000\/\b\f\n\r\t""#,
        "\"\u{7f}\u{feff}\u{10ffff}\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        "[ ]",
        "{\t}",
        r#"{"":{"":[[],{}]}}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"\ud800":1}"#,
        r#"{"a" : [ 1 , 2 ]}"#,
    ];
    let refused = [
        "",
        "00",
        "01",
        "-",
        "-01",
        "+1",
        ".5",
        "1.",
        "1.e5",
        "1e",
        "1e+",
        "0x1",
        "1_0",
        "--1",
        "NaN",
        "Infinity",
        "\"\u{1f}\"",
        "\"\n\"",
        r#""\x""#,
        r#""\u12g4""#,
        r#""\u+123""#,
        r#""\u123""#,
        r#""\"#,
        r#"""""#,
        "'a'",
        "tru",
        "truee",
        "True",
        "nul",
        "fals",
        "[",
        "]",
        "{",
        "}",
        "[}",
        "[1}",
        "[[1}]",
        r#"{"a":1]"#,
        r#"{"a":[1}]"#,
        "{]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[,1]",
        "[1,,2]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,}"#,
        r#"{"a":1 "b":2}"#,
        r#"{a:1}"#,
        r#"{1:2}"#,
        r#"{"a"::1}"#,
        r#"["a":1]"#,
        r#"{"a",1}"#,
        "{null:1}",
        "\u{a0}1",
        "\u{b}1",
        "\u{c}1",
        "\u{feff}1",
        "1//",
        "/**/1",
        "1\0",
    ];
    for name in ["eventBody", "version", "metadata", "result", "else"] {
        for (values, is_taken) in [(&taken[..], true), (&refused[..], false)] {
            for value in values {
                for space in ["", " ", "\r\n\t "] {
                    let text = format!(r#"{{"topicName":"v2.a.b","{name}":{space}{value}{space}}}"#);
                    assert_eq!(compare(&text), is_taken, "{text:?}");
                    let text = format!(r#"{{"{name}":{space}{value}{space},"result":"404"}}"#);
                    assert_eq!(compare(&text), is_taken, "{text:?}");
                }
            }
        }
    }
}

#[test]
fn odd_frames_are_read_alike() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let table: &[(&str, bool, &str)] = &[
        ("{}", true, "Unreadable(NoTopic)"),
        (" \t{\r\n} ", true, "Unreadable(NoTopic)"),
        ("\u{feff}{}", false, "Unreadable(NotJson)"),
        ("null", false, "Unreadable(NotJson)"),
        ("\"{}\"", false, "Unreadable(NotJson)"),
        ("{}{}", false, "Unreadable(NotJson)"),
        ("{}\0", false, "Unreadable(NotJson)"),
        ("{,}", false, "Unreadable(NotJson)"),
        (r#"{"result":"1",}"#, false, "Unreadable(NotJson)"),
        (r#"{"result":"404","result":null}"#, true, "Unreadable(NoTopic)"),
        (r#"{"result":"\u0034"}"#, true, "Reply(Some(4))"),
        (r#"{"result":"\ud800"}"#, true, "Unreadable(NoTopic)"),
        (r#"{"result":"ok"}"#, true, "Reply(None)"),
        (r#"{"result":{"a":"\ud800"}}"#, true, "Unreadable(NoTopic)"),
        (r#"{"r\u0065sult":"7"}"#, false, "Reply(Some(7))"),
        (r#"{"\ud800":1,"result":"7"}"#, false, "Unreadable(NotJson)"),
        (r#"{"top\ud83d\ude00":1,"result":"7"}"#, false, "Reply(Some(7))"),
        (r#"{"topicName":null,"result":"7"}"#, false, "Unreadable(NotJson)"),
        (r#"{"topicName":7,"topicName":"v2.system.x"}"#, false, "Unreadable(NotJson)"),
        (r#"{"topicName":"\udc00"}"#, false, "Unreadable(NotJson)"),
        (r#"{"topicName":"v2.system.\u0078"}"#, false, "System(Other)"),
        (r#"{"topicName":"v2.a","topicName":"v2.system.x"}"#, true, "System(Other)"),
        (r#"{"topic\u004eame":"v2.system.x"}"#, false, "System(Other)"),
        (r#"{"TopicName":"v2.system.x"}"#, true, "Unreadable(NoTopic)"),
    ];
    for (text, is_scanned, expected) in table {
        assert_eq!(compare(text), *is_scanned, "{text}");
        assert_eq!(format!("{:?}", Frame::read(text)), *expected, "{text}");
    }
    // Brackets count before the JSON does, wherever they are.
    let not_json_and_deep =
        ["[".repeat(65), format!("x{}", deep(65)), format!("{{}}{}", deep(65)), format!("}}{{{}", deep(65))];
    for text in not_json_and_deep {
        assert!(!compare(&text));
        assert_eq!(format!("{:?}", Frame::read(&text)), "Unreadable(TooDeep(64))", "{text}");
    }
    for limit in LIMITS {
        for levels in limit - 4..limit + 6 {
            for name in ["eventBody", "metadata", "result", "version", "else"] {
                let is_allowed = levels < limit;
                let arrays = format!(r#"{{"{name}":{}}}"#, deep(levels));
                assert_eq!(compare_within(&arrays, limit), is_allowed);
                let objects = format!(r#"{}1{}"#, r#"{"a":"#.repeat(levels), "}".repeat(levels));
                assert_eq!(compare_within(&format!(r#"{{"{name}":{objects}}}"#), limit), is_allowed);
                // Every bit is remembered: an object's bracket does not close an array, however deep.
                let mixed =
                    format!(r#"{{"{name}":{}1{}}}"#, r#"[{"a":"#.repeat(levels / 2), "}]".repeat(levels / 2));
                assert_eq!(compare_within(&mixed, limit), levels / 2 * 2 < limit);
                for place in 0..levels / 2 {
                    let mut closing = "}]".repeat(levels / 2);
                    closing.replace_range(2 * place..=2 * place, "]");
                    let wrong = format!(r#"{{"{name}":{}1{closing}}}"#, r#"[{"a":"#.repeat(levels / 2));
                    assert!(!compare_within(&wrong, limit), "{wrong}");
                }
            }
        }
    }
}

/// As the specification of the frame has it: brackets outside of strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

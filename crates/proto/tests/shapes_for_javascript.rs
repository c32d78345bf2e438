//! What `lib/shapes.js` is tested with comes from the encoder itself. `UPDATE_FIXTURES=1 cargo test -p genesys-notifications-proto
//! --test shapes_for_javascript` writes the file anew.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use genesys_notifications_proto::{Random, Shape, Shapes, SplitMix};
use serde::Serialize;

const FILE: &str = "../../__test__/support/shapes.jsonl";
const SIGHTINGS: usize = 100;
const RANDOM_BODIES: usize = 70;

const BODIES: &[&str] = &[
    r#"{"id":"a","n":1}"#,
    r#"{"id":"b","user":{"id":"u","name":"Zoë"},"primary":false,"source":null}"#,
    r#"{"id":"c","participants":[{"id":"p","calls":[{"state":"connected"},{"state":"held"}]},{"id":"q","calls":[]}]}"#,
    r#"[{"id":"d","n":1},{"id":"e","n":2},null]"#,
    r#"[[{"id":"f","n":1}],[[{"id":"g","n":-0}]]]"#,
    r#"{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":1}},"toString":"x"}"#,
    r#"{"__proto__":7,"b":{"__proto__":null}}"#,
    r#"{"b":1,"10":2,"a":3,"2":4,"-1":5,"01":6,"4294967295":7,"1.5":8}"#,
    r#"{"":{"":{"":"empty"}},"a b":1,"a\"b":2,"a\\b":3,"a\nb":4,"\u2028\u2029":5,"\u0000":6}"#,
    r#"{"');throw 1;('":1,"${1}":2,"*/":3,"//":4,"`":5,"</script>":6,"]:1,[":7,"__defineGetter__":8,"get x()":9}"#,
    r#"{"if":1,"class":2,"await":3,"yield":4,"arguments":5,"eval":6,"cursor":7,"async":8,"static":9,"set":{"a":1}}"#,
    r#"{"huge":1e400,"tiny":-1e-400,"zero":-0,"long":9007199254740993,"half":0.1,"exponent":1.5E+3}"#,
    r#"{"pair":"\ud83d\ude00","single":"\ud800","other":"\udc00x","raw":"😀 € é","slash":"\/","tab":"\t"}"#,
    r#"{"schlüssel":1,"€":2,"😀":{"é":3}}"#,
    "{ \"space\" : [ { \"a\" : 1 } , { \"a\" :\t2 } ] ,\r\n \"n\" : { } , \"l\" : [ ] }",
    r#"{"mixed":[1,{"a":1}],"list":[1,2,3],"texts":["a","b"],"id":"enough of it is shaped"}"#,
    r#"{"eventTime":"2026-01-01T00:00:00.000Z","attributes":{"a":"1","a":"2"},"id":"a repeated key in it"}"#,
];

#[derive(Serialize)]
struct Line<'a> {
    body: &'a str,
    /// One character per byte; null where the body stays text.
    values: Option<String>,
    /// Announced before this body.
    shapes: Vec<Shape>,
}

#[test]
fn the_fixtures_are_what_the_encoder_makes() {
    let mut bodies: Vec<String> = BODIES.iter().copied().map(str::to_owned).collect();
    let mut random = SplitMix::new(5);
    bodies.extend((0..RANDOM_BODIES).map(|_| object(&mut random, 3)));
    let mut shapes = Shapes::new();
    let mut text = String::new();
    for body in &bodies {
        let mut out = Vec::new();
        let mut is_shaped = false;
        for _ in 0..SIGHTINGS {
            out.clear();
            is_shaped = shapes.encode(body, &mut out);
        }
        let values = is_shaped.then(|| out.iter().map(|byte| char::from(*byte)).collect());
        let line = Line { body, values, shapes: shapes.take_new() };
        text += &serde_json::to_string(&line).unwrap();
        text.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written.lines().eq(text.lines()), "{FILE} is out of date");
}

fn object(random: &mut SplitMix, levels: u64) -> String {
    const KEYS: [&str; 9] = ["id", "name", "state", "7", "__proto__", "", "ümläut", "a-b", "length"];
    let from = random.up_to(KEYS.len() as u64 - 1) as usize;
    let members: Vec<String> = (0..random.up_to(5) as usize)
        .map(|i| format!("\"{}\":{}", KEYS[(from + i * 2) % KEYS.len()], value(random, levels - 1)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(random: &mut SplitMix, levels: u64) -> String {
    match random.up_to(if levels > 0 { 8 } else { 4 }) {
        0 => "null".to_owned(),
        1 => format!("{}", random.up_to(3) == 0),
        2 => format!("-{}.5", random.up_to(1_000)),
        3 | 4 => format!("\"text {} ü\"", random.up_to(1_000)),
        5 | 6 => object(random, levels),
        _ => {
            let items: Vec<String> =
                (0..random.up_to(3) * random.up_to(4)).map(|_| object(random, levels)).collect();
            format!("[{}]", items.join(","))
        }
    }
}

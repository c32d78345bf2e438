//! What is done to a text on its way to JavaScript: written without keys, or in one byte per character.

use std::hint::black_box;
use std::sync::LazyLock;

use genesys_notifications_proto::{Frame, Shapes, one_byte};

use crate::payload::{LARGE, MEDIUM, SMALL};
use crate::{Operation, Run};

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "shapes, body of 450 B", times: 500, prepare: |times| encode(&SMALL, times) },
    Operation { name: "shapes, body of 4 kB", times: 100, prepare: |times| encode(&MEDIUM, times) },
    Operation { name: "shapes, body of 24 kB", times: 25, prepare: |times| encode(&LARGE, times) },
    Operation { name: "one byte, 4 kB of ASCII", times: 500, prepare: |times| write(&MEDIUM, times) },
    Operation { name: "one byte, 4 kB with Latin-1", times: 100, prepare: |times| write(&LATIN_1, times) },
    Operation { name: "one byte, 4 kB with CJK", times: 100, prepare: |times| write(&CJK, times) },
];

static LATIN_1: LazyLock<Vec<String>> = LazyLock::new(|| named("Jürgen Großmann"));
static CJK: LazyLock<Vec<String>> = LazyLock::new(|| named("山田太郎"));

fn named(name: &str) -> Vec<String> {
    MEDIUM.iter().map(|text| text.replace("Participant", name)).collect()
}

/// Every shape is known by then, as after the first events of a client.
fn encode(texts: &'static [String], times: u32) -> Run {
    let bodies: Vec<&str> = texts.iter().map(|text| body(text)).collect();
    let mut shapes = Shapes::new();
    let mut out = Vec::with_capacity(1 << 20);
    for body in &bodies {
        shapes.encode(body, &mut out);
    }
    assert!(!shapes.take_new().is_empty());
    Box::new(move || {
        for body in bodies.iter().cycle().take(times as usize) {
            out.clear();
            assert!(shapes.encode(black_box(body), &mut out));
        }
    })
}

fn body(text: &str) -> &str {
    match Frame::read(text) {
        Frame::Event(envelope) => envelope.body,
        other => panic!("{other:?}"),
    }
}

fn write(texts: &'static [String], times: u32) -> Run {
    let mut out = Vec::with_capacity(1 << 20);
    Box::new(move || {
        for text in texts.iter().cycle().take(times as usize) {
            out.clear();
            black_box(one_byte::append(&mut out, black_box(text)));
        }
    })
}

//! Cutting bodies down to two paths, one of them through an array.

use std::hint::black_box;

use genesys_notifications_proto::{Frame, Select};

use crate::payload::{LARGE, MEDIUM, SMALL};
use crate::{Operation, Run};

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "select in 450 B", times: 1_000, prepare: |times| cut(&SMALL, times) },
    Operation { name: "select in 4 kB", times: 200, prepare: |times| cut(&MEDIUM, times) },
    Operation { name: "select in 24 kB", times: 50, prepare: |times| cut(&LARGE, times) },
];

fn cut(frames: &'static [String], times: u32) -> Run {
    let body = |frame: &'static String| match Frame::read(frame) {
        Frame::Event(envelope) => envelope.body,
        other => panic!("{other:?}"),
    };
    let bodies: Vec<&str> = frames.iter().map(body).collect();
    let select = Select::compile(&["id", "participants.purpose"]).unwrap();
    let mut out = String::with_capacity(64 << 10);
    Box::new(move || {
        for body in bodies.iter().cycle().take(times as usize) {
            out.clear();
            select.cut(black_box(body), &mut out);
            assert!(black_box(&out).starts_with("{\"id\":"));
        }
    })
}

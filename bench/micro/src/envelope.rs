//! Reading the envelope of a frame.

use std::hint::black_box;

use genesys_notifications_proto::Frame;

use crate::payload::{LARGE, MEDIUM, SMALL};
use crate::{Operation, Run};

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "envelope of 450 B", times: 1_000, prepare: |times| read(&SMALL, times) },
    Operation { name: "envelope of 4 kB", times: 200, prepare: |times| read(&MEDIUM, times) },
    Operation { name: "envelope of 24 kB", times: 50, prepare: |times| read(&LARGE, times) },
];

fn read(frames: &'static [String], times: u32) -> Run {
    Box::new(move || {
        for text in frames.iter().cycle().take(times as usize) {
            assert!(matches!(black_box(Frame::read(black_box(text))), Frame::Event(_)));
        }
    })
}

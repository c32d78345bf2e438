//! The rules on an event that was read: whose it is, and whether it is a copy.

use genesys_notifications_proto::{Continuity, Disposition, Frame};

use crate::payload::{LARGE, SMALL};
use crate::stage::Stage;
use crate::{Operation, Run};

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "machine, event of 450 B", times: 50, prepare: one_channel },
    Operation {
        name: "machine, event of 450 B and its copy",
        times: 50,
        prepare: |times| two_channels(&SMALL, times),
    },
    Operation {
        name: "machine, event of 24 kB and its copy",
        times: 50,
        prepare: |times| two_channels(&LARGE, times),
    },
];

/// Between two events: the window in which copies are recognised holds 60.
const STEP_MS: u64 = 1_000;
/// Until the window forgets as many as it learns.
const WARM_UP: usize = 70;

fn one_channel(times: u32) -> Run {
    let mut stage = Stage::connected(Continuity::Overlap);
    let sockets = stage.sockets();
    let &[socket] = sockets.as_slice() else { panic!("{sockets:?}") };
    warm(&SMALL, times, move |frame| {
        stage.advance(STEP_MS);
        assert!(matches!(stage.frame(socket, frame), Disposition::Deliver(_)));
    })
}

fn two_channels(texts: &'static [String], times: u32) -> Run {
    let mut stage = Stage::connected(Continuity::Standby);
    let sockets = stage.sockets();
    let &[first, second] = sockets.as_slice() else { panic!("{sockets:?}") };
    warm(texts, times, move |frame| {
        stage.advance(STEP_MS);
        assert!(matches!(stage.frame(first, frame), Disposition::Deliver(_)));
        assert_eq!(stage.frame(second, frame), Disposition::Drop);
    })
}

fn warm(texts: &'static [String], times: u32, mut each: impl FnMut(&Frame<'_>) + 'static) -> Run {
    let mut frames = texts.iter().map(|text| Frame::read(text));
    frames.by_ref().take(WARM_UP).for_each(|frame| each(&frame));
    let frames: Vec<_> = frames.take(times as usize).collect();
    assert_eq!(frames.len(), times as usize, "the payload has enough of them");
    Box::new(move || frames.iter().for_each(&mut each))
}

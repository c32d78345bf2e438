//! Taking an event into the journal, and committing it. No thread of its own here: what closes the journal commits.

use genesys_notifications_journal::{Journal, Options, Origin, Record};
use tempfile::TempDir;

use crate::payload::{SMALL, TOPICS, topic};
use crate::{Operation, Run};

pub(crate) const ALL: &[Operation] = &[
    Operation { name: "journal, 450 B taken", times: 1_000, prepare: take },
    Operation { name: "journal, 450 B committed", times: 1_024, prepare: commit },
];

struct Place {
    journal: Journal,
    topics: Vec<String>,
    // Dropped last.
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(Options::new(directory.path().join("events.db")), 0).unwrap();
        let place = Self { journal, topics: (0..TOPICS).map(topic).collect(), _directory: directory };
        // The names of its topics are known.
        place.append(TOPICS as u32);
        place
    }

    fn append(&self, times: u32) {
        for (frame, topic) in SMALL.iter().cycle().zip(self.topics.iter().cycle()).take(times as usize) {
            let received_at = 1_800_000_000_000;
            self.journal.append(&Record { received_at, origin: Origin::Live, topic, channel: 1, frame });
        }
    }
}

fn take(times: u32) -> Run {
    let place = Place::new();
    Box::new(move || place.append(times))
}

fn commit(times: u32) -> Run {
    let place = Place::new();
    place.append(times);
    Box::new(move || place.journal.close())
}

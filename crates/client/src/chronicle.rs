//! What the journal is to remember beside events: gaps, moments, wanted and covered topics, and how far it is sound.
//!
//! Everything is noted under the core's lock and in order with the events, so that a note is never ahead of them.

use std::collections::{BTreeSet, HashSet};

use genesys_notifications_journal::{GapRow, Journal, Note, Restored};
use genesys_notifications_proto::{Gap, Moment, MomentKind, Topic, TopicChange};

/// How often the journal is told how far it is sound: while events come, and while none do.
const MARK_MS: u64 = 100;
const IDLE_MARK_MS: u64 = 4_000;

/// The driver's side of a journal.
#[derive(Debug)]
pub(crate) struct Chronicle {
    /// Asked for by calls; those of the options come from the options at each start.
    wanted: BTreeSet<String>,
    /// Proven live once and wanted since.
    covered: BTreeSet<String>,
    last_channel: u32,
    last_sequence: u64,
    /// Events were appended since the last mark.
    moved: bool,
    /// What is covered has changed since the last mark.
    changed: bool,
    marked_at: u64,
    marked: u64,
    /// The client has ended; what it then forgets was sound until then.
    ended: bool,
}

impl Chronicle {
    /// Topics that an earlier run carried and nobody wants any more count no longer in the report.
    pub(crate) fn forget(&self, journal: &Journal, restored: &Restored) {
        let gone = restored.covered.iter().filter(|name| !self.covered.contains(*name));
        let topics: Vec<String> = gone.cloned().collect();
        if let Some(at) = restored.sound_until.filter(|_| !topics.is_empty()) {
            let detail = serde_json::json!({ "topics": topics }).to_string();
            journal.note(Note::Moment { at, kind: "forgotten".into(), detail });
            journal.note(Note::Covered { topics: self.covered.iter().cloned().collect() });
        }
    }

    /// Goes on after an earlier run; `topics` are those wanted now.
    pub(crate) fn of(restored: &Restored, topics: &[Topic]) -> Self {
        let topics: HashSet<&str> = topics.iter().map(Topic::as_str).collect();
        let still = |name: &&String| topics.contains(name.as_str());
        Self {
            wanted: restored.wanted.iter().cloned().collect(),
            covered: restored.covered.iter().filter(still).cloned().collect(),
            last_channel: restored.last_channel,
            last_sequence: restored.last_sequence,
            moved: false,
            changed: false,
            marked_at: 0,
            marked: 0,
            ended: false,
        }
    }

    /// A number for a channel, never used before in this journal.
    pub(crate) fn next_channel(&mut self) -> u32 {
        self.last_channel += 1;
        self.last_channel
    }

    pub(crate) fn appended(&mut self, sequence: u64) {
        self.last_sequence = sequence;
        self.moved = true;
    }

    /// Of the last event appended, in this run or an earlier one.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Whether [`Chronicle::mark`] is due at `now`, which is `Now::mono`.
    pub(crate) fn mark_is_due(&self, now: u64) -> bool {
        let every = if self.moved { MARK_MS } else { IDLE_MARK_MS };
        !self.ended && (self.changed || now >= self.marked_at.saturating_add(every))
    }

    /// Notes how far the journal is sound: nothing that arrived before `sound_until` is missing in it.
    pub(crate) fn mark(&mut self, journal: &Journal, sound_until: u64, now: u64) {
        if self.ended {
            return;
        }
        (self.moved, self.changed) = (false, false);
        self.marked_at = now;
        self.note_mark(journal, sound_until);
    }

    fn note_mark(&mut self, journal: &Journal, sound_until: u64) {
        if sound_until > self.marked {
            self.marked = sound_until;
            journal.note(Note::SoundUntil(sound_until));
        }
    }

    /// Nothing is marked or covered any more: what the end forgets is not forgotten by the user.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn gap(&mut self, journal: &Journal, gap: &Gap) {
        self.changed |= gap.to.is_some();
        journal.note(Note::Gap(row(gap)));
    }

    pub(crate) fn moment(&mut self, journal: &Journal, moment: &Moment) {
        let covered = self.covered.len();
        match &moment.what {
            MomentKind::Covered { topics } => self.covered.extend(topics.iter().cloned()),
            MomentKind::Forgotten { topics } if !self.ended => {
                for topic in topics {
                    self.covered.remove(topic);
                }
            }
            _ => {}
        }
        if let Ok(serde_json::Value::Object(mut detail)) = serde_json::to_value(moment) {
            detail.remove("at");
            if let Some(serde_json::Value::String(kind)) = detail.remove("kind") {
                let detail = serde_json::Value::Object(detail).to_string();
                journal.note(Note::Moment { at: moment.at, kind, detail });
            }
        }
        if self.covered.len() != covered {
            self.changed = true;
            if covered == 0 {
                // Before the topics: a process that ends between the two owes nothing yet.
                self.note_mark(journal, moment.at);
            }
            journal.note(Note::Covered { topics: self.covered.iter().cloned().collect() });
        }
    }

    /// A call changed the wanted topics.
    pub(crate) fn wanted(&mut self, journal: &Journal, change: TopicChange, topics: &[String]) {
        let before = self.wanted.clone();
        if change == TopicChange::Replace {
            self.wanted.clear();
        }
        for topic in topics {
            match change {
                TopicChange::Remove => drop(self.wanted.remove(topic)),
                TopicChange::Add | TopicChange::Replace => drop(self.wanted.insert(topic.clone())),
            }
        }
        if self.wanted != before {
            journal.note(Note::Wanted { topics: self.wanted.iter().cloned().collect() });
        }
    }
}

/// A gap as the journal keeps it; its words are those of the public surface.
fn row(gap: &Gap) -> GapRow {
    GapRow {
        id: gap.id.clone(),
        from: gap.from,
        to: gap.to,
        reason: word(&gap.reason),
        topics: gap.topics.clone(),
        certainty: word(&gap.certainty),
        backfilled: word(&gap.backfilled),
    }
}

fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use genesys_notifications_journal::Options;

    use super::*;

    // P4.7, C2: a process that is killed right after its topics were live owes everything from then on.
    #[test]
    fn what_is_covered_is_never_without_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::new(folder.path().join("journal.db"));
        let (journal, restored) = Journal::open(options.clone(), 1_000).unwrap();
        let mut chronicle = Chronicle::of(&restored, &[]);
        let topics = vec!["v2.users.1.presence".to_owned()];
        chronicle
            .moment(&journal, &Moment { at: 5_000, what: MomentKind::Covered { topics: topics.clone() } });
        assert!(chronicle.mark_is_due(0));
        journal.close();
        drop(journal);
        let (_, restored) = Journal::open(options, 9_000).unwrap();
        assert_eq!((restored.sound_until, restored.covered), (Some(5_000), topics));
    }
}

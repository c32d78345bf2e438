//! What goes into a journal and what comes out of it.

use std::sync::Arc;

use serde::Serialize;

/// Where an event came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// From a channel.
    Live = 0,
    /// From the REST API, to fill a gap.
    Backfill = 1,
}

impl Origin {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::Live),
            1 => Some(Self::Backfill),
            _ => None,
        }
    }
}

/// An event on its way into the journal.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Milliseconds since the epoch.
    pub received_at: u64,
    /// Where it came from.
    pub origin: Origin,
    /// Its topic.
    pub topic: &'a str,
    /// Number of the channel that brought it; never the channel's id, which is a secret.
    pub channel: u32,
    /// The whole frame.
    pub frame: &'a str,
}

/// An event of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Strictly rising over the life of the journal, never used twice; may jump.
    pub sequence: u64,
    /// Milliseconds since the epoch.
    pub received_at: u64,
    /// Where it came from.
    pub origin: Origin,
    /// Its topic.
    pub topic: Arc<str>,
    /// Number of the channel that brought it.
    pub channel: u32,
    /// Whether an earlier run of the process journaled it.
    pub redelivered: bool,
    /// The whole frame.
    pub frame: String,
}

/// Something to keep beside the events, in order with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A gap; replaces the one of the same id.
    Gap(GapRow),
    /// Something for the continuity report. The kinds `covered` and `forgotten` (detail `{"topics":[…]}`) say since and
    /// until when a topic counts.
    Moment {
        /// Milliseconds since the epoch.
        at: u64,
        /// What, for example `rotation`.
        kind: String,
        /// A JSON object.
        detail: String,
    },
    /// The topics that calls asked for: the whole set.
    Wanted {
        /// Their names.
        topics: Vec<String>,
    },
    /// The topics that are wanted and live now: the whole set.
    Covered {
        /// Their names.
        topics: Vec<String>,
    },
    /// Wall time in milliseconds up to which nothing sent on a covered topic can be missing.
    SoundUntil(u64),
}

/// A gap as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GapRow {
    /// Unique, for example `gap-3`.
    pub id: String,
    /// Milliseconds since the epoch.
    pub from: u64,
    /// Milliseconds since the epoch; `None` while open.
    pub to: Option<u64>,
    /// Why.
    pub reason: String,
    /// Whose events may be missing.
    pub topics: Vec<String>,
    /// `certain` or `possible`.
    pub certainty: String,
    /// `no`, `partial` or `yes`.
    pub backfilled: String,
}

/// What an earlier run left.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// There was no journal.
    pub is_new: bool,
    /// The last [`Note::SoundUntil`].
    pub sound_until: Option<u64>,
    /// The last [`Note::Wanted`].
    pub wanted: Vec<String>,
    /// The last [`Note::Covered`].
    pub covered: Vec<String>,
    /// The last 1,000 closed gaps and every open one, oldest first.
    pub gaps: Vec<GapRow>,
    /// Live events received from 60 s before `sound_until` on, or before the last of them if that is older, in order; at most
    /// 100,000 and 64 MiB, the newest.
    pub recent: Vec<Stored>,
    /// How many events will be delivered again.
    pub unacknowledged: u64,
    /// New events are numbered above it.
    pub last_sequence: u64,
    /// Highest channel number of an event so far.
    pub last_channel: u32,
    /// What a torn or damaged file has lost.
    pub damage: Option<Damage>,
}

/// What a torn or damaged file has lost. To be told to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// What was found, in words.
    pub detail: String,
    /// Name of the damaged file, kept beside the journal; `None` if the file itself was sound but its end was missing.
    pub kept_as: Option<String>,
    /// Events that were saved.
    pub saved: u64,
    /// Events that are lost, at most.
    pub lost: u64,
    /// First and last sequence between which events are missing.
    pub sequences: Option<(u64, u64)>,
    /// Times received, in milliseconds since the epoch, of the sound events around what is missing; `None` for an end
    /// that is not known.
    pub between: (Option<u64>, Option<u64>),
}

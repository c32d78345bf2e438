//! What an earlier run left in the journal, as the machine wants it.

use std::collections::BTreeSet;

use genesys_notifications_journal::{Damage, GapRow, Restored, Stored};
use genesys_notifications_proto::{
    Backfilled, Certainty, Cursor, ErrorCode, ErrorReport, Gap, Past, PastEvent, Reason, Topic, Track,
};

use crate::options::Naming;
use crate::reader::Reader;

/// The past of a client, and the gap that damage has made, which was never told. Nothing that cannot be read is worth
/// failing for.
pub(crate) fn past(
    restored: Restored,
    reader: &Reader,
    naming: Naming,
    now_wall: u64,
) -> (Past, Option<Gap>) {
    let mut gaps: Vec<Gap> = restored.gaps.iter().filter_map(gap).collect();
    let damage = restored.damage.as_ref();
    let lost = damage.and_then(|damage| gap_of_damage(damage, &restored, &gaps, now_wall));
    gaps.extend(lost.clone());
    let past = Past {
        sound_until: restored.sound_until.unwrap_or(now_wall),
        covered: topics(&restored.covered, naming),
        gaps,
        cursor: cursor(&restored, reader),
        seen: restored.recent.iter().filter_map(|event| seen(event, reader, naming)).collect(),
    };
    (past, lost)
}

/// Names that are topics; the journal may be of another version, or of an endpoint that is not used any more.
pub(crate) fn topics(names: &[String], naming: Naming) -> Vec<Topic> {
    names.iter().flat_map(|name| naming.topics(name).unwrap_or_default()).collect()
}

/// Tells what a torn or damaged file has lost.
pub(crate) fn report(damage: &Damage) -> ErrorReport {
    let saved = format!("{}: {} events were saved", damage.detail, damage.saved);
    let message = match (damage.lost, &damage.kept_as) {
        (0, None) => format!("the journal was damaged, {saved}, none is known to be lost"),
        (lost, None) => format!("the journal was damaged, {saved}, at most {lost} are lost"),
        (lost, Some(name)) => {
            format!(
                "the journal was damaged, {saved}, at most {lost} are lost; the damaged file is kept as {name}"
            )
        }
    };
    ErrorReport {
        code: ErrorCode::JournalFailed,
        message,
        retryable: true,
        hint: None,
        status: None,
        correlation_id: None,
    }
}

/// A gap as it was told; the words of both are those of the public surface.
fn gap(row: &GapRow) -> Option<Gap> {
    serde_json::to_value(row).and_then(serde_json::from_value).ok()
}

/// Where the stream stood when the last event arrived.
fn cursor(restored: &Restored, reader: &Reader) -> Option<Cursor> {
    let (reader, mut track) = (reader.marking(), Track::new(None));
    for event in &restored.recent {
        if let Some(mark) = reader.again(&event.frame).mark {
            track.arrived(event.sequence, mark.position.as_deref(), mark.identity, event.received_at);
        }
    }
    track.acked(restored.last_sequence);
    track.cursor()
}

fn seen(event: &Stored, reader: &Reader, naming: Naming) -> Option<PastEvent> {
    let parts = reader.again(&event.frame);
    Some(PastEvent {
        topic: naming.topics(&event.topic).ok()?.pop()?,
        body: parts.body.to_owned(),
        received_at: event.received_at,
    })
}

/// Events that are gone with a part of the file, of whatever topic was wanted then.
fn gap_of_damage(damage: &Damage, restored: &Restored, gaps: &[Gap], now_wall: u64) -> Option<Gap> {
    if damage.lost == 0 {
        return None;
    }
    let from = damage.between.0?;
    let to = damage.between.1.or(restored.sound_until).unwrap_or(now_wall).max(from);
    let names: BTreeSet<&String> = restored.covered.iter().chain(&restored.wanted).collect();
    if names.is_empty() {
        return None;
    }
    let number = |gap: &Gap| gap.id.strip_prefix("gap-").and_then(|n| n.parse::<u64>().ok());
    let last = gaps.iter().filter_map(number).max().unwrap_or(0);
    Some(Gap {
        id: format!("gap-{}", last + 1),
        from,
        to: Some(to),
        reason: Reason::JournalFailed,
        topics: names.into_iter().cloned().collect(),
        certainty: Certainty::Certain,
        backfilled: Backfilled::No,
    })
}

//! What an earlier run left in the journal, as the machine wants it.

use std::collections::BTreeSet;

use genesys_notifications_journal::{Damage, GapRow, Restored};
use genesys_notifications_proto::{
    Backfilled, Certainty, ErrorCode, ErrorReport, Frame, Gap, Past, PastEvent, Reason, Topic,
};

/// The past of a client, and the gap that damage has made, which was never told. Nothing that cannot be read is worth
/// failing for.
pub(crate) fn past(restored: Restored, now_wall: u64) -> (Past, Option<Gap>) {
    let mut gaps: Vec<Gap> = restored.gaps.iter().filter_map(gap).collect();
    let damage = restored.damage.as_ref();
    let lost = damage.and_then(|damage| gap_of_damage(damage, &restored, &gaps, now_wall));
    gaps.extend(lost.clone());
    let past = Past {
        sound_until: restored.sound_until.unwrap_or(now_wall),
        covered: topics(&restored.covered),
        gaps,
        seen: restored.recent.iter().filter_map(seen).collect(),
        cursor: None,
    };
    (past, lost)
}

/// Names that are topics; the journal may be of another version.
pub(crate) fn topics(names: &[String]) -> Vec<Topic> {
    names.iter().flat_map(|name| Topic::expand(name).unwrap_or_default()).collect()
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

fn seen(event: &genesys_notifications_journal::Stored) -> Option<PastEvent> {
    let Frame::Event(envelope) = Frame::read_again(&event.frame) else { return None };
    Some(PastEvent {
        topic: Topic::expand(&event.topic).ok()?.pop()?,
        body: envelope.body.to_owned(),
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

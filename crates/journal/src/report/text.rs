//! The report for people.

use std::fmt::Write;

use super::Report;
use super::time::{duration, instant};

/// Lines of one list; the rest is in the JSON.
const LINES: usize = 200;

pub(super) fn of(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, report);
    text
}

fn write(text: &mut String, report: &Report) -> std::fmt::Result {
    let totals = &report.totals;
    writeln!(text, "Continuity from {} to {}", instant(report.from), instant(report.as_of))?;
    writeln!(
        text,
        "  topics {}   connected {}   in gaps {}   wall {}   ({}% connected)",
        totals.topics,
        duration(totals.connected_ms),
        duration(totals.gap_ms),
        duration(totals.wall_ms),
        percent(totals.connected_ms, totals.wall_ms)
    )?;
    writeln!(
        text,
        "  gaps {}   rotations {}   tokens {}   process down {}",
        totals.gaps,
        totals.rotations,
        totals.tokens,
        duration(totals.down_ms)
    )?;
    writeln!(
        text,
        "  events {} in the journal, {} not acknowledged, {} evicted, last sequence {}",
        totals.events, totals.unacknowledged, totals.evicted, totals.last_sequence
    )?;

    list(text, "Gaps", &report.gaps, |text, gap| {
        let until = gap.to.map_or_else(|| "open".to_owned(), instant);
        let ms = gap.to.unwrap_or(report.as_of).saturating_sub(gap.from);
        let topics = match gap.topics.as_slice() {
            [topic] => plain(topic),
            topics => format!("{} topics", topics.len()),
        };
        writeln!(
            text,
            "  {} to {until}  {}  {}, {}, backfilled {}, {topics}  [{}]",
            instant(gap.from),
            duration(ms),
            plain(&gap.reason),
            plain(&gap.certainty),
            plain(&gap.backfilled),
            plain(&gap.id)
        )
    })?;
    list(text, "Topics", &report.topics, |text, topic| {
        writeln!(
            text,
            "  {}  since {}{}  connected {}  in {} gaps {}  ({}%)",
            plain(&topic.topic),
            instant(topic.since),
            topic.until.map_or_else(String::new, |until| format!(" until {}", instant(until))),
            duration(topic.connected_ms),
            topic.gaps,
            duration(topic.gap_ms),
            percent(topic.connected_ms, topic.wall_ms)
        )
    })?;
    list(text, "Channels", &report.channels, |text, band| {
        let end = match band.to {
            None => "still there".to_owned(),
            Some(to) => format!("{} {}", if band.is_lost { "lost" } else { "ended" }, instant(to)),
        };
        let reason =
            band.reason.as_deref().map_or_else(String::new, |reason| format!(" ({})", plain(reason)));
        writeln!(
            text,
            "  channel {} of shard {}  made {}  {end}{reason}",
            band.link,
            band.shard,
            instant(band.from)
        )
    })?;
    list(text, "Rotations", &report.rotations, |text, rotation| {
        writeln!(
            text,
            "  {}  shard {}: channel {} to {} ({})",
            instant(rotation.at),
            rotation.shard,
            rotation.from,
            rotation.to,
            plain(&rotation.reason)
        )
    })
}

fn list<T>(
    text: &mut String,
    title: &str,
    rows: &[T],
    mut line: impl FnMut(&mut String, &T) -> std::fmt::Result,
) -> std::fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n{title}")?;
    let left_out = rows.len().saturating_sub(LINES);
    if left_out > 0 {
        writeln!(text, "  ({left_out} more before, see the JSON)")?;
    }
    rows[left_out..].iter().try_for_each(|row| line(text, row))
}

/// Rounded down: 100 means all.
fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let thousandths = u128::from(part) * 100_000 / u128::from(whole);
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}

/// Nothing of what the service sent moves the cursor of a terminal.
fn plain(word: &str) -> String {
    word.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

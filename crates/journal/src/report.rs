//! The continuity report: connected time, gaps and what happened to channels.
//!
//! Per topic, connected time and gap time add up to wall time exactly; gaps that overlap count once.

mod svg;
mod text;
mod time;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::ReadError;
use crate::reader::{CoverageRow, MomentRow, Reader};
use crate::record::GapRow;

/// A continuity report. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Gaps and moments are complete since.
    pub from: u64,
    /// What is known ends here.
    pub as_of: u64,
    /// Sums over everything.
    pub totals: Totals,
    /// By name.
    pub topics: Vec<TopicReport>,
    /// Oldest first.
    pub gaps: Vec<GapRow>,
    /// Oldest first.
    pub channels: Vec<Band>,
    /// Planned replacements, oldest first.
    pub rotations: Vec<Rotation>,
    /// When tokens were obtained.
    pub tokens: Vec<u64>,
    /// When no process ran: from, to.
    pub down: Vec<(u64, u64)>,
}

/// Sums over everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Topics.
    pub topics: usize,
    /// Sum over topics.
    pub connected_ms: u64,
    /// Sum over topics.
    pub gap_ms: u64,
    /// Sum over topics: `connectedMs + gapMs`.
    pub wall_ms: u64,
    /// Gaps.
    pub gaps: usize,
    /// Planned replacements of a channel.
    pub rotations: usize,
    /// Tokens obtained.
    pub tokens: usize,
    /// Time without a process.
    pub down_ms: u64,
    /// Events on disk.
    pub events: u64,
    /// Of those, not acknowledged.
    pub unacknowledged: u64,
    /// Thrown away before they were acknowledged.
    pub evicted: u64,
    /// Highest sequence.
    pub last_sequence: u64,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// First proven live, or the beginning of the report.
    pub since: u64,
    /// No longer wanted; `None` if it still is.
    pub until: Option<u64>,
    /// Proven live.
    pub connected_ms: u64,
    /// In a gap.
    pub gap_ms: u64,
    /// `connectedMs + gapMs`; less than from `since` to `until` if the topic was not wanted in between.
    pub wall_ms: u64,
    /// Gaps that touch it.
    pub gaps: usize,
}

/// One channel's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    /// Its number; numbers begin again with every run.
    pub link: u64,
    /// Its shard.
    pub shard: u64,
    /// Made.
    pub from: u64,
    /// Proven live.
    pub live: Option<u64>,
    /// Lost or ended; `None` if it goes on.
    pub to: Option<u64>,
    /// Whether it was lost rather than ended.
    pub is_lost: bool,
    /// Why it ended, if that was told.
    pub reason: Option<String>,
}

/// A planned replacement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// When the successor took over.
    pub at: u64,
    /// Its shard.
    pub shard: u64,
    /// The channel before.
    pub from: u64,
    /// The channel after.
    pub to: u64,
    /// Why.
    pub reason: String,
}

impl Report {
    /// The report of a journal.
    pub fn of(reader: &Reader) -> Result<Self, ReadError> {
        let summary = reader.summary()?;
        let mut report = Self::build(
            summary.complete_from,
            summary.sound_until,
            reader.gaps()?,
            reader.moments()?,
            reader.coverage()?,
        );
        report.totals.events = summary.events;
        report.totals.unacknowledged = summary.unacknowledged;
        report.totals.evicted = summary.evicted;
        report.totals.last_sequence = summary.last_sequence;
        Ok(report)
    }

    fn build(
        complete_from: u64,
        sound_until: Option<u64>,
        gaps: Vec<GapRow>,
        moments: Vec<MomentRow>,
        coverage: Vec<CoverageRow>,
    ) -> Self {
        let times = sound_until
            .into_iter()
            .chain(moments.iter().map(|moment| moment.at))
            .chain(gaps.iter().flat_map(|gap| [Some(gap.from), gap.to]).flatten())
            .chain(coverage.iter().flat_map(|row| [Some(row.since), row.until]).flatten());
        let as_of = times.max().unwrap_or_default();
        let first = coverage.iter().map(|row| row.since).chain(moments.iter().map(|moment| moment.at)).min();
        let from = complete_from.max(first.unwrap_or_default()).min(as_of);

        let down = union(
            gaps.iter()
                .filter(|gap| gap.reason == "process_down")
                .map(|gap| (gap.from, gap.to.unwrap_or(as_of)))
                .collect(),
        );
        let topics = topics(&gaps, &coverage, from, as_of);
        let mut report = Self {
            from,
            as_of,
            channels: bands(&moments, &down),
            rotations: moments.iter().filter_map(rotation).collect(),
            tokens: moments.iter().filter(|moment| moment.kind == "token").map(|moment| moment.at).collect(),
            totals: Totals::default(),
            topics,
            gaps,
            down,
        };
        let sum = |figure: fn(&TopicReport) -> u64| report.topics.iter().map(figure).sum();
        report.totals = Totals {
            topics: report.topics.len(),
            connected_ms: sum(|topic| topic.connected_ms),
            gap_ms: sum(|topic| topic.gap_ms),
            wall_ms: sum(|topic| topic.wall_ms),
            gaps: report.gaps.len(),
            rotations: report.rotations.len(),
            tokens: report.tokens.len(),
            down_ms: length(&report.down),
            ..Totals::default()
        };
        report
    }

    /// For people.
    pub fn text(&self) -> String {
        text::of(self)
    }

    /// A timeline: one band per channel, gaps, rotations and renewals. Plain SVG without script, bounded in size.
    pub fn svg(&self) -> String {
        svg::of(self)
    }
}

fn topics(gaps: &[GapRow], coverage: &[CoverageRow], from: u64, as_of: u64) -> Vec<TopicReport> {
    let mut missing: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for gap in gaps {
        for topic in &gap.topics {
            missing.entry(topic).or_default().push((gap.from, gap.to.unwrap_or(as_of)));
        }
    }
    let mut spans: BTreeMap<&str, Vec<&CoverageRow>> = BTreeMap::new();
    for row in coverage {
        spans.entry(&row.topic).or_default().push(row);
    }
    let topic = |(topic, rows): (&str, Vec<&CoverageRow>)| {
        let clip = |at: u64| at.clamp(from, as_of);
        let covered =
            union(rows.iter().map(|row| (clip(row.since), clip(row.until.unwrap_or(as_of)))).collect());
        let gaps = missing.get(topic).map_or(&[][..], Vec::as_slice);
        let in_gap = union(
            covered.iter().flat_map(|span| gaps.iter().filter_map(|gap| common(*span, *gap))).collect(),
        );
        let (wall_ms, gap_ms) = (length(&covered), length(&in_gap));
        TopicReport {
            topic: topic.to_owned(),
            since: clip(rows.first().map_or(from, |row| row.since)),
            until: rows.last().and_then(|row| row.until),
            connected_ms: wall_ms - gap_ms,
            gap_ms,
            wall_ms,
            gaps: gaps.iter().filter(|gap| covered.iter().any(|span| common(*span, **gap).is_some())).count(),
        }
    };
    spans.into_iter().map(topic).collect()
}

fn bands(moments: &[MomentRow], down: &[(u64, u64)]) -> Vec<Band> {
    let mut bands: Vec<Band> = Vec::new();
    let mut open: BTreeMap<u64, usize> = BTreeMap::new();
    for moment in moments.iter().filter(|moment| moment.kind == "channel") {
        let (Some(link), Some(stage)) = (number(moment, "link"), word(moment, "stage")) else { continue };
        if stage == "made" || !open.contains_key(&link) {
            let shard = number(moment, "shard").unwrap_or_default();
            open.insert(link, bands.len());
            bands.push(Band {
                link,
                shard,
                from: moment.at,
                live: None,
                to: None,
                is_lost: false,
                reason: None,
            });
        }
        let Some(band) = open.get(&link).and_then(|at| bands.get_mut(*at)) else { continue };
        match stage.as_str() {
            "live" => band.live = band.live.or(Some(moment.at)),
            // What is lost is ended in the end: the first of the two counts.
            "lost" | "ended" if band.to.is_none() => {
                band.to = Some(moment.at);
                band.is_lost = stage == "lost";
                band.reason = word(moment, "reason");
            }
            _ => {}
        }
    }
    for band in &mut bands {
        // With the process went its channels.
        let end = down.iter().map(|(from, _)| *from).find(|from| *from >= band.from);
        if let Some(end) = end
            && band.to.is_none_or(|to| to > end)
        {
            (band.to, band.is_lost, band.reason) = (Some(end), true, Some("process_down".to_owned()));
        }
    }
    bands
}

fn rotation(moment: &MomentRow) -> Option<Rotation> {
    (moment.kind == "rotation").then_some(())?;
    Some(Rotation {
        at: moment.at,
        shard: number(moment, "shard")?,
        from: number(moment, "from")?,
        to: number(moment, "to")?,
        reason: word(moment, "reason").unwrap_or_default(),
    })
}

fn number(moment: &MomentRow, field: &str) -> Option<u64> {
    moment.detail.get(field).and_then(Value::as_u64)
}

fn word(moment: &MomentRow, field: &str) -> Option<String> {
    moment.detail.get(field).and_then(Value::as_str).map(str::to_owned)
}

/// Disjoint spans in order that cover the same.
fn union(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.retain(|(from, to)| from < to);
    spans.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    merged
}

fn common(one: (u64, u64), other: (u64, u64)) -> Option<(u64, u64)> {
    let (from, to) = (one.0.max(other.0), one.1.min(other.1));
    (from < to).then_some((from, to))
}

fn length(spans: &[(u64, u64)]) -> u64 {
    spans.iter().map(|(from, to)| to - from).sum()
}

#[cfg(test)]
mod tests;

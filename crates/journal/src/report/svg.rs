//! The report as a timeline.

use std::fmt::Write;

use super::Report;
use super::time::{duration, instant};

/// The newest so many of each; the rest is in the JSON.
const BANDS: usize = 100;
const MARKS: usize = 1000;
const WIDTH: u64 = 1000;
const LEFT: u64 = 150;
const ROW: u64 = 16;
const TOP: u64 = 64;

const STYLE: &str = "text{font:11px sans-serif;fill:#333}.title{font-size:14px}.page{fill:#fff}.axis{stroke:#999}\
.band{fill:#4a90c2}.early{fill:#b9d3e6}.lost{stroke:#c0392b;stroke-width:2}.gap{fill:#c0392b}.possible{fill:#e59866}\
.open{fill-opacity:.6}.rotation{stroke:#2e8b57}.token{fill:#8e6bbf}.down{fill:#888;fill-opacity:.3}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.page{fill:#1b1b1b}.axis{stroke:#777}.early{fill:#35566e}}";

pub(super) fn of(report: &Report) -> String {
    let mut svg = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut svg, report);
    svg
}

fn write(svg: &mut String, report: &Report) -> std::fmt::Result {
    let bands = newest(&report.channels, BANDS);
    let height = TOP + ROW * (bands.len() as u64 + 3) + 24;
    let scale = Scale { from: report.from, span: (report.as_of - report.from).max(1) };
    let bottom = TOP + ROW * (bands.len() as u64 + 2);

    writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {height}\" width=\"{0}\" height=\"{height}\" role=\"img\">\
         <style>{STYLE}</style><rect class=\"page\" width=\"{0}\" height=\"{height}\"/>",
        WIDTH + LEFT + 20
    )?;
    writeln!(
        svg,
        "<title>Continuity</title><text class=\"title\" x=\"8\" y=\"20\">Continuity from {} to {}</text>",
        instant(report.from),
        instant(report.as_of)
    )?;
    writeln!(
        svg,
        "<text x=\"8\" y=\"38\">{} topics, {} gaps, {} in gaps of {}, {} rotations, {} tokens</text>",
        report.totals.topics,
        report.totals.gaps,
        duration(report.totals.gap_ms),
        duration(report.totals.wall_ms),
        report.totals.rotations,
        report.totals.tokens
    )?;
    for (from, to) in newest(&report.down, MARKS) {
        let (x, width) = scale.span(*from, *to);
        writeln!(
            svg,
            "<rect class=\"down\" x=\"{x}\" y=\"{TOP}\" width=\"{width}\" height=\"{}\"><title>process down {}</title></rect>",
            bottom - TOP,
            duration(to - from)
        )?;
    }
    writeln!(svg, "<text x=\"8\" y=\"{}\">gaps</text>", TOP + 12)?;
    for gap in newest(&report.gaps, MARKS) {
        let to = gap.to.unwrap_or(report.as_of);
        let (x, width) = scale.span(gap.from, to);
        let possible = if gap.certainty == "possible" { " possible" } else { "" };
        let open = if gap.to.is_none() { " open" } else { "" };
        writeln!(
            svg,
            "<rect class=\"gap{possible}{open}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\"><title>{} {} {} {}, {} topics, \
             backfilled {}</title></rect>",
            TOP + 2,
            ROW - 4,
            escaped(&gap.id),
            escaped(&gap.reason),
            instant(gap.from),
            duration(to.saturating_sub(gap.from)),
            gap.topics.len(),
            escaped(&gap.backfilled)
        )?;
    }
    for (row, band) in bands.iter().enumerate() {
        let y = TOP + ROW * (row as u64 + 1);
        let to = band.to.unwrap_or(report.as_of);
        let live = band.live.unwrap_or(to).clamp(band.from, to.max(band.from));
        writeln!(svg, "<text x=\"8\" y=\"{}\">channel {}, shard {}</text>", y + 12, band.link, band.shard)?;
        for (class, from, to) in [("early", band.from, live), ("band", live, to)] {
            if from < to {
                let (x, width) = scale.span(from, to);
                writeln!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"{width}\" height=\"{}\"><title>channel {} made {} {}</title></rect>",
                    y + 3,
                    ROW - 6,
                    band.link,
                    instant(band.from),
                    escaped(band.reason.as_deref().unwrap_or_default())
                )?;
            }
        }
        if band.is_lost {
            let x = scale.at(to);
            writeln!(
                svg,
                "<line class=\"lost\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{}\"/>",
                y + 1,
                y + ROW - 1
            )?;
        }
    }
    for rotation in newest(&report.rotations, MARKS) {
        let x = scale.at(rotation.at);
        writeln!(
            svg,
            "<line class=\"rotation\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\"><title>rotation {} to {}: {}</title></line>",
            TOP + ROW,
            rotation.from,
            rotation.to,
            escaped(&rotation.reason)
        )?;
    }
    writeln!(svg, "<text x=\"8\" y=\"{}\">tokens</text>", bottom + 2)?;
    for at in newest(&report.tokens, MARKS) {
        writeln!(
            svg,
            "<circle class=\"token\" cx=\"{}\" cy=\"{}\" r=\"3\"><title>token {}</title></circle>",
            scale.at(*at),
            bottom - 3,
            instant(*at)
        )?;
    }
    let (right, axis) = (LEFT + WIDTH, bottom + 8);
    writeln!(svg, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{axis}\" y2=\"{axis}\"/>")?;
    for quarter in 0..=4 {
        let (x, at) = (LEFT + WIDTH * quarter / 4, report.from + scale.span / 4 * quarter);
        let anchor = ["start", "middle", "middle", "middle", "end"][quarter as usize];
        writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>", axis + 14, instant(at))?;
    }
    writeln!(svg, "</svg>")
}

struct Scale {
    from: u64,
    span: u64,
}

impl Scale {
    fn at(&self, time: u64) -> u64 {
        let offset = time.saturating_sub(self.from).min(self.span);
        LEFT + u64::try_from(u128::from(offset) * u128::from(WIDTH) / u128::from(self.span))
            .unwrap_or_default()
    }

    /// Left edge and width, at least one unit: what happened is seen.
    fn span(&self, from: u64, to: u64) -> (u64, u64) {
        let (left, right) = (self.at(from), self.at(to));
        (left, right.saturating_sub(left).max(1))
    }
}

fn newest<T>(rows: &[T], count: usize) -> &[T] {
    &rows[rows.len().saturating_sub(count)..]
}

fn escaped(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for c in word.chars().take(200) {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            c if c.is_control() => text.push('\u{FFFD}'),
            c => text.push(c),
        }
    }
    text
}

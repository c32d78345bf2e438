use proptest::prelude::*;
use serde_json::json;

use super::*;

fn gap(id: &str, from: u64, to: Option<u64>, reason: &str, topics: &[&str]) -> GapRow {
    GapRow {
        id: id.into(),
        from,
        to,
        reason: reason.into(),
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        certainty: "certain".into(),
        backfilled: "no".into(),
    }
}

fn covered(topic: &str, since: u64, until: Option<u64>) -> CoverageRow {
    CoverageRow { topic: topic.into(), since, until }
}

fn moment(at: u64, kind: &str, detail: Value) -> MomentRow {
    MomentRow { at, kind: kind.into(), detail }
}

#[test]
fn overlapping_gaps_count_once_and_only_where_the_topic_counted() {
    let report = Report::build(
        0,
        Some(1000),
        vec![
            gap("gap-1", 150, Some(300), "silence", &["a", "b"]),
            gap("gap-2", 250, Some(400), "process_down", &["a"]),
            gap("gap-3", 900, None, "silence", &["b"]),
        ],
        vec![],
        vec![covered("a", 100, None), covered("b", 200, Some(500)), covered("b", 800, None)],
    );
    let figures: Vec<_> = report
        .topics
        .iter()
        .map(|t| (t.topic.as_str(), t.connected_ms, t.gap_ms, t.wall_ms, t.gaps))
        .collect();
    assert_eq!(figures, [("a", 650, 250, 900, 2), ("b", 300, 200, 500, 2)]);
    assert_eq!((report.from, report.as_of), (100, 1000));
    assert_eq!((report.totals.down_ms, report.totals.gaps), (150, 3));
}

#[test]
fn bands_follow_the_stages_and_end_with_the_process() {
    let channel = |at, link: u64, stage: &str| {
        moment(at, "channel", json!({"link": link, "shard": 1, "stage": stage, "reason": "silence"}))
    };
    let report = Report::build(
        0,
        Some(1000),
        vec![gap("gap-1", 500, Some(700), "process_down", &["a"])],
        vec![
            channel(100, 1, "made"),
            channel(120, 1, "live"),
            channel(300, 1, "lost"),
            channel(310, 1, "ended"),
            channel(200, 2, "made"),
            channel(720, 1, "made"),
            channel(740, 1, "live"),
            moment(750, "rotation", json!({"shard": 1, "from": 1, "to": 2, "reason": "token_renewed"})),
            moment(760, "token", json!({"generation": 2})),
        ],
        vec![covered("a", 120, None)],
    );
    let bands: Vec<_> = report.channels.iter().map(|b| (b.link, b.from, b.live, b.to, b.is_lost)).collect();
    assert_eq!(
        bands,
        [
            (1, 100, Some(120), Some(300), true),
            (2, 200, None, Some(500), true),
            (1, 720, Some(740), None, false)
        ]
    );
    assert_eq!((report.rotations.len(), report.tokens.as_slice()), (1, &[760][..]));
    let text = report.text();
    assert!(text.contains("connected") && text.contains("token_renewed"), "{text}");
}

#[test]
fn what_others_wrote_breaks_neither_svg_nor_terminal() {
    let evil = "<script>alert(1)</script>&\"\u{1b}[2J";
    let report = Report::build(
        0,
        Some(1000),
        vec![gap(evil, 100, Some(200), evil, &[evil])],
        vec![moment(100, "channel", json!({"link": 1, "shard": 0, "stage": "lost", "reason": evil}))],
        vec![covered(evil, 50, None)],
    );
    let svg = report.svg();
    assert!(!svg.contains("<script") && !svg.contains('\u{1b}'), "{svg}");
    assert!(svg.contains("&lt;script&gt;"));
    assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    assert!(!report.text().contains('\u{1b}'));
}

#[test]
fn a_month_of_trouble_is_still_a_small_picture() {
    let moments = (0..100_000).map(|n| {
        moment(
            n * 1000,
            "channel",
            json!({"link": n, "shard": 0, "stage": if n % 2 == 0 { "made" } else { "lost" }}),
        )
    });
    let gaps =
        (0..1000).map(|n| gap(&format!("gap-{n}"), n * 90_000, Some(n * 90_000 + 60_000), "silence", &["a"]));
    let report =
        Report::build(0, Some(100_000_000), gaps.collect(), moments.collect(), vec![covered("a", 0, None)]);
    assert!(report.svg().len() < 512 << 10, "{}", report.svg().len());
    assert!(report.text().len() < 128 << 10, "{}", report.text().len());
}

#[test]
fn an_empty_journal_has_a_report() {
    let report = Report::build(0, None, vec![], vec![], vec![]);
    assert_eq!(report.totals, Totals::default());
    assert!(report.svg().ends_with("</svg>\n") && report.text().starts_with("Continuity"));
}

proptest! {
    /// Against counting every millisecond.
    #[test]
    fn connected_and_gap_time_are_wall_time(
        spans in prop::collection::vec((0u64..60, prop::option::of(0u64..60)), 0..4),
        gaps in prop::collection::vec((0u64..60, prop::option::of(0u64..60)), 0..6),
        complete_from in 0u64..30,
    ) {
        let rows = spans.iter().map(|(since, more)| covered("a", *since, more.map(|m| since + m))).collect::<Vec<_>>();
        let gaps = gaps.iter().enumerate().map(|(n, (from, more))| {
            gap(&format!("gap-{n}"), *from, more.map(|m| from + m), "silence", &["a"])
        }).collect::<Vec<_>>();
        let report = Report::build(complete_from, Some(100), gaps.clone(), vec![], rows.clone());
        let within = |at: u64, from: u64, to: Option<u64>| at >= from && at < to.unwrap_or(report.as_of);
        let (mut wall, mut missing) = (0, 0);
        for at in report.from..report.as_of {
            if rows.iter().any(|row| within(at, row.since, row.until)) {
                wall += 1;
                missing += u64::from(gaps.iter().any(|gap| within(at, gap.from, gap.to)));
            }
        }
        let topic = report.topics.first().map_or((0, 0, 0), |t| (t.wall_ms, t.gap_ms, t.connected_ms));
        prop_assert_eq!(topic, (wall, missing, wall - missing));
        prop_assert_eq!(report.totals.connected_ms + report.totals.gap_ms, report.totals.wall_ms);
    }
}

//! Reading while a client writes, and the report of a whole journal.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use genesys_notifications_journal::{Bound, GapRow, Note, Range, Reader, Report};

fn sequences(reader: &Reader, range: Range, max_events: usize, max_bytes: usize) -> Vec<Vec<u64>> {
    let mut cursor = reader.events(range);
    let mut pages = Vec::new();
    loop {
        let page = reader.page(&mut cursor, max_events, max_bytes).unwrap();
        if page.is_empty() {
            return pages;
        }
        pages.push(page.iter().map(|event| event.sequence).collect());
    }
}

#[test]
fn ranges_are_by_time_or_sequence_and_end_before_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, outlet) = running(&options);
    append_all(&journal, 1..=100);
    outlet.until_count(100);
    wait_for("rest", || journal.stats().events == 100);
    // The writer is still there.
    let reader = Reader::open(&options.path).unwrap();
    let all = |range| sequences(&reader, range, 1000, usize::MAX).concat();
    assert_eq!(all(Range::default()), (1..=100).collect::<Vec<_>>());
    let by_sequence = Range { from: Some(Bound::Sequence(10)), to: Some(Bound::Sequence(20)) };
    assert_eq!(all(by_sequence), (10..20).collect::<Vec<_>>());
    let by_time = Range { from: Some(Bound::Time(NOW + 10)), to: Some(Bound::Time(NOW + 20)) };
    assert_eq!(all(by_time), (10..20).collect::<Vec<_>>());
    let mixed = Range { from: Some(Bound::Time(NOW + 90)), to: Some(Bound::Sequence(95)) };
    assert_eq!(all(mixed), (90..95).collect::<Vec<_>>());
    assert_eq!(all(Range { from: Some(Bound::Sequence(101)), to: None }), Vec::<u64>::new());
    assert_eq!(all(Range { from: Some(Bound::Sequence(0)), to: Some(Bound::Sequence(2)) }), [1]);
}

#[test]
fn pages_keep_their_limits_and_go_on_when_more_comes() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, outlet) = running(&options);
    for number in 1..=10 {
        append_sized(&journal, number, 1000);
    }
    outlet.until_count(10);
    let reader = Reader::open(&options.path).unwrap();
    let by_count: Vec<usize> =
        sequences(&reader, Range::default(), 4, usize::MAX).iter().map(Vec::len).collect();
    assert_eq!(by_count, [4, 4, 2]);
    let by_bytes: Vec<usize> = sequences(&reader, Range::default(), 100, 3000).iter().map(Vec::len).collect();
    assert_eq!(by_bytes, [3, 3, 3, 1]);
    let at_least_one: Vec<usize> =
        sequences(&reader, Range::default(), 100, 0).iter().map(Vec::len).collect();
    assert_eq!(at_least_one, [1; 10]);
    let mut cursor = reader.events(Range::default());
    assert_eq!(reader.page(&mut cursor, 100, usize::MAX).unwrap().len(), 10);
    assert!(reader.page(&mut cursor, 100, usize::MAX).unwrap().is_empty());
    append(&journal, 11);
    outlet.until_count(11);
    let more = reader.page(&mut cursor, 100, usize::MAX).unwrap();
    assert_eq!(more.iter().map(|event| event.sequence).collect::<Vec<_>>(), [11]);
}

#[test]
fn the_report_of_a_journal_adds_up() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    let moment = |at: u64, kind: &str, detail: &str| {
        journal.note(Note::Moment { at: NOW + at, kind: kind.into(), detail: detail.into() });
    };
    moment(0, "channel", r#"{"link":1,"shard":0,"stage":"made"}"#);
    moment(10, "channel", r#"{"link":1,"shard":0,"stage":"live"}"#);
    moment(10, "covered", r#"{"topics":["a","b"]}"#);
    moment(15, "covered", r#"{"topics":["a"]}"#);
    moment(20, "token", r#"{"generation":1}"#);
    moment(600, "forgotten", r#"{"topics":["b"]}"#);
    moment(700, "rotation", r#"{"shard":0,"from":1,"to":2,"reason":"channel_expiring"}"#);
    for (id, from, to, reason) in
        [("gap-1", 100, Some(200), "silence"), ("gap-2", 150, Some(400), "process_down")]
    {
        journal.note(Note::Gap(GapRow {
            id: id.into(),
            from: NOW + from,
            to: to.map(|to| NOW + to),
            reason: reason.into(),
            topics: vec!["a".into(), "b".into()],
            certainty: "certain".into(),
            backfilled: "no".into(),
        }));
    }
    append(&journal, 500);
    journal.note(Note::SoundUntil(NOW + 1000));
    journal.close();
    let reader = Reader::open(&options.path).unwrap();
    let report = Report::of(&reader).unwrap();
    let figures: Vec<_> =
        report.topics.iter().map(|t| (t.topic.as_str(), t.connected_ms, t.gap_ms, t.wall_ms)).collect();
    assert_eq!(figures, [("a", 690, 300, 990), ("b", 290, 300, 590)]);
    let totals = &report.totals;
    assert_eq!((totals.events, totals.unacknowledged, totals.last_sequence, totals.down_ms), (1, 1, 1, 250));
    assert_eq!((totals.gaps, totals.rotations, totals.tokens, report.channels.len()), (2, 1, 1, 1));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["topics"][0]["connectedMs"], 690);
    assert_eq!(json["gaps"][1]["reason"], "process_down");
    assert!(report.svg().contains("class=\"rotation\""));
}

/// A disk that is really full: a small file system in memory, made larger later. Needs the right to mount.
#[test]
#[cfg(target_os = "linux")]
#[allow(clippy::print_stdout)]
fn a_full_disk_loses_nothing_and_recovers() {
    use std::process::{Command, Stdio};

    use genesys_notifications_journal::{News, Options};

    struct Mounted(tempfile::TempDir);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).stderr(Stdio::null()).status();
        }
    }
    let mount = |options: &str, path: &std::path::Path| {
        let command = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status();
        command.is_ok_and(|status| status.success())
    };
    let directory = Mounted(tempfile::tempdir().unwrap());
    if !mount("size=4m", directory.0.path()) {
        println!("skipped: no right to mount a file system here");
        return;
    }
    let options = Options::new(directory.0.path().join("journal.db"));
    let (journal, outlet) = running(&options);
    let mut count = 0;
    wait_for("a full disk", || {
        if !journal.is_full() {
            count += 1;
            append_sized(&journal, count, 10_000);
        }
        outlet.look(|seen| seen.news.iter().any(|news| matches!(news, News::Failing(_))))
    });
    assert!(journal.is_full());
    let delivered = outlet.look(|seen| seen.events.len());
    assert!(delivered < usize::try_from(count).unwrap());
    assert!(mount("remount,size=64m", directory.0.path()));
    outlet.until_count(usize::try_from(count).unwrap());
    assert_eq!(outlet.sequences(), (1..=count).collect::<Vec<_>>());
    outlet.until("room", |seen| (seen.news.last() == Some(&News::Room)).then_some(()));
    assert!(outlet.look(|seen| seen.news.contains(&News::Recovered)));
}

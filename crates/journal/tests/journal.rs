//! A journal as its client uses it.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Instant;

use common::*;
use genesys_notifications_journal::{GapRow, News, Note, OnFull, Options, Sync};

fn gap(id: &str, from: u64, to: Option<u64>, topics: &[&str]) -> GapRow {
    GapRow {
        id: id.into(),
        from,
        to,
        reason: "silence".into(),
        topics: topics.iter().map(|t| (*t).to_owned()).collect(),
        certainty: "certain".into(),
        backfilled: "no".into(),
    }
}

#[test]
fn what_is_appended_is_delivered_in_order_and_after_its_commit() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, restored) = open(&options(directory.path()));
    assert!(restored.is_new);
    assert_eq!(restored.last_sequence, 0);
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    for number in 1..=1000 {
        assert_eq!(append(&journal, number), number);
    }
    let events = outlet.until_count(1000);
    assert_eq!(outlet.sequences(), (1..=1000).collect::<Vec<_>>());
    assert!(events.iter().all(|event| !event.redelivered && event.received_at == NOW + event.sequence));
    assert_eq!(&*events[0].topic, "v2.users.1.presence");
    let stats = journal.stats();
    assert_eq!((stats.last_sequence, stats.acknowledged), (1000, 0));
    assert!((4..=1000).contains(&stats.commits), "{stats:?}");
}

#[test]
fn a_lone_event_does_not_wait_for_others() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, outlet) = running(&options(directory.path()));
    let begun = Instant::now();
    append(&journal, 1);
    outlet.until_count(1);
    assert!(begun.elapsed().as_millis() < 2000, "{:?}", begun.elapsed());
}

#[test]
fn what_was_not_acknowledged_comes_again_first_and_flagged() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, outlet) = running(&options);
    append_all(&journal, 1..=300);
    outlet.until_count(300);
    journal.ack(120);
    wait_for("the acknowledgement", || journal.stats().acknowledged == 120);
    journal.close();

    let (journal, restored) = open(&options);
    assert!(!restored.is_new);
    assert_eq!((restored.unacknowledged, restored.last_sequence, restored.last_channel), (180, 300, 2));
    assert_eq!(restored.damage, None);
    let outlet = Collector::new();
    assert_eq!(append(&journal, 301), 301);
    journal.start(outlet.clone()).unwrap();
    let events = outlet.until_count(181);
    assert_eq!(outlet.sequences(), (121..=301).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.redelivered == (event.sequence <= 300)));
}

#[test]
fn an_acknowledgement_needs_no_event_to_ride_on_and_names_only_what_was_delivered() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    let outlet = Collector::with_room(10);
    journal.start(outlet.clone()).unwrap();
    append_all(&journal, 1..=50);
    outlet.until_count(10);
    journal.ack(50);
    wait_for("the acknowledgement", || journal.stats().acknowledged == 10);
    journal.ack(3);
    outlet.give_room(1000);
    journal.wake();
    outlet.until_count(50);
    assert_eq!(journal.stats().acknowledged, 10);
    journal.ack(50);
    journal.close();
    let (journal, restored) = open(&options);
    assert_eq!(restored.unacknowledged, 0);
    assert_eq!(append(&journal, 51), 51);
}

#[test]
fn an_outlet_without_room_gets_the_rest_from_the_disk_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(&options(directory.path()));
    let outlet = Collector::with_room(7);
    journal.start(outlet.clone()).unwrap();
    for number in 1..=2000 {
        append(&journal, number);
    }
    wait_for("the commits", || journal.stats().events == 2000);
    assert_eq!(outlet.sequences(), (1..=7).collect::<Vec<_>>());
    assert_eq!(journal.stats().waiting, 0);
    let mut expected = 7;
    while expected < 2000 {
        outlet.give_room(400);
        journal.wake();
        expected = (expected + 400).min(2000);
        outlet.until_count(expected);
    }
    append(&journal, 2001);
    outlet.until_count(2001);
    assert_eq!(outlet.sequences(), (1..=2001).collect::<Vec<_>>());
}

#[test]
fn notes_are_restored() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    journal.start(Collector::new()).unwrap();
    journal.note(Note::Wanted { topics: vec!["a".into(), "b".into()] });
    journal.note(Note::Covered { topics: vec!["a".into()] });
    journal.note(Note::Gap(gap("gap-1", 10, None, &["a"])));
    journal.note(Note::Gap(gap("gap-2", 15, None, &["b"])));
    journal.note(Note::Gap(gap("gap-1", 10, Some(20), &["a"])));
    for number in [1, 30_000, 90_000] {
        append(&journal, number);
    }
    journal.note(Note::SoundUntil(NOW + 80_000));
    journal.close();
    let (_journal, restored) = open(&options);
    assert_eq!(restored.wanted, ["a", "b"]);
    assert_eq!(restored.covered, ["a"]);
    assert_eq!(restored.sound_until, Some(NOW + 80_000));
    assert_eq!(restored.gaps, [gap("gap-1", 10, Some(20), &["a"]), gap("gap-2", 15, None, &["b"])]);
    assert_eq!(restored.recent.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn however_long_nothing_came_the_last_event_is_restored_and_what_came_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    journal.start(Collector::new()).unwrap();
    for number in [1, 70_000, 90_000] {
        append(&journal, number);
    }
    journal.note(Note::SoundUntil(NOW + 10_000_000));
    journal.close();
    let (_journal, restored) = open(&options);
    assert_eq!(restored.recent.iter().map(|event| event.sequence).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn the_last_thousand_closed_gaps_and_every_open_one_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    journal.note(Note::Gap(gap("gap-0", 1, None, &["a"])));
    for number in 1..=1500 {
        journal.note(Note::Gap(gap(&format!("gap-{number}"), number, Some(number + 1), &["a"])));
    }
    journal.close();
    let (_journal, restored) = open(&options);
    assert_eq!(restored.gaps.len(), 1001);
    assert_eq!((restored.gaps[0].id.as_str(), restored.gaps[1].id.as_str()), ("gap-0", "gap-501"));
}

#[test]
fn a_second_client_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(directory.path());
    let (journal, _) = open(&options);
    let error = refusal(&options);
    assert_eq!(error.code(), "busy");
    let told = error.to_string();
    assert!(told.contains("'journal.db' is in use by process"), "{told}");
    assert!(told.contains(&std::process::id().to_string()), "{told}");
    assert!(!told.contains(directory.path().to_str().unwrap()), "{told}");
    drop(journal);
    open(&options);
}

/// Nobody acknowledges: full, no more than the bound is used, and reading goes on when space is made.
#[test]
fn pause_is_full_at_the_bound_and_has_room_after_an_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 1 << 20, ..options(directory.path()) };
    let (journal, outlet) = running(&options);
    let mut number = 0;
    wait_for("the bound", || {
        if !journal.is_full() {
            number += 1;
            append_sized(&journal, number, 1000);
        }
        journal.is_full() && journal.stats().bytes > 1 << 20
    });
    let count = usize::try_from(number).unwrap();
    outlet.until_count(count);
    assert!(count > 500, "{count}");
    assert_eq!(journal.stats().evicted, 0);
    journal.ack(number);
    outlet.until("room", |seen| seen.news.contains(&News::Room).then_some(()));
    assert!(!journal.is_full());
    assert!(journal.stats().bytes <= 1 << 20);
}

#[test]
fn evict_oldest_tells_exactly_what_it_threw_away() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 1 << 20, on_full: OnFull::EvictOldest, ..options(directory.path()) };
    let (journal, _) = open(&options);
    let outlet = Collector::with_room(0);
    journal.start(outlet.clone()).unwrap();
    for number in 1..=5000 {
        append_sized(&journal, number, 1000);
    }
    wait_for("the commits", || journal.stats().waiting == 0 && journal.stats().bytes <= 1 << 20);
    assert!(!journal.is_full());
    outlet.give_room(10_000);
    journal.wake();
    outlet.until("the last", |seen| (seen.events.last()?.sequence == 5000).then_some(()));
    let evicted = journal.stats().evicted;
    let sequences = outlet.sequences();
    assert_eq!(sequences, (evicted + 1..=5000).collect::<Vec<_>>());
    assert!((1..5000).contains(&evicted), "{evicted}");
    let spans: Vec<(u64, u64, usize)> = outlet.look(|seen| {
        let evicted = seen.news.iter().filter_map(|news| match news {
            News::Evicted { topics, from, to } => Some((*from, *to, topics.len())),
            _ => None,
        });
        evicted.collect()
    });
    assert_eq!(spans.first().unwrap().0, NOW + 1);
    assert_eq!(spans.last().unwrap().1, NOW + evicted);
    assert_eq!(spans.iter().map(|span| span.2).max(), Some(7));
    // A run may be told in parts: they touch.
    assert!(spans.windows(2).all(|two| two[1].0 == two[0].1 + 1), "{spans:?}");

    // Nobody noted a gap for it: told again; then not any more.
    journal.close();
    let (journal, restored) = open(&options);
    assert_eq!(restored.unacknowledged, 5000 - evicted);
    let outlet = Collector::with_room(0);
    journal.start(outlet.clone()).unwrap();
    outlet.until("the news", |seen| (seen.news.len() == spans.len()).then_some(()));
    let topics: Vec<String> = (0..7).map(|n| format!("v2.users.{n}.presence")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    journal.note(Note::Gap(gap("gap-1", NOW, Some(NOW + evicted), &topics)));
    journal.close();
    let (journal, _) = open(&options);
    let outlet = Collector::with_room(1);
    journal.start(outlet.clone()).unwrap();
    outlet.until_count(1);
    assert_eq!(outlet.look(|seen| seen.news.clone()), []);
}

#[test]
fn fail_says_so_once_and_stays_full() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 1 << 20, on_full: OnFull::Fail, ..options(directory.path()) };
    let (journal, outlet) = running(&options);
    for number in 1..=1500 {
        append_sized(&journal, number, 1000);
    }
    outlet.until("the news", |seen| seen.news.contains(&News::Full).then_some(()));
    outlet.until_count(1400);
    journal.ack(1400);
    wait_for("space", || journal.stats().bytes <= 1 << 20);
    assert!(journal.is_full());
    assert_eq!(outlet.look(|seen| seen.news.clone()), [News::Full]);
}

/// The hard bound of the file: what does not fit waits in memory and is written when there is space.
#[test]
fn nothing_is_lost_when_the_file_reaches_its_hard_bound() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 1 << 20, ..options(directory.path()) };
    let (journal, outlet) = running(&options);
    for number in 1..=300 {
        append_sized(&journal, number, 100_000);
    }
    wait_for("the hard bound", || journal.is_full() && journal.stats().bytes > 15 << 20);
    let mut acknowledged = 0;
    while acknowledged < 300 {
        acknowledged = outlet.until("more", |seen| {
            seen.events.last().map(|event| event.sequence).filter(|last| *last > acknowledged)
        });
        journal.ack(acknowledged);
    }
    assert_eq!(outlet.sequences(), (1..=300).collect::<Vec<_>>());
    assert_eq!(outlet.look(|seen| seen.news.iter().filter(|news| **news != News::Room).count()), 0);
}

#[test]
fn acknowledged_events_go_by_age_and_numbers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { max_age_ms: 0, ..options(directory.path()) };
    let (journal, outlet) = running(&options);
    append_all(&journal, 1..=100);
    outlet.until_count(100);
    journal.ack(100);
    wait_for("the acknowledgement", || journal.stats().acknowledged == 100);
    journal.close();
    // A day later.
    let (journal, restored) =
        genesys_notifications_journal::Journal::open(options.clone(), NOW + 86_400_000).unwrap();
    assert_eq!(restored.last_sequence, 100);
    journal.start(Collector::new()).unwrap();
    wait_for("the deletion", || journal.stats().events == 0);
    journal.close();
    let (journal, restored) = open(&options);
    assert_eq!((restored.last_sequence, restored.is_new), (100, false));
    assert_eq!(append(&journal, 1), 101);
}

/// A crash with `Sync::Interval` and a power cut: commits that had been told are gone, and their numbers stay used.
#[test]
fn with_an_interval_no_number_is_used_twice_even_if_the_end_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { sync: Sync::Interval { ms: 60_000 }, ..options(directory.path()) };
    let (journal, outlet) = running(&options);
    let cut = Options { path: directory.path().join("cut").join("journal.db"), ..options.clone() };
    std::fs::create_dir(directory.path().join("cut")).unwrap();
    for suffix in ["", "-wal"] {
        let file = |path: &std::path::Path| format!("{}{suffix}", path.display());
        std::fs::copy(file(&options.path), file(&cut.path)).unwrap();
    }
    append_all(&journal, 1..=100);
    outlet.until_count(100);
    journal.close();
    let (journal, restored) = open(&cut);
    assert!(restored.last_sequence >= 100);
    assert!(append(&journal, 1) > 100);
    drop(journal);
    let (_, restored) = open(&options);
    assert_eq!(restored.last_sequence, 100, "closed in order: nothing is set aside");
}

#[test]
fn out_of_range_options_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = options(directory.path());
    for (options, field) in [
        (Options { max_bytes: (1 << 20) - 1, ..good.clone() }, "journal.maxBytes"),
        (Options { sync: Sync::Interval { ms: 0 }, ..good.clone() }, "journal.syncIntervalMs"),
        (Options { sync: Sync::Interval { ms: 60_001 }, ..good.clone() }, "journal.syncIntervalMs"),
        (Options { path: "..".into(), ..good.clone() }, "journal.path"),
    ] {
        let told = refusal(&options).to_string();
        assert!(told.starts_with(field), "{told}");
    }
    assert!(!directory.path().join("state").exists(), "nothing is created for bad options");
}

#[test]
fn appending_from_many_threads_keeps_one_order() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = open(&options(directory.path()));
    let journal = Arc::new(journal);
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let journal = Arc::clone(&journal);
            std::thread::spawn(move || (0..500).map(|n| append(&journal, n)).collect::<Vec<_>>())
        })
        .collect();
    let mut given: Vec<u64> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    given.sort_unstable();
    assert_eq!(given, (1..=2000).collect::<Vec<_>>());
    outlet.until_count(2000);
    assert_eq!(outlet.sequences(), given);
}

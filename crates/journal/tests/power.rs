//! Power cuts: the journal writes to a file system in memory that knows what was synced, page by page.
//!
//! At a cut either nothing survives that was not synced, or each page, size, creation and removal that was not synced
//! survives with one half: torn and out of order. Every event that was delivered before the cut must be there after it.
//! Needs FUSE; says so and passes where that is missing.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
mod disk;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::*;
use disk::{Disk, Image, Mounted};
use genesys_notifications_journal::{Damage, Journal, Options, Sync};

const CUTS: usize = 20;

/// What survived a cut.
struct After {
    told: u64,
    lost: usize,
    damage: Option<Damage>,
}

fn verify(image: &Image, told: &[u64], acknowledged: u64, expect_all: bool) -> After {
    // In memory where that can be: this side is not what is tested.
    let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    image.write_to(directory.path());
    let options = Options::new(directory.path().join("journal.db"));
    let (journal, restored) = Journal::open(options, NOW).unwrap();
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    let first_new = append(&journal, 1);
    outlet.until("the new one", |seen| (seen.events.last()?.sequence == first_new).then_some(()));
    let there: BTreeSet<u64> = outlet.sequences().into_iter().collect();
    let now_acknowledged = journal.stats().acknowledged;
    let lost =
        told.iter().filter(|sequence| **sequence > now_acknowledged && !there.contains(sequence)).count();
    if expect_all {
        assert!(
            now_acknowledged >= acknowledged,
            "the cursor went back: {now_acknowledged} < {acknowledged}"
        );
        assert_eq!(lost, 0, "told {}, there {:?}..{:?}", told.len(), there.first(), there.last());
        assert_eq!(restored.damage, None);
    }
    assert!(told.iter().all(|sequence| *sequence < first_new), "a number was used twice: {first_new}");
    After { told: told.len() as u64, lost, damage: restored.damage }
}

/// Cuts the power again and again under a journal in use; `None` without FUSE.
fn cut(sync: Sync, survival: f64, seed: u64) -> Option<Vec<After>> {
    let disk = Disk::new(seed);
    let mounted = match Mounted::mount(&disk) {
        Ok(mounted) => mounted,
        Err(error) => {
            println!("skipped: FUSE cannot be mounted here ({error})");
            return None;
        }
    };
    let options = Options { sync, ..Options::new(mounted.path().join("journal.db")) };
    let (journal, _) = Journal::open(options, NOW).unwrap();
    let outlet = Collector::new();
    journal.start(outlet.clone()).unwrap();
    let mut cuts = Vec::new();
    let end = Instant::now() + Duration::from_secs(120);
    let mut number = 0;
    let (mut running, mut verifying) = (Duration::ZERO, Duration::ZERO);
    while cuts.len() < CUTS {
        assert!(Instant::now() < end, "only {} cuts in two minutes", cuts.len());
        let begun = Instant::now();
        // The cut comes while the rest is on its way.
        let goal = number as usize + 1 + disk.random(60);
        for _ in 0..80 {
            number += 1;
            append_sized(&journal, number, 450 + (number as usize % 5) * 1000);
        }
        outlet.until_count(goal);
        // Told first, cut after: what was told by then must survive.
        let acknowledged = journal.stats().acknowledged;
        let told = outlet.sequences();
        let image = disk.cut(survival);
        running += begun.elapsed();
        let begun = Instant::now();
        cuts.push(verify(&image, &told, acknowledged, sync == Sync::Always));
        verifying += begun.elapsed();
        journal.ack(told.last().copied().unwrap_or_default().saturating_sub(50));
    }
    drop(journal);
    drop(mounted);
    println!("{CUTS} cuts: {number} events in {running:?}, verified in {verifying:?}");
    Some(cuts)
}

#[test]
fn nothing_told_is_lost_when_only_synced_pages_survive() {
    let Some(cuts) = cut(Sync::Always, 0.0, 1) else { return };
    assert_eq!(cuts.len(), CUTS);
    assert!(cuts.iter().map(|after| after.told).sum::<u64>() > 1000);
}

#[test]
fn nothing_told_is_lost_when_half_of_the_unsynced_pages_survive() {
    let Some(cuts) = cut(Sync::Always, 0.5, 2) else { return };
    assert_eq!(cuts.len(), CUTS);
}

/// The test has teeth: with an interval of a minute a cut costs events that were told.
#[test]
fn an_interval_loses_what_it_says_it_may() {
    let Some(cuts) = cut(Sync::Interval { ms: 60_000 }, 0.0, 3) else { return };
    let lost: usize = cuts.iter().map(|after| after.lost).sum();
    assert!(lost > 100, "{lost}");
    let unsure = cut(Sync::Interval { ms: 60_000 }, 0.5, 4).unwrap();
    assert!(unsure.iter().any(|after| after.lost > 0));
    // Where the lock file survived, what is missing is told.
    assert!(unsure.iter().any(|after| after.damage.is_some()));
}

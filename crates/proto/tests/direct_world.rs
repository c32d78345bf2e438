//! A random world around direct endpoints: a server that loses, delays, repeats, refuses and forgets, for hours, and processes
//! that end and begin again.
//!
//! `WORLD_SEED=17 cargo test -p genesys-notifications-proto --test direct_world one_seed` lives one seed again;
//! `WORLD_STEPS=200` shows more of its last steps, and `WORLD_SEEDS=160..2000` in place of `WORLD_SEED` lives so many.

mod common;
mod direct;

use std::ops::Range;

use direct::sabotage::Fault;
use direct::seeds::{live, live_all};

/// Lives that a fault may survive before it must have been caught.
const SEEDS: u64 = 30;

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("WORLD_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    if let Err(story) = live(seed, None, true) {
        panic!("{story}");
    }
}

#[test]
fn many_seeds() {
    let Ok(range) = std::env::var("WORLD_SEEDS") else { return };
    let (from, to) = range.split_once("..").expect("a range, as 160..2000");
    let seeds: Range<u64> = from.parse().expect("a number")..to.parse().expect("a number");
    let stories = seeds.filter_map(|seed| Some((seed, live(seed, None, false).err()?)));
    let first =
        |(seed, story): (u64, String)| format!("{seed}: {}", story.lines().next().unwrap_or_default());
    let failed: Vec<String> = stories.map(first).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn lives_of_three_hours_first_half() {
    live_all(0..80);
}

#[test]
fn lives_of_three_hours_second_half() {
    live_all(80..160);
}

#[test]
fn lives_hold_what_they_should() {
    let (mut incidents, mut connections, mut processes, mut resumed, mut refused) = (0, 0, 0, 0, 0);
    let (mut deliveries, mut copies, mut again, mut lost, mut gaps) = (0, 0, 0, 0, 0);
    for seed in 0..20 {
        let world = live(seed, None, false).unwrap_or_else(|story| panic!("seed {seed}: {story}"));
        let truth = &world.truth;
        (incidents, connections) = (incidents + world.weather.incidents, connections + world.connections);
        processes += world.lives;
        (deliveries, copies, again) =
            (deliveries + truth.deliveries, copies + truth.copies, again + truth.redelivered);
        (lost, gaps) = (lost + truth.lost, gaps + truth.gaps_told);
        let stats = world.machine.stats(world.clock.now()).direct.expect("a direct endpoint");
        (resumed, refused) = (resumed + stats.resumed, refused + stats.repositions);
    }
    assert!(incidents > 5_000 && connections > 3_000, "{incidents} incidents, {connections} connections");
    assert!(processes > 150, "{processes} processes");
    // Of the last processes alone.
    assert!(resumed > 200 && refused > 20, "{resumed} outages bridged, {refused} positions refused");
    assert!(deliveries > 50_000 && copies > 10_000, "{deliveries} events delivered, {copies} copies");
    assert!(again > 500, "{again} events delivered again to a later process");
    assert!(lost > 5_000 && gaps > 300, "{lost} events lost, {gaps} gaps told");
}

/// A planted fault is caught, by the assertion that is meant for it.
fn is_caught(fault: Fault, by: &str) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        match live(seed, Some(fault), false) {
            Err(story) if story.contains(by) => return,
            Err(story) => others.push(story.lines().next().unwrap_or_default().to_owned()),
            Ok(_) => {}
        }
    }
    panic!("{fault:?} was not caught by \"{by}\" in {SEEDS} lives, but by {others:?}");
}

#[test]
fn connections_that_must_not_be_are_caught() {
    is_caught(Fault::OldTokenUsed, "P6.6");
    is_caught(Fault::RetryAfterIgnored, "P6.3");
    is_caught(Fault::NoBackoff, "P6.1: a storm");
    is_caught(Fault::EarlierThanTold, "before the time that was told");
}

#[test]
fn questions_that_come_too_early_twice_or_never_are_caught() {
    is_caught(Fault::AskedBeforeReady, "before the connection is ready");
    is_caught(Fault::AskedTwice, "is asked for twice");
    is_caught(Fault::NotAskedAgain, "not every topic was asked for");
}

#[test]
fn copies_losses_and_gaps_that_are_told_wrongly_are_caught() {
    is_caught(Fault::CopyDelivered, "P5.1");
    is_caught(Fault::EventSwallowed, "P2.1");
    is_caught(Fault::GapSwallowed, "P2.1");
    is_caught(Fault::GapBeginsTooLate, "P2.1");
    is_caught(Fault::GapsMuchTooLong, "P2.2");
    is_caught(Fault::GapOfAResumedStream, "a gap is told of a stream that is resumed");
}

#[test]
fn a_stream_that_is_resumed_at_the_wrong_place_is_caught() {
    is_caught(Fault::CursorForgotten, "P2.1");
    is_caught(Fault::SeenForgotten, "P5.1");
    is_caught(Fault::PositionSkipped, "P2.1");
}

#[test]
fn a_client_that_does_not_recover_is_caught() {
    is_caught(Fault::NeverOpens, "P6.8");
}

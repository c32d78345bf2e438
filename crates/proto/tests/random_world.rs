//! A random world around the machine: it loses, delays, repeats, reorders and forges every kind of reply, for days.
//!
//! `WORLD_SEED=17 cargo test -p genesys-notifications-proto --test random_world one_seed` lives one seed again;
//! with `WORLD_LIFE=minutes`, `week` or `restarts`, one of those; `WORLD_STEPS=200` shows more of its last steps.

mod common;

use common::seeds::{Life, live, live_all};

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("WORLD_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    if let Err(story) = live(seed, Life::of_environment(), None, true) {
        panic!("{story}");
    }
}

#[test]
fn lives_of_three_days_first_half() {
    live_all(0..120, Life::Days);
}

#[test]
fn lives_of_three_days_second_half() {
    live_all(120..240, Life::Days);
}

#[test]
fn lives_in_which_days_are_minutes() {
    live_all(1_000..1_040, Life::Minutes);
}

#[test]
fn days_in_which_processes_end_and_begin_again() {
    live_all(0..200, Life::Restarts);
}

#[test]
fn weeks_first_half() {
    live_all(0..500, Life::Week);
}

#[test]
fn weeks_second_half() {
    live_all(500..1_000, Life::Week);
}

/// Lives beyond those above that showed a fault of the rules once.
#[test]
fn lives_that_went_wrong_once() {
    live_all(5_105..5_106, Life::Minutes);
    live_all(6_004..6_005, Life::Minutes);
    live_all(6_180..6_181, Life::Days);
    live_all(7_382..7_383, Life::Restarts);
    live_all(5_123..5_124, Life::Week);
}

#[test]
fn a_week_holds_what_it_should() {
    let (mut incidents, mut missed, mut copies, mut rotations) = (0, 0, 0, 0);
    let (mut found, mut forgiven, mut skewed) = (0, 0, 0);
    for seed in 0..20 {
        let week = live(seed, Life::Week, None, false).unwrap_or_else(|story| panic!("seed {seed}: {story}"));
        incidents += week.weather.incidents;
        skewed += u64::from(week.machine.stats(week.clock.now()).skew.is_some_and(|skew| skew.p99_ms > 150));
        missed += week.truth.missed;
        (found, forgiven) = (found + week.losses_found, forgiven + week.losses_forgiven);
        copies += week.truth.copies;
        rotations += week.machine.stats(week.clock.now()).rotations;
    }
    assert!(found > 20 && found > 2 * forgiven, "{found} losses from lists were found, {forgiven} were not");
    assert!((1..20).contains(&skewed), "copies come apart in {skewed} weeks");
    // A day: some incidents, and a renewed token every three quarters of an hour.
    assert!((20 * 7 * 3..20 * 7 * 12).contains(&incidents), "{incidents} incidents");
    assert!(rotations > 20 * 7 * 24, "{rotations} rotations");
    assert!(missed > 20 * 7 && copies > 20 * 7 * 12, "{missed} events missed, {copies} copies");
}

//! A random world around the machine: it loses, delays, repeats, reorders and forges every kind of reply, for days.
//!
//! `WORLD_SEED=17 cargo test -p genesys-notifications-proto --test random_world one_seed` lives one seed again;
//! with `WORLD_FAST=1`, one of the fast worlds; `WORLD_STEPS=200` shows more of its last steps.

mod common;

use common::seeds::{live, live_all};

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("WORLD_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let fast = std::env::var("WORLD_FAST").is_ok();
    if let Err(story) = live(seed, fast, None, true) {
        panic!("{story}");
    }
}

#[test]
fn lives_of_three_days_first_half() {
    live_all(0..120, false);
}

#[test]
fn lives_of_three_days_second_half() {
    live_all(120..240, false);
}

#[test]
fn lives_in_which_days_are_minutes() {
    live_all(1_000..1_040, true);
}

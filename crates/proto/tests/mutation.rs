//! Planted faults: each of them must be caught by the random world, and by the assertion that is meant for it.

mod common;

use common::sabotage::Fault;
use common::seeds::{Life, live};

/// Lives that a fault may survive before it must have been caught.
const SEEDS: u64 = 12;

fn is_caught(fault: Fault, by: &str) {
    is_caught_in(Life::Days, fault, by);
}

fn is_caught_in(life: Life, fault: Fault, by: &str) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        match live(seed, life, Some(fault), false) {
            Err(story) if story.contains(by) => return,
            Err(story) => others.push(story.lines().next().unwrap_or_default().to_owned()),
            Ok(_) => {}
        }
    }
    panic!("{fault:?} was not caught by \"{by}\" in {SEEDS} lives, but by {others:?}");
}

#[test]
fn gaps_that_are_swallowed_or_cut_short_are_caught() {
    is_caught(Fault::GapSwallowed, "P2.1");
    is_caught(Fault::GapBeginsTooLate, "P2.1");
    is_caught(Fault::GapEndsTooEarly, "P2.1");
    is_caught(Fault::SilenceHidden, "P2.1");
}

#[test]
fn gaps_that_are_too_long_or_told_too_late_are_caught() {
    is_caught(Fault::GapsMuchTooLong, "P2.2");
    is_caught(Fault::ReleasedBeforeGap, "P2.3");
}

#[test]
fn copies_and_swallowed_events_are_caught() {
    is_caught(Fault::CopyDelivered, "P5.1");
    is_caught(Fault::EventSuppressed, "P2.1");
}

#[test]
fn storms_are_caught() {
    is_caught(Fault::RetryAfterIgnored, "P6.3");
    is_caught(Fault::NoGovernor, "P6.5");
    is_caught(Fault::NoBackoff, "P6.1");
    is_caught(Fault::Spins, "lies in the past");
}

#[test]
fn a_second_request_beside_the_first_is_caught() {
    is_caught(Fault::SecondTokenRequest, "P6.6: two token requests");
    is_caught(Fault::SecondSubscription, "two subscription requests");
}

#[test]
fn what_is_dead_stays_dead() {
    is_caught(Fault::ForgottenLinkOpened, "which was forgotten");
    is_caught(Fault::OldTokenUsed, "P6.6: an old token");
    is_caught(Fault::StateAfterTheEnd, "states: Closed to");
    is_caught(Fault::OutputAfterTheEnd, "an output after the end");
    is_caught(Fault::LinkLeaked, "leak");
}

#[test]
fn a_client_that_does_not_recover_is_caught() {
    is_caught(Fault::NeverOpens, "P6.8");
    is_caught(Fault::TopicLostAfterFailure, "P7.1");
}

#[test]
fn a_past_that_is_taken_over_wrongly_is_caught() {
    is_caught_in(Life::Restarts, Fault::RestoredGapBeginsTooLate, "P2.1");
    is_caught_in(Life::Restarts, Fault::RestoredGapForgotten, "P2.1");
    is_caught_in(Life::Restarts, Fault::CoverageForgotten, "P2.1");
    is_caught_in(Life::Restarts, Fault::GapIdsUsedAgain, "was used again");
    is_caught_in(Life::Restarts, Fault::MarkRunsAhead, "P2.1");
}

#[test]
fn a_week_finds_faults_as_well() {
    is_caught_in(Life::Week, Fault::AuditIgnored, "P2.9");
    is_caught_in(Life::Week, Fault::TwoRotations, "P3.9");
    is_caught_in(Life::Week, Fault::GapSwallowed, "P2.1");
    is_caught_in(Life::Week, Fault::GapBeginsTooLate, "P2.1");
    is_caught_in(Life::Week, Fault::GapEndsTooEarly, "P2.1");
    is_caught_in(Life::Week, Fault::GapsMuchTooLong, "P2.2");
    is_caught_in(Life::Week, Fault::CopyDelivered, "P5.1");
    is_caught_in(Life::Week, Fault::EventSuppressed, "P2.1");
}

//! Connecting, and connecting again.

use genesys_notifications_proto::{ClientState, Config, Ending, ErrorCode, NetworkKind, Reason};

use crate::common::manners::{Fate, STREAMING};
use crate::common::service::{http, network};
use crate::stage::{A, HOUR, MINUTE, connected, connecting, socket, until_connected};

const CREATE: usize = 1;
const OPEN: usize = 3;

// P1.4
#[test]
fn a_client_is_connected_once_a_pong_follows_socket_and_subscription() {
    let mut world = connecting(Config::default(), &[A]);
    until_connected(&mut world);
    let steps = ["FetchToken", "CreateChannel", "OpenSocket", "Subscribe", "Ping", "Release", "State"];
    let words: Vec<&str> = world.record.words.iter().map(String::as_str).collect();
    let order: Vec<&str> = words.iter().copied().filter(|word| steps.contains(word)).collect();
    assert_eq!(
        order,
        ["State", "FetchToken", "CreateChannel", "OpenSocket", "Subscribe", "Ping", "Release", "State"]
    );
    assert_eq!(world.record.states(), [ClientState::Connecting, ClientState::Connected]);
}

#[test]
fn a_client_without_topics_proves_its_credentials_too() {
    let mut world = connecting(Config::default(), &[]);
    until_connected(&mut world);
    assert_eq!(world.record.creations().len(), 1);
    assert!(world.record.subscriptions().is_empty());
}

// P6.7
#[test]
fn after_a_drop_the_same_channel_is_opened_once_more_within_a_quarter_second() {
    let mut world = connected(&[A]);
    world.run_for(2 * MINUTE);
    let (dropped, lost) = (world.clock.now().mono, socket(&world));
    world.end_socket(lost, Ending::Closed(1000, String::new()));
    until_state(&mut world, ClientState::Reconnecting);
    until_connected(&mut world);
    assert_eq!((world.record.creations().len(), world.record.opens().len()), (1, 2));
    assert!(world.record.opens()[1] <= dropped + 10 + 250);
    assert_eq!(world.record.subscriptions().len(), 1, "the channel kept its list");
}

// P6.7
#[test]
fn a_channel_that_does_not_open_again_is_replaced() {
    let mut world = connected(&[A]);
    world.manners.script[OPEN].push_back(Fate::Fail(network(NetworkKind::Refused)));
    let lost = socket(&world);
    world.end_socket(lost, Ending::Broken(network(NetworkKind::Reset)));
    until_state(&mut world, ClientState::Reconnecting);
    until_connected(&mut world);
    assert_eq!((world.record.creations().len(), world.record.opens().len()), (2, 3));
}

// P6.7
#[test]
fn a_channel_too_young_to_be_known_is_tried_once_more_and_then_replaced() {
    for (refusals, creations, opens) in [(1, 1, 2), (2, 2, 3)] {
        let mut world = connecting(Config::default(), &[A]);
        for _ in 0..refusals {
            world.manners.script[OPEN].push_back(Fate::Fail(http(404, "not.found")));
        }
        until_connected(&mut world);
        assert_eq!((world.record.creations().len(), world.record.opens().len()), (creations, opens));
    }
}

#[test]
fn a_young_channel_refused_by_a_subscription_leaves_no_socket_behind() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.script[2].push_back(Fate::Fail(http(404, "not.found")));
    world.manners.script[OPEN].push_back(Fate::Late(200));
    until_connected(&mut world);
    world.run_for(MINUTE);
    assert_eq!(world.wires.open_here().len(), 1);
}

// P6.7
#[test]
fn a_streaming_host_that_is_down_costs_at_most_two_channels() {
    let mut world = connected(&[A]);
    let down = world.clock.truth + 90_000;
    world.manners.shut[STREAMING] = (down, Some(network(NetworkKind::Refused)));
    let lost = socket(&world);
    world.end_socket(lost, Ending::Broken(network(NetworkKind::Reset)));
    until_state(&mut world, ClientState::Reconnecting);
    until_connected(&mut world);
    assert!(world.clock.truth >= down);
    assert_eq!(world.record.creations().len(), 2);
}

// P6.7
#[test]
fn an_hour_without_the_streaming_host_costs_a_channel_every_ten_minutes_at_most() {
    let mut world = connected(&[A]);
    let down = world.clock.truth + 60 * MINUTE;
    world.manners.shut[STREAMING] = (down, Some(network(NetworkKind::Refused)));
    let lost = socket(&world);
    world.end_socket(lost, Ending::Broken(network(NetworkKind::Reset)));
    world.run_to(down);
    until_connected(&mut world);
    assert!(world.record.creations().len() <= 7, "{}", world.record.creations().len());
}

// P6.7
#[test]
fn a_close_that_says_the_authentication_ended_costs_a_new_channel_at_once() {
    let mut world = connected(&[A]);
    let lost = socket(&world);
    world.end_socket(lost, Ending::Closed(1008, String::new()));
    until_state(&mut world, ClientState::Reconnecting);
    until_connected(&mut world);
    assert_eq!((world.record.creations().len(), world.record.opens().len()), (2, 2));
}

#[test]
fn an_untrusted_uri_is_told_and_costs_a_new_channel() {
    let mut world = connecting(Config::default(), &[A]);
    let untrusted = genesys_notifications_proto::Failure::UntrustedUri("not on the streaming host".into());
    world.manners.script[OPEN].push_back(Fate::Fail(untrusted));
    until_connected(&mut world);
    assert!(world.record.errors().iter().any(|error| error.code == ErrorCode::UntrustedConnectUri));
    assert_eq!(world.record.creations().len(), 2);
}

// P6.8
#[test]
fn an_outage_over_two_minutes_is_suspended_and_still_retried() {
    let mut world = connecting(Config::default(), &[A]);
    let down = world.clock.truth + HOUR;
    world.manners.shut[1] = (down, Some(http(503, "service.unavailable")));
    world.run_for(119_000);
    assert_eq!(world.state(), ClientState::Connecting);
    world.run_for(2_000);
    assert_eq!(world.state(), ClientState::Suspended);
    until_connected(&mut world);
    let attempts = world.record.creations().len();
    assert!((50..300).contains(&attempts), "{attempts} attempts in an hour");
    assert!(world.clock.truth - down <= 61_000);
    let last = world.record.changes().into_iter().rev().find(|change| change.state == ClientState::Suspended);
    let last = last.expect("it was suspended");
    assert_eq!(last.reason, Reason::ServiceUnavailable);
    assert!(last.outage_ms.is_some_and(|ms| ms > 3_000_000) && last.retry_in_ms.is_some());
}

// P6.2
#[test]
fn the_attempt_count_starts_again_only_after_a_minute_of_health() {
    for (health, expected) in [(30_000, 3), (61_000, 1)] {
        let mut world = connected(&[A]);
        let lost = socket(&world);
        world.manners.script[OPEN].push_back(Fate::Fail(network(NetworkKind::Refused)));
        world.end_socket(lost, Ending::Broken(network(NetworkKind::Reset)));
        until_state(&mut world, ClientState::Reconnecting);
        until_connected(&mut world);
        world.run_for(health);
        let lost = socket(&world);
        world.end_socket(lost, Ending::Broken(network(NetworkKind::Reset)));
        until_state(&mut world, ClientState::Reconnecting);
        let change = world.record.changes().pop().expect("it is reconnecting");
        assert_eq!(change.attempt, expected, "after {health} ms of health");
    }
}

#[test]
fn an_operation_that_never_ends_counts_as_timed_out() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.script[CREATE].extend([Fate::Lose, Fate::Lose, Fate::Lose, Fate::Lose]);
    world.run_for(2 * MINUTE + 45_000);
    assert_eq!(world.state(), ClientState::Connected);
}

#[test]
fn reconnect_starts_anew_on_a_new_channel_at_once() {
    let mut world = connected(&[A]);
    let old = socket(&world);
    let request = world.reconnect();
    assert!(!world.wires.is_open_here(old));
    assert_eq!(world.state(), ClientState::Reconnecting);
    assert!(world.unsettled.contains(&request));
    until_connected(&mut world);
    assert!(!world.unsettled.contains(&request));
    assert_eq!(world.record.creations().len(), 2);
    assert_eq!(world.record.closed_gaps()[0].reason, Reason::Requested);
}

fn until_state(world: &mut crate::common::world::World, state: ClientState) {
    world.run_until(MINUTE, |world| world.state() == state);
}

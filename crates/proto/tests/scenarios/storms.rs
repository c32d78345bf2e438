//! Waiting (P6).

use genesys_notifications_proto::{
    ClientState, Config, Failure, GovernorConfig, HttpFailure, Input, NetworkKind, Outcome, Ticket,
};

use crate::common::manners::{API, Fate};
use crate::common::service::{http, network, throttled};
use crate::common::world::World;
use crate::stage::{A, HOUR, MINUTE, connected, connecting, until_connected};

const CREATE: usize = 1;

// P6.3
#[test]
fn retry_after_is_a_floor_for_every_request_through_that_door() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.script[CREATE].push_back(Fate::Fail(throttled(429, 90_000)));
    until_connected(&mut world);
    let starts = world.record.creations();
    assert!((90_000..=90_000 + 22_500 + 100).contains(&(starts[1] - starts[0])), "{starts:?}");
}

// P6.3
#[test]
fn retry_after_counts_even_if_its_request_was_given_up() {
    let mut world = connecting(Config::default(), &[A]);
    world.run_for(25);
    let given_up = world.rules.open_tickets()[0];
    world.reconnect();
    let answer = Outcome::Channel(Err(throttled(429, 60_000)));
    world.rules.floor(API, world.clock.now().mono + 60_000);
    world.tell(Input::Done(given_up, answer));
    let from = world.clock.now().mono;
    world.manners.shut[API] = (world.clock.truth + 50, Some(http(503, "")));
    until_connected(&mut world);
    assert!(world.record.creations().iter().all(|at| *at <= from || *at >= from + 60_000));
}

// P6.3
#[test]
fn retry_after_in_an_answer_nobody_waits_for_counts_too() {
    let mut world = connected(&[A]);
    let now = world.clock.now().mono;
    let wait =
        Failure::Http(HttpFailure { status: 429, retry_after_ms: Some(30_000), ..HttpFailure::default() });
    world.rules.floor(API, now + 30_000);
    world.tell(Input::Done(Ticket(12_345), Outcome::Subscriptions(Err(wait))));
    world.rotate();
    world.run_for(2 * MINUTE);
    assert!(world.record.creations()[1] >= now + 30_000);
}

// P6.4
#[test]
fn a_used_up_window_is_waited_for() {
    let mut world = connected(&[A]);
    let now = world.clock.now().mono;
    world.tell(Input::RateLimit { remaining: 3, reset_ms: 50_000 });
    world.tell(Input::RateLimit { remaining: 0, reset_ms: 40_000 });
    world.rules.floor(API, now + 40_000);
    world.rotate();
    world.run_for(2 * MINUTE);
    assert!(world.record.creations()[1] >= now + 40_000);
}

// P6.5
#[test]
fn the_governor_delays_a_creation() {
    let governor =
        GovernorConfig { channel_burst: 1, channel_interval_ms: 20_000, ..GovernorConfig::default() };
    let mut world = World::with(Config::default(), governor, 7, None);
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    world.run_for(100);
    world.reconnect();
    let change = world.record.changes().pop().expect("it is reconnecting");
    assert!(change.retry_in_ms.is_some_and(|ms| ms > 19_000), "{change:?}");
    until_connected(&mut world);
    let starts = world.record.creations();
    assert!(starts[1] - starts[0] >= 20_000);
}

// P6.1
#[test]
fn attempts_are_few_when_everything_fails() {
    for failure in
        [network(NetworkKind::Refused), http(503, "service.unavailable"), http(401, "bad.credentials")]
    {
        let mut world = connected(&[A]);
        let down = world.clock.truth + HOUR;
        let door = if failure.status() == Some(401) { API } else { 0 };
        for shut in &mut world.manners.shut[door..] {
            *shut = (down, Some(failure.clone()));
        }
        world.reconnect();
        let before = world.record.starts.len();
        world.run_for(HOUR);
        let attempts = world.record.starts.len() - before;
        assert!(attempts < 400, "{attempts} attempts in an hour of {failure}");
    }
}

// P6.1
#[test]
fn a_service_that_drops_every_socket_at_once_is_not_hammered() {
    let mut world = connected(&[A]);
    let before = world.record.starts.len();
    for _ in 0..200 {
        if world.clock.truth > HOUR {
            break;
        }
        world.run_until(HOUR, |world| world.state() == ClientState::Connected);
        world.run_for(1);
        for socket in world.wires.open_here() {
            let ending = genesys_notifications_proto::Ending::Closed(1001, String::new());
            world.end_socket(socket, ending);
        }
        world.run_until(HOUR, |world| world.state() != ClientState::Connected);
    }
    let minutes = world.clock.truth / MINUTE + 1;
    let starts = (world.record.starts.len() - before) as u64;
    assert!(starts <= 40 + 20 * minutes, "{starts} operations in {minutes} minutes");
}

// P6.1
#[test]
fn channels_that_end_at_once_do_not_make_a_storm() {
    let mut world = World::new(Config::default(), 7);
    world.service.channel_life = 0;
    world.subscribe(&[A]);
    world.connect();
    world.run_for(10 * MINUTE);
    let creations = world.record.creations().len();
    assert!(creations < 60, "{creations} creations in ten minutes");
}

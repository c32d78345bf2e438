//! The access token.

use genesys_notifications_proto::{
    ClientState, Config, Effect, ErrorCode, Failure, Input, Outcome, Reason, TokenReason,
};

use crate::common::manners::Fate;
use crate::common::service::{http, oauth};
use crate::common::world::World;
use crate::stage::{A, B, HOUR, MINUTE, connected, connecting, until_connected};

const TOKEN: usize = 0;
const CREATE: usize = 1;

fn reasons(world: &World) -> Vec<TokenReason> {
    let whys = world.record.starts.iter().filter_map(|(_, operation)| match operation.effect {
        Effect::FetchToken { why, .. } => Some(why),
        _ => None,
    });
    whys.collect()
}

// P6.6
#[test]
fn a_401_renews_the_token_once() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.script[CREATE].push_back(Fate::Fail(http(401, "bad.credentials")));
    until_connected(&mut world);
    assert_eq!(reasons(&world), [TokenReason::Initial, TokenReason::Rejected]);
}

// P6.6
#[test]
fn a_401_for_an_old_token_renews_nothing() {
    let mut world = connected(&[A]);
    // The answer to a request made with the first token comes after the second was granted.
    world.manners.script[CREATE].push_back(Fate::LoseAnswer);
    world.rotate();
    world.run_for(1);
    let early = world.rules.open_tickets()[0];
    world.revoke_newest(true);
    world.run_until(MINUTE, |world| world.record.tokens().len() == 2);
    world.run_for(100);
    let refused = Outcome::Channel(Err(http(401, "bad.credentials")));
    assert!(world.rules.answered(early, &refused, world.clock.now().mono));
    world.tell(Input::Done(early, refused));
    world.run_for(10 * MINUTE);
    assert_eq!(world.record.tokens().len(), 2, "{:?}", reasons(&world));
    assert_eq!(world.state(), ClientState::Connected);
}

// S1
#[test]
fn credentials_that_never_worked_fail_at_the_first_refusal() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.refuses_credentials = true;
    world.run_for(MINUTE);
    assert_eq!(world.state(), ClientState::Failed);
    assert_eq!(world.record.tokens().len(), 1);
    let error = world.record.errors().pop().expect("it says why");
    assert_eq!((error.code, error.retryable), (ErrorCode::InvalidCredentials, false));
    assert!(world.rules.has_ended());
}

// S1
#[test]
fn a_renewed_token_that_is_refused_too_fails_a_client_that_was_never_accepted() {
    let mut world = connecting(Config::default(), &[A]);
    for _ in 0..2 {
        world.manners.script[CREATE].push_back(Fate::Fail(http(401, "bad.credentials")));
    }
    world.run_for(MINUTE);
    assert_eq!(world.state(), ClientState::Failed);
    assert_eq!(world.record.changes().pop().map(|change| change.reason), Some(Reason::TokenRejected));
}

// S2
#[test]
fn credentials_that_worked_fail_only_after_an_outage() {
    let mut world = World::new(Config::default(), 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    world.manners.refuses_credentials = true;
    world.run_for(HOUR - MINUTE);
    assert_eq!(world.state(), ClientState::Connected, "the old token serves");
    world.run_for(3 * MINUTE);
    assert_eq!(world.state(), ClientState::Failed);
}

// S3
#[test]
fn an_address_that_is_not_allowed_fails_at_once() {
    let mut world = connecting(Config::default(), &[A]);
    world.manners.script[CREATE].push_back(Fate::Fail(http(401, "ip.not.authorized")));
    world.run_for(1_000);
    assert_eq!(world.state(), ClientState::Failed);
    assert_eq!(world.record.errors().pop().map(|error| error.code), Some(ErrorCode::IpNotAllowed));
}

// P6.6
#[test]
fn a_failed_renewal_is_retried_while_the_old_token_serves() {
    let mut world = World::new(Config::default(), 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    for _ in 0..6 {
        world.manners.script[TOKEN].push_back(Fate::Fail(Failure::Provider("no luck".into())));
    }
    world.run_for(HOUR - MINUTE);
    assert_eq!(world.record.states(), [ClientState::Connecting, ClientState::Connected]);
    assert_eq!(world.record.tokens().len(), 8);
    assert!(world.record.gaps().is_empty());
}

// P6.6
#[test]
fn a_topic_change_works_while_the_renewal_fails() {
    let mut world = World::new(Config::default(), 7);
    world.service.token_life = HOUR;
    world.subscribe(&[A]);
    world.connect();
    until_connected(&mut world);
    let until = world.clock.truth + HOUR;
    world.manners.shut[TOKEN] = (until, Some(oauth(503, "server_error")));
    world.run_for(50 * MINUTE);
    let request = world.subscribe(&[B]);
    world.run_for(1_000);
    assert!(!world.unsettled.contains(&request));
}

// P6.1
#[test]
fn a_token_that_ends_at_once_does_not_make_a_storm() {
    let mut world = World::new(Config::default(), 7);
    world.service.token_life = 0;
    world.subscribe(&[A]);
    world.connect();
    world.run_for(10 * MINUTE);
    let requests = world.record.tokens().len();
    assert!(requests < 60, "{requests} token requests in ten minutes");
}

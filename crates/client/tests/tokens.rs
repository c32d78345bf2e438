//! Tokens from a provider, and refresh tokens that are replaced.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Observer, World};
use genesys_notifications_client::{ClientState, Control, ProvidedToken, TokenReason};
use genesys_notifications_sim::{SimOptions, Simulator};

fn simulator(token_life_ms: u64) -> Simulator {
    Simulator::start(
        SimOptions::from_json(&format!(
            r#"{{"heartbeatMs":200,"tokenLifeMs":{token_life_ms},"clients":[{{"id":"client","secret":"secret","refreshTokens":["refresh-0"]}}]}}"#
        ))
        .unwrap(),
    )
    .unwrap()
}

#[test]
fn a_refresh_token_is_replaced_by_each_answer_and_told_to_the_caller() {
    let sim = simulator(600);
    let credentials =
        r#"{"kind":"refreshToken","clientId":"client","clientSecret":"secret","refreshToken":"refresh-0"}"#;
    let options = common::options(&common::urls(&sim), credentials, "");
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    world.observer.client.connect().unwrap();
    world.until("four tokens", |world| {
        world.requests("token").iter().filter(|r| r.status == Some(200)).count() >= 4
    });
    let requests = world.requests("token");
    assert!(
        requests.iter().all(|r| r.grant.as_deref() == Some("refresh_token") && r.status != Some(400)),
        "{requests:?}"
    );
    world.until("as many replacements", |world| {
        world.observer.controls().iter().filter(|c| matches!(c, Control::RefreshToken(_))).count() >= 4
    });
    world.until_events_flow();
}

#[test]
fn a_refresh_token_is_not_lost_when_its_answer_comes_too_late() {
    let sim = simulator(86_400_000);
    let credentials =
        r#"{"kind":"refreshToken","clientId":"client","clientSecret":"secret","refreshToken":"refresh-0"}"#;
    let more = r#"{"network":{"requestTimeoutMs":400}}"#;
    let options = common::options(&common::urls(&sim), credentials, more);
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    world.fault(r#"{"match":{"operation":"token"},"action":{"kind":"delay","ms":900,"phase":"response"}}"#);
    world.observer.client.connect().unwrap();
    world.until_connected();
    let requests = world.requests("token");
    assert!(requests.iter().all(|request| request.status == Some(200)), "{requests:?}");
    assert!(format!("{:?}", world.observer.told).contains("TimedOut"), "the first did come too late");
}

#[test]
fn a_provider_is_asked_once_and_its_answer_used() {
    let sim = simulator(86_400_000);
    let token = token_of(&sim);
    let options = common::options(&common::urls(&sim), r#"{"kind":"provider"}"#, "");
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    world.observer.client.connect().unwrap();
    let (ticket, reason) = request_after(&mut world, 0);
    assert_eq!(reason, TokenReason::Initial);
    world.observer.client.provide_token(ticket + 1_000, Err("an answer nobody asked for".into()));
    world
        .observer
        .client
        .provide_token(ticket, Ok(ProvidedToken { access_token: token, expires_in_ms: Some(60_000) }));
    world.until_connected();
    world.until_events_flow();
    assert_eq!(world.requests("token").len(), 1, "the one made by hand");
}

#[test]
fn a_provider_that_fails_is_asked_again_and_its_words_are_told() {
    let sim = simulator(86_400_000);
    let token = token_of(&sim);
    let options = common::options(&common::urls(&sim), r#"{"kind":"provider"}"#, "");
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    world.observer.client.connect().unwrap();
    let answers = [
        Err("the vault is shut".to_owned()),
        Ok("has\nline".to_owned()),
        Ok(String::new()),
        Ok("wrong".to_owned()),
        Ok(token),
    ];
    for (asked, answer) in answers.into_iter().enumerate() {
        let (ticket, _) = request_after(&mut world, asked);
        let answer = answer.map(|access_token| ProvidedToken { access_token, expires_in_ms: None });
        world.observer.client.provide_token(ticket, answer);
    }
    world.until_connected();
    let errors = format!("{:?}", world.observer.told);
    assert!(errors.contains("the vault is shut"), "{errors}");
}

#[test]
fn closing_while_the_provider_thinks_ends_at_once() {
    let sim = simulator(86_400_000);
    let options = common::options(&common::urls(&sim), r#"{"kind":"provider"}"#, "");
    let mut world = World { observer: Observer::new(options, common::environment()), sim };
    world.observer.client.connect().unwrap();
    let (ticket, _) = request_after(&mut world, 0);
    world.observer.client.close();
    world.until("closed", |world| world.observer.is_closed());
    world.observer.client.provide_token(ticket, Err("late".into()));
    assert_eq!(world.observer.client.state(), ClientState::Closed);
}

/// Waits for one token request more than were made before.
fn request_after(world: &mut World, before: usize) -> (u64, TokenReason) {
    let mut found = None;
    world.until("a token request", |world| {
        let requests = world.observer.controls().into_iter().filter_map(|control| match control {
            Control::TokenRequest { ticket, reason } => Some((*ticket, *reason)),
            _ => None,
        });
        found = requests.clone().nth(before);
        found.is_some()
    });
    found.unwrap()
}

/// A token the simulator accepts, had by hand.
fn token_of(sim: &Simulator) -> String {
    use std::io::{Read, Write};
    let address = sim.urls().login.strip_prefix("http://").unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let body = "grant_type=client_credentials";
    // Base64 of client:secret
    write!(
        stream,
        "POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic Y2xpZW50OnNlY3JldA==\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let json = &answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()];
    serde_json::from_str::<serde_json::Value>(json).unwrap()["access_token"].as_str().unwrap().to_owned()
}

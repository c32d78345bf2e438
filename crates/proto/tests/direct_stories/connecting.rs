//! How a connection comes to live, and when the next one is tried.

use genesys_notifications_proto::{
    Auth, ClientState, Direct, Effect, Failure, Frame, Generation, HttpFailure, Input, Output, TopicChange,
};

use crate::stage::{MINUTE, SECOND, Stage, chatter, direct, http, with_first_message};

// P12.1
#[test]
fn it_waits_for_a_token_then_opens_then_asks_then_is_live_once_a_websocket_pong_came() {
    let mut stage = Stage::new(direct());
    stage.want(TopicChange::Add, &["a", "b"]);
    stage.tell(Input::Connect);
    assert!(stage.connection().is_none(), "without a token");
    stage.grant(MINUTE);
    let connection = stage.connect();
    assert_eq!(connection.generation, Some(Generation(1)));
    assert_eq!(connection.position, None);
    assert_eq!(stage.asked(connection.socket), ["a", "b"]);
    assert_eq!(stage.machine.state(), ClientState::Connecting);
    stage.pong(connection.socket);
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(!stage.said.iter().any(|it| matches!(it, Output::Ping(_))), "no application ping");
}

// P12.1
#[test]
fn nothing_is_sent_before_ready_but_the_first_message() {
    let mut stage = Stage::new(with_first_message());
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let socket = stage.connect().socket;
    assert!(stage.has_said(&Output::Authenticate(socket, Generation(1))));
    stage.want(TopicChange::Add, &["b"]);
    stage.pass(9 * SECOND);
    assert!(stage.asked(socket).is_empty());
    stage.frame(socket, &Frame::Ready);
    assert_eq!(stage.asked(socket), ["a", "b"]);
}

// P12.1
#[test]
fn a_server_that_never_says_that_it_is_ready_is_left_in_time() {
    let mut stage = Stage::new(with_first_message());
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let socket = stage.connect().socket;
    stage.pass(10 * SECOND);
    assert!(stage.has_said(&Output::DropSocket(socket)));
    assert_ne!(stage.attempt().socket, socket);
}

// P12.1
#[test]
fn nobody_is_authenticated_where_nothing_is_to_be() {
    let mut stage = Stage::new(Direct { auth: Auth::None, ..direct() });
    stage.tell(Input::Connect);
    assert!(stage.started(|it| matches!(it, Effect::FetchToken { .. })).is_none());
    assert_eq!(stage.connect().generation, None);
}

// P12.4
#[test]
fn a_connection_whose_end_is_known_is_replaced_before_it() {
    for auth in [Auth::Opening, Auth::None] {
        let direct = Direct { auth, lifetime_ms: Some(MINUTE), ..direct() };
        let (mut stage, old) = Stage::live(direct, &["a"], 60 * MINUTE);
        for _ in 0..48 {
            stage.pass(SECOND);
            stage.frame(old, &Frame::Other);
        }
        assert!(stage.connection().is_none(), "too soon");
        for _ in 0..10 {
            stage.pass(SECOND);
            stage.frame(old, &Frame::Other);
        }
        let new = stage.connect().socket;
        stage.pong(new);
        stage.pong(old);
        stage.close(old, 1000);
        assert_eq!(stage.machine.state(), ClientState::Connected);
        assert!(stage.gaps().is_empty());
    }
}

// P12.5
#[test]
fn attempts_keep_the_steps_of_the_backoff_and_what_the_server_asks_for() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let mut attempts = Vec::new();
    for _ in 0..30 {
        let attempt = stage.attempt();
        attempts.push(stage.now);
        stage.refuse(&attempt, http(503));
        assert!(stage.connection().is_none(), "one attempt a step");
    }
    let limited = HttpFailure { status: 429, retry_after_ms: Some(7_000), ..HttpFailure::default() };
    let attempt = stage.attempt();
    let refused_at = stage.now;
    stage.refuse(&attempt, Failure::Http(limited));
    stage.pass(6_900);
    assert!(stage.connection().is_none());
    stage.attempt();
    assert!(stage.now >= refused_at + 7_000);
}

// P1.2
#[test]
fn a_silent_socket_is_pinged_and_left() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    stage.heard();
    stage.pass(20 * SECOND);
    assert!(stage.has_said(&Output::Probe(socket)));
    stage.pass(15 * SECOND);
    assert!(stage.has_said(&Output::DropSocket(socket)));
}

// P6.2
#[test]
fn a_server_that_closes_every_minute_is_healthy() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 24 * 60 * MINUTE);
    for _ in 0..12 {
        chatter(&mut stage, socket, 59);
        stage.close(socket, 1000);
        let closed_at = stage.now;
        socket = stage.go_live();
        assert!(
            stage.now - closed_at <= 300,
            "the first retry comes at once, not after {}",
            stage.now - closed_at
        );
    }
}

//! Tokens: renewed, refused, ended.

use genesys_notifications_proto::{
    ClientState, Direct, Disposition, Effect, ErrorCode, Frame, Generation, HttpFailure, Input, Outcome,
    Output, Renewal, TokenGrant,
};

use crate::stage::{Connection, MINUTE, Refuses, SECOND, Stage, chatter, direct, http, with_first_message};

// P12.4
#[test]
fn a_renewed_token_means_a_second_connection_before_the_first_one_goes() {
    let (mut stage, old) = Stage::live(direct(), &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    let connection = stage.connect();
    assert_eq!(connection.generation, Some(Generation(2)));
    assert!(!stage.has_said(&Output::CloseSocket(old, 1000)));
    // The old one shows that it lived until the new one is proven; only then it goes.
    stage.pong(connection.socket);
    stage.pong(old);
    stage.pong(old);
    stage.pass(5 * SECOND);
    assert!(stage.has_said(&Output::CloseSocket(old, 1000)));
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(stage.gaps().is_empty());
}

// P12.4
#[test]
fn a_renewed_token_is_told_on_the_same_socket_where_that_is_the_way() {
    let direct = Direct { renewal: Renewal::Message, ..with_first_message() };
    let (mut stage, socket) = Stage::live(direct, &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    stage.pass(5 * SECOND);
    assert!(stage.has_said(&Output::Authenticate(socket, Generation(2))));
    assert_eq!(stage.frame(socket, &Frame::Ready), Disposition::Drop);
    stage.pass(SECOND);
    assert!(stage.connection().is_none(), "no second connection");
    assert_eq!(stage.machine.state(), ClientState::Connected);
}

// P12.4
#[test]
fn a_renewal_that_is_not_answered_is_done_by_a_second_connection() {
    let direct = Direct { renewal: Renewal::Message, ..with_first_message() };
    let (mut stage, socket) = Stage::live(direct, &["a"], 100 * SECOND);
    stage.heard();
    // Heartbeats go on, the answer does not come.
    for _ in 0..80 {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
    stage.grant(100 * SECOND);
    for _ in 0..16 {
        stage.pass(SECOND);
        stage.frame(socket, &Frame::Other);
    }
    assert!(stage.connection().is_some());
    assert!(!stage.has_said(&Output::DropSocket(socket)));
}

// P12.4
#[test]
fn nothing_is_opened_with_a_token_that_ends_at_any_moment() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * SECOND);
    stage.heard();
    stage.pass(9_900);
    let renewal = stage.started(|it| matches!(it, Effect::FetchToken { .. })).unwrap();
    stage.close(socket, 1006);
    stage.pass(5 * SECOND);
    assert!(stage.connection().is_none(), "the token ends while the connection is opened");
    let grant = TokenGrant { expires_in_ms: Some(10 * SECOND) };
    stage.tell(Input::Done(renewal.ticket, Outcome::Token(Ok(grant))));
    assert_eq!(stage.attempt().generation, Some(Generation(2)));
}

// P12.5
#[test]
fn a_refused_token_is_renewed_before_the_next_attempt_whatever_the_words() {
    let close = |code| {
        move |stage: &mut Stage, it: &Connection| {
            stage.tell(Input::Done(it.ticket, Outcome::Socket(Ok(()))));
            stage.close(it.socket, code);
        }
    };
    let frame = |status| {
        move |stage: &mut Stage, it: &Connection| {
            stage.tell(Input::Done(it.ticket, Outcome::Socket(Ok(()))));
            stage.frame(it.socket, &Frame::Refused(HttpFailure { status, ..HttpFailure::default() }));
        }
    };
    let ways: Vec<Refuses> = vec![
        Box::new(|stage, it| stage.refuse(it, http(401))),
        Box::new(|stage, it| stage.refuse(it, http(403))),
        Box::new(frame(401)),
        Box::new(frame(403)),
        Box::new(close(4401)),
        Box::new(close(4403)),
        Box::new(close(1008)),
        Box::new(close(3000)),
    ];
    for (number, refuse) in ways.iter().enumerate() {
        let mut stage = Stage::new(with_first_message());
        stage.tell(Input::Connect);
        stage.grant(MINUTE);
        let first = stage.attempt();
        refuse(&mut stage, &first);
        stage.pass(SECOND);
        assert!(stage.connection().is_none(), "way {number}: with the same token");
        stage.grant(MINUTE);
        assert_eq!(stage.attempt().generation, Some(Generation(2)), "way {number}");
    }
}

// P12.5
#[test]
fn credentials_that_never_worked_fail_once_a_renewed_token_is_refused_as_well() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(MINUTE);
    let first = stage.attempt();
    stage.refuse(&first, http(401));
    stage.pass(SECOND);
    stage.grant(MINUTE);
    let second = stage.attempt();
    stage.refuse(&second, http(401));
    assert_eq!(stage.machine.state(), ClientState::Failed);
}

// P12.5
#[test]
fn a_token_that_is_refused_in_mid_stream_is_renewed_while_the_socket_stays() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * MINUTE);
    stage.heard();
    stage.frame(socket, &Frame::Refused(HttpFailure { status: 401, ..HttpFailure::default() }));
    assert_eq!(stage.errors(), [ErrorCode::TokenRejected]);
    stage.grant(10 * MINUTE);
    stage.pass(5 * SECOND);
    assert!(!stage.has_said(&Output::DropSocket(socket)));
    assert_eq!(stage.attempt().generation, Some(Generation(2)));
}

// P6.6
#[test]
fn a_server_that_refuses_every_token_a_moment_too_late_makes_no_storm() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    let mut refused_at = Vec::new();
    for _ in 0..8 {
        stage.heard();
        stage.frame(socket, &Frame::Refused(HttpFailure { status: 401, ..HttpFailure::default() }));
        refused_at.push(stage.now);
        while !stage
            .said
            .iter()
            .any(|it| matches!(it, Output::Start(it) if matches!(it.effect, Effect::FetchToken { .. })))
        {
            stage.pass(10);
        }
        stage.grant(60 * MINUTE);
        let old = socket;
        socket = stage.connect().socket;
        stage.pong(socket);
        stage.pong(old);
        stage.pong(old);
        assert_eq!(stage.machine.state(), ClientState::Connected);
    }
    let (first, last) = (refused_at[2] - refused_at[1], refused_at[7] - refused_at[0]);
    assert!(first <= 200 && last >= 1_000, "{refused_at:?}");
}

// P12.5
#[test]
fn refusals_of_before_do_not_count_once_a_token_has_worked_for_a_while() {
    let (mut stage, mut socket) = Stage::live(direct(), &["a"], 60 * MINUTE);
    for _ in 0..4 {
        stage.close(socket, 4401);
        for _ in 0..200 {
            if stage
                .said
                .iter()
                .any(|it| matches!(it, Output::Start(o) if matches!(o.effect, Effect::FetchToken { .. })))
            {
                break;
            }
            stage.pass(100);
        }
        stage.grant(60 * MINUTE);
        socket = stage.go_live();
    }
    chatter(&mut stage, socket, 180);
    stage.close(socket, 4401);
    assert_ne!(stage.machine.state(), ClientState::Failed);
}

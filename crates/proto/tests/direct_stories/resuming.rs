//! Streams that go on where they ended.

use genesys_notifications_proto::{ClientState, Disposition, Frame, Input, Now, TopicChange};

use crate::stage::{MINUTE, SECOND, Stage, direct, http, resuming};

// P12.6
#[test]
fn a_resumed_stream_has_no_gap_and_what_comes_again_is_dropped() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    assert!(stage.is_delivered(socket, "1", "t1"));
    assert!(stage.is_delivered(socket, "2", "t2"));
    stage.heard();
    stage.close(socket, 1006);
    assert_eq!(stage.machine.state(), ClientState::Reconnecting);
    let connection = stage.connect();
    assert_eq!(connection.position.as_deref(), Some("t2"), "as it came");
    assert!(!stage.is_delivered(connection.socket, "2", "t2"), "a copy");
    assert!(stage.is_delivered(connection.socket, "3", "t2"), "of the same instant, but not a copy");
    assert!(stage.is_delivered(connection.socket, "2", "t3"), "the same body again");
    stage.pong(connection.socket);
    assert!(stage.gaps().is_empty() && stage.told_gaps().is_empty());
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).direct.unwrap().resumed, 1);
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).duplicates, 1);
}

// P12.6
#[test]
fn copies_are_known_however_long_the_outage_or_the_silence_was() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 48 * 60 * MINUTE);
    stage.is_delivered(socket, "1", "t1");
    for _ in 0..30 {
        stage.pass(10 * SECOND);
        stage.frame(socket, &Frame::Other);
    }
    stage.close(socket, 1006);
    for _ in 0..100 {
        let attempt = stage.attempt();
        stage.refuse(&attempt, http(503));
        stage.pass(30 * SECOND);
    }
    let socket = stage.connect().socket;
    assert!(!stage.is_delivered(socket, "1", "t1"));
    assert!(stage.is_delivered(socket, "2", "t2"));
}

// P12.6
#[test]
fn once_events_share_a_position_the_one_before_it_is_sent() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    for (body, position) in [("1", "t1"), ("2", "t2"), ("3", "t2")] {
        assert!(stage.is_delivered(socket, body, position));
    }
    stage.close(socket, 1006);
    let connection = stage.connect();
    assert_eq!(connection.position.as_deref(), Some("t1"));
    let again = [("1", "t1"), ("2", "t2"), ("3", "t2"), ("4", "t2")];
    let delivered = again.map(|(body, position)| stage.is_delivered(connection.socket, body, position));
    assert_eq!(delivered, [false, false, false, true]);
}

// P12.6
#[test]
fn the_first_connection_asks_for_what_comes_from_now_on_and_the_second_for_the_same() {
    let mut stage = Stage::new(resuming());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.attempt();
    let now = first.position.clone().unwrap();
    assert!(now.starts_with("2027-01-15T08:00:0") && now.ends_with('Z'), "{now}");
    stage.refuse(&first, http(503));
    assert_eq!(stage.attempt().position, Some(now));
}

// P12.6
#[test]
fn what_nobody_wants_is_passed_over_and_moves_the_position() {
    let (mut stage, socket) = Stage::live(resuming(), &["a", "b"], 60 * MINUTE);
    assert!(stage.is_delivered(socket, "1", "t1"));
    stage.want(TopicChange::Remove, &["b"]);
    assert_eq!(stage.event(socket, "b", "2", Some("t2")), Disposition::Pass);
    stage.close(socket, 1006);
    let next = stage.connect();
    assert_eq!(next.position.as_deref(), Some("t2"));
    stage.want(TopicChange::Add, &["b"]);
    assert_eq!(stage.event(next.socket, "b", "2", Some("t2")), Disposition::Drop, "it is no news now");
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], 60 * MINUTE);
    stage.want(TopicChange::Remove, &["b"]);
    assert_eq!(stage.event(socket, "b", "2", None), Disposition::Drop, "there is nothing to resume");
}

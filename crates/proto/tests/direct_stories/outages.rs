//! Outages of streams that cannot be resumed, and two connections at a time.

use genesys_notifications_proto::{
    ClientState, Continuity, Disposition, Input, Now, Reason, SocketId, TopicChange,
};

use crate::stage::{MINUTE, SECOND, Stage, direct, http, resuming};

// P12.3
#[test]
fn a_close_with_1000_is_not_the_end_and_its_outage_is_a_gap() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], 10 * MINUTE);
    stage.heard();
    stage.close(socket, 1000);
    assert_eq!(stage.machine.state(), ClientState::Reconnecting);
    assert_eq!(stage.told_gaps().len(), 1);
    stage.go_live();
    let gaps = stage.gaps();
    assert_eq!((gaps.len(), gaps[0].reason), (1, Reason::SocketClosed));
    assert!(gaps[0].to.is_some());
    assert_eq!(gaps[0].topics, ["a"]);
}

// P5, P12.4
#[test]
fn what_both_connections_bring_is_delivered_once_also_after_an_outage() {
    let (mut stage, first) = Stage::live(direct(), &["a"], 20 * SECOND);
    stage.close(first, 1006);
    let connection = stage.attempt();
    stage.pass(3 * SECOND);
    stage.refuse(&connection, http(503));
    let old = stage.go_live();
    stage.pass(16 * SECOND);
    assert!(matches!(stage.event(old, "a", "1", None), Disposition::Deliver(_)));
    stage.pass(1);
    stage.grant(20 * SECOND);
    let new = stage.connect().socket;
    stage.pass(100);
    assert!(matches!(stage.event(old, "a", "2", None), Disposition::Deliver(_)));
    assert_eq!(stage.event(new, "a", "2", None), Disposition::Drop);
    // What came before the second connection was opened is no copy of what it brings.
    assert_ne!(stage.event(new, "a", "1", None), Disposition::Drop);
}

// P12.4
#[test]
fn copies_of_two_connections_are_known_however_long_the_first_one_took() {
    let mut stage = Stage::new(direct());
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.pass(10 * SECOND);
    stage.grant(10 * SECOND);
    let old = stage.go_live();
    stage.pass(8 * SECOND);
    stage.grant(10 * SECOND);
    let new = stage.connect().socket;
    let is_delivered = |stage: &mut Stage, socket: SocketId, body: &str| {
        matches!(stage.event(socket, "a", body, None), Disposition::Deliver(_))
    };
    for (first, second, body) in [(old, new, "1"), (new, old, "2")] {
        assert!(is_delivered(&mut stage, first, body));
        assert!(!is_delivered(&mut stage, second, body), "{body}");
        // The server really sends it again.
        assert!(is_delivered(&mut stage, second, body), "{body}");
    }
}

// P12.6
#[test]
fn a_second_connection_stands_by_and_the_loss_of_one_costs_nothing() {
    let mut stage = Stage::with(resuming(), Continuity::Standby);
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.go_live();
    let second = stage.connect().socket;
    stage.pong(second);
    stage.pong(first);
    assert!(stage.is_delivered(first, "1", "t1"));
    assert!(!stage.is_delivered(second, "1", "t1"));
    assert!(stage.is_delivered(second, "2", "t2"));
    assert_eq!(stage.machine.stats(Now { mono: stage.now, wall: 0 }).standby_live, 1);
    stage.close(first, 1006);
    assert_eq!(stage.machine.state(), ClientState::Connected);
    assert!(stage.is_delivered(second, "3", "t3"));
    let third = stage.connect();
    assert_eq!(third.position.as_deref(), Some("t3"));
    assert!(!stage.is_delivered(third.socket, "3", "t3"));
    assert!(stage.gaps().is_empty());
}

// P5.1
#[test]
fn two_connections_bring_each_event_once_also_after_both_were_gone() {
    let mut stage = Stage::with(direct(), Continuity::Standby);
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    for round in ["1", "2"] {
        let first = stage.go_live();
        let second = stage.connect().socket;
        stage.pong(second);
        stage.pong(first);
        assert!(stage.is_delivered(first, round, "t"));
        assert!(!stage.is_delivered(second, round, "t"));
        stage.close(first, 1000);
        stage.close(second, 1000);
        let unreachable = stage.attempt();
        stage.pass(SECOND);
        stage.refuse(&unreachable, http(503));
    }
}

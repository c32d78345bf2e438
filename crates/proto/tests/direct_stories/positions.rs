//! Positions that are refused, and those of an earlier process.

use genesys_notifications_proto::{
    Certainty, ClientState, Cursor, Direct, Disposition, Effect, ErrorCode, Failure, Gap, Input, Outcome,
    Reason, RequestId, TopicChange,
};

use crate::stage::{EPOCH, MINUTE, SECOND, Stage, direct, http, resuming};

// P12.7
#[test]
fn a_position_that_is_refused_is_given_up_once_and_the_gap_is_told() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.is_delivered(socket, "1", "t1");
    let lost_at = EPOCH + stage.now;
    stage.heard();
    stage.close(socket, 1006);
    let stale = stage.attempt();
    assert_eq!(stale.position.as_deref(), Some("t1"));
    assert!(stage.told_gaps().is_empty());
    stage.refuse(&stale, http(400));
    assert_eq!(stage.errors(), [ErrorCode::PositionRefused]);
    assert_eq!(stage.told_gaps().len(), 1, "told as soon as it is known");
    let fresh = stage.connect();
    assert!(fresh.position.as_deref().unwrap().starts_with("2027-"), "{:?}", fresh.position);
    assert!(matches!(stage.event(fresh.socket, "a", "9", Some("t9")), Disposition::Hold(_)));
    stage.pong(fresh.socket);
    let gaps = stage.gaps();
    assert_eq!((gaps.len(), gaps[0].reason), (1, Reason::PositionRefused));
    assert!(gaps[0].from <= lost_at && gaps[0].to.is_some());
    stage.close(fresh.socket, 1006);
    assert_eq!(stage.attempt().position.as_deref(), Some("t9"), "from then on as ever");
}

// P12.7
#[test]
fn without_resume_a_400_is_a_failure_like_any_other() {
    let mut stage = Stage::new(direct());
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    let first = stage.attempt();
    stage.refuse(&first, http(400));
    stage.attempt();
    assert!(stage.gaps().is_empty());
}

// P12.7
#[test]
fn who_closes_in_an_outage_is_told_what_is_missing_unless_a_later_process_goes_on() {
    for survives in [false, true] {
        let (mut stage, socket) = Stage::live(Direct { survives, ..resuming() }, &["a"], 60 * MINUTE);
        stage.is_delivered(socket, "1", "t1");
        stage.close(socket, 1006);
        stage.heard();
        stage.tell(Input::Close);
        assert_eq!(stage.told_gaps().len(), usize::from(!survives));
    }
}

// P12.8
#[test]
fn a_cursor_is_loaded_before_the_first_connection() {
    let mut stage = Stage::new(Direct { has_cursor: true, survives: true, ..resuming() });
    stage.want(TopicChange::Add, &["a"]);
    stage.tell(Input::Connect);
    stage.grant(60 * MINUTE);
    assert!(stage.connection().is_none());
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).unwrap();
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Err(Failure::Store("the store is down".into())))));
    assert_eq!(stage.errors(), [ErrorCode::CursorFailed]);
    stage.pass(SECOND);
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).expect("tried again");
    let at = Some(EPOCH - MINUTE);
    let cursor = Cursor { position: "t7".into(), at, ..Cursor::default() };
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Ok(Some(cursor)))));
    let connection = stage.attempt();
    assert_eq!(connection.position.as_deref(), Some("t7"));
    // It is stale: what was missed began when the last process ended.
    stage.refuse(&connection, http(400));
    let gaps = stage.gaps();
    assert_eq!((gaps[0].from, gaps[0].reason), (EPOCH - MINUTE, Reason::PositionRefused));
}

// P12.8
#[test]
fn a_cursor_that_cannot_be_read_ends_the_client_instead_of_being_ignored() {
    let mut stage = Stage::new(Direct { has_cursor: true, survives: true, ..resuming() });
    stage.tell(Input::Connect);
    let load = stage.started(|it| matches!(it, Effect::LoadCursor)).unwrap();
    let corrupt = Failure::CorruptCursor("the cursor is not one".into());
    stage.tell(Input::Done(load.ticket, Outcome::Cursor(Err(corrupt))));
    assert_eq!(stage.machine.state(), ClientState::Failed);
    assert_eq!(stage.errors(), [ErrorCode::CursorCorrupt]);
}

// P12.7
#[test]
fn events_of_a_resumed_stream_are_held_back_together() {
    let (mut stage, socket) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.close(socket, 1006);
    let stale = stage.attempt();
    stage.refuse(&stale, http(400));
    let fresh = stage.connect();
    stage.want(TopicChange::Add, &["b"]);
    assert!(matches!(stage.event(fresh.socket, "a", "1", Some("t1")), Disposition::Hold(_)));
    let behind = stage.event(fresh.socket, "b", "2", Some("t2"));
    assert!(
        matches!(behind, Disposition::Hold(_)),
        "a cursor must not pass over what is before it: {behind:?}"
    );
}

// P12.7
#[test]
fn a_position_that_is_refused_beside_a_connection_in_use_costs_nothing_while_that_lives() {
    let (mut stage, old) = Stage::live(resuming(), &["a"], 60 * MINUTE);
    stage.is_delivered(old, "1", "t1");
    stage.heard();
    stage.tell(Input::Rotate(RequestId(9)));
    let stale = stage.attempt();
    assert_eq!(stale.position.as_deref(), Some("t1"));
    stage.refuse(&stale, http(400));
    assert!(stage.told_gaps().is_empty());
    stage.pass(SECOND);
    let fresh = stage.attempt();
    assert!(fresh.position.as_deref().unwrap().starts_with("2027-"), "{:?}", fresh.position);
    let begun = EPOCH + stage.now;
    stage.close(old, 1006);
    let told: Vec<Gap> = stage.told_gaps().into_iter().cloned().collect();
    assert_eq!(
        told.len(),
        1,
        "what came between the last frame and the fresh position may be missing: {told:?}"
    );
    assert_eq!((told[0].reason, told[0].certainty), (Reason::PositionRefused, Certainty::Possible));
    assert!(told[0].from < begun && told[0].to.is_some_and(|to| to <= begun));
}

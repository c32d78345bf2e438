//! What is asked for, and what is delivered.

use genesys_notifications_proto::{Disposition, Notice, Output, RequestId, TopicChange};

use crate::stage::{MINUTE, SECOND, Stage, direct};

// P12.2
#[test]
fn topics_are_asked_for_again_on_every_connection_and_those_added_offline_as_well() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], MINUTE);
    stage.heard();
    stage.want(TopicChange::Add, &["b"]);
    assert_eq!(stage.asked(socket), ["b"], "only what is new");
    stage.close(socket, 1000);
    stage.want(TopicChange::Add, &["c"]);
    stage.want(TopicChange::Remove, &["a"]);
    let socket = stage.connect().socket;
    assert_eq!(stage.asked(socket), ["b", "c"]);
}

// P12.2
#[test]
fn a_topic_counts_as_subscribed_once_a_pong_shows_that_the_server_has_read_of_it() {
    let (mut stage, socket) = Stage::live(direct(), &["a"], MINUTE);
    stage.heard();
    stage.want(TopicChange::Add, &["b"]);
    let is_settled = |stage: &Stage| stage.has_said(&Output::Notify(Notice::Settled(RequestId(1))));
    assert_eq!(stage.asked(socket), ["b"]);
    assert!(!is_settled(&stage));
    stage.pong(socket);
    assert!(is_settled(&stage));
}

// P12.2
#[test]
fn what_was_not_asked_for_is_delivered_too_unless_it_was_unsubscribed() {
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], MINUTE);
    stage.want(TopicChange::Remove, &["b"]);
    let verdicts = ["a", "b", "odd", "A"].map(|topic| stage.event(socket, topic, "1", None));
    assert!(matches!(verdicts[0], Disposition::Deliver(_)));
    assert_eq!(verdicts[1], Disposition::Drop);
    assert!(matches!(verdicts[2], Disposition::Deliver(_)));
    assert!(matches!(verdicts[3], Disposition::Deliver(_)));
}

// P12.3
#[test]
fn without_topics_gaps_are_told_of_everything_and_the_list_of_topics_is_empty() {
    let (mut stage, socket) = Stage::live(direct(), &[], 10 * MINUTE);
    assert!(stage.machine.topics().is_empty());
    assert!(!stage.said.iter().any(|it| matches!(it, Output::Notify(Notice::Topic(_)))), "{:?}", stage.said);
    assert!(stage.asked(socket).is_empty());
    stage.close(socket, 1006);
    assert_eq!(stage.gaps()[0].topics, ["*"]);
}

// P12.2
#[test]
fn a_topic_that_is_called_a_star_is_a_topic() {
    let (mut stage, socket) = Stage::live(direct(), &["*"], 10 * MINUTE);
    assert_eq!(stage.asked(socket), ["*"]);
    assert_eq!(stage.machine.topics().len(), 1);
}

// P12.2
#[test]
fn a_topic_that_comes_back_is_asked_for_on_the_next_socket_only() {
    let (mut stage, socket) = Stage::live(direct(), &["a", "b"], 60 * MINUTE);
    stage.heard();
    stage.want(TopicChange::Remove, &["a"]);
    stage.pass(SECOND);
    stage.want(TopicChange::Add, &["a"]);
    stage.pass(SECOND);
    assert!(stage.asked(socket).is_empty(), "nobody told the server to stop");
    stage.close(socket, 1006);
    let next = stage.connect();
    assert_eq!(stage.asked(next.socket), ["a", "b"]);
}

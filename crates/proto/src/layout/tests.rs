//! What frames are, by table.

use serde_json::json;

use super::*;
use crate::envelope::DEFAULT_DEPTH;

fn layout(parts: LayoutParts) -> Layout {
    Layout::new(&parts).unwrap()
}

fn parts() -> LayoutParts {
    LayoutParts::default()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Each frame in one line.
fn read(layout: &Layout, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    layout.read(text, DEFAULT_DEPTH, |frame, own| {
        lines.push(match frame {
            Frame::Event(event) => {
                let extra = [event.id, event.position.as_deref(), event.version.as_deref(), event.metadata];
                let extra =
                    ["id", "at", "v", "m"].iter().zip(extra).filter_map(|(name, value)| Some((name, value?)));
                extra.fold(format!("{} {}", event.topic, event.body), |line, (name, value)| {
                    format!("{line} {name}={value}")
                })
            }
            Frame::Refused(failure) => format!("Refused({})", failure.status),
            other => format!("{other:?}"),
        });
        let offset = own.as_ptr() as usize - text.as_ptr() as usize;
        assert_eq!(text.get(offset..offset + own.len()), Some(own));
    });
    lines
}

fn check(parts: LayoutParts, table: &[(&str, &[&str])]) {
    let layout = layout(parts);
    for (text, expected) in table {
        assert_eq!(read(&layout, text), *expected, "{text}");
    }
}

#[test]
fn without_options_relayed_frames_are_read_as_the_service_sends_them() {
    check(
        parts(),
        &[
            (
                r#" {"topicName":"v2.users.u.presence","version":"2","eventBody":{"a": 1},"metadata":{"CorrelationId":"c"},"x":[]} "#,
                &[r#"v2.users.u.presence {"a": 1} v=2 m={"CorrelationId":"c"}"#],
            ),
            (r#"{"eventBody":7,"topicName":"any topic at all","version":3}"#, &["any topic at all 7 v=3"]),
            (r#"{"topicName":"t"}"#, &["t null"]),
            (r#"{"topicName":"t","eventBody":null,"version":null}"#, &["t null"]),
            (r#"{"topicName":"a\u002fé","eventBody":"\u00e9"}"#, &[r#"a/é "\u00e9""#]),
            (r#"{"topicName":"t","topicName":"u","eventBody":1,"eventBody":2}"#, &["u 2"]),
            (r#"{"topicName":"v2.system.socket_closing","eventBody":{}}"#, &["v2.system.socket_closing {}"]),
            (
                r#"{"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}}"#,
                &["Heartbeat"],
            ),
            (r#"{"topicName":"channel.metadata","eventBody":{"message":"pong"}}"#, &["Heartbeat"]),
            (r#"{"topicName":"Channel.Metadata"}"#, &["Heartbeat"]),
            (r#"{"topicName":"t","status":404,"error":"unauthorized"}"#, &["t null"]),
            (r#"{"topicName":7}"#, &["Other"]),
            (r#"{"topicName":null,"status":401}"#, &["Refused(401)"]),
            (r#"{"topicName":"\ud800"}"#, &["Unreadable(NotJson)"]),
            (r#"{"result":"200"}"#, &["Other"]),
            (r#"{"result":"404"}"#, &["Refused(404)"]),
            (r#"{"event":"connected"}"#, &["Other"]),
            ("{}", &["Other"]),
            (r#"[{"topicName":"t"}]"#, &["Other"]),
            ("[]", &["Other"]),
            ("7", &["Other"]),
            (r#""ping""#, &["Other"]),
            ("null", &["Other"]),
            ("ping", &["Unreadable(NotJson)"]),
            ("", &["Unreadable(NotJson)"]),
            (r#"{"topicName":"t"} {}"#, &["Unreadable(NotJson)"]),
            (r#"{"topicName":"t","eventBody":{]}"#, &["Unreadable(NotJson)"]),
        ],
    );
}

#[test]
fn pointers_say_where_the_parts_are() {
    check(
        LayoutParts {
            topic: some("/meta/topic"),
            body: some("/data"),
            id: some("/meta/id"),
            position: some("/meta/at"),
            ..parts()
        },
        &[
            (
                r#"{"meta":{"topic":"t","id":"x","at":"2026-01-02T03:04:05.678Z"},"data":[1],"version":"2"}"#,
                &[r#"t [1] id="x" at=2026-01-02T03:04:05.678Z"#],
            ),
            (r#"{"meta":{"topic":"t","id":17,"at":1.50e3},"data":null}"#, &["t null id=17 at=1.50e3"]),
            (r#"{"meta":{"topic":"t","id":null,"at":null},"data":1}"#, &["t 1"]),
            (r#"{"meta":{"topic":"t","id":"","at":""},"data":1}"#, &["t 1"]),
            (r#"{"meta":{"topic":"t","id":{"a":1},"at":{"a":1}},"data":1}"#, &[r#"t 1 id={"a":1}"#]),
            (r#"{"meta":{"topic":"t","at":"a\u002bb"},"data":1}"#, &["t 1 at=a+b"]),
            (r#"{"meta":{"topic":"t","at":true},"data":1}"#, &["t 1"]),
            (r#"{"meta":{"topic":"t"}}"#, &["Other"]),
            (r#"{"meta":{"topic":5},"data":1}"#, &["Other"]),
            (r#"{"data":1}"#, &["Other"]),
            (r#"{"data":1,"status":401}"#, &["Refused(401)"]),
            (r#"{"topicName":"t","eventBody":1}"#, &["Other"]),
            (r#"{"meta":{"topic":"channel.metadata"}}"#, &["Heartbeat"]),
        ],
    );
    check(
        LayoutParts { topic: some("/kind"), ..parts() },
        &[
            (r#"{"kind":"k","eventBody":1,"version":"2"}"#, &["k 1"]),
            (r#"{"kind":"k"}"#, &["k null"]),
            (r#"{"topicName":"t"}"#, &["Other"]),
        ],
    );
    check(
        LayoutParts { body: some("/data"), ..parts() },
        &[
            (r#"{"data":{"a":1}}"#, &[r#"* {"a":1}"#]),
            (r#"{"data":1,"topicName":"t"}"#, &["t 1"]),
            (r#"{"data":1,"topicName":7,"status":500}"#, &["* 1"]),
            (r#"{"topicName":"channel.metadata","data":1}"#, &["Heartbeat"]),
            (r#"{"topicName":"t","eventBody":1}"#, &["Other"]),
        ],
    );
}

#[test]
fn a_frame_that_is_its_own_body_is_an_event_unless_it_is_a_refusal() {
    check(
        LayoutParts {
            body: some(""),
            id: some("/id"),
            ready: Some(("/event".to_owned(), json!("connected"))),
            ..parts()
        },
        &[
            (r#"{"a":1}"#, &[r#"* {"a":1}"#]),
            (r#" [1] "#, &["* [1]"]),
            ("7", &["* 7"]),
            (r#"{"status":401}"#, &["Refused(401)"]),
            (r#"{"status":401,"id":3}"#, &[r#"* {"status":401,"id":3} id=3"#]),
            (r#"{"event":"connected"}"#, &["Ready"]),
            (r#"{"topicName":"channel.metadata"}"#, &["Heartbeat"]),
        ],
    );
}

#[test]
fn what_says_ready_is_no_event() {
    let parts = LayoutParts { ready: Some(("/event".to_owned(), json!("connected"))), ..parts() };
    check(
        parts,
        &[
            (r#"{"event":"connected"}"#, &["Ready"]),
            (r#"{"event":"c\u006fnnected","topicName":"t"}"#, &["Ready"]),
            (r#"{"event":"disconnected"}"#, &["Other"]),
            (r#"{"event":"presence","topicName":"t"}"#, &["t null"]),
            (r#"{"events":"connected"}"#, &["Other"]),
        ],
    );
    let parts =
        LayoutParts { ready: Some((String::new(), json!({"ok": true, "n": [1]}))), ..LayoutParts::default() };
    check(parts, &[(r#" { "n":[1.0], "ok":true } "#, &["Ready"]), (r#"{"ok":true}"#, &["Other"])]);
}

#[test]
fn a_batch_is_read_item_by_item() {
    let event = LayoutParts { id: some("/id"), position: some("/at"), ..parts() };
    check(
        LayoutParts {
            batch: some(""),
            ready: Some(("/event".to_owned(), json!("connected"))),
            ..event.clone()
        },
        &[
            (
                r#" [ {"topicName":"t","id":1,"at":5} ,{"topicName":"u","eventBody":[]}, {"status":403}, 7,{"event":"connected"} ] "#,
                &["t null id=1 at=5", "u []", "Refused(403)", "Other", "Ready"],
            ),
            (r#"{"topicName":"t","at":6}"#, &["t null at=6"]),
            (r#"[{"topicName":"channel.metadata"}]"#, &["Heartbeat"]),
            (r#"{"event":"connected"}"#, &["Ready"]),
            ("[]", &["Other"]),
            ("[ ]", &["Other"]),
            ("7", &["Other"]),
            (r#"[{"topicName":"t"},]"#, &["Unreadable(NotJson)"]),
        ],
    );
    check(
        LayoutParts {
            batch: some("/data/events"),
            body: some(""),
            ready: Some(("/event".to_owned(), json!("connected"))),
            ..event
        },
        &[
            (r#"{"data":{"events":[1,{"at":"x"}]},"status":400}"#, &["* 1", r#"* {"at":"x"} at=x"#]),
            (r#"{"data":{"events":[]}}"#, &["Other"]),
            (r#"{"event":"connected","data":{"events":[3]}}"#, &["Ready", "* 3"]),
            (r#"{"event":"connected","data":{"events":[]}}"#, &["Ready"]),
            (r#"{"data":{"events":{}}}"#, &["Other"]),
            (r#"{"error":"forbidden"}"#, &["Refused(403)"]),
            (r#"{"at":"y","n":1}"#, &[r#"* {"at":"y","n":1} at=y"#]),
            (r#"{"hello":1}"#, &["Other"]),
        ],
    );
}

#[test]
fn nesting_is_limited_for_the_frame_as_a_whole() {
    let layout = layout(LayoutParts { batch: some(""), ..parts() });
    let nested = |levels: usize| {
        format!(r#"[{{"topicName":"t","eventBody":{}{}}}]"#, "[".repeat(levels), "]".repeat(levels))
    };
    assert_eq!(read(&layout, &nested(62)).len(), 1);
    assert_eq!(read(&layout, &nested(63)), ["Unreadable(TooDeep(64))"]);
    for (limit, told) in [(0, 8), (8, 8), (100, 100), (128, 128), (1_000, 128)] {
        let text = nested(told - 1);
        let mut lines = Vec::new();
        layout.read(&text, limit, |frame, _| lines.push(format!("{frame:?}")));
        assert_eq!(lines, [format!("Unreadable(TooDeep({told}))")]);
        layout.read(&nested(told - 2), limit, |frame, _| assert!(matches!(frame, Frame::Event(_))));
    }
}

#[test]
fn a_pointer_that_is_none_is_named() {
    let wrong = || some("no pointer");
    let table = [
        (LayoutParts { topic: wrong(), ..parts() }, "event.topic"),
        (LayoutParts { body: wrong(), ..parts() }, "event.body"),
        (LayoutParts { id: wrong(), ..parts() }, "event.id"),
        (LayoutParts { batch: wrong(), ..parts() }, "event.batch"),
        (LayoutParts { position: wrong(), ..parts() }, "resume.pointer"),
        (LayoutParts { ready: Some(("no pointer".to_owned(), json!(1))), ..parts() }, "ready.pointer"),
    ];
    for (parts, part) in table {
        let error = Layout::new(&parts).unwrap_err();
        assert_eq!(error.part, part);
        assert!(error.to_string().starts_with(&format!("{part} must be a JSON Pointer")), "{error}");
    }
}

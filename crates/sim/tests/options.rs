//! Errors name the field.
#![allow(clippy::unwrap_used)]

use genesys_notifications_sim::{Rule, SimError, SimOptions, Traffic};

#[test]
fn defaults_are_those_of_the_real_service() {
    let options = SimOptions::from_json("{}").unwrap();
    assert_eq!(options, SimOptions::default());
    assert_eq!((options.token_life_ms, options.channel_life_ms), (86_400_000, 86_400_000));
    assert_eq!((options.heartbeat_ms, options.maintenance_grace_ms), (30_000, 60_000));
    assert_eq!(
        (options.rate_limit, options.channels_per_client, options.topics_per_channel),
        (300, 20, 1_000)
    );
}

#[test]
fn option_errors_name_the_path() {
    let cases = [
        (r#"{"heartbeatMs":0}"#, "heartbeatMs"),
        (r#"{"heartbeatMs":"30s"}"#, "heartbeatMs"),
        (r#"{"hartbeatMs":10}"#, "hartbeatMs"),
        (r#"{"tokenExpiry":"loud"}"#, "tokenExpiry"),
        (r#"{"deadUpgradeStatus":500}"#, "deadUpgradeStatus"),
        (r#"{"evictCloseCode":1006}"#, "evictCloseCode"),
        (r#"{"clients":[{"id":"a","secret":"x"},{"id":"b"}]}"#, "clients[1]"),
        (r#"{"clients":[{"id":"a","secret":""}]}"#, "clients[0].secret"),
        (r#"{"clients":[{"id":"a","secret":"x"},{"id":"a","secret":"y"}]}"#, "clients[1].id"),
        (r#"{"clients":[{"id":"a","secret":"x","codes":[{"code":1}]}]}"#, "clients[0].codes[0].code"),
        (r#"{"forbidden":[{"topic":"t","missing":[]}]}"#, "forbidden[0].missing"),
        (r#"[]"#, "options"),
    ];
    for (text, path) in cases {
        assert_eq!(path_of(SimOptions::from_json(text)), path, "{text}");
    }
}

#[test]
fn fault_errors_name_the_path() {
    let on = |operation: &str, action: &str| {
        format!(r#"{{"match":{{"operation":"{operation}"}},"action":{action}}}"#)
    };
    let cases = [
        (on("token", r#"{}"#), "fault.action.kind"),
        (on("token", r#"{"kind":"explode"}"#), "fault.action.kind"),
        (on("token", r#"{"kind":"drop"}"#), "fault.action.kind"),
        (on("heartbeat", r#"{"kind":"refuse"}"#), "fault.action.kind"),
        (on("token", r#"{"kind":"delay"}"#), "fault.action"),
        (on("token", r#"{"kind":"delay","ms":"x"}"#), "fault.action.ms"),
        (on("token", r#"{"kind":"delay","ms":5,"for":2}"#), "fault.action.for"),
        (on("token", r#"{"kind":"status","status":200}"#), "fault.action.status"),
        (on("socket", r#"{"kind":"close","code":1005}"#), "fault.action.code"),
        (on("lunch", r#"{"kind":"reset"}"#), "fault.match.operation"),
        (r#"{"match":{},"action":{"kind":"reset"}}"#.to_owned(), "fault.match"),
        (
            r#"{"match":{"operation":"token","nth":0},"action":{"kind":"reset"}}"#.to_owned(),
            "fault.match.nth",
        ),
        (
            r#"{"match":{"operation":"token","channelId":"x"},"action":{"kind":"reset"}}"#.to_owned(),
            "fault.match.channelId",
        ),
        (
            r#"{"match":{"operation":"pong","topic":"x"},"action":{"kind":"reset"}}"#.to_owned(),
            "fault.match.topic",
        ),
        (
            r#"{"match":{"operation":"event","probability":2},"action":{"kind":"drop"}}"#.to_owned(),
            "fault.match.probability",
        ),
        (r#"{"match":{"operation":"event"},"action":{"kind":"drop"},"times":0}"#.to_owned(), "fault.times"),
        (r#"{"match":{"operation":"event"},"action":{"kind":"drop"},"time":1}"#.to_owned(), "fault.time"),
    ];
    for (text, path) in cases {
        assert_eq!(path_of(Rule::from_json(&text)), path, "{text}");
    }
}

#[test]
fn traffic_errors_name_the_path() {
    assert_eq!(path_of(Traffic::from_json(r#"{"ratePerSecond":0}"#)), "traffic.ratePerSecond");
    assert_eq!(path_of(Traffic::from_json(r#"{"ratePerSecond":1,"topics":[]}"#)), "traffic.topics");
    assert_eq!(path_of(Traffic::from_json(r#"{"ratePerSecond":1,"topics":["x"]}"#)), "traffic.topics[0]");
    assert_eq!(path_of(Traffic::from_json("{}")), "traffic");
}

fn path_of<T: std::fmt::Debug>(result: Result<T, SimError>) -> String {
    match result {
        Err(SimError::Invalid { path, .. }) => path,
        other => panic!("not refused: {other:?}"),
    }
}

//! Every kind of fault on sockets and frames shows its effect, and the log says so.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io, time::Instant};

use genesys_notifications_sim::{DeliveryState, Log};
use support::*;
use tokio_tungstenite::tungstenite::{self, Message};

const PRESENCE: &str = "v2.users.u.presence";

fn on(operation: &str, action: &str) -> String {
    format!(r#"{{"match":{{"operation":"{operation}"}},"action":{action}}}"#)
}

// Sockets, at once

#[tokio::test]
async fn a_reset_socket_breaks_and_its_end_is_told() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.fault(&on("socket", r#"{"kind":"reset"}"#));
    assert!(
        matches!(ws.broken().await, tungstenite::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionReset)
    );
    let seq = service.publish(PRESENCE);
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;
    assert_eq!(log.sockets[0].ended.as_deref(), Some("faulted:reset"));
    assert_eq!(event(&log, seq).reason.as_deref(), Some("noSocket"));
}

#[tokio::test]
async fn a_reset_loses_what_was_queued_and_says_so() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let _unread = service.connect(&channel).await;
    let body = format!(r#"{{"source":"{}"}}"#, "x".repeat(400_000));
    for _ in 0..60 {
        service.sim.publish(PRESENCE, Some(&body)).unwrap();
    }
    service.until(|log| log.counts.delivered > 0).await;
    service.fault(&on("socket", r#"{"kind":"reset"}"#));
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;

    let (written, lost): (Vec<_>, Vec<_>) = log.events.iter().partition(|e| e.reason.is_none());
    assert!(!written.is_empty() && !lost.is_empty());
    assert!(lost.iter().all(|e| e.reason.as_deref() == Some("faulted:reset")));
    assert!(written.iter().map(|e| e.seq).max() < lost.iter().map(|e| e.seq).min());
    assert_eq!(log.counts.delivered + log.counts.undelivered, log.counts.published);
}

#[tokio::test]
async fn a_stalled_socket_is_open_and_silent_until_cleared() {
    let service = Service::start(r#"{"heartbeatMs":20}"#).await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    let fault = service.fault(&on("socket", r#"{"kind":"stall"}"#));
    // Heartbeats that were under way may still come.
    while !ws.is_silent(80).await {}
    ws.say(r#"{"message":"ping"}"#).await;
    let stalled = service.publish(PRESENCE);
    assert!(ws.is_silent(80).await);
    let log = service.sim.log();
    assert_eq!(event(&log, stalled).reason.as_deref(), Some("stalled"));
    assert!(log.sockets[0].ended_at.is_none() && log.sockets[0].stalled_at.is_some());
    assert!(service.sim.channels()[0].connected);

    service.sim.clear_fault(fault);
    service.until(|log| log.sockets[0].resumed_at.is_some()).await;
    let delivered = service.publish(PRESENCE);
    ws.topic(PRESENCE).await;
    let log = service.until(|log| log.counts.delivered == 1).await;
    assert_eq!(event(&log, delivered).reason, None);
    assert_eq!(event(&log, stalled).reason.as_deref(), Some("stalled"));
}

#[tokio::test]
async fn a_peer_that_gives_up_a_stalled_socket_is_noticed() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let ws = service.connect(&channel).await;
    service.fault(&on("socket", r#"{"kind":"stall"}"#));
    drop(ws);
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;
    assert_eq!(log.sockets[0].ended.as_deref(), Some("peerGone"));
}

#[tokio::test]
async fn a_half_open_socket_is_forgotten_but_not_closed() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.fault(&on("socket", r#"{"kind":"halfOpen"}"#));
    let seq = service.publish(PRESENCE);
    ws.say(r#"{"message":"ping"}"#).await;
    assert!(ws.is_silent(60).await);
    let log = service.sim.log();
    assert_eq!(event(&log, seq).reason.as_deref(), Some("noSocket"));
    assert_eq!(log.sockets[0].ended.as_deref(), Some("faulted:halfOpen"));
    assert!(log.sockets[0].gone_at.is_none() && !service.sim.channels()[0].connected);
    drop(ws);
    service.until(|log| log.sockets[0].gone_at.is_some()).await;
}

#[tokio::test]
async fn sockets_can_be_closed_with_any_code_or_none() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    for code in [1000, 1001, 1008, 1011, 1012, 4000, 4999] {
        let mut ws = service.connect(&channel).await;
        service.fault(&on("socket", &format!(r#"{{"kind":"close","code":{code},"reason":"why not"}}"#)));
        assert_eq!(ws.closed().await, Some(code));
    }
    let mut ws = service.connect(&channel).await;
    service.fault(&on("socket", r#"{"kind":"close"}"#));
    assert_eq!(ws.closed().await, None);
}

#[tokio::test]
async fn evict_expire_and_revoke_reach_the_channel_of_a_socket() {
    let service = Service::start("{}").await;
    let (a, b, c) = (service.channel().await, service.channel().await, service.channel().await);
    let (mut on_a, mut on_b, mut on_c) =
        (service.connect(&a).await, service.connect(&b).await, service.connect(&c).await);
    let only = |channel: &str, kind: &str| {
        service.fault(&format!(
            r#"{{"match":{{"operation":"socket","channelId":"{channel}"}},"action":{{"kind":"{kind}"}}}}"#
        ))
    };
    only(&a, "evict");
    assert!(on_a.json().await["topicName"].as_str().unwrap().contains("no_longer_subscribed"));
    assert_eq!(on_a.closed().await, Some(1000));
    only(&b, "expire");
    assert_eq!(on_b.closed().await, Some(1000));
    only(&c, "revoke");
    let notice = on_c.json().await;
    assert_eq!(notice["eventBody"]["systemTopicType"], "token_revoked");
    assert_eq!(on_c.closed().await, Some(1000));

    assert_eq!(service.api("GET", CHANNELS, "").await.status, 401);
    let log = service.sim.log();
    let ends: Vec<_> = log.channels.iter().map(|c| c.ended.as_deref().unwrap()).collect();
    assert_eq!(ends, ["evicted", "expired", "tokenEnded"]);
}

#[tokio::test]
async fn maintenance_warns_delivers_on_and_closes() {
    let service = Service::start(r#"{"maintenanceGraceMs":200}"#).await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    let began = Instant::now();
    service.fault(&on("socket", r#"{"kind":"socketClosing"}"#));
    assert_eq!(ws.json().await["topicName"], "v2.system.socket_closing");
    service.publish(PRESENCE);
    assert_eq!(ws.json().await["topicName"], PRESENCE);
    assert_eq!(ws.closed().await, Some(1001));
    assert!(began.elapsed().as_millis() >= 200);
    assert_eq!(service.sim.log().sockets[0].ended.as_deref(), Some("maintenance"));
    service.connect(&channel).await.sync().await;
}

#[tokio::test]
async fn odd_frames_can_be_injected() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    service.fault(&on("socket", r#"{"kind":"garbage"}"#));
    assert!(
        matches!(ws.next().await, Some(Ok(Message::Text(text))) if serde_json::from_str::<serde_json::Value>(&text).is_err())
    );
    service.fault(&on("socket", r#"{"kind":"binary"}"#));
    assert!(matches!(ws.next().await, Some(Ok(Message::Binary(_)))));
    service.fault(&on("socket", r#"{"kind":"deep","levels":300}"#));
    assert!(matches!(ws.next().await, Some(Ok(Message::Text(text))) if text.contains(&"[".repeat(300))));
    service.fault(&on("socket", r#"{"kind":"oversize","bytes":2000000}"#));
    assert!(matches!(ws.next().await, Some(Ok(Message::Text(text))) if text.len() == 2_000_000));
    ws.sync().await;
    service.fault(&on("socket", r#"{"kind":"invalidUtf8"}"#));
    assert!(matches!(ws.broken().await, tungstenite::Error::Utf8(_)));
}

#[tokio::test]
async fn channels_can_be_ended_without_a_socket() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel().await, service.channel().await);
    service.fault(&format!(
        r#"{{"match":{{"operation":"channel","channelId":"{a}"}},"action":{{"kind":"expire"}}}}"#
    ));
    assert_eq!(service.sim.channels().iter().map(|c| &c.id).collect::<Vec<_>>(), [&b]);
    service.fault(&on("channel", r#"{"kind":"evict"}"#));
    assert!(service.sim.channels().is_empty());
}

// Events

#[tokio::test]
async fn events_can_be_replaced_and_the_log_names_the_fault() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    for (kind, action) in [
        ("garbage", r#"{"kind":"garbage"}"#),
        ("binary", r#"{"kind":"binary"}"#),
        ("deep", r#"{"kind":"deep","levels":200}"#),
        ("oversize", r#"{"kind":"oversize","bytes":70000}"#),
        ("drop", r#"{"kind":"drop"}"#),
    ] {
        service.fault(&on("event", action));
        let seq = service.publish(PRESENCE);
        if kind != "drop" {
            let frame = ws.next().await.unwrap().unwrap();
            assert_eq!(matches!(frame, Message::Binary(_)), kind == "binary");
        }
        let log = service.sim.log();
        assert_eq!(event(&log, seq).reason, Some(format!("faulted:{kind}")));
        assert_eq!(event(&log, seq).deliveries[0].state, DeliveryState::Lost);
    }
    service.publish(PRESENCE);
    assert_eq!(ws.json().await["topicName"], PRESENCE);
    service.fault(&on("event", r#"{"kind":"invalidUtf8"}"#));
    service.publish(PRESENCE);
    assert!(matches!(ws.broken().await, tungstenite::Error::Utf8(_)));
}

#[tokio::test]
async fn events_can_lack_or_grow_parts_and_still_arrive() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    let altered = [
        ("nullBody", r#"{"kind":"nullBody"}"#),
        ("unknownFields", r#"{"kind":"unknownFields"}"#),
        ("missingVersion", r#"{"kind":"missingVersion"}"#),
        ("missingMetadata", r#"{"kind":"missingMetadata"}"#),
        ("bigBody", r#"{"kind":"bigBody","bytes":300000}"#),
        ("fragment", r#"{"kind":"fragment","bytes":7}"#),
    ];
    for (kind, action) in altered {
        service.fault(&on("event", action));
        let seq = service.publish(PRESENCE);
        let frame = ws.json().await;
        match kind {
            "nullBody" => assert!(frame["eventBody"].is_null() && frame.get("eventBody").is_some()),
            "unknownFields" => {
                assert!(frame.get("futureField").is_some() && frame["eventBody"]["futureBodyField"] == 42)
            }
            "missingVersion" => assert!(frame.get("version").is_none()),
            "missingMetadata" => assert!(frame.get("metadata").is_none()),
            "bigBody" => assert!((300_000..300_100).contains(&frame["eventBody"].to_string().len())),
            _ => assert_eq!(frame["version"], "2"),
        }
        let log = service.until(|log| log.counts.delivered == seq).await;
        assert_eq!(event(&log, seq).deliveries[0].altered, [kind]);
    }
}

#[tokio::test]
async fn duplicates_reordering_and_delays_are_delivered_and_counted() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.fault(&on("event", r#"{"kind":"duplicate","count":2}"#));
    let twice = service.publish(PRESENCE);
    let (a, b, c) = (ws.json().await, ws.json().await, ws.json().await);
    assert!(a == b && b == c);
    service.fault(&on("event", r#"{"kind":"duplicate","newCorrelationId":true}"#));
    service.publish(PRESENCE);
    let (a, b) = (ws.json().await, ws.json().await);
    assert!(a["eventBody"] == b["eventBody"] && a["metadata"] != b["metadata"]);

    service.fault(&on("event", r#"{"kind":"reorder","ms":60000}"#));
    let (late, early) = (service.publish(PRESENCE), service.publish(PRESENCE));
    let frames = [ws.json().await, ws.json().await];
    let log = service.until(|log| log.counts.delivered == 4).await;
    let order = frames.map(|frame| {
        log.events.iter().find(|e| frame["metadata"]["CorrelationId"] == e.correlation_id).unwrap().seq
    });
    assert_eq!(order, [early, late]);
    assert_eq!((event(&log, twice).deliveries.len(), log.counts.deliveries), (3, 7));

    service.fault(&on("event", r#"{"kind":"reorder","ms":50}"#));
    service.publish(PRESENCE);
    ws.json().await;
    service.fault(&on("event", r#"{"kind":"delay","ms":80}"#));
    let began = Instant::now();
    let delayed = service.publish(PRESENCE);
    assert_eq!(event(&service.sim.log(), delayed).reason.as_deref(), Some("queued"));
    ws.json().await;
    assert!(began.elapsed().as_millis() >= 79);
}

#[tokio::test]
async fn an_event_can_take_its_socket_down() {
    for (action, how, reason) in [
        (r#"{"kind":"reset"}"#, Some("faulted:reset"), "faulted:reset"),
        (r#"{"kind":"close","code":1011}"#, Some("faulted:close"), "faulted:close"),
        (r#"{"kind":"halfOpen"}"#, Some("faulted:halfOpen"), "faulted:halfOpen"),
        (r#"{"kind":"stall"}"#, None, "stalled"),
    ] {
        let service = Service::start("{}").await;
        let channel = service.channel_on(&[PRESENCE]).await;
        let _ws = service.connect(&channel).await;
        let rule = format!(
            r#"{{"match":{{"operation":"event","topic":"v2.users.{{id}}.presence","nth":2}},"action":{action}}}"#
        );
        service.fault(&rule);
        let (first, second) = (service.publish(PRESENCE), service.publish(PRESENCE));
        let log = service.sim.log();
        assert_ne!(event(&log, first).reason.as_deref(), Some(reason));
        assert_eq!(event(&log, second).reason.as_deref(), Some(reason), "{action}");
        assert_eq!(log.sockets[0].ended.as_deref(), how);
    }
}

#[tokio::test]
async fn one_of_two_channels_can_lose_an_event() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel_on(&[PRESENCE]).await, service.channel_on(&[PRESENCE]).await);
    let (_on_a, mut on_b) = (service.connect(&a).await, service.connect(&b).await);
    service.fault(&format!(
        r#"{{"match":{{"operation":"event","channelId":"{a}"}},"action":{{"kind":"drop"}}}}"#
    ));
    let seq = service.publish(PRESENCE);
    on_b.json().await;
    let log = service.until(|log| log.counts.delivered == 1).await;
    let states: Vec<_> = event(&log, seq).deliveries.iter().map(|d| (d.channel.as_str(), d.state)).collect();
    assert_eq!(states, [(a.as_str(), DeliveryState::Lost), (b.as_str(), DeliveryState::Written)]);
    assert_eq!(event(&log, seq).reason, None);
}

// Heartbeats and pongs

#[tokio::test]
async fn heartbeats_and_pongs_can_fail_on_their_own() {
    let service = Service::start(r#"{"heartbeatMs":30}"#).await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    let fault = service.fault(r#"{"match":{"operation":"heartbeat"},"action":{"kind":"drop"},"times":null}"#);
    while !ws.is_silent(70).await {}
    ws.sync().await;
    service.fault(r#"{"match":{"operation":"pong"},"action":{"kind":"drop"},"times":null}"#);
    ws.say(r#"{"message":"ping"}"#).await;
    assert!(ws.is_silent(70).await);
    service.publish(PRESENCE);
    assert_eq!(ws.json().await["topicName"], PRESENCE);
    service.sim.clear_fault(fault);
    assert_eq!(ws.json().await["eventBody"]["message"], "WebSocket Heartbeat");
    service.fault(&on("heartbeat", r#"{"kind":"garbage"}"#));
    service.fault(&on("heartbeat", r#"{"kind":"close","code":1011}"#));
    assert_eq!(ws.closed().await, Some(1011));
}

fn event(log: &Log, seq: u64) -> &genesys_notifications_sim::EventRecord {
    log.events.iter().find(|event| event.seq == seq).unwrap()
}

//! Every kind of fault shows its effect, and the log says so.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io, time::Instant};

use genesys_notifications_sim::{DeliveryState, Log};
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{self, Message};

const PRESENCE: &str = "v2.users.u.presence";

fn on(operation: &str, action: &str) -> String {
    format!(r#"{{"match":{{"operation":"{operation}"}},"action":{action}}}"#)
}

// Requests

#[tokio::test]
async fn status_answers_in_the_shape_of_its_host() {
    let service = Service::start("{}").await;
    service.fault(&on("createChannel", r#"{"kind":"status","status":429,"retryAfter":7200}"#));
    let api = service.api("POST", CHANNELS, "").await;
    assert_eq!((api.status, api.header("Retry-After")), (429, Some("7200")));
    assert_eq!(api.json()["code"], "too.many.requests.retry.after");
    assert!(api.json()["message"].as_str().unwrap().contains("[7200]"));
    assert_eq!(service.api("POST", CHANNELS, "").await.status, 200);

    service.fault(&on("token", r#"{"kind":"status","status":503,"retryAfter":"Wed, 21 Oct 2026 07:28:00 GMT","code":"gone_fishing"}"#));
    let login = grant(&service.sim, "Basic eDp5", "grant_type=client_credentials").await;
    assert_eq!((login.status, login.header("Retry-After")), (503, Some("Wed, 21 Oct 2026 07:28:00 GMT")));
    assert_eq!(login.json()["error"], "gone_fishing");

    service.fault(&on("rest", r#"{"kind":"status","status":502,"body":"<html>bad gateway</html>"}"#));
    let raw = service.api("GET", CHANNELS, "").await;
    assert_eq!(
        (raw.status, raw.text().as_str(), raw.header("Retry-After")),
        (502, "<html>bad gateway</html>", None)
    );

    let log = service.sim.log();
    let told: Vec<_> = log.requests.iter().filter_map(|r| r.retry_after.as_deref()).collect();
    assert_eq!(told, ["7200", "Wed, 21 Oct 2026 07:28:00 GMT"]);
    let effects: Vec<_> = log.faults.iter().map(|f| (f.fault, f.kind, f.operation)).collect();
    assert_eq!(
        effects,
        [(1, "status", "createChannel"), (2, "status", "token"), (3, "status", "listChannels")]
    );
}

#[tokio::test]
async fn reset_close_and_half_open_leave_a_request_without_an_answer() {
    let service = Service::start("{}").await;
    service.fault(&on("createChannel", r#"{"kind":"reset"}"#));
    assert_eq!(raw(&service, "POST", CHANNELS).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    service.fault(&on("createChannel", r#"{"kind":"close"}"#));
    assert_eq!(raw(&service, "POST", CHANNELS).await.unwrap(), b"");
    assert!(service.sim.channels().is_empty());

    service.fault(&on("createChannel", r#"{"kind":"halfOpen"}"#));
    let waiting =
        tokio::time::timeout(std::time::Duration::from_millis(100), raw(&service, "POST", CHANNELS)).await;
    assert!(waiting.is_err());
    let log = service.until(|log| log.requests[3].duration_ms.is_some()).await;
    assert!(log.requests[1..].iter().all(|r| r.status.is_none()));
}

#[tokio::test]
async fn in_the_response_phase_the_work_was_done() {
    let service = Service::start("{}").await;
    service.fault(&on("createChannel", r#"{"kind":"reset","phase":"response"}"#));
    assert!(raw(&service, "POST", CHANNELS).await.is_err());
    assert_eq!(service.sim.channels().len(), 1);
}

#[tokio::test]
async fn a_stalled_request_waits_for_the_fault_to_be_cleared() {
    let service = Service::start("{}").await;
    let fault = service.fault(&on("listChannels", r#"{"kind":"stall"}"#));
    let (reply, ()) = tokio::join!(service.api("GET", CHANNELS, ""), async {
        service.until(|log| log.requests.len() == 2 && !log.faults.is_empty()).await;
        assert!(service.sim.log().requests[1].duration_ms.is_none());
        assert!(service.sim.clear_fault(fault));
    });
    assert_eq!(reply.status, 200);

    service.fault(&on("listChannels", r#"{"kind":"stall","ms":60}"#));
    let began = Instant::now();
    assert_eq!(service.api("GET", CHANNELS, "").await.status, 200);
    assert!(began.elapsed().as_millis() >= 60);

    // A client that gives up is noticed.
    service.fault(&on("listChannels", r#"{"kind":"stall"}"#));
    let mut stream = TcpStream::connect(authority(&service.sim.urls().api)).await.unwrap();
    stream.write_all(format!("GET {CHANNELS} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    service.until(|log| log.requests.len() == 4).await;
    drop(stream);
    let log = service.until(|log| log.requests[3].duration_ms.is_some()).await;
    assert_eq!(log.requests[3].status, None);
}

#[tokio::test]
async fn delays_add_up_with_other_faults() {
    let service = Service::start("{}").await;
    service.fault(&on("token", r#"{"kind":"delay","ms":40}"#));
    service.fault(&on("token", r#"{"kind":"delay","ms":40}"#));
    service.fault(&on("token", r#"{"kind":"status","status":500}"#));
    let began = Instant::now();
    assert_eq!(grant(&service.sim, "Basic eDp5", "").await.status, 500);
    assert!(began.elapsed().as_millis() >= 80);
    assert_eq!(service.sim.log().requests[1].faults, ["delay", "delay", "status"]);
}

#[tokio::test]
async fn bodies_can_be_cut_short_or_made_unreadable() {
    let service = Service::start("{}").await;
    let spoiled = |action: &'static str| {
        service.fault(&on("createChannel", action));
        service.api("POST", CHANNELS, "")
    };
    let cut = spoiled(r#"{"kind":"truncate"}"#).await;
    assert!(cut.status == 200 && !cut.is_whole() && !cut.body.is_empty());
    assert_eq!(spoiled(r#"{"kind":"truncate","bytes":0}"#).await.body, b"");
    let garbage = spoiled(r#"{"kind":"garbage"}"#).await;
    assert!(garbage.is_whole() && serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
    assert!(String::from_utf8(spoiled(r#"{"kind":"invalidUtf8"}"#).await.body).is_err());
    assert_eq!(
        spoiled(r#"{"kind":"deep","levels":5000}"#).await.text(),
        ["[".repeat(5000), "]".repeat(5000)].concat()
    );
    let big = spoiled(r#"{"kind":"oversize","bytes":1000000}"#).await;
    assert_eq!((big.body.len(), big.json().is_object()), (1_000_000, true));
}

#[tokio::test]
async fn redirects_and_hostile_connect_uris_go_where_the_rule_says() {
    let service = Service::start("{}").await;
    service.fault(&on("any", r#"{"kind":"redirect","to":"http://elsewhere.invalid/"}"#));
    let redirected = service.api("POST", CHANNELS, "").await;
    assert_eq!((redirected.status, redirected.header("Location")), (307, Some("http://elsewhere.invalid/")));
    service.fault(&on("createChannel", r#"{"kind":"connectUri","uri":"wss://evil.invalid/{id}"}"#));
    let hostile = service.api("POST", CHANNELS, "").await.json();
    assert_eq!(hostile["connectUri"], format!("wss://evil.invalid/{}", hostile["id"].as_str().unwrap()));
}

#[tokio::test]
async fn refused_connections_end_before_a_byte_is_read() {
    let service = Service::start("{}").await;
    // An idle connection, which must go too.
    let mut idle = TcpStream::connect(authority(&service.sim.urls().api)).await.unwrap();
    idle.write_all(format!("GET {CHANNELS} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(idle.read(&mut answer).await.unwrap() > 0);

    let fault = service
        .sim
        .fault(
            genesys_notifications_sim::Rule::from_json(
                r#"{"match":{"operation":"rest"},"action":{"kind":"refuse"},"times":null}"#,
            )
            .unwrap(),
        )
        .unwrap();
    assert_eq!(idle.read(&mut answer).await.unwrap_or(0), 0);
    let requests = service.sim.counts().requests;
    assert!(service.try_api("GET", CHANNELS, "").await.is_none());
    assert_eq!(service.sim.counts().requests, requests);
    // Other hosts are not concerned.
    new_token(&service.sim).await;
    service.sim.clear_fault(fault);
    assert_eq!(service.api("GET", CHANNELS, "").await.status, 200);
}

#[tokio::test]
async fn revoke_evict_and_expire_can_meet_a_request() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel().await, service.channel().await);
    service.fault(&on("headChannel", r#"{"kind":"expire"}"#));
    assert_eq!(service.api("HEAD", &format!("{CHANNELS}/{a}"), "").await.status, 404);
    service.fault(&on("upgrade", r#"{"kind":"evict"}"#));
    assert_eq!(service.refused_upgrade(&b).await, 404);
    service.fault(&on("listChannels", r#"{"kind":"revoke"}"#));
    assert_eq!(service.api("GET", CHANNELS, "").await.json()["code"], "bad.credentials");
    assert_eq!(service.api("GET", CHANNELS, "").await.status, 401);
}

// Upgrades

#[tokio::test]
async fn upgrades_can_be_refused_reset_misanswered_or_closed_at_once() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    service.fault(&on("upgrade", r#"{"kind":"status","status":429,"retryAfter":1}"#));
    assert_eq!(service.refused_upgrade(&channel).await, 429);
    service.fault(&on("upgrade", r#"{"kind":"reset"}"#));
    assert!(matches!(service.try_connect(&channel).await, Err(tungstenite::Error::Io(_))));
    service.fault(&on("upgrade", r#"{"kind":"garbage"}"#));
    assert!(matches!(service.try_connect(&channel).await, Err(tungstenite::Error::Protocol(_))));
    service.fault(&on("upgrade", r#"{"kind":"refuse"}"#));
    assert!(service.try_connect(&channel).await.is_err());
    service.fault(&on("upgrade", r#"{"kind":"redirect","to":"http://x.invalid","status":302}"#));
    assert_eq!(service.refused_upgrade(&channel).await, 302);
    service.fault(&on("upgrade", r#"{"kind":"close","code":4100,"reason":"no"}"#));
    assert_eq!(service.connect(&channel).await.closed().await, Some(4100));
    service.connect(&channel).await.sync().await;
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

// Times and matches

#[tokio::test]
async fn without_times_a_socket_fault_means_all_that_are_open_now() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel().await, service.channel().await);
    let (mut on_a, mut on_b) = (service.connect(&a).await, service.connect(&b).await);
    service.fault(&on("socket", r#"{"kind":"close","code":4000}"#));
    assert_eq!((on_a.closed().await, on_b.closed().await), (Some(4000), Some(4000)));
    service.connect(&a).await.sync().await;
}

#[tokio::test]
async fn without_times_and_sockets_the_next_one_is_meant() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    service.fault(&on("socket", r#"{"kind":"close","code":4000}"#));
    assert_eq!(service.connect(&channel).await.closed().await, Some(4000));
    service.connect(&channel).await.sync().await;
}

#[tokio::test]
async fn times_counts_sockets_and_null_lasts_until_cleared() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel().await, service.channel().await);
    let (mut on_a, mut on_b) = (service.connect(&a).await, service.connect(&b).await);
    let close = r#""action":{"kind":"close","code":4000}"#;
    service.fault(&format!(r#"{{"match":{{"operation":"socket"}},{close},"times":1}}"#));
    assert_eq!(on_a.closed().await, Some(4000));
    on_b.sync().await;
    service.fault(&format!(r#"{{"match":{{"operation":"socket"}},{close},"times":null}}"#));
    assert_eq!(on_b.closed().await, Some(4000));
    for _ in 0..3 {
        assert_eq!(service.connect(&a).await.closed().await, Some(4000));
    }
    service.sim.clear_faults();
    service.connect(&a).await.sync().await;
}

#[tokio::test]
async fn nth_after_and_probability_choose_occurrences() {
    let service = Service::start("{}").await;
    let statuses = |n: usize| {
        let service = &service;
        async move {
            let mut all = Vec::new();
            for _ in 0..n {
                all.push(service.api("GET", CHANNELS, "").await.status);
            }
            all
        }
    };
    let rule = |matching: &str, times: &str| {
        format!(
            r#"{{"match":{{"operation":"listChannels",{matching}}},"action":{{"kind":"status","status":500}},"times":{times}}}"#
        )
    };
    service.fault(&rule(r#""nth":3"#, "1"));
    assert_eq!(statuses(4).await, [200, 200, 500, 200]);
    service.fault(&rule(r#""after":1"#, "2"));
    assert_eq!(statuses(4).await, [200, 500, 500, 200]);
    let fault = service.fault(&rule(r#""probability":0.5"#, "null"));
    let failed = statuses(60).await.iter().filter(|s| **s == 500).count();
    assert!((15..=45).contains(&failed), "{failed} of 60");
    service.sim.clear_fault(fault);
    assert_eq!(statuses(2).await, [200, 200]);
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

/// A request whose connection is read to its end, bytes or error.
async fn raw(service: &Service, method: &str, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(authority(&service.sim.urls().api)).await?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", service.token);
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

fn event(log: &Log, seq: u64) -> &genesys_notifications_sim::EventRecord {
    log.events.iter().find(|event| event.seq == seq).unwrap()
}

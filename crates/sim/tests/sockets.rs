//! WebSockets without faults.
#![allow(clippy::unwrap_used)]

mod support;

use futures_util::SinkExt;
use support::*;
use tokio_tungstenite::tungstenite::Message;

const PRESENCE: &str = "v2.users.u.presence";

#[tokio::test]
async fn an_upgrade_on_a_dead_channel_is_refused() {
    for status in [404, 401, 403] {
        let service = Service::start(&format!(r#"{{"deadUpgradeStatus":{status}}}"#)).await;
        assert_eq!(service.refused_upgrade("streaming-0-gone").await, status);
    }
}

#[tokio::test]
async fn a_second_socket_on_a_channel_displaces_the_first() {
    let service = Service::start(r#"{"displacedCloseCode":4001}"#).await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut first = service.connect(&channel).await;
    let mut second = service.connect(&channel).await;

    assert_eq!(first.closed().await, Some(4001));
    service.publish(PRESENCE);
    assert_eq!(second.json().await["topicName"], PRESENCE);
    let log = service.sim.log();
    assert_eq!(log.sockets[0].ended.as_deref(), Some("displaced"));
    assert_eq!((log.sockets[1].ended_at, service.sim.channels()[0].socket), (None, Some(2)));
}

#[tokio::test]
async fn heartbeats_come_at_their_interval_and_carry_no_version() {
    let service = Service::start(r#"{"heartbeatMs":40}"#).await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    for _ in 0..3 {
        let expected =
            serde_json::json!({"topicName":"channel.metadata","eventBody":{"message":"WebSocket Heartbeat"}});
        assert_eq!(ws.json().await, expected);
    }
    let log = service.sim.log();
    let lived = log.now - log.sockets[0].opened_at;
    assert!(lived >= 120, "3 heartbeats after {lived} ms");
}

#[tokio::test]
async fn pings_of_both_kinds_are_answered_and_junk_is_tolerated() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;

    ws.say("12:34:56").await;
    ws.say(r#"{"message":17}"#).await;
    ws.0.send(Message::binary(vec![0, 1, 2])).await.unwrap();
    ws.0.send(Message::Ping(vec![7, 7].into())).await.unwrap();
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::Pong(vec![7, 7].into()));
    ws.sync().await;

    let socket = &service.sim.log().sockets[0];
    assert_eq!((socket.pings, socket.control_pings, socket.ended_at), (1, 1, None));
    assert!(socket.last_inbound_at.is_some());
}

#[tokio::test]
async fn a_close_from_the_peer_is_echoed_and_written_down() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    ws.0.close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1001.into(),
        reason: "".into(),
    }))
    .await
    .unwrap();
    assert_eq!(ws.closed().await, Some(1001));
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;
    assert_eq!(
        (log.sockets[0].ended.as_deref(), log.sockets[0].close_code),
        (Some("peerClosed"), Some(1001))
    );
    // The channel is alive: the same URI works again.
    service.connect(&channel).await.sync().await;
}

#[tokio::test]
async fn a_peer_that_vanishes_is_written_down() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    drop(service.connect(&channel).await);
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;
    assert_eq!(log.sockets[0].ended.as_deref(), Some("peerGone"));
}

#[tokio::test]
async fn what_ends_a_channel_ends_its_socket_in_one_of_three_ways() {
    for cause in [r#""channelLifeMs":150,"channelExpiry""#, r#""tokenLifeMs":150,"tokenExpiry""#] {
        let how = if cause.contains("token") { "tokenEnded" } else { "expired" };
        for ending in ["close", "silence", "result404"] {
            let service = Service::start(&format!(
                r#"{{"heartbeatMs":100,"expiryCloseCode":4002,{cause}:"{ending}"}}"#
            ))
            .await;
            let channel = service.channel_on(&[PRESENCE]).await;
            let mut ws = service.connect(&channel).await;
            service.until(|log| log.channels[0].ended.is_some()).await;
            assert_eq!(service.sim.log().channels[0].ended.as_deref(), Some(how));
            let seq = service.publish(PRESENCE);
            match ending {
                "close" => assert_eq!(ws.closed().await, Some(4002)),
                "result404" => loop {
                    let frame = ws.json().await;
                    if frame.get("topicName").is_none() {
                        break assert_eq!(frame["result"], "404");
                    }
                },
                _ => {
                    ws.topic("channel.metadata").await;
                    assert!(service.sim.log().sockets[0].channel_gone_at.is_some());
                }
            }
            assert_eq!(service.sim.log().events[seq as usize - 1].reason.as_deref(), Some("noSubscriber"));
            assert_eq!(service.refused_upgrade(&channel).await, 404);
        }
    }
}

#[tokio::test]
async fn a_silent_peer_is_closed_if_that_is_asked_for() {
    let service = Service::start(r#"{"idleTimeoutMs":80}"#).await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    assert_eq!(ws.closed().await, Some(1001));
    assert_eq!(service.sim.log().sockets[0].ended.as_deref(), Some("idle"));
}

#[tokio::test]
async fn an_oversized_message_earns_its_close_code() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    ws.say(&"x".repeat((64 << 10) + 1)).await;
    assert_eq!(ws.closed().await, Some(1009));
    assert_eq!(service.sim.log().sockets[0].ended.as_deref(), Some("protocolError"));
}

#[tokio::test]
async fn a_socket_that_reads_too_slowly_is_reset() {
    let service = Service::start(r#"{"socketBacklogBytes":100000}"#).await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let _ws = service.connect(&channel).await;
    let body = format!(r#"{{"source":"{}"}}"#, "x".repeat(500_000));
    for _ in 0..40 {
        service.sim.publish(PRESENCE, Some(&body)).unwrap();
    }
    let log = service.until(|log| log.sockets[0].gone_at.is_some()).await;
    assert_eq!(log.sockets[0].ended.as_deref(), Some("backlog"));
    assert!(log.events.iter().any(|e| e.reason.as_deref() == Some("backlog")));
}

#[tokio::test]
async fn no_answer_overtakes_what_was_accepted_before() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    // More than the operating system takes from a peer that does not read, and more frames than a session takes at once.
    let big = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20));
    for body in std::iter::repeat_n(big.as_str(), 24).chain(std::iter::repeat_n("{}", 600)) {
        service.sim.publish(PRESENCE, Some(body)).unwrap();
    }
    ws.0.send(Message::Ping(vec![7].into())).await.unwrap();
    ws.say(r#"{"message":"ping"}"#).await;
    let log = service.until(|log| log.sockets[0].pings == 1 && log.sockets[0].control_pings == 1).await;
    assert!(log.events.iter().any(|event| event.deliveries[0].at.is_none()), "all of it was written");
    let later = service.publish(PRESENCE);
    let mut frames = Vec::new();
    while frames.len() < 627 {
        frames.push(ws.next().await.unwrap().unwrap());
    }
    let place = |seen: &dyn Fn(&Message) -> bool| frames.iter().position(seen);
    assert_eq!(place(&|frame| frame.is_pong()), Some(624));
    assert_eq!(place(&|frame| frame.to_text().is_ok_and(|text| text.contains("\"pong\""))), Some(625));
    let log = service.until(|log| log.events[later as usize - 1].deliveries[0].at.is_some()).await;
    let written: Vec<_> = log.events.iter().map(|event| event.deliveries[0].at).collect();
    assert!(written.is_sorted());
}

//! The handshakes of the gateway endpoints, and how they end.
#![allow(clippy::unwrap_used)]

mod support;

use futures_util::SinkExt;
use genesys_notifications_sim::GatewayRecord;
use serde_json::json;
use support::*;
use tokio_tungstenite::tungstenite::Message;

const PRESENCE: &str = "v2.users.u.presence";

impl Service {
    /// Tries until it is let in.
    async fn admitted(&self, place: &str) -> Ws {
        let begin = std::time::Instant::now();
        loop {
            if let Ok(ws) = self.try_gateway(place, None).await {
                return ws;
            }
            assert!(begin.elapsed() < PATIENCE, "never let in");
        }
    }

    fn record(&self, id: usize) -> GatewayRecord {
        self.sim.log().gateway[id - 1].clone()
    }
}

#[tokio::test]
async fn an_event_comes_with_its_time_its_number_and_its_id() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("query?access_token={token}").await;
    let seq = service.sim.publish("orders/created", Some(r#"{"n":1}"#)).unwrap();
    let event = ws.json().await;
    let record = &service.sim.log().events[0];
    assert_eq!(event["topicName"], "orders/created");
    assert_eq!(event["eventBody"], json!({ "n": 1 }));
    assert_eq!(
        (event["sequence"].as_u64(), event["id"].as_str()),
        (Some(seq), Some(&*record.correlation_id))
    );
    let at: jiff::Timestamp = event["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(at.as_millisecond() as u64, record.at);

    let log = service.until(|log| log.gateway[0].events == 1).await;
    let (gateway, delivery) = (&log.gateway[0], &log.events[0].deliveries[0]);
    assert_eq!((gateway.endpoint, gateway.status, gateway.token), ("query", 101, "valid"));
    assert_eq!(gateway.ready_at, Some(gateway.opened_at));
    assert_eq!((delivery.channel.as_str(), delivery.socket), ("gateway/query", gateway.socket));
    assert_eq!(log.counts.gateway, 1);
}

#[tokio::test]
async fn the_token_is_looked_for_where_the_endpoint_has_it() {
    let service = Service::start(r#"{"gateway":{"tokenParameter":"key"}}"#).await;
    service.gateway("query?key={token}").await;
    service.try_gateway("header", Some(&service.token)).await.unwrap();
    service.gateway("minute?key={token}").await;
    service.gateway("since?since=latest&key={token}").await;
    service.gateway("open").await;
    assert_eq!(service.refused_gateway("query?access_token={token}").await.0, 401);
    assert_eq!(service.refused_gateway("header?key={token}").await.0, 401);
    assert_eq!(service.refused_gateway("elsewhere?key={token}").await.0, 404);
    let tokens: Vec<_> = service.sim.log().gateway.iter().map(|record| record.token).collect();
    assert_eq!(tokens, ["valid", "valid", "valid", "valid", "none", "none", "none"]);
}

#[tokio::test]
async fn a_bad_token_is_refused_and_the_log_says_how_bad_it_was() {
    let service = Service::start(r#"{"tokenLifeMs":100}"#).await;
    let _ws = service.gateway("query?access_token={token}").await;
    service.until(|log| log.gateway[0].ended.is_some()).await;
    let cases = [
        ("query?access_token={token}", "token_expired", "expired"),
        ("query?access_token=made-up", "invalid_token", "unknown"),
        ("query", "unauthorized", "none"),
    ];
    for (place, error, token) in cases {
        let (status, body, retry_after) = service.refused_gateway(place).await;
        assert_eq!((status, body["error"].as_str(), retry_after), (401, Some(error), None));
        let record = service.sim.log().gateway.pop().unwrap();
        assert_eq!((record.token, record.status, record.ended.as_deref()), (token, 401, Some("refused")));
        assert_eq!((record.socket, record.ready_at), (None, None));
    }
    let text = serde_json::to_string(&service.sim.log()).unwrap();
    assert!(text.contains("/gateway/query?access_token=token-1"), "{text}");
    assert!(!text.contains(&service.token) && !text.contains("made-up"), "{text}");
}

#[tokio::test]
async fn a_bad_token_can_be_refused_on_the_open_connection() {
    let service = Service::start(r#"{"gateway":{"badToken":"frame"}}"#).await;
    let mut open = Vec::new();
    for place in ["query?access_token=x", "first-message"] {
        let mut ws = service.gateway(place).await;
        if place == "first-message" {
            ws.say(r#"{"access_token":"x"}"#).await;
        }
        let refusal = ws.json().await;
        assert_eq!((&refusal["status"], &refusal["error"]), (&json!(401), &json!("invalid_token")));
        assert_eq!(service.sim.log().gateway.pop().unwrap().token, "unknown");
        open.push(ws);
    }
    // It stays open, and no event comes.
    service.publish(PRESENCE);
    assert!(service.sim.log().gateway.iter().all(|record| record.ended.is_none() && record.events == 0));
    assert_eq!(service.sim.log().events[0].reason.as_deref(), Some("noSubscriber"));
}

#[tokio::test]
async fn a_first_message_is_acknowledged_and_topics_are_asked_for_then() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("first-message").await;
    ws.say(&format!(r#"{{"access_token":"{}"}}"#, service.token)).await;
    assert_eq!(ws.json().await, json!({ "event": "connected" }));
    service.publish(PRESENCE);
    ws.say(r#"{"message":"subscribe","topic":"a"}"#).await;
    ws.say(r#"{"topic":"b"}"#).await;
    ws.say(r#"{"message":"unsubscribe","topic":"c"}"#).await;
    ws.say("not JSON").await;
    ws.ping().await;
    for topic in ["a", "b", "c"] {
        service.sim.publish(topic, Some("null")).unwrap();
    }
    assert_eq!(
        (ws.json().await["topicName"].as_str(), ws.json().await["topicName"].as_str()),
        (Some("a"), Some("b"))
    );
    let record = service.record(1);
    let asked: Vec<_> = record.asked.iter().map(|asked| asked.topic.as_str()).collect();
    assert_eq!((asked, record.early_frames, record.token), (vec!["a", "b"], 0, "valid"));
    let reasons: Vec<_> = service.sim.log().events.iter().map(|event| event.reason.is_none()).collect();
    assert_eq!((reasons[0], reasons[3]), (false, false));
}

#[tokio::test]
async fn asking_for_a_topic_narrows_a_stream_of_everything() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("open").await;
    service.sim.publish("a", Some("1")).unwrap();
    assert_eq!(ws.json().await["topicName"], "a");
    ws.say(r#"{"topic":"b"}"#).await;
    ws.ping().await;
    service.sim.publish("a", Some("2")).unwrap();
    service.sim.publish("b", Some("3")).unwrap();
    assert_eq!(ws.json().await["topicName"], "b");
}

#[tokio::test]
async fn a_frame_before_the_acknowledgement_is_counted_and_ends_the_connection() {
    let service = Service::start(r#"{"gateway":{"readyDelayMs":60000}}"#).await;
    let mut ws = service.gateway("first-message").await;
    ws.say(&format!(r#"{{"access_token":"{}"}}"#, service.token)).await;
    ws.say(r#"{"topic":"a"}"#).await;
    assert_eq!(ws.closed().await, Some(1002));
    let mut ws = service.gateway("first-message").await;
    ws.say(r#"{"topic":"a"}"#).await;
    assert_eq!(ws.closed().await, Some(1002));
    for id in [1, 2] {
        let record = service.record(id);
        assert_eq!((record.early_frames, record.ended.as_deref()), (1, Some("early")));
        assert!(record.asked.is_empty() && record.ready_at.is_none());
    }
}

#[tokio::test]
async fn a_frame_before_the_acknowledgement_can_be_ignored() {
    let service = Service::start(r#"{"gateway":{"readyDelayMs":50,"early":"ignore"}}"#).await;
    let mut ws = service.gateway("first-message").await;
    ws.say(r#"{"topic":"a"}"#).await;
    ws.say(&format!(r#"{{"access_token":"{}"}}"#, service.token)).await;
    ws.say(r#"{"topic":"b"}"#).await;
    assert_eq!(ws.json().await["event"], "connected");
    let record = service.record(1);
    assert_eq!((record.early_frames, record.asked.len(), record.ended_at), (2, 0, None));
    assert!(record.ready_at.unwrap() >= record.opened_at + 50);
}

#[tokio::test]
async fn the_first_message_again_renews_the_token_of_the_connection() {
    let service = Service::start(r#"{"tokenLifeMs":300}"#).await;
    let mut ws = service.gateway("first-message").await;
    ws.say(&format!(r#"{{"access_token":"{}"}}"#, service.token)).await;
    assert_eq!(ws.json().await["event"], "connected");
    let second = new_token(&service.sim).await;
    ws.say(&format!(r#"{{"access_token":"{second}"}}"#)).await;
    assert_eq!(ws.json().await["event"], "connected");
    let first_asked = service.sim.log().requests[0].at;
    assert_eq!(ws.closed().await, Some(4401));
    let record = service.record(1);
    assert_eq!((record.renewals, record.ended.as_deref(), record.token), (1, Some("tokenEnded"), "valid"));
    // It was the second token that ended.
    let second_asked = service.sim.log().requests.iter().rfind(|r| r.operation == "token").unwrap().at;
    assert!(second_asked >= first_asked && record.ended_at.unwrap() >= second_asked + 300);
}

#[tokio::test]
async fn a_bad_first_message_closes_the_connection() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("first-message").await;
    ws.say(r#"{"access_token":"x"}"#).await;
    assert_eq!(ws.closed().await, Some(4401));
    assert_eq!(service.record(1).ended.as_deref(), Some("badToken"));
}

#[tokio::test]
async fn the_end_of_a_token_ends_its_connection_in_one_of_three_ways() {
    for how in ["close", "frame", "ignore"] {
        let options = format!(r#"{{"tokenLifeMs":100,"gateway":{{"tokenEnd":"{how}"}}}}"#);
        let service = Service::start(&options).await;
        let mut ws = service.gateway("query?access_token={token}").await;
        let (expected, reason) = match how {
            "close" => {
                assert_eq!(ws.closed().await, Some(4401));
                (Some("tokenEnded"), Some("noSubscriber"))
            }
            "frame" => {
                assert_eq!(ws.json().await["error"], "token_expired");
                (None, Some("noSubscriber"))
            }
            _ => {
                while service.try_gateway("query?access_token={token}", None).await.is_ok() {}
                (None, None)
            }
        };
        service.publish(PRESENCE);
        if reason.is_none() {
            assert_eq!(ws.json().await["topicName"], PRESENCE);
        }
        let log = service.until(|log| log.events[0].reason.as_deref() == reason).await;
        assert_eq!(log.gateway[0].ended.as_deref(), expected, "{how}");
    }
}

#[tokio::test]
async fn a_storm_is_answered_with_429_until_its_window_is_over() {
    let service = Service::start(r#"{"gateway":{"connectWindowMs":1500}}"#).await;
    for _ in 0..5 {
        service.gateway("minute?access_token={token}").await;
    }
    let (status, body, retry_after) = service.refused_gateway("minute?access_token={token}").await;
    assert_eq!((status, body["status"].as_u64()), (429, Some(429)));
    assert!(matches!(retry_after.as_deref(), Some("1" | "2")), "{retry_after:?}");
    assert_eq!((service.record(6).status, service.record(6).token), (429, "valid"));
    // The others have no limit of their own.
    for _ in 0..6 {
        service.gateway("query?access_token={token}").await;
    }
    let begin = service.record(1).opened_at;
    service.admitted("minute?access_token={token}").await;
    assert!(service.sim.log().gateway.pop().unwrap().opened_at >= begin + 1_500);

    let service = Service::start(r#"{"gateway":{"connectLimit":1}}"#).await;
    service.gateway("open").await;
    assert_eq!(service.refused_gateway("open").await.0, 429);
    // Each endpoint counts for itself.
    service.gateway("query?access_token={token}").await;
}

#[tokio::test]
async fn a_connection_to_minute_is_closed_when_its_time_is_over() {
    let service = Service::start(r#"{"gateway":{"closeEveryMs":120}}"#).await;
    let mut ws = service.gateway("minute?access_token={token}").await;
    assert_eq!(ws.closed().await, Some(1000));
    let record = service.record(1);
    assert_eq!((record.ended.as_deref(), record.close_code), (Some("scheduled"), Some(1000)));
    assert!(record.ended_at.unwrap() >= record.opened_at + 120);

    let service = Service::start(r#"{"gateway":{"closeEveryMs":10,"closeCode":4000}}"#).await;
    assert_eq!(service.gateway("minute?access_token={token}").await.closed().await, Some(4000));
}

#[tokio::test]
async fn no_heartbeat_and_no_json_pong_comes_only_the_pong_of_the_protocol() {
    let service = Service::start(r#"{"heartbeatMs":5}"#).await;
    let mut ws = service.gateway("open").await;
    ws.say(r#"{"message":"ping"}"#).await;
    ws.0.send(Message::Ping(vec![7].into())).await.unwrap();
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::Pong(vec![7].into()));
    let log = service.sim.log();
    assert_eq!((log.sockets[0].heartbeats, log.sockets[0].control_pings, log.sockets[0].pings), (0, 1, 0));
}

impl Ws {
    /// Everything that was said before has been treated.
    async fn ping(&mut self) {
        self.0.send(Message::Ping(vec![1].into())).await.unwrap();
        assert!(self.next().await.unwrap().unwrap().is_pong());
    }
}

#[tokio::test]
async fn option_errors_name_the_field() {
    let cases = [
        (r#"{"gateway":{"badToken":"loud"}}"#, "gateway.badToken"),
        (r#"{"gateway":{"batch":0}}"#, "gateway.batch"),
        (r#"{"gateway":{"closeCode":1006}}"#, "gateway.closeCode"),
        (r#"{"gateway":{"connectLimit":0}}"#, "gateway.connectLimit"),
        (r#"{"gateway":{"retentionMs":0}}"#, "gateway.retentionMs"),
        (r#"{"gateway":{"tokenParameter":""}}"#, "gateway.tokenParameter"),
        (r#"{"gateway":{"since":1}}"#, "gateway.since"),
    ];
    for (text, expected) in cases {
        match genesys_notifications_sim::SimOptions::from_json(text) {
            Err(genesys_notifications_sim::SimError::Invalid { path, .. }) => assert_eq!(path, expected),
            other => panic!("not refused: {other:?}"),
        }
    }
}

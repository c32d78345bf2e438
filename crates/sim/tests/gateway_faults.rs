//! Faults and generated traffic on gateway connections.
#![allow(clippy::unwrap_used)]

mod support;

use futures_util::SinkExt;
use genesys_notifications_sim::Traffic;
use serde_json::json;
use support::*;
use tokio_tungstenite::tungstenite::Message;

fn on(operation: &str, action: &str) -> String {
    format!(
        r#"{{"match":{{"operation":"{operation}","channelId":"gateway/open"}},"action":{{"kind":"{action}"}}}}"#
    )
}

#[tokio::test]
async fn a_rule_concerns_the_connections_of_one_endpoint() {
    let service = Service::start("{}").await;
    let mut open = service.gateway("open").await;
    let mut query = service.gateway("query?access_token={token}").await;
    service.fault(&on("socket", "reset"));
    open.broken().await;
    service.publish("v2.users.u.presence");
    assert_eq!(query.json().await["topicName"], "v2.users.u.presence");
    let log = service.sim.log();
    assert_eq!(log.gateway[0].ended.as_deref(), Some("faulted:reset"));
    assert_eq!((log.faults[0].channel.as_deref(), log.faults.len()), (Some("gateway/open"), 1));
    // It is spent: the next connection lives.
    service.gateway("open").await;
}

#[tokio::test]
async fn upgrades_are_refused_reset_and_closed_at_once() {
    let service = Service::start("{}").await;
    let rule = r#"{"match":{"operation":"upgrade","channelId":"gateway/open"},"action":{"kind":"status","status":503}}"#;
    service.fault(rule);
    assert_eq!(service.refused_gateway("open").await.0, 503);
    service.fault(&on("upgrade", "reset"));
    assert!(service.try_gateway("open", None).await.is_err());
    let rule = r#"{"match":{"operation":"upgrade"},"action":{"kind":"close","code":4000}}"#;
    service.fault(rule);
    assert_eq!(service.gateway("open").await.closed().await, Some(4000));
    // The first two never came to the endpoint.
    let log = service.sim.log();
    assert_eq!((log.gateway.len(), log.gateway[0].ended.as_deref()), (1, Some("faulted:close")));
    assert_eq!(log.requests.iter().filter(|r| r.channel.as_deref() == Some("gateway/open")).count(), 3);
}

#[tokio::test]
async fn events_are_dropped_doubled_and_altered() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("open").await;
    service.fault(&on("event", "drop"));
    service.sim.publish("a", Some("1")).unwrap();
    service.fault(r#"{"match":{"operation":"event"},"action":{"kind":"duplicate","newCorrelationId":true}}"#);
    service.sim.publish("a", Some("2")).unwrap();
    let (first, second) = (ws.json().await, ws.json().await);
    assert_eq!((&first["eventBody"], &first["sequence"]), (&json!(2), &second["sequence"]));
    assert_ne!(first["id"], second["id"]);
    for kind in ["unknownFields", "missingMetadata", "nullBody"] {
        service.fault(&on("event", kind));
    }
    service.sim.publish("a", Some("{}")).unwrap();
    let event = ws.json().await;
    assert_eq!((&event["eventBody"], event.get("futureField").is_some()), (&json!(null), true));
    assert!(["timestamp", "sequence", "id"].iter().all(|field| event.get(field).is_none()));
    let log = service.until(|log| log.gateway[0].events == 3).await;
    assert_eq!(log.events[0].reason.as_deref(), Some("faulted:drop"));
    assert_eq!(log.events[2].deliveries[0].altered, ["unknownFields", "missingMetadata", "nullBody"]);
}

#[tokio::test]
async fn a_pong_can_be_dropped() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("open").await;
    service.fault(&on("pong", "drop"));
    for payload in [1, 2] {
        ws.0.send(Message::Ping(vec![payload].into())).await.unwrap();
    }
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::Pong(vec![2].into()));
    assert_eq!(service.sim.log().sockets[0].control_pings, 2);
}

#[tokio::test]
async fn a_token_is_revoked_and_a_topic_lost_under_a_connection() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("query?access_token={token}").await;
    ws.say(r#"{"topic":"a"}"#).await;
    service.until(|log| !log.gateway[0].asked.is_empty()).await;
    let rule = r#"{"match":{"operation":"socket"},"action":{"kind":"loseTopic","topic":"a"}}"#;
    service.fault(rule);
    service.sim.publish("a", Some("1")).unwrap();
    service.sim.publish("b", Some("1")).unwrap();
    let log = service.sim.log();
    assert!(log.events.iter().all(|event| event.reason.as_deref() == Some("noSubscriber")));
    service.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"revoke"}}"#);
    assert_eq!(ws.closed().await, Some(4401));
    assert_eq!(service.refused_gateway("query?access_token={token}").await.1["error"], "token_expired");
    let kinds: Vec<_> = service.sim.log().faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, ["loseTopic", "revoke"]);
}

#[tokio::test]
async fn traffic_without_topics_feeds_whoever_is_sent_everything() {
    let service = Service::start("{}").await;
    let traffic = Traffic::from_json(r#"{"ratePerSecond":2000}"#).unwrap();
    let id = service.sim.traffic(traffic).unwrap();
    let mut ws = service.gateway("open").await;
    let mut topics = Vec::new();
    for _ in 0..100 {
        topics.push(ws.json().await["topicName"].as_str().unwrap().to_owned());
    }
    topics.sort();
    topics.dedup();
    assert!(topics.len() > 1 && topics.iter().all(|topic| topic.starts_with("v2.")), "{topics:?}");
    // Bodies are those of the catalogue's schemas.
    assert!(topics.iter().all(|topic| service.sim.generate_body(topic, 1).is_ok()), "{topics:?}");
    service.sim.stop_traffic(id);
}

#[tokio::test]
async fn traffic_goes_to_topics_that_were_asked_for() {
    let service = Service::start("{}").await;
    let mut ws = service.gateway("first-message").await;
    ws.say(&format!(r#"{{"access_token":"{}"}}"#, service.token)).await;
    assert_eq!(ws.json().await["event"], "connected");
    for topic in ["orders", "v2.users.u.presence"] {
        ws.say(&json!({ "topic": topic }).to_string()).await;
    }
    service.until(|log| log.gateway[0].asked.len() == 2).await;
    let traffic = Traffic::from_json(r#"{"ratePerSecond":2000,"count":50}"#).unwrap();
    service.sim.traffic(traffic).unwrap();
    for _ in 0..50 {
        let topic = ws.json().await["topicName"].as_str().unwrap().to_owned();
        assert!(["orders", "v2.users.u.presence"].contains(&&*topic), "{topic}");
    }
    let log = service.sim.log();
    for topic in ["orders", "v2.users.u.presence"] {
        assert!(log.events.iter().any(|event| event.topic == topic));
    }
}

//! What differs from channel to channel, and what a channel loses silently.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Instant;

use genesys_notifications_sim::Log;
use support::*;

const PRESENCE: &str = "v2.users.u.presence";
const STATION: &str = "v2.users.u.station";

#[tokio::test]
async fn keys_are_in_another_order_on_another_channel() {
    let service = Service::start(r#"{"bodyKeys":"shuffled"}"#).await;
    let mut texts = Vec::new();
    let (one, two) = (service.channel_on(&[PRESENCE]).await, service.channel_on(&[PRESENCE]).await);
    let mut sockets = [service.connect(&one).await, service.connect(&two).await];
    service.sim.publish(PRESENCE, Some(r#"{"a":1,"b":{"c":2.0,"d":3},"e":[]}"#)).unwrap();
    for ws in &mut sockets {
        let text = ws.next().await.unwrap().unwrap().into_text().unwrap().to_string();
        let body = text.split("\"eventBody\":").nth(1).unwrap().split(",\"metadata\"").next().unwrap();
        texts.push(body.to_owned());
    }
    assert_ne!(texts[0], texts[1]);
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&texts[0]), read(&texts[1]));
    assert!(texts.iter().all(|text| text.contains("2.0")));
}

#[tokio::test]
async fn a_further_channel_is_late_and_nothing_on_it_overtakes() {
    let service = Service::start(r#"{"skewMs":300}"#).await;
    let (one, two) = (service.channel_on(&[PRESENCE]).await, service.channel_on(&[PRESENCE]).await);
    let mut first = service.connect(&one).await;
    let mut second = service.connect(&two).await;
    for n in 0..40 {
        service.sim.publish(PRESENCE, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
    }
    let begin = Instant::now();
    first.sync().await;
    assert!(begin.elapsed().as_millis() < 300);
    second.say(r#"{"message":"ping"}"#).await;
    for n in 0..40 {
        assert_eq!(second.json().await["eventBody"]["n"], n);
    }
    assert_eq!(second.json().await["eventBody"]["message"], "pong");
    let all_written = |log: &Log| log.events.iter().flat_map(|e| &e.deliveries).all(|d| d.at.is_some());
    let log = service.until(all_written).await;
    let late = log.events.iter().map(|e| e.deliveries[1].at.unwrap() - e.at).max().unwrap();
    assert!(late > 50, "40 draws up to 300 ms, the latest {late} ms");
}

#[tokio::test]
async fn a_lost_topic_is_neither_sent_nor_listed() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&["v2.users.u?presence&station", "v2.users.w.presence"]).await;
    let mut ws = service.connect(&channel).await;
    for topic in [PRESENCE, "v2.users.w.presence"] {
        service.fault(&format!(
            r#"{{"match":{{"operation":"channel"}},"action":{{"kind":"loseTopic","topic":"{topic}"}}}}"#
        ));
    }
    let lost = service.publish(PRESENCE);
    service.publish(STATION);
    assert_eq!(ws.json().await["topicName"], STATION);
    let list = service.api("GET", &subscriptions(&channel, false), "").await.json();
    let ids: Vec<_> = list["entities"].as_array().unwrap().iter().map(|e| e["id"].clone()).collect();
    assert_eq!(ids, [STATION]);
    let log = service.sim.log();
    assert_eq!(log.events[lost as usize - 1].reason.as_deref(), Some("noSubscriber"));
    assert_eq!(log.faults.len(), 2);
}

#[tokio::test]
async fn another_streaming_host_may_be_advertised() {
    let service = Service::start(r#"{"advertisedStreaming":"ws://127.0.0.1:9/way"}"#).await;
    let reply = service.api("POST", CHANNELS, "").await.json();
    assert_eq!(
        reply["connectUri"],
        format!("ws://127.0.0.1:9/way/channels/{}", reply["id"].as_str().unwrap())
    );
    let refused = genesys_notifications_sim::SimOptions::from_json(r#"{"advertisedStreaming":"http://x"}"#);
    let started = refused.and_then(genesys_notifications_sim::Simulator::start);
    assert!(started.is_err_and(|error| error.to_string().contains("advertisedStreaming")));
}

//! Who gets which event, and what the log says of it.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use genesys_notifications_sim::{DeliveryState, SimError, SimOptions, Simulator, Traffic};
use support::*;

const PRESENCE: &str = "v2.users.u.presence";

#[tokio::test]
async fn an_event_reaches_open_sockets_only_and_the_log_says_why_not() {
    let service = Service::start("{}").await;
    let nobody = service.publish(PRESENCE);
    let channel = service.channel_on(&[PRESENCE]).await;
    let unconnected = service.publish(PRESENCE);
    let mut ws = service.connect(&channel).await;
    let delivered = service.publish(PRESENCE);
    let frame = ws.json().await;

    let log = service.until(|log| log.counts.delivered == 1).await;
    let reason = |seq: u64| log.events[seq as usize - 1].reason.as_deref();
    assert_eq!(reason(nobody), Some("noSubscriber"));
    assert_eq!(reason(unconnected), Some("noSocket"));
    assert_eq!(reason(delivered), None);
    let delivery = &log.events[2].deliveries[0];
    assert_eq!(
        (delivery.state, delivery.socket, &delivery.channel),
        (DeliveryState::Written, Some(1), &channel)
    );
    assert_eq!((log.counts.published, log.counts.delivered, log.counts.undelivered), (3, 1, 2));
    assert_eq!(log.sockets[0].events, 1);

    assert_eq!(frame["version"], "2");
    assert_eq!(frame["topicName"], PRESENCE);
    assert_eq!(frame["metadata"]["CorrelationId"], log.events[2].correlation_id);
    assert_eq!(frame.to_string().len(), log.events[2].bytes);
}

#[tokio::test]
async fn bodies_go_out_as_they_were_given() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&["v2.users.u?presence"]).await;
    let mut ws = service.connect(&channel).await;
    let body = r#"{"n": 1.50, "big":123456789012345678901234567890, "é":"😀\u0041"}"#;
    service.sim.publish(PRESENCE, Some(body)).unwrap();
    match ws.next().await.unwrap().unwrap() {
        tokio_tungstenite::tungstenite::Message::Text(text) => assert!(text.contains(body), "{text}"),
        other => panic!("{other:?}"),
    }
    let wrong = service.sim.publish(PRESENCE, Some("{"));
    assert!(matches!(wrong, Err(SimError::Invalid { path, .. }) if path == "publish.body"));
    assert!(service.sim.publish("v2.no.topic", None).is_err());
}

#[tokio::test]
async fn copies_on_two_channels_share_their_correlation_id_unless_asked_otherwise() {
    for (options, same) in [("{}", true), (r#"{"correlationPerDelivery":true}"#, false)] {
        let service = Service::start(options).await;
        let (a, b) = (service.channel_on(&[PRESENCE]).await, service.channel_on(&[PRESENCE]).await);
        let (mut a, mut b) = (service.connect(&a).await, service.connect(&b).await);
        service.publish(PRESENCE);
        let (a, b) = (a.json().await, b.json().await);
        assert_eq!(a["eventBody"], b["eventBody"]);
        assert_eq!(a["metadata"] == b["metadata"], same);
        let log = service.until(|log| log.counts.deliveries == 2).await;
        let told =
            log.events[0].deliveries[1].correlation_id.as_deref().unwrap_or(&log.events[0].correlation_id);
        assert_eq!(b["metadata"]["CorrelationId"], told);
    }
}

#[tokio::test]
async fn system_topics_need_no_subscription_and_may_name_a_channel() {
    let service = Service::start("{}").await;
    let (a, b) = (service.channel().await, service.channel().await);
    let (mut on_a, mut on_b) = (service.connect(&a).await, service.connect(&b).await);
    service.sim.publish(&format!("v2.system.no_longer_subscribed.{b}"), Some("{}")).unwrap();
    service.sim.publish("v2.system.socket_closing", Some("{}")).unwrap();
    assert_eq!(on_a.json().await["topicName"], "v2.system.socket_closing");
    assert!(on_b.json().await["topicName"].as_str().unwrap().contains("no_longer_subscribed"));
}

#[tokio::test]
async fn the_log_can_be_read_piece_by_piece() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.publish(PRESENCE);
    ws.json().await;
    let first = service.until(|log| log.counts.delivered == 1).await;
    let nothing = service.sim.log_since(first.revision);
    assert!(nothing.events.is_empty() && nothing.requests.is_empty() && nothing.sockets.is_empty());

    drop(ws);
    service.until(|log| log.sockets[0].gone_at.is_some()).await;
    let news = service.sim.log_since(first.revision);
    assert_eq!((news.sockets.len(), news.events.len(), news.requests.len()), (1, 0, 0));
    assert!(news.revision > first.revision);
}

#[tokio::test]
async fn the_log_is_camel_case_json_and_holds_no_secret() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.publish(PRESENCE);
    ws.json().await;
    let log = service.until(|log| log.counts.delivered == 1).await;

    let text = serde_json::to_string(&log).unwrap();
    assert!(!text.contains(&service.token) && !text.contains(&service.sim.credentials().client_secret));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["events"][0]["deliveries"][0]["state"], "written");
    assert_eq!(json["requests"][0]["operation"], "token");
    assert_eq!(json["requests"][1]["operation"], "createChannel");
    assert_eq!(json["requests"][1]["channel"], channel);
    assert_eq!(json["requests"][2]["topics"], 1);
    assert_eq!(json["requests"][3]["operation"], "upgrade");
    assert_eq!(json["requests"][3]["status"], 101);
    assert!(json["sockets"][0]["openedAt"].is_u64() && json["sockets"][0]["endedAt"].is_null());
    assert!(json["requests"][1]["correlationId"].is_string() && json["requests"][1]["durationMs"].is_u64());
    let options = format!("{:?} {:?} {:?}", service.sim.credentials(), service.sim, SimOptions::default());
    assert!(!options.contains(&service.sim.credentials().client_secret));
}

#[tokio::test]
async fn a_bounded_log_forgets_the_oldest_and_counts_them() {
    let service = Service::start(r#"{"logLimit":10}"#).await;
    for _ in 0..25 {
        service.publish(PRESENCE);
    }
    let log = service.sim.log();
    assert_eq!(log.events.iter().map(|e| e.seq).collect::<Vec<_>>(), (16..=25).collect::<Vec<_>>());
    assert_eq!((log.counts.published, log.counts.undelivered, log.counts.forgotten), (25, 25, 15));
}

#[tokio::test]
async fn traffic_keeps_its_rate_and_uses_what_is_subscribed() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;
    let traffic =
        service.sim.traffic(Traffic::from_json(r#"{"ratePerSecond":2000,"count":600}"#).unwrap()).unwrap();
    // Without a subscription there is nothing to publish on.
    ws.sync().await;
    assert_eq!(service.sim.counts().published, 0);

    let began = Instant::now();
    service.put(&channel, &["v2.users.u?presence&station", "v2.routing.queues.q.conversations"], false).await;
    let mut topics = std::collections::BTreeSet::new();
    for _ in 0..600 {
        topics.insert(ws.json().await["topicName"].as_str().unwrap().to_owned());
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(290), "600 events took {took:?}");
    let expected = ["v2.routing.queues.q.conversations", PRESENCE, "v2.users.u.station"];
    assert_eq!(topics.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let log = service.until(|log| log.counts.delivered == 600).await;
    assert_eq!(log.counts.published, 600);
    service.sim.wait_for(PATIENCE, |sim| (!sim.stop_traffic(traffic)).then_some(())).await.unwrap();
}

#[tokio::test]
async fn traffic_stops_when_told() {
    let service = Service::start("{}").await;
    let rule = Traffic { rate_per_second: 1_000.0, topics: Some(vec![PRESENCE.to_owned()]), count: None };
    let id = service.sim.traffic(rule).unwrap();
    service.until(|log| log.counts.published >= 20).await;
    assert!(service.sim.stop_traffic(id));
    assert!(!service.sim.stop_traffic(id));
}

#[tokio::test]
async fn stopping_closes_everything_and_the_log_stays() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.sim.stop();
    service.sim.stop();

    assert!(matches!(ws.next().await, None | Some(Err(_))));
    assert!(tokio::net::TcpStream::connect(authority(&service.sim.urls().api)).await.is_err());
    assert!(matches!(service.sim.publish(PRESENCE, None), Err(SimError::Stopped)));
    let log = service.sim.log();
    assert_eq!(log.sockets[0].ended.as_deref(), Some("stopped"));
    assert!(log.sockets[0].gone_at.is_some());
}

#[tokio::test]
async fn a_fixed_port_serves_all_three_hosts() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let service = Service::start(&format!(r#"{{"port":{free}}}"#)).await;
    assert_eq!(service.sim.urls().login, service.sim.urls().api);
    let channel = service.channel().await;
    service.connect(&channel).await.sync().await;
    let taken = Simulator::start(SimOptions { port: free, ..SimOptions::default() });
    assert!(matches!(taken, Err(SimError::Listen { port, .. }) if port == free));
}

#[tokio::test]
async fn a_simulator_can_share_the_callers_runtime() {
    let sim = Simulator::start_on(&tokio::runtime::Handle::current(), SimOptions::default()).unwrap();
    let token = new_token(&sim).await;
    let service = Service { sim, token };
    let channel = service.channel_on(&[PRESENCE]).await;
    let mut ws = service.connect(&channel).await;
    service.publish(PRESENCE);
    assert_eq!(ws.json().await["topicName"], PRESENCE);
    service.sim.stop();
    assert!(matches!(ws.next().await, None | Some(Err(_))));
}

#[test]
fn simulators_work_side_by_side_outside_of_any_runtime() {
    let many: Vec<_> = (0..5).map(|_| Simulator::start(SimOptions::default()).unwrap()).collect();
    let ids: std::collections::BTreeSet<_> = many.iter().map(|sim| &sim.credentials().client_id).collect();
    assert_eq!(ids.len(), 5);
}

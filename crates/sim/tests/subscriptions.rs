//! Which topics a channel gets, and what the answer says.
#![allow(clippy::unwrap_used)]

mod support;

use support::*;

const FORBIDDEN: &str = r#"{"forbidden":[{"topic":"v2.users.{id}.station","missingPermissions":["telephony:otherStationAssociation:view"]}]}"#;
const PRESENCE: &str = "v2.users.u.presence";
const STATION: &str = "v2.users.u.station";

#[tokio::test]
async fn put_replaces_post_adds_and_delete_empties() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;

    service.post(&channel, &[STATION, PRESENCE], false).await;
    assert_eq!(held(&service, &channel).await, [PRESENCE, STATION]);
    service.put(&channel, &[STATION], false).await;
    assert_eq!(held(&service, &channel).await, [STATION]);
    assert_eq!(service.api("DELETE", &subscriptions(&channel, false), "").await.status, 204);
    assert!(held(&service, &channel).await.is_empty());
}

#[tokio::test]
async fn one_invalid_topic_fails_the_whole_call_and_changes_nothing() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&[PRESENCE]).await;
    let long = format!("v2.users.{}?presence&station", "u".repeat(200));
    let invalid = [
        "v2.no.such.topic",
        "v2.users.{id}.presence",
        "v2.users.u",
        "v2.users.u?presence&nonsense",
        "channel.metadata",
        &long,
    ];
    for topic in invalid {
        for ignore_errors in [false, true] {
            let reply = service.put(&channel, &[STATION, topic], ignore_errors).await;
            assert_eq!(
                (reply.status, reply.json()["code"].as_str()),
                (400, Some("notification.invalid.topic")),
                "{topic}"
            );
        }
    }
    assert_eq!(held(&service, &channel).await, [PRESENCE]);
}

#[tokio::test]
async fn invalid_topics_can_be_rejected_one_by_one() {
    let service = Service::start(r#"{"invalidTopics":"reject"}"#).await;
    let channel = service.channel().await;
    let reply = service.put(&channel, &[PRESENCE, "v2.no.such.topic"], true).await.json();
    assert_eq!(states(&reply), [(PRESENCE, "Permitted"), ("v2.no.such.topic", "Rejected")]);
    assert_eq!(service.put(&channel, &["v2.no.such.topic"], false).await.status, 400);
}

#[tokio::test]
async fn a_topic_of_exactly_200_characters_fits() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let fits = format!("v2.users.{}.presence", "u".repeat(200 - "v2.users..presence".len()));
    let too_long = fits.replace("users.u", "users.uu");
    assert_eq!((fits.len(), too_long.len()), (200, 201));
    assert_eq!(service.put(&channel, &[&fits], false).await.status, 200);
    assert_eq!(service.put(&channel, &[&too_long], false).await.status, 400);
}

#[tokio::test]
async fn a_forbidden_topic_fails_the_call_unless_errors_are_ignored() {
    let service = Service::start(FORBIDDEN).await;
    let channel = service.channel().await;

    let refused = service.put(&channel, &[PRESENCE, STATION], false).await;
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (403, Some("notification.unauthorized.topic"))
    );
    assert!(held(&service, &channel).await.is_empty());

    let tolerated = service.put(&channel, &[PRESENCE, STATION], true).await.json();
    assert_eq!(states(&tolerated), [(PRESENCE, "Permitted"), (STATION, "Rejected")]);
    assert_eq!(tolerated["entities"][1]["missingPermissions"][0], "telephony:otherStationAssociation:view");
    assert!(tolerated["entities"][1]["rejectionReason"].is_string());
    assert_eq!(held(&service, &channel).await, [PRESENCE]);
}

#[tokio::test]
async fn a_combined_topic_succeeds_beside_rejected_parts() {
    let service = Service::start(FORBIDDEN).await;
    let channel = service.channel().await;
    let combined = "v2.users.u?presence&station";

    let reply = service.put(&channel, &[combined], true).await.json();
    assert_eq!(states(&reply), [(combined, "Permitted"), (STATION, "Rejected")]);

    let mut ws = service.connect(&channel).await;
    service.publish(STATION);
    service.publish(PRESENCE);
    assert_eq!(ws.json().await["topicName"], PRESENCE);
    let all = service.put(&channel, &["v2.users.u?station"], true).await.json();
    assert_eq!(states(&all), [("v2.users.u?station", "Rejected")]);
}

#[tokio::test]
async fn divisioned_and_event_bridge_topics_have_codes_of_their_own() {
    let service = Service::start(
        r#"{"forbidden":[{"topic":"v2.users.u.station","divisioned":true}],"eventBridgeOnly":["v2.users.{id}.activity"]}"#,
    )
    .await;
    let channel = service.channel().await;
    let divisioned = service.post(&channel, &[STATION], false).await;
    let bridge = service.post(&channel, &["v2.users.u.activity"], false).await;
    assert_eq!(divisioned.json()["code"], "notification.unauthorized.divisioned.topic");
    assert_eq!(bridge.json()["code"], "notification.transport.not.allowed");
    assert_eq!(service.post(&channel, &["v2.users.other.station"], false).await.status, 200);
}

#[tokio::test]
async fn a_thousand_topics_fit_and_combined_ones_count_once() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    let topics: Vec<_> = (0..1_000).map(|i| format!("v2.users.u{i}?presence&station&activity")).collect();
    let topics: Vec<_> = topics.iter().map(String::as_str).collect();

    assert_eq!(service.put(&channel, &topics, false).await.status, 200);
    let more = service.post(&channel, &[PRESENCE], true).await;
    assert_eq!(
        (more.status, more.json()["code"].as_str()),
        (400, Some("notification.subscription.too.many.subscriptions"))
    );
    assert_eq!(service.post(&channel, &topics[..1], false).await.status, 200);
}

#[tokio::test]
async fn malformed_bodies_and_dead_channels_are_refused() {
    let service = Service::start("{}").await;
    let channel = service.channel().await;
    for body in ["", "{}", "[1]", r#"[{"topic":"x"}]"#] {
        let reply = service.api("PUT", &subscriptions(&channel, false), body).await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (400, Some("bad.request")), "{body}");
    }
    let put = service.put("streaming-0-gone", &[PRESENCE], false).await;
    let post = service.post("streaming-0-gone", &[PRESENCE], false).await;
    assert_eq!((put.status, put.json()["code"].as_str()), (404, Some("entity.not.found")));
    assert_eq!((post.status, post.json()["code"].as_str()), (404, Some("not.found")));
}

#[tokio::test]
async fn a_subscription_starts_the_channels_life_anew_if_it_may() {
    for (renews, ended) in [(true, false), (false, true)] {
        let options = format!(r#"{{"channelLifeMs":400,"rateLimit":1000000,"renewOnSubscribe":{renews}}}"#);
        let service = Service::start(&options).await;
        let channel = service.channel().await;
        let created = service.sim.channels()[0].created_at;
        let kept = async {
            while service.sim.log_since(u64::MAX).now < created + 600 {
                service.put(&channel, &[PRESENCE], false).await;
            }
        };
        tokio::time::timeout(PATIENCE, kept).await.unwrap();
        assert_eq!(service.sim.channels().is_empty(), ended);
    }
}

#[tokio::test]
async fn topics_can_be_subscribed_over_the_socket() {
    let service = Service::start(FORBIDDEN).await;
    let channel = service.channel().await;
    let mut ws = service.connect(&channel).await;

    ws.say(&format!(r#"{{"message":"subscribe","topics":["{PRESENCE}"],"correlationId":"abc"}}"#)).await;
    let ok = ws.json().await;
    assert_eq!(
        ok,
        serde_json::json!({"result":"200","status":"subscribed","topics":[PRESENCE],"correlationId":"abc"})
    );
    ws.say(&format!(r#"{{"message":"subscribe","topics":["{STATION}"]}}"#)).await;
    let failed = ws.json().await;
    assert_eq!((failed["result"].as_str(), failed["status"].as_str()), (Some("400"), Some("failure")));
    ws.say(&format!(r#"{{"message":"unsubscribe","topics":["{PRESENCE}"]}}"#)).await;
    assert_eq!(ws.json().await["status"], "unsubscribed");
    assert!(held(&service, &channel).await.is_empty());
}

async fn held(service: &Service, channel: &str) -> Vec<String> {
    let reply = service.api("GET", &subscriptions(channel, false), "").await.json();
    reply["entities"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap().to_owned()).collect()
}

fn states(reply: &serde_json::Value) -> Vec<(&str, &str)> {
    let entities = reply["entities"].as_array().unwrap();
    entities.iter().map(|e| (e["id"].as_str().unwrap(), e["state"].as_str().unwrap())).collect()
}

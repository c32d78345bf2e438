//! What the API tells about users, queues and conversations comes from the events, delivered or not.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::*;

const DETAILS: &str = "/api/v2/analytics/conversations/details/query";
const USAGE: &str = "/api/v2/usage/events/query";
const BULK: &str = "/api/v2/users/presences/purecloud/bulk";
const DAY: &str = "2030-01-02T00:00:00.000Z/2030-01-02T01:00:00.000Z";

async fn details(service: &Service, query: Value) -> Reply {
    service.api("POST", DETAILS, &query.to_string()).await
}

fn conversation_ids(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let conversations = reply.json()["conversations"].as_array().cloned().unwrap_or_default();
    conversations.iter().map(|c| c["conversationId"].as_str().unwrap().to_owned()).collect()
}

fn converse(service: &Service, topic: &str, id: &str, more: &str) {
    service.sim.publish(topic, Some(&format!(r#"{{"id":"{id}"{more}}}"#))).unwrap();
}

#[tokio::test]
async fn conversations_are_found_by_the_day_they_started_on() {
    let service = Service::start("{}").await;
    let topic = "v2.users.u1.conversations";
    converse(&service, topic, "day", r#","startTime":"2030-01-02T23:59:59.000Z""#);
    converse(&service, topic, "before", r#","startTime":"2030-01-01T23:59:59.999Z""#);
    converse(&service, topic, "after", r#","startTime":"2030-01-03T00:00:00.000Z""#);

    assert_eq!(conversation_ids(&details(&service, json!({ "interval": DAY })).await), ["day"]);
    let none = details(&service, json!({ "interval": "2031-01-02T00:00:00Z/2031-01-03T00:00:00Z" })).await;
    assert_eq!((none.json()["totalHits"].as_u64(), none.json().get("conversations")), (Some(0), None));
}

#[tokio::test]
async fn conversations_are_found_by_user_queue_and_id_with_their_segments() {
    let service = Service::start("{}").await;
    let start = r#","startTime":"2030-01-02T10:00:00.000Z""#;
    converse(&service, "v2.users.u1.conversations.calls", "a", start);
    converse(&service, "v2.routing.queues.q1.conversations", "b", start);
    converse(
        &service,
        "v2.users.u2.conversations",
        "b",
        r#","participants":[{"endTime":"2030-01-02T10:05:00.000Z"}]"#,
    );
    service.sim.publish("v2.detail.events.conversation.c.acd.start", None).unwrap();

    let by = |dimension: &str, value: &str| {
        json!({ "type": "and", "predicates": [
        { "type": "dimension", "dimension": dimension, "operator": "matches", "value": value }] })
    };
    for (dimension, value, found) in [("userId", "u1", "a"), ("queueId", "q1", "b"), ("userId", "u2", "b")] {
        let query = json!({ "interval": DAY, "segmentFilters": [by(dimension, value)] });
        assert_eq!(conversation_ids(&details(&service, query).await), [found], "{value}");
    }
    let year = "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z";
    let query = json!({ "interval": year, "conversationFilters": [by("conversationId", "c")] });
    assert_eq!(conversation_ids(&details(&service, query).await), ["c"]);

    let all = details(&service, json!({ "interval": DAY })).await.json();
    let (a, b) = (&all["conversations"][0], &all["conversations"][1]);
    assert_eq!(a["participants"][0]["userId"], "u1");
    assert_eq!(a["participants"][0]["sessions"][0]["mediaType"], "voice");
    assert!(a.get("conversationEnd").is_none());
    assert!(a["participants"][0]["sessions"][0]["segments"][0].get("segmentEnd").is_none());
    assert_eq!(b["participants"][0]["sessions"][0]["segments"][0]["queueId"], "q1");
    assert!(b.get("conversationEnd").is_some());

    for query in [
        json!({}),
        json!({ "interval": "today" }),
        json!({ "interval": DAY, "segmentFilters": [by("ani", "x")] }),
    ] {
        assert_eq!(details(&service, query).await.status, 400);
    }
}

#[tokio::test]
async fn pages_shift_while_conversations_come_in() {
    let service = Service::start(r#"{"lateConversations":2,"totalHitsOff":-1}"#).await;
    for n in 0..6 {
        let start = format!(r#","startTime":"2030-01-02T10:00:0{n}.000Z""#);
        converse(&service, "v2.users.u1.conversations", &format!("c{n}"), &start);
    }
    let page = |number: u32| json!({ "interval": DAY, "paging": { "pageSize": 2, "pageNumber": number } });
    let mut pages = Vec::new();
    for number in [1, 2, 3, 1] {
        let reply = details(&service, page(number)).await;
        assert_eq!(reply.json()["totalHits"], 5);
        pages.push(conversation_ids(&reply));
    }
    assert_eq!(pages, [["c2", "c3"], ["c3", "c4"], ["c4", "c5"], ["c0", "c1"]]);
    assert_eq!(
        details(&service, json!({ "interval": DAY, "paging": { "pageSize": 101, "pageNumber": 1 } }))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn history_is_late_and_status_is_not() {
    let service = Service::start(r#"{"dataLatencyMs":600000}"#).await;
    converse(&service, "v2.users.u1.conversations", "c", "");
    service
        .sim
        .publish("v2.users.u1.presence", Some(r#"{"presenceDefinition":{"systemPresence":"Busy"}}"#))
        .unwrap();
    let year = json!({ "interval": "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z" });
    assert!(conversation_ids(&details(&service, year).await).is_empty());
    let presence = service.api("GET", "/api/v2/users/u1/presences/purecloud", "").await;
    assert_eq!(presence.json()["presenceDefinition"]["systemPresence"], "Busy");
}

#[tokio::test]
async fn the_last_state_of_users_is_told_one_by_one_and_together() {
    let service = Service::start("{}").await;
    service.channel_on(&["v2.users.silent.presence"]).await;
    service.sim.publish("v2.users.u1.presence", Some(r#"{"message":"out"}"#)).unwrap();
    service.sim.publish("v2.users.u1.presence", Some(r#"{"message":"back"}"#)).unwrap();
    let status = r#"{"id":"u1","routingStatus":{"status":"IDLE","startTime":"2030-01-02T03:04:05.678Z"}}"#;
    service.sim.publish("v2.users.u1.routingStatus", Some(status)).unwrap();
    service.sim.publish("v2.users.u1.outofoffice", Some(r#"{"active":true}"#)).unwrap();

    let bulk = service.api("GET", &format!("{BULK}?id=u1&id=silent"), "").await.json();
    assert_eq!((&bulk[0]["userId"], &bulk[0]["message"]), (&json!("u1"), &json!("back")));
    assert_eq!(bulk[1]["presenceDefinition"]["systemPresence"], "Offline");
    let routing = service.api("GET", "/api/v2/users/u1/routingstatus", "").await.json();
    assert_eq!(routing, json!({ "userId": "u1", "status": "IDLE", "startTime": "2030-01-02T03:04:05.678Z" }));
    let path = "/api/v2/users?id=u1&id=silent&id=nobody&expand=presence,routingStatus,outOfOffice";
    let users = service.api("GET", path, "").await.json();
    assert_eq!(users["total"], 2);
    let one = &users["entities"][0];
    assert_eq!((&one["presence"]["message"], &one["outOfOffice"]["active"]), (&json!("back"), &json!(true)));
    assert_eq!(one["routingStatus"]["status"], "IDLE");
    assert!(
        service.api("GET", "/api/v2/users?id=u1", "").await.json()["entities"][0].get("presence").is_none()
    );
    let second = service.api("GET", "/api/v2/users?id=u1&id=silent&pageSize=1&pageNumber=2", "").await.json();
    assert_eq!(second["entities"][0]["id"], "silent");

    assert_eq!(service.api("GET", &format!("{BULK}?id=nobody"), "").await.status, 404);
    assert_eq!(service.api("GET", "/api/v2/users/nobody/routingstatus", "").await.status, 404);
    let many: Vec<_> = (0..51).map(|n| format!("id={n}")).collect();
    let refused = service.api("GET", &format!("{BULK}?{}", many.join("&")), "").await;
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("max.user.presences")));
    assert_eq!(service.api("POST", "/api/v2/users/u1/routingstatus", "").await.status, 405);
}

#[tokio::test]
async fn queues_are_observed_by_media_type() {
    let service = Service::start("{}").await;
    for (media, count) in [("voice", 3), ("chat", 4), ("voice", 5)] {
        let body = json!({ "group": { "queueId": "q1", "mediaType": media },
            "data": [{ "interval": DAY, "metrics": [{ "metric": "oWaiting", "stats": { "count": count } }, { "metric": "tX" }] }] });
        service.sim.publish("v2.analytics.queues.q1.observations", Some(&body.to_string())).unwrap();
    }
    let query = json!({ "metrics": ["oWaiting"], "filter": { "type": "or", "predicates": [
        { "dimension": "queueId", "value": "q1" }, { "dimension": "queueId", "value": "q2" }] } });
    let reply = service.api("POST", "/api/v2/analytics/queues/observations/query", &query.to_string()).await;
    let results = reply.json()["results"].clone();
    assert_eq!(results[0]["group"], json!({ "queueId": "q1", "mediaType": "chat" }));
    assert_eq!(results[1]["data"], json!([{ "metric": "oWaiting", "stats": { "count": 5 } }]));
    assert_eq!(
        results[2],
        json!({ "group": { "queueId": "q2" }, "data": [{ "metric": "oWaiting", "stats": { "count": 0 } }] })
    );
}

#[tokio::test]
async fn operational_events_are_replayed_by_cursor() {
    let service = Service::start("{}").await;
    for n in 0..5 {
        let body = format!(r#"{{"eventEntity":{{"id":"e1"}},"entityId":"{n}"}}"#);
        service.sim.publish("v2.operations.events.e1", Some(&body)).unwrap();
        service.sim.publish("v2.operations.events.e2", Some(&body)).unwrap();
    }
    let query =
        json!({ "interval": "2020-01-01T00:00:00Z/2100-01-01T00:00:00Z", "eventDefinitionIds": ["e1"] })
            .to_string();
    let mut path = format!("{USAGE}?pageSize=2");
    let mut seen = Vec::new();
    loop {
        let answer = service.api("POST", &path, &query).await.json();
        for event in answer["entities"].as_array().unwrap() {
            assert_eq!(event["eventDefinition"]["id"], "e1");
            assert!(event["dateCreated"].is_string() && event.get("eventEntity").is_none());
            seen.push(event["entityId"].as_str().unwrap().to_owned());
        }
        match answer["nextUri"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_denied_path_names_the_permissions_and_counts_in_the_log() {
    let denied = format!(
        r#"{{"deniedPaths":[{{"path":"{DETAILS}"}},{{"path":"{USAGE}"}},
        {{"path":"/api/v2/users/{{id}}/routingstatus","missingPermissions":["some:thing:view"]}}]}}"#
    );
    let service = Service::start(&denied).await;
    service.channel_on(&["v2.users.u1.presence"]).await;
    for (method, path, code, names) in [
        ("POST", DETAILS, "missing.any.permissions", "analytics:conversationDetail:view"),
        ("POST", USAGE, "missing.permissions", "usage:events:view"),
        ("GET", "/api/v2/users/u1/routingstatus", "missing.permissions", "some:thing:view"),
    ] {
        let reply = service.api(method, path, "").await;
        assert_eq!((reply.status, reply.json()["code"].as_str()), (403, Some(code)));
        assert!(reply.json()["message"].as_str().unwrap().contains(names));
    }
    assert_eq!(service.api("GET", "/api/v2/users/u1/presences/purecloud", "").await.status, 200);
    let log = service.sim.log();
    let counted: Vec<_> = log.requests.iter().map(|r| (r.operation, r.status)).collect();
    assert!(
        counted.contains(&("conversationDetails", Some(403)))
            && counted.contains(&("userPresence", Some(200)))
    );
}

#[tokio::test]
async fn resources_want_a_token_and_suffer_limits_and_faults() {
    let service = Service::start(r#"{"rateLimit":3}"#).await;
    assert_eq!(send(&service.sim.urls().api, "POST", DETAILS, &[], "").await.unwrap().status, 401);
    service.fault(r#"{"match":{"operation":"conversationDetails"},"action":{"kind":"status","status":429,"retryAfter":7}}"#);
    let query = json!({ "interval": DAY });
    let refused = details(&service, query.clone()).await;
    assert_eq!((refused.status, refused.header("Retry-After")), (429, Some("7")));
    for count in 1..=3 {
        let reply = details(&service, query.clone()).await;
        assert_eq!(reply.header("inin-ratelimit-count"), Some(count.to_string().as_str()));
    }
    assert_eq!(details(&service, query).await.status, 429);
}

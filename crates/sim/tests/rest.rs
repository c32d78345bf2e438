//! What all calls of the API share, and channels.
#![allow(clippy::unwrap_used)]

mod support;

use support::*;

#[tokio::test]
async fn calls_without_a_token_and_with_a_wrong_one_are_told_apart() {
    let service = Service::start("{}").await;
    let none = send(&service.sim.urls().api, "GET", CHANNELS, &[], "").await.unwrap();
    let wrong = service.api_as("wrong", "GET", CHANNELS, "").await;

    assert_eq!((none.status, none.json()["code"].as_str()), (401, Some("authentication.required")));
    assert_eq!((wrong.status, wrong.json()["code"].as_str()), (401, Some("bad.credentials")));
    for reply in [none, wrong] {
        assert_eq!(reply.json()["contextId"].as_str(), reply.header("ININ-Correlation-Id"));
        assert_eq!(reply.json()["status"], 401);
    }
}

#[tokio::test]
async fn the_request_after_the_limit_gets_429_with_the_seconds_in_header_and_message() {
    let service = Service::start(r#"{"rateLimit":3,"rateWindowMs":2500}"#).await;
    for count in 1..=3 {
        let reply = service.api("GET", CHANNELS, "").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("inin-ratelimit-count"), Some(count.to_string().as_str()));
        assert_eq!(reply.header("inin-ratelimit-allowed"), Some("3"));
    }
    let reply = service.api("GET", CHANNELS, "").await;

    assert_eq!(reply.status, 429);
    let seconds = reply.header("Retry-After").unwrap().to_owned();
    assert!(["1", "2", "3"].contains(&seconds.as_str()));
    let body = reply.json();
    assert_eq!(body["code"], "too.many.requests.retry.after");
    assert!(body["message"].as_str().unwrap().contains(&format!("[{seconds}]")));
    // Another token has a window of its own.
    let other = new_token(&service.sim).await;
    assert_eq!(service.api_as(&other, "GET", CHANNELS, "").await.status, 200);
    let log = service.sim.log();
    assert!(log.requests.iter().any(|r| r.status == Some(429) && r.retry_after.as_ref() == Some(&seconds)));
}

#[tokio::test]
async fn creations_can_have_a_limit_of_their_own() {
    let service = Service::start(r#"{"createRateLimit":1}"#).await;
    assert_eq!(service.api("POST", CHANNELS, "").await.status, 200);
    assert_eq!(service.api("POST", CHANNELS, "").await.status, 429);
    assert_eq!(service.api("GET", CHANNELS, "").await.status, 200);
}

#[tokio::test]
async fn a_channel_has_an_id_a_connect_uri_and_a_life_of_a_day() {
    let service = Service::start("{}").await;
    let reply = service.api("POST", CHANNELS, "").await;
    let body = reply.json();
    let id = body["id"].as_str().unwrap();

    assert!(id.starts_with("streaming-") && id.len() == 38, "{id}");
    assert_eq!(body["connectUri"], format!("{}/channels/{id}", service.sim.urls().streaming));
    assert!(body["expires"].as_str().unwrap().ends_with('Z'));
    let state = &service.sim.channels()[0];
    assert_eq!(state.expires - state.created_at, 86_400_000);
    assert_eq!(service.api("HEAD", &format!("{CHANNELS}/{id}"), "").await.status, 200);
    assert_eq!(service.api("HEAD", &format!("{CHANNELS}/streaming-0-x"), "").await.status, 404);
}

#[tokio::test]
async fn the_listing_shows_other_tokens_channels_without_their_ids() {
    let service = Service::start("{}").await;
    let mine = service.channel().await;
    let other = new_token(&service.sim).await;
    assert_eq!(service.api_as(&other, "POST", CHANNELS, "").await.status, 200);

    let own = service.api("GET", CHANNELS, "").await.json();
    let all = service.api("GET", &format!("{CHANNELS}?includechannels=oauthclient"), "").await.json();

    assert_eq!(own["entities"].as_array().unwrap().len(), 1);
    assert_eq!(own["entities"][0]["id"], mine);
    let ids: Vec<_> = all["entities"].as_array().unwrap().iter().map(|e| e["id"].as_str()).collect();
    assert_eq!(ids, [Some(mine.as_str()), None]);
}

#[tokio::test]
async fn another_token_of_the_client_meets_the_switch() {
    for (option, status) in [("notFound", 404), ("unableToGetChannel", 400), ("allow", 200)] {
        let service = Service::start(&format!(r#"{{"foreignToken":"{option}"}}"#)).await;
        let channel = service.channel().await;
        let other = new_token(&service.sim).await;
        let reply = service.api_as(&other, "POST", &subscriptions(&channel, false), "[]").await;
        assert_eq!(reply.status, status, "{option}");
    }
}

#[tokio::test]
async fn one_channel_too_many_evicts_unconnected_ones_first_then_the_oldest_use() {
    let service = Service::start(r#"{"channelsPerClient":3}"#).await;
    let (connected_first, idle, connected_last) =
        (service.channel().await, service.channel().await, service.channel().await);
    let mut first = service.connect(&connected_first).await;
    let mut last = service.connect(&connected_last).await;
    let mut newer = Vec::new();

    newer.push(service.channel().await);
    assert_eq!(live(&service), [connected_first.clone(), connected_last.clone(), newer[0].clone()]);
    assert_eq!(service.api("HEAD", &format!("{CHANNELS}/{idle}"), "").await.status, 404);
    let mut third = service.connect(&newer[0]).await;
    third.sync().await;

    newer.push(service.channel().await);
    assert_eq!(live(&service), [connected_last.clone(), newer[0].clone(), newer[1].clone()]);
    let notice = first.json().await;
    assert_eq!(notice["topicName"], format!("v2.system.no_longer_subscribed.{connected_first}"));
    assert_eq!(notice["eventBody"]["reason"], "another_channel_subscribed");
    assert_eq!(first.closed().await, Some(1000));
    last.sync().await;

    let log = service.sim.log();
    let evicted: Vec<_> =
        log.channels.iter().filter(|c| c.ended.as_deref() == Some("evicted")).map(|c| &c.id).collect();
    assert_eq!(evicted, [&connected_first, &idle]);
}

#[tokio::test]
async fn last_use_decides_among_unconnected_channels() {
    let service = Service::start(r#"{"channelsPerClient":2}"#).await;
    let (a, b) = (service.channel().await, service.channel().await);
    let used_at = service.sim.channels()[0].last_use;
    loop {
        // `last_use` has a resolution of a millisecond.
        assert_eq!(service.put(&a, &["v2.users.u.presence"], false).await.status, 200);
        if service.sim.channels()[0].last_use > used_at.max(service.sim.channels()[1].last_use) {
            break;
        }
    }
    let c = service.channel().await;
    assert_eq!(live(&service), [a, c]);
    assert_eq!(service.refused_upgrade(&b).await, 404);
}

#[tokio::test]
async fn dates_follow_the_skewed_clock_and_timers_do_not() {
    let service = Service::start(r#"{"clockSkewMs":-3600000}"#).await;
    service.channel().await;
    let listed = service.api("GET", CHANNELS, "").await;
    let state = &service.sim.channels()[0];
    let expires: jiff::Timestamp = listed.json()["entities"][0]["expires"].as_str().unwrap().parse().unwrap();
    assert_eq!(expires.as_millisecond() as u64, state.expires - 3_600_000);
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let service = Service::start("{}").await;
    assert_eq!(service.api("GET", "/api/v2/users/me", "").await.status, 404);
    assert_eq!(service.api("DELETE", CHANNELS, "").await.status, 405);
    // The hosts are apart, as the real ones are.
    assert_eq!(service.api("POST", "/oauth/token", "").await.status, 404);
}

#[tokio::test]
async fn available_topics_tell_what_is_asked_for() {
    let service = Service::start(
        r#"{"forbidden":[{"topic":"v2.users.{id}.station","missingPermissions":["telephony:x:view"]}],
            "eventBridgeOnly":["v2.users.{id}.activity"]}"#,
    )
    .await;
    let plain = service.api("GET", "/api/v2/notifications/availabletopics", "").await.json();
    let path = "/api/v2/notifications/availabletopics?expand=transports&expand=requiresPermissions";
    let expanded = service.api("GET", path, "").await.json();

    assert_eq!(plain["entities"].as_array().unwrap().len(), 242);
    assert_eq!(plain["entities"][0].as_object().unwrap().len(), 1);
    let find =
        |id: &str| expanded["entities"].as_array().unwrap().iter().find(|e| e["id"] == id).unwrap().clone();
    assert_eq!(find("v2.users.{id}.station")["requiresPermissions"][0], "telephony:x:view");
    assert_eq!(find("v2.users.{id}.activity")["transports"][0], "EventBridge");
    assert_eq!(find("v2.users.{id}.presence")["transports"][0], "All");
}

fn live(service: &Service) -> Vec<String> {
    service.sim.channels().into_iter().map(|channel| channel.id).collect()
}

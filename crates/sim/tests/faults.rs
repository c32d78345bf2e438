//! Every kind of fault on requests and upgrades shows its effect, and the log says so; how often and where rules apply.
#![allow(clippy::unwrap_used)]

mod support;

use std::{io, time::Instant};

use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite;

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

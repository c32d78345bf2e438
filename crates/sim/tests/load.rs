//! Enough for what it is used for. Figures: `cargo test --release -p genesys-notifications-sim --test load -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::time::Instant;

use genesys_notifications_sim::Traffic;
use support::*;

#[tokio::test]
async fn twenty_channels_with_a_thousand_topics_each_keep_up() {
    let service = Service::start(r#"{"rateLimit":100000}"#).await;
    let began = Instant::now();
    let mut sockets = Vec::new();
    for channel in 0..20 {
        let topics: Vec<_> = (0..1_000).map(|i| format!("v2.users.u{channel}x{i}.presence")).collect();
        let id = service.channel_on(&topics.iter().map(String::as_str).collect::<Vec<_>>()).await;
        sockets.push(service.connect(&id).await);
    }
    println!("20 x 1000 topics subscribed in {:?}", began.elapsed());

    let began = Instant::now();
    service.sim.traffic(Traffic { rate_per_second: 5_000.0, topics: None, count: Some(5_000) }).unwrap();
    let readers =
        sockets.into_iter().map(|mut ws| tokio::spawn(async move { while !ws.is_silent(1_500).await {} }));
    let readers: Vec<_> = readers.collect();
    service.until_counts(5_000).await;
    println!("5000 events delivered in {:?}", began.elapsed());
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test]
async fn one_socket_takes_a_burst_without_loss() {
    let service = Service::start("{}").await;
    let channel = service.channel_on(&["v2.users.u.presence"]).await;
    let mut ws = service.connect(&channel).await;
    let body = service.sim.generate_body("v2.users.u.presence", 1).unwrap();
    let reader = tokio::spawn(async move {
        for _ in 0..20_000 {
            ws.next().await.unwrap().unwrap();
        }
    });
    let began = Instant::now();
    for _ in 0..20_000 {
        service.sim.publish("v2.users.u.presence", Some(&body)).unwrap();
    }
    println!("20000 events published in {:?}", began.elapsed());
    reader.await.unwrap();
    service.until_counts(20_000).await;
    println!("and delivered in {:?}", began.elapsed());
}

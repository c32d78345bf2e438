//! The threads of the process: one for all clients, none before the first and none after the last.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::World;
use genesys_notifications_client::ClientState;

// One test, because the threads are counted for the whole process.
// P9.2, P9.3
#[test]
fn all_clients_share_one_thread_that_goes_with_the_last_of_them() {
    let mut first = World::new("", "");
    assert_eq!(threads(), 0, "before the first client connects");
    first.observer.client.connect().unwrap();
    first.until_connected();
    let mut second = World::live("", "");
    assert_eq!(threads(), 1);

    first.observer.client.close();
    first.until("the end of the first", |world| world.observer.is_closed());
    second.until_events_flow();
    second.observer.client.close();
    second.until("the end of the second", |world| world.observer.is_closed());
    until_none_is_left();

    for round in 0..30 {
        let mut world = World::new("", "");
        world.observer.client.connect().unwrap();
        match round % 3 {
            0 => world.until_connected(),
            1 => world.until("a request", |world| !world.sim.log().requests.is_empty()),
            _ => {}
        }
        if round % 2 == 0 {
            world.observer.client.close();
            assert_eq!(world.observer.client.state(), ClientState::Closed);
        }
        drop(world);
    }
    until_none_is_left();

    // The last share may also go on a thread of the runtime itself, or of another one.
    let other = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let World { sim, observer } = World::live("", "");
    other.block_on(async move { tokio::spawn(async move { drop(observer) }).await.unwrap() });
    until_none_is_left();
    drop(sim);
}

fn until_none_is_left() {
    let begin = Instant::now();
    while threads() > 0 {
        assert!(begin.elapsed() < Duration::from_secs(5), "{} threads are left", threads());
        std::thread::yield_now();
    }
}

fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("genesys-notify")).count()
}

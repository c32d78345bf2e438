//! Twenty planned changes of every kind at 500 events a second: nothing lost, nothing twice, no gap.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::truth::judge;
use common::{OTHER, World};
use genesys_notifications_client::TopicChange;

/// Publishes 500 events a second until the condition holds.
fn publish_until(
    world: &mut World,
    begin: Instant,
    published: &mut u64,
    what: &str,
    mut holds: impl FnMut(&mut World) -> bool,
) {
    world.until(what, |world| {
        while Duration::from_millis(*published * 2) < begin.elapsed() {
            *published += 1;
            world.publish(*published);
        }
        holds(world)
    });
}

fn rotations(world: &World) -> u64 {
    world.observer.client.stats().machine.rotations
}

/// Expiries and renewals come of themselves; the others are asked for in turn.
fn twenty(journal: Option<&str>) {
    let sim = r#"{"heartbeatMs":200,"rateLimit":1000000,"correlationPerDelivery":true,"channelsPerClient":100,
        "channelLifeMs":4000,"tokenLifeMs":6000,"maintenanceGraceMs":1000}"#;
    let journal = journal.map_or(String::new(), |path| format!(r#","journal":{{"path":"{path}"}}"#));
    let mut world = World::live(sim, &format!(r#"{{"rotation":{{"overlapMs":100}}{journal}}}"#));
    let begin = Instant::now();
    let mut published = 0;
    let mut is_wanted = false;
    for step in 0.. {
        let before = rotations(&world);
        if before >= 20 {
            break;
        }
        match step % 4 {
            0 => drop(world.observer.client.rotate()),
            1 => {
                world.fault(
                    r#"{"match":{"operation":"socket"},"action":{"kind":"socketClosing","graceMs":1000}}"#,
                );
            }
            2 => {
                // One more topic in the middle of a replacement, and one less the next time.
                world.observer.client.rotate();
                is_wanted = !is_wanted;
                let change = if is_wanted { TopicChange::Add } else { TopicChange::Remove };
                world.observer.client.request_topics(change, &[OTHER.to_owned()]).unwrap();
                publish_until(&mut world, begin, &mut published, "the topic", |world| {
                    world.observer.is_subscribed(OTHER) == is_wanted
                });
            }
            // What is due by itself: the channel's end or the token's.
            _ => {}
        }
        publish_until(&mut world, begin, &mut published, "a rotation", |world| rotations(world) > before);
    }
    world.until_connected();
    world.until("every event", |world| world.observer.events().len() as u64 >= published);
    let verdict = judge(&world, published);
    let log = world.sim.log();
    let maintenance = log.faults.iter().filter(|fault| fault.kind == "socketClosing").count();
    let tokens = log.requests.iter().filter(|request| request.operation == "token").count();
    eprintln!(
        "{verdict}; {} rotations, {maintenance} announced ends, {tokens} tokens, {} channels, {:?}",
        rotations(&world),
        log.channels.len(),
        begin.elapsed()
    );
    assert!(verdict.is_perfect(), "{verdict:#?}");
    assert!(maintenance >= 3 && tokens >= 2, "every kind was there");
    assert!(
        log.channels
            .iter()
            .all(|channel| channel.ended.is_none() || channel.ended_at > Some(channel.created_at))
    );
}

// P3, P5.1
#[test]
fn without_a_journal() {
    twenty(None);
}

// P3, P4, P5.1
#[test]
fn with_a_journal() {
    let directory = tempfile::tempdir().unwrap();
    twenty(directory.path().join("events.db").to_str());
}

//! What need not be handed over is not.
#![allow(clippy::unwrap_used)]

mod common;

use common::{OTHER, TOPIC, World};

// P10.1
#[test]
fn events_that_match_no_pattern_are_counted_also_across_a_rotation_and_are_no_gap() {
    let more = format!(r#"{{"topics":["{TOPIC}","{OTHER}"],"delivery":{{"topics":["{OTHER}"]}}}}"#);
    let mut world = World::live("", &more);
    let publish = |world: &World, numbers: std::ops::Range<u64>| {
        for n in numbers {
            world.publish(n);
            world.sim.publish(OTHER, Some(&format!(r#"{{"n":{n}}}"#))).unwrap();
        }
    };
    publish(&world, 0..50);
    world.observer.client.rotate();
    publish(&world, 50..100);
    world.until("the rotation", |world| world.observer.client.stats().machine.rotations == 1);
    publish(&world, 100..150);
    world.until("every event", |world| {
        world.observer.events().len() == 150 && world.observer.client.stats().filtered == 150
    });
    assert!(world.observer.events().iter().all(|event| event.topic == OTHER));
    assert_eq!(world.observer.client.stats().received, 150);
    assert!(world.observer.gaps().is_empty());
}

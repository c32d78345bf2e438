//! Whole lives by seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use genesys_notifications_proto::{ClientState, Random};

use super::sabotage::Fault;
use super::weather::{Phase, world};
use super::world::World;

const DAY: u64 = 24 * 60 * 60 * 1_000;
const STEPS_SHOWN: usize = 50;
/// Of the machine, per virtual second, in three days' mean.
const MOST_CALLS: u64 = 3;

/// One life: three days, or as many hundredths of it in a fast world.
pub(crate) fn live(seed: u64, tiny: bool, fault: Option<Fault>, trace: bool) -> Result<World, String> {
    let mut world = world(seed, tiny, fault);
    world.trace = trace.then(Default::default);
    let end = if tiny { 3 * DAY / 100 } else { 3 * DAY };
    match catch_unwind(AssertUnwindSafe(|| run(&mut world, end))) {
        Ok(()) => Ok(world),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let trace = world.trace.unwrap_or_default();
            let last: Vec<String> = trace.iter().rev().take(steps_shown()).rev().cloned().collect();
            Err(format!("{}\n{}", text.unwrap_or_default(), last.join("\n")))
        }
    }
}

/// Many lives; the first that fails is lived again and told.
pub(crate) fn live_all(seeds: impl Iterator<Item = u64>, tiny: bool) -> Vec<World> {
    let each = seeds.map(|seed| {
        live(seed, tiny, None, false).unwrap_or_else(|_| {
            let story = live(seed, tiny, None, true).err().unwrap_or_default();
            panic!("seed {seed}{}: {story}", if tiny { " (fast)" } else { "" });
        })
    });
    each.collect()
}

fn run(world: &mut World, end: u64) {
    world.run_to(end);
    let wall = world.clock.now().wall;
    // A socket costs a ping, a pong and a heartbeat each half minute; storms cost more, but not for long.
    let calls = world.calls * 1_000 * world.weather.scale / 100 / end;
    assert!(calls <= MOST_CALLS, "the machine was called {calls} times a second");
    let known_until = world.known_until();
    world.truth.settle_all(wall, known_until);
    // Without pongs the world cannot tell when a topic is live.
    if world.manners.answers_pings {
        proportion(world);
    }
    assert!(world.weather.phase != Phase::Storm || world.state() != ClientState::Failed, "failed in a storm");
    if world.dice.up_to(1) == 0 && !world.is_frozen() {
        world.close();
        assert_eq!(world.state(), ClientState::Closed);
        world.run_for(DAY / 24);
        assert!(world.unsettled.is_empty(), "requests {:?} outlive the client", world.unsettled);
    }
}

/// What is reported is not much more than what was really dark (P2.2).
fn proportion(world: &World) {
    let scale = world.weather.scale;
    // From the last frame before the loss to the pong after it: a heartbeat, a ping, some requests.
    let slack = world.truth.gap_count * 45_000 * scale / 100;
    let (gaps, dark) = (world.truth.gap_ms, world.truth.dark_ms);
    assert!(
        gaps <= dark + dark / 2 + slack + 60_000,
        "P2.2: {gaps} ms of gaps for {dark} ms of darkness, {} gaps",
        world.truth.gap_count
    );
}

pub(crate) fn steps_shown() -> usize {
    std::env::var("WORLD_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(STEPS_SHOWN)
}

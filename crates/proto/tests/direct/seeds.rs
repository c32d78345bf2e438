//! Whole lives by seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use genesys_notifications_proto::{ClientState, Input, Random};

use super::agenda::Item;
use super::sabotage::Fault;
use super::world::World;
use crate::common::seeds::steps_shown;

const MINUTE: u64 = 60_000;
const STORM_MS: u64 = 180 * MINUTE;
/// The server behaves for so long: a wait of a suspended client, one that a server asked for, and a new attempt.
const CALM_MS: u64 = 10 * MINUTE;
/// Of the machine, per virtual second, beside one for each event.
const MOST_CALLS: u64 = 4;

/// One life.
pub(crate) fn live(seed: u64, fault: Option<Fault>, trace: bool) -> Result<World, String> {
    let mut world = World::new(seed, fault);
    world.trace = trace.then(Default::default);
    match catch_unwind(AssertUnwindSafe(|| run(&mut world))) {
        Ok(()) => Ok(world),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let trace = world.trace.unwrap_or_default();
            let last: Vec<String> = trace.iter().rev().take(steps_shown()).rev().cloned().collect();
            let manners = &world.manners;
            Err(format!("{}\n{manners:?}\n{}", text.unwrap_or_default(), last.join("\n")))
        }
    }
}

/// Many lives; the first that fails is lived again and told.
pub(crate) fn live_all(seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        if live(seed, None, false).is_err() {
            let story = live(seed, None, true).err().unwrap_or_default();
            panic!("seed {seed}: {story}");
        }
    }
}

fn run(world: &mut World) {
    world.weather.is_publishing = true;
    world.agenda.plan(world.clock.truth, Item::Publish);
    world.agenda.plan(world.clock.truth, Item::Acknowledge);
    world.agenda.plan(world.clock.truth + 30_000, Item::Chaos);
    world.begin();
    world.run_for(STORM_MS);

    world.weather.clears_up();
    world.run_for(CALM_MS);
    // A server may just have closed as planned.
    let end = world.clock.truth + 2 * MINUTE;
    while world.machine.state() != ClientState::Connected {
        assert!(world.clock.truth < end, "P6.8: {:?} although the server behaves", world.machine.state());
        world.run_for(1_000);
    }

    world.weather.is_publishing = false;
    world.run_for(2 * MINUTE);
    world.acknowledge_all();
    let truth = std::mem::take(&mut world.truth);
    world.truth = settle(world, truth);
    world.truth.settle_acknowledgements();
    proportion(world);
    let lived = world.clock.truth / 1_000;
    let calls = world.calls.saturating_sub(2 * (world.truth.deliveries + world.truth.copies)) / lived;
    assert!(calls <= MOST_CALLS, "the machine was called {calls} times a second");
    if world.dice.up_to(1) == 0 {
        world.tell(Input::Close);
        world.run_for(MINUTE);
        assert_eq!(world.machine.state(), ClientState::Closed);
    }
}

fn settle(world: &World, mut truth: super::truth::Truth) -> super::truth::Truth {
    truth.settle(world.manners.latency_ms.1, |at| world.wall_at(at), |at| world.read_at(at));
    truth
}

/// What is reported is not much more than what was really dark, or was not read (P2.2).
fn proportion(world: &World) {
    let steps = &world.steps;
    let real = |from: u64, to: u64| {
        let unreal = steps.iter().map(|(at, ms)| {
            let (begin, end) = (world.wall_at(*at) - ms, world.wall_at(*at));
            to.min(end).saturating_sub(from.max(begin))
        });
        to.saturating_sub(from).saturating_sub(unreal.sum())
    };
    let gaps = world.truth.gap_ms(real, world.clock.now().wall);
    let unread: u64 = world.pauses.iter().map(|(from, to)| to - from).sum();
    // From the last frame before the loss to the pong after it, at every attempt.
    let slack = 45_000 * world.truth.gaps_told + 15_000 * world.connections;
    assert!(
        gaps <= world.truth.dark_ms + unread + slack,
        "P2.2: {gaps} ms of gaps for {} ms of darkness and {unread} unread, {} gaps",
        world.truth.dark_ms,
        world.truth.gaps_told
    );
}

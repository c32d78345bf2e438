//! Whole lives by seed.

use std::panic::{AssertUnwindSafe, catch_unwind};

use genesys_notifications_proto::{ClientState, Continuity, Random};

use super::sabotage::Fault;
use super::weather::{Phase, world};
use super::week;
use super::world::World;

const DAY: u64 = 24 * 60 * 60 * 1_000;

/// What kind of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Three days of storms and recoveries.
    Days,
    /// The same with everything a hundred times as fast.
    Minutes,
    /// A week as most weeks are.
    Week,
    /// A day of storms in which processes end and begin again.
    Restarts,
}

impl Life {
    /// The one that the environment asks for.
    pub(crate) fn of_environment() -> Self {
        match std::env::var("WORLD_LIFE").as_deref() {
            Ok("minutes") => Self::Minutes,
            Ok("week") => Self::Week,
            Ok("restarts") => Self::Restarts,
            _ => Self::Days,
        }
    }
}
const STEPS_SHOWN: usize = 50;
/// Of the machine, per virtual second, in three days' mean.
const MOST_CALLS: u64 = 3;

/// One life.
pub(crate) fn live(seed: u64, life: Life, fault: Option<Fault>, trace: bool) -> Result<World, String> {
    let (mut world, end) = match life {
        Life::Days => (world(seed, false, fault), 3 * DAY),
        Life::Minutes => (world(seed, true, fault), 3 * DAY / 100),
        Life::Week => (week::world(seed, fault), 7 * DAY),
        Life::Restarts => (world(seed, false, fault), DAY),
    };
    if life == Life::Restarts {
        world.keep_journal();
    }
    world.trace = trace.then(Default::default);
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
pub(crate) fn live_all(seeds: impl Iterator<Item = u64>, life: Life) {
    for seed in seeds {
        if live(seed, life, None, false).is_err() {
            let story = live(seed, life, None, true).err().unwrap_or_default();
            panic!("seed {seed} ({life:?}): {story}");
        }
    }
}

fn run(world: &mut World, end: u64) {
    world.run_to(end);
    while world.is_down() {
        world.step();
    }
    let wall = world.clock.now().wall;
    // A socket costs a ping, a pong and a heartbeat each half minute; storms cost more, but not for long.
    let calls = world.calls * 1_000 * world.weather.scale / 100 / end;
    let links = if world.config.continuity == Continuity::Standby { 2 } else { 1 };
    assert!(calls <= MOST_CALLS * links, "the machine was called {calls} times a second");
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

/// What is reported is not much more than what was really dark, or was not read (P2.2).
fn proportion(world: &World) {
    let scale = world.weather.scale;
    // From the last frame before the loss to the pong after it: a heartbeat, a ping, some requests.
    let slack = world.truth.gap_count * 45_000 * scale / 100;
    let (gaps, dark, unread) = (world.truth.gap_ms, world.truth.dark_ms, world.truth.unread_ms);
    assert!(
        gaps <= dark + dark / 2 + unread + slack + 60_000,
        "P2.2: {gaps} ms of gaps for {dark} ms of darkness and {unread} unread, {} gaps",
        world.truth.gap_count
    );
}

pub(crate) fn steps_shown() -> usize {
    std::env::var("WORLD_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(STEPS_SHOWN)
}

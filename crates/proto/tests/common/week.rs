//! A week as most weeks are: channels of a day, tokens of an hour, one maintenance a day, a few drops and pauses.
//!
//! Events are rare in quiet stretches and dense around whatever happens, so that a thousand weeks are affordable.

use genesys_notifications_proto::{
    Config, Continuity, Ending, GovernorConfig, NetworkKind, Random, SocketId, SplitMix, SystemNotice,
    TopicChange, Unreadable,
};

use super::agenda::{Cargo, Item};
use super::sabotage::Fault;
use super::service::{http, network};
use super::weather::{NAMES, Phase, Weather, whole};
use super::world::World;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// After this long without an incident everything must be in order.
const MENDED_AFTER: u64 = 20 * MINUTE;

/// A week by its seed.
pub(crate) fn world(seed: u64, fault: Option<Fault>) -> World {
    let mut dice = SplitMix::new(seed.wrapping_mul(0x9e6c_63d0_876a_3f6b) ^ 0x7ee4);
    let mut config = Config {
        continuity: [Continuity::Reconnect, Continuity::Overlap, Continuity::Standby][dice.up_to(2) as usize],
        ..Config::default()
    };
    config.limits.topics_per_channel = if dice.up_to(7) == 0 { 2 } else { 1_000 };
    let mut world = World::with(config, GovernorConfig::default(), seed, fault);
    world.record.keep = false;
    world.may_fail = false;
    world.service.token_life = HOUR;
    world.service.channel_life = DAY;
    world.service.channels_end_with_token = dice.up_to(1) == 0;
    world.manners.rest_ms = (20, 400);
    world.manners.socket_ms = (5, 150);
    world.manners.most_skew_ms = [0, 0, 500][dice.up_to(2) as usize];
    world.manners.publish_every_ms = 10 * MINUTE;
    world.manners.burst_every_ms = 3 * SECOND;
    world.weather = Weather { scale: 100, ..Weather::default() };
    for name in NAMES {
        world.service.number(name);
    }
    let first = dice.up_to(4) as usize;
    world.chaos = Some(tick);
    world.subscribe(&NAMES[first..first + 3]);
    world.connect();
    let start = world.clock.truth;
    world.agenda.plan(start + MINUTE, Item::Publish);
    world.agenda.plan(start + HOUR, Item::Chaos);
    world.weather.maintenance_at = start + dice.between(2 * HOUR, DAY);
    world
}

/// An incident is preceded by a minute in which events become dense.
fn tick(world: &mut World) {
    let now = world.clock.truth;
    if world.state().is_terminal() {
        return;
    }
    let pause = match world.weather.phase {
        Phase::Calm => {
            if now > world.weather.last_incident + MENDED_AFTER {
                whole(world);
            }
            world.weather.phase = Phase::Storm;
            world.watch(3 * MINUTE);
            world.dice.between(20 * SECOND, MINUTE)
        }
        Phase::Storm | Phase::Recovery => {
            world.weather.phase = Phase::Calm;
            world.weather.last_incident = now;
            world.weather.incidents += 1;
            happen(world);
            // Three to eight a day, some of them close together.
            if world.dice.up_to(7) == 0 { world.dice.between(SECOND, 2 * MINUTE) } else { rest(world) }
        }
    };
    world.agenda.plan(now + pause, Item::Chaos);
}

fn rest(world: &mut World) -> u64 {
    let pause = world.dice.between(HOUR, 7 * HOUR);
    let maintenance = world.weather.maintenance_at.saturating_sub(world.clock.truth);
    pause.min(maintenance.max(MINUTE))
}

fn happen(world: &mut World) {
    if world.clock.truth >= world.weather.maintenance_at {
        world.weather.maintenance_at += DAY;
        return maintenance(world);
    }
    let open = world.wires.open_here();
    if open.is_empty() {
        return;
    }
    let socket = open[world.dice.up_to(open.len() as u64 - 1) as usize];
    let choice = world.dice.up_to(21);
    world.note(|| format!("INCIDENT {choice} at {socket:?}"));
    match choice {
        0..=6 => drop_loudly(world, socket),
        7..=9 => world.cut(socket),
        10 => outage(world, &open),
        11 | 12 => {
            let (length, asleep) = (world.dice.between(22 * SECOND, 20 * MINUTE), world.dice.up_to(1) == 0);
            world.freeze(length, asleep);
        }
        13 => {
            let length = world.dice.between(2 * SECOND, HOUR);
            world.step_wall(length);
        }
        14 => {
            let length = world.dice.between(SECOND, 5 * MINUTE);
            world.pause(socket, length);
        }
        15 => {
            let length = world.dice.between(SECOND, 50 * SECOND);
            world.stall(socket, length);
        }
        16 => world.send(socket, Cargo::Garbage(Unreadable::NotJson)),
        17 => {
            let key = world.wires.by_id[&socket].channel;
            world.displace(key);
        }
        18 => {
            world.rotate();
        }
        19 | 20 => world.lose_from_list(socket),
        _ => {
            let first = world.dice.up_to(NAMES.len() as u64 - 3) as usize;
            world.change(TopicChange::Replace, &NAMES[first..first + 3]);
        }
    }
}

/// The service warns, and closes a little less than a minute later.
fn maintenance(world: &mut World) {
    let open = world.wires.open_here();
    let whole_host = world.dice.up_to(1) == 0;
    let count = if whole_host { open.len() } else { 1 };
    for socket in open.into_iter().take(count) {
        world.send(socket, Cargo::System(SystemNotice::SocketClosing));
        world.agenda.plan(world.clock.truth + 50 * SECOND, Item::Maintenance(socket));
    }
}

fn drop_loudly(world: &mut World, socket: SocketId) {
    let ending = match world.dice.up_to(4) {
        0 => Ending::Broken(network(NetworkKind::Reset)),
        1 => Ending::Closed(1008, String::new()),
        2 => Ending::Closed(1000, String::new()),
        3 => Ending::Closed(1001, String::new()),
        _ => Ending::Closed(1006, String::new()),
    };
    world.end_socket(socket, ending);
}

/// Every socket dies, and nothing can be opened for half a minute.
fn outage(world: &mut World, open: &[SocketId]) {
    let until = world.clock.truth + world.dice.between(10 * SECOND, 50 * SECOND);
    let how = [None, Some(network(NetworkKind::Refused)), Some(http(503, "service.unavailable"))];
    let how = how[world.dice.up_to(2) as usize].clone();
    for door in &mut world.manners.shut {
        *door = (until, how.clone());
    }
    for socket in open {
        if world.dice.up_to(4) == 0 {
            world.cut(*socket);
        } else {
            drop_loudly(world, *socket);
        }
    }
}

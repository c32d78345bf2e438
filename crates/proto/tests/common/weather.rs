//! What befalls the world: storms, recoveries, calm; and whether the machine is whole afterwards (P6, I9).

use std::collections::BTreeSet;

use genesys_notifications_proto::{
    BackoffConfig, ClientState, Config, Continuity, Ending, GovernorConfig, Heartbeat, Input, Limits,
    NetworkKind, Random, Rotation, SocketId, SplitMix, SystemNotice, TopicChange, TopicState, Unreadable,
};

use super::agenda::{Cargo, Item};
use super::sabotage::Fault;
use super::service::{Refusal, http, network, throttled};
use super::world::World;

pub(crate) const NAMES: [&str; 8] = [
    "v2.users.u0.presence",
    "v2.users.u0.station",
    "v2.users.u1.presence",
    "v2.users.u1.routingStatus",
    "v2.users.u2.presence",
    "v2.routing.queues.q1.conversations",
    "v2.operations.events.e1",
    "v2.analytics.queues.q2.observations",
];

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Calm,
    Storm,
    Recovery,
}

/// The weather, and what it may bring in this seed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) phase: Phase,
    pub(crate) until: u64,
    /// How much longer everything takes than by default, in percent.
    pub(crate) scale: u64,
    pub(crate) storms: bool,
    pub(crate) ever_forbidden: BTreeSet<u16>,
    pub(crate) incidents: u64,
    pub(crate) recoveries: u64,
    /// In a week: when the service is maintained next, and when something last happened.
    pub(crate) maintenance_at: u64,
    pub(crate) last_incident: u64,
}

/// A world by its seed.
pub(crate) fn world(seed: u64, tiny: bool, fault: Option<Fault>) -> World {
    let mut dice = SplitMix::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let scale = if tiny { 1 } else { 100 };
    let mut config = Config {
        continuity: [Continuity::Reconnect, Continuity::Overlap, Continuity::Standby][dice.up_to(2) as usize],
        ..Config::default()
    };
    config.limits.topics_per_channel = if dice.up_to(3) == 0 { 2 } else { 1_000 };
    if dice.up_to(3) == 0 {
        config.rotation.before_expiry_ms = Some(20 * MINUTE);
    }
    let mut governor = GovernorConfig::default();
    if dice.up_to(3) == 0 {
        (governor.channel_burst, governor.channel_interval_ms) = (2, 10_000);
        (governor.rest_burst, governor.rest_interval_ms) = (6, 2_000);
    }
    if tiny {
        config = shrunk(config);
        config.limits.channels = 1_000;
        governor.channel_burst = 200;
        governor.rest_burst = 600;
        governor.channel_interval_ms = 100;
        governor.rest_interval_ms = 25;
    }
    let mut world = World::with(config, governor, seed, fault);
    world.record.keep = false;
    world.may_fail = false;
    let hour = HOUR * scale / 100;
    world.service.token_life = [24 * hour, 4 * hour, hour][dice.up_to(2) as usize];
    world.service.channel_life = [24 * hour, 24 * hour, 3 * hour][dice.up_to(2) as usize];
    world.service.channels_end_with_token = dice.up_to(1) == 0;
    world.service.only_the_owner_may_subscribe = dice.up_to(4) == 0;
    world.service.refusal = [
        Refusal::PerTopic,
        Refusal::PerName,
        Refusal::WholeCall(400),
        Refusal::WholeCall(403),
        Refusal::LeftOut,
    ][dice.up_to(4) as usize];
    if tiny {
        // A count of channels is believed for a minute, which is hours here.
        world.service.most_channels = 1_000;
    }
    world.manners.rest_ms = if tiny { (1, 3) } else { (20, 400) };
    world.manners.socket_ms = if tiny { (1, 2) } else { (5, 150) };
    world.manners.beat_ms = 30_000 * scale / 100;
    world.manners.answers_pings = dice.up_to(19) != 0;
    if !world.manners.answers_pings {
        // A quiet socket that answers no ping within its time is given up (P1.4).
        world.manners.beat_ms = 3_000 * scale / 100;
    }
    world.manners.publish_every_ms = dice.between(8_000, 60_000) * scale / 100;
    world.manners.longest_wait_ms = [30_000, 2 * MINUTE, 30 * MINUTE][dice.up_to(2) as usize] * scale / 100;
    world.weather = Weather { scale, storms: true, ..Weather::default() };
    if tiny {
        world.rules.bounds.window_ms = 600;
    }
    for name in NAMES {
        world.service.number(name);
    }
    let (some, more) = (dice.up_to(3) as usize, dice.up_to(3) as usize);
    // Not the only wanted one: a client of which every topic is refused at first fails (S4).
    if dice.up_to(1) == 0 && more > 0 {
        world.service.forbidden.insert(dice.up_to(7) as u16);
    }
    world.weather.ever_forbidden = world.service.forbidden.clone();
    world.chaos = Some(tick);
    world.subscribe(&NAMES[some..(some + 1 + more)]);
    world.connect();
    world.agenda.plan(world.clock.truth + 1, Item::Publish);
    world.agenda.plan(world.clock.truth + hour / 4, Item::Chaos);
    world.weather.until = world.clock.truth + hour / 4;
    world
}

fn shrunk(config: Config) -> Config {
    Config {
        heartbeat: Heartbeat { ping_after_ms: 200, pong_timeout_ms: 50, silence_ms: 350 },
        backoff: BackoffConfig { initial_ms: 5, max_ms: 300, suspended_max_ms: 600, healthy_ms: 600 },
        rotation: Rotation {
            before_expiry_ms: config.rotation.before_expiry_ms.map(|ms| ms / 100),
            overlap_ms: 50,
            ..config.rotation
        },
        limits: Limits {
            coalesce_ms: (1, 3),
            suspend_after_ms: 1_200,
            dedup_window_ms: 600,
            ..config.limits
        },
        request_timeout_ms: 300,
        connect_timeout_ms: 150,
        ..config
    }
}

/// The next unkindness, and the time of the one after.
fn tick(world: &mut World) {
    let now = world.clock.truth;
    if world.state().is_terminal() {
        return;
    }
    let scale = world.weather.scale;
    let ms = |ms: u64| (ms * scale / 100).max(1);
    if world.is_down() {
        return world.agenda.plan(now + MINUTE, Item::Chaos);
    }
    if now >= world.weather.until {
        turn(world);
    }
    let pause = match world.weather.phase {
        Phase::Calm => {
            if world.journal.is_some() && world.dice.up_to(3) == 0 {
                restart(world);
            } else if world.dice.up_to(1) == 0 {
                incident(world, true);
            } else {
                whim(world);
            }
            world.dice.between(ms(5 * MINUTE), ms(2 * HOUR))
        }
        Phase::Storm => {
            match world.dice.up_to(9) {
                0 | 1 if world.journal.is_some() => restart(world),
                0..=5 => incident(world, false),
                6 | 7 => misfortune(world),
                _ => whim(world),
            }
            world.dice.between(ms(200), ms(90_000))
        }
        Phase::Recovery => ms(HOUR),
    };
    let next = (now + pause).min(world.weather.until.max(now + 1));
    world.agenda.plan(next, Item::Chaos);
}

/// The weather changes.
fn turn(world: &mut World) {
    let now = world.clock.truth;
    let scale = world.weather.scale;
    let ms = |ms: u64| (ms * scale / 100).max(1);
    let (phase, length) = match world.weather.phase {
        Phase::Calm if world.weather.storms => {
            world.manners.misfortune = world.dice.up_to(500);
            world.manners.forgery = world.dice.up_to(60);
            world.manners.young_404 = world.dice.up_to(300);
            (Phase::Storm, world.dice.between(ms(5 * MINUTE), ms(90 * MINUTE)))
        }
        Phase::Calm => (Phase::Calm, ms(HOUR)),
        Phase::Storm => {
            world.manners.misfortune = 0;
            world.manners.forgery = 0;
            world.manners.young_404 = 0;
            world.manners.refuses_credentials = false;
            for shut in &mut world.manners.shut {
                *shut = (0, None);
            }
            for channel in world.service.channels.values_mut().filter(|channel| channel.foreign) {
                channel.gone = true;
            }
            let mono = world.clock.now().mono;
            let floors = world.rules.floors().into_iter().max().unwrap_or(0).saturating_sub(mono);
            let waits = floors + world.manners.longest_wait_ms / 4;
            // Requests under way, twice the longest wait, proof, two more rounds for topics left out.
            (Phase::Recovery, waits + ms(2 * 60_000 + 4 * 60_000 + 3 * 40_000))
        }
        // A suspended computer's timers are late: channels may end before they are replaced.
        Phase::Recovery if now < world.last_end + ms(4 * MINUTE) => (Phase::Recovery, ms(5 * MINUTE)),
        Phase::Recovery if throttled_lately(world, ms(3 * MINUTE)) => (Phase::Recovery, ms(5 * MINUTE)),
        Phase::Recovery => {
            whole(world);
            world.weather.recoveries += 1;
            (Phase::Calm, world.dice.between(ms(30 * MINUTE), ms(8 * HOUR)))
        }
    };
    world.note(|| format!("WEATHER {phase:?} for {length} ms"));
    world.weather.phase = phase;
    world.weather.until = now + length;
}

/// A late or repeated answer may have brought a wait of its own.
fn throttled_lately(world: &World, after: u64) -> bool {
    let last = world.rules.floors().into_iter().max().unwrap_or(0);
    world.clock.now().mono < last + world.manners.longest_wait_ms / 4 + after
}

/// A process ends; the next one begins at once, or hours later.
fn restart(world: &mut World) {
    let down = [100, 10_000, 10 * MINUTE, 3 * HOUR][world.dice.up_to(3) as usize];
    let (down, killed) = (world.dice.up_to(down), world.dice.up_to(3) > 0);
    world.restart(down, killed);
}

/// Something breaks once.
fn incident(world: &mut World, mild: bool) {
    world.weather.incidents += 1;
    let open = world.wires.open_here();
    let socket: Option<SocketId> =
        (!open.is_empty()).then(|| open[world.dice.up_to(open.len() as u64 - 1) as usize]);
    let scale = world.weather.scale;
    let ms = |ms: u64| (ms * scale / 100).max(1);
    // A pause that ends before the next deadline is not noticed; what it may hide is not promised.
    let noticeable = ms(22_000).max(1_500);
    let choice = world.dice.up_to(if mild { 13 } else { 19 });
    world.note(|| format!("INCIDENT {choice} at {socket:?}"));
    let Some(socket) = socket else { return };
    match choice {
        0 => {
            let code = [1000, 1001, 1005, 1006, 1008, 1011, 4401][world.dice.up_to(6) as usize];
            world.end_socket(socket, Ending::Closed(code, "planned".into()));
        }
        1 => world.end_socket(socket, Ending::Broken(network(NetworkKind::Reset))),
        2 => world.cut(socket),
        3 => {
            let length = world.dice.between(1, ms(50_000));
            world.stall(socket, length);
        }
        4 => {
            world.send(socket, Cargo::System(SystemNotice::SocketClosing));
            world.agenda.plan(world.clock.truth + ms(50_000), Item::Maintenance(socket));
        }
        5 => {
            let key = world.wires.by_id[&socket].channel;
            world.displace(key);
        }
        6 => {
            world.publish(0, None);
            world.agenda.damage(socket);
        }
        7 => {
            for _ in 0..world.dice.up_to(5) {
                world.send(socket, Cargo::Garbage(Unreadable::TooDeep(64)));
            }
        }
        8 => {
            let length = noticeable + world.dice.up_to(ms(20 * MINUTE));
            let asleep = world.dice.up_to(1) == 0;
            world.freeze(length, asleep);
        }
        9 => world.step_wall(ms(3_600_000)),
        10 => {
            let length = world.dice.between(1, ms(5 * MINUTE));
            world.pause(socket, length);
        }
        11 => {
            // A pause during which the socket dies.
            let length = world.dice.between(1, ms(3 * MINUTE));
            world.pause(socket, length);
            world.agenda.plan(world.clock.truth + length / 3, Item::Cut(socket));
        }
        12 => {
            let told = world.dice.up_to(1) == 0;
            world.revoke_newest(told);
        }
        13 => {
            world.tell(Input::RateLimit { remaining: 0, reset_ms: ms(20_000) });
            let floor = world.clock.now().mono + ms(20_000);
            world.rules.floor(super::manners::API, floor);
        }
        14 => {
            let length = noticeable + world.dice.up_to(ms(3 * MINUTE));
            world.freeze(length, false);
            world.agenda.plan(world.clock.truth + length / 2, Item::Cut(socket));
        }
        15 => {
            for socket in open {
                world.end_socket(socket, Ending::Closed(1006, String::new()));
            }
        }
        16 => {
            for socket in open {
                world.cut(socket);
            }
        }
        17 => {
            let key = world.wires.by_id[&socket].channel;
            world.channel_ends(key);
        }
        18 => world.send(socket, Cargo::System(SystemNotice::SubscriptionsExpiring)),
        _ => world.end_socket(socket, Ending::Unreadable("too large".into())),
    }
}

/// The service is ill for a while.
fn misfortune(world: &mut World) {
    let scale = world.weather.scale;
    let ms = |ms: u64| (ms * scale / 100).max(1);
    let until = world.clock.truth + world.dice.between(1, ms(20 * MINUTE));
    let wait = world.dice.up_to(world.manners.longest_wait_ms);
    let how = [
        None,
        Some(network(NetworkKind::Refused)),
        Some(network(NetworkKind::Dns)),
        Some(http(503, "service.unavailable")),
        Some(throttled(429, wait)),
    ][world.dice.up_to(4) as usize]
        .clone();
    match world.dice.up_to(7) {
        door @ 0..=2 => {
            // The token endpoint speaks in its own way, which the machine does not mind.
            world.manners.shut[door as usize] = (until, how);
        }
        3 => {
            for door in 0..3 {
                world.manners.shut[door] = (until, how.clone());
            }
        }
        4 => {
            world.revoke_newest(false);
        }
        5 if world.fresh => {}
        5 => {
            let topic = world.dice.up_to(NAMES.len() as u64 - 1) as u16;
            if !world.service.forbidden.remove(&topic) {
                world.service.forbidden.insert(topic);
                world.weather.ever_forbidden.insert(topic);
            }
        }
        // A count is believed for a minute, which is hours in a fast world.
        6 if scale < 100 => {}
        6 => {
            // Other processes of the same client make channels of their own.
            let generation = world.service.tokens.last_key_value().map_or(0, |(generation, _)| *generation);
            for _ in 0..20 {
                let now = world.clock.truth;
                let Ok((key, _, displaced)) = world.service.create(generation, now) else { break };
                world.service.channels.entry(key).and_modify(|channel| channel.foreign = true);
                if let Some(displaced) = displaced {
                    world.displace(displaced);
                }
            }
        }
        _ => world.manners.misfortune = world.dice.up_to(900),
    }
}

/// The user wants something.
fn whim(world: &mut World) {
    if world.fresh {
        return;
    }
    let first = world.dice.up_to(NAMES.len() as u64 - 1) as usize;
    let last = (first + world.dice.up_to(3) as usize).min(NAMES.len() - 1);
    let names = &NAMES[first..=last];
    match world.dice.up_to(9) {
        0..=2 => {
            world.subscribe(names);
        }
        3 | 4 => {
            world.unsubscribe(names);
        }
        5 => {
            world.change(TopicChange::Replace, names);
        }
        6 => {
            world.unsubscribe(names);
            world.subscribe(names);
        }
        7 => {
            world.rotate();
        }
        8 => {
            world.reconnect();
        }
        _ => {
            for _ in 0..4 {
                let name = NAMES[world.dice.up_to(NAMES.len() as u64 - 1) as usize];
                if world.dice.up_to(1) == 0 {
                    world.subscribe(&[name]);
                } else {
                    world.unsubscribe(&[name]);
                }
            }
        }
    }
}

/// The service has been well for long enough: everything must be in order again.
pub(crate) fn whole(world: &mut World) {
    assert_eq!(world.state(), ClientState::Connected, "P6.8: the service is well, the client is not");
    for status in world.machine.topics() {
        let number = world.service.number(&status.topic);
        assert_ne!(status.state, TopicState::Pending, "P7.4: {} is never decided", status.topic);
        if status.state == TopicState::Rejected {
            assert!(
                world.weather.ever_forbidden.contains(&number),
                "P7.1: {} is rejected for another topic's sake",
                status.topic
            );
            continue;
        }
        let was_live = world.truth.was_live(number) || !world.manners.answers_pings;
        assert!(was_live, "P2.2: {} never counts as live", status.topic);
        assert!(!world.truth.has_open_gap(number), "P2.2: the gap of {} never ends", status.topic);
        let carried = world.service.channels.values().any(|channel| {
            let wire = channel.carrier.and_then(|socket| world.wires.by_id.get(&socket));
            !channel.gone && channel.topics.contains(&number) && wire.is_some_and(|wire| wire.carries())
        });
        assert!(carried, "P1: nobody carries {}", status.topic);
    }
    world.review_lists();
    assert!(world.lost_entries.is_empty(), "P2.9: still missing from lists: {:?}", world.lost_entries);
    let wanted = world.truth.wanted();
    assert_eq!(world.machine.topics().len(), wanted.len(), "P7.2: the wanted set shrank");
    for (link, key) in &world.channel_of {
        let Some(channel) = world.service.channels.get(key).filter(|channel| !channel.gone) else { continue };
        let extra: Vec<&u16> = channel.topics.difference(&wanted).collect();
        assert!(extra.is_empty(), "P7.2: {link:?} still carries {extra:?}, which nobody wants");
    }
    assert!(world.unsettled.is_empty(), "requests {:?} are never settled", world.unsettled);
    assert!(world.rules.links() <= 12, "links leak: {}", world.rules.links());
    assert!(world.wires.open_here().len() <= world.rules.links(), "sockets leak");
}

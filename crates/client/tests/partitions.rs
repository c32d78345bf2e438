//! Networks that cut, stall, reset and heal between the client and the service.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::proxy::{Flow, Proxy, Side};
use common::truth::{self, setting};
use common::{Observer, World, credentials, environment, options};
use genesys_notifications_client::{ClientState, Random, SplitMix};
use genesys_notifications_sim::{SimOptions, Simulator};

/// One in front of each of the service's hosts.
struct Proxies {
    all: [Proxy; 3],
}

impl Proxies {
    fn world(client_options: &str) -> (World, Self) {
        let all = [Proxy::start(), Proxy::start(), Proxy::start()];
        let [login, api, streaming] = &all;
        let sim = SimOptions::from_json(&format!(
            r#"{{"heartbeatMs":200,"rateLimit":100000,"channelsPerClient":1000,"advertisedStreaming":"ws://{}"}}"#,
            streaming.address()
        ));
        let sim = Simulator::start(sim.unwrap()).unwrap();
        login.lead_to(&sim.urls().login);
        api.lead_to(&sim.urls().api);
        streaming.lead_to(&sim.urls().streaming);
        let urls = format!(
            r#"{{"login":"http://{}","api":"http://{}","streaming":"ws://{}"}}"#,
            login.address(),
            api.address(),
            streaming.address()
        );
        let observer = Observer::new(options(&urls, &credentials(&sim), client_options), environment());
        let mut world = World { sim, observer };
        world.observer.client.connect().unwrap();
        world.until_connected();
        (world, Self { all })
    }

    fn heal(&self) {
        for proxy in &self.all {
            proxy.heal();
        }
    }

    /// Streaming fares worst; sometimes everything is cut off.
    fn disturb(&self, random: &mut SplitMix) -> String {
        let side = if random.up_to(1) == 0 { Side::ToServer } else { Side::ToClient };
        let which: &[usize] = match random.up_to(5) {
            0..=2 => &[2],
            3 => &[1],
            4 => &[1, 2],
            _ => &[0, 1, 2],
        };
        let how = random.up_to(5);
        for proxy in which.iter().map(|which| &self.all[*which]) {
            match how {
                0 => proxy.set(side, Flow::Stall),
                1 => proxy.set(side, Flow::Vanish),
                2 => {
                    proxy.set(Side::ToServer, Flow::Vanish);
                    proxy.set(Side::ToClient, Flow::Vanish);
                }
                3 => proxy.half_close(side),
                4 => proxy.reset(),
                _ => proxy.refuse(),
            }
        }
        format!("{which:?} {how} {side:?}")
    }
}

/// Silence, a request or dial that hangs, a wait of the backoff, and then all that makes a channel live; twice, because a
/// try may have begun just before the network healed.
const LIVE_AGAIN: Duration = Duration::from_millis(2 * (1_000 + 1_000 + 200 + 500));

// P1, P2, P6.1
#[test]
fn whatever_the_network_does_it_heals_and_nothing_is_lost_silently() {
    let seed = setting("PROMISES_SEED", 1);
    let mut random = SplitMix::new(seed);
    let (mut world, proxies) =
        Proxies::world(r#"{"network":{"connectTimeoutMs":1000,"requestTimeoutMs":1000}}"#);
    let begin = Instant::now();
    let (mut published, mut disturbances) = (0, Vec::new());
    let publish = |world: &mut World, published: &mut u64| {
        while Duration::from_millis(*published * 5) < begin.elapsed() {
            *published += 1;
            world.publish(*published);
        }
    };
    for _ in 0..setting("PARTITIONS", 6) {
        disturbances.push((begin.elapsed(), proxies.disturb(&mut random)));
        let (cut, long) = (Instant::now(), Duration::from_millis(random.between(50, 1_800)));
        world.until("the end of the disturbance", |world| {
            publish(world, &mut published);
            cut.elapsed() > long
        });
        proxies.heal();
        let healed = Instant::now();
        world.until("life", |world| {
            publish(world, &mut published);
            // A socket that is dead may not have been noticed yet.
            healed.elapsed() > Duration::from_millis(1_300)
                && world.observer.client.state() == ClientState::Connected
        });
        assert!(
            healed.elapsed() < LIVE_AGAIN,
            "seed {seed}: {disturbances:?} took {:?} to be live again",
            healed.elapsed()
        );
    }
    world.until_events_flow();
    world.until("the end of every gap", |world| world.observer.gaps().iter().all(|gap| gap.to.is_some()));
    let verdict = truth::judge(&world, published);
    eprintln!("seed {seed}: {verdict}");
    assert!(
        verdict.is_kept(),
        "seed {seed}: {verdict:#?}\n{disturbances:#?}\n{:#?}",
        world.sim.log().sockets
    );
}

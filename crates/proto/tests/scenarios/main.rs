//! Stories about the machine, each a sentence; what they show is numbered in `docs/behaviour.md`.

#[path = "../common/mod.rs"]
mod common;

mod channels;
mod ending;
mod gaps;
mod liveness;
mod recovery;
mod rotation;
mod standby;
mod storms;
mod tokens;
mod topics;

mod stage {
    //! What the stories have in common.

    use genesys_notifications_proto::{ClientState, Config, SocketId};

    use crate::common::world::World;

    pub(crate) const A: &str = "v2.users.a.presence";
    pub(crate) const B: &str = "v2.users.b.presence";
    pub(crate) const SECOND: u64 = 1_000;
    pub(crate) const MINUTE: u64 = 60 * SECOND;
    pub(crate) const HOUR: u64 = 60 * MINUTE;

    /// A client that wants these topics and has been told to connect.
    pub(crate) fn connecting(config: Config, topics: &[&str]) -> World {
        let mut world = World::new(config, 7);
        if !topics.is_empty() {
            world.subscribe(topics);
        }
        world.connect();
        world
    }

    /// A client that has been connected for a moment.
    pub(crate) fn connected(topics: &[&str]) -> World {
        connected_with(Config::default(), topics)
    }

    pub(crate) fn connected_with(config: Config, topics: &[&str]) -> World {
        let mut world = connecting(config, topics);
        until_connected(&mut world);
        world.run_for(100);
        world
    }

    pub(crate) fn until_connected(world: &mut World) {
        world.run_until(HOUR, |world| world.state() == ClientState::Connected);
    }

    /// The one socket the driver holds.
    pub(crate) fn socket(world: &World) -> SocketId {
        let open = world.wires.open_here();
        assert_eq!(open.len(), 1, "{open:?}");
        open[0]
    }

    /// The number of the channel that this socket uses.
    pub(crate) fn channel(world: &World, socket: SocketId) -> u32 {
        world.wires.by_id[&socket].channel
    }

    /// Publishes an event every 7 ms while this happens.
    pub(crate) fn with_events(world: &mut World, ms: u64) {
        let topic = world.service.number(A);
        let end = world.clock.truth + ms;
        while world.clock.truth < end {
            world.publish(topic, None);
            world.run_for(7);
        }
        world.run_for(SECOND);
    }
}

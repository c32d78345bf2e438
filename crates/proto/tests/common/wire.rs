//! Sockets as the network sees them.

use std::collections::{BTreeMap, VecDeque};

use genesys_notifications_proto::{LinkId, SocketId};

use super::agenda::Item;

/// One socket, both of its ends.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) link: LinkId,
    pub(crate) channel: u32,
    /// The driver is still opening it.
    pub(crate) opening: bool,
    /// The driver holds it and has said so.
    pub(crate) open_here: bool,
    /// The service sends to it.
    pub(crate) open_there: bool,
    /// Nothing passes any more, and nobody is told.
    pub(crate) dead: bool,
    /// Frames arrive in order.
    pub(crate) last_arrival: u64,
    /// Nothing arrives before.
    pub(crate) stalled_until: u64,
    /// The driver does not read.
    pub(crate) paused: bool,
    /// Frames read since then may be old; until a ping sent after that is answered.
    pub(crate) doubt: Option<(u64, u64)>,
    pub(crate) unread: VecDeque<Item>,
    /// Events held back for `Release`.
    pub(crate) held: Vec<u32>,
}

impl Wire {
    pub(crate) fn new(link: LinkId, channel: u32) -> Self {
        Self {
            link,
            channel,
            opening: true,
            open_here: false,
            open_there: true,
            dead: false,
            last_arrival: 0,
            stalled_until: 0,
            paused: false,
            doubt: None,
            unread: VecDeque::new(),
            held: Vec::new(),
        }
    }

    /// Whether an event sent now would be read, as far as the network is concerned.
    pub(crate) fn carries(&self) -> bool {
        self.open_here && self.open_there && !self.dead
    }
}

/// Every socket that some end still knows.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    pub(crate) by_id: BTreeMap<SocketId, Wire>,
}

impl Wires {
    pub(crate) fn of(&mut self, socket: SocketId) -> Option<&mut Wire> {
        self.by_id.get_mut(&socket)
    }

    pub(crate) fn is_open_here(&self, socket: SocketId) -> bool {
        self.by_id.get(&socket).is_some_and(|wire| wire.open_here)
    }

    /// Sockets the driver holds.
    pub(crate) fn open_here(&self) -> Vec<SocketId> {
        self.by_id.iter().filter(|(_, wire)| wire.open_here).map(|(id, _)| *id).collect()
    }
}

//! What will happen, in order.

use std::collections::BTreeMap;

use genesys_notifications_proto::{Ending, Outcome, SocketId, SystemNotice, Ticket, Unreadable};

/// Something that happens at its time.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A request reaches the service.
    AtService(Ticket),
    /// The driver has the result of an operation.
    Answer(Ticket, Outcome),
    /// A ping, sent then, reaches the service.
    PingAtService(SocketId, u64),
    /// A frame reaches this computer.
    Arrive(SocketId, Cargo),
    /// The driver reads a frame that was buffered.
    Read(SocketId, Cargo),
    /// The end of a socket reaches this computer.
    Ends(SocketId, Ending),
    /// The service notices that a socket was closed by the client.
    LeftAtService(SocketId),
    /// The service's heartbeat is due.
    Beat(SocketId),
    /// A token ends.
    TokenEnds(u32),
    /// A channel ends.
    ChannelEnds(u32),
    /// Maintenance: what is still open is closed.
    Maintenance(SocketId),
    /// The socket becomes half-open.
    Cut(SocketId),
    /// The queue has room again.
    Resume(SocketId),
    /// The process runs again after a pause.
    Thaw,
    /// The next process begins.
    Begin,
    /// An event is published.
    Publish,
    /// An event is published while the world looks closely.
    Burst,
    /// The world does something unkind.
    Chaos,
}

impl Item {
    /// Whether the machine hears of it, so that it waits while the process does not run.
    pub(crate) fn is_for_the_machine(&self) -> bool {
        matches!(self, Self::Answer(..) | Self::Read(..) | Self::Ends(..) | Self::Resume(..) | Self::Chaos)
    }
}

/// What a frame carries.
#[derive(Clone, Debug)]
pub(crate) enum Cargo {
    /// An event by its number.
    Event(u32),
    /// An event that was damaged on its way.
    Damaged(u32),
    Beat,
    /// The answer to a ping sent then.
    Pong(u64),
    System(SystemNotice),
    Reply(u16),
    Garbage(Unreadable),
}

/// Items by time; of the same time, in the order they were planned.
#[derive(Debug)]
pub(crate) struct Agenda<T = Item> {
    /// Boxed: an outcome is large, and a tree moves what it holds.
    items: BTreeMap<(u64, u64), Box<T>>,
    planned: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), planned: 0 }
    }
}

impl<T> Agenda<T> {
    pub(crate) fn plan(&mut self, at: u64, item: T) {
        self.planned += 1;
        self.items.insert((at, self.planned), Box::new(item));
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.items.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.items.pop_first().map(|(_, item)| *item)
    }

    /// Takes out what is not to be kept.
    pub(crate) fn keep(&mut self, is_kept: impl Fn(&T) -> bool) -> Vec<T> {
        let (left, gone): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.items).into_iter().partition(|(_, item)| is_kept(item));
        self.items = left;
        gone.into_values().map(|item| *item).collect()
    }
}

impl Agenda {
    /// Takes out what a process that is no more would have had a part in.
    pub(crate) fn forget_process(&mut self) -> Vec<Item> {
        self.keep(|item| {
            matches!(item, Item::ChannelEnds(_) | Item::Begin | Item::Publish | Item::Burst | Item::Chaos)
        })
    }

    /// Damages the events on their way through this socket.
    pub(crate) fn damage(&mut self, through: SocketId) {
        for item in self.items.values_mut() {
            if let Item::Arrive(socket, cargo) = item.as_mut()
                && *socket == through
                && let Cargo::Event(event) = cargo
            {
                *cargo = Cargo::Damaged(*event);
            }
        }
    }
}

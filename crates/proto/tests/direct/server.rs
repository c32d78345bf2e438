//! What the server has and knows: its stream, its tokens, its ends of the sockets.

use std::collections::{BTreeMap, BTreeSet};

use genesys_notifications_proto::{Generation, LinkId, SocketId};

use super::manners::Resuming;

/// One event of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) topic: u8,
    /// Events that cannot be told apart have one number.
    pub(crate) group: usize,
    pub(crate) position: String,
    pub(crate) shows_position: bool,
}

/// Both ends of one socket.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) link: LinkId,
    pub(crate) generation: Option<Generation>,
    pub(crate) position: Option<String>,
    /// The driver is still opening it.
    pub(crate) is_opening: bool,
    pub(crate) open_here: bool,
    pub(crate) open_there: bool,
    /// Nothing passes any more, and nobody is told.
    pub(crate) is_dead: bool,
    /// Frames arrive in order, in both directions.
    pub(crate) last_arrival: u64,
    pub(crate) last_sent: u64,
    /// The server has accepted the token.
    pub(crate) is_accepted: bool,
    /// The client was told so.
    pub(crate) heard_ready: bool,
    /// Topics that it was asked for, and will send together: a stream has one order.
    pub(crate) gathers: BTreeSet<u8>,
    /// What the server sends: everything, or these topics.
    pub(crate) sends_all: bool,
    pub(crate) sends: BTreeSet<u8>,
    /// What the client asked for.
    pub(crate) asked: BTreeSet<u8>,
    /// What the client holds back: numbers of events.
    pub(crate) held: Vec<Arrived>,
}

/// An event as the client read it.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) group: usize,
    pub(crate) position: Option<String>,
    pub(crate) identity: u64,
}

impl Wire {
    pub(crate) fn new(link: LinkId, generation: Option<Generation>, position: Option<String>) -> Self {
        Self {
            link,
            generation,
            position,
            is_opening: true,
            open_here: false,
            open_there: false,
            is_dead: false,
            last_arrival: 0,
            last_sent: 0,
            is_accepted: false,
            heard_ready: false,
            gathers: BTreeSet::new(),
            sends_all: false,
            sends: BTreeSet::new(),
            asked: BTreeSet::new(),
            held: Vec::new(),
        }
    }

    pub(crate) fn sends(&self, topic: u8) -> bool {
        self.open_there && (self.sends_all || self.sends.contains(&topic))
    }

    /// Whether an event of the topic that is sent now will be read.
    pub(crate) fn carries(&self, topic: u8) -> bool {
        self.open_here && !self.is_dead && self.sends(topic)
    }
}

/// The server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) log: Vec<Event>,
    pub(crate) wires: BTreeMap<SocketId, Wire>,
    /// When the tokens of this process end, in the world's own time.
    pub(crate) tokens: BTreeMap<Generation, u64>,
    last_position: u64,
    /// Positions before this one are not known any more.
    oldest: u64,
}

impl Server {
    /// Where an event that is published now, by the clock on the wall, is in the stream.
    pub(crate) fn position(&mut self, wall: u64, resuming: Option<Resuming>) -> String {
        self.last_position = match resuming.and_then(|it| it.coarse_ms) {
            Some(coarse) => wall / coarse * coarse,
            None => wall.max(self.last_position + 1),
        };
        iso(self.last_position)
    }

    /// The numbers of the events behind a position, or at it.
    pub(crate) fn since(&self, position: &str, is_inclusive: bool) -> std::ops::Range<usize> {
        let begin = match is_inclusive {
            true => self.log.partition_point(|event| &*event.position < position),
            false => self.log.partition_point(|event| &*event.position <= position),
        };
        begin..self.log.len()
    }

    /// As after a restart.
    pub(crate) fn forgets(&mut self, wall: u64) {
        self.oldest = wall;
    }

    pub(crate) fn knows(&self, position: &str, wall: u64, resuming: Resuming) -> bool {
        position >= iso(self.oldest.max(wall.saturating_sub(resuming.retention_ms))).as_str()
    }

    pub(crate) fn accepts(&self, generation: Option<Generation>, now: u64) -> bool {
        generation.is_none_or(|it| self.tokens.get(&it).is_some_and(|ends_at| now < *ends_at))
    }
}

/// Milliseconds since the epoch as `2026-01-02T03:04:05.678Z`: texts that compare as the times do.
pub(crate) fn iso(wall: u64) -> String {
    let (days, ms) = (wall / 86_400_000 + 719_468, wall % 86_400_000);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

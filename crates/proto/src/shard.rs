//! Up to 1,000 topics and the links that carry them: one in use, perhaps one that stands by, perhaps a successor of
//! either, perhaps some draining.

use std::collections::{BTreeMap, BTreeSet};

use crate::backoff::Retry;
use crate::dedup::Window;
use crate::io::{LinkId, SocketId, Ticket, TopicId};
use crate::link::Link;
use crate::liveness::OpenSocket;
use crate::notice::Reason;

/// What a link is to its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    /// Live, with the same topics: carries on if the one in use is lost.
    Standby,
    /// Being built.
    Successor,
    Draining,
}

/// One shard.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) wanted: BTreeSet<TopicId>,
    /// Counts changes of the wanted set.
    pub(crate) revision: u64,
    /// When the first change was made that no request has carried yet, and the last one.
    pub(crate) changed: Option<(u64, u64)>,
    pub(crate) primary: Option<Link>,
    pub(crate) standby: Option<Link>,
    pub(crate) successor: Option<Link>,
    /// What the successor is built for.
    pub(crate) purpose: Option<Purpose>,
    pub(crate) draining: Vec<Drain>,
    /// Creating and opening the link in use.
    pub(crate) retry: Retry,
    /// Building a successor.
    pub(crate) rotation_retry: Retry,
    /// The successor waits for a sign that the live links were alive until then.
    pub(crate) handing_over: bool,
    /// What the live link that was lost last had carried.
    pub(crate) fallen: Option<Fallen>,
    /// The last time a link showed that it survived a pause.
    pub(crate) paused_until: u64,
    /// When links made with an older token are replaced; spread over the shards.
    pub(crate) token_rotation_at: u64,
    pub(crate) was_live: bool,
    /// Why the link in use is not live.
    pub(crate) trouble: Option<Reason>,
    /// Recognises copies while links overlap and for a window after.
    pub(crate) copies: Option<Window>,
    pub(crate) copies_until: u64,
    pub(crate) blemish: Option<Blemish>,
}

/// What a successor is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A link is replaced, one shard after the other: its channel or token comes to its end.
    Planned(Reason),
    /// A link is replaced at once.
    Forced(Reason),
    /// There is no link that stands by.
    Missing,
}

/// A live link that was lost while another one carried on: what it brought until then is not missing, whatever becomes
/// known of the other.
#[derive(Debug)]
pub(crate) struct Fallen {
    pub(crate) sound_until: u64,
    pub(crate) carried: BTreeMap<TopicId, u64>,
}

/// A link on its way out: its stream is drained, then it is closed, then its subscriptions are deleted.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) link: Link,
    pub(crate) since: u64,
    pub(crate) pinged: bool,
    pub(crate) drained_at: Option<u64>,
    pub(crate) clearing: Option<Ticket>,
}

impl Drain {
    pub(crate) fn socket(&self) -> Option<SocketId> {
        self.link.open().map(|open| open.id)
    }
}

/// Frames that could not be read, gathered so that a flood of them is not a flood of gaps.
#[derive(Debug)]
pub(crate) struct Blemish {
    pub(crate) reported_at: u64,
    /// When those that nobody was told of yet came, each since the last proof before it; in order.
    pub(crate) pending: Vec<(u64, u64)>,
}

/// So many stretches are told apart in one report; what comes more often is one.
const STRETCHES: usize = 16;

impl Blemish {
    /// Adds a stretch; the readable time between two of them is not part of the record.
    pub(crate) fn add(&mut self, from: u64, to: u64) {
        let is_full = self.pending.len() >= STRETCHES;
        match self.pending.last_mut() {
            Some(last) if from <= last.1 || is_full => *last = (last.0.min(from), last.1.max(to)),
            _ => self.pending.push((from, to)),
        }
    }
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self {
            wanted: BTreeSet::new(),
            revision: 0,
            changed: None,
            primary: None,
            standby: None,
            successor: None,
            purpose: None,
            draining: Vec::new(),
            retry: Retry::default(),
            rotation_retry: Retry::default(),
            handing_over: false,
            fallen: None,
            paused_until: 0,
            token_rotation_at: 0,
            was_live: false,
            trouble: None,
            copies: None,
            copies_until: 0,
            blemish: None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        self.primary.as_ref().is_some_and(Link::is_live)
    }

    pub(crate) fn links(&self) -> impl Iterator<Item = (Role, &Link)> {
        let primary = self.primary.iter().map(|link| (Role::Primary, link));
        let standby = self.standby.iter().map(|link| (Role::Standby, link));
        let successor = self.successor.iter().map(|link| (Role::Successor, link));
        let draining = self.draining.iter().map(|drain| (Role::Draining, &drain.link));
        primary.chain(standby).chain(successor).chain(draining)
    }

    pub(crate) fn link(&self, role: Role) -> Option<&Link> {
        match role {
            Role::Primary => self.primary.as_ref(),
            Role::Standby => self.standby.as_ref(),
            Role::Successor => self.successor.as_ref(),
            Role::Draining => None,
        }
    }

    pub(crate) fn link_mut(&mut self, role: Role) -> Option<&mut Link> {
        match role {
            Role::Primary => self.primary.as_mut(),
            Role::Standby => self.standby.as_mut(),
            Role::Successor => self.successor.as_mut(),
            Role::Draining => None,
        }
    }

    pub(crate) fn links_mut(&mut self) -> impl Iterator<Item = (Role, &mut Link)> {
        let primary = self.primary.iter_mut().map(|link| (Role::Primary, link));
        let standby = self.standby.iter_mut().map(|link| (Role::Standby, link));
        let successor = self.successor.iter_mut().map(|link| (Role::Successor, link));
        let draining = self.draining.iter_mut().map(|drain| (Role::Draining, &mut drain.link));
        primary.chain(standby).chain(successor).chain(draining)
    }

    /// The live links whose topics count as covered: the one in use and the one that stands by.
    pub(crate) fn carriers(&self) -> impl Iterator<Item = &Link> {
        self.primary.iter().chain(&self.standby).filter(|link| link.is_live())
    }

    /// Every link but those that drain.
    pub(crate) fn links_in_use_mut(&mut self) -> impl Iterator<Item = (Role, &mut Link)> {
        self.links_mut().filter(|(role, _)| *role != Role::Draining)
    }

    /// Every link, taken out.
    pub(crate) fn take_links(&mut self) -> Vec<Link> {
        self.purpose = None;
        let links = [self.primary.take(), self.standby.take(), self.successor.take()].into_iter().flatten();
        links.chain(self.draining.drain(..).map(|drain| drain.link)).collect()
    }

    pub(crate) fn by_id(&mut self, id: LinkId) -> Option<(Role, &mut Link)> {
        self.links_mut().find(|(_, link)| link.id == id)
    }

    pub(crate) fn by_socket(&mut self, socket: SocketId) -> Option<(Role, &mut Link)> {
        self.links_mut().find(|(_, link)| link.open().is_some_and(|open| open.id == socket))
    }

    /// Whether some socket's frames may have waited to be read: copies come later than any window then.
    pub(crate) fn reads_late(&self) -> bool {
        self.links().any(|(_, link)| link.open().is_some_and(OpenSocket::reads_late))
    }

    pub(crate) fn change(&mut self, now: u64) {
        self.revision += 1;
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// When gathered changes are to be sent.
    pub(crate) fn flush_at(&self, (low, high): (u64, u64)) -> u64 {
        self.changed.map_or(0, |(first, last)| (last + low).min(first + high))
    }
}

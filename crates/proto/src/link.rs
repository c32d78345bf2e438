//! One use of a channel: create, subscribe, open, live, draining. Data and its own small rules; who does what when is
//! the machine's business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::backoff::Retry;
use crate::handshake::Handshake;
use crate::io::{Generation, LinkId, Rejection, SocketId, Ticket, TopicId, Verb};
use crate::liveness::OpenSocket;
use crate::notice::Reason;
use crate::time::Now;

/// One use of a channel.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) shard: u16,
    pub(crate) creating: Option<Ticket>,
    pub(crate) channel: Option<Channel>,
    pub(crate) socket: Socket,
    pub(crate) subscriptions: Subscriptions,
    /// When this link began to subscribe: from here on its events can be copies of another link's.
    pub(crate) joined_at: Option<u64>,
    /// Since when it is proven alive.
    pub(crate) live_since: Option<u64>,
    /// Since when it is proven to carry each topic, without a break, by the wall clock.
    pub(crate) carries: BTreeMap<TopicId, u64>,
    pub(crate) audit: Audit,
    /// It is to be replaced, and why: without waiting for its turn.
    pub(crate) doomed: Option<Reason>,
    /// Times its channel was opened again after having been live.
    pub(crate) reopened: u32,
    /// Failed openings in a row.
    pub(crate) failed_opens: u32,
    /// Of a direct link, once it was opened.
    pub(crate) handshake: Option<Handshake>,
}

/// A link in the continuity report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) link: u32,
    pub(crate) shard: u16,
}

/// The server's object.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    pub(crate) owner: Generation,
    pub(crate) made_at: u64,
    pub(crate) rotate_at: u64,
    pub(crate) ends_at: u64,
    /// Known to be dead or dying: never opened again.
    pub(crate) gone: bool,
}

/// The socket of a link.
#[derive(Debug)]
pub(crate) enum Socket {
    Closed,
    Opening { id: SocketId, ticket: Ticket },
    Open(OpenSocket),
}

/// Wanted against confirmed on one channel. One writer: at most one request in flight.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    pub(crate) confirmed: BTreeSet<TopicId>,
    pub(crate) rejected: BTreeMap<TopicId, Rejection>,
    /// Topics whose presence made the whole list fail; not sent again on this channel.
    pub(crate) excluded: BTreeSet<TopicId>,
    /// The revision of the wanted set that the service has confirmed.
    pub(crate) synced: Option<u64>,
    /// Counts confirmations; a pong to a ping sent later proves them.
    pub(crate) confirmations: u64,
    pub(crate) proven: u64,
    pub(crate) in_flight: Option<InFlight>,
    /// When the first list was sent since the last answer, by the wall clock: from then on the service may have
    /// dropped what it refuses now.
    pub(crate) unsure_since: Option<u64>,
    /// Topics that went out under a combined name in a list that was never answered: refused as a whole, it drops them.
    pub(crate) unsure_of: BTreeSet<TopicId>,
    /// What is left of a list that had to be split, and its revision.
    pub(crate) rest: VecDeque<Batch>,
    pub(crate) rest_revision: u64,
    pub(crate) retry: Retry,
    /// How often in a row the service left a topic out of its answer.
    pub(crate) left_out: u32,
}

/// What is known of a channel's list, and its reading back.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    /// When the next one is due.
    pub(crate) at: Option<u64>,
    pub(crate) asked: Option<Asked>,
    /// When the service was last asked whether each topic is on the list and said so, by the wall clock. The list outlives
    /// the sockets, and so does this.
    pub(crate) listed_at: BTreeMap<TopicId, u64>,
    /// Since when this channel was first proven to carry each of them, by the wall clock: before that nothing was promised.
    pub(crate) first_carried: BTreeMap<TopicId, u64>,
    /// What the last one found missing, and how often in a row.
    pub(crate) missing: BTreeMap<TopicId, u32>,
    pub(crate) extra: BTreeSet<String>,
}

/// A reading under way: after which confirmation it was asked for, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) confirmations: u64,
    pub(crate) wall: u64,
}

#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) ticket: Ticket,
    pub(crate) revision: u64,
    pub(crate) generation: Generation,
    /// When it was sent, by the wall clock.
    pub(crate) sent: u64,
    /// `Subscriptions::unsure_since` before this request.
    pub(crate) unsure_before: Option<u64>,
    pub(crate) batch: Batch,
}

/// Topics of one request.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) verb: Verb,
    pub(crate) entries: Vec<BatchEntry>,
}

/// One name on the wire and whom it stands for.
#[derive(Clone, Debug)]
pub(crate) struct BatchEntry {
    pub(crate) wire: String,
    pub(crate) members: Vec<TopicId>,
}

impl Link {
    pub(crate) fn new(id: LinkId, shard: u16) -> Self {
        Self {
            id,
            shard,
            creating: None,
            channel: None,
            socket: Socket::Closed,
            subscriptions: Subscriptions::default(),
            joined_at: None,
            live_since: None,
            carries: BTreeMap::new(),
            audit: Audit::default(),
            doomed: None,
            reopened: 0,
            failed_opens: 0,
            handshake: None,
        }
    }

    /// How the continuity report names it; nothing while it has no channel.
    pub(crate) fn who(&self) -> Option<Who> {
        self.channel.as_ref().map(|_| Who { link: self.id.0, shard: self.shard })
    }

    pub(crate) fn open(&self) -> Option<&OpenSocket> {
        match &self.socket {
            Socket::Open(open) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn open_mut(&mut self) -> Option<&mut OpenSocket> {
        match &mut self.socket {
            Socket::Open(open) => Some(open),
            _ => None,
        }
    }

    /// Open, and every confirmation so far proven by a pong at least once.
    pub(crate) fn is_live(&self) -> bool {
        self.live_since.is_some() && self.open().is_some()
    }

    pub(crate) fn channel_is_usable(&self, now: u64) -> bool {
        self.channel.as_ref().is_some_and(|channel| !channel.gone && now < channel.ends_at)
    }

    /// A confirmation that no pong has proven yet.
    pub(crate) fn awaits_proof(&self) -> bool {
        self.subscriptions.proven < self.subscriptions.confirmations
    }

    /// Nothing is being changed: the service has confirmed this revision, and that is proven.
    pub(crate) fn is_settled(&self, revision: u64) -> bool {
        let subscriptions = &self.subscriptions;
        let is_idle = subscriptions.in_flight.is_none() && subscriptions.rest.is_empty();
        is_idle && subscriptions.synced == Some(revision) && !self.awaits_proof()
    }

    /// Since when a topic that is refused now may have been missing: since the last proof of life, or since the list
    /// was sent that dropped it.
    pub(crate) fn refused_since(&self, now: Now) -> u64 {
        let sound_until = self.open().map_or(now.wall, OpenSocket::sound_until);
        self.subscriptions.unsure_since.unwrap_or(now.wall).min(sound_until)
    }

    /// The socket is no more; a reopened one must prove itself anew.
    pub(crate) fn socket_ended(&mut self) {
        self.socket = Socket::Closed;
        self.live_since = None;
        self.joined_at = None;
        self.carries.clear();
        self.subscriptions.proven = 0;
    }

    /// Everything confirmed is proven now.
    pub(crate) fn carries_all(&mut self, wall: u64) {
        self.carries_only_confirmed();
        for id in &self.subscriptions.confirmed {
            self.carries.entry(*id).or_insert(wall);
            self.audit.first_carried.entry(*id).or_insert(wall);
        }
    }

    pub(crate) fn carries_only_confirmed(&mut self) {
        let is_confirmed = |id: &TopicId, _: &mut u64| self.subscriptions.confirmed.contains(id);
        self.carries.retain(is_confirmed);
        self.audit.listed_at.retain(is_confirmed);
        self.audit.first_carried.retain(is_confirmed);
    }

    /// The service was asked then, and says that these are on the list.
    pub(crate) fn are_listed(&mut self, topics: impl IntoIterator<Item = TopicId>, asked: u64) {
        self.audit.listed_at.extend(topics.into_iter().map(|id| (id, asked)));
    }

    /// It is on the list no more, or nobody knows. Says since when it may have been missing from it, by the wall clock.
    pub(crate) fn is_unlisted(&mut self, topic: TopicId) -> Option<u64> {
        self.carries.remove(&topic);
        self.subscriptions.confirmed.remove(&topic);
        let first_carried = self.audit.first_carried.remove(&topic);
        self.audit.listed_at.remove(&topic).max(first_carried).filter(|_| first_carried.is_some())
    }

    /// Whether it was proven to carry the topic then already.
    pub(crate) fn carried(&self, topic: TopicId, wall: u64) -> bool {
        self.carries.get(&topic).is_some_and(|since| *since <= wall)
    }
}

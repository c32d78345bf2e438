//! A stream that goes on where it ended: positions, the cursor of an earlier process, and what may come twice.

use std::collections::{BTreeSet, HashMap};

use crate::config::Resume;
use crate::cursor::Cursor;
use crate::date::iso;
use crate::decision::{Decision, Step, judge};
use crate::dedup::Sighting;
use crate::envelope::Envelope;
use crate::failure::Failure;
use crate::handshake::Handshake;
use crate::io::{Effect, SocketId, TopicId};
use crate::notice::{Certainty, ClientState, ErrorReport, Notice, Reason};
use crate::position::Positions;
use crate::roster::ShardIndex;
use crate::time::Now;
use crate::topic::Topic;

use super::results::retryable;
use super::{Context, Machine, What};

/// The name under which gaps are told of a client that asked for no topics.
const EVERYTHING: &str = "*";

/// Before any time: what a resumed connection brings may be older than the connection.
const EVER: i64 = i64::MIN / 2;

/// What a client of a direct endpoint knows of its stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    positions: Positions,
    /// Whatever the endpoint sends, as a topic.
    everything: Option<TopicId>,
    /// The user has asked for a topic of that name.
    is_named: bool,
    /// Topics that were wanted and are no longer.
    unwanted: BTreeSet<TopicId>,
    /// The clock by which copies are forgotten stands still while nothing is live: what was sent before an outage may come
    /// again after it.
    halted_since: Option<u64>,
    halted_ms: u64,
    /// When a connection last began anew beside one in use, by the wall clock.
    begun_anew: Option<u64>,
}

impl Stream {
    /// The topic that stands for everything, unless the user means it as a name.
    pub(super) fn everything(&self) -> Option<TopicId> {
        self.everything.filter(|_| !self.is_named)
    }

    pub(super) fn is_unwanted(&self, id: TopicId) -> bool {
        self.unwanted.contains(&id)
    }

    pub(super) fn position(&self) -> Option<&str> {
        self.positions.last()
    }

    fn clock(&self, now: u64) -> i64 {
        self.halted_since.unwrap_or(now) as i64 - self.halted_ms as i64
    }
}

impl Machine {
    /// The client starts to connect.
    pub(super) fn begin_stream(&mut self, cx: &mut Context<'_>) {
        if self.config.direct.is_some() {
            self.stream.halted_since = Some(cx.now.mono);
            let mut touched = BTreeSet::new();
            self.want_everything_or_topics(cx, &[], &mut touched);
            self.rewrite(touched, cx.now.mono);
        }
    }

    /// A client of a direct endpoint that wants no topics wants everything, so that its gaps are told.
    pub(super) fn want_everything_or_topics(
        &mut self,
        cx: &mut Context<'_>,
        named: &[TopicId],
        touched: &mut BTreeSet<ShardIndex>,
    ) {
        if self.config.direct.is_none() {
            return;
        }
        let everything = self.everything();
        self.stream.is_named |= named.contains(&everything) && self.roster.is_wanted(everything);
        self.stream.is_named &= self.roster.is_wanted(everything);
        if self.stream.is_named {
            touched.extend(self.roster.shard_of(everything));
        } else if self.roster.wanted().all(|id| id == everything) {
            self.want(&[everything], touched);
        } else {
            self.unwant(cx, &[everything], touched);
        }
        self.stream.unwanted.remove(&everything);
    }

    /// These were wanted until now.
    pub(super) fn no_longer_asked_for(&mut self, topics: &[TopicId]) {
        if self.config.direct.is_some() {
            self.stream.unwanted.extend(topics);
        }
    }

    /// These are wanted from now on.
    pub(super) fn asked_for(&mut self, topics: &[TopicId]) {
        for id in topics {
            self.stream.unwanted.remove(id);
        }
    }

    pub(super) fn is_everything(&self, id: TopicId) -> bool {
        self.stream.everything() == Some(id)
    }

    pub(super) fn everything(&mut self) -> TopicId {
        let roster = &mut self.roster;
        *self.stream.everything.get_or_insert_with(|| {
            let topic = Topic::free(EVERYTHING).expect("one printable character");
            roster.intern(&topic)
        })
    }

    pub(super) fn resumes(&self) -> bool {
        self.resume().is_some()
    }

    fn resume(&self) -> Option<&Resume> {
        self.config.direct.as_ref()?.resume.as_ref()
    }

    pub(super) fn drive_cursor(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        let is_wanted = self.config.direct.as_ref().is_some_and(|direct| direct.has_cursor);
        let cursor = &self.stream.positions.cursor;
        if !is_wanted || cursor.is_loaded || cursor.ticket.is_some() {
            return;
        }
        if cursor.retry.at > now {
            let at = cursor.retry.at;
            return self.attempt_at(at);
        }
        let ticket = self.start(now, What::Cursor, Effect::LoadCursor);
        self.stream.positions.cursor.ticket = Some(ticket);
    }

    pub(super) fn cursor_loaded(&mut self, cx: &mut Context<'_>, result: Result<Option<Cursor>, Failure>) {
        let suspended = self.state == ClientState::Suspended;
        let cursor = &mut self.stream.positions.cursor;
        cursor.ticket = None;
        match result {
            Ok(None) => cursor.is_loaded = true,
            Ok(Some(found)) => {
                self.go_on_from(&found);
                let wanted: Vec<TopicId> = self.roster.wanted().collect();
                self.ledger.restore_covered(wanted.iter().copied());
                let from = found.at.unwrap_or(cx.now.wall).min(cx.now.wall);
                let down = self.ledger.lose(&wanted, from, Reason::ProcessDown, Certainty::Certain);
                self.notify_gaps(down);
            }
            Err(failure) => {
                let judgement = judge(Step::Cursor, &failure);
                let report = ErrorReport::of(Step::Cursor, &failure, &judgement);
                if judgement.decision == Decision::Fatal {
                    return self.fail(judgement.reason, report);
                }
                cursor.retry.again(&self.config.backoff, suspended, cx.now.mono, cx.random);
                self.standing.trouble(judgement.reason, Some(retryable(&report)));
                self.notify(Notice::Error(retryable(&report)));
            }
        }
    }

    /// Nothing that was sent since is missing, if the server takes this position.
    pub(super) fn go_on_from(&mut self, cursor: &Cursor) {
        if self.resumes() {
            self.stream.positions.restore(cursor);
            self.stream.positions.cursor.is_loaded = true;
            self.ledger.is_quiet = true;
        }
    }

    /// Whether the cursor, if there may be one, is loaded.
    pub(super) fn knows_where_to_begin(&self) -> bool {
        let has_cursor = self.config.direct.as_ref().is_some_and(|direct| direct.has_cursor);
        !has_cursor || self.stream.positions.cursor.is_loaded
    }

    /// The position to send with the next connection, and what that will bring again.
    pub(super) fn resumption(&mut self, now: Now) -> (Option<String>, Handshake) {
        let joined_at = self.stream.clock(now.mono);
        let is_carried = self.is_carried();
        let Some(resume) = self.config.direct.as_ref().and_then(|direct| direct.resume.as_ref()) else {
            return (None, Handshake::new(joined_at, HashMap::new()));
        };
        let positions = &mut self.stream.positions;
        // From here on an outage costs nothing, unless the server says that it does.
        self.ledger.is_quiet = true;
        if positions.is_refused && is_carried {
            let position = Positions::default().next(resume, || iso(now.wall));
            self.stream.begun_anew = Some(now.wall);
            return (Some(position), Handshake::new(joined_at, HashMap::new()));
        }
        let position = positions.next(resume, || iso(now.wall));
        (Some(position), Handshake::new(joined_at, positions.expected()))
    }

    /// The server does not know the position. While another connection carries the stream on, the next one begins anew beside it
    /// and nothing is lost yet; otherwise what the server has sent since then is.
    pub(super) fn position_refused(&mut self, report: Option<ErrorReport>) {
        self.counts.repositions += 1;
        if self.is_carried() {
            self.stream.positions.is_refused = true;
        } else {
            self.stream.positions.forget();
            self.ledger.is_quiet = false;
            let told = self.ledger.speak(Some(Reason::PositionRefused));
            self.notify_gaps(told);
        }
        if let Some(report) = report {
            self.notify(Notice::Error(retryable(&report)));
        }
    }

    fn is_carried(&self) -> bool {
        self.shards.iter().any(|shard| shard.carriers().next().is_some())
    }

    /// The connection in use is lost, and was sound until then. If another one began anew meanwhile, what that has not brought
    /// may be missing.
    pub(super) fn doubt_what_began_anew(&mut self, index: ShardIndex, sound_until: u64) {
        if let Some(begun) = self.stream.begun_anew.take_if(|begun| *begun > sound_until) {
            let wanted = self.shards[index].wanted.iter().copied();
            let topics = wanted.filter(|id| self.ledger.is_covered(*id)).collect();
            let (reason, certainty) = (Reason::PositionRefused, Certainty::Possible);
            let record = self.ledger.blemish(topics, sound_until, begun, reason, certainty);
            self.notify_gaps(record);
        }
    }

    /// The client ends in an outage, and nobody will go on from here.
    pub(super) fn give_up_stream(&mut self) {
        if self.config.direct.as_ref().is_some_and(|direct| !direct.survives) {
            let told = self.ledger.speak(None);
            self.notify_gaps(told);
        }
    }

    /// The clock of copies stands still while nothing is live.
    pub(super) fn drive_stream(&mut self, now: u64) {
        if self.config.direct.is_none() {
            return;
        }
        let is_live = self.is_carried();
        let stream = &mut self.stream;
        match stream.halted_since {
            Some(since) if is_live => {
                stream.halted_ms += now.saturating_sub(since);
                stream.halted_since = None;
            }
            None if !is_live => stream.halted_since = Some(now),
            _ => {}
        }
    }

    /// Whether an event has come before: on another connection, or in an earlier process. If not, the position moves on.
    pub(super) fn is_direct_copy(
        &mut self,
        now: Now,
        index: ShardIndex,
        socket: SocketId,
        envelope: &Envelope<'_>,
    ) -> bool {
        // The identity knows the topic's name; its id changes once somebody asks for it.
        let topic = self.everything();
        let (identity, resumes, clock) = (envelope.identity(), self.resumes(), self.stream.clock(now.mono));
        let shard = &mut self.shards[index];
        let Some((_, link)) = shard.by_socket(socket) else { return false };
        let link_id = link.id;
        let joined = link.handshake.as_ref().map_or(0, |handshake| handshake.joined_at);
        let expected = link.handshake.as_mut().is_some_and(|handshake| handshake.was_expected(identity));
        let joined_at = if resumes { EVER } else { joined };
        let is_late = shard.reads_late();
        let is_copy = shard.copies.as_mut().is_some_and(|window| {
            if !is_late {
                window.forget(clock);
            }
            let identity = Some(identity);
            let (link, body, has_company, is_late) = (link_id, envelope.body, false, true);
            let event = Sighting { topic, body, identity, link, joined_at, now: clock, has_company, is_late };
            window.is_copy(&mut self.likeness, event)
        });
        if expected || is_copy {
            return true;
        }
        let position = envelope.position.as_deref();
        let subscribes = self.config.direct.as_ref().is_some_and(|direct| direct.subscribes);
        let link = shard.by_socket(socket).map(|(_, link)| link);
        let early =
            link.filter(|link| subscribes && !link.is_live()).and_then(|link| link.handshake.as_mut());
        match early {
            _ if !resumes => {}
            Some(handshake) => {
                handshake.early(position, identity);
                self.stream.positions.arrived_early(identity);
            }
            None => self.stream.positions.arrived(position, identity),
        }
        false
    }

    /// A connection is proven: the stream has come as far as what it has brought.
    pub(super) fn come_so_far(&mut self, arrived: Vec<(Option<String>, u64)>) {
        if self.resumes() {
            self.stream.positions.caught_up(arrived);
        }
    }
}

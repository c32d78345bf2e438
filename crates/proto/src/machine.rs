//! The machine: what it holds, what goes in, what comes out. Its rules are in the modules below, one concern each.
//!
//! It is level-triggered: every input changes the least it can, then one pass over everything starts what is due and
//! notes the next deadline. Nothing is started twice, because what was started is part of the state.

mod audit;
mod budget;
mod carry;
mod copies;
mod direct;
mod drive;
mod frames;
mod handover;
mod history;
mod loss;
mod restore;
mod results;
mod resume;
mod rotation;
mod standby;
mod stats;
mod status;
mod subscribe;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::config::Config;
use crate::gap::{Ledger, Record, number_of};
use crate::governor::Governor;
use crate::io::{
    Effect, Generation, Input, LinkId, Operation, Output, SocketId, Ticket, TopicId, TopicRequest,
};
use crate::likeness::Likeness;
use crate::link::{Channel, Link};
use crate::notice::{
    Backfilled, Certainty, ChannelStage, ClientState, ErrorCode, ErrorReport, Gap, LogLine, Notice, Reason,
    TopicStatus,
};
use crate::random::Random;
use crate::roster::{Roster, ShardIndex};
use crate::shard::Shard;
use crate::throttle::{Door, Throttle};
use crate::time::Now;
use crate::token::Tokens;
use crate::topic::Topic;

pub use frames::Disposition;
pub use stats::{ChannelStats, DirectStats, GapStats, KeptGaps, MachineStats, SkewStats, TopicStats};

/// A clock that advanced by this much more than the other, or a wake-up that came this late, is a jump.
const JUMP_MS: u64 = 1_000;

/// What each call is given besides its input.
pub struct Context<'a> {
    /// Both clocks.
    pub now: Now,
    /// For jitter.
    pub random: &'a mut dyn Random,
    /// The process's governor.
    pub governor: &'a mut Governor,
}

/// The rules of one client.
pub struct Machine {
    config: Config,
    state: ClientState,
    outbox: VecDeque<Output>,
    wake: Option<u64>,
    tokens: Tokens,
    throttle: Throttle,
    roster: Roster,
    ledger: Ledger,
    shards: Vec<Shard>,
    operations: BTreeMap<Ticket, Started>,
    waiters: Vec<wanted::Waiter>,
    standing: status::Standing,
    counts: stats::Counts,
    census: budget::Census,
    /// Topics that the service confirms and does not list, and those that it has listed at least once.
    unlisted: BTreeSet<TopicId>,
    once_listed: BTreeSet<TopicId>,
    likeness: Likeness,
    stream: resume::Stream,
    /// When it was last said that copies arrive far apart.
    skew_told: Option<u64>,
    seen: Option<Now>,
    last_ticket: u64,
    last_link: u32,
    last_socket: u32,
    /// Something changed that another pass must look at.
    dirty: bool,
}

/// A started operation.
#[derive(Clone, Debug)]
struct Started {
    what: What,
    /// The driver promised a result by its deadline; this is for the case that it broke its promise.
    overdue_at: u64,
}

/// Whom a result is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Token,
    Create(ShardIndex, LinkId, Generation),
    Subscribe(ShardIndex, LinkId),
    Open(ShardIndex, LinkId, SocketId),
    Clear(ShardIndex, LinkId, Generation),
    Count,
    Audit(ShardIndex, LinkId),
    Cursor,
}

impl What {
    fn link(self) -> Option<LinkId> {
        match self {
            Self::Token | Self::Count | Self::Cursor => None,
            Self::Create(_, link, _)
            | Self::Subscribe(_, link)
            | Self::Open(_, link, _)
            | Self::Clear(_, link, _)
            | Self::Audit(_, link) => Some(link),
        }
    }
}

impl Machine {
    /// An idle machine.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: ClientState::Idle,
            outbox: VecDeque::new(),
            wake: None,
            tokens: Tokens::new(),
            throttle: Throttle::default(),
            roster: Roster::default(),
            ledger: Ledger::default(),
            shards: vec![Shard::new()],
            operations: BTreeMap::new(),
            waiters: Vec::new(),
            standing: status::Standing::default(),
            counts: stats::Counts::default(),
            census: budget::Census::default(),
            unlisted: BTreeSet::new(),
            once_listed: BTreeSet::new(),
            likeness: Likeness::default(),
            stream: resume::Stream::default(),
            skew_told: None,
            seen: None,
            last_ticket: 0,
            last_link: 0,
            last_socket: 0,
            dirty: false,
        }
    }

    /// Takes one input. Drain [`Self::poll_output`] afterwards.
    pub fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.watch_clock(cx.now);
        if self.state.is_terminal() {
            let request = match input {
                Input::Topics(TopicRequest { request, .. })
                | Input::Rotate(request)
                | Input::Reconnect(request) => request,
                _ => return,
            };
            return self.notify(Notice::Settled(request));
        }
        match input {
            Input::Connect => self.connect(cx),
            Input::Close => return self.close(),
            Input::Rotate(request) => self.rotate(request),
            Input::Reconnect(request) => self.reconnect(cx, request),
            Input::Topics(request) => self.change_wanted(cx, request),
            Input::Done(ticket, outcome) => self.done(cx, ticket, outcome),
            Input::SocketClosed(socket, ending) => self.socket_closed(cx, socket, ending),
            Input::Paused(socket, paused) => self.paused(cx.now, socket, paused),
            Input::QueueDropped { topics, from, to } => self.queue_dropped(topics, from, to),
            Input::RateLimit { remaining: 0, reset_ms } => {
                self.throttle.used_up(cx.now.mono, reset_ms, cx.random)
            }
            Input::RateLimit { .. } => return,
            Input::Evicted { topics, from, to } => self.evicted(&topics, from, to),
            Input::JournalFailed(report) => return self.journal_failed(report),
            Input::Backfilled { gap, outcome } => return self.backfilled(&gap, outcome),
        }
        self.drive(cx);
    }

    /// Time has passed. Afterwards the next deadline lies in the future. Drain [`Self::poll_output`] afterwards.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        self.watch_clock(cx.now);
        self.drive(cx);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called, in `Now::mono`.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.wake
    }

    /// The client's state.
    pub fn state(&self) -> ClientState {
        self.state
    }

    /// Every wanted topic's status.
    pub fn topics(&self) -> Vec<TopicStatus> {
        let listed = self.roster.wanted().filter(|id| !self.is_everything(*id));
        listed.map(|id| self.roster.status(id)).collect()
    }

    /// The statuses of those of these topics that are wanted, in order of their first naming.
    pub fn statuses(&self, topics: &[Topic]) -> Vec<TopicStatus> {
        let found = topics.iter().filter_map(|topic| self.roster.find(topic.as_str()));
        let is_listed = |id: &TopicId| self.roster.is_wanted(*id) && !self.is_everything(*id);
        let wanted: BTreeSet<TopicId> = found.filter(is_listed).collect();
        wanted.into_iter().map(|id| self.roster.status(id)).collect()
    }

    /// The last 1,000 closed gaps (fewer if they name more than 100,000 topics together) and every open one.
    pub fn gaps(&self) -> Vec<Gap> {
        self.ledger.records().map(|record| self.public_gap(record)).collect()
    }

    /// When the service lets the API be called again, in `Now::mono`; in the past if it does now. For calls that the driver
    /// makes by itself.
    pub fn api_opens_at(&self) -> u64 {
        self.throttle.opens_at(Door::Api)
    }

    /// A topic's name.
    ///
    /// # Panics
    /// If the id is not from this machine.
    pub fn topic(&self, id: TopicId) -> &Topic {
        self.roster.topic(id)
    }

    fn connect(&mut self, cx: &mut Context<'_>) {
        if self.state == ClientState::Idle {
            self.standing.begin(cx.now);
            self.begin_stream(cx);
            self.enter(ClientState::Connecting, Reason::Requested, cx.now);
        }
    }

    fn close(&mut self) {
        self.flush_blemishes();
        self.give_up_stream();
        let previous = self.state;
        self.state = ClientState::Closing;
        self.notify_state(previous, Reason::Requested);
        self.end_everything(Some(1000));
        self.state = ClientState::Closed;
        self.notify_state(ClientState::Closing, Reason::Requested);
        self.outbox.push_back(Output::Closed);
    }

    fn fail(&mut self, reason: Reason, mut report: ErrorReport) {
        if self.state.is_terminal() {
            return;
        }
        report.retryable = false;
        self.give_up_stream();
        self.end_everything(None);
        self.notify(Notice::Error(report.clone()));
        self.standing.trouble(reason, Some(report));
        let previous = std::mem::replace(&mut self.state, ClientState::Failed);
        self.notify_state(previous, reason);
        self.outbox.push_back(Output::Closed);
    }

    fn end_everything(&mut self, close_code: Option<u16>) {
        for ticket in std::mem::take(&mut self.operations).into_keys() {
            self.outbox.push_back(Output::Cancel(ticket));
        }
        let links: Vec<Link> = self.shards.iter_mut().flat_map(Shard::take_links).collect();
        for link in links {
            if let Some(open) = link.open() {
                self.outbox.push_back(Output::Release(open.id));
                self.outbox.push_back(match close_code {
                    Some(code) => Output::CloseSocket(open.id, code),
                    None => Output::DropSocket(open.id),
                });
            }
            self.stage(link.who(), ChannelStage::Ended, None);
            self.outbox.push_back(Output::ForgetLink(link.id));
        }
        for waiter in std::mem::take(&mut self.waiters) {
            self.outbox.push_back(Output::Notify(Notice::Settled(waiter.request)));
        }
        self.wake = None;
    }

    fn queue_dropped(&mut self, topics: Vec<TopicId>, from: u64, to: u64) {
        self.counts.queue_drops += 1;
        let topics = topics.into_iter().collect();
        let record = self.ledger.blemish(topics, from, to, Reason::QueueFull, Certainty::Certain);
        self.notify_gaps(record);
    }

    fn evicted(&mut self, topics: &[Topic], from: u64, to: u64) {
        let topics = topics.iter().map(|topic| self.roster.intern(topic)).collect();
        let record = self.ledger.blemish(topics, from, to, Reason::JournalFull, Certainty::Certain);
        self.notify_gaps(record);
    }

    fn journal_failed(&mut self, report: ErrorReport) {
        let is_full = report.code == ErrorCode::JournalFull;
        self.fail(if is_full { Reason::JournalFull } else { Reason::JournalFailed }, report);
    }

    fn backfilled(&mut self, gap: &str, outcome: Backfilled) {
        let record = number_of(gap).and_then(|number| self.ledger.backfilled(number, outcome));
        self.notify_gaps(record);
    }

    // Tools of the modules below.

    fn start(&mut self, now: u64, what: What, effect: Effect) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        let timeout_ms = match what {
            What::Open(..) => self.config.connect_timeout_ms,
            What::Count => self.config.request_timeout_ms.min(budget::COUNT_TIMEOUT_MS),
            _ => self.config.request_timeout_ms,
        };
        let overdue_at = now.saturating_add(timeout_ms).saturating_add(timeout_ms / 4 + 1_000);
        self.operations.insert(ticket, Started { what, overdue_at });
        self.wake_at(overdue_at);
        self.outbox.push_back(Output::Start(Operation { ticket, effect, timeout_ms }));
        ticket
    }

    fn cancel(&mut self, ticket: Ticket) {
        if self.operations.remove(&ticket).is_some() {
            self.outbox.push_back(Output::Cancel(ticket));
        }
    }

    /// Ends a link for good: nothing it has started is wanted any more.
    fn discard(&mut self, link: Link) {
        if let Some(open) = link.open() {
            self.outbox.push_back(Output::Release(open.id));
            self.outbox.push_back(Output::DropSocket(open.id));
        }
        let its = self.operations.iter().filter(|(_, started)| started.what.link() == Some(link.id));
        let tickets: Vec<Ticket> = its.map(|(ticket, _)| *ticket).collect();
        for ticket in tickets {
            self.cancel(ticket);
        }
        self.stage(link.who(), ChannelStage::Ended, None);
        self.lingers(&link);
        self.outbox.push_back(Output::ForgetLink(link.id));
        self.dirty = true;
    }

    fn new_link(&mut self, index: ShardIndex) -> Link {
        self.last_link += 1;
        Link::new(LinkId(self.last_link), index as u16)
    }

    fn wake_at(&mut self, at: u64) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Whether the door is open; if not, the time it opens is a deadline.
    fn door_is_open(&mut self, door: Door, now: u64) -> bool {
        let at = self.throttle.opens_at(door);
        if at > now {
            self.attempt_at(at);
        }
        at <= now
    }

    /// The next attempt starts then.
    fn attempt_at(&mut self, at: u64) {
        self.wake_at(at);
        self.standing.attempt_at(at);
    }

    fn notify(&mut self, notice: Notice) {
        self.outbox.push_back(Output::Notify(notice));
    }

    fn notify_gaps(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            let gap = self.public_gap(&record);
            self.notify(Notice::Gap(gap));
        }
    }

    fn public_gap(&self, record: &Record) -> Gap {
        record.public(|id| self.roster.topic(id).as_str().to_owned())
    }

    fn log(&mut self, level: &'static str, message: impl Into<String>) {
        self.notify(Notice::Log(LogLine { level, message: message.into() }));
    }

    fn watch_clock(&mut self, now: Now) {
        let seen = self.seen.replace(now).unwrap_or(now);
        let slept = now.wall.saturating_sub(seen.wall).saturating_sub(now.mono.saturating_sub(seen.mono));
        let late = self.wake.is_some_and(|wake| now.mono > wake.saturating_add(JUMP_MS));
        if slept > JUMP_MS {
            self.age(slept);
        }
        if slept > JUMP_MS || late {
            self.doubt(now);
            // Looked at in the next pass, which must not wait for the old deadline.
            self.wake = Some(now.mono);
        }
    }

    /// The service's clocks went on while the monotonic one stood still.
    fn age(&mut self, slept: u64) {
        self.tokens.age(slept);
        self.census.age(slept);
        for shard in &mut self.shards {
            for (_, link) in shard.links_mut() {
                let has_an_end = |channel: &&mut Channel| channel.ends_at != u64::MAX;
                if let Some(channel) = link.channel.as_mut().filter(has_an_end) {
                    channel.rotate_at = channel.rotate_at.saturating_sub(slept);
                    channel.ends_at = channel.ends_at.saturating_sub(slept);
                }
            }
        }
    }

    /// Time passed in which we did not run: every socket must show that it survived.
    fn doubt(&mut self, now: Now) {
        self.counts.clock_jumps += 1;
        let heartbeat = self.config.heartbeat.clone();
        for shard in &mut self.shards {
            for open in shard.links_in_use_mut().filter_map(|(_, link)| link.open_mut()) {
                open.doubt(now, &heartbeat);
            }
        }
    }
}

//! The second kind of link: a server that authenticates on the socket itself. How it comes to be ready is told here; token,
//! backoff, liveness, gaps, copies, takeover and states are those of all links.

use crate::config::{Auth, Renewal};
use crate::decision::{Decision, Step, judge};
use crate::envelope::Envelope;
use crate::failure::{Failure, HttpFailure};
use crate::handshake::Handshake;
use crate::io::{Effect, Generation, LinkId, Output, SocketId, TopicId};
use crate::link::{Channel, Link, Socket};
use crate::notice::{ClientState, ErrorCode, ErrorReport, Notice, Reason};
use crate::roster::ShardIndex;
use crate::shard::{Role, Shard};
use crate::throttle::Door;
use crate::time::Now;

use super::frames::Disposition;
use super::loss::Loss;
use super::results::retryable;
use super::stats::DirectStats;
use super::{Context, Machine, What};

impl Machine {
    pub(super) fn drive_direct(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let Some(link) = self.shards[index].link(role) else { return };
        match link.socket {
            Socket::Closed => self.drive_connecting(cx, index, role),
            Socket::Opening { .. } => {}
            Socket::Open(_) => {
                self.drive_liveness(cx, index, role);
                self.drive_readiness(cx, index, role);
                self.drive_asking(index, role);
                self.drive_renewal(cx, index, role);
            }
        }
    }

    fn drive_connecting(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let now = cx.now.mono;
        if !self.may_attempt(index, role, Door::Streaming, now) || !self.knows_where_to_begin() {
            return;
        }
        let generation = match self.needs_token() {
            false => None,
            true => match self.tokens.for_opening(now, self.config.connect_timeout_ms) {
                Some(generation) => Some(generation),
                // A newer one is on its way; the pass after it comes here again.
                None => return,
            },
        };
        let Some(link) = self.shards[index].link(role).map(|link| link.id) else { return };
        let (position, handshake) = self.resumption(cx.now);
        self.last_socket += 1;
        let socket = SocketId(self.last_socket);
        let effect = Effect::Connect { link, socket, generation, position };
        let ticket = self.start(now, What::Open(index, link, socket), effect);
        self.counts.channel_creations += 1;
        if self.resumes() {
            self.expect_copies(index, now);
        }
        self.joins(index, role, now);
        let life = self.config.direct.as_ref().and_then(|direct| direct.lifetime_ms);
        let life = life.map(|life| (self.replacement_at(cx, index, link, life), now + life));
        if let Some(link) = self.shards[index].link_mut(role) {
            link.socket = Socket::Opening { id: socket, ticket };
            link.handshake = Some(handshake);
            link.channel = Some(connection(generation, now, life));
        }
    }

    /// The socket of a link is open.
    pub(super) fn direct_opened(
        &mut self,
        cx: &Context<'_>,
        index: ShardIndex,
        role: Role,
        socket: SocketId,
    ) {
        let Some(direct) = &self.config.direct else { return };
        let ready_due = direct.ready_timeout_ms.map(|timeout| cx.now.mono + timeout);
        let tells_token = direct.auth == Auth::FirstMessage;
        let Some(link) = self.shards[index].link_mut(role) else { return };
        if let Some(handshake) = &mut link.handshake {
            handshake.opened(ready_due);
        }
        let owner = link.channel.as_ref().map(|channel| channel.owner).filter(|_| tells_token);
        self.outbox.extend(owner.map(|owner| Output::Authenticate(socket, owner)));
    }

    /// The server says that it is ready, or that it has taken a new token.
    pub(super) fn direct_ready(&mut self, now: u64, index: ShardIndex, socket: SocketId) {
        let Some((_, link)) = self.shards[index].by_socket(socket) else { return };
        if let Some(handshake) = &mut link.handshake {
            handshake.ready();
            self.tokens.works(now);
        }
    }

    fn drive_readiness(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let due = self.handshake_of(index, role).and_then(|handshake| handshake.ready_due());
        match due {
            Some(due) if cx.now.mono >= due => {
                let message = "the endpoint did not say in time that the connection is ready";
                let report = Some(ErrorReport::new(ErrorCode::NotReady, message));
                let loss = Loss { reason: Reason::NotReady, decision: Decision::Retry, report };
                self.lost(cx, index, role, loss);
            }
            Some(due) => self.wake_at(due),
            None => {}
        }
    }

    /// Topics are asked for once the server is ready, on every connection, and from then on as they are wanted.
    fn drive_asking(&mut self, index: ShardIndex, role: Role) {
        let subscribes = self.config.direct.as_ref().is_some_and(|direct| direct.subscribes);
        let everything = self.stream.everything();
        let Shard { wanted, revision, primary, standby, successor, changed, .. } = &mut self.shards[index];
        let link = match role {
            Role::Primary => primary,
            Role::Standby => standby,
            Role::Successor => successor,
            Role::Draining => return,
        };
        let Some(link) = link.as_mut().filter(|link| link.subscriptions.synced != Some(*revision)) else {
            return;
        };
        let Some(socket) = link.open().map(|open| open.id) else { return };
        let Some(handshake) = link.handshake.as_mut().filter(|handshake| handshake.is_ready()) else {
            return;
        };
        let subscriptions = &mut link.subscriptions;
        let new = handshake.questions(&subscriptions.confirmed, wanted);
        let new = new.into_iter().filter(|id| subscribes && Some(*id) != everything);
        let asks: Vec<Output> = new.map(|id| Output::Ask(socket, id)).collect();
        subscriptions.confirmed.clone_from(wanted);
        subscriptions.synced = Some(*revision);
        subscriptions.confirmations += 1;
        *changed = None;
        link.carries_only_confirmed();
        if let Some(open) = link.open_mut() {
            open.proof_ended();
        }
        self.counts.subscription_requests += asks.len() as u64;
        self.outbox.extend(asks);
        self.dirty = true;
    }

    /// With `Renewal::Message` a new token is told on the live socket. Where that is not answered in time, the connection is
    /// replaced, as it would be otherwise.
    fn drive_renewal(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let now = cx.now.mono;
        let Some(direct) = self.config.direct.as_ref().filter(|it| it.renewal == Renewal::Message) else {
            return;
        };
        let answer_due = direct.ready_timeout_ms.map(|timeout| now + timeout);
        let (current, token_at) = (self.tokens.current(now), self.shards[index].token_rotation_at);
        let Some(Link { socket: Socket::Open(open), handshake: Some(handshake), channel, doomed, .. }) =
            self.shards[index].link_mut(role)
        else {
            return;
        };
        if let Some(due) = handshake.renewal_due() {
            if now < due {
                return self.wake_at(due);
            }
            handshake.renewed(None);
            doomed.get_or_insert(Reason::TokenRenewed);
            self.dirty = true;
            return;
        }
        let Some(channel) = channel.as_mut().filter(|_| handshake.is_ready()) else { return };
        let Some(current) = current.filter(|current| *current > channel.owner) else { return };
        if now < token_at {
            return self.wake_at(token_at);
        }
        channel.owner = current;
        handshake.renewed(answer_due);
        let socket = open.id;
        self.outbox.push_back(Output::Authenticate(socket, current));
        self.dirty = true;
    }

    /// A connection was refused, or what it came to.
    pub(super) fn direct_refused(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        failure: &Failure,
    ) {
        let judgement = judge(Step::Connect, failure);
        let report = Some(ErrorReport::of(Step::Connect, failure, &judgement));
        let loss = Loss { reason: judgement.reason, decision: Decision::Retry, report };
        self.direct_lost(cx, index, role, judgement.decision, loss);
    }

    /// A frame that refuses something. Before the connection is proven, it refuses the connection.
    pub(super) fn refused_on_socket(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        socket: SocketId,
        refusal: &HttpFailure,
    ) {
        if let Some(wait) = refusal.retry_after_ms {
            self.throttle.retry_after(Door::Streaming, cx.now.mono, wait, cx.random);
        }
        let Some((_, link)) = self.shards[index].by_socket(socket).filter(|_| role != Role::Draining) else {
            return;
        };
        let (is_live, owner) = (link.is_live(), link.channel.as_ref().map(|channel| channel.owner));
        let failure = Failure::Http(refusal.clone());
        if !is_live {
            return self.direct_refused(cx, index, role, &failure);
        }
        let judgement = judge(Step::Connect, &failure);
        let report = retryable(&ErrorReport::of(Step::Connect, &failure, &judgement));
        if let (401, Some(owner), true) = (refusal.status, owner, self.needs_token()) {
            self.token_refused(cx, owner, &report);
        }
        if !self.state.is_terminal() {
            self.notify(Notice::Error(report));
        }
    }

    /// A connection is lost, and the server has said why.
    pub(super) fn direct_lost(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        role: Role,
        decision: Decision,
        loss: Loss,
    ) {
        let Some(link) = self.shards[index].link(role) else { return };
        let (is_live, owner) = (link.is_live(), link.channel.as_ref().map(|channel| channel.owner));
        match (decision, owner, &loss.report) {
            (Decision::Renew, Some(owner), Some(report)) if self.needs_token() => {
                let report = report.clone();
                self.token_refused(cx, owner, &report);
            }
            (Decision::Reposition, _, report) if self.resumes() && !is_live => {
                let report = report.clone();
                self.position_refused(report);
            }
            _ => {}
        }
        if !self.state.is_terminal() {
            self.lost(cx, index, role, loss);
        }
    }

    /// An event of a direct endpoint. Whatever it sends is wanted, except topics that were unsubscribed.
    pub(super) fn direct_event(
        &mut self,
        cx: &mut Context<'_>,
        index: ShardIndex,
        socket: SocketId,
        envelope: &Envelope<'_>,
    ) -> Disposition {
        self.counts.events += 1;
        let topic = self.direct_topic(&envelope.topic);
        let Some((role, link)) = self.shards[index].by_socket(socket) else { return Disposition::Drop };
        let unproven = role != Role::Draining && (!link.is_live() || link.awaits_proof());
        // What nobody wants is part of the stream, and must not come as news once somebody does.
        if (topic.is_some() || self.resumes()) && self.is_direct_copy(cx.now, index, socket, envelope) {
            self.counts.duplicates += 1;
            return Disposition::Drop;
        }
        let is_held = unproven && self.is_direct_blind(index, topic);
        match topic {
            Some(topic) if is_held => Disposition::Hold(topic),
            Some(topic) => Disposition::Deliver(topic),
            None => {
                self.counts.unwanted += 1;
                // It must not overtake what is held back.
                if self.resumes() && !is_held { Disposition::Pass } else { Disposition::Drop }
            }
        }
    }

    fn direct_topic(&mut self, name: &str) -> Option<TopicId> {
        match self.roster.find(name) {
            Some(id) if self.roster.is_wanted(id) => Some(id),
            Some(id) if self.stream.is_unwanted(id) => None,
            _ => Some(self.everything()),
        }
    }

    /// Whether the user was told of a gap that this event may end. A stream that is resumed keeps its order: what is behind an
    /// event that is held back is held back with it.
    fn is_direct_blind(&self, index: ShardIndex, topic: Option<TopicId>) -> bool {
        if let Some(topic) = topic.filter(|id| self.roster.is_wanted(*id) && !self.resumes()) {
            return self.ledger.is_told_blind(topic);
        }
        self.shards[index].wanted.iter().any(|id| self.ledger.is_told_blind(*id))
    }

    fn handshake_of(&self, index: ShardIndex, role: Role) -> Option<&Handshake> {
        self.shards[index].link(role)?.handshake.as_ref()
    }

    pub(super) fn needs_token(&self) -> bool {
        self.config.direct.as_ref().is_none_or(|direct| direct.auth != Auth::None)
    }

    /// A ping whose pong proves what was sent before it: the application's where the service has one, else that of RFC 6455.
    pub(super) fn ping(&mut self, socket: SocketId) {
        let ping = match self.config.direct {
            Some(_) => Output::Probe(socket),
            None => Output::Ping(socket),
        };
        self.outbox.push_back(ping);
    }

    pub(super) fn direct_stats(&self, now: Now) -> Option<DirectStats> {
        self.config.direct.as_ref()?;
        let token = self.tokens.current(now.mono);
        let primary = self.shards[0].primary.as_ref().filter(|_| self.state != ClientState::Idle);
        let life = match primary {
            Some(link) => link.life(token, self.needs_token()),
            None => Link::new(LinkId(0), 0).life(token, self.needs_token()),
        };
        Some(DirectStats {
            life,
            position: self.stream.position().map(str::to_owned),
            resumed: self.ledger.bridged,
            repositions: self.counts.repositions,
        })
    }
}

/// What stands for a channel of the service: a connection that ends with its socket and belongs to a token. `life`: when it is to
/// be replaced and when it ends, where that is known.
fn connection(generation: Option<Generation>, now: u64, life: Option<(u64, u64)>) -> Channel {
    let (rotate_at, ends_at) = life.unwrap_or((u64::MAX, u64::MAX));
    let owner = generation.unwrap_or(Generation(0));
    Channel { name: String::new(), owner, made_at: now, rotate_at, ends_at, gone: false }
}

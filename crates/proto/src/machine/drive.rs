//! One pass over everything: start what is due, note the next deadline.

use crate::config::Continuity;
use crate::io::{Effect, Output, SocketId, Verb};
use crate::link::{Channel, Link, Socket};
use crate::liveness::Pulse;
use crate::notice::ClientState;
use crate::roster::ShardIndex;
use crate::shard::{Role, Shard};
use crate::throttle::Door;
use crate::token::Need;

use super::loss::Loss;
use super::{Context, Machine, What};

/// A pass changes something at most a few times; more would be a fault of the rules, not worth hanging for.
const MOST_PASSES: usize = 32;

impl Machine {
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MOST_PASSES {
            if self.state.is_terminal() || self.state == ClientState::Idle {
                self.wake = None;
                return;
            }
            (self.wake, self.dirty) = (None, false);
            self.standing.no_attempt();
            self.expire_operations(cx);
            self.drive_token(cx);
            self.drive_cursor(cx);
            for index in 0..self.shards.len() {
                self.drive_shard(cx, index);
            }
            if !self.dirty {
                break;
            }
        }
        self.drive_stream(cx.now.mono);
        self.update_state(cx);
        self.settle_waiters();
    }

    fn drive_token(&mut self, cx: &mut Context<'_>) {
        if !self.needs_token() {
            return;
        }
        let now = cx.now.mono;
        match self.tokens.need(now) {
            Need::InFlight => {}
            Need::Wait(at) if self.tokens.current(now).is_some() => self.wake_at(at),
            Need::Wait(at) => self.attempt_at(at.max(self.throttle.opens_at(Door::Login))),
            Need::Fetch(why) if self.door_is_open(Door::Login, now) => {
                let generation = self.tokens.start();
                self.start(now, What::Token, Effect::FetchToken { generation, why });
                self.counts.token_requests += 1;
            }
            Need::Fetch(_) => {}
        }
        if let Some(ends_at) = self.tokens.current_ends_at().filter(|at| *at > now) {
            self.wake_at(ends_at);
        }
    }

    fn drive_shard(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        if self.state.is_terminal() {
            return;
        }
        if !self.is_needed(index) {
            return self.retire_shard(index);
        }
        if self.shards[index].primary.is_none() {
            let link = self.new_link(index);
            self.shards[index].primary = Some(link);
        }
        self.drive_link(cx, index, Role::Primary);
        self.drive_link(cx, index, Role::Standby);
        self.drive_rotation(cx, index);
        self.drive_link(cx, index, Role::Successor);
        self.drive_handover(cx, index);
        self.drive_audit(cx, index, Role::Primary);
        self.drive_audit(cx, index, Role::Standby);
        self.drive_draining(cx, index);
        self.drive_copies(cx, index);
        self.drive_blemish(cx, index);
    }

    /// The first shard is always kept, so that a client without topics proves its credentials too.
    pub(super) fn is_needed(&self, index: ShardIndex) -> bool {
        index == 0 || !self.roster.is_empty(index)
    }

    fn retire_shard(&mut self, index: ShardIndex) {
        let shard = &mut self.shards[index];
        if shard.links().next().is_none() {
            return;
        }
        let links = shard.take_links();
        *shard = Shard { revision: shard.revision + 1, ..Shard::new() };
        for link in links {
            self.discard(link);
        }
    }

    fn drive_link(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        if self.config.direct.is_some() {
            return self.drive_direct(cx, index, role);
        }
        let now = cx.now.mono;
        let Some(link) = self.shards[index].link(role) else { return };
        if link.channel.is_none() {
            return self.drive_creation(cx, index, role);
        }
        match link.socket {
            Socket::Closed if !link.channel_is_usable(now) => {
                let link = self.replace(index, role);
                self.discard(link);
                // Or a service whose channels end at once would be asked for one after the other.
                let shard = &mut self.shards[index];
                let retry = if role == Role::Primary { &mut shard.retry } else { &mut shard.rotation_retry };
                return retry.again(&self.config.backoff, false, now, cx.random);
            }
            Socket::Closed => self.drive_opening(cx, index, role),
            Socket::Opening { .. } => {}
            Socket::Open(_) => self.drive_liveness(cx, index, role),
        }
        self.drive_subscriptions(cx, index, role);
    }

    fn replace(&mut self, index: ShardIndex, role: Role) -> Link {
        let fresh = self.new_link(index);
        let link = self.shards[index].link_mut(role).expect("the caller has just looked at it");
        std::mem::replace(link, fresh)
    }

    fn drive_creation(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let now = cx.now.mono;
        let Some(link) = self.shards[index].link(role) else { return };
        let id = link.id;
        if link.creating.is_some() || !self.may_attempt(index, role, Door::Api, now) {
            return;
        }
        let Some(generation) = self.tokens.current(now) else { return };
        if !self.has_room(cx, index, role) {
            return;
        }
        if let Err(at) = cx.governor.create_channel(now) {
            return self.attempt_at(at);
        }
        self.census.making(self.config.limits.channels);
        let ticket = self.start(
            now,
            What::Create(index, id, generation),
            Effect::CreateChannel { link: id, generation },
        );
        self.counts.channel_creations += 1;
        if let Some(link) = self.shards[index].link_mut(role) {
            link.creating = Some(ticket);
        }
    }

    fn drive_opening(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let now = cx.now.mono;
        if !self.may_attempt(index, role, Door::Streaming, now) {
            return;
        }
        let Some(link) = self.shards[index].link(role).map(|link| link.id) else { return };
        self.last_socket += 1;
        let socket = SocketId(self.last_socket);
        let ticket = self.start(now, What::Open(index, link, socket), Effect::OpenSocket { link, socket });
        let mut is_reopened = false;
        if let Some(link) = self.shards[index].link_mut(role) {
            link.socket = Socket::Opening { id: socket, ticket };
            // A list that is not answered yet may be in force before its answer is.
            let subscriptions = &link.subscriptions;
            is_reopened = subscriptions.confirmations > 0 || subscriptions.unsure_since.is_some();
        }
        if is_reopened {
            self.joins(index, role, now);
        }
    }

    pub(super) fn may_attempt(&mut self, index: ShardIndex, role: Role, door: Door, now: u64) -> bool {
        let backoff_ends = match role {
            Role::Primary => self.shards[index].retry.at,
            Role::Standby | Role::Successor | Role::Draining => self.shards[index].rotation_retry.at,
        };
        let at = backoff_ends.max(self.throttle.opens_at(door));
        match role {
            _ if at <= now => return true,
            Role::Primary => self.attempt_at(at),
            Role::Standby | Role::Successor | Role::Draining => self.wake_at(at),
        }
        false
    }

    pub(super) fn drive_liveness(&mut self, cx: &mut Context<'_>, index: ShardIndex, role: Role) {
        let heartbeat = self.config.heartbeat.clone();
        // Twice: a ping is followed by the wait for its pong.
        for _ in 0..2 {
            let Some(link) = self.shards[index].link_mut(role) else { return };
            let confirmations = link.subscriptions.confirmations;
            let unproven = link.awaits_proof().then_some(confirmations);
            let Some(open) = link.open_mut() else { return };
            if unproven.is_some() && open.proven_without_pong(cx.now, &heartbeat) {
                return self.proven(cx, index, role, confirmations, cx.now.wall);
            }
            match open.pulse(cx.now, unproven, &heartbeat) {
                Pulse::Wait(u64::MAX) => return,
                Pulse::Wait(at) => return self.wake_at(at),
                Pulse::Ping => {
                    let is_proof = unproven.is_some() || open.reads_late();
                    open.pinged(cx.now, confirmations);
                    let socket = open.id;
                    if is_proof && self.config.direct.is_none() {
                        open.probed(cx.now);
                        self.outbox.push_back(Output::Probe(socket));
                    }
                    self.ping(socket);
                }
                Pulse::Silent => return self.lost(cx, index, role, Loss::silent(&heartbeat)),
                Pulse::Jumped => return self.lost(cx, index, role, Loss::clock_jump()),
            }
        }
    }

    fn drive_draining(&mut self, cx: &mut Context<'_>, index: ShardIndex) {
        let now = cx.now.mono;
        let overlap = match self.config.continuity {
            Continuity::Reconnect => 0,
            Continuity::Overlap | Continuity::Standby => self.config.rotation.overlap_ms,
        };
        let mut position = 0;
        while position < self.shards[index].draining.len() {
            let drain = &mut self.shards[index].draining[position];
            if drain.clearing.is_some() {
                position += 1;
                continue;
            }
            if let Some(open) = drain.link.open_mut() {
                if !drain.pinged {
                    drain.pinged = true;
                    open.pinged(cx.now, u64::MAX);
                    let socket = open.id;
                    self.ping(socket);
                }
                let drain = &mut self.shards[index].draining[position];
                let pong_due = drain.since + self.config.heartbeat.pong_timeout_ms;
                if drain.drained_at.is_none() && now >= pong_due {
                    drain.drained_at = Some(now);
                }
                let until = drain.drained_at.map_or(pong_due, |at| at + overlap);
                if now < until {
                    self.wake_at(until);
                    position += 1;
                    continue;
                }
                if let Some(socket) = drain.socket() {
                    self.outbox.push_back(Output::CloseSocket(socket, 1000));
                }
            }
            self.shards[index].draining[position].link.socket_ended();
            if self.clear_subscriptions(cx, index, position) {
                position += 1;
            } else {
                let drain = self.shards[index].draining.remove(position);
                self.discard(drain.link);
            }
        }
    }

    /// Frees the server of a channel nobody will open again. Best effort: without a permit it is left to expire.
    fn clear_subscriptions(&mut self, cx: &mut Context<'_>, index: ShardIndex, position: usize) -> bool {
        let now = cx.now.mono;
        let link = &self.shards[index].draining[position].link;
        let id = link.id;
        let is_the_services = |channel: &&Channel| !channel.gone && now < channel.ends_at;
        let Some(channel) =
            link.channel.as_ref().filter(is_the_services).filter(|_| link.handshake.is_none())
        else {
            return false;
        };
        let Some(generation) = self.tokens.for_channel(channel.owner, now) else { return false };
        if self.throttle.opens_at(Door::Api) > now || cx.governor.call_spare(now).is_err() {
            return false;
        }
        let effect = Effect::Subscribe { link: id, generation, verb: Verb::Clear, topics: Vec::new() };
        let ticket = self.start(now, What::Clear(index, id, generation), effect);
        self.shards[index].draining[position].clearing = Some(ticket);
        true
    }
}

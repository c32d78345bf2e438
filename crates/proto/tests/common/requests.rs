//! Requests on their way to the service, and its answers on their way back.

use genesys_notifications_proto::{
    ChannelsInUse, Disposition, Effect, Ending, Failure, Frame, Input, NetworkKind, Operation, Outcome,
    Random, Ticket, TokenGrant,
};

use super::agenda::Item;
use super::manners::{API, Fate, LOGIN, STREAMING, failed, kind};
use super::sabotage::Fault;
use super::service::{Token, http, network, oauth, throttled};
use super::wire::Wire;
use super::world::{Acked, World};

impl World {
    pub(crate) fn at_service(&mut self, ticket: Ticket) {
        let Some((operation, started)) = self.requests.remove(&ticket) else { return };
        let now = self.clock.truth;
        let kind = kind(&operation.effect);
        let fate = self.fate(kind, &operation.effect);
        let mut back = self.rest_latency(&operation.effect);
        let deadline = started + operation.timeout_ms;
        let outcome = match &fate {
            Fate::Fail(failure) => failed(kind, failure.clone()),
            Fate::Lose => {
                // Half of the time even the driver's own deadline fails.
                if self.dice.up_to(1) == 0 {
                    let late = failed(kind, network(NetworkKind::TimedOut));
                    self.agenda.plan(deadline.max(now + 1), Item::Answer(ticket, late));
                }
                return;
            }
            Fate::Serve | Fate::LoseAnswer | Fate::Late(_) => self.serve(&operation),
        };
        if let Fate::Late(more) = fate {
            back += more;
        }
        let socket = match &operation.effect {
            Effect::OpenSocket { socket, .. } => Some(*socket),
            _ => None,
        };
        if matches!(fate, Fate::LoseAnswer) || now + back > deadline {
            if let Some(wire) = socket.and_then(|socket| self.wires.of(socket)) {
                wire.dead = true;
            }
            if self.dice.up_to(1) == 0 {
                let late = failed(kind, network(NetworkKind::TimedOut));
                self.agenda.plan(deadline.max(now + 1), Item::Answer(ticket, late));
            }
            return;
        }
        let at = now + back;
        if let Some(wire) = socket.and_then(|socket| self.wires.of(socket)) {
            wire.last_arrival = at;
        }
        if self.dice.up_to(999) < self.manners.forgery {
            self.agenda.plan(at + self.dice.up_to(5_000), Item::Answer(ticket, outcome.clone()));
        }
        self.agenda.plan(at, Item::Answer(ticket, outcome));
    }

    pub(crate) fn fate(&mut self, kind: usize, effect: &Effect) -> Fate {
        if let Some(fate) = self.manners.script[kind].pop_front() {
            return fate;
        }
        let door = [LOGIN, API, API, STREAMING, API, API][kind];
        let (until, how) = &self.manners.shut[door];
        if self.clock.truth < *until {
            return how.clone().map_or(Fate::Lose, Fate::Fail);
        }
        if self.sabotage.is(Fault::NeverOpens) && self.weather.recoveries > 0 && kind == 3 {
            return Fate::Lose;
        }
        if self.manners.refuses_credentials && kind == 0 {
            return Fate::Fail(oauth(400, "invalid_client"));
        }
        if matches!(effect, Effect::OpenSocket { .. }) && self.dice.up_to(999) < self.manners.young_404 {
            return Fate::Fail(http(404, "not.found"));
        }
        if self.dice.up_to(999) >= self.manners.misfortune {
            return Fate::Serve;
        }
        self.misfortune(kind)
    }

    pub(crate) fn misfortune(&mut self, kind: usize) -> Fate {
        let wait = self.dice.up_to(self.manners.longest_wait_ms);
        match self.dice.up_to(9) {
            0 => Fate::Lose,
            1 => Fate::LoseAnswer,
            2 => Fate::Late(self.dice.up_to(40_000)),
            3 if kind == 0 => Fate::Fail(Failure::OAuth {
                status: 429,
                error: String::new(),
                description: None,
                retry_after_ms: Some(wait),
                correlation_id: None,
            }),
            3 => Fate::Fail(throttled(429, wait)),
            4 => Fate::Fail(throttled(503, wait / 4)),
            5 => Fate::Fail(http(500, "internal.server.error")),
            6 => Fate::Fail(network(NetworkKind::Refused)),
            7 => Fate::Fail(Failure::Protocol("an answer of nonsense".into())),
            8 => Fate::Fail(http(504, "request.timeout")),
            _ => Fate::Fail(network(NetworkKind::Reset)),
        }
    }

    pub(crate) fn serve(&mut self, operation: &Operation) -> Outcome {
        let now = self.clock.truth;
        match &operation.effect {
            Effect::FetchToken { generation, .. } => {
                let ends_at = now + self.service.token_life;
                self.service.tokens.insert(generation.0, Token { ends_at, revoked: false });
                self.agenda.plan(ends_at, Item::TokenEnds(generation.0));
                let life = self.service.token_life;
                let expires_in_ms = (life != 24 * 3_600_000).then_some(life);
                Outcome::Token(Ok(TokenGrant { expires_in_ms }))
            }
            Effect::CreateChannel { link, generation } => match self.service.create(generation.0, now) {
                Ok((key, channel, displaced)) => {
                    self.watch(15_000);
                    self.agenda.plan(now + self.service.channel_life, Item::ChannelEnds(key));
                    let skew_ms = self.dice.up_to(self.manners.most_skew_ms);
                    self.service.channels.entry(key).and_modify(|channel| channel.skew_ms = skew_ms);
                    self.channel_of.insert(*link, key);
                    if let Some(other) = displaced {
                        self.displace(other);
                    }
                    self.service.tidy();
                    Outcome::Channel(Ok(channel))
                }
                Err(failure) => Outcome::Channel(Err(failure)),
            },
            Effect::Subscribe { link, generation, verb, topics } => {
                let key = self.channel_of.get(link).copied().unwrap_or(0);
                let result = self.service.subscribe(key, generation.0, *verb, topics, now);
                self.refresh();
                Outcome::Subscriptions(result)
            }
            Effect::OpenSocket { link, socket } => {
                let key = self.channel_of.get(link).copied().unwrap_or(0);
                let Some(channel) = self.service.channels.get_mut(&key).filter(|channel| !channel.gone)
                else {
                    return Outcome::Socket(Err(http(404, "not.found")));
                };
                // A second socket on the same channel ends the first.
                let before = channel.carrier.replace(*socket);
                self.wires.by_id.insert(*socket, Wire::new(*link, key));
                self.agenda.plan(now + self.manners.beat_ms, Item::Beat(*socket));
                if let Some(before) = before {
                    self.end_socket(before, Ending::Closed(1000, String::new()));
                }
                Outcome::Socket(Ok(()))
            }
            Effect::ListChannels { generation } => {
                Outcome::Channels(self.service.count(generation.0, now).map(|total| ChannelsInUse { total }))
            }
            Effect::ListSubscriptions { link, generation } => {
                let key = self.channel_of.get(link).copied().unwrap_or(0);
                Outcome::Listed(self.service.list(key, generation.0, now))
            }
            Effect::Connect { .. } | Effect::LoadCursor => unreachable!("this world has channels only"),
        }
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        let now = self.clock.now().mono;
        let effect = self.rules.knows(ticket).cloned();
        // The driver stops a cancelled operation, but its result may be on the way already.
        if effect.is_none() && self.dice.up_to(1) == 0 {
            return;
        }
        if let Some(effect) = &effect
            && self.dice.up_to(999) < self.manners.forgery
        {
            self.forge(ticket, kind(effect));
        }
        let awaited = self.rules.answered(ticket, &outcome, now);
        if let (true, Some(effect)) = (awaited, &effect) {
            match (effect, &outcome) {
                (Effect::OpenSocket { socket, .. }, Outcome::Socket(Ok(()))) => {
                    if let Some(wire) = self.wires.of(*socket) {
                        (wire.opening, wire.open_here) = (false, true);
                    }
                    self.old_sockets.push(*socket);
                }
                (Effect::Subscribe { link, .. }, Outcome::Subscriptions(Ok(_))) => {
                    let key = self.channel_of.get(link).copied().unwrap_or(0);
                    let topics = self.service.channels.get(&key).map(|channel| channel.topics.clone());
                    // A list confirmed earlier still holds; what matters is when the youngest part was asked for.
                    let asked_at = self.asked_at.remove(&ticket).unwrap_or(0);
                    let told_at = self.clock.truth;
                    self.unanswered.remove(link);
                    self.acked.insert(
                        *link,
                        Acked { ticket, asked_at, told_at, topics: topics.unwrap_or_default() },
                    );
                }
                _ => {}
            }
        }
        self.accepted |=
            awaited && matches!(outcome, Outcome::Channel(Ok(_)) | Outcome::Subscriptions(Ok(_)));
        self.old_tickets.push(ticket);
        let outcome = self.sabotage.outcome(outcome);
        self.tell(Input::Done(ticket, outcome));
        self.refresh();
    }

    /// A result of another kind, one for a ticket that never was, one for an old one, the end of an old socket.
    pub(crate) fn forge(&mut self, ticket: Ticket, kind: usize) {
        let other = (kind + 1 + self.dice.up_to(1) as usize) % 4;
        let other = if other == kind { (kind + 1) % 4 } else { other };
        let outcome = match other {
            0 => Outcome::Token(Ok(TokenGrant { expires_in_ms: Some(1) })),
            1 => Outcome::Channel(Err(http(403, "forged"))),
            2 => Outcome::Subscriptions(Ok(Vec::new())),
            _ => Outcome::Socket(Err(http(404, "forged"))),
        };
        self.tell(Input::Done(ticket, outcome.clone()));
        let never = Ticket(u64::MAX - self.dice.up_to(1_000));
        self.tell(Input::Done(never, outcome));
        let pick = self.dice.up_to(self.old_tickets.len().max(1) as u64 - 1) as usize;
        if let Some(old) = self.old_tickets.get(pick).copied()
            && self.rules.knows(old).is_none()
        {
            self.tell(Input::Done(old, failed(kind, http(401, "bad.credentials"))));
        }
        let pick = self.dice.up_to(self.old_sockets.len().max(1) as u64 - 1) as usize;
        if let Some(old) = self.old_sockets.get(pick).copied()
            && !self.wires.is_open_here(old)
        {
            self.tell(Input::SocketClosed(old, Ending::Closed(1008, "forged".into())));
            self.tell(Input::Paused(old, true));
            let disposition = self.call(|machine, cx| machine.frame(cx, old, &Frame::Reply(Some(404))));
            assert_eq!(disposition, Disposition::Drop, "a frame of an old socket did something");
        }
        self.old_tickets.drain(..self.old_tickets.len().saturating_sub(20));
        self.old_sockets.drain(..self.old_sockets.len().saturating_sub(20));
    }
}

//! Requests on their way to the server, and its answers on their way back.

use genesys_notifications_proto::{
    Auth, Cursor, Effect, Failure, Generation, Input, NetworkKind, Operation, Outcome, Random, SocketId,
    Ticket, TokenGrant,
};

use super::agenda::Item;
use super::chaos::Trouble;
use super::manners::Way;
use super::world::World;
use crate::common::service::{http, network, throttled};

impl World {
    pub(crate) fn at_server(&mut self, ticket: Ticket) {
        let Some(operation) = self.requests.remove(&ticket) else { return };
        let now = self.clock.truth;
        let trouble = self.trouble(&operation.effect);
        let latency = self.latency();
        let deadline = now + operation.timeout_ms;
        match trouble {
            Some(Trouble::Lost) => {
                let late = failed(&operation.effect, network(NetworkKind::TimedOut));
                if self.chance(2) {
                    self.agenda.plan(deadline, Item::Answer(ticket, late));
                }
            }
            Some(Trouble::Fails(failure)) => {
                self.agenda.plan(now + latency, Item::Answer(ticket, failed(&operation.effect, failure)));
            }
            None => {
                let outcome = self.serve(&operation);
                if let Effect::Connect { socket, .. } = &operation.effect {
                    self.opened(*socket, &outcome, now + latency);
                }
                if !self.weather.is_calm && self.chance(30) {
                    self.agenda
                        .plan(now + latency + self.dice.up_to(5_000), Item::Answer(ticket, outcome.clone()));
                }
                self.agenda.plan(now + latency, Item::Answer(ticket, outcome));
            }
        }
    }

    fn serve(&mut self, operation: &Operation) -> Outcome {
        match &operation.effect {
            Effect::FetchToken { generation, .. } => {
                let life = self.manners.token_life_ms;
                let ends_at = self.clock.truth + life;
                self.server.tokens.insert(*generation, ends_at);
                self.agenda.plan(ends_at, Item::TokenEnds(self.lives, *generation));
                Outcome::Token(Ok(TokenGrant { expires_in_ms: Some(life) }))
            }
            Effect::LoadCursor => {
                let cursor = self.saved.as_deref().map(Cursor::read).transpose();
                Outcome::Cursor(cursor.map_err(|error| Failure::CorruptCursor(error.to_string())))
            }
            Effect::Connect { generation, position, .. } => {
                if let Some(status) = self.weather.refuse_next.take() {
                    return Outcome::Socket(Err(http(status, "refused")));
                }
                if self.weather.connects_are_many(self.clock.truth) {
                    let wait = self.dice.between(1_000, 30_000);
                    return Outcome::Socket(Err(throttled(429, wait)));
                }
                let by_upgrade = self.manners.bad_token == Way::Upgrade;
                if self.manners.auth == Auth::Opening && by_upgrade && !self.is_good(*generation) {
                    return Outcome::Socket(Err(http(401, "invalid_token")));
                }
                let is_stale = self.is_stale(position.as_deref());
                if is_stale && self.manners.resuming.is_some_and(|it| it.stale == Way::Upgrade) {
                    return Outcome::Socket(Err(http(400, "unknown position")));
                }
                Outcome::Socket(Ok(()))
            }
            other => panic!("an effect of channels: {other:?}"),
        }
    }

    pub(crate) fn is_good(&self, generation: Option<Generation>) -> bool {
        self.server.accepts(generation, self.clock.truth)
    }

    pub(crate) fn is_stale(&self, position: Option<&str>) -> bool {
        let (Some(resuming), Some(position)) = (self.manners.resuming, position) else { return false };
        !self.server.knows(position, self.clock.wall(self.clock.truth), resuming)
    }

    /// The server has taken the upgrade; the client will know at `at`.
    fn opened(&mut self, socket: SocketId, outcome: &Outcome, at: u64) {
        let Some(wire) = self.server.wires.get_mut(&socket) else { return };
        if !matches!(outcome, Outcome::Socket(Ok(()))) {
            return;
        }
        (wire.open_there, wire.last_arrival) = (true, at);
        if self.manners.auth != Auth::FirstMessage {
            let thinks = if self.manners.says_ready { self.dice.up_to(500) } else { 0 };
            self.agenda.plan(self.clock.truth + thinks, Item::Ready(socket));
        }
    }

    fn trouble(&mut self, effect: &Effect) -> Option<Trouble> {
        let now = self.clock.truth;
        let trouble = match effect {
            Effect::FetchToken { .. } => &self.weather.tokens,
            Effect::Connect { .. } => &self.weather.connects,
            _ => &self.weather.store,
        };
        trouble.as_ref().filter(|(until, _)| now < *until).map(|(_, trouble)| trouble.clone())
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, outcome: Outcome) {
        if self.is_down || self.rules.has_ended() {
            return;
        }
        let effect = self.rules.knows(ticket).cloned();
        let is_awaited = self.rules.answered(ticket, &outcome, self.clock.now().mono);
        if is_awaited {
            self.old_tickets.push(ticket);
        }
        let outcome = self.sabotage.outcome(outcome);
        match (&effect, &outcome) {
            (Some(Effect::Connect { socket, .. }), Outcome::Socket(Ok(()))) if is_awaited => {
                if let Some(wire) = self.server.wires.get_mut(socket) {
                    (wire.is_opening, wire.open_here) = (false, true);
                    wire.heard_ready = !self.manners.says_ready && self.manners.auth != Auth::FirstMessage;
                }
            }
            (Some(Effect::Connect { socket, .. }), Outcome::Socket(Err(failure))) if is_awaited => {
                if failure.status() == Some(400) {
                    self.position_refused_at = Some(self.clock.truth);
                }
                self.server.wires.remove(socket);
            }
            (Some(Effect::LoadCursor), Outcome::Cursor(Ok(cursor))) if is_awaited => {
                self.process.loaded(cursor.as_ref());
            }
            _ => {}
        }
        self.tell(Input::Done(ticket, outcome));
    }
}

fn failed(effect: &Effect, failure: Failure) -> Outcome {
    match effect {
        Effect::FetchToken { .. } => Outcome::Token(Err(failure)),
        Effect::LoadCursor => Outcome::Cursor(Err(failure)),
        _ => Outcome::Socket(Err(failure)),
    }
}

//! What befalls the world.

use genesys_notifications_proto::{
    Disposition, Ending, Failure, Frame, Input, NetworkKind, Outcome, Random, SocketId, TopicChange,
    Unreadable,
};

use super::agenda::{Bytes, Item};
use super::manners::{TOPICS, one};
use super::world::World;
use crate::common::service::{http, network, throttled};

/// What becomes of requests for a while.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// No answer, or that the driver has waited long enough.
    Lost,
    Fails(Failure),
}

#[derive(Debug, Default)]
pub(crate) struct Weather {
    pub(crate) is_calm: bool,
    pub(crate) is_publishing: bool,
    /// Until when requests fail, and how.
    pub(crate) tokens: Option<(u64, Trouble)>,
    pub(crate) connects: Option<(u64, Trouble)>,
    pub(crate) store: Option<(u64, Trouble)>,
    /// Until then connections are too many.
    pub(crate) crowded_until: u64,
    /// The next connection is refused with this status.
    pub(crate) refuse_next: Option<u16>,
    /// Until then the server does not say ready, or late.
    pub(crate) mute_until: u64,
    pub(crate) slow_until: u64,
    pub(crate) pongs_lost_until: u64,
    pub(crate) incidents: u64,
}

impl Weather {
    pub(crate) fn connects_are_many(&self, now: u64) -> bool {
        now < self.crowded_until
    }

    /// The server behaves.
    pub(crate) fn clears_up(&mut self) {
        *self = Self { is_calm: true, is_publishing: true, incidents: self.incidents, ..Self::default() };
    }
}

impl World {
    pub(crate) fn chaos(&mut self) {
        if self.weather.is_calm {
            return;
        }
        let every = self.manners.chaos_every_ms;
        self.agenda.plan(self.clock.truth + self.dice.between(1, 2 * every), Item::Chaos);
        if self.is_down {
            return;
        }
        self.weather.incidents += 1;
        match self.dice.up_to(23) {
            0..=3 => self.kill(),
            4 | 5 => self.cut(),
            6 => self.trouble_with_tokens(),
            7..=9 => self.trouble_with_connections(),
            10 => self.weather.mute_until = self.clock.truth + self.dice.up_to(60_000),
            11 => self.weather.slow_until = self.clock.truth + self.dice.up_to(120_000),
            12 => self.weather.pongs_lost_until = self.clock.truth + self.dice.up_to(30_000),
            13 | 14 => self.freeze(),
            15 => self.step_wall(),
            16 => self.strange_frame(),
            17 => self.forged_result(),
            18 | 19 => self.end_the_process(),
            20 => self.change_topics(),
            21 => {
                let request = self.request();
                let input = if self.chance(2) { Input::Reconnect(request) } else { Input::Rotate(request) };
                self.tell(input);
            }
            22 => self.revoke(),
            _ => self.outage(),
        }
    }

    fn any_socket(&mut self) -> Option<SocketId> {
        let sockets: Vec<SocketId> = self.server.wires.keys().copied().collect();
        (!sockets.is_empty()).then(|| one(&mut self.dice, &sockets))
    }

    /// At whatever stage it is.
    fn kill(&mut self) {
        let Some(socket) = self.any_socket() else { return };
        let code = one(&mut self.dice, &[1000, 1000, 1001, 1005, 1011, 1012, 4000, 4401]);
        // A refusal of a token that is good, again and again, is the end: once it was live, one costs nothing.
        let code = if code == 4401 && !self.has_proof() { 1000 } else { code };
        if self.chance(2) {
            return self.close_there(socket, code);
        }
        self.end_there(socket, Ending::Broken(network(NetworkKind::Reset)));
        // What was on its way is lost.
        self.agenda.keep(|item| !matches!(item, Item::Arrive(on, _) if *on == socket));
    }

    fn cut(&mut self) {
        if let Some(socket) = self.any_socket()
            && let Some(wire) = self.server.wires.get_mut(&socket)
        {
            wire.is_dead = true;
        }
    }

    fn trouble_with_tokens(&mut self) {
        let until = self.clock.truth + self.dice.up_to(120_000);
        let wait = self.dice.up_to(60_000);
        let trouble = match self.dice.up_to(3) {
            0 => Trouble::Lost,
            1 => Trouble::Fails(http(503, "down")),
            2 => Trouble::Fails(throttled(429, wait)),
            _ => Trouble::Fails(network(NetworkKind::Refused)),
        };
        self.weather.tokens = Some((until, trouble));
    }

    fn trouble_with_connections(&mut self) {
        let until = self.clock.truth + self.dice.up_to(60_000);
        let wait = self.dice.up_to(30_000);
        let trouble = match self.dice.up_to(6) {
            0 => Trouble::Lost,
            1 => Trouble::Fails(http(503, "down")),
            2 => Trouble::Fails(throttled(429, wait)),
            3 => Trouble::Fails(network(NetworkKind::Dns)),
            4 => {
                self.weather.crowded_until = until;
                return;
            }
            5 if self.has_proof() => {
                self.weather.refuse_next = Some(one(&mut self.dice, &[401, 403]));
                return;
            }
            _ => {
                self.server.forgets(self.clock.wall(self.clock.truth));
                return;
            }
        };
        self.weather.connects = Some((until, trouble));
    }

    /// Longer than the server keeps what it has sent.
    fn outage(&mut self) {
        let retention = self.manners.resuming.map_or(60_000, |it| it.retention_ms);
        if self.chance(2) && retention < 600_000 {
            let until = self.clock.truth + retention + self.dice.up_to(60_000);
            self.weather.connects = Some((until, Trouble::Fails(http(502, "outage"))));
            let sockets: Vec<SocketId> = self.server.wires.keys().copied().collect();
            for socket in sockets {
                self.close_there(socket, 1001);
            }
        }
    }

    /// The process has been live, so that its credentials are known to be good.
    fn has_proof(&self) -> bool {
        use genesys_notifications_proto::ClientState::Connected;
        self.machine.state() == Connected
    }

    fn freeze(&mut self) {
        if self.frozen.is_none() {
            let ms = one(&mut self.dice, &[2_000, 20_000, 50_000, 400_000]);
            let (ms, asleep) = (self.dice.between(1, ms), self.chance(2));
            let now = self.clock.truth;
            self.frozen = Some((now + ms, asleep, now));
            self.pauses.push((now, now + ms));
            self.note(|| format!("FREEZE for {ms} ms, asleep {asleep}"));
            self.agenda.plan(now + ms, Item::Thaw);
        }
    }

    pub(crate) fn thaw(&mut self) {
        if let Some((_, asleep, since)) = self.frozen.take()
            && asleep
        {
            self.clock.sleep(self.clock.truth - since);
        }
    }

    fn step_wall(&mut self) {
        let ms = self.dice.between(1_000, 120_000);
        self.steps.push((self.clock.truth, ms));
        self.clock.step_wall(ms);
    }

    fn strange_frame(&mut self) {
        let Some(socket) = self.any_socket() else { return };
        let text = one(
            &mut self.dice,
            &["{}", "[]", "7", r#"{"t":"channel.metadata"}"#, "not JSON", r#"{"b":1}"#, r#"{"t":7,"b":1}"#],
        );
        self.send_back(socket, Bytes::Text(text.to_owned()));
    }

    /// Results that nobody waits for, and the ends of sockets that are no more.
    fn forged_result(&mut self) {
        if !self.old_tickets.is_empty() {
            let ticket = one(&mut self.dice, &self.old_tickets.clone());
            self.tell(Input::Done(ticket, Outcome::Socket(Ok(()))));
            self.tell(Input::Done(ticket, Outcome::Cursor(Ok(None))));
        }
        let nobody = SocketId(u32::MAX);
        self.tell(Input::SocketClosed(nobody, Ending::Closed(4401, String::new())));
        let frame = Frame::Unreadable(Unreadable::NotJson);
        let disposition = self.call(|machine, cx| machine.frame(cx, nobody, &frame));
        assert_eq!(disposition, Disposition::Drop);
    }

    fn end_the_process(&mut self) {
        if self.manners.has_cursor {
            self.crash();
        }
    }

    fn change_topics(&mut self) {
        // A topic that is added to a stream that is asked for by topics brings its past, behind what came of the others since:
        // no single position tells how far that has come.
        let is_disordered =
            self.manners.subscribes && self.manners.has_cursor || self.manners.replays_by_topic;
        if !self.manners.names_topics || is_disordered {
            return;
        }
        let topic = self.dice.up_to(u64::from(TOPICS) - 1) as u8;
        if self.wanted.contains(&topic) {
            if self.wanted.len() > 1 {
                self.wanted.remove(&topic);
                self.truth.changed.insert(topic);
                self.change(TopicChange::Remove, &[topic]);
            }
        } else {
            self.wanted.insert(topic);
            self.truth.changed.insert(topic);
            self.change(TopicChange::Add, &[topic]);
        }
    }

    fn revoke(&mut self) {
        if self.has_proof()
            && let Some((generation, _)) = self.server.tokens.last_key_value()
        {
            let generation = *generation;
            self.token_ends(self.lives, generation);
        }
    }
}

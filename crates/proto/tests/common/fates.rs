//! Ends of tokens and channels.

use genesys_notifications_proto::{Ending, Random, SystemNotice};

use super::agenda::{Cargo, Item};
use super::service::Channel;
use super::world::World;

impl World {
    pub(crate) fn token_ends(&mut self, generation: u32) {
        if self.service.channels_end_with_token {
            let of = |channel: &Channel| channel.owner == generation && !channel.gone;
            let keys: Vec<u32> =
                self.service.channels.iter().filter(|(_, c)| of(c)).map(|(key, _)| *key).collect();
            for key in keys {
                self.channel_ends(key);
            }
        }
    }

    /// Only if the machine has used it: credentials refused again and again are hopeless (S2).
    pub(crate) fn revoke_newest(&mut self, told: bool) {
        let Some(newest) = self.service.tokens.last_key_value().map(|(generation, _)| *generation) else {
            return;
        };
        if std::mem::take(&mut self.accepted) {
            self.revoke(newest, told);
        }
    }

    pub(crate) fn revoke(&mut self, generation: u32, told: bool) {
        if let Some(token) = self.service.tokens.get_mut(&generation) {
            token.revoked = true;
        }
        if told {
            for socket in self.wires.open_here() {
                let key = self.wires.by_id[&socket].channel;
                if self.service.channels.get(&key).is_some_and(|channel| channel.owner == generation) {
                    self.send(socket, Cargo::System(SystemNotice::TokenRevoked));
                }
            }
            // What is told beforehand leaves time for an overlap.
            self.agenda.plan(self.clock.truth + 60_000, Item::TokenEnds(generation));
        } else {
            self.token_ends(generation);
        }
    }

    pub(crate) fn channel_ends(&mut self, key: u32) {
        let Some(channel) = self.service.channels.get_mut(&key).filter(|channel| !channel.gone) else {
            return;
        };
        channel.gone = true;
        self.last_end = self.clock.truth;
        let Some(socket) = channel.carrier else { return };
        match self.dice.up_to(3) {
            0 => self.end_socket(socket, Ending::Closed(1000, String::new())),
            1 => self.end_socket(socket, Ending::Closed(1008, String::new())),
            2 => self.cut(socket),
            _ => {
                self.send(socket, Cargo::Reply(404));
                self.end_socket(socket, Ending::Closed(1005, String::new()));
            }
        }
        self.refresh();
    }

    /// Another channel takes this one's place: told, and ended a minute later.
    pub(crate) fn displace(&mut self, key: u32) {
        let Some(channel) = self.service.channels.get(&key) else { return };
        let name = channel.name.clone();
        match channel.carrier {
            None => self.channel_ends(key),
            Some(socket) => {
                let notice = SystemNotice::NoLongerSubscribed { channel: name };
                self.send(socket, Cargo::System(notice));
                self.agenda.plan(self.clock.truth + 60_000, Item::ChannelEnds(key));
            }
        }
    }
}

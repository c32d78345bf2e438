use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde::Serialize;
use serde_json::json;

use crate::{
    clock::iso,
    log::ChannelRecord,
    oauth::Token,
    options::{Ending, ForeignToken},
    socket::End,
    state::{State, Timer},
};

/// All live channels, and who listens to which topic.
#[derive(Default)]
pub(crate) struct Channels {
    live: HashMap<Arc<str>, Channel>,
    listeners: HashMap<String, Vec<Arc<str>>>,
    /// Topics with a listener, for the traffic generator; empty when it must be rebuilt.
    heard: Option<Arc<Vec<String>>>,
    created: u64,
}

/// One live channel.
pub(crate) struct Channel {
    pub(crate) id: Arc<str>,
    pub(crate) token: Token,
    pub(crate) expires: u64,
    pub(crate) last_use: u64,
    pub(crate) socket: Option<u64>,
    pub(crate) subscriptions: Vec<Subscription>,
    created_at: u64,
    /// Breaks ties of `last_use`.
    pub(crate) number: u64,
    topics: HashSet<String>,
}

/// One subscribed topic as it was asked for, and the full names that were granted.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    pub(crate) granted: Vec<String>,
}

impl Subscription {
    /// What is left of it without one topic, under a name that says so; None if that is nothing.
    fn without(&self, topic: &str) -> Option<Self> {
        if !self.granted.iter().any(|granted| granted == topic) {
            return Some(self.clone());
        }
        let (prefix, suffixes) = self.id.split_once('?')?;
        let left: Vec<_> =
            suffixes.split('&').filter(|suffix| format!("{prefix}.{suffix}") != topic).collect();
        let id = match left.as_slice() {
            [] => return None,
            [only] => format!("{prefix}.{only}"),
            several => format!("{prefix}?{}", several.join("&")),
        };
        let granted = self.granted.iter().filter(|granted| *granted != topic).cloned().collect();
        Some(Self { id, granted })
    }
}

/// A live channel as a snapshot.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// The channel's id.
    pub id: String,
    /// Its client.
    pub client: String,
    /// Label of the token that created it.
    pub token: String,
    /// When it was created, epoch milliseconds.
    pub created_at: u64,
    /// When it ends, epoch milliseconds of the simulator's clock (without `clockSkewMs`).
    pub expires: u64,
    /// When it was used last.
    pub last_use: u64,
    /// Whether a socket is open on it.
    pub connected: bool,
    /// The open socket.
    pub socket: Option<u64>,
    /// Subscriptions as they were asked for, combined ones unexpanded.
    pub topics: Vec<String>,
}

/// Why a channel cannot be used.
pub(crate) enum NoChannel {
    Gone,
    Foreign(ForeignToken),
}

impl Channels {
    pub(crate) fn find(&self, id: &str) -> Option<&Channel> {
        self.live.get(id)
    }

    pub(crate) fn find_mut(&mut self, id: &str) -> Option<&mut Channel> {
        self.live.get_mut(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.live.values()
    }

    pub(crate) fn listeners(&self, topic: &str) -> &[Arc<str>] {
        self.listeners.get(topic).map_or(&[], Vec::as_slice)
    }

    /// Ids, oldest channel first.
    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        let mut channels: Vec<_> = self.live.values().collect();
        channels.sort_by_key(|channel| channel.number);
        channels.into_iter().map(|channel| Arc::clone(&channel.id)).collect()
    }

    /// Topics that somebody listens to, sorted.
    pub(crate) fn heard(&mut self) -> Arc<Vec<String>> {
        let listeners = &self.listeners;
        let heard = self.heard.get_or_insert_with(|| {
            let mut topics: Vec<_> = listeners.keys().cloned().collect();
            topics.sort_unstable();
            Arc::new(topics)
        });
        Arc::clone(heard)
    }

    pub(crate) fn subscribe(&mut self, id: &str, subscriptions: Vec<Subscription>) {
        let Some(channel) = self.live.get_mut(id) else { return };
        let topics: HashSet<String> = subscriptions.iter().flat_map(|s| &s.granted).cloned().collect();
        for gone in channel.topics.difference(&topics) {
            unlisten(&mut self.listeners, gone, id);
        }
        for new in topics.difference(&channel.topics) {
            self.listeners.entry(new.clone()).or_default().push(Arc::clone(&channel.id));
        }
        channel.topics = topics;
        channel.subscriptions = subscriptions;
        self.heard = None;
    }

    /// Takes a topic from a channel without telling anybody; false if it was not subscribed.
    pub(crate) fn lose_topic(&mut self, id: &str, topic: &str) -> bool {
        let Some(channel) = self.live.get(id).filter(|channel| channel.topics.contains(topic)) else {
            return false;
        };
        let left = channel.subscriptions.iter().filter_map(|held| held.without(topic)).collect();
        self.subscribe(id, left);
        true
    }

    fn remove(&mut self, id: &str) -> Option<Channel> {
        let channel = self.live.remove(id)?;
        for topic in &channel.topics {
            unlisten(&mut self.listeners, topic, id);
        }
        self.heard = None;
        Some(channel)
    }
}

fn unlisten(listeners: &mut HashMap<String, Vec<Arc<str>>>, topic: &str, id: &str) {
    if let Some(ids) = listeners.get_mut(topic) {
        ids.retain(|other| **other != *id);
        if ids.is_empty() {
            listeners.remove(topic);
        }
    }
}

impl State {
    /// `POST channels`, the limit obeyed.
    pub(crate) fn create_channel(&mut self, token: &Token) -> Arc<str> {
        let limit = self.settings.options.channels_per_client;
        while let Some(oldest) = self.one_too_many(&token.group(), limit) {
            self.evict_channel(&oldest);
        }
        let id: Arc<str> = format!("streaming-{}-{}", self.ids.below(8), self.ids.base32(26)).into();
        let expires = self.now.saturating_add(self.settings.options.channel_life_ms);
        self.channels.created += 1;
        let channel = Channel {
            id: Arc::clone(&id),
            token: token.clone(),
            expires,
            last_use: self.now,
            socket: None,
            subscriptions: Vec::new(),
            created_at: self.now,
            number: self.channels.created,
            topics: HashSet::new(),
        };
        self.log.channel(ChannelRecord {
            id: id.to_string(),
            client: token.client.clone(),
            token: token.label(),
            created_at: self.now,
            ended_at: None,
            ended: None,
            revision: 0,
        });
        self.channels.live.insert(Arc::clone(&id), channel);
        self.schedule(expires, Timer::ChannelEnd(Arc::clone(&id)));
        self.channel_occurred(&id);
        id
    }

    /// The channel, if this token may use it.
    pub(crate) fn usable_channel(&self, id: &str, token: &Token) -> Result<&Channel, NoChannel> {
        let foreign = self.settings.options.foreign_token;
        match self.channels.find(id) {
            Some(channel) if channel.token.number == token.number => Ok(channel),
            // Another client never learns that the channel exists.
            Some(channel) if channel.token.group() != token.group() => Err(NoChannel::Gone),
            Some(channel) if foreign == ForeignToken::Allow => Ok(channel),
            Some(_) => Err(NoChannel::Foreign(foreign)),
            None => Err(NoChannel::Gone),
        }
    }

    /// Starts the life of a channel anew, as a successful subscription does.
    pub(crate) fn renew_channel(&mut self, id: &str) {
        let options = &self.settings.options;
        let expires = self.now.saturating_add(options.channel_life_ms);
        let renews = options.renew_on_subscribe;
        let now = self.now;
        if let Some(channel) = self.channels.find_mut(id) {
            channel.last_use = now;
            if renews {
                channel.expires = expires;
            }
        }
    }

    pub(crate) fn channel_states(&self) -> Vec<ChannelState> {
        let ids = self.channels.ids();
        let channels = ids.iter().filter_map(|id| self.channels.find(id));
        channels
            .map(|channel| ChannelState {
                id: channel.id.to_string(),
                client: channel.token.client.clone(),
                token: channel.token.label(),
                created_at: channel.created_at,
                expires: channel.expires,
                last_use: channel.last_use,
                connected: channel.socket.is_some(),
                socket: channel.socket,
                topics: channel.subscriptions.iter().map(|s| s.id.clone()).collect(),
            })
            .collect()
    }

    pub(crate) fn channel_json(&self, channel: &Channel) -> serde_json::Value {
        let streaming =
            self.settings.options.advertised_streaming.as_deref().unwrap_or(&self.settings.urls.streaming);
        json!({
            "connectUri": format!("{}/channels/{}", streaming.trim_end_matches('/'), channel.id),
            "id": &*channel.id,
            "expires": iso(self.told(channel.expires)),
        })
    }

    /// Displaces a channel: the notice, then the close.
    pub(crate) fn evict_channel(&mut self, id: &str) {
        let options = &self.settings.options;
        let (notice, code) = (options.eviction_notice, options.evict_close_code);
        let Some(channel) = self.drop_channel(id, "evicted") else { return };
        let Some(socket) = channel.socket else { return };
        if notice {
            let frame = self.no_longer_subscribed(&channel);
            self.send_plain(socket, frame);
        }
        self.close_socket(socket, End::new("evicted").code(code));
    }

    /// The life of a channel is over.
    pub(crate) fn expire_channel(&mut self, id: &str) {
        let ending = self.settings.options.channel_expiry;
        if let Some(channel) = self.drop_channel(id, "expired") {
            self.end_under_socket(&channel, "expired", ending);
        }
    }

    /// A timer fired; the channel may have been renewed since.
    pub(crate) fn channel_due(&mut self, id: &Arc<str>) {
        match self.channels.find(id).map(|channel| channel.expires) {
            Some(expires) if expires > self.now => self.schedule(expires, Timer::ChannelEnd(Arc::clone(id))),
            Some(_) => self.expire_channel(id),
            None => {}
        }
    }

    /// A token's life is over.
    pub(crate) fn end_token(&mut self, number: u64) {
        if self.tokens.end(number).is_none() {
            return;
        }
        self.gateway_token_ended(number);
        if !self.settings.options.channel_dies_with_token {
            return;
        }
        let ending = self.settings.options.token_expiry;
        for id in self.channels_of_token(number) {
            if let Some(channel) = self.drop_channel(&id, "tokenEnded") {
                self.end_under_socket(&channel, "tokenEnded", ending);
            }
        }
    }

    /// A token is revoked: its sockets are told before it ends.
    pub(crate) fn revoke_token(&mut self, number: u64) {
        for id in self.channels_of_token(number) {
            let Some(channel) = self.channels.find(&id) else { continue };
            if let Some(socket) = channel.socket {
                let frame = self.token_revoked(&id, number);
                self.send_plain(socket, frame);
            }
        }
        self.end_token(number);
    }

    fn channels_of_token(&self, number: u64) -> Vec<Arc<str>> {
        let mut ids = self.channels.ids();
        ids.retain(|id| self.channels.find(id).is_some_and(|channel| channel.token.number == number));
        ids
    }

    fn drop_channel(&mut self, id: &str, how: &str) -> Option<Channel> {
        let channel = self.channels.remove(id)?;
        self.log.channel_ended(id, self.now, how);
        Some(channel)
    }

    fn end_under_socket(&mut self, channel: &Channel, how: &'static str, ending: Ending) {
        let Some(socket) = channel.socket else { return };
        match ending {
            Ending::Close => {
                let code = self.settings.options.expiry_close_code;
                self.close_socket(socket, End::new(how).code(code));
            }
            Ending::Silence => self.orphan_socket(socket),
            Ending::Result404 => {
                self.orphan_socket(socket);
                self.send_plain(
                    socket,
                    json!({ "result": "404", "message": "Channel not found." }).to_string(),
                );
            }
        }
    }

    /// The channel that must go before another one fits: unconnected ones first, then the oldest last use.
    fn one_too_many(&self, group: &str, limit: usize) -> Option<Arc<str>> {
        let own: Vec<_> = self.channels.iter().filter(|channel| channel.token.group() == group).collect();
        if own.len() < limit {
            return None;
        }
        own.into_iter()
            .min_by_key(|channel| (channel.socket.is_some(), channel.last_use, channel.number))
            .map(|channel| Arc::clone(&channel.id))
    }
}

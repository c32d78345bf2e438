use std::sync::Arc;

use serde_json::Value;

use super::{Gateway, Kept, replay::Limits};
use crate::{
    book::Hit,
    clock::iso,
    envelope::{Plan, push_body},
    fault::{Action, Operation},
    frame::{self, Opcode},
    keys::turned,
    log::{Delivery, DeliveryState},
    options::BodyKeys,
    state::State,
};

impl Kept {
    /// What is sent of it.
    pub(crate) fn item(&self, body: &str, id: &str, plan: &Plan) -> String {
        let mut text = String::with_capacity(body.len() + self.topic.len() + 160);
        text.push_str("{\"topicName\":");
        text.push_str(&Value::from(self.topic.as_str()).to_string());
        if plan.unknown_fields {
            text.push_str(",\"futureField\":{\"anything\":[1,null,\"x\"]}");
        }
        text.push_str(",\"eventBody\":");
        match plan.null_body {
            true => text.push_str("null"),
            false => push_body(&mut text, body.trim(), plan),
        }
        if !plan.no_metadata {
            text.push_str(&format!(
                ",\"timestamp\":\"{}\",\"sequence\":{},\"id\":\"{id}\"",
                iso(self.at),
                self.seq
            ));
        }
        text.push('}');
        text
    }
}

impl State {
    pub(crate) fn gateway_mut(&mut self, socket: u64) -> Option<&mut Gateway> {
        self.sockets.get_mut(&socket)?.gateway.as_deref_mut()
    }

    pub(crate) fn is_gateway(&self, socket: u64) -> bool {
        self.gateways.contains(&socket)
    }

    /// Open gateway connections, oldest first.
    pub(crate) fn gateways_that(&self, holds: impl Fn(&Gateway) -> bool) -> Vec<u64> {
        let open = self.gateways.iter().filter(|id| {
            self.sockets.get(id).and_then(|socket| socket.gateway.as_deref()).is_some_and(&holds)
        });
        open.copied().collect()
    }

    /// Those that an event of this topic goes to.
    pub(crate) fn gateway_audience(&self, topic: &str) -> Vec<(String, Option<u64>)> {
        let sockets = self.gateways_that(|gateway| gateway.wants(topic)).into_iter();
        sockets.filter_map(|id| Some((self.sockets.get(&id)?.channel.to_string(), Some(id)))).collect()
    }

    /// Keeps an event for those who begin before it.
    pub(crate) fn keep(&mut self, event: &Arc<Kept>) {
        let options = &self.settings.options;
        let limits = Limits {
            events: options.gateway.retention_events,
            bytes: options.history_bytes,
            retention_ms: options.gateway.retention_ms,
        };
        self.kept.add(Arc::clone(event), limits);
    }

    /// Topics that were asked for on open connections, and whether one of them is sent whatever there is.
    pub(crate) fn gateway_topics(&self) -> (Vec<String>, bool) {
        let open = self.gateways.iter().filter_map(|id| self.sockets.get(id)?.gateway.as_deref());
        let mut topics: Vec<_> =
            open.clone().flat_map(|gateway| gateway.asked.iter().flatten().cloned()).collect();
        topics.sort_unstable();
        topics.dedup();
        (topics, open.clone().any(Gateway::wants_all))
    }

    /// Sends what was published before the connection; live events come behind it, since both happen under the same lock.
    pub(crate) fn replay(&mut self, socket: u64, events: &[Arc<Kept>]) {
        let Some(gateway) = self.gateway_mut(socket) else { return };
        let (record, channel) = (gateway.record, gateway.endpoint.channel());
        for event in events {
            let delivery = Delivery {
                channel: channel.to_owned(),
                socket: Some(socket),
                state: DeliveryState::Queued,
                at: None,
                reason: None,
                correlation_id: None,
                altered: Vec::new(),
            };
            let mark = self.log.deliver_again(event.seq, delivery);
            let item = event.item(&self.gateway_body(socket, &event.body), &event.id, &Plan::default());
            let sent = self.send_item(socket, item, mark, &Plan::default());
            if let (Err(reason), Some(mark)) = (sent, mark) {
                self.log.lost(mark, reason);
            }
        }
        self.flush_batch(socket);
        self.log.update_gateway(record, |r| r.replayed += events.len() as u64);
    }

    /// The body as this connection gets it.
    pub(crate) fn gateway_body(&self, socket: u64, body: &str) -> String {
        match self.settings.options.body_keys {
            BodyKeys::Same => body.to_owned(),
            BodyKeys::Shuffled => turned(body, socket),
        }
    }

    /// The pong to a ping of the protocol, which is the only ping here.
    pub(crate) fn gateway_pong(&mut self, socket: u64, payload: &[u8]) {
        let Some(channel) = self.gateway_mut(socket).map(|gateway| gateway.endpoint.channel()) else {
            return;
        };
        let pong = frame::frame(Opcode::Pong, true, payload);
        self.send_service_frame(Operation::Pong, socket, channel, &pong);
    }

    /// Does to a gateway connection what concerns channels elsewhere; there is nothing to evict or to expire.
    pub(crate) fn harm_gateway(&mut self, hit: &Hit, socket: u64) {
        let Some(gateway) = self.gateway_mut(socket) else { return };
        let (channel, token) = (gateway.endpoint.channel(), gateway.token);
        match (&hit.action, token) {
            (Action::LoseTopic { topic }, _) => {
                gateway.asked.iter_mut().for_each(|asked| asked.retain(|asked| asked != topic))
            }
            (Action::Revoke {}, Some(_)) => {}
            _ => return,
        }
        self.fault_applied(
            hit.fault,
            hit.action.kind(),
            Operation::Socket.name(),
            Some(channel),
            Some(socket),
            None,
        );
        if let (Action::Revoke {}, Some(token)) = (&hit.action, token) {
            self.revoke_token(token);
        }
    }
}

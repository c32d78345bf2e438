use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    book::Occurrence,
    channels::Channel,
    envelope::{Plan, envelope},
    fault::Operation,
    frame::{self, Opcode},
    gateway::Kept,
    keys::turned,
    log::{Delivery, DeliveryState, EventRecord},
    options::BodyKeys,
    recorder::Mark,
    socket::End,
    state::{State, Timer},
    subscriptions::{Change, decide},
};

const SYSTEM: &str = "v2.system.";

impl State {
    /// Sends an event to the open sockets of the channels that subscribed its topic; returns its number.
    pub(crate) fn publish(&mut self, topic: &str, body: &str) -> u64 {
        let correlation_id = self.ids.uuid();
        let seq = self.log.next_seq();
        let undisturbed = envelope(topic, body, &correlation_id, &Plan::default());
        let shared = frame::text(&undisturbed);
        let quiet = self.book.is_quiet(Operation::Event);
        let shuffled = self.settings.options.body_keys == BodyKeys::Shuffled;
        let told = self.told(self.now);
        self.history.add(told, topic, body);
        let kept = Arc::new(Kept {
            seq,
            at: told,
            topic: topic.to_owned(),
            body: body.to_owned(),
            id: correlation_id.clone(),
        });
        self.keep(&kept);
        let mut deliveries = Vec::new();
        for (place, (channel, socket)) in self.audience(topic).into_iter().enumerate() {
            let Some(socket) = socket else {
                deliveries.push(delivery(&channel, None, Err("noSocket".to_owned()), None, &[]));
                continue;
            };
            let plan = if quiet {
                Plan::default()
            } else {
                self.plan(Operation::Event, socket, &channel, Some(topic), Some(seq))
            };
            if let Some((kind, instead)) = plan.lost {
                if let Some(instead) = instead {
                    self.send_in_order(socket, instead, None);
                }
                let reason = if kind == "stall" { "stalled".to_owned() } else { format!("faulted:{kind}") };
                deliveries.push(delivery(&channel, Some(socket), Err(reason), None, &[]));
                continue;
            }
            if place > 0 {
                self.lag(socket);
            }
            let is_gateway = self.is_gateway(socket);
            let turned = shuffled.then(|| {
                let number = self.channels.find(&channel).map_or(socket, |channel| channel.number);
                turned(body, number)
            });
            for copy in 0..=plan.copies {
                let own = (self.settings.options.correlation_per_delivery && !is_gateway)
                    || (copy > 0 && plan.own_correlation);
                let correlation = own.then(|| self.ids.uuid());
                let mark = Mark { seq, delivery: deliveries.len() };
                if is_gateway {
                    let (body, id) = (turned.as_deref().unwrap_or(body), correlation.as_deref());
                    let item = kept.item(body, id.unwrap_or(&correlation_id), &plan);
                    let queued = self.send_item(socket, item, Some(mark), &plan).map_err(str::to_owned);
                    deliveries.push(delivery(&channel, Some(socket), queued, correlation, &plan.altered));
                    continue;
                }
                let frame = if correlation.is_none() && turned.is_none() && plan.is_plain() {
                    shared.clone()
                } else {
                    plan.encode(&envelope(
                        topic,
                        turned.as_deref().unwrap_or(body),
                        correlation.as_deref().unwrap_or(&correlation_id),
                        &plan,
                    ))
                };
                let queued = self.dispatch(socket, frame, Some(mark), &plan).map_err(str::to_owned);
                deliveries.push(delivery(&channel, Some(socket), queued, correlation, &plan.altered));
            }
        }
        self.log.event(EventRecord {
            seq,
            at: self.now,
            topic: topic.to_owned(),
            correlation_id,
            bytes: undisturbed.len(),
            deliveries,
            reason: None,
            revision: 0,
        })
    }

    /// One heartbeat is due.
    pub(crate) fn heartbeat(&mut self, socket: u64) {
        if self.is_gateway(socket) {
            return;
        }
        self.log.update_socket(socket, |record| record.heartbeats += 1);
        self.send_service(Operation::Heartbeat, socket, "WebSocket Heartbeat");
    }

    /// A text message came from the peer: a ping, a subscription, or anything, which is tolerated.
    pub(crate) fn socket_text(&mut self, socket: u64, text: &str) {
        self.heard_from(socket);
        if self.is_gateway(socket) {
            return self.gateway_text(socket, text);
        }
        let Ok(message) = serde_json::from_str::<Value>(text) else { return };
        let change = match message.get("message").and_then(Value::as_str) {
            Some("ping") => {
                self.log.update_socket(socket, |record| record.pings += 1);
                return self.send_service(Operation::Pong, socket, "pong");
            }
            Some("subscribe") => "subscribed",
            Some("unsubscribe") => "unsubscribed",
            _ => return,
        };
        if self.settings.options.subscribe_over_socket {
            let mut reply = self.subscribe_frame(socket, change, &message);
            if let Some(id) = message.get("correlationId") {
                reply["correlationId"] = id.clone();
            }
            self.send_plain(socket, reply.to_string());
        }
    }

    /// A ping of the protocol; its pong keeps the order of the stream like any other frame.
    pub(crate) fn control_ping(&mut self, socket: u64, payload: &[u8]) {
        self.heard_from(socket);
        self.log.update_socket(socket, |record| record.control_pings += 1);
        if self.is_gateway(socket) {
            return self.gateway_pong(socket, payload);
        }
        self.send_in_order(socket, frame::frame(Opcode::Pong, true, payload), None);
    }

    pub(crate) fn heard_from(&mut self, socket: u64) {
        let now = self.now;
        self.log.update_socket(socket, |record| record.last_inbound_at = Some(now));
    }

    pub(crate) fn maintenance_over(&mut self, socket: u64) {
        let code = self.settings.options.maintenance_close_code;
        self.close_socket(socket, End::new("maintenance").code(code));
    }

    pub(crate) fn no_longer_subscribed(&mut self, channel: &Channel) -> String {
        let topic = format!("v2.system.no_longer_subscribed.{}", channel.id);
        let body = json!({
            "channelId": &*channel.id,
            "systemTopicType": "no_longer_subscribed",
            "reason": "another_channel_subscribed",
            "userId": channel.token.user,
            "oauthClientId": channel.token.client,
            "correlationId": self.ids.uuid(),
            "message": "Channel is no longer subscribed.",
        });
        self.system_frame(&topic, &body)
    }

    pub(crate) fn token_revoked(&mut self, channel: &str, token: u64) -> String {
        let token = self.tokens.by_number(token);
        let whose = token.map(|t| t.user.clone().unwrap_or_else(|| t.client.clone())).unwrap_or_default();
        let body = json!({
            "channelId": channel,
            "systemTopicType": "token_revoked",
            "reason": "user_tokens_revoked",
        });
        self.system_frame(&format!("v2.system.token_revoked.{whose}"), &body)
    }

    /// Warns of maintenance and sets its end.
    pub(crate) fn begin_maintenance(&mut self, socket: u64, grace_ms: Option<u64>) {
        let body = json!({ "message": "The socket will be closed for maintenance." });
        let frame = self.system_frame("v2.system.socket_closing", &body);
        self.send_plain(socket, frame);
        let grace_ms = grace_ms.unwrap_or(self.settings.options.maintenance_grace_ms);
        self.schedule(self.now.saturating_add(grace_ms), Timer::MaintenanceEnd(socket));
    }

    fn system_frame(&mut self, topic: &str, body: &Value) -> String {
        let correlation_id = self.ids.uuid();
        envelope(topic, &body.to_string(), &correlation_id, &Plan::default())
    }

    /// Channels that an event concerns, with their open sockets, and gateway connections.
    fn audience(&self, topic: &str) -> Vec<(String, Option<u64>)> {
        let mut ids = self.channels.listeners(topic).to_vec();
        if ids.is_empty() && topic.starts_with(SYSTEM) {
            // System topics arrive without subscribing; one that names a channel arrives there only.
            let named = topic.rsplit('.').next().unwrap_or_default();
            ids = match self.channels.find(named) {
                Some(channel) => vec![channel.id.clone()],
                None => self.channels.ids(),
            };
        }
        let channels = ids.iter().filter_map(|id| self.channels.find(id));
        let mut audience: Vec<_> = channels.map(|channel| (channel.id.to_string(), channel.socket)).collect();
        audience.extend(self.gateway_audience(topic));
        audience
    }

    fn send_service(&mut self, operation: Operation, socket: u64, message: &str) {
        let Some(channel) = self.sockets.get(&socket).map(|s| s.channel.clone()) else { return };
        let text =
            json!({ "topicName": "channel.metadata", "eventBody": { "message": message } }).to_string();
        self.send_service_frame(operation, socket, &channel, &frame::text(&text));
    }

    /// The same, of any frame that is no event.
    pub(crate) fn send_service_frame(
        &mut self,
        operation: Operation,
        socket: u64,
        channel: &str,
        service: &Bytes,
    ) {
        let plan = match self.book.is_quiet(operation) {
            true => Plan::default(),
            false => self.plan(operation, socket, channel, None, None),
        };
        match plan.lost {
            Some((_, Some(instead))) => {
                self.send_in_order(socket, instead, None);
            }
            Some((_, None)) => {}
            None => {
                for _ in 0..=plan.copies {
                    let _ = self.dispatch(socket, service.clone(), None, &plan);
                }
            }
        }
    }

    /// The way to this socket becomes longer, by up to `skewMs` from now on; what is under way stays ahead.
    fn lag(&mut self, socket: u64) {
        let skew = self.settings.options.skew_ms;
        if skew == 0 {
            return;
        }
        let until = self.now.saturating_add(self.ids.below(skew + 1));
        if let Some(socket) = self.sockets.get_mut(&socket) {
            socket.late_until = socket.late_until.max(until);
        }
    }

    pub(crate) fn dispatch(
        &mut self,
        socket: u64,
        frame: Bytes,
        mark: Option<Mark>,
        plan: &Plan,
    ) -> Result<(), &'static str> {
        self.flush_batch(socket);
        if plan.delay_ms == 0 && plan.reorder_ms.is_none() && self.is_lagging(socket) {
            self.send_behind(socket, frame, mark);
            return Ok(());
        }
        if plan.delay_ms > 0 {
            self.schedule(self.now.saturating_add(plan.delay_ms), Timer::Late { socket, frame, mark });
            return Ok(());
        }
        match plan.reorder_ms {
            Some(ms) => self.hold(socket, frame, mark, ms),
            None => self.send(socket, frame, mark),
        }
    }

    /// Lets the faults act; those that hit the socket itself have done so when this returns.
    fn plan(
        &mut self,
        operation: Operation,
        socket: u64,
        channel: &str,
        topic: Option<&str>,
        seq: Option<u64>,
    ) -> Plan {
        let mut plan = Plan::default();
        if self.sockets.get(&socket).is_some_and(|s| s.stalled.is_some()) {
            return plan;
        }
        for hit in self.book.take(Occurrence { operation, channel: Some(channel), topic }) {
            let kind = hit.action.kind();
            self.fault_applied(hit.fault, kind, operation.name(), Some(channel), Some(socket), seq);
            if plan.add(&hit, topic.unwrap_or("channel.metadata")) {
                self.harm(&hit, socket);
            }
        }
        plan
    }

    fn subscribe_frame(&mut self, socket: u64, change: &str, message: &Value) -> Value {
        let failure = |text: &str| json!({ "result": "400", "status": "failure", "message": text });
        let Some(socket) = self.sockets.get(&socket) else { return failure("Socket is closed.") };
        let id = socket.channel.clone();
        let Some(channel) = self.channels.find(&id) else {
            return json!({ "result": "404", "message": "Channel not found." });
        };
        let Some(topics) = message.get("topics").and_then(Value::as_array) else {
            return failure("topics must be an array.");
        };
        let topics: Vec<_> = topics.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let subscriptions = if change == "subscribed" {
            let options = &self.settings.options;
            match decide(options, &channel.subscriptions, topics.clone(), Change::Add, false) {
                Ok(decided) => decided.subscriptions,
                Err(error) => return failure(error.message()),
            }
        } else {
            channel.subscriptions.iter().filter(|held| !topics.contains(&held.id)).cloned().collect()
        };
        self.channels.subscribe(&id, subscriptions);
        self.renew_channel(&id);
        json!({ "result": "200", "status": change, "topics": topics })
    }
}

fn delivery(
    channel: &str,
    socket: Option<u64>,
    queued: Result<(), String>,
    correlation_id: Option<String>,
    altered: &[&'static str],
) -> Delivery {
    let state = if queued.is_ok() { DeliveryState::Queued } else { DeliveryState::Lost };
    let altered = altered.to_vec();
    Delivery {
        channel: channel.to_owned(),
        socket,
        state,
        at: None,
        reason: queued.err(),
        correlation_id,
        altered,
    }
}

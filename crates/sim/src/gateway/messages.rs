use serde_json::{Value, json};

use super::{
    Asked, Endpoint, Stage,
    options::{BadToken, EarlyFrame},
    tokens::UNAUTHORIZED,
};
use crate::{
    socket::End,
    state::{State, Timer},
};

impl State {
    /// A text message came on a gateway connection: a first message, a topic that is asked for, or anything, which is tolerated.
    pub(crate) fn gateway_text(&mut self, socket: u64, text: &str) {
        let Some(gateway) = self.gateway_mut(socket) else { return };
        let (endpoint, stage) = (gateway.endpoint, gateway.stage);
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        let secret = message.get("access_token").and_then(Value::as_str);
        match (endpoint, stage, secret) {
            (Endpoint::FirstMessage, Stage::Unproven | Stage::Ready | Stage::Mute, Some(secret)) => {
                let since = message.get("since").and_then(Value::as_str);
                self.first_message(socket, stage, secret, since);
            }
            (_, Stage::Unproven | Stage::Accepted, _) => self.early_frame(socket),
            (_, Stage::Mute, _) => {}
            (_, Stage::Ready, _) => {
                if let Some(topic) = asked(&message) {
                    self.ask(socket, topic, message.get("since").and_then(Value::as_str));
                }
            }
        }
    }

    fn first_message(&mut self, socket: u64, stage: Stage, secret: &str, since: Option<&str>) {
        let Some(record) = self.gateway_mut(socket).map(|gateway| gateway.record) else { return };
        let number = match self.judge_token(record, Some(secret)) {
            Ok(number) => number,
            Err(standing) => {
                let refusal = standing.refusal();
                return match self.settings.options.gateway.bad_token {
                    BadToken::Upgrade => {
                        let end = End::new("badToken").code(UNAUTHORIZED).reason(refusal.error);
                        self.close_socket(socket, end);
                    }
                    BadToken::Frame => self.send_plain(socket, refusal.to_json().to_string()),
                };
            }
        };
        if let Some(gateway) = self.gateway_mut(socket) {
            gateway.token = Some(number);
            gateway.since = since.map(str::to_owned);
            if stage != Stage::Ready {
                gateway.stage = Stage::Accepted;
            }
        }
        if stage == Stage::Ready {
            self.log.update_gateway(record, |r| r.renewals += 1);
        }
        match self.settings.options.gateway.ready_delay_ms {
            0 => self.gateway_ready(socket),
            ms => self.schedule(self.now.saturating_add(ms), Timer::GatewayReady(socket)),
        }
    }

    /// The acknowledgement of a first message is due.
    pub(crate) fn gateway_ready(&mut self, socket: u64) {
        let now = self.now;
        let Some(gateway) = self.gateway_mut(socket) else { return };
        match gateway.stage {
            Stage::Accepted => gateway.stage = Stage::Ready,
            Stage::Ready => {}
            Stage::Unproven | Stage::Mute => return,
        }
        let record = gateway.record;
        self.log.update_gateway(record, |r| r.ready_at = r.ready_at.or(Some(now)));
        self.send_plain(socket, json!({ "event": "connected" }).to_string());
    }

    /// The planned end of a connection to `/minute`.
    pub(crate) fn gateway_close(&mut self, socket: u64) {
        let code = self.settings.options.gateway.close_code;
        self.close_socket(socket, End::new("scheduled").code(code));
    }

    fn early_frame(&mut self, socket: u64) {
        let Some(record) = self.gateway_mut(socket).map(|gateway| gateway.record) else { return };
        self.log.update_gateway(record, |r| r.early_frames += 1);
        if self.settings.options.gateway.early == EarlyFrame::Close {
            self.close_socket(socket, End::new("early").code(1002).reason("not ready"));
        }
    }

    /// A topic is asked for; with `/first-message` perhaps from a position on.
    fn ask(&mut self, socket: u64, topic: &str, since: Option<&str>) {
        let Some(gateway) = self.gateway_mut(socket) else { return };
        let record = gateway.record;
        let since = since.map(str::to_owned).or_else(|| gateway.since.clone());
        let since = since.filter(|_| gateway.endpoint == Endpoint::FirstMessage);
        let is_new = !gateway.asked.iter().flatten().any(|asked| asked == topic);
        let replay = match since {
            Some(since) if is_new => self.since(record, &since),
            _ => Ok(Vec::new()),
        };
        match replay {
            Err(refusal) => self.send_plain(socket, refusal.to_json().to_string()),
            Ok(mut events) => {
                events.retain(|event| event.topic == topic);
                let now = self.now;
                self.log.update_gateway(record, |r| r.asked.push(Asked { at: now, topic: topic.to_owned() }));
                self.replay(socket, &events);
                if let Some(gateway) = self.gateway_mut(socket).filter(|_| is_new) {
                    gateway.asked.get_or_insert_default().push(topic.to_owned());
                }
            }
        }
    }
}

/// The topic of `{"message":"subscribe","topic":…}` or `{"topic":…}`.
fn asked(message: &Value) -> Option<&str> {
    let is_request = message.get("message").is_none_or(|word| word == "subscribe");
    message.get("topic").and_then(Value::as_str).filter(|_| is_request)
}

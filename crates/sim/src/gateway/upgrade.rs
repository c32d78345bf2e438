use serde_json::json;

use super::{
    Endpoint, Gateway, GatewayRecord, Stage,
    options::{BadPosition, BadToken, MINUTE_CONNECT_LIMIT},
    position::Position,
    replay::Kept,
    tokens::Standing,
};
use crate::{
    http::{Request, Response},
    rest::bearer,
    socket::Opened,
    state::{State, Timer},
};

use std::sync::Arc;

/// Why a connection is refused, in the words of both the answer and the frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) error: &'static str,
    message: &'static str,
}

impl Refusal {
    const STORM: Self = Self::new(429, "too_many_requests", "too many connections");
    const NO_POSITION: Self = Self::new(400, "position_missing", "a position is required");
    const BAD_POSITION: Self = Self::new(400, "position_invalid", "the position is not readable");
    const STALE_POSITION: Self =
        Self::new(400, "position_expired", "the position is no longer, or not yet, known");

    pub(crate) const fn new(status: u16, error: &'static str, message: &'static str) -> Self {
        Self { status, error, message }
    }

    pub(crate) fn to_json(self) -> serde_json::Value {
        json!({ "status": self.status, "error": self.error, "message": self.message })
    }
}

/// A connection that may open.
struct Admitted {
    token: Option<u64>,
    replay: Vec<Arc<Kept>>,
}

impl State {
    /// A WebSocket handshake with an endpoint: the open socket, or the answer that refuses it.
    pub(crate) fn enter_gateway(
        &mut self,
        request: &Request,
        endpoint: Endpoint,
        request_record: u64,
    ) -> Result<Opened, Response> {
        let record = self.log.gateway(GatewayRecord::new(endpoint.name(), self.now));
        let settings = Arc::clone(&self.settings);
        let options = &settings.options.gateway;
        let refuse = |state: &mut Self, refusal: Refusal| {
            let now = state.now;
            state.log.update_gateway(record, |r| {
                r.status = refusal.status;
                r.ended_at = Some(now);
                r.ended = Some("refused".to_owned());
            });
            state.log.update_request(request_record, |r| r.code = Some(refusal.error.to_owned()));
            Response::json(refusal.status, &refusal.to_json())
        };
        let proof = self.proof(request, endpoint, record, request_record);
        let limit = options.connect_limit.or((endpoint == Endpoint::Minute).then_some(MINUTE_CONNECT_LIMIT));
        if let Some(limit) = limit {
            let window = options.connect_window_ms;
            let usage = self.rates.count(endpoint.channel().to_owned(), limit, window, self.now);
            if usage.is_over() {
                let answer = refuse(self, Refusal::STORM);
                return Err(answer.header("Retry-After", usage.reset_seconds));
            }
        }
        match self.admit(request, endpoint, record, proof) {
            Ok(Admitted { token, replay }) => {
                let stage = match endpoint {
                    Endpoint::FirstMessage => Stage::Unproven,
                    _ => Stage::Ready,
                };
                let opened = self.open_gateway(Gateway::new(endpoint, record, token, stage));
                self.replay(opened.id, &replay);
                Ok(opened)
            }
            Err(refusal) => {
                let as_frame = match refusal.status {
                    401 => options.bad_token == BadToken::Frame,
                    _ => options.stale_position == BadPosition::Frame,
                };
                if !as_frame {
                    return Err(refuse(self, refusal));
                }
                let opened = self.open_gateway(Gateway::new(endpoint, record, None, Stage::Mute));
                self.send_plain(opened.id, refusal.to_json().to_string());
                Ok(opened)
            }
        }
    }

    fn open_gateway(&mut self, gateway: Gateway) -> Opened {
        let (record, endpoint, stage) = (gateway.record, gateway.endpoint, gateway.stage);
        let opened = self.attach(endpoint.channel().into(), Some(Box::new(gateway)));
        let (id, now) = (opened.id, self.now);
        self.log.update_gateway(record, |r| {
            r.socket = Some(id);
            r.ready_at = (stage == Stage::Ready).then_some(now);
        });
        self.log.update_socket(id, |r| r.gateway = Some(record));
        if endpoint == Endpoint::Minute {
            let every = self.settings.options.gateway.close_every_ms;
            self.schedule(now.saturating_add(every), Timer::GatewayClose(id));
        }
        self.socket_occurred(id);
        opened
    }

    /// The token that comes with the upgrade, where one has to.
    fn proof(
        &mut self,
        request: &Request,
        endpoint: Endpoint,
        record: u64,
        request_record: u64,
    ) -> Result<Option<u64>, Standing> {
        let presented = match endpoint {
            Endpoint::Open | Endpoint::FirstMessage => return Ok(None),
            Endpoint::Header => bearer(request).map(str::to_owned),
            _ => request.query(&self.settings.options.gateway.token_parameter).into_iter().next(),
        };
        let label = presented.as_deref().and_then(|secret| self.tokens.label(secret));
        self.log.update_request(request_record, |r| r.token = label);
        self.judge_token(record, presented.as_deref()).map(Some)
    }

    fn admit(
        &mut self,
        request: &Request,
        endpoint: Endpoint,
        record: u64,
        proof: Result<Option<u64>, Standing>,
    ) -> Result<Admitted, Refusal> {
        let token = proof.map_err(Standing::refusal)?;
        if endpoint != Endpoint::Since {
            return Ok(Admitted { token, replay: Vec::new() });
        }
        let position = request.query("since").into_iter().next().filter(|text| !text.is_empty());
        let replay = match position {
            Some(text) => self.since(record, &text)?,
            None if self.settings.options.gateway.require_position => return Err(Refusal::NO_POSITION),
            None => Vec::new(),
        };
        Ok(Admitted { token, replay })
    }

    /// What a position begins with.
    pub(crate) fn since(&mut self, record: u64, text: &str) -> Result<Vec<Arc<Kept>>, Refusal> {
        let settings = Arc::clone(&self.settings);
        let options = &settings.options.gateway;
        self.log.update_gateway(record, |r| r.position = Some(text.to_owned()));
        let position = Position::read(text, options.positions).ok_or(Refusal::BAD_POSITION)?;
        let now = self.told(self.now);
        let replay = self.kept.since(position, options.inclusive, now, options.retention_ms);
        replay.ok_or(Refusal::STALE_POSITION)
    }
}

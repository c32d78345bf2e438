use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::{
    book::{Hit, Occurrence},
    fault::{Action, Operation, Phase},
    gateway::Endpoint,
    http::{Request, Response, percent_decoded},
    log::RequestRecord,
    oauth::refusal,
    rest::{self, ApiError, bearer, error_body},
    server::{Role, stall},
    socket::{End, Opened},
    state::{State, World, sleep_ms},
};

/// One request, from its last byte to the last byte of the answer.
pub(crate) struct Exchange<'a> {
    world: &'a Arc<World>,
    request: &'a Request,
    target: Target,
    record: u64,
    began: u64,
    finished: bool,
}

/// What is left to do on the connection.
pub(crate) enum Ending {
    Answer(Response),
    Truncated(Response, Option<usize>),
    Upgrade(Response, Opened),
    Reset,
    Close,
    HalfOpen,
}

/// What a request asks for.
#[derive(Clone)]
enum Target {
    Token,
    Upgrade(String),
    Gateway(Endpoint),
    Api(Result<(Operation, Option<String>), ApiError>),
}

impl Target {
    fn of(request: &Request, role: Role) -> Self {
        let path = request.path();
        if role.streaming {
            if let Some(channel) = path.strip_prefix("/channels/") {
                return Self::Upgrade(channel.to_owned());
            }
            if let Some(endpoint) = Endpoint::of(path) {
                return Self::Gateway(endpoint);
            }
        }
        match (path, request.method.as_str()) {
            ("/oauth/token", "POST") if role.login => Self::Token,
            ("/oauth/token", _) if role.login => {
                Self::Api(Err(ApiError::new(405, "method.not.allowed", "Method Not Allowed")))
            }
            (path, method) if role.api => Self::Api(rest::operation(method, path)),
            _ => Self::Api(Err(ApiError::not_found())),
        }
    }

    fn operation(&self) -> Option<Operation> {
        match self {
            Self::Token => Some(Operation::Token),
            Self::Upgrade(_) | Self::Gateway(_) => Some(Operation::Upgrade),
            Self::Api(found) => found.as_ref().ok().map(|(operation, _)| *operation),
        }
    }

    fn is_upgrade(&self) -> bool {
        self.operation() == Some(Operation::Upgrade)
    }

    fn channel(&self) -> Option<&str> {
        match self {
            Self::Token => None,
            Self::Upgrade(channel) => Some(channel),
            Self::Gateway(endpoint) => Some(endpoint.channel()),
            Self::Api(found) => found.as_ref().ok().and_then(|(_, channel)| channel.as_deref()),
        }
    }
}

impl<'a> Exchange<'a> {
    pub(crate) fn begin(world: &'a Arc<World>, request: &'a Request, role: Role) -> Self {
        let target = Target::of(request, role);
        let (record, began) = world.with(|state| (state.begin_request(request, &target), state.now));
        Self { world, request, target, record, began, finished: false }
    }

    /// Faults before, the service's own work, faults after.
    pub(crate) async fn run(&mut self, stream: &mut TcpStream) -> Ending {
        let hits = self.world.with(|state| state.request_faults(&self.target, self.record));
        let (before, after): (Vec<_>, Vec<_>) =
            hits.into_iter().partition(|hit| hit.action.phase() == Phase::Request);

        let mut spoil = Vec::new();
        for hit in before {
            match &hit.action {
                Action::Evict {} | Action::Expire {} | Action::Revoke {} => {
                    self.world.with(|state| state.harm_request(&hit, self.request, &self.target));
                }
                Action::Status { .. } | Action::Redirect { .. } => {
                    return Ending::Answer(self.world.with(|state| state.forged(&hit.action, &self.target)));
                }
                Action::Close { code, reason, .. } if self.target.is_upgrade() => {
                    spoil.push(Spoil::CloseAtOnce(End::new("faulted:close").code(*code).reason(reason)));
                }
                Action::Reset { .. }
                | Action::Stall { .. }
                | Action::HalfOpen { .. }
                | Action::Close { .. }
                | Action::Delay { .. } => {
                    if let Some(ending) = self.disturb(&hit, stream).await {
                        return ending;
                    }
                }
                other => spoil.push(Spoil::Body(other.clone())),
            }
        }
        let mut ending = self.world.with(|state| state.work(self.request, &self.target, self.record, &spoil));
        for hit in after {
            if let (Ending::Upgrade(_, opened), Action::Close { code, reason, .. }) = (&ending, &hit.action) {
                let (id, end) = (opened.id, End::new("faulted:close").code(*code).reason(reason));
                self.world.with(|state| state.close_socket(id, end));
                continue;
            }
            if let Some(harsher) = self.disturb(&hit, stream).await {
                if let Ending::Upgrade(_, opened) = &ending {
                    let (id, end) = (opened.id, End::new(format!("faulted:{}", hit.action.kind())));
                    self.world.with(|state| state.socket_finished(id, Vec::new(), &end));
                }
                ending = harsher;
                break;
            }
        }
        ending
    }

    /// Faults that need the connection or time. None: the request goes on.
    async fn disturb(&self, hit: &Hit, stream: &TcpStream) -> Option<Ending> {
        match &hit.action {
            Action::Reset { .. } => Some(Ending::Reset),
            Action::HalfOpen { .. } => Some(Ending::HalfOpen),
            Action::Close { .. } => Some(Ending::Close),
            Action::Stall { ms, .. } => {
                let goes_on = stall(self.world, stream, hit.fault, *ms).await;
                (!goes_on).then_some(Ending::Close)
            }
            Action::Delay { ms, .. } => {
                sleep_ms(Some(*ms)).await;
                None
            }
            _ => None,
        }
    }

    /// The exchange is over; None: without an answer.
    pub(crate) fn finish(&mut self, answer: Option<&Response>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let (record, began) = (self.record, self.began);
        self.world.with(|state| {
            let duration = state.now.saturating_sub(began);
            state.token_requests.retain(|other| *other != record);
            state.log.update_request(record, |r| {
                r.duration_ms = Some(duration);
                if let Some(answer) = answer {
                    r.status = Some(answer.status);
                    r.retry_after = answer.header_value("Retry-After");
                    r.correlation_id = answer.header_value("ININ-Correlation-Id");
                }
            });
        });
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.finish(None);
    }
}

/// What a fault does to the answer.
enum Spoil {
    Body(Action),
    CloseAtOnce(End),
}

impl World {
    pub(crate) fn date(&self) -> String {
        let skew = self.settings.options.clock_skew_ms;
        crate::clock::http_date(self.clock.now().saturating_add_signed(skew))
    }
}

impl State {
    fn begin_request(&mut self, request: &Request, target: &Target) -> u64 {
        let operation = target.operation().map_or("unknown", Operation::name);
        let record = self.log.request(RequestRecord {
            id: 0,
            at: self.now,
            operation,
            method: request.method.clone(),
            path: self.written_down(request),
            grant: None,
            status: None,
            code: None,
            client: None,
            token: None,
            channel: target.channel().map(str::to_owned),
            topics: None,
            correlation_id: None,
            retry_after: None,
            duration_ms: None,
            concurrent: None,
            faults: Vec::new(),
            revision: 0,
        });
        if matches!(target, Target::Token) {
            self.token_requests.push(record);
            let together = self.token_requests.len();
            for other in self.token_requests.clone() {
                self.log
                    .update_request(other, |r| r.concurrent = Some(r.concurrent.unwrap_or(0).max(together)));
            }
        }
        record
    }

    /// The request's path and query without secrets.
    fn written_down(&self, request: &Request) -> String {
        let Some((path, query)) = request.target.split_once('?') else { return request.target.clone() };
        let pairs = query.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match self.tokens.label(&percent_decoded(value)) {
                Some(label) => format!("{name}={label}"),
                None if name == self.settings.options.gateway.token_parameter => format!("{name}=unknown"),
                None => pair.to_owned(),
            }
        });
        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
    }

    fn request_faults(&mut self, target: &Target, record: u64) -> Vec<Hit> {
        let Some(operation) = target.operation() else { return Vec::new() };
        let hits = self.book.take(Occurrence { operation, channel: target.channel(), topic: None });
        for hit in &hits {
            let kind = hit.action.kind();
            self.log.update_request(record, |r| r.faults.push(kind));
            // Those that harm a channel say so themselves.
            if !matches!(hit.action, Action::Evict {} | Action::Expire {} | Action::Revoke {}) {
                self.fault_applied(hit.fault, kind, operation.name(), target.channel(), None, None);
            }
        }
        hits
    }

    fn harm_request(&mut self, hit: &Hit, request: &Request, target: &Target) {
        let Some(operation) = target.operation() else { return };
        match &hit.action {
            Action::Revoke {} => {
                let token =
                    bearer(request).and_then(|secret| self.tokens.by_secret(secret)).map(|t| t.number);
                if let Some(token) = token {
                    self.fault_applied(hit.fault, "revoke", operation.name(), target.channel(), None, None);
                    self.revoke_token(token);
                }
            }
            _ => {
                if let Some(channel) = target.channel() {
                    self.harm_channel(hit, operation, channel);
                }
            }
        }
    }

    /// The answer of a `status` or `redirect` fault, in the shape of its host.
    fn forged(&mut self, action: &Action, target: &Target) -> Response {
        let correlation_id = self.ids.uuid();
        match action {
            Action::Status { status, retry_after, code, body } => {
                let retry_text = retry_after.as_ref().map(ToString::to_string);
                let mut response = match body {
                    Some(body) => {
                        Response { body: body.clone().into_bytes(), ..Response::json(*status, &().into()) }
                    }
                    None => {
                        plausible(*status, code.as_deref(), retry_text.as_deref(), target, &correlation_id)
                    }
                };
                if let Some(text) = retry_text {
                    response = response.header("Retry-After", text);
                }
                response.header("ININ-Correlation-Id", correlation_id)
            }
            Action::Redirect { to, status } => Response::new(*status).header("Location", to),
            _ => Response::new(500),
        }
    }

    /// What the service does with the request, then what the faults do to the answer.
    fn work(&mut self, request: &Request, target: &Target, record: u64, spoils: &[Spoil]) -> Ending {
        let mut response = match target {
            Target::Token => self.token_endpoint(request, record),
            Target::Api(found) => self.api(request, found.clone(), record),
            Target::Upgrade(_) | Target::Gateway(_) => return self.upgrade(request, target, record, spoils),
        };
        let mut truncated = None;
        for spoil in spoils {
            let Spoil::Body(action) = spoil else { continue };
            match action {
                Action::Garbage {} => response.body = b"<html><body>It works!</body></html>".to_vec(),
                Action::InvalidUtf8 {} => response.body = b"{\"id\":\"\xff\xfe\xc3\x28\"}".to_vec(),
                Action::Deep { levels } => {
                    response.body = ["[".repeat(*levels), "]".repeat(*levels)].concat().into()
                }
                Action::Oversize { bytes } => {
                    response.body =
                        format!("{{\"padding\":\"{}\"}}", "x".repeat(bytes.saturating_sub(14))).into();
                }
                Action::ConnectUri { uri } => replace_connect_uri(&mut response, uri),
                Action::Truncate { bytes } => truncated = Some(*bytes),
                _ => {}
            }
        }
        match truncated {
            Some(bytes) => Ending::Truncated(response, bytes),
            None => Ending::Answer(response),
        }
    }

    fn upgrade(&mut self, request: &Request, target: &Target, record: u64, spoils: &[Spoil]) -> Ending {
        let is = |name, value: &str| {
            request
                .header(name)
                .is_some_and(|header| header.to_ascii_lowercase().split(',').any(|v| v.trim() == value))
        };
        let key = request.header("sec-websocket-key");
        let (Some(key), "GET") = (key, request.method.as_str()) else {
            return Ending::Answer(Response::new(400));
        };
        if !is("upgrade", "websocket") || !is("connection", "upgrade") || !is("sec-websocket-version", "13") {
            return Ending::Answer(Response::new(426).header("Sec-WebSocket-Version", 13));
        }
        let dead_upgrade_status = self.settings.options.dead_upgrade_status;
        let opened = match target {
            Target::Upgrade(channel) => {
                self.open_socket(channel).ok_or_else(|| Response::new(dead_upgrade_status))
            }
            Target::Gateway(endpoint) => self.enter_gateway(request, *endpoint, record),
            Target::Token | Target::Api(_) => Err(Response::new(404)),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(answer) => return Ending::Answer(answer),
        };
        let mut accept = derive_accept_key(key.as_bytes());
        for spoil in spoils {
            match spoil {
                Spoil::Body(Action::Garbage {}) => accept = derive_accept_key(b"another key"),
                Spoil::CloseAtOnce(end) => self.close_socket(opened.id, end.clone()),
                Spoil::Body(_) => {}
            }
        }
        let response = Response::new(101)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Accept", accept);
        Ending::Upgrade(response, opened)
    }
}

/// An error as the real host would word it.
fn plausible(
    status: u16,
    code: Option<&str>,
    retry_after: Option<&str>,
    target: &Target,
    correlation_id: &str,
) -> Response {
    if matches!(target, Target::Token) {
        let error = code.unwrap_or(match status {
            401 => "invalid_client",
            429 => "rate_limit_exceeded",
            500..=599 => "server_error",
            _ => "invalid_request",
        });
        return refusal(status, error, "the request was refused");
    }
    let (known, message) = match status {
        400 => (
            "bad.request",
            "The request could not be understood by the server due to malformed syntax.".to_owned(),
        ),
        401 => ("bad.credentials", "Invalid login credentials.".to_owned()),
        403 => ("not.authorized", "You are not authorized to perform the requested action.".to_owned()),
        404 => ("not.found", "The requested resource was not found.".to_owned()),
        408 => (
            "client.timeout",
            "The client did not produce a request within the server timeout limit.".to_owned(),
        ),
        409 => (
            "request.conflict",
            "The request conflicts with the current state of the target resource.".to_owned(),
        ),
        429 => match retry_after {
            Some(seconds) => (
                "too.many.requests.retry.after",
                format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds"),
            ),
            None => (
                "too.many.requests",
                "Rate limit exceeded the maximum [300] requests within [60] seconds".to_owned(),
            ),
        },
        503 => {
            ("service.unavailable", "Service Unavailable - The server is currently unavailable.".to_owned())
        }
        504 => ("request.timeout", "The request timed out.".to_owned()),
        _ => ("internal.server.error", "The server encountered an unexpected condition.".to_owned()),
    };
    Response::json(status, &error_body(status, code.unwrap_or(known), &message, correlation_id))
}

fn replace_connect_uri(response: &mut Response, uri: &str) {
    let Ok(mut body) = serde_json::from_slice::<serde_json::Value>(&response.body) else { return };
    let Some(id) = body.get("id").and_then(serde_json::Value::as_str).map(str::to_owned) else { return };
    body["connectUri"] = uri.replace("{id}", &id).into();
    response.body = body.to_string().into_bytes();
}

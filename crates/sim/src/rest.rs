use serde_json::{Value, json};

use crate::{
    channels::NoChannel,
    fault::Operation,
    http::{Request, Response},
    oauth::Token,
    options::ForeignToken,
    rate::Usage,
    resources,
    state::State,
    subscriptions::{Change, decide, listing, requested},
    topics::{Catalogue, matches},
};

/// An error of the API in the service's `ErrorBody` shape.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    message: String,
    retry_after: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), retry_after: None }
    }

    pub(crate) fn bad_request() -> Self {
        let message = "The request could not be understood by the server due to malformed syntax.";
        Self::new(400, "bad.request", message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(404, "not.found", "The requested resource was not found.")
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    fn too_many_requests(seconds: u64) -> Self {
        let message = format!("Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds");
        Self { retry_after: Some(seconds), ..Self::new(429, "too.many.requests.retry.after", message) }
    }

    fn response(&self, correlation_id: &str) -> Response {
        let response =
            Response::json(self.status, &error_body(self.status, self.code, &self.message, correlation_id));
        match self.retry_after {
            Some(seconds) => response.header("Retry-After", seconds),
            None => response,
        }
    }
}

impl From<NoChannel> for ApiError {
    fn from(why: NoChannel) -> Self {
        match why {
            NoChannel::Foreign(ForeignToken::UnableToGetChannel) => {
                Self::new(400, "notification.unable.to.get.channel.id", "Unable to get channel Id.")
            }
            NoChannel::Foreign(_) | NoChannel::Gone => Self::not_found(),
        }
    }
}

/// The fields every error of the API has.
pub(crate) fn error_body(status: u16, code: &str, message: &str, correlation_id: &str) -> Value {
    json!({
        "message": message,
        "code": code,
        "status": status,
        "contextId": correlation_id,
        "details": [],
        "errors": [],
    })
}

/// What a path of the API host means; None is 404, a path with another method is 405.
pub(crate) fn operation(method: &str, path: &str) -> Result<(Operation, Option<String>), ApiError> {
    use Operation::*;
    if let Some(found) = resources::operation(method, path) {
        return found.map(|operation| (operation, None));
    }
    let Some(rest) = path.strip_prefix("/api/v2/notifications/") else { return Err(ApiError::not_found()) };
    let parts: Vec<_> = rest.split('/').collect();
    let channel = parts.get(1).map(|id| (*id).to_owned());
    let found = match (method, parts.as_slice()) {
        ("GET", ["availabletopics"]) => AvailableTopics,
        ("GET", ["channels"]) => ListChannels,
        ("POST", ["channels"]) => CreateChannel,
        ("HEAD", ["channels", _]) => HeadChannel,
        ("GET", ["channels", _, "subscriptions"]) => GetSubscriptions,
        ("POST", ["channels", _, "subscriptions"]) => PostSubscriptions,
        ("PUT", ["channels", _, "subscriptions"]) => PutSubscriptions,
        ("DELETE", ["channels", _, "subscriptions"]) => DeleteSubscriptions,
        (_, ["availabletopics"] | ["channels"] | ["channels", _] | ["channels", _, "subscriptions"]) => {
            return Err(ApiError::new(405, "method.not.allowed", "Method Not Allowed"));
        }
        _ => return Err(ApiError::not_found()),
    };
    Ok((found, channel))
}

impl State {
    /// Any request to the API host.
    pub(crate) fn api(
        &mut self,
        request: &Request,
        found: Result<(Operation, Option<String>), ApiError>,
        record: u64,
    ) -> Response {
        let correlation_id = self.ids.uuid();
        let mut usage = None;
        let answer = found.and_then(|(operation, channel)| {
            let token = self.authorize(request)?;
            self.log.update_request(record, |r| {
                r.client = Some(token.client.clone());
                r.token = Some(token.label());
            });
            usage = Some(self.count_request(&token));
            if let Some(usage) = usage.filter(Usage::is_over) {
                return Err(ApiError::too_many_requests(usage.reset_seconds));
            }
            self.carry_out(operation, channel.as_deref().unwrap_or_default(), request, &token, record)
        });
        let mut response = answer.unwrap_or_else(|error| {
            self.log.update_request(record, |r| r.code = Some(error.code.to_owned()));
            error.response(&correlation_id)
        });
        if let Some(usage) = usage {
            response = response
                .header("inin-ratelimit-count", usage.count)
                .header("inin-ratelimit-allowed", usage.allowed)
                .header("inin-ratelimit-reset", usage.reset_seconds);
        }
        response.header("ININ-Correlation-Id", correlation_id)
    }

    fn authorize(&self, request: &Request) -> Result<Token, ApiError> {
        let Some(bearer) = bearer(request) else {
            let message = "No authentication bearer token specified in authorization header.";
            return Err(ApiError::new(401, "authentication.required", message));
        };
        let token = self.tokens.by_secret(bearer).cloned();
        token.ok_or_else(|| ApiError::new(401, "bad.credentials", "Invalid login credentials."))
    }

    fn count_request(&mut self, token: &Token) -> Usage {
        let options = &self.settings.options;
        self.rates.count(token.label(), options.rate_limit, options.rate_window_ms, self.now)
    }

    fn carry_out(
        &mut self,
        operation: Operation,
        channel: &str,
        request: &Request,
        token: &Token,
        record: u64,
    ) -> Result<Response, ApiError> {
        match operation {
            Operation::AvailableTopics => Ok(self.available_topics(request)),
            Operation::CreateChannel => self.post_channel(token, record),
            Operation::ListChannels => self.list_channels(request, token),
            Operation::HeadChannel => {
                self.usable_channel(channel, token)?;
                Ok(Response::new(200))
            }
            Operation::GetSubscriptions => {
                let channel = self.usable_channel(channel, token)?;
                Ok(Response::json(200, &json!({ "entities": listing(&channel.subscriptions) })))
            }
            Operation::PostSubscriptions => self.change(channel, request, token, Change::Add, record),
            Operation::PutSubscriptions => {
                self.change(channel, request, token, Change::Replace, record).map_err(|error| {
                    match error.status {
                        // The Swagger gives PUT a 404 of its own.
                        404 => ApiError::new(404, "entity.not.found", "Subscription list not found."),
                        _ => error,
                    }
                })
            }
            Operation::DeleteSubscriptions => {
                self.usable_channel(channel, token)?;
                self.channels.subscribe(channel, Vec::new());
                self.renew_channel(channel);
                Ok(Response::new(204))
            }
            resource if resource.is_resource() => self.resource(resource, request),
            _ => Err(ApiError::not_found()),
        }
    }

    fn post_channel(&mut self, token: &Token, record: u64) -> Result<Response, ApiError> {
        let options = &self.settings.options;
        if let Some(allowed) = options.create_rate_limit {
            let key = format!("create/{}", token.client);
            let usage = self.rates.count(key, allowed, options.rate_window_ms, self.now);
            if usage.is_over() {
                return Err(ApiError::too_many_requests(usage.reset_seconds));
            }
        }
        let id = self.create_channel(token);
        self.log.update_request(record, |r| r.channel = Some(id.to_string()));
        // A fault on channels may have ended it already.
        let channel = self.channels.find(&id).ok_or_else(ApiError::not_found)?;
        Ok(Response::json(200, &self.channel_json(channel)))
    }

    fn list_channels(&self, request: &Request, token: &Token) -> Result<Response, ApiError> {
        let all = match request.query("includechannels").last().map(String::as_str) {
            None | Some("token") => false,
            Some("oauthclient") => true,
            Some(other) => {
                let message = format!(
                    "Value [{other}] is not valid for parameter [includechannels]. Allowable values are: token, oauthclient"
                );
                return Err(ApiError::new(400, "invalid.query.param.value", message));
            }
        };
        let ids = self.channels.ids();
        let group =
            ids.iter().filter_map(|id| self.channels.find(id)).filter(|c| c.token.group() == token.group());
        let entities: Vec<_> = group
            .filter_map(|channel| match channel.token.number == token.number {
                true => Some(self.channel_json(channel)),
                // Other tokens' channels show that they exist, not what they are called.
                false if all => Some(json!({ "expires": self.channel_json(channel)["expires"] })),
                false => None,
            })
            .collect();
        Ok(Response::json(200, &json!({ "entities": entities })))
    }

    fn change(
        &mut self,
        channel: &str,
        request: &Request,
        token: &Token,
        change: Change,
        record: u64,
    ) -> Result<Response, ApiError> {
        let wanted = requested(&request.body)?;
        self.log.update_request(record, |r| r.topics = Some(wanted.len()));
        let ignore_errors =
            request.query("ignoreErrors").last().is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let held = &self.usable_channel(channel, token)?.subscriptions;
        let decided = decide(&self.settings.options, held, wanted, change, ignore_errors)?;
        self.channels.subscribe(channel, decided.subscriptions);
        self.renew_channel(channel);
        Ok(Response::json(200, &json!({ "entities": decided.entities })))
    }

    fn available_topics(&self, request: &Request) -> Response {
        let expand: Vec<String> = request
            .query("expand")
            .iter()
            .flat_map(|v| v.split(',').map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let wants = |field: &str| expand.iter().any(|e| e == field);
        let options = &self.settings.options;
        let entities: Vec<_> = Catalogue::shared()
            .templates()
            .iter()
            .map(|template| {
                let text = template.text.as_str();
                let mut entity = json!({ "id": text });
                if wants("description") {
                    entity["description"] = format!("Notifications of {text}").into();
                }
                if wants("visibility") {
                    entity["visibility"] = "Public".into();
                }
                if wants("transports") {
                    let only_bridge = options.event_bridge_only.iter().any(|pattern| covers(pattern, text));
                    entity["transports"] = json!([if only_bridge { "EventBridge" } else { "All" }]);
                }
                let missing: Vec<_> = options
                    .forbidden
                    .iter()
                    .filter(|forbidden| covers(&forbidden.topic, text))
                    .flat_map(|forbidden| &forbidden.missing_permissions)
                    .collect();
                if wants("requiresPermissions") && !missing.is_empty() {
                    entity["requiresPermissions"] = json!(missing);
                }
                if wants("permissionDetails") && !missing.is_empty() {
                    entity["permissionDetails"] =
                        json!([{ "type": "requiresPermissions", "permissions": missing, "enforced": true }]);
                }
                if wants("enforced") {
                    entity["enforced"] = (!missing.is_empty()).into();
                }
                if wants("topicParameters") {
                    let parameters: Vec<_> =
                        text.split('.').filter(|part| *part == "{id}").map(|_| "id").collect();
                    entity["topicParameters"] = json!(parameters);
                }
                entity
            })
            .collect();
        Response::json(200, &json!({ "entities": entities }))
    }
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty()).then(|| token.trim())
}

/// A configured topic concerns a template when it is the template, or one topic of it.
fn covers(pattern: &str, template: &str) -> bool {
    pattern == template || matches(template, pattern)
}

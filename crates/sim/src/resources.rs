use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    clock::{iso, parse_iso},
    details,
    fault::Operation,
    history::{Known, User},
    http::{Request, Response},
    rest::ApiError,
    state::State,
    topics::matches,
};

const PRESENCES_AT_ONCE: usize = 50;

/// What a path beside notifications means, and which permissions it needs.
pub(crate) fn operation(method: &str, path: &str) -> Option<Result<Operation, ApiError>> {
    use Operation::*;
    let rest = path.strip_prefix("/api/v2/")?;
    let parts: Vec<_> = rest.split('/').collect();
    let (wanted, operation) = match parts.as_slice() {
        ["analytics", "conversations", "details", "query"] => ("POST", ConversationDetails),
        ["analytics", "queues", "observations", "query"] => ("POST", QueueObservations),
        ["usage", "events", "query"] => ("POST", UsageEvents),
        ["users"] => ("GET", Users),
        ["users", "presences", "purecloud", "bulk"] => ("GET", UserPresences),
        ["users", _, "presences", "purecloud"] => ("GET", UserPresence),
        ["users", _, "routingstatus"] => ("GET", UserRoutingStatus),
        _ => return None,
    };
    Some(match method == wanted {
        true => Ok(operation),
        false => Err(ApiError::new(405, "method.not.allowed", "Method Not Allowed")),
    })
}

/// Permissions an operation needs; any one of them is enough.
fn permissions(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::ConversationDetails => {
            &["analytics:conversationDetail:view", "analytics:agentConversationDetail:view"]
        }
        Operation::QueueObservations => &["analytics:queueObservation:view"],
        Operation::UsageEvents => &["usage:events:view"],
        _ => &[],
    }
}

impl State {
    /// One of the operations of [`operation`].
    pub(crate) fn resource(&mut self, operation: Operation, request: &Request) -> Result<Response, ApiError> {
        self.permitted(operation, request.path())?;
        let seen_until = self.now.saturating_sub(self.settings.options.data_latency_ms);
        let seen_until = self.told(seen_until);
        let user = request.path().split('/').nth(4).unwrap_or_default().to_owned();
        let body = match operation {
            Operation::ConversationDetails => {
                let options = &self.settings.options;
                let late = options.late_conversations.saturating_sub(self.details_queries);
                let off = options.total_hits_off;
                self.details_queries += 1;
                details::answer(self.history.known(), &request.body, seen_until, late, off)?
            }
            Operation::QueueObservations => queue_observations(self.history.known(), &request.body)?,
            Operation::UsageEvents => usage_events(self.history.known(), request, seen_until)?,
            Operation::UserPresences => {
                let ids = request.query("id");
                if ids.len() > PRESENCES_AT_ONCE {
                    let message = "Only 50 user presences can be queried at a time.";
                    return Err(ApiError::new(400, "max.user.presences", message));
                }
                ids.iter().map(|id| self.presence(id, true)).collect::<Result<Value, _>>()?
            }
            Operation::UserPresence => self.presence(&user, false)?,
            Operation::UserRoutingStatus => self.routing_status(&user)?,
            Operation::Users => self.users(request)?,
            _ => return Err(ApiError::not_found()),
        };
        Ok(Response::json(200, &body))
    }

    fn permitted(&self, operation: Operation, path: &str) -> Result<(), ApiError> {
        let as_topic = |path: &str| path.replace('.', "_").replace('/', ".");
        let path = as_topic(path);
        let denied = &self.settings.options.denied_paths;
        let Some(denied) = denied.iter().find(|denied| matches(&as_topic(&denied.path), &path)) else {
            return Ok(());
        };
        let needed: Vec<String> = match denied.missing_permissions.as_slice() {
            [] => permissions(operation).iter().map(|p| (*p).to_owned()).collect(),
            told => told.to_vec(),
        };
        let list = format!("[{}]", needed.join(", "));
        Err(match needed.len() {
            0 => ApiError::new(
                403,
                "not.authorized",
                "You are not authorized to perform the requested action.",
            ),
            1 => ApiError::new(
                403,
                "missing.permissions",
                format!(
                    "Unable to perform the requested action. You are missing the following permission(s): {list}"
                ),
            ),
            _ => ApiError::new(
                403,
                "missing.any.permissions",
                format!(
                    "Unable to perform the requested action. You must have at least one of the following permissions assigned: {list}"
                ),
            ),
        })
    }

    /// A user exists once an event or a subscription has named it.
    fn find_user<R>(&mut self, id: &str, tell: impl FnOnce(&User, u64) -> R) -> Option<R> {
        let now = self.told(self.now);
        if let Some(user) = self.history.known().users.get(id) {
            return Some(tell(user, now));
        }
        let prefix = format!("v2.users.{id}.");
        let is_wanted =
            !id.is_empty() && self.channels.heard().iter().any(|topic| topic.starts_with(&prefix));
        is_wanted.then(|| tell(&User::default(), now))
    }

    fn presence(&mut self, id: &str, bulk: bool) -> Result<Value, ApiError> {
        let presence = self.find_user(id, presence_of);
        let missing =
            || ApiError::new(404, "presenceservice.usernotfound", "The specified user was not found");
        let mut presence = presence.ok_or_else(missing)?;
        presence.insert("id".to_owned(), id.into());
        if bulk {
            presence.insert("userId".to_owned(), id.into());
        }
        presence.insert("selfUri".to_owned(), format!("/api/v2/users/{id}/presences/purecloud").into());
        Ok(Value::Object(presence))
    }

    fn routing_status(&mut self, id: &str) -> Result<Value, ApiError> {
        let status = self.find_user(id, routing_status_of).ok_or_else(ApiError::not_found)?;
        Ok(with_user(status, id))
    }

    fn users(&mut self, request: &Request) -> Result<Value, ApiError> {
        let number = |name: &str, default: usize, most: usize| match request.query(name).last() {
            None => Ok(default),
            Some(text) => {
                text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(ApiError::bad_request)
            }
        };
        let (size, page) = (number("pageSize", 25, 500)?, number("pageNumber", 1, usize::MAX)?);
        let expand = request.query("expand");
        let wants = |name: &str| expand.iter().any(|list| list.split(',').any(|part| part == name));
        let mut ids = request.query("id");
        if ids.is_empty() {
            ids = self.history.known().users.keys().cloned().collect();
        }
        let mut entities = Vec::new();
        for id in ids {
            let entity = self.find_user(&id, |user, now| {
                let mut entity = json!({ "id": id, "name": format!("User {id}"), "state": "active" });
                if wants("presence") {
                    entity["presence"] = presence_of(user, now).into();
                }
                if wants("routingStatus") {
                    entity["routingStatus"] = with_user(routing_status_of(user, now), &id);
                }
                if wants("outOfOffice") {
                    let mut told = user.out_of_office.clone();
                    told.entry("active").or_insert(false.into());
                    entity["outOfOffice"] = told.into();
                }
                entity
            });
            entities.extend(entity);
        }
        let total = entities.len();
        let entities: Vec<_> = entities.into_iter().skip(size.saturating_mul(page - 1)).take(size).collect();
        let pages = total.div_ceil(size);
        Ok(json!({
            "entities": entities, "pageSize": size, "pageNumber": page, "total": total, "pageCount": pages,
        }))
    }
}

fn presence_of(user: &User, now: u64) -> Map<String, Value> {
    let mut presence = user.presence.clone();
    presence.entry("source").or_insert("PURECLOUD".into());
    presence.entry("presenceDefinition").or_insert(json!({ "id": "offline", "systemPresence": "Offline" }));
    presence.entry("modifiedDate").or_insert(iso(now).into());
    presence
}

fn routing_status_of(user: &User, now: u64) -> Map<String, Value> {
    let mut status = user.routing_status.clone();
    status.entry("status").or_insert("OFF_QUEUE".into());
    status.entry("startTime").or_insert(iso(now).into());
    status
}

fn with_user(mut status: Map<String, Value>, id: &str) -> Value {
    status.insert("userId".to_owned(), id.into());
    Value::Object(status)
}

fn queue_observations(known: &Known, body: &[u8]) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    struct Query {
        filter: Filter,
        metrics: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Filter {
        #[serde(default)]
        predicates: Vec<Predicate>,
    }
    #[derive(Deserialize)]
    struct Predicate {
        dimension: String,
        value: String,
    }
    let query: Query = serde_json::from_slice(body).map_err(|_| ApiError::bad_request())?;
    if query.metrics.is_empty() {
        return Err(ApiError::bad_request());
    }
    let mut results = Vec::new();
    for predicate in query.filter.predicates {
        if predicate.dimension != "queueId" {
            return Err(ApiError::bad_request());
        }
        let queue = predicate.value;
        let nothing = json!({ "group": { "queueId": queue }, "data": zeros(&query.metrics) });
        let told = known.queues.get(&queue);
        results.extend(told.is_none().then_some(nothing));
        for (media, body) in told.into_iter().flatten() {
            let mut group = json!({ "queueId": queue });
            if !media.is_empty() {
                group["mediaType"] = media.as_str().into();
            }
            results.push(json!({ "group": group, "data": observed(body, &query.metrics) }));
        }
    }
    Ok(json!({ "results": results }))
}

fn zeros(metrics: &[String]) -> Value {
    metrics.iter().map(|metric| json!({ "metric": metric, "stats": { "count": 0 } })).collect()
}

/// The metrics of an event's intervals, without the intervals.
fn observed(body: &Value, metrics: &[String]) -> Value {
    let list =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let told = list(body, "data").into_iter().flat_map(|data| list(&data, "metrics"));
    let is_wanted = |metric: &Value| {
        metric.get("metric").and_then(Value::as_str).is_some_and(|name| metrics.iter().any(|m| m == name))
    };
    told.filter(is_wanted).collect()
}

fn usage_events(known: &Known, request: &Request, seen_until: u64) -> Result<Value, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Query {
        interval: String,
        #[serde(default)]
        event_definition_ids: Vec<String>,
        #[serde(default)]
        sort_order: Option<String>,
    }
    let query: Query = serde_json::from_slice(&request.body).map_err(|_| ApiError::bad_request())?;
    let (from, to) = interval(&query.interval)?;
    let number = |name: &str, default: usize| match request.query(name).last() {
        None => Ok(default),
        Some(text) => text.parse::<usize>().map_err(|_| ApiError::bad_request()),
    };
    let (size, after) = (number("pageSize", 25)?, number("after", 0)?);
    if !(1..=200).contains(&size) {
        return Err(ApiError::bad_request());
    }
    let wanted = &query.event_definition_ids;
    let fits = |at: u64, definition: &String| {
        at >= from && at < to && at <= seen_until && (wanted.is_empty() || wanted.contains(definition))
    };
    let mut events: Vec<_> = known.usage.iter().filter(|event| fits(event.at, &event.definition)).collect();
    if query.sort_order.as_deref() == Some("DESC") {
        events.reverse();
    }
    let entities = events.iter().skip(after).take(size).map(|event| {
        let mut entity = event.body.clone();
        entity.remove("eventEntity");
        entity.insert("eventDefinition".to_owned(), json!({ "id": event.definition }));
        entity.insert("dateCreated".to_owned(), iso(event.at).into());
        Value::Object(entity)
    });
    let mut answer = json!({ "entities": entities.collect::<Vec<_>>() });
    if after + size < events.len() {
        answer["nextUri"] =
            format!("/api/v2/usage/events/query?after={}&pageSize={size}", after + size).into();
    }
    Ok(answer)
}

/// Both ends of `<ISO date>/<ISO date>`.
pub(crate) fn interval(text: &str) -> Result<(u64, u64), ApiError> {
    let ends = text.split_once('/').and_then(|(from, to)| Some((parse_iso(from)?, parse_iso(to)?)));
    let message = "Dates must be specified as ISO-8601 strings. For example: yyyy-MM-ddTHH:mm:ss.SSSZ";
    ends.filter(|(from, to)| from < to).ok_or_else(|| ApiError::new(400, "invalid.date", message))
}

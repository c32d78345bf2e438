//! The notification calls of the API: create a channel, change its subscriptions, and read back what there is.

use genesys_notifications_proto::backfill::Method;
use genesys_notifications_proto::{ChannelsInUse, Failure, Rejection, TopicResult, Verb};
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::backfill::Call;
use crate::connect_uri;
use crate::http::{Answer, RateLimit, exchange};
use crate::oauth::join;
use crate::regions::Streaming;
use crate::secret::{Secret, Secrets};

/// A listing of 1,000 topics is about 300 kB.
const BODY_CAP: usize = 4 << 20;

/// A page of a hundred conversations may take megabytes.
const CALL_CAP: usize = 16 << 20;

/// Clocks that differ by less are taken for equal: the `Date` header counts whole seconds and is as old as the answer.
const SKEW_MS: u64 = 5_000;

/// Life of a channel when the service's word makes no sense; its documented default.
const DEFAULT_LIFE_MS: u64 = 24 * 60 * 60 * 1000;

/// A channel the service created, its URI checked.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) connect_uri: Secret,
    pub(crate) expires_in_ms: u64,
}

/// What a call gave, and what its headers said about the rate limit.
pub(crate) struct Called<T> {
    pub(crate) result: Result<T, Failure>,
    pub(crate) rate_limit: Option<RateLimit>,
}

/// The API of one organisation.
pub(crate) struct Rest {
    http: reqwest::Client,
    api: Url,
    streaming: Streaming,
}

impl Rest {
    pub(crate) fn new(http: reqwest::Client, api: Url, streaming: Streaming) -> Self {
        Self { http, api, streaming }
    }

    /// `POST channels`. `wall_ms` is read when the answer is there.
    pub(crate) async fn create_channel(
        &self,
        token: &Secret,
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
    ) -> Called<Channel> {
        let url = join(&self.api, &["api", "v2", "notifications", "channels"]);
        let request = self.http.post(url).bearer_auth(token.expose());
        match exchange(request, BODY_CAP, wall_ms(), secrets).await {
            Err(failure) => Called { result: Err(failure), rate_limit: None },
            Ok(answer) => Called {
                rate_limit: answer.meta.rate_limit,
                result: read_channel(&answer, &self.streaming, wall_ms(), secrets),
            },
        }
    }

    /// `PUT`, `POST` or `DELETE channels/{id}/subscriptions`; one bad topic fails none of the others.
    pub(crate) async fn change_subscriptions(
        &self,
        token: &Secret,
        channel: &str,
        verb: Verb,
        topics: &[String],
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
    ) -> Called<Vec<TopicResult>> {
        let mut url = join(&self.api, &["api", "v2", "notifications", "channels", channel, "subscriptions"]);
        if verb != Verb::Clear {
            url.set_query(Some("ignoreErrors=true"));
        }
        let request = match verb {
            Verb::Replace => self.http.put(url).json(&named(topics)),
            Verb::Add => self.http.post(url).json(&named(topics)),
            Verb::Clear => self.http.delete(url),
        };
        match exchange(request.bearer_auth(token.expose()), BODY_CAP, wall_ms(), secrets).await {
            Err(failure) => Called { result: Err(failure), rate_limit: None },
            Ok(answer) => {
                let result = match verb {
                    _ if !answer.is_success() => Err(answer.failure(secrets)),
                    Verb::Clear => Ok(Vec::new()),
                    Verb::Replace | Verb::Add => read_topics(&answer, secrets),
                };
                Called { result, rate_limit: answer.meta.rate_limit }
            }
        }
    }

    /// `GET channels`, those of the client's other tokens included. The service answers with all of them at once.
    pub(crate) async fn list_channels(
        &self,
        token: &Secret,
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
    ) -> Called<ChannelsInUse> {
        let mut url = join(&self.api, &["api", "v2", "notifications", "channels"]);
        url.set_query(Some("includechannels=oauthclient"));
        self.read(url, token, wall_ms, secrets, count_channels).await
    }

    /// `GET channels/{id}/subscriptions`: topics as they were sent, possibly combined.
    pub(crate) async fn list_subscriptions(
        &self,
        token: &Secret,
        channel: &str,
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
    ) -> Called<Vec<String>> {
        let url = join(&self.api, &["api", "v2", "notifications", "channels", channel, "subscriptions"]);
        self.read(url, token, wall_ms, secrets, confirmed_topics).await
    }

    /// A call that is not about notifications; any status but success is a failure.
    pub(crate) async fn call(
        &self,
        token: &Secret,
        call: &Call,
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
    ) -> Called<Answer> {
        let mut url = self.api.clone();
        url.set_path(&format!("{}{}", url.path().trim_end_matches('/'), call.path));
        url.set_query(call.query.as_deref());
        let mut request = match call.method {
            Method::Get => self.http.get(url),
            Method::Post => self.http.post(url),
        };
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        match exchange(request.bearer_auth(token.expose()), CALL_CAP, wall_ms(), secrets).await {
            Err(failure) => Called { result: Err(failure), rate_limit: None },
            Ok(answer) => Called {
                rate_limit: answer.meta.rate_limit,
                result: if answer.is_success() { Ok(answer) } else { Err(answer.failure(secrets)) },
            },
        }
    }

    async fn read<T>(
        &self,
        url: Url,
        token: &Secret,
        wall_ms: impl Fn() -> u64,
        secrets: &Secrets,
        read: fn(&Answer, &Secrets) -> Result<T, Failure>,
    ) -> Called<T> {
        match exchange(self.http.get(url).bearer_auth(token.expose()), BODY_CAP, wall_ms(), secrets).await {
            Err(failure) => Called { result: Err(failure), rate_limit: None },
            Ok(answer) => Called {
                rate_limit: answer.meta.rate_limit,
                result: if answer.is_success() {
                    read(&answer, secrets)
                } else {
                    Err(answer.failure(secrets))
                },
            },
        }
    }
}

/// Channels of other tokens are listed without their ids: only how many there are is known of them.
fn count_channels(answer: &Answer, _: &Secrets) -> Result<ChannelsInUse, Failure> {
    #[derive(Deserialize)]
    struct Listing {
        entities: Vec<serde::de::IgnoredAny>,
    }
    serde_json::from_slice(&answer.body)
        .map(|listing: Listing| ChannelsInUse { total: listing.entities.len() })
        .map_err(|_| Failure::Protocol("the list of channels holds no entities".into()))
}

fn confirmed_topics(answer: &Answer, secrets: &Secrets) -> Result<Vec<String>, Failure> {
    let topics = read_topics(answer, secrets)?;
    Ok(topics.into_iter().filter(|topic| topic.rejected.is_none()).map(|topic| topic.id).collect())
}

#[derive(Serialize)]
struct Named<'a> {
    id: &'a str,
}

fn named(topics: &[String]) -> Vec<Named<'_>> {
    topics.iter().map(|topic| Named { id: topic }).collect()
}

fn read_channel(
    answer: &Answer,
    streaming: &Streaming,
    wall_ms: u64,
    secrets: &Secrets,
) -> Result<Channel, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        id: String,
        connect_uri: Secret,
        #[serde(default)]
        expires: serde_json::Value,
    }
    if !answer.is_success() {
        return Err(answer.failure(secrets));
    }
    let body: Body = serde_json::from_slice(&answer.body).map_err(|_| {
        Failure::Protocol("the answer to the creation of a channel holds no id and connectUri".into())
    })?;
    if body.id.is_empty() {
        return Err(Failure::Protocol("the created channel's id is empty".into()));
    }
    secrets.remember(body.connect_uri.expose());
    secrets.remember(&body.id);
    connect_uri::check(body.connect_uri.expose(), streaming)?;
    let expires_in_ms = life_ms(body.expires.as_str(), answer.meta.date_ms, wall_ms);
    Ok(Channel { id: body.id, connect_uri: body.connect_uri, expires_in_ms })
}

/// How long a channel lives from now on, whatever the two clocks show.
fn life_ms(expires: Option<&str>, date_ms: Option<u64>, wall_ms: u64) -> u64 {
    let Some(expires) = expires.and_then(|text| text.trim().parse::<jiff::Timestamp>().ok()) else {
        return DEFAULT_LIFE_MS;
    };
    let now = match date_ms {
        Some(date) if date.abs_diff(wall_ms) > SKEW_MS => date,
        _ => wall_ms,
    };
    match u64::try_from(expires.as_millisecond()).unwrap_or(0).saturating_sub(now) {
        0 => DEFAULT_LIFE_MS,
        life => life,
    }
}

fn read_topics(answer: &Answer, secrets: &Secrets) -> Result<Vec<TopicResult>, Failure> {
    #[derive(Deserialize)]
    struct Listing {
        entities: Vec<Entity>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entity {
        id: String,
        state: Option<String>,
        rejection_reason: Option<String>,
        missing_permissions: Option<Vec<String>>,
    }
    let listing: Listing = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::Protocol("the answer to a subscription holds no entities".into()))?;
    let rejection = |entity: &Entity| Rejection {
        reason: entity.rejection_reason.as_deref().map(|reason| secrets.scrub(reason)).unwrap_or_default(),
        missing_permissions: entity.missing_permissions.iter().flatten().map(|p| secrets.scrub(p)).collect(),
    };
    let is_rejected =
        |entity: &Entity| entity.state.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("rejected"));
    let results = listing.entities.into_iter();
    Ok(results
        .map(|entity| TopicResult {
            rejected: is_rejected(&entity).then(|| rejection(&entity)),
            id: entity.id,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use crate::http::Meta;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, meta: Meta::default(), body: body.into() }
    }

    #[test]
    fn a_channels_life_is_what_is_left_of_it_whatever_the_clocks_show() {
        const NOW: u64 = 1_700_000_000_000; // 2023-11-14T22:13:20Z
        let hours = |h: u64| h * 3_600_000;
        let table: &[(&str, Option<u64>, u64)] = &[
            ("2023-11-15T22:13:20.000Z", None, hours(24)),
            ("2023-11-14T22:13:26Z", None, 6_000),
            ("2023-11-15T00:13:20.500+01:00", None, hours(1) + 500),
            ("2023-11-15T22:13:20Z", Some(NOW + 4_000), hours(24)),
            ("2023-11-15T22:13:20Z", Some(NOW + hours(3)), hours(21)),
            ("2023-11-15T22:13:20Z", Some(NOW - hours(3)), hours(27)),
            ("2023-11-14T22:13:20Z", None, DEFAULT_LIFE_MS),
            ("2013-11-14T22:13:20Z", None, DEFAULT_LIFE_MS),
            ("1913-11-14T22:13:20Z", None, DEFAULT_LIFE_MS),
            ("tomorrow", None, DEFAULT_LIFE_MS),
            ("", None, DEFAULT_LIFE_MS),
        ];
        for (expires, date, life) in table {
            assert_eq!(life_ms(Some(expires), *date, NOW), *life, "{expires} {date:?}");
        }
        assert_eq!(life_ms(None, None, NOW), DEFAULT_LIFE_MS);
    }

    #[test]
    fn a_channel_needs_an_id_and_a_uri_that_may_be_dialled() {
        let secrets = Secrets::default();
        let streaming = Streaming::Environment("mypurecloud.com".into());
        let read = |body: &str| read_channel(&answer(200, body), &streaming, 0, &secrets);
        let uri = "wss://streaming.mypurecloud.com/channels/streaming-0-a";
        assert!(
            read(&format!(r#"{{"id":"streaming-0-a","connectUri":"{uri}","expires":7,"more":{{}}}}"#))
                .is_ok()
        );
        for body in ["", "[]", r#"{"id":"x"}"#, &format!(r#"{{"id":"","connectUri":"{uri}"}}"#)] {
            assert!(matches!(read(body), Err(Failure::Protocol(_))), "{body}");
        }
        let evil = read(r#"{"id":"x","connectUri":"wss://evil.com/channels/canary"}"#).unwrap_err();
        assert!(matches!(&evil, Failure::UntrustedUri(_)));
        assert!(!format!("{evil:?}").contains("evil.com") && !format!("{evil:?}").contains("canary"));
    }

    #[test]
    fn topics_are_permitted_unless_the_service_says_rejected() {
        let body = r#"{"entities":[
            {"id":"v2.a.b","state":"Permitted","selfUri":"/x"},
            {"id":"v2.a.c"},
            {"id":"v2.a.d","state":"Rejected","rejectionReason":"Not authorized.","missingPermissions":["a:b:c"]},
            {"id":"v2.a.e","state":"Rejected"}],"total":4}"#;
        let results = read_topics(&answer(200, body), &Secrets::default()).unwrap();
        let rejected: Vec<_> =
            results.iter().map(|r| r.rejected.as_ref().map(|x| x.reason.as_str())).collect();
        assert_eq!(rejected, [None, None, Some("Not authorized."), Some("")]);
        assert_eq!(results[2].rejected.as_ref().unwrap().missing_permissions, ["a:b:c"]);
        assert!(read_topics(&answer(200, "{}"), &Secrets::default()).is_err());
        assert_eq!(confirmed_topics(&answer(200, body), &Secrets::default()).unwrap(), ["v2.a.b", "v2.a.c"]);
    }

    #[test]
    fn channels_are_counted_also_those_whose_ids_are_hidden() {
        let count =
            |body: &str| count_channels(&answer(200, body), &Secrets::default()).map(|list| list.total);
        assert_eq!(
            count(r#"{"entities":[{"id":"a","connectUri":"wss://x"},{"expires":"y"},{}]}"#).unwrap(),
            3
        );
        assert_eq!(count(r#"{"entities":[]}"#).unwrap(), 0);
        assert!(count("{}").is_err());
    }
}

//! Tokens: asked for at the token endpoint with the client's credentials or a refresh token.

use std::time::Duration;

use genesys_notifications_proto::Failure;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::http::{self, Answer, exchange};
use crate::options::Credentials;
use crate::secret::{Secret, Secrets};

/// Token answers are a few hundred bytes.
const BODY_CAP: usize = 1 << 20;

/// A token as the endpoint or the caller gave it.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) access_token: Secret,
    pub(crate) expires_in_ms: Option<u64>,
    /// Replaces the one that was sent.
    pub(crate) refresh_token: Option<Secret>,
}

/// How this client gets tokens.
pub(crate) struct OAuth {
    http: reqwest::Client,
    /// Absent where nobody is asked for tokens.
    endpoint: Option<Url>,
    grant: Grant,
    request_timeout: Duration,
}

/// How many times the ordinary timeout an answer may take that replaces the refresh token: lost, it cannot be had again.
const PATIENCE: u32 = 4;

enum Grant {
    Client {
        id: String,
        secret: Secret,
    },
    /// Locked for the length of a request: a refresh token is good for one.
    Refresh {
        id: String,
        secret: Secret,
        token: Mutex<Secret>,
    },
    /// The caller gives tokens.
    Provider,
    /// No token is needed.
    None,
}

impl OAuth {
    pub(crate) fn new(
        http: reqwest::Client,
        login: Option<&Url>,
        credentials: Option<Credentials>,
        request_timeout: Duration,
        secrets: &Secrets,
    ) -> Self {
        let known = |id: &str, secret: &Secret| {
            secrets.keep(secret.expose());
            secrets.keep(&format!("{id}:{}", secret.expose()));
        };
        let grant = match credentials {
            Some(Credentials::Client { client_id: id, client_secret: secret }) => {
                known(&id, &secret);
                Grant::Client { id, secret }
            }
            Some(Credentials::RefreshToken { client_id: id, client_secret: secret, refresh_token }) => {
                known(&id, &secret);
                secrets.remember(refresh_token.expose());
                Grant::Refresh { id, secret, token: Mutex::new(refresh_token) }
            }
            Some(Credentials::Provider {}) => Grant::Provider,
            None => Grant::None,
        };
        let endpoint = login.map(|login| join(login, &["oauth", "token"]));
        Self { http, endpoint, grant, request_timeout }
    }

    /// Whether tokens come from the caller.
    pub(crate) fn is_provider(&self) -> bool {
        matches!(self.grant, Grant::Provider)
    }

    /// Whether a request must run to its end once it was sent, because its answer replaces the refresh token.
    pub(crate) fn must_finish(&self) -> bool {
        matches!(self.grant, Grant::Refresh { .. })
    }

    /// One request to the token endpoint. `replaced` is called with a new refresh token as soon as there is one.
    pub(crate) async fn fetch(
        &self,
        wall_ms: u64,
        secrets: &Secrets,
        replaced: impl FnOnce(&Secret),
    ) -> Result<Token, Failure> {
        match &self.grant {
            Grant::Client { id, secret } => {
                let form = [("grant_type", "client_credentials")];
                self.request(id, secret, &form, wall_ms, secrets).await
            }
            Grant::Refresh { id, secret, token } => {
                let mut token = token.lock().await;
                let form = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                let answer = self.request(id, secret, &form, wall_ms, secrets).await?;
                if let Some(next) = &answer.refresh_token
                    && next != &*token
                {
                    secrets.remember(next.expose());
                    *token = next.clone();
                    replaced(next);
                }
                Ok(answer)
            }
            Grant::Provider | Grant::None => Err(nobody_to_ask()),
        }
    }

    async fn request(
        &self,
        id: &str,
        secret: &Secret,
        form: &[(&str, &str)],
        wall_ms: u64,
        secrets: &Secrets,
    ) -> Result<Token, Failure> {
        let endpoint = self.endpoint.clone().ok_or_else(nobody_to_ask)?;
        let mut request = self.http.post(endpoint).basic_auth(id, Some(secret.expose())).form(form);
        if self.must_finish() {
            request = request.timeout(self.request_timeout.saturating_mul(PATIENCE));
        }
        let answer = exchange(request, BODY_CAP, wall_ms, secrets).await?;
        let token = read(&answer, secrets)?;
        secrets.remember(token.access_token.expose());
        Ok(token)
    }
}

fn nobody_to_ask() -> Failure {
    Failure::Provider("there is no token endpoint for it".into())
}

/// A base URL with segments added behind its path prefix; each segment is percent-encoded.
pub(crate) fn join(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Refuses a token that cannot go into a header.
pub(crate) fn usable(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("the token is empty");
    }
    if !token.is_ascii() || HeaderValue::from_str(token).is_err() {
        return Err("the token holds characters that cannot be sent");
    }
    Ok(())
}

fn read(answer: &Answer, secrets: &Secrets) -> Result<Token, Failure> {
    if !answer.is_success() {
        return Err(refusal(answer, secrets));
    }
    #[derive(Deserialize)]
    struct Body {
        access_token: Secret,
        #[serde(default)]
        expires_in: Value,
        refresh_token: Option<Secret>,
    }
    // serde's own words would repeat what it could not read.
    let body: Body = serde_json::from_slice(&answer.body)
        .map_err(|_| Failure::Protocol("the token endpoint's answer holds no access_token".into()))?;
    usable(body.access_token.expose())
        .map_err(|why| Failure::Protocol(format!("the token endpoint's answer: {why}")))?;
    Ok(Token {
        access_token: body.access_token,
        expires_in_ms: expires_in_ms(&body.expires_in),
        refresh_token: body.refresh_token.filter(|token| !token.expose().is_empty()),
    })
}

/// Seconds as integer, decimal or text; `None` if missing or senseless.
fn expires_in_ms(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (seconds.is_finite() && seconds > 0.0).then(|| (seconds * 1000.0).min(1e13) as u64).filter(|ms| *ms > 0)
}

/// OAuth's error body, the API's, or none at all.
fn refusal(answer: &Answer, secrets: &Secrets) -> Failure {
    #[derive(Default, Deserialize)]
    struct Body {
        error: Option<Value>,
        error_description: Option<String>,
        description: Option<String>,
        code: Option<Value>,
    }
    let body: Body = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = match &body.error {
        Some(Value::String(error)) => Some(secrets.scrub(error)),
        _ => None,
    };
    let refused = matches!(answer.status, 400 | 401 | 403);
    if error.is_none() && (body.code.is_some() || !refused) {
        return answer.failure(secrets);
    }
    let description = body.error_description.or(body.description).or_else(|| match error {
        Some(_) => None,
        None => http::snippet(&answer.body),
    });
    Failure::OAuth {
        status: answer.status,
        error: error.unwrap_or_default(),
        description: description.map(|text| secrets.scrub(&text)).filter(|text| !text.is_empty()),
        retry_after_ms: answer.meta.retry_after_ms,
        correlation_id: answer.meta.correlation_id.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::http::Meta;

    use super::*;

    fn read_body(status: u16, body: &str) -> Result<Token, Failure> {
        let secrets = Secrets::default();
        secrets.keep("canary-secret");
        read(&Answer { status, meta: Meta::default(), body: body.into() }, &secrets)
    }

    #[test]
    fn the_life_of_a_token_may_be_written_in_many_ways() {
        let table = [
            ("86399", Some(86_399_000)),
            ("1.5", Some(1_500)),
            ("\"3600\"", Some(3_600_000)),
            ("0", None),
            ("-1", None),
            ("1e400", None),
            ("1e300", Some(10_000_000_000_000)),
            ("null", None),
            ("{}", None),
        ];
        for (expires_in, expected) in table {
            let body = format!(r#"{{"access_token":"t","token_type":"bearer","expires_in":{expires_in}}}"#);
            match read_body(200, &body) {
                Ok(token) => assert_eq!(token.expires_in_ms, expected, "{expires_in}"),
                Err(failure) => assert!(expires_in == "1e400", "{failure}"),
            }
        }
        assert_eq!(read_body(200, r#"{"access_token":"t"}"#).unwrap().expires_in_ms, None);
    }

    #[test]
    fn an_answer_without_a_usable_token_is_a_breach_of_protocol_and_not_repeated() {
        for body in [
            "",
            "canary",
            "{}",
            r#"{"access_token":"canary\n"}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":["canary"]}"#,
        ] {
            let failure = read_body(200, body).unwrap_err();
            assert!(matches!(failure, Failure::Protocol(_)), "{body}");
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }

    #[test]
    fn refusals_come_in_the_styles_of_oauth_and_of_the_api() {
        let oauth = |status, error: &str, description: Option<&str>| Failure::OAuth {
            status,
            error: error.into(),
            description: description.map(Into::into),
            retry_after_ms: None,
            correlation_id: None,
        };
        let three = r#"{"error":"invalid_client","description":"authentication failed","error_description":"authentication failed"}"#;
        assert_eq!(
            read_body(400, three).unwrap_err(),
            oauth(400, "invalid_client", Some("authentication failed"))
        );
        let echo = r#"{"error":"invalid_client","description":"bad canary-secret"}"#;
        assert_eq!(read_body(401, echo).unwrap_err(), oauth(401, "invalid_client", Some("bad [redacted]")));
        assert_eq!(read_body(401, "").unwrap_err(), oauth(401, "", None));
        assert_eq!(read_body(403, "<html>").unwrap_err(), oauth(403, "", Some("<html>")));
        let limited = r#"{"message":"slow down","code":"too.many.requests","status":429}"#;
        assert!(matches!(read_body(429, limited).unwrap_err(), Failure::Http(http) if http.code.is_some()));
        for (status, body) in [(503, "<html>"), (302, ""), (500, "{}"), (429, "")] {
            let failure = read_body(status, body).unwrap_err();
            assert!(matches!(&failure, Failure::Http(http) if http.status == status), "{failure:?}");
        }
    }

    #[test]
    fn path_prefixes_of_a_gateway_are_kept() {
        let table = [
            ("https://login.mypurecloud.com", "https://login.mypurecloud.com/oauth/token"),
            ("https://gw.example.com/a/b", "https://gw.example.com/a/b/oauth/token"),
        ];
        for (base, expected) in table {
            assert_eq!(join(&Url::parse(base).unwrap(), &["oauth", "token"]).as_str(), expected);
        }
        let odd = join(&Url::parse("https://api.example.com").unwrap(), &["channels", "../../x?y"]);
        assert_eq!(odd.as_str(), "https://api.example.com/channels/..%2F..%2Fx%3Fy");
    }
}

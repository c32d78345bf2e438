//! One HTTP exchange: bounded, without redirects, its failures told apart and scrubbed.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use genesys_notifications_proto::{Failure, HttpFailure, NetworkKind};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, redirect};
use rustls::ClientConfig;
use serde::Deserialize;

use crate::retry_after;
use crate::secret::Secrets;

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) meta: Meta,
    pub(crate) body: Vec<u8>,
}

/// What the headers of an answer say beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) retry_after_ms: Option<u64>,
    pub(crate) correlation_id: Option<String>,
    pub(crate) rate_limit: Option<RateLimit>,
    /// The answer's `Date` in milliseconds since the epoch.
    pub(crate) date_ms: Option<u64>,
}

/// `inin-ratelimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) remaining: u64,
    pub(crate) reset_ms: u64,
}

/// A client that follows no redirect, reads no proxy from the environment and trusts what `tls` trusts.
pub(crate) fn client(
    tls: &Arc<ClientConfig>,
    connect_timeout: Duration,
    timeout: Duration,
) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(tls))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(1)
        .user_agent(concat!("genesys-cloud-notifications/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.without_url().to_string())
}

/// Sends a request and reads at most `cap` bytes of the answer.
///
/// # Errors
/// If there is no whole answer within the cap.
pub(crate) async fn exchange(
    request: RequestBuilder,
    cap: usize,
    wall_ms: u64,
    secrets: &Secrets,
) -> Result<Answer, Failure> {
    let mut response = request.send().await.map_err(|error| network_failure(error, secrets))?;
    let status = response.status().as_u16();
    let meta = Meta::read(response.headers(), wall_ms, secrets);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| network_failure(error, secrets))? {
        if body.len() + chunk.len() > cap {
            return Err(Failure::Protocol(format!("the answer (HTTP {status}) is longer than {cap} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, meta, body })
}

impl Answer {
    /// Whether the status is 2xx.
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The failure that a status other than success means.
    pub(crate) fn failure(&self, secrets: &Secrets) -> Failure {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct ErrorBody {
            code: Option<String>,
            message: Option<String>,
            context_id: Option<String>,
        }
        let body = serde_json::from_slice::<ErrorBody>(&self.body).unwrap_or_else(|_| ErrorBody {
            // A gateway's page, perhaps: better than nothing.
            message: snippet(&self.body),
            ..ErrorBody::default()
        });
        Failure::Http(HttpFailure {
            status: self.status,
            code: body.code.map(|code| secrets.scrub(&code)),
            message: body
                .message
                .map(|message| secrets.scrub(&message))
                .filter(|message| !message.is_empty()),
            retry_after_ms: self.meta.retry_after_ms,
            correlation_id: self.meta.correlation_id.clone().or(body.context_id.map(|id| secrets.scrub(&id))),
        })
    }
}

impl Meta {
    pub(crate) fn read(headers: &HeaderMap, wall_ms: u64, secrets: &Secrets) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let date = text(DATE.as_str());
        Self {
            retry_after_ms: text(RETRY_AFTER.as_str())
                .and_then(|value| retry_after::parse(value, date, wall_ms)),
            correlation_id: text("inin-correlation-id")
                .map(|id| secrets.scrub(id))
                .filter(|id| !id.is_empty()),
            rate_limit: RateLimit::read(
                text("inin-ratelimit-count"),
                text("inin-ratelimit-allowed"),
                text("inin-ratelimit-reset"),
            ),
            date_ms: date.and_then(retry_after::http_date_ms),
        }
    }
}

impl RateLimit {
    fn read(count: Option<&str>, allowed: Option<&str>, reset: Option<&str>) -> Option<Self> {
        let number = |text: Option<&str>| text?.trim().parse::<u64>().ok();
        let (count, allowed, reset) = (number(count)?, number(allowed)?, number(reset)?);
        Some(Self { remaining: allowed.saturating_sub(count), reset_ms: reset.saturating_mul(1000) })
    }
}

/// The beginning of a body as text; scrubbed later, so it is longer than what will be shown.
pub(crate) fn snippet(body: &[u8]) -> Option<String> {
    let start = &body[..body.len().min(16 << 10)];
    let text = String::from_utf8_lossy(start).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn network_failure(error: reqwest::Error, secrets: &Secrets) -> Failure {
    let error = error.without_url();
    let mut kind = if error.is_timeout() { NetworkKind::TimedOut } else { NetworkKind::Other };
    let mut detail = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        detail = inner.to_string();
        if detail.contains("dns error") {
            // What lies below it is an I/O error of no particular kind.
            kind = NetworkKind::Dns;
        } else if inner.is::<rustls::Error>() {
            kind = NetworkKind::Tls;
        } else if kind == NetworkKind::Other {
            kind = inner.downcast_ref::<io::Error>().map_or(kind, io_kind);
        }
        source = match inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    Failure::Network { kind, detail: secrets.scrub(&detail) }
}

/// What an I/O error means.
pub(crate) fn io_kind(error: &io::Error) -> NetworkKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => NetworkKind::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => NetworkKind::Reset,
        io::ErrorKind::TimedOut => NetworkKind::TimedOut,
        _ if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => NetworkKind::Tls,
        _ => NetworkKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, meta: Meta::default(), body: body.into() }
    }

    #[test]
    fn error_bodies_of_every_kind_are_understood() {
        let secrets = Secrets::default();
        secrets.keep("canary-token");
        let table = [
            (
                r#"{"message":"Invalid login credentials.","code":"bad.credentials","status":401,"contextId":"c"}"#,
                Some("bad.credentials"),
                Some("Invalid login credentials."),
                Some("c"),
            ),
            (r#"{"message":"token canary-token is bad"}"#, None, Some("token [redacted] is bad"), None),
            ("<html>Bad gateway</html>", None, Some("<html>Bad gateway</html>"), None),
            (r#"{"code":7}"#, None, Some(r#"{"code":7}"#), None),
            ("", None, None, None),
            ("null", None, Some("null"), None),
            ("\u{0}\u{1}", None, None, None),
        ];
        for (body, code, message, correlation) in table {
            let Failure::Http(http) = answer(401, body).failure(&secrets) else { panic!() };
            assert_eq!(http.code.as_deref(), code, "{body}");
            assert_eq!(http.message.as_deref(), message, "{body}");
            assert_eq!(http.correlation_id.as_deref(), correlation, "{body}");
        }
    }

    #[test]
    fn headers_are_read_where_they_make_sense() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("retry-after", "3"),
            ("inin-correlation-id", "abc"),
            ("inin-ratelimit-count", "181"),
            ("inin-ratelimit-allowed", "180"),
            ("inin-ratelimit-reset", "61"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let meta = Meta::read(&headers, 0, &Secrets::default());
        assert_eq!(meta.retry_after_ms, Some(3_000));
        assert_eq!(meta.correlation_id.as_deref(), Some("abc"));
        assert_eq!(meta.rate_limit, Some(RateLimit { remaining: 0, reset_ms: 61_000 }));
        headers.insert("inin-ratelimit-reset", "x".parse().unwrap());
        assert_eq!(Meta::read(&headers, 0, &Secrets::default()).rate_limit, None);
    }
}

//! Calls of the API that nothing but backfill waits for: never while the client is not connected, never while the service
//! asks to wait, and never with the permits that a reconnect needs.

use std::sync::Arc;
use std::time::Duration;

use genesys_notifications_proto::backfill::{Method, Request};
use genesys_notifications_proto::{ErrorCode, ErrorReport, Failure, NetworkKind};
use tokio::time::sleep;
use url::Url;

use crate::control::Control;
use crate::shared::Shared;

use super::Backfill;

/// Tries of one call.
const TRIES: u32 = 6;

/// Waits between tries double from the first to the last.
const FIRST_WAIT_MS: u64 = 1_000;
const LAST_WAIT_MS: u64 = 60_000;

/// A longer `Retry-After` ends a call: some limits of the service are daily.
const LONGEST_WAIT_MS: u64 = 15 * 60 * 1000;

/// The clocks are looked at again at least that often while a time is waited for.
const LOOK_MS: u64 = 5_000;

/// One call, its path and query checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Begins with `/api/v2/`.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) body: Option<String>,
}

impl From<&Request> for Call {
    fn from(request: &Request) -> Self {
        let query = Some(request.query.clone()).filter(|query| !query.is_empty());
        Self { method: request.method, path: request.path.clone(), query, body: request.body.clone() }
    }
}

impl Call {
    /// What the caller's function asks for.
    fn of(method: &str, target: &str, body: Option<String>) -> Result<Self, &'static str> {
        let method = match method {
            "GET" if body.is_some() => return Err("GET has no body"),
            "GET" => Method::Get,
            "POST" => Method::Post,
            _ => return Err("the method must be GET or POST"),
        };
        if body.as_ref().is_some_and(|body| serde_json::from_str::<serde::de::IgnoredAny>(body).is_err()) {
            return Err("the body is not JSON");
        }
        let outside = "the path must begin with /api/v2/";
        if !target.starts_with("/api/v2/") {
            return Err(outside);
        }
        // Dots, backslashes and the like are resolved here, before anything is compared.
        let base = Url::parse("https://api.invalid").map_err(|_| outside)?;
        let url = base.join(target).map_err(|_| "the path cannot be read")?;
        if url.origin() != base.origin() || !url.path().starts_with("/api/v2/") || url.fragment().is_some() {
            return Err(outside);
        }
        Ok(Self { method, path: url.path().to_owned(), query: url.query().map(str::to_owned), body })
    }
}

/// Carries a call out, with patience; `not_before` is wall time. Returns status and body of a success.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    backfill: &Backfill,
    call: &Call,
    not_before: u64,
) -> Result<(u16, String), Failure> {
    let mut tried = 0;
    loop {
        permit(shared, backfill, not_before).await?;
        let failure = match once(shared, call).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        tried += 1;
        let asked = failure.retry_after_ms().unwrap_or(0);
        let backoff = (FIRST_WAIT_MS << tried.min(16)).min(LAST_WAIT_MS);
        let wait = asked.max(if may_pass(&failure) { backoff } else { 0 });
        let jitter = shared.random_up_to(wait / 4);
        let at = shared.clock.now().mono.saturating_add(wait + jitter);
        let mut state = backfill.state();
        state.floor = state.floor.max(at);
        drop(state);
        if tried >= TRIES || asked > LONGEST_WAIT_MS || !may_pass(&failure) {
            return Err(failure);
        }
    }
}

/// Waits until the client is connected, the time has come, and there is a permit to spare. Fails if the service asks for
/// a wait that is too long.
async fn permit(shared: &Arc<Shared>, backfill: &Backfill, not_before: u64) -> Result<(), Failure> {
    let mut connected = backfill.connected.subscribe();
    loop {
        // It fails only if the sender is gone, which `backfill` holds.
        let _ = connected.wait_for(|connected| *connected).await;
        let now = shared.clock.now();
        let floor = shared.api_opens_at().max(backfill.state().floor);
        let asked = floor.saturating_sub(now.mono);
        if asked > LONGEST_WAIT_MS {
            let seconds = asked / 1_000;
            return Err(Failure::Protocol(format!("the service asks to wait for another {seconds} s")));
        }
        let wait = match not_before.saturating_sub(now.wall).max(asked) {
            0 => match shared.spare_permit(now.mono) {
                Ok(()) => return Ok(()),
                Err(at) => at.saturating_sub(now.mono).max(1),
            },
            wait => wait,
        };
        sleep(Duration::from_millis(wait.min(LOOK_MS))).await;
    }
}

async fn once(shared: &Arc<Shared>, call: &Call) -> Result<(u16, String), Failure> {
    let Some(token) = shared.newest_token() else {
        return Err(Failure::Network { kind: NetworkKind::Other, detail: "there is no token now".into() });
    };
    let services = &shared.services;
    let Some(rest) = &services.rest else {
        return Err(Failure::Protocol("it is not known where the API is".into()));
    };
    let called = rest.call(&token, call, || shared.clock.now().wall, &services.secrets).await;
    if let Some(limit) = called.rate_limit {
        shared.tell_rate_limit(limit);
    }
    let answer = called.result?;
    let text = String::from_utf8(answer.body);
    Ok((answer.status, text.map_err(|_| Failure::Protocol("the answer is not UTF-8".into()))?))
}

/// Whether another try may succeed; after a 401 the token may be another.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::Http(http) => matches!(http.status, 401 | 408 | 429 | 500 | 502 | 503 | 504),
        Failure::Network { kind, .. } => *kind != NetworkKind::Tls,
        _ => false,
    }
}

/// A call of the caller's function.
pub(super) fn start(shared: &Arc<Shared>, method: &str, target: &str, body: Option<String>) -> u64 {
    let Some(backfill) = &shared.services.backfill else { return 0 };
    let number = backfill.next_call();
    let refuse = |message: String| {
        let answer = Err(report(ErrorCode::BackfillFailed, message, None));
        shared.tell(Control::ApiAnswer { call: number, answer });
    };
    let call = match Call::of(method, target, body) {
        Ok(call) => call,
        Err(why) => {
            refuse(why.to_owned());
            return number;
        }
    };
    let theirs = shared.clone();
    let is_started = shared.spawn_spare(async move {
        let Some(backfill) = &theirs.services.backfill else { return };
        // It is never closed.
        let _turn = backfill.calls.acquire().await;
        let answer = ask(&theirs, backfill, &call, 0).await;
        let answer = answer.map_err(|failure| {
            let words = match &failure {
                Failure::Http(http) => http.message.as_deref().map(|words| format!(": {words}")),
                _ => None,
            };
            let message = format!("{} failed: {failure}{}", call.path, words.unwrap_or_default());
            report(code(&failure), message, Some(&failure))
        });
        theirs.tell(Control::ApiAnswer { call: number, answer });
    });
    if !is_started {
        refuse("the client is not connected".to_owned());
    }
    number
}

fn code(failure: &Failure) -> ErrorCode {
    match failure {
        Failure::Http(http) => match http.status {
            401 => ErrorCode::TokenRejected,
            403 => ErrorCode::Forbidden,
            429 => ErrorCode::RateLimited,
            500..=599 => ErrorCode::ServiceUnavailable,
            _ => ErrorCode::BackfillFailed,
        },
        Failure::Network { kind: NetworkKind::TimedOut, .. } => ErrorCode::TimedOut,
        Failure::Network { kind: NetworkKind::Tls, .. } => ErrorCode::TlsError,
        Failure::Network { .. } => ErrorCode::NetworkError,
        _ => ErrorCode::ProtocolViolation,
    }
}

fn report(code: ErrorCode, message: String, failure: Option<&Failure>) -> ErrorReport {
    ErrorReport {
        code,
        message,
        retryable: false,
        hint: None,
        status: failure.and_then(Failure::status),
        correlation_id: failure.and_then(Failure::correlation_id).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_stays_on_the_api_and_under_its_path() {
        let call = Call::of("POST", "/api/v2/a b/../c?x=1&y=%2F", Some("{}".into())).unwrap();
        assert_eq!((call.path.as_str(), call.query.as_deref()), ("/api/v2/c", Some("x=1&y=%2F")));
        for target in [
            "/api/v1/x",
            "/api/v2",
            "api/v2/x",
            "//evil.example/api/v2/x",
            "https://evil.example/api/v2/x",
            "/api/v2/../../oauth/token",
            "/api/v2/%2e%2e/%2E%2E/oauth",
            "/api/v2/..\\..\\oauth",
            "/api/v2/x#y",
            "",
        ] {
            assert!(Call::of("GET", target, None).is_err(), "{target}");
        }
        assert!(Call::of("DELETE", "/api/v2/x", None).is_err());
        assert!(Call::of("GET", "/api/v2/x", Some("{}".into())).is_err());
        assert!(Call::of("POST", "/api/v2/x", Some("{".into())).is_err());
        assert_eq!(Call::of("GET", "/api/v2/x", None).unwrap().body, None);
    }
}

//! One table turns close codes, HTTP statuses and OAuth errors into what to do next.

use crate::failure::{Failure, HttpFailure, NetworkKind};
use crate::notice::{ErrorCode, ErrorReport, Reason};

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `POST /oauth/token`, or the caller's own provider.
    Token,
    /// `POST channels`.
    Create,
    /// `PUT`, `POST` or `DELETE` subscriptions.
    Subscribe,
    /// Dial, TLS and upgrade.
    Open,
    /// The same of a direct endpoint, and what it says before the connection is ready.
    Connect,
    /// Loading the cursor of an earlier process.
    Cursor,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The same again, after backoff.
    Retry,
    /// A new token first.
    Renew,
    /// A new channel.
    Recreate,
    /// Some topic of the list is at fault: find it.
    Split,
    /// A fresh position: the one at hand is not known any more.
    Reposition,
    /// Retrying cannot mend it.
    Fatal,
}

/// The decision, and how to tell the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What to do next.
    pub decision: Decision,
    /// Why, in the state.
    pub reason: Reason,
    /// Stable code.
    pub code: ErrorCode,
}

/// Judges a failed step.
pub fn judge(step: Step, failure: &Failure) -> Judgement {
    let (decision, reason, code) = match failure {
        Failure::Http(http) => judge_http(step, http),
        Failure::OAuth { status, error, .. } => judge_oauth(*status, error),
        Failure::Network { kind, .. } => (Decision::Retry, Reason::Unreachable, network_code(*kind)),
        Failure::Protocol(_) => (Decision::Retry, Reason::ProtocolViolation, ErrorCode::ProtocolViolation),
        Failure::UntrustedUri(_) => {
            (Decision::Recreate, Reason::ProtocolViolation, ErrorCode::UntrustedConnectUri)
        }
        Failure::Provider(_) => (Decision::Retry, Reason::TokenUnavailable, ErrorCode::TokenProviderFailed),
        Failure::Store(_) => (Decision::Retry, Reason::CursorUnavailable, ErrorCode::CursorFailed),
        Failure::CorruptCursor(_) => (Decision::Fatal, Reason::CursorUnavailable, ErrorCode::CursorCorrupt),
    };
    Judgement { decision, reason, code }
}

fn judge_http(step: Step, http: &HttpFailure) -> (Decision, Reason, ErrorCode) {
    use Decision::{Fatal, Recreate, Renew, Reposition, Retry, Split};

    let code = http.code.as_deref().unwrap_or_default();
    match (step, http.status) {
        (_, 429) => (Retry, Reason::RateLimited, ErrorCode::RateLimited),
        (_, 408 | 500..=599) => (Retry, Reason::ServiceUnavailable, ErrorCode::ServiceUnavailable),
        (_, 401) if code == "ip.not.authorized" => (Fatal, Reason::Credentials, ErrorCode::IpNotAllowed),
        (Step::Token, 401) => (Fatal, Reason::Credentials, ErrorCode::InvalidCredentials),
        (Step::Token, _) => (Retry, Reason::TokenUnavailable, ErrorCode::TokenUnavailable),
        // No client reads more into these than that the channel is gone; a new one settles it.
        (Step::Open, 401 | 403 | 404 | 410) => (Recreate, Reason::ChannelGone, ErrorCode::ChannelGone),
        // With which words a server refuses a token is its own affair; a new one settles what it meant.
        (Step::Connect, 401) => (Renew, Reason::TokenRejected, ErrorCode::TokenRejected),
        (Step::Connect, 403) => (Renew, Reason::TokenRejected, ErrorCode::Forbidden),
        (Step::Connect, 400) => (Reposition, Reason::PositionRefused, ErrorCode::PositionRefused),
        (Step::Open, 300..=399) => (Recreate, Reason::ProtocolViolation, ErrorCode::ProtocolViolation),
        (Step::Create | Step::Subscribe, 401) => (Renew, Reason::TokenRejected, ErrorCode::TokenRejected),
        (Step::Create, 403) => (Fatal, Reason::Credentials, ErrorCode::Forbidden),
        (Step::Subscribe, 404 | 410) => (Recreate, Reason::ChannelGone, ErrorCode::ChannelGone),
        (Step::Subscribe, 400) if code == "notification.unable.to.get.channel.id" => {
            (Recreate, Reason::ChannelGone, ErrorCode::ChannelGone)
        }
        (Step::Subscribe, 400 | 403 | 413) => (Split, Reason::TopicRejected, ErrorCode::TopicRejected),
        _ => (Retry, Reason::ProtocolViolation, ErrorCode::ProtocolViolation),
    }
}

fn judge_oauth(status: u16, error: &str) -> (Decision, Reason, ErrorCode) {
    match (status, error) {
        (429, _) => (Decision::Retry, Reason::RateLimited, ErrorCode::RateLimited),
        (408 | 500..=599, _) => (Decision::Retry, Reason::ServiceUnavailable, ErrorCode::ServiceUnavailable),
        (
            _,
            "invalid_client"
            | "invalid_grant"
            | "unauthorized_client"
            | "unsupported_grant_type"
            | "invalid_scope"
            | "invalid_request",
        )
        | (401, _) => (Decision::Fatal, Reason::Credentials, ErrorCode::InvalidCredentials),
        _ => (Decision::Retry, Reason::TokenUnavailable, ErrorCode::TokenUnavailable),
    }
}

fn network_code(kind: NetworkKind) -> ErrorCode {
    match kind {
        NetworkKind::Tls => ErrorCode::TlsError,
        NetworkKind::TimedOut => ErrorCode::TimedOut,
        NetworkKind::Dns | NetworkKind::Refused | NetworkKind::Reset | NetworkKind::Other => {
            ErrorCode::NetworkError
        }
    }
}

/// Judges the close code of a direct endpoint, which no registry fixes either: 4000 and an HTTP status is common usage, 1008 and
/// 3000 are what the registry of RFC 6455 has for it.
pub fn judge_direct_close(code: u16) -> Decision {
    match code {
        4400 => Decision::Reposition,
        1008 | 3000 | 3003 | 4401 | 4403 => Decision::Renew,
        _ => Decision::Retry,
    }
}

/// Judges a close code. Genesys documents none for this socket and advises against deciding on them, so almost every
/// code means: the same channel once more, and its state will tell. 1000 is not final unless we closed.
pub fn judge_close(code: u16) -> Decision {
    match code {
        // Policy violation, and what gateways use for "your authentication ended": the channel's token is no good.
        1008 | 3000 | 4401 | 4403 | 4404 | 4410 => Decision::Recreate,
        _ => Decision::Retry,
    }
}

impl ErrorReport {
    /// Words for a failed step.
    pub fn of(step: Step, failure: &Failure, judgement: &Judgement) -> Self {
        let doing = match step {
            Step::Token => "getting an access token",
            Step::Create => "creating a channel",
            Step::Subscribe => "subscribing",
            Step::Open => "opening the socket",
            Step::Connect => "connecting to the endpoint",
            Step::Cursor => "loading the cursor",
        };
        let detail = match failure {
            Failure::Http(HttpFailure { message: Some(message), .. })
            | Failure::OAuth { description: Some(message), .. } => format!(": {message}"),
            _ => String::new(),
        };
        Self {
            code: judgement.code,
            message: format!("{doing} failed: {failure}{detail}"),
            retryable: judgement.decision != Decision::Fatal,
            hint: hint_of(step, judgement.code).map(str::to_owned),
            status: failure.status(),
            correlation_id: failure.correlation_id().map(str::to_owned),
        }
    }

    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: true,
            hint: hint(code).map(str::to_owned),
            status: None,
            correlation_id: None,
        }
    }
}

fn hint_of(step: Step, code: ErrorCode) -> Option<&'static str> {
    match (step, code) {
        // What a server that is not Genesys Cloud's wants, nobody knows here.
        (Step::Connect, ErrorCode::Forbidden) => None,
        _ => hint(code),
    }
}

/// What to do, only where it is certainly right.
fn hint(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::InvalidCredentials => {
            "Check clientId, clientSecret and region together: a wrong region looks exactly like a wrong secret."
        }
        ErrorCode::IpNotAllowed => "Add this machine's public address to the organisation's IP allow list.",
        ErrorCode::Forbidden => "A client that acts for a user needs the scope \"notifications\".",
        ErrorCode::AllTopicsRejected | ErrorCode::TopicRejected => {
            "Give the OAuth client's role the missing permissions, or remove the topic; topics that need a user \
             cannot be had with client credentials."
        }
        ErrorCode::TlsError => {
            "The certificate is always verified. Where a private authority has issued it, as behind a proxy that intercepts \
             TLS, give that authority's certificate in network.ca."
        }
        ErrorCode::TooManyTopics => {
            "Use a second OAuth client, or fewer topics: 20 channels carry 1,000 each."
        }
        ErrorCode::NotReady => {
            "Compare endpoint.ready with what the server sends first: pointer and equals must fit one of its frames."
        }
        ErrorCode::CursorCorrupt => {
            "It was left as it is. To begin anew, with endpoint.resume.initial, remove it where it is kept: events from \
             before are then not asked for."
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::{Fatal, Recreate, Renew, Retry, Split};

    fn http(status: u16, code: &str) -> Failure {
        Failure::Http(HttpFailure { status, code: Some(code.to_owned()), ..HttpFailure::default() })
    }

    #[test]
    fn the_whole_table_of_http_answers() {
        let table: &[(u16, &str, [Decision; 4])] = &[
            // status, code, [Token, Create, Subscribe, Open]
            (301, "", [Retry, Retry, Retry, Recreate]),
            (400, "bad.request", [Retry, Retry, Split, Retry]),
            (400, "notification.invalid.topic", [Retry, Retry, Split, Retry]),
            (400, "notification.subscription.too.many.subscriptions", [Retry, Retry, Split, Retry]),
            (400, "notification.unable.to.get.channel.id", [Retry, Retry, Recreate, Retry]),
            (401, "bad.credentials", [Fatal, Renew, Renew, Recreate]),
            (401, "authentication.required", [Fatal, Renew, Renew, Recreate]),
            (401, "ip.not.authorized", [Fatal, Fatal, Fatal, Fatal]),
            (403, "app.not.authorized.for.scope", [Retry, Fatal, Split, Recreate]),
            (403, "notification.unauthorized.topic", [Retry, Fatal, Split, Recreate]),
            (404, "not.found", [Retry, Retry, Recreate, Recreate]),
            (408, "client.timeout", [Retry, Retry, Retry, Retry]),
            (409, "request.conflict", [Retry, Retry, Retry, Retry]),
            (410, "", [Retry, Retry, Recreate, Recreate]),
            (413, "request.entity.too.large", [Retry, Retry, Split, Retry]),
            (429, "too.many.requests.retry.after", [Retry, Retry, Retry, Retry]),
            (500, "internal.server.error", [Retry, Retry, Retry, Retry]),
            (502, "", [Retry, Retry, Retry, Retry]),
            (503, "service.unavailable", [Retry, Retry, Retry, Retry]),
            (504, "request.timeout", [Retry, Retry, Retry, Retry]),
        ];
        for (status, code, expected) in table {
            for (step, decision) in
                [Step::Token, Step::Create, Step::Subscribe, Step::Open].into_iter().zip(expected)
            {
                assert_eq!(judge(step, &http(*status, code)).decision, *decision, "{status} {code} {step:?}");
            }
        }
    }

    #[test]
    fn the_whole_table_of_oauth_errors() {
        let table = [
            (400, "invalid_client", Fatal),
            (401, "invalid_client", Fatal),
            (400, "invalid_grant", Fatal),
            (400, "unauthorized_client", Fatal),
            (400, "unsupported_grant_type", Fatal),
            (400, "invalid_scope", Fatal),
            (400, "invalid_request", Fatal),
            (401, "", Fatal),
            (400, "", Retry),
            (400, "temporarily_unavailable", Retry),
            (429, "rate_limit", Retry),
            (503, "server_error", Retry),
        ];
        for (status, error, decision) in table {
            let failure = Failure::OAuth {
                status,
                error: error.to_owned(),
                description: None,
                retry_after_ms: None,
                correlation_id: None,
            };
            assert_eq!(judge(Step::Token, &failure).decision, decision, "{status} {error}");
        }
    }

    #[test]
    fn whatever_is_not_an_answer_is_retried_except_a_uri_that_cannot_be_trusted() {
        for step in [Step::Token, Step::Create, Step::Subscribe, Step::Open] {
            for kind in [
                NetworkKind::Dns,
                NetworkKind::Refused,
                NetworkKind::Reset,
                NetworkKind::Tls,
                NetworkKind::TimedOut,
                NetworkKind::Other,
            ] {
                let failure = Failure::Network { kind, detail: String::new() };
                assert_eq!(judge(step, &failure).decision, Retry);
            }
            assert_eq!(judge(step, &Failure::Protocol(String::new())).decision, Retry);
            assert_eq!(judge(step, &Failure::Provider(String::new())).decision, Retry);
            assert_eq!(judge(step, &Failure::UntrustedUri(String::new())).decision, Recreate);
        }
    }

    #[test]
    fn no_close_code_is_final() {
        for code in 0..=u16::MAX {
            assert!(matches!(judge_close(code), Retry | Recreate), "{code}");
        }
        for code in [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4000] {
            assert_eq!(judge_close(code), Retry, "{code}");
        }
    }

    #[test]
    fn a_refused_client_is_told_that_a_wrong_region_looks_the_same() {
        let failure = Failure::OAuth {
            status: 400,
            error: "invalid_client".into(),
            description: Some("authentication failed".into()),
            retry_after_ms: None,
            correlation_id: None,
        };
        let report = ErrorReport::of(Step::Token, &failure, &judge(Step::Token, &failure));
        assert_eq!(report.code, ErrorCode::InvalidCredentials);
        assert!(
            !report.retryable
                && report.hint.unwrap().contains("wrong region looks exactly like a wrong secret")
        );
        assert!(report.message.contains("authentication failed"));
    }

    #[test]
    fn hints_about_permissions_are_for_genesys_cloud_only() {
        let failure = http(403, "");
        let hint = |step| ErrorReport::of(step, &failure, &judge(step, &failure)).hint;
        assert!(hint(Step::Create).unwrap().contains("scope"));
        assert_eq!(hint(Step::Connect), None);
        let corrupt = Failure::CorruptCursor(String::new());
        let report = ErrorReport::of(Step::Cursor, &corrupt, &judge(Step::Cursor, &corrupt));
        assert!(!report.retryable && report.hint.unwrap().contains("left as it is"));
    }
}

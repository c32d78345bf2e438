//! How an effect can fail, as the driver reports it.

use thiserror::Error;

/// Why an effect did not succeed. Texts are already scrubbed of secrets and short.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// An HTTP answer other than success, from REST or from the WebSocket upgrade.
    #[error("HTTP {}{}", .0.status, .0.code.as_deref().map(|c| format!(" ({c})")).unwrap_or_default())]
    Http(HttpFailure),
    /// The token endpoint refused.
    #[error("OAuth {error} (HTTP {status})")]
    OAuth {
        /// HTTP status.
        status: u16,
        /// The `error` member, e.g. `invalid_client`; empty if the body had none.
        error: String,
        /// The description, if any.
        description: Option<String>,
        /// `Retry-After` in milliseconds, if one was sent.
        retry_after_ms: Option<u64>,
        /// The service's correlation id.
        correlation_id: Option<String>,
    },
    /// The network, the name service or TLS.
    #[error("{kind}: {detail}")]
    Network {
        /// What broke.
        kind: NetworkKind,
        /// The system's words.
        detail: String,
    },
    /// The answer was not what the protocol says.
    #[error("{0}")]
    Protocol(String),
    /// `connectUri` points somewhere it must not (P8).
    #[error("{0}")]
    UntrustedUri(String),
    /// The caller's own token provider failed.
    #[error("the accessToken function failed: {0}")]
    Provider(String),
    /// The store of the cursor failed.
    #[error("{0}")]
    Store(String),
    /// What the store gave is no cursor.
    #[error("{0}")]
    CorruptCursor(String),
}

/// An HTTP answer other than success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpFailure {
    /// HTTP status.
    pub status: u16,
    /// The service's error code, e.g. `bad.credentials`.
    pub code: Option<String>,
    /// The service's message.
    pub message: Option<String>,
    /// `Retry-After` in milliseconds, if one was sent.
    pub retry_after_ms: Option<u64>,
    /// `ININ-Correlation-Id`.
    pub correlation_id: Option<String>,
}

/// What broke on the way.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NetworkKind {
    /// The host name could not be resolved.
    #[error("name not resolved")]
    Dns,
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The peer reset the connection.
    #[error("connection reset")]
    Reset,
    /// TLS failed: certificate, host name or version.
    #[error("TLS failed")]
    Tls,
    /// The deadline passed.
    #[error("timed out")]
    TimedOut,
    /// Anything else.
    #[error("network error")]
    Other,
}

impl Failure {
    /// The wait the service asked for, in milliseconds.
    pub fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::Http(http) => http.retry_after_ms,
            Self::OAuth { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        }
    }

    /// HTTP status, where there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Http(http) => Some(http.status),
            Self::OAuth { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The service's correlation id, where it gave one.
    pub fn correlation_id(&self) -> Option<&str> {
        match self {
            Self::Http(http) => http.correlation_id.as_deref(),
            Self::OAuth { correlation_id, .. } => correlation_id.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn timed_out(what: &str) -> Self {
        Self::Network { kind: NetworkKind::TimedOut, detail: format!("{what} gave no result in time") }
    }
}

use crate::{
    error::SimError,
    fault::{Action, Operation, Phase, RetryAfter},
    options::close_code,
};

const MAX_BYTES: usize = 256 << 20;

impl Operation {
    pub(crate) fn is_request(self) -> bool {
        !matches!(self, Self::Socket | Self::Channel | Self::Event | Self::Heartbeat | Self::Pong)
    }

    pub(crate) fn has_channel(self) -> bool {
        use Operation::*;
        !matches!(self, Token | AvailableTopics | CreateChannel | ListChannels) && !self.is_resource()
    }

    /// Beside notifications: what the API tells about users, queues, conversations.
    pub(crate) fn is_resource(self) -> bool {
        use Operation::*;
        matches!(
            self,
            ConversationDetails
                | UserPresences
                | UserPresence
                | UserRoutingStatus
                | Users
                | QueueObservations
                | UsageEvents
        )
    }

    /// Whether a rule for `self` covers an occurrence of `other`.
    pub(crate) fn covers(self, other: Self) -> bool {
        match self {
            Self::Any => other.is_request(),
            Self::Rest => other.is_request() && !matches!(other, Self::Token | Self::Upgrade),
            exact => exact == other,
        }
    }
}

impl Action {
    /// Whether it can be done to `operation`; `any` and `rest` allow what some of their requests allow.
    pub(crate) fn fits(&self, operation: Operation) -> bool {
        use Operation as On;
        let frame = matches!(operation, On::Event | On::Heartbeat | On::Pong);
        let socket = operation == On::Socket;
        let request = operation.is_request();
        match self {
            Self::Reset { .. } | Self::Stall { .. } | Self::HalfOpen { .. } | Self::Close { .. } => {
                operation != On::Channel
            }
            Self::Refuse {} => matches!(operation, On::Any | On::Rest | On::Token | On::Upgrade),
            Self::Delay { .. } => request || frame,
            Self::Status { .. } | Self::Redirect { .. } => request,
            Self::Truncate { .. } => request && operation != On::Upgrade,
            Self::Garbage {} => operation != On::Channel,
            Self::InvalidUtf8 {} | Self::Deep { .. } | Self::Oversize { .. } => {
                !matches!(operation, On::Channel | On::Upgrade)
            }
            Self::Binary {} => socket || frame,
            Self::ConnectUri { .. } => operation == On::CreateChannel,
            Self::Evict {} | Self::Expire {} => {
                (socket || operation == On::Channel || request) && operation.has_channel()
            }
            Self::Revoke {} => {
                socket || operation == On::Channel || (On::Rest.covers(operation) || operation == On::Any)
            }
            Self::LoseTopic { .. } => socket || operation == On::Channel,
            Self::SocketClosing { .. } => socket,
            Self::Drop {} | Self::Duplicate { .. } => frame,
            Self::Reorder { .. }
            | Self::NullBody {}
            | Self::UnknownFields {}
            | Self::MissingVersion {}
            | Self::MissingMetadata {}
            | Self::BigBody { .. }
            | Self::Fragment { .. } => operation == On::Event,
        }
    }

    /// Whether nothing is left for later rules.
    pub(crate) fn settles(&self, operation: Operation) -> bool {
        match self {
            Self::Delay { .. } | Self::Stall { .. } if operation.is_request() => false,
            Self::Delay { .. }
            | Self::Duplicate { .. }
            | Self::Reorder { .. }
            | Self::NullBody {}
            | Self::UnknownFields {}
            | Self::MissingVersion {}
            | Self::MissingMetadata {}
            | Self::BigBody { .. }
            | Self::Fragment { .. }
            | Self::SocketClosing { .. } => false,
            // A rule for each of several topics may hit the same channel.
            Self::LoseTopic { .. } => false,
            Self::Evict {} | Self::Expire {} | Self::Revoke {} => !operation.is_request(),
            Self::Truncate { .. }
            | Self::ConnectUri { .. }
            | Self::Garbage {}
            | Self::Binary {}
            | Self::InvalidUtf8 {}
            | Self::Deep { .. }
            | Self::Oversize { .. } => {
                matches!(operation, Operation::Event | Operation::Heartbeat | Operation::Pong)
            }
            Self::Reset { .. }
            | Self::Stall { .. }
            | Self::HalfOpen { .. }
            | Self::Close { .. }
            | Self::Refuse {}
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::Drop {} => true,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Reset { phase }
            | Self::Stall { phase, .. }
            | Self::HalfOpen { phase }
            | Self::Close { phase, .. }
            | Self::Delay { phase, .. } => *phase,
            _ => Phase::Request,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SimError> {
        let invalid =
            |field: &str, message: &str| Err(SimError::invalid(format!("fault.action.{field}"), message));
        match self {
            Self::Close { code: Some(code), .. } if close_code("", *code).is_err() => {
                close_code("fault.action.code", *code)
            }
            Self::Close { reason, .. } if reason.len() > 123 => {
                invalid("reason", "must be at most 123 bytes")
            }
            Self::Close { code: None, reason, .. } if !reason.is_empty() => invalid("reason", "needs a code"),
            Self::Status { status, .. } if !(400..=599).contains(status) => {
                invalid("status", "must be between 400 and 599")
            }
            Self::Status { retry_after: Some(RetryAfter::Text(text)), .. } if text.contains(['\r', '\n']) => {
                invalid("retryAfter", "must be one line")
            }
            Self::Redirect { status, .. } if !matches!(status, 301 | 302 | 303 | 307 | 308) => {
                invalid("status", "must be 301, 302, 303, 307 or 308")
            }
            Self::Redirect { to, .. } if to.contains(['\r', '\n']) => invalid("to", "must be one line"),
            Self::Duplicate { count: 0, .. } => invalid("count", "must be at least 1"),
            Self::Fragment { bytes: 0 } => invalid("bytes", "must be at least 1"),
            Self::Oversize { bytes } | Self::BigBody { bytes } if *bytes > MAX_BYTES => {
                invalid("bytes", "must be at most 268435456")
            }
            Self::Deep { levels } if *levels > MAX_BYTES => invalid("levels", "must be at most 268435456"),
            _ => Ok(()),
        }
    }
}

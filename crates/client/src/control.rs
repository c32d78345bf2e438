//! What the caller is told beside events.

use std::fmt;

use genesys_notifications_proto::{ErrorReport, Gap, Notice, TokenReason};
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// One thing the caller is told or asked. Serialised as `{"type":…,"value":…}`, a notice under its own type.
#[derive(Clone)]
pub enum Control {
    /// Something the user should know.
    Notice(Notice),
    /// The `accessToken` function is to be called; answer with [`Client::provide_token`](crate::Client::provide_token).
    TokenRequest {
        /// Goes into the answer.
        ticket: u64,
        /// Why.
        reason: TokenReason,
    },
    /// The `load` function of the cursor is to be called; answer with
    /// [`Client::provide_cursor`](crate::Client::provide_cursor).
    LoadCursor {
        /// Goes into the answer.
        ticket: u64,
    },
    /// The `save` function of the cursor is to be called; answer with [`Client::cursor_saved`](crate::Client::cursor_saved).
    SaveCursor {
        /// Goes into the answer.
        ticket: u64,
        /// What is to be saved.
        cursor: String,
    },
    /// The token endpoint replaced the refresh token; the old one is spent. A secret: `Debug` does not show it.
    RefreshToken(String),
    /// The caller's backfill function is to fill this closed gap: [`Client::backfill_item`](crate::Client::backfill_item), then
    /// [`Client::backfill_done`](crate::Client::backfill_done).
    BackfillRequest(Gap),
    /// What came of a call for the caller's backfill function.
    ApiAnswer {
        /// The call's number.
        call: u64,
        /// HTTP status and body, or what went wrong.
        answer: Result<(u16, String), ErrorReport>,
    },
    /// Everything has ended; nothing follows.
    Closed,
}

impl Serialize for Control {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Request {
            ticket: u64,
            reason: TokenReason,
        }
        #[derive(serde::Serialize)]
        struct CursorRequest<'a> {
            ticket: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
        }
        #[derive(serde::Serialize)]
        struct Answer<'a> {
            call: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            body: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a ErrorReport>,
        }
        let fields = if matches!(self, Self::Closed) { 1 } else { 2 };
        let start = |serializer: S, kind: &'static str| {
            let mut object = serializer.serialize_struct("Control", fields)?;
            object.serialize_field("type", kind)?;
            Ok(object)
        };
        match self {
            Self::Notice(notice) => notice.serialize(serializer),
            Self::TokenRequest { ticket, reason } => {
                let mut object = start(serializer, "tokenRequest")?;
                object.serialize_field("value", &Request { ticket: *ticket, reason: *reason })?;
                object.end()
            }
            Self::LoadCursor { ticket } => {
                let mut object = start(serializer, "loadCursor")?;
                object.serialize_field("value", &CursorRequest { ticket: *ticket, cursor: None })?;
                object.end()
            }
            Self::SaveCursor { ticket, cursor } => {
                let mut object = start(serializer, "saveCursor")?;
                object.serialize_field("value", &CursorRequest { ticket: *ticket, cursor: Some(cursor) })?;
                object.end()
            }
            Self::RefreshToken(token) => {
                let mut object = start(serializer, "refreshToken")?;
                object.serialize_field("value", token)?;
                object.end()
            }
            Self::BackfillRequest(gap) => {
                let mut object = start(serializer, "backfillRequest")?;
                object.serialize_field("value", gap)?;
                object.end()
            }
            Self::ApiAnswer { call, answer } => {
                let good = answer.as_ref().ok();
                let value = Answer {
                    call: *call,
                    status: good.map(|(status, _)| *status),
                    body: good.map(|(_, body)| body.as_str()),
                    error: answer.as_ref().err(),
                };
                let mut object = start(serializer, "apiAnswer")?;
                object.serialize_field("value", &value)?;
                object.end()
            }
            Self::Closed => start(serializer, "closed")?.end(),
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notice(notice) => f.debug_tuple("Notice").field(notice).finish(),
            Self::TokenRequest { ticket, reason } => {
                f.debug_struct("TokenRequest").field("ticket", ticket).field("reason", reason).finish()
            }
            Self::LoadCursor { ticket } => f.debug_struct("LoadCursor").field("ticket", ticket).finish(),
            Self::SaveCursor { ticket, .. } => {
                f.debug_struct("SaveCursor").field("ticket", ticket).finish_non_exhaustive()
            }
            Self::RefreshToken(_) => f.write_str("RefreshToken([redacted])"),
            Self::BackfillRequest(gap) => f.debug_tuple("BackfillRequest").field(gap).finish(),
            Self::ApiAnswer { call, .. } => {
                f.debug_struct("ApiAnswer").field("call", call).finish_non_exhaustive()
            }
            Self::Closed => f.write_str("Closed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use genesys_notifications_proto::{LogLine, RequestId};

    use super::*;

    #[test]
    fn controls_have_the_shape_of_notices() {
        let table = [
            (Control::Closed, r#"{"type":"closed"}"#),
            (Control::RefreshToken("r".into()), r#"{"type":"refreshToken","value":"r"}"#),
            (
                Control::TokenRequest { ticket: 7, reason: TokenReason::Renewal },
                r#"{"type":"tokenRequest","value":{"ticket":7,"reason":"renewal"}}"#,
            ),
            (Control::LoadCursor { ticket: 8 }, r#"{"type":"loadCursor","value":{"ticket":8}}"#),
            (
                Control::SaveCursor { ticket: 9, cursor: "{}".into() },
                r#"{"type":"saveCursor","value":{"ticket":9,"cursor":"{}"}}"#,
            ),
            (
                Control::ApiAnswer { call: 3, answer: Ok((200, "{}".into())) },
                r#"{"type":"apiAnswer","value":{"call":3,"status":200,"body":"{}"}}"#,
            ),
            (Control::Notice(Notice::Settled(RequestId(3))), r#"{"type":"settled","value":3}"#),
            (
                Control::Notice(Notice::Log(LogLine { level: "info", message: "m".into() })),
                r#"{"type":"log","value":{"level":"info","message":"m"}}"#,
            ),
        ];
        for (control, json) in table {
            assert_eq!(serde_json::to_string(&control).unwrap(), json);
        }
        assert!(!format!("{:?}", Control::RefreshToken("canary".into())).contains("canary"));
    }
}

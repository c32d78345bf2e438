use bytes::Bytes;
use serde_json::Value;

use crate::{
    book::Hit,
    fault::Action,
    frame::{self, Opcode},
};

/// What the matching faults make of one frame.
#[derive(Default)]
pub(crate) struct Plan {
    /// The frame itself is not sent; the kind of the fault that saw to it, and what is sent instead.
    pub(crate) lost: Option<(&'static str, Option<Bytes>)>,
    pub(crate) altered: Vec<&'static str>,
    pub(crate) copies: usize,
    pub(crate) own_correlation: bool,
    pub(crate) delay_ms: u64,
    pub(crate) reorder_ms: Option<u64>,
    pub(crate) fragment: Option<usize>,
    pub(crate) null_body: bool,
    pub(crate) unknown_fields: bool,
    pub(crate) no_version: bool,
    pub(crate) no_metadata: bool,
    pub(crate) body_bytes: usize,
}

impl Plan {
    /// Adds what one fault does; true when nothing can come after it.
    pub(crate) fn add(&mut self, hit: &Hit, topic: &str) -> bool {
        let kind = hit.action.kind();
        match &hit.action {
            Action::Delay { ms, .. } => self.delay_ms += ms,
            Action::Duplicate { count, new_correlation_id } => {
                self.copies += count;
                self.own_correlation |= new_correlation_id;
            }
            Action::Reorder { ms } => self.reorder_ms = Some(*ms),
            Action::NullBody {} => self.null_body = true,
            Action::UnknownFields {} => self.unknown_fields = true,
            Action::MissingVersion {} => self.no_version = true,
            Action::MissingMetadata {} => self.no_metadata = true,
            Action::BigBody { bytes } => self.body_bytes = *bytes,
            Action::Fragment { bytes } => self.fragment = Some(*bytes),
            replacing => {
                self.lost = Some((kind, foreign_frame(replacing, topic)));
                return true;
            }
        }
        self.altered.push(kind);
        false
    }

    pub(crate) fn is_plain(&self) -> bool {
        !(self.null_body || self.unknown_fields || self.no_version || self.no_metadata)
            && self.body_bytes == 0
            && self.fragment.is_none()
    }

    pub(crate) fn encode(&self, text: &str) -> Bytes {
        match self.fragment {
            Some(size) => frame::fragments(text, size),
            None => frame::text(text),
        }
    }
}

/// A frame that stands for a fault, of the kinds that carry no event.
pub(crate) fn foreign_frame(action: &Action, topic: &str) -> Option<Bytes> {
    Some(match action {
        Action::Garbage {} => frame::text("<html>this is not JSON\u{1f50c}"),
        Action::Binary {} => frame::frame(Opcode::Binary, true, &[0x00, 0xff, 0x7b, 0x7d, 0x80]),
        Action::InvalidUtf8 {} => frame::frame(Opcode::Text, true, b"{\"topicName\":\"\xff\xfe\xc3\x28\"}"),
        Action::Deep { levels } => frame::text(&deep(topic, *levels)),
        Action::Oversize { bytes } => frame::text(&oversize(topic, *bytes)),
        _ => return None,
    })
}

/// The frame of an event; `body` is JSON text and goes in as it is.
pub(crate) fn envelope(topic: &str, body: &str, correlation_id: &str, plan: &Plan) -> String {
    let mut text = String::with_capacity(body.len() + topic.len() + 128);
    text.push_str("{\"topicName\":");
    text.push_str(&Value::from(topic).to_string());
    if !plan.no_version {
        text.push_str(",\"version\":\"2\"");
    }
    if plan.unknown_fields {
        text.push_str(",\"futureField\":{\"anything\":[1,null,\"x\"]}");
    }
    text.push_str(",\"eventBody\":");
    match plan.null_body {
        true => text.push_str("null"),
        false => push_body(&mut text, body.trim(), plan),
    }
    if !plan.no_metadata {
        text.push_str(",\"metadata\":{\"CorrelationId\":\"");
        text.push_str(correlation_id);
        text.push('"');
        if plan.unknown_fields {
            text.push_str(",\"futureKey\":true");
        }
        text.push('}');
    }
    text.push('}');
    text
}

pub(crate) fn push_body(text: &mut String, body: &str, plan: &Plan) {
    let begin = text.len();
    let Some(fields) = body.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        // Not an object: there is nowhere to put a field.
        return text.push_str(body);
    };
    let mut comma = if fields.trim().is_empty() { "" } else { "," };
    text.push('{');
    text.push_str(fields);
    if plan.unknown_fields {
        text.push_str(comma);
        text.push_str("\"futureBodyField\":42");
        comma = ",";
    }
    let lacking = plan.body_bytes.saturating_sub(text.len() - begin + 1);
    if lacking > 0 {
        text.push_str(comma);
        text.push_str("\"padding\":\"");
        text.extend(std::iter::repeat_n('x', lacking.saturating_sub(12 + comma.len()).max(1)));
        text.push('"');
    }
    text.push('}');
}

fn deep(topic: &str, levels: usize) -> String {
    let mut text = format!("{{\"topicName\":{},\"version\":\"2\",\"eventBody\":", Value::from(topic));
    text.extend(std::iter::repeat_n('[', levels));
    text.extend(std::iter::repeat_n(']', levels));
    text.push('}');
    text
}

fn oversize(topic: &str, bytes: usize) -> String {
    let (head, tail) = (
        format!("{{\"topicName\":{},\"version\":\"2\",\"eventBody\":{{\"padding\":\"", Value::from(topic)),
        "\"}}",
    );
    let padding = bytes.saturating_sub(head.len() + tail.len());
    let mut text = String::with_capacity(bytes);
    text.push_str(&head);
    text.extend(std::iter::repeat_n('x', padding));
    text.push_str(tail);
    text
}

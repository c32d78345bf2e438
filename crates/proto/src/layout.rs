//! How the frames of a direct endpoint are read: what in them is an event, its parts, and what else they say.

mod ready;
mod refusal;

use std::borrow::Cow;

use serde_json::Value;
use thiserror::Error;

use crate::envelope::fields::scalar_text;
use crate::envelope::scan::scalar;
use crate::envelope::{DEPTHS, Envelope, Frame, Unreadable};
use crate::pointer::{Finder, Pointer, PointerError};
use ready::Ready;
use refusal::Refusals;

const TOPIC: usize = 0;
const BODY: usize = 1;
const ID: usize = 2;
const POSITION: usize = 3;
const VERSION: usize = 4;
const METADATA: usize = 5;
const READY: usize = 6;
const BATCH: usize = 7;
const SLOTS: usize = 8;

type Found<'a> = [Option<&'a str>; SLOTS];

/// What an event's topic is called where no pointer says and the frame does not either.
const ANY_TOPIC: &str = "*";

/// What the caller says of the frames, each a JSON Pointer into a frame or, with `batch`, into an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayoutParts {
    /// To the topic, a text. Default `/topicName`.
    pub topic: Option<String>,
    /// To the body. Default `/eventBody`.
    pub body: Option<String>,
    /// To what names the event and no other.
    pub id: Option<String>,
    /// To the array of events; the empty pointer: the frame itself may be one.
    pub batch: Option<String>,
    /// To what makes a frame say that the connection is ready, and what stands there then.
    pub ready: Option<(String, Value)>,
    /// To the position from where the stream can be resumed, a text or a number.
    pub position: Option<String>,
}

/// Why frames cannot be read as the caller says.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{part} {reason}")]
pub struct LayoutError {
    /// Which option: `event.topic`, `event.body`, `event.id`, `event.batch`, `ready.pointer` or `resume.pointer`.
    pub part: &'static str,
    /// What is wrong.
    pub reason: PointerError,
}

/// How frames are read.
///
/// A frame, or with `batch` an item, is an event if its pointers find something: a `topic` that was given must find a text, a
/// `body` that was given anything; where neither was, `/topicName` must find a text, and the body is what stands at `/eventBody`,
/// or null. Where only `body` was given, the topic is `/topicName` or else `*`. What matches `ready`, and whatever has the topic
/// `channel.metadata`, is none.
///
/// A body that is the whole frame is there always. So a frame in which nothing else was found is refused where it reads as a
/// refusal, and is no event if the array that `batch` names is missing from it.
#[derive(Clone, Debug)]
pub struct Layout {
    whole: Finder,
    item: Finder,
    ready: Option<Ready>,
    refusals: Refusals,
    needs_topic: bool,
    needs_body: bool,
    /// The body is the whole frame, or item.
    is_body_whole: bool,
    has_batch: bool,
    /// A frame may be an event by itself, whatever else it holds.
    may_be_whole: bool,
}

impl Layout {
    /// # Errors
    /// If a pointer is none.
    pub fn new(parts: &LayoutParts) -> Result<Self, LayoutError> {
        let topic = pointer("event.topic", parts.topic.as_deref())?;
        let body = pointer("event.body", parts.body.as_deref())?;
        let id = pointer("event.id", parts.id.as_deref())?;
        let batch = pointer("event.batch", parts.batch.as_deref())?;
        let ready = pointer("ready.pointer", parts.ready.as_ref().map(|(text, _)| &**text))?;
        let position = pointer("resume.pointer", parts.position.as_deref())?;

        let (needs_topic, needs_body) = (topic.is_some() || body.is_none(), body.is_some());
        let topic = topic.unwrap_or_else(|| member("topicName"));
        let body = body.unwrap_or_else(|| member("eventBody"));
        let is_genesys = topic == member("topicName") && body == member("eventBody");
        let extra = is_genesys.then(|| (member("version"), member("metadata")));

        let mut pointers = vec![(TOPIC, &topic), (BODY, &body)];
        pointers.extend(id.iter().map(|id| (ID, id)));
        pointers.extend(position.iter().map(|position| (POSITION, position)));
        pointers
            .extend(extra.iter().flat_map(|(version, metadata)| [(VERSION, version), (METADATA, metadata)]));
        pointers.extend(ready.iter().map(|ready| (READY, ready)));
        let item = Finder::new(pointers.iter().copied());
        pointers.extend(batch.iter().map(|batch| (BATCH, batch)));
        Ok(Self {
            whole: Finder::new(pointers.iter().copied()),
            item,
            ready: parts.ready.as_ref().map(|(_, value)| Ready::new(value.clone())),
            refusals: Refusals::new(),
            needs_topic,
            needs_body,
            is_body_whole: needs_body && body.is_whole(),
            has_batch: batch.is_some(),
            may_be_whole: batch.is_none_or(|batch| batch.is_whole()),
        })
    }

    /// Sorts a text frame, nested no deeper than `max_depth` (one of `DEPTHS`, or as the next of them), and hands on what it is,
    /// each time with the text that says so: the frame's own, or an item's.
    ///
    /// Once for most frames. With `batch`, once for each item in their order, behind what the frame around them says of the
    /// connection; an empty array is `Frame::Other`.
    pub fn read<'a>(&self, text: &'a str, max_depth: usize, mut each: impl FnMut(&Frame<'a>, &'a str)) {
        let max_depth = max_depth.clamp(*DEPTHS.start(), *DEPTHS.end());
        let mut found: Found<'a> = [None; SLOTS];
        if let Err(why) = self.whole.find(text, max_depth, &mut found) {
            return each(&Frame::Unreadable(why), text);
        }
        let Some(array) = found[BATCH].filter(|value| self.has_batch && value.starts_with('[')) else {
            return each(&self.sort(text, &found, self.may_be_whole), text);
        };
        let is_ready = self.is_ready(&found);
        if is_ready {
            each(&Frame::Ready, text);
        }
        let mut is_empty = !is_ready;
        self.item.each_item::<SLOTS>(array, max_depth, |item, found| {
            is_empty = false;
            each(&self.sort(item, found, true), item);
        });
        if is_empty {
            each(&Frame::Other, text);
        }
    }

    fn sort<'a>(&self, text: &'a str, found: &Found<'a>, may_be_whole: bool) -> Frame<'a> {
        if self.is_ready(found) {
            return Frame::Ready;
        }
        let topic = match found[TOPIC].filter(|topic| topic.starts_with('"')) {
            // A text of unpaired surrogates is a topic that cannot be told.
            Some(written) => match scalar(written) {
                Some(topic) => Some(topic),
                None => return Frame::Unreadable(Unreadable::NotJson),
            },
            None => None,
        };
        if topic.as_deref().is_some_and(|topic| topic.eq_ignore_ascii_case("channel.metadata")) {
            return Frame::Heartbeat;
        }
        let is_event = (topic.is_some() || !self.needs_topic) && (found[BODY].is_some() || !self.needs_body);
        let id = found[ID].filter(|id| !matches!(*id, "null" | r#""""#));
        let position = found[POSITION].and_then(scalar).filter(|position| !position.is_empty());
        let is_named = topic.is_some() || id.is_some() || position.is_some();
        let is_certain = is_event && (is_named || !self.is_body_whole);
        if !is_certain && let Some(failure) = self.refusals.read(text) {
            return Frame::Refused(failure);
        }
        if !is_event || !is_certain && !may_be_whole {
            return Frame::Other;
        }
        Frame::Event(Envelope {
            topic: topic.unwrap_or(Cow::Borrowed(ANY_TOPIC)),
            body: found[BODY].unwrap_or("null"),
            version: found[VERSION].and_then(scalar_text),
            metadata: found[METADATA],
            id,
            position,
        })
    }

    fn is_ready(&self, found: &Found<'_>) -> bool {
        match (&self.ready, found[READY]) {
            (Some(ready), Some(text)) => ready.is(text),
            _ => false,
        }
    }
}

fn pointer(part: &'static str, text: Option<&str>) -> Result<Option<Pointer>, LayoutError> {
    text.map(Pointer::parse).transpose().map_err(|reason| LayoutError { part, reason })
}

fn member(name: &str) -> Pointer {
    Pointer::members(&[name])
}

#[cfg(test)]
mod tests;

//! How the frames of a client's sockets are read, and read again where they were kept as text.

use std::borrow::Cow;
use std::sync::Arc;

use genesys_notifications_proto::{DEPTHS, Envelope, Frame, Layout};

/// Reads the service's own protocol, or the layout of a direct endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    layout: Option<Arc<Layout>>,
    /// Whether a cursor follows the events.
    marks: bool,
}

/// What is handed over of an event beside its text: slices of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    /// Absent if the event could not be read again.
    pub(crate) topic: Option<Cow<'a, str>>,
    pub(crate) version: Option<Cow<'a, str>>,
    pub(crate) body: &'a str,
    pub(crate) metadata: Option<&'a str>,
    pub(crate) mark: Option<Mark<'a>>,
}

/// What tells an event from others, and where the stream stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    pub(crate) position: Option<Cow<'a, str>>,
    pub(crate) identity: u64,
}

impl Reader {
    pub(crate) fn new(layout: Option<Arc<Layout>>, marks: bool) -> Self {
        Self { layout, marks }
    }

    /// The same, for whoever wants to know where the stream stood.
    pub(crate) fn marking(&self) -> Self {
        Self { layout: self.layout.clone(), marks: self.layout.is_some() }
    }

    /// Hands on a text frame, or one after the other the events it holds, each with its own text.
    pub(crate) fn read<'a>(
        &self,
        text: &'a str,
        max_depth: usize,
        mut each: impl FnMut(&Frame<'a>, &'a str),
    ) {
        match &self.layout {
            None => each(&Frame::read_within(text, max_depth), text),
            Some(layout) => layout.read(text, max_depth, each),
        }
    }

    /// The parts of an event that was just read.
    pub(crate) fn of<'a>(&self, envelope: &Envelope<'a>) -> Parts<'a> {
        Parts {
            topic: Some(envelope.topic.clone()),
            version: envelope.version.clone(),
            body: envelope.body,
            metadata: envelope.metadata,
            mark: self
                .marks
                .then(|| Mark { position: envelope.position.clone(), identity: envelope.identity() }),
        }
    }

    /// The parts of an event that was read before, perhaps by another process with other options, whatever its depth. If it is
    /// none to this reader, all of it is the body.
    pub(crate) fn again<'a>(&self, text: &'a str) -> Parts<'a> {
        let mut found = None;
        self.read(text, *DEPTHS.end(), |frame, part| {
            if let Frame::Event(envelope) = frame
                && part.len() == text.len()
            {
                found = Some(self.of(envelope));
            }
        });
        found.unwrap_or(Parts { topic: None, version: None, body: text, metadata: None, mark: None })
    }
}

#[cfg(test)]
mod tests {
    use genesys_notifications_proto::LayoutParts;

    use super::*;

    #[test]
    fn an_item_of_a_batch_is_read_again_from_its_own_text() {
        let text = |text: &str| Some(text.to_owned());
        for batch in ["", "/events"] {
            let parts = LayoutParts {
                topic: text("/t"),
                body: text("/b"),
                batch: text(batch),
                position: text("/p"),
                ..LayoutParts::default()
            };
            let reader = Reader::new(Some(Arc::new(Layout::new(&parts).unwrap())), true);
            let items = r#"[{"t":"a","b":[1],"p":7},{"t":"b","b":2,"p":"é"}]"#;
            let frame = if batch.is_empty() { items.to_owned() } else { format!(r#"{{"events":{items}}}"#) };
            let mut read = Vec::new();
            reader.read(&frame, 64, |event, part| {
                let Frame::Event(envelope) = event else { panic!("{event:?}") };
                assert_eq!(reader.again(part), reader.of(envelope));
                let mark = reader.of(envelope).mark.unwrap();
                read.push((envelope.topic.to_string(), envelope.body, mark.position.unwrap().into_owned()));
            });
            assert_eq!(read, [("a".into(), "[1]", "7".into()), ("b".into(), "2", "é".into())]);
        }
    }

    #[test]
    fn without_the_options_of_its_endpoint_an_event_is_all_body() {
        let reader = Reader::default();
        let parts = reader.again(r#"{"t":"a"}"#);
        assert_eq!((parts.topic, parts.body, parts.mark), (None, r#"{"t":"a"}"#, None));
        let known = r#"{"topicName":"v2.a.b","eventBody":7}"#;
        assert_eq!(reader.again(known).body, "7");
    }
}

//! What crosses into JavaScript: one text, one row of numbers per event, and the names the rows refer to.

/// Numbers in a row of [`Batch::rows`].
///
/// In this order: topic, channel, version, start, length, bodyStart, bodyLength, metadataStart, metadataLength, sequence,
/// receivedAt, flags.
pub const ROW_WIDTH: usize = 12;

/// Events handed over by one [`Client::drain`](crate::Client::drain). Meant to be used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The frames back to back, one byte (Latin-1) per character. All positions are characters of this text.
    pub text: Vec<u8>,
    /// [`ROW_WIDTH`] numbers per event; -1 where something is absent.
    ///
    /// topic, channel and version are indices into all names announced so far. A body that is absent is `null`.
    /// receivedAt is in milliseconds since the epoch. flags: bits 0 and 1 are the origin (0 live, 1 backfill, 2 replay), bit 2
    /// says that the event is delivered again after a restart.
    pub rows: Vec<f64>,
    /// Names that the rows of this batch, or later ones, refer to; they follow on those announced before.
    pub names: Vec<String>,
}

impl Batch {
    /// Events in it.
    pub fn len(&self) -> usize {
        self.rows.len() / ROW_WIDTH
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Forgets its content, not its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
        self.names.clear();
    }
}

/// One event's row before it is widened to JavaScript numbers; positions count from the start of its chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) topic: u32,
    pub(crate) channel: u32,
    pub(crate) version: Option<u32>,
    pub(crate) text: Span,
    pub(crate) body: Option<Span>,
    pub(crate) metadata: Option<Span>,
    pub(crate) sequence: u64,
    pub(crate) received_at: u64,
    pub(crate) flags: Flags,
}

/// Where an event comes from, and whether it was delivered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const LIVE: Self = Self(0);
    pub(crate) const BACKFILL: Self = Self(1);
    pub(crate) const REPLAY: Self = Self(2);

    #[must_use]
    pub(crate) fn redelivered(self) -> Self {
        Self(self.0 | 4)
    }
}

/// Start and length in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

impl Row {
    /// Appends the row, its positions moved from `from` in the chunk to `to` in the batch.
    pub(crate) fn write(&self, rows: &mut Vec<f64>, from: u32, to: usize) {
        let span = |span: Option<Span>| match span {
            Some(span) => [f64::from(span.start - from) + to as f64, f64::from(span.length)],
            None => [-1.0, -1.0],
        };
        let [start, length] = span(Some(self.text));
        let [body_start, body_length] = span(self.body);
        let [metadata_start, metadata_length] = span(self.metadata);
        rows.extend_from_slice(&[
            f64::from(self.topic),
            f64::from(self.channel),
            self.version.map_or(-1.0, f64::from),
            start,
            length,
            body_start,
            body_length,
            metadata_start,
            metadata_length,
            self.sequence as f64,
            self.received_at as f64,
            f64::from(self.flags.0),
        ]);
    }
}

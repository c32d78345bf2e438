//! What crosses into JavaScript: one text, one row of numbers per event, and the names the rows refer to.

use std::ops::Range;

use genesys_notifications_proto::Shape;

/// Numbers in a row of [`Batch::rows`]: one line of a processor's cache.
///
/// In this order: topic, channel, version, flags, start, length, bodyStart, bodyLength, metadataStart, metadataLength,
/// sequence (upper 32 bits, lower 32 bits), receivedAt (likewise), valuesStart, valuesLength. -1 where something is absent.
pub const ROW_WIDTH: usize = 16;

/// Events handed over by one [`Client::drain`](crate::Client::drain). Meant to be used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The frames, one byte (Latin-1) per character, each followed by a line feed and without any within. All positions are
    /// characters of this text.
    pub text: Vec<u8>,
    /// Whether `text` is ASCII.
    pub is_ascii: bool,
    /// Empty, or a JSON array with an item for each event: the values of its body as [`Shapes`] encode them, or null where the
    /// body is to be had from `text` only.
    ///
    /// [`Shapes`]: genesys_notifications_proto::Shapes
    pub values: Vec<u8>,
    /// [`ROW_WIDTH`] numbers per event; see [`Batch::events`].
    pub rows: Vec<i32>,
    /// Names that the rows of this batch, or later ones, refer to; they follow on those announced before.
    pub names: Vec<String>,
    /// Shapes that the values of this batch, or later ones, refer to; they follow on those announced before.
    pub shapes: Vec<Shape>,
}

/// One event of a batch. A topic, channel or version is an index into all names announced so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its topic's name.
    pub topic: usize,
    /// Its channel's name.
    pub channel: usize,
    /// Its version, if it has one.
    pub version: Option<usize>,
    /// Where it comes from.
    pub flags: Flags,
    /// The frame.
    pub text: Range<usize>,
    /// Its `eventBody`. One that was missing is `null`.
    pub body: Option<Range<usize>>,
    /// Its `metadata`.
    pub metadata: Option<Range<usize>>,
    /// Its number, strictly rising.
    pub sequence: u64,
    /// When it was read from the socket, in milliseconds since the epoch.
    pub received_at: u64,
    /// The values of its body in [`Batch::values`], if they are there.
    pub values: Option<Range<usize>>,
}

/// Where an event comes from, and whether it was delivered before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    pub(crate) const LIVE: Self = Self(0);
    pub(crate) const BACKFILL: Self = Self(1);
    pub(crate) const REPLAY: Self = Self(2);

    #[must_use]
    pub(crate) fn redelivered(self) -> Self {
        Self(self.0 | 4)
    }

    /// 0 live, 1 backfill, 2 replay.
    pub fn origin(self) -> u8 {
        self.0 & 3
    }

    /// It is delivered again after a restart.
    pub fn is_redelivered(self) -> bool {
        self.0 & 4 != 0
    }
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
        self.values.clear();
        self.rows.clear();
        self.names.clear();
        self.shapes.clear();
    }

    /// Its events, in order.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = Row> {
        self.rows.chunks_exact(ROW_WIDTH).map(Row::read)
    }
}

impl Row {
    /// Its text and values.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len() + self.values.as_ref().map_or(0, Range::len)
    }

    pub(crate) fn write(&self, rows: &mut Vec<i32>) {
        let [start, length] = span(Some(&self.text));
        let [body_start, body_length] = span(self.body.as_ref());
        let [metadata_start, metadata_length] = span(self.metadata.as_ref());
        let [values_start, values_length] = span(self.values.as_ref());
        let [sequence_high, sequence_low] = halves(self.sequence);
        let [received_high, received_low] = halves(self.received_at);
        rows.extend_from_slice(&[
            small(self.topic),
            small(self.channel),
            self.version.map_or(ABSENT, small),
            i32::from(self.flags.0),
            start,
            length,
            body_start,
            body_length,
            metadata_start,
            metadata_length,
            sequence_high,
            sequence_low,
            received_high,
            received_low,
            values_start,
            values_length,
        ]);
    }

    pub(crate) fn read(row: &[i32]) -> Self {
        Self {
            topic: row[0] as usize,
            channel: row[1] as usize,
            version: (row[2] != ABSENT).then_some(row[2] as usize),
            flags: Flags(row[3] as u8),
            text: range(row[4], row[5]).unwrap_or_default(),
            body: range(row[6], row[7]),
            metadata: range(row[8], row[9]),
            sequence: whole(row[10], row[11]),
            received_at: whole(row[12], row[13]),
            values: range(row[VALUES], row[VALUES + 1]),
        }
    }
}

const ABSENT: i32 = -1;

/// Columns that hold a position in the text.
const POSITIONS: [usize; 3] = [4, 6, 8];
/// The one that holds a position in the values.
const VALUES: usize = 14;

/// What stands for the values of an event that has none, and the comma behind it.
pub(crate) const NO_VALUES: &[u8] = b"null,";

/// Appends rows, and their values, to an empty batch. Their text, which begins at `from` now, will begin at 0.
pub(crate) fn move_rows(from: usize, rows: &[i32], values: &[u8], batch: &mut Batch) {
    batch.rows.extend_from_slice(rows);
    let has_values = rows.chunks_exact(ROW_WIDTH).any(|row| row[VALUES] != ABSENT);
    if has_values {
        batch.values.push(b'[');
    }
    for row in batch.rows.chunks_exact_mut(ROW_WIDTH) {
        for column in POSITIONS {
            if row[column] != ABSENT {
                row[column] -= small(from);
            }
        }
        match range(row[VALUES], row[VALUES + 1]) {
            Some(range) => {
                row[VALUES] = small(batch.values.len());
                batch.values.extend_from_slice(&values[range]);
                batch.values.push(b',');
            }
            None if has_values => batch.values.extend_from_slice(NO_VALUES),
            None => {}
        }
    }
}

/// A chunk's text is far from this bound: a frame has at most 4 MiB, six characters for each of its bytes.
fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn span(range: Option<&Range<usize>>) -> [i32; 2] {
    range.map_or([ABSENT; 2], |range| [small(range.start), small(range.len())])
}

fn range(start: i32, length: i32) -> Option<Range<usize>> {
    (start != ABSENT).then_some(start as usize..(start + length) as usize)
}

fn halves(number: u64) -> [i32; 2] {
    [(number >> 32) as i32, number as i32]
}

fn whole(high: i32, low: i32) -> u64 {
    u64::from(high as u32) << 32 | u64::from(low as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = Row {
            topic: 7,
            channel: 1,
            version: None,
            flags: Flags::BACKFILL.redelivered(),
            text: 10..500,
            body: Some(40..300),
            metadata: None,
            sequence: 0x1234_ffff_fffe,
            received_at: 1_795_000_000_123,
            values: Some(5..8),
        };
        let mut rows = Vec::new();
        row.write(&mut rows);
        assert_eq!(rows.len(), ROW_WIDTH);
        assert_eq!(Row::read(&rows), row);
        let mut batch = Batch::default();
        move_rows(10, &rows, b"[[0],[7],", &mut batch);
        assert_eq!(
            Row::read(&batch.rows),
            Row { text: 0..490, body: Some(30..290), values: Some(1..4), ..row }
        );
        assert_eq!(batch.values, b"[[7],");
    }
}

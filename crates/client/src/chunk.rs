//! A stretch of the event queue: frames back to back in the text that will cross, and their rows.

use std::ops::Range;

use genesys_notifications_proto::{Shapes, one_byte};
use memchr::memchr2;

use crate::batch::{Batch, NO_VALUES, ROW_WIDTH, Row, move_rows};

/// Limits of one chunk; a bigger event gets one of its own.
const EVENTS: usize = 64;
const BYTES: usize = 64 << 10;

/// Text that grows beyond this gets the memory of a whole chunk at once instead of twice what it needs.
const SMALL_BYTES: usize = 8 << 10;

/// Of text, which leaves with the values behind it.
const KEPT_BYTES: usize = 2 * BYTES;

#[derive(Debug)]
pub(crate) struct Chunk {
    text: Vec<u8>,
    is_ascii: bool,
    /// Empty, or the beginning of an array with an item for each row so far: `[[…],null,[…],`.
    values: Vec<u8>,
    rows: Vec<i32>,
    /// Rows before this one are gone.
    first: usize,
    /// Of the frames and values of the others.
    bytes: usize,
}

/// What went into a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) events: usize,
    /// Of their frames and values.
    pub(crate) bytes: usize,
    pub(crate) last_sequence: u64,
}

impl Chunk {
    pub(crate) fn new() -> Self {
        Self { text: Vec::new(), is_ascii: true, values: Vec::new(), rows: Vec::new(), first: 0, bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.len()
    }

    pub(crate) fn takes(&self, bytes: usize) -> bool {
        self.len() < EVENTS && self.text.len() + bytes <= BYTES
    }

    /// Copies a frame, as one line, and says where it and these slices of it lie now; a part that is no slice of it is absent.
    pub(crate) fn copy(&mut self, frame: &str, parts: [Option<&str>; 2]) -> [Option<Range<usize>>; 3] {
        let mut start = self.text.len();
        if start + frame.len() > SMALL_BYTES && start < BYTES {
            self.text.reserve_exact((BYTES + 1).saturating_sub(start));
        }
        let [first, second] = parts.map(|part| part.and_then(|part| range_in(frame, part)));
        let ranges = [Some(0..frame.len()), first, second];
        let moved = if frame.is_ascii() {
            self.text.extend_from_slice(frame.as_bytes());
            ranges.map(|range| range.map(|range| start + range.start..start + range.end))
        } else {
            self.is_ascii = false;
            self.transcribe(frame, ranges)
        };
        // Between tokens only: inside of strings JSON does not allow any.
        while let Some(at) = memchr2(b'\n', b'\r', &self.text[start..]) {
            self.text[start + at] = b' ';
            start += at;
        }
        self.text.push(b'\n');
        moved
    }

    fn transcribe(&mut self, frame: &str, ranges: [Option<Range<usize>>; 3]) -> [Option<Range<usize>>; 3] {
        let mut cuts = [0; 6];
        for (i, range) in ranges.iter().flatten().enumerate() {
            (cuts[2 * i], cuts[2 * i + 1]) = (range.start, range.end);
        }
        cuts.sort_unstable();
        let mut places = [0; 6];
        let mut done = 0;
        for (cut, place) in cuts.iter().zip(&mut places) {
            one_byte::append(&mut self.text, &frame[done..*cut]);
            done = *cut;
            *place = self.text.len();
        }
        let place = |at: usize| places[cuts.iter().position(|cut| *cut == at).unwrap_or_default()];
        ranges.map(|range| range.map(|range| place(range.start)..place(range.end)))
    }

    /// Adds the values of a body, if it has a known shape, and says where they are. The event's row is to be added next.
    pub(crate) fn shape(&mut self, shapes: &mut Shapes, body: &str) -> Option<Range<usize>> {
        let before = self.values.len();
        if before == 0 {
            self.values.push(b'[');
            for _ in 0..self.len() {
                self.values.extend_from_slice(NO_VALUES);
            }
        }
        let start = self.values.len();
        if !shapes.encode(body, &mut self.values) {
            self.values.truncate(before);
            return None;
        }
        let end = self.values.len();
        self.values.push(b',');
        Some(start..end)
    }

    pub(crate) fn add(&mut self, row: &Row) {
        if row.values.is_none() && !self.values.is_empty() {
            self.values.extend_from_slice(NO_VALUES);
        }
        row.write(&mut self.rows);
        self.bytes += row.bytes();
    }

    /// Moves its next events into an empty batch: at least one, then as many as the limits allow. All that is there moves
    /// without being copied.
    pub(crate) fn take(&mut self, batch: &mut Batch, max_events: usize, max_bytes: usize) -> Taken {
        batch.is_ascii = self.is_ascii;
        let events = self.len();
        if self.first == 0 && events <= max_events && self.text.len() <= max_bytes {
            std::mem::swap(&mut batch.text, &mut self.text);
            std::mem::swap(&mut batch.values, &mut self.values);
            std::mem::swap(&mut batch.rows, &mut self.rows);
            close(&mut batch.values);
            self.first = self.len();
            let last_sequence = batch.events().next_back().map_or(0, |row| row.sequence);
            return Taken { events, bytes: std::mem::take(&mut self.bytes), last_sequence };
        }
        let left = &self.rows[self.first * ROW_WIDTH..];
        let from = left.chunks_exact(ROW_WIDTH).next().map_or(0, |row| Row::read(row).text.start);
        let (mut events, mut bytes, mut to, mut last_sequence) = (0, 0, from, 0);
        for row in left.chunks_exact(ROW_WIDTH).map(Row::read) {
            if events > 0 && (events >= max_events || row.text.end - from > max_bytes) {
                break;
            }
            (events, bytes) = (events + 1, bytes + row.bytes());
            (to, last_sequence) = (row.text.end + 1, row.sequence);
        }
        batch.text.extend_from_slice(&self.text[from..to]);
        move_rows(from, &left[..events * ROW_WIDTH], &self.values, batch);
        close(&mut batch.values);
        self.first += events;
        self.bytes -= bytes;
        Taken { events, bytes, last_sequence }
    }

    /// Forgets its next event.
    pub(crate) fn drop_first(&mut self) -> Option<Row> {
        let row = self.rows.chunks_exact(ROW_WIDTH).nth(self.first).map(Row::read)?;
        self.first += 1;
        self.bytes -= row.bytes();
        Some(row)
    }

    /// Empties it; nothing if it has more memory than is worth keeping.
    pub(crate) fn emptied(mut self) -> Option<Self> {
        self.text.clear();
        self.values.clear();
        self.rows.clear();
        (self.text.capacity() <= KEPT_BYTES).then_some(Self { is_ascii: true, first: 0, bytes: 0, ..self })
    }

    fn len(&self) -> usize {
        self.rows.len() / ROW_WIDTH
    }
}

/// Ends the array, if there is one.
fn close(values: &mut [u8]) {
    if let Some(comma) = values.last_mut() {
        *comma = b']';
    }
}

/// Where `part` lies in `whole`, if it is a slice of it.
fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let from = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let to = from.checked_add(part.len())?;
    (to <= whole.len()).then_some(from..to)
}

//! The event queue: bounded by events and bytes, and exact about what it drops.
//!
//! Events lie back to back in chunks, copied once out of the socket's read buffer.

use std::collections::{BTreeSet, HashMap, VecDeque};

use genesys_notifications_journal::Stored;
use genesys_notifications_proto::{Shapes, TopicId};

use crate::batch::{Batch, Flags, ROW_WIDTH, Row};
use crate::chunk::Chunk;
use crate::options::{OnFull, QueueOptions};
use crate::reader::Parts;
use crate::strangers;

/// What an event costs beside its text: its row and the line feed behind it.
const ROW_BYTES: usize = ROW_WIDTH * size_of::<i32>() + 1;

/// About what comes between two wakes under load; memory that is given back to the system costs more than it is worth.
const SPARE_CHUNKS: usize = 4;

/// The service sends one version; a peer that invents them must not fill the table of names.
const VERSIONS: usize = 64;
const VERSION_BYTES: usize = 32;

/// An event on its way into the queue.
#[derive(Clone, Debug)]
pub(crate) struct Arrived<'a> {
    /// Unless it comes from the journal: that knows names only, also those of topics long forgotten.
    pub(crate) topic: Option<TopicId>,
    /// The name is not the topic's own: the rules know many names as one topic.
    pub(crate) is_foreign: bool,
    pub(crate) topic_name: &'a str,
    /// Index of the channel's name, see [`EventQueue::intern`].
    pub(crate) channel: u32,
    pub(crate) version: Option<&'a str>,
    /// The whole frame.
    pub(crate) text: &'a str,
    /// Slices of `text`; anything else counts as absent.
    pub(crate) body: &'a str,
    pub(crate) metadata: Option<&'a str>,
    pub(crate) received_at: u64,
    /// The journal's; else the queue counts.
    pub(crate) sequence: Option<u64>,
    pub(crate) flags: Flags,
}

impl<'a> Arrived<'a> {
    /// An event of the journal.
    pub(crate) fn stored(event: &'a Stored, parts: &'a Parts<'a>, channel: u32, flags: Flags) -> Self {
        Self {
            topic: None,
            is_foreign: false,
            topic_name: &event.topic,
            channel,
            version: parts.version.as_deref(),
            text: &event.frame,
            body: parts.body,
            metadata: parts.metadata,
            received_at: event.received_at,
            sequence: Some(event.sequence),
            flags,
        }
    }
}

/// Dropped events that nobody has been told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drops {
    pub(crate) topics: BTreeSet<TopicId>,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Exact counts; `received == delivered + dropped + queued`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
    /// Not counted here: of what came before the queue.
    pub(crate) conflated: u64,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct EventQueue {
    options: QueueOptions,
    chunks: VecDeque<Chunk>,
    counts: Counts,
    /// Of the event queued last.
    sequence: u64,
    /// Of the event handed out last.
    handed: u64,
    drops: Option<Drops>,
    /// Set when the queue fills under `Pause`, cleared at half.
    full: bool,
    names: Names,
    shapes: Shapes,
    /// Bodies of up to so many bytes are given their shapes on the way in.
    shaped_bytes: usize,
    /// Chunks that went, for their memory.
    spare: Vec<Chunk>,
}

#[derive(Debug, Default)]
struct Names {
    all: Vec<String>,
    announced: usize,
    topics: Vec<Option<u32>>,
    /// The other way round.
    ids: HashMap<usize, TopicId>,
    named: HashMap<String, u32>,
    /// A name was not taken.
    is_full: bool,
    versions: HashMap<String, u32>,
}

impl EventQueue {
    pub(crate) fn new(options: QueueOptions) -> Self {
        Self {
            options,
            chunks: VecDeque::new(),
            counts: Counts::default(),
            sequence: 0,
            handed: 0,
            drops: None,
            full: false,
            names: Names::default(),
            shapes: Shapes::new(),
            shaped_bytes: 0,
            spare: Vec::new(),
        }
    }

    /// Takes an event, or drops it or older ones as the options say.
    pub(crate) fn push(&mut self, event: &Arrived<'_>) {
        self.counts.received += 1;
        let cost = event.text.len() + ROW_BYTES;
        match self.options.on_full {
            OnFull::Pause => {}
            OnFull::DropNewest => {
                if !self.fits(cost) {
                    self.counts.dropped += 1;
                    self.record_drop(event.topic, event.received_at);
                    return;
                }
            }
            OnFull::DropOldest => {
                while !self.fits(cost) {
                    self.drop_oldest();
                }
            }
        }
        self.append(event);
        if self.options.on_full == OnFull::Pause && self.is_over(1) {
            self.full = true;
        }
    }

    /// Moves events into an empty batch: at least one if there is one, then as many as the limits allow and lie in one chunk.
    pub(crate) fn drain(&mut self, batch: &mut Batch, max_events: usize, max_bytes: usize) {
        let Some(chunk) = self.chunks.front_mut() else { return };
        let taken = chunk.take(batch, max_events, max_bytes);
        self.handed = taken.last_sequence;
        if chunk.is_empty() {
            self.remove_front();
        }
        self.counts.events -= taken.events;
        self.counts.bytes -= taken.bytes + taken.events * ROW_BYTES;
        self.counts.delivered += taken.events as u64;
        batch.names.extend_from_slice(&self.names.all[self.names.announced..]);
        self.names.announced = self.names.all.len();
        batch.shapes = self.shapes.take_new();
        if self.full && !self.is_over(2) {
            self.full = false;
        }
    }

    /// Bodies of up to so many bytes that come from now on are handed out as the values of their shapes, too.
    pub(crate) fn shape_bodies(&mut self, up_to_bytes: usize) {
        self.shaped_bytes = up_to_bytes;
    }

    /// Index of a name that rows may refer to from now on.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        self.names.add(name)
    }

    /// The same for a name that may have been asked for before.
    pub(crate) fn intern_once(&mut self, name: &str) -> u32 {
        self.names.named(name)
    }

    /// Whether names of topics had no room: their events have another.
    pub(crate) fn has_strangers(&self) -> bool {
        self.names.is_full
    }

    /// Sequence of the event queued last.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.sequence
    }

    /// Sequence of the event handed out last.
    pub(crate) fn handed(&self) -> u64 {
        self.handed
    }

    /// Whatever has this sequence or a smaller one counts as handed out.
    pub(crate) fn begin_after(&mut self, sequence: u64) {
        self.handed = self.handed.max(sequence);
    }

    /// Whether it would soon drop events instead of pausing: nothing that can wait should be added.
    pub(crate) fn is_crowded(&self) -> bool {
        self.options.on_full != OnFull::Pause && self.is_over(2)
    }

    /// Whether sockets must not be read: from full until half full, and only if the options say pause.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.events == 0
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn has_drops(&self) -> bool {
        self.drops.is_some()
    }

    /// What was dropped since the last time.
    pub(crate) fn take_drops(&mut self) -> Option<Drops> {
        self.drops.take()
    }

    fn fits(&self, cost: usize) -> bool {
        // A single event beyond the limit still gets through an empty queue.
        self.is_empty()
            || (self.counts.events < self.options.max_events
                && self.counts.bytes + cost <= self.options.max_bytes)
    }

    fn is_over(&self, parts: usize) -> bool {
        self.counts.events > 0
            && (self.counts.events >= self.options.max_events.div_ceil(parts)
                || self.counts.bytes >= self.options.max_bytes / parts)
    }

    fn append(&mut self, event: &Arrived<'_>) {
        self.sequence = event.sequence.unwrap_or(self.sequence + 1);
        let topic = match event.topic {
            Some(id) if !event.is_foreign => self.names.topic(id, event.topic_name),
            id => self.names.free(event.topic_name, id),
        };
        let version = event.version.and_then(|version| self.names.version(version));
        if self.chunks.back().is_none_or(|chunk| !chunk.takes(event.text.len())) {
            self.chunks.push_back(self.spare.pop().unwrap_or_else(Chunk::new));
        }
        let chunk = self.chunks.back_mut().expect("one was just pushed if there was none");
        let [text, body, metadata] = chunk.copy(event.text, [Some(event.body), event.metadata]);
        let shapes =
            body.is_some().then_some(&mut self.shapes).filter(|_| event.body.len() <= self.shaped_bytes);
        let values = shapes.and_then(|shapes| chunk.shape(shapes, event.body));
        let row = Row {
            topic: topic as usize,
            channel: event.channel as usize,
            version: version.map(|version| version as usize),
            flags: event.flags,
            text: text.unwrap_or_default(),
            body,
            metadata,
            sequence: self.sequence,
            received_at: event.received_at,
            values,
        };
        chunk.add(&row);
        self.counts.events += 1;
        self.counts.bytes += row.bytes() + ROW_BYTES;
    }

    fn drop_oldest(&mut self) {
        let Some(row) = self.chunks.front_mut().and_then(Chunk::drop_first) else { return };
        if self.chunks.front().is_some_and(Chunk::is_empty) {
            self.remove_front();
        }
        self.counts.events -= 1;
        self.counts.bytes -= row.bytes() + ROW_BYTES;
        self.counts.dropped += 1;
        self.record_drop(self.names.id(row.topic), row.received_at);
    }

    fn remove_front(&mut self) {
        let emptied = self.chunks.pop_front().and_then(Chunk::emptied);
        self.spare.extend(emptied.filter(|_| self.spare.len() < SPARE_CHUNKS));
    }

    fn record_drop(&mut self, topic: Option<TopicId>, received_at: u64) {
        let drops = self.drops.get_or_insert_with(|| Drops {
            topics: BTreeSet::new(),
            from: received_at,
            to: received_at,
        });
        drops.topics.extend(topic);
        drops.from = drops.from.min(received_at);
        drops.to = drops.to.max(received_at);
    }
}

impl Names {
    fn add(&mut self, name: &str) -> u32 {
        self.all.push(name.to_owned());
        u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
    }

    fn topic(&mut self, id: TopicId, name: &str) -> u32 {
        let slot = id.0 as usize;
        if let Some(Some(index)) = self.topics.get(slot) {
            return *index;
        }
        let index = self.add(name);
        if self.topics.len() <= slot {
            self.topics.resize(slot + 1, None);
        }
        self.topics[slot] = Some(index);
        self.ids.insert(index as usize, id);
        index
    }

    /// The index of a name that anybody may have made up, and of what topic it is to the rules.
    fn free(&mut self, name: &str, id: Option<TopicId>) -> u32 {
        let is_known = self.named.contains_key(name);
        let has_room = self.named.len() < strangers::MOST && name.len() <= strangers::MOST_BYTES;
        self.is_full |= !is_known && !has_room;
        let index = self.named(if is_known || has_room { name } else { strangers::ANY });
        if let Some(id) = id {
            self.ids.insert(index as usize, id);
        }
        index
    }

    /// The topic of a name that [`Names::topic`] or [`Names::free`] gave an index.
    fn id(&self, index: usize) -> Option<TopicId> {
        self.ids.get(&index).copied()
    }

    fn named(&mut self, name: &str) -> u32 {
        if let Some(index) = self.named.get(name) {
            return *index;
        }
        let index = self.add(name);
        self.named.insert(name.to_owned(), index);
        index
    }

    fn version(&mut self, version: &str) -> Option<u32> {
        if let Some(index) = self.versions.get(version) {
            return Some(*index);
        }
        if self.versions.len() >= VERSIONS || version.len() > VERSION_BYTES {
            return None;
        }
        let index = self.add(version);
        self.versions.insert(version.to_owned(), index);
        Some(index)
    }
}

#[cfg(test)]
mod tests;

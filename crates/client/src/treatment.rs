//! What is done to events on their way into the queue: bodies cut down, topics conflated. Free for those who use neither.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use genesys_notifications_proto::{Select, TopicChange, TopicId};

use crate::batch::Flags;
use crate::conflate::{Conflate, Offer};
use crate::queue::{Arrived, Counts, EventQueue};
use crate::topic_options::TopicOptions;

/// Memory beyond this is not kept for the next event.
const KEPT_BYTES: usize = 256 << 10;

/// The treatments of topics, by name.
#[derive(Debug, Default)]
pub(crate) struct Treatments {
    slots: Vec<Slot>,
    by_name: HashMap<Arc<str>, usize>,
    /// By number of the topic, once it was asked for.
    by_id: Vec<Option<Option<usize>>>,
    /// Slots whose options say anything.
    used: usize,
    waiting: Conflate<Waiting>,
    scratch: String,
}

/// A topic that has or had options.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    options: TopicOptions,
}

/// An event that is withheld, whole.
#[derive(Debug)]
struct Waiting {
    slot: usize,
    topic: Option<TopicId>,
    is_foreign: bool,
    channel: u32,
    version: Option<String>,
    text: String,
    body: Option<Range<usize>>,
    metadata: Option<Range<usize>>,
    received_at: u64,
    flags: Flags,
}

impl Treatments {
    /// Queues an event as its topic's options say, or keeps it until its time comes. Returns whether anything was queued.
    pub(crate) fn push(&mut self, queue: &mut EventQueue, event: &Arrived<'_>, now: u64) -> bool {
        let slot = if self.used == 0 { None } else { self.find(event) };
        let Some(slot) = slot else {
            queue.push(event);
            return true;
        };
        // Others, of the REST API, are not conflated; what waits goes first, so that a topic's events stay in order.
        if event.flags != Flags::LIVE {
            if let Some(waiting) = self.waiting.take(slot) {
                self.queue(queue, slot, &waiting.event(&self.slots[slot].name.clone()));
            }
        } else if let Offer::Later(place) = self.waiting.offer(slot, now) {
            Waiting::keep(place, slot, event);
            return false;
        }
        self.queue(queue, slot, event);
        true
    }

    /// Queues what has waited long enough. Returns whether there was any.
    pub(crate) fn release_due(&mut self, queue: &mut EventQueue, now: u64) -> bool {
        self.release(queue, |waiting| waiting.take_due(now))
    }

    /// Queues all that waits. Returns whether there was any.
    pub(crate) fn release_all(&mut self, queue: &mut EventQueue) -> bool {
        self.release(queue, Conflate::take_any)
    }

    /// When [`Treatments::release_due`] has something to do.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.waiting.deadline()
    }

    /// The wanted topics change: what is named gets other options, what goes has none. What is withheld under other options
    /// is queued; returns whether there was any.
    pub(crate) fn change(
        &mut self,
        queue: &mut EventQueue,
        change: TopicChange,
        names: &[String],
        options: Option<&TopicOptions>,
    ) -> bool {
        let gone: Vec<usize> = match change {
            TopicChange::Add => Vec::new(),
            TopicChange::Remove => {
                names.iter().filter_map(|name| self.by_name.get(name.as_str()).copied()).collect()
            }
            TopicChange::Replace => {
                let kept: HashSet<&str> = names.iter().map(String::as_str).collect();
                (0..self.slots.len()).filter(|slot| !kept.contains(&*self.slots[*slot].name)).collect()
            }
        };
        let mut queued = false;
        for slot in gone {
            queued |= self.set(queue, slot, &TopicOptions::default());
        }
        if let Some(options) = options.filter(|_| change != TopicChange::Remove) {
            for name in names {
                let slot = self.slot(name);
                queued |= self.set(queue, slot, options);
            }
        }
        queued
    }

    /// The options of a topic.
    pub(crate) fn of(&self, name: &str) -> Option<&TopicOptions> {
        self.by_name.get(name).map(|slot| &self.slots[*slot].options)
    }

    /// Counts of the queue with what waits here, which counts as queued, and what was replaced.
    pub(crate) fn counts(&self, queue: &EventQueue) -> Counts {
        let mut counts = queue.counts();
        for waiting in self.waiting.waiting() {
            counts.received += 1;
            counts.events += 1;
            counts.bytes += waiting.text.len();
        }
        counts.conflated = self.waiting.replaced();
        counts.received += counts.conflated;
        counts
    }

    fn release(
        &mut self,
        queue: &mut EventQueue,
        mut next: impl FnMut(&mut Conflate<Waiting>) -> Option<Waiting>,
    ) -> bool {
        let mut queued = false;
        while let Some(waiting) = next(&mut self.waiting) {
            let name = self.slots[waiting.slot].name.clone();
            self.queue(queue, waiting.slot, &waiting.event(&name));
            queued = true;
        }
        queued
    }

    fn queue(&mut self, queue: &mut EventQueue, slot: usize, event: &Arrived<'_>) {
        let select = self.slots[slot].options.select.as_ref();
        match select.and_then(|selected| cut(&selected.select, event, &mut self.scratch)) {
            Some(cut) => queue.push(&cut),
            None => queue.push(event),
        }
        if self.scratch.capacity() > KEPT_BYTES {
            self.scratch = String::new();
        }
    }

    fn find(&mut self, event: &Arrived<'_>) -> Option<usize> {
        let by_name = |named: &HashMap<Arc<str>, usize>| named.get(event.topic_name).copied();
        let own = event.topic.filter(|_| !event.is_foreign);
        let Some(TopicId(id)) = own else { return by_name(&self.by_name) };
        let id = id as usize;
        if let Some(Some(slot)) = self.by_id.get(id) {
            return *slot;
        }
        let slot = by_name(&self.by_name);
        self.by_id.resize(self.by_id.len().max(id + 1), None);
        self.by_id[id] = Some(slot);
        slot
    }

    fn slot(&mut self, name: &str) -> usize {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), self.slots.len());
        self.slots.push(Slot { name, options: TopicOptions::default() });
        self.by_id.clear();
        self.slots.len() - 1
    }

    /// Returns whether anything had to be queued.
    fn set(&mut self, queue: &mut EventQueue, slot: usize, options: &TopicOptions) -> bool {
        let every_ms = options.conflate.map(|conflate| conflate.every_ms());
        let withheld = self.waiting.set(slot, every_ms);
        if let Some(waiting) = &withheld {
            let name = self.slots[slot].name.clone();
            self.queue(queue, slot, &waiting.event(&name));
        }
        let known = &mut self.slots[slot].options;
        self.used -= usize::from(!known.is_empty());
        self.used += usize::from(!options.is_empty());
        *known = options.clone();
        withheld.is_some()
    }
}

impl Waiting {
    /// In the memory of the one before.
    fn keep(place: &mut Option<Self>, slot: usize, event: &Arrived<'_>) {
        let mut text = place.take().map_or_else(String::new, |before| before.text);
        text.clear();
        text.push_str(event.text);
        *place = Some(Self {
            slot,
            topic: event.topic,
            is_foreign: event.is_foreign,
            channel: event.channel,
            version: event.version.map(str::to_owned),
            text,
            body: range_in(event.text, event.body),
            metadata: event.metadata.and_then(|metadata| range_in(event.text, metadata)),
            received_at: event.received_at,
            flags: event.flags,
        });
    }

    fn event<'a>(&'a self, topic_name: &'a str) -> Arrived<'a> {
        Arrived {
            topic: self.topic,
            is_foreign: self.is_foreign,
            topic_name,
            channel: self.channel,
            version: self.version.as_deref(),
            text: &self.text,
            body: self.body.clone().and_then(|body| self.text.get(body)).unwrap_or("null"),
            metadata: self.metadata.clone().and_then(|metadata| self.text.get(metadata)),
            received_at: self.received_at,
            sequence: None,
            flags: self.flags,
        }
    }
}

/// The event with its body cut down; nothing if it has none.
fn cut<'a>(select: &Select, event: &Arrived<'a>, scratch: &'a mut String) -> Option<Arrived<'a>> {
    let body = range_in(event.text, event.body)?;
    let metadata = event.metadata.and_then(|metadata| range_in(event.text, metadata));
    scratch.clear();
    scratch.push_str(event.text.get(..body.start)?);
    select.cut(event.body, scratch);
    let end = scratch.len();
    scratch.push_str(event.text.get(body.end..)?);
    let text = &*scratch;
    let moved = |range: Range<usize>| match range.start.checked_sub(body.end) {
        Some(behind) => text.get(end + behind..end + behind + range.len()),
        None => text.get(range),
    };
    let (body, metadata) = (text.get(body.start..end)?, metadata.and_then(moved));
    Some(Arrived { text, body, metadata, ..event.clone() })
}

/// Where `part` lies in `whole`, if it is a slice of it.
fn range_in(whole: &str, part: &str) -> Option<Range<usize>> {
    let from = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let to = from.checked_add(part.len())?;
    (to <= whole.len()).then_some(from..to)
}

#[cfg(test)]
mod tests {
    use genesys_notifications_proto::Frame;

    use super::*;

    // P10.2
    #[test]
    fn only_the_body_is_cut_wherever_it_stands() {
        let select = Select::compile(&["id"]).unwrap();
        let body = r#"{ "id" : "é" , "x" : 1 }"#;
        let metadata = r#"{"CorrelationId":"c"}"#;
        let rest = r#""topicName":"v2.a.b","version":"2""#;
        for frame in [
            format!(r#"{{"metadata":{metadata},{rest},"eventBody":{body}}}"#),
            format!(r#"{{"eventBody":{body},{rest},"metadata":{metadata}}}"#),
            format!(r#"{{"eventBody":{body},"metadata":{metadata},"eventBody":{body},{rest}}}"#),
        ] {
            let Frame::Event(envelope) = Frame::read(&frame) else { panic!("{frame}") };
            let event = Arrived {
                topic: None,
                is_foreign: false,
                topic_name: &envelope.topic,
                channel: 3,
                version: envelope.version.as_deref(),
                text: &frame,
                body: envelope.body,
                metadata: envelope.metadata,
                received_at: 4,
                sequence: Some(5),
                flags: Flags::LIVE,
            };
            let mut scratch = String::from("before");
            let cut = cut(&select, &event, &mut scratch).unwrap();
            assert_eq!((cut.body, cut.metadata), (r#"{"id":"é"}"#, Some(metadata)));
            let (before, after) = frame.rsplit_once(body).unwrap();
            assert_eq!(cut.text, format!(r#"{before}{{"id":"é"}}{after}"#));
            assert!(range_in(cut.text, cut.body).is_some());
            assert_eq!((cut.version, cut.channel, cut.received_at, cut.sequence), (Some("2"), 3, 4, Some(5)));
        }
    }
}

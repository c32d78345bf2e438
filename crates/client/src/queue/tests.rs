use std::ops::Range;

use genesys_notifications_proto::{Frame, Random, SplitMix};

use super::*;

fn options(max_events: usize, max_bytes: usize, on_full: OnFull) -> QueueOptions {
    QueueOptions { max_events, max_bytes, on_full }
}

fn frame(n: u64, filling: &str) -> String {
    format!(
        r#"{{"topicName":"v2.users.u{}.presence","version":"2","eventBody":{{"n":{n},"x":"{filling}"}},"metadata":{{"CorrelationId":"c{n}"}}}}"#,
        n % 3
    )
}

fn push(queue: &mut EventQueue, text: &str, n: u64) {
    let Frame::Event(envelope) = Frame::read(text) else { panic!("{text}") };
    queue.push(&Arrived {
        topic: Some(TopicId((n % 3) as u32)),
        is_foreign: false,
        topic_name: &envelope.topic,
        channel: 0,
        version: envelope.version.as_deref(),
        text,
        body: envelope.body,
        metadata: envelope.metadata,
        received_at: 1_000 + n,
        sequence: None,
        flags: Flags::LIVE,
    });
}

/// A drained event as JavaScript would see it.
#[derive(Debug, PartialEq)]
struct Seen {
    topic: String,
    channel: String,
    version: Option<String>,
    text: String,
    body: Option<String>,
    metadata: Option<String>,
    sequence: u64,
    received_at: u64,
}

#[derive(Default)]
struct Reader {
    names: Vec<String>,
    batch: Batch,
}

impl Reader {
    fn drain(&mut self, queue: &mut EventQueue, max_events: usize, max_bytes: usize) -> Vec<Seen> {
        self.batch.clear();
        queue.drain(&mut self.batch, max_events, max_bytes);
        self.names.append(&mut self.batch.names);
        let text: Vec<char> = self.batch.text.iter().map(|byte| char::from(*byte)).collect();
        let cut = |range: Range<usize>| text[range].iter().collect::<String>();
        let name = |index: usize| self.names[index].clone();
        let events = self.batch.events().map(|row| Seen {
            topic: name(row.topic),
            channel: name(row.channel),
            version: row.version.map(name),
            text: cut(row.text),
            body: row.body.map(cut),
            metadata: row.metadata.map(cut),
            sequence: row.sequence,
            received_at: row.received_at,
        });
        events.collect()
    }

    fn drain_all(&mut self, queue: &mut EventQueue) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let some = self.drain(queue, 1000, 1 << 20);
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }
}

fn queue(options: QueueOptions) -> EventQueue {
    let mut queue = EventQueue::new(options);
    assert_eq!(queue.intern("streaming-0-a"), 0);
    queue
}

#[test]
fn events_come_out_as_they_went_in() {
    let mut queue = queue(QueueOptions::default());
    let mut random = SplitMix::new(1);
    let fillings = ["", "plain", "Müller ÿ", "日本語 😀 é", "x\\u00e9\\n"];
    let mut texts = Vec::new();
    for n in 0..500 {
        let big = if random.up_to(50) == 0 { "é€".repeat(20_000) } else { String::new() };
        let text = frame(n, &format!("{}{big}", fillings[random.up_to(4) as usize]));
        push(&mut queue, &text, n);
        texts.push(text);
    }
    let (mut reader, mut seen) = (Reader::default(), Vec::new());
    while !queue.is_empty() {
        seen.extend(reader.drain(&mut queue, random.up_to(100) as usize, random.up_to(100_000) as usize));
    }
    assert_eq!(seen.len(), texts.len());
    for (n, (event, text)) in seen.iter().zip(&texts).enumerate() {
        let n = n as u64;
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&event.text), value(text));
        assert_eq!(value(event.body.as_deref().unwrap()), value(text)["eventBody"]);
        assert_eq!(event.metadata.as_deref().unwrap(), format!(r#"{{"CorrelationId":"c{n}"}}"#));
        assert_eq!(event.topic, format!("v2.users.u{}.presence", n % 3));
        assert_eq!((event.channel.as_str(), event.version.as_deref()), ("streaming-0-a", Some("2")));
        assert_eq!((event.sequence, event.received_at), (n + 1, 1_000 + n));
    }
    assert_eq!(reader.names.len(), 5);
    assert_eq!(queue.counts(), Counts { received: 500, delivered: 500, ..Counts::default() });
}

#[test]
fn an_absent_body_and_version_are_minus_one() {
    let mut queue = queue(QueueOptions::default());
    push(&mut queue, r#"{"topicName":"v2.users.u0.presence"}"#, 0);
    let seen = Reader::default().drain_all(&mut queue);
    assert_eq!((&seen[0].body, &seen[0].metadata, &seen[0].version), (&None, &None, &None));
}

#[test]
fn values_stand_beside_the_bodies_they_belong_to() {
    let mut queue = queue(QueueOptions::default());
    let mut random = SplitMix::new(3);
    let (mut batch, mut n, mut shaped, mut shapes) = (Batch::default(), 0, 0, 0);
    for _ in 0..200 {
        queue.shape_bodies(if random.up_to(5) > 0 { 1_000 } else { 0 });
        for _ in 0..random.up_to(100) {
            // One in ten is no object of a shape that comes again.
            let odd = if random.up_to(9) == 0 { format!(r#"","{n}":""#) } else { String::new() };
            push(&mut queue, &frame(n, &odd), n);
            n += 1;
        }
        while !queue.is_empty() {
            batch.clear();
            queue.drain(&mut batch, 1 + random.up_to(80) as usize, random.up_to(10_000) as usize);
            shapes += batch.shapes.len();
            if batch.values.is_empty() {
                assert!(batch.events().all(|row| row.values.is_none()));
                continue;
            }
            let all: Vec<serde_json::Value> = serde_json::from_slice(&batch.values).unwrap();
            assert_eq!(all.len(), batch.len());
            for (row, values) in batch.events().zip(&all) {
                let Some(range) = row.values else {
                    assert!(values.is_null());
                    continue;
                };
                let own: serde_json::Value = serde_json::from_slice(&batch.values[range]).unwrap();
                let body: serde_json::Value = serde_json::from_slice(&batch.text[row.body.unwrap()]).unwrap();
                assert_eq!((&own, &own[1]), (values, &body["n"]));
                shaped += 1;
            }
        }
    }
    assert!(shaped > n / 2, "{shaped} of {n}");
    assert_eq!(shapes, 1);
}

#[test]
fn pausing_keeps_everything_and_resumes_at_half() {
    let mut queue = queue(options(10, 1 << 20, OnFull::Pause));
    for n in 0..10 {
        assert!(!queue.is_full(), "{n}");
        push(&mut queue, &frame(n, ""), n);
    }
    assert!(queue.is_full());
    push(&mut queue, &frame(10, ""), 10);
    let mut reader = Reader::default();
    reader.drain(&mut queue, 6, 1 << 20);
    assert!(queue.is_full(), "five are left, which is half");
    reader.drain(&mut queue, 1, 1 << 20);
    assert!(!queue.is_full());
    assert_eq!(queue.counts().dropped, 0);
    assert_eq!(reader.drain_all(&mut queue).len(), 4);
}

#[test]
fn a_queue_of_one_event_still_moves() {
    for (max_events, max_bytes) in [(1, 1 << 20), (100, 1024)] {
        let mut queue = queue(options(max_events, max_bytes, OnFull::Pause));
        let mut reader = Reader::default();
        for n in 0..5 {
            push(&mut queue, &frame(n, &"x".repeat(5000)), n);
            assert!(queue.is_full());
            assert_eq!(reader.drain(&mut queue, 100, 100).len(), 1);
            assert!(!queue.is_full());
        }
    }
}

#[test]
fn dropping_the_newest_keeps_the_oldest() {
    let mut queue = queue(options(10, 1 << 20, OnFull::DropNewest));
    for n in 0..25 {
        push(&mut queue, &frame(n, ""), n);
    }
    assert!(!queue.is_full());
    let drops = queue.take_drops().unwrap();
    assert_eq!((drops.from, drops.to, drops.topics.len()), (1_010, 1_024, 3));
    assert!(queue.take_drops().is_none());
    let seen = Reader::default().drain_all(&mut queue);
    assert_eq!(seen.iter().map(|e| e.received_at - 1_000).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    let counts = queue.counts();
    assert_eq!((counts.received, counts.delivered, counts.dropped, counts.bytes), (25, 10, 15, 0));
}

#[test]
fn dropping_the_oldest_keeps_the_newest() {
    let mut queue = queue(options(10, 1 << 20, OnFull::DropOldest));
    for n in 0..25 {
        push(&mut queue, &frame(n, ""), n);
    }
    let drops = queue.take_drops().unwrap();
    assert_eq!((drops.from, drops.to), (1_000, 1_014));
    let seen = Reader::default().drain_all(&mut queue);
    assert_eq!(seen.iter().map(|e| e.sequence).collect::<Vec<_>>(), (16..=25).collect::<Vec<_>>());
    assert_eq!(queue.counts().dropped, 15);
}

#[test]
fn bytes_bound_as_well_and_an_oversized_event_gets_through_alone() {
    for on_full in [OnFull::DropNewest, OnFull::DropOldest] {
        let mut queue = queue(options(1000, 4096, on_full));
        push(&mut queue, &frame(0, &"x".repeat(10_000)), 0);
        assert_eq!(queue.counts().events, 1);
        for n in 1..100 {
            push(&mut queue, &frame(n, &"x".repeat(500)), n);
            let counts = queue.counts();
            assert!(counts.bytes <= 4096 || counts.events == 1);
            assert_eq!(counts.received, counts.delivered + counts.dropped + counts.events as u64);
        }
    }
}

#[test]
fn invented_versions_do_not_fill_the_table_of_names() {
    let mut queue = queue(QueueOptions::default());
    for n in 0..10_000 {
        push(&mut queue, &format!(r#"{{"topicName":"v2.users.u{}.presence","version":"{n}"}}"#, n % 3), n);
    }
    let mut reader = Reader::default();
    assert_eq!(reader.drain_all(&mut queue).len(), 10_000);
    assert!(reader.names.len() <= VERSIONS + 4);
}

#[test]
fn names_that_come_from_outside_do_not_fill_the_table() {
    let mut queue = EventQueue::new(options(usize::MAX, usize::MAX, OnFull::Pause));
    let mut push = |name: &str| {
        queue.push(&Arrived { is_foreign: true, topic_name: name, ..nameless() });
        queue.has_strangers()
    };
    for n in 0..crate::strangers::MOST {
        assert!(!push(&n.to_string()));
    }
    assert!(!push("17"));
    assert!(push("one too many") && push("another"));
    let mut reader = Reader::default();
    let names: Vec<String> = reader.drain_all(&mut queue).into_iter().map(|seen| seen.topic).collect();
    assert_eq!(&names[crate::strangers::MOST..], ["17", "*", "*"]);
    assert_eq!(reader.names.len(), crate::strangers::MOST + 1);
}

#[test]
fn what_is_dropped_of_strange_names_is_accounted_for_as_their_topic() {
    for on_full in [OnFull::DropOldest, OnFull::DropNewest] {
        let mut queue = EventQueue::new(options(1, usize::MAX, on_full));
        queue.push(&Arrived { is_foreign: true, topic_name: "strange", ..nameless() });
        queue.push(&Arrived { is_foreign: true, topic_name: "stranger", ..nameless() });
        assert_eq!(queue.take_drops().unwrap().topics, BTreeSet::from([TopicId(9)]));
    }
}

fn nameless() -> Arrived<'static> {
    Arrived {
        topic: Some(TopicId(9)),
        is_foreign: false,
        topic_name: "",
        channel: 0,
        version: None,
        text: "{}",
        body: "null",
        metadata: None,
        received_at: 1,
        sequence: None,
        flags: Flags::LIVE,
    }
}

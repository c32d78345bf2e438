//! Resuming a stream at a gateway endpoint, and its events in arrays.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::*;

const TOPIC: &str = "orders";

impl Service {
    fn numbered(&self, n: u64) -> u64 {
        self.sim.publish(TOPIC, Some(&n.to_string())).unwrap()
    }

    async fn since(&self, position: &str) -> Ws {
        self.gateway(&format!("since?access_token={{token}}&since={position}")).await
    }

    async fn refused_since(&self, position: &str) -> (u16, Value) {
        let place = format!("since?access_token={{token}}&since={position}");
        let (status, body, _) = self.refused_gateway(&place).await;
        (status, body["error"].clone())
    }
}

impl Ws {
    /// The sequences of the next `count` events.
    async fn sequences(&mut self, count: usize) -> Vec<u64> {
        let mut sequences = Vec::new();
        while sequences.len() < count {
            match self.json().await {
                Value::Array(items) => sequences.extend(items.iter().map(sequence)),
                event => sequences.push(sequence(&event)),
            }
        }
        sequences
    }
}

fn sequence(event: &Value) -> u64 {
    event["sequence"].as_u64().unwrap()
}

#[tokio::test]
async fn a_position_is_required_and_must_be_readable() {
    let service = Service::start("{}").await;
    assert_eq!(service.refused_since("").await, (400, json!("position_missing")));
    let (status, body, _) = service.refused_gateway("since?access_token={token}").await;
    assert_eq!((status, &body["error"]), (400, &json!("position_missing")));
    assert_eq!(service.refused_since("yesterday").await, (400, json!("position_invalid")));
    // The token is looked at first.
    assert_eq!(service.refused_gateway("since?access_token=x").await.0, 401);
    let log = service.sim.log();
    let positions: Vec<_> = log.gateway.iter().map(|record| record.position.as_deref()).collect();
    assert_eq!(positions, [None, None, Some("yesterday"), None]);
    assert_eq!(log.requests.last().unwrap().code.as_deref(), Some("invalid_token"));

    let service = Service::start(r#"{"gateway":{"requirePosition":false}}"#).await;
    service.numbered(1);
    let mut ws = service.gateway("since?access_token={token}").await;
    let seq = service.numbered(2);
    assert_eq!(ws.sequences(1).await, [seq]);
}

#[tokio::test]
async fn what_was_published_since_comes_first_and_the_log_knows_it() {
    for (inclusive, expected) in [(true, 2), (false, 3)] {
        let options = format!(r#"{{"gateway":{{"positions":"sequence","inclusive":{inclusive}}}}}"#);
        let service = Service::start(&options).await;
        for n in 1..=4 {
            service.numbered(n);
        }
        assert_eq!(service.sim.counts().undelivered, 4);
        let mut ws = service.since("2").await;
        service.numbered(5);
        let sequences: Vec<_> = (expected..=5).collect();
        assert_eq!(ws.sequences(sequences.len()).await, sequences);
        let written = sequences.len() as u64;
        let log = service.until(|log| log.gateway[0].events == written).await;
        let record = &log.gateway[0];
        assert_eq!((record.replayed, record.position.as_deref()), (written - 1, Some("2")));
        assert_eq!((log.counts.delivered, log.counts.undelivered), (written, 5 - written));
        let reached: Vec<_> = log.events.iter().filter(|e| e.reason.is_none()).map(|e| e.seq).collect();
        assert_eq!(reached, sequences);
    }
}

#[tokio::test]
async fn events_of_one_millisecond_share_a_timestamp() {
    for inclusive in [true, false] {
        let service = Service::start(&format!(r#"{{"gateway":{{"inclusive":{inclusive}}}}}"#)).await;
        let mut first = service.gateway("open").await;
        let mut times = Vec::new();
        // Some of so many fall into the same millisecond.
        for n in 0..200 {
            service.numbered(n);
        }
        for _ in 0..200 {
            times.push(first.json().await["timestamp"].as_str().unwrap().to_owned());
        }
        let shared = times.windows(2).position(|pair| pair[0] == pair[1]).unwrap();
        let position = &times[shared + 1];
        let expected: Vec<_> = (0..200)
            .filter(|i| if inclusive { &times[*i] >= position } else { &times[*i] > position })
            .map(|i| i as u64 + 1)
            .collect();
        let mut ws = service.since(&position.replace(':', "%3A")).await;
        assert_eq!(ws.sequences(expected.len()).await, expected);
        assert_eq!(service.sim.log().gateway[1].replayed, expected.len() as u64);
    }
}

#[test]
fn nothing_is_lost_or_twice_between_what_is_replayed_and_what_is_live() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let service =
        runtime.block_on(Service::start(r#"{"gateway":{"positions":"sequence","inclusive":false}}"#));
    let sim = &service.sim;
    std::thread::scope(|scope| {
        let publisher =
            scope.spawn(|| (0..3_000).for_each(|n| drop(sim.publish(TOPIC, Some(&n.to_string())))));
        runtime.block_on(async {
            let mut next = 1;
            while next <= 3_000 {
                let mut ws = service.since(&(next - 1).to_string()).await;
                for sequence in ws.sequences((3_001 - next).min(150) as usize).await {
                    assert_eq!(sequence, next);
                    next += 1;
                }
            }
        });
        publisher.join().unwrap();
    });
    assert!(service.sim.counts().gateway >= 20);
}

#[tokio::test]
async fn a_stale_position_is_refused_in_one_of_two_ways() {
    let options = r#"{"gateway":{"positions":"sequence","retentionEvents":3}}"#;
    let service = Service::start(options).await;
    for n in 1..=5 {
        service.numbered(n);
    }
    assert_eq!(service.refused_since("2").await, (400, json!("position_expired")));
    assert_eq!(service.refused_since("6").await, (400, json!("position_expired")));
    assert_eq!(service.since("3").await.sequences(3).await, [3, 4, 5]);

    let service = Service::start(r#"{"gateway":{"retentionMs":50,"stalePosition":"frame"}}"#).await;
    let mut ws = service.since("2020-01-01T00:00:00.000Z").await;
    let refusal = ws.json().await;
    assert_eq!((&refusal["status"], &refusal["error"]), (&json!(400), &json!("position_expired")));
    service.numbered(1);
    let record = &service.sim.log().gateway[0];
    assert_eq!((record.status, record.ended_at, record.events), (101, None, 0));
}

#[tokio::test]
async fn a_position_grows_stale_with_time() {
    let service = Service::start(r#"{"gateway":{"retentionMs":100}}"#).await;
    let begin = service.sim.log().now;
    service.numbered(1);
    let mut ws = service.since(&begin.to_string()).await;
    assert_eq!(ws.sequences(1).await, [1]);
    let place = format!("since?access_token={{token}}&since={begin}");
    while service.try_gateway(&place, None).await.is_ok() {
        assert!(service.sim.log().now < begin + 10_000);
    }
    assert!(service.sim.log().now >= begin + 100);
}

#[tokio::test]
async fn events_come_in_arrays_and_none_waits_for_long() {
    let service = Service::start(r#"{"gateway":{"positions":"sequence","batch":4}}"#).await;
    for n in 1..=10 {
        service.numbered(n);
    }
    let mut ws = service.since("1").await;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        sizes.push(ws.json().await.as_array().unwrap().len());
    }
    assert_eq!(sizes, [4, 4, 2]);
    // A single one comes too, in an array of its own.
    service.numbered(11);
    assert_eq!(ws.json().await.as_array().unwrap().len(), 1);
    let log = service.until(|log| log.gateway[0].events == 11).await;
    assert!(log.events.iter().all(|event| event.reason.is_none()));
    assert_eq!((log.counts.delivered, log.counts.undelivered), (11, 0));
    for n in 12..=111 {
        service.numbered(n);
    }
    let expected: Vec<_> = (12..=111).collect();
    assert_eq!(ws.sequences(100).await, expected);
    service.until(|log| log.gateway[0].events == 111).await;
}

#[tokio::test]
async fn an_array_that_waits_is_overtaken_by_nothing_and_lost_with_its_connection() {
    let service = Service::start(r#"{"gateway":{"batch":100}}"#).await;
    let mut ws = service.gateway("open").await;
    service.numbered(1);
    service.numbered(2);
    service.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"close","code":1000}}"#);
    assert_eq!(ws.sequences(2).await, [1, 2]);
    assert_eq!(ws.closed().await, Some(1000));

    // On a busy machine they may have waited long enough before the fault.
    for attempt in 1.. {
        let mut ws = service.gateway("open").await;
        service.numbered(3);
        service.fault(r#"{"match":{"operation":"socket"},"action":{"kind":"reset"}}"#);
        ws.broken().await;
        let log = service.until(|log| log.events.iter().all(|e| e.reason.as_deref() != Some("queued"))).await;
        match log.events.last().unwrap().reason.as_deref() {
            Some(reason) => return assert_eq!(reason, "faulted:reset"),
            None => assert!(attempt < 100, "none was lost"),
        }
    }
}

#[tokio::test]
async fn a_topic_can_be_asked_for_from_a_position_on() {
    let service = Service::start(r#"{"gateway":{"positions":"sequence"}}"#).await;
    for topic in ["a", "b", "a", "b"] {
        service.sim.publish(topic, Some("0")).unwrap();
    }
    let mut ws = service.gateway("first-message").await;
    ws.say(&format!(r#"{{"access_token":"{}","since":"2"}}"#, service.token)).await;
    assert_eq!(ws.json().await["event"], "connected");
    ws.say(r#"{"topic":"a"}"#).await;
    ws.say(r#"{"topic":"b","since":"4"}"#).await;
    // A topic that is asked for again begins no more than once.
    ws.say(r#"{"topic":"a"}"#).await;
    ws.say(r#"{"topic":"c","since":"9"}"#).await;
    assert_eq!(ws.sequences(2).await, [3, 4]);
    assert_eq!(ws.json().await["error"], "position_expired");
    for topic in ["a", "c"] {
        service.sim.publish(topic, Some("0")).unwrap();
    }
    assert_eq!(ws.sequences(1).await, [5]);
    let record = &service.sim.log().gateway[0];
    let asked: Vec<_> = record.asked.iter().map(|asked| asked.topic.as_str()).collect();
    assert_eq!((asked, record.replayed), (vec!["a", "b", "a"], 2));
    assert_eq!(service.sim.log().events[5].reason.as_deref(), Some("noSubscriber"));
}

//! Frames like those of the service: conversations, alike in their members, different in their values.

use std::fmt::Write;
use std::sync::LazyLock;

/// Frames of a payload, no two of them alike.
const FRAMES: u64 = 128;

/// Topics they are spread over.
pub(crate) const TOPICS: u64 = 100;

pub(crate) static SMALL: LazyLock<Vec<String>> = LazyLock::new(|| payload(450, 0));
pub(crate) static MEDIUM: LazyLock<Vec<String>> = LazyLock::new(|| payload(4_100, 6));
pub(crate) static LARGE: LazyLock<Vec<String>> = LazyLock::new(|| payload(24_000, 39));

pub(crate) fn topic(number: u64) -> String {
    format!("v2.users.{}.conversations.calls", id(number % TOPICS))
}

/// A frame without participants is 450 B long; each of them adds some 600 B.
fn payload(about: usize, participants: u64) -> Vec<String> {
    let frames: Vec<_> = (0..FRAMES).map(|number| frame(number, participants)).collect();
    let mean = frames.iter().map(String::len).sum::<usize>() / frames.len();
    assert!(mean.abs_diff(about) < about / 20, "{mean} B instead of {about}");
    frames
}

fn frame(number: u64, participants: u64) -> String {
    let mut all = String::new();
    for i in 0..participants {
        let comma = if i > 0 { "," } else { "" };
        all.push_str(comma);
        all.push_str(&participant(number * 100 + i));
    }
    format!(
        r#"{{"topicName":"{topic}","version":"2","eventBody":{{"id":"{conversation}","address":"tel:+4930{number:07}","startTime":"2026-03-14T15:09:26.{ms:03}Z","maxParticipants":{participants},"recordingState":"none","isActive":true,"participants":[{all}],"divisions":[{{"division":{{"id":"{division}"}},"entities":[]}}]}},"metadata":{{"CorrelationId":"{correlation}"}}}}"#,
        topic = topic(number),
        conversation = id(number),
        ms = number % 1000,
        division = id(7),
        correlation = id(number + 1_000_000),
    )
}

fn participant(number: u64) -> String {
    let mut text = String::new();
    let roles = ["customer", "acd", "agent", "ivr"];
    let states = ["alerting", "connected", "disconnected", "contacting"];
    write!(
        text,
        r#"{{"id":"{id}","name":"Participant {number}","address":"sip:{number}@example.com","purpose":"{purpose}","state":"{state}","direction":"inbound","held":{held},"muted":false,"confined":false,"provider":"Edge","startTime":"2026-03-14T15:09:{second:02}.535Z","connectedTime":"2026-03-14T15:10:{second:02}.897Z","user":{{"id":"{user}","name":"Agent \"{number}\""}},"queue":{{"id":"{queue}"}},"attributes":{{"priority":"{priority}","score":0.{number},"note":"line one\nline two"}},"disconnectReasons":[],"errorInfo":null,"wrapupRequired":{held},"mediaRoles":["full","monitor"]}}"#,
        id = id(number),
        purpose = roles[(number % 4) as usize],
        state = states[(number / 4 % 4) as usize],
        held = number.is_multiple_of(3),
        second = number % 60,
        user = id(number + 10),
        queue = id(number % 9),
        priority = number % 10,
    )
    .unwrap();
    text
}

fn id(number: u64) -> String {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{:08x}-{:04x}-4000-8000-{number:012x}", mixed >> 32, mixed >> 16 & 0xffff)
}

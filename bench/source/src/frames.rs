//! The frames of each payload. The simulator writes the bodies from the service's schemas; here they are sorted by size.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{Read, Write},
    net::TcpStream,
    ops::RangeInclusive,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use genesys_notifications_sim::{SimOptions, Simulator};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio_tungstenite::tungstenite::{self, Message};

/// What most programs subscribe to. Only these, so that a thousand ids are not a thousand schemas.
const TEMPLATES: [&str; 28] = [
    "v2.users.{id}.presence",
    "v2.users.{id}.routingStatus",
    "v2.users.{id}.station",
    "v2.users.{id}.activity",
    "v2.users.{id}.outofoffice",
    "v2.users.{id}.conversationsummary",
    "v2.users.{id}.conversations",
    "v2.users.{id}.conversations.calls",
    "v2.users.{id}.conversations.callbacks",
    "v2.users.{id}.conversations.chats",
    "v2.users.{id}.conversations.emails",
    "v2.users.{id}.conversations.messages",
    "v2.routing.queues.{id}.users",
    "v2.routing.queues.{id}.conversations",
    "v2.routing.queues.{id}.conversations.calls",
    "v2.routing.queues.{id}.conversations.messages",
    "v2.analytics.queues.{id}.observations",
    "v2.analytics.users.{id}.aggregates",
    "v2.detail.events.conversation.{id}.acd.start",
    "v2.detail.events.conversation.{id}.acd.end",
    "v2.detail.events.conversation.{id}.acw",
    "v2.detail.events.conversation.{id}.customer.start",
    "v2.detail.events.conversation.{id}.customer.end",
    "v2.detail.events.conversation.{id}.user.start",
    "v2.detail.events.conversation.{id}.user.end",
    "v2.detail.events.conversation.{id}.wrapup",
    "v2.conversations.{id}.transcription",
    "v2.detail.events.conversation.{id}.attributes",
];
/// One channel carries a thousand topics.
const IDS: u32 = 34;
const LARGE: &str = "v2.users.{id}.conversations";
const MARK_TOPIC: &str = "v2.users.00000000-0000-4000-8000-999999999999.presence";

const SMALL_BYTES: RangeInclusive<usize> = 380..=520;
const MEDIUM_BYTES: RangeInclusive<usize> = 3_500..=4_700;
const LARGE_BYTES: RangeInclusive<usize> = 23_000..=25_500;
/// Different frames of each payload, and events of the mixes.
const SMALL_FRAMES: usize = 2_000;
const MEDIUM_FRAMES: usize = 500;
const LARGE_FRAMES: usize = 100;
const MIX_EVENTS: usize = 1_000;
/// Where it only matters that there are some.
const PART_FOR_TESTS: usize = 10;
const EVENTS_PER_HEARTBEAT: usize = 100;
/// Generated names are ASCII; in the payload `names` they are these, as names of people are: one byte of Latin-1 each.
const NAMES: [(&str, &str); 8] = [
    ("Bjorn", "Björn"),
    ("Chandra", "François"),
    ("Goran", "Jürgen"),
    ("Dolores", "Begoña"),
    ("Lindqvist", "Håkansson"),
    ("Ramirez", "Ramírez"),
    ("Meyer", "Müller"),
    ("Silva", "Simões"),
];
/// The generator that does not fill a payload within so many bodies does not fit to it.
const MOST_BODIES: usize = 100_000;

/// Every topic that a frame may have.
pub(crate) fn topics() -> impl Iterator<Item = String> {
    (0..IDS).flat_map(|number| TEMPLATES.iter().map(move |template| topic(template, number)))
}

/// The topic of the [`mark`].
pub(crate) fn mark_topic() -> String {
    MARK_TOPIC.to_owned()
}

/// The frame of an event that tells the end of an order.
pub(crate) fn mark() -> Vec<u8> {
    let mut frame = Vec::new();
    push_frame(&mut frame, &json!({ "topicName": MARK_TOPIC, "eventBody": { "id": "mark" } }).to_string());
    frame
}

fn topic(template: &str, number: u32) -> String {
    template.replace("{id}", &format!("00000000-0000-4000-8000-{number:012}"))
}

/// Frames one after another, and where each event (with the heartbeat before it, if there is one) ends.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    text_bytes: usize,
    beyond_ascii: usize,
}

/// All payloads by name; `is_test`: a tenth of them.
pub(crate) fn all(is_test: bool) -> Result<BTreeMap<&'static str, Frames>, Box<dyn Error>> {
    let [smalls, mediums, larges, mixed] = [SMALL_FRAMES, MEDIUM_FRAMES, LARGE_FRAMES, MIX_EVENTS]
        .map(|count| if is_test { count / PART_FOR_TESTS } else { count });
    let mut bodies = Bodies::open()?;
    let (mut small, mut medium) = (Vec::new(), Vec::new());
    let names: Vec<_> = topics().collect();
    for name in names.iter().cycle().take(MOST_BODIES) {
        if small.len() == smalls && medium.len() == mediums {
            break;
        }
        let text = bodies.next(name)?;
        if SMALL_BYTES.contains(&text.len()) && small.len() < smalls {
            small.push(text);
        } else if MEDIUM_BYTES.contains(&text.len()) && medium.len() < mediums {
            medium.push(text);
        }
    }
    let mut large = Vec::new();
    for number in (0..IDS).cycle().take(MOST_BODIES) {
        if large.len() == larges {
            break;
        }
        let text = grown(&mut bodies, &topic(LARGE, number))?;
        if LARGE_BYTES.contains(&text.len()) {
            large.push(text);
        }
    }
    if (small.len(), medium.len(), large.len()) != (smalls, mediums, larges) {
        return Err(format!("{} small, {} medium, {} large", small.len(), medium.len(), large.len()).into());
    }
    let mix: Vec<_> = (0..mixed)
        .map(|i| match i % 20 {
            // 80, 15 and 5 in a hundred.
            9 => &large[i % large.len()],
            3 | 11 | 17 => &medium[i % medium.len()],
            _ => &small[i % small.len()],
        })
        .collect();
    let names: Vec<_> = mix.iter().map(|text| named(text)).collect();
    Ok(BTreeMap::from([
        ("mix", Frames::new(mix, Some(EVENTS_PER_HEARTBEAT))),
        ("names", Frames::new(&names, Some(EVENTS_PER_HEARTBEAT))),
        ("small", Frames::new(&small, None)),
        ("medium", Frames::new(&medium, None)),
        ("large", Frames::new(&large, None)),
    ]))
}

fn named(text: &str) -> String {
    NAMES.iter().fold(text.to_owned(), |text, (plain, name)| text.replace(plain, name))
}

/// A long conversation: the participants of several bodies in one.
fn grown(bodies: &mut Bodies, topic: &str) -> Result<String, Box<dyn Error>> {
    let mut text = bodies.next(topic)?;
    while text.len() < *LARGE_BYTES.start() {
        let more = bodies.next(topic)?;
        let (Some(into), Some(from)) = (participants(&text)?, participants(&more)?) else {
            text = more;
            continue;
        };
        let items = from.trim_start_matches('[').trim_end_matches(']');
        // Behind the opening bracket.
        let at = into.as_ptr().addr() - text.as_ptr().addr() + 1;
        let comma = if into.len() > 2 { "," } else { "" };
        let items = format!("{items}{comma}");
        text.insert_str(at, &items);
    }
    Ok(text)
}

fn participants(frame: &str) -> Result<Option<&str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, rename = "eventBody")]
        body: Body<'a>,
    }
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        participants: Option<&'a RawValue>,
    }
    let envelope: Envelope<'_> = serde_json::from_str(frame)?;
    Ok(envelope.body.participants.map(RawValue::get).filter(|list| list.len() > 2))
}

impl Frames {
    fn new<'a>(texts: impl IntoIterator<Item = &'a String>, events_per_heartbeat: Option<usize>) -> Self {
        let heartbeat =
            json!({ "topicName": "channel.metadata", "eventBody": { "message": "WebSocket Heartbeat" } });
        let heartbeat = heartbeat.to_string();
        let mut frames = Self { bytes: Vec::new(), ends: Vec::new(), text_bytes: 0, beyond_ascii: 0 };
        for (i, text) in texts.into_iter().enumerate() {
            if events_per_heartbeat.is_some_and(|every| i % every == 0) {
                push_frame(&mut frames.bytes, &heartbeat);
            }
            push_frame(&mut frames.bytes, text);
            frames.ends.push(frames.bytes.len());
            frames.text_bytes += text.len();
            frames.beyond_ascii += usize::from(!text.is_ascii());
        }
        frames
    }

    /// For the first line of this process.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "events": self.ends.len(),
            "bytes": self.bytes.len(),
            "bytesPerEvent": self.text_bytes as f64 / self.ends.len() as f64,
            "beyondAscii": self.beyond_ascii as f64 / self.ends.len() as f64,
        })
    }

    /// So many events, from the first on and over again, in pieces of whole frames: one event, or as many as fit.
    pub(crate) fn pieces(&self, mut events: usize, bytes: usize) -> impl Iterator<Item = &[u8]> {
        let mut next = 0;
        std::iter::from_fn(move || {
            if events == 0 {
                return None;
            }
            let begin = if next == 0 { 0 } else { self.ends[next - 1] };
            let mut end = self.ends[next];
            (next, events) = (next + 1, events - 1);
            while events > 0 && next < self.ends.len() && self.ends[next] - begin <= bytes {
                end = self.ends[next];
                (next, events) = (next + 1, events - 1);
            }
            next %= self.ends.len();
            Some(&self.bytes[begin..end])
        })
    }
}

fn push_frame(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(0x81);
    match u16::try_from(text.len()) {
        Ok(short @ 0..126) => bytes.push(short as u8),
        Ok(medium) => {
            bytes.push(126);
            bytes.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => {
            bytes.push(127);
            bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}

/// A simulator and a socket to it.
struct Bodies {
    simulator: Simulator,
    socket: tungstenite::WebSocket<TcpStream>,
}

impl Bodies {
    fn open() -> Result<Self, Box<dyn Error>> {
        let simulator = Simulator::start(SimOptions::default())?;
        let urls = simulator.urls();
        let credentials = simulator.credentials();
        let basic = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.client_secret));
        let form = ("application/x-www-form-urlencoded", "grant_type=client_credentials");
        let token = post(&urls.login, "/oauth/token", &format!("Basic {basic}"), form)?;
        let token = format!("Bearer {}", token["access_token"].as_str().ok_or("no token")?);
        let call = |path: &str, body: &str| post(&urls.api, path, &token, ("application/json", body));
        let channel = call("/api/v2/notifications/channels", "{}")?;
        let id = channel["id"].as_str().ok_or("no channel")?;
        let wanted: Vec<_> = topics().map(|topic| json!({ "id": topic })).collect();
        let path = format!("/api/v2/notifications/channels/{id}/subscriptions");
        call(&path, &Value::from(wanted).to_string())?;
        let uri = channel["connectUri"].as_str().ok_or("no connectUri")?;
        let stream = TcpStream::connect(host(&urls.streaming))?;
        let (socket, _) = tungstenite::client(uri, stream).map_err(|error| error.to_string())?;
        Ok(Self { simulator, socket })
    }

    /// The frame of an event with a generated body.
    fn next(&mut self, topic: &str) -> Result<String, Box<dyn Error>> {
        self.simulator.publish(topic, None)?;
        loop {
            if let Message::Text(text) = self.socket.read()?
                && !text.contains("channel.metadata")
            {
                return Ok(text.to_string());
            }
        }
    }
}

fn host(url: &str) -> &str {
    url.split_once("://").map_or(url, |(_, host)| host)
}

fn post(base: &str, path: &str, authorization: &str, content: (&str, &str)) -> Result<Value, Box<dyn Error>> {
    let (kind, body) = content;
    let host = host(base);
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Authorization: {authorization}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.lines().next().unwrap_or_default().into());
    }
    Ok(serde_json::from_str(body)?)
}

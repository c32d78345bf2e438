//! What an event costs the client's thread from the socket to the queue, beside a thread that reads the same bytes and throws
//! them away. Its argument is the program of `bench/source`; Linux only:
//! `cargo build --release -p genesys-notifications-bench-source`, then
//! `cargo run --release -p genesys-notifications-client --example reading target/release/genesys-notifications-bench-source`.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use genesys_notifications_client::{Batch, Bell, Client, ClientState, Options};
use serde_json::{Value, json};

const PAYLOADS: [(&str, u64); 3] = [("small", 400_000), ("medium", 100_000), ("large", 20_000)];

/// A socket that brings nothing for so long has brought all.
const QUIET: Duration = Duration::from_millis(300);

struct Source {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    about: Value,
}

impl Source {
    fn start(program: &str) -> Self {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the source starts");
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let about = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        Self { child, orders, answers, about }
    }

    fn order(&mut self, payload: &str, events: u64, per_second: Option<u64>) {
        let mut order = json!({ "payload": payload, "events": events });
        if let Some(rate) = per_second {
            order["perSecond"] = rate.into();
        }
        writeln!(self.orders, "{order}").unwrap();
    }

    fn answer(&mut self) {
        let answer = self.answers.next().unwrap().unwrap();
        assert!(!answer.contains("\"error\""), "{answer}");
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Default)]
struct Rings {
    count: Mutex<u64>,
    rung: Condvar,
}

impl Bell for Rings {
    fn ring(&self) {
        *self.count.lock().unwrap() += 1;
        self.rung.notify_all();
    }
}

/// Time on a processor of the threads whose names begin so, in nanoseconds.
fn spent(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |file: std::path::PathBuf| std::fs::read_to_string(file).unwrap_or_default();
    let its = tasks.filter(|task| of(task.path().join("comm")).starts_with(name));
    its.map(|task| of(task.path().join("schedstat")).split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// A thread that reads and does nothing else.
fn floor(source: &mut Source, payload: &str, events: u64) -> f64 {
    let address = source.about["plain"].as_str().unwrap().trim_start_matches("ws://").to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .unwrap();
    let mut buffer = vec![0; 16 << 10];
    assert!(stream.read(&mut buffer).unwrap() > 0);
    // The source takes an order for the socket that was opened last.
    std::thread::sleep(QUIET);
    source.order(payload, events, None);
    stream.set_read_timeout(Some(QUIET)).unwrap();
    let reader = std::thread::Builder::new().name("floor".into());
    let reader = reader.spawn(move || {
        while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        spent("floor")
    });
    let nanoseconds = reader.unwrap().join().unwrap();
    source.answer();
    nanoseconds as f64 / 1e3 / events as f64
}

struct Consumer {
    client: Client,
    rings: Arc<Rings>,
    heard: u64,
    batch: Batch,
}

impl Consumer {
    fn connect(source: &Source) -> Self {
        let about = &source.about;
        let credentials = &about["credentials"];
        let options = json!({
            "region": { "login": about["region"]["login"], "api": about["region"]["api"], "streaming": about["plain"] },
            "credentials": {
                "kind": "clientCredentials",
                "clientId": credentials["clientId"],
                "clientSecret": credentials["clientSecret"],
            },
            "topics": about["topics"],
        });
        let rings = Arc::new(Rings::default());
        let client = Client::new(Options::from_json(&options.to_string()).unwrap(), rings.clone()).unwrap();
        client.connect().unwrap();
        let mut consumer = Self { client, rings, heard: 0, batch: Batch::default() };
        while consumer.client.state() != ClientState::Connected {
            consumer.take();
            consumer.wait();
        }
        consumer
    }

    fn take(&mut self) {
        loop {
            let had_controls = !self.client.take_controls().is_empty();
            let more = self.client.drain(&mut self.batch, 64, 1 << 16).events;
            if !had_controls && !more && self.batch.is_empty() {
                return;
            }
        }
    }

    fn wait(&mut self) {
        let count = self.rings.count.lock().unwrap();
        let heard = self.heard;
        let is_old = |count: &mut u64| *count == heard;
        self.heard = *self.rings.rung.wait_timeout_while(count, Duration::from_millis(20), is_old).unwrap().0;
    }

    fn measure(
        &mut self,
        source: &mut Source,
        payload: &str,
        events: u64,
        per_second: Option<u64>,
    ) -> String {
        let (before, rings) = (spent("genesys-notify"), *self.rings.count.lock().unwrap());
        let (begin, delivered) = (Instant::now(), self.client.stats().delivered);
        source.order(payload, events, per_second);
        while self.client.stats().delivered < delivered + events {
            self.wait();
            self.take();
        }
        let took = begin.elapsed().as_secs_f64();
        source.answer();
        let each = (spent("genesys-notify") - before) as f64 / 1e3 / events as f64;
        let rings = *self.rings.count.lock().unwrap() - rings;
        format!(
            "{each:.2} us/event, {:.0} events/s, {:.0} rings/s",
            events as f64 / took,
            rings as f64 / took
        )
    }
}

fn main() {
    let program = std::env::args().nth(1).expect("the program of bench/source");
    let only = std::env::args().nth(2);
    let mut source = Source::start(&program);
    for (payload, events) in
        PAYLOADS.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|it| it == *name))
    {
        let floor = floor(&mut source, payload, events);
        let mut consumer = Consumer::connect(&source);
        for _ in 0..3 {
            let figures = consumer.measure(&mut source, payload, events, None);
            eprintln!("{payload}: {figures}; reading alone {floor:.2} us/event");
        }
    }
    if only.is_none() {
        let mut consumer = Consumer::connect(&source);
        for rate in [100, 1_000, 5_000] {
            let figures = consumer.measure(&mut source, "small", 3 * rate, Some(rate));
            eprintln!("small, {rate} a second: {figures}");
        }
    }
}

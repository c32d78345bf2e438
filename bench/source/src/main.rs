//! The source of the benchmarks: a process that holds ready-made frames in memory and writes them to the WebSocket that
//! was opened last, as fast as it is read or at an exact pace. Loopback only; it ends with its standard input.
//!
//! With `--test` it holds few of them. The first line it prints says where it listens and what it can send. Each line it reads is an [`Order`], answered by
//! one line. Simulators beside it grant tokens and channels; their `connectUri` names a socket of this process, plain or
//! over TLS.

mod frames;
mod order;
mod socket;
mod tls;

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, BufRead, Write},
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread,
};

use genesys_notifications_sim::{ClientOptions, SimError, SimOptions, Simulator};
use serde_json::json;

use crate::{frames::Frames, order::Order, socket::Latest, tls::Authority};

const CLIENTS: usize = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let plain_url = format!("ws://{}", plain.local_addr()?);
    let secure_url = format!("wss://{}", secure.local_addr()?);
    let simulator = advertising(&plain_url)?;
    let secured = advertising(&secure_url)?;
    let payloads = Arc::new(frames::all(std::env::args().any(|argument| argument == "--test"))?);
    let topics: Vec<_> = frames::topics().chain([frames::mark_topic()]).collect();
    let authority = Authority::new()?;
    let latest = Latest::default();
    let config = authority.server()?;
    listen(plain, &payloads, &latest, Ok);
    listen(secure, &payloads, &latest, move |stream| tls::accept(stream, &config));
    say(&json!({
        "region": { "login": simulator.urls().login, "api": simulator.urls().api },
        "secureRegion": { "login": secured.urls().login, "api": secured.urls().api },
        "credentials": clients().map(|client| json!({ "clientId": client.id, "clientSecret": client.secret })).collect::<Vec<_>>(),
        "plain": plain_url,
        "secure": secure_url,
        "certificate": authority.certificate(),
        "topics": topics,
        "mark": frames::mark_topic(),
        "payloads": payloads.iter().map(|(name, frames)| (name, frames.summary())).collect::<BTreeMap<_, _>>(),
    }))?;
    for line in io::stdin().lock().lines() {
        let answer = match serde_json::from_str::<Order>(&line?) {
            Ok(order) if payloads.contains_key(order.payload.as_str()) => latest.carry_out(order),
            Ok(order) => json!({ "error": format!("no such payload: {}", order.payload) }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        say(&answer)?;
    }
    Ok(())
}

/// A simulator whose channels are here.
fn advertising(url: &str) -> Result<Simulator, SimError> {
    Simulator::start(SimOptions {
        advertised_streaming: Some(url.to_owned()),
        clients: clients().collect(),
        log_limit: 10_000,
        ..SimOptions::default()
    })
}

/// Channels outlive the processes that made them: each process is another client, or it would find none left.
fn clients() -> impl Iterator<Item = ClientOptions> {
    (0..CLIENTS).map(|number| ClientOptions {
        id: format!("bench-{number}"),
        secret: "loopback only".to_owned(),
        user_id: None,
        codes: Vec::new(),
        refresh_tokens: Vec::new(),
        assertions: Vec::new(),
    })
}

/// Serves a listener on threads of its own, one per connection.
fn listen<S, F>(
    listener: TcpListener,
    payloads: &Arc<BTreeMap<&'static str, Frames>>,
    latest: &Latest,
    open: F,
) where
    S: io::Read + io::Write,
    F: Fn(std::net::TcpStream) -> Result<S, Box<dyn Error>> + Clone + Send + 'static,
{
    let (payloads, latest) = (Arc::clone(payloads), latest.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (payloads, latest, open) = (Arc::clone(&payloads), latest.clone(), open.clone());
            // How a connection ends is the peer's business; an order in progress says so itself.
            thread::spawn(move || socket::serve(stream, open, &payloads, &latest).ok());
        }
    });
}

fn say(value: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()
}

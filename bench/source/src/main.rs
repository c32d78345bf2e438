//! The source of the benchmarks: a process that holds ready-made frames in memory and writes them to the WebSocket that
//! was opened last, as fast as it is read or at an exact pace. Loopback only; it ends with its standard input.
//!
//! The first line it prints says where it listens and what it can send. Each line it reads is an [`Order`], answered by
//! one line. A simulator beside it grants tokens and channels; its `connectUri` names the socket of this process.

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

use genesys_notifications_sim::{SimOptions, Simulator};
use serde_json::json;

use crate::{frames::Frames, order::Order, socket::Latest, tls::Authority};

fn main() -> Result<(), Box<dyn Error>> {
    let plain = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let secure = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let plain_url = format!("ws://{}", plain.local_addr()?);
    let secure_url = format!("wss://{}", secure.local_addr()?);
    let simulator = Simulator::start(SimOptions {
        advertised_streaming: Some(plain_url.clone()),
        channels_per_client: 10_000,
        log_limit: 10_000,
        ..SimOptions::default()
    })?;
    let payloads = Arc::new(frames::all()?);
    let topics: Vec<_> = frames::topics().collect();
    let authority = Authority::new()?;
    let latest = Latest::default();
    let config = authority.server()?;
    listen(plain, &payloads, &latest, Ok);
    listen(secure, &payloads, &latest, move |stream| tls::accept(stream, &config));
    say(&json!({
        "region": { "login": simulator.urls().login, "api": simulator.urls().api },
        "credentials": simulator.credentials(),
        "plain": plain_url,
        "secure": secure_url,
        "certificate": authority.certificate(),
        "topics": topics,
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

//! From a URL to an open WebSocket: name, TCP, TLS, upgrade. Redirects are failures.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use genesys_notifications_proto::{Failure, NetworkKind};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::{Host, Url};

use crate::http::{Answer, Meta, io_kind};
use crate::secret::{Secret, Secrets};

/// The largest message accepted. The service documents no limit; bodies of a few hundred kB are known.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// With it a connection costs 33 kB instead of the 150 kB of tungstenite's default.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// What waits to be sent is one frame and perhaps a pong; more than the longest frame of ours means that the peer does not read.
const MAX_WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Head start of one address over the next (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

pub(crate) type WebSocket = WebSocketStream<Box<dyn Transport>>;

/// Where to, and what else the upgrade needs.
pub(crate) struct Target {
    /// A secret, as a whole; checked by whoever had it from outside.
    pub(crate) url: Url,
    /// Goes into the header `Authorization`.
    pub(crate) bearer: Option<Secret>,
    /// The longest frame that will be sent, in bytes.
    pub(crate) longest_frame: usize,
}

impl Target {
    /// A channel's URI, checked.
    pub(crate) fn channel(url: Url) -> Self {
        Self { url, bearer: None, longest_frame: 0 }
    }
}

/// Opens a WebSocket. The caller bounds it in time.
///
/// # Errors
/// None of them holds the URL.
///
/// # Cancel safety
/// Whatever was opened so far is dropped.
pub(crate) async fn dial(
    target: &Target,
    tls: &Arc<ClientConfig>,
    wall_ms: u64,
    secrets: &Secrets,
) -> Result<WebSocket, Failure> {
    let Target { url, bearer, longest_frame } = target;
    let request = upgrade(url, bearer.as_ref())?;
    let stream = connect(url, secrets).await?;
    tune(&stream);
    let transport: Box<dyn Transport> = if url.scheme() == "wss" {
        let connector = TlsConnector::from(tls.clone());
        Box::new(connector.connect(server_name(url)?, stream).await.map_err(|e| io_failure(&e, secrets))?)
    } else {
        Box::new(stream)
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES + longest_frame);
    match client_async_with_config(request, transport, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(error) => Err(upgrade_failure(&error, wall_ms, secrets)),
    }
}

fn upgrade(url: &Url, bearer: Option<&Secret>) -> Result<Request, Failure> {
    // The library's own words would repeat the URL.
    let refused = |_| Failure::UntrustedUri("no upgrade can be asked for at this URL".into());
    let mut request = url.as_str().into_client_request().map_err(refused)?;
    if let Some(token) = bearer {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value =
            value.map_err(|_| Failure::Protocol("the token cannot be sent in a header".into()))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    Ok(request)
}

async fn connect(url: &Url, secrets: &Secrets) -> Result<TcpStream, Failure> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map_err(|error| network(NetworkKind::Dns, &error, secrets))?.collect()
        }
        None => Vec::new(),
    };
    let mut waiting = by_turns(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::other("the name has no address");
    loop {
        let more = match waiting.next() {
            Some(address) => {
                attempts.push(TcpStream::connect(address));
                true
            }
            None if attempts.is_empty() => return Err(io_failure(&last, secrets)),
            None => false,
        };
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

/// The two families by turns, so that a broken one costs one head start.
fn by_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(ours.len() + others.len());
    ours.reverse();
    others.reverse();
    while !ours.is_empty() || !others.is_empty() {
        mixed.extend(ours.pop());
        mixed.extend(others.pop());
    }
    mixed
}

/// Neither is worth failing for.
fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
    let _ = stream.set_nodelay(true);
}

pub(crate) fn server_name(url: &Url) -> Result<ServerName<'static>, Failure> {
    let name = match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
        Some(Host::Ipv4(address)) => Some(ServerName::from(std::net::IpAddr::from(address))),
        Some(Host::Ipv6(address)) => Some(ServerName::from(std::net::IpAddr::from(address))),
        None => None,
    };
    name.ok_or_else(|| Failure::UntrustedUri("the URL is refused: its host is not a name".into()))
}

fn upgrade_failure(error: &Error, wall_ms: u64, secrets: &Secrets) -> Failure {
    match error {
        Error::Http(response) => {
            let meta = Meta::read(response.headers(), wall_ms, secrets);
            let body = response.body().clone().unwrap_or_default();
            Answer { status: response.status().as_u16(), meta, body }.failure(secrets)
        }
        Error::Io(error) => io_failure(error, secrets),
        Error::ConnectionClosed | Error::AlreadyClosed => Failure::Network {
            kind: NetworkKind::Reset,
            detail: "the peer hung up instead of answering the upgrade".into(),
        },
        other => Failure::Protocol(secrets.scrub(&format!("the upgrade failed: {other}"))),
    }
}

/// An I/O error in scrubbed words.
pub(crate) fn io_failure(error: &io::Error, secrets: &Secrets) -> Failure {
    network(io_kind(error), error, secrets)
}

fn network(kind: NetworkKind, error: &io::Error, secrets: &Secrets) -> Failure {
    Failure::Network { kind, detail: secrets.scrub(&error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_families_take_turns() {
        let parse =
            |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = by_turns(parse(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]));
        assert_eq!(mixed, parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]));
        assert!(by_turns(Vec::new()).is_empty());
    }
}

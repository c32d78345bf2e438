//! With the option `tls` every host is behind TLS, and what happens inside is the same.
#![allow(clippy::unwrap_used)]

use std::{io, sync::Arc};

use genesys_notifications_sim::{Rule, SimOptions, Simulator};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

fn start(options: &str) -> Simulator {
    Simulator::start(SimOptions::from_json(options).unwrap()).unwrap()
}

async fn connect(url: &str, trusted: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = url.split("://").nth(1).unwrap();
    let stream = TcpStream::connect(host).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The status line of the answer to a request without authorization.
async fn ask(url: &str, trusted: &str, path: &str) -> io::Result<String> {
    let mut stream = connect(url, trusted).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer).unwrap();
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_host_shows_a_certificate_of_the_simulators_authority() {
    let sim = start(r#"{"tls":true}"#);
    let urls = sim.urls().clone();
    assert!(urls.login.starts_with("https://127.0.0.1:") && urls.api.starts_with("https://127.0.0.1:"));
    assert!(urls.streaming.starts_with("wss://127.0.0.1:"));
    let authority = sim.certificate().unwrap();
    assert_eq!(ask(&urls.login, authority, "/oauth/token").await.unwrap(), "HTTP/1.1 405 Method Not Allowed");
    let channels = "/api/v2/notifications/channels";
    assert_eq!(ask(&urls.api, authority, channels).await.unwrap(), "HTTP/1.1 401 Unauthorized");
    // Each port serves its own host only.
    assert_eq!(ask(&urls.login, authority, channels).await.unwrap(), "HTTP/1.1 404 Not Found");
    assert_eq!(ask(&urls.streaming, authority, "/channels/x").await.unwrap(), "HTTP/1.1 400 Bad Request");
}

#[tokio::test]
async fn authorities_differ_from_one_simulator_to_the_next() {
    let (sim, other) = (start(r#"{"tls":true}"#), start(r#"{"tls":true}"#));
    let error = connect(&sim.urls().api, other.certificate().unwrap()).await.unwrap_err();
    assert!(error.get_ref().unwrap().is::<rustls::Error>(), "{error}");
    assert_eq!(start("{}").certificate(), None);
}

#[tokio::test]
async fn a_reset_is_one_outside_too() {
    let sim = start(r#"{"tls":true}"#);
    sim.fault(Rule::from_json(r#"{"match":{"operation":"token"},"action":{"kind":"reset"}}"#).unwrap())
        .unwrap();
    let mut stream = connect(&sim.urls().login, sim.certificate().unwrap()).await.unwrap();
    stream.write_all(b"POST /oauth/token HTTP/1.1\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let error = stream.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn stopping_ends_connections_and_frees_the_port() {
    let sim = start(r#"{"tls":true}"#);
    let mut stream = connect(&sim.urls().api, sim.certificate().unwrap()).await.unwrap();
    sim.stop();
    assert_eq!(stream.read(&mut [0; 1]).await.map_err(|error| error.kind()).unwrap_or(0), 0);
    TcpStream::connect(sim.urls().api.split("://").nth(1).unwrap()).await.unwrap_err();
}

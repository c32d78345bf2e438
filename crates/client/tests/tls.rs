//! TLS is always verified: a private authority is trusted where it was given, and nothing else is.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Observer, World};
use genesys_notifications_client::{ClientState, Control, Notice};
use genesys_notifications_sim::{SimOptions, Simulator};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

// P8.2
#[test]
fn a_private_authority_is_trusted_where_it_was_given() {
    let (authority, other) = (Authority::new(), Authority::new());
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut world = Secured::start(&authority, "localhost", version).world(&[&other.pem, &authority.pem]);
        world.observer.client.connect().unwrap();
        world.until_connected();
        world.until_events_flow();
        assert_eq!(world.observer.client.state(), ClientState::Connected);
    }
}

// P8.2
#[test]
fn a_certificate_that_vouches_for_itself_is_trusted_where_it_was_given() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let acceptor = acceptor(certificate.der(), &key, &rustls::version::TLS13);
    let mut world = Secured::behind(acceptor).world(&[&pem(certificate.der())]);
    world.observer.client.connect().unwrap();
    world.until_connected();
}

// P8.2
#[test]
fn rest_calls_and_sockets_share_what_is_trusted_and_connections_are_used_again() {
    let authority = Authority::new();
    let secured = Secured::start(&authority, "localhost", &rustls::version::TLS13);
    let handshakes = secured.handshakes.clone();
    let mut world = secured.world(&[&authority.pem]);
    world.observer.client.connect().unwrap();
    world.until_connected();
    let number = world.observer.client.rotate();
    let is_settled = |c: &&Control| matches!(c, Control::Notice(Notice::Settled(n)) if n.0 == number);
    world.until("rotated", |world| world.observer.controls().iter().any(is_settled));
    // A token, two channels and their topics are one connection for each host, two sockets one each.
    assert!(world.sim.counts().requests >= 5);
    assert_eq!(handshakes.load(Ordering::Relaxed), 4);
}

// P8.2
#[test]
fn an_unknown_authority_and_a_wrong_name_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let wrong: [(&[&str], _); 3] =
        [(&[], "localhost"), (&[&other.pem], "localhost"), (&[&authority.pem], "elsewhere.example.com")];
    for (trusted, name) in wrong {
        let mut world = Secured::start(&authority, name, &rustls::version::TLS13).world(trusted);
        world.observer.client.connect().unwrap();
        world.until("a TLS error", |world| format!("{:?}", world.observer.told).contains("TlsError"));
        assert!(format!("{:?}", world.observer.told).contains("network.ca"));
        assert_eq!(world.sim.log().requests.len(), 0);
    }
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: pem(certificate.der()), issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, name: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        acceptor(params.signed_by(&key, &self.issuer).unwrap().der(), &key, version)
    }
}

fn acceptor(
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
    version: &'static SupportedProtocolVersion,
) -> TlsAcceptor {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

/// A simulator behind TLS-terminating listeners on loopback. The simulator's connectUri names its own plain address, so
/// a fault rewrites it.
struct Secured {
    sim: Simulator,
    urls: String,
    handshakes: Arc<AtomicU64>,
    _runtime: tokio::runtime::Runtime,
}

impl Secured {
    fn start(authority: &Authority, name: &str, version: &'static SupportedProtocolVersion) -> Self {
        Self::behind(authority.acceptor(name, version))
    }

    fn behind(acceptor: TlsAcceptor) -> Self {
        let sim = Simulator::start(SimOptions::from_json(r#"{"heartbeatMs":200}"#).unwrap()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let handshakes = Arc::new(AtomicU64::new(0));
        let urls = sim.urls();
        let front = |plain: &str| {
            let backend = plain.split_once("://").unwrap().1.to_owned();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            runtime.spawn(terminate(listener, acceptor.clone(), backend, handshakes.clone()));
            port
        };
        let (login, api, streaming) = (front(&urls.login), front(&urls.api), front(&urls.streaming));
        let rule = format!(
            r#"{{"match":{{"operation":"createChannel"}},"action":{{"kind":"connectUri","uri":"wss://localhost:{streaming}/channels/{{id}}"}},"times":null}}"#
        );
        sim.fault(genesys_notifications_sim::Rule::from_json(&rule).unwrap()).unwrap();
        let urls = format!(
            r#"{{"login":"https://localhost:{login}","api":"https://localhost:{api}","streaming":"wss://localhost:{streaming}"}}"#
        );
        Self { sim, urls, handshakes, _runtime: runtime }
    }

    fn world(self, trusted: &[&str]) -> World {
        let trusted = serde_json::json!({ "network": { "ca": trusted } }).to_string();
        let options = common::options(&self.urls, &common::credentials(&self.sim), &trusted);
        // The listeners live as long as the process.
        std::mem::forget(self._runtime);
        World { observer: Observer::new(options, common::environment()), sim: self.sim }
    }
}

async fn terminate(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    backend: String,
    handshakes: Arc<AtomicU64>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, backend, handshakes) = (acceptor.clone(), backend.clone(), handshakes.clone());
        tokio::spawn(async move {
            let Ok(mut secured) = acceptor.accept(stream).await else { return };
            handshakes.fetch_add(1, Ordering::Relaxed);
            let Ok(mut plain) = TcpStream::connect(backend).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut secured, &mut plain).await;
        });
    }
}

//! TLS is always verified: a private authority is trusted where it was given, and nothing else is.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{Observer, World};
use genesys_notifications_client::ClientState;
use genesys_notifications_sim::{SimOptions, Simulator};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

// P8.2
#[test]
fn a_private_authority_is_trusted_where_it_was_given() {
    let authority = Authority::new();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut world = Secured::start(&authority, "localhost", version).world(&authority);
        world.observer.client.connect().unwrap();
        world.until_connected();
        world.until_events_flow();
        assert_eq!(world.observer.client.state(), ClientState::Connected);
    }
}

// P8.2
#[test]
fn an_unknown_authority_and_a_wrong_name_are_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    for (trusted, name) in [(&other, "localhost"), (&authority, "elsewhere.example.com")] {
        let mut world = Secured::start(&authority, name, &rustls::version::TLS13).world(trusted);
        world.observer.client.connect().unwrap();
        world.until("a TLS error", |world| format!("{:?}", world.observer.told).contains("TlsError"));
        assert_eq!(world.sim.log().requests.len(), 0);
    }
}

struct Authority {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let certificate = params.self_signed(&key).unwrap();
        Self { der: certificate.der().to_vec(), issuer: Issuer::new(params, key) }
    }

    fn acceptor(&self, name: &str, version: &'static SupportedProtocolVersion) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A simulator behind TLS-terminating listeners on loopback. The simulator's connectUri names its own plain address, so
/// a fault rewrites it.
struct Secured {
    sim: Simulator,
    urls: String,
    _runtime: tokio::runtime::Runtime,
}

impl Secured {
    fn start(authority: &Authority, name: &str, version: &'static SupportedProtocolVersion) -> Self {
        let sim = Simulator::start(SimOptions::from_json(r#"{"heartbeatMs":200}"#).unwrap()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let acceptor = authority.acceptor(name, version);
        let urls = sim.urls();
        let front = |plain: &str| {
            let backend = plain.split_once("://").unwrap().1.to_owned();
            let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
            let port = listener.local_addr().unwrap().port();
            runtime.spawn(terminate(listener, acceptor.clone(), backend));
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
        Self { sim, urls, _runtime: runtime }
    }

    fn world(self, trusted: &Authority) -> World {
        let options = common::options(&self.urls, &common::credentials(&self.sim), "");
        let environment = common::environment().with_root(trusted.der.clone());
        // The listeners live as long as the process.
        std::mem::forget(self._runtime);
        World { observer: Observer::new(options, environment), sim: self.sim }
    }
}

async fn terminate(listener: TcpListener, acceptor: TlsAcceptor, backend: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, backend) = (acceptor.clone(), backend.clone());
        tokio::spawn(async move {
            let Ok(mut secured) = acceptor.accept(stream).await else { return };
            let Ok(mut plain) = TcpStream::connect(backend).await else { return };
            let _ = tokio::io::copy_bidirectional(&mut secured, &mut plain).await;
        });
    }
}

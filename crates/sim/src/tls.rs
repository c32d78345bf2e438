//! TLS in front of the hosts: an authority that nobody else has, and a relay to the plain ports behind.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::{server::reset, state::World};

/// What the hosts show, and who vouches for it.
pub(crate) struct Identity {
    /// The authority's certificate in PEM.
    pub(crate) authority: String,
    pub(crate) acceptor: TlsAcceptor,
}

impl Identity {
    /// An authority whose key is forgotten at once, and a certificate of it for 127.0.0.1 and localhost.
    pub(crate) fn new() -> Result<Self, String> {
        let key = KeyPair::generate().map_err(words)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(words)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Node takes a certificate whose issuer has the same name for a self-signed one.
        params.distinguished_name.push(DnType::CommonName, "Simulator authority");
        let authority = params.self_signed(&key).map_err(words)?.pem();
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate().map_err(words)?;
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).map_err(words)?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let certificate = params.signed_by(&key, &issuer).map_err(words)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(words)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(words)?;
        Ok(Self { authority, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// Ends TLS and passes on what is inside, until the simulator stops.
pub(crate) async fn relay(world: Arc<World>, listener: TcpListener, acceptor: TlsAcceptor, inner: u16) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = world.until_stopped() => return,
        };
        // As for the plain ports: no failure ends the service.
        let Ok((stream, _)) = accepted else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let (world, acceptor) = (Arc::clone(&world), acceptor.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = pass(stream, acceptor, inner) => {}
                () = world.until_stopped() => {}
            }
        });
    }
}

async fn pass(stream: TcpStream, acceptor: TlsAcceptor, inner: u16) {
    let _ = stream.set_nodelay(true);
    let Ok(mut secured) = acceptor.accept(stream).await else { return };
    let inner = SocketAddr::from((Ipv4Addr::LOCALHOST, inner));
    let Ok(mut plain) = TcpStream::connect(inner).await else { return };
    let _ = plain.set_nodelay(true);
    if copy_bidirectional(&mut secured, &mut plain).await.is_err() {
        // A reset on one side is one on the other.
        reset(secured.get_ref().0);
        reset(&plain);
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

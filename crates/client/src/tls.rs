//! One TLS configuration for REST and sockets: TLS 1.2 and later, ring, Mozilla's roots.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The configuration without extra roots, shared by all clients of the process.
static PUBLIC: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| build(&[]));

/// A configuration that also trusts these roots.
///
/// # Errors
/// If a root is not a certificate, in words.
pub(crate) fn config(extra_roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, String> {
    if extra_roots.is_empty() { PUBLIC.clone() } else { build(extra_roots) }
}

fn build(extra_roots: &[Vec<u8>]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(CertificateDer::from(root.as_slice())).map_err(|error| error.to_string())?;
    }
    // The provider is given here: a process-wide default belongs to whoever owns the process.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

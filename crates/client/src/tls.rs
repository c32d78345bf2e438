//! One TLS configuration for REST and sockets: TLS 1.2 and later, ring, Mozilla's roots and those of the options.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// The configuration without extra roots, shared by all clients of the process.
static PUBLIC: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(|| build(Vec::new()));

/// The last one with extra roots: the clients of a process mostly have the same.
static PRIVATE: Mutex<Option<(Roots, Arc<ClientConfig>)>> = Mutex::new(None);

type Roots = Vec<CertificateDer<'static>>;

/// A configuration that also trusts these roots.
///
/// # Errors
/// If a root is not a certificate, in words.
pub(crate) fn config(extra_roots: Roots) -> Result<Arc<ClientConfig>, String> {
    if extra_roots.is_empty() {
        return PUBLIC.clone();
    }
    let mut last = PRIVATE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((roots, config)) if *roots == extra_roots => Ok(config.clone()),
        _ => {
            let config = build(extra_roots.clone())?;
            *last = Some((extra_roots, config.clone()));
            Ok(config)
        }
    }
}

fn build(extra_roots: Roots) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for root in extra_roots {
        roots.add(root).map_err(|error| error.to_string())?;
    }
    // The provider is given here: a process-wide default belongs to whoever owns the process.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

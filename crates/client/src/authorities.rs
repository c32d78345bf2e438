//! Certificates of private authorities as people have them: PEM, with any words around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use serde::Deserialize;

use crate::options::OptionError;

/// One text, or several; each holds one certificate or more.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Texts {
    One(String),
    Many(Vec<String>),
}

impl Texts {
    /// Every certificate of every text; an error names the text as `path` or `path[1]`.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<CertificateDer<'static>>, OptionError> {
        match self {
            Self::One(text) => read(text).map_err(|why| OptionError::new(path, why)),
            Self::Many(texts) => {
                let mut all = Vec::new();
                for (i, text) in texts.iter().enumerate() {
                    all.extend(read(text).map_err(|why| OptionError::new(format!("{path}[{i}]"), why))?);
                }
                Ok(all)
            }
        }
    }
}

/// The file that was read last: all clients of a process are given the same, and a system's bundle is long.
static LAST_FILE: Mutex<Option<File>> = Mutex::new(None);

struct File {
    path: PathBuf,
    modified: Option<SystemTime>,
    read: Result<Vec<CertificateDer<'static>>, String>,
}

/// Every certificate of a file, which is read again only once it has changed.
///
/// # Errors
/// In words, without anything of the text.
pub(crate) fn of_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let modified = fs::metadata(path).and_then(|file| file.modified()).ok();
    let mut last = LAST_FILE.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some(file) if modified.is_some() && file.modified == modified && file.path == path => {
            file.read.clone()
        }
        _ => {
            let bytes = fs::read(path).map_err(|error| error.to_string());
            let read = bytes.and_then(|bytes| read(&String::from_utf8_lossy(&bytes)));
            *last = Some(File { path: path.to_owned(), modified, read: read.clone() });
            read
        }
    }
}

fn read(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    if !text.contains("-----BEGIN ") {
        return Err(without_sections(text).to_owned());
    }
    // Indented where a program or a YAML file holds it.
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    let mut holds_other = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(lines.join("\n").as_bytes()) {
        let nth = found.len() + 1;
        match section.map_err(|error| malformed(&error, nth, text))? {
            (SectionKind::Certificate, der) => found.push(authority(der, nth)?),
            (SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(
                    "holds a private key, which does not belong here; give the certificate alone".into()
                );
            }
            _ => holds_other = true,
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(match holds_other || text.contains("-----END ") {
        true => "holds no certificate (-----BEGIN CERTIFICATE-----), but something else in PEM".into(),
        false => "holds no certificate".into(),
    })
}

/// What a text most likely is that is not PEM.
fn without_sections(text: &str) -> &'static str {
    let text = text.trim();
    let is_line = !text.is_empty() && !text.contains('\n') && text.len() < 4_096;
    let has_ending = [".pem", ".crt", ".cer", ".der"].iter().any(|ending| text.ends_with(ending));
    if text.starts_with("0\u{82}") {
        "is DER, not PEM; convert it with openssl x509 -inform der"
    } else if is_line && (has_ending || text.starts_with(['/', '.', '~']) || text.contains('\\')) {
        "looks like a path; give what is in the file"
    } else {
        "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
    }
}

/// Not the error's own words: they may repeat the text.
fn malformed(error: &pem::Error, nth: usize, text: &str) -> String {
    match error {
        pem::Error::Base64Decode(_) => format!("is not base64 in certificate {nth}"),
        pem::Error::MissingSectionEnd { .. } => format!("ends within certificate {nth}"),
        _ if text.contains("\\n") => "holds \\n in two characters where line breaks belong".into(),
        _ => format!("is not PEM at certificate {nth}"),
    }
}

/// A certificate that a chain may end with.
fn authority(der: Vec<u8>, nth: usize) -> Result<CertificateDer<'static>, String> {
    let certificate = CertificateDer::from(der);
    match RootCertStore::empty().add(certificate.clone()) {
        Ok(()) => Ok(certificate),
        Err(error) => Err(format!("cannot be used as an authority in certificate {nth}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn section(label: &str, der: &[u8]) -> String {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    }

    fn certificate(is_ca: bool) -> (String, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["host.example.com".into()]).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (section("CERTIFICATE", &der), der)
    }

    fn why(text: &str) -> String {
        let error = Texts::One(text.into()).read("network.ca").unwrap_err();
        assert_eq!(error.path, "network.ca");
        error.message
    }

    #[test]
    fn certificates_are_found_among_any_words() {
        let ((first, one), (second, two)) = (certificate(true), certificate(false));
        let crl = section("X509 CRL", b"list");
        let texts = [
            format!("{first}{second}"),
            format!("Certificate:\n  Data: 7\n{first}subject=x\n{crl}{second}\n# the end"),
            format!("{first}{second}").replace('\n', "\r\n"),
            format!("{first}{second}").replace('\n', "\n      "),
            format!("\u{feff}\n{first}{second}"),
        ];
        for text in texts {
            let found = Texts::One(text.clone()).read("network.ca").unwrap();
            assert_eq!(found.iter().map(|der| der.as_ref()).collect::<Vec<_>>(), [&one, &two], "{text}");
        }
        let several = Texts::Many(vec![first, second]).read("network.ca").unwrap();
        assert_eq!(several.len(), 2);
        assert_eq!(Texts::Many(Vec::new()).read("network.ca").unwrap().len(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_it() {
        let (good, der) = certificate(true);
        let key = section("PRIVATE KEY", b"canary");
        let table = [
            ("", "no certificate in PEM"),
            ("canary", "no certificate in PEM"),
            ("/etc/ssl/canary.pem", "looks like a path"),
            ("canary.crt", "looks like a path"),
            ("C:\\canary\\ca", "looks like a path"),
            (&key, "private key"),
            (&format!("{good}{key}"), "private key"),
            (&section("X509 CRL", b"canary"), "something else"),
            (&section("TRUSTED CERTIFICATE", &der), "something else"),
            (&section("CERTIFICATE", b"canary"), "cannot be used as an authority in certificate 1"),
            (&format!("{good}{}", section("CERTIFICATE", b"canary")), "certificate 2"),
            (&good.replace("MII", "canary!"), "not base64 in certificate 1"),
            (&good[..good.len() / 2], "ends within certificate 1"),
            (&good.replace('\n', "\\n"), "two characters"),
            (&der.iter().map(|byte| char::from(*byte)).collect::<String>(), "is DER"),
        ];
        for (text, words) in table {
            let message = why(text);
            assert!(message.contains(words), "{text}: {message}");
            assert!(!message.contains("canary"), "{message}");
        }
        let second = Texts::Many(vec![good, "nothing".to_owned()]).read("network.ca").unwrap_err();
        assert_eq!(second.path, "network.ca[1]");
    }

    #[test]
    fn a_file_is_read_again_once_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        assert!(of_file(&path).unwrap_err().contains("No such file"));
        let ((first, one), (second, two)) = (certificate(true), certificate(true));
        fs::write(&path, first).unwrap();
        assert_eq!(of_file(&path).unwrap()[0].as_ref(), one);
        assert_eq!(of_file(&path).unwrap()[0].as_ref(), one);
        fs::write(&path, second).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
        assert_eq!(of_file(&path).unwrap()[0].as_ref(), two);
        fs::write(&path, "nothing").unwrap();
        assert!(of_file(&path).unwrap_err().contains("no certificate"));
    }
}

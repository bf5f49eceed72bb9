//! Certificates, keys and revocation lists as they stand in files.

use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer,
        pem::{Error, PemObject},
    },
};

/// The beginning of every PEM block. Files without it have DER.
const BEGINS: &[u8] = b"-----BEGIN ";

/// The certificates of a file, of which there must be one.
///
/// # Errors
/// In a few words, without any part of the file.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| fault(&error))?;
    if found.is_empty() { Err("it has no certificate in PEM (BEGIN CERTIFICATE)".into()) } else { Ok(found) }
}

/// The first private key of a file.
///
/// # Errors
/// In a few words, without any part of the file.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => {
            "it has no private key in PEM (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY); a key under a password cannot be read".into()
        }
        error => fault(&error),
    })
}

/// The certificates of a file, as authorities that are trusted.
///
/// # Errors
/// In a few words.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("a certificate cannot be read: {error}"))?;
    }
    Ok(roots)
}

/// The revocation lists of a file: blocks of PEM, or one list in DER.
///
/// # Errors
/// In a few words.
pub fn revocation_lists(file: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    if !file.is_empty() && !file.windows(BEGINS.len()).any(|window| window == BEGINS) {
        return Ok(vec![file.to_vec().into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(file).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| fault(&error))?;
    if lists.is_empty() { Err("it has no revocation list (BEGIN X509 CRL)".into()) } else { Ok(lists) }
}

/// The kind of a fault. The errors themselves may have lines of the file.
fn fault(error: &Error) -> String {
    match error {
        Error::MissingSectionEnd { .. } => "a PEM block has no end: the file is cut off".into(),
        Error::IllegalSectionStart { .. } => "a PEM block has no proper beginning".into(),
        Error::Base64Decode(_) => "a PEM block is not base64".into(),
        Error::SectionTooLarge => "a PEM block is too large".into(),
        _ => "its PEM cannot be read".into(),
    }
}

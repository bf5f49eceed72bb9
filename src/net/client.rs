//! TLS of the commands that ask a server.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::pem;

/// A certificate with its key, in PEM.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// The certificate.
    pub certificate: &'a [u8],
    /// The key.
    pub key: &'a [u8],
}

/// TLS that trusts the authorities of a file, or those that browsers trust where there is none.
///
/// # Errors
/// The option whose file cannot be used, and why.
pub fn client_config(authorities: Option<&[u8]>, shown: Option<Shown<'_>>) -> Result<ClientConfig, String> {
    let of = |option: &'static str| move |why: String| format!("{option}: {why}");
    let roots = match authorities {
        Some(file) => pem::authorities(file).map_err(of("--ca-file"))?,
        None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some(Shown { certificate, key }) = shown else { return Ok(builder.with_no_client_auth()) };
    let chain = pem::certificates(certificate).map_err(of("--client-cert"))?;
    let key = pem::private_key(key).map_err(of("--client-key"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "--client-key: the key is not that of --client-cert".to_owned(),
        error => format!("--client-cert: {error}"),
    })
}

//! TLS between replicas. Each process makes a certificate at its start and is known by its digest ([`Pin`]), which stands where only replicas write: in
//! the database. There is no authority, and no file.

use std::{fmt, sync::Arc};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::{
    ClientConfig, DistinguishedName as SubjectName, Error, ServerConfig,
    client::danger::{ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
    version::TLS13,
};
use sha2::{Digest, Sha256};

use super::{server::Tls, signatures::signatures};

/// The SHA-256 of a replica's certificate.
pub type Pin = [u8; 32];

/// The certificate of this process and its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// The digest of a certificate.
pub(super) fn pin(certificate: &CertificateDer<'_>) -> Pin {
    Sha256::digest(certificate).into()
}

impl Identity {
    /// A new certificate.
    ///
    /// # Errors
    /// Why there is none.
    pub fn new() -> Result<Self, String> {
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let certificate = params.self_signed(&key).map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Self { certificate: certificate.der().clone(), key })
    }

    /// Its digest.
    pub fn pin(&self) -> Pin {
        pin(&self.certificate)
    }

    /// TLS of the server that other replicas ask. Each client shows a certificate; which ones may ask is decided for each request, by
    /// [`super::ClientCertificate::pin`].
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn server(&self) -> Result<Tls, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> = Arc::new(Shown(provider.clone()));
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let mut config = builder
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(verifier.clone());
                builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            })
            .map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Tls::of_replica(config, verifier))
    }

    /// TLS of a client that asks replicas: servers whose certificate is `known`.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn client(&self, known: impl Fn(&Pin) -> bool + Send + Sync + 'static) -> Result<ClientConfig, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = Arc::new(Known(provider.clone(), Box::new(known)));
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        builder
            .and_then(|builder| {
                let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
                builder.with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            })
            .map_err(|error| error.to_string())
    }
}

/// Verifies that a client has the key of the certificate that it shows.
#[derive(Debug)]
struct Shown(Arc<CryptoProvider>);

/// Verifies that a server has the key of a certificate that is known.
struct Known(Arc<CryptoProvider>, Box<dyn Fn(&Pin) -> bool + Send + Sync>);

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Shown {
    fn root_hint_subjects(&self) -> &[SubjectName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    signatures!();
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if (self.1)(&pin(leaf)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General("it is no replica of this database, or not yet known".into()))
    }

    signatures!();
}

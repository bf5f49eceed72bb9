//! A policy's `tlsConfig` in rustls' terms.
//!
//! As with kube-scheduler, `enableHttps` without any `caData` means that the extender's certificate is taken as it comes.
//!
//! Source: `pkg/scheduler/extender.go` (`makeTransport`), `client-go/transport/transport.go` (`TLSConfigFor`).

use std::sync::Arc;

use rustls::{
    ClientConfig, Error, RootCertStore,
    client::danger::{ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::Cause;
use crate::{
    core::policy::{Extender, TlsConfig},
    net::{pem, signatures::signatures},
};

/// How an extender is spoken to over TLS.
pub(super) fn client_config(extender: &Extender) -> Result<ClientConfig, Cause> {
    let settings = extender.tls.clone().unwrap_or_default();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(wrong("versions"))?;
    let takes_any = settings.insecure || (extender.enable_https && settings.ca_data.is_empty());
    let builder = if takes_any {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(trusted(&settings)?)
    };
    if settings.cert_data.is_empty() || settings.key_data.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let chain = pem::certificates(&settings.cert_data).map_err(wrong("certData"))?;
    let key = pem::private_key(&settings.key_data).map_err(wrong("keyData"))?;
    builder.with_client_auth_cert(chain, key).map_err(wrong("certData"))
}

/// The name that the extender's certificate must have, if it is not the URL's host.
pub(super) fn server_name(extender: &Extender) -> Result<Option<ServerName<'static>>, Cause> {
    let name = extender.tls.as_ref().map(|tls| tls.server_name.clone()).filter(|name| !name.is_empty());
    name.map(|name| ServerName::try_from(name).map_err(wrong("serverName"))).transpose()
}

/// The authorities of the policy; where it names none, those that browsers trust.
fn trusted(settings: &TlsConfig) -> Result<RootCertStore, Cause> {
    if settings.ca_data.is_empty() {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    }
    pem::authorities(&settings.ca_data).map_err(wrong("caData"))
}

fn wrong<E: std::fmt::Display>(field: &'static str) -> impl FnOnce(E) -> Cause {
    move |error| Cause::Tls(format!("{field}: {error}"))
}

/// Takes every certificate; that the peer holds its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

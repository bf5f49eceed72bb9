//! The address for Karmada's schedulers: `--karmada-listen`.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

use super::{Error, tls::Certificates};
use crate::{
    api::{middleware::Limits, serve::Secure},
    config::{Auth, Settings},
};

/// An address, its handshakes if it speaks TLS, and its server.
pub(super) type Door = (TcpListener, Option<Secure>, Router);

/// Opens the address; `None` if none is set.
pub(super) async fn open(settings: &Settings) -> Result<Option<TcpListener>, Error> {
    let Some(listen) = &settings.karmada.karmada_listen else { return Ok(None) };
    #[cfg(not(feature = "karmada"))]
    crate::features::built_in("karmada").map_err(Error::Karmada)?;
    let cannot_listen = |error| Error::Listen(listen.clone(), error);
    let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    check(settings.auth, settings.tls.client_ca_file.is_some(), address)?;
    if settings.auth == Auth::None && !is_loopback(address) {
        tracing::warn!(%address, "ANYBODY WHO REACHES {address} CAN ASK WHAT FITS INTO EVERY CLUSTER: --auth=none asks nobody who they are");
    }
    Ok(Some(listener))
}

/// The server at the address, in front of the API.
pub(super) fn door(
    listener: Option<TcpListener>,
    certificates: Option<&Certificates>,
    router: &Router,
    limits: &Limits,
) -> Option<Door> {
    let listener = listener?;
    let address = listener.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    let secure = certificates.map(|certificates| Secure::new(certificates.tls.clone()));
    tracing::info!(address, is_secure = secure.is_some(), "listening for Karmada's schedulers");
    let router = router.clone();
    #[cfg(feature = "karmada")]
    let router = crate::api::karmada::door(router, limits);
    #[cfg(not(feature = "karmada"))]
    let _ = limits;
    Some((listener, secure, router))
}

/// Refuses an address at which others than this machine could ask without a certificate, unless it is said that nobody is asked who they are.
fn check(auth: Auth, has_authorities: bool, address: SocketAddr) -> Result<(), Error> {
    match auth {
        Auth::None => Ok(()),
        _ if has_authorities || is_loopback(address) => Ok(()),
        Auth::Auto | Auth::Required => Err(Error::Karmada(format!(
            "{address} is no loopback address, and Karmada's schedulers are known by their certificates: name the authorities of these in --client-ca-file \
             (with --tls-cert-file and --tls-key-file), or say --auth=none to let everybody ask"
        ))),
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_loopback_clients_have_certificates_or_it_is_said_aloud() {
        let is_open = |auth, has_authorities, address: &str| {
            check(auth, has_authorities, address.parse().expect("an address")).is_ok()
        };
        for address in ["127.0.0.1:10352", "[::1]:10352", "[::ffff:127.0.0.1]:10352"] {
            assert!(is_open(Auth::Auto, false, address) && is_open(Auth::Required, false, address), "{address}");
        }
        for address in ["0.0.0.0:10352", "[::]:10352", "10.0.0.1:10352"] {
            assert!(!is_open(Auth::Auto, false, address) && !is_open(Auth::Required, false, address), "{address}");
            assert!(is_open(Auth::Auto, true, address) && is_open(Auth::None, false, address), "{address}");
        }
    }
}

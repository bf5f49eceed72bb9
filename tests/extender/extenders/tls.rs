//! Extenders over TLS, under an authority of this test's own.

use std::sync::Arc;

use podberth::{
    core::policy::{Extender, TlsConfig},
    extenders::{Cause, Failure, Filtered},
    net::pem,
};
use podberth_testkit::certificates::{Authority, Wanted};
use rustls::{ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

use super::{
    Given, chain, extender, names,
    peer::{Manner, Peer},
    pod,
};

/// An extender under this name, which may demand a client certificate of the same authority.
async fn serve(authority: &Authority, name: &str, asks_clients: bool) -> (Peer, String) {
    let identity = authority.issue(Wanted { hosts: &[name], ..Wanted::default() });
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = if asks_clients {
        let roots = pem::authorities(authority.pem.as_bytes()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let chain = pem::certificates(identity.certificate.as_bytes()).expect("a certificate");
    let key = pem::private_key(identity.key.as_bytes()).expect("a key");
    let config = builder.with_single_cert(chain, key).expect("a configuration");
    let answers = Manner::Says(Box::new(|_| (200, r#"{"NodeNames":["a"]}"#.into())));
    let peer = Peer::start_with(answers, Some(TlsAcceptor::from(Arc::new(config)))).await;
    let url = format!("https://localhost:{}", peer.address.port());
    (peer, url)
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig { ca_data: authority.pem.clone().into_bytes(), ..TlsConfig::default() }
}

async fn ask(url: &str, enable_https: bool, tls: Option<TlsConfig>) -> Result<Filtered, Failure> {
    let extender = Extender { enable_https, tls, ..extender(url) };
    chain(&[extender]).filter(&pod(), &names(&["a"]), &Given::default()).await
}

#[tokio::test]
async fn certificates_are_held_against_authority_and_name() {
    let authority = Authority::new("authority of a test");
    let (_peer, url) = serve(&authority, "localhost", false).await;
    let (_other, misnamed) = serve(&authority, "extender.test", false).await;
    let trusting = trusting(&authority);
    let named = TlsConfig { server_name: "extender.test".into(), ..trusting.clone() };
    let insecure = TlsConfig { insecure: true, ..TlsConfig::default() };
    for (url, enable_https, tls, good) in [
        (&url, true, Some(trusting.clone()), true),
        (&url, false, Some(trusting.clone()), true),
        (&url, true, Some(named.clone()), false),
        (&misnamed, true, Some(trusting.clone()), false),
        (&misnamed, true, Some(named), true),
        (&url, false, None, false),
        (&url, true, None, true),
        (&misnamed, false, Some(insecure), true),
        (&url, true, Some(super::tls::trusting(&Authority::new("another authority"))), false),
    ] {
        match ask(url, enable_https, tls.clone()).await {
            Ok(filtered) => assert!(good && filtered.fits.len() == 1, "{tls:?}"),
            Err(failure) => assert!(!good && matches!(failure.cause, Cause::Unreachable(_)), "{tls:?}: {failure}"),
        }
    }
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let authority = Authority::new("authority of a test");
    let (peer, url) = serve(&authority, "localhost", true).await;
    let failure = ask(&url, true, Some(trusting(&authority))).await.expect_err("it asks for a certificate");
    assert!(matches!(failure.cause, Cause::Unreachable(_)), "{failure}");
    assert!(peer.asked().is_empty());
    let client = authority.client("podberth", "");
    let known = TlsConfig { cert_data: client.certificate.into(), key_data: client.key.into(), ..trusting(&authority) };
    assert_eq!(ask(&url, true, Some(known.clone())).await.expect("an answer").fits, names(&["a"]));

    let own_key = TlsConfig { key_data: authority.client("another", "").key.into(), ..known.clone() };
    let no_key = TlsConfig { key_data: b"no key".to_vec(), ..known.clone() };
    let no_name = TlsConfig { server_name: "not a name".into(), ..known };
    for wrong in [own_key, no_key, no_name] {
        let failure = ask(&url, true, Some(wrong)).await.expect_err("unusable");
        assert!(matches!(failure.cause, Cause::Tls(_)), "{failure}");
    }
}

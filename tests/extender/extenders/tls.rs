//! Extenders over TLS, under an authority of this test's own.

use std::sync::Arc;

use podberth::{
    core::policy::{Extender, TlsConfig},
    extenders::{Cause, Failure, Filtered},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Given, chain, extender, names,
    peer::{Manner, Peer},
    pod,
};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate")).expect("an authority");
        roots
    }

    /// An extender under this name, which may demand a client certificate of the same authority.
    async fn serve(&self, name: &str, asks_clients: bool) -> (Peer, String) {
        let identity = self.identity(name);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().expect("versions");
        let builder = if asks_clients {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let config = builder.with_single_cert(vec![certificate], key).expect("a configuration");
        let answers = Manner::Says(Box::new(|_| (200, r#"{"NodeNames":["a"]}"#.into())));
        let peer = Peer::start_with(answers, Some(TlsAcceptor::from(Arc::new(config)))).await;
        let url = format!("https://localhost:{}", peer.address.port());
        (peer, url)
    }
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
    let authority = Authority::new();
    let (_peer, url) = authority.serve("localhost", false).await;
    let (_other, misnamed) = authority.serve("extender.test", false).await;
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
        (&url, true, Some(super::tls::trusting(&Authority::new())), false),
    ] {
        match ask(url, enable_https, tls.clone()).await {
            Ok(filtered) => assert!(good && filtered.fits.len() == 1, "{tls:?}"),
            Err(failure) => assert!(!good && matches!(failure.cause, Cause::Unreachable(_)), "{tls:?}: {failure}"),
        }
    }
}

#[tokio::test]
async fn clients_show_their_certificate() {
    let authority = Authority::new();
    let (peer, url) = authority.serve("localhost", true).await;
    let failure = ask(&url, true, Some(trusting(&authority))).await.expect_err("it asks for a certificate");
    assert!(matches!(failure.cause, Cause::Unreachable(_)), "{failure}");
    assert!(peer.asked().is_empty());
    let Identity { certificate, key } = authority.identity("podberth");
    let known = TlsConfig { cert_data: certificate.into(), key_data: key.into(), ..trusting(&authority) };
    assert_eq!(ask(&url, true, Some(known.clone())).await.expect("an answer").fits, names(&["a"]));

    let own_key = TlsConfig { key_data: authority.identity("another").key.into(), ..known.clone() };
    let no_key = TlsConfig { key_data: b"no key".to_vec(), ..known.clone() };
    let no_name = TlsConfig { server_name: "not a name".into(), ..known };
    for wrong in [own_key, no_key, no_name] {
        let failure = ask(&url, true, Some(wrong)).await.expect_err("unusable");
        assert!(matches!(failure.cause, Cause::Tls(_)), "{failure}");
    }
}

//! Handshakes in memory, and reloads by calls.

use std::{sync::Arc, time::Duration};

use podberth_testkit::certificates::{Authority, Identity, Wanted, self_signed};
use proptest::prelude::*;
use rustls::{
    ClientConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::clock;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// Longer than any handshake in memory.
const LATE: Duration = Duration::from_hours(1);

/// The first byte of a client that speaks TLS.
const RECORD: u8 = 22;

fn files(server: &Identity, clients: Option<&Authority>, revoked: Option<String>) -> Files {
    Files {
        certificate: server.certificate.clone().into(),
        key: server.key.clone().into(),
        client_authorities: clients.map(|authority| authority.pem.clone().into()),
        revoked: revoked.map(Into::into),
    }
}

fn client(
    trusted: &Authority,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(pem::authorities(trusted.pem.as_bytes()).expect("authorities"));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificate, key, .. }) => {
            let chain = pem::certificates(certificate.as_bytes()).expect("certificates");
            builder.with_client_auth_cert(chain, pem::private_key(key.as_bytes()).expect("a key")).expect("a pair")
        }
    };
    Arc::new(config)
}

/// A handshake; what the server and the client see. The client reads, since over TLS 1.3 it learns only then that it was refused.
async fn connect(
    tls: &Tls,
    config: &Arc<ClientConfig>,
) -> (Result<Accepted<DuplexStream>, Refusal>, Result<TlsStream<DuplexStream>, String>) {
    let (ours, theirs) = duplex(1 << 16);
    let name = ServerName::try_from("localhost").expect("a name");
    let asking = async {
        let mut stream =
            TlsConnector::from(config.clone()).connect(name, theirs).await.map_err(|error| error.to_string())?;
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.map_err(|error| error.to_string())?;
        Ok(stream)
    };
    let serving = async {
        let mut accepted = accept(ours, RECORD, tls, LATE).await?;
        let _ = accepted.stream.write_all(b"hello").await;
        let _ = accepted.stream.flush().await;
        Ok(accepted)
    };
    tokio::join!(serving, asking)
}

fn user(accepted: &Accepted<DuplexStream>) -> Result<Option<String>, String> {
    let Secured { tls, certificate } = &accepted.secured;
    let Some(certificate) = certificate else { return Ok(None) };
    Ok(certificate.user(tls, clock::now().as_second())?.map(|user| user.name.to_string()))
}

#[tokio::test]
async fn client_certificate_names_its_user() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    assert!(tls.asks_clients());
    for version in [&TLS12, &TLS13] {
        let jane = authority.client("jane", "dev");
        let (accepted, _) = connect(&tls, &client(&authority, Some(&jane), &[version])).await;
        assert_eq!(user(&accepted.expect("a connection")), Ok(Some("jane".into())));
        let (accepted, _) = connect(&tls, &client(&authority, None, &[version])).await;
        assert_eq!(user(&accepted.expect("a connection")), Ok(None), "a certificate is no duty");
    }
}

#[tokio::test]
async fn refused_certificate_is_a_clear_error_on_both_sides() {
    let (authority, other, namesake) = (Authority::new("a"), Authority::new("b"), Authority::new("a"));
    let revoked = authority.issue(Wanted { serial: 9, ..Wanted::default() });
    let lists = authority.revoke(&[&revoked], false);
    let tls = Tls::new(files(&authority.server(), Some(&authority), Some(lists)), MinVersion::Tls12);
    let tls = tls.expect("certificates");
    let (accepted, _) = connect(&tls, &client(&authority, Some(&authority.client("jane", "")), BOTH)).await;
    assert_eq!(user(&accepted.expect("a connection")), Ok(Some("jane".into())));
    let expired = authority.issue(Wanted { expired: true, ..Wanted::default() });
    for (identity, ours, theirs) in [
        (revoked, "revoked", "CertificateRevoked"),
        (expired, "expired", "CertificateExpired"),
        (other.client("jane", ""), "UnknownIssuer", "UnknownCA"),
        (namesake.client("jane", ""), "UnknownIssuer", "UnknownCA"),
        (self_signed(Wanted::default()), "UnknownIssuer", "UnknownCA"),
        (authority.server(), "extended key usage", "UnsupportedCertificate"),
    ] {
        for version in [&TLS12, &TLS13] {
            let (refused, told) = connect(&tls, &client(&authority, Some(&identity), &[version])).await;
            let refused = refused.expect_err(ours);
            assert_eq!(refused.word(), "certificate", "{refused}");
            let said = refused.to_string().to_lowercase();
            assert!(said.contains(&ours.to_lowercase()), "{ours}: {said}");
            let told = told.expect_err(theirs);
            assert!(told.contains(theirs), "{theirs}: {told}");
        }
    }
}

#[tokio::test]
async fn client_that_does_not_accept_the_server_is_told_apart() {
    let (authority, other) = (Authority::new("a"), Authority::new("b"));
    let misnamed = authority.issue(Wanted { hosts: &["other.test"], ..Wanted::default() });
    let expired = authority.issue(Wanted { hosts: &["localhost"], expired: true, ..Wanted::default() });
    for (server, trusted, theirs) in [
        (&authority.server(), &other, "UnknownIssuer"),
        (&misnamed, &authority, "not valid for name"),
        (&expired, &authority, "expired"),
    ] {
        let tls = Tls::new(files(server, None, None), MinVersion::Tls12).expect("certificates");
        let (refused, told) = connect(&tls, &client(trusted, None, BOTH)).await;
        assert_eq!(refused.expect_err(theirs).word(), "refused-by-client");
        let told = told.expect_err(theirs);
        assert!(told.contains(theirs), "{theirs}: {told}");
    }
}

#[tokio::test]
async fn old_versions_and_other_protocols_are_refused() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), None, None), MinVersion::Tls13).expect("certificates");
    let (refused, _) = connect(&tls, &client(&authority, None, &[&TLS12])).await;
    assert_eq!(refused.expect_err("too old a version").word(), "protocol");
    let (accepted, _) = connect(&tls, &client(&authority, None, &[&TLS13])).await;
    assert!(accepted.is_ok());
    for text in ["VersionTLS10", "VersionTLS11", "1.2", ""] {
        assert!(text.parse::<MinVersion>().is_err(), "{text}");
    }

    let (ours, mut theirs) = duplex(1 << 16);
    theirs.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("room");
    let asking = async move {
        let mut reply = String::new();
        theirs.read_to_string(&mut reply).await.map(|_| reply)
    };
    let (refused, reply) = tokio::join!(accept(ours, b'G', &tls, LATE), asking);
    assert_eq!(refused.expect_err("no TLS").word(), "plain-text");
    let reply = reply.expect("text");
    assert!(
        reply.starts_with("HTTP/1.1 400 ")
            && reply.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
    );

    let (ours, mut theirs) = duplex(1 << 16);
    theirs.write_all(&[128; 100]).await.expect("room");
    drop(theirs);
    assert_eq!(accept(ours, 128, &tls, LATE).await.expect_err("noise").word(), "protocol");
}

#[tokio::test(start_paused = true)]
async fn handshake_ends_in_time() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), None, None), MinVersion::Tls12).expect("certificates");
    let (ours, _theirs) = duplex(1 << 16);
    let refused = accept(ours, RECORD, &tls, Duration::from_secs(1)).await.expect_err("nothing comes");
    assert_eq!(refused.word(), "timeout");
}

#[tokio::test]
async fn revoked_client_is_out_with_its_next_request_and_cannot_resume() {
    let authority = Authority::new("a");
    let (server, jane) = (authority.server(), authority.client("jane", ""));
    let tls = Tls::new(files(&server, Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let mut reload = Reload::new(tls.clone());
    let configs = [client(&authority, Some(&jane), &[&TLS12]), client(&authority, Some(&jane), &[&TLS13])];
    let mut connections = Vec::new();
    for config in &configs {
        let (accepted, told) = connect(&tls, config).await;
        connections.push(accepted.expect("a connection"));
        drop(told);
        let (resumed, _) = connect(&tls, config).await;
        assert_eq!(user(&resumed.expect("a connection")), Ok(Some("jane".into())), "a session resumed has its user");
    }
    let bob = authority.issue(Wanted { name: "bob", serial: 8, ..Wanted::default() });
    assert_eq!(
        reload.step(Ok(files(&server, Some(&authority), Some(authority.revoke(&[&bob], false))))),
        Step::Replaced
    );
    for connection in &connections {
        assert_eq!(user(connection), Ok(Some("jane".into())), "others are not revoked");
    }
    assert_eq!(
        reload.step(Ok(files(&server, Some(&authority), Some(authority.revoke(&[&jane], false))))),
        Step::Replaced
    );
    for (connection, config) in connections.iter().zip(&configs) {
        let why = user(connection).expect_err("it is verified anew");
        assert!(why.to_lowercase().contains("revoked"), "{why}");
        let (refused, _) = connect(&tls, config).await;
        assert_eq!(refused.expect_err("revoked").word(), "certificate", "its ticket is worth nothing");
    }
}

#[tokio::test]
async fn certificate_ends_on_a_connection_that_lives_on() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let (accepted, _) = connect(&tls, &client(&authority, Some(&authority.client("jane", "")), BOTH)).await;
    let accepted = accepted.expect("a connection");
    let certificate = accepted.secured.certificate.as_ref().expect("a certificate");
    let far = i64::from(u32::MAX) * 1_000;
    assert!(certificate.user(&tls, far).is_err_and(|why| why.contains("expired")));
    assert!(certificate.user(&tls, clock::now().as_second()).is_ok());
}

#[test]
fn bad_files_keep_the_certificates_of_before_and_are_told_once() {
    let authority = Authority::new("a");
    let (first, second) = (authority.server(), authority.server());
    let good = files(&first, None, None);
    let tls = Tls::new(good.clone(), MinVersion::Tls12).expect("certificates");
    let mut reload = Reload::new(tls.clone());
    let now = clock::now().as_second();
    assert_eq!(reload.step(Ok(good.clone())), Step::Same);

    let mixed = Files { certificate: second.certificate.clone().into(), ..good.clone() };
    assert_eq!(reload.step(Ok(mixed.clone())), Step::Doubted, "it may be written at the moment");
    assert_eq!(tls.remark(now), None);
    let Step::Refused(why) = reload.step(Ok(mixed.clone())) else { panic!("it is still the same") };
    assert_eq!(why, "--tls-key-file: the key is not that of the certificate in --tls-cert-file");
    assert_eq!(reload.step(Ok(mixed)), Step::Same, "it is told once");
    assert!(tls.remark(now).is_some_and(|remark| remark.contains(&why)));
    assert_eq!(reload.step(Ok(good.clone())), Step::Same);
    assert_eq!(tls.remark(now), None);

    let gone = || Err("--tls-cert-file: gone".to_owned());
    assert_eq!(
        [reload.step(gone()), reload.step(gone())],
        [Step::Doubted, Step::Refused("--tls-cert-file: gone".into())]
    );
    assert_eq!(reload.step(Ok(files(&second, None, None))), Step::Replaced);
    assert_eq!(tls.remark(now), None);
    assert_eq!(reload.step(Ok(good)), Step::Replaced);
}

#[test]
fn end_of_certificates_and_lists_is_remarked() {
    let authority = Authority::new("a");
    let now = clock::now().as_second();
    let expired = authority.issue(Wanted { hosts: &["localhost"], expired: true, ..Wanted::default() });
    let tls = Tls::new(files(&expired, None, None), MinVersion::Tls12).expect("certificates");
    assert_eq!(tls.remark(now).as_deref(), Some("the certificate of --tls-cert-file has expired"));
    let old = files(&authority.server(), Some(&authority), Some(authority.revoke(&[], true)));
    let tls = Tls::new(old, MinVersion::Tls12).expect("certificates");
    assert!(tls.remark(now).is_some_and(|remark| remark.starts_with("a list of --client-crl-file has expired")));
}

#[test]
fn fault_names_the_setting() {
    let authority = Authority::new("a");
    let good = files(&authority.server(), Some(&authority), Some(authority.revoke(&[], false)));
    let cut = good.certificate[..200].to_vec();
    for (files, told) in [
        (Files { certificate: Vec::new(), ..good.clone() }, "--tls-cert-file: it has no certificate in PEM"),
        (Files { certificate: cut, ..good.clone() }, "--tls-cert-file: a PEM block has no end"),
        (Files { certificate: good.key.clone(), ..good.clone() }, "--tls-cert-file: it has no certificate in PEM"),
        (Files { key: good.certificate.clone(), ..good.clone() }, "--tls-key-file: it has no private key"),
        (Files { client_authorities: Some(Vec::new()), ..good.clone() }, "--client-ca-file: it has no certificate"),
        (Files { revoked: Some(b"x".to_vec()), ..good.clone() }, "--client-crl-file: a revocation list cannot be read"),
        (Files { revoked: Some(Vec::new()), ..good.clone() }, "--client-crl-file: it has no revocation list"),
    ] {
        let error = Tls::new(files, MinVersion::Tls12).expect_err(told);
        assert!(error.starts_with(told), "{error}");
    }
    let der = pem::revocation_lists(good.revoked.as_deref().expect("a list")).expect("a list");
    assert!(Tls::new(Files { revoked: Some(der[0].to_vec()), ..good }, MinVersion::Tls12).is_ok(), "DER");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No file of certificates panics, however it was damaged.
    #[test]
    fn no_damaged_file_panics(which in 0..4_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let authority = Authority::new("a");
        let mut files = files(&authority.server(), Some(&authority), Some(authority.revoke(&[], false)));
        let bytes = match which {
            0 => &mut files.certificate,
            1 => &mut files.key,
            2 => files.client_authorities.as_mut().expect("they are there"),
            _ => files.revoked.as_mut().expect("it is there"),
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let _ = Tls::new(files, MinVersion::Tls12);
    }
}

//! The certificates of this server: from the contents of files to what connections are accepted with.

use std::{fmt, str::FromStr, sync::Arc};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};

use super::{clients::Clients, pem, subject};

/// The protocols that clients may choose, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The oldest version of TLS that is spoken, as kube-apiserver spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// `VersionTLS12`.
    #[default]
    Tls12,
    /// `VersionTLS13`.
    Tls13,
}

impl FromStr for MinVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "VersionTLS12" => Ok(Self::Tls12),
            "VersionTLS13" => Ok(Self::Tls13),
            "VersionTLS10" | "VersionTLS11" => Err("TLS 1.0 and 1.1 are not safe: VersionTLS12 or VersionTLS13".into()),
            _ => Err("expected VersionTLS12 or VersionTLS13".into()),
        }
    }
}

impl MinVersion {
    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&TLS13, &TLS12],
            Self::Tls13 => vec![&TLS13],
        }
    }
}

/// The contents of the files with certificates.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `--tls-cert-file`: the server's certificate, and those between it and its authority.
    pub certificate: Vec<u8>,
    /// `--tls-key-file`: the key of the certificate.
    pub key: Vec<u8>,
    /// `--client-ca-file`: the authorities of client certificates.
    pub client_authorities: Option<Vec<u8>>,
    /// `--client-crl-file`: the client certificates that are revoked.
    pub revoked: Option<Vec<u8>>,
}

impl fmt::Debug for Files {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("certificate", &self.certificate.len()).finish_non_exhaustive()
    }
}

/// The digest of files, by which a change is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen([u8; 32]);

impl Seen {
    /// The digest of files, or of the reason why they cannot be read.
    pub(super) fn of(read: &Result<Files, String>) -> Self {
        let mut digest = Sha256::new();
        let mut add = |part: Option<&[u8]>| {
            digest.update(part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
            digest.update(part.unwrap_or_default());
        };
        match read {
            Ok(files) => {
                add(Some(&files.certificate));
                add(Some(&files.key));
                add(files.client_authorities.as_deref());
                add(files.revoked.as_deref());
            }
            Err(why) => add(Some(why.as_bytes())),
        }
        Self(digest.finalize().into())
    }
}

/// The TLS of this server. Clones share the certificates in force.
#[derive(Clone, Debug)]
pub struct Tls(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    minimum: MinVersion,
    in_force: ArcSwap<InForce>,
    /// The reason why the present files are not in force.
    refused: ArcSwapOption<String>,
}

/// Certificates that are in force together.
#[derive(Debug)]
pub(super) struct InForce {
    /// Grows with each reload.
    pub(super) generation: u64,
    pub(super) config: Arc<ServerConfig>,
    /// The verifier of client certificates, if clients may have any.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
    pub(super) seen: Seen,
    /// The last second in which the server's certificate is valid, since 1970.
    ends: i64,
    /// The second at which the first of the revocation lists is to be replaced.
    lists_end: Option<i64>,
}

impl Tls {
    /// Serves with these certificates.
    ///
    /// # Errors
    /// The setting whose file cannot be used, and why.
    pub fn new(files: Files, minimum: MinVersion) -> Result<Self, String> {
        let in_force = InForce::new(files, minimum, 0)?;
        Ok(Self(Arc::new(Shared {
            minimum,
            in_force: ArcSwap::from_pointee(in_force),
            refused: ArcSwapOption::empty(),
        })))
    }

    /// Serves other replicas, with a certificate that is never replaced.
    pub(super) fn of_replica(config: ServerConfig, verifier: Arc<dyn ClientCertVerifier>) -> Self {
        let in_force = InForce {
            generation: 0,
            config: Arc::new(config),
            verifier: Some(verifier),
            seen: Seen::of(&Err(String::new())),
            ends: i64::MAX,
            lists_end: None,
        };
        Self(Arc::new(Shared {
            minimum: MinVersion::Tls13,
            in_force: ArcSwap::from_pointee(in_force),
            refused: ArcSwapOption::empty(),
        }))
    }

    /// `true` if clients may have certificates.
    pub fn asks_clients(&self) -> bool {
        self.0.in_force.load().verifier.is_some()
    }

    /// The last second in which the server's certificate is valid, since 1970.
    pub fn ends(&self) -> i64 {
        self.0.in_force.load().ends
    }

    /// Faults that an operator should mend, for `/readyz?verbose`: files that could not be taken, and certificates or lists that have ended at a second
    /// since 1970.
    pub fn remark(&self, now: i64) -> Option<String> {
        let in_force = self.0.in_force.load();
        let refused = self.0.refused.load();
        let refused = refused.as_ref().map(|why| format!("the certificates of before are in force, since {why}"));
        let ended = (now > in_force.ends).then(|| "the certificate of --tls-cert-file has expired".to_owned());
        let is_old = in_force.lists_end.is_some_and(|end| now > end);
        let old = is_old
            .then(|| "a list of --client-crl-file has expired: no certificate that it covers is accepted".to_owned());
        let told: Vec<String> = [refused, ended, old].into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    pub(super) fn in_force(&self) -> arc_swap::Guard<Arc<InForce>> {
        self.0.in_force.load()
    }

    /// Replaces the certificates for all connections to come. Tickets of earlier ones are worth nothing: each configuration has its own key.
    pub(super) fn replace(&self, files: Files) -> Result<(), String> {
        let generation = self.0.in_force.load().generation + 1;
        let in_force = InForce::new(files, self.0.minimum, generation)?;
        self.0.in_force.store(Arc::new(in_force));
        self.0.refused.store(None);
        Ok(())
    }

    pub(super) fn refuse(&self, why: Option<String>) {
        self.0.refused.store(why.map(Arc::new));
    }
}

impl InForce {
    fn new(files: Files, minimum: MinVersion, generation: u64) -> Result<Self, String> {
        let of = |setting: &'static str| move |why: String| format!("{setting}: {why}");
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&minimum.versions());
        let builder = builder.map_err(|error| error.to_string())?;
        let chain = pem::certificates(&files.certificate).map_err(of("--tls-cert-file"))?;
        let leaf = chain.first().ok_or("--tls-cert-file: it has no certificate")?;
        for certificate in &chain {
            subject::subject(certificate).map_err(of("--tls-cert-file"))?;
        }
        let ends = subject::subject(leaf).map_err(of("--tls-cert-file"))?.ends;
        let key = pem::private_key(&files.key).map_err(of("--tls-key-file"))?;
        let (mut verifier, mut lists_end) = (None, None);
        if let Some(authorities) = &files.client_authorities {
            let roots = pem::authorities(authorities).map_err(of("--client-ca-file"))?;
            // Who has no certificate may have a token, or ask for the health of the process.
            let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let mut clients = clients.allow_unauthenticated().enforce_revocation_expiration();
            if let Some(revoked) = &files.revoked {
                let lists = pem::revocation_lists(revoked).map_err(of("--client-crl-file"))?;
                for list in &lists {
                    let end = subject::next_list(list).map_err(of("--client-crl-file"))?;
                    lists_end = lists_end.into_iter().chain(end).min();
                }
                clients = clients.with_crls(lists);
            }
            let clients = clients.build().map_err(|error| format!("--client-crl-file: {error}"))?;
            verifier = Some(Arc::new(Clients(clients)) as Arc<dyn ClientCertVerifier>);
        }
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                "--tls-key-file: the key is not that of the certificate in --tls-cert-file".to_owned()
            }
            error => format!("--tls-cert-file and --tls-key-file: {error}"),
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        config.ticketer = ring::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(Self { generation, config: Arc::new(config), verifier, seen: Seen::of(&Ok(files)), ends, lists_end })
    }
}

//! Certificates for tests, each authority of a test's own.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// Years in which certificates and revocation lists end.
const LATER: i32 = 4000;
const BEFORE: i32 = 2020;

/// An authority.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate, PEM.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
    serial: u64,
}

/// The use of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Hosts of a server; none for a client.
    pub hosts: &'a [&'a str],
    /// The common name.
    pub name: &'a str,
    /// The organization; empty for none.
    pub group: &'a str,
    /// `true` if it has expired.
    pub expired: bool,
    /// The serial number, by which it is revoked.
    pub serial: u64,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        Self { hosts: &[], name: "jane", group: "", expired: false, serial: 7 }
    }
}

impl Authority {
    /// An authority with a name and a key of its own.
    ///
    /// # Panics
    /// If a key cannot be made.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = named(name, "");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate.
    ///
    /// # Panics
    /// If a host is none.
    pub fn issue(&self, wanted: Wanted<'_>) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(wanted).signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem(), serial: wanted.serial }
    }

    /// A certificate of a server on this machine.
    pub fn server(&self) -> Identity {
        self.issue(Wanted { hosts: &["localhost", "127.0.0.1"], name: "server", ..Wanted::default() })
    }

    /// A certificate of a user.
    pub fn client(&self, name: &str, group: &str) -> Identity {
        self.issue(Wanted { name, group, ..Wanted::default() })
    }

    /// A revocation list, PEM. It ended long ago if it `expired`.
    ///
    /// # Panics
    /// If it cannot be signed.
    pub fn revoke(&self, revoked: &[&Identity], expired: bool) -> String {
        let entry = |identity: &&Identity| RevokedCertParams {
            serial_number: SerialNumber::from(identity.serial),
            revocation_time: date_time_ymd(BEFORE, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2010, 1, 1),
            next_update: date_time_ymd(if expired { BEFORE } else { LATER }, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("PEM")
    }
}

/// A certificate that is its own authority.
///
/// # Panics
/// If a key cannot be made.
pub fn self_signed(wanted: Wanted<'_>) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let certificate = params(wanted).self_signed(&key).expect("a certificate").pem();
    Identity { certificate, key: key.serialize_pem(), serial: wanted.serial }
}

fn named(name: &str, group: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    if !group.is_empty() {
        names.push(DnType::OrganizationName, group);
    }
    names
}

fn params(wanted: Wanted<'_>) -> CertificateParams {
    let hosts: Vec<String> = wanted.hosts.iter().map(|&host| host.to_owned()).collect();
    let purpose =
        if hosts.is_empty() { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = named(wanted.name, wanted.group);
    params.serial_number = Some(SerialNumber::from(wanted.serial));
    params.not_before = date_time_ymd(2010, 1, 1);
    params.not_after = date_time_ymd(if wanted.expired { BEFORE } else { LATER }, 1, 1);
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![purpose];
    params
}

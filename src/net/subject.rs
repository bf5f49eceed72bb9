//! The user in a client's certificate: the common name is the user, and each organization is a group.
//!
//! Source: `apiserver/pkg/authentication/request/x509/x509.go` (`CommonNameUserConversion`, `parseUIDFromCert`); of several common names the last
//! one counts (Go's `crypto/x509/pkix`, `FillFromRDNSequence`).

use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, Oid, asn1_rs::oid},
    prelude::FromDer,
    revocation_list::CertificateRevocationList,
};

use crate::{
    core::access::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User},
    hex,
};

/// Names the certificate by which a user is known, among the user's extra values.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// The attribute with the user's uid.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// The facts of a certificate that matter here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    /// The user; `None` without a common name.
    pub(super) user: Option<User>,
    /// The last second in which it is valid, since 1970.
    pub(super) ends: i64,
}

/// The subject of a certificate.
///
/// # Errors
/// In a few words, if it is no certificate, or its names are in an encoding that is not known: a group must not be left out.
pub(super) fn subject(der: &[u8]) -> Result<Subject, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| "it is no X.509 certificate")?;
    let (mut name, mut uid) = (String::new(), None);
    let mut groups: Vec<&str> = Vec::new();
    for attribute in certificate.subject().iter_attributes() {
        let of = attribute.attr_type();
        let is_name = *of == OID_X509_COMMON_NAME;
        if !(is_name || *of == OID_X509_ORGANIZATION_NAME || *of == UID) {
            continue;
        }
        let text = attribute.as_str().map_err(|_| "a name in its subject is in an encoding that is not supported")?;
        if is_name {
            text.clone_into(&mut name);
        } else if *of == UID {
            if text.is_empty() || uid.replace(text.to_owned()).is_some() {
                return Err("its subject must have one uid that is not empty".into());
            }
        } else {
            groups.push(text);
        }
    }
    let ends = certificate.validity().not_after.timestamp();
    if name.is_empty() {
        return Ok(Subject { user: None, ends });
    }
    let is_told = |group: &&str| [AUTHENTICATED, UNAUTHENTICATED].contains(group);
    if name != ANONYMOUS && !groups.iter().any(is_told) {
        groups.push(AUTHENTICATED);
    }
    let mut user = User::new(&name, groups);
    user.uid = uid.unwrap_or_default();
    let id = format!("X509SHA256={}", hex::hex(&Sha256::digest(der)));
    user.extra.insert(CREDENTIAL.into(), vec![id]);
    Ok(Subject { user: Some(user), ends })
}

/// The second since 1970 at which a revocation list is to be replaced; `None` if it tells none.
///
/// # Errors
/// In a few words.
pub(super) fn next_list(der: &[u8]) -> Result<Option<i64>, String> {
    let (_, list) = CertificateRevocationList::from_der(der).map_err(|_| "a revocation list cannot be read")?;
    Ok(list.next_update().map(|time| time.timestamp()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    use super::*;

    fn made(names: &[(DnType, DnValue)]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (of, name) in names {
            params.distinguished_name.push(of.clone(), name.clone());
        }
        params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec()
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.into())
    }

    #[test]
    fn common_name_is_the_user_and_organizations_are_groups() {
        let der = made(&[
            (DnType::CommonName, utf8("jane")),
            (DnType::OrganizationName, utf8("dev")),
            (DnType::OrganizationalUnitName, utf8("no group")),
        ]);
        let user = subject(&der).expect("a certificate").user.expect("a user");
        assert_eq!(&*user.name, "jane");
        assert_eq!(user.groups, ["dev".into(), AUTHENTICATED.into()]);
        let id = &user.extra[CREDENTIAL][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
    }

    /// The certificate is one that OpenSSL made.
    #[test]
    fn last_common_name_and_all_organizations_count() {
        let file = include_bytes!("../../tests/data/certificates/many-names.pem");
        let chain = super::super::pem::certificates(file).expect("a certificate");
        let user = subject(&chain[0]).expect("a certificate").user.expect("a user");
        assert_eq!((&*user.name, user.groups), ("last", vec!["dev".into(), "ops".into(), AUTHENTICATED.into()]));
    }

    #[test]
    fn uid_is_read_from_its_attribute() {
        let uid = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
        let user = subject(&made(&[(DnType::CommonName, utf8("jane")), (uid.clone(), utf8("7"))]));
        assert_eq!(user.expect("a certificate").user.expect("a user").uid, "7");
        assert!(subject(&made(&[(DnType::CommonName, utf8("jane")), (uid, utf8(""))])).is_err());
    }

    #[test]
    fn certificate_without_common_name_has_no_user() {
        assert_eq!(subject(&made(&[(DnType::OrganizationName, utf8("system:masters"))])).map(|s| s.user), Ok(None));
        assert_eq!(subject(&made(&[(DnType::CommonName, utf8(""))])).map(|s| s.user), Ok(None));
    }

    #[test]
    fn group_in_an_unknown_encoding_refuses_the_certificate() {
        let bmp = DnValue::BmpString(rcgen::string::BmpString::try_from("dev").expect("text"));
        assert!(subject(&made(&[(DnType::CommonName, utf8("jane")), (DnType::OrganizationName, bmp)])).is_err());
    }

    #[test]
    fn anonymous_in_a_certificate_is_not_authenticated() {
        let user = subject(&made(&[(DnType::CommonName, utf8(ANONYMOUS))])).expect("a certificate").user;
        assert!(user.expect("a user").groups.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (subject(&bytes), next_list(&bytes));
        }

        #[test]
        fn no_mutation_of_a_certificate_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
            let mut der = made(&[(DnType::CommonName, utf8("jane")), (DnType::OrganizationName, utf8("dev"))]);
            for (at, byte) in changes {
                let at = at.index(der.len());
                der[at] = byte;
            }
            let _ = subject(&der);
            let _ = subject(&der[..cut.index(der.len())]);
        }

        #[test]
        fn names_come_back_as_they_are(name in "\\PC{1,40}", group in "\\PC{0,40}") {
            let der = made(&[(DnType::CommonName, utf8(&name)), (DnType::OrganizationName, utf8(&group))]);
            let user = subject(&der).expect("a certificate").user.expect("a user");
            prop_assert_eq!(&*user.name, &*name);
            prop_assert_eq!(&*user.groups[0], &*group);
        }
    }
}

//! JSON Web Tokens in their compact form, verified with the public keys of their issuer.
//!
//! [`Jwt::parse`] takes a token apart, [`KeySet::verify`] holds its signature against the issuer's keys, [`Issuer::user`] reads its
//! claims. Before the signature is verified, nothing is read of a token but its algorithm, its key's name and its issuer, which choose the
//! key; keys and addresses in the token's header are never looked at. A key knows the algorithms that it verifies, and there is
//! no other: `none` and HMAC do not exist here, so a public key cannot be taken for a secret.
//!
//! The signatures are `ring`'s. The crate `jsonwebtoken` would add its own clock, a crypto provider for the whole process and no check of
//! `crit` or of a key's curve, and would still leave these verifiers to be written.
//!
//! Source: RFC 7515, 7517, 7518, 7519, 8725; `apiserver/plugin/pkg/authenticator/token/oidc/oidc.go`.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::IgnoredAny};

mod claims;
mod keys;
#[cfg(test)]
pub(super) mod tests;

pub use claims::{Issuer, KeySource, Mapping, SKEW, Verified};
pub use keys::{KeySet, LONGEST_KEY_SET};

/// Bytes of a token at most.
pub const LONGEST: usize = 16 * 1024;

/// The reason for which a token is not taken. Clients are not told; the log is, at the level `debug`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The text is too long.
    #[error("the token is longer than {LONGEST} bytes")]
    TooLong,
    /// The text is no token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The algorithm is none of those that are allowed.
    #[error("the token's algorithm is not allowed")]
    Algorithm,
    /// No issuer of that name is configured.
    #[error("the token's issuer is not configured")]
    Issuer,
    /// The issuer has no such key.
    #[error("the issuer has no key for the token")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing, of the wrong type, or not as it has to be.
    #[error("the claim {0:?} {1}")]
    Claim(String, &'static str),
}

/// The algorithms of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with PKCS #1 v1.5 and SHA-256.
    Rs256,
    /// RSA with PKCS #1 v1.5 and SHA-384.
    Rs384,
    /// RSA with PKCS #1 v1.5 and SHA-512.
    Rs512,
    /// RSA with PSS and SHA-256.
    Ps256,
    /// RSA with PSS and SHA-384.
    Ps384,
    /// RSA with PSS and SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them, with their names.
    const ALL: [(&'static str, Self); 9] = [
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(of, _)| *of == name).map(|(_, algorithm)| *algorithm)
    }
}

/// A token that is taken apart. Nothing of it is verified.
#[derive(Clone)]
pub struct Jwt<'t> {
    /// The text that is signed.
    signed: &'t str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    /// The name of the key.
    key: Option<String>,
    /// The issuer, whose keys are to verify the token.
    pub issuer: String,
    /// The claims, as JSON.
    claims: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    iss: String,
}

/// `true` if a text has the form of a token: three parts with dots between them.
pub fn is_formed(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl<'t> Jwt<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// If the text is no token, or one of an algorithm that is not allowed.
    pub fn parse(text: &'t str) -> Result<Self, Refusal> {
        use Refusal::Malformed;
        if text.len() > LONGEST {
            return Err(Refusal::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed("it has not three parts"))?;
        let (header, claims) = signed.split_once('.').ok_or(Malformed("it has not three parts"))?;
        if claims.contains('.') {
            return Err(Malformed("it has not three parts"));
        }
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed("a part is not base64url"));
        let header: Header = serde_json::from_slice(&decoded(header)?).map_err(|_| Malformed("its header is none"))?;
        let algorithm = Algorithm::named(&header.alg).ok_or(Refusal::Algorithm)?;
        if header.crit.is_some() {
            return Err(Malformed("its header has critical parts"));
        }
        let (claims, signature) = (decoded(claims)?, decoded(signature)?);
        let Named { iss } = serde_json::from_slice(&claims).map_err(|_| Malformed("it names no issuer"))?;
        Ok(Self { signed, signature, algorithm, key: header.kid, issuer: iss, claims })
    }
}

//! The public keys of an issuer: a JSON Web Key Set.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, Jwt, Refusal};

/// Bytes of a key set at most.
pub const LONGEST_KEY_SET: usize = 1024 * 1024;
/// Keys of a set at most: a token that names no key is held against all of them.
const MOST_KEYS: usize = 64;

/// The keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    /// Keys that cannot be used, each with the reason: of another use, of an algorithm that is not allowed, too short.
    pub unusable: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    id: Option<String>,
    /// The one algorithm, if the key names one.
    algorithm: Option<Algorithm>,
    public: Public,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct SentSet {
    keys: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SentKey {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crv: String,
    n: String,
    e: String,
    x: String,
    y: String,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used are passed over.
    ///
    /// # Errors
    /// If the text is no key set, has no key that can be used, or has too many.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let sent: SentSet = serde_json::from_slice(json)
            .map_err(|error| format!("it is no JSON Web Key Set ({{\"keys\": […]}}): {error}"))?;
        if sent.keys.len() > MOST_KEYS {
            return Err(format!("it has {} keys, and {MOST_KEYS} are the limit", sent.keys.len()));
        }
        let mut set = Self::default();
        for (at, key) in sent.keys.into_iter().enumerate() {
            let key = serde_json::from_value::<SentKey>(key).map_err(|error| error.to_string());
            match key.and_then(|key| key.read().map_err(String::from)) {
                Ok(key) => set.keys.push(key),
                Err(why) => set.unusable.push(format!("keys[{at}]: {why}")),
            }
        }
        if set.keys.is_empty() {
            let why = if set.unusable.is_empty() { "it is empty".into() } else { set.unusable.join("; ") };
            return Err(format!("it has no key that can verify a token: {why}"));
        }
        Ok(set)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// `true` if there are no keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Verifies the signature of a token by the keys that its header may mean.
    ///
    /// # Errors
    /// [`Refusal::UnknownKey`] if newer keys might verify it, [`Refusal::Signature`] if none can.
    pub fn verify(&self, jwt: &Jwt<'_>) -> Result<(), Refusal> {
        let is_meant = |key: &&Key| jwt.key.is_none() || key.id == jwt.key;
        let mut is_known = false;
        for key in self.keys.iter().filter(is_meant).filter(|key| key.allows(jwt.algorithm)) {
            if key.public.verifies(jwt.algorithm, jwt.signed.as_bytes(), &jwt.signature) {
                return Ok(());
            }
            is_known = true;
        }
        Err(if is_known && jwt.key.is_some() { Refusal::Signature } else { Refusal::UnknownKey })
    }
}

impl Key {
    fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm)
    }
}

impl SentKey {
    fn read(self) -> Result<Key, &'static str> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err("its use is not sig");
        }
        let algorithm = self.alg.as_deref().map(|name| Algorithm::named(name).ok_or("its alg is not allowed"));
        let public = match (&*self.kty, &*self.crv) {
            ("RSA", _) => {
                let (modulus, exponent) = (number(&self.n)?, number(&self.e)?);
                if !(256..=1024).contains(&modulus.len()) {
                    return Err("RSA keys have 2048 to 8192 bits");
                }
                Public::Rsa { modulus, exponent }
            }
            ("EC", "P-256") => Public::P256(point(&self.x, &self.y, 32)?),
            ("EC", "P-384") => Public::P384(point(&self.x, &self.y, 48)?),
            ("OKP", "Ed25519") => Public::Ed25519(coordinate(&self.x, 32)?),
            _ => return Err("its kty and crv are not RSA, EC with P-256 or P-384, or OKP with Ed25519"),
        };
        Ok(Key { id: self.kid, algorithm: algorithm.transpose()?, public })
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| "a part of it is not base64url")
}

/// A number without zeros at its beginning, which some servers send.
fn number(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    if bytes.is_empty() { Err("n or e is missing") } else { Ok(bytes) }
}

fn coordinate(text: &str, length: usize) -> Result<Vec<u8>, &'static str> {
    bytes(text).and_then(|bytes| if bytes.len() == length { Ok(bytes) } else { Err("x or y has the wrong length") })
}

/// A point of a curve in its uncompressed form.
fn point(x: &str, y: &str, length: usize) -> Result<Vec<u8>, &'static str> {
    Ok([vec![4], coordinate(x, length)?, coordinate(y, length)?].concat())
}

impl Public {
    /// `true` if a signature is this key's; never by an algorithm of another sort of key.
    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        use Algorithm::{EdDsa, Es256, Es384};
        let by = |with: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(with, key).verify(message, signature).is_ok()
        };
        match (self, algorithm) {
            (Self::Rsa { modulus, exponent }, algorithm) => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, signature).is_ok()
            }),
            (Self::P256(point), Es256) => by(&signature::ECDSA_P256_SHA256_FIXED, point),
            (Self::P384(point), Es384) => by(&signature::ECDSA_P384_SHA384_FIXED, point),
            (Self::Ed25519(point), EdDsa) => by(&signature::ED25519, point),
            _ => false,
        }
    }
}

/// The parameters of an algorithm of RSA.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => return None,
    })
}

//! Issuers of JSON Web Tokens: they sign whatever a test asks for. Their private keys are fixed, and nobody's.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    rand::SystemRandom,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair,
        RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

/// A private key.
#[derive(Debug)]
pub struct Signer {
    /// The name of the key.
    pub id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ec(&'static str, EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    /// A key of RSA with 2048 bits.
    ///
    /// # Panics
    /// Never: the key is fixed.
    pub fn rsa(id: &str) -> Self {
        let pair = RsaKeyPair::from_pkcs8(include_bytes!("jwt/rsa.der")).expect("a key");
        Self { id: id.into(), pair: Pair::Rsa(Box::new(pair)) }
    }

    /// A key on P-256.
    pub fn p256(id: &str) -> Self {
        let key = include_bytes!("jwt/p256.der");
        Self::ec(id, "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING, key)
    }

    /// A key on P-384.
    pub fn p384(id: &str) -> Self {
        let key = include_bytes!("jwt/p384.der");
        Self::ec(id, "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING, key)
    }

    fn ec(id: &str, curve: &'static str, algorithm: &'static EcdsaSigningAlgorithm, key: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key, &SystemRandom::new()).expect("a key");
        Self { id: id.into(), pair: Pair::Ec(curve, pair) }
    }

    /// A key on Ed25519, another one for each seed.
    ///
    /// # Panics
    /// Never: every seed is one.
    pub fn ed25519(id: &str, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        Self { id: id.into(), pair: Pair::Ed(pair) }
    }

    /// The algorithm that it signs with by default.
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::Ec("P-256", _) => "ES256",
            Pair::Ec(..) => "ES384",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// The public key, as a JSON Web Key.
    pub fn jwk(&self) -> Value {
        let mut key = match &self.pair {
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
                json!({"kty": "RSA", "n": encoded(n), "e": encoded(e)})
            }
            Pair::Ec(curve, pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
            }
            Pair::Ed(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key())}),
        };
        key["kid"] = self.id.as_str().into();
        key["use"] = "sig".into();
        key
    }

    /// A token of these claims, in the usual form.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"}), claims.to_string())
    }

    /// A token of any header and payload, signed as the header's `alg` says, or by default where it names none of the key's.
    ///
    /// # Panics
    /// If there is no chance to be had.
    pub fn sign(&self, header: &Value, payload: impl AsRef<[u8]>) -> String {
        let text = format!("{}.{}", encoded(header.to_string()), encoded(payload));
        let chance = SystemRandom::new();
        let signed = match &self.pair {
            Pair::Rsa(pair) => {
                let with: &'static dyn RsaEncoding = match header["alg"].as_str() {
                    Some("RS384") => &signature::RSA_PKCS1_SHA384,
                    Some("RS512") => &signature::RSA_PKCS1_SHA512,
                    Some("PS256") => &signature::RSA_PSS_SHA256,
                    Some("PS384") => &signature::RSA_PSS_SHA384,
                    Some("PS512") => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; pair.public().modulus_len()];
                pair.sign(with, &chance, text.as_bytes(), &mut signed).expect("a signature");
                encoded(signed)
            }
            Pair::Ec(_, pair) => encoded(pair.sign(&chance, text.as_bytes()).expect("a signature")),
            Pair::Ed(pair) => encoded(pair.sign(text.as_bytes())),
        };
        format!("{text}.{signed}")
    }
}

/// A token of any header and payload, signed by HMAC with SHA-256.
pub fn by_hmac(secret: &[u8], header: &Value, payload: impl AsRef<[u8]>) -> String {
    let text = format!("{}.{}", encoded(header.to_string()), encoded(payload));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    format!("{text}.{}", encoded(ring::hmac::sign(&key, text.as_bytes())))
}

/// The key set of some keys.
pub fn key_set(signers: &[&Signer]) -> Value {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()})
}

//! Tokens: their text, and what is stored of them.
//!
//! A token is `pbt_`, 43 letters or digits of chance, and six that are a checksum of these, so that scanners of secrets know one
//! and a slip of the keyboard is told from a wrong token. Only its SHA-256 is stored: the text is chance alone, so no slow hash
//! is needed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use podberth_core::{
    access::{AUTHENTICATED, User, built_in},
    model::Name,
};

/// The store's kind under which tokens are kept.
pub const KIND: &str = "tokens.podberth.io";

/// The beginning of every token.
pub const PREFIX: &str = "pbt_";
const RANDOM: usize = 43;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The SHA-256 of a token, by which it is looked up.
pub type TokenDigest = [u8; 32];

/// The digest of a token of any sort.
pub fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

/// A token made of 32 bytes of chance.
pub fn from_random(random: TokenDigest) -> String {
    let mut rest = random;
    let mut text = Vec::with_capacity(RANDOM);
    // The bytes as one number, written with 62 digits.
    for _ in 0..RANDOM {
        let mut carry = 0_u32;
        for byte in &mut rest {
            carry = carry << 8 | u32::from(*byte);
            *byte = u8::try_from(carry / 62).unwrap_or_default();
            carry %= 62;
        }
        text.push(letter(carry));
    }
    let check = checksum(&text);
    text.extend(check);
    format!("{PREFIX}{}", String::from_utf8_lossy(&text))
}

/// `true` if a text is in the form of a token, with its checksum.
pub fn is_well_formed(token: &str) -> bool {
    let Some(text) = token.strip_prefix(PREFIX).map(str::as_bytes) else { return false };
    text.len() == RANDOM + CHECK
        && text.iter().all(u8::is_ascii_alphanumeric)
        && text.split_at_checked(RANDOM).is_some_and(|(random, check)| checksum(random) == check)
}

/// A text without the tokens in it, for what is recorded: a client may put one in the wrong place.
pub fn masked(text: &str) -> String {
    let mut parts = text.split(PREFIX);
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        masked.push_str(PREFIX);
        masked.push_str(if end < RANDOM { part } else { "…" });
        if end >= RANDOM {
            masked.push_str(part.get(end..).unwrap_or_default());
        }
    }
    masked
}

fn letter(digit: u32) -> u8 {
    ALPHABET.get(digit as usize).copied().unwrap_or(b'0')
}

/// CRC-32 (IEEE 802.3), written with 62 digits.
fn checksum(text: &[u8]) -> [u8; CHECK] {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    let crc = text.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)));
    let mut rest = !crc;
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        *digit = letter(rest % 62);
        rest /= 62;
    }
    digits
}

/// The use of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// In the header of requests, for a user.
    #[default]
    User,
    /// In the path or the header of a scheduler's requests to its extender.
    Extender,
}

/// A token as it is stored, under its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredToken {
    /// The digest of its text, in hexadecimal.
    pub digest: String,
    /// Its use.
    pub kind: TokenKind,
    /// The user.
    pub user: String,
    /// The user's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The clusters it is for, by name or by its beginning and `*`; none for all.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339; it does not if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A token that is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name.
    pub name: Name,
    /// Its use.
    pub kind: TokenKind,
    /// Its user.
    pub user: std::sync::Arc<User>,
    /// The clusters it is for; none for all.
    pub clusters: Vec<Name>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl StoredToken {
    /// The token and its digest.
    ///
    /// # Errors
    /// If the text is no stored token.
    pub fn parse(name: &str, json: &[u8]) -> Result<(TokenDigest, Token), String> {
        let stored: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let digest = parse_digest(&stored.digest).ok_or("the digest is none")?;
        let expires_at = stored.expires_at.as_deref().map(str::parse).transpose();
        let expires_at = expires_at.map_err(|_| "the end of the token is no time")?;
        let mut user = User::new(&stored.user, stored.groups.iter().map(String::as_str));
        if stored.kind == TokenKind::Extender && !user.is_in(built_in::EXTENDERS) {
            user.groups.push(built_in::EXTENDERS.into());
        }
        if !user.is_in(AUTHENTICATED) {
            user.groups.push(AUTHENTICATED.into());
        }
        let clusters = stored.clusters.into_iter().map(Name::from).collect();
        Ok((digest, Token { name: name.into(), kind: stored.kind, user: user.into(), clusters, expires_at }))
    }
}

/// A digest from hexadecimal.
pub fn parse_digest(text: &str) -> Option<TokenDigest> {
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_in_a_text_are_masked() {
        let token = from_random([7; 32]);
        for (text, told) in [
            (format!("/x/key/{token}/filter?a=b"), "/x/key/pbt_…/filter?a=b"),
            (format!("?access_token={token}&x={token}"), "?access_token=pbt_…&x=pbt_…"),
            ("/api/pbt_short".into(), "/api/pbt_short"),
            (String::new(), ""),
        ] {
            assert_eq!(masked(&text), told);
        }
    }

    #[test]
    fn a_token_is_told_by_its_form() {
        let token = from_random(digest("chance"));
        assert_eq!((token.len(), is_well_formed(&token)), (4 + 43 + 6, true));
        assert_eq!(from_random([0; 32]), format!("{PREFIX}{}{}", "0".repeat(43), &from_random([0; 32])[47..]));
        assert_ne!(from_random([255; 32]), from_random([254; 32]));
        // The checksum of RFC 3720's check value: 0xCBF43926 = 3421780262 = 3·62⁵ + 45·62⁴ + …
        let value = checksum(b"123456789").iter().fold(0_u64, |value, letter| {
            value * 62 + ALPHABET.iter().position(|one| one == letter).unwrap_or_default() as u64
        });
        assert_eq!(value, 0xCBF4_3926);
        for (at, _) in token.char_indices() {
            let mut wrong = token.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert!(!is_well_formed(&String::from_utf8_lossy(&wrong)), "one letter at {at} is wrong");
        }
    }

    #[test]
    fn stored_tokens_are_read_and_faulty_ones_are_not() {
        let digest = "ab".repeat(32);
        let text =
            |rest: &str| format!(r#"{{"digest":"{digest}","kind":"extender","user":"u","createdAt":"x"{rest}}}"#);
        let (read, token) = StoredToken::parse("n", text("").as_bytes()).expect("it is one");
        assert_eq!((read, &*token.user.name), ([0xab; 32], "u"));
        assert!(token.user.is_in(built_in::EXTENDERS) && token.user.is_in(AUTHENTICATED));
        for wrong in [
            text(r#","expiresAt":"soon""#),
            text("").replace("abab", "zzab"),
            text("").replacen("ab", "", 1),
            "{}".into(),
        ] {
            assert!(StoredToken::parse("n", wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

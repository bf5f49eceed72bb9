//! Issuers, and what their tokens say of a user.

use serde_json::{Map, Value};

use super::{Jwt, KeySet, Refusal};
use podberth_core::{
    access::{AUTHENTICATED, User, split_service_account},
    model::Name,
};

/// Seconds by which clocks may differ.
pub const SKEW: i64 = 60;

/// Groups of a token at most, and the longest name of a user or group.
const MOST_GROUPS: usize = 1_000;
const LONGEST_NAME: usize = 1_024;

/// Names that begin so have a meaning to Podberth and Kubernetes. A token gives none of them (`system:masters` may do everything) but those
/// of service accounts.
const SYSTEM: &str = "system:";

/// The place from which the keys of an issuer come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// An OpenID discovery document, which names the key set.
    Discovery(String),
    /// The key set at a URL.
    Url(String),
    /// The key set in a file.
    File(String),
}

/// A claim, and the text that is set before its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// The claim.
    pub claim: String,
    /// The text.
    pub prefix: String,
}

/// An issuer of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Its name, the claim `iss` of its tokens.
    pub url: String,
    /// The place from which its keys come.
    pub keys: KeySource,
    /// The authorities, in PEM, by which its servers are known; empty for those of the public internet.
    pub authority: String,
    /// The audiences, of which a token must have one.
    pub audiences: Vec<String>,
    /// The name of the user.
    pub username: Mapping,
    /// The groups of the user.
    pub groups: Option<Mapping>,
    /// The claim with the uid of the user.
    pub uid: Option<String>,
    /// Claims with the values that they must have.
    pub required: Vec<(String, String)>,
}

/// A user by a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The user.
    pub user: User,
    /// The second, since 1970, from which the token is no longer valid.
    pub ends: i64,
}

impl Issuer {
    /// The user of a token, if its signature is one of the issuer's keys and its claims hold now (seconds since 1970).
    ///
    /// # Errors
    /// The [`Refusal`]. It is [`Refusal::UnknownKey`] only if newer keys might verify the token.
    pub fn user(&self, jwt: &Jwt<'_>, keys: &KeySet, now: i64) -> Result<Verified, Refusal> {
        if jwt.issuer != self.url {
            return Err(Refusal::Issuer);
        }
        keys.verify(jwt)?;
        let claims: Map<String, Value> =
            serde_json::from_slice(&jwt.claims).map_err(|_| Refusal::Malformed("its claims are none"))?;
        let claims = Claims(claims);
        let ends = claims.seconds("exp")?.ok_or_else(|| refused("exp", "is missing"))?.saturating_add(SKEW);
        if now >= ends {
            return Err(refused("exp", "is over"));
        }
        if claims.seconds("nbf")?.is_some_and(|begins| now < begins.saturating_sub(SKEW)) {
            return Err(refused("nbf", "is to come"));
        }
        let audiences = claims.texts("aud")?;
        if !audiences.iter().any(|audience| self.audiences.iter().any(|own| own == audience)) {
            return Err(refused("aud", "has none of the audiences"));
        }
        for (claim, value) in &self.required {
            if claims.text(claim)? != Some(value) {
                return Err(refused(claim, "has not the required value"));
            }
        }
        Ok(Verified { user: self.mapped(&claims)?, ends })
    }

    fn mapped(&self, claims: &Claims) -> Result<User, Refusal> {
        let Mapping { claim, prefix } = &self.username;
        let name = claims.text(claim)?.filter(|name| !name.is_empty()).ok_or_else(|| refused(claim, "is missing"))?;
        // As for kube-apiserver, an address that is not verified is no name; one of which nothing is said is.
        if claim == "email" && claims.0.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true)) {
            return Err(refused("email_verified", "is not true"));
        }
        let name = format!("{prefix}{name}");
        let account = split_service_account(&name);
        if name.starts_with(SYSTEM) && account.is_none() {
            return Err(refused(claim, "is a name that begins with system: give the username a prefix"));
        }
        let mut groups: Vec<Name> = match &self.groups {
            Some(Mapping { claim, prefix }) => {
                let given = claims.texts(claim)?;
                if given.len() > MOST_GROUPS {
                    return Err(refused(claim, "has too many groups: the limit is 1000"));
                }
                let given = given.iter().filter(|group| !group.is_empty()).map(|group| format!("{prefix}{group}"));
                given.filter(|group| !group.starts_with(SYSTEM)).map(Name::from).collect()
            }
            None => Vec::new(),
        };
        if name.len() > LONGEST_NAME || groups.iter().any(|group| group.len() > LONGEST_NAME) {
            return Err(refused(claim, "or a group is longer than 1024 bytes"));
        }
        if let Some((namespace, _)) = account {
            groups.push("system:serviceaccounts".into());
            groups.push(format!("system:serviceaccounts:{namespace}").into());
        }
        groups.push(AUTHENTICATED.into());
        let uid = self.uid.as_ref().map(|claim| claims.text(claim)).transpose()?.flatten();
        Ok(User { name: name.into(), uid: uid.unwrap_or_default().to_owned(), groups, ..User::default() })
    }
}

fn refused(claim: &str, why: &'static str) -> Refusal {
    Refusal::Claim(claim.into(), why)
}

/// The claims of a verified token.
struct Claims(Map<String, Value>);

impl Claims {
    /// A claim that is a text, if there is one.
    fn text(&self, claim: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(refused(claim, "is not a text")),
        }
    }

    /// A claim that is a text or a list of texts.
    fn texts(&self, claim: &str) -> Result<Vec<&str>, Refusal> {
        let Some(Value::Array(items)) = self.0.get(claim) else { return Ok(self.text(claim)?.into_iter().collect()) };
        let texts = items.iter().map(|item| item.as_str().ok_or_else(|| refused(claim, "is not a list of texts")));
        texts.collect()
    }

    /// A claim that is a time, in seconds since 1970.
    fn seconds(&self, claim: &str) -> Result<Option<i64>, Refusal> {
        match self.0.get(claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) => {
                let seconds = number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64));
                seconds.map(Some).ok_or_else(|| refused(claim, "is not a time"))
            }
            Some(_) => Err(refused(claim, "is not a time")),
        }
    }
}

//! `AuthenticationConfiguration`: the issuers of tokens, and those requests without a token that are let in.
//!
//! It is kube-apiserver's file, with two fields more below `issuer`: `jwksFile` and `jwksURL`, the key set itself in place of discovery.
//! Expressions in CEL are refused, and so is every field that is not known.
//!
//! Source: `apiserver/pkg/apis/apiserver/v1/types.go`, `apiserver/pkg/apis/apiserver/validation/validation.go`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::jwt::{Issuer, KeySource, Mapping};
use crate::{
    decode,
    fault::{Faults, Path},
    yaml,
};

/// The versions that are read.
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"];
const KIND: &str = "AuthenticationConfiguration";

/// Issuers at most.
const MOST_ISSUERS: usize = 64;

const NO_EXPRESSIONS: &str = "Podberth evaluates no CEL expressions: use claim";

/// The ways by which users are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// The issuers of tokens.
    pub issuers: Vec<Issuer>,
    /// The requests without credentials that are let in, as those of `system:anonymous`.
    pub anonymous: Anonymous,
}

/// The requests without credentials that are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Anonymous {
    /// All.
    #[default]
    All,
    /// None.
    None,
    /// Those for these paths.
    On(BTreeSet<String>),
}

impl Anonymous {
    /// `true` if a request for a path is let in without credentials.
    pub fn allows(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::On(paths) => paths.contains(path),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct File {
    api_version: String,
    kind: String,
    jwt: Vec<SentAuthenticator>,
    anonymous: Option<SentAnonymous>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentAuthenticator {
    issuer: SentIssuer,
    claim_mappings: SentMappings,
    claim_validation_rules: Vec<SentRule>,
    user_validation_rules: Vec<SentUserRule>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentIssuer {
    url: String,
    #[serde(rename = "discoveryURL")]
    discovery_url: String,
    #[serde(rename = "jwksURL")]
    jwks_url: String,
    jwks_file: String,
    certificate_authority: String,
    audiences: Vec<String>,
    audience_match_policy: String,
    egress_selector_type: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentMappings {
    username: SentMapping,
    groups: SentMapping,
    uid: SentMapping,
    extra: Vec<SentExtra>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentMapping {
    claim: String,
    prefix: Option<String>,
    expression: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentExtra {
    #[serde(rename = "key")]
    _key: String,
    value_expression: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentRule {
    claim: String,
    required_value: String,
    expression: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentUserRule {
    expression: String,
    #[serde(rename = "message")]
    _message: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentAnonymous {
    enabled: bool,
    conditions: Vec<SentCondition>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct SentCondition {
    path: String,
}

/// Reads the text of a file, YAML or JSON.
///
/// # Errors
/// All faults, each with its field.
pub fn parse(text: &str) -> Result<Authentication, String> {
    let json = yaml::to_json(text.as_bytes(), true).map_err(|error| error.to_string())?;
    let file: File = decode::from_slice(&json).map_err(|error| error.without_place().to_string())?;
    let (mut faults, root) = (Faults::default(), Path::ROOT);
    if !VERSIONS.contains(&&*file.api_version) {
        faults.not_supported(&root.child("apiVersion"), &file.api_version, &VERSIONS);
    }
    if file.kind != KIND {
        faults.not_supported(&root.child("kind"), &file.kind, &[KIND]);
    }
    let jwt = root.child("jwt");
    if file.jwt.len() > MOST_ISSUERS {
        faults.too_many(&jwt, format!("Too many: {}: must have at most {MOST_ISSUERS} items", file.jwt.len()));
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for (at, sent) in file.jwt.into_iter().enumerate() {
        let at = jwt.index(at);
        let issuer = sent.read(&at, &mut faults);
        let of_issuer = at.child("issuer");
        if issuers.iter().any(|other| other.url == issuer.url) {
            faults.duplicate(&of_issuer.child("url"), &issuer.url);
        }
        if let KeySource::Discovery(url) = &issuer.keys
            && issuers.iter().any(|other| other.keys == issuer.keys)
        {
            faults.duplicate(&of_issuer.child("discoveryURL"), url);
        }
        issuers.push(issuer);
    }
    let anonymous = file.anonymous.map_or(Anonymous::All, |sent| sent.read(&root.child("anonymous"), &mut faults));
    let causes = faults.into_causes();
    if causes.is_empty() {
        return Ok(Authentication { issuers, anonymous });
    }
    Err(causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect::<Vec<_>>().join("; "))
}

impl SentAuthenticator {
    fn read(self, at: &Path<'_>, faults: &mut Faults) -> Issuer {
        let Self { issuer, claim_mappings: mappings, claim_validation_rules: rules, user_validation_rules } = self;
        let at_mappings = at.child("claimMappings");
        let (at_username, before) = (at_mappings.child("username"), faults.count());
        let username = mappings.username.read(&at_username, faults);
        if username.is_none() && faults.count() == before {
            faults.required(&at_username.child("claim"), "");
        }
        let groups = mappings.groups.read(&at_mappings.child("groups"), faults);
        let at_uid = at_mappings.child("uid");
        if mappings.uid.prefix.is_some() {
            faults.forbidden(&at_uid.child("prefix"), "a uid has no prefix");
        }
        refuse_expression(&at_uid.child("expression"), &mappings.uid.expression, faults);
        let at_extra = at_mappings.child("extra");
        for (index, extra) in mappings.extra.iter().enumerate() {
            let at = at_extra.index(index);
            if extra.value_expression.is_empty() {
                faults.required(&at.child("valueExpression"), "");
            }
            refuse_expression(&at.child("valueExpression"), &extra.value_expression, faults);
        }
        let at_rules = at.child("userValidationRules");
        for (index, rule) in user_validation_rules.iter().enumerate() {
            let at = at_rules.index(index);
            if rule.expression.is_empty() {
                faults.required(&at.child("expression"), "");
            }
            refuse_expression(&at.child("expression"), &rule.expression, faults);
        }
        let at_rules = at.child("claimValidationRules");
        let mut required: Vec<(String, String)> = Vec::new();
        for (index, rule) in rules.into_iter().enumerate() {
            let at = at_rules.index(index);
            refuse_expression(&at.child("expression"), &rule.expression, faults);
            if rule.claim.is_empty() && rule.expression.is_empty() {
                faults.required(&at.child("claim"), "");
            }
            if !rule.message.is_empty() {
                faults.forbidden(&at.child("message"), "may not be specified when claim is set");
            }
            if required.iter().any(|(claim, _)| *claim == rule.claim) {
                faults.duplicate(&at.child("claim"), &rule.claim);
            }
            required.push((rule.claim, rule.required_value));
        }
        let keys = issuer.check(&at.child("issuer"), faults);
        Issuer {
            url: issuer.url,
            keys,
            authority: issuer.certificate_authority,
            audiences: issuer.audiences,
            username: username.unwrap_or_else(|| Mapping { claim: String::new(), prefix: String::new() }),
            groups,
            uid: Some(mappings.uid.claim).filter(|claim| !claim.is_empty()),
            required,
        }
    }
}

impl SentMapping {
    /// The mapping; `None` if there is none, or a faulty one.
    fn read(self, at: &Path<'_>, faults: &mut Faults) -> Option<Mapping> {
        refuse_expression(&at.child("expression"), &self.expression, faults);
        match (self.claim, self.prefix) {
            (claim, Some(prefix)) if !claim.is_empty() => Some(Mapping { claim, prefix }),
            (claim, None) if !claim.is_empty() => {
                faults.required(&at.child("prefix"), "prefix is required when claim is set; it may be \"\"");
                None
            }
            (_, Some(_)) => {
                faults.required(&at.child("claim"), "claim is required when prefix is set");
                None
            }
            (_, None) => None,
        }
    }
}

fn refuse_expression(at: &Path<'_>, expression: &str, faults: &mut Faults) {
    if !expression.is_empty() {
        faults.forbidden(at, NO_EXPRESSIONS);
    }
}

impl SentIssuer {
    fn check(&self, at: &Path<'_>, faults: &mut Faults) -> KeySource {
        if self.url.is_empty() {
            faults.required(&at.child("url"), "");
        } else {
            check_url(&at.child("url"), &self.url, faults);
        }
        let at_audiences = at.child("audiences");
        if self.audiences.is_empty() {
            faults.required(&at_audiences, "at least one audience is required");
        }
        for (index, audience) in self.audiences.iter().enumerate() {
            if audience.is_empty() {
                faults.required(&at_audiences.index(index), "");
            }
            if self.audiences.iter().take(index).any(|other| other == audience) {
                faults.duplicate(&at_audiences.index(index), audience);
            }
        }
        let at_policy = at.child("audienceMatchPolicy");
        match &*self.audience_match_policy {
            "" if self.audiences.len() > 1 => {
                faults.invalid(&at_policy, "", "audienceMatchPolicy must be MatchAny for multiple audiences");
            }
            "" | "MatchAny" => {}
            other => faults.not_supported(&at_policy, other, &["MatchAny"]),
        }
        if !self.egress_selector_type.is_empty() {
            faults.forbidden(&at.child("egressSelectorType"), "Podberth has no egress selection");
        }
        self.source(at, faults)
    }

    fn source(&self, at: &Path<'_>, faults: &mut Faults) -> KeySource {
        let sources =
            [("discoveryURL", &self.discovery_url), ("jwksURL", &self.jwks_url), ("jwksFile", &self.jwks_file)];
        let mut given = sources.into_iter().filter(|(_, value)| !value.is_empty());
        let source = given.next();
        for (field, _) in given {
            faults.forbidden(&at.child(field), "only one of discoveryURL, jwksURL and jwksFile may be specified");
        }
        let trimmed = self.url.trim_end_matches('/');
        match source {
            Some(("jwksFile", path)) => KeySource::File(path.clone()),
            Some(("jwksURL", url)) => {
                check_url(&at.child("jwksURL"), url, faults);
                KeySource::Url(url.clone())
            }
            Some((field, url)) => {
                check_url(&at.child(field), url, faults);
                if url.trim_end_matches('/') == trimmed {
                    faults.invalid(&at.child(field), url, "discoveryURL must be different from URL");
                }
                KeySource::Discovery(url.clone())
            }
            None => KeySource::Discovery(format!("{trimmed}/.well-known/openid-configuration")),
        }
    }
}

fn check_url(at: &Path<'_>, url: &str, faults: &mut Faults) {
    let mut invalid = |why: &str| faults.invalid(at, url, why);
    let Some(rest) = url.strip_prefix("https://") else { return invalid("URL scheme must be https") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.starts_with(':') {
        invalid("URL must name a host");
    }
    if authority.contains('@') {
        invalid("URL must not contain a username or password");
    }
    if rest.contains('?') {
        invalid("URL must not contain a query");
    }
    if rest.contains('#') {
        invalid("URL must not contain a fragment");
    }
    if url.chars().any(|character| character.is_whitespace() || character.is_control() || !character.is_ascii()) {
        invalid("URL must be written with printable ASCII characters");
    }
}

impl SentAnonymous {
    fn read(self, at: &Path<'_>, faults: &mut Faults) -> Anonymous {
        let at = at.child("conditions");
        for (index, condition) in self.conditions.iter().enumerate() {
            if !condition.path.starts_with('/') {
                faults.invalid(&at.index(index).child("path"), &condition.path, "must begin with /");
            }
        }
        match (self.enabled, self.conditions.is_empty()) {
            (true, true) => Anonymous::All,
            (false, true) => Anonymous::None,
            (true, false) => Anonymous::On(self.conditions.into_iter().map(|condition| condition.path).collect()),
            (false, false) => {
                faults.forbidden(&at, "enabled should be set to true when conditions are defined");
                Anonymous::None
            }
        }
    }
}

//! Stored tokens: made, listed, revoked.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Caller,
    uses::{forgotten, last_uses},
};
use crate::{
    clock,
    core::access::{
        AUTHENTICATED, MASTERS, ResourceAttributes, UNAUTHENTICATED, built_in::EXTENDERS, split_service_account,
    },
    hex::hex,
    live::SYSTEM_CLUSTER,
    service::{
        Service,
        error::{Error, Result, Subject},
    },
    store::{Atomicity, Call, Change, Key, ListQuery, Outcome, Precondition, Record, Refusal, Write},
    wire::{
        access::token::{self, KIND, StoredToken, TokenKind},
        objects::names,
        status::StatusCause,
    },
};

/// The name of the token by which a process is first reached, and its user.
pub const FIRST: &str = "bootstrap";
/// Its user.
pub const FIRST_USER: &str = "system:bootstrap";

/// Tokens at most.
const MOST_TOKENS: usize = 10_000;

/// Groups and clusters of a token at most, and the longest name of one of them.
const MOST: usize = 100;
const LONGEST: usize = 253;

/// A token to make.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NewToken {
    /// Its name, by which it is listed and revoked: a DNS subdomain.
    #[schema(example = "ci")]
    pub name: String,
    /// `user`, or `extender` for a kube-scheduler that calls Podberth as its extender; `user` if absent.
    #[schema(example = "user")]
    pub kind: String,
    /// The user whose rights it has. Of an extender `system:extender:` and the name, if absent.
    #[schema(example = "jane")]
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The clusters it is for, by name or by its beginning and `*`; all if absent.
    pub clusters: Vec<String>,
    /// After how many seconds it ends; never if absent.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// A token as it is listed: without its text, which nobody has but its holder.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedToken {
    /// Its name.
    #[schema(example = "ci")]
    pub name: String,
    /// `user` or `extender`.
    #[schema(example = "user")]
    pub kind: String,
    /// Its user.
    #[schema(example = "jane")]
    pub user: String,
    /// The user's groups.
    pub groups: Vec<String>,
    /// The clusters it is for; none for all.
    pub clusters: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was used last, RFC 3339, to the minute or so; absent if it was not.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
}

/// The tokens.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By name.
    pub items: Vec<ListedToken>,
}

/// A new token.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MadeToken {
    /// Its text, which is shown here once and never again.
    pub token: String,
    /// The token as it is listed from now on.
    pub listed: ListedToken,
}

/// Makes a token. Its maker must have the right to act as its user, as for the headers `Impersonate-*`.
///
/// # Errors
/// [`Error::Invalid`] with all faults, [`Error::Denied`], [`Error::AlreadyExists`].
pub async fn create(service: &Service, by: &Caller, new: NewToken) -> Result<MadeToken> {
    let kind = if new.kind == "extender" { TokenKind::Extender } else { TokenKind::User };
    let is_own_user = kind == TokenKind::Extender && new.user.is_empty();
    let user = if is_own_user { format!("system:extender:{}", new.name) } else { new.user.clone() };
    let causes = faults(&new, &user);
    if !causes.is_empty() {
        return Err(Error::Invalid { subject: Subject::new("podberth.io", "Token", &*new.name), causes });
    }
    // A token of an extender is in this group, whose rights are built in.
    let given = (kind == TokenKind::Extender).then_some(EXTENDERS);
    for attributes in impersonating(Some(&*user), new.groups.iter().map(String::as_str).chain(given)) {
        by.check(service, SYSTEM_CLUSTER, attributes).await?;
    }
    let now = service.clusters.now().await?;
    let left = remove_ended(service, now).await?;
    if left >= MOST_TOKENS {
        return Err(Error::TooManyRequests {
            message: format!("there are {left} tokens, and {MOST_TOKENS} are the limit: revoke some first"),
            retry_after_seconds: 60,
        });
    }
    let ends = new.expires_in_seconds.map(|seconds| now.checked_add(Duration::from_secs(seconds)));
    let ends = ends.transpose().map_err(|_| Error::BadRequest("expiresInSeconds: it ends too late".into()))?;
    let text = token::from_random(random());
    let stored = StoredToken {
        digest: hex(&token::digest(&text)),
        kind,
        user,
        groups: new.groups,
        clusters: new.clusters,
        created_at: clock::rfc3339(now),
        expires_at: ends.map(clock::rfc3339),
    };
    let listed = listed(&new.name, stored.clone());
    if store(service, &new.name, &stored).await? {
        Ok(MadeToken { token: text, listed })
    } else {
        Err(Error::AlreadyExists(subject(&new.name)))
    }
}

/// The rights that it takes to act as a user of groups.
pub fn impersonating<'a>(
    user: Option<&'a str>,
    groups: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = ResourceAttributes<'a>> {
    let user = user.map(|user| match split_service_account(user) {
        Some((namespace, name)) => {
            ResourceAttributes::new("impersonate", "", "serviceaccounts").within(namespace).named(name)
        }
        None => ResourceAttributes::new("impersonate", "", "users").named(user),
    });
    let group = |group| ResourceAttributes::new("impersonate", "", "groups").named(group);
    user.into_iter().chain(groups.map(group))
}

/// Stores the first token, by which a database is reached whose processes know nobody yet; its text, if this process made it.
///
/// # Errors
/// Those of the store.
pub async fn create_first(service: &Service, now: Timestamp) -> Result<Option<String>> {
    let text = token::from_random(random());
    let stored = StoredToken {
        digest: hex(&token::digest(&text)),
        kind: TokenKind::User,
        user: FIRST_USER.into(),
        groups: vec![MASTERS.into()],
        clusters: Vec::new(),
        created_at: clock::rfc3339(now),
        expires_at: None,
    };
    Ok(store(service, FIRST, &stored).await?.then_some(text))
}

/// The tokens, by name.
///
/// # Errors
/// Those of the store.
pub async fn list(service: &Service) -> Result<TokenList> {
    let found = service.store.list(SYSTEM_CLUSTER, &ListQuery::all(KIND)).await?;
    let mut uses = last_uses(service).await?;
    let read = |record: &Record| {
        let stored = serde_json::from_slice(&record.body).map_err(Error::internal)?;
        Ok(ListedToken { last_used_at: uses.remove(&*record.key.name), ..listed(&record.key.name, stored) })
    };
    Ok(TokenList { items: found.items.iter().map(read).collect::<Result<_>>()? })
}

/// Revokes a token: no process takes it any more once the change has reached it.
///
/// # Errors
/// [`Error::NotFound`]
pub async fn revoke(service: &Service, name: &str) -> Result<()> {
    let call = Call { writes: vec![removal(name), forgotten(name)], atomicity: Atomicity::Each };
    match service.clusters.commit(SYSTEM_CLUSTER, call, None).await?.outcomes.first() {
        Some(Outcome::Deleted { .. }) => Ok(()),
        _ => Err(Error::NotFound(subject(name))),
    }
}

/// Removes the tokens that have ended; how many are left.
async fn remove_ended(service: &Service, now: Timestamp) -> Result<usize> {
    let found = service.store.list(SYSTEM_CLUSTER, &ListQuery::all(KIND)).await?.items;
    let has_ended = |record: &&Record| {
        let stored = serde_json::from_slice::<StoredToken>(&record.body).ok();
        let ends: Option<Timestamp> = stored.and_then(|token| token.expires_at?.parse().ok());
        ends.is_some_and(|end| end <= now)
    };
    let removal =
        |record: &Record| Write { precondition: Precondition::revision(record.revision), ..removal(&record.key.name) };
    let mut ended: Vec<Write> = found.iter().filter(has_ended).map(removal).collect();
    let left = found.len() - ended.len();
    ended.extend(found.iter().filter(has_ended).map(|record| forgotten(&record.key.name)));
    if !ended.is_empty() {
        service.clusters.commit(SYSTEM_CLUSTER, Call { writes: ended, atomicity: Atomicity::Each }, None).await?;
    }
    Ok(left)
}

fn removal(name: &str) -> Write {
    Write { key: Key::new(KIND, "", name), precondition: Precondition::exists(), change: Change::Delete }
}

/// `true` if it was stored, `false` if there is one of the name.
async fn store(service: &Service, name: &str, stored: &StoredToken) -> Result<bool> {
    let body = serde_json::to_vec(stored).map_err(Error::internal)?;
    let change = Change::Put { body: body.into(), uid: Uuid::new_v4().to_string(), node: None };
    let write = Write { key: Key::new(KIND, "", name), precondition: Precondition::absent(), change };
    // A use may have been noted of an earlier one of its name.
    let call = Call { writes: vec![write, forgotten(name)], atomicity: Atomicity::Each };
    match service.clusters.commit(SYSTEM_CLUSTER, call, None).await?.outcomes.into_iter().next() {
        Some(Outcome::Written { .. }) => Ok(true),
        Some(Outcome::Refused(Refusal::AlreadyExists { .. })) => Ok(false),
        other => Err(Error::internal(format!("the store did not take a token: {other:?}"))),
    }
}

fn listed(name: &str, stored: StoredToken) -> ListedToken {
    let StoredToken { kind, user, groups, clusters, created_at, expires_at, digest: _ } = stored;
    let kind = if kind == TokenKind::Extender { "extender" } else { "user" };
    let (name, kind) = (name.into(), kind.into());
    ListedToken { name, kind, user, groups, clusters, created_at, expires_at, last_used_at: None }
}

fn subject(name: &str) -> Subject {
    Subject::new("podberth.io", "tokens", name)
}

/// Thirty-two bytes of chance: those of three random UUIDs, 366 bits, mixed.
fn random() -> token::TokenDigest {
    token::digest(&[Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()].map(|uuid| uuid.to_string()).concat())
}

fn faults(new: &NewToken, user: &str) -> Vec<StatusCause> {
    let mut causes = Vec::new();
    let mut invalid = |field: &str, message: String| {
        causes.push(StatusCause {
            reason: "FieldValueInvalid".into(),
            message,
            field: field.into(),
            ..StatusCause::default()
        });
    };
    if let Err(rule) = names::dns_subdomain(&new.name) {
        invalid("name", format!("Invalid value: {:?}: {rule}", new.name));
    }
    if !matches!(new.kind.as_str(), "" | "user" | "extender") {
        invalid("kind", format!("Unsupported value: {:?}: supported values: \"user\", \"extender\"", new.kind));
    }
    if user.is_empty() || user.len() > LONGEST {
        invalid("user", format!("it needs a user, of at most {LONGEST} characters"));
    }
    let reserved = BTreeSet::from([MASTERS, AUTHENTICATED, UNAUTHENTICATED]);
    if let Some(group) = new.groups.iter().find(|group| reserved.contains(group.as_str())) {
        invalid("groups", format!("{group:?} is given by no token: bind a role to the user or to another group"));
    }
    for (field, names) in [("groups", &new.groups), ("clusters", &new.clusters)] {
        let is_good = |name: &String| (1..=LONGEST).contains(&name.len());
        if names.len() > MOST || !names.iter().all(is_good) {
            invalid(field, format!("at most {MOST} names of 1 to {LONGEST} characters"));
        }
    }
    if new.expires_in_seconds == Some(0) {
        invalid("expiresInSeconds", "it must be at least 1".into());
    }
    causes
}

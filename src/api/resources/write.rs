//! Create, replace, delete.

use axum::{body::Bytes, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{
    admission, examine,
    list::{ListQuery, find},
    read::current,
    show,
    target::Target,
};
use crate::{
    api::{
        context::read_on,
        error::{ApiError, Result},
        extract::{JsonBytes, Query},
        queries::dry_run,
        state::AppState,
        warning::{FieldValidationQuery, warn},
    },
    service::objects::{self, is_absent, with_node},
    store::{Atomicity, Call, Change, Commit, Outcome, Precondition, Record, Refusal, Write},
    wire::{document::Document, validation::fields::FieldValidation},
};

/// Number of attempts of a change without a revision while others change the object.
pub(crate) const ATTEMPTS: usize = 8;

/// The query of a change.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WriteQuery {
    dry_run: String,
    field_validation: String,
}

impl WriteQuery {
    /// `true` if nothing must be stored.
    pub fn dry_run(&self) -> Result<bool> {
        dry_run(&self.dry_run)
    }

    /// The treatment of unknown and repeated fields.
    pub fn field_validation(&self) -> Result<FieldValidation> {
        FieldValidationQuery { field_validation: self.field_validation.clone() }.parse()
    }
}

/// Commits facts: the next decision of this process sees them.
pub(crate) async fn commit(
    state: &AppState,
    cluster: &str,
    writes: Vec<Write>,
    atomicity: Atomicity,
) -> Result<Commit> {
    Ok(state.clusters.commit(cluster, Call { writes, atomicity }, None).await?)
}

/// Commits one write.
pub(crate) async fn commit_one(
    state: &AppState,
    target: &Target,
    precondition: Precondition,
    change: Change,
) -> Result<Outcome> {
    let write = Write { key: target.key(), precondition, change };
    let mut commit = commit(state, &target.cluster, vec![write], Atomicity::Each).await?;
    commit.outcomes.pop().ok_or_else(|| ApiError::internal("the store did not answer for a write"))
}

/// POST of a collection.
pub(crate) async fn create(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let dry_run = query.dry_run()?;
    let length = body.len();
    let (mut document, odd) = opened(&target, body, query.field_validation()?).await?;
    if !is_absent(document.metadata("resourceVersion")) {
        return Err(ApiError::BadRequest("resourceVersion should not be set on objects to be created".into()));
    }
    admission::of_new(&state, &target, &mut document, length).await?;
    objects::stamp(&mut document);
    let prefix = if is_absent(document.metadata("name")) { document.metadata_text("generateName") } else { None };
    let prefix = prefix.filter(|prefix| !prefix.is_empty());

    for attempt in 1.. {
        if let Some(prefix) = &prefix {
            document.set_metadata_text("name", &objects::generated(prefix));
        }
        let target = target.named(document.metadata_text("name").unwrap_or_default());
        let (kind, checked) = (target.kind, document.clone());
        let checked = read_on(length, move || examine::check(kind, checked)).await?;
        let accepted = checked.map_err(|refused| refused.into_error(&target))?;
        let refusal = if dry_run {
            if state.store.get(&target.cluster, &target.key()).await?.is_none() {
                let response = show::tried(StatusCode::CREATED, target.kind, &accepted.body, None);
                return Ok(warn(response, &odd));
            }
            Refusal::AlreadyExists { current: 0 }
        } else {
            match commit_one(&state, &target, Precondition::absent(), accepted.put()).await? {
                Outcome::Refused(refusal) => refusal,
                Outcome::Written { revision, .. } | Outcome::Unchanged { revision } | Outcome::Deleted { revision } => {
                    let response = show::tried(StatusCode::CREATED, target.kind, &accepted.body, Some(revision));
                    return Ok(warn(response, &odd));
                }
            }
        };
        if prefix.is_none() || attempt == ATTEMPTS {
            return Err(target.refused(refusal, &accepted.uid));
        }
    }
    Err(ApiError::internal("the attempts are endless"))
}

/// Reads a body to be stored under the path, with warnings about its fields.
async fn opened(target: &Target, body: Bytes, mode: FieldValidation) -> Result<(Document, Vec<String>)> {
    let (target, length) = (target.clone(), body.len());
    let read = move || -> Result<_> {
        let examined = examine::examined(target.kind, &body, mode)?;
        Ok((examine::open(&target, &examined.json)?, examined.odd))
    };
    read_on(length, read).await?
}

/// PUT of an object.
pub(crate) async fn replace(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    update(&state, &target, &query, body, whole).await
}

/// PUT of an object's `status`: everything else stays.
pub(crate) async fn replace_status(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    update(&state, &target, &query, body, only_status).await
}

/// The object sent in place of the stored one, which keeps its identity.
fn whole(sent: &Document, stored: &Document) -> Document {
    let mut document = sent.clone();
    for field in ["uid", "creationTimestamp"] {
        match stored.metadata(field) {
            Some(value) => document.set_metadata(field, value.to_owned()),
            None => document.remove_metadata(field),
        }
    }
    document
}

/// The stored object with the status sent.
fn only_status(sent: &Document, stored: &Document) -> Document {
    let mut document = stored.clone();
    match sent.get("status") {
        Some(status) => document.set("status", status.to_owned()),
        None => document.remove("status"),
    }
    document
}

/// Replaces the stored object by the result of `edit`, by compare-and-set.
async fn update(
    state: &AppState,
    target: &Target,
    query: &WriteQuery,
    body: Bytes,
    edit: fn(&Document, &Document) -> Document,
) -> Result<Response> {
    let dry_run = query.dry_run()?;
    let length = body.len();
    let (mut sent, odd) = opened(target, body, query.field_validation()?).await?;
    if is_absent(sent.metadata("name")) {
        sent.set_metadata_text("name", &target.name);
    }
    if let Some(name) = sent.metadata_text("name").filter(|name| *name != target.name) {
        let url = &target.name;
        let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
        return Err(ApiError::BadRequest(message));
    }
    let based_on = examine::revision(&sent.metadata_text("resourceVersion").unwrap_or_default())?;

    for _ in 0..ATTEMPTS {
        let stored = current(state, target).await?;
        if based_on.is_some_and(|revision| revision != stored.revision) {
            return Err(target.modified());
        }
        if let Some(uid) = sent.metadata_text("uid").filter(|uid| !uid.is_empty() && *uid != stored.uid) {
            return Err(target.other_uid(&uid, &stored.uid));
        }
        let length = length.max(stored.body.len());
        let record = stored.clone();
        let before = read_on(length, move || -> Result<_> {
            Document::parse(with_node(&record)?.as_bytes()).map_err(ApiError::internal)
        });
        let before = before.await??;
        let mut document = edit(&sent, &before);
        admission::of_update(state, target, &mut document, &before, length).await?;
        let kind = target.kind;
        let checked = read_on(length, move || examine::check_update(kind, document, &before)).await?;
        let mut accepted = checked.map_err(|refused| refused.into_error(target))?;
        accepted.uid.clone_from(&stored.uid);
        if dry_run {
            let response = show::tried(StatusCode::OK, target.kind, &accepted.body, Some(stored.revision));
            return Ok(warn(response, &odd));
        }
        match commit_one(state, target, Precondition::revision(stored.revision), accepted.put()).await? {
            Outcome::Refused(Refusal::Conflict { .. }) if based_on.is_none() => {}
            Outcome::Refused(refusal) => return Err(target.refused(refusal, &accepted.uid)),
            Outcome::Written { revision, .. } | Outcome::Unchanged { revision } | Outcome::Deleted { revision } => {
                let response = show::tried(StatusCode::OK, target.kind, &accepted.body, Some(revision));
                return Ok(warn(response, &odd));
            }
        }
    }
    Err(target.modified())
}

/// Options of a deletion in its body (`meta/v1` DeleteOptions).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeleteOptions {
    /// The conditions.
    pub preconditions: Option<Preconditions>,
    dry_run: Option<Vec<String>>,
}

/// Conditions of a deletion.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the body of a deletion; an empty one has no conditions.
    pub fn parse(body: &[u8]) -> Result<Self> {
        if body.is_empty() { Ok(Self::default()) } else { examine::decode(body) }
    }

    /// `true` if nothing must be stored.
    pub fn dry_run(&self) -> Result<bool> {
        self.dry_run.iter().flatten().try_fold(false, |any, value| Ok(any | dry_run(value)?))
    }

    /// Checks these conditions on an object.
    pub fn check(&self, target: &Target, record: &Record) -> Result<()> {
        let Some(preconditions) = &self.preconditions else { return Ok(()) };
        if let Some(uid) = preconditions.uid.as_ref().filter(|uid| **uid != record.uid) {
            return Err(target.other_uid(uid, &record.uid));
        }
        match &preconditions.resource_version {
            Some(wanted) if *wanted != record.revision.to_string() => {
                let current = record.revision;
                Err(target.conflict(format!(
                    "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: \
                     {current}"
                )))
            }
            _ => Ok(()),
        }
    }
}

/// DELETE of an object.
pub(crate) async fn delete(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let options = DeleteOptions::parse(&body)?;
    let dry_run = query.dry_run()? | options.dry_run()?;
    for _ in 0..ATTEMPTS {
        let stored = current(&state, &target).await?;
        options.check(&target, &stored)?;
        if !dry_run {
            let unchanged = Precondition::revision(stored.revision);
            match commit_one(&state, &target, unchanged, Change::Delete).await? {
                Outcome::Refused(Refusal::Conflict { .. }) => continue,
                Outcome::Refused(refusal) => return Err(target.refused(refusal, &stored.uid)),
                Outcome::Written { .. } | Outcome::Unchanged { .. } | Outcome::Deleted { .. } => {}
            }
        }
        return Ok(show::success(StatusCode::OK, &target, &stored.uid));
    }
    Err(target.modified())
}

/// DELETE of a collection: all selected objects, in one commit. Objects that others delete or create meanwhile stay as they left them.
pub(crate) async fn delete_all(
    State(state): State<AppState>,
    target: Target,
    Query(chosen): Query<ListQuery>,
    Query(query): Query<WriteQuery>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let dry_run = query.dry_run()? | DeleteOptions::parse(&body)?.dry_run()?;
    let found = find(&state, &target, &chosen.selector()?, None, None).await?;
    if !dry_run && !found.items.is_empty() {
        let writes = found.items.into_iter().map(|record| Write {
            precondition: Precondition { uid: Some(record.uid), ..Precondition::default() },
            key: record.key,
            change: Change::Delete,
        });
        commit(&state, &target.cluster, writes.collect(), Atomicity::Each).await?;
    }
    Ok(show::success(StatusCode::OK, &target, ""))
}

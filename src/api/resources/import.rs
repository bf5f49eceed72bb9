//! `POST /import`: a whole cluster, or a part of one, in one request and one commit.
//!
//! The body is whatever `kubectl get … -o json` or `-o yaml` prints, or objects one after another. Facts are taken as
//! they are told: the objects keep their uid and creation time, a pod is on the node its body names, and the resource
//! versions of the cluster they come from mean nothing here.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::{
    door::{self, Accepted, Refused, is_absent},
    target::status_cause,
    write::{commit, dry_run},
};
use crate::{
    api::{
        cluster::ClusterName,
        error::{ApiError, Result, Subject},
        extract::{Encoded, Format, Query},
        openapi::WriteErrors,
        state::AppState,
    },
    store::{Atomicity, Change, Key, ListQuery, Outcome, Precondition, Record, Write},
    wire::{
        decode::DecodeError,
        document::Document,
        fault::Cause,
        kinds::{self, StoredKind},
        status::StatusCause,
        yaml,
    },
};

/// Stored objects that are compared at a time.
const PAGE: usize = 2_000;

/// Faults that a refusal lists; `skipInvalid=true` with `dryRun=All` reports all.
const TOLD: usize = 200;

/// How an import is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Delete every stored object, of whatever kind, that is not in the body: the cluster becomes its mirror
    #[param(required = false)]
    replace: bool,
    /// Store the valid objects and report the others; otherwise one that is not valid refuses them all
    #[param(required = false)]
    skip_invalid: bool,
    /// `All`: report what would be done and do nothing
    #[param(required = false, value_type = String)]
    dry_run: String,
}

/// What was done.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct ImportReport {
    /// Objects that were not there.
    pub created: u64,
    /// Objects that were there, and otherwise.
    pub updated: u64,
    /// Objects that were there just so.
    pub unchanged: u64,
    /// Objects that the body does not have (`replace=true`).
    pub deleted: u64,
    /// How many objects of each kind that is not stored, such as `Deployment`, were passed over.
    pub skipped: BTreeMap<String, u64>,
    /// The objects that are not valid (`skipInvalid=true`).
    pub refused: Vec<RefusedObject>,
    /// The cluster's revision afterwards.
    pub revision: u64,
}

/// An object that is not valid.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RefusedObject {
    /// Its kind, as far as it says.
    pub kind: String,
    /// Its namespace, as far as it says.
    pub namespace: String,
    /// Its name, as far as it says.
    pub name: String,
    /// Every fault.
    pub causes: Vec<StatusCause>,
}

/// Objects of any kinds.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "documents what `kubectl get -o json` prints; the items are read one by one")]
#[schema(as = ObjectList, example = json!({"kind": "List", "apiVersion": "v1", "items": [
    {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
     "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
]}))]
pub struct ObjectList {
    /// `List`, or that of a list of one kind, such as `PodList`.
    kind: String,
    /// Of the list.
    #[schema(rename = "apiVersion")]
    api_version: String,
    /// The objects, each with its kind and version unless the list says them.
    items: Vec<BTreeMap<String, serde_json::Value>>,
}

/// An object that is to be stored.
struct Incoming {
    kind: &'static StoredKind,
    key: Key,
    accepted: Accepted,
    /// The object again where it lacks its uid or creation time.
    incomplete: Option<Document>,
}

/// A body, read.
#[derive(Default)]
struct Import {
    /// By kind in the order of the table: what others refer to comes first.
    objects: Vec<Incoming>,
    report: ImportReport,
}

/// Import objects
///
/// Takes a `List`, a list of one kind, an array, objects one after another (NDJSON), or YAML with any number of
/// documents. All are checked, then stored in one commit, all or none. Objects that are there already are replaced.
/// Kinds that decisions do not read are passed over and counted.
#[utoipa::path(post, path = "/import", operation_id = "importObjects", tag = "state", params(ImportQuery),
    request_body(content = ObjectList, description = "The objects; `application/yaml` and `application/x-ndjson` are read too."),
    responses((status = 200, description = "What was done.", body = ImportReport), WriteErrors))]
pub async fn import(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<ImportQuery>,
    Encoded { bytes: body, format }: Encoded,
) -> Result<axum::Json<ImportReport>> {
    let dry_run = dry_run(&query.dry_run)?;
    let import = spawn_blocking(move || read(&body, format == Format::Yaml)).await.map_err(ApiError::internal)?;
    let mut import = import.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    if !import.report.refused.is_empty() && !query.skip_invalid {
        return Err(refusal(&import.report.refused));
    }
    if query.replace && import.objects.is_empty() {
        return Err(ApiError::BadRequest("replace=true with no object to store would delete the whole cluster".into()));
    }

    let gone = compare(&state, &cluster, &mut import, query.replace, dry_run).await?;
    let Import { objects, mut report } = import;
    if dry_run {
        report.deleted = gone.len() as u64;
        report.revision = state.store.head(&cluster).await?.revision;
        return Ok(axum::Json(report));
    }
    let puts = objects.into_iter().map(|object| {
        let Accepted { body, node, uid } = object.accepted;
        (object.key, Change::Put { body: body.into(), uid, node })
    });
    let deletions = gone.into_iter().map(|key| (key, Change::Delete));
    let writes =
        puts.chain(deletions).map(|(key, change)| Write { key, precondition: Precondition::default(), change });
    // Nothing can be refused but the deletion of what is gone meanwhile, so they need not stand for each other; it is
    // one transaction all the same.
    let commit = commit(&state, &cluster, writes.collect(), Atomicity::Each).await?;
    for outcome in &commit.outcomes {
        match outcome {
            Outcome::Written { created: true, .. } => report.created += 1,
            Outcome::Written { created: false, .. } => report.updated += 1,
            Outcome::Unchanged { .. } => report.unchanged += 1,
            Outcome::Deleted { .. } => report.deleted += 1,
            Outcome::Refused(_) => {}
        }
    }
    report.revision = commit.revision;
    Ok(axum::Json(report))
}

/// Reads and checks a body. Of an object that is there twice the last one counts.
fn read(body: &[u8], is_yaml: bool) -> std::result::Result<Import, DecodeError> {
    let mut import = Import::default();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for item in yaml::parse_items(body, is_yaml)? {
        let refused = match kinds::by_api_version(&item.api_version, &item.kind) {
            Some(kind) => match incoming(kind, &item.json) {
                Ok(object) => {
                    match places.entry(object.key.clone()) {
                        Entry::Occupied(place) => {
                            if let Some(earlier) = import.objects.get_mut(*place.get()) {
                                *earlier = object;
                            }
                        }
                        Entry::Vacant(place) => {
                            place.insert(import.objects.len());
                            import.objects.push(object);
                        }
                    }
                    continue;
                }
                Err(refused) => refused,
            },
            None if item.kind.is_empty() => {
                named(&item.kind, &Document::parse(item.json.as_bytes())?, vec![missing("kind")])
            }
            None => {
                *import.report.skipped.entry(item.kind).or_default() += 1;
                continue;
            }
        };
        import.report.refused.push(refused);
    }
    import.objects.sort_by_key(|object| kinds::ALL.iter().position(|kind| std::ptr::eq(kind, object.kind)));
    Ok(import)
}

fn missing(field: &str) -> StatusCause {
    StatusCause { reason: "FieldValueRequired".into(), message: "Required value".into(), field: field.into() }
}

fn named(kind: &str, document: &Document, causes: Vec<StatusCause>) -> RefusedObject {
    RefusedObject {
        kind: kind.into(),
        namespace: document.metadata_text("namespace").unwrap_or_default(),
        name: document.metadata_text("name").unwrap_or_default(),
        causes,
    }
}

/// Checks one object.
fn incoming(kind: &'static StoredKind, json: &str) -> std::result::Result<Incoming, RefusedObject> {
    let undecodable = |error: DecodeError| StatusCause {
        reason: "FieldValueTypeInvalid".into(),
        message: error.message,
        field: error.field,
    };
    let mut document = Document::parse(json.as_bytes()).map_err(|error| RefusedObject {
        kind: kind.kind.into(),
        causes: vec![undecodable(error)],
        ..RefusedObject::default()
    })?;
    if kind.namespaced && is_absent(document.metadata("namespace")) {
        document.set_metadata_text("namespace", "default");
    }
    let whole = ["uid", "creationTimestamp"].iter().all(|field| !is_absent(document.metadata(field)));
    let accepted = door::check(kind, document.clone()).map_err(|refused| {
        let causes = match refused {
            Refused::Undecodable(error) => vec![undecodable(error)],
            Refused::Invalid(causes) => causes.into_iter().map(status_cause).collect(),
        };
        named(kind.kind, &document, causes)
    })?;
    let text = |field| document.metadata_text(field).unwrap_or_default();
    let key = Key::new(kind.key(), text("namespace"), text("name"));
    Ok(Incoming { kind, key, accepted, incomplete: (!whole).then_some(document) })
}

/// The refusal of a whole import.
fn refusal(refused: &[RefusedObject]) -> ApiError {
    let faults = refused.iter().flat_map(|object| {
        let RefusedObject { kind, namespace, name, .. } = object;
        let slash = if namespace.is_empty() { "" } else { "/" };
        object.causes.iter().map(move |cause| {
            let field = format!("{kind} {namespace}{slash}{name}: {}", cause.field);
            Cause { field, reason: cause.reason.clone(), message: cause.message.clone(), unreadable: false }
        })
    });
    let mut causes: Vec<StatusCause> = faults.take(TOLD + 1).map(status_cause).collect();
    if causes.len() > TOLD {
        causes.truncate(TOLD);
        let message = "there are more: skipInvalid=true&dryRun=All reports them all".into();
        causes.push(StatusCause { message, ..StatusCause::default() });
    }
    ApiError::Invalid { subject: Subject::new("", "List", ""), causes }
}

/// Completes objects by what is stored, counts what would change (`dry_run`), and finds what the body does not have
/// (`replace`). Reads no more of the store than that takes.
async fn compare(
    state: &AppState,
    cluster: &str,
    import: &mut Import,
    replace: bool,
    dry_run: bool,
) -> Result<Vec<Key>> {
    let Import { objects, report } = import;
    let places: HashMap<Key, usize> =
        objects.iter().enumerate().map(|(place, object)| (object.key.clone(), place)).collect();
    let mut gone = Vec::new();
    let mut created = objects.len() as u64;
    for kind in kinds::ALL {
        let mut of_kind = objects.iter().filter(|object| std::ptr::eq(kind, object.kind));
        if !replace && !of_kind.any(|object| dry_run || object.incomplete.is_some()) {
            continue;
        }
        let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::all(kind.key()) };
        loop {
            let page = state.store.list(cluster, &query).await?;
            let last = page.items.last().map(|record| (record.key.namespace.clone(), record.key.name.clone()));
            for record in page.items {
                let Some(object) = places.get(&record.key).and_then(|place| objects.get_mut(*place)) else {
                    if replace {
                        gone.push(record.key);
                    }
                    continue;
                };
                complete(object, Some(&record));
                if dry_run && object.accepted.uid == record.uid {
                    created = created.saturating_sub(1);
                    let same = record.body == object.accepted.body && record.node == object.accepted.node;
                    *(if same { &mut report.unchanged } else { &mut report.updated }) += 1;
                }
            }
            if page.remaining.is_none() || last.is_none() {
                break;
            }
            query.after = last;
        }
    }
    for object in objects {
        complete(object, None);
    }
    if dry_run {
        report.created = created;
    }
    Ok(gone)
}

/// Gives an object the uid and creation time that it lacks: those of the stored object of its name, or new ones.
fn complete(object: &mut Incoming, stored: Option<&Record>) {
    let Some(mut document) = object.incomplete.take() else { return };
    let mut fresh = Document::default();
    door::stamp(&mut fresh);
    let stored = stored.and_then(|record| Document::parse(&record.body).ok());
    for field in ["uid", "creationTimestamp"] {
        let value = stored.as_ref().and_then(|stored| stored.metadata(field)).or_else(|| fresh.metadata(field));
        if let (true, Some(value)) = (is_absent(document.metadata(field)), value) {
            document.set_metadata(field, value.to_owned());
        }
    }
    object.accepted.uid = document.metadata_text("uid").unwrap_or_default();
    object.accepted.body = document.into_body();
}

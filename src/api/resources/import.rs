//! `POST /import`: a whole cluster, or a part of one, in one request and one commit.
//!
//! The body is the output of `kubectl get … -o json` or `-o yaml`, or objects one after another. Objects are facts: they keep their uid and creation
//! time, a pod is on the node that its body names, and resource versions of their cluster are ignored. A pod that was bound here and whose body
//! names no node stays on its node, since its cluster has not heard of the bind yet. Volumes and claims that a bind here bound to each other stay
//! so, too.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    admission,
    examine::{self, Accepted, Refused},
    report::{ImportReport, ObjectList, RefusedObject, refusal},
    target::status_cause,
    write::{ATTEMPTS, commit},
};
use crate::{
    api::{
        cluster::ClusterName,
        error::{ApiError, Result, Subject},
        extract::{Encoded, Format, Query},
        openapi::WriteErrors,
        queries::dry_run,
        state::AppState,
        warning::FieldValidationQuery,
    },
    core::{
        snapshot::{Kind, Snapshot},
        work,
    },
    service::{
        compute::compute_on,
        context::Fresh,
        objects::{is_absent, stamp},
    },
    store::{Atomicity, Change, Key, ListQuery, Outcome, Precondition, Record, Write},
    wire::{
        allowance,
        decode::DecodeError,
        document::Document,
        kinds::{self, StoredKind},
        objects::Converted,
        status::StatusCause,
        validation::fields::{self, FieldValidation},
        volume_choice::kept_choice,
        yaml,
    },
};

/// Steps of work that reading one object takes.
const ITEM: u64 = 1_024;

/// Stored objects that are compared at a time.
const PAGE: usize = 2_000;

/// Memory of an object until it is stored, besides its text: its place, its key twice, its outcome.
const INCOMING: usize = 1_024;

/// Faults that a warning about one object lists.
const MOST_CAUSES: usize = 20;

/// The query of an import.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// Delete every stored object, of any kind, that is not in the body: the cluster becomes its mirror
    #[param(required = false)]
    replace: bool,
    /// Store the objects that can be read and named, and report the others; otherwise one such fault refuses all
    #[param(required = false)]
    skip_invalid: bool,
    /// `All`: report the changes and make none
    #[param(required = false, value_type = String)]
    dry_run: String,
}

/// An object that is to be stored.
struct Incoming {
    kind: &'static StoredKind,
    key: Key,
    body: Bytes,
    uid: String,
    node: Option<String>,
    /// The object again where it lacks its uid or creation time.
    incomplete: Option<Document>,
    /// A pod whose body names no node.
    is_unbound: bool,
    /// An imported volume or claim, to be compared with the stored one.
    unsettled: Option<Bytes>,
    precondition: Precondition,
}

impl Incoming {
    /// Copies the fields that only the stored object has; `None` if there is none.
    fn settle(&mut self, stored: Option<&Record>, classes: &Snapshot) {
        if let Some(document) = self.incomplete.take() {
            let document = admission::of_imported(self.kind, document, stored, classes);
            let document = complete(document, stored);
            self.uid = document.metadata_text("uid").unwrap_or_default();
            self.body = document.into_body().into();
            self.unsettled = self.unsettled.take().map(|_| self.body.clone());
        }
        if let Some(told) = &self.unsettled {
            let same = stored.filter(|record| record.uid == self.uid);
            let kept = same.and_then(|record| kept_choice(told, &record.body).ok()).flatten();
            self.body = kept.map_or_else(|| told.clone(), Bytes::from);
            self.precondition = at(stored);
        }
        if self.is_unbound {
            self.node = stored.filter(|record| record.uid == self.uid).and_then(|record| record.node.clone());
            self.precondition = at(stored);
        }
    }

    fn write(&self) -> Write {
        Write {
            key: self.key.clone(),
            precondition: self.precondition.clone(),
            change: Change::Put { body: self.body.clone(), uid: self.uid.clone(), node: self.node.clone() },
        }
    }
}

/// That the object is as it was when it was compared.
fn at(stored: Option<&Record>) -> Precondition {
    stored.map_or_else(Precondition::absent, |record| Precondition::revision(record.revision))
}

/// A body, read.
#[derive(Default)]
struct Import {
    /// By kind in the order of the table: objects that others refer to come first.
    objects: Vec<Incoming>,
    report: ImportReport,
    /// The cluster's objects, and the classes of the body: the sources of defaults for new objects.
    classes: Snapshot,
}

/// Import objects
///
/// The body is a `List`, a list of one kind, an array, objects one after another (NDJSON), or YAML with any number of documents. One commit stores
/// all or none. Existing objects are replaced. Kinds that are not stored, such as secrets,
/// are ignored and counted.
///
/// Objects are facts: faults for which a client's write would be refused are listed in `warnings`, since a running cluster may have admitted them
/// under other rules. Only objects that cannot be read or named are refused.
#[utoipa::path(post, path = "/import", operation_id = "importObjects", tag = "state", params(ImportQuery, FieldValidationQuery),
    request_body(content = ObjectList, description = "The objects; `application/yaml` and `application/x-ndjson` are read too.",
        example = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-a"},
         "status": {"allocatable": {"cpu": "4", "memory": "16Gi", "pods": "110"}}}
    ]})),
    responses((status = 200, description = "The changes made.", body = ImportReport), WriteErrors))]
pub async fn import(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<ImportQuery>,
    Query(fields): Query<FieldValidationQuery>,
    Encoded { bytes: body, format }: Encoded,
) -> Result<axum::Json<ImportReport>> {
    let dry_run = dry_run(&query.dry_run)?;
    let mode = fields.parse()?;
    let classes = admission::classes(&state, &cluster, Fresh::default()).await?;
    let import = compute_on(body.len(), move || read(&body, format == Format::Yaml, mode, classes)).await?;
    let mut import = import.map_err(|error| ApiError::BadRequest(error.to_string()))?;
    if !import.report.refused.is_empty() && !query.skip_invalid {
        return Err(refusal(&import.report.refused));
    }
    if query.replace && import.objects.is_empty() {
        return Err(ApiError::BadRequest("replace=true with no object to store would delete the whole cluster".into()));
    }

    for _ in 0..ATTEMPTS {
        let gone = compare(&state, &cluster, &mut import, query.replace, dry_run).await?;
        let Import { objects, report, .. } = &mut import;
        if dry_run {
            report.deleted = gone.len() as u64;
            report.revision = state.store.head(&cluster).await?.revision;
            return Ok(axum::Json(import.report));
        }
        let exists = Precondition::exists();
        let deletions = gone.into_iter().map(|key| Write { key, precondition: exists.clone(), change: Change::Delete });
        let writes = objects.iter().map(Incoming::write).chain(deletions).collect();
        let commit = commit(&state, &cluster, writes, Atomicity::AllOrNothing).await?;
        // Somebody bound or deleted a pod since it was compared: compare again.
        if commit.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            continue;
        }
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
        return Ok(axum::Json(import.report));
    }
    Err(ApiError::Conflict {
        subject: Subject::new("", "lists", ""),
        message: "the objects were being changed all the while; please import them again".into(),
    })
}

/// Reads and checks a body. Of repeated objects the last one counts.
fn read(
    body: &[u8],
    is_yaml: bool,
    mode: FieldValidation,
    classes: Snapshot,
) -> std::result::Result<Import, DecodeError> {
    let mut import = Import { classes, ..Import::default() };
    let mut places: HashMap<Key, usize> = HashMap::new();
    if is_yaml {
        allowance::charge(yaml::weight(body))?;
    }
    for item in yaml::parse_items(body, is_yaml)? {
        work::spend(ITEM);
        allowance::charge(INCOMING)?;
        let mut refused = match kind_of(&item) {
            Ok(Some(kind)) => match allowance::briefly(|| incoming(kind, &item.json, mode, &mut import.classes)) {
                Ok((object, warning)) => {
                    if let Some(warning) = warning {
                        import.report.warn(RefusedObject { at: item.at, ..warning });
                    }
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
            Err(cause) => match Document::parse(item.json.as_bytes()) {
                Ok(document) => named(&item.kind, &document, vec![cause]),
                Err(error) => RefusedObject { causes: vec![undecodable(error)], ..RefusedObject::default() },
            },
            Ok(None) => {
                *import.report.skipped.entry(item.kind).or_default() += 1;
                continue;
            }
        };
        refused.at = item.at;
        import.report.refused.push(refused);
    }
    import.objects.sort_by_key(|object| kinds::ALL.iter().position(|kind| std::ptr::eq(kind, object.kind)));
    Ok(import)
}

/// The kind of an item; `None` where it is one that is not stored.
fn kind_of(item: &yaml::Item) -> std::result::Result<Option<&'static StoredKind>, StatusCause> {
    let cause = |reason: &str, message: String| StatusCause { reason: reason.into(), message, field: "kind".into() };
    if item.kind.is_empty() {
        return Err(cause("FieldValueRequired", "Required value: what kind of object it is".into()));
    }
    match kinds::by_api_version(&item.api_version, &item.kind).or_else(|| kinds::by_kind(&item.api_version, &item.kind))
    {
        None => match kinds::meant(&item.kind) {
            Some(kind) => {
                let message = format!("Unsupported value: {:?}: did you mean {:?}?", item.kind, kind.kind);
                Err(cause("FieldValueNotSupported", message))
            }
            None => Ok(None),
        },
        kind => Ok(kind),
    }
}

fn undecodable(error: DecodeError) -> StatusCause {
    let DecodeError { field, message } = error.without_place();
    StatusCause { reason: "FieldValueTypeInvalid".into(), message, field }
}

fn named(kind: &str, document: &Document, causes: Vec<StatusCause>) -> RefusedObject {
    RefusedObject {
        kind: kind.into(),
        namespace: document.metadata_text("namespace").unwrap_or_default(),
        name: document.metadata_text("name").unwrap_or_default(),
        causes,
        ..RefusedObject::default()
    }
}

/// Reads one object, with the faults for which a client's write would be refused.
fn incoming(
    kind: &'static StoredKind,
    json: &str,
    mode: FieldValidation,
    classes: &mut Snapshot,
) -> std::result::Result<(Incoming, Option<RefusedObject>), RefusedObject> {
    let examined = fields::examine(kind.fields(), "", json.as_bytes());
    let mut document = Document::parse(&examined.json).map_err(|error| RefusedObject {
        kind: kind.kind.into(),
        causes: vec![undecodable(error)],
        ..RefusedObject::default()
    })?;
    document.to_stored(kind);
    let kind = kind.stored();
    if kind.namespaced && is_absent(document.metadata("namespace")) {
        document.set_metadata_text("namespace", "default");
    }
    let whole = ["uid", "creationTimestamp"].iter().all(|field| !is_absent(document.metadata(field)));
    let odd = examined.odd.into_iter().filter(|_| mode != FieldValidation::Ignore);
    let odd: Vec<StatusCause> = odd.map(|message| StatusCause { message, ..StatusCause::default() }).collect();
    if mode == FieldValidation::Strict && !odd.is_empty() {
        return Err(named(kind.kind, &document, odd));
    }
    let (accepted, causes) = examine::check_fact(kind, document.clone()).map_err(|refused| {
        let causes = match refused {
            Refused::Undecodable(error) => vec![undecodable(error)],
            Refused::Invalid(causes) => causes.into_iter().map(status_cause).collect(),
        };
        named(kind.kind, &document, causes)
    })?;
    let causes: Vec<StatusCause> = causes.into_iter().map(status_cause).chain(odd).take(MOST_CAUSES).collect();
    let warning = (!causes.is_empty()).then(|| named(kind.kind, &document, causes));
    let text = |field| document.metadata_text(field).unwrap_or_default();
    let key = Key::new(kind.key(), text("namespace"), text("name"));
    let Accepted { body, node, uid } = accepted;
    if matches!(kind.core(), Some(Kind::PriorityClass | Kind::RuntimeClass | Kind::StorageClass))
        && let Ok(Ok(class)) = kind.parse(body.as_bytes()).map(Converted::lenient)
    {
        classes.apply(class);
    }
    let body = Bytes::from(body);
    let may_be_chosen = matches!(kind.core(), Some(Kind::PersistentVolume | Kind::PersistentVolumeClaim));
    let incoming = Incoming {
        kind,
        key,
        unsettled: may_be_chosen.then(|| body.clone()),
        body,
        uid,
        is_unbound: kind.is(Kind::Pod) && node.is_none(),
        node,
        incomplete: (!whole).then_some(document),
        precondition: Precondition::default(),
    };
    Ok((incoming, warning))
}

/// Settles objects by the stored ones, counts the changes (`dry_run`), and finds the stored objects that the body does not have (`replace`). Reads
/// no more of the store than needed.
async fn compare(
    state: &AppState,
    cluster: &str,
    import: &mut Import,
    replace: bool,
    dry_run: bool,
) -> Result<Vec<Key>> {
    let Import { objects, report, classes } = import;
    let mut gone = Vec::new();
    let mut settle = |object: &mut Incoming, stored: Option<&Record>| {
        object.settle(stored, classes);
        if dry_run {
            let same_object = stored.filter(|record| record.uid == object.uid);
            let count = match same_object {
                None => &mut report.created,
                Some(record) if record.body == object.body && record.node == object.node => &mut report.unchanged,
                Some(_) => &mut report.updated,
            };
            *count += 1;
        }
    };
    for kind in kinds::imported() {
        let wanting = objects.iter_mut().filter(|object| {
            std::ptr::eq(kind, object.kind)
                && (dry_run || object.is_unbound || object.unsettled.is_some() || object.incomplete.is_some())
        });
        let mut wanting: HashMap<Key, &mut Incoming> = wanting.map(|object| (object.key.clone(), object)).collect();
        if replace {
            let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::all(kind.key()) };
            loop {
                let page = state.store.list(cluster, &query).await?;
                query.after = page.items.last().map(|record| (record.key.namespace.clone(), record.key.name.clone()));
                for record in page.items {
                    match wanting.remove(&record.key) {
                        Some(object) => settle(object, Some(&record)),
                        None => gone.push(record.key),
                    }
                }
                if page.remaining.is_none() || query.after.is_none() {
                    break;
                }
            }
        } else {
            let keys: Vec<Key> = wanting.keys().cloned().collect();
            for keys in keys.chunks(PAGE) {
                for record in state.store.find(cluster, keys).await? {
                    if let Some(object) = wanting.remove(&record.key) {
                        settle(object, Some(&record));
                    }
                }
            }
        }
        for object in wanting.into_values() {
            settle(object, None);
        }
    }
    let kept: HashSet<&Key> = objects.iter().map(|object| &object.key).collect();
    gone.retain(|key| !kept.contains(key));
    Ok(gone)
}

/// Gives an object the uid and creation time that it lacks: those of the stored object of its name, or new ones.
fn complete(mut document: Document, stored: Option<&Record>) -> Document {
    let mut fresh = Document::default();
    stamp(&mut fresh);
    let stored = stored.and_then(|record| Document::parse(&record.body).ok());
    for field in ["uid", "creationTimestamp"] {
        let value = stored.as_ref().and_then(|stored| stored.metadata(field)).or_else(|| fresh.metadata(field));
        if let (true, Some(value)) = (is_absent(document.metadata(field)), value) {
            document.set_metadata(field, value.to_owned());
        }
    }
    document
}

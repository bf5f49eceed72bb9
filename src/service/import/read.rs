//! The objects of an import, read and checked.

use std::collections::{HashMap, hash_map::Entry};

use super::report::{ImportReport, RefusedObject};
use crate::{
    core::{
        snapshot::{Kind, Snapshot},
        work,
    },
    service::objects::{
        examine::{self, Accepted, Refused},
        is_absent,
    },
    store::{Body, Change, Key, Precondition, Write},
    wire::{
        allowance,
        decode::DecodeError,
        document::Document,
        kinds::{self, StoredKind},
        objects::Converted,
        status::StatusCause,
        validation::fields::{self, FieldValidation},
        yaml,
    },
};

/// Steps of work that reading one object takes.
const ITEM: u64 = 1_024;

/// Memory of an object until it is stored, besides its text: its place, its key twice, its outcome.
const INCOMING: usize = 1_024;

/// Memory of the parsed objects that travel with their texts until they are stored. Those of a larger import are parsed again.
const KEPT: usize = 32 << 20;

/// Faults that a warning about one object lists.
const MOST_CAUSES: usize = 20;

/// An object that is to be stored.
pub(super) struct Incoming {
    pub(super) kind: &'static StoredKind,
    pub(super) key: Key,
    pub(super) body: Body,
    pub(super) uid: String,
    pub(super) node: Option<String>,
    /// The object again where it lacks its uid or creation time.
    pub(super) incomplete: Option<Document>,
    /// A pod whose body names no node.
    pub(super) is_unbound: bool,
    /// An imported volume or claim, to be compared with the stored one.
    pub(super) unsettled: Option<Body>,
    pub(super) precondition: Precondition,
}

impl Incoming {
    pub(super) fn write(&self) -> Write {
        Write {
            key: self.key.clone(),
            precondition: self.precondition.clone(),
            change: Change::Put { body: self.body.clone(), uid: self.uid.clone(), node: self.node.clone() },
        }
    }
}

/// A body, read.
#[derive(Default)]
pub(super) struct Import {
    /// By kind in the order of the table: objects that others refer to come first.
    pub(super) objects: Vec<Incoming>,
    pub(super) report: ImportReport,
    /// The cluster's objects, and the classes of the body: the sources of defaults for new objects.
    pub(super) classes: Snapshot,
}

/// Reads and checks a body. Of repeated objects the last one counts.
pub(super) fn read(
    body: &[u8],
    is_yaml: bool,
    mode: FieldValidation,
    classes: Snapshot,
) -> std::result::Result<Import, DecodeError> {
    let mut import = Import { classes, ..Import::default() };
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut kept: usize = 0;
    if is_yaml {
        allowance::charge(yaml::weight(body))?;
    }
    for item in yaml::parse_items(body, is_yaml)? {
        work::spend(ITEM);
        allowance::charge(INCOMING)?;
        let mut refused = match kind_of(&item) {
            Ok(Some(kind)) => match allowance::measured(|| incoming(kind, &item.json, mode, &mut import.classes)) {
                (Ok((mut object, warning)), parsed) => {
                    let memory = parsed.saturating_add(object.body.len());
                    if memory <= KEPT - kept {
                        allowance::charge(memory)?;
                        kept += memory;
                    } else {
                        object.body = object.body.unparsed();
                    }
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
                (Err(refused), _) => refused,
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
    let cause = |reason: &str, message: String| StatusCause {
        reason: reason.into(),
        message,
        field: "kind".into(),
        ..StatusCause::default()
    };
    if item.kind.is_empty() {
        return Err(cause("FieldValueRequired", "Required value: what kind of object it is".into()));
    }
    match kinds::of_object(&item.api_version, &item.kind) {
        None => match kinds::meant(&item.kind) {
            Some(kind) => {
                let message = format!("Unsupported value: {:?}: did you mean {:?}?", item.kind, kind.kind);
                Err(cause("FieldValueNotSupported", message))
            }
            None => Ok(None),
        },
        Some(kind) if kind.is_of_all() => {
            let message = format!(
                "Forbidden: a {} is about all clusters: write it to /apis/{}/{}",
                kind.kind,
                kind.api_version(),
                kind.plural
            );
            Err(cause("FieldValueForbidden", message))
        }
        kind => Ok(kind),
    }
}

fn undecodable(error: DecodeError) -> StatusCause {
    let DecodeError { field, message } = error.without_place();
    StatusCause { reason: "FieldValueTypeInvalid".into(), message, field, ..StatusCause::default() }
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
            Refused::Invalid(causes) => causes.into_iter().map(Into::into).collect(),
        };
        named(kind.kind, &document, causes)
    })?;
    let causes: Vec<StatusCause> = causes.into_iter().map(Into::into).chain(odd).take(MOST_CAUSES).collect();
    let warning = (!causes.is_empty()).then(|| named(kind.kind, &document, causes));
    let text = |field| document.metadata_text(field).unwrap_or_default();
    let key = Key::new(kind.key(), text("namespace"), text("name"));
    let Accepted { body, node, uid, .. } = accepted;
    if matches!(kind.core(), Some(Kind::PriorityClass | Kind::RuntimeClass | Kind::StorageClass))
        && let Ok(Ok(class)) = kind.parse(&body).map(Converted::lenient)
    {
        classes.apply(class);
    }
    let may_be_chosen =
        matches!(kind.core(), Some(Kind::PersistentVolume | Kind::PersistentVolumeClaim | Kind::ResourceClaim));
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

//! The kinds that are stored, as data: to add one, add a row to [`ALL`].
//!
//! Routes, documents, import, the live cache and the reference page are read off the rows. Of a kind that no decision reads
//! ([`Read::Nothing`]) the metadata is validated; the rest is kept as it came, and no snapshot holds it.
//!
//! Secrets are no stored kind, on purpose ([`WITHHELD`]).

use serde_json::{Value, json};
use utoipa::{PartialSchema, ToSchema, openapi::RefOr};

use super::{
    decode::{self, DecodeError},
    objects::{Converted, names::NameRule, unread::Unread},
    selector::Fields,
    validation,
};
use podberth_core::snapshot::{Kind, Object};

pub mod columns;
mod earlier;
mod printed;
mod printers;
mod selectable;
mod table;
mod writes;

use columns::Column;
pub use earlier::EARLIER;
pub use table::ALL;
pub use writes::Trait;

/// One stored kind.
#[derive(Debug)]
pub struct StoredKind {
    /// Its API group; empty for the core group.
    pub group: &'static str,
    /// The version in which we serve it.
    pub version: &'static str,
    /// Its name in objects: `Node`.
    pub kind: &'static str,
    /// Its name in paths: `nodes`.
    pub plural: &'static str,
    /// Short names for kubectl, as `no`.
    pub short_names: &'static [&'static str],
    /// The groups of kinds that it is in: `all`.
    pub categories: &'static [&'static str],
    /// `true` if its objects are in namespaces.
    pub namespaced: bool,
    /// The operations on its objects.
    pub verbs: &'static [Verb],
    /// The paths below an object's own.
    pub subresources: &'static [Subresource],
    /// The columns of its table, as `kubectl get` prints them.
    pub columns: &'static [Column],
    /// The fields by which its objects can be selected.
    pub selectable: Fields,
    /// An object that can be stored, as JSON without `kind`, `apiVersion` and `metadata`.
    pub example: &'static str,
    /// The part of it that decisions read.
    pub read: Read,
    /// The handlers that serve it.
    pub served: Served,
    /// The rules of writes that not all kinds have.
    pub traits: &'static [Trait],
}

/// Reading of a kind by decisions.
#[derive(Debug)]
pub enum Read {
    /// Its objects, as this noun of the core.
    As(Wire),
    /// Nothing: its metadata alone is validated, its name by this rule.
    Nothing(NameRule),
    /// No snapshot has its objects, but all of their fields are validated.
    Checked(Checked),
}

/// Functions of the struct that validates the objects of a row.
#[derive(Debug)]
pub struct Checked {
    validate: fn(&[u8]) -> Result<Converted<()>, DecodeError>,
    schemas: fn() -> Vec<Schema>,
}

/// Functions of the struct that reads the objects of a row.
#[derive(Debug)]
pub struct Wire {
    core: Kind,
    parse: fn(&[u8]) -> Result<Converted<Object>, DecodeError>,
    validate: fn(&[u8]) -> Result<Converted<Object>, DecodeError>,
    schemas: fn() -> Vec<Schema>,
}

/// Handlers of a kind.
#[derive(Debug)]
pub enum Served {
    /// The handlers that all kinds share, under its own path.
    Shared,
    /// The shared handlers, as another form of the objects of another row.
    View(View),
    /// The shared handlers, over objects that are about all clusters: the same ones under the path of every cluster. No import takes or deletes them.
    OfAll(OfAll),
    /// Handlers of its own, below this path. No import takes or deletes its objects.
    Own(&'static str),
}

/// Another form in which the objects of a row are served.
#[derive(Debug)]
pub struct View {
    /// The key of the row that says how they are stored.
    pub of: &'static str,
    /// Fields of the top level: as they are stored, and as they are called here.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Goes before the kind's word in operation ids.
    pub word: &'static str,
    /// The line of `fields.txt` that has its fields.
    pub fields: &'static str,
}

/// A kind whose objects are about all clusters, and whose plain name other operations have.
#[derive(Debug)]
pub struct OfAll {
    /// Goes before the kind's word in operation ids.
    pub word: &'static str,
    /// The line of `fields.txt` that has its fields.
    pub fields: &'static str,
}

/// An operation on the objects of a kind, by its name in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Store a new one.
    Create,
    /// Replace one.
    Update,
    /// Change a part of one.
    Patch,
    /// Delete one.
    Delete,
    /// Delete many.
    DeleteCollection,
}

impl Verb {
    /// `deletecollection`
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A path below that of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: read and replaced alone.
    Status,
    /// `binding`: binds a pod to a node.
    Binding,
    /// `eviction`: evicts a pod.
    Eviction,
    /// `scale`: reads and sets the number of pods of a workload.
    Scale,
    /// `ephemeralcontainers`: adds ephemeral containers to a pod.
    EphemeralContainers,
    /// `resize`: changes the resources of a pod's containers.
    Resize,
    /// `finalize`: takes finalizers off a namespace.
    Finalize,
}

impl Subresource {
    /// The last segment of its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::Scale => "scale",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Finalize => "finalize",
        }
    }

    /// The operations on it, by their names in Kubernetes.
    pub fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Status | Self::Scale | Self::EphemeralContainers | Self::Resize => &["get", "patch", "update"],
            Self::Finalize => &["update"],
            Self::Binding | Self::Eviction => &["create"],
        }
    }

    /// The group, version and kind of the objects that it takes and replies with.
    pub fn answers(self, of: &StoredKind) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Status | Self::EphemeralContainers | Self::Resize | Self::Finalize => (of.group, of.version, of.kind),
            Self::Scale => ("autoscaling", "v1", "Scale"),
            Self::Binding => ("", "v1", "Binding"),
            Self::Eviction => ("policy", "v1", "Eviction"),
        }
    }
}

/// Kinds that are not stored on purpose, by their plural in the core group, with the reason.
pub const WITHHELD: &[(&str, &str)] =
    &[("secrets", "secrets are not stored: no decision reads them, and here every reader of the state would see them")];

/// The group of vertical pod autoscalers, which are custom resources.
pub const VERTICAL: &str = "autoscaling.k8s.io";

/// A named schema of the published document.
pub type Schema = (String, RefOr<utoipa::openapi::Schema>);

/// The component of the published document that stands for objects of kinds that no decision reads.
pub const UNREAD: &str = "StoredObject";

impl StoredKind {
    /// `v1`, or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.into() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, or `replicasets.apps`: the kind's own name among all, under which its objects are stored.
    pub fn key(&self) -> String {
        match &self.served {
            Served::View(view) => view.of.into(),
            _ if self.group.is_empty() => self.plural.into(),
            _ => format!("{}.{}", self.plural, self.group),
        }
    }

    /// Its kind in the core; `None` where no decision reads it.
    pub fn core(&self) -> Option<Kind> {
        match &self.read {
            Read::As(wire) => Some(wire.core),
            Read::Nothing(_) | Read::Checked(_) => None,
        }
    }

    /// `true` if an API server has it, if at all, as a custom resource.
    pub fn is_custom(&self) -> bool {
        self.group.ends_with("podberth.io") || self.group == VERTICAL
    }

    /// `true` if it is this kind in the core.
    pub fn is(&self, kind: Kind) -> bool {
        self.core() == Some(kind)
    }

    /// `true` if the handlers that all kinds share serve it.
    pub fn is_shared(&self) -> bool {
        !matches!(self.served, Served::Own(_))
    }

    /// `true` if its objects are about all clusters.
    pub fn is_of_all(&self) -> bool {
        matches!(self.served, Served::OfAll(_))
    }

    /// `true` if its objects have a schema of their own.
    pub fn has_schema(&self) -> bool {
        !matches!(self.read, Read::Nothing(_))
    }

    /// `true` if it has this path below an object's own.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }

    /// Parses an object of this kind, and reports all its faults.
    ///
    /// # Errors
    /// If the text is not JSON, a field has the wrong type, or no decision reads the kind.
    pub fn parse(&self, json: &[u8]) -> Result<Converted<Object>, DecodeError> {
        match &self.read {
            Read::As(wire) => (wire.parse)(json),
            Read::Nothing(_) | Read::Checked(_) => {
                Err(DecodeError { field: String::new(), message: format!("no decision reads a {}", self.kind) })
            }
        }
    }

    /// Parses an object of this kind as [`Self::parse`] does, if decisions read it, and also reports the faults for which the API
    /// server would refuse it.
    ///
    /// # Errors
    /// If the text is not JSON, or a field has the wrong type.
    pub fn validate(&self, json: &[u8]) -> Result<Converted<Option<Object>>, DecodeError> {
        match &self.read {
            Read::As(wire) => Ok((wire.validate)(json)?.map(Some)),
            Read::Checked(checked) => Ok((checked.validate)(json)?.map(|()| None)),
            Read::Nothing(rule) => {
                let object: Unread = decode::from_slice(json)?;
                let mut converted = object.check(*rule, self.namespaced);
                converted.causes.extend(validation::metadata(json, *rule)?);
                Ok(converted.map(|()| None))
            }
        }
    }

    /// The schema of its objects, under its own name, and before it those that it refers to.
    pub fn schemas(&self) -> Vec<Schema> {
        match &self.read {
            Read::As(wire) => (wire.schemas)(),
            Read::Checked(checked) => (checked.schemas)(),
            Read::Nothing(_) => schemas_of::<Unread>(),
        }
    }

    /// The name of the schema of its objects.
    pub fn schema(&self) -> String {
        match &self.read {
            Read::As(_) | Read::Checked(_) => self.schemas().pop().map(|(name, _)| name).unwrap_or_default(),
            Read::Nothing(_) => UNREAD.into(),
        }
    }

    /// The line of `fields.txt` that has its fields.
    pub fn fields(&self) -> &'static str {
        match &self.served {
            Served::View(view) => view.fields,
            Served::OfAll(of) => of.fields,
            _ => self.kind,
        }
    }

    /// The kind as a word of operation ids: `Pod`.
    pub fn word(&self) -> String {
        self.words(self.kind)
    }

    /// Its name for one: `node`.
    pub fn singular(&self) -> String {
        self.kind.to_ascii_lowercase()
    }

    /// Many of the kind as a word of operation ids: `NetworkPolicies`, the plural in the letters of the kind.
    pub fn many(&self) -> String {
        let letters = self.kind.chars().zip(self.plural.chars());
        let shared = letters.take_while(|(one, many)| one.eq_ignore_ascii_case(many)).count();
        let word: String = self.kind.chars().take(shared).chain(self.plural.chars().skip(shared)).collect();
        self.words(&word)
    }

    fn words(&self, word: &str) -> String {
        match &self.served {
            Served::View(View { word: before, .. }) | Served::OfAll(OfAll { word: before, .. }) => {
                format!("{before}{word}")
            }
            _ => word.into(),
        }
    }

    /// The name of its example, which is another one for each form of an object.
    pub fn example_name(&self) -> &'static str {
        if matches!(self.served, Served::View(_)) { "example-in-other-form" } else { "example" }
    }

    /// An object that can be stored just so.
    pub fn example(&self) -> Value {
        let metadata = json!({"name": self.example_name()});
        let mut object = json!({"kind": self.kind, "apiVersion": self.api_version(), "metadata": metadata});
        if let (Value::Object(object), Ok(Value::Object(rest))) = (&mut object, serde_json::from_str(self.example)) {
            object.extend(rest);
        }
        object
    }

    /// `true` if its objects are served under the names of their fields in the store.
    pub fn is_stored_form(&self) -> bool {
        !matches!(self.served, Served::View(_))
    }

    /// The row by which an object of this kind is stored.
    pub fn stored(&'static self) -> &'static Self {
        match &self.served {
            Served::View(view) => by_key(view.of).unwrap_or(self),
            _ => self,
        }
    }
}

fn schemas_of<T: ToSchema>() -> Vec<Schema> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas.push((T::name().into(), <T as PartialSchema>::schema()));
    schemas
}

/// Makes the [`Read`] of a row from its struct.
macro_rules! wire {
    ($kind:expr, $wire:ty => $object:expr) => {
        $crate::kinds::Read::As($crate::kinds::Wire {
            core: $kind,
            parse: |json| Ok($crate::decode::from_slice::<$wire>(json)?.to_core().map($object)),
            validate: |json| {
                let object: $wire = $crate::decode::from_slice(json)?;
                let mut converted = object.to_core().map($object);
                converted.causes.extend($crate::validation::faults(&object, json)?);
                Ok(converted)
            },
            schemas: $crate::kinds::schemas_of::<$wire>,
        })
    };
}
use wire;

/// Makes the [`Read`] of a row that is validated and that no snapshot has.
macro_rules! checked {
    ($wire:ty) => {
        $crate::kinds::Read::Checked($crate::kinds::Checked {
            validate: |json| {
                let object: $wire = $crate::decode::from_slice(json)?;
                let mut converted = object.to_core().map(drop);
                converted.causes.extend($crate::validation::faults(&object, json)?);
                Ok(converted)
            },
            schemas: $crate::kinds::schemas_of::<$wire>,
        })
    };
}
use checked;

/// The rows that the shared handlers serve.
pub fn shared() -> impl Iterator<Item = &'static StoredKind> {
    ALL.iter().filter(|kind| kind.is_shared())
}

/// The rows whose objects an import takes, in its order: each object is of one of them.
pub fn imported() -> impl Iterator<Item = &'static StoredKind> {
    ALL.iter().filter(|kind| matches!(kind.served, Served::Shared))
}

/// The kind of this group and plural, as in a path.
pub fn by_plural(group: &str, plural: &str) -> Option<&'static StoredKind> {
    ALL.iter().find(|k| k.group == group && k.plural == plural)
}

/// The kind whose [`StoredKind::key`] this is.
pub fn by_key(key: &str) -> Option<&'static StoredKind> {
    let (plural, group) = key.split_once('.').unwrap_or((key, ""));
    by_plural(group, plural)
}

/// The kind of an object. Any version of the group will do (`policy/v1beta1`, `apps/v1beta2`), since the fields that scheduling
/// reads have not changed between them.
pub fn by_api_version(api_version: &str, kind: &str) -> Option<&'static StoredKind> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    // Workloads and network policies were served in one group at first.
    let groups = if group == "extensions" { ["apps", "networking.k8s.io"] } else { [group; 2] };
    shared().find(|k| groups.contains(&k.group) && k.kind == kind)
}

/// The kind of an object, as of [`by_api_version`]; of one without an API version by its name alone.
pub fn of_object(api_version: &str, kind: &str) -> Option<&'static StoredKind> {
    let by_name = || shared().find(|k| api_version.is_empty() && k.kind == kind);
    by_api_version(api_version, kind).or_else(by_name)
}

/// The kind that was meant by a name that is none: its plural (`nodes`), a short name (`po`), or other letters (`pod`).
pub fn meant(name: &str) -> Option<&'static StoredKind> {
    let is = |known: &str| known.eq_ignore_ascii_case(name);
    let row = shared().find(|k| is(k.kind) || is(k.plural) || k.short_names.iter().any(|short| is(short)));
    // A name in the letters of a kind means the kind itself, of a group that is not stored.
    row.filter(|row| row.kind != name)
}

/// The kind that is this to the core.
pub fn by_core(kind: Kind) -> Option<&'static StoredKind> {
    ALL.iter().find(|k| k.is(kind))
}

#[cfg(test)]
mod tests;

//! The state of a cluster as Kubernetes serves it: every kind of [`kinds::ALL`] under its own path.
//!
//! One set of handlers serves all kinds; the route has the kind ([`Served`]), and [`documents`] writes the operations of each kind into the
//! published document. To serve another kind, add its row to the table.
//!
//! # Differences from kube-apiserver
//!
//! - Under `--admission=none` POST and PUT take the whole object, including `status`: the state comes from outside, no controller fills it in.
//! - PATCH leaves `status` alone where the kind has a path for it, as kube-apiserver does, and drops unknown fields that the patch brings in.
//!   Numbers in a patched object are written anew.
//! - `metadata.managedFields` has no `fieldsV1` while an object has one writer that gave no `fieldManager`: all fields are its own.
//! - Under `--admission=none`, or with a policy in the query, a binding is refused if the pod does not fit; a pod that names its node is a
//!   fact and is not judged.
//! - Statuses of budgets and quotas are counted here ([`crate::service::lifecycle`]) unless a client writes them.
//! - Under `--admission=none` objects may be in a namespace that does not exist, and a deletion is a fact: it is immediate, without grace periods,
//!   finalizers and garbage collection.
//! - Defaults are filled in if decisions read them ([`crate::wire::defaults`]): written if they follow from other objects,
//!   else applied when the object is read.
//! - Of a kind that no decision reads, the metadata is validated and the rest is kept as it came. Secrets are not stored.
//! - The values of fields that scheduling does not read are not checked; all are kept as they came. `fieldValidation`
//!   reports misspelt and repeated fields.

use axum::{
    middleware::from_fn,
    routing::{MethodRouter, get, post},
};
use utoipa_axum::router::OpenApiRouter;

use super::{error::RequestError, forms, served::Served, state::AppState};
use crate::{
    service::objects::Part,
    wire::kinds::{self, StoredKind, Subresource, Verb},
};

mod binding;
pub mod clusters;
mod delete;
mod delete_options;
pub mod documents;
mod events;
mod eviction;
pub mod import;
mod list;
mod list_options;
mod listed;
mod page;
mod queries;
mod read;
mod scale;
mod show;
mod subresource;
mod target;
mod watch;
mod write;

/// The routes of every kind that these handlers serve.
pub fn routes() -> OpenApiRouter<AppState> {
    let rows = kinds::shared().chain(kinds::EARLIER);
    rows.flat_map(of_kind).fold(OpenApiRouter::new(), |router, (path, methods)| router.route(&path, methods))
}

/// The paths of one kind.
fn of_kind(kind: &'static StoredKind) -> Vec<(String, MethodRouter<AppState>)> {
    let Paths { collection, everywhere, object } = Paths::of(kind);
    let bindings = bindings(kind, &collection);
    let methods = kind.verbs.iter().fold([MethodRouter::new(), MethodRouter::new()], |[many, one], verb| match verb {
        Verb::List => [many.get(list::list), one],
        Verb::Create => [many.post(write::create), one],
        Verb::DeleteCollection => [many.delete(delete::delete_all), one],
        Verb::Get => [many, one.get(read::read)],
        Verb::Update => [many, one.merge(write::replace(Part::Main))],
        Verb::Patch => [many, one.merge(write::patch(Part::Main))],
        Verb::Delete => [many, one.delete(delete::delete)],
    });
    let mut routes: Vec<_> = [collection, object.clone()].into_iter().zip(methods).collect();
    if let Some(everywhere) = everywhere {
        routes.push((everywhere, get(list::list)));
    }
    routes.extend(kind.subresources.iter().map(|subresource| {
        let methods = match subresource {
            Subresource::Status => write::part(Part::Status).get(read::read),
            Subresource::EphemeralContainers => write::part(Part::EphemeralContainers).get(read::read),
            Subresource::Resize => write::part(Part::Resize).get(read::read),
            Subresource::Finalize => write::replace(Part::Finalize),
            Subresource::Binding => post(binding::bind),
            Subresource::Eviction => post(eviction::evict),
            Subresource::Scale => get(scale::read).put(scale::replace).patch(scale::patch),
        };
        (format!("{object}/{}", subresource.name()), methods)
    }));
    routes.extend(bindings.map(|path| (path, post(binding::bind))));
    if kind.verbs.contains(&Verb::List) {
        routes.extend(Paths::of(kind).watched().map(|path| (path, get(watch::watch))));
    }
    let served = axum::Extension(Served(kind));
    let layered = |methods: MethodRouter<AppState>| -> MethodRouter<AppState> {
        // A GET answers HEAD as well, unless it is said otherwise.
        let methods = methods.head(async || RequestError::MethodNotAllowed);
        let methods: MethodRouter<AppState> = methods.layer(from_fn(forms::negotiated));
        methods.layer(served)
    };
    routes.into_iter().map(|(path, methods)| (path, layered(methods))).collect()
}

/// The path of the bindings of a kind's objects, whose names are in the body; `None` if it has no bindings.
fn bindings(kind: &StoredKind, collection: &str) -> Option<String> {
    let (namespace, _) = collection.rsplit_once('/').filter(|_| kind.has(Subresource::Binding))?;
    Some(format!("{namespace}/bindings"))
}

/// The reason why the kind of a path is not served on purpose, if there is one.
pub(super) fn withheld(path: &str) -> Option<&'static str> {
    let rest = path.strip_prefix("/api/v1/")?;
    let segments: Vec<&str> = rest.split('/').collect();
    let plural = if let ["namespaces", _, plural, ..] = segments.as_slice() { plural } else { segments.first()? };
    kinds::WITHHELD.iter().find(|(withheld, _)| withheld == plural).map(|(_, why)| *why)
}

/// Where a kind is served.
struct Paths {
    /// `/api/v1/namespaces/{namespace}/pods`, `/api/v1/nodes`
    collection: String,
    /// `/api/v1/pods`: all namespaces at once.
    everywhere: Option<String>,
    /// `/api/v1/namespaces/{namespace}/pods/{name}`
    object: String,
}

impl Paths {
    fn of(kind: &StoredKind) -> Self {
        let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
        let (root, plural) = (format!("{root}/{}", kind.version), kind.plural);
        let (collection, everywhere) = if kind.namespaced {
            (format!("{root}/namespaces/{{namespace}}/{plural}"), Some(format!("{root}/{plural}")))
        } else {
            (format!("{root}/{plural}"), None)
        };
        Self { object: format!("{collection}/{{name}}"), collection, everywhere }
    }

    /// The paths of watches in early releases, `/api/v1/watch/pods`, which the API server still has.
    fn watched(self) -> impl Iterator<Item = String> {
        let Self { collection, everywhere, object } = self;
        let old = |path: String| {
            // `/api/v1` or `/apis/GROUP/VERSION` stays in front.
            let segments = if path.starts_with("/apis/") { 3 } else { 2 };
            let at = path.match_indices('/').nth(segments).map_or(path.len(), |(at, _)| at);
            let (root, rest) = path.split_at(at);
            format!("{root}/watch{rest}")
        };
        [Some(collection), everywhere, Some(object)].into_iter().flatten().map(old)
    }
}

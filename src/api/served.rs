//! The kind of a route.

use axum::http::Extensions;

use crate::wire::kinds::StoredKind;

/// The kind that a route serves, handed to its handlers by the router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served(pub &'static StoredKind);

/// The objects that a route takes and does not store: their API version and kind.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) api_version: String,
    pub(crate) kind: &'static str,
}

impl Taken {
    /// The objects that the route of a request takes, if it takes them in the forms of Kubernetes.
    pub(crate) fn of(extensions: &Extensions) -> Option<Self> {
        let stored = |Served(kind): &Served| Self { api_version: kind.api_version(), kind: kind.kind };
        extensions.get::<Served>().map(stored).or_else(|| extensions.get().cloned())
    }
}

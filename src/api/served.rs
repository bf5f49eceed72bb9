//! The kind of a route.

use crate::wire::kinds::StoredKind;

/// The kind that a route serves, handed to its handlers by the router.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served(pub &'static StoredKind);

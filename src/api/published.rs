//! The published document of this server.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    openapi::{self, Documents},
    resources,
};

/// The documents of this server.
pub static DOCUMENTS: LazyLock<Documents> = LazyLock::new(|| {
    let mut document = super::routes().into_openapi();
    if let Err(error) = resources::documents::add(&mut document) {
        tracing::error!(%error, "the operations of stored objects cannot be documented");
    }
    openapi::completed(document)
});

/// A document as it is published: indented, with a line feed at the end.
pub fn published(document: &Value) -> String {
    format!("{document:#}\n")
}

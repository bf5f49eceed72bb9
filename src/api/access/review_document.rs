//! The schema of reviews.

use utoipa::{PartialSchema, ToSchema, openapi::RefOr};

use crate::api::openapi::free_form;

/// A review
pub(super) struct ReviewDocument;

impl PartialSchema for ReviewDocument {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        free_form("A review of Kubernetes: its `spec` asks, its `status` answers.")
    }
}

impl ToSchema for ReviewDocument {
    fn name() -> std::borrow::Cow<'static, str> {
        "Review".into()
    }
}

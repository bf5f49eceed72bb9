//! `/openapi.json` and `/openapi-3.1.json`: the published document of this server.

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::{PartialSchema, ToSchema, openapi::RefOr};

use super::{openapi::free_form, published::DOCUMENTS};

/// An OpenAPI document
struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        free_form("An OpenAPI document.")
    }
}

impl ToSchema for Document {
    fn name() -> std::borrow::Cow<'static, str> {
        "OpenApiDocument".into()
    }
}

/// This document, as OpenAPI 3.0.3
#[utoipa::path(get, path = "/openapi.json", operation_id = "getOpenApi30", tag = "documents", responses(
    (status = 200, description = "The document that SDK generators read.", body = Document),
))]
pub async fn document_3_0() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENTS.v3_0.to_string());
    json(&TEXT)
}

/// This document, as OpenAPI 3.1
#[utoipa::path(get, path = "/openapi-3.1.json", operation_id = "getOpenApi31", tag = "documents", responses(
    (status = 200, description = "The same in the newer version.", body = Document),
))]
pub async fn document_3_1() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENTS.v3_1.to_string());
    json(&TEXT)
}

fn json(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

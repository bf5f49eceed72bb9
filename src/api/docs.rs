//! `/docs`: the OpenAPI document in a browser. No other host is contacted.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use self::page::file as embedded;
use super::{error::RequestError, extract::Path};

#[cfg(any(test, not(feature = "docs-page")))]
mod list;
#[cfg(feature = "docs-page")]
mod page;

#[cfg(not(feature = "docs-page"))]
use list as page;

/// The documentation, for a browser
#[utoipa::path(get, path = "/docs", operation_id = "getDocsRedirect", tag = "documents", responses(
    (status = 308, description = "It is at `docs/`."),
))]
pub async fn redirect() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// The documentation's page
#[utoipa::path(get, path = "/docs/", operation_id = "getDocs", tag = "documents", responses(
    (status = 200, description = "A page that shows this API.", body = String, content_type = "text/html"),
))]
pub async fn index() -> Result<Response, RequestError> {
    embedded("index.html")
}

/// A file of the documentation's page
#[utoipa::path(get, path = "/docs/{file}", operation_id = "getDocsFile", tag = "documents", params(
    ("file" = String, Path, description = "The file's name."),
), responses(
    (status = 200, description = "The file.", body = String, content_type = "text/plain"),
))]
pub async fn file(Path(name): Path<String>) -> Result<Response, RequestError> {
    embedded(&name)
}

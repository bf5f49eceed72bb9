//! `/ui/`: the web page.

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{error::RequestError, extract::Path};
use crate::ui::{INDEX, reply};

/// The web page, for a browser
#[utoipa::path(get, path = "/ui", operation_id = "getUiRedirect", tag = "documents", responses(
    (status = 308, description = "It is at `ui/`."),
))]
pub async fn redirect() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "ui/")]).into_response()
}

/// The web page
///
/// The map of nodes, pods that wait, explanations, the policy, and what would be if. It asks this API only, with the token that is typed into it.
#[utoipa::path(get, path = "/ui/", operation_id = "getUi", tag = "documents", responses(
    (status = 200, description = "The page.", body = String, content_type = "text/html"),
))]
pub async fn index(headers: HeaderMap) -> Result<Response, RequestError> {
    reply(INDEX, &headers).ok_or(RequestError::NoRoute)
}

/// A file of the web page
#[utoipa::path(get, path = "/ui/{file}", operation_id = "getUiFile", tag = "documents", params(
    ("file" = String, Path, description = "The file's name."),
), responses(
    (status = 200, description = "The file.", body = String, content_type = "text/plain"),
))]
pub async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, RequestError> {
    reply(&name, &headers).ok_or(RequestError::NoRoute)
}

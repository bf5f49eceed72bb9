//! `/`: where to go from here, for people and for programs.

use axum::{
    Json,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::published::DOCUMENTS;

/// The paths of the API: `metav1.RootPaths`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RootPaths {
    /// Every path, with its variables in braces.
    paths: Vec<&'static str>,
}

/// List the paths of the API
///
/// Browsers are sent to the web page; other clients get the paths of the API.
#[utoipa::path(get, path = "/", operation_id = "getRoot", tag = "documents", responses(
    (status = 200, description = "The paths of the API. A browser gets 303 and goes to `ui/`.", body = RootPaths),
))]
pub async fn root(headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|media| media.trim().starts_with("text/html")) {
        return (StatusCode::SEE_OTHER, [(header::LOCATION, "ui/"), (header::VARY, "accept")]).into_response();
    }
    let paths = DOCUMENTS.v3_0["paths"].as_object().into_iter().flatten().map(|(path, _)| path.as_str()).collect();
    Json(RootPaths { paths }).into_response()
}

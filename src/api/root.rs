//! `/`: where to go from here, for people and for programs.

use axum::{
    Json,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::published::DOCUMENTS;

const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Podberth</title></head>\n<body>\n<h1>Podberth ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<p>The Kubernetes scheduler as an HTTP service: where can this pod run, where best, and why?</p>\n<ul>\n\
     <li><a href=\"docs/\">The API, to read and to try out</a> (<a href=\"openapi.json\">OpenAPI 3.0</a>, \
     <a href=\"openapi-3.1.json\">3.1</a>)</li>\n\
     <li><a href=\"policy\">The policy in force</a></li>\n\
     <li><a href=\"api/v1/nodes\">Nodes</a>, <a href=\"api/v1/pods\">pods</a></li>\n\
     <li><a href=\"readyz?verbose\">Is it ready?</a> <a href=\"metrics\">Metrics</a>, <a href=\"version\">version</a></li>\n\
     </ul>\n</body></html>\n"
);

/// The paths of the API: `metav1.RootPaths`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RootPaths {
    /// Every path, with its variables in braces.
    paths: Vec<&'static str>,
}

/// List the paths of the API
///
/// Browsers get a page; other clients get the paths of the API.
#[utoipa::path(get, path = "/", operation_id = "getRoot", tag = "documents", responses(
    (status = 200, description = "The paths of the API.", content(
        (RootPaths = "application/json"), (String = "text/html"))),
))]
pub async fn root(headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    if accepted.flat_map(|value| value.split(',')).any(|media| media.trim().starts_with("text/html")) {
        return Html(PAGE).into_response();
    }
    let paths = DOCUMENTS.v3_0["paths"].as_object().into_iter().flatten().map(|(path, _)| path.as_str()).collect();
    Json(RootPaths { paths }).into_response()
}

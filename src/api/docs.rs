//! `/docs`: the OpenAPI document in a browser. Its files are in the binary; no other host is asked.

use std::sync::{Arc, LazyLock};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::{Config, Url, serve};

use super::{
    error::{ApiError, Result},
    extract::Path,
};

/// Relative, so that it holds behind a path prefix; `validator_url` would ask a host on the internet otherwise.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::new([Url::new("OpenAPI 3.0", "../openapi.json"), Url::new("OpenAPI 3.1", "../openapi-3.1.json")])
            .validator_url("none"),
    )
});

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
pub async fn index() -> Result<Response> {
    embedded("index.html")
}

/// A file of the documentation's page
#[utoipa::path(get, path = "/docs/{file}", operation_id = "getDocsFile", tag = "documents", params(
    ("file" = String, Path, description = "The file's name."),
), responses(
    (status = 200, description = "The file.", body = String, content_type = "text/plain"),
))]
pub async fn file(Path(name): Path<String>) -> Result<Response> {
    embedded(&name)
}

fn embedded(name: &str) -> Result<Response> {
    let file = serve(name, CONFIG.clone()).map_err(ApiError::internal)?.ok_or(ApiError::NoRoute)?;
    Ok(([(header::CONTENT_TYPE, file.content_type)], file.bytes.into_owned()).into_response())
}

//! The page of the feature `docs-page`: Swagger UI, whose files are in the binary.

use std::sync::{Arc, LazyLock};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use utoipa_swagger_ui::{Config, Url, serve};

use crate::{api::error::RequestError, service::error::Error};

/// Relative, so that it holds behind a path prefix; `validator_url` would ask a host on the internet otherwise.
static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::new([Url::new("OpenAPI 3.0", "../openapi.json"), Url::new("OpenAPI 3.1", "../openapi-3.1.json")])
            .validator_url("none")
            .doc_expansion("none")
            .filter(true)
            .try_it_out_enabled(true)
            .display_request_duration(true)
            .default_models_expand_depth(0),
    )
});

/// The page's name, in place of that of the library.
const TITLE: &str = "<title>Podberth: the API</title>";
const LIBRARY_TITLE: &str = "<title>Swagger UI</title>";
/// The name in place of the library's logo.
const STYLE: &str = "
.swagger-ui .topbar { background-color: #1d2733; padding: 8px 0; }
.swagger-ui .topbar .link { max-width: none; }
.swagger-ui .topbar .link svg, .swagger-ui .topbar .link img { display: none; }
.swagger-ui .topbar .link::after { content: 'Podberth'; font: bold 1.4em sans-serif; color: #fff; }
";

/// A file of the page by its name.
pub(super) fn file(name: &str) -> Result<Response, RequestError> {
    let file = serve(name, CONFIG.clone()).map_err(Error::internal)?.ok_or(RequestError::NoRoute)?;
    let text = || String::from_utf8_lossy(&file.bytes);
    let bytes = match name {
        "index.html" => text().replace(LIBRARY_TITLE, TITLE).into_bytes(),
        "index.css" => (text() + STYLE).into_owned().into_bytes(),
        _ => file.bytes.into_owned(),
    };
    Ok(([(header::CONTENT_TYPE, file.content_type)], bytes).into_response())
}

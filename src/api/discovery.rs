//! Discovery: which groups, versions and resources there are. Kubernetes clients ask for it before anything else.
//!
//! The documents are those of [`wire::discovery`](crate::wire::discovery), read off the table of kinds.

use std::sync::LazyLock;

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use sha2::{Digest, Sha512};
use utoipa::{PartialSchema, ToSchema, openapi::RefOr};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::RequestError,
    extract::Path,
    forms::accepted,
    openapi::{FormErrors, free_form},
    state::AppState,
};
use crate::{
    hex::hex,
    wire::{discovery, forms::accept},
};

/// The routes of discovery.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(core_versions))
        .routes(routes!(core_resources))
        .routes(routes!(groups))
        .routes(routes!(group))
        .routes(routes!(resources))
}

/// A discovery document
struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        free_form("A discovery document of Kubernetes.")
    }
}

impl ToSchema for Document {
    fn name() -> std::borrow::Cow<'static, str> {
        "DiscoveryDocument".into()
    }
}

type Result<T> = std::result::Result<T, RequestError>;

/// A document that lists the resources of several group versions, ready to send.
struct Aggregated {
    text: String,
    tag: HeaderValue,
}

impl Aggregated {
    fn new(is_core: bool) -> Self {
        let text = discovery::aggregated(is_core).to_string();
        let hash = hex(&Sha512::digest(&text)).to_uppercase();
        let tag = HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"\""));
        Self { text, tag }
    }

    /// The document, or 304 where the client has it.
    fn reply(&'static self, headers: &HeaderMap) -> Response {
        const TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let about = [
            (header::ETAG, self.tag.clone()),
            (header::VARY, HeaderValue::from_static("Accept")),
            (header::CACHE_CONTROL, HeaderValue::from_static("public")),
        ];
        if headers.get(header::IF_NONE_MATCH) == Some(&self.tag) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        (about, [(header::CONTENT_TYPE, TYPE)], self.text.as_str()).into_response()
    }
}

static CORE: LazyLock<Aggregated> = LazyLock::new(|| Aggregated::new(true));
static OTHERS: LazyLock<Aggregated> = LazyLock::new(|| Aggregated::new(false));

/// `true` if the client asks for all documents in one.
fn is_aggregated(headers: &HeaderMap) -> Result<bool> {
    accept::aggregated(accepted(headers).as_deref()).map_err(|refused| RequestError::NotAcceptable(refused.0))
}

fn found(document: Option<Value>) -> Result<Response> {
    document.map(|document| Json(document).into_response()).ok_or(RequestError::NoRoute)
}

/// List the versions of the core group
///
/// With `Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList` the reply has all resources too.
#[utoipa::path(get, path = "/api", operation_id = "listCoreApiVersions", tag = "discovery", responses(
    (status = 200, description = "`APIVersions`, or `APIGroupDiscoveryList`.", body = Document),
    FormErrors,
))]
async fn core_versions(headers: HeaderMap) -> Result<Response> {
    if is_aggregated(&headers)? { Ok(CORE.reply(&headers)) } else { found(Some(discovery::core_versions())) }
}

/// List the resources of the core group
#[utoipa::path(get, path = "/api/{version}", operation_id = "listCoreApiResources", tag = "discovery",
    params(("version" = String, Path, description = "The version.", example = "v1")), responses(
    (status = 200, description = "`APIResourceList`.", body = Document),
    FormErrors,
))]
async fn core_resources(Path(version): Path<String>, headers: HeaderMap) -> Result<Response> {
    is_aggregated(&headers)?;
    found(discovery::resource_list("", &version))
}

/// List the API groups
///
/// With `Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList` the reply has all resources too.
#[utoipa::path(get, path = "/apis", operation_id = "listApiGroups", tag = "discovery", responses(
    (status = 200, description = "`APIGroupList`, or `APIGroupDiscoveryList`.", body = Document),
    FormErrors,
))]
async fn groups(headers: HeaderMap) -> Result<Response> {
    if is_aggregated(&headers)? { Ok(OTHERS.reply(&headers)) } else { found(Some(discovery::group_list())) }
}

/// Read an API group
#[utoipa::path(get, path = "/apis/{group}", operation_id = "readApiGroup", tag = "discovery",
    params(("group" = String, Path, description = "The group.", example = "apps")), responses(
    (status = 200, description = "`APIGroup`.", body = Document),
    FormErrors,
))]
async fn group(Path(name): Path<String>, headers: HeaderMap) -> Result<Response> {
    is_aggregated(&headers)?;
    match discovery::group(&name).filter(|group| !group.name.is_empty()) {
        Some(group) => found(Some(group.document(false))),
        None => Ok(no_page()),
    }
}

/// List the resources of an API group
#[utoipa::path(get, path = "/apis/{group}/{version}", operation_id = "listApiResources", tag = "discovery", params(
    ("group" = String, Path, description = "The group.", example = "apps"),
    ("version" = String, Path, description = "The version.", example = "v1"),
), responses(
    (status = 200, description = "`APIResourceList`.", body = Document),
    FormErrors,
))]
async fn resources(Path((group, version)): Path<(String, String)>, headers: HeaderMap) -> Result<Response> {
    is_aggregated(&headers)?;
    if discovery::group(&group).is_none_or(|group| group.name.is_empty()) {
        return Ok(no_page());
    }
    found(discovery::resource_list(&group, &version))
}

/// `true` for a path below a group that is not served.
pub(super) fn is_of_no_page(path: &str) -> bool {
    let group = path.strip_prefix("/apis/").map(|rest| rest.split('/').next().unwrap_or_default());
    group.is_some_and(|group| discovery::group(group).is_none_or(|group| group.name.is_empty()))
}

/// 404 as the API server's multiplexer replies, for a path that no handler has (`apiserver/pkg/server/mux/pathrecorder.go`).
pub(super) fn no_page() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

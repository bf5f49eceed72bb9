//! `/openapi/v2` and `/openapi/v3`: the schemas of the stored kinds, for kubectl. The documents of this server's own API are in
//! [`document`](super::document).
//!
//! They are made when they are first read, and then kept: they do not depend on the state.
//!
//! Source: `kube-openapi/pkg/handler/handler.go` and `handler3/handler.go`.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};
use tokio::sync::OnceCell;
use utoipa::{IntoParams, PartialSchema, ToSchema, openapi::RefOr};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    error::RequestError,
    extract::{Path, Query},
    forms::accepted,
    openapi::{FormErrors, free_form},
    state::AppState,
};
use crate::{
    hex::hex,
    service::{compute::compute, error::Error},
    wire::{
        forms::accept,
        openapi::{self, Documents},
    },
};

/// The routes of the documents.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(version_2))
        .routes(routes!(index))
        .routes(routes!(of_core))
        .routes(routes!(of_group))
}

/// A document of Kubernetes' schemas
struct Document;

impl PartialSchema for Document {
    fn schema() -> RefOr<utoipa::openapi::Schema> {
        free_form("An OpenAPI document of Kubernetes' objects.")
    }
}

impl ToSchema for Document {
    fn name() -> std::borrow::Cow<'static, str> {
        "KubernetesOpenApi".into()
    }
}

/// A document, ready to send.
#[derive(Debug)]
struct Text {
    body: Bytes,
    hash: String,
}

impl Text {
    fn new(body: Vec<u8>) -> Self {
        let hash = hex(&Sha512::digest(&body)).to_uppercase();
        Self { body: body.into(), hash }
    }

    /// The document, or 304 where the client has it.
    fn reply(&self, media: &'static str, headers: &HeaderMap) -> Response {
        let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", self.hash)) else {
            return Error::internal("a hash is no header").into_response();
        };
        let about: [(HeaderName, HeaderValue); 2] =
            [(header::ETAG, tag.clone()), (header::VARY, HeaderValue::from_static("Accept"))];
        if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
            return (StatusCode::NOT_MODIFIED, about).into_response();
        }
        (about, [(header::CONTENT_TYPE, media)], self.body.clone()).into_response()
    }
}

/// All documents.
#[derive(Debug)]
struct Texts {
    v2: Text,
    v2_protobuf: Text,
    index: Text,
    /// By their paths: `api/v1`, `apis/apps/v1`.
    v3: BTreeMap<String, Text>,
}

impl Texts {
    fn new() -> Result<Self, openapi::SchemaError> {
        let documents = Documents::new()?;
        let v2 = documents.v2();
        let of_version = |(group, version, path): (&str, &str, String)| {
            Some((path, Text::new(documents.v3(group, version)?.to_string().into_bytes())))
        };
        let v3: BTreeMap<String, Text> = openapi::group_versions().into_iter().filter_map(of_version).collect();
        let paths: Map<String, Value> = v3
            .iter()
            .map(|(path, text)| {
                let url = format!("/openapi/v3/{path}?hash={}", text.hash);
                (path.clone(), json!({"serverRelativeURL": url}))
            })
            .collect();
        Ok(Self {
            v2_protobuf: Text::new(openapi::to_protobuf(&v2)),
            v2: Text::new(v2.to_string().into_bytes()),
            index: Text::new(json!({"paths": paths}).to_string().into_bytes()),
            v3,
        })
    }

    /// The documents, made off the runtime's threads when they are first read.
    async fn get() -> Result<&'static Self, Error> {
        static TEXTS: LazyLock<OnceCell<Texts>> = LazyLock::new(OnceCell::new);
        TEXTS.get_or_try_init(async || compute(Self::new).await?.map_err(Error::internal)).await
    }
}

/// The media types of OpenAPI 2.0 in protobuf; the first one is older and not a valid type.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// The media types of a header, without their parameters, in their order.
fn media_types(headers: &HeaderMap) -> Vec<String> {
    let accepted = accepted(headers).filter(|accepted| !accepted.trim().is_empty()).unwrap_or_else(|| "*/*".into());
    accepted.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()).collect()
}

/// The schemas of all stored kinds, as OpenAPI 2.0
///
/// In JSON, or in the protobuf that kubectl asks for.
#[utoipa::path(get, path = "/openapi/v2", operation_id = "getKubernetesOpenApiV2", tag = "discovery", responses(
    (status = 200, description = "The document.", body = Document),
    FormErrors,
))]
async fn version_2(headers: HeaderMap) -> Result<Response, RequestError> {
    for media in media_types(&headers) {
        if matches!(media.as_str(), "*/*" | "application/*" | "application/json") {
            return Ok(Texts::get().await?.v2.reply("application/json", &headers));
        }
        if PROTOBUF.contains(&media.as_str()) {
            return Ok(Texts::get().await?.v2_protobuf.reply(PROTOBUF[1], &headers));
        }
    }
    Err(RequestError::NotAcceptable(format!(
        "only the following media types are accepted: application/json, {}",
        PROTOBUF.join(", ")
    )))
}

/// List the documents of `/openapi/v3`
#[utoipa::path(get, path = "/openapi/v3", operation_id = "listKubernetesOpenApiV3", tag = "discovery", responses(
    (status = 200, description = "The documents, each with its hash.", body = String, content_type = "text/plain"),
))]
async fn index(headers: HeaderMap) -> Result<Response, RequestError> {
    // The API server leaves the type out, so Go guesses it.
    Ok(Texts::get().await?.index.reply("text/plain; charset=utf-8", &headers))
}

/// The query of a document.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct HashQuery {
    /// The document's hash, from the index: the reply may be kept for ever then
    #[param(required = false, value_type = String, nullable = false)]
    hash: Option<String>,
}

async fn of_path(path: &str, query: &HashQuery, headers: &HeaderMap) -> Result<Response, RequestError> {
    let Some(text) = Texts::get().await?.v3.get(path) else { return Ok(StatusCode::NOT_FOUND.into_response()) };
    match &query.hash {
        Some(hash) if *hash != text.hash => {
            let url = format!("/openapi/v3/{path}?hash={}", text.hash);
            Ok((StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, url)]).into_response())
        }
        hash => {
            accept::aggregated(accepted(headers).as_deref())
                .map_err(|refused| RequestError::NotAcceptable(refused.0))?;
            let mut reply = text.reply("application/json", headers);
            if hash.is_some() {
                let kept = HeaderValue::from_static("public, immutable");
                reply.headers_mut().insert(header::CACHE_CONTROL, kept);
            }
            Ok(reply)
        }
    }
}

/// The schemas of the core group, as OpenAPI 3.0
#[utoipa::path(get, path = "/openapi/v3/api/{version}", operation_id = "getKubernetesOpenApiV3OfCore", tag = "discovery",
    params(("version" = String, Path, description = "The version.", example = "v1"), HashQuery), responses(
    (status = 200, description = "The document.", body = Document),
    FormErrors,
))]
async fn of_core(
    Path(version): Path<String>,
    Query(query): Query<HashQuery>,
    headers: HeaderMap,
) -> Result<Response, RequestError> {
    of_path(&format!("api/{version}"), &query, &headers).await
}

/// The schemas of an API group, as OpenAPI 3.0
#[utoipa::path(get, path = "/openapi/v3/apis/{group}/{version}", operation_id = "getKubernetesOpenApiV3", tag = "discovery",
    params(("group" = String, Path, description = "The group.", example = "apps"),
    ("version" = String, Path, description = "The version.", example = "v1"), HashQuery), responses(
    (status = 200, description = "The document.", body = Document),
    FormErrors,
))]
async fn of_group(
    Path((group, version)): Path<(String, String)>,
    Query(query): Query<HashQuery>,
    headers: HeaderMap,
) -> Result<Response, RequestError> {
    of_path(&format!("apis/{group}/{version}"), &query, &headers).await
}

//! Extractors of handlers. Every fault of a request is an [`Error`] or a [`RequestError`], so every refusal is a `Status`.

use std::borrow::Cow;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, Uri, header, request::Parts},
};
use serde::de::DeserializeOwned;

use super::{
    body,
    error::RequestError,
    served::{Served, Taken},
};
use crate::{
    hex::hex,
    service::{
        compute::read_on,
        error::{Error, Result},
        memory,
    },
    wire::{patch::PatchType, protobuf, yaml},
};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`, or none.
    Json,
    /// `application/yaml` and its older names.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`, where stored kinds are served.
    Protobuf,
}

impl Format {
    const ACCEPTED: &'static str = "application/json, application/yaml";
    const ACCEPTED_OF_KINDS: &'static str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

    /// The media type of the body. `curl -d` sends `application/x-www-form-urlencoded` by default: then the first character of the body decides.
    fn of(headers: &HeaderMap, is_of_kubernetes: bool, body: &[u8]) -> Result<Self, RequestError> {
        match media_type(headers)?.as_str() {
            "" | "application/json" | "application/x-ndjson" | "application/jsonl" => Ok(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Ok(Self::Yaml),
            "application/x-www-form-urlencoded" => {
                let is_json = matches!(body.trim_ascii_start().first(), None | Some(b'{' | b'['));
                Ok(if is_json { Self::Json } else { Self::Yaml })
            }
            PROTOBUF if is_of_kubernetes => Ok(Self::Protobuf),
            _ if is_of_kubernetes => Err(RequestError::UnsupportedMediaType(Self::ACCEPTED_OF_KINDS)),
            _ => Err(RequestError::UnsupportedMediaType(Self::ACCEPTED)),
        }
    }
}

/// The request's media type in lower case without its parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> Result<String, RequestError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(String::new()) };
    let value = value.to_str().map_err(|_| RequestError::UnsupportedMediaType(Format::ACCEPTED))?;
    Ok(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The body's bytes, within the limit of the route (`DefaultBodyLimit`), of any media type.
#[derive(Clone, Debug)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = RequestError;

    async fn from_request(request: Request, _: &S) -> Result<Self, RequestError> {
        body::read(request).await.map(Self)
    }
}

/// A body with the notation it is in.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// As it came.
    pub bytes: Bytes,
    /// How it is written.
    pub format: Format,
}

impl<S: Send + Sync> FromRequest<S> for Encoded {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let headers = request.headers().clone();
        let is_of_kubernetes =
            request.extensions().get::<Served>().is_some() || request.extensions().get::<Taken>().is_some();
        // What is refused for its type is refused before it is read.
        Format::of(&headers, is_of_kubernetes, b"")?;
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        Ok(Self { format: Format::of(&headers, is_of_kubernetes, &bytes)?, bytes })
    }
}

/// A body in JSON, YAML or protobuf, as its bytes in JSON: those that came, or those that the others mean.
#[derive(Clone, Debug)]
pub struct JsonBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let is_protobuf = media_type(request.headers()).is_ok_and(|media| media == PROTOBUF);
        let taken = is_protobuf.then(|| Taken::of(request.extensions())).flatten();
        let Encoded { bytes, format } = Encoded::from_request(request, state).await?;
        let length = bytes.len();
        if format == Format::Protobuf {
            return Ok(Self(of_protobuf(bytes, taken).await?));
        }
        if format == Format::Yaml {
            memory::charge(yaml::weight(&bytes))?;
        }
        let read = move || match yaml::to_json(&bytes, format == Format::Yaml) {
            Ok(Cow::Borrowed(_)) => Ok(bytes),
            Ok(Cow::Owned(json)) => Ok(json.into()),
            Err(error) => Err(Error::from(error)),
        };
        if format == Format::Yaml { Ok(Self(read_on(length, read).await??)) } else { Ok(Self(read()?)) }
    }
}

/// The media type of protobuf bodies.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Length of the part of a body that an error shows, in bytes.
const SHOWN_BYTES: usize = 30;

/// The JSON of a protobuf body; none of an empty body, which means the defaults.
async fn of_protobuf(body: Bytes, taken: Option<Taken>) -> Result<Bytes> {
    if body.is_empty() {
        return Ok(body);
    }
    memory::charge(protobuf::weight(&body))?;
    let length = body.len();
    let read = move || {
        let (api_version, name) = taken.map(|Taken { api_version, kind }| (api_version, kind)).unwrap_or_default();
        protobuf::to_json(&body, (&api_version, name)).map(Bytes::from).map_err(|error| {
            let mut shown = hex(&body[..body.len().min(SHOWN_BYTES)]);
            if body.len() > SHOWN_BYTES {
                shown.push_str(" ...");
            }
            Error::BadRequest(format!(
                "the object provided is unrecognized (must be of type {name}): {error} ({shown})"
            ))
        })
    };
    read_on(length, read).await?
}

/// The body of a patch, whose media type says how it is to be applied.
#[derive(Clone, Debug)]
pub struct PatchBody {
    /// The sort of patch.
    pub patch: PatchType,
    /// As it came.
    pub body: Bytes,
}

impl PatchBody {
    const ACCEPTED: &'static str = "application/json-patch+json, application/merge-patch+json, \
                                    application/strategic-merge-patch+json, application/apply-patch+yaml";
}

impl<S: Send + Sync> FromRequest<S> for PatchBody {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let patch = PatchType::of(&media_type(request.headers())?);
        // A patch of no known sort is refused before it is read.
        let patch = patch.ok_or(RequestError::UnsupportedMediaType(Self::ACCEPTED))?;
        let RawBody(body) = RawBody::from_request(request, state).await?;
        if patch == PatchType::Apply {
            memory::charge(yaml::weight(&body))?;
        }
        Ok(Self { patch, body })
    }
}

/// A body in JSON or YAML, as the text that came.
#[derive(Clone, Debug)]
pub struct Text(pub String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let Encoded { bytes, .. } = Encoded::from_request(request, state).await?;
        let text = String::from_utf8(bytes.into()).map_err(|e| Error::BadRequest(e.to_string()))?;
        Ok(Self(text))
    }
}

/// A parsed body in JSON or YAML. Faults name the path of the field.
#[derive(Clone, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = RequestError;

    async fn from_request(request: Request, state: &S) -> Result<Self, RequestError> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        Ok(parse_json(&bytes).map(Self)?)
    }
}

/// Parses JSON; an error names the field it is in.
pub fn parse_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let message = if path == "." { error.inner().to_string() } else { format!("{path}: {}", error.inner()) };
        Error::BadRequest(message)
    })?;
    deserializer.end().map_err(|error| Error::BadRequest(error.to_string()))?;
    Ok(value)
}

/// The variables of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let extracted = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        extracted.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| {
            if rejection.status().is_server_error() {
                Error::internal(rejection.body_text())
            } else {
                Error::BadRequest(rejection.body_text())
            }
        })
    }
}

/// The query string.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let query = parts.uri.query();
        if let Some(name) = query.and_then(|query| OF_ONE_VALUE.into_iter().find(|name| is_repeated(query, name))) {
            return Err(Error::BadRequest(format!("{name}: the query has it twice")));
        }
        let single = query.and_then(single);
        let single = single.and_then(|query| Uri::builder().path_and_query(format!("/?{query}")).build().ok());
        let extracted = axum::extract::Query::<T>::try_from_uri(single.as_ref().unwrap_or(&parts.uri));
        extracted
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|rejection| Error::BadRequest(rejection.body_text()))
    }
}

/// Names whose first value is not taken for the one that is meant: another state would be read than the client believes.
const OF_ONE_VALUE: [&str; 2] = ["revision", "at"];

/// `true` if a query has a name more than once.
fn is_repeated(query: &str, name: &str) -> bool {
    query.split('&').filter(|pair| pair.split('=').next() == Some(name)).nth(1).is_some()
}

/// The one value of names that a query repeats: the first, as in Kubernetes; of `dryRun`, which is a list there, one that is not `All`. `None` if
/// no name is repeated.
fn single(query: &str) -> Option<String> {
    let mut kept: Vec<(&str, &str)> = Vec::new();
    let mut is_repeated = false;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split('=').next().unwrap_or_default();
        match kept.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => {
                is_repeated = true;
                if name == "dryRun" && *before == "dryRun=All" {
                    *before = pair;
                }
            }
            None => kept.push((name, pair)),
        }
    }
    is_repeated.then(|| kept.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_of_a_query_have_their_first_value() {
        let cases = [
            ("a=1&b=2", None),
            ("a=1&b=2&a=3", Some("a=1&b=2")),
            ("dryRun=All&dryRun=All", Some("dryRun=All")),
            ("dryRun=All&dryRun=Some&dryRun=All", Some("dryRun=Some")),
            ("&&", None),
        ];
        for (query, kept) in cases {
            assert_eq!(single(query).as_deref(), kept, "{query}");
        }
    }
}

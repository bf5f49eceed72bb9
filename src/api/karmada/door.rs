//! The address of Karmada's estimator: calls of gRPC are made into requests of the API, and its replies into theirs.
//!
//! One server answers for all clusters, since each request names its own. A refusal of the API is a status: its code by the HTTP code, its text the message.

use std::{convert::Infallible, future::ready};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method as Verb, StatusCode, Uri, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tokio::time::timeout;
use tower::{ServiceExt, service_fn};

use super::{Method, SERVICE};
use crate::{
    api::{
        admission::{Admission, Share},
        body,
        error::RequestError,
        extract::media_type,
        identity::REQUEST_ID,
        middleware::Limits,
    },
    grpc::{self, HEAD, MEDIA_TYPE, Unframed, code, framed, unframed},
    service::clusters::check_name,
    wire::protobuf,
};

/// The longest message.
const MOST_BYTES: usize = 4 << 20;

/// Bytes of all messages together that are on their way into the API.
const MOST_OF_ALL: usize = 64 << 20;

/// Bytes of a refusal that are read.
const REFUSAL: usize = 64 << 10;

/// Headers of the call, which mean nothing to the API.
const OF_CALLS: [&str; 6] =
    ["te", "content-length", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "grpc-message-type"];

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The server at the address, in front of the router of the API.
pub fn door(router: Router, limits: &Limits) -> Router {
    let door = Door { router, bodies: Admission::new(MOST_OF_ALL, limits.body_wait, limits.body_pace) };
    let service = service_fn(move |request: Request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answered(request).await) }
    });
    Router::new().fallback_service(service)
}

#[derive(Clone)]
struct Door {
    router: Router,
    bodies: Admission,
}

/// Why a call has no answer.
struct Refused {
    code: u32,
    message: String,
    request_id: Option<HeaderValue>,
}

impl Refused {
    fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), request_id: None }
    }
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        Self::new(code_of(error.into_response().status()), message)
    }
}

impl Door {
    async fn answered(&self, request: Request) -> Response {
        let is_call = media_type(request.headers()).is_ok_and(|media| {
            media.strip_prefix(MEDIA_TYPE).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
        });
        if !is_call || *request.method() != Verb::POST {
            let message = "this address is for gRPC, from Karmada's schedulers\n";
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
        }
        let within = request.headers().get(TIMEOUT).map(|time| time.to_str().ok().and_then(grpc::timeout));
        let too_late = || Err(Refused::new(code::DEADLINE_EXCEEDED, "the time of the call is over"));
        let answer = match within {
            None => self.called(request).await,
            Some(None) => Err(Refused::new(code::INVALID_ARGUMENT, "grpc-timeout: expected digits and a unit")),
            Some(Some(within)) if within.is_zero() => too_late(),
            Some(Some(within)) => timeout(within, self.called(request)).await.unwrap_or_else(|_| too_late()),
        };
        match answer {
            Ok(message) => replied(&message),
            Err(refused) => refusal(&refused),
        }
    }

    /// The message of the reply.
    async fn called(&self, request: Request) -> Result<Bytes, Refused> {
        let path = request.uri().path();
        let name = path.strip_prefix(SERVICE).filter(|name| Method::named(name).is_some()).map(str::to_owned);
        let name = name.ok_or_else(|| Refused::new(code::UNIMPLEMENTED, format!("there is no call {path}")))?;
        let encoding = request.headers().get(ENCODING).map(HeaderValue::as_bytes);
        if encoding.is_some_and(|encoding| encoding != b"identity") {
            return Err(Refused::new(code::UNIMPLEMENTED, "messages are not to be compressed"));
        }
        let (mut parts, body) = request.into_parts();
        let message = self.message(Request::from_parts(parts.clone(), body)).await?;
        let invalid = |why: String| Refused::new(code::INVALID_ARGUMENT, why);
        let cluster = protobuf::cluster_of(&message).map_err(|error| invalid(format!("the message: {error}")))?;
        check_name(cluster).map_err(|error| invalid(format!("cluster: {error}")))?;
        let uri = format!("/clusters/{cluster}{}", super::PATH.replace("{method}", &name));
        parts.uri = uri.parse::<Uri>().map_err(|error| invalid(error.to_string()))?;
        for name in OF_CALLS {
            parts.headers.remove(name);
        }
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let request = Request::from_parts(parts, Body::from(message));
        let Ok(reply) = self.router.clone().oneshot(request).await;
        read(reply).await
    }

    /// The message of a call.
    async fn message(&self, mut request: Request) -> Result<Bytes, Refused> {
        DefaultBodyLimit::max(MOST_BYTES + HEAD).apply(&mut request);
        // The API has the bound on what one connection sends.
        request.extensions_mut().remove::<Share>();
        request.extensions_mut().insert(self.bodies.clone());
        let body = body::read(request).await?;
        unframed(&body).map_err(|error| match error {
            Unframed::Compressed => Refused::new(code::UNIMPLEMENTED, "messages are not to be compressed"),
            Unframed::NotOne => Refused::new(code::INVALID_ARGUMENT, error.to_string()),
        })
    }
}

/// The message of a reply of the API, or its refusal.
async fn read(reply: Response) -> Result<Bytes, Refused> {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let (head, body) = reply.into_parts();
    let unread = || Refused::new(code::INTERNAL, "the reply cannot be read");
    let body = to_bytes(body, REFUSAL).await.map_err(|_| unread())?;
    if head.status == StatusCode::OK {
        return Ok(body);
    }
    let said = serde_json::from_slice(&body).map_or_else(|_| head.status.to_string(), |Said { message }| message);
    let request_id = head.headers.get(REQUEST_ID).cloned();
    Err(Refused { request_id, ..Refused::new(code_of(head.status), said) })
}

/// The code for an HTTP code.
fn code_of(status: StatusCode) -> u32 {
    match status.as_u16() {
        400 | 422 => code::INVALID_ARGUMENT,
        401 => code::UNAUTHENTICATED,
        403 => code::PERMISSION_DENIED,
        404 => code::NOT_FOUND,
        408 | 504 => code::DEADLINE_EXCEEDED,
        413 | 429 => code::RESOURCE_EXHAUSTED,
        415 => code::UNIMPLEMENTED,
        500 => code::INTERNAL,
        502 | 503 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

fn replied(message: &[u8]) -> Response {
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from(code::OK))]);
    let body = Full::new(framed(message)).with_trailers(ready(Some(Ok(trailers))));
    let mut reply = Response::new(Body::new(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    reply
}

/// A reply without a message has its status among the headers.
fn refusal(refused: &Refused) -> Response {
    let Refused { code, message, request_id } = refused;
    let mut reply = Response::new(Body::empty());
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(STATUS, HeaderValue::from(*code));
    headers.extend(HeaderValue::from_str(&grpc::percent_encoded(message)).ok().map(|message| (MESSAGE, message)));
    headers.extend(request_id.clone().map(|id| (REQUEST_ID, id)));
    if *code == code::UNIMPLEMENTED {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    reply
}

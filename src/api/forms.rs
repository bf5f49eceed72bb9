//! Content negotiation of the Kubernetes paths: `Accept` chooses the form of a reply, and its notation.
//!
//! Handlers reply with the JSON of a whole object or list. The layer here makes the requested form of it, of every verb alike.
//! A watch is left to its handler, which finds the form in the extensions of its request.

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{access::request_info::is_watch, error::RequestError, served::Served};
use crate::{
    clock,
    service::{compute::read_on, error::Error, memory},
    wire::{
        forms::{self, Form, FormError, Include, Representation, accept::representation},
        kinds::StoredKind,
        yaml,
    },
};

/// Replies of the handlers are in the form that the request demands.
pub(super) async fn negotiated(request: Request, next: Next) -> Response {
    let (wanted, kind) = match of_request(&request) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.into_response(),
    };
    let mut request = request;
    let is_watch = is_watch(request.uri().query().unwrap_or_default());
    request.extensions_mut().insert(wanted);
    let reply = next.run(request).await;
    // A watch of a path of early releases is seen by its body, whose length is not known.
    let is_watch = is_watch || reply.body().size_hint().exact().is_none();
    let is_json = reply.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == "application/json");
    if is_watch || !is_json || !reply.status().is_success() || wanted == WHOLE {
        return reply;
    }
    shaped(reply, wanted, kind).await.unwrap_or_else(IntoResponse::into_response)
}

/// The form that handlers reply in.
const WHOLE: Representation = Representation { form: Form::Whole, is_yaml: false };

/// The value of the header `Accept`; several are one.
pub(super) fn accepted(headers: &HeaderMap) -> Option<String> {
    let values: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if values.is_empty() { None } else { Some(values.join(",")) }
}

fn of_request(request: &Request) -> Result<(Representation, &'static StoredKind), RequestError> {
    let served = request.extensions().get::<Served>();
    let Served(kind) = *served.ok_or_else(|| Error::internal("a route does not say which kind it serves"))?;
    let accept = accepted(request.headers());
    let include = include_object(request.uri().query().unwrap_or_default());
    let wanted = representation(accept.as_deref(), Include::parse(include).unwrap_or_default());
    let wanted = wanted.map_err(|refused| RequestError::NotAcceptable(refused.0))?;
    if matches!(wanted.form, Form::Table(..)) && Include::parse(include).is_none() {
        return Err(Error::BadRequest(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {include:?}: must be 'Metadata', \
             'Object', 'None', or empty"
        ))
        .into());
    }
    Ok((wanted, kind))
}

/// The value of a name in a query, as it is written there.
fn include_object(query: &str) -> &str {
    query.split('&').find_map(|pair| pair.strip_prefix("includeObject=")).unwrap_or_default()
}

async fn shaped(reply: Response, wanted: Representation, kind: &'static StoredKind) -> Result<Response, RequestError> {
    let (mut head, body) = reply.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(Error::internal)?;
    let length = body.len();
    let make = move || -> Result<String, RequestError> {
        let text = std::str::from_utf8(&body).map_err(Error::internal)?;
        let made = forms::shaped(text, wanted.form, kind, clock::now()).map_err(|error| match error {
            FormError::NotAcceptable(message) => RequestError::NotAcceptable(message),
            FormError::Unreadable(_) => Error::internal(error).into(),
        })?;
        if !wanted.is_yaml {
            return Ok(made.into_owned());
        }
        memory::charge(yaml::weight(made.as_bytes()))?;
        Ok(yaml::of_json(&made).map_err(Error::internal)?)
    };
    let text = read_on(length, make).await??;
    head.headers.remove(header::CONTENT_LENGTH);
    if wanted.is_yaml {
        head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
    }
    Ok(Response::from_parts(head, Body::from(text)))
}

//! The published document: the documentation of the handlers, completed by the parts common to all operations.
//!
//! Error codes are listed one by one on each operation (generators ignore `default`) and are defined once: [`Reason`] has the code and the sentence.
//! The shape of an operation implies some of them (a body: 400, 408, 413, 415; a path variable: 404; a query: 400; always: 401, 403, 421, 429, 500, 504). The sets below add the others on the handler, as in `responses((status = 200, …), WriteErrors)`.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};
use utoipa::{
    IntoResponses, OpenApi, PartialSchema, ToSchema,
    openapi::{Content, Ref, RefOr, Response as ResponseObject, ResponseBuilder, path::Operation, path::ParameterIn},
};

use super::{error::Reason, health::is_plain_text};
use crate::wire::{
    kinds::{self, StoredKind},
    schedule::ScheduleLine,
    status::{Status, StatusCause, StatusDetails, StatusMetadata},
};

mod schemas;
mod shared;
mod v30;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Podberth",
        description = "The Kubernetes scheduler as an HTTP service: where can this pod run, where best, and why?\n\n\
            Every path but those of the tags `health` and `documents` is about the cluster `default`; the prefix \
            `/clusters/{cluster}` makes it about another one: give an SDK `http://host:port/clusters/prod` as its server.",
        license(name = "Apache-2.0", url = "https://www.apache.org/licenses/LICENSE-2.0"),
    ),
    components(schemas(Status, StatusMetadata, StatusDetails, StatusCause, ScheduleLine)),
    tags(
        (name = "extender", description = "kube-scheduler's extender protocol: point its configuration here."),
        (name = "decisions", description = "Decisions: where a pod can run, where best, and why."),
        (name = "state", description = "The state of clusters, as Kubernetes serves it."),
        (name = "discovery", description = "The groups, versions and resources of the state, for Kubernetes clients."),
        (name = "access", description = "Who you are and what you may do: reviews, as `kubectl auth` asks them, and tokens."),
        (name = "autoscaling", description = "How many nodes and replicas there should be, what containers should request, and which pods should move."),
        (name = "policy", description = "The policies of decisions: predicates, priorities, extenders."),
        (name = "health", description = "Liveness, readiness, version and metrics of the process."),
        (name = "documents", description = "This document and its page."),
    ),
)]
struct Base;

/// The document without any operation.
pub fn base() -> utoipa::openapi::OpenApi {
    Base::openapi()
}

/// The schema of a document that others define: an object of any fields.
pub fn free_form(description: &str) -> RefOr<utoipa::openapi::Schema> {
    utoipa::openapi::schema::ObjectBuilder::new()
        .description(Some(description))
        .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(true)))
        .build()
        .into()
}

/// Further error of operations whose reply has several forms.
#[derive(Debug)]
pub struct FormErrors;

impl IntoResponses for FormErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::NOT_ACCEPTABLE])
    }
}

/// Further errors of operations that read the database or the live cluster.
#[derive(Debug)]
pub struct ReadErrors;

/// Further errors of operations that change stored objects.
#[derive(Debug)]
pub struct WriteErrors;

/// Further errors of lists and watches.
#[derive(Debug)]
pub struct ListErrors;

/// Further errors of operations that decide.
#[derive(Debug)]
pub struct DecisionErrors;

impl IntoResponses for DecisionErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::NOT_FOUND, Reason::INVALID, Reason::SERVICE_UNAVAILABLE])
    }
}

/// Further errors of operations that decide and change stored objects.
#[derive(Debug)]
pub struct ScheduleErrors;

impl IntoResponses for ScheduleErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([
            Reason::NOT_FOUND,
            Reason::METHOD_NOT_ALLOWED,
            Reason::INVALID,
            Reason::TOO_MANY_REQUESTS,
            Reason::SERVICE_UNAVAILABLE,
        ])
    }
}

impl IntoResponses for ReadErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::SERVICE_UNAVAILABLE])
    }
}

impl IntoResponses for WriteErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([
            Reason::FORBIDDEN,
            Reason::METHOD_NOT_ALLOWED,
            Reason::CONFLICT,
            Reason::INVALID,
            Reason::TOO_MANY_REQUESTS,
            Reason::SERVICE_UNAVAILABLE,
        ])
    }
}

impl IntoResponses for ListErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::EXPIRED, Reason::INVALID, Reason::TOO_MANY_REQUESTS, Reason::SERVICE_UNAVAILABLE])
    }
}

/// Further error of operations that read the past: it is not kept any more.
#[derive(Debug)]
pub struct PastErrors;

impl IntoResponses for PastErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::EXPIRED])
    }
}

/// Further error of changes of a policy: a condition does not hold.
#[derive(Debug)]
pub struct ConditionErrors;

impl IntoResponses for ConditionErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::PRECONDITION_FAILED])
    }
}

/// Further error of operations on one object: it does not exist.
#[derive(Debug)]
pub struct UnknownErrors;

impl IntoResponses for UnknownErrors {
    fn responses() -> BTreeMap<String, RefOr<ResponseObject>> {
        responses([Reason::NOT_FOUND])
    }
}

/// The responses for these reasons.
fn responses(reasons: impl IntoIterator<Item = Reason>) -> BTreeMap<String, RefOr<ResponseObject>> {
    let listed = |reason: Reason| (reason.code.as_str().to_owned(), response(reason, "application/json").into());
    reasons.into_iter().map(listed).collect()
}

fn response(reason: Reason, media_type: &str) -> ResponseObject {
    let body = match media_type {
        "text/plain" => Content::new(Some(String::schema())),
        _ => Content::new(Some(Ref::from_schema_name(Status::name()))),
    };
    ResponseBuilder::new().description(reason.description).content(media_type, body).build()
}

/// The errors that the shape of an operation implies.
fn usual(operation: &Operation) -> BTreeSet<u16> {
    let mut codes = BTreeSet::from([401, 403, 421, 429, 500, 504]);
    if operation.request_body.is_some() {
        codes.extend([400, 408, 413, 415]);
    }
    for parameter in operation.parameters.iter().flatten() {
        if let RefOr::T(parameter) = parameter {
            codes.insert(if parameter.parameter_in == ParameterIn::Path { 404 } else { 400 });
        }
    }
    codes
}

/// The document in both versions of OpenAPI.
#[derive(Debug)]
pub struct Documents {
    /// OpenAPI 3.0.3, which every generator reads.
    pub v3_0: Value,
    /// OpenAPI 3.1.
    pub v3_1: Value,
}

/// Adds to every operation the errors that its shape implies.
fn add_usual_errors(document: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let media_type = if is_plain_text(path) { "text/plain" } else { "application/json" };
        let safe = [&mut item.get, &mut item.options, &mut item.head];
        let unsafe_ones = [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in safe.into_iter().chain(unsafe_ones).filter_map(|operation| operation.as_mut()) {
            let codes = usual(operation);
            let reasons = codes.into_iter().filter_map(|code| Reason::of_code(StatusCode::from_u16(code).ok()?));
            for reason in reasons {
                let code = reason.code.as_str().to_owned();
                operation.responses.responses.entry(code).or_insert_with(|| response(reason, media_type).into());
            }
        }
    }
}

/// The documents that clients read, change and send back, besides the stored kinds.
const SENT_BACK: [&str; 2] = ["PolicyDocument", "SchedulerProfile"];

/// Completes a document by the errors of every operation, and by schemas that generators accept. In both versions of OpenAPI.
pub(super) fn completed(mut document: utoipa::openapi::OpenApi) -> Documents {
    add_usual_errors(&mut document);
    let mut v3_1 = serde_json::to_value(document).unwrap_or_default();
    finish(&mut v3_1["components"]["schemas"]);
    shared::share(&mut v3_1);
    add_security(&mut v3_1);
    Documents { v3_0: v30::from_v31(v3_1.clone()), v3_1 }
}

/// Tells how clients are known: by a token or by a certificate, or not at all. It is told once, since an open server asks for neither, and generated
/// functions are not to demand credentials.
fn add_security(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer",
            "description": "A token of Podberth (`pbt_…`), or a JSON Web Token of an issuer that the server knows."},
        "certificate": {"type": "mutualTLS", "description": "A client certificate: its common name is the user, its organizations are the groups."},
    });
    document["security"] = json!([{}, {"bearer": []}, {"certificate": []}]);
}

/// Prepares the schemas for generators.
fn finish(schemas: &mut Value) {
    schemas.as_object_mut().into_iter().flat_map(|schemas| schemas.values_mut()).for_each(drop_defaults);
    let kinds: Vec<String> = kinds::shared().map(StoredKind::schema).collect();
    schemas::keep_unknown_fields(schemas, kinds.iter().map(String::as_str).chain(SENT_BACK));
    schemas::tell_enums_apart(schemas);
}

/// Removes the defaults from schemas, at any depth: absent fields are Go's zero values anyway, and generators fail on defaults that are objects or
/// null.
fn drop_defaults(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(drop_defaults),
        Value::Object(keywords) => {
            keywords.remove("default");
            for (keyword, inner) in keywords {
                match (keyword.as_str(), inner) {
                    // Data, in which a keyword's name means nothing.
                    ("example" | "examples" | "enum" | "const", _) => {}
                    ("properties", Value::Object(properties)) => properties.values_mut().for_each(drop_defaults),
                    (_, inner) => drop_defaults(inner),
                }
            }
        }
        _ => {}
    }
}

//! Reviews: questions about rights, and about oneself, as `kubectl auth` asks them.
//!
//! Source: `pkg/registry/authorization/*/rest.go`, `pkg/registry/authentication/selfsubjectreview/rest.go`.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::review_document::ReviewDocument;
use crate::{
    api::{
        cluster::ClusterName,
        extract::{JsonBytes, Path},
        openapi::ReadErrors,
        served::Taken,
        state::AppState,
    },
    core::access::{Rule, User},
    service::{
        Service,
        access::{Caller, access, judging},
        error::{Error, Result, Subject},
    },
    wire::access::{
        review::{Review, ReviewKind, user_to_json},
        rule_to_json,
    },
};

/// The routes of reviews.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(taking(ReviewKind::SubjectAccess, OpenApiRouter::new().routes(routes!(subject_access))))
        .merge(taking(ReviewKind::LocalSubjectAccess, OpenApiRouter::new().routes(routes!(local_subject_access))))
        .merge(taking(ReviewKind::SelfSubjectAccess, OpenApiRouter::new().routes(routes!(self_subject_access))))
        .merge(taking(ReviewKind::SelfSubjectRules, OpenApiRouter::new().routes(routes!(self_subject_rules))))
        .merge(taking(ReviewKind::SelfSubject, OpenApiRouter::new().routes(routes!(self_subject))))
}

/// Routes that take reviews of a kind, also as protobuf.
fn taking(kind: ReviewKind, routes: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    let api_version = format!("{}/v1", kind.group());
    routes.layer(Extension(Taken { api_version, kind: kind.kind() }))
}

/// Ask if a user may do something
#[utoipa::path(post, path = "/apis/authorization.k8s.io/v1/subjectaccessreviews", operation_id = "createSubjectAccessReview",
    tag = "access", request_body(content = ReviewDocument, example = json!({"spec": {"user": "jane",
        "resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}})),
    responses((status = 201, description = "The review with its answer.", body = ReviewDocument), ReadErrors))]
async fn subject_access(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    asked(&state, &cluster, ReviewKind::SubjectAccess, parse(&body)?, None).await
}

/// Ask if a user may do something in a namespace
#[utoipa::path(post, path = "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews",
    operation_id = "createLocalSubjectAccessReview", tag = "access",
    params(("namespace" = String, Path, description = "The namespace.", example = "default")),
    request_body(content = ReviewDocument, example = json!({"spec": {"user": "jane",
        "resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}})),
    responses((status = 201, description = "The review with its answer.", body = ReviewDocument), ReadErrors))]
async fn local_subject_access(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Path(namespace): Path<String>,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let mut review = parse(&body)?;
    if !matches!(review.namespace(), of if of.is_empty() || of == namespace) {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Error::BadRequest(message.into()));
    }
    review.set_namespace(&namespace);
    asked(&state, &cluster, ReviewKind::LocalSubjectAccess, review, None).await
}

/// Ask if you may do something
#[utoipa::path(post, path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", operation_id = "createSelfSubjectAccessReview",
    tag = "access", request_body(content = ReviewDocument, example = json!({"spec": {
        "resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "default"}}})),
    responses((status = 201, description = "The review with its answer.", body = ReviewDocument), ReadErrors))]
async fn self_subject_access(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Caller(user): Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    asked(&state, &cluster, ReviewKind::SelfSubjectAccess, parse(&body)?, Some(&user)).await
}

/// List your rights in a namespace
#[utoipa::path(post, path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", operation_id = "createSelfSubjectRulesReview",
    tag = "access", request_body(content = ReviewDocument, example = json!({"spec": {"namespace": "default"}})),
    responses((status = 201, description = "The review with the rules.", body = ReviewDocument), ReadErrors))]
async fn self_subject_rules(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Caller(user): Caller,
    JsonBytes(body): JsonBytes,
) -> Result<Response> {
    let (kind, review) = (ReviewKind::SelfSubjectRules, parse(&body)?);
    let namespace = &review.spec.namespace;
    if namespace.is_empty() {
        return Err(Error::BadRequest("no namespace on request".into()));
    }
    let access = access(&state, &cluster).await?;
    let (rules, missing) = access.rules_of(&cluster, &user, namespace);
    let (of_paths, of_resources): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(|rule| !rule.paths.is_empty());
    let told = |rules: Vec<&Rule>| rules.into_iter().map(rule_to_json).collect::<Value>();
    let mut status = Map::new();
    status.insert("resourceRules".into(), told(of_resources));
    status.insert("nonResourceRules".into(), told(of_paths));
    status.insert("incomplete".into(), false.into());
    if !missing.is_empty() {
        let errors: Vec<String> = missing.iter().map(ToString::to_string).collect();
        status.insert("evaluationError".into(), errors.join(", ").into());
    }
    Ok(created(&review.answered(kind, status.into())))
}

/// Ask who you are
#[utoipa::path(post, path = "/apis/authentication.k8s.io/v1/selfsubjectreviews", operation_id = "createSelfSubjectReview",
    tag = "access", request_body(content = ReviewDocument, example = json!({})),
    responses((status = 201, description = "The review with your name and groups.", body = ReviewDocument), ReadErrors))]
async fn self_subject(Caller(user): Caller, JsonBytes(body): JsonBytes) -> Result<Response> {
    let status = json!({"userInfo": user_to_json(&user)});
    Ok(created(&parse(&body)?.answered(ReviewKind::SelfSubject, status)))
}

fn parse(body: &[u8]) -> Result<Review> {
    Review::parse(body).map_err(|error| Error::BadRequest(error.to_string()))
}

fn created(review: &Value) -> Response {
    (StatusCode::CREATED, Json(review)).into_response()
}

/// Answers a question about a user: the sender, or the one that the review names.
async fn asked(
    service: &Service,
    cluster: &str,
    kind: ReviewKind,
    review: Review,
    sender: Option<&User>,
) -> Result<Response> {
    let causes = review.check(kind);
    let Some(attributes) = review.spec.attributes().filter(|_| causes.is_empty()) else {
        let causes = causes.into_iter().map(Into::into).collect();
        return Err(Error::Invalid { subject: Subject::new(kind.group(), "", ""), causes });
    };
    let of_review = review.user();
    let cluster = judging(cluster, &attributes);
    let access = access(service, cluster).await?;
    let verdict = access.verdict(cluster, sender.unwrap_or(&of_review), &attributes);
    let mut status = Map::new();
    status.insert("allowed".into(), verdict.is_allowed().into());
    let reason = verdict.reason();
    if !reason.is_empty() {
        status.insert("reason".into(), reason.into());
    }
    Ok(created(&review.answered(kind, status.into())))
}

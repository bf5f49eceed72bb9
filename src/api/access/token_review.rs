//! `TokenReview`: the question of another service, whose a token is.

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::review_document::ReviewDocument;
use crate::{
    api::{extract::JsonBytes, openapi::ReadErrors, served::Taken, state::AppState},
    service::{
        access::authenticate::Sent,
        error::{Error, Result},
    },
    wire::access::token_review::TokenReview,
};

/// The route of reviews of tokens.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    let taken = Taken { api_version: "authentication.k8s.io/v1".into(), kind: "TokenReview" };
    OpenApiRouter::new().routes(routes!(review)).layer(Extension(taken))
}

/// Ask whose a token is
///
/// Services that Podberth's users call with their token ask this. A token that is not valid is answered with an error in the status, and without
/// `authenticated`. The reply does not have the token.
#[utoipa::path(post, path = "/apis/authentication.k8s.io/v1/tokenreviews", operation_id = "createTokenReview", tag = "access",
    request_body(content = ReviewDocument, example = json!({"spec": {"token": "pbt_…", "audiences": ["podberth"]}})),
    responses((status = 201, description = "The review with the user.", body = ReviewDocument), ReadErrors))]
async fn review(State(state): State<AppState>, JsonBytes(body): JsonBytes) -> Result<Response> {
    let review = TokenReview::parse(&body).map_err(|error| Error::BadRequest(error.to_string()))?;
    if review.spec.token.is_empty() {
        return Err(Error::BadRequest("token is required for TokenReview in authentication".into()));
    }
    let answer = match &state.manner.authenticator {
        None => review.answered(Err("this server asks nobody who they are, so it knows no token")),
        Some(_) if !review.is_for_us() => review.answered(Err("tokens of this server are for the audience podberth")),
        Some(authenticator) => match authenticator.user(&state, &review.spec.token, Sent::InHeader).await? {
            Some(known) => review.answered(Ok(&known.user)),
            None => review.answered(Err("the token is not valid")),
        },
    };
    Ok((StatusCode::CREATED, Json(answer)).into_response())
}

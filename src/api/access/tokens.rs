//! `/tokens`: made, listed, revoked.

use axum::{Json, extract::State, http::StatusCode};

use crate::{
    api::{
        extract::{Body, Path},
        openapi::{ReadErrors, WriteErrors},
        state::AppState,
    },
    service::{
        access::{
            Caller,
            tokens::{self, MadeToken, NewToken, TokenList},
        },
        audit,
        error::Result,
    },
    wire::status::Status,
};

/// List the tokens
///
/// Without their texts, which nobody has but their holders.
#[utoipa::path(get, path = "/tokens", operation_id = "listTokens", tag = "access",
    responses((status = 200, description = "The tokens by name.", body = TokenList), ReadErrors))]
pub async fn list(State(state): State<AppState>) -> Result<Json<TokenList>> {
    tokens::list(&state).await.map(Json)
}

/// Make a token
///
/// The reply has its text, which is shown once and never again: only its digest is stored. Its maker must have the right to `impersonate` its user
/// and its groups.
#[utoipa::path(post, path = "/tokens", operation_id = "createToken", tag = "access",
    request_body(content = NewToken, example = json!({"name": "ci", "user": "jane", "expiresInSeconds": 86400})),
    responses((status = 201, description = "The token.", body = MadeToken), WriteErrors))]
pub async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Body(new): Body<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>)> {
    audit::named("", &new.name);
    let made = tokens::create(&state, &caller, new).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Revoke a token
///
/// No process takes it any more once the change has reached it, which takes a fraction of a second.
#[utoipa::path(delete, path = "/tokens/{name}", operation_id = "revokeToken", tag = "access",
    params(("name" = String, Path, description = "The token's name.", example = "ci")),
    responses((status = 200, description = "It is revoked.", body = Status), WriteErrors))]
pub async fn revoke(State(state): State<AppState>, Path(name): Path<String>) -> Result<Json<Status>> {
    tokens::revoke(&state, &name).await?;
    Ok(Json(Status::success(200, None)))
}

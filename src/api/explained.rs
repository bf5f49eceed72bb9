//! The form of an explanation: node by node, or by columns.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::context::written;
use crate::{
    service::{
        compute::compute_chunk,
        error::{Error, Result},
    },
    wire::{
        columns::{ColumnExplanation, MEDIA_TYPE},
        explanation::Explanation,
    },
};

/// How an explanation is to be shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViewQuery {
    /// `columns`: the matrix by columns, a thirtieth of the size, as `application/vnd.podberth.columns+json`; `nodes` or absent: node by node
    #[param(required = false, value_type = String, nullable = false)]
    view: Option<String>,
}

impl ViewQuery {
    /// `true` if columns are wanted.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for another form.
    pub fn is_columns(&self) -> Result<bool> {
        match self.view.as_deref() {
            None | Some("" | "nodes") => Ok(false),
            Some("columns") => Ok(true),
            Some(other) => Err(Error::BadRequest(format!(
                "view: Unsupported value: {other:?}: supported values: \"nodes\", \"columns\""
            ))),
        }
    }
}

/// The reply of an explanation.
///
/// # Errors
/// Those of [`compute_chunk`].
pub async fn reply(explanation: Explanation, is_columns: bool) -> Result<Response> {
    if !is_columns {
        return Ok(written(explanation, true).await?.into_response());
    }
    let text = compute_chunk(true, move || serde_json::to_vec(&ColumnExplanation::from(explanation)));
    let text = text.await?.map_err(Error::internal)?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

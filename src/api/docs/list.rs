//! In place of the page, in a binary without the feature `docs-page`: a list of the operations.

use std::fmt::Write;

use axum::response::{Html, IntoResponse, Response};
use serde_json::Value;

use crate::{
    api::{error::RequestError, published::DOCUMENTS},
    features,
};

/// `index.html`; there is no other file.
pub(super) fn file(name: &str) -> Result<Response, RequestError> {
    if name != "index.html" {
        return Err(RequestError::NoRoute);
    }
    let missing = features::built_in("docs-page").err().unwrap_or_default();
    let mut text = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Podberth: the API</title>\n<h1>Podberth: the API</h1>\n\
         <p>The OpenAPI document: <a href=\"../openapi.json\">openapi.json</a> (3.0), \
         <a href=\"../openapi-3.1.json\">openapi-3.1.json</a>. The page to try it out is not here: {missing}.</p>\n<ul>\n"
    );
    for (path, operations) in DOCUMENTS.v3_0["paths"].as_object().into_iter().flatten() {
        for (method, operation) in operations.as_object().into_iter().flatten() {
            if let Some(summary) = operation.get("summary").and_then(Value::as_str) {
                let method = method.to_uppercase();
                let summary = summary.replace('&', "&amp;").replace('<', "&lt;");
                let _ = writeln!(text, "<li><code>{method} {path}</code> {summary}</li>"); // to a string, which takes everything
            }
        }
    }
    Ok(Html(text + "</ul></html>\n").into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn list_names_the_documents_the_feature_and_every_operation() {
        let reply = file("index.html").expect("the list");
        let text = axum::body::to_bytes(reply.into_body(), usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&text);
        let missing = features::built_in("docs-page").err().unwrap_or_default();
        for part in ["../openapi.json", "../openapi-3.1.json", &missing, "POST /schedule"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(file("swagger-ui.css").is_err());
    }
}

//! Unknown names in queries. Podberth's own operations refuse them: `?polcy=x` would silently be decided under the default policy. For paths of
//! Kubernetes clients, which may send names of later releases, a `Warning` lists them, as kube-apiserver does for unknown fields.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{MatchedPath, Query, Request},
    http::{HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use utoipa::openapi::{OpenApi, RefOr, path::ParameterIn};

use crate::{core::near::near, service::error::Error};

/// Names that Kubernetes clients may send with any verb (`apimachinery/pkg/apis/meta/v1/types.go`: the options of each verb), and the further
/// names that are read.
const OF_KUBERNETES: &[&str] = &[
    "allowWatchBookmarks",
    "at",
    "consistent",
    "continue",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "force",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "includeObject",
    "labelSelector",
    "limit",
    "minRevision",
    "orphanDependents",
    "policy",
    "pretty",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "revision",
    "sendInitialEvents",
    "timeout",
    "timeoutSeconds",
    "uid",
    "watch",
];

/// Names that any client may send.
const OF_EVERYBODY: &[&str] = &["pretty", "timeout"];

/// Length of the part of a name that an error shows.
const LONGEST_SHOWN: usize = 64;

/// The names that each path reads. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<HashMap<String, Vec<String>>>);

impl Names {
    /// Those of a document.
    pub(super) fn of(document: &OpenApi) -> Self {
        let of_path = document.paths.paths.iter().map(|(path, item)| {
            let operations = [&item.get, &item.put, &item.post, &item.delete, &item.patch];
            let parameters = operations.into_iter().flatten().flat_map(|one| one.parameters.iter().flatten());
            let names = parameters.filter_map(|parameter| match parameter {
                RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
                _ => None,
            });
            (path.clone(), names.collect())
        });
        Self(Arc::new(of_path.collect()))
    }

    /// An unknown name in the query of a path, with the name that was probably meant.
    fn unknown(&self, path: &str, query: &str) -> Option<String> {
        let is_of_kubernetes = path.starts_with("/api/") || path.starts_with("/apis/");
        let own = if is_of_kubernetes { None } else { Some(self.0.get(path)?) };
        let known: Vec<&str> = match own {
            Some(own) => own.iter().map(String::as_str).chain(OF_EVERYBODY.iter().copied()).collect(),
            None => OF_KUBERNETES.to_vec(),
        };
        let names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
        // One that is written in another way is for the reader of the query.
        let mut plain = names.filter(|name| !name.is_empty() && !name.contains(['%', '+']));
        let unknown = plain.find(|name| !known.contains(name))?;
        let shown: String =
            unknown.chars().take(LONGEST_SHOWN).filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\').collect();
        let meant = near(known.iter().copied(), &shown).map(|name| format!(": did you mean {name}?"));
        Some(format!("the query has {shown}, which nothing here reads{}", meant.unwrap_or_default()))
    }
}

/// The name by which a query asks for the past.
fn of_the_past(uri: &Uri) -> Option<&'static str> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    ["revision", "at"].into_iter().find(|name| pairs.iter().any(|(found, _)| found == name))
}

/// Reports the first unknown name, and names that the method does not take.
pub(super) async fn report_unknown(names: &Names, request: Request, next: Next) -> Response {
    let Some(query) = request.uri().query().filter(|query| !query.is_empty()) else { return next.run(request).await };
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if path.starts_with("/api")
        && !is_read
        && let Some(name) = of_the_past(request.uri())
    {
        let message = format!("{name} goes with reads alone: what is changed or deleted is the present");
        return Error::BadRequest(message).into_response();
    }
    let Some(message) = names.unknown(path, query) else { return next.run(request).await };
    if !path.starts_with("/api") {
        return Error::BadRequest(message).into_response();
    }
    let warning = HeaderValue::from_str(&format!("299 - \"{message}\""));
    let mut reply = next.run(request).await;
    if let Ok(warning) = warning {
        reply.headers_mut().append(header::WARNING, warning);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        let of = |word: &str| near(["policy", "minRevision", "consistent"].into_iter(), word);
        assert_eq!(
            (of("polcy"), of("minrevision"), of("consitsent")),
            (Some("policy"), Some("minRevision"), Some("consistent"))
        );
        assert_eq!((of("x"), of("")), (None, None));
    }
}

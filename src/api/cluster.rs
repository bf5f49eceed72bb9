//! The cluster of a request: every path also exists under `/clusters/{cluster}`.
//!
//! The prefix is removed before routing, so routes and documents are written once. Without it the cluster is [`DEFAULT_CLUSTER`].

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    http::{Uri, request::Parts, uri::PathAndQuery},
    response::IntoResponse,
};
use tower::{ServiceExt, service_fn};

use crate::{
    live::DEFAULT_CLUSTER,
    service::{
        clusters::check_name,
        error::{Error, Result},
    },
};

/// Paths whose slash at the end counts.
const PAGES: [&str; 1] = ["docs/"];

/// The cluster that a request is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterName(pub Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for ClusterName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(|| Self(DEFAULT_CLUSTER.into())))
    }
}

/// The router, which now also answers under `/clusters/{cluster}`.
pub fn under_any_cluster(router: Router) -> Router {
    let prefixed = service_fn(move |mut request: Request| {
        let router = router.clone();
        async move {
            match split(request.uri()) {
                Ok(None) => {}
                Ok(Some((cluster, uri))) => {
                    request.extensions_mut().insert(cluster);
                    *request.uri_mut() = uri;
                }
                Err(error) => return Ok(error.into_response()),
            }
            router.oneshot(request).await
        }
    });
    Router::new().fallback_service(prefixed)
}

/// The cluster that a path names and the rest of it, which begins with one slash: kube-scheduler 1.6 calls `//filter`
/// where its `urlPrefix` ends in a slash. `None` for a path that is routed as it is.
fn split(uri: &Uri) -> Result<Option<(ClusterName, Uri)>> {
    let path = uri.path();
    let (name, rest) = match path.strip_prefix("/clusters/").and_then(|path| path.split_once('/')) {
        Some(named) => named,
        None if path.starts_with("//") || is_folded(path) => (DEFAULT_CLUSTER, path),
        None => return Ok(None),
    };
    let rest = rest.trim_start_matches('/');
    let rest = if is_folded(rest) { rest.trim_end_matches('/') } else { rest };
    check_name(name)?;
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path = PathAndQuery::try_from(format!("/{rest}{query}")).map_err(|e| Error::BadRequest(e.to_string()))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    let uri = Uri::from_parts(parts).map_err(|e| Error::BadRequest(e.to_string()))?;
    Ok(Some((ClusterName(name.into()), uri)))
}

/// `true` if a path ends in a slash without meaning: `/filter/` is `/filter`. A page is read relative to its slash.
fn is_folded(path: &str) -> bool {
    path.len() > 1 && path.ends_with('/') && !PAGES.contains(&path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_taken_off_and_the_query_stays() {
        let of = |text: &str| split(&text.parse().expect("a URI"));
        assert!(matches!(of("/api/v1/nodes"), Ok(None)));
        assert!(matches!(of("/clusters"), Ok(None)));
        let Ok(Some((cluster, uri))) = of("/clusters/prod-1/api/v1/nodes?limit=2") else { panic!("it has the prefix") };
        assert_eq!((&*cluster.0, uri.to_string().as_str()), ("prod-1", "/api/v1/nodes?limit=2"));
        for doubled in
            ["//filter?policy=a", "/clusters/default//filter?policy=a", "/filter/?policy=a", "//filter//?policy=a"]
        {
            let Ok(Some((cluster, uri))) = of(doubled) else { panic!("{doubled} is rewritten") };
            assert_eq!((&*cluster.0, uri.to_string().as_str()), ("default", "/filter?policy=a"));
        }
        assert!(matches!(of("/docs/"), Ok(None)) && matches!(of("/"), Ok(None)), "their slash counts");
        for bad in ["/clusters//filter", "/clusters/Prod/filter", "/clusters/-a/filter", "/clusters/a%2Fb/filter"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}

//! The cluster of a request: every path also exists under `/clusters/{cluster}`.
//!
//! The prefix is removed before routing, so routes and documents are written once. Without it the cluster is [`DEFAULT_CLUSTER`].

use std::{convert::Infallible, fmt, sync::Arc};

use axum::{
    Router,
    extract::{FromRequestParts, Request},
    http::{Uri, request::Parts, uri::PathAndQuery},
    response::IntoResponse,
};
use tower::{ServiceExt, service_fn};

use crate::{
    live::{DEFAULT_CLUSTER, fork},
    service::{
        clusters::check_name,
        error::{Error, Result},
        forks,
    },
};

/// Paths whose slash at the end counts.
const PAGES: [&str; 2] = ["docs/", "ui/"];

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
            match rewritten(request.uri()) {
                Ok(Rewritten { token, cluster, uri }) => {
                    let extensions = request.extensions_mut();
                    if let Some(token) = token {
                        extensions.insert(token);
                    }
                    if let Some(cluster) = cluster {
                        extensions.insert(cluster);
                    }
                    if let Some(uri) = uri {
                        *request.uri_mut() = uri;
                    }
                }
                Err(error) => return Ok(error.into_response()),
            }
            router.oneshot(request).await
        }
    });
    Router::new().fallback_service(prefixed)
}

/// The token that the path of a request begins with. It is taken off before anything else sees the path.
#[derive(Clone)]
pub struct PathToken(pub Arc<str>);

impl fmt::Debug for PathToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PathToken(…)")
    }
}

/// Marks a request whose path began with a token, which is taken off when the caller is known.
#[derive(Clone, Copy, Debug)]
pub struct CameByKey;

/// The parts of a URI before the path that is routed, and the URI without them if there are any.
#[derive(Debug, Default)]
struct Rewritten {
    token: Option<PathToken>,
    cluster: Option<ClusterName>,
    uri: Option<Uri>,
}

/// Takes the cluster and the token off a path, which may come in either order.
fn rewritten(uri: &Uri) -> Result<Rewritten> {
    let mut rewritten = Rewritten::default();
    if let Some((token, uri)) = without_token(uri)? {
        rewritten = Rewritten { token: Some(token), cluster: None, uri: Some(uri) };
    }
    if let Some((cluster, uri)) = split(rewritten.uri.as_ref().unwrap_or(uri))? {
        rewritten = Rewritten { cluster: Some(cluster), uri: Some(uri), ..rewritten };
    }
    if let Some((fork, uri)) = fork_of(rewritten.uri.as_ref().unwrap_or(uri), rewritten.cluster.as_ref())? {
        rewritten = Rewritten { cluster: Some(fork), uri: Some(uri), ..rewritten };
    }
    if let Some(uri) = &rewritten.uri
        && let Some((token, uri)) = without_token(uri)?
    {
        if rewritten.token.is_some() {
            return Err(Error::BadRequest("the path has more than one token: expected /key/<token>/ once".into()));
        }
        rewritten = Rewritten { token: Some(token), uri: Some(uri), ..rewritten };
    }
    Ok(rewritten)
}

/// Takes `/key/<token>` off a path that begins with it. Without a rest it is `/`.
fn without_token(uri: &Uri) -> Result<Option<(PathToken, Uri)>> {
    let Some(rest) = uri.path().trim_start_matches('/').strip_prefix("key/") else { return Ok(None) };
    let (token, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let token = PathToken(token.into());
    Ok(Some((token, with_path(uri, rest.trim_start_matches('/'))?)))
}

/// The cluster that a path names and the rest of it, which begins with one slash: kube-scheduler 1.6 calls `//filter`
/// where its `urlPrefix` ends in a slash. `None` for a path that is routed as it is: kube-apiserver does not fold `//api`.
fn split(uri: &Uri) -> Result<Option<(ClusterName, Uri)>> {
    let path = uri.path();
    let (name, rest) = match path.strip_prefix("/clusters/").and_then(|path| path.split_once('/')) {
        Some(named) => named,
        None if path.starts_with("//api") => return Ok(None),
        None if path.starts_with("//") || is_folded(path) => (DEFAULT_CLUSTER, path),
        None => return Ok(None),
    };
    let rest = rest.trim_start_matches('/');
    let rest = if is_folded(rest) { rest.trim_end_matches('/') } else { rest };
    check_name(name)?;
    Ok(Some((ClusterName(name.into()), with_path(uri, rest)?)))
}

/// The fork of a cluster on which a path works, and the rest of the path. `None` for a path that works on none: `/forks/{name}` is the fork itself.
fn fork_of(uri: &Uri, cluster: Option<&ClusterName>) -> Result<Option<(ClusterName, Uri)>> {
    let named = uri.path().strip_prefix("/forks/").and_then(|path| path.split_once('/'));
    let Some((name, rest)) = named.filter(|(_, rest)| !matches!(rest.trim_matches('/'), "" | "diff")) else {
        return Ok(None);
    };
    let base = cluster.map_or(DEFAULT_CLUSTER, |ClusterName(name)| name);
    let fork = ClusterName(forks::cluster(base, name)?);
    let rest = rest.trim_start_matches('/');
    let rest = if is_folded(rest) { rest.trim_end_matches('/') } else { rest };
    Ok(Some((fork, with_path(uri, rest)?)))
}

/// The path and query of a request as its sender could have asked for it, without any token.
pub(super) fn full_path(uri: &Uri, cluster: Option<&ClusterName>) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let Some(ClusterName(cluster)) = cluster else { return path.to_owned() };
    match fork::split(cluster) {
        Some((base, name)) => format!("/clusters/{base}/forks/{name}{path}"),
        None => format!("/clusters/{cluster}{path}"),
    }
}

/// The URI with another path, which lacks its slash.
fn with_path(uri: &Uri, path: &str) -> Result<Uri> {
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    let path = PathAndQuery::try_from(format!("/{path}{query}")).map_err(|e| Error::BadRequest(e.to_string()))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).map_err(|e| Error::BadRequest(e.to_string()))
}

/// `true` if a path ends in a slash without meaning: `/filter/` is `/filter`. A page is read relative to its slash.
fn is_folded(path: &str) -> bool {
    path.len() > 1 && path.ends_with('/') && !PAGES.contains(&path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_is_taken_off_and_the_query_stays() {
        let of = |text: &str| split(&text.parse().expect("a URI"));
        assert!(matches!(of("/api/v1/nodes"), Ok(None)));
        assert!(matches!(of("/clusters"), Ok(None)));
        assert!(matches!(of("//api/v1/nodes"), Ok(None)) && matches!(of("//apis/"), Ok(None)));
        let Ok(Some((cluster, uri))) = of("/clusters/prod-1/api/v1/nodes?limit=2") else { panic!("it has the prefix") };
        assert_eq!((&*cluster.0, uri.to_string().as_str()), ("prod-1", "/api/v1/nodes?limit=2"));
        for doubled in
            ["//filter?policy=a", "/clusters/default//filter?policy=a", "/filter/?policy=a", "//filter//?policy=a"]
        {
            let Ok(Some((cluster, uri))) = of(doubled) else { panic!("{doubled} is rewritten") };
            assert_eq!((&*cluster.0, uri.to_string().as_str()), ("default", "/filter?policy=a"));
        }
        assert!(
            matches!(of("/docs/"), Ok(None)) && matches!(of("/ui/"), Ok(None)) && matches!(of("/"), Ok(None)),
            "their slash counts"
        );
        for bad in ["/clusters//filter", "/clusters/Prod/filter", "/clusters/-a/filter", "/clusters/a%2Fb/filter"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_below_a_fork_works_on_the_fork() {
        let of = |text: &str| rewritten(&text.parse().expect("a URI"));
        for (text, cluster, rest) in [
            ("/forks/a/api/v1/nodes?limit=2", "fork:default:a", "/api/v1/nodes?limit=2"),
            ("/clusters/prod/forks/a/explain", "fork:prod:a", "/explain"),
            ("/key/pbt_x/forks/a/filter/", "fork:default:a", "/filter"),
        ] {
            let Ok(Rewritten { cluster: Some(found), uri: Some(uri), .. }) = of(text) else { panic!("{text}") };
            assert_eq!((&*found.0, uri.to_string().as_str()), (cluster, rest), "{text}");
        }
        for text in ["/forks", "/forks/a", "/forks/a/diff"] {
            assert!(of(text).is_ok_and(|rewritten| rewritten.cluster.is_none()), "{text}");
        }
        for bad in ["/forks/A/filter", "/forks/a%2Fb/filter", "/clusters/fork:default:a/filter"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_is_taken_off_the_path_wherever_it_stands() {
        let of = |text: &str| rewritten(&text.parse().expect("a URI"));
        for (text, cluster, rest) in [
            ("/key/pbt_x/filter?a=b", None, "/filter?a=b"),
            ("//key/pbt_x//filter/", Some("default"), "/filter"),
            ("/key/pbt_x/clusters/prod/filter", Some("prod"), "/filter"),
            ("/clusters/prod/key/pbt_x/filter", Some("prod"), "/filter"),
            ("/key/pbt_x", None, "/"),
            ("/key/", None, "/"),
        ] {
            let Ok(Rewritten { token: Some(token), cluster: of, uri: Some(uri) }) = of(text) else { panic!("{text}") };
            assert!(!format!("{token:?}").contains("pbt"), "{text}");
            assert_eq!((of.as_ref().map(|of| &*of.0), uri.to_string().as_str()), (cluster, rest), "{text}");
        }
        assert!(of("/key/a/clusters/prod/key/b/filter").is_err());
        for other in ["/keys/x", "/filter/key/x"] {
            assert!(of(other).is_ok_and(|rewritten| rewritten.token.is_none()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_token_stays_in_a_path(before in "(/|//|/clusters/[a-z]{1,4}/|/clusters/[a-z]{1,4}//){1}", after in "[a-z/]{0,8}") {
            let text = format!("{before}key/pbt_secret/{after}");
            if let Ok(uri) = text.parse::<Uri>() && let Ok(rewritten) = rewritten(&uri) {
                let left = rewritten.uri.map(|uri| uri.to_string()).unwrap_or(text);
                prop_assert!(!left.contains("secret"), "{}", left);
            }
        }
    }
}

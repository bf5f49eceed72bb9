//! Authentication, impersonation and authorization of requests, and the questions of clients about them.
//!
//! Known by a certificate or a token → perhaps acting as somebody else (`Impersonate-*`) → allowed by roles. Where nobody is asked who they are, everybody may
//! do everything, unless they act as somebody else.
//!
//! Source: `apiserver/pkg/endpoints/filters/{authentication,impersonation,authorization}.go`.

use axum::{
    extract::{FromRequestParts, Request},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use std::{convert::Infallible, sync::Arc};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{impersonate::Impersonated, request_info::RequestInfo};
use super::{
    cluster::{CameByKey, ClusterName, PathToken},
    error::{ErrorText, RequestError},
    passing::{self, Passed, PassedOn},
    peer, sourced,
    state::AppState,
    validity::Credential,
};
use crate::{
    clock,
    core::access::{ANONYMOUS, Attributes, User, Verdict},
    live::{DEFAULT_CLUSTER, fork},
    net::Secured,
    origin::TrustedProxies,
    service::{
        access::{
            Caller,
            authenticate::{Known, Sent},
            check, check_seen, judging,
        },
        audit::{self, Audit, Judged, Trail},
        error::{Error, Subject},
        forks,
        limits::{Flow, failures::Failures},
    },
};

mod impersonate;
pub mod request_info;
mod review_document;
mod reviews;
mod token_review;
pub mod tokens;

/// The routes about access.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    reviews::routes()
        .merge(token_review::routes())
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
}

/// Asks for the sender's name and rights.
#[derive(Clone, Debug)]
pub struct Gate {
    state: AppState,
    failures: Arc<Failures>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl Gate {
    /// The gate of a process.
    pub(super) fn new(state: AppState) -> Self {
        Self { state, failures: Arc::default() }
    }

    /// `true` if the sender of a request is to be known.
    pub(super) fn asks(&self, request: &Request) -> bool {
        let manner = &self.state.manner;
        manner.authenticator.is_some()
            || manner.audit.is_some()
            || manner.passing.is_some()
            || impersonate::is_asked(request.headers())
    }

    /// Refuses a request for a fork that is not there.
    pub(super) async fn check_fork(&self, cluster: Option<&ClusterName>) -> Result<(), Response> {
        let Some(ClusterName(cluster)) = cluster else { return Ok(()) };
        forks::check(&self.state, cluster).await.map_err(IntoResponse::into_response)
    }

    /// The flow of a request that was let in: its user if clients are known here, else the address of the client.
    pub(super) fn flow(&self, request: &Request) -> Flow {
        let caller = request.extensions().get::<Caller>().filter(|_| self.state.manner.authenticator.is_some());
        match caller {
            Some(Caller(user)) if *user.name != *ANONYMOUS => Flow::User(user.name.clone()),
            _ => self.address(request),
        }
    }

    /// The flow of the client's address.
    fn address(&self, request: &Request) -> Flow {
        let client = peer::client(request.extensions(), request.headers(), &self.state.manner.proxies);
        client.map(Flow::of_address).unwrap_or_default()
    }

    /// The proxies that tell the address of a client.
    pub(super) fn proxies(&self) -> TrustedProxies {
        self.state.manner.proxies.clone()
    }

    /// `true` if users are known, so that each may have its bounds.
    pub(super) fn knows_users(&self) -> bool {
        self.state.manner.authenticator.is_some()
    }

    /// Adds the age of the mirror to a reply about a cluster that mirrors a live one.
    pub(super) fn tell_source(&self, cluster: Option<&ClusterName>, reply: Response) -> Response {
        sourced::told(&self.state, cluster.map_or(DEFAULT_CLUSTER, |ClusterName(name)| name), reply)
    }

    /// The record of requests.
    pub(super) fn audit(&self) -> Option<Audit> {
        self.state.manner.audit.clone()
    }

    /// Lets a request in, with its [`Caller`]. The reply is that of another replica, or a refusal.
    pub(super) async fn admit(&self, mut request: Request) -> Result<Request, Response> {
        let known = if let Some(PassedOn(user)) = request.extensions_mut().remove::<PassedOn>() {
            Ok(Known::new(user))
        } else {
            let known = self.known(&mut request).await;
            request = self.pass_on(request, known.as_ref().ok()).await?;
            known
        };
        self.let_in(&mut request, known).await.map_err(refusal)?;
        Ok(request)
    }

    /// The request, or the reply of another replica if that owns its cluster. The replica judges the rights of the sender.
    async fn pass_on(&self, request: Request, known: Option<&Known>) -> Result<Request, Response> {
        let (Some(passing), Some(known)) = (&self.state.manner.passing, known) else { return Ok(request) };
        let (owners, is_kept_out) = {
            let of = request.extensions().get::<ClusterName>().map_or(DEFAULT_CLUSTER, |ClusterName(name)| name);
            let uri = request.uri();
            let info = RequestInfo::of(request.method(), of, uri.path(), uri.query().unwrap_or_default());
            let owners = passing::owned(&info, of).map(|cluster| passing.owners(cluster)).unwrap_or_default();
            let judged_in = [info.cluster, fork::judged_in(of)];
            (owners, judged_in.into_iter().any(|cluster| known.is_kept_out_of(cluster).is_some()))
        };
        if owners.is_empty() || is_kept_out {
            return Ok(request);
        }
        let credential = self.credential(known).or_else(|| Credential::of(&request));
        match passing.pass_on(request, owners, &known.user).await {
            Passed::Back(request) => Ok(request),
            Passed::Answered(reply) => Err(match credential {
                Some(credential) => credential.bound(reply),
                None => reply,
            }),
        }
    }

    /// The credential by which a sender is known, if it may end and is no certificate.
    fn credential(&self, known: &Known) -> Option<Credential> {
        match (known.token(), known.ends) {
            (Some(token), _) => Some(Credential::Token(self.state.clone(), token.clone())),
            (None, Some(end)) => Some(Credential::Until(end)),
            (None, None) => None,
        }
    }

    /// The sender, by the client certificate of the connection or else the token of the request. The token is taken off: nothing behind the gate
    /// needs it. A token in the path comes before the certificate, since the URL names it; one in a header comes after it, as in kube-apiserver
    /// (`pkg/kubeapiserver/authenticator/config.go`).
    async fn known(&self, request: &mut Request) -> Result<Known, RequestError> {
        let token = credentials(request);
        let Some(authenticator) = &self.state.manner.authenticator else { return Ok(Known::new(Caller::default().0)) };
        match by_certificate(request) {
            _ if matches!(token, Some((_, Sent::InPath))) => {}
            Ok(Some(user)) => {
                if let Some(secured) = request.extensions().get::<Secured>().cloned() {
                    request.extensions_mut().insert(Credential::Certificate(secured));
                }
                return Ok(Known::new(user));
            }
            Err(refused) if token.is_none() => return Err(refused),
            _ => {}
        }
        let Some((token, sent)) = token else {
            return authenticator.unknown(request.uri().path()).ok_or(RequestError::Unauthorized);
        };
        let known = authenticator.user(&self.state, &token, sent).await?;
        if known.is_none() {
            let address = self.address(request);
            // Without a connection there is no address.
            if address != Flow::Nobody {
                self.failures.count(&address)?;
            }
        }
        known.ok_or(RequestError::Unauthorized)
    }

    async fn let_in(&self, request: &mut Request, known: Result<Known, RequestError>) -> Result<(), RequestError> {
        let cluster = request.extensions().get::<ClusterName>().map(|ClusterName(name)| name.clone());
        let cluster: Arc<str> = cluster.unwrap_or_else(|| DEFAULT_CLUSTER.into());
        // A fork's requests are judged, and its tokens kept out, as those of its base.
        let cluster: Arc<str> = fork::judged_in(&cluster).into();
        let method = request.method().clone();
        let info = RequestInfo::of(&method, &cluster, request.uri().path(), request.uri().query().unwrap_or_default());
        let trail = audit::current();
        // Senders who are turned away for their failures would fill the record.
        let is_turned_away = matches!(known, Err(RequestError::Failed(Error::TooManyRequests { .. })));
        if let Some(trail) = trail.as_ref().filter(|_| !is_turned_away) {
            let judged = Judged { cluster: info.cluster, attributes: &info.attributes, may_change: info.may_change() };
            trail.begin(known.as_ref().ok().map(|known| &known.user), judged).await?;
        }
        let known = known?;
        let credential = self.credential(&known);
        let RequestInfo { cluster: of, attributes } = info;
        if let Some(token) = [of, &*cluster].into_iter().find_map(|cluster| known.is_kept_out_of(cluster)) {
            let message = format!("the token {token:?} is not for the cluster {of:?}");
            return Err(Error::Denied { subject: Subject::default(), message }.into());
        }
        let user = self.acting(request.headers(), of, &attributes, known.user, trail.as_ref()).await?;
        let seen = |verdict: &Verdict<'_>| {
            if let Some(trail) = &trail {
                trail.judged(verdict);
            }
        };
        check_seen(&self.state, of, &user, &attributes, seen).await?;
        impersonate::forget(request.headers_mut());
        request.extensions_mut().insert(Caller(user));
        if let Some(credential) = credential {
            request.extensions_mut().insert(credential);
        }
        Ok(())
    }

    /// The user as whom the sender acts: another one, if the headers say so and the sender may.
    async fn acting(
        &self,
        headers: &HeaderMap,
        cluster: &str,
        attributes: &Attributes<'_>,
        user: Arc<User>,
        trail: Option<&Trail>,
    ) -> Result<Arc<User>, RequestError> {
        let Some(other) = Impersonated::of(headers).map_err(Error::BadRequest)? else { return Ok(user) };
        let cluster = judging(cluster, attributes);
        for needed in other.needed() {
            check(&self.state, cluster, &user, &Attributes::Resource(needed)).await?;
        }
        let other = Arc::new(other.into_user());
        if let Some(trail) = trail {
            trail.impersonated(&other);
        }
        Ok(other)
    }
}

/// The token of a request, which is taken off: one in the path before one in a header.
fn credentials(request: &mut Request) -> Option<(Arc<str>, Sent)> {
    let in_path = request.extensions_mut().remove::<PathToken>();
    let in_header = request.headers_mut().remove(header::AUTHORIZATION);
    let in_header = in_header.as_ref().and_then(bearer).map(Arc::from);
    if let Some(PathToken(token)) = in_path {
        request.extensions_mut().insert(CameByKey);
        return Some((token, Sent::InPath));
    }
    in_header.map(|token| (token, Sent::InHeader))
}

/// The user of the connection's client certificate.
fn by_certificate(request: &Request) -> Result<Option<Arc<User>>, RequestError> {
    let Some(Secured { tls, certificate: Some(certificate) }) = request.extensions().get() else { return Ok(None) };
    certificate.user(tls, clock::now().as_second()).map_err(|why| {
        tracing::debug!("the client certificate of the connection is not accepted any more: {why}");
        RequestError::Unauthorized
    })
}

/// The token of a header; `None` for credentials of another sort (`authentication/request/bearertoken/bearertoken.go`).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let mut words = value.to_str().ok()?.trim().splitn(3, ' ');
    let is_bearer = words.next()?.eq_ignore_ascii_case("bearer");
    words.next().filter(|token| is_bearer && !token.is_empty())
}

/// A refusal is a `Status` on every path, as the API server's are.
fn refusal(error: RequestError) -> Response {
    tracing::debug!(%error, "a request was not let in");
    let mut response = error.into_response();
    response.extensions_mut().remove::<ErrorText>();
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        api::published::DOCUMENTS,
        core::access::{OWN, ResourceAttributes},
        wire::kinds,
    };

    #[test]
    fn tokens_are_read_as_the_api_server_reads_them() {
        let of = |text: &'static str| bearer(&HeaderValue::from_static(text)).map(str::to_owned);
        for (text, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc def", Some("abc")),
            ("  BEARER abc", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer  abc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(of(text).as_deref(), token, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                prop_assert!(bearer(&value).is_none_or(|token| !token.is_empty() && !token.contains(' ')));
            }
        }
    }

    /// Paths that are no resources on purpose: a right on each is a rule of `nonResourceURLs`.
    const PATHS: &[&str] = &[
        "/livez",
        "/readyz",
        "/healthz",
        "/version",
        "/metrics",
        "/plugins",
        "/extender/config",
        "/api",
        "/apis",
        "/openapi",
        "/docs",
        "/ui",
        "/openapi.json",
        "/openapi-3.1.json",
    ];

    #[test]
    fn every_route_has_attributes() {
        let paths = DOCUMENTS.v3_1["paths"].as_object().expect("paths");
        let mut problems = Vec::new();
        for (path, item) in paths {
            let filled = path.replace('{', "x-").replace('}', "");
            for method in item.as_object().into_iter().flat_map(|item| item.keys()) {
                let Ok(method) = Method::from_bytes(method.to_ascii_uppercase().as_bytes()) else { continue };
                if !matches!(method.as_str(), "GET" | "PUT" | "POST" | "PATCH" | "DELETE") {
                    continue;
                }
                let info = RequestInfo::of(&method, "c", &filled, "");
                let is_known = match &info.attributes {
                    Attributes::Resource(of) => {
                        let is_named = path.contains(&*of.resource) || of.group == OWN;
                        is_named && !of.verb.is_empty() && !of.resource.is_empty()
                    }
                    Attributes::Path { .. } => {
                        path == "/"
                            || PATHS.iter().any(|of| {
                                let Some(rest) = path.strip_prefix(of) else { return false };
                                // Behind the documents of groups and versions resources begin.
                                let most = match *of {
                                    "/api" => 1,
                                    "/apis" => 2,
                                    _ => usize::MAX,
                                };
                                (rest.is_empty() || rest.starts_with('/')) && rest.matches('/').count() <= most
                            })
                    }
                };
                if !is_known {
                    problems.push(format!("{method} {path}: {:?}", info.attributes));
                }
            }
        }
        assert!(
            problems.is_empty(),
            "give these routes their attributes in request_info.rs, or list them here:\n{}",
            problems.join("\n")
        );
    }

    /// The resource of a stored kind's path is the kind's, so that roles name what they mean.
    #[test]
    fn paths_of_stored_kinds_name_their_resource() {
        for kind in kinds::shared() {
            let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
            let within = if kind.namespaced { "/namespaces/ns" } else { "" };
            let path = format!("{root}/{}{within}/{}/one/status", kind.version, kind.plural);
            let info = RequestInfo::of(&Method::PUT, "c", &path, "");
            let expected = ResourceAttributes::new("update", kind.group, kind.plural).below("status").named("one");
            let expected = match kind.plural {
                "namespaces" => expected.within("one"),
                _ if kind.namespaced => expected.within("ns"),
                _ => expected,
            };
            let Attributes::Resource(found) = info.attributes else { panic!("{path} is a resource") };
            assert_eq!(ResourceAttributes { version: "".into(), ..found }, expected, "{path}");
        }
    }
}

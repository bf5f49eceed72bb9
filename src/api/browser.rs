//! Protection against requests that a page of another site makes a browser send, and the headers of Podberth's own pages.
//!
//! Two rules, on every request:
//!
//! - *Host*: a process that listens on loopback serves only `localhost`, names below it, IP addresses and the hosts of
//!   `--allowed-hosts`. A page whose name its owner resolves to 127.0.0.1 (DNS rebinding) has none of these names.
//! - *Origin*: methods that may change something are refused if the browser reports a page of another origin.
//!   Browsers send `Sec-Fetch-Site` or `Origin` with them, and no page can omit these; other clients send neither.
//!   This is the rule of Go 1.25 (`net/http/csrf.go`, `CrossOriginProtection.Check`).

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::error::RequestError;
use crate::{
    core::policy::ExtenderHosts,
    net::Secured,
    origin::{Authority, Origins, is_origin_of},
    service::error::Error,
};

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const PRIVATE_NETWORK_ASKED: &str = "access-control-request-private-network";
const PRIVATE_NETWORK_ALLOWED: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The policy of Podberth's pages: they load nothing from other origins, and no page may frame them. Swagger UI sets styles in place and has images
/// in its style sheet.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// How long a browser may remember the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: &str = "600";

/// Length of the part of a refused header that an error shows.
const LONGEST_TOLD: usize = 100;

/// Which hosts are served and which pages may ask. An extension of the request; without one every host is served and no
/// other page may change anything.
#[derive(Clone, Debug, Default)]
pub struct Guard(Arc<Rules>);

#[derive(Debug, Default)]
struct Rules {
    /// `None`: every host.
    hosts: Option<ExtenderHosts>,
    origins: Origins,
}

impl Guard {
    /// The rules of a process that listens at these addresses. The hosts are checked where all of them are loopback
    /// addresses or hosts are named.
    pub fn new(listening: &[IpAddr], hosts: ExtenderHosts, origins: Origins) -> Self {
        let is_local = listening.iter().all(|address| address.to_canonical().is_loopback());
        let hosts = (is_local || hosts != ExtenderHosts::None).then_some(hosts);
        Self(Arc::new(Rules { hosts, origins }))
    }
}

/// Refuses requests of pages of other sites, answers preflights, and adds the headers of Podberth's pages.
pub(super) async fn guarded<F: Future<Output = Response>>(
    request: Request,
    next: impl FnOnce(Request) -> F,
) -> Response {
    let guard = request.extensions().get::<Guard>().cloned().unwrap_or_default();
    let rules = &*guard.0;
    if let Err(error) = check(rules, &request) {
        return error.into_response();
    }
    if rules.origins.is_empty() {
        return with_page_headers(next(request).await);
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin = origin.filter(|origin| origin.to_str().is_ok_and(|origin| rules.origins.allow(origin)));
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match &origin {
        Some(_) if is_preflight => preflight(request.headers()),
        _ => with_page_headers(next(request).await),
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
    }
    response
}

fn check(rules: &Rules, request: &Request) -> Result<(), RequestError> {
    let (headers, uri) = (request.headers(), request.uri());
    let is_secured = request.extensions().get::<Secured>().is_some();
    if headers.get_all(header::HOST).iter().nth(1).is_some() {
        return Err(Error::BadRequest("the request has more than one Host header".into()).into());
    }
    if let Some(hosts) = &rules.hosts {
        served(hosts, headers, uri, is_secured)?;
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    same_origin(&rules.origins, headers, uri, is_secured)
}

/// `Ok` if the hosts of the request are served: that of `Host` and that of the URI (HTTP/2, absolute form).
fn served(hosts: &ExtenderHosts, headers: &HeaderMap, uri: &Uri, is_secured: bool) -> Result<(), RequestError> {
    let refused = |host: &str| {
        let host = shortened(host);
        RequestError::Misdirected(format!(
            "this server listens on loopback only or has --allowed-hosts, and is not asked for as {host:?}: use localhost \
             or an IP address, or name the host in --allowed-hosts"
        ))
    };
    let named = headers.get(header::HOST).map(HeaderValue::as_bytes).filter(|host| !host.is_empty());
    for host in [named, uri.authority().map(|authority| authority.as_str().as_bytes())].into_iter().flatten() {
        let host = String::from_utf8_lossy(host);
        let authority = Authority::parse(host.trim()).ok_or_else(|| refused(&host))?;
        let port = authority.port.unwrap_or(if is_secured { 443 } else { 80 });
        if !(authority.is_local_or_address() || hosts.allow(&authority.host, port)) {
            return Err(refused(&host));
        }
    }
    Ok(())
}

/// `Ok` if the request comes from no page, from a page of this server, or from an allowed page. Over TLS a page of this server came over TLS as
/// well: one in plain text may be of somebody on the way.
fn same_origin(allowed: &Origins, headers: &HeaderMap, uri: &Uri, is_secured: bool) -> Result<(), RequestError> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let origins: Vec<String> = headers.get_all(header::ORIGIN).iter().map(text).collect();
    let sites: Vec<String> = headers.get_all(SEC_FETCH_SITE).iter().map(text).collect();
    let refused = |why: String| {
        Err(RequestError::CrossOrigin(format!(
            "a page of another origin may not ask for this ({why}): name its origin in --allowed-origins to let it"
        )))
    };
    if !origins.is_empty() && origins.iter().all(|origin| allowed.allow(origin)) {
        return Ok(());
    }
    if let Some(site) = sites.iter().find(|site| !matches!(site.as_str(), "same-origin" | "none")) {
        return refused(format!("Sec-Fetch-Site: {}", shortened(site)));
    }
    if !sites.is_empty() {
        return Ok(());
    }
    let host = headers.get(header::HOST).map(text).or_else(|| uri.authority().map(ToString::to_string));
    let is_own = |origin: &&String| {
        is_origin_of(origin, host.as_deref().unwrap_or_default()) && (!is_secured || origin.starts_with("https://"))
    };
    match origins.iter().find(|origin| !is_own(origin)) {
        Some(origin) => refused(format!("Origin: {}", shortened(origin))),
        None => Ok(()),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TOLD).collect()
}

/// The reply to a preflight: methods and headers that an allowed page may send.
fn preflight(asked: &HeaderMap) -> Response {
    let methods = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    if asked.contains_key(PRIVATE_NETWORK_ASKED) {
        headers.insert(PRIVATE_NETWORK_ALLOWED, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_SECONDS));
    response
}

/// Adds the protective headers to a page.
fn with_page_headers(mut response: Response) -> Response {
    let media = response.headers().get(header::CONTENT_TYPE).map_or(b"".as_slice(), HeaderValue::as_bytes);
    if media.get(..9).is_some_and(|media| media.eq_ignore_ascii_case(b"text/html")) {
        let headers = response.headers_mut();
        // The web page has a stricter one.
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(PAGE_POLICY));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_checked_on_loopback_or_where_they_are_named() {
        let checks = |listening: &str, hosts: &str| {
            let hosts = hosts.parse().expect("hosts");
            Guard::new(&[listening.parse().expect("an address")], hosts, Origins::default()).0.hosts.is_some()
        };
        assert!(checks("127.0.0.1", "none") && checks("::1", "none") && checks("::ffff:127.0.0.1", "none"));
        assert!(!checks("0.0.0.0", "none") && !checks("10.0.0.1", "none"));
        assert!(checks("0.0.0.0", "podberth.example"));
    }
}

//! HTTP. Every route is one line of [`routes()`]. Its path, method and documentation are on its handler (`#[utoipa::path]`), so that the published
//! document and the server cannot disagree.
//!
//! # To add an endpoint
//!
//! 1. Write one function in the file of its resource: extractors from [`extract`] in, [`crate::service::error::Result`] out, its
//!    `#[utoipa::path]` above it with a camelCase `operation_id`, one declared tag, its success response and what it may
//!    refuse besides the usual (`responses(…, WriteErrors)`, see [`openapi`]).
//! 2. Add one line to [`routes()`].
//! 3. Refresh the published documents: `UPDATE=1 cargo test --test openapi`.

use std::{collections::HashSet, sync::LazyLock};

#[cfg(feature = "pprof")]
use axum::routing::get;
#[cfg(feature = "karmada")]
use axum::routing::post;
use axum::{
    Router,
    http::Uri,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use utoipa::openapi::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use self::{access::Gate, error::RequestError, query_names::Names, state::AppState};
use crate::telemetry::trace::Tracing;

pub mod access;
pub mod admission;
mod asked_by;
pub mod audit;
pub mod audited;
pub mod autoscale;
pub mod bind;
pub mod body;
pub mod browser;
pub mod check;
pub mod cluster;
pub mod compression;
mod connection;
pub mod context;
pub mod decisions;
mod discovery;
pub mod docs;
pub mod document;
mod ending;
pub mod error;
pub mod evictions;
pub mod explain;
pub mod explained;
pub mod extender;
pub mod extender_config;
pub mod extract;
pub mod fit;
pub mod forks;
mod forms;
mod guarded;
pub mod health;
pub mod identity;
#[cfg(feature = "karmada")]
pub mod karmada;
mod line_feed;
pub mod linger;
pub mod middleware;
pub mod observe;
pub mod openapi;
pub mod overview;
pub mod pace;
pub mod passing;
pub mod peer;
pub mod pending;
pub mod placements;
mod places;
pub mod policy;
pub mod preempt;
#[cfg(feature = "pprof")]
mod profile;
pub mod published;
pub mod queries;
mod query_names;
pub mod question;
mod replies;
pub mod reservations;
pub mod resources;
pub mod root;
pub mod schedule;
mod schemas;
mod seat;
mod seating;
pub mod serve;
mod served;
pub mod simulate;
mod sourced;
pub mod state;
pub mod ui;
mod validity;
mod verbs;
pub mod warning;

/// The routes that take whole clusters, whose bodies may be as large as `bulk_body_bytes` of the [`middleware::Limits`].
fn bulk_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(extender::filter))
        .routes(routes!(extender::prioritize))
        .routes(routes!(preempt::preempt))
        .routes(routes!(explain::explain))
        .routes(routes!(simulate::simulate))
        .routes(routes!(autoscale::hpa::autoscale_hpa))
        .routes(routes!(autoscale::status::status))
        .routes(routes!(autoscale::scale_down::scale_down))
        .routes(routes!(autoscale::metrics::send_pods, autoscale::metrics::list_pods))
        .routes(routes!(autoscale::metrics::send_pods_of, autoscale::metrics::list_pods_of))
        .routes(routes!(autoscale::metrics::send_custom))
        .routes(routes!(autoscale::metrics::send_external))
        .routes(routes!(autoscale::reschedule::reschedule))
        .routes(routes!(autoscale::scale_up::scale_up))
        .routes(routes!(autoscale::vpa::vpa))
        .routes(routes!(policy::diff::compare_policy))
        .routes(routes!(placements::place))
        .routes(routes!(placements::estimate))
        .routes(routes!(schedule::schedule))
        .routes(routes!(resources::import::import))
}

/// Every route there is.
fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz))
        .routes(routes!(health::livez_check))
        .routes(routes!(health::readyz_check))
        .routes(routes!(health::healthz_check))
        .routes(routes!(health::version))
        .routes(routes!(health::metrics))
        .merge(bulk_routes())
        .routes(routes!(bind::bind))
        .merge(OpenApiRouter::new().routes(routes!(overview::read)).layer(compression::of_pages()))
        .routes(routes!(pending::list))
        .routes(routes!(fit::read))
        .routes(routes!(extender_config::read))
        .routes(routes!(reservations::list))
        .routes(routes!(reservations::replace, reservations::delete))
        .merge(policy::routes())
        .routes(routes!(resources::clusters::list))
        .routes(routes!(resources::clusters::read, resources::clusters::replace, resources::clusters::delete))
        .routes(routes!(forks::list, forks::create))
        .routes(routes!(forks::read, forks::delete))
        .routes(routes!(forks::diff))
        .routes(routes!(evictions::list, evictions::carry_out))
        .routes(routes!(audit::list))
        .routes(routes!(decisions::list))
        .routes(routes!(decisions::read))
        .routes(routes!(decisions::explain))
        .routes(routes!(decisions::bundle))
        .routes(routes!(decisions::replay))
        .merge(access::routes())
        .merge(discovery::routes())
        .merge(schemas::routes())
        .merge(resources::routes())
        .routes(routes!(document::document_3_0))
        .routes(routes!(document::document_3_1))
        .routes(routes!(root::root))
        .routes(routes!(docs::redirect))
        .routes(routes!(docs::index))
        .routes(routes!(docs::file))
        .routes(routes!(ui::redirect))
        .routes(routes!(ui::index))
        .routes(routes!(ui::file))
}

/// The first segments of the paths that there are.
#[derive(Debug)]
struct Roots(HashSet<String>);

impl Roots {
    fn of(document: &OpenApi) -> Self {
        Self(document.paths.paths.keys().map(|path| root_of(path).to_owned()).collect())
    }
}

fn root_of(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// No such path, or the kind that it names is not served on purpose. Where nothing begins like it, the reply is a text, as of kube-apiserver.
fn no_route(roots: &Roots, uri: &Uri) -> Response {
    let path = uri.path();
    if path.starts_with("//") || !roots.0.contains(root_of(path)) || discovery::is_of_no_page(path) {
        return discovery::no_page();
    }
    resources::withheld(path).map_or(RequestError::NoRoute, RequestError::Withheld).into_response()
}

/// Diagnostics for operators; none by default.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// Where spans of requests are sent.
    pub tracing: Option<Tracing>,
    /// `true` if `/debug/pprof/profile` is served; never in a binary without the feature `pprof`.
    pub profiling: bool,
}

/// The routes, and what their documentation says of them.
struct Table {
    router: Router<AppState>,
    roots: Roots,
    names: Names,
    /// Paths whose bodies may be as large as whole clusters.
    bulk: Vec<String>,
}

/// Made once, as the documentation takes far longer than the routes.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let (router, document) = routes().split_for_parts();
    let bulk = bulk_routes().into_openapi().paths.paths.into_keys();
    #[cfg(feature = "karmada")]
    let (router, bulk) = (router.route(karmada::PATH, post(karmada::answered)), bulk.chain([karmada::PATH.to_owned()]));
    Table { router, roots: Roots::of(&document), names: Names::of(&document), bulk: bulk.collect() }
});

/// The whole server but for its socket.
pub fn router(state: AppState, limits: middleware::Limits, diagnostics: Diagnostics) -> Router {
    let router = TABLE.router.clone();
    #[cfg(feature = "pprof")]
    let router = if diagnostics.profiling { router.route(profile::PATH, get(profile::cpu)) } else { router };
    let gate = Gate::new(state.clone());
    let router = router
        .fallback(async |uri: Uri| no_route(&TABLE.roots, &uri))
        .method_not_allowed_fallback(async || RequestError::MethodNotAllowed)
        .with_state(state);
    let router = middleware::around(router, TABLE.names.clone(), TABLE.bulk.clone(), limits, Some(gate));
    cluster::under_any_cluster(match diagnostics.tracing {
        Some(tracing) => router.layer(from_fn_with_state(tracing, observe::traced)),
        None => router,
    })
}

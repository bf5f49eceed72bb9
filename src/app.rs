//! The composition root: settings → store → router → serve → graceful stop. The only file that may import everything.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router};
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{interval, sleep},
};
use tracing::{info, warn};
use uuid::Uuid;

use self::tls::Certificates;
use crate::{
    api::{
        self, Diagnostics,
        browser::Guard,
        check::Check,
        middleware::Limits,
        pace::Pace,
        passing::Passing,
        serve::{Secure, Timeouts, serve_over},
        state::{AppState, Manner},
    },
    clock::Elapsed,
    commands::demo,
    config::{self, Settings},
    core::waiting::Loops,
    extenders::{self, Extenders},
    live::{
        self, Clusters, DEFAULT_CLUSTER, Remembering, SYSTEM_CLUSTER,
        upkeep::{Compact, Expire, ForgetPolicies, Job, Upkeep},
    },
    service::{
        Freshness, Service,
        access::uses::KeptUses,
        bind, clusters,
        lead::Leads,
        lifecycle::{Lifecycle, events::ExpireEvents},
        objects::{AdmissionMode, create_built_in},
        scheduler::Scheduler,
    },
    store::{Keep, Storage, StoreError, Writable},
    telemetry::{
        self,
        trace::{TraceError, Tracing},
    },
};

mod access;
pub mod archive;
mod audit;
mod autoscale;
mod database;
mod decisions;
mod karmada;
pub mod migrate;
mod mirrors;
mod policy_file;
mod replicas;
mod scaling;
mod sources;
mod tls;

/// Interval of moving recorded values into the histograms.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Largest default number of connections.
const MOST_CONNECTIONS: usize = 10_000;

/// How often reservations are gone through.
const RESERVATIONS_EXPIRE: Duration = Duration::from_secs(5);

/// How often events are gone through.
const EVENTS_EXPIRE: Duration = Duration::from_mins(1);

/// How often revisions of policies are gone through that may be too old.
const POLICIES_FORGOTTEN: Duration = Duration::from_hours(1);

/// Interval of reading the heads of all clusters, besides hints; longer while the database tells of all changes.
const FEED_POLL: Duration = Duration::from_millis(250);

/// Why the process ended. Each is one line for the person who started it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The asynchronous runtime could not start.
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    /// The metrics recorder could not start.
    #[error("cannot measure: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    /// Traces cannot be sent.
    #[error("cannot trace: {0}")]
    Trace(#[from] TraceError),
    /// The address is taken, not ours, or no address.
    #[error("cannot listen on {0}: {1}{hint}", hint = listen_hint(.0, .1))]
    Listen(String, #[source] io::Error),
    /// The database is not usable.
    #[error("cannot use the database: {0}")]
    Store(#[from] StoreError),
    /// The demo's own calls were refused: a bug.
    #[error("the demo failed: {0}")]
    Demo(String),
    /// A question on the command line has no answer.
    #[error("{0}")]
    Question(String),
    /// The policy file cannot be used.
    #[error("cannot use the policy {0}: {1}")]
    Policy(String, String),
    /// An export or import failed.
    #[error("{0}")]
    Archive(String),
    /// Nobody could be known.
    #[error("cannot ask clients who they are: {0}")]
    Access(String),
    /// Requests cannot be recorded.
    #[error("cannot record requests: {0}")]
    Audit(String),
    /// A loop of autoscaling cannot begin.
    #[error("cannot autoscale: {0}")]
    Autoscale(String),
    /// A live cluster cannot be mirrored.
    #[error("cannot mirror a live cluster: {0}")]
    Sync(String),
    /// Karmada's schedulers cannot be answered.
    #[error("cannot answer Karmada's schedulers: {0}")]
    Karmada(String),
    /// Clusters cannot be shared with other replicas.
    #[error("cannot share clusters: {0}")]
    Replicas(String),
    /// The certificates cannot be used.
    #[error("cannot serve over TLS: {0}")]
    Tls(String),
    /// A file could not be written.
    #[error("cannot write {0}: {1}")]
    Output(String, #[source] io::Error),
}

/// Runs a command to its end on a runtime of its own.
pub fn run(command: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    run_for(command)
}

/// Runs a command to its end on a runtime of its own, for its result.
pub fn run_for<T>(command: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::Runtime)?;
    let result = runtime.block_on(command);
    // Work that is still under way has had its grace.
    runtime.shutdown_background();
    result
}

/// `podberth serve`: returns after SIGTERM or Ctrl-C.
pub async fn serve(settings: &Settings) -> Result<(), Error> {
    let mut stop = pin!(stop_signal().map_err(Error::Runtime)?);
    let server = tokio::select! {
        server = start(settings) => server?,
        () = &mut stop => return Ok(()),
    };
    server.run(settings, stop).await
}

/// `podberth demo`: serves over a database in memory with a small cluster, and prints two decisions on standard output.
pub async fn demo(settings: &Settings) -> Result<(), Error> {
    let stop = stop_signal().map_err(Error::Runtime)?;
    let server = start(settings).await?;
    let story = demo::introduce(&server.router, &format!("http://{}", server.address)).await.map_err(Error::Demo)?;
    io::Write::write_all(&mut io::stdout(), story.as_bytes())
        .map_err(|error| Error::Output("standard output".into(), error))?;
    server.run(settings, stop).await
}

/// A server that is up but for its connections.
struct Server {
    listener: TcpListener,
    address: SocketAddr,
    store: Arc<dyn Storage>,
    state: AppState,
    router: Router,
    upkeep: (Upkeep, Option<KeptUses>),
    lifecycle: Option<Lifecycle>,
    mirrors: mirrors::Mirrors,
    scheduler: Option<Scheduler>,
    autoscaling: autoscale::Loops,
    recovery: Option<Leads>,
    conditions: Option<Leads>,
    tracing: Option<Tracing>,
    certificates: Option<Certificates>,
    /// The addresses for others than clients: other replicas, Karmada's schedulers.
    doors: Vec<karmada::Door>,
}

async fn start(settings: &Settings) -> Result<Server, Error> {
    telemetry::log(settings.log_level.filter(), settings.log_format);
    for (variable, meant) in config::unknown_variables() {
        let meant = meant.map(|meant| format!(": did you mean {meant}?")).unwrap_or_default();
        warn!("the environment has {variable}, which is no setting{meant}");
    }
    let metrics = telemetry::recorder()?;
    let cannot_listen = |error| Error::Listen(settings.listen.clone(), error);
    let listener = TcpListener::bind(&settings.listen).await.map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let certificates = Certificates::load(settings).await.map_err(Error::Tls)?;
    let holder = Uuid::new_v4();
    let sharing = replicas::open(settings, holder).await?;
    let of_karmada = karmada::open(settings).await?;
    let policy = settings.policy_config_file.as_deref().map(policy_file::read).transpose()?;
    let configured = sources::configured(settings)?;
    let store = database::open(settings, true).await?;
    if !settings.no_migrate {
        store.migrate().await?;
    }
    let clusters = Clusters::limited(store, limits(settings)).with_remembering(remembering(settings));
    let store = clusters.store().clone();
    if let Some(text) = policy {
        policy_file::put_in_force(&clusters, text).await?;
    }

    keep_up(metrics.clone());
    load_default(&store, &clusters).await?;
    let mut checks = checks(&store, &clusters, settings.max_staleness);
    checks.extend(certificates.as_ref().map(Certificates::check));
    let freshness = Freshness { max_staleness: settings.max_staleness, max_wait: settings.max_snapshot_wait };
    let extenders = Extenders::new(extender_options(settings));
    let admission = AdmissionMode::named(&settings.admission).unwrap_or_default();
    let live_clusters = mirrors::Live::new(settings.sync.allow_exec_credentials);
    let service = Service {
        admission,
        sources: live_clusters.sources(),
        decisions: decisions::log(settings, &store),
        replicas: sharing.as_ref().map(|sharing| sharing.replicas.clone()).unwrap_or_default(),
        ..Service::new(clusters, freshness, extenders)
    };
    if let Some(most) = settings.sync.max_sync_lag {
        service.sources.limit_lag(most);
    }
    if store.migration_status().await?.is_current() {
        sources::store(&service, &configured).await?;
        service.replicas.start(&service).await;
    }
    add_built_in(&service).await?;
    let authenticator = access::authenticator(settings, address.ip()).await?;
    checks.push(sources::check(&service, authenticator.is_none()));
    let audit = audit::audit(settings, &store, authenticator.is_some())?;
    if authenticator.is_some() {
        access::prepare(settings, &service).await?;
    }
    let manner = Manner {
        public_url: settings.public_url.clone(),
        authenticator,
        audit,
        proxies: settings.limits.trusted_proxies.clone(),
        passing: sharing.as_ref().map(|sharing| sharing.passing.clone()),
    };
    let state = AppState::asked(manner, service, checks, metrics);
    let endpoint = settings.otlp_endpoint.as_ref();
    let tracing = endpoint.map(|endpoint| Tracing::start(endpoint, settings.trace_ratio)).transpose()?;
    let diagnostics = Diagnostics { tracing: tracing.clone(), profiling: settings.profiling };
    let guard = Guard::new(&[address.ip()], settings.allowed_hosts.clone(), settings.allowed_origins.clone());
    let router = api::router(state.clone(), request_limits(settings), diagnostics);
    let of_replicas = sharing.and_then(|sharing| sharing.door(&router));
    let of_karmada = karmada::door(of_karmada, certificates.as_ref(), &router, &request_limits(settings));
    let doors = of_replicas.into_iter().chain(of_karmada).collect();
    let router = router.layer(Extension(guard));
    let uses = state.manner.authenticator.as_ref().map(|known| known.uses.keep(&state));
    let upkeep = (Upkeep::start(&store, holder, jobs(settings, &state.clusters)), uses);
    // Facts end where they come from.
    let ends = admission == AdmissionMode::Kubernetes;
    let lifecycle = ends.then(|| Lifecycle::start(&store, holder));
    let are_reached = state.sources.are_reached();
    let loops = settings.loops.clone().or_else(|| are_reached.then(Loops::default));
    let scheduler = loops.map(|loops| Scheduler::start(&state, holder, &loops));
    let autoscaling = autoscale::Loops::start(settings, &state, holder)?;
    let mirrors = live_clusters.mirrors(&state, holder);
    let recovery = are_reached.then(|| bind::look_after(&state, holder));
    let conditions = are_reached.then(|| clusters::conditions::keep(&state, holder));
    Ok(Server {
        listener,
        address,
        store,
        state,
        router,
        upkeep,
        lifecycle,
        mirrors,
        scheduler,
        autoscaling,
        recovery,
        conditions,
        tracing,
        certificates,
        doors,
    })
}

/// Creates the built-in objects of the default cluster under the rules of Kubernetes. A mirror has the objects of its source, and no others.
async fn add_built_in(service: &Service) -> Result<(), Error> {
    let is_mirror = |cluster: Arc<live::Cluster>| cluster.view().source().is_some();
    if service.admission == AdmissionMode::Kubernetes
        && !service.clusters.followed(DEFAULT_CLUSTER).is_some_and(is_mirror)
        && service.store.migration_status().await?.is_current()
        && let Err(error) = create_built_in(service, &DEFAULT_CLUSTER.into()).await
    {
        tracing::warn!(cluster = DEFAULT_CLUSTER, %error, "the built-in namespaces and priority classes are not there");
    }
    Ok(())
}

/// How long decisions that are not stored yet are remembered.
fn remembering(settings: &Settings) -> Remembering {
    Remembering {
        victims_for: settings.remember_victims,
        binds_for: settings.assume_extender_binds,
        elapsed: Elapsed::default(),
    }
}

/// How extenders of policies are called.
fn extender_options(settings: &Settings) -> extenders::Options {
    extenders::Options {
        hosts: settings.downstream_extenders.clone(),
        reply_bytes: settings.max_downstream_reply_bytes,
        ..extenders::Options::default()
    }
}

/// Loads the default cluster and the Cluster objects before the first request, so that no request waits for them. Readiness reports an outdated schema.
async fn load_default(store: &Arc<dyn Storage>, clusters: &Clusters) -> Result<(), Error> {
    if store.migration_status().await?.is_current() {
        for cluster in [SYSTEM_CLUSTER, DEFAULT_CLUSTER] {
            match clusters.get(cluster).await {
                Ok(_) => {}
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::error!(cluster, %error, "the cluster cannot be read; others are served");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Moves what was measured into the histograms, for as long as the process runs.
fn keep_up(metrics: PrometheusHandle) {
    tokio::spawn(async move {
        let mut tick = interval(METRICS_UPKEEP);
        loop {
            tick.tick().await;
            metrics.run_upkeep();
        }
    });
}

/// The bounds of requests.
fn request_limits(settings: &Settings) -> Limits {
    Limits {
        request_timeout: settings.request_timeout,
        body_bytes: settings.max_body_bytes,
        bulk_body_bytes: settings.max_bulk_body_bytes,
        bodies_bytes: settings.max_bodies_bytes,
        decoded_bytes: settings.max_decoded_bytes,
        body_wait: settings.max_body_wait,
        body_pace: Pace { grace: settings.body_timeout, bytes_per_second: settings.min_body_rate },
        reads: settings.limits.max_requests_inflight,
        writes: settings.limits.max_mutating_requests_inflight,
        watches_of_user: settings.limits.max_watches_per_user,
        compress_from_bytes: settings.compress_replies_from.map(|bytes| bytes as u64),
    }
}

impl Server {
    /// Serves until the signal to stop: then it is not ready, drains requests, and closes the database.
    async fn run(self, settings: &Settings, stop: impl Future<Output = ()>) -> Result<(), Error> {
        let Self { listener, address, store, state, router, upkeep, lifecycle, mirrors, .. } = self;
        let Self { scheduler, autoscaling, recovery, conditions, tracing, certificates, doors, .. } = self;
        let scheme = if certificates.is_some() { "https" } else { "http" };
        info!(%address, version = env!("CARGO_PKG_VERSION"), "listening on {scheme}://{address} (the page: {scheme}://{address}/ui/, the API: {scheme}://{address}/docs)");
        if state.manner.authenticator.is_none() && !address.ip().to_canonical().is_loopback() {
            warn!(
                %address,
                "ANYBODY WHO REACHES {address} CAN READ AND CHANGE EVERYTHING HERE: --auth=none asks nobody who they are. Leave it \
                 out, listen on a loopback address (--listen 127.0.0.1:8080), or let only those reach it who may"
            );
        }
        let timeouts = Timeouts {
            idle: settings.idle_timeout,
            stalled: Pace { grace: settings.idle_timeout, bytes_per_second: settings.min_body_rate },
            grace: settings.shutdown_grace,
            connections: settings.max_connections.unwrap_or_else(most_connections),
            reply_bytes: settings.max_replies_bytes,
            reply_wait: settings.max_body_wait,
        };
        let secure = certificates.as_ref().map(|certificates| Secure::new(certificates.tls.clone()));
        let (stopping, stopped) = watch::channel(());
        let of_clients = serve_over(listener, secure, router, timeouts, async {
            stop.await;
            info!("stopping");
            state.stop();
            state.replicas.end(&*store).await;
            sleep(settings.shutdown_delay).await;
            // Their clients go on at another replica.
            state.clusters.end_watches();
            state.manner.passing.iter().for_each(Passing::end_watches);
            drop(stopping);
        });
        let of_others = doors.into_iter().map(|(listener, secure, router)| {
            let mut stopped = stopped.clone();
            let closed = async move { drop(stopped.changed().await) };
            serve_over(listener, secure, router, timeouts, closed)
        });
        tokio::join!(of_clients, join_all(of_others));
        mirrors.end().await;
        if let Some(scheduler) = scheduler {
            scheduler.end().await;
        }
        autoscaling.end().await;
        for leads in [recovery, conditions].into_iter().flatten() {
            leads.end().await;
        }
        drop((upkeep, lifecycle, certificates));
        if let Some(audit) = &state.manner.audit {
            audit.flush().await;
        }
        state.decisions.flush().await;
        if let Some(tracing) = tracing {
            tracing.stop().await;
        }
        // Last: the clusters are kept until the process ends, and would say that the database is away.
        store.close().await;
        info!("stopped");
        Ok(())
    }
}

/// Suggests the valid form of an address that cannot be parsed.
fn listen_hint(listen: &str, error: &io::Error) -> String {
    let port = listen.strip_prefix(':').unwrap_or(listen);
    if port.parse::<u16>().is_ok() {
        format!("; expected HOST:PORT: did you mean 127.0.0.1:{port}?")
    } else if error.kind() == io::ErrorKind::AddrInUse {
        "; another process listens there: end it, or choose another port with --listen".into()
    } else {
        String::new()
    }
}

/// The default limit of connections, which leaves files to the database and to other uses.
fn most_connections() -> usize {
    let files = telemetry::process::most_open_files().unwrap_or(1_024.0) as usize;
    (files / 4 * 3).clamp(16, MOST_CONNECTIONS)
}

/// The clusters that may be made, if only some may.
fn allowed(settings: &Settings) -> Option<BTreeSet<String>> {
    let mut names = settings.clusters.as_ref()?.allowed()?;
    names.insert(settings.sync.as_cluster.clone());
    Some(names)
}

fn limits(settings: &Settings) -> live::Limits {
    live::Limits {
        poll: FEED_POLL,
        longest_poll: (FEED_POLL * live::SLOWEST_POLL).min(settings.max_staleness / 4),
        most_waiting: settings.max_waiting_changes,
        release_after: settings.release_after,
        most_live: settings.max_live_clusters,
        names: allowed(settings).map(Arc::new),
        policies: live::PolicyHistory {
            revisions: settings.policy_history,
            bytes: settings.policy_history_bytes,
            age: settings.policy_history_age,
        },
        watches: live::Watches {
            most: settings.limits.max_watches,
            kept: live::journal::Bounds { events: settings.watch_history, bytes: settings.watch_history_bytes },
        },
    }
}

/// The periodic jobs of this process.
fn jobs(settings: &Settings, clusters: &Clusters) -> Vec<Box<dyn Job>> {
    let keep = Keep { age: settings.compact_keep_age, revisions: settings.compact_keep_revisions };
    vec![
        Box::new(Compact { every: settings.compact_interval, keep }),
        Box::new(ForgetPolicies {
            every: POLICIES_FORGOTTEN,
            keep: clusters.limits().policies,
            clusters: clusters.clone(),
        }),
        Box::new(Expire { every: RESERVATIONS_EXPIRE, clusters: clusters.clone() }),
        Box::new(ExpireEvents { every: EVENTS_EXPIRE, keep: settings.event_ttl, clusters: clusters.clone() }),
        Box::new(audit::prune(settings)),
        Box::new(decisions::prune(settings)),
    ]
}

/// The readiness checks of this process. An unreachable database alone does not fail them: decisions go on from the snapshot, and
/// if all replicas were unready at once no replica would get requests. An old snapshot fails them, and so does a database that
/// refuses writes, since that does not end by itself.
fn checks(store: &Arc<dyn Storage>, clusters: &Clusters, max_staleness: Duration) -> Vec<Check> {
    let (store, writes, clusters) = (store.clone(), store.clone(), clusters.clone());
    // A schema that is current stays so: then the database, which may be away, is not asked again.
    let current = Arc::new(AtomicBool::new(false));
    vec![
        Check::new("migrations", move || {
            let (store, current) = (store.clone(), current.clone());
            async move {
                if current.load(Ordering::Relaxed) {
                    return Ok(());
                }
                match store.migration_status().await {
                    Ok(status) if status.is_current() => {
                        current.store(true, Ordering::Relaxed);
                        Ok(())
                    }
                    Ok(_) => Err("the schema is behind this binary: run `podberth migrate`".into()),
                    Err(error) => Err(error.to_string()),
                }
            }
        }),
        Check::new("writes", move || {
            let writable = writes.writable();
            async move { if let Writable::No(why) = writable { Err(why) } else { Ok(()) } }
        }),
        Check::new("snapshot", move || {
            let staleness = clusters.staleness();
            async move {
                let state =
                    format!("the database does not answer, the snapshot is {} seconds old", staleness.as_secs());
                if staleness <= max_staleness { Ok(()) } else { Err(state) }
            }
        }),
    ]
}

/// Resolves at the first SIGTERM or Ctrl-C.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Whoever has certificates reloads them. Without a listener the signal would end the process.
    let hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let _heard = hangup;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

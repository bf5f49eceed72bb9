//! What a decision stands on: one view of one cluster, taken at the door and never refreshed half-way, and a profile.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    http::{HeaderName, header},
    response::IntoResponse,
};
use metrics::counter;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::IntoParams;

use super::{
    body::SMALL_BODY,
    cluster::ClusterName,
    decoding,
    error::{ApiError, Result, Subject},
    state::AppState,
};
use crate::{
    cluster::{ActivePolicy, BUILT_IN, DEFAULT_CLUSTER, InFlight, View},
    core::{
        model::{Name, Pod},
        policy::{Profile, Profiles},
        rule::Release,
        work::{self, Stop},
    },
    extenders::Origin,
    telemetry::{
        self,
        trace::{self, Here},
    },
    wire::{explanation::PolicyUsed, extender::KnownNodes, policy::revision, status::StatusCause},
};

/// The largest body that is read on a thread of the runtime: it takes a millisecond or two, about as long as a switch to
/// another thread on a busy machine.
const SHORT_BODY: usize = 32 << 10;

/// Which policy a decision is made under.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PolicyQuery {
    /// A policy of `/policies/{name}`; the one of `/policy` where absent
    #[param(required = false, value_type = String, nullable = false)]
    pub policy: Option<String>,
}

/// How fresh the state must be that a reply stands on.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct FreshnessQuery {
    /// Wait until the snapshot has reached this revision (a list's or an object's `resourceVersion`), so that whoever
    /// wrote through another replica reads its own write
    #[param(required = false, value_type = u64, nullable = false)]
    pub min_revision: Option<u64>,
    /// `true`: read up to the database's newest revision first
    #[param(required = false, value_type = bool, nullable = false)]
    pub consistent: Option<bool>,
}

/// Says which revision of the state a reply was computed over.
pub const SNAPSHOT_REVISION: HeaderName = HeaderName::from_static("x-podberth-snapshot-revision");

/// Says how many seconds ago that state was last known to be all that the database has: 0 unless the database is away.
pub const SNAPSHOT_AGE: HeaderName = HeaderName::from_static("x-podberth-snapshot-age");

/// What a reply stands on.
#[derive(Clone, Debug)]
pub struct DecisionContext {
    /// The view.
    pub view: Arc<View>,
    /// How long ago it was last known to be the newest.
    pub age: Duration,
    /// The nodes that clients of the cluster have sent in full.
    pub known: Arc<KnownNodes>,
    /// What the extender verbs of the cluster remember between calls.
    pub in_flight: Arc<InFlight>,
    /// The name of a cluster that does not exist.
    missing: Option<Arc<str>>,
}

impl DecisionContext {
    /// Whether there is a cluster to decide over; what brings its own nodes needs none.
    ///
    /// # Errors
    /// [`ApiError::NotFound`]
    pub fn is_there(&self) -> Result<()> {
        match &self.missing {
            None => Ok(()),
            Some(name) => Err(missing(name)),
        }
    }

    /// The headers that tell about it.
    pub fn headers(&self) -> [(HeaderName, String); 2] {
        let (revision, age) = (self.view.snapshot.revision, self.age.as_secs());
        [(SNAPSHOT_REVISION, revision.to_string()), (SNAPSHOT_AGE, age.to_string())]
    }
}

/// Where the profile comes from.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// Nobody said anything.
    BuiltIn,
    /// A stored policy.
    Stored(Arc<str>, Arc<ActivePolicy>),
    /// One that came with the request.
    Request(Profiles),
    /// One of several profiles of another, which a pod picked by this name.
    Picked(Box<Chosen>, Arc<Profile>, Name),
}

impl Chosen {
    /// The profile to decide with.
    pub fn profile(&self) -> &Arc<Profile> {
        match self {
            Self::BuiltIn => &BUILT_IN,
            Self::Stored(_, policy) => &policy.profile,
            Self::Request(profiles) => profiles.first(),
            Self::Picked(_, profile, _) => profile,
        }
    }

    /// The same with the profile that a pod picks by its `schedulerName`, where there are several.
    ///
    /// # Errors
    /// [`ApiError::Invalid`] where none of several is called so.
    pub fn pick(self, scheduler: &str) -> Result<Self> {
        let profiles = match &self {
            Self::Stored(_, policy) => &policy.profiles,
            Self::Request(profiles) => profiles,
            Self::BuiltIn | Self::Picked(..) => return Ok(self),
        };
        if !profiles.are_several() {
            return Ok(self);
        }
        match profiles.of(scheduler) {
            Ok(profile) => {
                let profile = profile.clone();
                Ok(Self::Picked(Box::new(self), profile, scheduler.into()))
            }
            Err(error) => Err(ApiError::Invalid {
                subject: Subject::new("", "Pod", ""),
                causes: vec![StatusCause {
                    reason: "FieldValueNotSupported".into(),
                    message: format!("Unsupported value: {:?}: {error}", error.wanted),
                    field: "spec.schedulerName".into(),
                }],
            }),
        }
    }

    /// The same for the extender verbs: whoever asks is the scheduler of the pod, by whatever name, so that where no
    /// profile is called so the first one decides.
    #[must_use]
    pub fn pick_or_first(self, pod: Option<&Pod>) -> Self {
        match pod {
            Some(pod) => self.clone().pick(&pod.scheduler_name).unwrap_or(self),
            None => self,
        }
    }

    /// Whether it is stored, for those that call its extenders.
    pub fn origin(&self) -> Origin {
        match self {
            Self::BuiltIn | Self::Stored(..) => Origin::Stored,
            Self::Request(_) => Origin::Request,
            Self::Picked(chosen, ..) => chosen.origin(),
        }
    }

    /// The name of the policy.
    pub fn name(&self) -> &str {
        match self {
            Self::Stored(name, _) => name,
            Self::Request(_) => "(request)",
            Self::BuiltIn => revision::DEFAULT,
            Self::Picked(chosen, ..) => chosen.name(),
        }
    }

    fn revision(&self) -> u64 {
        match self {
            Self::Stored(_, policy) => policy.revision.revision,
            Self::BuiltIn | Self::Request(_) => 0,
            Self::Picked(chosen, ..) => chosen.revision(),
        }
    }

    /// The `schedulerName` of the profile; `None` where it has none.
    fn profile_name(&self) -> Option<&Name> {
        match self {
            Self::Stored(_, policy) => policy.profiles.first_name(),
            Self::Request(profiles) => profiles.first_name(),
            Self::BuiltIn => None,
            Self::Picked(_, _, name) => Some(name),
        }
    }

    /// How an explanation names it.
    pub fn used(&self) -> PolicyUsed {
        let release = match self.profile().release {
            Release::V1_22 => "1.22",
            Release::V1_34 => "1.34",
        };
        PolicyUsed {
            name: self.name().into(),
            revision: self.revision(),
            profile: self.profile_name().map(ToString::to_string),
            release: release.into(),
        }
    }
}

/// Whether there is a cluster to change.
///
/// # Errors
/// [`ApiError::NotFound`] where there is none.
pub async fn existing(state: &AppState, ClusterName(name): &ClusterName) -> Result<()> {
    let exists = &**name == DEFAULT_CLUSTER || state.clusters.get(name).await?.progress().revision > 0;
    if exists { Ok(()) } else { Err(missing(name)) }
}

fn missing(cluster: &str) -> ApiError {
    ApiError::NotFound(Subject::new("podberth.io", "clusters", cluster))
}

/// The newest view of the request's cluster, as fresh as is asked for.
///
/// # Errors
/// [`ApiError::Timeout`] when it does not get as far in time, [`ApiError::Unavailable`] when the database has been away
/// for so long that nothing is to be decided on what was known then.
pub async fn stand(state: &AppState, cluster: &ClusterName, fresh: &FreshnessQuery) -> Result<DecisionContext> {
    let name = &*cluster.0;
    let live = state.clusters.get(name).await?;
    let head = if fresh.consistent == Some(true) { state.store.head(name).await?.revision } else { 0 };
    let wanted = fresh.min_revision.unwrap_or(0).max(head);
    let waiting = trace::phase("snapshot wait");
    if !live.reached(wanted, state.freshness.max_wait).await {
        let reached = live.progress().revision;
        return Err(ApiError::Timeout(format!("Too large resource version: {wanted}, current: {reached}")));
    }
    drop(waiting);
    let age = live.progress().synced.elapsed();
    if age > state.freshness.max_staleness {
        let why = match live.trouble() {
            Some(error) if !error.is_transient() => format!("the cluster {name:?} cannot be read (the log tells why)"),
            _ => "the database does not answer".into(),
        };
        return Err(ApiError::Unavailable {
            message: format!("{why}, and what is known is {} seconds old", age.as_secs()),
            retry_after_seconds: 1,
        });
    }
    let exists = live.progress().revision > 0 || name == DEFAULT_CLUSTER;
    let missing = (!exists).then(|| cluster.0.clone());
    let (known, in_flight) = (live.known_nodes().clone(), live.in_flight().clone());
    Ok(DecisionContext { view: live.view(), age, known, in_flight, missing })
}

/// The same where nothing in particular is asked for.
pub async fn view(state: &AppState, cluster: &ClusterName) -> Result<Arc<View>> {
    stand(state, cluster, &FreshnessQuery::default()).await.map(|context| context.view)
}

/// What binds are judged by: the policy that the request names; where it names none, the one in force at the commit.
///
/// # Errors
/// As for [`view`] and [`chosen`].
pub async fn judged_by(
    state: &AppState,
    cluster: &ClusterName,
    query: &PolicyQuery,
    (namespace, name): (&str, &str),
) -> Result<Option<Arc<Profile>>> {
    if query.policy.is_none() {
        return Ok(None);
    }
    let view = view(state, cluster).await?;
    let pod = view.snapshot.pod(namespace, name).map(|pod| &**pod);
    chosen(&view, query).map(|chosen| Some(chosen.pick_or_first(pod).profile().clone()))
}

/// The policy that a request names, or the one in force.
///
/// # Errors
/// [`ApiError::NotFound`] when there is no policy of that name.
pub fn chosen(view: &View, query: &PolicyQuery) -> Result<Chosen> {
    let name = query.policy.as_deref().unwrap_or(revision::DEFAULT);
    match view.policy(name) {
        Some(policy) => Ok(Chosen::Stored(name.into(), policy.clone())),
        None if name == revision::DEFAULT => Ok(Chosen::BuiltIn),
        None => Err(ApiError::NotFound(Subject::new("podberth.io", "policies", name))),
    }
}

/// Runs what computes for long on a thread of its own, so that small requests are not kept waiting. It ends soon after
/// its caller is gone: the future that waits for it was dropped, be it that the client hung up or that its time was over.
///
/// # Errors
/// [`ApiError::Internal`] when it panicked.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in_turn(false, work).await
}

/// Reads a body of that size: a short one at once, a longer one as [`compute_on`] does.
///
/// # Errors
/// As for [`compute`].
pub async fn read_on<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    if bytes <= SHORT_BODY { Ok(work()) } else { compute_on(bytes, work).await }
}

/// The same of what computes over a body of that size.
pub async fn compute_on<T: Send + 'static>(bytes: usize, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    compute_in_turn(bytes > SMALL_BODY, work).await
}

/// The same, where those that compute long take turns, so that a core is left for the others. A turn ends with the work
/// and not with its caller; what waits for one and has no caller any more is not begun.
pub async fn compute_in_turn<T: Send + 'static>(is_long: bool, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    static LONG: LazyLock<Arc<Semaphore>> =
        LazyLock::new(|| Arc::new(Semaphore::new(cores().saturating_sub(1).max(1))));
    // Few enough that the runtime's own blocking work always finds a thread.
    static SHORT: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new((16 * cores()).clamp(32, 256))));
    let turns = if is_long { &LONG } else { &SHORT };
    let turn = Arc::clone(turns).acquire_owned().await.map_err(ApiError::internal)?;
    let (stop, _caller) = if let Ok(stop) = STOP.try_with(Stop::clone) {
        (stop, None)
    } else {
        let stop = Stop::default();
        (stop.clone(), Some(stop.on_drop()))
    };
    let (here, work) = (Here::now(), decoding::carried(work));
    let computing = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let mut steps = work::UNBOUNDED;
        work::run(&stop, &mut steps, || Here::within(here, work))
            .inspect_err(|_| counter!(telemetry::COMPUTATIONS_STOPPED).increment(1))
    });
    let stopped = |_| ApiError::Timeout("nobody waited for the answer any more".into());
    computing.await.map_err(ApiError::internal)?.map_err(stopped)
}

/// A reply that may be long, written off the runtime's threads too.
pub async fn written<T: Serialize + Send + 'static>(reply: T) -> Result<impl IntoResponse> {
    let text = compute(move || serde_json::to_vec(&reply)).await?.map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text))
}

tokio::task_local! {
    /// What stops the computing of a task that goes on without its client.
    static STOP: Stop;
}

/// Runs a task of which this stops what it computes, and nothing else: what it has begun to write it finishes.
pub async fn computing_until<T>(stop: Stop, task: impl Future<Output = T>) -> T {
    STOP.scope(stop, task).await
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::core::work::spend;

    /// Work without an end that says when it has begun and, by letting go of its end of the channel, when it has ended.
    fn endless(said: &mpsc::Sender<()>) {
        said.send(()).expect("the test listens");
        loop {
            spend(1);
        }
    }

    #[tokio::test]
    async fn work_ends_when_its_caller_is_gone_and_only_then_gives_back_its_turn() {
        let (said, heard) = mpsc::channel();
        let computing = tokio::spawn(compute_in_turn(true, move || endless(&said)));
        let heard = tokio::task::spawn_blocking(move || heard.recv().map(|()| heard)).await;
        let heard = heard.expect("no panic").expect("the work has begun");
        computing.abort();
        let ended = tokio::task::spawn_blocking(move || heard.recv().is_err()).await;
        assert!(ended.expect("no panic"), "it let go of the channel");
        // On a machine with two cores there is one such turn.
        compute_in_turn(true, || ()).await.expect("the turn was given back");
    }

    #[tokio::test]
    async fn a_task_that_outlives_its_client_is_stopped_in_what_it_computes_only() {
        let (said, heard) = mpsc::channel();
        let stop = Stop::default();
        let task = tokio::spawn(computing_until(stop.clone(), async move {
            let computed = compute(move || endless(&said)).await;
            (computed, "written")
        }));
        tokio::task::spawn_blocking(move || heard.recv()).await.expect("no panic").expect("the work has begun");
        stop.stop();
        let (computed, written) = task.await.expect("no panic");
        assert!(matches!(computed, Err(ApiError::Timeout(_))));
        assert_eq!(written, "written");
    }
}

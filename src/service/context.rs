//! The context of a decision: one view of one cluster, taken once and never refreshed during the decision, and a profile.

use std::{sync::Arc, time::Duration};

use super::{
    Service, audit,
    error::{Error, Result, Subject},
    source::lag,
};
use crate::{
    clock,
    core::{
        model::{Name, Pod},
        policy::{Profile, Profiles},
    },
    extenders::Origin,
    live::{ActivePolicy, BUILT_IN, DEFAULT_CLUSTER, InFlight, View},
    telemetry::trace,
    wire::{
        audit::event::POLICY_REVISION, explanation::PolicyUsed, extender::KnownNodes, policy::revision,
        source::SourceRead, status::StatusCause,
    },
};

/// How fresh a state is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// It has reached this revision.
    pub min_revision: Option<u64>,
    /// It has reached the database's newest revision.
    pub is_newest: bool,
}

/// The context of a reply.
#[derive(Clone, Debug)]
pub struct DecisionContext {
    /// The view.
    pub view: Arc<View>,
    /// The part of the cluster's history that it belongs to.
    pub epoch: u64,
    /// How long ago it was last known to be the newest.
    pub age: Duration,
    /// The nodes that clients of the cluster have sent in full.
    pub known: Arc<KnownNodes>,
    /// Victims and assumed pods of the extender verbs of the cluster.
    pub in_flight: Arc<InFlight>,
    /// The live cluster that the cluster mirrors.
    pub source: Option<SourceRead>,
    /// Why nothing is to be decided on the mirror.
    stale: Option<String>,
    /// The name of a cluster that does not exist.
    missing: Option<Arc<str>>,
}

impl DecisionContext {
    /// `Ok` if the cluster exists. Requests that bring their own nodes need none.
    ///
    /// # Errors
    /// [`Error::NotFound`]
    pub fn is_there(&self) -> Result<()> {
        match &self.missing {
            None => Ok(()),
            Some(name) => Err(missing(name)),
        }
    }

    /// `Ok` unless the cluster is a mirror that is too far behind its live cluster.
    ///
    /// # Errors
    /// [`Error::Unavailable`]
    pub fn may_decide(&self) -> Result<()> {
        self.stale.as_ref().map_or(Ok(()), |why| Err(lag::stale(why.clone())))
    }
}

impl DecisionContext {
    /// This context with a view of the past, of which no live cluster knows more.
    #[must_use]
    pub fn of_the_past(self, view: Arc<View>) -> Self {
        Self { view, source: None, stale: None, ..self }
    }
}

/// Where the profile comes from.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// No policy is set.
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

    /// All profiles to decide with; a pod picks one by its `schedulerName`.
    pub fn profiles(&self) -> Profiles {
        match self {
            Self::Stored(_, policy) => policy.profiles.clone(),
            Self::Request(profiles) => profiles.clone(),
            Self::BuiltIn | Self::Picked(..) => self.profile().clone().into(),
        }
    }

    /// This context with the profile that a pod picks by its `schedulerName`, if there are several.
    ///
    /// # Errors
    /// [`Error::Invalid`] if none of several has this name.
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
            Err(error) => Err(Error::Invalid {
                subject: Subject::new("", "Pod", ""),
                causes: vec![StatusCause {
                    reason: "FieldValueNotSupported".into(),
                    message: format!("Unsupported value: {:?}: {error}", error.wanted),
                    field: "spec.schedulerName".into(),
                    ..StatusCause::default()
                }],
            }),
        }
    }

    /// This context for the extender verbs: the caller is the scheduler of the pod, under any name, so without a profile of that name the first one
    /// decides.
    #[must_use]
    pub fn pick_or_first(self, pod: Option<&Pod>) -> Self {
        match pod {
            Some(pod) => self.clone().pick(&pod.spec.scheduler_name).unwrap_or(self),
            None => self,
        }
    }

    /// The origin of the policy, for calls to its extenders.
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
        PolicyUsed {
            name: self.name().into(),
            revision: self.revision(),
            profile: self.profile_name().map(ToString::to_string),
            release: self.profile().release.name().into(),
        }
    }
}

/// Checks that the cluster to change exists.
///
/// # Errors
/// [`Error::NotFound`] if it does not.
pub async fn existing(service: &Service, name: &str) -> Result<()> {
    let exists = name == DEFAULT_CLUSTER || service.clusters.get(name).await?.progress().revision > 0;
    if exists { Ok(()) } else { Err(missing(name)) }
}

fn missing(cluster: &str) -> Error {
    Error::NotFound(Subject::new("podberth.io", "clusters", cluster))
}

/// The newest view of the request's cluster, with the demanded freshness.
///
/// # Errors
/// [`Error::Timeout`] when it does not get as far in time, [`Error::Unavailable`] when the database has been away
/// for so long that nothing is to be decided on what was known then.
pub async fn take(service: &Service, cluster: &Arc<str>, fresh: Fresh) -> Result<DecisionContext> {
    let name = &**cluster;
    if let Err(error) = service.clusters.fleet().await
        && error.is_transient()
    {
        return Err(error.into());
    }
    let live = service.clusters.get(name).await?;
    let head = if fresh.is_newest { service.store.head(name).await?.revision } else { 0 };
    let wanted = fresh.min_revision.unwrap_or(0).max(head);
    let waiting = trace::phase("snapshot wait");
    if !live.reached(wanted, service.freshness.max_wait).await {
        let reached = live.progress().revision;
        return Err(Error::Timeout(format!("Too large resource version: {wanted}, current: {reached}")));
    }
    drop(waiting);
    let epoch = live.progress().epoch();
    let age = live.progress().synced.elapsed();
    if age > service.freshness.max_staleness {
        let why = match live.trouble() {
            Some(error) if !error.is_transient() => format!("the cluster {name:?} cannot be read (the log tells why)"),
            _ => "the database does not answer".into(),
        };
        return Err(Error::Unavailable {
            message: format!("{why}, and what is known is {} seconds old", age.as_secs()),
            retry_after_seconds: 1,
        });
    }
    let exists = live.progress().revision > 0 || name == DEFAULT_CLUSTER;
    let missing = (!exists).then(|| cluster.clone());
    let (known, in_flight) = (live.known_nodes().clone(), live.in_flight().clone());
    let view = live.view();
    let (mut source, mut stale) = (None, None);
    if view.source().is_some() {
        let now = clock::now();
        (source, stale) = (Some(service.sources.read(name, now)), service.sources.why_stale(name, now));
    }
    Ok(DecisionContext { view, epoch, age, known, in_flight, source, stale, missing })
}

/// The newest view, without a demand on its freshness.
pub async fn view(service: &Service, cluster: &Arc<str>) -> Result<Arc<View>> {
    take(service, cluster, Fresh::default()).await.map(|context| context.view)
}

/// The profile that judges binds: that of the policy in the request, or `None` for the policy in force at the commit.
///
/// # Errors
/// As for [`view`] and [`chosen`].
pub async fn judged_by(
    service: &Service,
    cluster: &Arc<str>,
    policy: Option<&str>,
    (namespace, name): (&str, &str),
) -> Result<Option<Arc<Profile>>> {
    if policy.is_none() {
        if audit::current().is_some() {
            chosen(&*view(service, cluster).await?, None)?;
        }
        return Ok(None);
    }
    let view = view(service, cluster).await?;
    let pod = view.snapshot.pod(namespace, name).map(|pod| &**pod);
    chosen(&view, policy).map(|chosen| Some(chosen.pick_or_first(pod).profile().clone()))
}

/// The policy of this name, or the one in force.
///
/// # Errors
/// [`Error::NotFound`] when there is no policy of that name.
pub fn chosen(view: &View, policy: Option<&str>) -> Result<Chosen> {
    let name = policy.unwrap_or(revision::DEFAULT);
    let chosen = match view.policy(name) {
        Some(policy) => Chosen::Stored(name.into(), policy.clone()),
        None if name == revision::DEFAULT => Chosen::BuiltIn,
        None => return Err(Error::NotFound(Subject::new("podberth.io", "policies", name))),
    };
    audit::note(POLICY_REVISION, || format!("{name}/{}", chosen.revision()));
    Ok(chosen)
}

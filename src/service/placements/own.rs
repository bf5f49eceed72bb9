//! The server's own clusters: who of them may be asked, and how much room each has.

use std::sync::{Arc, LazyLock};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::value::RawValue;

use crate::{
    core::{
        access::{OWN, ResourceAttributes},
        federation::{
            Candidate, Cluster, Live, Outcome, Request,
            count::{self, Counted, Workload},
            place,
        },
        model::{Name, Pod, Quantity, resources},
        policy::{Configuration, Profiles},
        snapshot::Snapshot,
    },
    live::View,
    service::{
        Service,
        access::{Caller, sight::Sight},
        clusters,
        compute::compute_long,
        context::{self, Fresh},
        decide::{decidable, sent_pod},
        error::{Error, Result},
    },
    wire::federation::{
        request::{Commit, PlacementRequest},
        template,
    },
};

/// Clusters that are loaded and counted at a time; the turns of long computations bound what runs.
const AT_ONCE: usize = 8;

/// Pods that an answer may have to count, over all clusters.
const MOST_COUNTED: usize = 4_000_000;

/// A question about the server's own clusters.
pub(super) struct Question {
    request: Arc<Request>,
    /// The templates of the pods, each with its place in the request and its number in a replica.
    templates: Arc<Vec<Template>>,
    policy: Option<String>,
    options: count::Options,
    /// `true` if pods are made where the answer says.
    commits: bool,
}

/// The template of pods.
pub(super) struct Template {
    /// Its place in the request.
    pub(super) at: String,
    /// Its text, with the name and the namespace of the pods.
    pub(super) json: Box<RawValue>,
    /// How many of a replica.
    pub(super) count: usize,
}

/// A cluster, and its room for the workload.
pub(super) struct Member {
    /// Its name.
    pub(super) name: Arc<str>,
    /// The state at which it was counted.
    pub(super) view: Arc<View>,
    /// The workload with the defaults of the cluster.
    pub(super) workload: Workload,
    /// Its room.
    pub(super) counted: Counted,
}

/// An answer.
pub(super) struct Answer {
    /// The division.
    pub(super) outcome: Outcome,
    /// The request.
    pub(super) request: Arc<Request>,
    /// The clusters that were counted, by name.
    pub(super) members: Vec<Member>,
    /// Those that mirror a live one, and so take no commit.
    pub(super) mirrors: Vec<Name>,
}

impl Answer {
    /// The cluster of this name.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| *member.name == *name)
    }

    /// Replicas that a cluster gets besides those that it has.
    pub(super) fn new_replicas(&self, cluster: &str, replicas: i64) -> usize {
        let more = replicas - self.request.previous_of(cluster).unwrap_or(0);
        usize::try_from(more).unwrap_or(0)
    }
}

impl Question {
    /// The question of a request.
    ///
    /// # Errors
    /// A template that cannot be read.
    pub(super) fn new(
        service: &Service,
        core: Request,
        request: &PlacementRequest,
        policy: Option<String>,
        (max_lag, max_wait): (Option<i64>, Option<i64>),
    ) -> Result<Self> {
        let max_lag = max_lag.or_else(|| service.sources.max_lag()).unwrap_or(i64::MAX);
        let templates = templates(request)?;
        let replicas = usize::try_from(core.replicas).unwrap_or(usize::MAX);
        let commits = request.commit != Commit::None;
        let options = count::Options {
            most: replicas,
            seed: request.seed,
            scale_up: request.scale_up.allowed && !commits,
            max_wait,
            preemption: request.preemption && !commits,
        };
        Ok(Self {
            request: Arc::new(Request { live: Some(Live { max_lag }), ..core }),
            templates: Arc::new(templates),
            policy,
            options,
            commits,
        })
    }

    /// How many pods a replica has.
    pub(super) fn size(&self) -> usize {
        self.templates.iter().map(|of| of.count).sum()
    }

    /// The templates of the pods.
    pub(super) fn templates(&self) -> &[Template] {
        &self.templates
    }

    /// The name of the policy that decides.
    pub(super) fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// The answer. `is_newest`: on the newest state of the database.
    ///
    /// # Errors
    /// A named cluster that does not exist, too many pods, those of the store.
    pub(super) async fn answer(&self, service: &Service, caller: &Caller, is_newest: bool) -> Result<Answer> {
        let mut clusters = Vec::new();
        for cluster in clusters::all(service).await? {
            if self.may_ask(service, caller, &cluster.name).await? {
                clusters.push(cluster);
            }
        }
        if let Some((at, name)) = self.request.unknown_name(&clusters.iter().map(|of| &*of.name).collect()) {
            return Err(Error::BadRequest(format!(
                "{at}: Not found: {:?}: there is no such cluster, or you may not place pods there (GET /clusters lists them)",
                &*name
            )));
        }
        let mut mirrors = Vec::new();
        if self.commits {
            let sourced = service.clusters.fleet().await?.members();
            let is_mirror = |name: &Name| sourced.get(name).is_some_and(|member| member.source.is_some());
            clusters.retain(|cluster| {
                let is_mirror = is_mirror(&cluster.name);
                mirrors.extend(is_mirror.then(|| cluster.name.clone()));
                !is_mirror
            });
        }
        let request = self.request.clone();
        let chosen = move || clusters.into_iter().map(|cluster| (request.may_choose(&cluster), cluster)).collect();
        let clusters: Vec<(bool, Arc<Cluster>)> = compute_long(true, chosen).await?;
        let asked = clusters.iter().filter(|(is_chosen, _)| *is_chosen).count();
        let pods = self.options.most.saturating_mul(self.size()).saturating_mul(asked);
        if pods > MOST_COUNTED {
            return Err(Error::BadRequest(format!(
                "replicas: Too many: {pods} pods would be counted over {asked} clusters, at most {MOST_COUNTED} are: name fewer replicas or clusters"
            )));
        }
        // The room of clusters that no term lets in is not counted.
        let counted = clusters.into_iter().map(|(is_chosen, cluster)| async move {
            if !is_chosen {
                return Ok::<_, Error>(Some((Candidate { cluster, ..Candidate::default() }, None)));
            }
            let counted = self.count(service, caller, &cluster, is_newest).await?;
            // Of pods in a namespace that the caller may not know nothing is told.
            let Some(member) = counted else { return Ok(None) };
            let price = cluster.cost.map(|cost| price(&member.workload, cost.per_cpu_hour, cost.per_gib_hour));
            let candidate = Candidate { room: member.counted.room, price, cluster };
            Ok(Some((candidate, Some(member))))
        });
        let counted: Vec<Option<(Candidate, Option<Member>)>> =
            stream::iter(counted).buffered(AT_ONCE).try_collect().await?;
        let (candidates, members): (Vec<Candidate>, Vec<Option<Member>>) = counted.into_iter().flatten().unzip();
        let request = self.request.clone();
        let outcome = compute_long(true, move || place(&request, &candidates)).await?;
        Ok(Answer { outcome, request: self.request.clone(), members: members.into_iter().flatten().collect(), mirrors })
    }

    /// `true` if the caller may ask about pods in a cluster, or place them there.
    async fn may_ask(&self, service: &Service, caller: &Caller, cluster: &str) -> Result<bool> {
        let resource = if self.commits { "placements" } else { "simulations" };
        match caller.check(service, cluster, ResourceAttributes::new("create", OWN, resource)).await {
            Ok(()) => Ok(true),
            Err(Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn count(
        &self,
        service: &Service,
        caller: &Caller,
        cluster: &Arc<Cluster>,
        is_newest: bool,
    ) -> Result<Option<Member>> {
        let (cluster, name) = (cluster.clone(), cluster.name.clone());
        let fresh = Fresh { min_revision: None, is_newest };
        let view = context::take(service, &name, fresh).await?.view;
        let mut sight = Sight::of(caller, service, &name).await?;
        let (policy, templates, options) = (self.policy.clone(), self.templates.clone(), self.options);
        let work = move || -> Result<Option<Member>> {
            let Some(workload) = workload(&templates, &view.snapshot, &mut sight)? else { return Ok(None) };
            let profiles = context::chosen(&view, policy.as_deref())?.profiles();
            let counted = count::count(&workload, &view.snapshot, &profiles, &cluster.node_templates, options);
            Ok(Some(Member { name, view, workload, counted }))
        };
        compute_long(true, work).await?
    }
}

/// The templates of a request.
fn templates(request: &PlacementRequest) -> Result<Vec<Template>> {
    let own = request.template.iter().map(|json| ("template".to_owned(), &**json, 1, String::new()));
    let components = request.components.iter().enumerate().filter_map(|(index, of)| {
        let count = usize::try_from(of.replicas.unwrap_or(1)).unwrap_or(1);
        Some((format!("components[{index}].template"), of.template.as_deref()?, count, of.name.clone()))
    });
    let name = request.name.as_deref();
    let read = |(at, json, count, part): (String, &RawValue, usize, String)| {
        let json = template::named(json, name, &part, &request.namespace);
        let json = json.map_err(|error| Error::BadRequest(format!("{at}: {error}")))?;
        Ok(Template { at, json, count })
    };
    own.chain(components).map(read).collect()
}

/// The workload as a cluster reads it; `None` where the caller may not know the pods of its namespaces.
fn workload(templates: &[Template], snapshot: &Snapshot, sight: &mut Sight) -> Result<Option<Workload>> {
    let mut pods = Vec::with_capacity(templates.len());
    for Template { at, json, count } in templates {
        let pod = template_of(json, at, snapshot)?;
        if !sight.knows(&pod.namespace) {
            return Ok(None);
        }
        if pod.is_assigned() {
            let why = "the pod is to be placed, and names its node";
            return Err(Error::BadRequest(format!("{at}.spec.nodeName: Forbidden: {why}")));
        }
        pods.push((Arc::new(pod), *count));
    }
    Ok(Some(Workload { pods }))
}

/// The pod of a template as a cluster reads it.
pub(super) fn template_of(json: &RawValue, at: &str, snapshot: &Snapshot) -> Result<Pod> {
    let (pod, _) = sent_pod(json, at, snapshot)?;
    decidable(&pod)?;
    Ok(pod)
}

/// The price of a replica for an hour, in billionths.
fn price(workload: &Workload, per_cpu: Quantity, per_gib: Quantity) -> i128 {
    let asked = |name: &str| -> i128 {
        let of = |(pod, count): &(Arc<Pod>, usize)| i128::from(pod.spec.requests.get(name)) * (*count as i128);
        workload.pods.iter().map(of).sum()
    };
    let cpu = per_cpu.nanos().saturating_mul(asked(resources::CPU)) / 1_000;
    let memory = per_gib.nanos().saturating_mul(asked(resources::MEMORY)) / (1 << 30);
    cpu.saturating_add(memory)
}

/// The default configuration of the newest release.
///
/// # Errors
/// None: the defaults compile.
pub(super) fn newest_defaults() -> Result<Profiles> {
    static NEWEST: LazyLock<Option<Profiles>> = LazyLock::new(|| Configuration::default().compile_all().ok());
    NEWEST.clone().ok_or_else(|| Error::internal("the default configuration does not compile"))
}

//! Scale-up: which group of nodes is to grow by how many for the pods that fit nowhere.
//!
//! [`scale_up`] answers as one loop of cluster-autoscaler does: one group wins, and the pods of the others wait for the next loop. [`exact`]
//! answers with the smallest number of nodes, of any mixture of groups, with which all pods fit that can be helped at all.
//!
//! Source: `cluster-autoscaler/core/scaleup/orchestrator/orchestrator.go`, `cluster-autoscaler/core/static_autoscaler.go` (`RunOnce`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use self::{
    estimate::{Estimate, estimate, with_one_node},
    expanders::{Candidate, Expander, Priorities},
    fork::{Fork, Prepared},
    limits::{Quota, most_new_nodes},
    pending::Class,
    template::Template,
};
use super::{
    Advice,
    groups::{Group, Groups},
    plan::{AdvicePlan, StepKind},
    scale_down::is_ready,
};
use crate::{
    model::{Name, Node, Pod, Quantity, WorkloadKind},
    policy::Profiles,
    snapshot::{Kind, Snapshot},
    work,
};

mod estimate;
pub mod exact;
pub mod expanders;
mod fork;
mod limits;
mod pending;
mod similar;
mod template;

/// The expanders.
pub static ALL: &[Advice] = expanders::ALL;

/// Nanoseconds within which all pods may be so new that more of them are awaited.
const NEW: i64 = 2_000_000_000;
/// This time for pods that ask for GPUs.
const NEW_WITH_GPU: i64 = 30_000_000_000;
/// The label of a node with its price.
const COST_LABEL: &str = "autoscaling.podberth.io/cost";
/// The resource of GPUs.
const GPU: &str = "nvidia.com/gpu";

/// By how many nodes a group may grow.
fn room(group: &Group) -> usize {
    group.max.saturating_sub(group.target) as usize
}

/// The price of a node of a group: its own, or that on the label of its template.
fn cost_of(group: &Group, node: &Node, options: &Options) -> Option<f64> {
    let labelled = || node.labels.get(&options.cost_label)?.parse::<Quantity>().ok();
    let cost = group.cost.or_else(labelled).filter(|cost| !cost.is_negative())?;
    Some(cost.approximate())
}

/// How a scale-up is decided.
#[derive(Clone, Debug)]
pub struct Options {
    /// The expanders, applied one after the other until one option is left.
    pub expanders: Vec<Expander>,
    /// The priorities of groups, for the expander of that name.
    pub priorities: Option<Priorities>,
    /// `true` if new nodes are spread over similar groups.
    pub balance_similar: bool,
    /// Labels that may differ between similar groups.
    pub ignored_labels: Vec<Name>,
    /// Nodes that one scale-up may add; 0 for any number.
    pub max_nodes_per_scale_up: usize,
    /// Nodes that the cluster may have; 0 for any number.
    pub max_nodes_total: usize,
    /// Cores that the nodes may have together.
    pub max_cores_total: i64,
    /// Bytes of memory that the nodes may have together.
    pub max_memory_total: i64,
    /// Pods of a lower priority are passed over, and those on nodes count for nothing.
    pub expendable_below: i32,
    /// The label of a node with its price, for groups without a cost.
    pub cost_label: Name,
    /// Groups that failed to grow a short while ago.
    pub backed_off: BTreeSet<Name>,
    /// Chooses among options that are left: the same seed, the same choice.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            expanders: vec![Expander::LeastWaste],
            priorities: None,
            balance_similar: false,
            ignored_labels: Vec::new(),
            max_nodes_per_scale_up: 1000,
            max_nodes_total: 0,
            // `cluster-autoscaler/config/autoscaling_options.go` (`DefaultMaxClusterCores`, `DefaultMaxClusterMemory`).
            max_cores_total: 5000 * 64,
            max_memory_total: 5000 * 64 * 20 * (1 << 30),
            expendable_below: -10,
            cost_label: COST_LABEL.into(),
            backed_off: BTreeSet::new(),
            seed: 0,
        }
    }
}

/// The outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// No pod needs another node.
    #[default]
    NotNeeded,
    /// All pods are so new that more of them are awaited.
    InCooldown,
    /// The cluster has as many nodes as it may have.
    LimitedByMaxNodesTotal,
    /// No group helps any pod.
    NoOptions,
    /// Groups are to grow.
    Successful,
}

impl Outcome {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotNeeded => "ScaleUpNotNeeded",
            Self::InCooldown => "ScaleUpInCooldown",
            Self::LimitedByMaxNodesTotal => "ScaleUpLimitedByMaxNodesTotal",
            Self::NoOptions => "ScaleUpNoOptionsAvailable",
            Self::Successful => "ScaleUpSuccessful",
        }
    }
}

/// The option that a group is.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupOption {
    /// The group.
    pub group: Name,
    /// How many nodes it would add.
    pub nodes: usize,
    /// The pods that these would help.
    pub pods: Vec<Arc<Pod>>,
    /// Groups that would share the nodes.
    pub similar: Vec<Name>,
    /// The part of the new nodes' CPU that the pods would leave unused.
    pub wasted_cpu: f64,
    /// The part of the new nodes' memory that the pods would leave unused.
    pub wasted_memory: f64,
    /// The price of the new nodes; `None` where the group names none.
    pub cost: Option<f64>,
}

/// A pod that no group helps.
#[derive(Clone, Debug, PartialEq)]
pub struct Helpless {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Why each group does not help.
    pub reasons: BTreeMap<Name, Vec<String>>,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The outcome.
    pub outcome: Outcome,
    /// By how many nodes each group is to grow.
    pub increase: BTreeMap<Name, usize>,
    /// The groups that help, as options.
    pub options: Vec<GroupOption>,
    /// The group that won.
    pub best: Option<Name>,
    /// The pods that the new nodes help.
    pub triggered: Vec<Arc<Pod>>,
    /// Pods that another group helps, in the next round.
    pub awaiting: Vec<Arc<Pod>>,
    /// Pods that no group helps.
    pub helpless: Vec<Helpless>,
    /// Pods that fit on nodes which are there or on their way, and the nodes.
    pub fitting: Vec<(Arc<Pod>, Name)>,
    /// Groups that may not grow, and why.
    pub skipped: BTreeMap<Name, Vec<String>>,
    /// How many nodes of each group are on their way.
    pub upcoming: BTreeMap<Name, usize>,
    /// The plan of the exact engine, with its proof.
    pub exact: Option<exact::Exact>,
}

impl Answer {
    /// The steps: how large each group is to become, and why.
    pub fn plan(&self, groups: &Groups, revision: u64) -> AdvicePlan {
        let why = format!("{} pods fit on no node", self.triggered.len());
        let grown = groups.all().iter().filter_map(|group| {
            let by = u32::try_from(*self.increase.get(&group.id)?).unwrap_or(u32::MAX);
            let to = group.target.saturating_add(by);
            let step = StepKind::SetTargetSize { group: group.id.clone(), from: group.target, to };
            (by > 0).then(|| step.because(&*why))
        });
        AdvicePlan { revision, steps: grown.collect() }
    }
}

/// A group with its template and the classes of pods that it can take.
struct Considered<'g> {
    group: &'g Group,
    template: Template,
    takes: Vec<usize>,
}

/// The cluster as the search for nodes begins: with nodes on their way, without pods that need no more.
pub(super) struct Start<'a> {
    fork: Fork<'a>,
    /// The cluster before any pod that waits was placed.
    before: Snapshot,
    templates: HashMap<Name, Template>,
    upcoming: BTreeMap<Name, usize>,
    group_of: HashMap<Name, Name>,
    ready_nodes: usize,
    fitting: Vec<(Arc<Pod>, Name)>,
    left: Vec<Arc<Pod>>,
}

impl<'a> Start<'a> {
    fn new(snapshot: &Snapshot, profiles: &'a Profiles, groups: &Groups, options: &Options, now: i64) -> Self {
        let mut cluster = pending::without_expendable(snapshot, options.expendable_below);
        let daemons = daemons(snapshot);
        let ready_nodes = snapshot.nodes().filter(|info| is_ready(&info.node)).count();
        let mut start = Self {
            fork: Fork::new(profiles, Snapshot::default()),
            before: Snapshot::default(),
            templates: HashMap::new(),
            upcoming: BTreeMap::new(),
            group_of: HashMap::new(),
            ready_nodes,
            fitting: Vec::new(),
            left: Vec::new(),
        };
        for group in groups.all() {
            work::spend_on(1 + group.nodes.len());
            start.group_of.extend(group.nodes.iter().map(|node| (node.clone(), group.id.clone())));
            if let Some(template) = Template::of(group, &cluster, &daemons, now) {
                start.templates.insert(group.id.clone(), template);
            }
        }
        for group in groups.all() {
            start.await_nodes(group, &mut cluster, options, now);
        }
        start.before.clone_from(&cluster);
        start.fork.snapshot = cluster;
        let waiting = pending::waiting(snapshot, options.expendable_below);
        let (fitting, left) = pending::placed_and_left(&mut start.fork, waiting);
        start.fitting = fitting;
        start.left = left.into_iter().filter(|pod| !pending::is_daemon(pod)).collect();
        start
    }

    /// The answer as far as it is known before groups are looked at.
    fn answer(&self) -> Answer {
        Answer { fitting: self.fitting.clone(), upcoming: self.upcoming.clone(), ..Answer::default() }
    }

    /// The outcome, where no group need be looked at.
    fn ended(&self, options: &Options, now: i64, answer: &mut Answer) -> Option<Outcome> {
        if self.left.is_empty() {
            return Some(Outcome::NotNeeded);
        }
        if options.max_nodes_total > 0 && self.ready_nodes >= options.max_nodes_total {
            let helpless = |pod: &Arc<Pod>| Helpless { pod: pod.clone(), reasons: BTreeMap::new() };
            answer.helpless = self.left.iter().map(helpless).collect();
            return Some(Outcome::LimitedByMaxNodesTotal);
        }
        if are_new(&self.left, now) {
            answer.awaiting.clone_from(&self.left);
            return Some(Outcome::InCooldown);
        }
        None
    }

    /// Puts nodes of a group in the place of those on their way: asked for and not there, or there and starting.
    fn await_nodes(&mut self, group: &Group, cluster: &mut Snapshot, options: &Options, now: i64) {
        let (mut there, mut starting) = (0, Vec::new());
        for info in group.nodes.iter().filter_map(|name| cluster.node(name)) {
            if template::is_starting(&info.node, now) {
                starting.push(info.name().clone());
            } else {
                there += 1;
            }
        }
        let upcoming = (group.target as usize).saturating_sub(there);
        let Some(template) =
            self.templates.get(&group.id).filter(|_| upcoming > 0 && !options.backed_off.contains(&group.id))
        else {
            return;
        };
        for name in &starting {
            let pods = cluster.node(name).map(|info| info.pods.clone()).unwrap_or_default();
            for pod in &pods {
                cluster.delete(Kind::Pod, &pod.namespace, &pod.name);
            }
            cluster.delete(Kind::Node, &Name::default(), name);
        }
        for number in 0..upcoming {
            work::spend(1);
            let name = template.add_to(cluster, &format!("upcoming-{number}"));
            self.group_of.insert(name, group.id.clone());
        }
        self.upcoming.insert(group.id.clone(), upcoming);
    }
}

/// The pods that `DaemonSets` make.
fn daemons(snapshot: &Snapshot) -> Vec<Arc<Pod>> {
    snapshot.workloads_of(WorkloadKind::DaemonSet).filter_map(|set| set.template.clone()).collect()
}

/// One loop of cluster-autoscaler.
pub fn scale_up(snapshot: &Snapshot, profiles: &Profiles, groups: &Groups, options: &Options, now: i64) -> Answer {
    let start = Start::new(snapshot, profiles, groups, options, now);
    let mut answer = start.answer();
    match start.ended(options, now, &mut answer) {
        Some(ended) => answer.outcome = ended,
        None => Search::new(&start, groups.all(), options).run(&mut answer),
    }
    answer
}

/// `true` if even the oldest of the pods is so new that others like it are awaited.
fn are_new(pods: &[Arc<Pod>], now: i64) -> bool {
    let is_new = |pod: &Arc<Pod>, within: i64| pod.created.is_some_and(|created| created.saturating_add(within) > now);
    let mut with_gpu = pods.iter().filter(|pod| pod.spec.requests.get(GPU) > 0).peekable();
    pods.iter().all(|pod| is_new(pod, NEW))
        || (with_gpu.peek().is_some() && with_gpu.all(|pod| is_new(pod, NEW_WITH_GPU)))
}

/// The search for the group that is to grow.
struct Search<'s, 'a> {
    start: &'s Start<'a>,
    options: &'s Options,
    groups: &'s [Group],
    quota: Quota,
    classes: Vec<Class>,
    /// Why each class is refused by each group.
    refused: Vec<BTreeMap<Name, Vec<String>>>,
    considered: Vec<Considered<'s>>,
}

impl<'s, 'a> Search<'s, 'a> {
    fn new(start: &'s Start<'a>, groups: &'s [Group], options: &'s Options) -> Self {
        let quota = Quota::new(options, &start.fork.snapshot, &start.group_of);
        let classes = pending::classes(&start.left);
        let refused = vec![BTreeMap::new(); classes.len()];
        Self { start, options, groups, quota, classes, refused, considered: Vec::new() }
    }

    fn run(mut self, answer: &mut Answer) {
        self.consider(answer);
        let options: Vec<GroupOption> = (0..self.considered.len()).filter_map(|at| self.option(at)).collect();
        answer.options = options;
        let best = self.best(&answer.options);
        if let Some(best) = best {
            answer.outcome = Outcome::Successful;
            answer.best = Some(best.group.clone());
            answer.triggered.clone_from(&best.pods);
            answer.increase = self.increase(&best);
        } else {
            answer.outcome = Outcome::NoOptions;
        }
        for (class, refused) in self.classes.iter().zip(&self.refused) {
            if self.helps(refused) && answer.best.as_ref().is_some_and(|best| refused.contains_key(best)) {
                answer.awaiting.extend(class.pods.iter().cloned());
            }
        }
        self.helpless(answer, |_| true);
    }

    /// `true` if any group takes a class that these refuse.
    fn helps(&self, refused: &BTreeMap<Name, Vec<String>>) -> bool {
        self.considered.iter().any(|group| !refused.contains_key(&group.group.id))
    }

    /// Tells of the pods that no group takes, as far as they are asked for.
    fn helpless(&self, answer: &mut Answer, is_asked_for: impl Fn(&Arc<Pod>) -> bool) {
        for (class, refused) in self.classes.iter().zip(&self.refused) {
            if self.helps(refused) {
                continue;
            }
            let reasons: BTreeMap<Name, Vec<String>> =
                refused.iter().chain(&answer.skipped).map(|(group, why)| (group.clone(), why.clone())).collect();
            let helpless = |pod: &Arc<Pod>| Helpless { pod: pod.clone(), reasons: reasons.clone() };
            answer.helpless.extend(class.pods.iter().filter(|pod| is_asked_for(pod)).map(helpless));
        }
    }

    /// Finds the groups that may grow, and the classes that each can take.
    fn consider(&mut self, answer: &mut Answer) {
        for group in self.groups {
            let template = self.start.templates.get(&group.id);
            let why_not = match template {
                _ if self.options.backed_off.contains(&group.id) => Some("in backoff after failed scale-up".to_owned()),
                _ if room(group) == 0 => Some("max node group size reached".to_owned()),
                None => Some("not ready for scale-up: the group has neither a node nor a template".to_owned()),
                Some(template) => self.exceeded(group, &template.node),
            };
            match (template, why_not) {
                (Some(template), None) => {
                    let takes = self.takes(group, template);
                    self.considered.push(Considered { group, template: template.clone(), takes });
                }
                (_, why) => drop(answer.skipped.insert(group.id.clone(), why.into_iter().collect())),
            }
        }
    }

    /// The limit that forbids even the least number of new nodes.
    fn exceeded(&mut self, group: &Group, node: &Node) -> Option<String> {
        let least = if group.zero_or_max { room(group) } else { 1 };
        let nodes = self.start.fork.snapshot.node_count();
        if group.zero_or_max && self.options.max_nodes_total > 0 && nodes + least > self.options.max_nodes_total {
            return Some("atomic scale-up exceeds cluster node count limit".to_owned());
        }
        let (_, exceeded) = self.quota.allowed(&group.id, node, least);
        (!exceeded.is_empty()).then(|| format!("exceeded quota: \"cluster-wide\", resources: {}", exceeded.join(", ")))
    }

    /// The classes whose sample fits on a new node of a group.
    fn takes(&mut self, group: &Group, template: &Template) -> Vec<usize> {
        let fork = &self.start.fork;
        let (snapshot, node) = with_one_node(fork, template);
        let mut takes = Vec::new();
        for (at, class) in self.classes.iter().enumerate() {
            work::spend(64);
            let pod = class.sample();
            match Prepared::new(fork.profile(pod), pod, &snapshot).refusal(&snapshot, &node) {
                None => takes.push(at),
                Some(reasons) => {
                    let reasons = reasons.iter().map(ToString::to_string).collect();
                    self.refused[at].insert(group.id.clone(), reasons);
                }
            }
        }
        takes
    }

    /// The groups similar to one, that can take all that it can.
    fn similar_to(&self, at: usize) -> Vec<&Considered<'s>> {
        let of = &self.considered[at];
        if !self.options.balance_similar || of.group.zero_or_max {
            return Vec::new();
        }
        let takes_all = |other: &Considered<'_>| of.takes.iter().all(|class| other.takes.contains(class));
        let others = self.considered.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        others
            .filter(|other| takes_all(other))
            .filter(|other| similar::are_similar(&of.template, &other.template, &self.options.ignored_labels))
            .collect()
    }

    /// The option that a group is; `None` if it helps no pod.
    fn option(&self, at: usize) -> Option<GroupOption> {
        let Considered { group, template, takes } = &self.considered[at];
        if takes.is_empty() {
            return None;
        }
        let similar = self.similar_to(at);
        let similar_groups: Vec<&Group> = similar.iter().map(|other| other.group).collect();
        let nodes = self.start.fork.snapshot.node_count();
        let most = most_new_nodes(self.options, group, &similar_groups, nodes);
        let classes: Vec<&Class> = takes.iter().map(|class| &self.classes[*class]).collect();
        let Estimate { nodes, pods } = estimate(&self.start.fork, template, &classes, most);
        if nodes == 0 || pods.is_empty() {
            return None;
        }
        let nodes = if group.zero_or_max { group.max as usize } else { nodes };
        let (wasted_cpu, wasted_memory) = expanders::waste(&template.node, nodes, &pods);
        Some(GroupOption {
            group: group.id.clone(),
            nodes,
            pods,
            similar: similar.iter().map(|other| other.group.id.clone()).collect(),
            wasted_cpu,
            wasted_memory,
            cost: cost_of(group, &template.node, self.options).map(|cost| cost * nodes as f64),
        })
    }

    fn best(&self, options: &[GroupOption]) -> Option<GroupOption> {
        let candidates: Vec<Candidate<'_>> = options.iter().map(|option| Candidate { option }).collect();
        expanders::choose(self.options, candidates).map(|chosen| chosen.option.clone())
    }

    /// Shares the new nodes of the best option among the groups similar to its own.
    fn increase(&mut self, best: &GroupOption) -> BTreeMap<Name, usize> {
        let Some(at) = self.considered.iter().position(|group| group.group.id == best.group) else {
            return BTreeMap::new();
        };
        let mut wanted = best.nodes;
        if self.options.max_nodes_total > 0 {
            wanted = wanted.min(self.options.max_nodes_total.saturating_sub(self.start.fork.snapshot.node_count()));
        }
        let node_of = |considered: &Considered<'_>| considered.template.node.clone();
        let mut nodes: HashMap<Name, Node> = HashMap::new();
        nodes.insert(best.group.clone(), node_of(&self.considered[at]));
        (wanted, _) = self.quota.allowed(&best.group, &nodes[&best.group], wanted);
        let mut sharing = vec![self.considered[at].group];
        let similar: Vec<(&Group, Node)> =
            self.similar_to(at).into_iter().map(|other| (other.group, node_of(other))).collect();
        for (group, node) in similar {
            if self.quota.allowed(&group.id, &node, 1).1.is_empty() {
                nodes.insert(group.id.clone(), node);
                sharing.push(group);
            }
        }
        let mut increase = BTreeMap::new();
        for (group, count) in similar::balance(&sharing, wanted) {
            let Some(node) = nodes.get(&group) else { continue };
            let (count, _) = self.quota.allowed(&group, node, count);
            if count > 0 {
                self.quota.take(&group, node, count);
                increase.insert(group, count);
            }
        }
        increase
    }
}

#[cfg(test)]
mod tests;

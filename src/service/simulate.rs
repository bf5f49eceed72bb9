//! Simulation: steps on a copy of a cluster, and questions about it. Nothing is stored.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    access::sight::Sight,
    decide::{brought_cluster, decidable, decided_under, sent_pod},
    error::{Error, Result},
    overview,
};
use crate::{
    core::{
        batch,
        model::{Effect, Name, Node, Pod, Selector, Taint},
        overview::overview as overview_of,
        simulate::{self, Simulation, Step, Utilization},
        snapshot::Snapshot,
        work,
    },
    live::View,
    wire::{
        decode,
        explanation::PodName,
        objects::node,
        overview::OverviewReply,
        policy, selector,
        simulation::{
            AddNodes, AddPods, BeforeAndAfter, DeletePods, FitReport, HowManyReport, HowManyRequest, NodesNeededReport,
            NodesNeededRequest, On, SimulateReport, SimulateRequest, StepReport, StepRequest, StuckReport,
            UtilizationReport,
        },
    },
};

/// Steps of a request.
pub const MOST_STEPS: usize = 100;

/// Nodes of a simulated cluster.
pub const MOST_NODES: usize = 20_000;

/// Pods that a request may add, or try.
pub const MOST_PODS: usize = 200_000;

/// Bytes of a name (`apimachinery/pkg/util/validation`, `DNS1123SubdomainMaxLength`), and of a namespace.
const LONGEST_NAME: usize = 253;

/// Pods that all steps of a reply tell of, together.
const MOST_TOLD: usize = 500_000;

/// Nodes that `nodesNeeded` tries where it is not told.
const TRIED_NODES: usize = 1_000;

/// Carries a simulation out. `sight`: the stored pods that the caller may name.
///
/// # Errors
/// The first fault of the request, by its field, and a step that cannot be carried out.
pub fn simulate(
    request: &SimulateRequest,
    policy: Option<&str>,
    view: &View,
    is_there: Result<()>,
    mut sight: Sight,
) -> Result<SimulateReport> {
    let snapshot = match &request.on {
        Some(On::Sent(cluster)) => {
            sight = Sight::default();
            brought_cluster(cluster)?
        }
        Some(On::Named(name)) if name != "cluster" => {
            return Err(Error::BadRequest(format!(
                "on: Unsupported value: {name:?}: it is \"cluster\", or a cluster in full"
            )));
        }
        Some(On::Named(_)) | None => {
            is_there?;
            view.snapshot.clone()
        }
    };
    if request.steps.len() > MOST_STEPS {
        return Err(Error::BadRequest(format!("steps: Too many: must have at most {MOST_STEPS} items")));
    }
    let chosen = decided_under(request.policy.as_deref(), request.profile.as_deref(), policy, view)?;
    let options = batch::Options { seed: request.seed, preempt: request.preempt.unwrap_or(true), reuse: true };
    let mut report = SimulateReport {
        revision: snapshot.revision,
        policy: chosen.used(),
        seed: request.seed,
        before: UtilizationReport::from(&Utilization::of(&snapshot)),
        ..SimulateReport::default()
    };
    let shown =
        request.overview.as_ref().map(|asked| overview::asked(asked.group.as_deref(), None, None)).transpose()?;
    // No pods are counted apart, so nobody's are told.
    let revision = report.revision;
    let nodes = |snapshot: &Snapshot, asked| OverviewReply::new(revision, overview_of(snapshot, asked, |_| false));
    let before = shown.as_ref().map(|asked| nodes(&snapshot, asked));
    let mut of = Simulation::new(snapshot, chosen.profiles(), options);
    let (mut added, mut told) = (0_usize, 0_usize);
    for (index, step) in request.steps.iter().enumerate() {
        let at = format!("steps[{index}]");
        let (word, step) = read_step(step, &at, of.snapshot(), &mut sight)?;
        if let Step::AddPods(pods) = &step {
            added = added.saturating_add(pods.len());
            bounded(added, MOST_PODS, &format!("{at}.addPods"), "new pods")?;
        }
        let outcome = of.step(&step).map_err(|error| Error::BadRequest(format!("{at}.{word}: {error}")))?;
        let simulate::Outcome { placed, stuck, lost, blocked, .. } = &outcome;
        told = told.saturating_add(placed.len() + stuck.len() + lost.len() + blocked.len());
        if told > MOST_TOLD {
            let why = format!("the reply would tell of more than {MOST_TOLD} pods: ask for fewer steps at a time");
            return Err(Error::BadRequest(format!("{at}.{word}: {why}")));
        }
        report.steps.push(StepReport::new(word, &outcome));
    }
    report.overview =
        shown.as_ref().zip(before).map(|(asked, before)| BeforeAndAfter { before, after: nodes(of.snapshot(), asked) });
    report.how_many = request.how_many.as_ref().map(|asked| how_many(asked, &of, &mut sight)).transpose()?;
    report.nodes_needed =
        request.nodes_needed.as_ref().map(|asked| nodes_needed(asked, &of, &mut sight)).transpose()?;
    report.what_fits = request.what_fits.as_ref().map(|asked| what_fits(asked, &of, &mut sight)).transpose()?;
    mask(&mut report, &mut sight);
    Ok(report)
}

/// A step, and its field in the request.
fn read_step(request: &StepRequest, at: &str, snapshot: &Snapshot, sight: &mut Sight) -> Result<(&'static str, Step)> {
    let StepRequest {
        add_nodes,
        remove_node,
        cordon,
        uncordon,
        drain,
        taint,
        label,
        add_pods,
        delete_pods,
        set_policy,
        preempt,
        fail_zone,
    } = request;
    let name = |text: &str| Name::from(text);
    let mut steps = Vec::new();
    if let Some(AddNodes { template, count }) = add_nodes {
        let template = Box::new(sent_node(template, &format!("{at}.addNodes.template"))?);
        bounded(snapshot.node_count().saturating_add(*count), MOST_NODES, &format!("{at}.addNodes.count"), "nodes")?;
        steps.push(("addNodes", Step::AddNodes { template, count: *count }));
    }
    if let Some(node) = remove_node {
        steps.push(("removeNode", Step::RemoveNode(name(&node.node))));
    }
    if let Some(node) = cordon {
        steps.push(("cordon", Step::Cordon(name(&node.node))));
    }
    if let Some(node) = uncordon {
        steps.push(("uncordon", Step::Uncordon(name(&node.node))));
    }
    if let Some(node) = drain {
        steps.push(("drain", Step::Drain(name(&node.node))));
    }
    if let Some(asked) = taint {
        let effects = [Effect::NoSchedule, Effect::PreferNoSchedule, Effect::NoExecute];
        let effect = effects.into_iter().find(|effect| effect.name() == asked.effect).ok_or_else(|| {
            let known = "NoSchedule, PreferNoSchedule, NoExecute";
            Error::BadRequest(format!(
                "{at}.taint.effect: Unsupported value: {:?}: supported values: {known}",
                asked.effect
            ))
        })?;
        let taint = Taint { key: name(&asked.key), value: name(&asked.value), effect, added: None };
        steps.push(("taint", Step::Taint(name(&asked.node), taint)));
    }
    if let Some(asked) = label {
        let labels = asked.labels.iter().map(|(key, value)| (name(key), value.as_deref().map(Name::from)));
        steps.push(("label", Step::Label(name(&asked.node), labels.collect())));
    }
    if let Some(pods) = add_pods {
        steps.push(("addPods", Step::AddPods(read_pods(pods, &format!("{at}.addPods"), snapshot, sight)?)));
    }
    if let Some(asked) = delete_pods {
        steps.push(("deletePods", Step::DeletePods(selected(asked, &format!("{at}.deletePods"), snapshot, sight)?)));
    }
    if let Some(text) = set_policy {
        let compiled = policy::parse(text.get()).and_then(|document| document.compile_all());
        let profiles = compiled.map_err(|faults| Error::invalid_policy("Policy", "", faults))?;
        steps.push(("setPolicy", Step::SetPolicy(profiles)));
    }
    if let Some(preempt) = preempt {
        steps.push(("preempt", Step::Preempt(*preempt)));
    }
    if let Some(asked) = fail_zone {
        steps.push(("failZone", Step::FailZone { key: name(&asked.topology_key), value: name(&asked.value) }));
    }
    let count = steps.len();
    match steps.pop() {
        Some(step) if count == 1 => Ok(step),
        _ => Err(Error::BadRequest(format!(
            "{at}: a step has exactly one field, as {{\"drain\": \"node-a\"}}; this one has {count}"
        ))),
    }
}

fn bounded(count: usize, most: usize, at: &str, what: &str) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::BadRequest(format!("{at}: Too many: a simulation has at most {most} {what}; these would be {count}")))
}

/// Checks the name of what copies are named after.
fn named(name: &str, at: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::BadRequest(format!("{at}.metadata.name: Required value: copies are named after it")));
    }
    if name.len() > LONGEST_NAME {
        return Err(Error::BadRequest(format!("{at}.metadata.name: Too long: must have at most {LONGEST_NAME} bytes")));
    }
    Ok(())
}

fn sent_node(sent: &RawValue, at: &str) -> Result<Node> {
    let read: node::Node = decode::from_slice(sent.get().as_bytes())
        .map_err(|error| Error::BadRequest(error.without_place().within(at).to_string()))?;
    let node = read.to_core().bounded().map_err(|causes| Error::invalid("Node", &read.metadata.name, causes))?;
    named(&node.name, at)?;
    Ok(node)
}

/// A pod that came with the request and waits for a node. Of namespaces whose pods the caller may not list nothing is told, so none is tried there.
fn new_pod(sent: &RawValue, at: &str, snapshot: &Snapshot, sight: &mut Sight) -> Result<Pod> {
    let (pod, _) = sent_pod(sent, at, snapshot)?;
    decidable(&pod)?;
    named(&pod.name, at)?;
    let namespace = &pod.namespace;
    if namespace.len() > LONGEST_NAME {
        let why = format!("must have at most {LONGEST_NAME} bytes");
        return Err(Error::BadRequest(format!("{at}.metadata.namespace: Too long: {why}")));
    }
    if !sight.knows(namespace) {
        let why = format!("you may not list the pods of namespace {namespace:?}");
        return Err(Error::BadRequest(format!("{at}.metadata.namespace: Forbidden: {why}")));
    }
    if pod.is_assigned() {
        return Err(Error::BadRequest(format!("{at}.spec.nodeName: Invalid value: the pod is to wait for a node")));
    }
    Ok(pod)
}

/// Pods that came with the request.
fn read_pods(pods: &AddPods, at: &str, snapshot: &Snapshot, sight: &mut Sight) -> Result<Vec<Arc<Pod>>> {
    match pods {
        AddPods { pods: Some(list), template: None, count: None } => {
            bounded(list.len(), MOST_PODS, at, "new pods")?;
            let mut pods = Vec::with_capacity(list.len());
            for (index, sent) in list.iter().enumerate() {
                pods.push(Arc::new(new_pod(sent, &format!("{at}[{index}]"), snapshot, sight)?));
            }
            Ok(pods)
        }
        AddPods { pods: None, template: Some(template), count } => {
            let count = count.unwrap_or(1);
            bounded(count, MOST_PODS, &format!("{at}.count"), "new pods")?;
            let template = new_pod(template, &format!("{at}.template"), snapshot, sight)?;
            let copy = |number: usize| {
                work::spend(1);
                let name: Name = format!("{}-{number}", template.name).into();
                Arc::new(Pod { uid: name.clone(), name, ..template.clone() })
            };
            Ok((1..=count).map(copy).collect())
        }
        _ => Err(Error::BadRequest(format!("{at}: either template and count, or pods, are needed"))),
    }
}

/// The pods that are deleted.
fn selected(asked: &DeletePods, at: &str, snapshot: &Snapshot, sight: &mut Sight) -> Result<Vec<(Name, Name)>> {
    if let Some(names) = &asked.names {
        if asked.selector.is_some() || asked.namespace.is_some() {
            return Err(Error::BadRequest(format!("{at}: names and a selection exclude each other")));
        }
        let named = names.iter().map(|text| {
            let (namespace, name) = PodName::parse(text);
            sight.check(namespace, name)?;
            Ok((Name::from(namespace), Name::from(name)))
        });
        return named.collect();
    }
    if asked.selector.is_none() && asked.namespace.is_none() {
        return Err(Error::BadRequest(format!("{at}: one of names, selector and namespace is needed")));
    }
    let text = asked.selector.as_deref().unwrap_or_default();
    let of: Selector = selector::parse_labels(text).map_err(|e| Error::BadRequest(format!("{at}.selector: {e}")))?;
    let mut found = Vec::new();
    for pod in snapshot.pods() {
        work::spend(of.cost());
        let is_in = asked.namespace.as_deref().is_none_or(|namespace| namespace == &*pod.namespace);
        if is_in && of.matches(&pod.labels) && sight.knows(&pod.namespace) {
            found.push((pod.namespace.clone(), pod.name.clone()));
        }
    }
    Ok(found)
}

fn how_many(asked: &HowManyRequest, of: &Simulation, sight: &mut Sight) -> Result<HowManyReport> {
    let pod = new_pod(&asked.pod, "howMany.pod", of.snapshot(), sight)?;
    let most = asked.limit.unwrap_or(MOST_PODS);
    bounded(most, MOST_PODS, "howMany.limit", "new pods")?;
    let simulate::HowMany { count, by_node, limited_by } = simulate::how_many(of, &pod, most);
    let by_node = by_node.into_iter().map(|(node, count)| (node.to_string(), count)).collect();
    Ok(HowManyReport { count, by_node, limited_by })
}

fn nodes_needed(asked: &NodesNeededRequest, of: &Simulation, sight: &mut Sight) -> Result<NodesNeededReport> {
    let template = sent_node(&asked.template, "nodesNeeded.template")?;
    let pods = match &asked.pods {
        Some(pods) => read_pods(pods, "nodesNeeded.pods", of.snapshot(), sight)?,
        None => of.waiting().cloned().collect(),
    };
    let most = asked.limit.unwrap_or(TRIED_NODES);
    bounded(of.snapshot().node_count().saturating_add(most), MOST_NODES, "nodesNeeded.limit", "nodes")?;
    let answer = simulate::nodes_needed(of, &template, &pods, most);
    let with_one_less = answer.with_one_less.iter().map(StuckReport::from).collect();
    Ok(NodesNeededReport { count: answer.count, with_one_less })
}

fn what_fits(asked: &[Box<RawValue>], of: &Simulation, sight: &mut Sight) -> Result<Vec<FitReport>> {
    bounded(asked.len(), MOST_PODS, "whatFits", "new pods")?;
    let mut reports = Vec::with_capacity(asked.len());
    for (index, sent) in asked.iter().enumerate() {
        let pod = Arc::new(new_pod(sent, &format!("whatFits[{index}]"), of.snapshot(), sight)?);
        let report = FitReport { pod: PodName::from(&*pod), ..FitReport::default() };
        reports.push(match simulate::fits(of, &pod) {
            Ok(placed) => {
                let (node, nodes) = (Some(placed.node.to_string()), placed.fitting);
                FitReport { fits: true, node, nodes, ..report }
            }
            Err(message) => FitReport { message: Some(message), ..report },
        });
    }
    Ok(reports)
}

/// Hides the names of pods that the caller may not know, and what their messages name.
fn mask(report: &mut SimulateReport, sight: &mut Sight) {
    let needed = report.nodes_needed.iter_mut().flat_map(|needed| &mut needed.with_one_less);
    for step in &mut report.steps {
        let StepReport { placements, moved, stuck, lost, blocked, .. } = step;
        for placed in placements.iter_mut().chain(moved) {
            hide(&mut placed.pod, sight);
            for victim in &mut placed.victims {
                hide(victim, sight);
            }
        }
        for pod in lost {
            hide(pod, sight);
        }
        for one in stuck.iter_mut().chain(blocked) {
            hide_message(one, sight);
        }
    }
    for one in needed {
        hide_message(one, sight);
    }
}

fn hide(pod: &mut PodName, sight: &mut Sight) {
    sight.mask(&mut pod.namespace, &mut pod.name, None);
}

/// The message of a pod that is hidden may name objects of its namespace.
fn hide_message(of: &mut StuckReport, sight: &mut Sight) {
    if !sight.knows(&Name::from(&*of.pod.namespace)) {
        of.message = "it stays where it is, for a reason in a namespace whose pods you may not list".into();
    }
    hide(&mut of.pod, sight);
}

//! The loop over node groups (`--autoscale`): it looks at a cluster every few seconds, and carries out what the [state machine](super::machine) says.
//!
//! One process leads a cluster. What a turn remembers, the target sizes that it sets, the nodes that it closes and the messages to the webhook are one commit,
//! which another leader's fence refuses; evictions and messages follow, and are tried again in later turns. In a cluster that mirrors a live one nodes are
//! closed and pods are evicted by its API server.
//!
//! Source: `cluster-autoscaler/core/static_autoscaler.go`, `cluster-autoscaler/core/scaledown/actuation/{actuator,drain}.go`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use metrics::{counter, gauge, histogram};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::to_raw_value};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    advised::{Advised, has_to_move, seen},
    machine::{Memory, Mood, Rules, Step, Turn},
    webhook::{Action, Hands, Message, Patience, send},
};
use crate::{
    clock,
    core::{
        advise::groups::{Group, GroupError, Groups},
        model::{Effect, Name},
        snapshot::{Kind, Snapshot},
    },
    live::View,
    service::{
        Service,
        compute::compute_long,
        context::{self, Fresh},
        decisions,
        error::{Error, Result},
        evict::evict,
        lead::{self, Lead, Leads},
        objects::{Deletion, Preconditions, Target},
        source::{ApiRequest, mirrored},
    },
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Write},
    telemetry::{self, labels, seldom::Texts},
    wire::{decision::CallKind, deletion, document::Document, kinds, objects::node::NodeTaint},
};

/// The name of the duty.
const DUTY: &str = "autoscale";

/// The store's kind of what loops of autoscaling remember; this loop's is called [`NAME`].
pub const KIND: &str = "autoscalers.podberth.io";

/// See [`KIND`].
const NAME: &str = "node-groups";

/// The taint of a node that is to be deleted, with the time in seconds since 1970 as its value.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// Grace of evicted pods at most, in seconds.
const MOST_GRACE: i64 = 60;

/// Pods of a node that are evicted in one turn at most.
const EVICTED_AT_ONCE: usize = 64;

/// Steps of turns that the status shows.
const MOST_SHOWN: usize = 100;

/// Oldest mirror that is acted on.
const LONGEST_LAG: Duration = Duration::from_mins(1);

/// Why turns fail, by cluster.
static TROUBLE: Texts = Texts::new();

/// How the loop works.
#[derive(Debug)]
pub struct Options {
    /// `false`: it only notes what it would do.
    pub acts: bool,
    /// Time between two turns.
    pub interval: Duration,
    /// Whoever makes and deletes machines.
    pub hands: Option<Box<dyn Hands>>,
    /// Times and bounds.
    pub rules: Rules,
}

/// Memory of the loop, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stored {
    /// The state machine.
    pub memory: Memory,
    /// Messages that the webhook has not accepted.
    pub messages: Vec<Message>,
    /// The last steps, or those that would be done, with their reasons.
    pub steps: Vec<String>,
    /// Why nothing more is done.
    pub mood: Option<Mood>,
    /// `false` if it only notes what it would do.
    pub acts: bool,
}

/// Starts the loop for these clusters. `holder` names this process.
pub fn start(service: &Service, holder: Uuid, clusters: BTreeSet<Arc<str>>, options: Options) -> Leads {
    let (of, options) = (service.clone(), Arc::new(options));
    let wanted = move |_: Service| {
        let clusters = clusters.clone();
        async move { Ok(clusters) }
    };
    let run = move |lead: Lead| run(of.clone(), options.clone(), lead);
    lead::lead(service, holder, DUTY, wanted, run)
}

async fn run(service: Service, options: Arc<Options>, lead: Lead) {
    let cluster = lead.cluster().clone();
    let mut running = Running {
        service,
        options,
        lead,
        unremovable_until: BTreeMap::new(),
        accepted: BTreeSet::new(),
        patience: Patience::default(),
    };
    loop {
        let began = Instant::now();
        let outcome = Box::pin(running.turn()).await;
        histogram!(telemetry::AUTOSCALE_TURN_DURATION).record(began.elapsed());
        let result = match &outcome {
            Ok(Some(Mood::Watching)) => "watching",
            Ok(Some(Mood::Cooldown(_))) => "cooldown",
            Ok(Some(Mood::Unhealthy)) => "unhealthy",
            Ok(None) => return,
            Err(_) => "failed",
        };
        counter!(telemetry::AUTOSCALE_TURNS, "result" => result).increment(1);
        if let Err(error) = outcome {
            let why = error.for_log();
            if TROUBLE.is_new(&cluster, &why) {
                tracing::warn!(cluster = &*cluster, why, "node groups are not looked after; it is tried again");
            }
        }
        sleep(running.options.interval.saturating_sub(began.elapsed())).await;
    }
}

/// Reads what the loop of a cluster remembers, and the record.
///
/// # Errors
/// Those of the store.
pub async fn stored(service: &Service, cluster: &str) -> Result<(Stored, Option<Record>)> {
    let record = service.store.get(cluster, &Key::new(KIND, "", NAME)).await?;
    // One that another version wrote is begun anew.
    let stored = record.as_ref().and_then(|record| serde_json::from_slice(&record.body).ok());
    Ok((stored.unwrap_or_default(), record))
}

/// The loop of one cluster.
struct Running {
    service: Service,
    options: Arc<Options>,
    lead: Lead,
    /// Nodes that were found unremovable, and until when they are not looked at again.
    unremovable_until: BTreeMap<Name, i64>,
    /// Messages that were accepted, and are still stored.
    accepted: BTreeSet<String>,
    patience: Patience,
}

/// Findings of a turn.
struct Found {
    stored: Stored,
    turn: Turn,
    unremovable_until: BTreeMap<Name, i64>,
    groups: Groups,
}

impl Running {
    /// One turn; `None` when another process leads.
    async fn turn(&mut self) -> Result<Option<Mood>> {
        let (service, cluster) = (self.service.clone(), self.lead.cluster().clone());
        let context = context::take(&service, &cluster, Fresh { is_newest: true, ..Fresh::default() }).await?;
        let source = context.view.source();
        let now = clock::now();
        if source.is_some() {
            mirrored::is_whole(&service, &cluster, now, LONGEST_LAG).map_err(Error::internal)?;
        }
        let (before, record) = stored(&service, &cluster).await?;
        let (view, epoch) = (context.view.clone(), context.epoch);
        let (options, unremovable_until) = (self.options.clone(), self.unremovable_until.clone());
        let accepted = self.accepted.clone();
        let find = move || found(before, &view, &options, now, unremovable_until, &accepted);
        let Found { mut stored, turn, unremovable_until, groups } = compute_long(true, find).await??;
        self.unremovable_until = unremovable_until;
        let view = context.view;
        let mut writes = vec![self.lead.fence().await?];
        if self.options.acts {
            note_messages(&mut stored, &turn, &cluster, &view.snapshot, now);
            writes.extend(self.writes(&turn, source.is_some(), now).await?);
        }
        let body = serde_json::to_string(&stored).map_err(Error::internal)?;
        let precondition = record.as_ref().map_or_else(Precondition::absent, |of| Precondition::revision(of.revision));
        let change = Change::Put { body: body.into(), uid: NAME.to_owned(), node: None };
        writes.push(Write { key: Key::new(KIND, "", NAME), precondition, change });
        let call = Call { writes, atomicity: Atomicity::AllOrNothing };
        let outcomes = service.clusters.commit(&cluster, call, None).await?.outcomes;
        if outcomes.first().is_some_and(Lead::is_lost) {
            return Ok(None);
        }
        if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
            // A client changed a group or a node meanwhile: the next turn sees it.
            return Ok(Some(turn.mood));
        }
        self.accepted.retain(|id| stored.messages.iter().any(|message| message.id == *id));
        measure(&cluster, &view.snapshot, &groups, &stored.memory);
        if self.options.acts {
            self.carry_out(&turn, &view, epoch).await;
            if let Some(hands) = &self.options.hands {
                // No node is deleted that has got pods again.
                let is_empty = |node: &String| {
                    view.snapshot.node(node).is_none_or(|info| !info.pods.iter().any(|pod| has_to_move(pod)))
                };
                let ready = stored.messages.iter().filter(|message| message.node.as_ref().is_none_or(is_empty));
                let ready: Vec<Message> = ready.cloned().collect();
                let (accepted, why) = send(&**hands, &ready, &mut self.patience).await;
                self.accepted.extend(accepted);
                if let Some(why) = why.filter(|why| TROUBLE.is_new("messages", why)) {
                    tracing::warn!(
                        cluster = &*cluster,
                        why,
                        "a message of autoscaling is not accepted; it is sent again"
                    );
                }
            }
        }
        Ok(Some(turn.mood))
    }

    /// The writes of a turn besides its own: target sizes, and nodes that are closed or opened.
    async fn writes(&self, turn: &Turn, is_mirror: bool, now: Timestamp) -> Result<Vec<Write>> {
        let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut writes = Vec::new();
        for step in &turn.steps {
            match step {
                Step::Resize { group, to, .. } | Step::Remove { group, to, .. } => drop(sizes.insert(group, *to)),
                Step::Drain { .. } | Step::GiveUp { .. } | Step::Remind { .. } => {}
            }
            if let (Some((node, close)), false) = (closes(step), is_mirror) {
                writes.extend(self.edited(Kind::Node, node, |document| closed(document, close, now)).await?);
            }
        }
        for (group, to) in sizes {
            let edit = |document: &mut Document| {
                document
                    .set_in("spec", "targetSize", to_raw_value(&to).map_err(Error::internal)?)
                    .map_err(Error::internal)
            };
            writes.extend(self.edited(Kind::NodeGroup, group, edit).await?);
        }
        Ok(writes)
    }

    /// The write of an object that is there, if the edit changes it.
    async fn edited(
        &self,
        kind: Kind,
        name: &str,
        edit: impl FnOnce(&mut Document) -> Result<()>,
    ) -> Result<Option<Write>> {
        let Some(kind) = kinds::by_core(kind) else { return Ok(None) };
        let Some(record) = self.service.store.get(self.lead.cluster(), &Key::new(kind.key(), "", name)).await? else {
            return Ok(None);
        };
        let mut document = Document::parse(&record.body).map_err(Error::internal)?;
        edit(&mut document)?;
        let (key, precondition) = (record.key.clone(), Precondition::revision(record.revision));
        Ok(Some(Write { key, precondition, change: Change::body(&record, document.into_body()) }))
    }

    /// Evicts, and records every new step with its reason. Failures are tried again in later turns.
    async fn carry_out(&self, turn: &Turn, view: &View, epoch: u64) {
        for step in &turn.steps {
            if step.is_new() {
                counter!(telemetry::AUTOSCALE_ACTIONS, "action" => action(step)).increment(1);
            }
            if let (Some((node, close)), Some(_)) = (closes(step), view.source())
                && let Err(why) = self.close_live(node, close).await
            {
                tracing::warn!(cluster = &**self.lead.cluster(), node, why, "the node cannot be closed or opened");
                continue;
            }
            let node = match step {
                Step::Resize { .. } => None,
                Step::Drain { node, .. }
                | Step::GiveUp { node, .. }
                | Step::Remove { node, .. }
                | Step::Remind { node, .. } => Some(node.clone()),
            };
            if let (Step::Drain { .. }, Some(node)) = (step, &node) {
                self.drain(node, view, epoch).await;
            }
            if !step.is_new() {
                continue;
            }
            self.service.decisions.acted(decisions::Action {
                cluster: self.lead.cluster().clone(),
                epoch,
                call: CallKind::Autoscale,
                object: Default::default(),
                node,
                revision: view.snapshot.revision,
                message: told(step),
            });
        }
    }

    /// Closes or opens a node by the API server of the live cluster.
    async fn close_live(&self, node: &str, close: bool) -> std::result::Result<(), String> {
        let cluster = self.lead.cluster();
        let source = mirrored::of(&self.service, cluster).await.map_err(|error| error.for_log())?;
        let Some(source) = source else { return Ok(()) };
        let server = self.service.sources.server(cluster, &source).await?;
        let reply = server
            .send(ApiRequest {
                method: "PATCH",
                path: format!("/api/v1/nodes/{node}"),
                content_type: "application/merge-patch+json",
                body: json!({"spec": {"unschedulable": close}}).to_string().into(),
            })
            .await?;
        if reply.code < 300 { Ok(()) } else { Err(format!("the API server answered {}", reply.code)) }
    }

    /// Evicts the pods of a node, as far as budgets allow.
    async fn drain(&self, node: &str, view: &View, epoch: u64) {
        let Some(info) = view.snapshot.node(node) else { return };
        let Some(kind) = kinds::by_core(Kind::Pod) else { return };
        for pod in info.pods.iter().filter(|pod| has_to_move(pod) && !pod.terminating).take(EVICTED_AT_ONCE) {
            let grace = pod.facts().grace_seconds.map_or(MOST_GRACE, |own| own.clamp(0, MOST_GRACE));
            let target = Target {
                cluster: self.lead.cluster().clone(),
                kind,
                namespace: Some(pod.namespace.to_string()),
                name: pod.name.to_string(),
            };
            let deletion = Deletion {
                options: deletion::Options { grace_period_seconds: Some(grace), ..deletion::Options::default() },
                preconditions: Preconditions { uid: Some(pod.uid.to_string()), ..Preconditions::default() },
                dry_run: false,
            };
            match evict(&self.service, &target, &deletion).await {
                Ok(_) => self.service.decisions.acted(decisions::Action {
                    cluster: self.lead.cluster().clone(),
                    epoch,
                    call: CallKind::Autoscale,
                    object: (pod.namespace.to_string(), pod.name.to_string()),
                    node: Some(node.to_owned()),
                    revision: view.snapshot.revision,
                    message: format!("evicted: node {node} is not needed"),
                }),
                Err(error) => {
                    tracing::debug!(cluster = &**self.lead.cluster(), node, pod = pod.full_name(), %error, "not evicted yet");
                }
            }
        }
    }
}

/// Looks at the cluster, and takes a turn of the state machine. Where the loop does not act, no step counts as done.
fn found(
    mut stored: Stored,
    view: &View,
    options: &Options,
    now: Timestamp,
    unremovable_until: BTreeMap<Name, i64>,
    accepted: &BTreeSet<String>,
) -> Result<Found> {
    let snapshot = &view.snapshot;
    let mut memory = stored.memory.clone();
    let groups = present(snapshot, &memory)?;
    let seen = seen(snapshot, &groups);
    let profiles = context::chosen(view, None)?.profiles();
    let mut advice =
        Advised::new(snapshot, groups.clone(), profiles, &memory, unremovable_until, (options.interval, now));
    let turn = memory.turn(&options.rules, now, &seen, &mut advice);
    // A node that is gone, or stays, is not to be deleted any more.
    stored.messages.retain(|message| {
        let is_current = message.node.as_ref().is_none_or(|node| memory.removing.contains_key(node));
        is_current && !accepted.contains(&message.id)
    });
    stored.acts = options.acts;
    stored.mood = Some(turn.mood.clone());
    let told = turn.steps.iter().filter(|step| step.is_new()).map(told);
    if options.acts {
        stored.memory = memory;
        stored.steps.extend(told);
        let excess = stored.steps.len().saturating_sub(MOST_SHOWN);
        stored.steps.drain(..excess);
    } else {
        stored.memory = Memory { unneeded: memory.unneeded, ..Memory::default() };
        stored.steps = told.take(MOST_SHOWN).collect();
    }
    Ok(Found { stored, turn, unremovable_until: advice.into_unremovable(), groups })
}

/// The groups without nodes that are to be deleted. A group that has more nodes than it is to have is to have these: it grows and shrinks from there.
fn present(snapshot: &Snapshot, memory: &Memory) -> Result<Groups> {
    let wrong = |error: GroupError| Error::BadRequest(error.to_string());
    let stored = Groups::stored(snapshot).map_err(wrong)?;
    let list = stored.all().iter().map(|group| {
        let stays = |node: &&Name| snapshot.node(node).is_some() && !memory.removing.contains_key(&***node);
        let nodes: Vec<Name> = group.nodes.iter().filter(stays).cloned().collect();
        let have = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        Group { target: group.target.max(have), nodes, ..group.clone() }
    });
    Groups::new(list.collect()).map_err(wrong)
}

/// Puts what the webhook is to be told into the messages that wait.
fn note_messages(stored: &mut Stored, turn: &Turn, cluster: &str, snapshot: &Snapshot, now: Timestamp) {
    for step in &turn.steps {
        let (group, action, target_size, node) = match step {
            Step::Resize { group, to, .. } => (group, Action::SetTargetSize, *to, None),
            Step::Remove { group, to, node } | Step::Remind { group, to, node } => {
                (group, Action::DeleteNode, *to, Some(node.clone()))
            }
            Step::Drain { .. } | Step::GiveUp { .. } => continue,
        };
        let provider_group = snapshot.node_group(group).and_then(|group| group.provider_id.as_deref());
        let facts = node.as_ref().and_then(|node| snapshot.node(node)).and_then(|info| info.node.facts.as_deref());
        let message = Message {
            id: Uuid::new_v4().to_string(),
            cluster: cluster.to_owned(),
            group: group.clone(),
            action,
            target_size,
            provider_group: provider_group.map(ToOwned::to_owned),
            provider_id: facts.and_then(|facts| facts.provider_id.as_deref()).map(ToOwned::to_owned),
            node,
            reason: told(step),
            time: now,
        };
        message.put_into(&mut stored.messages);
    }
}

/// The node that a step closes (`true`) or opens.
fn closes(step: &Step) -> Option<(&str, bool)> {
    match step {
        Step::Drain { node, .. } | Step::Remove { node, .. } => Some((node, true)),
        Step::GiveUp { node, .. } => Some((node, false)),
        Step::Resize { .. } | Step::Remind { .. } => None,
    }
}

/// Closes a node for pods, with the taint of nodes that are to be deleted, or opens it.
fn closed(document: &mut Document, close: bool, now: Timestamp) -> Result<()> {
    let mut taints: Vec<NodeTaint> = document.list_in("spec", "taints").map_err(Error::internal)?;
    let is_marked = taints.iter().any(|taint| taint.key == TO_BE_DELETED);
    if close && is_marked {
        return Ok(());
    }
    taints.retain(|taint| taint.key != TO_BE_DELETED);
    if close {
        let (value, effect) = (now.as_second().to_string(), Effect::NoSchedule.name().to_owned());
        taints.push(NodeTaint { key: TO_BE_DELETED.to_owned(), value, effect, time_added: None });
    }
    let raw = |value: serde_json::Value| to_raw_value(&value).map_err(Error::internal);
    let taints = raw(serde_json::to_value(&taints).map_err(Error::internal)?)?;
    let fields = vec![("unschedulable", raw(json!(close))?), ("taints", taints)];
    document.set_all_in("spec", fields).map_err(Error::internal)
}

/// A step as people read it.
fn told(step: &Step) -> String {
    match step {
        Step::Resize { group, from, to, why } => format!("node group {group}: from {from} to {to} nodes: {why}"),
        Step::Drain { node, group, .. } => format!("node {node} of {group} is not needed: its pods are evicted"),
        Step::GiveUp { node, why } => format!("node {node} stays: {why}"),
        Step::Remind { node, group, .. } => {
            format!("node {node} of {group} is still there: its deletion is asked for again")
        }
        Step::Remove { node, group, to } => {
            format!("node {node} of {group} is not needed: it is to be deleted, and the group to have {to} nodes")
        }
    }
}

fn action(step: &Step) -> &'static str {
    match step {
        Step::Resize { from, to, .. } if to > from => "grow",
        Step::Resize { .. } => "shrink",
        Step::Drain { .. } => "drain",
        Step::GiveUp { .. } => "give_up",
        Step::Remove { .. } => "remove",
        Step::Remind { .. } => "remind",
    }
}

/// Sets the gauges of a cluster.
fn measure(cluster: &str, snapshot: &Snapshot, groups: &Groups, memory: &Memory) {
    let cluster = labels::CLUSTERS.of(cluster);
    let (mut ready, mut unready, mut target) = (0.0, 0.0, 0.0);
    for group in groups.all() {
        target += f64::from(group.target);
        for info in group.nodes.iter().filter_map(|node| snapshot.node(node)) {
            *(if info.node.may_be_ready() { &mut ready } else { &mut unready }) += 1.0;
        }
    }
    let leaving = memory.leaving().count() as f64;
    let coming = f64::max(target + memory.removing.len() as f64 - ready - unready, 0.0);
    let states = [
        ("ready", ready),
        ("unready", unready),
        ("coming", coming),
        ("leaving", leaving),
        ("unneeded", memory.unneeded.len() as f64),
        ("target", target),
    ];
    for (state, count) in states {
        gauge!(telemetry::AUTOSCALE_NODES, "cluster" => cluster.clone(), "state" => state).set(count);
    }
}

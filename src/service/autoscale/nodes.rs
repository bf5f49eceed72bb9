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
use serde_json::value::to_raw_value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::leave::{Leave, closed, opened};
use super::{
    advised::{Advised, is_marked, seen},
    machine::{Leaving, Memory, Mood, Rules, Turn},
    webhook::{Action, Hands, Message, Patience, send},
};
use crate::{
    clock,
    core::{
        advise::{
            groups::{Group, GroupError, Groups},
            plan::{StepKind, has_to_move},
        },
        model::Name,
        snapshot::{Kind, Snapshot},
    },
    live::View,
    service::{
        Service,
        compute::compute_long,
        context::{self, Fresh},
        error::{Error, Result},
        lead::{self, Lead, Leads},
        source::mirrored,
    },
    store::{Atomicity, Call, Change, Key, Outcome, Precondition, Record, Write},
    telemetry::{self, labels, seldom::Texts},
    wire::{document::Document, kinds},
};

mod leave;

/// The name of the duty.
const DUTY: &str = "autoscale";

/// The store's kind of what loops of autoscaling remember; this loop's is called [`NAME`].
pub const KIND: &str = "autoscalers.podberth.io";

/// See [`KIND`].
const NAME: &str = "node-groups";

/// Steps of turns that the status shows.
const MOST_SHOWN: usize = 100;

/// Faults of groups that one line of the log names.
const MOST_FAULTS_TOLD: usize = 5;

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
    faults: Vec<GroupError>,
}

impl Found {
    /// Nodes on their way out. Those of a group that is gone or at fault are left alone.
    fn leaving(&self) -> impl Iterator<Item = &String> {
        let is_known = |of: &&Leaving| self.groups.all().iter().any(|group| *group.id == *of.group);
        self.stored.memory.leaving().filter(move |(_, of)| is_known(of)).map(|(node, _)| node)
    }
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
        let mut found = compute_long(true, find).await??;
        self.unremovable_until = std::mem::take(&mut found.unremovable_until);
        let view = context.view;
        let mut writes = vec![self.lead.fence().await?];
        if self.options.acts {
            note_messages(&mut found.stored, &found.turn, &cluster, &view.snapshot, now);
            writes.extend(self.writes(&found, &view.snapshot, source.is_some(), now).await?);
        }
        let body = serde_json::to_string(&found.stored).map_err(Error::internal)?;
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
            return Ok(Some(found.turn.mood));
        }
        self.accepted.retain(|id| found.stored.messages.iter().any(|message| message.id == *id));
        measure(&cluster, &view.snapshot, &found);
        if self.options.acts {
            self.carry_out(&found, &view, epoch).await;
            self.tell(&found.stored.messages, &view.snapshot).await;
        }
        Ok(Some(found.turn.mood))
    }

    /// Sends messages, but for those to delete a node that has got pods again.
    async fn tell(&mut self, messages: &[Message], snapshot: &Snapshot) {
        let Some(hands) = &self.options.hands else { return };
        let is_empty =
            |node: &String| snapshot.node(node).is_none_or(|info| !info.pods.iter().any(|pod| has_to_move(pod)));
        let ready = messages.iter().filter(|message| message.node.as_ref().is_none_or(is_empty));
        let (accepted, why) = send(&**hands, ready, &mut self.patience).await;
        self.accepted.extend(accepted);
        if let Some(why) = why.filter(|why| TROUBLE.is_new("messages", why)) {
            let cluster = &**self.lead.cluster();
            tracing::warn!(cluster, why, "a message of autoscaling is not accepted; it is sent again");
        }
    }

    /// The writes of a turn besides its own: target sizes, and nodes that are cordoned or not any more.
    async fn writes(&self, found: &Found, snapshot: &Snapshot, is_mirror: bool, now: Timestamp) -> Result<Vec<Write>> {
        let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
        let mut writes = Vec::new();
        for step in &found.turn.steps {
            match &step.kind {
                StepKind::SetTargetSize { group, to, .. } | StepKind::DeleteNode { group, to, .. } => {
                    sizes.insert(group, *to);
                }
                StepKind::Uncordon { node, opens } if !is_mirror => {
                    writes.extend(self.edited(Kind::Node, node, |document| opened(document, *opens)).await?);
                }
                _ => {}
            }
        }
        for node in found.leaving().filter(|_| !is_mirror) {
            if snapshot.node(node).is_none_or(|info| !is_marked(&info.node)) {
                writes.extend(self.edited(Kind::Node, node, |document| closed(document, now)).await?);
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

    /// Records every step with its reason, and evicts the pods of nodes that are to go. Failures are tried again in later turns.
    async fn carry_out(&self, found: &Found, view: &View, epoch: u64) {
        let cluster = self.lead.cluster();
        let leaving = Leave { service: &self.service, cluster, view, epoch };
        for step in &found.turn.steps {
            counter!(telemetry::AUTOSCALE_ACTIONS, "action" => step.kind.name()).increment(1);
            if let StepKind::Uncordon { node, opens: true } = &step.kind {
                leaving.cordon_live(node, false).await;
            }
            leaving.record(Default::default(), step.kind.node().map(ToString::to_string), step.to_string());
        }
        for node in found.leaving() {
            if leaving.cordon_live(node, true).await {
                leaving.evict_pods(node).await;
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
    let (groups, faults) = present(snapshot, &memory);
    let seen = seen(snapshot, &groups);
    let profiles = context::chosen(view, None)?.profiles();
    let mut advice =
        Advised::new(snapshot, groups.clone(), profiles, &memory, unremovable_until, (options.interval, now));
    let turn = memory.turn(&options.rules, now, &seen, &mut advice);
    // A node that is gone, or stays, is not to be deleted any more. Nothing is told of groups that are gone or at fault.
    stored.messages.retain(|message| {
        let is_current = message.node.as_ref().is_none_or(|node| memory.removing.contains_key(node));
        let is_known = groups.all().iter().any(|group| *group.id == *message.group);
        is_current && is_known && !accepted.contains(&message.id)
    });
    stored.acts = options.acts;
    stored.mood = Some(turn.mood.clone());
    let told = turn.steps.iter().map(ToString::to_string);
    if options.acts {
        stored.memory = memory;
        stored.steps.extend(told);
        let excess = stored.steps.len().saturating_sub(MOST_SHOWN);
        stored.steps.drain(..excess);
    } else {
        stored.memory = Memory { unneeded: memory.unneeded, ..Memory::default() };
        stored.steps = told.take(MOST_SHOWN).collect();
    }
    Ok(Found { stored, turn, unremovable_until: advice.into_unremovable(), groups, faults })
}

/// The groups without nodes that are to be deleted, and the faults of those that are left out. A group that has more nodes than it is to have is to have
/// these: it grows and shrinks from there.
fn present(snapshot: &Snapshot, memory: &Memory) -> (Groups, Vec<GroupError>) {
    let (stored, faults) = Groups::stored(snapshot);
    let groups = stored.map(|group| {
        let stays = |node: &&Name| !memory.removing.contains_key(&***node);
        let nodes: Vec<Name> = group.nodes.iter().filter(stays).cloned().collect();
        let have = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
        Group { target: group.target.max(have), nodes, ..group.clone() }
    });
    (groups, faults)
}

/// Puts what the webhook is to be told into the messages that wait.
fn note_messages(stored: &mut Stored, turn: &Turn, cluster: &str, snapshot: &Snapshot, now: Timestamp) {
    for step in &turn.steps {
        let (group, action, target_size, node) = match &step.kind {
            StepKind::SetTargetSize { group, to, .. } => (group, Action::SetTargetSize, *to, None),
            StepKind::DeleteNode { node, group, to } => (group, Action::DeleteNode, *to, Some(node.to_string())),
            _ => continue,
        };
        let provider_group = snapshot.node_group(group).and_then(|group| group.provider_id.as_deref());
        let facts = node.as_ref().and_then(|node| snapshot.node(node)).and_then(|info| info.node.facts.as_deref());
        let message = Message {
            id: Uuid::new_v4().to_string(),
            cluster: cluster.to_owned(),
            group: group.to_string(),
            action,
            target_size,
            provider_group: provider_group.map(ToOwned::to_owned),
            provider_id: facts.and_then(|facts| facts.provider_id.as_deref()).map(ToOwned::to_owned),
            node,
            reason: step.to_string(),
            time: now,
        };
        message.put_into(&mut stored.messages);
    }
}

/// Sets the gauges of a cluster, and tells of groups at fault.
fn measure(cluster: &str, snapshot: &Snapshot, found: &Found) {
    let memory = &found.stored.memory;
    let label = labels::CLUSTERS.of(cluster);
    let (mut ready, mut unready, mut target) = (0.0, 0.0, 0.0);
    for group in found.groups.all() {
        target += f64::from(group.target);
        for info in group.nodes.iter().filter_map(|node| snapshot.node(node)) {
            *(if info.node.may_be_ready() { &mut ready } else { &mut unready }) += 1.0;
        }
    }
    let leaving = memory.leaving().count() as f64;
    let coming = f64::max(target - ready - unready, 0.0);
    let states = [
        ("ready", ready),
        ("unready", unready),
        ("coming", coming),
        ("leaving", leaving),
        ("unneeded", memory.unneeded.len() as f64),
        ("target", target),
    ];
    for (state, count) in states {
        gauge!(telemetry::AUTOSCALE_NODES, "cluster" => label.clone(), "state" => state).set(count);
    }
    let at_fault: BTreeSet<&Name> = found.faults.iter().flat_map(GroupError::groups).collect();
    gauge!(telemetry::AUTOSCALE_GROUPS_AT_FAULT, "cluster" => label).set(at_fault.len() as f64);
    let why: Vec<String> = found.faults.iter().take(MOST_FAULTS_TOLD).map(ToString::to_string).collect();
    let why = why.join("; ");
    if !why.is_empty() && TROUBLE.is_new(&format!("{cluster}/groups"), &why) {
        tracing::warn!(cluster, why, faults = found.faults.len(), "node groups at fault are left alone");
    }
}

#[cfg(test)]
mod tests;

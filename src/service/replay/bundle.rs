//! A decision with all that it was made on, in one document: `/explain`, `podberth explain -f` and `podberth test` take it, and give the same answer.
//!
//! The cluster of a bundle has the nodes, the pods on them, and the objects of other kinds that the pod can touch: kinds of volumes and devices only if it
//! has any. Fields that no decision reads are left out. A bundle is tried out before it is handed out.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    explained,
    head::Head,
    renamed::{Names, seed_for, tag_images},
    walk::Walk,
};
use crate::{
    core::{
        access::ResourceAttributes,
        model::Pod,
        snapshot::{Kind, Snapshot},
    },
    live::View,
    service::{
        Service,
        access::Caller,
        compute::compute_long,
        decisions,
        error::{Error, Result},
        explain::{self, ExplainRequest},
        objects::with_node,
    },
    store::{ListQuery, Record},
    wire::{
        access::token,
        decision::Decision,
        decode,
        explanation::Explanation,
        kinds::{self, StoredKind},
        objects::{disruption, node, pod, runtime_class, workload},
        policy::revision::DEFAULT,
        yaml,
    },
};

/// Objects that are read at a time.
const AT_ONCE: usize = 500;

/// Bytes of the objects of a bundle.
const LARGEST: usize = 64 << 20;

/// Kinds of volumes and of devices.
const OF_VOLUMES: &[&str] = &[
    "persistentvolumes",
    "persistentvolumeclaims",
    "storageclasses",
    "csinodes",
    "csidrivers",
    "csistoragecapacities",
    "volumeattachments",
];
const OF_DEVICES: &[&str] = &["resourceclaims", "resourceslices", "deviceclasses"];

/// The objects of one kind.
type Objects = Vec<(&'static StoredKind, Vec<Record>)>;

/// The bundle of a recorded decision. `hash_names`: names and the values of labels are replaced, so that it can be given away.
///
/// # Errors
/// [`Error::Expired`] with the reason if the state is not kept, [`Error::Denied`] if the caller may not list all that is in it, [`Error::BadRequest`] if
/// it would be too large, or its names cannot be replaced.
pub async fn bundle(
    service: &Service,
    cluster: &Arc<str>,
    id: &str,
    hash_names: bool,
    caller: &Caller,
) -> Result<Value> {
    let decision = decisions::get(service, cluster, id).await?;
    let gone = |why: String| Error::Expired(format!("there is no bundle of the decision {id}: {why}"));
    if !decision.call.is_choice() {
        return Err(Error::BadRequest(
            "a bind that was asked for, and an action of a loop, is no choice among nodes: there is no bundle".into(),
        ));
    }
    let walk = Box::pin(Walk::to(service, cluster, &decision, true)).await?;
    let (pod, _) = walk.come_to(&decision).map_err(gone)?;
    if walk.kept().iter().any(|before| before.effects.claims > 0) {
        return Err(gone("a placement before it in its batch chose volumes or devices".into()));
    }
    let is_built_in = decision.policy_text.is_none() && decision.policy.revision == 0;
    if !is_built_in {
        // A policy that came with a request is of the kind of the one in force.
        let name = if decision.policy_text.is_some() { DEFAULT } else { &*decision.policy.name };
        let get = ResourceAttributes::new("get", "podberth.io", "policies").named(name);
        caller.check(service, cluster, get).await?;
    }
    let mut objects = Objects::new();
    let mut bytes = 0_usize;
    for kind in kinds_for(&pod) {
        caller.check(service, cluster, ResourceAttributes::new("list", kind.group, kind.plural)).await?;
        let mut records = Vec::new();
        let mut query = ListQuery { limit: Some(AT_ONCE), ..ListQuery::all(kind.key()) };
        loop {
            let page = service.store.list_at(cluster, &query, decision.revision).await?.items;
            let is_last = page.len() < AT_ONCE;
            query.after = page.last().map(|last| (last.key.namespace.clone(), last.key.name.clone()));
            bytes = bytes.saturating_add(page.iter().map(|record| record.body.len()).sum());
            records.extend(page);
            if bytes > LARGEST {
                return Err(Error::BadRequest(format!(
                    "the objects of a bundle have at most {LARGEST} bytes, and those of this decision have more"
                )));
            }
            if is_last {
                break;
            }
        }
        objects.push((kind, records));
    }
    compute_long(false, move || made(walk, &decision, &pod, objects, hash_names)).await?
}

/// The kinds that a pod can touch.
fn kinds_for(pod: &Pod) -> impl Iterator<Item = &'static StoredKind> {
    let has_volumes = !pod.volumes.is_empty();
    let has_devices = !pod.resource_claims.is_empty() || !pod.spec.requests.scalar.is_empty();
    kinds::shared().filter(move |kind| {
        let is_read = kind.core().is_some() && kind.is_stored_form();
        let is_touched =
            (has_volumes || !OF_VOLUMES.contains(&kind.plural)) && (has_devices || !OF_DEVICES.contains(&kind.plural));
        is_read && is_touched
    })
}

fn made(mut walk: Walk, decision: &Decision, pod: &Pod, objects: Objects, hash_names: bool) -> Result<Value> {
    let snapshot = &walk.snapshot();
    let Some(head) = walk.head() else { return Err(Error::Expired("the state is not known".into())) };
    let expected = explained(&head.chosen, snapshot, pod, decision.seed, false);
    let mut sent: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for before in walk.kept() {
        if let Some(body) = &before.pod.body {
            sent.insert((&before.pod.namespace, &before.pod.name), body.get());
        }
    }
    let mut items = Vec::new();
    let mut own = decision.pod.body.as_ref().map(|body| body.get().to_owned());
    for (kind, records) in objects {
        let is_pods = kind.is(Kind::Pod);
        for record in records {
            if !is_pods {
                items.push(item(kind, &record, snapshot, &decision.avoided)?);
                continue;
            }
            let (namespace, name) = (&*record.key.namespace, &*record.key.name);
            let text = with_node(&record)?;
            if namespace == decision.pod.namespace && name == decision.pod.name {
                own.get_or_insert_with(|| text.into_owned());
            } else if !sent.contains_key(&(namespace, name)) {
                items.extend(placed(kind, &text, snapshot, (namespace, name))?);
            }
        }
        if is_pods {
            for ((namespace, name), text) in &sent {
                items.extend(placed(kind, text, snapshot, (namespace, name))?);
            }
        }
    }
    let own = own.ok_or_else(|| Error::Expired("the pod of the decision is not kept".into()))?;
    let mut own: pod::Pod = decode::from_slice(own.as_bytes()).map_err(Error::internal)?;
    own.spec.node_name = String::new();
    let mut bundle = json!({
        "pod": pruned(&own)?,
        "cluster": {"kind": "List", "apiVersion": "v1", "items": items},
        "policy": without_secrets(policy(head, decision)?),
        "seed": decision.seed,
    });
    let mut answer = asked(&bundle)?;
    if (&answer.selected, &answer.message) != (&expected.selected, &expected.message) {
        let told = format!("it says {:?}, and the decision says {:?}", answer.message, expected.message);
        return Err(Error::internal(format!("the bundle does not give the answer of its decision: {told}")));
    }
    if hash_names {
        if decision.policy_text.is_some() || !head.chosen.profile().extenders.is_empty() {
            return Err(unrenamed("a policy of a request, or one with extenders"));
        }
        let is_of_others = |item: &Value| {
            let kind = item["kind"].as_str().unwrap_or_default();
            let plural =
                kinds::of_object(item["apiVersion"].as_str().unwrap_or_default(), kind).map(|kind| kind.plural);
            plural.is_some_and(|plural| OF_VOLUMES.contains(&plural) || OF_DEVICES.contains(&plural))
        };
        if bundle["cluster"]["items"].as_array().is_some_and(|items| items.iter().any(is_of_others)) {
            return Err(unrenamed("volumes or devices"));
        }
        without_annotations(&mut bundle);
        tag_images(&mut bundle);
        let names = Names::of(&bundle);
        names.rename(&mut bundle);
        let wanted = expected.selected.as_deref().map(|node| names.get(node));
        bundle["seed"] = seed_for(&expected, &names, decision).into();
        answer = asked(&bundle)?;
        if answer.selected.as_deref() != wanted.as_deref() {
            return Err(Error::internal("the renamed bundle does not give the answer of its decision"));
        }
    }
    bundle["answer"] = json!({"selected": answer.selected, "message": answer.message});
    Ok(bundle)
}

fn unrenamed(what: &str) -> Error {
    Error::BadRequest(format!("hashNames: names in decisions about {what} cannot be replaced; ask without hashNames"))
}

/// A policy without the means by which extenders are reached: their certificates and keys, and the passwords in their addresses.
fn without_secrets(mut policy: Value) -> Value {
    let extenders =
        policy.as_object_mut().into_iter().flatten().filter(|(name, _)| name.eq_ignore_ascii_case("extenders"));
    for extender in extenders.filter_map(|(_, list)| list.as_array_mut()).flatten().filter_map(Value::as_object_mut) {
        extender.retain(|name, _| !name.eq_ignore_ascii_case("tlsConfig"));
        for (_, value) in extender.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("urlPrefix")) {
            if let Value::String(url) = value {
                *url = without_password(&token::masked(url));
            }
        }
    }
    policy
}

fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Takes annotations away: no decision reads them but about volumes, whose names are not replaced.
fn without_annotations(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("annotations");
            fields.values_mut().for_each(without_annotations);
        }
        Value::Array(values) => values.iter_mut().for_each(without_annotations),
        _ => {}
    }
}

/// The answer of `/explain` to a bundle.
fn asked(bundle: &Value) -> Result<Explanation> {
    let text = serde_json::to_vec(bundle).map_err(Error::internal)?;
    let request: ExplainRequest = decode::from_slice(&text).map_err(Error::internal)?;
    explain::answer(&request, None, &View::default())
}

/// The policy of a decision as JSON.
fn policy(head: &Head, decision: &Decision) -> Result<Value> {
    if let Some(text) = &decision.policy_text {
        return serde_json::from_str(text.get()).map_err(Error::internal);
    }
    let Some(text) = &head.text else {
        // All of the defaults: those that are built in.
        return Ok(json!({"kind": "Policy", "apiVersion": "v1"}));
    };
    let json = match serde_json::from_str::<Value>(text) {
        Ok(json) => return Ok(json),
        Err(_) => yaml::to_json(text.as_bytes(), true).map_err(Error::internal)?.into_owned(),
    };
    serde_json::from_slice(&json).map_err(Error::internal)
}

/// An object of a cluster in a list, as it counted.
fn item(kind: &StoredKind, record: &Record, snapshot: &Snapshot, avoided: &[String]) -> Result<Value> {
    let body = &record.body;
    let mut item = match kind.plural {
        "nodes" => typed::<node::Node>(body)?,
        "services" => typed::<workload::Service>(body)?,
        "replicationcontrollers" => typed::<workload::ReplicationController>(body)?,
        "replicasets" => typed::<workload::ReplicaSet>(body)?,
        "statefulsets" => typed::<workload::StatefulSet>(body)?,
        "namespaces" => typed::<workload::Namespace>(body)?,
        "priorityclasses" => typed::<disruption::PriorityClass>(body)?,
        "runtimeclasses" => typed::<runtime_class::RuntimeClass>(body)?,
        "poddisruptionbudgets" => {
            let mut budget: disruption::PodDisruptionBudget = decode::from_slice(body).map_err(Error::internal)?;
            let (namespace, name) = (&*record.key.namespace, &*record.key.name);
            if let Some(counted) = snapshot.disruption_budget(&namespace.into(), &name.into()) {
                budget.status.disruptions_allowed = counted.disruptions_allowed;
            }
            pruned(&budget)?
        }
        _ => serde_json::from_slice(body).map_err(Error::internal)?,
    };
    if kind.is(Kind::Node) && avoided.iter().any(|name| *name == *record.key.name) {
        let taint = json!({"key": "podberth.io/resting", "effect": "NoSchedule"});
        match &mut item["spec"]["taints"] {
            Value::Array(taints) => taints.push(taint),
            none => *none = json!([taint]),
        }
    }
    Ok(of_kind(kind, item))
}

/// A pod as it counted: on its node, or nominated to one; `None` if it did not count.
fn placed(
    kind: &StoredKind,
    text: &str,
    snapshot: &Snapshot,
    (namespace, name): (&str, &str),
) -> Result<Option<Value>> {
    let Some(counted) = snapshot.pod(namespace, name) else { return Ok(None) };
    if !counted.is_assigned() && counted.nominated_node_name.is_empty() {
        return Ok(None);
    }
    let mut pod: pod::Pod = decode::from_slice(text.as_bytes()).map_err(Error::internal)?;
    pod.spec.node_name = counted.node_name.to_string();
    pod.status.nominated_node_name = counted.nominated_node_name.to_string();
    Ok(Some(of_kind(kind, pruned(&pod)?)))
}

fn of_kind(kind: &StoredKind, mut item: Value) -> Value {
    item["kind"] = kind.kind.into();
    item["apiVersion"] = kind.api_version().into();
    item
}

fn typed<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<Value> {
    pruned(&decode::from_slice::<T>(body).map_err(Error::internal)?)
}

/// An object with the fields that decisions read, without those that are absent anyway.
fn pruned(object: &impl Serialize) -> Result<Value> {
    fn prune(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                *fields = std::mem::take(fields)
                    .into_iter()
                    .filter(|(_, value)| !value.is_null() && *value != json!([]))
                    .map(|(name, mut value)| {
                        prune(&mut value);
                        (name, value)
                    })
                    .collect::<Map<_, _>>();
            }
            Value::Array(values) => values.iter_mut().for_each(prune),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(object).map_err(Error::internal)?;
    prune(&mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_handed_out_without_the_secrets_of_its_extenders() {
        let policy = json!({"extenders": [{"urlPrefix": "https://me:pass@host:9/x?y=@", "weight": 2, "tlsConfig": {"keyData": "k"}, "TLSConfig": {}}]});
        let shown = without_secrets(policy);
        assert_eq!(shown, json!({"extenders": [{"urlPrefix": "https://host:9/x?y=@", "weight": 2}]}));
        assert_eq!(without_secrets(json!([1])), json!([1]), "whatever it is");
    }
}

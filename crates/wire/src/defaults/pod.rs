//! New pods: the rules that read other objects, one after another, and their results in the pod's text or struct.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Denied, amounts,
    priority::{self, policy_name},
    runtime_class, tolerations,
};
use crate::{
    decode,
    document::Document,
    fault::{Faults, Path},
    objects::{
        pod::{PodSpec, Toleration},
        quantity::{QuantityText, resource_list},
    },
};
use podberth_core::{
    model::{Pod, ResourceList, Toleration as CoreToleration},
    snapshot::Snapshot,
};

/// The fields of `spec` that the rules read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NewPod<'a> {
    node_name: String,
    priority: Option<i32>,
    priority_class_name: String,
    preemption_policy: Option<String>,
    runtime_class_name: Option<String>,
    overhead: Option<BTreeMap<String, QuantityText>>,
    node_selector: BTreeMap<String, String>,
    #[serde(borrow)]
    tolerations: Vec<&'a RawValue>,
}

impl NewPod<'_> {
    fn priority(&self) -> priority::Said<'_> {
        let (class, policy) = (&*self.priority_class_name, self.preemption_policy.as_deref());
        priority::Said { priority: self.priority, class, policy }
    }
}

/// Writes into a new pod the fields that other objects decide. Unless `is_strict`, a pod that is on a node already is a fact: only the
/// priority of its class is written, if it has none.
pub(super) fn admit(document: &mut Document, classes: &Snapshot, is_strict: bool) -> Result<(), Denied> {
    let Some(spec) = document.get("spec").map(|spec| spec.get().to_owned()) else { return Ok(()) };
    let Ok(new) = decode::from_slice::<NewPod<'_>>(spec.as_bytes()) else { return Ok(()) };
    let own: Result<Vec<Toleration>, _> =
        new.tolerations.iter().map(|t| decode::from_slice(t.get().as_bytes())).collect();
    let Ok(own) = own else { return Ok(()) };

    let mut fields: Vec<(&str, Value)> = Vec::new();
    let is_fact = !is_strict && !new.node_name.is_empty();
    let filled = if is_fact && (new.priority.is_some() || new.priority_class_name.is_empty()) {
        priority::Filled::default()
    } else {
        priority::fill(new.priority(), is_strict, classes)?
    };
    fields.extend(filled.class.map(|class| ("priorityClassName", json!(&*class))));
    fields.extend(filled.priority.map(|priority| ("priority", json!(priority))));
    fields.extend(filled.policy.map(|policy| ("preemptionPolicy", json!(policy_name(policy)))));

    let mut added: Vec<CoreToleration> = Vec::new();
    if let Some(name) = new.runtime_class_name.as_ref().filter(|_| !is_fact) {
        let class = runtime_class::find(name, classes)?;
        let said = new.overhead.as_ref().map(amounts_of);
        let overhead = runtime_class::overhead(class, said.as_ref())?;
        fields.extend(overhead.map(|list| ("overhead", texts(list).collect::<Value>())));
        let selector = runtime_class::node_selector(class, &new.node_selector)?;
        fields.extend(selector.map(|labels| ("nodeSelector", json!(labels))));
        added.clone_from(&class.tolerations);
    } else if is_strict && new.overhead.as_ref().is_some_and(|overhead| !overhead.is_empty()) {
        let message = runtime_class::WITHOUT_OVERHEAD.into();
        return Err(Denied { field: "spec.overhead", message, is_unknown: false });
    }
    let kept: Vec<usize> = (0..own.len()).filter(|i| !is_overridden(&own[*i], &added)).collect();
    let of_class = added.len();
    let said = added.iter().map(key_and_effect).chain(kept.iter().map(|i| (&*own[*i].key, &*own[*i].effect)));
    let missing: Vec<_> = tolerations::missing(said).filter(|_| !is_fact).collect();
    added.extend(missing);

    let mut written: Vec<(&str, Box<RawValue>)> = Vec::with_capacity(fields.len() + 1);
    for (field, value) in &fields {
        written.extend(serde_json::value::to_raw_value(value).ok().map(|raw| (*field, raw)));
    }
    if !added.is_empty() {
        let (before, after) = added.split_at(of_class);
        let text = |toleration: &CoreToleration| json_of(toleration).to_string();
        let own = kept.iter().map(|i| new.tolerations[*i].get().to_owned());
        let all: Vec<String> = before.iter().map(text).chain(own).chain(after.iter().map(text)).collect();
        written.extend(RawValue::from_string(format!("[{}]", all.join(","))).ok().map(|raw| ("tolerations", raw)));
    }
    // The spec was read as an object above, so that it can be written as one.
    let _ = document.set_all_in("spec", written);
    Ok(())
}

/// Fills in the pod of a request to decide: its priority, and the demands of its runtime class. Fields that contradict other objects, or name
/// missing ones, stay as they are.
pub fn ask(spec: &mut PodSpec, classes: &Snapshot) {
    let (class, policy) = (&*spec.priority_class_name, spec.preemption_policy.as_deref());
    if let Ok(filled) = priority::fill(priority::Said { priority: spec.priority, class, policy }, false, classes) {
        spec.priority = filled.priority.or(spec.priority);
        if let Some(class) = filled.class {
            spec.priority_class_name = class.to_string();
        }
        if let Some(policy) = filled.policy {
            spec.preemption_policy = Some(policy_name(policy).into());
        }
    }
    in_cluster(spec, classes);
}

/// Fills in the demands of a pod's runtime class, as far as the pod leaves them open.
pub fn in_cluster(spec: &mut PodSpec, classes: &Snapshot) {
    let Some(class) = spec.runtime_class_name.as_ref().and_then(|name| runtime_class::find(name, classes).ok()) else {
        return;
    };
    if spec.overhead.is_empty()
        && let Ok(Some(list)) = runtime_class::overhead(class, None)
    {
        spec.overhead = texts(list).map(|(name, amount)| (name, QuantityText(amount))).collect();
    }
    if let Ok(Some(labels)) = runtime_class::node_selector(class, &spec.node_selector) {
        spec.node_selector = labels;
    }
    spec.tolerations.retain(|own| !is_overridden(own, &class.tolerations));
    spec.tolerations.splice(0..0, class.tolerations.iter().map(Toleration::of));
}

/// Fills in a pod the defaults of every new pod: its priority and tolerations. A pod with a uid or a node was created elsewhere and stays as it
/// is. Overhead and the other demands of its runtime class are filled in before it is read ([`in_cluster`]).
pub fn fill_new(pod: &mut Pod, classes: &Snapshot) {
    if !pod.uid.is_empty() || pod.is_assigned() {
        return;
    }
    let spec = pod.spec_mut();
    let (class, policy) = (&*spec.priority_class_name, spec.preemption_policy.map(policy_name));
    if let Ok(filled) = priority::fill(priority::Said { priority: spec.priority, class, policy }, false, classes) {
        spec.priority = filled.priority.or(spec.priority);
        spec.preemption_policy = filled.policy.or(spec.preemption_policy);
        if let Some(class) = filled.class {
            spec.priority_class_name = class;
        }
    }
    let missing: Vec<_> = tolerations::missing(spec.tolerations.iter().map(key_and_effect)).collect();
    spec.tolerations.extend(missing);
}

/// `true` if an added toleration has the key and the effect of this one.
fn is_overridden(own: &Toleration, added: &[CoreToleration]) -> bool {
    added.iter().map(key_and_effect).any(|(key, effect)| own.key == key && own.effect == effect)
}

fn key_and_effect(toleration: &CoreToleration) -> (&str, &str) {
    (&toleration.key, toleration.effect.map_or("", |effect| effect.name()))
}

fn json_of(toleration: &CoreToleration) -> Value {
    let said = Toleration::of(toleration);
    let texts = [("key", said.key), ("operator", said.operator), ("value", said.value), ("effect", said.effect)];
    let mut fields: serde_json::Map<String, Value> =
        texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.into(), text.into())).collect();
    if let Some(seconds) = said.toleration_seconds {
        fields.insert("tolerationSeconds".into(), seconds.into());
    }
    fields.into()
}

/// Amounts in the form in which they compare with those of a class. Invalid ones are left out; validation reports them.
fn amounts_of(said: &BTreeMap<String, QuantityText>) -> ResourceList {
    let mut list = resource_list(said, &Path::ROOT, &mut Faults::default());
    amounts::round(&mut list);
    list
}

fn texts(list: &ResourceList) -> impl Iterator<Item = (String, String)> + '_ {
    list.iter().map(|(name, amount)| (name.to_string(), amount.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::{
        model::{Effect, Name, PriorityClass, RuntimeClass, TolerationOperator},
        snapshot::Object,
    };

    const DEFAULTS: &str = r#"{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300},{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}"#;

    fn classes() -> Snapshot {
        let toleration = |key: &str, effect| CoreToleration {
            key: key.into(),
            operator: TolerationOperator::Equal,
            value: "yes".into(),
            effect,
            seconds: None,
        };
        let kata = RuntimeClass {
            name: "kata".into(),
            overhead: Some([(Name::from("cpu"), "250m".parse().unwrap())].into()),
            node_selector: [("runtime", "kata")].into_iter().collect(),
            tolerations: vec![toleration("kata", Some(Effect::NoSchedule))],
        };
        let low = PriorityClass { name: "low".into(), value: 10, ..PriorityClass::default() };
        [Object::RuntimeClass(kata), Object::PriorityClass(low)].into_iter().collect()
    }

    fn admitted(spec: &str) -> Result<String, Denied> {
        let mut document = Document::parse(format!(r#"{{"spec":{spec}}}"#).as_bytes()).unwrap();
        admit(&mut document, &classes(), false).map(|()| document.get("spec").unwrap().get().to_owned())
    }

    #[test]
    fn a_new_pod_gets_the_defaults_of_other_objects() {
        let spec = admitted(r#"{"odd":1.50,"priorityClassName":"low"}"#).unwrap();
        let rest = r#""priority":10,"preemptionPolicy":"PreemptLowerPriority""#;
        assert_eq!(spec, format!(r#"{{"odd":1.50,"priorityClassName":"low",{rest},"tolerations":[{DEFAULTS}]}}"#));
        let own = r#"{ "key":"kata","effect":"NoSchedule"},{"key":"kata", "operator":"Exists"}"#;
        let said =
            format!(r#"{{"runtimeClassName":"kata","priority":3,"nodeSelector":{{"a":"b"}},"tolerations":[{own}]}}"#);
        let spec: Value = serde_json::from_str(&admitted(&said).unwrap()).unwrap();
        assert_eq!(spec["overhead"], json!({"cpu": "250m"}));
        assert_eq!(spec["nodeSelector"], json!({"a": "b", "runtime": "kata"}));
        // the class's own first, instead of the pod's of the same key and effect
        let tolerations = spec["tolerations"].as_array().unwrap();
        assert_eq!(tolerations[0], json!({"key": "kata", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}));
        assert_eq!(tolerations[1], json!({"key": "kata", "operator": "Exists"}));
        assert_eq!(tolerations.len(), 4);
        assert_eq!(spec["priority"], 3, "what is said stays");
    }

    #[test]
    fn pod_that_is_filled_in_already_stays_as_it_is() {
        let once = admitted(r#"{"runtimeClassName":"kata","priorityClassName":"low"}"#).unwrap();
        assert_eq!(admitted(&once).unwrap(), once);
    }

    #[test]
    fn pod_that_contradicts_its_classes_is_refused() {
        for (spec, field) in [
            (r#"{"runtimeClassName":"nope"}"#, "spec.runtimeClassName"),
            (r#"{"runtimeClassName":"kata","overhead":{"cpu":"251m"}}"#, "spec.overhead"),
            (r#"{"runtimeClassName":"kata","nodeSelector":{"runtime":"runc"}}"#, "spec.nodeSelector"),
            (r#"{"priorityClassName":"nope"}"#, "spec.priorityClassName"),
            (r#"{"priorityClassName":"low","priority":11}"#, "spec.priority"),
        ] {
            assert_eq!(admitted(spec).unwrap_err().field, field, "{spec}");
        }
        // the same amount in other words; an overhead without a class
        assert!(admitted(r#"{"runtimeClassName":"kata","overhead":{"cpu":"0.25"}}"#).is_ok());
        assert!(admitted(r#"{"overhead":{"cpu":"251m"}}"#).is_ok());
        // a pod on a node is a fact
        for said in [r#"{"nodeName":"n","priorityClassName":"nope","priority":1}"#, r#"{"nodeName":"n"}"#] {
            assert_eq!(admitted(said).unwrap(), said);
        }
        let filled = admitted(r#"{"nodeName":"n","priorityClassName":"low"}"#).unwrap();
        assert!(filled.contains(r#""priority":10"#) && !filled.contains("tolerations"), "{filled}");
        // what cannot be read is left to validation
        for spec in ["[]", "7", r#"{"tolerations":[7]}"#, r#"{"priority":"high"}"#] {
            assert_eq!(admitted(spec).unwrap(), spec);
        }
    }
}

//! Namespaces, runtime classes, services and controllers.
//!
//! Source: `pkg/apis/core/validation/validation.go` (`ValidateServiceCreate`, `ValidateReplicationControllerSpec`),
//! `pkg/apis/apps/validation/validation.go` (`ValidateReplicaSetSpec`, `ValidateStatefulSetSpec`). Decisions read selectors;
//! a template is checked where there is one.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Validate;
use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::{
        meta::ObjectMeta,
        names,
        node_group::NodeGroup,
        pod::Pod,
        runtime_class::RuntimeClass,
        workload::{DaemonSet, Job, Namespace, ReplicaSet, ReplicationController, Service, StatefulSet},
    },
};
use podberth_core::model::{Name, Operator, Requirement, Selector};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    spec: ExtraSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtraSpec {
    replicas: Option<i32>,
    min_ready_seconds: i32,
    template: Option<Box<RawValue>>,
}

impl Validate for Namespace {}

impl Validate for RuntimeClass {}

impl Validate for DaemonSet {}

impl Validate for Job {}

impl Validate for NodeGroup {}

impl Validate for Service {
    fn validate(&self, _: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let name = &self.metadata.name;
        // An invalid label is reported already.
        if names::dns_subdomain(name).is_ok()
            && let Err(rule) = names::dns_1035_label(name)
        {
            let metadata = Path::ROOT.child("metadata");
            faults.invalid(&metadata.child("name"), name, rule);
        }
        Ok(())
    }
}

impl Validate for ReplicationController {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        controller(json, self.to_core().object.selector.as_ref(), faults)
    }
}

impl Validate for ReplicaSet {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        set(json, self.spec.selector.is_none(), self.to_core().object.selector.as_ref(), faults)
    }
}

impl Validate for StatefulSet {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        set(json, self.spec.selector.is_none(), self.to_core().object.selector.as_ref(), faults)
    }
}

fn set(json: &[u8], is_absent: bool, selector: Option<&Selector>, faults: &mut Faults) -> Result<(), DecodeError> {
    let spec_at = Path::ROOT.child("spec");
    if is_absent {
        faults.required(&spec_at.child("selector"), "");
    } else if selector.is_some_and(Selector::is_empty) {
        faults.invalid(&spec_at.child("selector"), "{}", "empty selector is invalid: it would select every pod");
    }
    // A set without a selector has no pods, those of its template neither.
    let nothing = Selector(vec![Requirement { key: Name::default(), operator: Operator::Exists }]);
    controller(json, Some(selector.unwrap_or(&nothing)), faults)
}

fn controller(json: &[u8], selector: Option<&Selector>, faults: &mut Faults) -> Result<(), DecodeError> {
    let Extra { spec } = decode::from_slice(json)?;
    let at = Path::ROOT.child("spec");
    for (field, count) in [("replicas", spec.replicas.unwrap_or_default()), ("minReadySeconds", spec.min_ready_seconds)]
    {
        if count < 0 {
            faults.invalid(&at.child(field), count, "must be greater than or equal to 0");
        }
    }
    let Some(template) = spec.template.filter(|template| template.get() != "null") else { return Ok(()) };
    self::template(&template, selector, &at.child("template"), faults)
}

/// The pod of a template: it is one that could be made, and its controller finds it again.
fn template(
    json: &RawValue,
    selector: Option<&Selector>,
    at: &Path<'_>,
    faults: &mut Faults,
) -> Result<(), DecodeError> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Words {
        spec: WordsSpec,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct WordsSpec {
        restart_policy: String,
    }
    let json = json.get().as_bytes();
    let within = |error: DecodeError| DecodeError { field: format!("spec.template.{}", error.field), ..error };
    let mut pod: Pod = decode::from_slice(json).map_err(within)?;
    // The name is given to each pod that is made of it.
    pod.metadata = ObjectMeta { name: "pod".into(), namespace: String::new(), ..pod.metadata };
    let converted = pod.to_core();
    if let Some(selector) = selector.filter(|selector| !selector.is_empty())
        && !selector.matches(&converted.object.labels)
    {
        let metadata = at.child("metadata");
        faults.invalid(&metadata.child("labels"), &pod.metadata.labels, "`selector` does not match template `labels`");
    }
    let mut own = Faults::default();
    pod.validate(json, &mut own).map_err(within)?;
    let policy = decode::from_slice::<Words>(json).map_err(within)?.spec.restart_policy;
    if !matches!(policy.as_str(), "" | "Always") {
        let spec = at.child("spec");
        faults.not_supported(&spec.child("restartPolicy"), &policy, &["Always"]);
    }
    faults.adopt("spec.template", converted.causes.into_iter().chain(own.into_causes()));
    Ok(())
}

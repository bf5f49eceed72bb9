//! The demands of a RuntimeClass on a new pod that names it: its overhead, its node selector in addition to the pod's own, and its
//! tolerations before the pod's own. Of two tolerations with one key and effect, that of the class stays.
//!
//! A pod is refused if its class does not exist, if its overhead differs from that of the class, or if it has another value for a
//! label of the class's node selector. Under `--admission=none` a pod without a class may set its overhead.
//!
//! Source: `plugin/pkg/admission/runtimeclass/admission.go` (`setOverhead`, `setScheduling`, `validateOverhead`),
//! `pkg/util/tolerations/tolerations.go` (`MergeTolerations`).

use std::collections::BTreeMap;

use super::Denied;
use podberth_core::{
    model::{ResourceList, RuntimeClass},
    snapshot::Snapshot,
};

/// Why a pod may not set an overhead.
pub(super) const WITHOUT_OVERHEAD: &str =
    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

/// The class of that name.
pub(super) fn find<'s>(name: &str, classes: &'s Snapshot) -> Result<&'s RuntimeClass, Denied> {
    classes.runtime_class(name).map(|class| &**class).ok_or_else(|| Denied {
        field: "spec.runtimeClassName",
        message: format!("pod rejected: RuntimeClass {name:?} not found"),
        is_unknown: true,
    })
}

/// The overhead that the pod gets; `None` where there is nothing to fill in.
pub(super) fn overhead<'c>(
    class: &'c RuntimeClass,
    said: Option<&ResourceList>,
) -> Result<Option<&'c ResourceList>, Denied> {
    let denied = |why: &str| Err(Denied { field: "spec.overhead", message: why.into(), is_unknown: false });
    match (&class.overhead, said) {
        (overhead, None) => Ok(overhead.as_ref()),
        (Some(overhead), Some(said)) if overhead != said => {
            denied("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")
        }
        (Some(_), Some(_)) => Ok(None),
        (None, Some(_)) => denied(WITHOUT_OVERHEAD),
    }
}

/// The node selector that the pod gets; `None` where there is nothing to fill in.
pub(super) fn node_selector(
    class: &RuntimeClass,
    said: &BTreeMap<String, String>,
) -> Result<Option<BTreeMap<String, String>>, Denied> {
    let mut filled = None;
    for (key, value) in class.node_selector.iter() {
        match said.get(&**key) {
            Some(said) if *said == **value => {}
            Some(said) => {
                let message = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {said}"
                );
                return Err(Denied { field: "spec.nodeSelector", message, is_unknown: false });
            }
            None => {
                filled.get_or_insert_with(|| said.clone()).insert(key.to_string(), value.to_string());
            }
        }
    }
    Ok(filled)
}

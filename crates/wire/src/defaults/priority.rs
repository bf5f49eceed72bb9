//! Priority and preemption policy of a new pod: those of its class or, without a class name, of the default class. Both are written into the
//! pod, with the name of the class, so that no later change of classes changes the pod. The system's own classes (`system-node-critical`,
//! `system-cluster-critical`) exist without being stored.
//!
//! A pod is refused if its class does not exist, or if its priority or policy differs from that of the class. Unlike in Kubernetes, a pod
//! without a class may set its priority.
//!
//! Source: `plugin/pkg/admission/priority/admission.go` (`admitPod`, `validatePriorityClass`),
//! `pkg/apis/scheduling/validation/validation.go`.

use super::Denied;
use podberth_core::{
    model::{Name, PreemptionPolicy, PriorityClass},
    snapshot::Snapshot,
};

/// The priority fields of a pod.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said<'a> {
    /// `spec.priority`.
    pub priority: Option<i32>,
    /// `spec.priorityClassName`; empty for none.
    pub class: &'a str,
    /// `spec.preemptionPolicy`.
    pub policy: Option<&'a str>,
}

/// The values to fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled {
    pub priority: Option<i32>,
    pub class: Option<Name>,
    pub policy: Option<PreemptionPolicy>,
}

/// The name of a policy.
pub(super) fn policy_name(policy: PreemptionPolicy) -> &'static str {
    match policy {
        PreemptionPolicy::PreemptLowerPriority => "PreemptLowerPriority",
        PreemptionPolicy::Never => "Never",
    }
}

/// The priority values that a new pod leaves open. Under `is_strict` a pod may not set a priority that its class, or the absence of one, does
/// not give it.
pub(super) fn fill(said: Said<'_>, is_strict: bool, classes: &Snapshot) -> Result<Filled, Denied> {
    if said.class.is_empty() {
        let default = if said.priority.is_none() || is_strict { classes.default_priority_class() } else { None };
        let (priority, policy) = default.map_or_else(Default::default, |class| (class.value, class.preemption_policy));
        if is_strict {
            check(said, priority, policy)?;
        }
        return Ok(Filled {
            priority: said.priority.is_none().then_some(priority),
            class: default.map(|class| class.name.clone()),
            policy: said.policy.is_none().then_some(policy),
        });
    }
    let Some(class) = classes.priority_class(said.class) else {
        return Err(Denied {
            field: "spec.priorityClassName",
            message: format!("no PriorityClass with name {} was found", said.class),
            is_unknown: true,
        });
    };
    check(said, class.value, class.preemption_policy)?;
    Ok(Filled {
        priority: said.priority.is_none().then_some(class.value),
        class: None,
        policy: said.policy.is_none().then_some(class.preemption_policy),
    })
}

/// The values that a pod sets are those that it would get.
fn check(said: Said<'_>, priority: i32, policy: PreemptionPolicy) -> Result<(), Denied> {
    if let Some(said) = said.priority.filter(|said| *said != priority) {
        let message = format!(
            "the integer value of priority ({said}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        );
        return Err(Denied { field: "spec.priority", message, is_unknown: false });
    }
    let policy = policy_name(policy);
    if let Some(said) = said.policy.filter(|said| *said != policy) {
        let message = format!(
            "the string value of PreemptionPolicy ({said}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        );
        return Err(Denied { field: "spec.preemptionPolicy", message, is_unknown: false });
    }
    Ok(())
}

/// Only one class may be the default; several can still come about where classes are imported.
pub(super) fn check_default(class: &PriorityClass, classes: &Snapshot) -> Result<(), Denied> {
    match classes.default_priority_class() {
        Some(other) if class.global_default && other.name != class.name => Err(Denied {
            field: "globalDefault",
            message: format!("PriorityClass {} is already marked as default. Only one default can exist", other.name),
            is_unknown: false,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::snapshot::Object;

    fn class(name: &str, value: i32, global_default: bool, never: bool) -> Object {
        let preemption_policy = if never { PreemptionPolicy::Never } else { PreemptionPolicy::PreemptLowerPriority };
        Object::PriorityClass(PriorityClass { name: name.into(), value, global_default, preemption_policy })
    }

    #[test]
    fn priority_and_policy_come_from_the_class() {
        use PreemptionPolicy::{Never, PreemptLowerPriority};
        let classes: Snapshot = [class("low", 10, false, true), class("b", 7, true, false), class("a", 9, true, true)]
            .into_iter()
            .collect();
        let said = |priority, class, policy| Said { priority, class, policy };
        let filled =
            |priority, class: Option<&str>, policy| Ok(Filled { priority, class: class.map(Into::into), policy });
        for (said, expected) in [
            (said(None, "low", None), filled(Some(10), None, Some(Never))),
            (said(Some(10), "low", Some("Never")), filled(None, None, None)),
            (said(None, "system-node-critical", None), filled(Some(2_000_001_000), None, Some(PreemptLowerPriority))),
            (
                said(None, "system-cluster-critical", None),
                filled(Some(2_000_000_000), None, Some(PreemptLowerPriority)),
            ),
            // of two defaults the lower value
            (said(None, "", None), filled(Some(7), Some("b"), Some(PreemptLowerPriority))),
            (said(Some(3), "", None), filled(None, None, Some(PreemptLowerPriority))),
        ] {
            assert_eq!(fill(said, false, &classes), expected, "{said:?}");
        }
        let nothing = fill(Said::default(), true, &Snapshot::default());
        assert_eq!(nothing, filled(Some(0), None, Some(PreemptLowerPriority)));
        let denied = |said| fill(said, false, &classes).map_err(|denied| (denied.field, denied.is_unknown));
        assert_eq!(denied(said(None, "nope", None)), Err(("spec.priorityClassName", true)));
        assert_eq!(denied(said(None, "system-nope", None)), Err(("spec.priorityClassName", true)));
        assert_eq!(denied(said(Some(11), "low", None)), Err(("spec.priority", false)));
        let policy = denied(said(None, "low", Some("PreemptLowerPriority")));
        assert_eq!(policy, Err(("spec.preemptionPolicy", false)));
    }
}

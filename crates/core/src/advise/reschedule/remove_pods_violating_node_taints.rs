//! `RemovePodsViolatingNodeTaints`: evicts pods that do not tolerate a `NoSchedule` taint of their node.
//!
//! `includePreferNoSchedule` adds taints with the effect `PreferNoSchedule`. Taints of the effect `NoExecute` are not looked at: those evict by
//! themselves. `excludedTaints` leaves out, `includedTaints` takes alone taints of these keys, or these as `key=value`.
//!
//! Source: `descheduler/pkg/framework/plugins/removepodsviolatingnodetaints`.

use std::collections::BTreeSet;

use super::{PodFilter, Strategy, Turn};
use crate::{
    model::{Effect, Name, Pod, Taint},
    work,
};

/// Arguments of `RemovePodsViolatingNodeTaints`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemovePodsViolatingNodeTaints {
    /// `namespaces` and `labelSelector`.
    pub pods: PodFilter,
    /// `includePreferNoSchedule`.
    pub with_prefer: bool,
    /// `excludedTaints`.
    pub excluded: BTreeSet<Name>,
    /// `includedTaints`; `None` for all.
    pub included: Option<BTreeSet<Name>>,
}

impl RemovePodsViolatingNodeTaints {
    fn counts(&self, taint: &Taint) -> bool {
        let is_named = |names: &BTreeSet<Name>| {
            names.contains(&taint.key)
                || !taint.value.is_empty() && names.contains(&*format!("{}={}", taint.key, taint.value))
        };
        let has_effect =
            taint.effect == Effect::NoSchedule || self.with_prefer && taint.effect == Effect::PreferNoSchedule;
        has_effect && !is_named(&self.excluded) && self.included.as_ref().is_none_or(is_named)
    }
}

/// The first taint that a pod does not tolerate.
fn untolerated<'t>(taints: &[&'t Taint], pod: &Pod) -> Option<&'t Taint> {
    work::spend_on(taints.len().saturating_mul(pod.spec.tolerations.len()) / 4);
    taints.iter().copied().find(|taint| !pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

impl Strategy for RemovePodsViolatingNodeTaints {
    fn name(&self) -> &'static str {
        "RemovePodsViolatingNodeTaints"
    }

    fn run(&self, turn: &mut Turn<'_, '_>) {
        for node in turn.nodes() {
            let taints: Vec<&Taint> = node.node.taints.iter().filter(|taint| self.counts(taint)).collect();
            if taints.is_empty() {
                continue;
            }
            let mut chosen = Vec::new();
            for pod in &node.pods {
                if untolerated(&taints, pod).is_some() && turn.may_leave(&self.pods, pod) {
                    chosen.push(pod);
                }
            }
            let why = |pod: &Pod| match untolerated(&taints, pod) {
                Some(taint) => format!("it does not tolerate the taint {}:{}", taint.key, taint.effect.name()),
                None => String::new(),
            };
            if turn.evict_all(chosen, why).is_err() {
                return;
            }
        }
    }
}

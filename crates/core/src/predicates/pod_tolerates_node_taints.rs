//! # Rule
//! The pod tolerates every taint of the node whose effect is `NoSchedule` or `NoExecute`. A toleration covers a taint
//! when its effect is the same or empty, its key is the same or empty, and its operator is `Exists` or its value is the
//! same.
//!
//! # Policy name and framework plugin
//! `PodToleratesNodeTaints`, under every policy even where it is not listed; plugin `TaintToleration`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go` (`Filter`), `api/core/v1/toleration.go`. Between
//! 1.22 and 1.34 only the text changed. The same rule in 1.6 (`PodToleratesNodeTaints` in
//! `plugin/pkg/scheduler/algorithm/predicates/predicates.go`), where a policy had to list it.
//!
//! # Reason text
//! The first taint that is not tolerated, in the node's order; a taint without value leaves nothing after the colon:
//! 1.22 `node(s) had taint {<key>: <value>}, that the pod didn't tolerate`, 1.34 `node(s) had untolerated taint {<key>:
//! <value>}`.
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! A node tainted `gpu=a100:NoSchedule` takes only pods with a toleration such as `{key: gpu, operator: Exists}`.

use super::{Build, Demand, Predicate, Registration, Standing};
use crate::{
    block::pick,
    model::{Effect, Pod, Taint, first_untolerated},
    node_info::NodeInfo,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "PodToleratesNodeTaints",
        aliases: &[],
        plugin: "TaintToleration",
        modern_plugin: Some("TaintToleration"),
        arguments: &[],
        source: include_str!("pod_tolerates_node_taints.rs"),
    },
    standing: Standing::Mandatory,
    build: Build::Rule(|arguments| Box::new(PodToleratesNodeTaints { release: arguments.release })),
};

struct PodToleratesNodeTaints {
    release: Release,
}

impl Predicate for PodToleratesNodeTaints {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let repels = |effect| matches!(effect, Effect::NoSchedule | Effect::NoExecute);
        let untolerated = move |taints: &[Taint]| first_untolerated(taints, &pod.spec.tolerations, repels).cloned();
        let [before, after] = self.release.facts().untolerated_taint;
        let verdict = move |node: &NodeInfo| match untolerated(&node.node.taints) {
            None => Verdict::Fits,
            Some(Taint { key, value, .. }) => Verdict::unresolvable(format!("{before}{{{key}: {value}}}{after}")),
        };
        let tolerated = snapshot.index().topology.by_taints(|taints| untolerated(taints).is_none(), true);
        Demand::sift(move |block, asked| pick(asked, |at| tolerated.of(block.slot(at))), verdict)
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{node, pod, predicate, verdict_of};
    use crate::{
        model::Effect::{NoExecute, NoSchedule, PreferNoSchedule},
        rule::{Arguments, Release},
        verdict::Verdict,
    };

    #[test]
    fn the_reason_names_the_first_untolerated_taint() {
        let cluster = [
            node("soft").taint("spot", "", PreferNoSchedule),
            node("hard").taint("gpu", "a100", NoSchedule).taint("team", "", NoExecute),
        ];
        let verdict = |release, pod, on| {
            verdict_of(&*predicate("PodToleratesNodeTaints", &Arguments::defaults(release)), pod, &cluster, on)
        };
        for (release, gpu, team) in [
            (
                Release::V1_22,
                "node(s) had taint {gpu: a100}, that the pod didn't tolerate",
                "node(s) had taint {team: }, that the pod didn't tolerate",
            ),
            (Release::V1_34, "node(s) had untolerated taint {gpu: a100}", "node(s) had untolerated taint {team: }"),
        ] {
            assert!(verdict(release, pod("p"), "soft").fits());
            assert_eq!(verdict(release, pod("p"), "hard"), Verdict::unresolvable(gpu));
            assert_eq!(verdict(release, pod("p").tolerates("gpu"), "hard"), Verdict::unresolvable(team));
            assert!(verdict(release, pod("p").tolerates("gpu").tolerates("team"), "hard").fits());
            assert!(verdict(release, pod("p").tolerates(""), "hard").fits());
        }
    }
}

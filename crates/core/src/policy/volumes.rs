//! Volumes and devices for a pod's claims under a profile.

use super::Profile;
use crate::{claim_choice::ClaimChoice, model::Pod, snapshot::Snapshot};

impl Profile {
    /// The volumes and devices to choose for the pod's claims if it goes to the node, on which it fits; each claim once. Pods
    /// without claims cost nothing.
    pub fn claim_choices(&self, pod: &Pod, snapshot: &Snapshot, node: &str) -> Vec<ClaimChoice> {
        if !pod.may_have_claims() {
            return Vec::new();
        }
        let Some(node) = snapshot.node(node) else { return Vec::new() };
        let mut choices: Vec<ClaimChoice> = Vec::new();
        for choice in self.predicates.iter().flat_map(|p| p.rule.choose(pod, snapshot, node)) {
            if choices.iter().all(|other| other.claim() != choice.claim()) {
                choices.push(choice);
            }
        }
        choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim_choice::SELECTED_NODE;
    use crate::policy::Policy;
    use crate::testing::{PodBuilder, cluster, node, pod, pv, pvc, storage_class};

    fn choices(pod: PodBuilder, on: &str) -> Vec<String> {
        let objects = [
            node("a").into(),
            node("b").into(),
            storage_class("local").provisioner("kubernetes.io/no-provisioner").into(),
            storage_class("made").into(),
            pv("small").class("local").size("2Gi").into(),
            pv("large").class("local").size("8Gi").into(),
            pvc("one").class("local").into(),
            pvc("two").class("local").size("3Gi").into(),
            pvc("new").class("made").into(),
            pvc("for-a").class("made").annotation(SELECTED_NODE, "a").into(),
            pvc("bound").class("local").bound_to("small").into(),
        ];
        let snapshot = cluster(objects);
        let profile = Policy::default().compile().expect("the default policy compiles");
        let told = |choice: ClaimChoice| match choice {
            ClaimChoice::Bind { volume, claim } => format!("{} to {}", volume.name, claim.name),
            ClaimChoice::Make { claim, node } => format!("{} on {node}", claim.name),
            ClaimChoice::Devices { .. } => unreachable!("no pod here claims devices"),
        };
        profile.claim_choices(&pod.build(), &snapshot, on).into_iter().map(told).collect()
    }

    #[test]
    fn each_claim_that_waits_gets_one_choice() {
        assert_eq!(choices(pod("p").claim("one").claim("two"), "a"), ["small to one", "large to two"]);
        assert_eq!(choices(pod("p").claim("new"), "b"), ["new on b"]);
        assert_eq!(choices(pod("p").claim("one").claim("new").claim("for-a"), "a"), ["small to one", "new on a"]);
        assert_eq!(choices(pod("p").claim("one").claim("one"), "a"), ["small to one"], "mounted twice");
    }

    #[test]
    fn settled_claims_and_small_volumes_are_not_chosen() {
        let none: [&str; 0] = [];
        assert_eq!(choices(pod("p").claim("bound"), "a"), none);
        assert_eq!(choices(pod("p").claim("for-a"), "a"), none);
        assert_eq!(choices(pod("p").claim("for-a").claim("one"), "b"), none, "another claim keeps the pod off");
        assert_eq!(choices(pod("p").claim("one"), "gone"), none);
        assert_eq!(choices(pod("p"), "a"), none);
    }
}

//! Where a pod's claims get their volumes from under a profile.

use super::Profile;
use crate::{model::Pod, snapshot::Snapshot, volume_choice::VolumeChoice};

impl Profile {
    /// The volumes to choose for the pod's claims if it goes to the node, on which it fits; each claim once. Pods without
    /// volumes cost nothing.
    pub fn volume_choices(&self, pod: &Pod, snapshot: &Snapshot, node: &str) -> Vec<VolumeChoice> {
        if pod.volumes.is_empty() {
            return Vec::new();
        }
        let Some(node) = snapshot.node(node) else { return Vec::new() };
        let mut choices: Vec<VolumeChoice> = Vec::new();
        for choice in self.predicates.iter().flat_map(|p| p.rule.choose_volumes(pod, snapshot, node)) {
            if choices.iter().all(|other| other.claim().name != choice.claim().name) {
                choices.push(choice);
            }
        }
        choices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use crate::testing::{PodBuilder, cluster, node, pod, pv, pvc, storage_class};
    use crate::volume_choice::SELECTED_NODE;

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
        let told = |choice: VolumeChoice| match choice {
            VolumeChoice::Bind { volume, claim } => format!("{} to {}", volume.name, claim.name),
            VolumeChoice::Make { claim, node } => format!("{} on {node}", claim.name),
        };
        profile.volume_choices(&pod.build(), &snapshot, on).into_iter().map(told).collect()
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

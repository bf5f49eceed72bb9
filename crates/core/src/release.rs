//! The supported kube-scheduler releases, and their differences: one named fact for each difference. Code reads the fact; it names a release only to
//! choose or print one.

/// The kube-scheduler release whose rules, defaults and reason texts apply. A Policy is judged as 1.22, the last release
/// that took one; a KubeSchedulerConfiguration as 1.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// 1.22 and before.
    V1_22,
    /// 1.34.
    V1_34,
}

impl Release {
    /// Its number, as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_22 => "1.22",
            Self::V1_34 => "1.34",
        }
    }

    /// Its facts.
    #[inline]
    pub fn facts(self) -> &'static Facts {
        match self {
            Self::V1_22 => &V1_22,
            Self::V1_34 => &V1_34,
        }
    }
}

/// The differences between releases. Files are those of `pkg/scheduler/framework/plugins` unless a longer path is given.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each difference is a fact of its own")]
pub struct Facts {
    /// Pods that are resized in place count by their status (`component-helpers/resource/helpers.go`, `PodRequests` with `UseStatusResources`); in
    /// 1.22, which has no resizing, by their spec.
    pub counts_resizes_in_place: bool,
    /// A request of 0 always fits (`noderesources/fit.go`, `fitsRequest`); in 1.22 the node must not be overcommitted.
    pub zero_requests_fit: bool,
    /// Preemption is not tried on a node whose whole capacity is below the request (`noderesources/fit.go`, `fitsRequest`).
    pub request_beyond_capacity_is_unresolvable: bool,
    /// A resource listed twice counts twice in a score (`noderesources/resource_allocation.go`); in 1.22 the list is read
    /// into a map (`resourcesToWeightMap`), where the last weight counts.
    pub scores_repeated_resources_twice: bool,
    /// Scoring reads the CPU of a pod's overhead in whole cores instead of thousandths, so that 250m count as 1
    /// (`noderesources/resource_allocation.go`, `calculatePodResourceRequest`).
    pub scores_cpu_overhead_in_cores: bool,
    /// Balanced allocation gives no score to pods that request none of its resources
    /// (`noderesources/balanced_allocation.go`, `PreScore`).
    pub balance_skips_pods_without_requests: bool,
    /// Image locality counts the images of init containers (`imagelocality/image_locality.go`, `sumImageScores`).
    pub scores_init_images: bool,
    /// Pods without spread constraints are spread over hosts and zones (`podtopologyspread/plugin.go`,
    /// `systemDefaultConstraints`). A Policy has no such defaults (`legacy_registry.go`, `EvenPodsSpreadPriority`).
    pub spreads_by_system_defaults: bool,
    /// Spread constraints have `minDomains`, `nodeAffinityPolicy`, `nodeTaintsPolicy` and `matchLabelKeys`
    /// (`podtopologyspread/common.go`, `filterTopologySpreadConstraints`).
    pub spread_constraints_have_policies: bool,
    /// Pods on nodes that a spread constraint leaves out count in a domain which another node brings in
    /// (`podtopologyspread/filtering.go`, `calPreFilterState` and `updateWithPod`).
    pub spread_counts_pods_on_excluded_nodes: bool,
    /// The spread score of each node for a pod without constraints: 100 comes of normalizing zeros, 0 of skipping the plugin
    /// (`podtopologyspread/scoring.go`, `PreScore`).
    pub spread_score_without_constraints: i64,
    /// Sums of spread scores are rounded (`podtopologyspread/scoring.go`, `Score`); in 1.22 cut.
    pub rounds_spread_sums: bool,
    /// A namespace selector that the empty set of labels meets matches every namespace (`interpodaffinity/plugin.go`,
    /// `mergeAffinityTermNamespacesIfNotEmpty`, which evaluates the selector a second time).
    pub selector_of_unlabelled_means_all_namespaces: bool,
    /// Pod affinity is skipped for a pod without such terms that no running pod repels, even if nominated pods would repel it
    /// (`interpodaffinity/filtering.go`, `PreFilter`).
    pub pod_affinity_skips_nominated_pods: bool,
    /// Required node affinity that names nodes narrows the search to them (`nodeaffinity/node_affinity.go`, `PreFilter`).
    pub node_affinity_names_candidates: bool,
    /// The reason text of a taint, before and after `{key: value}` (`tainttoleration/taint_toleration.go`, `Filter`).
    pub untolerated_taint: [&'static str; 2],
    /// The reason text of a bound volume out of the node's reach (`volumebinding/binder.go`, `ErrReasonNodeConflict`).
    pub volume_out_of_reach: &'static str,
    /// The reason text of a claim bound to a volume that does not exist (`volumebinding/binder.go`,
    /// `ErrReasonPVNotExist`).
    pub bound_volume_missing: &'static str,
    /// A volume must have the claim's VolumeAttributesClass
    /// (`component-helpers/storage/volume/pv_helpers.go`, `FindMatchingVolume`).
    pub matches_volume_attributes_classes: bool,
    /// Claims whose volume is lost are refused (`volumebinding/volume_binding.go`, `podHasPVCs`).
    pub refuses_lost_claims: bool,
    /// The reason texts of an ephemeral volume's claim that is missing or another pod's are its own
    /// (`volumebinding/volume_binding.go`, `podHasPVCs`).
    pub explains_ephemeral_claims: bool,
    /// A `ReadWriteOncePod` claim is used by one pod (`volumerestrictions/volume_restrictions.go`, `PreFilter`).
    pub enforces_read_write_once_pod: bool,
    /// The zones of a pod's volumes are looked up before any node is checked (`volumezone/volume_zone.go`, `PreFilter`), so that a fault rules every
    /// node out, including those without zones.
    pub looks_up_volume_zones_first: bool,
    /// A beta zone label of a volume is met by the stable label of a node (`volumezone/volume_zone.go`,
    /// `translateToGALabel`).
    pub beta_zone_means_stable_zone: bool,
    /// In-tree volumes are counted as their CSI drivers' (`nodevolumelimits/csi.go`, `checkAttachableInlineVolume`); in 1.22
    /// plugins of their own count them (`nodevolumelimits/non_csi.go`).
    pub counts_in_tree_volumes_as_csi: bool,
    /// Generic ephemeral volumes are counted (`nodevolumelimits/csi.go`, `filterAttachableVolumes`).
    pub counts_ephemeral_volumes: bool,
    /// Volumes still attached to a node count though no pod there mounts them (`nodevolumelimits/csi.go`,
    /// `getNodeVolumeAttachmentInfo`).
    pub counts_volumes_still_attached: bool,
    /// Volume limits may be among a node's allocatable resources (`nodevolumelimits/csi.go`, `getVolumeLimits`).
    pub reads_volume_limits_of_allocatable: bool,
    /// The claims of the pod to place must exist for its volumes to be counted (`nodevolumelimits/csi.go`,
    /// `filterAttachableVolumes`).
    pub volume_count_requires_claims: bool,
    /// A verdict against all nodes alike is shown once and not counted (`pkg/scheduler/framework/types.go`, `FitError.Error`).
    pub tells_common_rejection_once: bool,
    /// Victims are listed by importance (`defaultpreemption/default_preemption.go`, `SelectVictimsOnNode`); in 1.22 those
    /// that break a budget come first.
    pub sorts_victims: bool,
    /// A nominated pod waits only for pods that preemption evicts (`defaultpreemption/default_preemption.go`,
    /// `podTerminatingByPreemption`); in 1.22 for every pod that is being deleted.
    pub waits_for_preempted_pods_only: bool,
    /// The sentence of an unschedulable pod ends with why preemption did not help (`pkg/scheduler/schedule_one.go`,
    /// `schedulingCycle`).
    pub tells_why_preemption_failed: bool,
}

/// The facts of 1.22.
pub const V1_22: Facts = Facts {
    counts_resizes_in_place: false,
    zero_requests_fit: false,
    request_beyond_capacity_is_unresolvable: false,
    scores_repeated_resources_twice: false,
    scores_cpu_overhead_in_cores: true,
    balance_skips_pods_without_requests: false,
    scores_init_images: false,
    spreads_by_system_defaults: false,
    spread_constraints_have_policies: false,
    spread_counts_pods_on_excluded_nodes: true,
    spread_score_without_constraints: 100,
    rounds_spread_sums: false,
    selector_of_unlabelled_means_all_namespaces: false,
    pod_affinity_skips_nominated_pods: false,
    node_affinity_names_candidates: false,
    untolerated_taint: ["node(s) had taint ", ", that the pod didn't tolerate"],
    volume_out_of_reach: "node(s) had volume node affinity conflict",
    bound_volume_missing: "pvc(s) bound to non-existent pv(s)",
    matches_volume_attributes_classes: false,
    refuses_lost_claims: false,
    explains_ephemeral_claims: false,
    enforces_read_write_once_pod: false,
    looks_up_volume_zones_first: false,
    beta_zone_means_stable_zone: false,
    counts_in_tree_volumes_as_csi: false,
    counts_ephemeral_volumes: false,
    counts_volumes_still_attached: false,
    reads_volume_limits_of_allocatable: true,
    volume_count_requires_claims: false,
    tells_common_rejection_once: false,
    sorts_victims: false,
    waits_for_preempted_pods_only: false,
    tells_why_preemption_failed: false,
};

/// The facts of 1.34.
pub const V1_34: Facts = Facts {
    counts_resizes_in_place: true,
    zero_requests_fit: true,
    request_beyond_capacity_is_unresolvable: true,
    scores_repeated_resources_twice: true,
    scores_cpu_overhead_in_cores: false,
    balance_skips_pods_without_requests: true,
    scores_init_images: true,
    spreads_by_system_defaults: true,
    spread_constraints_have_policies: true,
    spread_counts_pods_on_excluded_nodes: false,
    spread_score_without_constraints: 0,
    rounds_spread_sums: true,
    selector_of_unlabelled_means_all_namespaces: true,
    pod_affinity_skips_nominated_pods: true,
    node_affinity_names_candidates: true,
    untolerated_taint: ["node(s) had untolerated taint ", ""],
    volume_out_of_reach: "node(s) didn't match PersistentVolume's node affinity",
    bound_volume_missing: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    matches_volume_attributes_classes: true,
    refuses_lost_claims: true,
    explains_ephemeral_claims: true,
    enforces_read_write_once_pod: true,
    looks_up_volume_zones_first: true,
    beta_zone_means_stable_zone: true,
    counts_in_tree_volumes_as_csi: true,
    counts_ephemeral_volumes: true,
    counts_volumes_still_attached: true,
    reads_volume_limits_of_allocatable: false,
    volume_count_requires_claims: true,
    tells_common_rejection_once: true,
    sorts_victims: true,
    waits_for_preempted_pods_only: true,
    tells_why_preemption_failed: true,
};

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Files that may name a release: to choose one, or to say since when something exists.
    const NAMING: [&str; 4] =
        ["release.rs", "policy/compile.rs", "policy/configuration.rs", "predicates/csi_migration.rs"];

    fn naming(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                naming(&entry, root, found);
            } else if let Ok(text) = fs::read_to_string(&entry) {
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                let path = entry.strip_prefix(root).expect("within it").to_string_lossy().replace('\\', "/");
                if code.contains("Release::V") && !path.contains("tests") && !NAMING.contains(&&*path) {
                    found.push(path);
                }
            }
        }
    }

    #[test]
    fn code_asks_for_a_fact_and_not_for_the_release() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        naming(&root, &root, &mut found);
        assert!(found.is_empty(), "{found:?} name a release: add a fact to Facts and ask for that");
    }
}

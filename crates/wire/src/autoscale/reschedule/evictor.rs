//! Arguments of `DefaultEvictor`.
//!
//! Source: `descheduler/pkg/framework/plugins/defaultevictor` (`types.go`, `validation.go`).

use serde::Deserialize;

use super::selectors::{labels, selector};
use crate::{
    fault::{Faults, Path},
    objects::meta::LabelSelector,
    span,
};
use podberth_core::{
    advise::reschedule::{
        Evictor,
        evictor::{PriorityThreshold, SYSTEM_CRITICAL},
    },
    model::Name,
};

/// Protections that hold unless they are switched off.
const DEFAULT: [&str; 4] = ["PodsWithLocalStorage", "SystemCriticalPods", "FailedBarePods", "DaemonSetPods"];
/// Protections that can be switched on.
const EXTRA: [&str; 3] = ["PodsWithPVC", "PodsWithoutPDB", "PodsWithResourceClaims"];

/// Arguments of `DefaultEvictor`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools, reason = "as the descheduler has them")]
pub(super) struct DefaultEvictorArgs {
    node_selector: String,
    label_selector: Option<LabelSelector>,
    namespace_label_selector: Option<LabelSelector>,
    priority_threshold: Option<Threshold>,
    node_fit: bool,
    min_replicas: u64,
    min_pod_age: Option<String>,
    no_eviction_policy: String,
    pod_protections: Protections,
    evict_local_storage_pods: bool,
    evict_daemon_set_pods: bool,
    evict_system_critical_pods: bool,
    ignore_pvc_pods: bool,
    #[serde(rename = "ignorePodsWithoutPDB")]
    ignore_pods_without_pdb: bool,
    evict_failed_bare_pods: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Threshold {
    value: Option<i32>,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Protections {
    extra_enabled: Vec<String>,
    default_disabled: Vec<String>,
    config: Option<ProtectionsConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProtectionsConfig {
    #[serde(rename = "PodsWithPVC")]
    pods_with_pvc: Option<ClaimsConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ClaimsConfig {
    protected_storage_classes: Vec<StorageClassName>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StorageClassName {
    name: String,
}

impl DefaultEvictorArgs {
    /// The evictor, checked.
    pub(super) fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Evictor {
        if !matches!(self.no_eviction_policy.as_str(), "" | "Preferred" | "Mandatory") {
            let words = ["Preferred", "Mandatory"];
            faults.not_supported(&at.child("noEvictionPolicy"), &self.no_eviction_policy, &words);
        }
        let protections_at = at.child("podProtections");
        let protections = &self.pod_protections;
        let lists = [
            ("extraEnabled", &protections.extra_enabled, &EXTRA[..]),
            ("defaultDisabled", &protections.default_disabled, &DEFAULT[..]),
        ];
        for (name, list, known) in lists {
            let list_at = protections_at.child(name);
            for (index, protection) in list.iter().enumerate() {
                if !known.contains(&protection.as_str()) {
                    faults.not_supported(&list_at.index(index), protection, known);
                }
                if list[..index].contains(protection) {
                    faults.duplicate(&list_at.index(index), protection);
                }
            }
        }
        let is_new = !(protections.extra_enabled.is_empty() && protections.default_disabled.is_empty());
        if is_new && self.has_deprecated() {
            let why = "must not be combined with the deprecated fields evictLocalStoragePods, evictDaemonSetPods, evictSystemCriticalPods, \
                       ignorePvcPods, ignorePodsWithoutPDB and evictFailedBarePods: use podProtections alone";
            faults.forbidden(&protections_at, why);
        }
        let spares = |name: &str, deprecated: bool| {
            if is_new { !protections.default_disabled.iter().any(|p| p == name) } else { !deprecated }
        };
        let extra = |name: &str, deprecated: bool| {
            if is_new { protections.extra_enabled.iter().any(|p| p == name) } else { deprecated }
        };
        let spares_claims = extra("PodsWithPVC", self.ignore_pvc_pods);
        Evictor {
            node_selector: labels(Some(&self.node_selector), &at.child("nodeSelector"), faults),
            labels: selector(self.label_selector.as_ref(), &at.child("labelSelector"), faults),
            namespace_labels: selector(
                self.namespace_label_selector.as_ref(),
                &at.child("namespaceLabelSelector"),
                faults,
            ),
            priority: self.threshold(&at.child("priorityThreshold"), faults),
            node_fit: self.node_fit,
            min_replicas: usize::try_from(self.min_replicas).unwrap_or(usize::MAX),
            min_age: self.min_age(&at.child("minPodAge"), faults),
            obeys_no_eviction: self.no_eviction_policy == "Mandatory",
            spares_critical: spares("SystemCriticalPods", self.evict_system_critical_pods),
            spares_failed_bare: spares("FailedBarePods", self.evict_failed_bare_pods),
            spares_local_storage: spares("PodsWithLocalStorage", self.evict_local_storage_pods),
            spares_daemon_sets: spares("DaemonSetPods", self.evict_daemon_set_pods),
            spares_claims: spares_claims.then(|| self.storage_classes(&protections_at, faults)),
            spares_without_budget: extra("PodsWithoutPDB", self.ignore_pods_without_pdb),
            spares_devices: extra("PodsWithResourceClaims", false),
            came_back: std::sync::Arc::default(),
        }
    }

    fn has_deprecated(&self) -> bool {
        self.evict_local_storage_pods
            || self.evict_daemon_set_pods
            || self.evict_system_critical_pods
            || self.ignore_pvc_pods
            || self.ignore_pods_without_pdb
            || self.evict_failed_bare_pods
    }

    fn threshold(&self, at: &Path<'_>, faults: &mut Faults) -> PriorityThreshold {
        match &self.priority_threshold {
            Some(Threshold { value: Some(_), name }) if !name.is_empty() => {
                faults.forbidden(at, "only one of value and name may be given");
                PriorityThreshold::Value(SYSTEM_CRITICAL)
            }
            Some(Threshold { value: Some(value), .. }) => {
                if *value > SYSTEM_CRITICAL {
                    let rule = format_args!("must be less than or equal to {SYSTEM_CRITICAL}");
                    faults.invalid(&at.child("value"), value, rule);
                }
                PriorityThreshold::Value(*value)
            }
            Some(Threshold { value: None, name }) if !name.is_empty() => PriorityThreshold::Class(name.as_str().into()),
            _ => PriorityThreshold::Value(SYSTEM_CRITICAL),
        }
    }

    fn min_age(&self, at: &Path<'_>, faults: &mut Faults) -> Option<i64> {
        let text = self.min_pod_age.as_deref()?;
        let age = span::nanoseconds(text);
        if age.is_none() {
            faults.invalid(at, text, "must be a duration, such as 30s or 1h30m");
        }
        age
    }

    fn storage_classes(&self, at: &Path<'_>, faults: &mut Faults) -> Vec<Name> {
        let config = self.pod_protections.config.as_ref().and_then(|config| config.pods_with_pvc.as_ref());
        let classes = config.map_or(&[][..], |config| &config.protected_storage_classes);
        for (index, class) in classes.iter().enumerate() {
            if class.name.is_empty() {
                let list_at = at.child("config.PodsWithPVC.protectedStorageClasses");
                faults.required(&list_at.index(index).child("name"), "");
            }
        }
        classes.iter().map(|class| class.name.as_str().into()).collect()
    }
}

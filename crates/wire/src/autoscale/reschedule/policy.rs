//! `DeschedulerPolicy` (`descheduler/v1alpha2`).
//!
//! Source: `descheduler/pkg/api/v1alpha2/types.go`, `descheduler/pkg/descheduler/policyconfig.go` (`validateDeschedulerConfiguration`).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{args, evictor::DefaultEvictorArgs, plugin_config::PluginConfig, selectors::labels};
use crate::fault::{Cause, Faults, Path};
use podberth_core::advise::reschedule::{Charging, Evictor, Limits, Policy, Profile, Strategy, evictor};

/// The version that is read.
const API_VERSION: &str = "descheduler/v1alpha2";
/// The kind of the document.
const KIND: &str = "DeschedulerPolicy";
/// Profiles of a policy.
const MOST_PROFILES: usize = 100;

/// A policy of the descheduler: strategies with arguments, and limits.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DeschedulerPolicy {
    /// `descheduler/v1alpha2`.
    #[schema(example = "descheduler/v1alpha2")]
    pub api_version: String,
    /// `DeschedulerPolicy`.
    #[schema(example = "DeschedulerPolicy")]
    pub kind: String,
    /// Strategies with their evictor.
    pub profiles: Vec<ProfileSpec>,
    /// The nodes that are looked at, as a selector in text: `pool=a`.
    #[schema(nullable = false)]
    pub node_selector: Option<String>,
    /// Pods of one node that are evicted at most.
    #[schema(nullable = false)]
    pub max_no_of_pods_to_evict_per_node: Option<u64>,
    /// Pods of one namespace that are evicted at most.
    #[schema(nullable = false)]
    pub max_no_of_pods_to_evict_per_namespace: Option<u64>,
    /// Pods that are evicted at most.
    #[schema(nullable = false)]
    pub max_no_of_pods_to_evict_total: Option<u64>,
    /// Taken, and not read: refused evictions are always told.
    #[schema(nullable = false)]
    pub eviction_failure_event_notification: Option<bool>,
    /// Taken, and not read: utilization is counted by requests.
    #[schema(nullable = false, value_type = std::collections::BTreeMap<String, serde_json::Value>)]
    pub metrics_collector: Option<Value>,
    /// Taken, and not read: utilization is counted by requests.
    #[schema(value_type = Vec<std::collections::BTreeMap<String, serde_json::Value>>)]
    pub metrics_providers: Vec<Value>,
    /// The grace period of evictions, in seconds; each pod's own where absent.
    #[schema(nullable = false)]
    pub grace_period_seconds: Option<i64>,
}

/// Strategies that share an evictor.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[schema(as = DeschedulerProfile)]
pub struct ProfileSpec {
    /// Its name.
    pub name: String,
    /// The arguments of plugins.
    pub plugin_config: Vec<PluginConfig>,
    /// The plugins that run.
    pub plugins: Plugins,
}

/// The plugins that run, by the point at which they do.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeschedulerPlugins)]
pub struct Plugins {
    /// Taken, and not read.
    pub presort: PluginSet,
    /// Taken, and not read.
    pub sort: PluginSet,
    /// Strategies that evict pods which should not be where they are.
    pub deschedule: PluginSet,
    /// Strategies that even out the nodes.
    pub balance: PluginSet,
    /// `DefaultEvictor`, which is always there.
    pub filter: PluginSet,
    /// `DefaultEvictor`, which is always there.
    pub preevictionfilter: PluginSet,
}

/// Plugins of one point.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = DeschedulerPluginSet)]
pub struct PluginSet {
    /// Those that run.
    pub enabled: Vec<String>,
    /// Taken, and not read: no strategy runs by default.
    pub disabled: Vec<String>,
}

impl DeschedulerPolicy {
    /// The policy, checked.
    ///
    /// # Errors
    /// All its faults, by their fields.
    pub fn to_core(&self) -> Result<Policy, Vec<Cause>> {
        let (at, mut faults) = (Path::ROOT, Faults::default());
        if self.api_version != API_VERSION {
            faults.not_supported(&at.child("apiVersion"), &self.api_version, &[API_VERSION]);
        }
        if self.kind != KIND {
            faults.not_supported(&at.child("kind"), &self.kind, &[KIND]);
        }
        if self.grace_period_seconds.is_some_and(|seconds| seconds < 0) {
            let grace = self.grace_period_seconds.unwrap_or_default();
            faults.invalid(&at.child("gracePeriodSeconds"), grace, "must be greater than or equal to 0");
        }
        let profiles_at = at.child("profiles");
        if self.profiles.len() > MOST_PROFILES {
            faults.too_many(&profiles_at, format!("Too many: must have at most {MOST_PROFILES} items"));
            return Err(faults.into_causes());
        }
        let mut profiles = Vec::with_capacity(self.profiles.len());
        for (index, profile) in self.profiles.iter().enumerate() {
            profiles.push(profile.to_core(&profiles_at.index(index), &mut faults));
        }
        let policy = Policy {
            node_selector: labels(self.node_selector.as_deref(), &at.child("nodeSelector"), &mut faults),
            limits: Limits {
                total: self.max_no_of_pods_to_evict_total,
                per_node: self.max_no_of_pods_to_evict_per_node,
                per_namespace: self.max_no_of_pods_to_evict_per_namespace,
            },
            charging: Charging::default(),
            grace_seconds: self.grace_period_seconds,
            profiles,
        };
        let causes = faults.into_causes();
        if causes.is_empty() { Ok(policy) } else { Err(causes) }
    }
}

impl ProfileSpec {
    fn to_core(&self, at: &Path<'_>, faults: &mut Faults) -> Profile {
        let mut evictor: Option<Evictor> = None;
        let mut strategies: Vec<(Arc<dyn Strategy>, bool)> = Vec::new();
        let configs_at = at.child("pluginConfig");
        for (index, config) in self.plugin_config.iter().enumerate() {
            let config_at = configs_at.index(index);
            let args_at = config_at.child("args");
            if config.name == evictor::NAME {
                let read =
                    config.read::<DefaultEvictorArgs>(&args_at, faults).map(|args| args.to_core(&args_at, faults));
                evictor = evictor.or(read);
                continue;
            }
            match args::find(&config.name) {
                Some(kind) => {
                    if let Some(strategy) = (kind.read)(config, &args_at, faults)
                        && strategies.iter().all(|(known, _)| known.name() != kind.name)
                    {
                        strategies.push((strategy, kind.balances));
                    }
                }
                None => faults.not_supported(&config_at.child("name"), &config.name, &args::names(None)),
            }
        }
        let plugins_at = at.child("plugins");
        let mut enabled = |set: &PluginSet, name: &str, balances: bool| {
            let (set_at, mut found) = (plugins_at.child(name), Vec::new());
            let enabled_at = set_at.child("enabled");
            for (index, plugin) in set.enabled.iter().enumerate() {
                let plugin_at = enabled_at.index(index);
                if args::find(plugin).is_none_or(|kind| kind.balances != balances) {
                    faults.not_supported(&plugin_at, plugin, &args::names(Some(balances)));
                } else if let Some((strategy, _)) = strategies.iter().find(|(known, _)| known.name() == plugin) {
                    found.push(strategy.clone());
                } else if self.plugin_config.iter().all(|config| config.name != *plugin) {
                    faults.not_found(&plugin_at, plugin, "pluginConfig has no arguments for it");
                }
            }
            found
        };
        let (deschedule, balance) =
            (enabled(&self.plugins.deschedule, "deschedule", false), enabled(&self.plugins.balance, "balance", true));
        for (set, name) in [(&self.plugins.filter, "filter"), (&self.plugins.preevictionfilter, "preevictionfilter")] {
            if let Some(other) = set.enabled.iter().find(|plugin| *plugin != evictor::NAME) {
                faults.not_supported(&plugins_at.child(name), other, &[evictor::NAME]);
            }
        }
        Profile { name: self.name.as_str().into(), evictor: evictor.unwrap_or_default(), deschedule, balance }
    }
}

//! Disruption budgets and priority classes.
//!
//! Source: `pkg/apis/policy/validation/validation.go` (`ValidatePodDisruptionBudgetSpec`,
//! `ValidatePodDisruptionBudgetStatusUpdate`), `pkg/apis/core/validation/validation.go` (`ValidateNonnegativeField`,
//! `IsNotMoreThan100Percent`).

use serde::Deserialize;

use super::Validate;
use crate::{
    decode::{self, DecodeError},
    fault::{Faults, Path},
    objects::disruption::{PodDisruptionBudget, PriorityClass},
};

/// Fields of a budget that only validation and evictions read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Extra {
    spec: ExtraSpec,
    status: ExtraStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtraSpec {
    min_available: Option<Number>,
    max_unavailable: Option<Number>,
    unhealthy_pod_eviction_policy: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtraStatus {
    observed_generation: i64,
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
    expected_pods: i32,
}

/// A number of pods, or a part of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Pods(i32),
    Percent(String),
}

impl Number {
    fn validate(&self, at: &Path<'_>, faults: &mut Faults) {
        match self {
            Self::Pods(pods) if *pods < 0 => faults.invalid(at, pods, "must be greater than or equal to 0"),
            Self::Pods(_) => {}
            Self::Percent(text) => {
                let digits = text.strip_suffix('%').filter(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
                match digits.map(|digits| digits.parse::<u32>().unwrap_or(u32::MAX)) {
                    None => faults.invalid(at, text, "must be an integer or a percentage (e.g '1%' or '93%')"),
                    Some(percent) if percent > 100 => faults.invalid(at, text, "must not be greater than 100%"),
                    Some(_) => {}
                }
            }
        }
    }
}

impl Validate for PodDisruptionBudget {
    fn validate(&self, json: &[u8], faults: &mut Faults) -> Result<(), DecodeError> {
        let Extra { spec, status } = decode::from_slice(json)?;
        let (spec_at, status_at) = (Path::ROOT.child("spec"), Path::ROOT.child("status"));
        if spec.min_available.is_some() && spec.max_unavailable.is_some() {
            faults.invalid(
                &spec_at,
                "minAvailable, maxUnavailable",
                "minAvailable and maxUnavailable cannot be both set",
            );
        }
        for (field, number) in [("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)] {
            if let Some(number) = number {
                number.validate(&spec_at.child(field), faults);
            }
        }
        let policy = &spec.unhealthy_pod_eviction_policy;
        if !matches!(policy.as_str(), "" | "AlwaysAllow" | "IfHealthyBudget") {
            let known = ["AlwaysAllow", "IfHealthyBudget"];
            faults.not_supported(&spec_at.child("unhealthyPodEvictionPolicy"), policy, &known);
        }
        for (field, count) in [
            ("observedGeneration", status.observed_generation),
            ("disruptionsAllowed", i64::from(status.disruptions_allowed)),
            ("currentHealthy", i64::from(status.current_healthy)),
            ("desiredHealthy", i64::from(status.desired_healthy)),
            ("expectedPods", i64::from(status.expected_pods)),
        ] {
            if count < 0 {
                faults.invalid(&status_at.child(field), count, "must be greater than or equal to 0");
            }
        }
        Ok(())
    }
}

impl Validate for PriorityClass {}

//! The class of a pod by its requests and limits: `Guaranteed`, `Burstable` or `BestEffort`.
//!
//! Source: `pkg/apis/core/v1/helper/qos/qos.go` (`ComputePodQOS`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use podberth_core::model::Quantity;

/// The class of a pod with this normalized spec, in which requests are filled in from limits.
pub(crate) fn class(spec: &Map<String, Value>) -> &'static str {
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut is_guaranteed = true;
    match spec
        .get("resources")
        .filter(|resources| !amounts(resources, "requests").is_empty() || !amounts(resources, "limits").is_empty())
    {
        Some(resources) => {
            requests = amounts(resources, "requests");
            limits = amounts(resources, "limits");
            is_guaranteed = limits.len() == 2;
        }
        None => {
            for list in ["containers", "initContainers"] {
                for container in spec.get(list).and_then(Value::as_array).into_iter().flatten() {
                    let resources = &container["resources"];
                    for (sums, field) in [(&mut requests, "requests"), (&mut limits, "limits")] {
                        for (name, amount) in amounts(resources, field) {
                            let sum: &mut Quantity = sums.entry(name).or_default();
                            *sum = sum.saturating_add(amount);
                        }
                    }
                    is_guaranteed &= amounts(resources, "limits").len() == 2;
                }
            }
        }
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if is_guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// CPU and memory of a list, as far as they are above zero.
fn amounts(resources: &Value, field: &str) -> BTreeMap<String, Quantity> {
    let list = resources[field].as_object().into_iter().flatten();
    list.filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory"))
        .filter_map(|(name, amount)| Some((name.clone(), amount.as_str()?.parse::<Quantity>().ok()?)))
        .filter(|(_, amount)| !amount.is_zero() && !amount.is_negative())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn guaranteed_pods_limit_cpu_and_memory_of_every_container() {
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}});
        let cpu = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}});
        let gpu = json!({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}});
        let zero = json!({"requests": {"cpu": "0"}});
        for (spec, expected) in [
            (json!({"containers": [{}]}), "BestEffort"),
            (json!({"containers": [{"resources": gpu}]}), "BestEffort"),
            (json!({"containers": [{"resources": zero}]}), "BestEffort"),
            (json!({"containers": [{"resources": full}]}), "Guaranteed"),
            (json!({"containers": [{"resources": full}, {"resources": full}]}), "Guaranteed"),
            (json!({"containers": [{"resources": full}, {}]}), "Burstable"),
            (json!({"containers": [{"resources": full}], "initContainers": [{"resources": cpu}]}), "Burstable"),
            (json!({"containers": [{"resources": cpu}]}), "Burstable"),
            (json!({"containers": [{}], "resources": full}), "Guaranteed"),
            (json!({"containers": [{"resources": full}], "resources": cpu}), "Burstable"),
        ] {
            assert_eq!(class(spec.as_object().unwrap()), expected, "{spec}");
        }
    }
}

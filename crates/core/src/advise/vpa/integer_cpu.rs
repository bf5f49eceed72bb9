//! # Rule
//! CPU is rounded up to whole CPUs for a container that the autoscaler's annotation `vpa-post-processor.kubernetes.io/<container>_integerCPU: "true"` names, if
//! `cpuIntegerPostProcessorEnabled` is set: the static CPU manager gives whole CPUs only.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/routines/cpu_integer_post_processor.go`.
//!
//! # Example
//! 1,200 milli-CPU become 2 CPUs.

use crate::{advise::Advice, model::Quantity};

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "IntegerCpu", kind: super::KIND, source: include_str!("integer_cpu.rs") };

/// The amount in whole CPUs.
pub(super) fn rounded(cpu: Quantity) -> Quantity {
    Quantity::from_units(cpu.value())
}

/// The container that an annotation of the autoscaler names.
pub fn container<'a>(key: &'a str, value: &str) -> Option<&'a str> {
    let name = key.strip_prefix("vpa-post-processor.kubernetes.io/")?.strip_suffix("_integerCPU")?;
    (value == "true" && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_names_its_container() {
        assert_eq!(container("vpa-post-processor.kubernetes.io/app_integerCPU", "true"), Some("app"));
        assert_eq!(container("vpa-post-processor.kubernetes.io/app_integerCPU", "yes"), None);
        assert_eq!(container("vpa-post-processor.kubernetes.io/_integerCPU", "true"), None);
        assert_eq!(rounded(Quantity::from_milli(1200)), Quantity::from_units(2));
    }
}

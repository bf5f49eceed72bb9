//! # Rule
//! Amounts are rounded up to a multiple of `roundCPUMillicores` and `roundMemoryBytes` (1), before policies cap them. `humanizeMemory` then cuts memory to two decimals of its largest unit.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/model/types.go` (`ResourcesAsResourceList`, `RoundUpToScale`, `HumanizeMemoryQuantity`).
//!
//! # Example
//! With `roundCPUMillicores: 50`, 101 milli-CPU become 150.

use super::{Amount, amount, options::Options};
use crate::{advise::Advice, model::Quantity};

/// The registry's line.
pub(super) const ADVICE: Advice = Advice { name: "Rounding", kind: super::KIND, source: include_str!("rounding.rs") };

/// CPU as it is recommended.
pub(super) fn cpu(milli: Amount, options: &Options) -> Quantity {
    Quantity::from_milli(up(milli, options.round_cpu))
}

/// Memory as it is recommended.
pub(super) fn memory(bytes: Amount, options: &Options) -> Quantity {
    let bytes = up(bytes, options.round_memory);
    if options.humanize_memory { humanized(bytes) } else { Quantity::from_units(bytes) }
}

fn up(value: Amount, scale: Amount) -> Amount {
    if scale <= 1 { value } else { amount((value as f64 / scale as f64).ceil()).saturating_mul(scale) }
}

fn humanized(bytes: Amount) -> Quantity {
    let units = [(1_i64 << 40, "Ti"), (1 << 30, "Gi"), (1 << 20, "Mi"), (1 << 10, "Ki")];
    let text = units.iter().find(|(unit, _)| bytes >= *unit).map(|(unit, suffix)| {
        let number = bytes as f64 / *unit as f64;
        format!("{number:.2}{suffix}")
    });
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| Quantity::from_units(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_rounded_up() {
        let options = Options { round_cpu: 50, round_memory: 1 << 20, ..Options::default() };
        let milli = |value| cpu(value, &options).milli_value();
        assert_eq!((milli(0), milli(1), milli(50), milli(101)), (0, 50, 50, 150));
        assert_eq!(memory((1 << 20) + 1, &options).value(), 2 << 20);
        let plain = Options::default();
        assert_eq!((cpu(101, &plain).milli_value(), memory(87_381_333, &plain).value()), (101, 87_381_333));
    }

    #[test]
    fn memory_for_people_has_two_decimals() {
        let options = Options { humanize_memory: true, ..Options::default() };
        assert_eq!(memory(1_600_000_000, &options), "1.49Gi".parse().unwrap());
        assert_eq!(memory(1000, &options).value(), 1000);
    }
}

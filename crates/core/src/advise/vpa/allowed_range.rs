//! # Rule
//! A container's policy caps its target and its bounds: they are raised to `minAllowed` and then lowered to `maxAllowed`. Where the policy has no maximum of a resource, the global one
//! holds. The uncapped target stays as it was.
//!
//! A policy is found by the container's name, else it is that of `*`. A limit of zero is none. Containers of mode `Off` are left out; of others only the `controlledResources` are recommended.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/utils/vpa/capping.go` (`ApplyVPAPolicy`), `api.go` (`GetContainerResourcePolicy`).
//!
//! # Example
//! With `maxAllowed: {cpu: "1"}` a target of 2,539 milli-CPU is 1 CPU; its uncapped target is still 2,539.

use super::policy::{Limits, Policy};
use crate::{advise::Advice, model::Quantity};

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "AllowedRange", kind: super::KIND, source: include_str!("allowed_range.rs") };

/// The limit that an amount was cut to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// `minAllowed` of the policy.
    MinAllowed,
    /// `maxAllowed` of the policy.
    MaxAllowed,
    /// The global maximum.
    GlobalMaxAllowed,
}

impl Cap {
    /// The field that has the limit.
    pub fn field(self) -> &'static str {
        match self {
            Self::MinAllowed => "minAllowed",
            Self::MaxAllowed => "maxAllowed",
            Self::GlobalMaxAllowed => "globalMaxAllowed",
        }
    }
}

/// The amount within the limits, and the one that it was cut to last.
pub(super) fn capped(
    amount: Quantity,
    policy: Option<&Policy>,
    global: &Limits,
    of: impl Fn(&Limits) -> Option<Quantity>,
) -> (Quantity, Option<Cap>) {
    let limit = |limits: Option<&Limits>| limits.and_then(&of);
    let (mut amount, mut cut) = (amount, None);
    if let Some(least) = limit(policy.map(|policy| &policy.min)).filter(|least| !least.is_zero() && amount < *least) {
        (amount, cut) = (least, Some(Cap::MinAllowed));
    }
    let most = limit(policy.map(|policy| &policy.max)).map(|most| (most, Cap::MaxAllowed));
    let most = most.or_else(|| of(global).map(|most| (most, Cap::GlobalMaxAllowed)));
    if let Some((most, cap)) = most.filter(|(most, _)| !most.is_zero() && amount > *most) {
        (amount, cut) = (most, Some(cap));
    }
    (amount, cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_maximum_holds_where_the_policy_has_none() {
        let units = Quantity::from_units;
        let limits = |cpu| Limits { cpu, memory: None };
        let global = limits(Some(units(4)));
        let cap = |amount, min, max| {
            let policy = Policy { min: limits(min), max: limits(max), ..Policy::default() };
            capped(units(amount), Some(&policy), &global, |limits| limits.cpu)
        };
        assert_eq!(cap(9, None, None), (units(4), Some(Cap::GlobalMaxAllowed)));
        assert_eq!(cap(9, None, Some(units(6))), (units(6), Some(Cap::MaxAllowed)));
        assert_eq!(cap(9, None, Some(units(0))), (units(9), None), "a limit of zero is none");
        assert_eq!(cap(1, Some(units(2)), None), (units(2), Some(Cap::MinAllowed)));
        assert_eq!(cap(1, Some(units(5)), None), (units(4), Some(Cap::GlobalMaxAllowed)), "the maximum comes last");
    }
}

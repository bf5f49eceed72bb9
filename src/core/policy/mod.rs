//! Policies, and the profiles they compile to.

use super::{predicates::Predicate, priorities::Priority, rule::Release};

/// A policy (or one profile of a KubeSchedulerConfiguration), validated and ready to decide with.
pub struct Profile {
    /// Whose rules apply.
    pub release: Release,
    /// The predicates, in order of evaluation.
    pub predicates: Vec<ActivePredicate>,
    /// The priorities.
    pub priorities: Vec<ActivePriority>,
    /// Whether a node's message names the reasons of every predicate that failed, not only of the first.
    pub always_check_all_predicates: bool,
    /// How scores are combined.
    pub combination: Combination,
}

/// How a node's scores become one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combination {
    /// Σ score × weight; the highest sum wins.
    WeightedSum,
}

/// A predicate as a policy uses it.
pub struct ActivePredicate {
    /// The name by which the policy called it; of a member of `GeneralPredicates`, that.
    pub name: &'static str,
    /// The framework plugin that carries it.
    pub plugin: &'static str,
    /// The rule.
    pub rule: Box<dyn Predicate>,
}

/// A priority as a policy uses it.
pub struct ActivePriority {
    /// The name by which the policy called it.
    pub name: &'static str,
    /// The framework plugin that carries it.
    pub plugin: &'static str,
    /// What a score is multiplied by.
    pub weight: i64,
    /// The rule.
    pub rule: Box<dyn Priority>,
}

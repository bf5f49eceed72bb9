//! A Policy as it was written: `kind: Policy`, `apiVersion: v1`.
//!
//! Source: `pkg/scheduler/apis/config/legacy_types.go` of 1.22.

use super::{Combination, Warning, extender::Extender};
use crate::{argument::Values, model::Name};

/// The highest score that `/prioritize` answers unless a policy asks for another: kube-scheduler's `MaxExtenderPriority`.
pub const DEFAULT_EXTENDER_MAX_SCORE: i64 = 10;

/// A Policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The listed predicates; `None` (the list is absent) stands for the default ones.
    pub predicates: Option<Vec<PredicateEntry>>,
    /// The listed priorities; `None` (the list is absent) stands for the default ones.
    pub priorities: Option<Vec<PriorityEntry>>,
    /// Extenders that the policy names.
    pub extenders: Vec<Extender>,
    /// The weight of another pod's required affinity, 0..=100; 0 stands for 1.
    pub hard_pod_affinity_symmetric_weight: i64,
    /// `true` if a node's message names the reasons of every predicate that failed.
    pub always_check_all_predicates: bool,
    /// The way in which scores are combined and reported: Podberth's own extension.
    pub scoring: Scoring,
    /// Warnings of the reader, which lint reports first.
    pub remarks: Vec<Warning>,
}

/// `scoring`, Podberth's own extension of a Policy: kube-scheduler knows no such key and refuses a file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoring {
    /// `strategy`: the way in which a node's scores become one order. Default `WeightedSum`.
    pub strategy: Combination,
    /// `levels`: the priorities that decide under `Lexicographic`, the most important first; `None` where absent.
    pub levels: Option<Vec<LevelEntry>>,
    /// `extenderMaxScore`: the highest score that `/prioritize` answers, 1..=1000. The default, 10, is the score that kube-scheduler expects of
    /// an extender.
    pub extender_max_score: i64,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { strategy: Combination::WeightedSum, levels: None, extender_max_score: DEFAULT_EXTENDER_MAX_SCORE }
    }
}

/// An entry of `scoring.levels`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelEntry {
    /// The name of an entry of `priorities`, or a registered name.
    pub priority: Name,
    /// How far below the best a score may be and still tie with it, 0..=100.
    pub tolerance: i64,
}

/// An entry of `predicates`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PredicateEntry {
    /// A registered name or, with an argument, any name.
    pub name: Name,
    /// `argument`, of which exactly one member is to be there.
    pub argument: Option<Values>,
}

/// An entry of `priorities`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityEntry {
    /// A registered name or, with an argument, any name.
    pub name: Name,
    /// The factor of its scores; kube-scheduler keeps the lower 32 bits.
    pub weight: i64,
    /// `argument`, of which exactly one member is to be there.
    pub argument: Option<Values>,
}

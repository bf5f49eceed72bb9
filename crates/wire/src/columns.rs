//! A decision by columns: the matrix of every node by every predicate and priority, as a page shows it. It is a thirtieth of the size of an
//! [`Explanation`], which has a name and a text in every cell.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    asked::TemplateOwner,
    explanation::{
        BoundTo, DecidingLevel, Explanation, ExtenderError, NodeExplanation, PodName, PolicyUsed,
        PreemptionExplanation, ScoreExplanation, VerdictCode, VerdictExplanation,
    },
    source::SourceRead,
    suggestion::Suggestion,
};
use podberth_core::work;

/// The media type of an explanation by columns.
pub const MEDIA_TYPE: &str = "application/vnd.podberth.columns+json";

/// The character of a predicate that was not asked about a node.
const NOT_ASKED: u8 = b'-';

/// The whole decision for one pod by columns: what `/explain` replies, with columns in place of its nodes.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnExplanation {
    /// The pod of the request.
    pub pod: PodName,
    /// The names of all nodes, in order. Numbers of nodes are places in this list, from 0.
    pub nodes: Vec<String>,
    /// The predicates, in order of evaluation; extenders that rule nodes out follow.
    pub predicates: Vec<PredicateColumn>,
    /// For each predicate a text with one character for each node: `.` fits, `u` unschedulable (evicting pods might help), `x` unschedulable
    /// (it cannot), `-` not asked.
    #[schema(example = json!(["..u"]))]
    pub verdicts: Vec<String>,
    /// The distinct lists of reasons.
    #[schema(example = json!([["Insufficient cpu"]]))]
    pub reasons: Vec<Vec<String>>,
    /// For each predicate a place in `reasons` for each node that it rules out, in order of nodes.
    #[schema(example = json!([[0]]))]
    pub why: Vec<Vec<usize>>,
    /// The priorities, under `Lexicographic` in order of importance; the scores of extenders follow. Empty where no node fits.
    pub priorities: Vec<PriorityColumn>,
    /// For each priority the score of each node, 0..=100 before the weight; null where the node has none.
    #[schema(example = json!([[88, 41, null]]))]
    pub scores: Vec<Vec<Option<i64>>>,
    /// The scores of each node combined; 0 where it does not fit.
    pub total: Vec<i64>,
    /// The place of each node among those that fit, 1 being the best; null where it does not fit.
    #[schema(example = json!([1, 2, null]))]
    pub rank: Vec<Option<usize>>,
    /// Of each node the level of a decision tree at which it fell behind the best, from 1; null where there is none. Absent under `WeightedSum`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!([null, 2, null]))]
    pub lost_at: Option<Vec<Option<usize>>>,
    /// The nodes with equal verdicts together: those that fit first, then the largest group first.
    pub patterns: Vec<Pattern>,
    /// The best node; absent where the pod fits nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub selected: Option<String>,
    /// The level of a decision tree that parted the best node from the next best.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub decided_by: Option<DecidingLevel>,
    /// Where the pod would go or, where it fits nowhere, kube-scheduler's own sentence.
    pub message: String,
    /// The effect of preemption; absent unless requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preemption: Option<PreemptionExplanation>,
    /// The cheapest changes with which a pod that fits nowhere would fit; absent unless requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub suggestions: Vec<Suggestion>,
    /// Where the pod runs already, and whether that is still the best; absent for one that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub bound_to: Option<BoundTo>,
    /// The object whose pod template was used; absent if the pod itself was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub template: Option<TemplateOwner>,
    /// The policy decided under.
    pub policy: PolicyUsed,
    /// The revision of the state decided over; 0 where the cluster came with the request.
    pub snapshot_revision: u64,
    /// The seed that breaks ties.
    pub seed: u64,
    /// Failed calls to extenders (`callExtenders`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub extender_errors: Vec<ExtenderError>,
    /// The live cluster that the cluster mirrors.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<SourceRead>,
}

/// A predicate as a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PredicateColumn {
    /// The predicate, by the name the policy called it; of an extender its URL.
    pub name: String,
    /// The framework plugin that carries it; `Extender` for an extender.
    pub plugin: String,
    /// How many nodes it rules out.
    pub rejected: usize,
}

/// A priority as a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PriorityColumn {
    /// The priority, by the name the policy called it; of an extender its URL.
    pub name: String,
    /// The framework plugin that carries it; `Extender` for an extender.
    pub plugin: String,
    /// The factor of its scores; 1 under `Lexicographic`.
    pub weight: i64,
    /// How far below the best a score may be and still tie with it; only under `Lexicographic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 100)]
    pub tolerance: Option<i64>,
}

/// Nodes with equal verdicts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = VerdictPattern)]
pub struct Pattern {
    /// Their verdicts: one character for each predicate, as in the columns.
    #[schema(example = "..u")]
    pub verdicts: String,
    /// How many nodes there are.
    pub count: usize,
    /// `true` if the pod fits there.
    pub fits: bool,
    /// The numbers of the nodes: by rank where the pod fits, else in order of names.
    pub nodes: Vec<usize>,
    /// The places in `reasons` of the reasons against them, the most frequent first.
    pub reasons: Vec<usize>,
}

/// The character of a verdict.
fn character(verdict: VerdictCode) -> u8 {
    match verdict {
        VerdictCode::Fits => b'.',
        VerdictCode::Unschedulable => b'u',
        VerdictCode::UnschedulableAndUnresolvable => b'x',
    }
}

fn rules_out(character: u8) -> bool {
    matches!(character, b'u' | b'x')
}

/// The columns as far as nodes were added.
#[derive(Default)]
struct Matrix {
    /// How many nodes were added.
    nodes: usize,
    predicates: Vec<PredicateColumn>,
    verdicts: Vec<Vec<u8>>,
    why: Vec<Vec<usize>>,
    reasons: Vec<Vec<String>>,
    reason_places: HashMap<Vec<String>, usize>,
    priorities: Vec<PriorityColumn>,
    scores: Vec<Vec<Option<i64>>>,
}

/// Nodes with equal verdicts, and how many of them each reason rules out.
type Alike = (Vec<usize>, BTreeMap<usize, usize>);

impl Matrix {
    fn add(&mut self, node: &NodeExplanation) {
        work::spend_on(node.verdicts.len() + node.scores.len());
        for (place, verdict) in node.verdicts.iter().enumerate() {
            let column = self.predicate(place, verdict);
            let character = character(verdict.verdict);
            self.verdicts[column].resize(self.nodes, NOT_ASKED);
            self.verdicts[column].push(character);
            if rules_out(character) {
                let reasons = self.reasons_place(&verdict.reasons);
                self.why[column].push(reasons);
                self.predicates[column].rejected += 1;
            }
        }
        for (place, score) in node.scores.iter().enumerate() {
            let column = self.priority(place, score);
            self.scores[column].resize(self.nodes, None);
            self.scores[column].push(Some(score.score));
        }
        self.nodes += 1;
    }

    /// The column of a predicate. Mostly it is where it was for the node before.
    fn predicate(&mut self, place: usize, verdict: &VerdictExplanation) -> usize {
        let is_it = |column: &PredicateColumn| column.name == verdict.predicate && column.plugin == verdict.plugin;
        if self.predicates.get(place).is_some_and(is_it) {
            return place;
        }
        self.predicates.iter().position(is_it).unwrap_or_else(|| {
            let (name, plugin) = (verdict.predicate.clone(), verdict.plugin.clone());
            self.predicates.push(PredicateColumn { name, plugin, rejected: 0 });
            self.verdicts.push(Vec::new());
            self.why.push(Vec::new());
            self.predicates.len() - 1
        })
    }

    /// The column of a priority, like [`Self::predicate`].
    fn priority(&mut self, place: usize, score: &ScoreExplanation) -> usize {
        let is_it = |column: &PriorityColumn| column.name == score.priority && column.plugin == score.plugin;
        if self.priorities.get(place).is_some_and(is_it) {
            return place;
        }
        self.priorities.iter().position(is_it).unwrap_or_else(|| {
            let (name, plugin) = (score.priority.clone(), score.plugin.clone());
            self.priorities.push(PriorityColumn { name, plugin, weight: score.weight, tolerance: score.tolerance });
            self.scores.push(Vec::new());
            self.priorities.len() - 1
        })
    }

    fn reasons_place(&mut self, reasons: &Vec<String>) -> usize {
        if let Some(place) = self.reason_places.get(reasons) {
            return *place;
        }
        let place = self.reasons.len();
        self.reasons.push(reasons.clone());
        self.reason_places.insert(reasons.clone(), place);
        place
    }

    /// Fills the columns up to the last node.
    fn end(&mut self) {
        self.verdicts.iter_mut().for_each(|column| column.resize(self.nodes, NOT_ASKED));
        self.scores.iter_mut().for_each(|column| column.resize(self.nodes, None));
    }

    /// The groups of nodes with equal verdicts.
    fn patterns(&self, ranks: &[Option<usize>]) -> Vec<Pattern> {
        let mut groups: HashMap<Vec<u8>, Alike> = HashMap::new();
        let mut next = vec![0; self.why.len()];
        for node in 0..self.nodes {
            work::spend_on(self.verdicts.len());
            let key: Vec<u8> = self.verdicts.iter().map(|column| column[node]).collect();
            let (nodes, reasons) = groups.entry(key).or_default();
            nodes.push(node);
            for (column, _) in self.verdicts.iter().enumerate().filter(|(_, column)| rules_out(column[node])) {
                *reasons.entry(self.why[column][next[column]]).or_default() += 1;
                next[column] += 1;
            }
        }
        let mut patterns: Vec<Pattern> = groups
            .into_iter()
            .map(|(key, (mut nodes, reasons))| {
                let fits = !key.iter().any(|character| rules_out(*character));
                if fits {
                    nodes.sort_by_key(|node| (ranks[*node].is_none(), ranks[*node], *node));
                }
                let mut reasons: Vec<(usize, usize)> = reasons.into_iter().collect();
                reasons.sort_by_key(|(place, count)| (std::cmp::Reverse(*count), *place));
                let reasons = reasons.into_iter().map(|(place, _)| place).collect();
                Pattern { verdicts: ascii(key), count: nodes.len(), fits, nodes, reasons }
            })
            .collect();
        patterns.sort_by(|one, other| {
            (other.fits, other.count).cmp(&(one.fits, one.count)).then_with(|| one.verdicts.cmp(&other.verdicts))
        });
        patterns
    }
}

/// Characters of one byte as a text.
fn ascii(characters: Vec<u8>) -> String {
    characters.into_iter().map(char::from).collect()
}

impl From<Explanation> for ColumnExplanation {
    fn from(explanation: Explanation) -> Self {
        let Explanation {
            pod,
            nodes,
            selected,
            decided_by,
            message,
            preemption,
            suggestions,
            bound_to,
            template,
            policy,
            snapshot_revision,
            seed,
            extender_errors,
            source,
        } = explanation;
        let mut matrix = Matrix::default();
        for node in &nodes {
            matrix.add(node);
        }
        matrix.end();
        let rank: Vec<Option<usize>> = nodes.iter().map(|node| node.rank).collect();
        let patterns = matrix.patterns(&rank);
        let has_levels = matrix.priorities.iter().any(|priority| priority.tolerance.is_some());
        let level = |node: &NodeExplanation| node.lost_at.as_ref().map(|lost_at| lost_at.level);
        let Matrix { predicates, verdicts, why, reasons, priorities, scores, .. } = matrix;
        Self {
            pod,
            predicates,
            verdicts: verdicts.into_iter().map(ascii).collect(),
            reasons,
            why,
            priorities,
            scores,
            total: nodes.iter().map(|node| node.total).collect(),
            rank,
            lost_at: has_levels.then(|| nodes.iter().map(level).collect()),
            patterns,
            nodes: nodes.into_iter().map(|node| node.name).collect(),
            selected,
            decided_by,
            message,
            preemption,
            suggestions,
            bound_to,
            template,
            policy,
            snapshot_revision,
            seed,
            extender_errors,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use podberth_core::{cycle::decide, policy::Policy};
    use podberth_testkit::{cluster, node, pod};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn explained(nodes: &[(i64, bool)], asked: i64) -> Explanation {
        let profile = Policy::default().compile().expect("the default compiles");
        let nodes = nodes.iter().enumerate().map(|(at, (cpu, is_cordoned))| {
            let node = node(&format!("n{at:02}")).cpu(&cpu.to_string());
            if *is_cordoned { node.unschedulable().into() } else { node.into() }
        });
        let snapshot = cluster(nodes);
        let pod = pod("p").cpu(&asked.to_string()).build();
        Explanation::new(&pod, &decide(&profile, &pod, &snapshot, 1), PolicyUsed::default(), 7, 1)
    }

    #[test]
    fn nodes_with_equal_verdicts_are_one_pattern() {
        let columns =
            ColumnExplanation::from(explained(&[(4, false), (1, false), (4, false), (1, true), (1, false)], 2));
        let told: Vec<_> = columns.patterns.iter().map(|p| (p.fits, p.count, p.nodes.len())).collect();
        assert_eq!(told, [(true, 2, 2), (false, 2, 2), (false, 1, 1)]);
        assert_eq!(columns.patterns[1].nodes, [1, 4]);
        let texts: Vec<_> =
            columns.patterns[1].reasons.iter().map(|place| columns.reasons[*place].join(", ")).collect();
        assert_eq!(texts, ["Insufficient cpu"]);
        let best = columns.patterns[0].nodes[0];
        assert_eq!(Some(&columns.nodes[best]), columns.selected.as_ref(), "those that fit are in order of rank");
    }

    #[test]
    fn an_extender_is_a_column_of_its_own() {
        let mut explanation = explained(&[(4, false), (4, false), (4, false)], 2);
        let verdict = |url: &str| VerdictExplanation {
            predicate: url.into(),
            plugin: "Extender".into(),
            verdict: VerdictCode::Unschedulable,
            reasons: vec!["busy".into()],
        };
        explanation.nodes[0].verdicts.push(verdict("http://a"));
        explanation.nodes[2].verdicts.push(verdict("http://b"));
        let columns = ColumnExplanation::from(explanation);
        let of = |url: &str| columns.predicates.iter().position(|column| column.name == url).expect("a column");
        assert_eq!((&*columns.verdicts[of("http://a")], &*columns.verdicts[of("http://b")]), ("u--", "--u"));
        assert_eq!(columns.predicates[of("http://a")].rejected, 1);
    }

    proptest! {
        /// Every cell of the matrix is that of the explanation.
        #[test]
        fn columns_have_the_cells_of_the_explanation(nodes in vec((0_i64..5, any::<bool>()), 0..20), asked in 0_i64..5) {
            let explanation = explained(&nodes, asked);
            let columns = ColumnExplanation::from(explanation.clone());
            prop_assert_eq!(columns.patterns.iter().map(|p| p.count).sum::<usize>(), explanation.nodes.len());
            let mut next = vec![0; columns.why.len()];
            for (at, node) in explanation.nodes.iter().enumerate() {
                prop_assert_eq!(&node.name, &columns.nodes[at]);
                prop_assert_eq!((node.total, node.rank), (columns.total[at], columns.rank[at]));
                for (column, verdict) in node.verdicts.iter().enumerate() {
                    let told = columns.verdicts[column].as_bytes()[at];
                    prop_assert_eq!(told, character(verdict.verdict));
                    if rules_out(told) {
                        prop_assert_eq!(&columns.reasons[columns.why[column][next[column]]], &verdict.reasons);
                        next[column] += 1;
                    }
                }
                for (column, score) in node.scores.iter().enumerate() {
                    prop_assert_eq!(columns.scores[column][at], Some(score.score));
                }
                prop_assert_eq!(node.fits, columns.scores.iter().any(|column| column[at].is_some()));
            }
        }
    }
}

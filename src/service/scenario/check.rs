//! Expectations of a scenario, held against its outcome.

use std::collections::BTreeMap;

use super::{Decided, Failure, Ran};
use crate::{
    core::{
        batch::Placement,
        model::{Pod, Selector},
        simulate::Utilization,
    },
    service::error::{Error, Result},
    wire::{
        explanation::PodName,
        scenario::{Expectation, SpreadLimit, Texts, Unschedulable},
        selector,
    },
};

/// The check of one expectation.
pub(super) struct Check<'a> {
    pub(super) ran: &'a Ran,
    /// Its place: `expect[0]`.
    pub(super) at: String,
    pub(super) failures: &'a mut Vec<Failure>,
}

/// The pods that an expectation is about.
struct About {
    /// A pattern of `namespace/name`.
    pattern: Option<String>,
    labels: Option<Selector>,
}

impl About {
    fn matches(&self, pod: &Pod) -> bool {
        self.pattern.as_ref().is_none_or(|pattern| matches(pattern.as_bytes(), pod.full_name().as_bytes()))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&pod.labels))
    }
}

/// `true` if a text is as a pattern, in which `*` stands for any text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // Where the last star is, and where the text begins that it does not cover yet.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, covered)) = star {
            star = Some((at, covered + 1));
            p = at + 1;
            t = covered + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl Check<'_> {
    /// Notes what does not hold.
    ///
    /// # Errors
    /// If the expectation cannot be read, by its field.
    pub(super) fn run(&mut self, expectation: &Expectation) -> Result<()> {
        if expectation.is_empty() {
            let why = "nothing is expected of the pods: add node, unschedulable, scheduled or the like";
            return Err(Error::BadRequest(format!("{}: {why}", self.at)));
        }
        let Expectation { pod, selector: labels, nodes_in_use, scheduled, spread, .. } = expectation;
        let labels = labels.as_deref().map(selector::parse_labels).transpose();
        let labels = labels.map_err(|error| Error::BadRequest(format!("{}.selector: {error}", self.at)))?;
        let pattern = pod.as_deref().map(|pod| {
            let (namespace, name) = PodName::parse(pod);
            format!("{namespace}/{name}")
        });
        let about = About { pattern, labels };
        let ran = self.ran;
        let found: Vec<(usize, &Decided)> =
            ran.pods.iter().enumerate().filter(|(_, decided)| about.matches(&decided.pod)).collect();
        let is_of_some = pod.is_some() || expectation.selector.is_some();
        if found.is_empty() && spread.is_none() && is_of_some {
            let named = pod.as_deref().or(expectation.selector.as_deref()).unwrap_or_default();
            self.fail(None, format!("no pod of the scenario is {named:?}: nothing is checked"));
        } else if found.is_empty() && !is_of_some && expectation.is_of_each() {
            self.fail(None, "the scenario places no pod: nothing is checked".into());
        }
        for (index, decided) in &found {
            self.pod(*index, decided, expectation);
        }
        if let Some(limit) = spread {
            self.spread(&about, limit);
        }
        if let Some(amount) = scheduled {
            let number = found.iter().filter(|(_, decided)| decided.node().is_some()).count();
            if !amount.holds(number) {
                let of = found.len();
                self.fail(None, format!("expected {amount} of {of} pods to find a node, and {number} did"));
            }
        }
        if let Some(amount) = nodes_in_use {
            let number = Utilization::of(&ran.after).in_use;
            if !amount.holds(number) {
                self.fail(None, format!("expected {amount} nodes in use, and there are {number}"));
            }
        }
        Ok(())
    }

    fn fail(&mut self, pod: Option<usize>, message: String) {
        self.failures.push(Failure { at: self.at.clone(), message, pod });
    }

    fn pod(&mut self, index: usize, decided: &Decided, expectation: &Expectation) {
        let Expectation { node, not_node, unschedulable, order, scores, .. } = expectation;
        let (name, told) = (decided.pod.full_name(), decided.told());
        let mut fail = |expected: String| self.fail(Some(index), format!("{name}: expected {expected}, and it {told}"));
        let is_one_of = |nodes: &Texts| decided.node().is_some_and(|node| nodes.0.iter().any(|wanted| wanted == node));
        if let Some(nodes) = node.as_ref().filter(|nodes| !is_one_of(nodes)) {
            fail(format!("to go to {}", nodes.0.join(" or ")));
        }
        if let Some(nodes) = not_node.as_ref().filter(|nodes| is_one_of(nodes)) {
            fail(format!("not to go to {}", nodes.0.join(" or ")));
        }
        match (unschedulable, &decided.placement) {
            (Some(Unschedulable::Is(true)), Placement::Placed(_)) => fail("to fit nowhere".into()),
            (Some(Unschedulable::Is(false)), Placement::Unschedulable(_)) => fail("to find a node".into()),
            (Some(Unschedulable::For(why)), Placement::Placed(_)) => fail(format!("to fit nowhere ({why})")),
            (Some(Unschedulable::For(why)), Placement::Unschedulable(message)) if !message.contains(why.as_str()) => {
                fail(format!("to fit nowhere for {why:?}"));
            }
            _ => {}
        }
        if order.is_some() || scores.is_some() {
            self.matrix(index, &name, expectation);
        }
    }

    /// Checks of every node's score.
    fn matrix(&mut self, index: usize, name: &str, expectation: &Expectation) {
        let Some(explanation) = self.ran.explain(index) else {
            self.fail(Some(index), format!("{name}: expected scores, and no profile decides for it"));
            return;
        };
        let node = |name: &str| explanation.nodes.iter().find(|node| node.name == name);
        if let Some(order) = &expectation.order {
            let ranks: Vec<Option<usize>> = order.iter().map(|name| node(name).and_then(|node| node.rank)).collect();
            if ranks.iter().any(Option::is_none) || !ranks.windows(2).all(|pair| pair[0] < pair[1]) {
                let mut fitting: Vec<_> = explanation.nodes.iter().filter(|node| node.fits).collect();
                fitting.sort_by_key(|node| node.rank);
                let found: Vec<&str> = fitting.iter().map(|node| &*node.name).collect();
                let (expected, found) = (order.join(", "), found.join(", "));
                self.fail(Some(index), format!("{name}: expected the order {expected}, and it is {found}"));
            }
        }
        for (of, total) in expectation.scores.iter().flatten() {
            let found = match node(of) {
                Some(node) if node.fits => Some(node.total).filter(|found| found != total).map(|f| f.to_string()),
                Some(_) => Some("nothing, since the pod does not fit".into()),
                None => Some("nothing, since there is no such node".into()),
            };
            if let Some(found) = found {
                self.fail(Some(index), format!("{name}: expected {of} to score {total}, and it scores {found}"));
            }
        }
    }

    fn spread(&mut self, about: &About, SpreadLimit { topology_key: key, max_skew }: &SpreadLimit) {
        let mut domains: BTreeMap<&str, usize> = BTreeMap::new();
        for info in self.ran.after.nodes() {
            if let Some(domain) = info.labels().get(key) {
                let pods = info.pods.iter().filter(|pod| about.matches(pod)).count();
                *domains.entry(domain).or_default() += pods;
            }
        }
        let (Some(most), Some(least)) = (domains.values().max(), domains.values().min()) else {
            self.fail(None, format!("expected pods spread over {key}, and no node has this label"));
            return;
        };
        let skew = most - least;
        if skew > *max_skew {
            let each: Vec<String> = domains.iter().map(|(domain, pods)| format!("{domain}: {pods}")).collect();
            let each = each.join(", ");
            self.fail(None, format!("expected a skew of at most {max_skew} over {key}, and it is {skew} ({each})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, holds) in [
            ("default/web", "default/web", true),
            ("default/web-*", "default/web-1", true),
            ("*/web-*", "shop/web-", true),
            ("*b*b", "abcb", true),
            ("default/web-*", "default/db-1", false),
            ("a*b", "abc", false),
            ("", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), holds, "{pattern} {text}");
        }
    }
}

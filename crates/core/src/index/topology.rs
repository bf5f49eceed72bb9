//! Topology domains: for each node label its values, numbered, and the value of each node. Nodes with equal taints form such a domain
//! too.

use imbl::{OrdMap, Vector};

use super::{Slot, numbers::Numbers};
use crate::{
    model::{Labels, Name, Node, Taint, topology::zone_key},
    work,
};

/// The number of no domain.
const NONE: u32 = u32::MAX;

/// Numbers copied in one step of work.
const COPIED: usize = 32;

/// Every label's domains, and the zones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    by_label: OrdMap<Name, Column<Name>>,
    /// By region and zone together.
    zones: Column<Name>,
    /// By their taints, as far as scheduling reads them; nodes without any are in no domain.
    taints: Column<Vec<Taint>>,
}

/// One label's domains.
#[derive(Clone, Debug)]
struct Column<V: Ord> {
    domain_of: Vector<u32>,
    domains: OrdMap<V, Domain>,
    numbers: Numbers,
}

impl<V: Ord> Default for Column<V> {
    fn default() -> Self {
        Self { domain_of: Vector::new(), domains: OrdMap::new(), numbers: Numbers::default() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Domain {
    number: u32,
    /// How many nodes are in it.
    nodes: u32,
}

impl Topology {
    /// A node has come, gone or changed.
    pub(super) fn replace(&mut self, slot: Slot, old: Option<&Node>, new: Option<&Node>) {
        if old.map(|node| &node.labels) != new.map(|node| &node.labels) {
            old.inspect(|node| self.remove(slot, &node.labels));
            new.inspect(|node| self.add(slot, &node.labels));
        }
        let (old, new) = (old.map(taints), new.map(taints));
        if old != new {
            if let Some(old) = old.filter(|taints| !taints.is_empty()) {
                self.taints.leave(slot, &old);
            }
            if let Some(new) = new.filter(|taints| !taints.is_empty()) {
                self.taints.join(slot, &new);
            }
        }
    }

    fn add(&mut self, slot: Slot, labels: &Labels) {
        for (key, value) in labels.iter() {
            self.by_label.entry(key.clone()).or_default().join(slot, value);
        }
        if let Some(zone) = zone_name(labels) {
            self.zones.join(slot, &zone);
        }
    }

    fn remove(&mut self, slot: Slot, labels: &Labels) {
        for (key, value) in labels.iter() {
            if self.by_label.get_mut(key).is_some_and(|column| column.leave(slot, value)) {
                self.by_label.remove(key);
            }
        }
        if let Some(zone) = zone_name(labels) {
            self.zones.leave(slot, &zone);
        }
    }

    /// The domains of a label, laid out to be read node by node.
    pub(crate) fn domains(&self, key: &str) -> Domains {
        self.by_label.get(key).map_or_else(Domains::default, Column::lay_out_by_value)
    }

    /// The result of `holds` for each node by its value of a label, `None` for a node without the label.
    pub(crate) fn test(&self, key: &str, holds: impl Fn(Option<&str>) -> bool) -> Answers<bool> {
        match self.by_label.get(key) {
            Some(column) => column.ask(|value| holds(Some(value)), holds(None)),
            None => Column::default().ask(|_: &Name| false, holds(None)),
        }
    }

    /// The result of `answer` for each node by its taints, in their order; `untainted` for nodes without taints.
    pub(crate) fn by_taints<T: Copy>(&self, answer: impl Fn(&[Taint]) -> T, untainted: T) -> Answers<T> {
        self.taints.ask(|taints| answer(taints), untainted)
    }

    /// The zones, laid out likewise.
    pub(crate) fn zones(&self) -> Domains {
        self.zones.lay_out()
    }
}

/// A node's taints without what scheduling does not read.
fn taints(node: &Node) -> Vec<Taint> {
    node.taints.iter().map(|taint| Taint { added: None, ..taint.clone() }).collect()
}

fn zone_name(labels: &Labels) -> Option<Name> {
    zone_key(labels).map(|(region, zone)| format!("{region}\0{zone}").into())
}

impl<V: Ord + Clone> Column<V> {
    fn join(&mut self, slot: Slot, value: &V) {
        let domain = if let Some(domain) = self.domains.get_mut(value) {
            domain.nodes += 1;
            domain.number
        } else {
            let number = self.numbers.take();
            self.domains.insert(value.clone(), Domain { number, nodes: 1 });
            number
        };
        while self.domain_of.len() <= slot as usize {
            self.domain_of.push_back(NONE);
        }
        self.domain_of.set(slot as usize, domain);
    }

    /// `true` if no node is in any domain any more.
    fn leave(&mut self, slot: Slot, value: &V) -> bool {
        if (slot as usize) < self.domain_of.len() {
            self.domain_of.set(slot as usize, NONE);
        }
        if let Some(domain) = self.domains.get_mut(value) {
            domain.nodes -= 1;
            if domain.nodes == 0 {
                self.numbers.give_back(domain.number);
                self.domains.remove(value);
            }
        }
        self.domains.is_empty()
    }

    fn lay_out(&self) -> Domains {
        work::spend_on(self.domain_of.len() / COPIED);
        let mut of_slot = Vec::with_capacity(self.domain_of.len());
        self.domain_of.leaves().for_each(|leaf| of_slot.extend_from_slice(leaf));
        let fresh = self.numbers.bound();
        Domains { of_slot, without_label: fresh as u32, bound: fresh + 1 }
    }

    fn ask<T: Copy>(&self, answer: impl Fn(&V) -> T, without: T) -> Answers<T> {
        let domains = self.lay_out();
        let mut of_domain = vec![without; domains.bound()];
        for (value, domain) in &self.domains {
            work::spend(1);
            of_domain[domain.number as usize] = answer(value);
        }
        Answers { domains, of_domain, without }
    }
}

impl Column<Name> {
    /// As [`Self::lay_out`], where nodes without the label count as having the empty value.
    fn lay_out_by_value(&self) -> Domains {
        let domains = self.lay_out();
        match self.domains.get("") {
            Some(domain) => Domains { without_label: domain.number, ..domains },
            None => domains,
        }
    }
}

/// The domains of one label, as they were when they were laid out.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    of_slot: Vec<u32>,
    without_label: u32,
    bound: usize,
}

impl Domains {
    /// The number of a node's domain; `None` where it has no such label.
    pub(crate) fn of(&self, slot: Slot) -> Option<usize> {
        self.of_slot.get(slot as usize).filter(|domain| **domain != NONE).map(|domain| *domain as usize)
    }

    /// The number of a node's domain, where nodes without the label are in that of the empty value.
    pub(crate) fn of_value(&self, slot: Slot) -> usize {
        self.of(slot).unwrap_or(self.without_label as usize)
    }

    /// All numbers are below this.
    pub(crate) fn bound(&self) -> usize {
        self.bound.max(1)
    }
}

/// A question about nodes, answered for each domain.
#[derive(Debug)]
pub(crate) struct Answers<T> {
    domains: Domains,
    of_domain: Vec<T>,
    without: T,
}

impl<T: Copy> Answers<T> {
    /// The answer for a node.
    pub(crate) fn of(&self, slot: Slot) -> T {
        // There is no domain of the number that says so.
        let domain = self.domains.of_slot.get(slot as usize);
        domain.and_then(|domain| self.of_domain.get(*domain as usize)).copied().unwrap_or(self.without)
    }

    /// Applies `change` to each answer.
    pub(crate) fn map(mut self, change: impl Fn(T) -> T) -> Self {
        self.of_domain.iter_mut().for_each(|answer| *answer = change(*answer));
        self.without = change(self.without);
        self
    }
}

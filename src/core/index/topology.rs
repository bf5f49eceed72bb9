//! The domains that nodes are in: for each label of nodes its different values, numbered, and each node's.

use imbl::{OrdMap, Vector};

use super::{Slot, numbers::Numbers};
use crate::core::model::{Labels, Name, topology::zone_key};

/// Says that a node is in no domain.
const NONE: u32 = u32::MAX;

/// Every label's domains, and the zones.
#[derive(Clone, Debug, Default)]
pub(in crate::core) struct Topology {
    by_label: OrdMap<Name, Column>,
    /// By region and zone together.
    zones: Column,
}

/// One label's domains.
#[derive(Clone, Debug, Default)]
struct Column {
    domain_of: Vector<u32>,
    domains: OrdMap<Name, Domain>,
    numbers: Numbers,
}

#[derive(Clone, Copy, Debug)]
struct Domain {
    number: u32,
    /// How many nodes are in it.
    nodes: u32,
}

impl Topology {
    /// Takes in a node's labels.
    pub(super) fn add(&mut self, slot: Slot, labels: &Labels) {
        for (key, value) in labels.iter() {
            self.by_label.entry(key.clone()).or_default().join(slot, value);
        }
        if let Some(zone) = zone_name(labels) {
            self.zones.join(slot, &zone);
        }
    }

    /// Takes out a node, which had these labels.
    pub(super) fn remove(&mut self, slot: Slot, labels: &Labels) {
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
    pub(in crate::core) fn domains(&self, key: &str) -> Domains {
        self.by_label.get(key).map_or_else(Domains::default, Column::lay_out)
    }

    /// What `holds` says of each node by its value of a label, `None` where it has no such label.
    pub(in crate::core) fn test(&self, key: &str, holds: impl Fn(Option<&str>) -> bool) -> LabelTest {
        let column = self.by_label.get(key);
        let domains = column.map_or_else(Domains::default, Column::lay_out);
        let mut of_domain = vec![false; domains.bound()];
        for (value, domain) in column.iter().flat_map(|column| column.domains.iter()) {
            of_domain[domain.number as usize] = holds(Some(value));
        }
        LabelTest { domains, of_domain, without_label: holds(None) }
    }

    /// The zones, laid out likewise.
    pub(in crate::core) fn zones(&self) -> Domains {
        self.zones.lay_out()
    }
}

fn zone_name(labels: &Labels) -> Option<Name> {
    zone_key(labels).map(|(region, zone)| format!("{region}\0{zone}").into())
}

impl Column {
    fn join(&mut self, slot: Slot, value: &Name) {
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

    /// Whether no node is in any domain any more.
    fn leave(&mut self, slot: Slot, value: &Name) -> bool {
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
        let mut of_slot = Vec::with_capacity(self.domain_of.len());
        self.domain_of.leaves().for_each(|leaf| of_slot.extend_from_slice(leaf));
        let fresh = self.numbers.bound();
        let without_label = self.domains.get("").map_or(fresh as u32, |domain| domain.number);
        Domains { of_slot, without_label, bound: fresh + 1 }
    }
}

/// The domains of one label, as they were when they were laid out.
#[derive(Debug, Default)]
pub(in crate::core) struct Domains {
    of_slot: Vec<u32>,
    without_label: u32,
    bound: usize,
}

impl Domains {
    /// The number of a node's domain; `None` where it has no such label.
    pub(in crate::core) fn of(&self, slot: Slot) -> Option<usize> {
        self.of_slot.get(slot as usize).filter(|domain| **domain != NONE).map(|domain| *domain as usize)
    }

    /// The number of a node's domain, where nodes without the label are in that of the empty value.
    pub(in crate::core) fn of_value(&self, slot: Slot) -> usize {
        self.of(slot).unwrap_or(self.without_label as usize)
    }

    /// All numbers are below this.
    pub(in crate::core) fn bound(&self) -> usize {
        self.bound.max(1)
    }
}

/// A question about one label, answered for each of its values.
#[derive(Debug)]
pub(in crate::core) struct LabelTest {
    domains: Domains,
    of_domain: Vec<bool>,
    without_label: bool,
}

impl LabelTest {
    /// The answer for a node.
    pub(in crate::core) fn holds(&self, slot: Slot) -> bool {
        self.domains.of(slot).map_or(self.without_label, |domain| self.of_domain[domain])
    }
}

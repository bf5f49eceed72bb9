//! How pods are spread over the domains of a topology key.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        Labels, Name,
        topology::{HOSTNAME, ZONE},
    },
    snapshot::Snapshot,
};

/// The topology keys that are counted.
pub const KEYS: [&str; 2] = [ZONE, HOSTNAME];

/// The compared pods over the domains of one topology key. Every domain of the cluster is there, also without pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The pods in each domain, by its name.
    pub pods: BTreeMap<Name, usize>,
}

impl Spread {
    /// The pods in the domain with the fewest, and in the one with the most.
    pub fn extremes(&self) -> (usize, usize) {
        let least = self.pods.values().copied().min().unwrap_or_default();
        (least, self.pods.values().copied().max().unwrap_or_default())
    }

    /// The largest difference between two domains.
    pub fn max_skew(&self) -> usize {
        let (least, most) = self.extremes();
        most - least
    }
}

/// The spreads of one side, by topology key.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, BTreeMap<Name, usize>>);

impl Tally {
    /// Counts a pod in the domains of its node.
    pub(super) fn count(&mut self, labels: &Labels) {
        for key in KEYS {
            if let Some(domain) = labels.get(key) {
                *self.0.entry(key).or_default().entry(domain.clone()).or_default() += 1;
            }
        }
    }

    /// The spreads over these domains and those that pods were counted in.
    pub(super) fn over(mut self, domains: &Domains) -> BTreeMap<&'static str, Spread> {
        let mut spreads = BTreeMap::new();
        for key in KEYS {
            let mut pods = self.0.remove(key).unwrap_or_default();
            for domain in domains.0.get(key).into_iter().flatten() {
                pods.entry(domain.clone()).or_default();
            }
            if !pods.is_empty() {
                spreads.insert(key, Spread { pods });
            }
        }
        spreads
    }
}

/// The domains of the nodes of a cluster, by topology key.
#[derive(Default)]
pub(super) struct Domains(BTreeMap<&'static str, BTreeSet<Name>>);

impl Domains {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut domains = Self::default();
        for info in snapshot.nodes() {
            for key in KEYS {
                if let Some(domain) = info.labels().get(key) {
                    domains.0.entry(key).or_default().insert(domain.clone());
                }
            }
        }
        domains
    }
}

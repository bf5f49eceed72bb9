//! A request for a placement.

use super::Cluster;
use crate::{
    model::{Name, Operator, Requirement, Selector, Toleration},
    work,
};

/// The replicas of one workload, and the clusters that may take them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The workload's uid: it decides the direction of ties. May be empty.
    pub uid: Name,
    /// Group with version, and kind, that a cluster has to serve.
    pub resource: Option<(Name, Name)>,
    /// How many replicas; 0 for an object without replicas, which goes to every selected cluster.
    pub replicas: i64,
    /// Clusters that may be used.
    pub affinity: Terms,
    /// Taints of clusters that are tolerated.
    pub tolerations: Vec<Toleration>,
    /// How the replicas are spread.
    pub spread: Vec<Spread>,
    /// How the replicas are divided.
    pub division: Division,
    /// The last answer, in its order, each cluster once.
    pub previous: Vec<(Name, i64)>,
    /// Clusters that are being left.
    pub evicting: Vec<Name>,
    /// `true` if all replicas are placed anew, whatever the last answer was.
    pub fresh: bool,
    /// `true` if what fits is placed where not all fits.
    pub partial: bool,
    /// Order of clusters.
    pub ranking: Ranking,
    /// Bounds for live clusters; `None` where clusters come with the request and are taken at their word.
    pub live: Option<Live>,
}

/// Rules for clusters whose room the node engine has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// The largest lag of a mirror, in nanoseconds.
    pub max_lag: i64,
}

/// Clusters that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// Those of one affinity.
    One(Affinity),
    /// Those of the first term with which all goes well.
    InOrder {
        /// The terms. Never empty.
        terms: Vec<Term>,
        /// The name of the term that decided last time.
        observed: Option<Name>,
    },
}

impl Default for Terms {
    fn default() -> Self {
        Self::One(Affinity::default())
    }
}

/// One of several affinities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Term {
    /// Its name.
    pub name: Name,
    /// Its clusters.
    pub affinity: Affinity,
    /// Clusters that take the rest, group by group.
    pub overflow: Vec<Affinity>,
}

/// Conditions on a cluster, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affinity {
    /// Its labels.
    pub selector: Selector,
    /// Its provider, region and zones: `In` and `NotIn` only.
    pub fields: Vec<(Field, Operator)>,
    /// Its name is one of these; empty for any name.
    pub names: Vec<Name>,
    /// Its name is none of these.
    pub exclude: Vec<Name>,
}

/// A field of a cluster that an affinity may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Field {
    Provider,
    Region,
    Zone,
}

/// A spread constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The groups.
    pub by: SpreadBy,
    /// At least so many groups; 1 or more.
    pub min: usize,
    /// At most so many; `None` for no bound.
    pub max: Option<usize>,
    /// The greatest difference of replicas between two selected groups; 1 or more, `None` for no bound. One constraint of a request has it.
    pub max_skew: Option<i64>,
}

/// A way of grouping clusters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum SpreadBy {
    Cluster,
    Region,
    Zone,
    Provider,
    Label(Name),
}

/// How replicas are divided among clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Division {
    /// Every cluster gets all of them.
    #[default]
    Duplicated,
    /// As few clusters as hold them all.
    Aggregated,
    /// By weights of rules; equal weights where there are none.
    Static(Vec<(Affinity, i64)>),
    /// By the room that the clusters have.
    Dynamic,
}

/// Order of clusters, by the scores of priorities. Where it finds two equal, the one with more room goes first, then the one whose name does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// By the sum of weighted scores.
    Weights(Vec<(Name, i64)>),
    /// By one priority after the other.
    Tree(Vec<Name>),
}

impl Default for Ranking {
    fn default() -> Self {
        Self::Weights(vec![(super::cluster_locality::NAME.into(), 1)])
    }
}

impl Request {
    /// Replicas that the last answer gave to a cluster; `None` for a cluster that was not in it.
    pub fn previous_of(&self, cluster: &str) -> Option<i64> {
        self.previous.iter().find(|(name, _)| **name == *cluster).map(|(_, replicas)| *replicas)
    }

    /// `true` if a cluster may get replicas by any of the terms, whatever else speaks against it.
    pub fn may_choose(&self, cluster: &Cluster) -> bool {
        let matches = |affinity: &Affinity| {
            work::spend(affinity.cost());
            affinity.matches(cluster)
        };
        match &self.affinity {
            Terms::One(affinity) => matches(affinity),
            Terms::InOrder { terms, .. } => {
                terms.iter().any(|term| std::iter::once(&term.affinity).chain(&term.overflow).any(matches))
            }
        }
    }

    /// The first cluster that the request names to use or to keep and that is not among these; with its field.
    pub fn unknown_name(&self, known: &std::collections::HashSet<&str>) -> Option<(String, Name)> {
        let missing = |names: &[Name]| names.iter().position(|name| !known.contains(&**name));
        let of = |affinity: &Affinity, at: &str| {
            missing(&affinity.names).map(|index| (format!("{at}.names[{index}]"), affinity.names[index].clone()))
        };
        match &self.affinity {
            Terms::One(affinity) => of(affinity, "clusters"),
            Terms::InOrder { terms, .. } => terms.iter().enumerate().find_map(|(index, term)| {
                let at = format!("clusters.affinities[{index}]");
                let overflow = term.overflow.iter().enumerate();
                of(&term.affinity, &at).or_else(|| {
                    overflow.clone().find_map(|(index, group)| of(group, &format!("{at}.overflow[{index}]")))
                })
            }),
        }
    }

    /// The constraint on clusters.
    pub(super) fn by_cluster(&self) -> Option<&Spread> {
        self.spread.iter().find(|spread| spread.by == SpreadBy::Cluster)
    }

    /// The constraint that bounds the skew, with its bound.
    pub fn by_skew(&self) -> Option<(&Spread, i64)> {
        self.spread.iter().find_map(|spread| Some((spread, spread.max_skew?)))
    }

    /// The constraint on groups of clusters.
    pub(super) fn by_group(&self) -> Option<&Spread> {
        self.spread.iter().find(|spread| spread.by.is_grouping())
    }
}

impl Affinity {
    /// `true` if the cluster meets all conditions.
    pub fn matches(&self, cluster: &Cluster) -> bool {
        let has = |names: &[Name]| names.contains(&cluster.name);
        !has(&self.exclude)
            && self.selector.matches(&cluster.labels)
            && self.fields.iter().all(|(field, operator)| field.meets(operator, cluster))
            && (self.names.is_empty() || has(&self.names))
    }

    /// How many steps of [`work`] it takes to hold it against one cluster.
    pub(super) fn cost(&self) -> u64 {
        let fields = self.fields.len();
        self.selector.cost() + (fields + (self.names.len() + self.exclude.len()) / 8) as u64
    }
}

impl Field {
    /// Of several zones one is enough for `In`, and none may be excluded.
    fn meets(self, operator: &Operator, cluster: &Cluster) -> bool {
        let one = match self {
            Self::Provider => cluster.provider.as_ref(),
            Self::Region => cluster.region.as_ref(),
            Self::Zone => {
                return match operator {
                    Operator::In(values) => cluster.zones.iter().any(|zone| values.contains(zone)),
                    Operator::NotIn(values) => cluster.zones.iter().all(|zone| !values.contains(zone)),
                    _ => false,
                };
            }
        };
        let requirement = Requirement { key: Name::default(), operator: operator.clone() };
        requirement.matches_value(one.map(|value| &**value))
    }
}

impl SpreadBy {
    /// `true` if groups of clusters are made by it, of which some are selected.
    pub fn is_grouping(&self) -> bool {
        matches!(self, Self::Region | Self::Label(_))
    }

    /// The group of the cluster, where groups are made.
    pub(super) fn group<'c>(&self, cluster: &'c Cluster) -> Option<&'c Name> {
        if self.is_grouping() { self.value(cluster) } else { None }
    }

    /// The cluster's value of it; `None` for zones, of which it may have several.
    pub(super) fn value<'c>(&self, cluster: &'c Cluster) -> Option<&'c Name> {
        match self {
            Self::Cluster => Some(&cluster.name),
            Self::Region => cluster.region.as_ref(),
            Self::Provider => cluster.provider.as_ref(),
            Self::Label(key) => cluster.labels.get(key),
            Self::Zone => None,
        }
    }

    /// `true` if the cluster has such a thing at all.
    pub(super) fn is_known_of(&self, cluster: &Cluster) -> bool {
        match self {
            Self::Cluster => true,
            Self::Region | Self::Label(_) => self.group(cluster).is_some(),
            Self::Zone => !cluster.zones.is_empty(),
            Self::Provider => cluster.provider.is_some(),
        }
    }
}

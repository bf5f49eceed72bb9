//! Node groups as scale-up and scale-down see them: stored ones with the nodes that their labels select, or those of a request, which names its nodes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    model::{Name, Node, NodeGroupOptions, Quantity},
    snapshot::Snapshot,
    work,
};

/// A group of equal nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub id: Name,
    /// It never has fewer nodes.
    pub min: u32,
    /// It never has more nodes.
    pub max: u32,
    /// The number of nodes that it is to have. Where it is above the number of nodes, the rest are on their way.
    pub target: u32,
    /// Its nodes by name. One that the cluster does not have is on its way, or on its way out.
    pub nodes: Vec<Name>,
    /// A node as the group makes it.
    pub template: Option<Arc<Node>>,
    /// The price of a node for an hour.
    pub cost: Option<Quantity>,
    /// Its own values of options.
    pub options: NodeGroupOptions,
    /// `true` if all of its nodes come and go at once (`zeroOrMaxNodeScaling`).
    pub zero_or_max: bool,
}

/// Groups that share no node.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    list: Vec<Group>,
    by_node: HashMap<Name, usize>,
}

/// Why groups contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Two groups have one name.
    #[error("two node groups are called {0:?}: give each a name of its own")]
    Twice(Name),
    /// A group that may have at most fewer nodes than it must have.
    #[error("node group {group:?}: its largest size {max} is below its smallest size {min}")]
    Sizes {
        /// The group.
        group: Name,
        /// Its smallest size.
        min: u32,
        /// Its largest size.
        max: u32,
    },
    /// Two groups have one node.
    #[error("node {node:?} is in the node groups {first:?} and {second:?}: a node belongs to one group at most")]
    Overlap {
        /// The node.
        node: Name,
        /// One of the groups.
        first: Name,
        /// The other.
        second: Name,
    },
}

impl GroupError {
    /// The groups that are at fault.
    pub fn groups(&self) -> Vec<&Name> {
        match self {
            Self::Twice(group) | Self::Sizes { group, .. } => vec![group],
            Self::Overlap { first, second, .. } => vec![first, second],
        }
    }
}

impl Groups {
    /// The groups in this order.
    ///
    /// # Errors
    /// Groups of one name, contradicting sizes, and groups that share a node.
    pub fn new(list: Vec<Group>) -> Result<Self, GroupError> {
        let mut named = HashMap::with_capacity(list.len());
        let mut by_node: HashMap<Name, usize> = HashMap::new();
        for (at, group) in list.iter().enumerate() {
            work::spend_on(1 + group.nodes.len());
            if named.insert(&group.id, at).is_some() {
                return Err(GroupError::Twice(group.id.clone()));
            }
            if group.max < group.min {
                return Err(GroupError::Sizes { group: group.id.clone(), min: group.min, max: group.max });
            }
            for node in &group.nodes {
                if let Some(first) = by_node.insert(node.clone(), at).filter(|first| *first != at) {
                    let (first, second) = (list[first].id.clone(), group.id.clone());
                    return Err(GroupError::Overlap { node: node.clone(), first, second });
                }
            }
        }
        Ok(Self { list, by_node })
    }

    /// The groups that are stored, in order of their names, and the faults of those that are left out: they share a node, or their sizes contradict each
    /// other. A group whose target nobody has asked for yet wants as many nodes as it has.
    pub fn stored(snapshot: &Snapshot) -> (Self, Vec<GroupError>) {
        // Groups by one of their labels: a node is looked at by those alone that ask for one of its own.
        let mut by_label: HashMap<&(Name, Name), Vec<usize>> = HashMap::new();
        for (at, stored) in snapshot.node_groups().enumerate() {
            if let Some(label) = stored.selector.iter().next() {
                by_label.entry(label).or_default().push(at);
            }
        }
        let stored: Vec<_> = snapshot.node_groups().collect();
        let mut nodes_of: Vec<Vec<Name>> = vec![Vec::new(); stored.len()];
        // By the two groups that share a node, one such node.
        let mut shared: BTreeMap<(usize, usize), Name> = BTreeMap::new();
        let mut is_left_out = vec![false; stored.len()];
        for info in snapshot.nodes() {
            let mut first = None;
            for label in info.node.labels.iter() {
                let asking = by_label.get(label).map_or(&[][..], Vec::as_slice);
                work::spend_on(1 + asking.len());
                for at in asking.iter().filter(|at| stored[**at].has(&info.node)) {
                    nodes_of[*at].push(info.name().clone());
                    let first = *first.get_or_insert(*at);
                    if first != *at {
                        (is_left_out[first], is_left_out[*at]) = (true, true);
                        shared.entry((first.min(*at), first.max(*at))).or_insert_with(|| info.name().clone());
                    }
                }
            }
        }
        let overlap = |((first, second), node): ((usize, usize), Name)| {
            let (first, second) = (stored[first].name.clone(), stored[second].name.clone());
            GroupError::Overlap { node, first, second }
        };
        let mut faults: Vec<GroupError> = shared.into_iter().map(overlap).collect();
        for (at, group) in stored.iter().enumerate().filter(|(_, group)| group.max < group.min) {
            is_left_out[at] = true;
            faults.push(GroupError::Sizes { group: group.name.clone(), min: group.min, max: group.max });
        }
        let (mut list, mut by_node) = (Vec::with_capacity(stored.len()), HashMap::new());
        let kept = stored.into_iter().zip(nodes_of).zip(is_left_out).filter(|(_, is_left_out)| !is_left_out);
        for ((stored, nodes), _) in kept {
            by_node.extend(nodes.iter().map(|node| (node.clone(), list.len())));
            list.push(Group {
                id: stored.name.clone(),
                min: stored.min,
                max: stored.max,
                target: stored.target.unwrap_or_else(|| u32::try_from(nodes.len()).unwrap_or(u32::MAX)),
                nodes,
                template: stored.template.clone(),
                cost: stored.cost,
                options: stored.options.clone(),
                zero_or_max: false,
            });
        }
        (Self { list, by_node }, faults)
    }

    /// The groups, each changed.
    #[must_use]
    pub fn map(&self, mut change: impl FnMut(&Group) -> Group) -> Self {
        let list: Vec<Group> = self.list.iter().map(&mut change).collect();
        let of =
            |(at, group): (usize, &Group)| group.nodes.iter().map(move |node| (node.clone(), at)).collect::<Vec<_>>();
        let by_node = list.iter().enumerate().flat_map(of).collect();
        Self { list, by_node }
    }

    /// All groups in their order.
    pub fn all(&self) -> &[Group] {
        &self.list
    }

    /// The group of a node.
    pub fn of(&self, node: &str) -> Option<&Group> {
        self.index_of(node).map(|at| &self.list[at])
    }

    /// The place of a node's group in [`Self::all`].
    pub fn index_of(&self, node: &str) -> Option<usize> {
        self.by_node.get(node).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(id: &str, nodes: &[&str]) -> Group {
        Group { id: id.into(), max: 3, nodes: nodes.iter().map(|node| Name::from(*node)).collect(), ..Group::default() }
    }

    #[test]
    fn groups_that_share_a_node_or_a_name_are_refused() {
        let groups = Groups::new(vec![group("a", &["n1", "n2"]), group("b", &["n3"])]).unwrap();
        assert_eq!(groups.of("n3").map(|group| &*group.id), Some("b"));
        assert!(groups.of("n4").is_none());
        let shared = Groups::new(vec![group("a", &["n1"]), group("b", &["n1"])]).unwrap_err();
        assert!(shared.to_string().contains("\"n1\"") && shared.to_string().contains("\"b\""), "{shared}");
        assert_eq!(Groups::new(vec![group("a", &[]), group("a", &[])]).unwrap_err(), GroupError::Twice("a".into()));
        let inverted = Group { min: 4, ..group("a", &[]) };
        assert!(matches!(Groups::new(vec![inverted]), Err(GroupError::Sizes { min: 4, max: 3, .. })));
    }
}

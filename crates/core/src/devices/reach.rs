//! The nodes on which the devices of a claim can be used.
//!
//! Source: `structured/internal/experimental/allocator_experimental.go` (`createNodeSelector`).

use crate::model::{
    DeviceReach, NODE_NAME_FIELD, Name, NodeSelector, NodeSelectorTerm, Operator, Requirement, ResourceSlice,
};

/// The nodes on which devices of these slices can be used together; `None` means all.
pub(super) fn selector<'p>(slices: impl Iterator<Item = &'p ResourceSlice>, node: &Name) -> Option<NodeSelector> {
    let mut term = NodeSelectorTerm::default();
    for slice in slices {
        match &slice.reach {
            DeviceReach::Node(_) => {
                let here = Requirement { key: NODE_NAME_FIELD.into(), operator: Operator::In(vec![node.clone()]) };
                let term = NodeSelectorTerm { match_fields: vec![here], ..NodeSelectorTerm::default() };
                return Some(NodeSelector(vec![term]));
            }
            DeviceReach::Selected(NodeSelector(terms)) => {
                for more in terms.iter().take(1) {
                    extend(&mut term.match_expressions, &more.match_expressions);
                    extend(&mut term.match_fields, &more.match_fields);
                }
            }
            DeviceReach::All | DeviceReach::None => {}
        }
    }
    let is_all = term.match_expressions.is_empty() && term.match_fields.is_empty();
    (!is_all).then(|| NodeSelector(vec![term]))
}

fn extend(requirements: &mut Vec<Requirement>, more: &[Requirement]) {
    for requirement in more {
        if !requirements.contains(requirement) {
            requirements.push(requirement.clone());
        }
    }
}

//! The nodes that a cycle looks at.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    model::{Pod, Selector},
    node_info::NodeInfo,
    snapshot::Snapshot,
    work,
};

/// The ready nodes that a selector takes (`IsReady`), in order of their names.
pub(super) fn ready<'s>(snapshot: &'s Snapshot, selector: &Selector) -> Vec<&'s Arc<NodeInfo>> {
    work::spend_on(snapshot.node_count());
    snapshot.nodes().filter(|info| info.node.may_be_ready() && selector.matches(info.labels())).collect()
}

/// Nodes in order of their names.
#[derive(Debug)]
pub(super) struct Nodes<'s> {
    pub(super) list: Vec<&'s Arc<NodeInfo>>,
    /// Where each is in the list.
    places: FxHashMap<&'s str, usize>,
}

impl<'s> Nodes<'s> {
    pub(super) fn new(snapshot: &'s Snapshot, selector: &Selector) -> Self {
        let list = ready(snapshot, selector);
        let places = list.iter().enumerate().map(|(at, node)| (&**node.name(), at)).collect();
        Self { list, places }
    }

    /// The node that a pod is on, if it is one of these.
    pub(super) fn of(&self, pod: &Pod) -> Option<&'s Arc<NodeInfo>> {
        self.places.get(&*pod.node_name).map(|at| self.list[*at])
    }
}

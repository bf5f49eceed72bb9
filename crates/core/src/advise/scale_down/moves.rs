//! Where the pods of the nodes that go would be: as the scheduler chooses, with the nodes drained and tainted and none of them a place for pods.

use std::sync::Arc;

use super::{Move, Removal, Unneeded, picture::Picture};
use crate::{
    batch,
    model::{Name, Pod},
    simulate::Placing,
};

/// The nodes that go, with the places of their pods.
pub(super) fn places(going: &[&Unneeded], picture: &Picture) -> Vec<Removal> {
    if going.iter().all(|node| !node.needs_drain()) {
        return going.iter().map(|node| Removal { node: node.node.name.clone(), moves: Vec::new() }).collect();
    }
    let mut drained = picture.clone();
    for node in going {
        drained.haunt(&node.node.name, true);
        drained.close(&node.node.name);
    }
    by_scheduler(going, &drained).unwrap_or_else(|| by_first_fit(going, drained))
}

/// Pods that are on the node now. Others came in the search, from nodes found before.
fn pods<'a>(node: &'a Unneeded, picture: &'a Picture) -> impl Iterator<Item = &'a Arc<Pod>> {
    node.to_move.iter().filter(|pod| picture.was_there(pod))
}

/// `None` if a pod finds no place so.
fn by_scheduler(going: &[&Unneeded], picture: &Picture) -> Option<Vec<Removal>> {
    let options = batch::Options { preempt: false, ..batch::Options::default() };
    let mut placing = Placing::new(picture.profiles().clone(), picture.snapshot.clone(), options);
    let mut removals = Vec::with_capacity(going.len());
    for node in going {
        let mut moves = Vec::new();
        for pod in pods(node, picture) {
            let waiting = Pod {
                node_name: Name::default(),
                nominated_node_name: Name::default(),
                terminal: false,
                ..(**pod).clone()
            };
            let batch::Placement::Placed(placed) = placing.place(&Arc::new(waiting)) else { return None };
            if going.iter().any(|node| node.node.name == placed.node) {
                return None;
            }
            moves.push(Move { pod: pod.clone(), to: placed.node });
        }
        removals.push(Removal { node: node.node.name.clone(), moves });
    }
    Some(removals)
}

/// The places that the search would choose, for as many pods as there are.
fn by_first_fit(going: &[&Unneeded], mut picture: Picture) -> Vec<Removal> {
    let mut removals = Vec::with_capacity(going.len());
    for node in going {
        let mut moves = Vec::new();
        for pod in pods(node, &picture).cloned().collect::<Vec<_>>() {
            if let Some(to) = picture.place(&pod) {
                moves.push(Move { pod, to });
            }
        }
        removals.push(Removal { node: node.node.name.clone(), moves });
    }
    removals
}

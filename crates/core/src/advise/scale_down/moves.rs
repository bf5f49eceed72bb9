//! Where the pods of the nodes that go would be: as the scheduler chooses, with all of these nodes tainted and none of them a place for pods. Empty nodes
//! go at once, others one after the other.
//!
//! The search placed pods as if all unneeded nodes before had gone. In a round only some of them go, so a pod may find no place now that it had in the
//! search: near pods that would have moved too, say. Such a node stays for this round.

use std::sync::Arc;

use super::{Move, Removal, Unneeded, picture::Picture};
use crate::{
    batch,
    model::{Name, Pod},
    simulate::Placing,
};

/// The nodes that go, with the places of their pods.
///
/// # Errors
/// The place in `going` of a node that has to stay, and its pod that fits nowhere.
pub(super) fn places(going: &[&Unneeded], picture: &Picture) -> Result<Vec<Removal>, (usize, Arc<Pod>)> {
    let mut picture = picture.clone();
    for node in going {
        picture.close(&node.node.name);
    }
    if going.iter().any(|node| node.needs_drain()) {
        for node in going {
            picture.taint(&node.node.name);
        }
    }
    let mut removals = Vec::with_capacity(going.len());
    for (at, node) in going.iter().enumerate() {
        let pods: Vec<Arc<Pod>> = node.to_move.iter().filter(|pod| picture.was_there(pod)).cloned().collect();
        picture.empty(&node.node.name);
        let moves = match by_scheduler(&pods, &mut picture) {
            Some(moves) => moves,
            None => by_first_fit(&pods, &mut picture).map_err(|pod| (at, pod))?,
        };
        picture.delete(&node.node.name);
        removals.push(Removal { node: node.node.name.clone(), moves });
    }
    Ok(removals)
}

/// `None`, with nothing changed, if a pod finds no place so.
fn by_scheduler(pods: &[Arc<Pod>], picture: &mut Picture) -> Option<Vec<Move>> {
    if pods.is_empty() {
        return Some(Vec::new());
    }
    let options = batch::Options { preempt: false, ..batch::Options::default() };
    let mut placing = Placing::new(picture.profiles().clone(), picture.snapshot.clone(), options);
    let mut moves = Vec::with_capacity(pods.len());
    for pod in pods {
        let waiting = Pod {
            node_name: Name::default(),
            nominated_node_name: Name::default(),
            terminal: false,
            ..(**pod).clone()
        };
        let batch::Placement::Placed(placed) = placing.place(&Arc::new(waiting)) else { return None };
        // A pod may tolerate every taint.
        if picture.is_closed(&placed.node) {
            return None;
        }
        moves.push(Move { pod: pod.clone(), to: placed.node });
    }
    picture.snapshot = placing.into_snapshot();
    Some(moves)
}

/// As the search places pods.
fn by_first_fit(pods: &[Arc<Pod>], picture: &mut Picture) -> Result<Vec<Move>, Arc<Pod>> {
    let placed = pods.iter().map(|pod| match picture.place(pod) {
        Some(to) => Ok(Move { pod: pod.clone(), to }),
        None => Err(pod.clone()),
    });
    placed.collect()
}

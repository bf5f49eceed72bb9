//! Decisions of a batch that are only looked at: the pod goes nowhere.

use std::{borrow::Borrow, sync::Arc};

use super::{Batch, Standing, board::Board, names::Names};
use crate::{
    block::NODES,
    model::{Name, Pod},
    policy::Profile,
    snapshot::Snapshot,
    work,
};

impl<P: Borrow<Profile>> Batch<P> {
    /// The node that a pod on no node would get now, without preemption; `None` if it fits nowhere.
    pub fn look(&mut self, pod: &Arc<Pod>, seed: u64) -> Option<Name> {
        if !pod.spec.scheduling_gates.is_empty() {
            return None;
        }
        self.ask(pod, |board, profile, _, names| {
            board.best(profile, pod, names, seed).map(|best| names.name(best.slot).clone())
        })
    }

    /// A node as the decision for a pod sees it; `None` if the pod does not fit there.
    pub fn standing(&mut self, pod: &Arc<Pod>, node: &Name) -> Option<Standing> {
        self.ask(pod, |board, profile, _, names| board.standing(profile, names.slot(node)?))
    }

    /// Why a pod that [fits nowhere](Self::look) does so, in kube-scheduler's words.
    pub fn sentence(&mut self, pod: &Arc<Pod>) -> String {
        if !pod.spec.scheduling_gates.is_empty() {
            return super::gated(pod);
        }
        self.ask(pod, |board, profile, snapshot, _| board.message(profile, pod, snapshot))
    }

    /// Asks the board of a pod, brought up to date.
    fn ask<T>(&mut self, pod: &Arc<Pod>, question: impl FnOnce(&mut Board, &Profile, &Snapshot, &Names) -> T) -> T {
        work::spend_on(NODES);
        let class = self.class_of(pod);
        let profile = self.profile.borrow();
        let mut scratch;
        let board = if let Some(class) = class {
            &mut self.classes[class].board
        } else {
            scratch = Board::new(profile, pod, &self.working);
            &mut scratch
        };
        question(board, profile, &self.working, &self.names)
    }
}

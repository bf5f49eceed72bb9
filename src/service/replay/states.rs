//! The states on which recorded decisions were made, for decisions that are made again under another policy.

use std::sync::Arc;

use super::{
    reader::Read,
    walk::{Visit, Walk, through},
};
use crate::{
    core::{model::Pod, policy::Profile, snapshot::Snapshot},
    service::{Service, error::Result},
    wire::decision::{CallKind, Decision},
};

/// A decision with all that it was made on.
pub struct Case {
    /// The decision.
    pub decision: Decision,
    /// The pod as it was judged.
    pub pod: Arc<Pod>,
    /// The cluster as the decision saw it.
    pub snapshot: Snapshot,
    /// The profile that decided.
    pub profile: Arc<Profile>,
}

/// The cases of decisions, and those without one, each with the reason.
pub type Found = (Vec<Case>, Vec<(Decision, String)>);

/// Collects the cases of decisions.
#[derive(Default)]
struct Cases(Found);

impl Visit for Cases {
    fn visit(&mut self, walk: &mut Walk, read: Read) {
        let Ok(decision) = read.decision else { return };
        let found = walk.come_to(&decision);
        let pod = found.clone().map(|(pod, _)| pod);
        let why = match (found, walk.head()) {
            _ if decision.call == CallKind::Bind => Err("its client named the node".to_owned()),
            _ if !decision.call.is_choice() => Err("it is an action of a loop and no placement".to_owned()),
            _ if decision.candidates.is_some() => Err("it was about some nodes".to_owned()),
            (Ok((pod, _)), Some(head)) => Ok((pod, head.chosen.profile().clone())),
            (Ok(_), None) => Err("the state that it was made on is not known".to_owned()),
            (Err(why), _) => Err(why),
        };
        match why {
            Ok((judged, profile)) => {
                let snapshot = walk.snapshot();
                walk.pass(decision.clone(), pod);
                self.0.0.push(Case { decision, pod: judged, snapshot, profile });
            }
            Err(why) => {
                walk.pass(decision.clone(), pod);
                self.0.1.push((decision, why));
            }
        }
    }
}

/// The cases of decisions of one batch, in the order of their places, or of a single one of none.
///
/// # Errors
/// Those of the store.
pub async fn of_batch(service: &Service, cluster: &Arc<str>, group: Vec<Decision>) -> Result<Found> {
    let mut reads = Vec::with_capacity(group.len());
    let mut cases = Cases::default();
    for decision in group {
        match decision.id.parse() {
            Ok(id) => reads.push(Read { id, decision: Ok(decision), bytes: 0 }),
            Err(_) => cases.0.1.push((decision, "its id is odd".into())),
        }
    }
    let (_, cases, _) = Box::pin(through(service, cluster, None, reads, cases)).await?;
    Ok(cases.0)
}

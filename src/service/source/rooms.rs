//! Room that is being made: pods for which others were told to leave, until the mirror shows that.
//!
//! The API server knows of an eviction at once, the mirror a moment later. A pod that is decided in between would have others leave elsewhere as well.
//!
//! Source: `pkg/scheduler/framework/preemption/preemption.go` (`IsPodRunningPreemption`), `plugins/defaultpreemption/default_preemption.go`
//! (`PodEligibleToPreemptOthers`), which goes on from there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::lock;
use crate::core::{
    model::{Name, Pod},
    snapshot::Snapshot,
};

/// Time after which the mirror is not waited for any longer.
const LONGEST: Duration = Duration::from_secs(30);

/// By cluster and uid of the pod.
#[derive(Debug, Default)]
pub(in crate::service) struct Rooms(Mutex<HashMap<(Arc<str>, Name), Room>>);

#[derive(Debug)]
struct Room {
    node: Name,
    victims: Vec<Arc<Pod>>,
    until: Instant,
}

impl Rooms {
    /// Notes that victims were told to leave a node for a pod.
    pub(in crate::service) fn note(&self, cluster: &str, pod: &Pod, node: &Name, victims: Vec<Arc<Pod>>) {
        let now = Instant::now();
        let mut rooms = lock(&self.0);
        rooms.retain(|_, room| room.until > now);
        let room = Room { node: node.clone(), victims, until: now + LONGEST };
        rooms.insert((cluster.into(), pod.uid.clone()), room);
    }

    /// The node on which room is made for a pod, and how many leave it; `None` as soon as the mirror shows that, or it is not waited for any longer.
    pub(in crate::service) fn of(&self, cluster: &str, pod: &Pod, mirror: &Snapshot) -> Option<(Name, usize)> {
        let key = (Arc::from(cluster), pod.uid.clone());
        let mut rooms = lock(&self.0);
        let room = rooms.get(&key)?;
        let shown =
            |victim: &Arc<Pod>| mirror.pod(&victim.namespace, &victim.name).filter(|shown| shown.uid == victim.uid);
        let are_gone = room.victims.iter().all(|victim| shown(victim).is_none());
        let are_leaving = room.victims.iter().all(|victim| shown(victim).is_none_or(|shown| shown.terminating));
        let is_nominated = mirror
            .pod(&pod.namespace, &pod.name)
            .is_none_or(|shown| shown.uid != pod.uid || shown.nominated_node_name == room.node);
        if are_gone || are_leaving && is_nominated || room.until <= Instant::now() {
            rooms.remove(&key);
            return None;
        }
        Some((room.node.clone(), room.victims.len()))
    }
}

#[cfg(test)]
mod tests {
    use podberth_testkit::{cluster, node, pod};
    use tokio::time::sleep;

    use super::*;

    const CLUSTER: &str = "prod";

    #[tokio::test(start_paused = true)]
    async fn room_is_made_until_the_mirror_shows_that_the_victims_leave() {
        let rooms = Rooms::default();
        let waiting = pod("high").build();
        let victim = Arc::new(pod("low").on("a").build());
        let mirror = |victim: Option<Pod>, nominated: &str| {
            let waiting = Pod { nominated_node_name: nominated.into(), ..waiting.clone() };
            let mut snapshot = cluster([node("a").into()]);
            for pod in victim.into_iter().chain([waiting]) {
                snapshot = snapshot.with_pod(pod);
            }
            snapshot
        };
        let leaving = Pod { terminating: true, ..(*victim).clone() };
        let other = Pod { uid: "later".into(), ..(*victim).clone() };
        let note = || rooms.note(CLUSTER, &waiting, &"a".into(), vec![victim.clone()]);
        let of = |mirror: &Snapshot| rooms.of(CLUSTER, &waiting, mirror).map(|(node, count)| (node.to_string(), count));
        assert_eq!(of(&mirror(None, "")), None, "nothing was noted");
        let held = Some(("a".to_owned(), 1));
        note();
        assert_eq!(of(&mirror(Some((*victim).clone()), "")), held);
        assert_eq!(of(&mirror(Some((*victim).clone()), "a")), held, "the nomination alone says nothing");
        assert_eq!(of(&mirror(Some(leaving.clone()), "")), held, "it would not be known whom they leave for");
        assert_eq!(rooms.of("other", &waiting, &mirror(None, "")), None);
        for shown in [mirror(Some(leaving), "a"), mirror(None, ""), mirror(Some(other), "")] {
            note();
            assert_eq!(of(&shown), None);
            assert_eq!(of(&mirror(Some((*victim).clone()), "")), None, "it is over");
        }
        note();
        sleep(LONGEST).await;
        assert_eq!(of(&mirror(Some((*victim).clone()), "")), None, "not for ever");
    }
}

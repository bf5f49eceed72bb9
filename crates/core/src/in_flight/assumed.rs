//! Pods that were probably bound to a node.
//!
//! Source: `pkg/scheduler/backend/cache/cache.go` (`AssumePod`, `ForgetPod`, `AddPod`): kube-scheduler itself assumes a pod on the node to
//! which it is about to be bound, until its watch shows the pod there.

use std::{collections::BTreeMap, sync::Arc};

use super::{Standing, key};
use crate::{
    model::{Name, Pod},
    snapshot::{Kind, NamespacedName, Object, Snapshot},
};

/// Pods that are assumed at a time; of more, the oldest are forgotten.
const MOST_ASSUMED: usize = 4_096;

/// Pods of which too old ones are looked for only after this part of their time has passed.
const PARTS: u64 = 8;

/// A state, and the assumed pods that it does not show yet.
#[derive(Debug, Default)]
pub struct Assumed {
    /// For how long a pod is assumed; 0: none is.
    keep_for: u64,
    pods: BTreeMap<NamespacedName, Place>,
    base: Snapshot,
    /// The base with the pods where they are assumed to be.
    state: Snapshot,
    /// When to look for those that are over.
    look_at: u64,
}

#[derive(Debug)]
struct Place {
    /// The pod on its node.
    pod: Arc<Pod>,
    /// `true` if the state has had the pod.
    seen: bool,
    until: u64,
}

impl Assumed {
    /// An empty table. Each later entry counts for this time, and at most an eighth longer.
    pub fn new(keep_for: u64) -> Self {
        Self { keep_for, ..Self::default() }
    }

    /// How many pods are assumed to be on a node.
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// `true` if no pod is assumed.
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The state with the pods where they are assumed to be.
    pub fn state(&self) -> &Snapshot {
        &self.state
    }

    /// Moves on to a newer state, and removes the entries that it settles.
    pub fn rebase(&mut self, base: &Snapshot, now: u64) {
        self.base = base.clone();
        self.state = base.clone();
        let state = &mut self.state;
        self.pods.retain(|_, place| {
            let standing = Standing::of(&place.pod, base);
            if place.until <= now || standing.ends(place.seen) {
                return false;
            }
            place.seen |= standing == Standing::Waits;
            state.apply(Object::Pod(Box::new((*place.pod).clone())));
            true
        });
    }

    /// Removes the entries that have expired.
    pub fn expire(&mut self, now: u64) {
        if now < self.look_at {
            return;
        }
        self.look_at = now.saturating_add(self.keep_for / PARTS);
        let over: Vec<NamespacedName> =
            self.pods.iter().filter(|(_, place)| place.until <= now).map(|(key, _)| key.clone()).collect();
        for key in &over {
            self.forget(key);
        }
    }

    /// Assumes that a pod went to a node. A pod without a uid, or that the state does not show waiting, is not assumed.
    pub fn assume(&mut self, pod: &Pod, node: &Name, now: u64) {
        let standing = Standing::of(pod, &self.base);
        if self.keep_for == 0 || pod.uid.is_empty() || standing == Standing::Settled {
            return;
        }
        let placed = Pod { node_name: node.clone(), nominated_node_name: Name::default(), ..pod.clone() };
        self.state.apply(Object::Pod(Box::new(placed.clone())));
        let until = now.saturating_add(self.keep_for);
        let place = Place { pod: Arc::new(placed), seen: standing == Standing::Waits, until };
        self.pods.insert(key(pod), place);
        while self.pods.len() > MOST_ASSUMED {
            let first = self.pods.iter().min_by_key(|(_, place)| place.until).map(|(key, _)| key.clone());
            let Some(first) = first else { break };
            self.forget(&first);
        }
    }

    /// Removes the entry of a pod: it is asked about again, so it was not bound.
    pub fn forget_pod(&mut self, pod: &Pod) {
        if !self.pods.is_empty() {
            self.forget(&key(pod));
        }
    }

    fn forget(&mut self, key: &NamespacedName) {
        if self.pods.remove(key).is_none() {
            return;
        }
        match self.base.pod(&key.0, &key.1) {
            Some(stored) => self.state.apply(Object::Pod(Box::new((**stored).clone()))),
            None => self.state.delete(Kind::Pod, &key.0, &key.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cluster, node, pod};

    const KEEP: u64 = 80;

    fn begun(base: &Snapshot) -> Assumed {
        let mut assumed = Assumed::new(KEEP);
        assumed.rebase(base, 0);
        assumed
    }

    fn on_a(assumed: &Assumed) -> Vec<String> {
        let node = assumed.state().node("a").expect("it is there");
        node.pods.iter().map(|pod| pod.name.to_string()).collect()
    }

    #[test]
    fn a_pod_is_where_it_is_assumed_until_the_state_shows_more() {
        let base = cluster([node("a").into(), node("b").into(), pod("waits").into()]);
        let mut assumed = begun(&base);
        assumed.assume(&pod("waits").build(), &"a".into(), 0);
        assumed.assume(&pod("new").build(), &"a".into(), 0);
        assert_eq!(on_a(&assumed), ["new", "waits"]);
        assumed.rebase(&base, 1);
        assert_eq!(on_a(&assumed), ["new", "waits"], "a newer state that shows nothing of it");
        assumed.rebase(&base.with_pod(pod("waits").on("b").build()), 2);
        assert_eq!(on_a(&assumed), ["new"], "it went elsewhere");
        assumed.rebase(&base.with_pod(pod("new").build()), 3);
        assumed.rebase(&base, 4);
        assert_eq!((on_a(&assumed), assumed.len()), (vec![], 0), "it was there and is gone");
        assert_eq!(assumed.state(), &base);
    }

    #[test]
    fn an_assumed_pod_ends_with_its_time_or_the_next_request_for_it() {
        let base = cluster([node("a").into(), pod("waits").into()]);
        let mut assumed = begun(&base);
        assumed.assume(&pod("waits").build(), &"a".into(), 0);
        assumed.forget_pod(&pod("waits").build());
        assert_eq!(assumed.state(), &base);
        assumed.assume(&pod("waits").build(), &"a".into(), 0);
        assumed.expire(KEEP - 1);
        assert_eq!(assumed.len(), 1);
        assumed.expire(KEEP + KEEP / PARTS);
        assert_eq!((assumed.len(), assumed.state()), (0, &base));
        assumed.assume(&pod("waits").build(), &"a".into(), 0);
        assumed.rebase(&base, KEEP);
        assert_eq!(assumed.len(), 0);
    }

    #[test]
    fn only_pods_that_wait_and_have_a_uid_are_assumed() {
        let base = cluster([node("a").into(), node("b").into(), pod("runs").on("b").into(), pod("waits").into()]);
        let mut assumed = begun(&base);
        assumed.assume(&pod("runs").build(), &"a".into(), 0);
        assumed.assume(&pod("waits").with(|pod| pod.uid = "another".into()).build(), &"a".into(), 0);
        assumed.assume(&pod("nameless").with(|pod| pod.uid = Name::default()).build(), &"a".into(), 0);
        assert_eq!((assumed.len(), assumed.state()), (0, &base));
        let mut off = Assumed::new(0);
        off.assume(&pod("waits").build(), &"a".into(), 0);
        assert!(off.is_empty());
    }

    #[test]
    fn assumed_pods_are_bounded() {
        let mut assumed = begun(&cluster([node("a").into()]));
        for at in 0..MOST_ASSUMED + 3 {
            assumed.assume(&pod(&format!("p{at}")).build(), &"a".into(), at as u64);
        }
        let on_node = assumed.state().node("a").map(|node| node.pods.len());
        assert_eq!((assumed.len(), on_node), (MOST_ASSUMED, Some(MOST_ASSUMED)), "and the state holds no more");
        assert!(assumed.state().pod("default", "p0").is_none(), "the oldest is forgotten");
    }
}

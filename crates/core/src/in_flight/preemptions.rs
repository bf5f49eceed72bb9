//! The victims named for pods that preempt.
//!
//! Without this table a lagging state leads to needless evictions: kube-scheduler evicts the victim on one node, asks if the pod fits
//! there now, learns that the victim is in the way, and evicts on the next node.
//!
//! Source: `pkg/scheduler/schedule_one.go` (`evaluateNominatedNode`: only the node nominated is asked about at first),
//! `pkg/scheduler/framework/preemption/preemption.go` (`callExtenders`, `prepareCandidate`).

use std::{collections::BTreeMap, sync::Arc};

use super::{Standing, is_same_object, key};
use crate::{
    cycle::Cycle,
    model::{Name, Pod},
    node_info::NodeInfo,
    overlay::NodeOverlay,
    snapshot::{NamespacedName, Snapshot},
};

/// Largest number of pods whose victims are remembered; beyond it, the ones asked about first are removed.
const MOST_PREEMPTORS: usize = 1_024;

/// Victims that are remembered at a time.
const MOST_VICTIMS: usize = 65_536;

/// A pod that was named as a victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Namespace and name.
    pub pod: NamespacedName,
    /// Its uid.
    pub uid: Name,
    /// `true` if the scheduler proposed it, so that it was in the way by the scheduler's own predicates.
    pub proposed: bool,
}

impl Victim {
    fn is(&self, pod: &Pod) -> bool {
        self.pod.1 == pod.name && self.pod.0 == pod.namespace && self.uid == pod.uid
    }

    /// `true` if the state still has it on the node.
    fn is_on(&self, node: &NodeInfo) -> bool {
        node.pods
            .binary_search_by(|pod| (&pod.namespace, &pod.name).cmp(&(&self.pod.0, &self.pod.1)))
            .is_ok_and(|at| self.uid == node.pods[at].uid)
    }
}

/// All victims that were named and may not have left yet.
#[derive(Debug, Default)]
pub struct Preemptions {
    /// For how long they are remembered; 0: not at all.
    keep_for: u64,
    offers: BTreeMap<NamespacedName, Offer>,
    victims: usize,
}

/// The reply for one pod.
#[derive(Debug)]
struct Offer {
    preemptor: Arc<Pod>,
    /// `true` if the state has had the preemptor.
    seen: bool,
    until: u64,
    /// `true` if the scheduler has chosen the one node that is left in `nodes`.
    is_chosen: bool,
    nodes: BTreeMap<Name, Vec<Victim>>,
}

impl Offer {
    /// Takes a nomination in; one to a node that was not offered is an older one.
    fn choose(&mut self, nominated: &Name) {
        if !nominated.is_empty() && self.nodes.contains_key(nominated) {
            self.nodes.retain(|node, _| node == nominated);
            self.is_chosen = true;
        }
    }

    fn victims(&self) -> usize {
        self.nodes.values().map(Vec::len).sum()
    }
}

impl Preemptions {
    /// An empty table. Each later entry lasts for this time.
    pub fn new(keep_for: u64) -> Self {
        Self { keep_for, ..Self::default() }
    }

    /// For how many pods victims are remembered.
    pub fn len(&self) -> usize {
        self.offers.len()
    }

    /// `true` if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// Remembers which victims were named, by node, in place of those named for the pod before. An empty answer changes
    /// nothing.
    pub fn offer(&mut self, preemptor: &Pod, mut nodes: BTreeMap<Name, Vec<Victim>>, now: u64) {
        let mut room = MOST_VICTIMS;
        nodes.retain(|_, victims| {
            let fits = victims.len() <= room;
            room -= if fits { victims.len() } else { 0 };
            fits
        });
        if nodes.is_empty() || self.keep_for == 0 {
            return;
        }
        let until = now.saturating_add(self.keep_for);
        let offer = Offer { preemptor: Arc::new(preemptor.clone()), seen: false, until, is_chosen: false, nodes };
        self.offers.insert(key(preemptor), offer);
        self.victims = self.offers.values().map(Offer::victims).sum();
        while self.offers.len() > MOST_PREEMPTORS || self.victims > MOST_VICTIMS {
            let first = self.offers.iter().min_by_key(|(_, offer)| offer.until).map(|(key, _)| key.clone());
            let Some(forgotten) = first.and_then(|key| self.offers.remove(&key)) else { break };
            self.victims -= forgotten.victims();
        }
    }

    /// Compares the entries with a state: removes those that have expired, whose preemptor has a node or is gone, or whose victims are all
    /// gone.
    pub fn settle(&mut self, state: &Snapshot, now: u64) {
        self.offers.retain(|_, offer| {
            let standing = Standing::of(&offer.preemptor, state);
            if offer.until <= now || standing.ends(offer.seen) {
                return false;
            }
            offer.seen |= standing == Standing::Waits;
            if let Some(stored) = state.pod(&offer.preemptor.namespace, &offer.preemptor.name) {
                offer.choose(&stored.nominated_node_name);
            }
            let is_there = |node: &Name, victims: &Vec<Victim>| {
                state.node(node).is_some_and(|node| victims.iter().any(|victim| victim.is_on(node)))
            };
            offer.nodes.retain(|node, victims| is_there(node, victims));
            !offer.nodes.is_empty()
        });
        self.victims = self.offers.values().map(Offer::victims).sum();
    }

    /// When the next of them is over; `None` where there is none.
    pub fn next_end(&self) -> Option<u64> {
        self.offers.values().map(|offer| offer.until).min()
    }

    /// The node whose victims this pod waits for: the one that it is nominated to, as long as any of them is there.
    /// As of the last [`Self::settle`].
    pub fn outstanding(&mut self, pod: &Pod) -> Option<Name> {
        let offer = self.of(pod)?;
        offer.is_chosen.then(|| offer.nodes.keys().next().cloned()).flatten()
    }

    /// The pods that count as gone when this pod asks for a node, as of the last [`Self::settle`]; `None` where none do.
    ///
    /// The victims named for the pod itself count on the node that it is nominated to. While it is nominated to none, those
    /// count that the scheduler proposed itself: it asks about their node only once they have left by its own state. The
    /// victims named for another pod count for pods of at least its priority once its node is known, and it counts as being
    /// there itself for those of the same priority. On the node that a pod is nominated to all pods of lower priority count
    /// as gone besides: where no victims are remembered (this process is new, another one was asked) the scheduler, which
    /// nominated the pod, knows better than a state that is behind.
    pub fn departures(&mut self, pod: &Pod, state: &Snapshot) -> Option<Departures> {
        let priority = state.priority_of(pod);
        let mut departures =
            Departures { priority, nominated: pod.nominated_node_name.clone(), nodes: BTreeMap::new() };
        self.of(pod); // Its nomination may be news.
        for offer in self.offers.values() {
            if offer.preemptor.is_same(pod) {
                if is_same_object(&offer.preemptor, pod) {
                    departures.add(&offer.nodes, |victim| offer.is_chosen || victim.proposed, None);
                }
            } else if offer.is_chosen {
                let of_preemptor = state.priority_of(&offer.preemptor);
                if of_preemptor <= priority {
                    let arrival = (of_preemptor == priority).then_some(&offer.preemptor);
                    departures.add(&offer.nodes, |_| true, arrival);
                }
            }
        }
        (!departures.nodes.is_empty() || !departures.nominated.is_empty()).then_some(departures)
    }

    /// The reply for a pod, updated by its nomination.
    fn of(&mut self, pod: &Pod) -> Option<&Offer> {
        let offer = self.offers.get_mut(&key(pod)).filter(|offer| is_same_object(&offer.preemptor, pod))?;
        offer.choose(&pod.nominated_node_name);
        Some(offer)
    }
}

/// The pods that count as gone for one pod.
#[derive(Debug)]
pub struct Departures {
    priority: i32,
    /// The node that the pod is nominated to; empty for none.
    nominated: Name,
    nodes: BTreeMap<Name, Change>,
}

/// How a node differs from the state.
#[derive(Debug, Default)]
struct Change {
    gone: Vec<Victim>,
    come: Vec<Arc<Pod>>,
}

impl Departures {
    fn add(&mut self, nodes: &BTreeMap<Name, Vec<Victim>>, counts: impl Fn(&Victim) -> bool, come: Option<&Arc<Pod>>) {
        for (node, victims) in nodes {
            let gone: Vec<Victim> = victims.iter().filter(|victim| counts(victim)).cloned().collect();
            if !gone.is_empty() {
                let change = self.nodes.entry(node.clone()).or_default();
                change.gone.extend(gone);
                change.come.extend(come.cloned());
            }
        }
    }

    /// `true` if a node that does not fit now fits without these pods. `cycle` is that of the pod, over `state`.
    pub fn make_room(&self, cycle: &Cycle<'_, '_>, node: &NodeInfo, state: &Snapshot) -> bool {
        let change = self.nodes.get(node.name());
        let is_named = |pod: &Pod| change.is_some_and(|change| change.gone.iter().any(|victim| victim.is(pod)));
        let fits_without = |is_gone: &dyn Fn(&Pod) -> bool| {
            let gone: Vec<&Arc<Pod>> = node.pods.iter().filter(|pod| is_gone(pod)).collect();
            if gone.is_empty() {
                return false;
            }
            let mut overlay = NodeOverlay::new(node);
            for pod in gone {
                overlay.remove(pod);
            }
            // Nominations that the state shows count anyway.
            let is_shown = |pod: &Pod| state.nominated_to(node.name()).iter().any(|other| other.is_same(pod));
            let come = change.iter().flat_map(|change| &change.come).filter(|pod| !is_shown(pod));
            for pod in come {
                overlay.add(pod);
            }
            cycle.first_failure_overlay(&overlay).is_none()
        };
        if change.is_some() && fits_without(&is_named) {
            return true;
        }
        let is_lower = |pod: &Pod| is_named(pod) || state.priority_of(pod) < self.priority;
        *node.name() == self.nominated && fits_without(&is_lower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, Profile};
    use crate::snapshot::Object;
    use crate::testing::{PodBuilder, cluster, node, pod};

    const KEEP: u64 = 100;

    fn profile() -> Profile {
        Policy::default().compile().expect("the default policy compiles")
    }

    fn ranked(name: &str, priority: i32) -> PodBuilder {
        pod(name).cpu("1").with(|pod| pod.spec_mut().priority = Some(priority))
    }

    fn nominated(name: &str, priority: i32, node: &str) -> Pod {
        ranked(name, priority).with(|pod| pod.nominated_node_name = node.into()).build()
    }

    /// Nodes of one CPU, each full with a pod of priority 0 of the name `on-<node>`.
    fn full(names: &[&str]) -> Snapshot {
        let objects = names.iter().flat_map(|name| {
            let low = ranked(&format!("on-{name}"), 0).on(name);
            [Object::from(node(name).cpu("1")), low.into()]
        });
        cluster(objects.collect::<Vec<_>>())
    }

    fn victim(node: &str, proposed: bool) -> (Name, Vec<Victim>) {
        let name = format!("on-{node}");
        let uid = format!("uid-{name}").as_str().into();
        (node.into(), vec![Victim { pod: ("default".into(), name.as_str().into()), uid, proposed }])
    }

    fn offered(preemptor: &Pod, nodes: &[&str]) -> Preemptions {
        let mut preemptions = Preemptions::new(KEEP);
        preemptions.offer(preemptor, nodes.iter().map(|node| victim(node, true)).collect(), 0);
        preemptions
    }

    /// The nodes on which departures make room for the pod, of those that do not fit.
    fn freed(preemptions: &mut Preemptions, pod: &Pod, state: &Snapshot) -> Vec<String> {
        let profile = profile();
        let cycle = Cycle::prepare(&profile, pod, state);
        let departures = preemptions.departures(pod, state);
        let is_freed = |node: &&Arc<NodeInfo>| {
            cycle.first_failure(node).is_some()
                && departures.as_ref().is_some_and(|departures| departures.make_room(&cycle, node, state))
        };
        state.nodes().filter(is_freed).map(|node| node.name().to_string()).collect()
    }

    #[test]
    fn victims_count_as_gone_for_the_preemptor_on_the_node_chosen() {
        let state = full(&["a", "b"]);
        let mut preemptions = offered(&ranked("urgent", 9).build(), &["a", "b"]);
        assert_eq!(preemptions.outstanding(&ranked("urgent", 9).build()), None, "the scheduler has not chosen");
        assert_eq!(freed(&mut preemptions, &ranked("urgent", 9).build(), &state), ["a", "b"]);
        let chosen = nominated("urgent", 9, "b");
        assert_eq!(freed(&mut preemptions, &chosen, &state), ["b"]);
        assert_eq!(preemptions.outstanding(&chosen).as_deref(), Some("b"));
        let other = ranked("urgent", 9).with(|pod| pod.uid = "another".into()).build();
        assert_eq!(freed(&mut preemptions, &other, &state), [""; 0], "another pod of that name");
    }

    #[test]
    fn victims_that_the_scheduler_did_not_propose_count_only_on_the_node_nominated() {
        let state = full(&["a", "b"]);
        let mut preemptions = Preemptions::new(KEEP);
        let urgent = ranked("urgent", 9).build();
        preemptions.offer(&urgent, ["a", "b"].map(|node| victim(node, false)).into(), 0);
        assert_eq!(freed(&mut preemptions, &urgent, &state), [""; 0]);
        assert_eq!(freed(&mut preemptions, &nominated("urgent", 9, "a"), &state), ["a"]);
    }

    #[test]
    fn victims_do_not_count_as_gone_for_pods_of_lower_priority() {
        let state = full(&["a", "b"]);
        for (chosen, priority, expected) in [
            (false, 10, &[][..]),
            (true, 10, &["a"]),
            // The preemptor takes what its victim leaves.
            (true, 9, &[]),
            (true, 8, &[]),
        ] {
            let mut preemptions = offered(&ranked("urgent", 9).build(), &["a", "b"]);
            if chosen {
                preemptions.outstanding(&nominated("urgent", 9, "a"));
            }
            assert_eq!(freed(&mut preemptions, &ranked("other", priority).build(), &state), expected, "{priority}");
        }
    }

    #[test]
    fn pods_of_lower_priority_count_as_gone_on_the_nominated_node() {
        let state = full(&["a", "b"]).with_pod(ranked("equal", 9).on("c").build());
        let mut nothing = Preemptions::new(0);
        assert_eq!(freed(&mut nothing, &nominated("urgent", 9, "a"), &state), ["a"]);
        assert_eq!(freed(&mut nothing, &nominated("urgent", 0, "a"), &state), [""; 0]);
        assert!(nothing.departures(&ranked("urgent", 9).build(), &state).is_none());
    }

    #[test]
    fn remembered_victims_end_with_the_state_or_with_time() {
        let urgent = nominated("urgent", 9, "a");
        let gone = (Name::from("default"), Name::from("on-a"));
        let waiting = full(&["a", "b"]).with_pod(ranked("urgent", 9).build());
        for (what, state, now, expected) in [
            ("all as it was", waiting.clone(), KEEP - 1, 1),
            ("the time is over", waiting.clone(), KEEP, 0),
            ("the victim is gone", waiting.without_pod(&gone.0, &gone.1), 1, 0),
            (
                "another pod has the victim's name",
                waiting.with_pod(ranked("on-a", 0).on("a").with(|p| p.uid = "new".into()).build()),
                1,
                0,
            ),
            ("the preemptor is bound", waiting.with_pod(ranked("urgent", 9).on("b").build()), 1, 0),
            ("the preemptor is gone", waiting.without_pod(&urgent.namespace, &urgent.name), 1, 0),
        ] {
            let mut preemptions = offered(&urgent, &["a", "b"]);
            preemptions.settle(&waiting, 1);
            preemptions.outstanding(&urgent);
            preemptions.settle(&state, now);
            assert_eq!((preemptions.len(), preemptions.victims), (expected, expected), "{what}");
        }
        let mut unseen = offered(&urgent, &["a"]);
        unseen.settle(&full(&["a"]), 1);
        assert_eq!(unseen.len(), 1, "a preemptor that the state never had may still come");
    }

    #[test]
    fn remembered_victims_are_bounded() {
        let mut preemptions = Preemptions::new(KEEP);
        for at in 0..MOST_PREEMPTORS + 5 {
            preemptions.offer(&ranked(&format!("p{at}"), 9).build(), [victim("a", true)].into(), at as u64);
        }
        assert_eq!((preemptions.len(), preemptions.victims), (MOST_PREEMPTORS, MOST_PREEMPTORS));
        assert!(!preemptions.offers.contains_key(&("default".into(), "p0".into())), "the oldest is forgotten");
        let (node, one) = victim("a", true);
        let many = vec![one[0].clone(); MOST_VICTIMS];
        preemptions.offer(&ranked("greedy", 9).build(), [(node, many), victim("b", true)].into(), 5_000);
        assert_eq!((preemptions.len(), preemptions.victims), (1, MOST_VICTIMS));
    }
}

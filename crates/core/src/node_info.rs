//! A node with the pods on it, and the amounts that they hold.
//!
//! Source: `pkg/scheduler/framework/types.go` (`NodeInfo`).

use std::{borrow::Cow, sync::Arc};

use super::index::Slot;
use super::model::{Held, HostPort, Labels, Name, Node, Pod, Resources};
use super::rule::Release;

/// A node with the pods on it and the amounts that they hold.
#[derive(Clone, Debug)]
pub struct NodeInfo {
    /// The node.
    pub node: Arc<Node>,
    slot: Slot,
    /// Sum of its pods' requests (`pods` stays 0: the number of pods is `pods.len()`). Scalars with a sum of 0 are left out, so that
    /// adding and removing a pod leaves no trace.
    pub requested: Resources,
    /// CPU and memory that its pods ask for, as scoring counts them.
    pub non_zero_requested: Resources,
    /// Difference between the amounts that its pods hold and their requests, if containers are resized in place.
    surplus: Option<Box<Surplus>>,
    /// The pods bound to it that still hold something, in order of namespace and name.
    pub pods: Vec<Arc<Pod>>,
    /// The host ports taken, one entry for each pod that takes one.
    pub used_ports: Vec<HostPort>,
}

/// Amounts that the pods of a node hold beyond their requests; below 0 if they hold less.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Surplus {
    /// How many pods hold something else than they ask for.
    pods: usize,
    held: Held,
}

impl Surplus {
    /// Adds (`sign` 1) or removes (-1) the difference of a pod.
    fn count(&mut self, pod: &Pod, held: &Held, sign: i64) {
        let by = |total: &mut Resources, held: &Resources, asked: &Resources| {
            let (more, less) = if sign > 0 { (held, asked) } else { (asked, held) };
            total.add(more);
            total.subtract(less);
            total.scalar.retain(|_, amount| *amount != 0);
        };
        by(&mut self.held.requests, &held.requests, &pod.spec.requests);
        by(&mut self.held.non_zero_requests, &held.non_zero_requests, &pod.spec.non_zero_requests);
        self.pods = self.pods.saturating_add_signed(if sign > 0 { 1 } else { -1 });
    }
}

impl PartialEq for NodeInfo {
    /// `true` if both are the same node with the same pods; the slot is not compared.
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
            && self.pods == other.pods
            && self.requested == other.requested
            && self.non_zero_requested == other.non_zero_requested
            && self.surplus == other.surplus
            && self.used_ports == other.used_ports
    }
}

impl Eq for NodeInfo {}

impl NodeInfo {
    pub(super) fn new(slot: Slot) -> Self {
        Self {
            node: Arc::default(),
            slot,
            requested: Resources::default(),
            non_zero_requested: Resources::default(),
            surplus: None,
            pods: Vec::new(),
            used_ports: Vec::new(),
        }
    }

    /// Where the snapshot's indexes have the node.
    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// The node's name.
    pub fn name(&self) -> &Name {
        &self.node.name
    }

    /// The node's labels.
    pub fn labels(&self) -> &Labels {
        &self.node.labels
    }

    /// `true` if any of its pods is resized in place.
    pub(super) fn has_surplus(&self) -> bool {
        self.surplus.is_some()
    }

    /// Sum of the amounts that its pods hold, as a release counts it.
    pub fn held(&self, release: Release) -> Cow<'_, Resources> {
        if release.facts().counts_resizes_in_place { self.resized() } else { Cow::Borrowed(&self.requested) }
    }

    /// CPU and memory that its pods hold, as scoring and a release count them.
    pub fn non_zero_held(&self, release: Release) -> Cow<'_, Resources> {
        if release.facts().counts_resizes_in_place {
            self.non_zero_resized()
        } else {
            Cow::Borrowed(&self.non_zero_requested)
        }
    }

    /// Sum of the amounts that its pods hold at the present progress of resizing in place.
    pub(super) fn resized(&self) -> Cow<'_, Resources> {
        Self::with(&self.requested, self.surplus.as_ref().map(|s| &s.held.requests))
    }

    /// CPU and memory that its pods hold, as scoring counts them, as far as resizing in place has come.
    pub(super) fn non_zero_resized(&self) -> Cow<'_, Resources> {
        Self::with(&self.non_zero_requested, self.surplus.as_ref().map(|s| &s.held.non_zero_requests))
    }

    fn with<'r>(asked: &'r Resources, surplus: Option<&Resources>) -> Cow<'r, Resources> {
        let Some(surplus) = surplus else { return Cow::Borrowed(asked) };
        let mut held = asked.clone();
        held.add(surplus);
        Cow::Owned(held)
    }

    fn count_surplus(&mut self, pod: &Pod, sign: i64) {
        let Some(held) = &pod.held else { return };
        let surplus = self.surplus.get_or_insert_default();
        surplus.count(pod, held, sign);
        if surplus.pods == 0 {
            self.surplus = None;
        }
    }

    pub(super) fn add(&mut self, pod: &Arc<Pod>) {
        insert_sorted(&mut self.pods, pod);
        self.requested.add(&pod.spec.requests);
        self.requested.scalar.retain(|_, amount| *amount != 0);
        self.non_zero_requested.add(&pod.spec.non_zero_requests);
        self.count_surplus(pod, 1);
        for port in &pod.spec.host_ports {
            let at = self.used_ports.partition_point(|p| p < port);
            self.used_ports.insert(at, port.clone());
        }
    }

    pub(super) fn remove(&mut self, pod: &Pod) {
        if let Ok(at) = position(&self.pods, pod) {
            self.pods.remove(at);
        }
        self.requested.subtract(&pod.spec.requests);
        self.requested.scalar.retain(|_, amount| *amount != 0);
        self.non_zero_requested.subtract(&pod.spec.non_zero_requests);
        self.count_surplus(pod, -1);
        for port in &pod.spec.host_ports {
            if let Ok(at) = self.used_ports.binary_search(port) {
                self.used_ports.remove(at);
            }
        }
    }
}

fn position(pods: &[Arc<Pod>], pod: &Pod) -> Result<usize, usize> {
    pods.binary_search_by(|p| (&p.namespace, &p.name).cmp(&(&pod.namespace, &pod.name)))
}

pub(super) fn insert_sorted(pods: &mut Vec<Arc<Pod>>, pod: &Arc<Pod>) {
    match position(pods, pod) {
        Ok(at) => pods[at] = pod.clone(),
        Err(at) => pods.insert(at, pod.clone()),
    }
}

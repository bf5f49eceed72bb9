//! # Rule
//! A pod with bound claims fits only nodes that the node affinity of their volumes accepts. A claim that is not bound, or does not exist,
//! rules every node out.
//!
//! # Policy name and framework plugin
//! `NoVolumeNodeConflict`, a name that only 1.7 to 1.9 knew. `CheckVolumeBinding` took its place; plugin `VolumeBinding`.
//! Prefer that one: this rule keeps pods waiting whose claims wait for the first consumer.
//!
//! # Kubernetes source
//! 1.7 to 1.9: `NewVolumeNodePredicate` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`, asked only where the
//! feature gate `PersistentLocalVolumes` was on, and reading the alpha annotation for node affinity. Here it is asked
//! always and reads `spec.nodeAffinity`. 1.6, 1.22 and 1.34 know no such name.
//!
//! # Reason text
//! - `node(s) had volume node affinity conflict` (the text of 1.10; 1.9 had the predicate's name only)
//! - `PersistentVolumeClaim is not bound: "<name>"`, `PersistentVolumeClaim had no name`,
//!   `persistentvolumeclaim "<name>" not found`, `persistentvolume "<name>" not found`
//!
//! # Can preemption help?
//! No: unresolvable. (1.8 and 1.9 tried in vain.)
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "NoVolumeNodeConflict"}]}
//! ```
//! Claim `data` is bound to a local disk of node `a`. Its pod fits `a` alone.

use super::{
    Build, Demand, Predicate, Registration, Standing,
    volumes::{MountedClaim, NAMELESS_CLAIM, claim_not_found, is_reached_by, not_found, volume_of},
};
use crate::{
    model::{PersistentVolume, Pod},
    rule::{Identity, Reads},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "NoVolumeNodeConflict",
        aliases: &[],
        plugin: "VolumeBinding",
        modern_plugin: Some("VolumeBinding"),
        arguments: &[],
        source: include_str!("no_volume_node_conflict.rs"),
    },
    standing: Standing::Optional,
    build: Build::Rule(|_| Box::new(NoVolumeNodeConflict)),
};

struct NoVolumeNodeConflict;

impl Predicate for NoVolumeNodeConflict {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        let volumes: Result<Vec<_>, String> =
            MountedClaim::named(pod, snapshot).map(|mounted| bound_volume(&mounted, snapshot)).collect();
        match volumes {
            Err(fault) => Demand::Reject(Verdict::unresolvable(fault)),
            Ok(volumes) if volumes.iter().all(|volume| volume.node_affinity.is_none()) => Demand::Nothing,
            Ok(volumes) => Demand::check(move |node| {
                let reached = volumes.iter().all(|v| is_reached_by(v.node_affinity.as_ref(), node.labels()));
                Verdict::fits_if(reached, || Verdict::unresolvable("node(s) had volume node affinity conflict"))
            }),
        }
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

fn bound_volume<'a>(mounted: &MountedClaim<'a>, snapshot: &'a Snapshot) -> Result<&'a PersistentVolume, String> {
    if mounted.name.is_empty() {
        return Err(NAMELESS_CLAIM.into());
    }
    let claim = mounted.claim.ok_or_else(|| claim_not_found(&mounted.name))?;
    if claim.volume_name.is_empty() {
        return Err(format!("PersistentVolumeClaim is not bound: {:?}", &*claim.name));
    }
    volume_of(claim, snapshot).ok_or_else(|| not_found("persistentvolume", &claim.volume_name))
}

#[cfg(test)]
mod tests {
    use crate::testing::{node, pod, predicate, pv, pvc, verdict_of};
    use crate::{
        model::topology::HOSTNAME,
        rule::{Arguments, Release},
        snapshot::Object,
    };

    #[test]
    fn a_pod_goes_where_its_volumes_can_be_reached() {
        let rule = predicate("NoVolumeNodeConflict", &Arguments::defaults(Release::V1_22));
        let cluster: [Object; 8] = [
            node("a").into(),
            node("b").into(),
            pvc("local").bound_to("pv-a").into(),
            pv("pv-a").reached_by(HOSTNAME, "a").into(),
            pvc("anywhere").bound_to("pv").into(),
            pv("pv").into(),
            pvc("unbound").into(),
            pvc("dangling").bound_to("gone").into(),
        ];
        let cases = [
            ("local", "a", None),
            ("local", "b", Some("node(s) had volume node affinity conflict")),
            ("anywhere", "b", None),
            ("unbound", "a", Some("PersistentVolumeClaim is not bound: \"unbound\"")),
            ("missing", "a", Some("persistentvolumeclaim \"missing\" not found")),
            ("dangling", "a", Some("persistentvolume \"gone\" not found")),
        ];
        for (claim, on, refusal) in cases {
            let verdict = verdict_of(&*rule, pod("p").claim(claim), &cluster, on);
            assert_eq!(verdict.reasons().first().map(|reason| &**reason), refusal, "{claim} on {on}");
            assert_eq!(verdict.is_unresolvable(), refusal.is_some(), "no eviction moves a disk");
        }
    }
}

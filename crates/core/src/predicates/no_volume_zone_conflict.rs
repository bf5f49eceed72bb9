//! # Rule
//! A pod with bound claims fits only nodes in the zones and regions of their volumes. For each of the volume's labels
//! `topology.kubernetes.io/zone`, `topology.kubernetes.io/region` and their predecessors
//! `failure-domain.beta.kubernetes.io/zone` and `…/region`, the node must carry the label with the same value. A volume
//! that spans several zones lists them with `__` between them, and one of them suffices. A label whose list has an empty
//! entry is ignored.
//!
//! A node that carries none of the four labels always fits. Claims made for the pod (ephemeral volumes) are ignored, and so are unbound
//! claims whose class waits for the first consumer.
//!
//! # Policy name and framework plugin
//! `NoVolumeZoneConflict`; plugin `VolumeZone`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/volumezone/volume_zone.go`.
//! - 1.6: `VolumeZoneChecker` in `plugin/pkg/scheduler/algorithm/predicates/predicates.go`. It knew only the
//!   `failure-domain.beta` labels and no lists of zones; an unbound claim was an error.
//! - 1.22: what is wrong with a claim is found node by node, so nodes without zone labels still fit.
//! - 1.34: what is wrong with a claim rules every node out before any is asked; and a volume's `failure-domain.beta`
//!   label is also met by the node's current label.
//!
//! # Reason text
//! - `node(s) had no available volume zone`
//! - `persistentvolumeclaim "<name>" not found`, `persistentvolume "<name>" not found`,
//!   `storageclass.storage.k8s.io "<name>" not found`
//! - `PersistentVolume had no name`: the claim is unbound and its class does not wait for the first consumer
//! - `PersistentVolumeClaim had no name`, `PersistentVolumeClaim had no pv name and storageClass name`,
//!   `VolumeBindingMode not set for StorageClass "<name>"`
//!
//! # Can preemption help?
//! No: unresolvable.
//!
//! # Example
//! ```json
//! {"kind": "Policy", "apiVersion": "v1", "predicates": [{"name": "NoVolumeZoneConflict"}]}
//! ```
//! Claim `data` is bound to a volume labelled `topology.kubernetes.io/zone: az1__az2`. Its pod fits nodes in `az1` and
//! `az2`, and nodes without any zone or region label; not those in `az3`.

use super::{
    Build, Demand, Predicate, Registration, Standing,
    csi_migration::ZONE_SEPARATOR,
    volumes::{
        MountedClaim, NAMELESS_CLAIM, binding_mode_not_set, claim_not_found, class_name_of, class_of, not_found,
        volume_of,
    },
};
use crate::{
    model::{BindingMode, Labels, PersistentVolume, PersistentVolumeClaim, Pod, topology},
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
    verdict::Verdict,
};

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "NoVolumeZoneConflict",
        aliases: &[],
        plugin: "VolumeZone",
        modern_plugin: Some("VolumeZone"),
        arguments: &[],
        source: include_str!("no_volume_zone_conflict.rs"),
    },
    standing: Standing::Default,
    build: Build::Rule(|arguments| Box::new(NoVolumeZoneConflict { release: arguments.release })),
};

const CONFLICT: &str = "node(s) had no available volume zone";
/// The labels that count, each with the one that took its place.
const LABELS: [(&str, &str); 4] = [
    (topology::BETA_ZONE, topology::ZONE),
    (topology::BETA_REGION, topology::REGION),
    (topology::ZONE, topology::ZONE),
    (topology::REGION, topology::REGION),
];

struct NoVolumeZoneConflict {
    release: Release,
}

/// The demand of one volume by one of its labels.
struct Place<'a> {
    label: &'static str,
    successor: &'static str,
    values: Vec<&'a str>,
}

impl Predicate for NoVolumeZoneConflict {
    fn prepare<'a>(&'a self, pod: &'a Pod, snapshot: &'a Snapshot) -> Demand<'a> {
        // Up to the first claim that something is wrong with, and what that is.
        let (mut places, mut fault) = (Vec::new(), None);
        for mounted in MountedClaim::named(pod, snapshot) {
            match bound_volume(&mounted, snapshot) {
                Ok(volume) => places.extend(volume.into_iter().flat_map(places_of)),
                Err(text) => {
                    fault = Some(Verdict::unresolvable(text));
                    break;
                }
            }
        }
        match (fault, self.release) {
            (Some(fault), release) if release.facts().looks_up_volume_zones_first => Demand::Reject(fault),
            (None, _) if places.is_empty() => Demand::Nothing,
            (fault, release) => Demand::check(move |node| {
                let labels = node.labels();
                if !LABELS.iter().any(|(label, _)| labels.has(label)) {
                    Verdict::Fits
                } else if places.iter().all(|place| place.holds(labels, release)) {
                    fault.clone().unwrap_or(Verdict::Fits)
                } else {
                    Verdict::unresolvable(CONFLICT)
                }
            }),
        }
    }

    fn reads(&self, pod: &Pod, _: &Snapshot) -> Reads {
        if pod.volumes.is_empty() { Reads::Nothing } else { Reads::Cluster }
    }
}

impl Place<'_> {
    fn holds(&self, labels: &Labels, release: Release) -> bool {
        let stable = || labels.get(self.successor).filter(|_| release.facts().beta_zone_means_stable_zone);
        let value = labels.get(self.label).or_else(stable);
        value.is_some_and(|value| self.values.contains(&&**value))
    }
}

/// The volume of a claim that is bound or should be; else the fault.
fn bound_volume<'a>(
    mounted: &MountedClaim<'a>,
    snapshot: &'a Snapshot,
) -> Result<Option<&'a PersistentVolume>, String> {
    if mounted.name.is_empty() {
        return Err(NAMELESS_CLAIM.into());
    }
    let claim = mounted.claim.ok_or_else(|| claim_not_found(&mounted.name))?;
    if claim.volume_name.is_empty() {
        return unbound(claim, snapshot).map(|()| None);
    }
    volume_of(claim, snapshot).map(Some).ok_or_else(|| not_found("persistentvolume", &claim.volume_name))
}

/// `Ok` if the claim may be unbound.
fn unbound(claim: &PersistentVolumeClaim, snapshot: &Snapshot) -> Result<(), String> {
    let class_name = class_name_of(claim);
    if class_name.is_empty() {
        return Err("PersistentVolumeClaim had no pv name and storageClass name".into());
    }
    let class = class_of(claim, snapshot).ok_or_else(|| not_found("storageclass.storage.k8s.io", class_name))?;
    match class.binding_mode {
        Some(BindingMode::WaitForFirstConsumer) => Ok(()),
        Some(BindingMode::Immediate) => Err("PersistentVolume had no name".into()),
        None => Err(binding_mode_not_set(class)),
    }
}

fn places_of(volume: &PersistentVolume) -> impl Iterator<Item = Place<'_>> {
    LABELS.into_iter().filter_map(|(label, successor)| {
        let values: Vec<&str> = volume.labels.get(label)?.split(ZONE_SEPARATOR).map(str::trim).collect();
        let is_list = values.iter().all(|value| !value.is_empty());
        is_list.then_some(Place { label, successor, values })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, predicate, pv, pvc, storage_class, verdict_of};
    use crate::{rule::Arguments, snapshot::Object};

    const BOTH: [Release; 2] = [Release::V1_22, Release::V1_34];

    fn verdict(release: Release, volumes: &[Object], on: &str) -> Verdict {
        let rule = predicate("NoVolumeZoneConflict", &Arguments::defaults(release));
        let nodes = [
            node("az1").zone("az1").into(),
            node("az3").zone("az3").into(),
            node("beta").label(topology::BETA_ZONE, "az1").into(),
            node("nowhere").into(),
        ];
        let cluster: Vec<Object> = nodes.into_iter().chain(volumes.iter().cloned()).collect();
        verdict_of(&*rule, pod("p").claim("data"), &cluster, on)
    }

    #[test]
    fn the_node_must_be_in_a_zone_of_the_volume() {
        let bound = |label: &str, value: &str| [pvc("data").bound_to("v").into(), pv("v").label(label, value).into()];
        for release in BOTH {
            let spanning = bound(topology::ZONE, "az1__az2");
            assert!(verdict(release, &spanning, "az1").fits());
            assert_eq!(verdict(release, &spanning, "az3"), Verdict::unresolvable(CONFLICT));
            assert!(verdict(release, &spanning, "nowhere").fits(), "no labels, no constraint");
            assert!(!verdict(release, &spanning, "beta").fits(), "the current label is missing");
            assert!(verdict(release, &bound(topology::ZONE, "az1__"), "az3").fits(), "no list of zones: passed over");
            assert!(!verdict(release, &bound(topology::REGION, "eu"), "az1").fits(), "the node's region is missing");
            assert!(verdict(release, &bound("disk", "ssd"), "az3").fits(), "other labels do not count");
        }
    }

    #[test]
    fn a_beta_label_is_met_by_the_current_one_since_1_34() {
        let old = [pvc("data").bound_to("v").into(), pv("v").label(topology::BETA_ZONE, "az1").into()];
        assert!(verdict(Release::V1_22, &old, "beta").fits());
        assert!(!verdict(Release::V1_22, &old, "az1").fits(), "the node has only the current label");
        assert!(verdict(Release::V1_34, &old, "az1").fits());
        assert!(!verdict(Release::V1_34, &old, "az3").fits());
    }

    #[test]
    fn claim_faults_have_reasons() {
        let cases: [(&str, Vec<Object>, &str); 6] = [
            ("no claim", vec![], "persistentvolumeclaim \"data\" not found"),
            ("no volume", vec![pvc("data").bound_to("v").into()], "persistentvolume \"v\" not found"),
            ("no class", vec![pvc("data").into()], "PersistentVolumeClaim had no pv name and storageClass name"),
            ("class gone", vec![pvc("data").class("c").into()], "storageclass.storage.k8s.io \"c\" not found"),
            (
                "should be bound by now",
                vec![pvc("data").class("c").into(), storage_class("c").immediate().into()],
                "PersistentVolume had no name",
            ),
            (
                "a class that does not say",
                vec![pvc("data").class("c").into(), storage_class("c").with(|class| class.binding_mode = None).into()],
                "VolumeBindingMode not set for StorageClass \"c\"",
            ),
        ];
        for (why, volumes, text) in cases {
            let told = Verdict::unresolvable(text);
            assert_eq!(verdict(Release::V1_22, &volumes, "az1"), told, "{why}");
            assert!(verdict(Release::V1_22, &volumes, "nowhere").fits(), "1.22 does not ask where no zone is: {why}");
            assert_eq!(verdict(Release::V1_34, &volumes, "nowhere"), told, "1.34 asks before it looks at nodes: {why}");
        }
    }

    #[test]
    fn a_claim_that_waits_for_its_pod_has_no_zone_yet() {
        let waiting = [pvc("data").class("c").into(), storage_class("c").into()];
        assert!(BOTH.into_iter().all(|release| verdict(release, &waiting, "az1").fits()));
    }
}

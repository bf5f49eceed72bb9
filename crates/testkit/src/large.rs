//! Large clusters and pods to place in them, for benches, instruction counts and `podberth-bench`.

use super::{PodBuilder, node, pod, pv, pvc, service};
use podberth_core::{
    cycle::Cycle,
    model::{AccessMode, Effect, Image, Pod, VolumePhase, WhenUnsatisfiable, topology},
    policy::Profile,
    snapshot::{Object, Snapshot},
};

/// As many as a kubelet takes are 110; large clusters run about this many.
pub const PODS_PER_NODE: usize = 30;
/// Number of applications of the running pods, each with a service.
pub const APPS: usize = 300;
/// One node in this number keeps pods off by a taint, counted from the first.
pub const TAINTED: usize = 10;
/// The zones of nodes, one after another.
pub const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];

/// The rules of the running pods about each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Nothing.
    Plain,
    /// Anti-affinity to their like by host name, and spread over zones.
    Apart,
}

/// A pod to place.
pub struct Workload {
    /// Its name.
    pub name: &'static str,
    /// The running pods.
    pub running: Running,
    /// The pod.
    pub pod: Pod,
    /// The number of nodes on which it fits, from the number of all nodes.
    pub fitting: fn(usize) -> usize,
}

/// A node's name, in whose order they are numbered.
pub fn node_name(i: usize) -> String {
    format!("node-{i:06}")
}

/// The number of the node on which running pod `i` is: pods of one application are on different nodes and, over zones, even.
pub fn node_of(i: usize, nodes: usize, pods_per_node: usize) -> usize {
    (i / APPS * (APPS / pods_per_node.max(1)).max(1) + i % APPS) % nodes
}

fn app(i: usize) -> String {
    format!("app={}", app_name(i))
}

fn app_name(i: usize) -> String {
    format!("app-{}", i % APPS)
}

fn apart(pod: PodBuilder, i: usize, skew: i32) -> PodBuilder {
    let when = WhenUnsatisfiable::DoNotSchedule;
    pod.anti_affinity(&app(i), topology::HOSTNAME).spread(skew, topology::ZONE, when, &app(i))
}

/// Every tenth node keeps pods off by a taint, every fifth has a taint that pods avoid. Each holds 45 images and one unused volume in its zone.
pub fn cluster(nodes: usize, pods_per_node: usize, running: Running) -> Snapshot {
    let image = |i: usize, k: usize| Image {
        names: vec![format!("example/app-{k}:v{}", i % 7).into(), format!("example/app-{k}@sha256:{k:064x}").into()],
        size: 40_000_000 * (k as i64 + 1),
    };
    let each_node = |i: usize| {
        let mut built = node(&node_name(i)).cpu("32").memory("128Gi").zone(ZONES[i % ZONES.len()]);
        built = built.label("disk", if i.is_multiple_of(2) { "hdd" } else { "ssd" });
        built = if i.is_multiple_of(TAINTED) { built.taint("dedicated", "batch", Effect::NoSchedule) } else { built };
        built = if i % 5 == 1 { built.taint("spot", "", Effect::PreferNoSchedule) } else { built };
        Object::from(built.with(|n| n.images = (0..45).map(|k| image(i, k)).collect()))
    };
    let each_pod = |i: usize| {
        let built = pod(&format!("pod-{i:07}")).label("app", &app_name(i)).label("tier", "back");
        let built = built.cpu("200m").memory("512Mi").on(&node_name(node_of(i, nodes, pods_per_node)));
        Object::from(if running == Running::Apart { apart(built, i, 1) } else { built })
    };
    let services = (0..APPS).map(|i| service(&app_name(i), &app(i)));
    (0..nodes).map(each_node).chain(services).chain(volumes()).chain((0..nodes * pods_per_node).map(each_pod)).collect()
}

/// A claim bound to a volume within reach of one zone.
fn volumes() -> [Object; 2] {
    let volume = pv("data").reached_by(topology::ZONE, ZONES[0]).with(|v| {
        v.phase = VolumePhase::Bound;
        v.access_modes = vec![AccessMode::ReadWriteMany];
    });
    let claim = pvc("data").bound_to("data").with(|c| c.access_modes = vec![AccessMode::ReadWriteMany]);
    [volume.into(), claim.into()]
}

/// The workloads: pods to place, and the running pods.
pub fn workloads() -> Vec<Workload> {
    let new = || {
        pod("new")
            .label("tier", "back")
            .cpu("1")
            .memory("2Gi")
            .with(|p| p.spec_mut().images = vec!["example/app-1:v1".into()])
    };
    let lone = || new().label("app", "none");
    let replica = || new().label("app", "app-1");
    let soft = WhenUnsatisfiable::ScheduleAnyway;
    let spread = replica().spread(5, topology::ZONE, WhenUnsatisfiable::DoNotSchedule, &app(1));
    let workload = |name, running, pod: PodBuilder, fitting| Workload { name, running, pod: pod.build(), fitting };
    let untainted: fn(usize) -> usize = |nodes| nodes - nodes.div_ceil(TAINTED);
    vec![
        workload("plain", Running::Plain, lone(), untainted),
        workload("service", Running::Plain, replica(), untainted),
        workload("taints", Running::Plain, lone().tolerates("dedicated"), |nodes| nodes),
        workload(
            "node-affinity",
            Running::Plain,
            lone().with(|p| p.spec_mut().node_selector = [("disk", "ssd")].into_iter().collect()),
            |nodes| nodes / 2,
        ),
        workload("spread", Running::Plain, spread.spread(1, topology::HOSTNAME, soft, &app(1)), untainted),
        workload("anti-affinity", Running::Plain, apart(replica(), 1, 5), untainted_without_app),
        workload("preferred-affinity", Running::Plain, replica().prefers(10, &app(1), topology::ZONE), untainted),
        workload("volumes", Running::Plain, lone().claim("data"), |nodes| {
            (0..nodes).filter(|i| i % TAINTED != 0 && i % ZONES.len() == 0).count()
        }),
        workload("plain-among-apart", Running::Apart, lone(), untainted),
        workload("anti-affinity-among-apart", Running::Apart, apart(replica(), 1, 5), untainted_without_app),
    ]
}

/// The running pods of application 1 are, at [`PODS_PER_NODE`], on every tenth node from the second on.
fn untainted_without_app(nodes: usize) -> usize {
    (0..nodes).filter(|i| i % TAINTED > 1).count()
}

/// Filters all nodes and scores those that fit: one decision but for naming its winner.
pub fn decide(profile: &Profile, pod: &Pod, snapshot: &Snapshot) -> Vec<i64> {
    let cycle = Cycle::prepare(profile, pod, snapshot);
    let candidates = cycle.fitting();
    cycle.rank(&cycle.scores(&candidates), candidates.len()).totals().to_vec()
}

/// A pod as [`cluster`] runs them, on a node.
pub fn bound(running: Running, i: usize) -> Pod {
    let bound = pod("new").label("app", &app_name(i)).cpu("1").on(&node_name(7));
    if running == Running::Apart { apart(bound, i, 1).build() } else { bound.build() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podberth_core::policy::{Configuration, Policy};

    #[test]
    fn each_workload_fits_its_expected_nodes() {
        let profiles = [
            Policy::default().compile().expect("the default policy compiles"),
            Configuration::default().compile(None).expect("the default profile compiles"),
        ];
        for running in [Running::Plain, Running::Apart] {
            let snapshot = cluster(300, PODS_PER_NODE, running);
            for workload in workloads().into_iter().filter(|workload| workload.running == running) {
                for profile in &profiles {
                    let fitting = decide(profile, &workload.pod, &snapshot).len();
                    assert_eq!(fitting, (workload.fitting)(300), "{} {:?}", workload.name, profile.release);
                }
            }
        }
    }
}

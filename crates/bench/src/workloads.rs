//! Workloads shaped like kube-scheduler's own: `test/integration/scheduler_perf`, its templates and its counts at 500 and
//! 5,000 nodes. Each has a cluster of its own.
//!
//! Differences: pods are stored before the clock starts, and one `/schedule` then places and binds them, while scheduler_perf creates
//! them as it measures; every node is considered, while kube-scheduler samples; and each bind is durable. Preemption also runs with
//! 5,000 nodes, at which upstream's case is switched off since it fails (kubernetes#108308).

use super::{
    batch::{Scheduled, schedule},
    check::{self, Room, Rooms, Stored},
    client::Client,
    fixture::{Fixture, import},
    report::{Report, number},
};
use podberth_testkit::json::Shape;

/// Nodes of the clusters.
pub(super) const SIZES: [usize; 2] = [500, 5_000];

/// Objects of one import.
const AT_ONCE: usize = 5_000;

/// A workload of scheduler_perf.
#[derive(Debug)]
pub(super) struct Workload {
    /// Upstream's name.
    pub(super) name: &'static str,
    what: &'static str,
    /// Pods that run before: each template as often as the counts say.
    initial: &'static [Template],
    measured: Template,
    zones: &'static [&'static str],
    /// Initial and measured pods, at each of [`SIZES`].
    counts: [(usize, usize); 2],
}

/// A template of pods, named after upstream's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Template {
    Default,
    LowPriority,
    HighPriority,
    PodAffinity,
    PodAntiAffinity,
    PreferredPodAffinity,
    PreferredPodAntiAffinity,
    TopologySpreading,
}

use Template::{
    Default, HighPriority, LowPriority, PodAffinity, PodAntiAffinity, PreferredPodAffinity, PreferredPodAntiAffinity,
    TopologySpreading,
};

/// Zones of upstream's workloads in which zones mean nothing, too.
const ONE_ZONE: &[&str] = &["zone1"];

pub(super) static ALL: [Workload; 6] = [
    Workload {
        name: "SchedulingBasic",
        what: "plain pods",
        initial: &[Default],
        measured: Default,
        zones: ONE_ZONE,
        counts: [(500, 1_000), (1_000, 10_000)],
    },
    Workload {
        name: "SchedulingPodAntiAffinity",
        what: "pods of which a node takes one",
        initial: &[PodAntiAffinity],
        measured: PodAntiAffinity,
        zones: ONE_ZONE,
        counts: [(100, 400), (1_000, 2_000)],
    },
    Workload {
        name: "SchedulingPodAffinity",
        what: "pods that must be in the zone of their like",
        initial: &[PodAffinity],
        measured: PodAffinity,
        zones: ONE_ZONE,
        counts: [(500, 1_000), (5_000, 5_000)],
    },
    Workload {
        name: "TopologySpreading",
        what: "pods spread over three zones",
        initial: &[Default],
        measured: TopologySpreading,
        zones: &["moon-1", "moon-2", "moon-3"],
        counts: [(1_000, 1_000), (5_000, 5_000)],
    },
    Workload {
        name: "PreemptionBasic",
        what: "pods for each of which three others are evicted",
        initial: &[LowPriority],
        measured: HighPriority,
        zones: ONE_ZONE,
        counts: [(2_000, 500), (20_000, 5_000)],
    },
    Workload {
        name: "MixedSchedulingBasePod",
        what: "plain pods among pods with all kinds of affinity",
        initial: &[Default, PodAffinity, PodAntiAffinity, PreferredPodAffinity, PreferredPodAntiAffinity],
        measured: Default,
        zones: ONE_ZONE,
        counts: [(200, 1_000), (2_000, 5_000)],
    },
];

impl Template {
    fn shape(self, namespace: &'static str) -> Shape {
        let term = |color: &str, key: &str| {
            format!(
                r#"{{"labelSelector":{{"matchLabels":{{"color":"{color}"}}}},"topologyKey":"{key}","namespaces":["sched-1","sched-0"]}}"#
            )
        };
        let required = |kind: &str, term: String| {
            format!(r#""affinity":{{"{kind}":{{"requiredDuringSchedulingIgnoredDuringExecution":[{term}]}}}},"#)
        };
        let preferred = |kind: &str, term: String| {
            format!(
                r#""affinity":{{"{kind}":{{"preferredDuringSchedulingIgnoredDuringExecution":[{{"weight":1,"podAffinityTerm":{term}}}]}}}},"#
            )
        };
        let (host, zone) = ("kubernetes.io/hostname", "topology.kubernetes.io/zone");
        let (prefix, color, cpu, rules) = match self {
            Default => ("pod", None, "100m", String::new()),
            LowPriority => ("low-priority", None, "900m", String::new()),
            HighPriority => ("high-priority", None, "3000m", r#""priority":10,"#.to_owned()),
            PodAffinity => ("affinity", Some("blue"), "100m", required("podAffinity", term("blue", zone))),
            PodAntiAffinity => {
                ("anti-affinity", Some("green"), "100m", required("podAntiAffinity", term("green", host)))
            }
            PreferredPodAffinity => {
                ("preferred-affinity", Some("red"), "100m", preferred("podAffinity", term("red", host)))
            }
            PreferredPodAntiAffinity => {
                ("preferred-anti-affinity", Some("yellow"), "100m", preferred("podAntiAffinity", term("yellow", host)))
            }
            TopologySpreading => {
                let rule = r#""topologySpreadConstraints":[{"maxSkew":5,"topologyKey":"topology.kubernetes.io/zone","whenUnsatisfiable":"DoNotSchedule","labelSelector":{"matchLabels":{"color":"blue"}}}],"#;
                ("spreading", Some("blue"), "100m", rule.to_owned())
            }
        };
        let labels = color.map_or_else(|| "{}".to_owned(), |color| format!(r#"{{"color":"{color}"}}"#));
        Shape { prefix, namespace, labels, rules, cpu, memory: "500Mi", filled: false }
    }
}

/// upstream's `node-default.yaml`, with the host name that a kubelet sets.
fn node(i: usize, zone: &str) -> String {
    let (name, offer) = (node_name(i), r#"{"cpu":"4","memory":"32Gi","pods":"110"}"#);
    format!(
        r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}","topology.kubernetes.io/zone":"{zone}"}}}},"status":{{"capacity":{offer},"allocatable":{offer},"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
    )
}

fn node_name(i: usize) -> String {
    format!("scheduler-perf-{i}")
}

pub(super) async fn measure(
    name: &str,
    workload: &Workload,
    nodes: usize,
    fixture: &mut Fixture<'_>,
    report: &mut Report,
) -> Result<(), String> {
    let client = fixture.client();
    let server = fixture.server().await?;
    let base = format!("{}/clusters/{}", server.url, name.to_lowercase().replace('/', "-"));
    let size = SIZES.iter().position(|size| *size == nodes).unwrap_or_default();
    let (initial, measured) = workload.counts[size];

    let zone = |i: usize| workload.zones[i % workload.zones.len()];
    let objects: Vec<String> = (0..nodes).map(|i| node(i, zone(i))).collect();
    store(&client, &base, &objects).await?;
    for template in workload.initial {
        place(&client, &base, &template.shape("sched-0"), initial).await?;
    }
    let before = server.cpu();
    let done = place(&client, &base, &workload.measured.shape("sched-1"), measured).await?;
    let cpu = server.cpu().zip(before).map(|(after, before)| after - before);

    let stored = check::stored(&client, &format!("{base}/api/v1/pods")).await?;
    let room = |i: usize| Room { zone: zone(i), cpu: 4_000, memory: 32 << 30, pods: 110 };
    let rooms: Rooms = (0..nodes).map(|i| (node_name(i), room(i))).collect();
    let all = workload.initial.len() * initial + measured;
    is_right(workload, &done, &stored, &rooms, all)?;
    let cpu = cpu.map(|cpu| format!(", {} s of the server's CPU with storing them", number(cpu))).unwrap_or_default();
    let note = format!("{measured} pods in {} s{cpu}", number(done.took.as_secs_f64()));
    report.add(name, format!("{}, {nodes} nodes", workload.what), (done.rate(), "pods/s"), note);
    Ok(())
}

async fn store(client: &Client, base: &str, objects: &[String]) -> Result<(), String> {
    for objects in objects.chunks(AT_ONCE) {
        import(client, &format!("{base}/import"), objects).await?;
    }
    Ok(())
}

/// Stores so many pods of a shape and has them placed and bound.
async fn place(client: &Client, base: &str, shape: &Shape, count: usize) -> Result<Scheduled, String> {
    store(client, base, &(0..count).map(|i| shape.pod(i, None)).collect::<Vec<_>>()).await?;
    let request = format!(r#"{{"namespace":"{}","suggestions":false}}"#, shape.namespace);
    let done = schedule(client, base, request).await?;
    done.all_bound(count)?;
    Ok(done)
}

/// The store has what the reply says, `all` pods but for the evicted, and every rule holds.
fn is_right(workload: &Workload, done: &Scheduled, stored: &[Stored], rooms: &Rooms, all: usize) -> Result<(), String> {
    done.is_stored(stored)?;
    if stored.len() + done.summary.evicted != all {
        return Err(format!("{} pods are stored and {} were evicted, of {all}", stored.len(), done.summary.evicted));
    }
    let colored =
        |color: &'static str| stored.iter().filter(move |pod| pod.labels.get("color").is_some_and(|c| c == color));
    check::apart(colored("green"))?;
    match workload.measured {
        TopologySpreading => check::spread(rooms, colored("blue"), 5)?,
        _ => check::together(rooms, colored("blue"))?,
    }
    // 4 cores less 4 × 900m leave 400m: for 3 cores three must go.
    if workload.measured == HighPriority && done.summary.evicted != 3 * done.summary.bound {
        return Err(format!("{} pods were evicted for {}", done.summary.evicted, done.summary.bound));
    }
    check::fits(rooms.clone(), stored)
}

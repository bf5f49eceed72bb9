//! kube-scheduler over a cluster of which Podberth has an older copy: its calls, in its order and in both forms.
//!
//! The cluster is real enough for `pkg/scheduler/schedule_one.go` of 1.34 (`findNodesThatFitPod`, `evaluateNominatedNode`,
//! `prioritizeNodes`) and `framework/preemption/preemption.go` (`callExtenders`). The copy is refreshed at an interval, as by the loop of the
//! README. Seconds are those of a clock that the test moves.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use podberth::{clock::Elapsed, core::cycle::tie_break, live::Remembering};
use podberth_testkit as testing;
use serde_json::{Value, json};

use crate::{
    check::{by_names, filtered, in_full, preempted, prioritized},
    server::{Server, Setup, memory},
};

/// How kube-scheduler sends nodes and victims.
#[derive(Clone, Copy, Debug)]
enum Form {
    Names,
    Full,
}

/// How far the copy is behind.
#[derive(Clone, Copy, Debug)]
enum Lag {
    /// The copy has every change before the next call.
    None,
    /// The interval of refreshing the copy.
    Seconds(u64),
    /// It was made once.
    Endless,
}

/// The outcome of one attempt to schedule a pod.
#[derive(Debug, PartialEq)]
enum Attempt {
    Bound,
    /// Room was made.
    Nominated,
    Unschedulable,
}

struct Pod {
    cpu: i64,
    priority: i64,
    node: String,
    nominated: String,
}

/// The real cluster, its scheduler, and Podberth with a copy.
struct World {
    server: Server,
    form: Form,
    lag: Lag,
    /// Milliseconds.
    clock: Arc<AtomicU64>,
    copied: u64,
    cpu: i64,
    nodes: Vec<String>,
    pods: BTreeMap<String, Pod>,
    evicted: Vec<String>,
}

impl World {
    /// A cluster of `nodes` nodes with `cpu` thousandths of a core each, and pods.
    async fn new(form: Form, lag: Lag, binds_for: u64, nodes: usize, cpu: i64, pods: BTreeMap<String, Pod>) -> Self {
        let clock = Arc::new(AtomicU64::new(1));
        let told = clock.clone();
        let remembering = Remembering {
            victims_for: Duration::from_mins(2),
            binds_for: Duration::from_secs(binds_for),
            elapsed: Elapsed::new(move || Duration::from_millis(told.load(Ordering::Relaxed))),
        };
        let server = Server::start(memory(&[]).await, Setup { remembering, ..Setup::default() });
        let nodes = (0..nodes).map(|at| format!("node-{at:02}")).collect();
        let world = Self { server, form, lag, clock, copied: 0, cpu, nodes, pods, evicted: Vec::new() };
        world.copy().await;
        world
    }

    fn node(&self, name: &str) -> Value {
        let mut node = crate::check::node(name, format!("{}m", self.cpu), "64Gi");
        node["kind"] = "Node".into();
        node["apiVersion"] = "v1".into();
        node
    }

    fn pod(&self, name: &str) -> Value {
        let Pod { cpu, priority, node, nominated } = &self.pods[name];
        let mut pod = crate::check::pod(name, format!("{cpu}m"), node);
        pod["kind"] = "Pod".into();
        pod["apiVersion"] = "v1".into();
        pod["metadata"]["uid"] = format!("uid-{name}").into();
        pod["spec"]["priority"] = (*priority).into();
        if !nominated.is_empty() {
            pod["status"]["nominatedNodeName"] = nominated.as_str().into();
        }
        pod
    }

    /// Refreshes the copy.
    async fn copy(&self) {
        let nodes = self.nodes.iter().map(|name| self.node(name));
        let items: Vec<Value> = nodes.chain(self.pods.keys().map(|name| self.pod(name))).collect();
        let list = json!({"kind": "List", "apiVersion": "v1", "items": items});
        self.server.post("/import?replace=true", list).await.json();
    }

    /// A pod has changed or is gone.
    async fn changed(&mut self, name: &str) {
        if !matches!(self.lag, Lag::None) {
            return;
        }
        if self.pods.contains_key(name) {
            let list = json!({"kind": "List", "apiVersion": "v1", "items": [self.pod(name)]});
            self.server.post("/import", list).await.json();
        } else {
            self.server.delete(&format!("/api/v1/namespaces/default/pods/{name}")).await.json();
        }
    }

    async fn pass(&mut self, milliseconds: u64) {
        let now = self.clock.fetch_add(milliseconds, Ordering::Relaxed) + milliseconds;
        if let Lag::Seconds(seconds) = self.lag
            && now - self.copied >= seconds * 1_000
        {
            self.copied = now;
            self.copy().await;
        }
    }

    fn requested(&self, node: &str, besides: &str, priority: i64) -> i64 {
        let counts = |(name, pod): &(&String, &Pod)| {
            let waits = pod.node.is_empty() && pod.nominated == node && pod.priority >= priority;
            **name != besides && (pod.node == node || waits)
        };
        self.pods.iter().filter(counts).map(|(_, pod)| pod.cpu).sum()
    }

    /// `true` if kube-scheduler's own filters accept the node for the pod.
    fn fits(&self, name: &str, node: &str) -> bool {
        let pod = &self.pods[name];
        self.requested(node, name, pod.priority) + pod.cpu <= self.cpu
    }

    async fn filter(&self, name: &str, nodes: &[String]) -> Vec<String> {
        if nodes.is_empty() {
            return Vec::new();
        }
        let request = self.asking(name, nodes);
        filtered(&request, &self.server.post("/filter", request.clone()).await).fits
    }

    fn asking(&self, name: &str, nodes: &[String]) -> String {
        match self.form {
            Form::Names => by_names(&self.pod(name), &nodes.iter().map(String::as_str).collect::<Vec<_>>()),
            Form::Full => in_full(&self.pod(name), &nodes.iter().map(|node| self.node(node)).collect::<Vec<_>>()),
        }
    }

    /// One attempt for one pod.
    async fn attempt(&mut self, name: &str) -> Attempt {
        let nominated = self.pods[name].nominated.clone();
        let mut feasible = Vec::new();
        if !nominated.is_empty() && self.fits(name, &nominated) {
            feasible = self.filter(name, &[nominated]).await;
        }
        if feasible.is_empty() {
            let nodes: Vec<String> = self.nodes.iter().filter(|node| self.fits(name, node)).cloned().collect();
            feasible = self.filter(name, &nodes).await;
        }
        self.pass(1).await;
        let chosen = match &feasible[..] {
            [] => return self.preempt(name).await,
            [only] => only.clone(),
            _ => self.prioritize(name, &feasible).await,
        };
        self.pods.get_mut(name).expect("the pod is there").node = chosen;
        self.changed(name).await;
        Attempt::Bound
    }

    /// The best node by its own scores and Podberth's, with weight 1.
    async fn prioritize(&mut self, name: &str, nodes: &[String]) -> String {
        let request = self.asking(name, nodes);
        let theirs = prioritized(&request, &self.server.post("/prioritize", request.clone()).await, 10);
        let own = |node: &str| match self.form {
            Form::Names => {
                let requested = self.requested(node, name, 0) + self.pods[name].cpu;
                (self.cpu - requested) * 100 / self.cpu
            }
            // Every node that came back counts as empty (kubernetes#141781).
            Form::Full => 0,
        };
        let drawn = testing::pod(name).build();
        let best = theirs.iter().max_by_key(|(node, score)| (own(node) + score * 10, tie_break(7, &drawn, node)));
        best.expect("there is a node").0.clone()
    }

    /// Evicts the pods in the way on one node.
    async fn preempt(&mut self, name: &str) -> Attempt {
        let priority = self.pods[name].priority;
        let mut proposals = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| !self.fits(name, node)) {
            let lower = self.pods.iter().filter(|(_, pod)| pod.node == *node && pod.priority < priority);
            let victims: Vec<&String> = lower.map(|(name, _)| name).collect();
            let freed: i64 = victims.iter().map(|victim| self.pods[*victim].cpu).sum();
            if self.requested(node, name, priority) - freed + self.pods[name].cpu > self.cpu || victims.is_empty() {
                continue;
            }
            let pods = victims.iter().map(|victim| match self.form {
                Form::Names => json!({"UID": format!("uid-{victim}")}),
                Form::Full => self.pod(victim),
            });
            let pods: Vec<Value> = pods.collect();
            proposals.insert(node.clone(), json!({"Pods": pods, "NumPDBViolations": 0}));
        }
        if proposals.is_empty() {
            return Attempt::Unschedulable;
        }
        let (names, full) = match self.form {
            Form::Names => (json!(proposals), Value::Null),
            Form::Full => (Value::Null, json!(proposals)),
        };
        let request = json!({"Pod": self.pod(name), "NodeNameToVictims": full, "NodeNameToMetaVictims": names});
        let request = request.to_string();
        let left = preempted(&request, &self.server.post("/preempt", request.clone()).await);
        let drawn = testing::pod(name).build();
        let Some((node, victims)) = left.iter().min_by_key(|(node, _)| tie_break(3, &drawn, node)) else {
            return Attempt::Unschedulable;
        };
        self.pods.get_mut(name).expect("the pod is there").nominated.clone_from(node);
        self.changed(name).await;
        for uid in &victims.uids {
            let victim = uid.trim_start_matches("uid-").to_owned();
            assert!(self.pods.remove(&victim).is_some(), "{uid} is no pod: kube-scheduler gives up");
            self.changed(&victim).await;
            self.evicted.push(victim);
        }
        Attempt::Nominated
    }

    /// How many pods each node has.
    fn spread(&self) -> Vec<usize> {
        let on = |node: &String| self.pods.values().filter(|pod| pod.node == *node).count();
        self.nodes.iter().map(on).collect()
    }
}

fn waiting(cpu: i64, priority: i64) -> Pod {
    Pod { cpu, priority, node: String::new(), nominated: String::new() }
}

const FORMS: [Form; 2] = [Form::Names, Form::Full];
const LAGS: [Lag; 4] = [Lag::None, Lag::Seconds(1), Lag::Seconds(5), Lag::Endless];

#[tokio::test]
async fn a_lagging_copy_costs_one_eviction_per_urgent_pod() {
    for (form, lag) in FORMS.into_iter().flat_map(|form| LAGS.map(|lag| (form, lag))) {
        let low = |at: usize| (format!("low-{at:02}"), Pod { node: format!("node-{at:02}"), ..waiting(1_000, 0) });
        let urgent = (0..10).map(|at| (format!("urgent-{at}"), waiting(1_000, 1_000)));
        let pods = (0..44).map(low).chain(urgent).collect();
        let mut world = World::new(form, lag, 0, 44, 1_000, pods).await;
        for at in 0..10 {
            let name = format!("urgent-{at}");
            let mut attempts = Vec::new();
            while attempts.last() != Some(&Attempt::Bound) && attempts.len() < 9 {
                attempts.push(world.attempt(&name).await);
                // The victim takes its time to end, and kube-scheduler to come back.
                world.pass(100).await;
            }
            assert_eq!(attempts, [Attempt::Nominated, Attempt::Bound], "{name}, {form:?}, {lag:?}");
        }
        assert_eq!(world.evicted.len(), 10, "{form:?}, {lag:?}: {:?}", world.evicted);
    }
}

#[tokio::test]
async fn no_second_node_is_offered_while_victims_are_outstanding() {
    for form in FORMS {
        let low = |at: usize| (format!("low-{at:02}"), Pod { node: format!("node-{at:02}"), ..waiting(1_000, 0) });
        let pods = (0..4).map(low).chain([("urgent".into(), waiting(1_000, 1_000))]).collect();
        let mut world = World::new(form, Lag::Seconds(60), 0, 4, 1_000, pods).await;
        assert_eq!(world.attempt("urgent").await, Attempt::Nominated);
        // Something more important comes first, which the copy does not show either.
        let node = world.pods["urgent"].nominated.clone();
        world.pods.insert("first".into(), Pod { node, ..waiting(1_000, 2_000) });
        assert_eq!(world.attempt("urgent").await, Attempt::Unschedulable, "{form:?}: it waits");
        assert_eq!(world.evicted.len(), 1);
        world.pass(60_000).await;
        assert_eq!(
            world.attempt("urgent").await,
            Attempt::Nominated,
            "{form:?}: the copy shows that the victim is gone"
        );
    }
}

#[tokio::test]
async fn pods_that_were_just_placed_are_assumed_so_that_the_spread_stays_even() {
    for (form, lag) in FORMS.into_iter().flat_map(|form| LAGS[..3].iter().map(move |lag| (form, *lag))) {
        let pods: BTreeMap<String, Pod> = (0..150).map(|at| (format!("pod-{at:03}"), waiting(100, 0))).collect();
        let mut world = World::new(form, lag, 10, 22, 4_000, pods).await;
        for at in 0..150 {
            let attempt = world.attempt(&format!("pod-{at:03}")).await;
            assert_eq!(attempt, Attempt::Bound);
            // 25 pods a second
            world.pass(39).await;
        }
        // 150 / 22 = 6.8
        let spread = world.spread();
        assert!(spread.iter().all(|pods| (6..=8).contains(pods)), "{form:?}, {lag:?}: {spread:?}");
    }
}

#[tokio::test]
async fn without_the_setting_no_answer_depends_on_those_before_it() {
    let pods = || (0..3).map(|at| (format!("pod-{at}"), waiting(100, 0))).collect();
    for form in FORMS {
        let (asked, fresh) = (
            World::new(form, Lag::Endless, 0, 3, 4_000, pods()).await,
            World::new(form, Lag::Endless, 0, 3, 4_000, pods()).await,
        );
        for (name, nodes) in [("pod-0", &asked.nodes[..]), ("pod-1", &asked.nodes[..1])] {
            for verb in ["/filter", "/prioritize"] {
                asked.server.post(verb, asked.asking(name, nodes)).await.json();
            }
        }
        let question = asked.asking("pod-2", &asked.nodes);
        for verb in ["/filter", "/prioritize"] {
            let (one, other) =
                (asked.server.post(verb, question.clone()).await, fresh.server.post(verb, question.clone()).await);
            assert_eq!(one.text(), other.text(), "{form:?} {verb}");
        }
    }
}

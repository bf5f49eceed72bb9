//! One placement over many large clusters in one process: its time, and what the clusters and the placement take of memory.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::{
    client::Client,
    clusters::{ask, fill},
    fixture::Fixture,
    report::{Report, number},
    server::Server,
    times::{Times, sample},
};
/// Replicas that are placed.
const REPLICAS: i64 = 1_000;

/// Calls of each sort, unless they take longer than this together.
const CALLS: usize = 50;
const BUDGET: Duration = Duration::from_secs(30);

/// Names that no other part makes.
fn name(i: usize) -> String {
    format!("place-{i:04}")
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let (count, nodes, pods) = fixture.many();
    let client = fixture.client();
    let url = fixture.server().await?.url.clone();
    for i in 0..count {
        fill(&client, &format!("{url}/clusters/{}/import", name(i)), nodes, pods).await?;
    }
    let server = fixture.fresh_server().await?;
    let before = server.resident();
    let begun = Instant::now();
    for i in 0..count {
        ask(&client, server, &name(i)).await?;
    }
    let loaded = begun.elapsed();
    let resident = server.resident();
    server.forget_peak()?;

    let names: Vec<String> = (0..count).map(name).collect();
    let call = Call { client: &client, server, names: &names };
    let dynamic = json!({"weighted": {"dynamic": "AvailableReplicas"}});
    let divided = call.times("4", &dynamic, |reply| reply.is_placed(count.min(REPLICAS as usize))).await?;
    let aggregated = call.times("4", &json!({"aggregated": {}}), |reply| reply.is_placed(1)).await?;
    // More than a node has: every cluster is rejected, with all its nodes.
    let rejected = call.times("64", &dynamic, |reply| reply.is_rejected(count, nodes)).await?;
    let peak = server.peak();

    let what = format!("{count} clusters of {nodes} nodes and {pods} pods");
    let mut add = |figure: &str, told: String, value: Option<f64>, unit: &'static str, note: String| {
        if let Some(value) = value {
            report.add(format!("placement/{figure}"), format!("{what}: {told}"), (value, unit), note);
        }
    };
    let added = resident.zip(before).map(|(after, before)| after - before);
    add("memory", "in memory".into(), added, "MB", format!("loaded in {} s", number(loaded.as_secs_f64())));
    let more = peak.zip(resident).map(|(peak, resident)| (peak - resident).max(0.0));
    add("peak", "at most besides, while placing".into(), more, "MB", String::new());
    for (figure, told, times) in [
        ("divided", format!("{REPLICAS} replicas by room over all"), divided),
        ("aggregated", format!("{REPLICAS} replicas on as few as hold them"), aggregated),
        ("rejected", format!("{REPLICAS} replicas that fit nowhere, with all reasons"), rejected),
    ] {
        let note = format!("p50 of {} calls; p99 {} ms", times.len(), number(times.percentile(99)));
        add(figure, told, Some(times.percentile(50)), "ms", note);
    }
    fixture.end().await
}

/// The clusters that are asked about, and who asks.
struct Call<'a> {
    client: &'a Client,
    server: &'a Server,
    names: &'a [String],
}

impl Call<'_> {
    /// Times of a placement of replicas that ask for so many CPUs; each answer is checked.
    async fn times(
        &self,
        cpu: &str,
        division: &serde_json::Value,
        is_right: impl Fn(&Reply) -> bool,
    ) -> Result<Times, String> {
        let template = json!({"metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
        let body = json!({"template": template, "replicas": REPLICAS, "division": division, "clusters": {"names": self.names}});
        let (body, url) = (body.to_string(), format!("{}/placements", self.server.url));
        let (body, url, is_right) = (&body, &url, &is_right);
        sample(CALLS, BUDGET, || async move {
            let reply = self.client.post(url, body.clone()).await?;
            let read: Reply = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
            if is_right(&read) {
                Ok(reply.took)
            } else {
                let text = String::from_utf8_lossy(&reply.body);
                Err(format!("a wrong answer: {}", text.chars().take(500).collect::<String>()))
            }
        })
        .await
    }
}

#[derive(Deserialize)]
struct Reply {
    clusters: Vec<Placed>,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Placed {
    replicas: i64,
    nodes: Vec<Counted>,
}

#[derive(Deserialize)]
struct Counted {
    count: i64,
}

#[derive(Deserialize)]
struct Rejected {
    name: String,
    reasons: Vec<Reason>,
}

#[derive(Deserialize)]
struct Reason {
    nodes: Option<usize>,
}

impl Reply {
    /// `true` if all replicas have nodes, in at least so many clusters.
    fn is_placed(&self, least: usize) -> bool {
        let on_nodes = self.clusters.iter().flat_map(|of| &of.nodes).map(|of| of.count).sum::<i64>();
        let replicas = self.clusters.iter().map(|of| of.replicas).sum::<i64>();
        (replicas, on_nodes) == (REPLICAS, REPLICAS) && self.clusters.len() >= least
    }

    /// `true` if every one of the clusters is rejected for all of its nodes.
    fn is_rejected(&self, clusters: usize, nodes: usize) -> bool {
        let ours = self.rejected.iter().filter(|of| of.name.starts_with("place-"));
        let explained = ours.filter(|of| of.reasons.iter().filter_map(|reason| reason.nodes).sum::<usize>() == nodes);
        self.clusters.is_empty() && explained.count() == clusters
    }
}

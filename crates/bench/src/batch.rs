//! `/schedule`: pods that wait are decided for and bound, durably, in one call.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Method;

use super::{
    check::{self, Room, Rooms, Stored},
    client::Client,
    fixture::Fixture,
    report::{Report, number},
};
use podberth_testkit::{
    json::{self, Shape},
    large::{ZONES, node_name, node_of},
};
use podberth_wire::schedule::{ScheduleLine, ScheduleResult, ScheduleSummary, ScheduledPod};

/// Plain pods that are scheduled in one call.
const PLAIN: usize = 10_000;
/// Pods with rules that are scheduled in one call; fewer with fewer nodes.
const APART: usize = 2_000;

/// The result of one call.
pub(super) struct Scheduled {
    pub(super) took: Duration,
    pub(super) summary: ScheduleSummary,
    /// By namespace and name.
    pub(super) pods: BTreeMap<(String, String), ScheduledPod>,
}

/// One call of `/schedule`, answered in lines so that no limit on a request's time holds.
pub(super) async fn schedule(client: &Client, base: &str, request: String) -> Result<Scheduled, String> {
    let url = format!("{base}/schedule");
    let reply = client.send(Method::POST, &url, Some("application/x-ndjson"), request).await?;
    let (mut pods, mut summary) = (BTreeMap::new(), None);
    for line in reply.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: ScheduleLine = serde_json::from_slice(line).map_err(|error| format!("{url}: {error}"))?;
        if let Some(error) = line.error {
            return Err(format!("{url}: {}", error.message));
        }
        if let Some(pod) = line.pod {
            pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
        }
        summary = line.summary.or(summary);
    }
    let summary = summary.ok_or_else(|| format!("{url}: the reply has no summary"))?;
    Ok(Scheduled { took: reply.took, summary, pods })
}

impl Scheduled {
    /// All pods were bound.
    pub(super) fn all_bound(&self, count: usize) -> Result<(), String> {
        let bound = self.pods.values().filter(|pod| pod.result == ScheduleResult::Bound).count();
        if bound == count && self.summary.bound == count {
            return Ok(());
        }
        let other = self.pods.values().find(|pod| pod.result != ScheduleResult::Bound);
        let why = other.map(|pod| format!("; {}: {:?}", pod.name, pod.message)).unwrap_or_default();
        Err(format!("{bound} of {count} pods were bound{why}"))
    }

    /// Checks that each stored pod is on the node of the reply.
    pub(super) fn is_stored(&self, stored: &[Stored]) -> Result<(), String> {
        let stored: BTreeMap<_, _> = stored.iter().map(|pod| ((&*pod.namespace, &*pod.name), &*pod.node)).collect();
        let differs = |((namespace, name), pod): &(&(String, String), &ScheduledPod)| {
            stored.get(&(&**namespace, &**name)).copied() != pod.node.as_deref()
        };
        match self.pods.iter().find(differs) {
            Some((key, pod)) => {
                Err(format!("{key:?} was told to be on {:?}, and the store has it elsewhere", pod.node))
            }
            None => Ok(()),
        }
    }

    /// Pods a second.
    pub(super) fn rate(&self) -> f64 {
        self.summary.bound as f64 / self.took.as_secs_f64()
    }
}

/// Nodes of the large cluster with the amounts that its running pods leave.
fn rooms(nodes: usize, pods: usize, pods_per_node: usize) -> Rooms {
    let room = |i: usize| Room { zone: ZONES[i % ZONES.len()], cpu: 32_000, memory: 128 << 30, pods: 110 };
    let mut rooms: Vec<Room> = (0..nodes).map(room).collect();
    for i in 0..pods {
        let room = &mut rooms[node_of(i, nodes, pods_per_node)];
        room.cpu -= 200;
        room.memory -= 512 << 20;
        room.pods -= 1;
    }
    rooms.into_iter().enumerate().map(|(i, room)| (node_name(i), room)).collect()
}

pub(super) async fn plain(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let what = "/schedule: plain pods placed and bound in one call";
    measure("schedule-plain", what, &json::waiting("plain", ""), PLAIN, fixture, report).await
}

pub(super) async fn apart(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let what = "/schedule: the same of pods with hostname anti-affinity and zone spread";
    let count = APART.min(fixture.nodes() / 3);
    measure("schedule-apart", what, &json::waiting("apart", &json::apart("apart")), count, fixture, report).await
}

async fn measure(
    name: &str,
    what: &str,
    shape: &Shape,
    count: usize,
    fixture: &mut Fixture<'_>,
    report: &mut Report,
) -> Result<(), String> {
    fixture.add_waiting(shape, count).await?;
    let (client, rooms) = (fixture.client(), rooms(fixture.nodes(), fixture.pods(), fixture.pods_per_node()));
    let server = fixture.large().await?;
    let before = server.cpu();
    let request = format!(r#"{{"namespace":"batch","selector":"app={}"}}"#, shape.prefix);
    let done = schedule(&client, &server.url, request).await?;
    let cpu = server.cpu().zip(before).map(|(after, before)| after - before);

    let stored = check::stored(&client, &format!("{}/api/v1/namespaces/batch/pods", server.url)).await?;
    let bound: Vec<Stored> = stored.into_iter().filter(|pod| !pod.node.is_empty()).collect();
    done.all_bound(count)?;
    done.is_stored(&bound)?;
    if !shape.rules.is_empty() {
        let own = || bound.iter().filter(|pod| pod.labels.get("app").is_some_and(|app| app == shape.prefix));
        check::apart(own())?;
        check::spread(&rooms, own(), 1)?;
    }
    check::fits(rooms, &bound)?;
    let cpu = cpu.map(|cpu| format!(", {} s of the server's CPU", number(cpu))).unwrap_or_default();
    let note = format!("{count} pods in {} s{cpu}", number(done.took.as_secs_f64()));
    report.add(format!("{name}/rate"), what, (done.rate(), "pods/s"), note);
    Ok(())
}

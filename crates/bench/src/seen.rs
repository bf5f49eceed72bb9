//! From the acknowledgement of a change to the answer of a decision that sees it: here, and on another replica.

use std::time::{Duration, Instant};

use axum::http::Method;
use serde::Deserialize;

use super::{client::Client, fixture::Fixture, report::Report, times::Times};

/// Changes on each replica.
const CHANGES: usize = 500;

#[derive(Deserialize)]
struct Changed {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_version: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filtered {
    node_names: Vec<String>,
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    let client = fixture.client();
    let here = fixture.large().await?.url.clone();
    let what = "from a change's acknowledgement to the reply of a decision that sees it";
    let note = format!("{CHANGES} changes, with the decision's round trip over HTTP");
    let times = changes(&client, &here, &here).await?;
    for percent in [50, 99] {
        let name = format!("seen/same-replica-p{percent}");
        report.add(name, format!("{what}, same replica, p{percent}"), (times.percentile(percent), "ms"), &*note);
    }
    if !fixture.is_shared() {
        return Ok(());
    }
    let other = fixture.another_server().await?;
    let times = changes(&client, &here, &other.url).await?;
    for percent in [50, 99] {
        let name = format!("seen/other-replica-p{percent}");
        report.add(name, format!("{what}, another replica, p{percent}"), (times.percentile(percent), "ms"), &*note);
    }
    other.stop().await
}

/// A node is cordoned and let go again and again by one replica; the other one is asked about it at once.
async fn changes(client: &Client, writer: &str, reader: &str) -> Result<Times, String> {
    let node = |cordoned: bool| {
        format!(
            r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"probe"}},"spec":{{"unschedulable":{cordoned}}},"status":{{"allocatable":{{"cpu":"4","memory":"8Gi","pods":"110"}}}}}}"#
        )
    };
    let url = format!("{writer}/api/v1/nodes/probe");
    super::fixture::import(client, &format!("{writer}/import"), &[node(false)]).await?;
    let question =
        r#"{"Pod":{"metadata":{"name":"seen"},"spec":{"containers":[{"name":"main"}]}},"NodeNames":["probe"]}"#;
    let mut times: Vec<Duration> = Vec::new();
    for i in 0..CHANGES {
        let cordoned = i.is_multiple_of(2);
        let reply = client.send(Method::PUT, &url, None, node(cordoned)).await?;
        let acknowledged = Instant::now();
        let changed: Changed = serde_json::from_slice(&reply.body).map_err(|error| format!("{url}: {error}"))?;
        let ask = format!("{reader}/filter?minRevision={}", changed.metadata.resource_version);
        let reply = client.post(&ask, question).await?;
        times.push(acknowledged.elapsed());
        let filtered: Filtered = serde_json::from_slice(&reply.body).map_err(|error| format!("{ask}: {error}"))?;
        if filtered.node_names.is_empty() != cordoned {
            return Err(format!("{ask}: the decision does not see the change"));
        }
    }
    Ok(times.into_iter().collect())
}

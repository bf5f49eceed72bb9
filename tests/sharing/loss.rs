//! Owners are killed, hang, or stop: their clusters are answered for again.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, timeout};

use crate::{
    AGAIN_WITHIN, Fleet,
    database::{Engine, with_database},
    names, node, pod,
};

/// Asks a replica until each of some clusters has answered rightly, read and write; the longest time that this took.
async fn answers_again(fleet: &Fleet, replica: usize, clusters: &[String], round: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for cluster in clusters {
        let start = Instant::now();
        let nodes = fleet.at(replica, &format!("/clusters/{cluster}/api/v1/nodes"));
        let pods = fleet.at(replica, &format!("/clusters/{cluster}/api/v1/namespaces/default/pods"));
        for number in 0.. {
            let read = timeout(AGAIN_WITHIN, fleet.client.ask("GET", &nodes, &[], &Value::Null));
            let is_read = matches!(read.await, Ok(Some(reply)) if reply.code == 200
                && names(&reply.is(200)) == [&**cluster].into());
            let name = pod(&format!("{round}-{number}"));
            let write = timeout(AGAIN_WITHIN, fleet.client.ask("POST", &pods, &[], &name));
            if is_read && matches!(write.await, Ok(Some(reply)) if reply.code == 201) {
                break;
            }
            assert!(start.elapsed() < AGAIN_WITHIN * 4, "{cluster} is not answered for any more");
        }
        longest = longest.max(start.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_of_a_lost_replica_are_answered_for_within_five_seconds() {
    with_database(Engine::Postgres, async |database| {
        let mut fleet = Fleet::start(&database, 3, &[]).await;
        // Of each pair of owners, as seen by the replica that owns neither.
        let clusters: Vec<String> = (0..12).map(|number| format!("tenant-{number}")).collect();
        for cluster in &clusters {
            let url = fleet.at(0, &format!("/clusters/{cluster}/api/v1/nodes"));
            fleet.client.send("POST", &url, &node(cluster)).await.is(201);
        }
        let mut watch = {
            let cluster = fleet.cluster_of(0, false);
            fleet.client.watch(&fleet.at(0, &format!("/clusters/{cluster}/api/v1/nodes?watch=true"))).await
        };
        assert!(watch.next().await.is_some());

        fleet.replicas[2].freeze();
        let hung = answers_again(&fleet, 0, &clusters, "hung").await;
        fleet.replicas[2].thaw();
        fleet.agrees().await;
        fleet.replicas[1].kill();
        let killed = answers_again(&fleet, 0, &clusters, "killed").await;
        println!("answered again after {killed:?} (killed), {hung:?} (hung)");
        assert!(killed <= AGAIN_WITHIN, "{killed:?}");

        // The rest agree soon, and nothing is lost.
        fleet.agree(&[0, 2], 2).await;
        for cluster in &clusters {
            let pods = format!("/clusters/{cluster}/api/v1/namespaces/default/pods");
            let list = fleet.alike(&[0, 2], &pods).await;
            assert!(names(&list).len() >= 2, "those that were acknowledged: {list}");
        }
    })
    .await;
}

//! A request for a cluster is answered alike at every replica, and two replicas keep the cluster.

use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use crate::{
    Fleet,
    client::PATIENCE,
    database::{Engine, with_database},
    names, node, pod,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_replica_answers_for_every_cluster() {
    with_database(Engine::Postgres, async |database| {
        let fleet = Fleet::start(&database, 3, &[]).await;
        let (stranger, client) = (0, &fleet.client);
        let cluster = fleet.cluster_of(stranger, false);
        let owner = fleet.owners(&cluster)[0];
        let path = |rest: &str| format!("/clusters/{cluster}{rest}");
        let pods = path("/api/v1/namespaces/default/pods");

        // Writes, by the replica that does not own it.
        client.send("POST", &fleet.at(stranger, &path("/api/v1/nodes")), &node("n")).await.is(201);
        let made = client.send("POST", &fleet.at(stranger, &pods), &pod("a")).await.is(201);
        assert_eq!(made["metadata"]["name"], "a");
        let patch = json!({"metadata": {"labels": {"a": "b"}}});
        let merge = [("content-type", "application/merge-patch+json")];
        let one = fleet.at(stranger, &format!("{pods}/a"));
        let patched = client.ask("PATCH", &one, &merge, &patch).await.expect("a reply");
        assert_eq!(patched.code, 200, "{}", patched.text);
        let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"},
            "target": {"kind": "Node", "name": "n"}});
        client.send("POST", &fleet.at(stranger, &format!("{pods}/a/binding")), &binding).await.is(201);

        // The other owner hears of it.
        let all = fleet.alike(&[0, 1, 2], &pods).await;
        assert_eq!(all["items"][0]["spec"]["nodeName"], "n");

        // Reads, decisions and refusals are the owner's, word by word.
        let filter = json!({"Pod": pod("b"), "NodeNames": ["n", "other"]});
        for (method, path, body) in [
            ("GET", format!("{pods}/a"), Value::Null),
            ("GET", pods.clone(), Value::Null),
            ("GET", format!("{pods}?limit=1&fieldSelector=metadata.name%3Da"), Value::Null),
            ("POST", path("/filter"), filter),
            ("POST", path("/explain"), json!({"pod": pod("b")})),
            ("GET", format!("{pods}/none"), Value::Null),
            ("GET", format!("{pods}?labelSelector=%21%21"), Value::Null),
            ("POST", pods.clone(), pod("a")),
            ("POST", pods.clone(), json!({"kind": "Pod", "spec": 1})),
            ("DELETE", path("/api/v1/nodes/none"), Value::Null),
            ("GET", path("/no/such/path"), Value::Null),
            ("GET", path("/overview"), Value::Null),
        ] {
            let here = client.send(method, &fleet.at(stranger, &path), &body).await;
            let there = client.send(method, &fleet.at(owner, &path), &body).await;
            assert_eq!((here.code, &here.text), (there.code, &there.text), "{method} {path}");
            assert_eq!(here.headers.get("content-type"), there.headers.get("content-type"), "{method} {path}");
        }
        assert!(fleet.metric(stranger, "podberth_requests_passed_on_total").await >= 10.0);
        assert!((fleet.metric(owner, "podberth_requests_passed_on_total").await - 0.0).abs() < 0.5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_passes_through_and_ends_with_its_client() {
    with_database(Engine::Postgres, async |database| {
        let fleet = Fleet::start(&database, 3, &[]).await;
        let (stranger, client) = (0, &fleet.client);
        let cluster = fleet.cluster_of(stranger, false);
        let pods = format!("/clusters/{cluster}/api/v1/namespaces/default/pods");
        client.send("POST", &fleet.at(stranger, &pods), &pod("a")).await.is(201);
        // Only one request is on its way to the owner: what it holds is the watch's.
        let mut watch = client.watch(&fleet.at(stranger, &format!("{pods}?watch=true"))).await;
        assert_eq!(watch.next().await.expect("an event")["object"]["metadata"]["name"], "a");
        for (number, owner) in fleet.owners(&cluster).into_iter().enumerate() {
            let name = format!("b-{number}");
            client.send("POST", &fleet.at(owner, &pods), &pod(&name)).await.is(201);
            let event = watch.next().await.expect("an event");
            assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!(name)));
        }
        let watches = async || {
            let mut watches = 0.0;
            for owner in fleet.owners(&cluster) {
                watches += fleet.metric(owner, "podberth_watches").await;
            }
            watches
        };
        assert!((watches().await - 1.0).abs() < 0.5);
        drop(watch);
        let ended = async { while watches().await > 0.0 {} };
        timeout(PATIENCE, ended).await.expect("the owner's end of it ends");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_hold_forty_clusters_about_twice() {
    with_database(Engine::Postgres, async |database| {
        let mut fleet = Fleet::start(&database, 4, &[]).await;
        let stateless = fleet.add_without_clusters(&[]);
        fleet.agrees().await;
        let clusters: Vec<String> = (0..40).map(|number| format!("tenant-{number}")).collect();
        let path = |cluster: &str| format!("/clusters/{cluster}/api/v1/nodes");
        let ask_all = async |fleet: &Fleet| {
            for cluster in &clusters {
                for replica in 0..fleet.replicas.len() {
                    // Decisions are what a cluster is in memory for.
                    let url = fleet.at(replica, &format!("/clusters/{cluster}/filter"));
                    let asked = json!({"Pod": pod("p"), "NodeNames": [cluster]});
                    let fits = fleet.client.send("POST", &url, &asked).await.is(200);
                    assert_eq!(fits["NodeNames"], json!([cluster]), "{cluster} at {replica}");
                }
            }
        };
        for (number, cluster) in clusters.iter().enumerate() {
            let url = fleet.at(number % fleet.replicas.len(), &path(cluster));
            fleet.client.send("POST", &url, &node(cluster)).await.is(201);
        }
        ask_all(&fleet).await;
        let owned = |fleet: &Fleet| -> usize { clusters.iter().map(|cluster| fleet.owners(cluster).len()).sum() };
        assert_eq!(owned(&fleet), 80);
        // Besides these each keeps that of the system, and the default one if it owns it: two do.
        let all: Vec<usize> = (0..fleet.replicas.len()).collect();
        fleet.holds(&all, 80 + 2 + all.len()).await;
        fleet.holds(&[stateless], 1).await;

        // One more takes its share, and the others let go of it.
        let more = fleet.add(&[]);
        fleet.agrees().await;
        ask_all(&fleet).await;
        let all: Vec<usize> = (0..fleet.replicas.len()).collect();
        fleet.holds(&all, 80 + 2 + all.len()).await;
        let share = clusters.iter().filter(|cluster| fleet.owners(cluster).contains(&more)).count();
        assert!((8..=24).contains(&share), "16, but for chance: {share}");
    })
    .await;
}

/// Other names of two replicas are leased in the database, and own a cluster. Each passes requests for it on to the other, which does not own it either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_passed_on_once() {
    with_database(Engine::Postgres, async |database| {
        let mut fleet = Fleet::start(&database, 2, &[]).await;
        let mut sql = PgConnection::connect(&fleet.database).await.expect("it answers");
        sql.execute(
            "INSERT INTO lease (name, holder, until) SELECT replace(name, '127.0.0.1', 'localhost'), holder, until + 3600000000
             FROM lease WHERE name LIKE 'replica/%'",
        )
        .await
        .expect("they are leased");
        let aliases: Vec<_> = fleet.urls.iter().flatten().map(|url| Some(url.replace("127.0.0.1", "localhost"))).collect();
        fleet.urls.extend(aliases);
        fleet.agree(&[0, 1], 4).await;
        let mut all = (0..).map(|number| format!("tenant-{number}"));
        let cluster = all.find(|name| fleet.owners(name).iter().all(|owner| *owner >= 2)).expect("there is one");
        let nodes = format!("/clusters/{cluster}/api/v1/nodes");
        for replica in [0, 1] {
            let name = format!("n-{replica}");
            fleet.client.send("POST", &fleet.at(replica, &nodes), &node(&name)).await.is(201);
            assert!((fleet.metric(replica, "podberth_requests_passed_on_total").await - 1.0).abs() < 0.5);
        }
        assert_eq!(names(&fleet.client.get(&fleet.at(0, &nodes)).await.is(200)), ["n-0", "n-1"].into());
    })
    .await;
}

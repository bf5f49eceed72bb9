//! Events expire: they tell what has happened lately.

use std::time::Duration;

use podberth::{live::upkeep::Job, service::lifecycle::events::ExpireEvents, store::Atomicity};
use serde_json::json;

use crate::{
    items,
    server::{Server, Setup, memory, seed},
    text,
};

#[tokio::test]
async fn events_expire_and_leases_stay() {
    let event = |name: &str, at: &str| {
        (
            "events",
            json!({"metadata": {"name": name, "namespace": "default", "creationTimestamp": "2020-01-01T00:00:00Z"}, "lastTimestamp": at}),
        )
    };
    let lease = json!({"metadata": {"name": "kube-scheduler", "namespace": "kube-system", "creationTimestamp": "2020-01-01T00:00:00Z"},
        "spec": {"holderIdentity": "gone", "renewTime": "2020-01-01T00:00:00.000000Z"}});
    let store = memory(&[]).await;
    // More than the job reads at a time; one in ten happened again just now.
    let server = Server::start(store.clone(), Setup::default());
    let clock = server.state.clusters.now().await.expect("the clock of the database").to_string();
    let at = |i: usize| if i.is_multiple_of(10) { clock.as_str() } else { "2020-01-01T00:00:00Z" };
    let events: Vec<_> = (0..1200).map(|i| event(&format!("e{i:04}"), at(i))).collect();
    seed(&store, &events, Atomicity::AllOrNothing).await;
    seed(&store, &[("leases.coordination.k8s.io", lease)], Atomicity::AllOrNothing).await;

    let job = |keep| ExpireEvents { every: Duration::from_mins(1), keep, clusters: server.state.clusters.clone() };
    job(Duration::ZERO).run(&*store).await.expect("the job runs");
    let path = "/api/v1/events?consistent=true";
    assert_eq!(items(&server, path).await.len(), 1200, "zero keeps events for ever");
    job(Duration::from_hours(1)).run(&*store).await.expect("the job runs");
    let left = items(&server, path).await;
    assert_eq!(left.len(), 120);
    assert!(left.iter().all(|event| text(event, "/metadata/name").ends_with('0')), "{left:?}");
    let lease = server
        .get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler?consistent=true")
        .await
        .json();
    assert_eq!(
        text(&lease, "/spec/holderIdentity"),
        "gone",
        "its holder's time is over, which is for the next holder to see"
    );
}

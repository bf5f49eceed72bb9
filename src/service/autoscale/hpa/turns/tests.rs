//! Turns of the loop over a database whose time the test passes.

use podberth_testkit::memory::{Memory, Numbering};

use super::*;
use crate::{
    extenders::Extenders,
    live::Clusters,
    service::{
        Freshness,
        autoscale::metrics::{Sort, keep},
    },
    store::Schema,
    wire::{autoscale::hpa::ExternalMetricValue, fault::Faults, kinds, objects::quantity::QuantityText},
};

const CLUSTER: &str = "default";

fn process(store: &Memory) -> Service {
    let clusters = Clusters::new(Arc::new(store.handle()), Duration::from_hours(1));
    Service::new(clusters, Freshness::default(), Extenders::default())
}

async fn database() -> Memory {
    let store = Memory::new(Numbering::Counter);
    store.migrate().await.expect("it migrates");
    store
}

fn target(group: &str, plural: &str, name: &str) -> Target {
    let kind = kinds::by_plural(group, plural).expect("a kind");
    Target { cluster: CLUSTER.into(), kind, namespace: Some("shop".into()), name: name.into() }
}

async fn create(service: &Service, target: &Target, object: Value) {
    let intent = Intent::Create(Bytes::from(object.to_string()));
    objects::write(service, target, intent, &WriteOptions::default()).await.expect("it is stored");
}

/// A workload with three replicas, and an autoscaler that wants one for each 30 things in a queue.
async fn shop(service: &Service) {
    let labels = json!({"app": "web"});
    let workload = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "web:1"}]}}}, "status": {"replicas": 3}});
    create(service, &target("apps", "deployments", ""), workload).await;
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "minReplicas": 1, "maxReplicas": 9,
            "metrics": [{"type": "External", "external": {"metric": {"name": "depth", "selector": {}},
                "target": {"type": "AverageValue", "averageValue": "30"}}}]}});
    create(service, &target("autoscaling", "horizontalpodautoscalers", ""), hpa).await;
}

async fn depth(service: &Service, value: &str) {
    let value = QuantityText(value.into());
    let values = [ExternalMetricValue { metric_name: "depth".into(), value, ..ExternalMetricValue::default() }];
    keep(service, &CLUSTER.into(), Sort::External, "shop", &values, Faults::default()).await.expect("it is kept");
}

async fn object(service: &Service, target: &Target) -> Value {
    let record = objects::read(service, target, None).await.expect("it is stored");
    serde_json::from_slice(&record.body).expect("JSON")
}

async fn replicas(service: &Service) -> Value {
    object(service, &target("apps", "deployments", "web")).await["spec"]["replicas"].clone()
}

fn condition<'v>(hpa: &'v Value, kind: &str) -> &'v Value {
    let conditions = hpa["status"]["conditions"].as_array().expect("conditions");
    conditions.iter().find(|condition| condition["type"] == kind).map_or(&Value::Null, |condition| &condition["reason"])
}

fn settings() -> Settings {
    Settings { interval: Duration::from_secs(15), options: Options::default(), prometheus: None }
}

fn turns(service: &Service) -> Turns {
    Turns::new(service, &CLUSTER.into(), settings())
}

#[tokio::test]
async fn a_target_follows_its_metric_and_the_status_tells_of_it() {
    let store = database().await;
    let service = process(&store);
    shop(&service).await;
    depth(&service, "150").await;
    let mut loops = turns(&service);
    assert_eq!(loops.turn().await.expect("a turn"), 1);
    assert_eq!(replicas(&service).await, 5);
    let hpa = object(&service, &target("autoscaling", "horizontalpodautoscalers", "web")).await;
    let status = &hpa["status"];
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(3), &json!(5)), "{status}");
    assert_eq!(status["currentMetrics"][0]["external"]["current"]["averageValue"], "50", "{status}");
    assert_eq!(condition(&hpa, "AbleToScale"), "SucceededRescale");
    assert!(status["lastScaleTime"].is_string());

    // Without values for longer than they count, nothing changes, and the status tells why.
    store.pass(Duration::from_mins(4));
    assert_eq!(loops.turn().await.expect("a turn"), 0);
    assert_eq!(replicas(&service).await, 5);
    let hpa = object(&service, &target("autoscaling", "horizontalpodautoscalers", "web")).await;
    assert_eq!(condition(&hpa, "ScalingActive"), "FailedGetExternalMetric");
}

#[tokio::test]
async fn the_memory_outlives_the_process() {
    let store = database().await;
    let service = process(&store);
    shop(&service).await;
    depth(&service, "150").await;
    assert_eq!(turns(&service).turn().await.expect("a turn"), 1);

    store.pass(Duration::from_mins(2));
    let next = process(&store);
    let mut loops = turns(&next);
    depth(&next, "30").await;
    assert_eq!(loops.turn().await.expect("a turn"), 0, "five were wanted two minutes ago");
    assert_eq!(replicas(&next).await, 5);

    store.pass(Duration::from_mins(4));
    depth(&next, "30").await;
    assert_eq!(loops.turn().await.expect("a turn"), 1, "and are not any more");
    assert_eq!(replicas(&next).await, 1);
}

#[tokio::test]
async fn a_target_that_is_gone_is_told_of_and_keeps_no_other_from_its_turn() {
    let store = database().await;
    let service = process(&store);
    let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "lost", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "lost"}, "maxReplicas": 9}});
    create(&service, &target("autoscaling", "horizontalpodautoscalers", ""), hpa).await;
    shop(&service).await;
    depth(&service, "150").await;
    assert_eq!(turns(&service).turn().await.expect("a turn"), 1);
    let hpa = object(&service, &target("autoscaling", "horizontalpodautoscalers", "lost")).await;
    assert_eq!(condition(&hpa, "AbleToScale"), "FailedGetScale");
    assert_eq!(replicas(&service).await, 5);
}

#[tokio::test]
async fn a_status_that_stays_is_not_written_again() {
    let store = database().await;
    let service = process(&store);
    shop(&service).await;
    depth(&service, "90").await;
    let mut loops = turns(&service);
    assert_eq!(loops.turn().await.expect("a turn"), 0);
    let head = service.store.head(CLUSTER).await.expect("a head").revision;
    store.pass(Duration::from_secs(15));
    assert_eq!(loops.turn().await.expect("a turn"), 0);
    assert_eq!(service.store.head(CLUSTER).await.expect("a head").revision, head);
}

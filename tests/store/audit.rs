//! Audit events in the ledger: recorded in batches, found by what they are about, and pruned.

use std::time::Duration;

use jiff::Timestamp;
use podberth::{
    extenders::Extenders,
    live::{Clusters, upkeep::Job},
    service::{
        Freshness, Service,
        audit::{self, Asked, KIND, Prune, Recorder, Retention, Sinks},
    },
    store::{Entry, EntryId, ledger::NO_CLUSTER},
};
use serde_json::json;

use crate::database::Database;

/// An event of a second: a user of three creates a pod in a namespace of two.
fn event(second: i64) -> Entry {
    let at = Timestamp::from_second(1_800_000_000 + second).expect("a time of this century");
    let body = json!({"verb": if second % 2 == 0 { "create" } else { "delete" }, "auditID": second.to_string(), "objectRef":
        {"resource": "pods", "subresource": "binding", "namespace": format!("ns-{}", second % 2), "name": format!("pod-{second}")}});
    Entry {
        cluster: NO_CLUSTER.into(),
        kind: KIND.into(),
        id: EntryId::new(at, second.unsigned_abs()),
        subject: format!("user-{}", second % 3),
        object: if second < 20 { "default" } else { "prod" }.into(),
        body: body.to_string().into(),
    }
}

pub(crate) async fn events_are_recorded_found_and_pruned(database: Database) {
    let store = database.store().await;
    let recorder = Recorder::start(Sinks { ledger: Some(store.clone()), file: None }, podberth::service::audit::AUDIT);
    for second in 0..29 {
        recorder.note(event(second), false);
    }
    // What is recorded is there, with all that came before.
    let place = recorder.reserve().await.expect("there is room");
    recorder.record(place, event(29)).await;
    let service =
        Service::new(Clusters::new(store.clone(), Duration::from_hours(1)), Freshness::default(), Extenders::default());
    let numbers = async |asked: Asked| {
        let (mut asked, mut numbers) = (asked, Vec::new());
        loop {
            let page = audit::list(&service, &asked).await.expect("a page");
            for item in &page.items {
                let event: serde_json::Value = serde_json::from_str(item.get()).expect("JSON");
                numbers.push(event["auditID"].as_str().and_then(|id| id.parse::<i64>().ok()).expect("a number"));
            }
            asked.after = page.next;
            if asked.after.is_none() {
                return numbers;
            }
        }
    };
    let some = |text: &str| Some(text.to_owned());
    let all: Vec<i64> = (0..30).rev().collect();
    let of = |is: fn(&i64) -> bool| all.iter().copied().filter(is).collect::<Vec<_>>();
    for limit in [1, 7, 500] {
        let page = Asked { limit: Some(limit), ..Asked::default() };
        assert_eq!(numbers(page.clone()).await, all, "{limit}");
        assert_eq!(numbers(Asked { user: some("user-1"), ..page.clone() }).await, of(|n| n % 3 == 1));
        assert_eq!(numbers(Asked { cluster: some("prod"), ..page.clone() }).await, of(|n| *n >= 20));
        assert_eq!(numbers(Asked { verb: some("create"), ..page.clone() }).await, of(|n| n % 2 == 0));
        assert_eq!(numbers(Asked { namespace: some("ns-1"), ..page.clone() }).await, of(|n| n % 2 == 1));
        assert_eq!(numbers(Asked { name: some("pod-7"), ..page.clone() }).await, [7]);
        assert_eq!(numbers(Asked { resource: some("pods"), ..page.clone() }).await, all);
        assert_eq!(numbers(Asked { resource: some("pods/binding"), ..page.clone() }).await, all);
        assert_eq!(numbers(Asked { resource: some("nodes"), ..page.clone() }).await, [0; 0]);
        assert_eq!(numbers(Asked { since: Some(event(28).id.at()), ..page }).await, [29, 28]);
    }
    let keep = Retention { age: Duration::from_hours(1_000_000), events: 10 };
    Prune { every: Duration::ZERO, keep }.run(&*store).await.expect("they are pruned");
    assert_eq!(numbers(Asked::default()).await, all[..10]);
    // Events outlive the clusters that they are about.
    store.remove("prod").await.expect("it is removed");
    assert_eq!(numbers(Asked::default()).await, all[..10]);
}

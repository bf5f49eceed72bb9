//! Operations called without HTTP, as the command line and a loop call them.

use std::sync::Arc;

use bytes::Bytes;
use podberth::{
    core::snapshot::Kind,
    live::DEFAULT_CLUSTER,
    service::{
        bind::bind_stored,
        context::{self, Fresh},
        error::Error,
        filter,
        import::{self, import},
        objects::{self, Deletion, Intent, Options, Part, Preconditions, Target, Written, delete, write},
    },
    wire::kinds,
};
use serde_json::{Value, json};

use crate::server::Server;

fn target(kind: Kind, name: &str) -> Target {
    let kind = kinds::by_core(kind).expect("a stored kind");
    let namespace = kind.namespaced.then(|| "default".into());
    Target { cluster: Arc::from(DEFAULT_CLUSTER), kind, namespace, name: name.into() }
}

fn json_of(value: &Value) -> Bytes {
    value.to_string().into()
}

fn pod(metadata: &Value) -> Value {
    json!({"metadata": metadata, "spec": {"containers": [{"name": "main"}]}})
}

fn replace(body: Bytes) -> Intent {
    Intent::Replace { body, part: Part::Main }
}

fn body(written: &Written) -> Value {
    serde_json::from_slice(&written.body).expect("JSON")
}

pub(crate) async fn every_write_of_an_object_goes_through_one_function(server: Server) {
    let service = &server.state;
    let (collection, real) = (target(Kind::Pod, ""), Options::default());
    let dry = Options { dry_run: true, ..Options::default() };
    let nameless = json_of(&pod(&json!({"generateName": "web-"})));

    let tried = write(service, &collection, Intent::Create(nameless.clone()), &dry).await.expect("a valid pod");
    assert_eq!(tried.revision, None, "a dry run stores nothing");
    assert!(matches!(objects::read(service, &tried.target, None).await, Err(Error::NotFound(_))));

    let created = write(service, &collection, Intent::Create(nameless), &real).await.expect("a valid pod");
    let pods = created.target.clone();
    assert!(pods.name.starts_with("web-") && created.revision == Some(1), "{created:?}");
    let again = json_of(&pod(&json!({"name": pods.name})));
    let again = write(service, &collection, Intent::Create(again), &real).await;
    assert!(matches!(again, Err(Error::AlreadyExists(_))), "{again:?}");

    let ready = json_of(&json!({"spec": {}, "status": {"phase": "Running"}}));
    let status = Intent::Replace { body: ready, part: Part::Status };
    let updated = write(service, &pods, status, &real).await.expect("only the status is read");
    assert_eq!(body(&updated)["status"]["phase"], "Running");
    assert_eq!(body(&updated)["spec"]["containers"][0]["name"], "main");
    assert_eq!(updated.uid, created.uid);

    let stale = json_of(&pod(&json!({"resourceVersion": "1"})));
    let stale = write(service, &pods, replace(stale), &real).await;
    assert!(matches!(stale, Err(Error::Conflict { .. })), "{stale:?}");

    let of_another = Preconditions { uid: Some("another".into()), ..Preconditions::default() };
    let of_another = Options { preconditions: of_another, ..Options::default() };
    let refused = write(service, &pods, replace(json_of(&pod(&json!({})))), &of_another).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    let deletion = Deletion { preconditions: of_another.preconditions, ..Deletion::default() };
    let refused = delete(service, &pods, &deletion).await;
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    let deleted = delete(service, &pods, &Deletion::default()).await.expect("it is there");
    assert_eq!((deleted.is_gone, deleted.uid), (true, created.uid));
    assert!(matches!(delete(service, &pods, &Deletion::default()).await, Err(Error::NotFound(_))));
    let absent = write(service, &pods, replace(json_of(&pod(&json!({})))), &real).await;
    assert!(matches!(absent, Err(Error::NotFound(_))));
}

pub(crate) async fn imports_binds_and_filters_need_no_http(server: Server) {
    let (service, cluster) = (&server.state, Arc::<str>::from(DEFAULT_CLUSTER));
    let node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n1"},
        "status": {"allocatable": {"cpu": "1", "pods": "1"}}});
    let mut web = pod(&json!({"name": "web", "namespace": "default"}));
    (web["kind"], web["apiVersion"]) = ("Pod".into(), "v1".into());
    let list = json_of(&json!({"kind": "List", "apiVersion": "v1", "items": [node, web]}));
    let report = import(service, &cluster, list.clone(), import::Options::default()).await.expect("valid objects");
    assert_eq!((report.created, report.unchanged), (2, 0));

    let fits = || async {
        let question = json_of(&json!({"Pod": pod(&json!({"name": "next"})), "NodeNames": ["n1"]}));
        let context = context::take(service, &cluster, Fresh::default()).await.expect("the default cluster");
        let answer = filter::filter(&question, None, &context);
        assert_eq!(answer.form, "names");
        let reply = answer.body.expect("a valid question").finish().concat();
        serde_json::from_slice::<Value>(&reply).expect("JSON")["NodeNames"] == json!(["n1"])
    };
    assert!(fits().await);
    let web = target(Kind::Pod, "web");
    bind_stored(service, &web, "", "n1", None, true).await.expect("it fits");
    assert!(fits().await, "a dry run binds nothing");
    bind_stored(service, &web, "", "n1", None, false).await.expect("it fits");
    assert!(!fits().await, "the node takes one pod");
}

//! The rights of senders, who are known by certificates and tokens as at the address for clients.

use std::{collections::HashMap, sync::Arc};

use podberth::{
    api::serve::Secure,
    net::{Files, MinVersion, Shown, Tls, client_config},
    service::access::authenticate::Authenticator,
    wire::{access::token, protobuf::Encoder},
};
use podberth_testkit::certificates::{Authority, Identity};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    client::{Client, REPLICAS, Running, UNSCHEDULABLE, framed, node, replicas, request, template},
    server::Setup,
};

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

/// A server that asks everybody for a certificate or a token, with a node in the cluster eu-1.
async fn closed(authority: &Authority) -> Running {
    let server = authority.server();
    let files = Files {
        certificate: server.certificate.into(),
        key: server.key.into(),
        client_authorities: Some(authority.pem.clone().into()),
        revoked: None,
    };
    let tls = Tls::new(files, MinVersion::default()).expect("certificates");
    let fixed = HashMap::from([(token::digest(ROOT), Arc::new(Authenticator::first_user()))]);
    let setup = Setup { authenticator: Some(Authenticator::new(fixed)), ..Setup::default() };
    let running = Running::of(setup, Some(Secure::new(tls))).await;
    put(&running, "/clusters/eu-1/api/v1/nodes", &node("a", "4")).await;
    running
}

async fn put(running: &Running, path: &str, object: &Value) {
    let root = format!("Bearer {ROOT}");
    let request =
        axum::http::Request::post(path).header("authorization", root).header("content-type", "application/json");
    running.server.send(request.body(object.to_string().into()).expect("a request")).await.is(201);
}

async fn connect(running: &Running, authority: &Authority, identity: Option<&Identity>) -> Client {
    let shown = identity.map(|of| Shown { certificate: of.certificate.as_bytes(), key: of.key.as_bytes() });
    let mut config = client_config(Some(authority.pem.as_bytes()), shown).expect("certificates");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(running.address).await.expect("it listens");
    let name = ServerName::try_from("localhost").expect("a name");
    Client::over(TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_is_known_by_its_certificate_and_asks_by_its_rights() {
    let authority = Authority::new("karmada");
    let running = closed(&authority).await;
    let scheduler = authority.client("karmada-scheduler", "");
    let client = connect(&running, &authority, Some(&scheduler)).await;
    let ask = async |client: &Client| client.call(REPLICAS, replicas("eu-1", &template("1"))).await;
    let refused = ask(&client).await;
    assert_eq!(refused.code(), 7);
    assert!(refused.message().contains("\"karmada-scheduler\" cannot create resource \"simulations\""), "{refused:?}");

    // The role that the guide shows.
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "karmada"}, "rules": [
        {"apiGroups": ["podberth.io"], "resources": ["simulations"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "karmada"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "karmada"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "karmada-scheduler"}]});
    let path = |plural: &str| format!("/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1/{plural}");
    put(&running, &path("clusterroles"), &role).await;
    put(&running, &path("clusterrolebindings"), &binding).await;
    assert_eq!(ask(&client).await.number(), 4);
    let resource = Encoder::default().text(1, "apps/v1").text(2, "Deployment").text(3, "shop").text(4, "web");
    let about = Encoder::default().text(1, "eu-1").message(2, &resource);
    assert_eq!(client.call(UNSCHEDULABLE, about).await.code(), 5, "it may know that there is none");
    let resource = Encoder::default().text(1, "apps/v1").text(2, "StatefulSet").text(3, "shop").text(4, "web");
    let about = Encoder::default().text(1, "eu-1").message(2, &resource);
    assert_eq!(client.call(UNSCHEDULABLE, about).await.code(), 7);

    // Others are not let in.
    let nobody = connect(&running, &authority, None).await;
    assert_eq!(ask(&nobody).await.code(), 7, "an anonymous user has no rights");
    let message = framed(&replicas("eu-1", &template("1")).into_bytes());
    let wrong = nobody.send(request(REPLICAS, &[("authorization", "Bearer wrong")], &message)).await;
    assert_eq!((wrong.code(), wrong.message()), (16, "Unauthorized"));
    let root = format!("Bearer {ROOT}");
    assert_eq!(nobody.send(request(REPLICAS, &[("authorization", &root)], &message)).await.number(), 4);
}

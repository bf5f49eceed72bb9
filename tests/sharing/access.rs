//! The sender of a request that is passed on: known where it comes, judged by the owner, and not to be made up.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    Fleet,
    database::{Engine, with_database},
    node,
};

const HEADER: &str = "podberth-passed-on";

/// Replicas that ask for names, and the file of tokens.
async fn closed(database: &crate::database::Database) -> (Fleet, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens");
    fs::write(
        &tokens,
        "root-of-all-these-tests-0123456789,root,,\"system:masters\"\nviewer-of-these-tests-0123456789,ann,7,\"qa\"\n",
    )
    .expect("the file is written");
    let argument = format!("--token-auth-file={}", tokens.display());
    let fleet = Fleet::start_for(database, 3, &["--auth=required", &argument], ROOT).await;
    (fleet, folder)
}

const ROOT: (&str, &str) = ("authorization", "Bearer root-of-all-these-tests-0123456789");
const ANN: (&str, &str) = ("authorization", "Bearer viewer-of-these-tests-0123456789");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_judges_the_sender_whom_the_first_replica_knows() {
    with_database(Engine::Postgres, async |database| {
        let (fleet, _folder) = closed(&database).await;
        let (stranger, client) = (0, &fleet.client);
        let cluster = fleet.cluster_of(stranger, false);
        let owner = fleet.owners(&cluster)[0];
        let path = |rest: &str| format!("/clusters/{cluster}{rest}");
        let ask = async |at: usize, headers: &[(&str, &str)], method: &str, rest: &str, body: &Value| {
            client.ask(method, &fleet.at(at, &path(rest)), headers, body).await.expect("a reply")
        };
        ask(stranger, &[ROOT], "POST", "/api/v1/nodes", &node("n")).await.is(201);
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "ann"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "qa"}]});
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        ask(stranger, &[ROOT], "POST", bindings, &binding).await.is(201);

        for (headers, code) in [(&[ROOT][..], 201), (&[ANN], 403), (&[("authorization", "Bearer nobody")], 401), (&[], 403)] {
            let body = node(&format!("n-{code}"));
            let here = ask(stranger, headers, "POST", "/api/v1/nodes", &body).await;
            assert_eq!(here.code, code, "{}", here.text);
            if code != 201 {
                let there = ask(owner, headers, "POST", "/api/v1/nodes", &body).await;
                assert_eq!((there.code, there.text), (here.code, here.text));
            }
        }
        ask(stranger, &[ANN], "GET", "/api/v1/namespaces/default/pods", &Value::Null).await.is(200);

        // The whole name of the sender arrives, also of one who acts as another.
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
        let told = ask(stranger, &[ANN], "POST", reviews, &review).await.is(201);
        assert_eq!(told["status"]["userInfo"]["username"], "ann");
        assert_eq!(told["status"]["userInfo"]["uid"], "7");
        assert!(told["status"]["userInfo"]["groups"].as_array().is_some_and(|groups| groups.contains(&"qa".into())));
        let acting = [ROOT, ("impersonate-user", "bob")];
        let told = ask(stranger, &acting, "POST", reviews, &review).await.is(201);
        assert_eq!(told["status"]["userInfo"]["username"], "bob");
        let acting = [ANN, ("impersonate-user", "bob")];
        assert_eq!(ask(stranger, &acting, "POST", reviews, &review).await.code, 403);
        assert!(fleet.metric(stranger, "podberth_requests_passed_on_total").await >= 8.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_sender_is_refused() {
    with_database(Engine::Postgres, async |database| {
        let (fleet, _folder) = closed(&database).await;
        let cluster = fleet.cluster_of(0, false);
        let nodes = format!("/clusters/{cluster}/api/v1/nodes");
        // {"name":"root","uid":"","groups":["system:masters"],"extra":{},"peer":null}
        let root =
            "eyJuYW1lIjoicm9vdCIsInVpZCI6IiIsImdyb3VwcyI6WyJzeXN0ZW06bWFzdGVycyJdLCJleHRyYSI6e30sInBlZXIiOm51bGx9";
        for replica in 0..3 {
            for headers in [&[(HEADER, root)][..], &[ANN, (HEADER, root)], &[ROOT, (HEADER, "")]] {
                let url = fleet.at(replica, &nodes);
                let reply = fleet.client.ask("GET", &url, headers, &Value::Null).await.expect("a reply");
                assert_eq!(reply.code, 403, "{}", reply.text);
                assert!(reply.text.contains(HEADER) && reply.text.contains("--replica-listen"), "{}", reply.text);
            }
        }

        // At the address for replicas: without TLS, without a certificate, and with one of somebody else.
        let url = fleet.urls[1].clone().expect("it owns clusters");
        let plain = fleet.client.ask("GET", &url.replace("https", "http"), &[(HEADER, root)], &Value::Null).await;
        assert!(plain.is_none_or(|reply| reply.code == 400), "it speaks TLS");
        for (shows_certificate, expected) in [(false, None), (true, Some(403))] {
            let code = over_tls(&url, &nodes, shows_certificate, root).await;
            assert_eq!(code, expected, "certificate: {shows_certificate}");
        }
    })
    .await;
}

/// The code of the reply to a client of one's own making; `None` if there is none.
async fn over_tls(url: &str, path: &str, shows_certificate: bool, sender: &str) -> Option<u16> {
    let identity = podberth::net::Identity::new().expect("a certificate");
    let mut config = identity.client(|_| true).expect("TLS");
    if !shows_certificate {
        config.client_auth_cert_resolver = std::sync::Arc::new(Nothing);
    }
    config.alpn_protocols = vec![b"h2".to_vec()];
    let address = url.trim_start_matches("https://");
    let stream = TcpStream::connect(address).await.expect("it listens");
    let name = rustls::pki_types::ServerName::try_from("replica").expect("a name");
    let stream = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await.ok()?;
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut send, connection) = hyper::client::conn::http2::handshake(executor, io).await.ok()?;
    tokio::spawn(connection);
    let request = axum::http::Request::get(format!("{url}{path}"))
        .header(HEADER, sender)
        .body(axum::body::Body::empty())
        .expect("a request");
    send.send_request(request).await.ok().map(|reply| reply.status().as_u16())
}

/// Shows no certificate.
#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

//! Connections to API servers by kubeconfig files.

use std::{collections::HashMap, fs, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use podberth::{
    api::serve::Secure,
    net::{Files, MinVersion, Tls},
    service::{
        access::authenticate::Authenticator,
        source::{ApiRequest, Connector},
    },
    sync::client::{KubeConnector, Limits},
    wire::source::ClusterSource,
};
use podberth_testkit::certificates::{Authority, Wanted};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    api_server::{ApiServer, NODES, PODS},
    itself::serve_router,
    node, pod,
    server::{Server, Setup},
    source_of,
};

fn get(path: &str) -> ApiRequest {
    ApiRequest { method: "GET", path: path.into(), ..ApiRequest::default() }
}

#[tokio::test]
async fn requests_reach_the_api_server_and_every_reply_is_one() {
    let api = ApiServer::start().await;
    api.put(NODES, node("n1"));
    let kubeconfig = api.kubeconfig();
    let server = KubeConnector::new(false).connect(&source_of(&kubeconfig, &[])).await.expect("it connects");
    let found = server.send(get("/api/v1/nodes/n1")).await.expect("a reply");
    let body: Value = serde_json::from_slice(&found.body).expect("JSON");
    assert_eq!((found.code, &body["metadata"]["name"]), (200, &json!("n1")));
    assert_eq!(server.send(get("/api/v1/nodes/n2")).await.expect("a reply").code, 404);
    api.answer("POST", |objects, path, body| {
        let name = path.strip_prefix("/api/v1/namespaces/shop/pods/")?.strip_suffix("/binding")?;
        let mut pod = objects.get(PODS, "shop", name)?;
        pod["spec"]["nodeName"] = body["target"]["name"].clone();
        objects.put(PODS, pod);
        Some((201, json!({"kind": "Status", "status": "Success"})))
    });
    api.put(PODS, pod("web", ""));
    let bind = ApiRequest {
        method: "POST",
        path: "/api/v1/namespaces/shop/pods/web/binding".into(),
        content_type: "application/json",
        body: json!({"target": {"name": "n1"}}).to_string().into(),
    };
    assert_eq!(server.send(bind).await.expect("a reply").code, 201);
    assert_eq!(api.with(|objects| objects.get(PODS, "shop", "web")).expect("it is there")["spec"]["nodeName"], "n1");
    let refused = server.send(get("no path")).await.expect_err("it is none");
    assert!(refused.contains("is no request"), "{refused}");
    drop(api);
    let gone = server.send(get("/api/v1/nodes/n1")).await;
    assert!(gone.is_err() || gone.is_ok_and(|reply| reply.code == 200), "a connection may have been open still");
}

#[tokio::test]
async fn bad_kubeconfigs_are_told_in_one_line_without_what_is_in_them() {
    let folder = TempDir::new().expect("a folder");
    let config = |server: &str, user: Value| {
        json!({
            "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {"server": server}}],
            "users": [{"name": "it", "user": user}],
        })
        .to_string()
    };
    let cases = [
        ("root:x:hidden: {", "it is no kubeconfig"),
        ("{}", "no current-context"),
        (&config("127.0.0.1:80", json!({})), "must be a URL that begins with https:// or http://"),
        (&config("ftp://hidden", json!({})), "must be a URL that begins with https:// or http://"),
        (&config("http://a", json!({"exec": {"command": "hidden", "apiVersion": "v1"}})), "--allow-exec-credentials"),
        (&config("http://a", json!({"auth-provider": {"name": "gcp"}})), "--allow-exec-credentials"),
        (&config("http://a", json!({"tokenFile": "/no/hidden"})), "tokenFile cannot be read"),
        (&config("http://a", json!({"token": "a\nb"})), "the user's token has characters"),
        (&config("https://a", json!({"client-certificate-data": "hidden!", "client-key-data": "hidden!"})), "client-"),
    ];
    for (at, (text, told)) in cases.iter().enumerate() {
        let file = folder.path().join(at.to_string());
        fs::write(&file, text).expect("it is written");
        let source =
            ClusterSource { kubeconfig_file: Some(file.to_string_lossy().into_owned()), ..ClusterSource::default() };
        let error = KubeConnector::new(false).connect(&source).await.expect_err(told);
        assert!(error.contains(told) && !error.contains("hidden") && !error.contains('\n'), "{error}");
    }
    let connect = |file: &str| {
        let source = ClusterSource { kubeconfig_file: Some(file.into()), ..ClusterSource::default() };
        async move { KubeConnector::new(false).connect(&source).await.expect_err("it is none") }
    };
    assert!(connect("/no/such").await.contains("No such file"));
    assert!(connect("/dev/zero").await.contains("is no file of at most"));
    let of_nothing = KubeConnector::new(false).connect(&ClusterSource::default()).await.expect_err("it is none");
    assert!(of_nothing.contains("set kubeconfigFile, or inCluster"), "{of_nothing}");
}

#[tokio::test]
async fn a_program_gives_the_token_where_that_is_allowed() {
    let api = ApiServer::start().await;
    let folder = TempDir::new().expect("a folder");
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "secret-token"}});
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [credential.to_string()], "interactiveMode": "Never"});
    let config = json!({
        "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": format!("http://{}", api.address)}}],
        "users": [{"name": "it", "user": {"exec": exec}}],
    });
    let file = folder.path().join("config");
    fs::write(&file, config.to_string()).expect("it is written");
    let source =
        ClusterSource { kubeconfig_file: Some(file.to_string_lossy().into_owned()), ..ClusterSource::default() };
    let server = KubeConnector::new(true).connect(&source).await.expect("it connects");
    assert_eq!(server.send(get(NODES)).await.expect("a reply").code, 200);
}

#[tokio::test]
async fn a_changed_kubeconfig_is_used_and_a_broken_one_is_not() {
    let (first, second) = (ApiServer::start().await, ApiServer::start().await);
    first.put(NODES, node("of-first"));
    second.put(NODES, node("of-second"));
    let (kubeconfig, other) = (first.kubeconfig(), second.kubeconfig());
    let limits = Limits { files_checked: Duration::ZERO, ..Limits::default() };
    let connector = KubeConnector::new(false).with_limits(limits);
    let server = connector.connect(&source_of(&kubeconfig, &[])).await.expect("it connects");
    let code = async |path: &str| server.send(get(path)).await.expect("a reply").code;
    assert_eq!((code("/api/v1/nodes/of-first").await, code("/api/v1/nodes/of-second").await), (200, 404));
    fs::write(kubeconfig.path(), "half a").expect("it is written");
    assert_eq!(code("/api/v1/nodes/of-first").await, 200, "the one before stays");
    fs::copy(other.path(), kubeconfig.path()).expect("it is written");
    assert_eq!((code("/api/v1/nodes/of-first").await, code("/api/v1/nodes/of-second").await), (404, 200));
}

#[tokio::test]
async fn servers_over_tls_are_verified_and_shown_a_certificate() {
    let (authority, other) = (Authority::new("servers"), Authority::new("others"));
    let identity = authority.issue(Wanted { name: "mirror", group: "system:masters", ..Wanted::default() });
    let of_server = authority.server();
    let files = Files {
        certificate: of_server.certificate.into(),
        key: of_server.key.into(),
        client_authorities: Some(authority.pem.clone().into()),
        revoked: None,
    };
    let tls = Tls::new(files, MinVersion::Tls12).expect("certificates");
    let setup = Setup { authenticator: Some(Authenticator::new(HashMap::new())), ..Setup::default() };
    let served = Server::start(crate::server::memory(&[]).await, setup);
    let (address, serving) = serve_router(served.router.clone(), Some(Secure::new(tls))).await;
    let folder = TempDir::new().expect("a folder");
    let connect = async |authority: &Authority, user: Value| {
        let config = json!({
            "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": {
                "server": format!("https://{address}"), "certificate-authority-data": STANDARD.encode(&authority.pem),
            }}],
            "users": [{"name": "it", "user": user}],
        });
        let file = folder.path().join("config");
        fs::write(&file, config.to_string()).expect("it is written");
        let file = Some(file.to_string_lossy().into_owned());
        let source = ClusterSource { kubeconfig_file: file, ..ClusterSource::default() };
        let server = KubeConnector::new(false).connect(&source).await.expect("it connects");
        server.send(get(NODES)).await.map(|reply| reply.code)
    };
    for (name, text) in [("cert.pem", &identity.certificate), ("key.pem", &identity.key)] {
        fs::write(folder.path().join(name), text).expect("it is written");
    }
    // Files are found beside the kubeconfig.
    let shown = json!({"client-certificate": "cert.pem", "client-key": "key.pem"});
    assert_eq!(connect(&authority, shown.clone()).await, Ok(200));
    assert_eq!(connect(&authority, json!({})).await, Ok(403), "nobody known");
    let refused = connect(&other, shown).await.expect_err("the server's certificate is another's");
    assert!(refused.contains("certificate"), "{refused}");
    serving.abort();
}

#[tokio::test]
async fn a_program_that_hangs_holds_requests_up_for_a_bounded_time() {
    let folder = TempDir::new().expect("a folder");
    let exec = json!({"apiVersion": "client.authentication.k8s.io/v1", "command": "sleep", "args": ["5"], "interactiveMode": "Never"});
    let config = json!({
        "current-context": "it", "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "it", "user": {"exec": exec}}],
    });
    let file = folder.path().join("config");
    fs::write(&file, config.to_string()).expect("it is written");
    let source =
        ClusterSource { kubeconfig_file: Some(file.to_string_lossy().into_owned()), ..ClusterSource::default() };
    let limits = Limits { head: Duration::from_millis(50), ..Limits::default() };
    let link = KubeConnector::new(true).with_limits(limits).link(&source);
    for _ in 0..3 {
        let why = link.client().await.err().expect("it hangs");
        assert!(why.contains("gives no credentials within 50ms"), "{why}");
    }
}

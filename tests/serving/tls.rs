//! TLS: certificates and tokens as clients send them, reloads under traffic, and the end of a server.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Version, header},
};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use podberth::{
    api::serve::Secure,
    net::{Files, MinVersion, Reload, Shown, Step, Tls, client_config},
    service::access::{
        Caller,
        authenticate::Authenticator,
        tokens::{self, NewToken},
    },
    wire::access::token,
};
use podberth_testkit::certificates::{Authority, Identity, Wanted};
use rustls::{ClientConfig, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    Running, TIMEOUTS,
    server::{Server, Setup, memory},
};

pub(crate) const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

pub(crate) fn files(server: &Identity, clients: Option<&Authority>, revoked: Option<String>) -> Files {
    Files {
        certificate: server.certificate.clone().into(),
        key: server.key.clone().into(),
        client_authorities: clients.map(|authority| authority.pem.clone().into()),
        revoked: revoked.map(Into::into),
    }
}

/// A server that asks everybody, where [`ROOT`] may do everything.
pub(crate) async fn closed() -> Server {
    let fixed = HashMap::from([(token::digest(ROOT), Arc::new(Authenticator::first_user()))]);
    let authenticator = Some(Authenticator::new(fixed));
    Server::start(memory(&[]).await, Setup { authenticator, ..Setup::default() })
}

pub(crate) async fn secured(tls: &Tls, router: Router) -> Running {
    Running::over(Some(Secure::new(tls.clone())), router, TIMEOUTS).await
}

/// TLS of a client, which may choose HTTP/2.
fn client(authority: &Authority, identity: Option<&Identity>, protocol: &[u8]) -> Arc<ClientConfig> {
    let shown = identity
        .map(|Identity { certificate, key, .. }| Shown { certificate: certificate.as_bytes(), key: key.as_bytes() });
    let mut config = client_config(Some(authority.pem.as_bytes()), shown).expect("certificates");
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

async fn connect(running: &Running, config: &Arc<ClientConfig>) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(running.address).await?;
    TlsConnector::from(config.clone()).connect(ServerName::try_from("localhost").expect("a name"), stream).await
}

/// Sends a request on a connection of its own; code and body.
async fn ask(running: &Running, config: &Arc<ClientConfig>, request: Request<Body>) -> Result<(u16, Value), String> {
    let stream = connect(running, config).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let reply = sender
        .send_request(request)
        .await
        .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))?;
    let code = reply.status().as_u16();
    let body = to_bytes(Body::new(reply.into_body()), usize::MAX).await.map_err(|error| error.to_string())?;
    connection.abort();
    Ok((code, serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned().into())))
}

fn get(path: &str, token: &str) -> Request<Body> {
    let mut request = Request::get(path).header(header::HOST, "localhost");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::empty()).expect("a request")
}

/// The question of `kubectl auth whoami`.
fn whoami(token: &str) -> Request<Body> {
    let mut request = Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = json!({"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"});
    request.body(Body::from(body.to_string())).expect("a request")
}

#[tokio::test]
async fn certificate_is_a_user_with_groups() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, closed().await.router).await;
    let config = |identity: Option<&Identity>| client(&authority, identity, b"http/1.1");

    let (code, told) =
        ask(&running, &config(Some(&authority.client("jane", "dev"))), whoami("")).await.expect("a reply");
    let user = &told["status"]["userInfo"];
    assert_eq!((code, &user["username"]), (201, &"jane".into()), "{told}");
    assert_eq!(user["groups"], json!(["dev", "system:authenticated"]));
    assert!(
        user["extra"]["authentication.kubernetes.io/credential-id"][0]
            .as_str()
            .is_some_and(|id| id.starts_with("X509SHA256="))
    );
    let (code, _) = ask(&running, &config(Some(&authority.client("jane", "dev"))), get("/api/v1/nodes", ""))
        .await
        .expect("a reply");
    assert_eq!(code, 403, "she has no rights");

    let admin = authority.client("admin", "system:masters");
    assert_eq!(ask(&running, &config(Some(&admin)), get("/api/v1/nodes", "")).await.expect("a reply").0, 200);
    for (path, code) in [("/livez", 200), ("/api/v1/nodes", 403)] {
        assert_eq!(ask(&running, &config(None), get(path, "")).await.expect("a reply").0, code, "{path}");
    }
    assert_eq!(
        ask(&running, &config(None), get("/api/v1/nodes", ROOT)).await.expect("a reply").0,
        200,
        "a token will do"
    );

    let nobody = authority.issue(Wanted { name: "", group: "system:masters", ..Wanted::default() });
    assert_eq!(ask(&running, &config(Some(&nobody)), get("/api/v1/nodes", "")).await.expect("a reply").0, 403);
    assert_eq!(ask(&running, &config(Some(&nobody)), get("/api/v1/nodes", ROOT)).await.expect("a reply").0, 200);
}

#[tokio::test]
async fn certificate_comes_before_a_header_and_after_a_token_in_the_path() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let server = closed().await;
    let new = NewToken { name: "sched".into(), kind: "extender".into(), ..NewToken::default() };
    let extender = tokens::create(&server.state, &Caller::default(), new).await.expect("a token").token;
    let running = secured(&tls, server.router).await;
    let jane = client(&authority, Some(&authority.client("jane", "")), b"http/1.1");
    let admin = client(&authority, Some(&authority.client("admin", "system:masters")), b"http/1.1");

    let (_, told) = ask(&running, &jane, whoami(ROOT)).await.expect("a reply");
    assert_eq!(told["status"]["userInfo"]["username"], "jane");
    assert_eq!(ask(&running, &jane, whoami("no-token")).await.expect("a reply").0, 201, "the header is not read");
    let by_key = get(&format!("/key/{extender}/api/v1/nodes"), "");
    assert_eq!(ask(&running, &admin, by_key).await.expect("a reply").0, 403, "an extender reads no nodes");
    assert_eq!(ask(&running, &admin, get("/key/wrong/livez", "")).await.expect("a reply").0, 401);
}

#[tokio::test]
async fn http2_is_chosen_by_alpn() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), None, None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, Server::with(&[]).await.router).await;
    let stream = connect(&running, &client(&authority, None, b"h2")).await.expect("a connection");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::get("https://localhost/version").body(Body::empty()).expect("a request");
    let reply = sender.send_request(request).await.expect("a reply");
    assert_eq!((reply.version(), reply.status().as_u16()), (Version::HTTP_2, 200));
    drop(reply);
    let error = connect(&running, &client(&authority, None, b"acme-tls/1")).await.expect_err("no such protocol");
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    // Told to stop, it says goodbye and the connection ends.
    running.end().await;
    drop(sender);
    connection.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn request_in_plain_text_is_answered_and_closed() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), None, None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, Server::with(&[]).await.router).await;
    let mut stream = running.connect().await;
    stream.write_all(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n{").await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("a reply and the end");
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(reply.ends_with("\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), "{reply}");
}

/// Handshakes go on while certificates are replaced ten times; each certificate is seen, and nobody is turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_turn_nobody_away() {
    const CLIENTS: usize = 4;
    let authority = Authority::new("a");
    let servers = [authority.server(), authority.server()];
    let tls = Tls::new(files(&servers[0], Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let mut reload = Reload::new(tls.clone());
    let running = Arc::new(secured(&tls, closed().await.router).await);
    let config = client(&authority, Some(&authority.client("admin", "system:masters")), b"http/1.1");
    let held = connect(&running, &config).await.expect("a connection");
    let (done, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let one_more = Arc::new(Notify::new());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (running, config, done, ended, one_more) =
                (running.clone(), config.clone(), done.clone(), ended.clone(), one_more.clone());
            tokio::spawn(async move {
                while !ended.load(Ordering::Relaxed) {
                    let reply = ask(&running, &config, get("/api/v1/nodes", "")).await;
                    assert_eq!(reply.map(|(code, _)| code), Ok(200));
                    done.fetch_add(1, Ordering::Relaxed);
                    one_more.notify_one();
                }
            })
        })
        .collect();
    for round in 1..=10 {
        let before = done.load(Ordering::Relaxed);
        while done.load(Ordering::Relaxed) < before + 2 * CLIENTS {
            one_more.notified().await;
        }
        assert_eq!(reload.step(Ok(files(&servers[round % 2], Some(&authority), None))), Step::Replaced);
    }
    ended.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.expect("nobody is turned away");
    }
    // The connection of before the reloads lives on.
    let (mut sender, connection) = http1::handshake(TokioIo::new(held)).await.expect("it lives");
    let connection = tokio::spawn(connection);
    let reply = sender.send_request(get("/api/v1/nodes", "")).await.expect("a reply");
    assert_eq!(reply.status().as_u16(), 200);
    connection.abort();
}

#[tokio::test]
async fn revoked_client_gets_401_on_its_connection_and_none_anew() {
    let authority = Authority::new("a");
    let (server, jane) = (authority.server(), authority.client("jane", "system:masters"));
    let tls = Tls::new(files(&server, Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, closed().await.router).await;
    let config = client(&authority, Some(&jane), b"http/1.1");
    let stream = connect(&running, &config).await.expect("a connection");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    let connection = tokio::spawn(connection);
    let mut code = async |token: &str| {
        let reply = sender.send_request(get("/api/v1/nodes", token)).await.expect("a reply");
        let code = reply.status().as_u16();
        let _ = to_bytes(Body::new(reply.into_body()), usize::MAX).await.expect("a body");
        code
    };
    assert_eq!(code("").await, 200);
    let revoked = files(&server, Some(&authority), Some(authority.revoke(&[&jane], false)));
    assert_eq!(Reload::new(tls.clone()).step(Ok(revoked)), Step::Replaced);
    assert_eq!(code("").await, 401);
    assert_eq!(code(ROOT).await, 200, "a valid token still counts");
    connection.abort();
    let refused = ask(&running, &config, get("/livez", "")).await.expect_err("it is revoked");
    assert!(refused.contains("CertificateRevoked"), "{refused}");
}

#[tokio::test]
async fn revoked_client_loses_its_watches() {
    let authority = Authority::new("a");
    let (server, jane) = (authority.server(), authority.client("jane", "system:masters"));
    let tls = Tls::new(files(&server, Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, closed().await.router).await;
    let stream = connect(&running, &client(&authority, Some(&jane), b"http/1.1")).await.expect("a connection");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    let connection = tokio::spawn(connection);
    let watch = sender.send_request(get("/api/v1/nodes?watch=1", "")).await.expect("a reply");
    assert_eq!(watch.status(), 200);
    let revoked = files(&server, Some(&authority), Some(authority.revoke(&[&jane], false)));
    assert_eq!(Reload::new(tls.clone()).step(Ok(revoked)), Step::Replaced);
    let told = to_bytes(Body::new(watch.into_body()), usize::MAX).await.expect("it ends");
    assert!(told.is_empty(), "{told:?}");
    connection.abort();
}

#[tokio::test]
async fn pages_in_plain_text_may_not_ask_over_tls() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), None, None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, Server::with(&[]).await.router).await;
    let config = client(&authority, None, b"http/1.1");
    for (origin, code) in [("https://localhost", 200), ("http://localhost", 403), ("https://evil.example", 403)] {
        let request = Request::post("/import").header(header::HOST, "localhost").header(header::ORIGIN, origin);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let list = json!({"kind": "List", "apiVersion": "v1", "items": []}).to_string();
        let reply = ask(&running, &config, request.body(Body::from(list)).expect("a request")).await;
        assert_eq!(reply.expect("a reply").0, code, "{origin}");
    }
}

#[tokio::test]
async fn extender_configuration_names_the_certificates() {
    let authority = Authority::new("a");
    for (clients, expected) in [
        (None, "tlsConfig:\n    caFile: /etc/kubernetes/podberth/ca.crt\n"),
        (
            Some(&authority),
            "tlsConfig:\n    certFile: /etc/kubernetes/podberth/scheduler.crt\n    keyFile: \
             /etc/kubernetes/podberth/scheduler.key\n    caFile: /etc/kubernetes/podberth/ca.crt\n",
        ),
    ] {
        let tls = Tls::new(files(&authority.server(), clients, None), MinVersion::Tls12).expect("certificates");
        let running = secured(&tls, Server::with(&[]).await.router).await;
        let config = client(&authority, None, b"http/1.1");
        let read = async |path: &str| {
            let (code, text) = ask(&running, &config, get(path, "")).await.expect("a reply");
            assert_eq!(code, 200, "{text}");
            text
        };
        let yaml = read("/extender/config").await;
        let yaml = yaml.as_str().expect("YAML");
        assert!(yaml.contains("urlPrefix: https://localhost\n") && yaml.contains("enableHTTPS: true\n"), "{yaml}");
        assert!(yaml.contains(expected), "{yaml}");
        let policy = read("/extender/config?version=policy&certificates=/pki/").await;
        let of = &policy["extenders"][0];
        assert_eq!((&of["enableHttps"], &of["tlsConfig"]["caFile"]), (&true.into(), &"/pki/ca.crt".into()));
        assert_eq!(of["tlsConfig"].get("certFile").is_some(), clients.is_some());
    }
}

#[tokio::test]
async fn extender_configuration_by_key_has_no_client_certificate() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let server = closed().await;
    let new = NewToken { name: "sched".into(), kind: "extender".into(), ..NewToken::default() };
    let token = tokens::create(&server.state, &Caller::default(), new).await.expect("a token").token;
    let running = secured(&tls, server.router).await;
    let request = get(&format!("/key/{token}/extender/config"), "");
    let (code, yaml) = ask(&running, &client(&authority, None, b"http/1.1"), request).await.expect("a reply");
    let yaml = yaml.as_str().expect("YAML");
    assert_eq!(code, 200, "{yaml}");
    assert!(yaml.contains("urlPrefix: https://localhost/key/TOKEN\n") && !yaml.contains(&token), "{yaml}");
    assert!(yaml.contains("caFile: ") && !yaml.contains("certFile"), "{yaml}");
}

#[tokio::test]
async fn scheduler_is_an_extender_client_by_its_certificate() {
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let running = secured(&tls, closed().await.router).await;
    let post = |path: &str, token: &str, body: &Value| {
        let request =
            Request::post(path).header(header::HOST, "localhost").header(header::CONTENT_TYPE, "application/json");
        let request =
            if token.is_empty() { request } else { request.header(header::AUTHORIZATION, format!("Bearer {token}")) };
        request.body(Body::from(body.to_string())).expect("a request")
    };
    let question = json!({"Pod": {"metadata": {"name": "p", "namespace": "default"}}, "Nodes": {"items": []}});
    let scheduler = client(&authority, Some(&authority.client("system:kube-scheduler", "")), b"http/1.1");
    let filter = async || ask(&running, &scheduler, post("/filter", "", &question)).await.expect("a reply").0;
    assert_eq!(filter().await, 403);
    let binding = json!({
        "metadata": {"name": "kube-scheduler-extender"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "podberth:extender"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-scheduler"}],
    });
    let path = "/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let (code, told) =
        ask(&running, &client(&authority, None, b"http/1.1"), post(path, ROOT, &binding)).await.expect("a reply");
    assert_eq!(code, 201, "{told}");
    assert_eq!(filter().await, 200);
}

//! Users by JSON Web Tokens: over HTTP, with keys from files and from issuers over TLS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    http::{Request, header},
};
use podberth::{
    service::access::{authenticate::Authenticator, issuers::Issuers},
    wire::access::{authentication, token},
};
use podberth_testkit::jwt::{Signer, by_hmac, key_set};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::server::{Reply, Server, Setup, memory};

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

/// A server that knows the issuers of a file besides [`ROOT`].
async fn knowing(file: &str) -> Server {
    let authentication::Authentication { issuers, anonymous } = authentication::parse(file).expect("a good file");
    // The reads of keys are counted from the first.
    podberth::telemetry::recorder().expect("a recorder");
    let issuers = Issuers::start(issuers, std::path::Path::new("")).await.expect("they have keys");
    let fixed = [(token::digest(ROOT), Arc::new(Authenticator::first_user()))].into();
    let authenticator = Authenticator::new(fixed).with_issuers(issuers).with_anonymous(anonymous);
    Server::start(memory(&[]).await, Setup { authenticator: Some(authenticator), ..Setup::default() })
}

fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a token is made as an issuer makes it")]
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

fn claims(issuer: &str, user: &str) -> Value {
    json!({"iss": issuer, "aud": ["other", "podberth"], "sub": user, "exp": now() + 3_600, "groups": ["dev"]})
}

fn headed(issuers: &str) -> String {
    format!("apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n{issuers}")
}

async fn get(server: &Server, token: &str, path: &str) -> Reply {
    let mut request = Request::get(path);
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    server.send(request.body(Body::empty()).expect("a request")).await
}

async fn user(server: &Server, token: &str) -> Value {
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    let reply = server.send(request.body(Body::from("{}")).expect("a request")).await;
    reply.is(201)["status"]["userInfo"].clone()
}

#[tokio::test]
async fn users_of_two_issuers_are_known_and_keep_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let (dex, cluster) = (Signer::rsa("k"), Signer::p256("k"));
    for (name, signer) in [("dex", &dex), ("cluster", &cluster)] {
        std::fs::write(folder.path().join(name), key_set(&[signer]).to_string()).expect("it is written");
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = headed(&format!(
        "jwt:\n\
         - issuer: {{url: https://dex.example, audiences: [podberth], jwksFile: {}}}\n  \
           claimMappings: {{username: {{claim: sub, prefix: 'dex:'}}, groups: {{claim: groups, prefix: 'dex:'}}}}\n\
         - issuer: {{url: https://kubernetes.default.svc, audiences: [podberth], jwksFile: {}}}\n  \
           claimMappings: {{username: {{claim: sub, prefix: ''}}}}\n",
        path("dex"),
        path("cluster")
    ));
    let server = knowing(&file).await;
    let jane = dex.token(&claims("https://dex.example", "jane"));
    let known = json!({"username": "dex:jane", "groups": ["dex:dev", "system:authenticated"]});
    assert_eq!(user(&server, &jane).await, known);
    assert_eq!(user(&server, &jane).await, known, "also from memory");
    let account = cluster.token(&claims("https://kubernetes.default.svc", "system:serviceaccount:ci:robot"));
    let groups = ["system:serviceaccounts", "system:serviceaccounts:ci", "system:authenticated"];
    assert_eq!(user(&server, &account).await, json!({"username": "system:serviceaccount:ci:robot", "groups": groups}));
    get(&server, &jane, "/api/v1/pods").await.fails(403, "Forbidden");

    let public = dex.jwk()["n"].as_str().unwrap_or_default().to_owned();
    let of_dex = claims("https://dex.example", "eve");
    let changed = |name: &str, value: Value| {
        let mut claims = of_dex.clone();
        claims[name] = value;
        dex.token(&claims)
    };
    for (why, token) in [
        ("the key of the other issuer", cluster.token(&of_dex)),
        ("the other issuer's name", dex.token(&claims("https://kubernetes.default.svc", "eve"))),
        ("an unknown issuer", dex.token(&claims("https://evil.example", "eve"))),
        ("no algorithm", dex.sign(&json!({"alg": "none"}), of_dex.to_string())),
        (
            "the public key as a secret",
            by_hmac(public.as_bytes(), &json!({"alg": "HS256", "kid": "k"}), of_dex.to_string()),
        ),
        ("another key of the name", Signer::ed25519("k", 9).token(&of_dex)),
        ("an end that is over", changed("exp", json!(now() - 120))),
        ("a beginning to come", changed("nbf", json!(now() + 120))),
        ("another audience", changed("aud", json!("other"))),
        ("no user", changed("sub", json!(null))),
        ("too much of it", changed("x", json!("y".repeat(20_000)))),
    ] {
        let status = get(&server, &token, "/livez").await.fails(401, "Unauthorized");
        assert_eq!(status["message"], "Unauthorized", "{why} is not told");
    }
    for token in ["a.b.c", "..", "a.b", "a.b.c.d", "\u{2e}\u{2e}a"] {
        get(&server, token, "/livez").await.fails(401, "Unauthorized");
    }
    let path = format!("/key/{jane}/livez");
    assert_eq!(get(&server, "", &path).await.code, 401, "a path is for tokens of extenders");
}

/// Two seconds before the leeway of the token is over.
#[tokio::test]
async fn a_watch_ends_with_the_token_of_an_issuer() {
    let folder = tempfile::tempdir().expect("a folder");
    let dex = Signer::p256("k");
    std::fs::write(folder.path().join("dex"), key_set(&[&dex]).to_string()).expect("it is written");
    let server = knowing(&headed(&format!(
        "jwt:\n\
         - issuer: {{url: https://dex.example, audiences: [podberth], jwksFile: {}}}\n  \
           claimMappings: {{username: {{claim: sub, prefix: 'dex:'}}}}\n",
        folder.path().join("dex").display()
    )))
    .await;
    let binding = json!({"metadata": {"name": "jane"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "dex:jane"}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    let bind = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {ROOT}"));
    let bind = bind.header(header::CONTENT_TYPE, "application/json").body(Body::from(binding.to_string()));
    server.send(bind.expect("a request")).await.is(201);
    let mut ending = claims("https://dex.example", "jane");
    ending["exp"] = json!(now() - 58);
    let told = get(&server, &dex.token(&ending), "/api/v1/nodes?watch=1").await;
    assert_eq!((told.code, told.text()), (200, ""), "it ends");
}

#[tokio::test]
async fn requests_without_a_token_are_let_in_as_the_file_says() {
    let server = knowing(&headed("anonymous: {enabled: true, conditions: [{path: /livez}]}")).await;
    assert_eq!(get(&server, "", "/livez").await.code, 200);
    for path in ["/readyz", "/version", "/api/v1/pods", "/clusters/x/readyz"] {
        get(&server, "", path).await.fails(401, "Unauthorized");
    }
    assert_eq!(get(&server, ROOT, "/version").await.code, 200);
    let server = knowing(&headed("anonymous: {enabled: false}")).await;
    get(&server, "", "/livez").await.fails(401, "Unauthorized");
}

#[tokio::test]
async fn services_may_ask_whose_a_token_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dex = Signer::ed25519("k", 1);
    std::fs::write(folder.path().join("dex"), key_set(&[&dex]).to_string()).expect("it is written");
    let file = headed(&format!(
        "jwt:\n- issuer: {{url: https://dex.example, audiences: [podberth], jwksFile: {}}}\n  \
           claimMappings: {{username: {{claim: sub, prefix: 'dex:'}}}}\n",
        folder.path().join("dex").display()
    ));
    let server = knowing(&file).await;
    let jane = dex.token(&claims("https://dex.example", "jane"));
    let review = async |by: &str, spec: Value| {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {by}"));
        let body = json!({"spec": spec}).to_string();
        let reply = server.send(request.body(Body::from(body)).expect("a request")).await;
        assert!(!reply.text().contains(&jane), "the token comes back");
        reply
    };
    review(&jane, json!({"token": jane})).await.fails(403, "Forbidden");
    let status = async |spec: Value| review(ROOT, spec).await.is(201)["status"].clone();
    let user = json!({"username": "dex:jane", "groups": ["system:authenticated"]});
    assert_eq!(status(json!({"token": jane})).await, json!({"authenticated": true, "user": user}));
    let for_us = status(json!({"token": jane, "audiences": ["other", "podberth"]})).await;
    assert_eq!(for_us, json!({"authenticated": true, "user": user, "audiences": ["podberth"]}));
    let root = status(json!({"token": ROOT})).await;
    assert_eq!(root["user"]["username"], "system:bootstrap");
    for spec in
        [json!({"token": format!("{jane}x")}), json!({"token": "x"}), json!({"token": jane, "audiences": ["other"]})]
    {
        let told = status(spec).await;
        assert!(told["authenticated"].is_null() && told["error"].is_string(), "{told}");
    }
    review(ROOT, json!({})).await.fails(400, "BadRequest");
    let wrong = review(ROOT, json!({"token": [jane]})).await;
    assert_eq!(wrong.fails(400, "BadRequest")["message"], "spec.token: it has the wrong type");
}

/// An issuer over TLS, under an authority of its own.
struct Served {
    url: String,
    authority: String,
    asked: Arc<AtomicUsize>,
}

impl Served {
    /// `named`: the issuer that its discovery document names; empty for its own URL.
    async fn start(named: &str, signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("its address").port());
        let (key, own) = (KeyPair::generate().expect("a key"), KeyPair::generate().expect("a key"));
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key).expect("a certificate").pem();
        let of_server = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = of_server.signed_by(&own, &Issuer::new(params, key)).expect("a certificate").pem();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        let own = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).expect("a key");
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(vec![certificate], own).expect("a pair")));
        let (keys, asked) = (key_set(signers), Arc::<AtomicUsize>::default());
        let named = if named.is_empty() { url.clone() } else { named.to_owned() };
        let (counted, own_url) = (asked.clone(), url.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = vec![0; 4_096];
                let Ok(length) = stream.read(&mut head).await else { continue };
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let (code, body) = if head.starts_with("GET /.well-known/openid-configuration ") {
                    (200, json!({"issuer": named, "jwks_uri": format!("{own_url}/keys")}))
                } else if head.starts_with("GET /keys ") {
                    counted.fetch_add(1, Ordering::Relaxed);
                    (200, keys.clone())
                } else {
                    (404, json!({}))
                };
                let body = body.to_string();
                let reply = format!(
                    "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, authority, asked }
    }

    fn file(&self, field: &str) -> String {
        let authority = self.authority.replace('\n', "\n      ");
        headed(&format!(
            "jwt:\n- issuer:\n    url: {}\n    audiences: [podberth]\n    certificateAuthority: |\n      {authority}\n    {field}\n  \
             claimMappings: {{username: {{claim: sub, prefix: 'oidc:'}}}}\n",
            self.url
        ))
    }
}

#[tokio::test]
async fn keys_come_from_the_issuer_over_tls() {
    let (own, invented) = (Signer::ed25519("own", 1), Signer::ed25519("invented", 2));
    let issuer = Served::start("", &[&own]).await;
    let server = knowing(&issuer.file("")).await;
    let of = |signer: &Signer| signer.token(&claims(&issuer.url, "jane"));
    assert_eq!(user(&server, &of(&own)).await["username"], "oidc:jane", "the first read is waited for");
    for _ in 0..20 {
        get(&server, &of(&invented), "/livez").await.fails(401, "Unauthorized");
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "an invented key causes no read during the rest after one");
    let metrics = get(&server, ROOT, "/metrics").await;
    for series in ["podberth_jwks_keys{issuer=\"URL\"} 1", "podberth_jwks_reads_total{issuer=\"URL\",result=\"ok\"} 1"]
    {
        let line = series.replace("URL", &issuer.url);
        assert!(metrics.text().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn no_keys_come_from_a_server_that_is_not_the_issuer() {
    let signer = Signer::ed25519("k", 1);
    let (other, issuer) =
        (Served::start("https://other.example", &[&signer]).await, Served::start("", &[&signer]).await);
    let misnamed = knowing(&other.file("")).await;
    let issuer = Served { authority: other.authority.clone(), ..issuer };
    let unknown = knowing(&issuer.file("")).await;
    for (server, url) in [(&misnamed, &other.url), (&unknown, &issuer.url)] {
        get(server, &signer.token(&claims(url, "eve")), "/livez").await.fails(401, "Unauthorized");
        let line = format!("podberth_jwks_reads_total{{issuer=\"{url}\",result=\"failed\"}} 1");
        assert!(get(server, ROOT, "/metrics").await.text().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn keys_come_from_a_url_of_their_own() {
    let signer = Signer::p384("k");
    let issuer = Served::start("https://other.example", &[&signer]).await;
    let server = knowing(&issuer.file(&format!("jwksURL: {}/keys", issuer.url))).await;
    assert_eq!(user(&server, &signer.token(&claims(&issuer.url, "jane"))).await["username"], "oidc:jane");
}

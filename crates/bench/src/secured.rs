//! TLS, authentication and authorization: what they cost `/filter`, and handshakes while certificates are replaced.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::{Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, client::Resumption, pki_types::ServerName},
};

use super::{
    fixture::{Fixture, Folder},
    report::{Report, number},
    server::Server,
    times::Times,
    verbs::{by_names, is_filtered},
};
use podberth::net::{Shown, client_config};
use podberth_testkit::{
    certificates::{Authority, Identity},
    json as objects,
};

/// Calls of each way, in turns; the first ones do not count.
const CALLS: usize = 1_500;
const WARM: usize = 50;

/// Handshakes in a second, and the reloads of certificates meanwhile, one a second.
const PER_SECOND: u32 = 200;
const RELOADS: u32 = 10;

/// The longest that an answer, or a reload, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The user that kube-scheduler is by its certificate.
const SCHEDULER: &str = "system:kube-scheduler";

/// A connection that is kept.
struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, String> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// To a server, with TLS if there is a configuration of it.
    async fn to(url: &str, config: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        match config {
            None => Self::over(connect(url).await?).await,
            Some(config) => Self::secure(url, config).await,
        }
    }

    /// To a server that has just been started.
    async fn when_ready(url: &str, config: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        let (begun, mut connection) = (Instant::now(), Self::to(url, config).await?);
        while let Err(why) = connection.ask("GET", "/readyz", Bytes::new()).await {
            if begun.elapsed() > PATIENCE {
                return Err(why);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(connection)
    }

    async fn secure(url: &str, config: &Arc<ClientConfig>) -> Result<Self, String> {
        let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(config.clone()).connect(name, connect(url).await?).await;
        Self::over(stream.map_err(|error| error.to_string())?).await
    }

    /// Sends a request; the body of a success.
    async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> Result<Bytes, String> {
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body));
        let exchange = async {
            self.0.ready().await.map_err(|error| error.to_string())?;
            let reply = self.0.send_request(request.map_err(|error| error.to_string())?).await;
            let reply = reply.map_err(|error| error.to_string())?;
            let status = reply.status();
            let body = reply.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
            let is_good = status.is_success();
            if is_good { Ok(body) } else { Err(format!("HTTP {status}: {}", String::from_utf8_lossy(&body))) }
        };
        let late = |_| Err(format!("no answer within {PATIENCE:?}"));
        timeout(PATIENCE, exchange).await.unwrap_or_else(late).map_err(|why| format!("{method} {path}: {why}"))
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        let reply = self.ask("POST", path, body.to_string().into()).await?;
        serde_json::from_slice(&reply).map_err(|error| format!("{path}: {error}"))
    }
}

async fn connect(url: &str) -> Result<TcpStream, String> {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// TLS of a client, by a certificate if there is one.
fn client(authority: &Authority, identity: Option<&Identity>) -> Result<Arc<ClientConfig>, String> {
    let shown = identity.map(|of| Shown { certificate: of.certificate.as_bytes(), key: of.key.as_bytes() });
    let mut config = client_config(Some(authority.pem.as_bytes()), shown)?;
    // Each handshake is a whole one.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write_server(folder: &Path, identity: &Identity) -> Result<(), String> {
    write(folder, "server.crt", &identity.certificate)?;
    write(folder, "server.key", &identity.key)
}

pub(super) async fn measure(fixture: &mut Fixture<'_>, report: &mut Report) -> Result<(), String> {
    fixture.end().await?;
    let folder = Folder::new("podberth-bench-tls")?;
    let authority = Authority::new("bench");
    write(&folder.0, "ca.crt", &authority.pem)?;
    write_server(&folder.0, &authority.server())?;
    let file = |setting: &str, name: &str| format!("--{setting}={}", folder.0.join(name).display());
    let settings =
        [file("tls-cert-file", "server.crt"), file("tls-key-file", "server.key"), file("client-ca-file", "ca.crt")];
    let (open, closed) = (fixture.server_apart(&[]).await?, fixture.server_apart(&settings).await?);
    let admin = client(&authority, Some(&authority.client("admin", "system:masters")))?;
    costs(fixture.nodes(), (&open, &closed), &authority, &admin, report).await?;
    handshakes(&closed, &folder.0, &authority, &admin, report).await?;
    open.stop().await?;
    closed.stop().await
}

/// `/filter` by names: open, by a certificate, and by a token in the path, in turns.
async fn costs(
    nodes: usize,
    (open, closed): (&Server, &Server),
    authority: &Authority,
    admin: &Arc<ClientConfig>,
    report: &mut Report,
) -> Result<(), String> {
    let mut plain = Connection::when_ready(&open.url, None).await?;
    let mut rooted = Connection::when_ready(&closed.url, Some(admin)).await?;
    let list = Bytes::from(objects::list(&objects::nodes(nodes)));
    for connection in [&mut plain, &mut rooted] {
        connection.ask("POST", "/import", list.clone()).await?;
    }
    let binding = json!({"metadata": {"name": "bench"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "podberth:extender"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": SCHEDULER}]});
    let bindings = "/clusters/podberth-system/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    rooted.post(bindings, &binding).await?;
    let made = rooted.post("/tokens", &json!({"name": "bench", "kind": "extender"})).await?;
    let token = made["token"].as_str().ok_or("/tokens: the reply has no token")?;

    let scheduler = client(authority, Some(&authority.client(SCHEDULER, "")))?;
    let mut ways = [
        ("open", plain, "/filter".to_owned(), Vec::new()),
        ("certificate", Connection::secure(&closed.url, &scheduler).await?, "/filter".to_owned(), Vec::new()),
        (
            "token",
            Connection::secure(&closed.url, &client(authority, None)?).await?,
            format!("/key/{token}/filter"),
            Vec::new(),
        ),
    ];
    let body = by_names(nodes);
    for call in 0..WARM + CALLS {
        for (name, connection, path, times) in &mut ways {
            let begun = Instant::now();
            let reply = connection.ask("POST", path, body.clone()).await.map_err(|_| format!("/filter {name}"))?;
            let took = begun.elapsed();
            match call {
                0 => is_filtered(&reply, nodes)?,
                1..WARM => {}
                _ => times.push(took),
            }
        }
    }
    let [open, certificate, token] = ways.map(|(_, _, _, times)| times.into_iter().collect::<Times>().percentile(50));
    let note = format!("p50 of {CALLS} calls each, in turns");
    let what = format!("/filter: {nodes} nodes by name");
    report.add("secured/open", format!("{what}, over plain text by anybody, p50"), (open, "ms"), &*note);
    for (name, by, p50) in
        [("certificate", "by a certificate", certificate), ("token", "by a token in the path", token)]
    {
        let note = format!("{} ms; {note}", number(p50));
        report.add(format!("secured/{name}"), format!("{what}, over TLS {by} and a role"), (p50 / open, "×"), note);
    }
    Ok(())
}

/// Handshakes at a steady rate, each with a request, while the server's certificate is replaced once a second.
async fn handshakes(
    server: &Server,
    folder: &Path,
    authority: &Authority,
    admin: &Arc<ClientConfig>,
    report: &mut Report,
) -> Result<(), String> {
    let certificates = [authority.server(), authority.server()];
    let (begun, mut tasks) = (Instant::now(), JoinSet::new());
    let mut ticks = interval(Duration::from_secs(1) / PER_SECOND);
    for certificate in certificates.iter().cycle().take(RELOADS as usize) {
        for _ in 0..PER_SECOND {
            ticks.tick().await;
            tasks.spawn(handshake(server.url.clone(), admin.clone()));
        }
        write_server(folder, certificate)?;
        server.hang_up()?;
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.push(done.map_err(|error| error.to_string())?.map_err(|why| format!("a handshake: {why}"))?);
    }
    let (rate, times) = (times.len() as f64 / begun.elapsed().as_secs_f64(), times.into_iter().collect::<Times>());
    let mut rooted = Connection::secure(&server.url, admin).await?;
    let loaded = format!("podberth_tls_reloads_total{{result=\"loaded\"}} {RELOADS}\n");
    while !String::from_utf8_lossy(&rooted.ask("GET", "/metrics", Bytes::new()).await?).contains(&loaded) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the certificates were not loaded {RELOADS} times within {PATIENCE:?}"));
        }
        sleep(Duration::from_millis(10)).await;
    }
    let what = format!("a connection with TLS, {RELOADS} reloads of the certificate meanwhile");
    let note = format!("{} of them, {} a second, none refused", times.len(), number(rate));
    for percent in [50, 99] {
        let name = format!("secured/handshake-p{percent}");
        report.add(name, format!("{what}, p{percent}"), (times.percentile(percent), "ms"), &*note);
    }
    Ok(())
}

/// The time of a handshake; its connection is good for a request.
async fn handshake(url: String, config: Arc<ClientConfig>) -> Result<Duration, String> {
    let begun = Instant::now();
    let mut connection = Connection::secure(&url, &config).await?;
    let took = begun.elapsed();
    connection.ask("GET", "/api", Bytes::new()).await?;
    Ok(took)
}

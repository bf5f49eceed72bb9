//! A real API server with its etcd, on this machine, if there are binaries of both.

use std::{
    env, fs,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use axum::http::Request;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use podberth_testkit::certificates::Authority;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// Longest wait for an API server to be ready, and for what is to happen in it.
pub(crate) const WITHIN: Duration = Duration::from_mins(3);

/// Between two looks at a process outside, which tells of nothing.
const LOOK: Duration = Duration::from_millis(100);

/// A cluster without kubelets and controllers.
pub(crate) struct Cluster {
    _etcd: Process,
    _api_server: Process,
    folder: TempDir,
    pub(crate) client: Client,
}

/// A process that ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command, whose output goes to a file.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a file");
        let errors = file.try_clone().expect("a file");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(errors).spawn().expect("the binary starts");
        Self { child, log: log.into() }
    }

    /// Ends it without a farewell.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// Its output so far.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.output();
            let lines: Vec<&str> = log.lines().rev().take(30).collect();
            eprintln!("the end of {}:", self.log.display());
            lines.into_iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// Free ports of this machine.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

impl Cluster {
    /// Starts one; `None` without `KUBE_APISERVER_BIN` and `ETCD_BIN`.
    pub(crate) async fn start() -> Option<Self> {
        let (Some(api_server), Some(etcd)) = (env::var_os("KUBE_APISERVER_BIN"), env::var_os("ETCD_BIN")) else {
            eprintln!("skipped: it takes a real API server, KUBE_APISERVER_BIN and ETCD_BIN");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let write = |name: &str, text: &str| fs::write(path(name), text).expect("a file");
        let authority = Authority::new("cluster");
        let (server, admin, accounts) =
            (authority.server(), authority.client("admin", "system:masters"), authority.client("accounts", ""));
        for (name, text) in [
            ("ca.crt", &authority.pem),
            ("server.crt", &server.certificate),
            ("server.key", &server.key),
            ("admin.crt", &admin.certificate),
            ("admin.key", &admin.key),
            ("accounts.crt", &accounts.certificate),
            ("accounts.key", &accounts.key),
        ] {
            write(name, text);
        }
        let [clients, peers, port] = free_ports();
        let (clients, peers) = (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
        let mut command = Command::new(etcd);
        command.args(["--data-dir", &path("etcd"), "--unsafe-no-fsync"]);
        command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        command.arg(format!("--initial-cluster=default={peers}"));
        let etcd = Process::start(command, &folder.path().join("etcd.log"));
        let mut command = Command::new(api_server);
        command.args([
            format!("--etcd-servers={clients}"),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".into(),
            format!("--tls-cert-file={}", path("server.crt")),
            format!("--tls-private-key-file={}", path("server.key")),
            format!("--client-ca-file={}", path("ca.crt")),
            "--authorization-mode=RBAC".into(),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", path("accounts.crt")),
            format!("--service-account-signing-key-file={}", path("accounts.key")),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            // No controller makes service accounts, and none takes the taint of new nodes away.
            "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".into(),
        ]);
        let api_server = Process::start(command, &folder.path().join("api-server.log"));
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "live",
            "clusters": [{"name": "live", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority": path("ca.crt")}}],
            "users": [{"name": "admin", "user": {"client-certificate": path("admin.crt"), "client-key": path("admin.key")}}],
            "contexts": [{"name": "live", "context": {"cluster": "live", "user": "admin"}}],
        });
        write("kubeconfig", &kubeconfig.to_string());
        let parsed = Kubeconfig::from_yaml(&kubeconfig.to_string()).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.expect("a config");
        let client = Client::try_from(config).expect("a client");
        let cluster = Self { _etcd: etcd, _api_server: api_server, folder, client };
        until("the API server is ready", async || {
            let request = Request::get("/readyz").body(Vec::new()).expect("a request");
            cluster.client.request_text(request).await.is_ok().then_some(())
        })
        .await;
        Some(cluster)
    }

    /// The file by which others reach it.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A path in the cluster's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn post(&self, path: &str, object: &Value) -> Value {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(object.to_string().into_bytes()).expect("a request");
        self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub(crate) async fn delete(&self, path: &str) {
        let request = Request::delete(path).body(Vec::new()).expect("a request");
        let _: Value = self.client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The items of a list.
    pub(crate) async fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).await["items"].as_array().cloned().unwrap_or_default()
    }
}

/// The result of looking until there is one.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "within {WITHIN:?}: {what}");
        sleep(LOOK).await;
    }
}

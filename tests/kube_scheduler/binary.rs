//! Binaries of kube-scheduler, and one that runs.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::server::Server;

/// A binary of kube-scheduler.
#[derive(Debug)]
pub(crate) struct Binary {
    path: PathBuf,
    /// The minor version: 34 of `v1.34.1`.
    pub(crate) minor: u32,
}

/// The binaries of `KUBE_SCHEDULER_BIN`.
pub(crate) fn binaries() -> Vec<Binary> {
    let listed = env::var("KUBE_SCHEDULER_BIN").unwrap_or_default();
    let paths = listed.split([':', ',']).map(str::trim).filter(|path| !path.is_empty());
    paths.map(|path| Binary { path: path.into(), minor: minor(Path::new(path)) }).collect()
}

/// The minor version that a binary tells: `Kubernetes v1.34.1`.
fn minor(path: &Path) -> u32 {
    let output = Command::new(path).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split("v1.").nth(1).and_then(|rest| rest.split('.').next());
    version.and_then(|minor| minor.parse().ok()).unwrap_or_else(|| panic!("{}: no version in {text:?}", path.display()))
}

/// A kube-scheduler that runs until it is dropped.
pub(crate) struct Scheduler {
    child: Child,
    folder: TempDir,
}

impl Scheduler {
    /// Starts a scheduler whose API server is at an address. `extender`: the file that makes that its extender.
    pub(crate) fn start(binary: &Binary, address: &str, extender: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let kubeconfig = write(
            "kubeconfig",
            &format!(
                "{{apiVersion: v1, kind: Config, current-context: c, clusters: [{{name: p, cluster: {{server: 'http://{address}'}}}}], \
                 users: [{{name: u, user: {{}}}}], contexts: [{{name: c, context: {{cluster: p, user: u}}}}]}}"
            ),
        );
        let log = File::create(folder.path().join("log")).expect("a file");
        let mut command = Command::new(&binary.path);
        // No port of its own; a lease that another scheduler can soon take over.
        command.args(["--secure-port=0", "-v=2", "--leader-elect-lease-duration=10s"]);
        command.args(["--leader-elect-renew-deadline=8s", "--leader-elect-retry-period=1s"]);
        let is_modern = binary.minor >= 25;
        if is_modern {
            let base = extender
                .map_or("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n", |e| e);
            let connection = format!("clientConnection: {{kubeconfig: '{kubeconfig}', qps: 1000, burst: 2000}}\n");
            command.arg(format!("--config={}", write("config.yaml", &format!("{}\n{connection}", base.trim_end()))));
        } else {
            command.args([
                &format!("--kubeconfig={kubeconfig}"),
                "--kube-api-qps=1000",
                "--kube-api-burst=2000",
                "--port=0",
            ]);
            if let Some(policy) = extender {
                command.arg(format!("--policy-config-file={}", write("policy.json", policy)));
            }
        }
        let errors = log.try_clone().expect("a file");
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().expect("the binary starts");
        Self { child, folder }
    }

    /// Ends it without a farewell: its lease stays.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// The errors in its log.
    pub(crate) fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let is_error =
            |line: &&str| line.starts_with(['E', 'F']) && line.len() > 5 && line.as_bytes()[1].is_ascii_digit();
        log.lines().filter(is_error).map(str::to_owned).collect()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let from = log.len().saturating_sub(6000);
            eprintln!("the end of kube-scheduler's log:\n{}", log.get(from..).unwrap_or(&log));
        }
    }
}

/// Serves a server on a free port of this machine, whose address it returns.
pub(crate) async fn listen(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let router = server.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

//! Proxies that send the requests for a cluster to one replica, with the configurations in `deploy/`; not run where a proxy is not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Duration, Instant, sleep};

use crate::{
    Fleet,
    client::PATIENCE,
    database::{Engine, with_database},
    free_port, names, node,
};

/// A proxy that is ended when it is dropped.
struct Proxy {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx's first process ends the others at this signal.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// The program of a proxy; `None` if it is not installed.
fn installed(name: &str) -> Option<PathBuf> {
    let found =
        ["/usr/sbin", "/usr/bin"].map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.exists());
    if found.is_none() {
        println!("not run, since {name} is not installed");
    }
    found
}

/// A configuration of `deploy/` in a folder, where the replicas and the proxy have other addresses.
fn configured(file: &str, fleet: &Fleet, folder: &TempDir, port: u16) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    let mut text = fs::read_to_string(path).expect("it is there");
    for (number, replica) in fleet.replicas.iter().enumerate() {
        let documented = format!("10.0.0.{}:8080", number + 1);
        assert!(text.contains(&documented), "{file} has no {documented}");
        text = text.replace(&documented, replica.address());
    }
    assert!(text.contains("10.0.0.30:8080"), "{file}");
    text = text.replace("10.0.0.30:8080", &format!("127.0.0.1:{port}"));
    assert!(!text.contains("10.0.0."), "{file} has an address that is not replaced");
    let written = folder.path().join("proxy.conf");
    fs::write(&written, text).expect("it is written");
    written
}

/// Requests through a proxy are answered, those for a cluster by one replica, also when replicas are lost.
async fn shares(file: &'static str, check: fn(&Path, &TempDir) -> Command, run: fn(&Path, &TempDir) -> Command) {
    with_database(Engine::Postgres, async move |database| {
        let mut fleet = Fleet::start_alone(&database, 3);
        let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
        let written = configured(file, &fleet, &folder, port);
        let checked = check(&written, &folder).output().expect("it runs");
        assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let process = run(&written, &folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let url = format!("http://127.0.0.1:{port}");
        let proxy = Proxy { process: process.expect("it starts"), url, _folder: folder };
        let clusters: Vec<String> = (0..24).map(|number| format!("tenant-{number}")).collect();
        let path = |cluster: &str| format!("{}/clusters/{cluster}/api/v1/nodes", proxy.url);
        answers(&fleet, &format!("{}/readyz", proxy.url)).await;
        for cluster in &clusters {
            fleet.client.send("POST", &path(cluster), &node(cluster)).await.is(201);
            for _ in 0..3 {
                let list = fleet.client.get(&path(cluster)).await.is(200);
                assert_eq!(names(&list), [&**cluster].into());
            }
        }
        // Each keeps the default cluster and that of the system besides.
        fleet.holds(&[0, 1, 2], clusters.len() + 2 * 3).await;
        for replica in 0..3 {
            let held = fleet.metric(replica, "podberth_clusters_live").await as usize - 2;
            assert!((1..=16).contains(&held), "8, but for chance: {held}");
        }
        // What a watch tells comes at once.
        let mut watch = fleet.client.watch(&format!("{}?watch=true", path(&clusters[0]))).await;
        assert_eq!(watch.next().await.expect("an event")["object"]["metadata"]["name"], *clusters[0]);
        fleet.client.send("POST", &path(&clusters[0]), &node("another")).await.is(201);
        assert_eq!(watch.next().await.expect("an event")["object"]["metadata"]["name"], "another");

        fleet.replicas[1].kill();
        for cluster in &clusters {
            answers(&fleet, &path(cluster)).await;
        }
    })
    .await;
}

/// Waits until a URL answers 200.
async fn answers(fleet: &Fleet, url: &str) {
    let start = Instant::now();
    loop {
        let reply = fleet.client.ask("GET", url, &[], &Value::Null).await;
        if reply.as_ref().is_some_and(|reply| reply.code == 200) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{url}: {reply:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_shares_clusters() {
    if installed("haproxy").is_none() {
        return;
    }
    shares("haproxy/haproxy.cfg", |file, _| haproxy("-c", file), |file, _| haproxy("-db", file)).await;
}

fn haproxy(mode: &str, file: &Path) -> Command {
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg(mode).arg("-f").arg(file);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_shares_clusters() {
    if installed("nginx").is_none() {
        return;
    }
    shares(
        "nginx/nginx.conf",
        |file, folder| {
            let mut command = nginx(file, folder, "daemon off;");
            command.arg("-t");
            command
        },
        |file, folder| nginx(file, folder, "daemon off;"),
    )
    .await;
}

fn nginx(file: &Path, folder: &TempDir, more: &str) -> Command {
    let mut command = Command::new("/usr/sbin/nginx");
    let pid = folder.path().join("pid");
    let log = folder.path().join("error");
    command
        .args(["-p", &folder.path().display().to_string(), "-c"])
        .arg(file)
        .args(["-g", &format!("{more} pid {}; error_log {};", pid.display(), log.display())]);
    command
}

#[test]
fn the_database_proxy_is_configured_rightly() {
    if installed("haproxy").is_none() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/patroni/haproxy.cfg");
    let checked = haproxy("-c", &file).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

//! Three PostgreSQL under Patroni with HAProxy before them, as in `deploy/patroni/`, and an etcd of three: switchovers, primaries that are killed, vanish
//! and hang, an etcd without its leader, and a standby that is behind. They take minutes, so only `scripts/faults --patroni` runs them, which sets
//! `PODBERTH_PATRONI` to Patroni's program.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use podberth::store::{Options, open};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{task::block_in_place, time::sleep};

use crate::{
    SOME,
    client::{Answer, Client},
    load::Load,
    long,
    replica::Replica,
    report_on,
};

/// How long anything may take to come up on a busy machine.
const UP_WITHIN: Duration = Duration::from_mins(3);

/// The names of the servers in `deploy/patroni/haproxy.cfg`.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// A process that is killed with those that it started when it is dropped.
struct Daemon(Child);

impl Daemon {
    /// Starts a program as the account of PostgreSQL, in a session of its own.
    fn start(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log");
        let mut command = Command::new("setsid");
        if is_root() {
            command.args(["runuser", "-u", "postgres", "--"]);
        }
        command.arg(program).args(arguments).current_dir("/tmp").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for process in family(self.0.id()) {
            signal(process, "KILL");
        }
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

fn signal(process: u32, name: &str) {
    // It may be gone already.
    let _ = Command::new("kill").args(["-s", name, &process.to_string()]).stderr(Stdio::null()).status();
}

/// A process and all that come from it, as far as they are still known as such.
fn family(process: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-eo", "pid=,ppid="]).output().expect("ps is there").stdout;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let pairs: Vec<(u32, u32)> = listed
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().filter_map(|word| word.parse().ok());
            Some((words.next()?, words.next()?))
        })
        .collect();
    let mut found = vec![process];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        at += 1;
    }
    found
}

fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("an address").port())
}

/// A machine with PostgreSQL and Patroni.
struct Machine {
    patroni: Option<Daemon>,
    settings: PathBuf,
    rest: u16,
    data: PathBuf,
}

impl Machine {
    /// The first process of PostgreSQL.
    fn postmaster(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    /// All of PostgreSQL, and Patroni.
    fn processes(&self) -> Vec<u32> {
        let patroni = self.patroni.iter().flat_map(|patroni| family(patroni.0.id()));
        // PostgreSQL is nobody's child.
        patroni.chain(self.postmaster().into_iter().flat_map(family)).collect()
    }

    fn signal(&self, name: &str) {
        self.processes().into_iter().for_each(|process| signal(process, name));
    }
}

/// All of it.
struct Patroni {
    program: PathBuf,
    home: TempDir,
    machines: Vec<Machine>,
    etcd: Vec<Option<Daemon>>,
    etcd_settings: Vec<(Vec<String>, u16)>,
    _haproxy: Daemon,
    url: String,
    client: Client,
}

impl Drop for Patroni {
    fn drop(&mut self) {
        for machine in &mut self.machines {
            machine.signal("KILL");
            drop(machine.patroni.take());
            // What Patroni started meanwhile.
            machine.postmaster().into_iter().flat_map(family).for_each(|process| signal(process, "KILL"));
        }
    }
}

impl Patroni {
    /// `None` if something is not installed.
    async fn start(synchronous: bool) -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("PODBERTH_PATRONI")?);
        for needed in [Path::new("/usr/bin/etcd"), Path::new("/usr/sbin/haproxy"), &program] {
            if !needed.exists() {
                println!("not run, since {} is not installed", needed.display());
                return None;
            }
        }
        let started = block_in_place(|| Self::launch(program));
        started.has_primary().await;
        if !synchronous {
            let change = json!({"synchronous_mode": false, "synchronous_mode_strict": false,
                "maximum_lag_on_failover": 100 << 20});
            let rest = format!("127.0.0.1:{}", started.machines[started.primary().await].rest);
            let answer = started.client.send("PATCH", &rest, "/config", &change).await;
            assert!(matches!(answer, Answer::Said(200, _)), "{answer:?}");
        }
        started.is_whole(synchronous).await;
        Some(started)
    }

    fn launch(program: PathBuf) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let own = |path: &Path| {
            if is_root() {
                let owned = Command::new("chown").args(["-R", "postgres"]).arg(path).status();
                assert!(owned.expect("chown is there").success());
            }
        };
        own(home.path());
        let folder = home.path().to_owned();

        let (clients, peers) = (free_ports::<3>(), free_ports::<3>());
        let members = NAMES.iter().zip(peers).map(|(name, port)| format!("{name}=http://127.0.0.1:{port}"));
        let members: Vec<String> = members.collect();
        let etcd_settings: Vec<(Vec<String>, u16)> = NAMES
            .iter()
            .zip(clients.iter().zip(peers))
            .map(|(name, (client, peer))| {
                let settings = [
                    format!("--name={name}"),
                    format!("--data-dir={}", folder.join(format!("etcd-{name}")).display()),
                    format!("--listen-client-urls=http://127.0.0.1:{client}"),
                    format!("--advertise-client-urls=http://127.0.0.1:{client}"),
                    format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                    format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                    format!("--initial-cluster={}", members.join(",")),
                ];
                (settings.to_vec(), *client)
            })
            .collect();
        let etcd = etcd_settings.iter().map(|(settings, _)| Some(etcd_of(settings, &folder))).collect();

        let (rests, servers, [front]) = (free_ports::<3>(), free_ports::<3>(), free_ports::<1>());
        let machines = (0..NAMES.len())
            .map(|at| {
                let data = folder.join(format!("data-{}", NAMES[at]));
                let text = patroni_settings(at, (&rests, &servers, &clients), &data, &folder);
                let settings = folder.join(format!("patroni-{}.yml", NAMES[at]));
                fs::write(&settings, text).expect("it is written");
                own(&settings);
                let mut machine = Machine { patroni: None, settings, rest: rests[at], data };
                machine.patroni = Some(patroni_of(&program, &machine, &folder));
                machine
            })
            .collect();
        let mut text = documented("patroni/haproxy.cfg");
        for (at, number) in (11..=13).enumerate() {
            replace(
                &mut text,
                &format!("10.0.0.{number}:5432 check port 8008"),
                &format!("127.0.0.1:{} check port {}", servers[at], rests[at]),
            );
        }
        replace(&mut text, "10.0.0.31:5432", &format!("127.0.0.1:{front}"));
        let settings = folder.join("haproxy.cfg");
        fs::write(&settings, text).expect("it is written");
        let arguments = ["-db", "-f", &settings.display().to_string()];
        let haproxy = Daemon::start(Path::new("/usr/sbin/haproxy"), &arguments, &folder.join("haproxy.log"));
        let url = format!("postgres://postgres:change-me@127.0.0.1:{front}/postgres");
        Self { program, home, machines, etcd, etcd_settings, _haproxy: haproxy, url, client: Client::new() }
    }

    /// The status of a machine by its own word.
    async fn status(&self, at: usize) -> Value {
        match self.client.send("GET", &format!("127.0.0.1:{}", self.machines[at].rest), "/patroni", &Value::Null).await
        {
            Answer::Said(_, status) => status,
            _ => Value::Null,
        }
    }

    /// The machine with the primary; waits until there is one.
    async fn primary(&self) -> usize {
        let start = Instant::now();
        loop {
            for at in 0..self.machines.len() {
                let rest = format!("127.0.0.1:{}", self.machines[at].rest);
                if let Answer::Said(200, _) = self.client.send("GET", &rest, "/primary", &Value::Null).await {
                    return at;
                }
            }
            assert!(start.elapsed() < UP_WITHIN, "there is no primary: {}", self.logs());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the address leads to a primary.
    async fn has_primary(&self) {
        let start = Instant::now();
        let options = Options { acquire_timeout: Duration::from_secs(2), ..Options::default() };
        while let Err(error) = open(&self.url, &options).await {
            assert!(start.elapsed() < UP_WITHIN, "{error}: {}", self.logs());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until both standbys follow the primary, and are in its quorum if there is one.
    async fn is_whole(&self, synchronous: bool) {
        let start = Instant::now();
        loop {
            let status = self.status(self.primary().await).await;
            let standbys = status["replication"].as_array().map(Vec::as_slice).unwrap_or_default();
            let follows = |standby: &&Value| {
                standby["state"] == "streaming"
                    && (!synchronous || matches!(standby["sync_state"].as_str(), Some("quorum" | "sync")))
            };
            if standbys.iter().filter(follows).count() == NAMES.len() - 1 {
                return;
            }
            assert!(start.elapsed() < UP_WITHIN, "{status}: {}", self.logs());
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The processes of the primary that send changes to the standbys; waits until there is one for each.
    async fn senders(&self, primary: usize) -> Vec<u32> {
        let start = Instant::now();
        loop {
            let processes = block_in_place(|| self.machines[primary].processes());
            let found: Vec<u32> = processes.into_iter().filter(|process| is_sender(*process)).collect();
            if found.len() == NAMES.len() - 1 {
                return found;
            }
            assert!(start.elapsed() < UP_WITHIN, "{} send changes: {}", found.len(), self.logs());
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn logs(&self) -> String {
        let logs = NAMES.iter().map(|name| self.home.path().join(format!("patroni-{name}.log")));
        let last = |path: PathBuf| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("{}:\n{}\n", path.display(), lines[lines.len().saturating_sub(15)..].join("\n"))
        };
        logs.map(last).collect::<Vec<_>>().concat()
    }

    /// Starts Patroni again on a machine that was lost.
    fn restore(&mut self, at: usize) {
        drop(self.machines[at].patroni.take());
        let started = patroni_of(&self.program, &self.machines[at], self.home.path());
        self.machines[at].patroni = Some(started);
    }
}

fn etcd_of(settings: &[String], folder: &Path) -> Daemon {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Daemon::start(Path::new("/usr/bin/etcd"), &settings, &folder.join("etcd.log"))
}

fn patroni_of(program: &Path, machine: &Machine, folder: &Path) -> Daemon {
    let name = machine.settings.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let settings = machine.settings.display().to_string();
    Daemon::start(program, &[&settings], &folder.join(format!("{name}.log")))
}

fn documented(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces a part of a configuration, which it must have.
fn replace(text: &mut String, part: &str, by: &str) {
    assert!(text.contains(part), "{part} is not in the configuration:\n{text}");
    *text = text.replace(part, by);
}

/// `deploy/patroni/patroni.yml` for one of the machines, all of which are this one.
fn patroni_settings(
    at: usize,
    (rests, servers, etcd): (&[u16; 3], &[u16; 3], &[u16; 3]),
    data: &Path,
    folder: &Path,
) -> String {
    let mut text = documented("patroni/patroni.yml");
    let etcd: Vec<String> = etcd.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let bin = crate::postgres::binaries();
    for (part, by) in [
        ("name: a\n", format!("name: {}\n", NAMES[at])),
        ("10.0.0.11:8008", format!("127.0.0.1:{}", rests[at])),
        ("10.0.0.11:5432", format!("127.0.0.1:{}", servers[at])),
        ("10.0.0.21:2379, 10.0.0.22:2379, 10.0.0.23:2379", etcd.join(", ")),
        ("/var/lib/postgresql/15/podberth", data.display().to_string()),
        ("/usr/lib/postgresql/15/bin", bin.display().to_string()),
        ("/var/lib/postgresql/patroni.pgpass", folder.join(format!("pgpass-{}", NAMES[at])).display().to_string()),
        ("10.0.0.0/24", "127.0.0.1/32".to_owned()),
        ("local all all peer", "local all all trust".to_owned()),
        // There is no such device in containers.
        ("mode: required", "mode: \"off\"".to_owned()),
        (
            "max_connections: 100\n",
            format!("max_connections: 100\n        unix_socket_directories: {}\n", folder.display()),
        ),
    ] {
        replace(&mut text, part, &by);
    }
    text
}

/// Two replicas under load over the address of the primary.
struct Stage {
    patroni: Patroni,
    replicas: Vec<Replica>,
    load: Load,
}

impl Stage {
    async fn set(synchronous: bool) -> Option<Self> {
        let patroni = Patroni::start(synchronous).await?;
        let start = || (0..2).map(|_| Replica::start(&patroni.url, &[], None)).collect();
        let replicas: Vec<Replica> = block_in_place(start);
        let addresses = replicas.iter().map(|replica| replica.address().to_owned()).collect();
        let load = Load::start(addresses, patroni.url.clone()).await;
        let stage = Self { patroni, replicas, load };
        stage.goes_on().await;
        Some(stage)
    }

    async fn goes_on(&self) {
        self.load.progress(&[0, 1], SOME).await;
    }

    async fn judge(mut self, fault: &str, times: usize) {
        self.goes_on().await;
        for replica in &mut self.replicas {
            assert!(!replica.has_ended(), "a replica ended on its own: {}", replica.log());
        }
        let history = self.load.stop().await;
        report_on(fault, times, history, &self.patroni.url).await;
    }
}

fn times() -> usize {
    if long() { 4 } else { 1 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_switches_over() {
    let Some(stage) = Stage::set(true).await else { return };
    for _ in 0..times() {
        let primary = stage.patroni.primary().await;
        let (leader, candidate) = (NAMES[primary], NAMES[(primary + 1) % 3]);
        let rest = format!("127.0.0.1:{}", stage.patroni.machines[primary].rest);
        let change = json!({"leader": leader, "candidate": candidate});
        let answer = stage.patroni.client.send("POST", &rest, "/switchover", &change).await;
        assert!(matches!(answer, Answer::Said(200 | 202, _) | Answer::Silence), "{answer:?}");
        stage.goes_on().await;
        stage.patroni.is_whole(true).await;
    }
    stage.judge("Patroni: switchover", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_loses_the_primarys_process() {
    let Some(stage) = Stage::set(true).await else { return };
    for _ in 0..times() {
        let primary = stage.patroni.primary().await;
        let postmaster = stage.patroni.machines[primary].postmaster().expect("it runs");
        block_in_place(|| family(postmaster).into_iter().for_each(|process| signal(process, "KILL")));
        stage.goes_on().await;
        stage.patroni.is_whole(true).await;
    }
    stage.judge("Patroni: PostgreSQL of the primary is killed", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_loses_the_primarys_machine() {
    let Some(mut stage) = Stage::set(true).await else { return };
    for _ in 0..times() {
        let primary = stage.patroni.primary().await;
        block_in_place(|| stage.patroni.machines[primary].signal("KILL"));
        stage.goes_on().await;
        block_in_place(|| stage.patroni.restore(primary));
        stage.patroni.is_whole(true).await;
    }
    stage.judge("Patroni: the primary's machine is gone", times()).await;
}

/// Longer than the lease of a primary, so that another one is made; then it wakes up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_has_a_primary_that_hangs() {
    let Some(stage) = Stage::set(true).await else { return };
    for _ in 0..times() {
        let primary = stage.patroni.primary().await;
        block_in_place(|| stage.patroni.machines[primary].signal("STOP"));
        stage.goes_on().await;
        sleep(Duration::from_secs(5)).await;
        block_in_place(|| stage.patroni.machines[primary].signal("CONT"));
        stage.goes_on().await;
        stage.patroni.is_whole(true).await;
    }
    stage.judge("Patroni: the primary hangs (SIGSTOP)", times()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_loses_the_leader_of_etcd() {
    let Some(mut stage) = Stage::set(true).await else { return };
    for _ in 0..times() {
        let leader = leader_of(&stage.patroni).await;
        drop(stage.patroni.etcd[leader].take());
        stage.goes_on().await;
        // Longer than Patroni waits for an etcd.
        sleep(Duration::from_secs(10)).await;
        stage.goes_on().await;
        let started = etcd_of(&stage.patroni.etcd_settings[leader].0, stage.patroni.home.path());
        stage.patroni.etcd[leader] = Some(started);
        stage.goes_on().await;
    }
    stage.judge("Patroni: the leader of etcd is killed", times()).await;
}

/// The member of etcd that leads.
async fn leader_of(patroni: &Patroni) -> usize {
    let mut leaders = BTreeMap::new();
    for (at, (_, port)) in patroni.etcd_settings.iter().enumerate() {
        let address = format!("127.0.0.1:{port}");
        if let Answer::Said(200, status) =
            patroni.client.send("POST", &address, "/v3/maintenance/status", &json!({})).await
        {
            leaders.insert(at, status["leader"] == status["header"]["member_id"]);
        }
    }
    leaders.into_iter().find(|(_, leads)| *leads).expect("one leads").0
}

/// Standbys that are behind, and a primary that is gone: acknowledged writes are lost, as must be, and every replica says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "scripts/faults --patroni runs it"]
async fn patroni_without_synchronous_mode_loses_history() {
    let Some(mut stage) = Stage::set(false).await else { return };
    let primary = stage.patroni.primary().await;
    for process in stage.patroni.senders(primary).await {
        signal(process, "STOP");
    }
    stage.goes_on().await;
    block_in_place(|| stage.patroni.machines[primary].signal("KILL"));
    stage.load.history_may_be_lost();
    stage.goes_on().await;
    for replica in &stage.replicas {
        assert!(replica.has_logged("history was lost"), "{}", replica.log());
    }
    block_in_place(|| stage.patroni.restore(primary));
    stage.patroni.is_whole(false).await;
    stage.judge("Patroni without synchronous mode: the standbys are behind", 1).await;
}

/// `true` for a process that sends changes to a standby.
fn is_sender(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.contains("walsender"))
}

//! A PostgreSQL of one test's own that can be stopped, crashed, filled up and given an older copy of its data.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A server that is gone, with its data, when it is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    bin: PathBuf,
    /// The account of the server if the test runs as root, as which the server refuses to run.
    owner: Option<&'static str>,
    port: u16,
    max_connections: u32,
    /// `true` if `home` is a small file system of its own.
    mounted: bool,
    home: TempDir,
}

impl Postgres {
    /// A server with this limit of connections.
    pub(crate) fn start(max_connections: u32) -> Self {
        Self::create(max_connections, None).expect("a PostgreSQL can be made")
    }

    /// A server on a disk of this size. `None` if the test may not mount one.
    pub(crate) fn start_on_small_disk(megabytes: u32) -> Option<Self> {
        Self::create(100, Some(megabytes))
    }

    fn create(max_connections: u32, megabytes: Option<u32>) -> Option<Self> {
        let root = output(Command::new("id").arg("-u")).trim() == "0";
        let owner = root.then(|| {
            if Command::new("id").arg("postgres").output().is_ok_and(|o| o.status.success()) {
                "postgres"
            } else {
                "nobody"
            }
        });
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut server = Self { bin: binaries(), owner, port: free_port(), max_connections, mounted: false, home };
        if let Some(megabytes) = megabytes {
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(server.home.path());
            server.mounted = mount.output().is_ok_and(|output| output.status.success());
            if !server.mounted {
                return None;
            }
        }
        if let Some(owner) = owner {
            output(Command::new("chown").arg(owner).arg(server.home.path()));
        }
        let data = server.data();
        output(server.run("initdb").arg("-D").arg(data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]));
        server.up();
        Some(server)
    }

    /// A standby that follows it, under the name by which synchronous replication knows it.
    pub(crate) fn standby(&self, name: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        if let Some(owner) = self.owner {
            output(Command::new("chown").arg(owner).arg(home.path()));
        }
        let server = Self {
            bin: self.bin.clone(),
            owner: self.owner,
            port: free_port(),
            max_connections: self.max_connections,
            mounted: false,
            home,
        };
        let primary = format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port);
        output(
            server
                .run("pg_basebackup")
                .args(["-R", "-X", "stream", "-c", "fast", "-d", &primary, "-D"])
                .arg(server.data()),
        );
        server.up();
        server
    }

    /// Where to find it.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it and waits until it answers.
    pub(crate) fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c max_connections={} \
             -c superuser_reserved_connections=3 -c max_wal_size={} -c min_wal_size=32MB",
            self.port,
            self.home.path().display(),
            self.max_connections,
            // The log of a long run must not fill the small disk by itself.
            if self.mounted { "64MB" } else { "1GB" }
        );
        let log = self.home.path().join("log");
        output(
            self.run("pg_ctl")
                .arg("-D")
                .arg(self.data())
                .arg("-l")
                .arg(log)
                .args(["-w", "-t", "60", "start", "-o", &options]),
        );
    }

    /// `true` if it runs.
    pub(crate) fn is_up(&self) -> bool {
        self.run("pg_ctl").arg("-D").arg(self.data()).arg("status").output().is_ok_and(|o| o.status.success())
    }

    /// Stops it as a power failure would.
    pub(crate) fn crash(&self) {
        self.stop("immediate");
    }

    /// Stops it properly, closing its connections.
    pub(crate) fn down(&self) {
        self.stop("fast");
    }

    fn stop(&self, mode: &str) {
        output(self.run("pg_ctl").arg("-D").arg(self.data()).args(["-m", mode, "-w", "-t", "60", "stop"]));
    }

    /// Keeps a copy of its data as it is now. It must be down.
    pub(crate) fn keep_copy(&self) {
        output(Command::new("cp").arg("-a").arg(self.data()).arg(self.home.path().join("copy")));
    }

    /// Puts the copy in the place of its data. It must be down.
    pub(crate) fn put_copy_back(&self) {
        fs::remove_dir_all(self.data()).expect("the data can be removed");
        fs::rename(self.home.path().join("copy"), self.data()).expect("the copy is there");
    }

    /// Makes it a standby, which serves reads and follows no primary. It must be down.
    pub(crate) fn demote(&self) {
        let signal = self.data().join("standby.signal");
        fs::write(&signal, "").expect("the data can be written to");
        if let Some(owner) = self.owner {
            output(Command::new("chown").arg(owner).arg(signal));
        }
    }

    /// Makes a standby the primary. It must be up.
    pub(crate) fn promote(&self) {
        output(self.run("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-t", "60", "promote"]));
    }

    /// Fills its disk up to the last byte.
    pub(crate) fn fill_disk(&self) {
        let ballast = self.home.path().join("ballast");
        let full =
            Command::new("dd").args(["if=/dev/zero", "bs=64k"]).arg(format!("of={}", ballast.display())).output();
        assert!(!full.expect("dd is there").status.success(), "the disk is larger than it was made");
    }

    /// Takes the ballast out again.
    pub(crate) fn empty_disk(&self) {
        fs::remove_file(self.home.path().join("ballast")).expect("the ballast is there");
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn run(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = match self.owner {
            Some(owner) => {
                let mut command = Command::new("runuser");
                command.args(["-u", owner, "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // The caller's directory may be closed to the owner.
        command.current_dir(self.home.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.is_up() {
            self.stop("immediate");
        }
        if self.mounted {
            // Of a server that has just been stopped a process may still end, and keep its files until then.
            output(Command::new("umount").arg("--lazy").arg(self.home.path()));
        }
    }
}

pub(crate) fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().unwrap_or_else(|| Path::new("").to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// The output of a command, which must succeed. The output goes to a file if the command leaves a server behind, which would keep a
/// pipe open.
fn output(command: &mut Command) -> String {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let write = |file: &tempfile::NamedTempFile| file.reopen().expect("the file is there");
    let status = command.stdin(std::process::Stdio::null()).stdout(write(&file)).stderr(write(&file)).status();
    let text = fs::read_to_string(file.path()).unwrap_or_default();
    assert!(status.expect("the command is there").success(), "{command:?}: {text}");
    text
}

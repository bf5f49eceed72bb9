//! A Podberth as a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use tempfile::NamedTempFile;

/// A replica that is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    child: Child,
    address: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Replica {
    /// Starts a replica on a database and waits until it listens.
    pub(crate) fn start(database: &str, arguments: &[&str], clock: Option<&Clock>) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_podberth")), database, arguments, clock)
    }

    /// Starts a replica whose files cannot exceed this length.
    pub(crate) fn start_with_file_limit(database: &str, bytes: u64) -> Self {
        let mut command = Command::new("prlimit");
        // `env` makes a refused write an error instead of a signal that ends the process.
        command.args([&format!("--fsize={bytes}:unlimited"), "env", "--ignore-signal=XFSZ"]);
        command.arg(env!("CARGO_BIN_EXE_podberth"));
        Self::launch(command, database, &[], None)
    }

    /// Removes the limit on its files.
    pub(crate) fn lift_file_limit(&self) {
        let process = self.child.id().to_string();
        let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited:unlimited"]).status();
        assert!(lifted.expect("prlimit is there").success());
    }

    fn launch(mut command: Command, database: &str, arguments: &[&str], clock: Option<&Clock>) -> Self {
        command
            .args(["serve", "--listen=127.0.0.1:0", "--admission=none", "--database-acquire-timeout=2s"])
            .args(arguments);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("PODBERTH_DATABASE_URL", database).env("NO_COLOR", "1");
        if let Some(clock) = clock {
            command.env("LD_PRELOAD", &clock.library).env("FAKETIME_TIMESTAMP_FILE", clock.file.path());
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (listens, address) = mpsc::channel();
        let kept = log.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    let _ = listens.send(address.split_whitespace().next().unwrap_or_default().to_owned());
                }
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let Ok(address) = address.recv() else { panic!("it ended before it listened: {:?}", log.lock()) };
        Self { child, address, log }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
    }

    /// Stops it where it is.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Continues it.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is there").success());
    }

    /// `true` if it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is ours").is_some()
    }

    /// `true` if a line of its log has a text.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.contains(text))
    }

    /// The last lines of its log.
    pub(crate) fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log[log.len().saturating_sub(20)..].join("\n")
    }
}

/// The wall clock of replicas, which can be set while they run.
#[derive(Debug)]
pub(crate) struct Clock {
    library: PathBuf,
    file: NamedTempFile,
}

impl Clock {
    /// A clock that is right. `None` where libfaketime is not installed.
    pub(crate) fn find() -> Option<Self> {
        let folders = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let mut libraries = folders.map(|folder| folder.path().join("faketime/libfaketime.so.1"));
        let library = libraries.find(|library| library.exists())?;
        let clock = Self { library, file: NamedTempFile::new().expect("a temporary file") };
        clock.set("+0");
        Some(clock)
    }

    /// Sets the clock to this offset from the right time, as in `-3d` or `+2h`.
    pub(crate) fn set(&self, offset: &str) {
        fs::write(self.file.path(), format!("{offset}\n")).expect("the file is there");
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

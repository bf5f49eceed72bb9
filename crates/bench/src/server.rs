//! `podberth serve` as a process of its own, so that its memory and CPU time are nobody else's.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use axum::http::Method;
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::client::Client;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(3);

/// Lines of the log that are kept for an error.
const LINES: usize = 10;

/// The kernel's unit of CPU time, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running server. It is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Where it is reached: `http://127.0.0.1:PORT`, or `https://…` if it speaks TLS.
    pub(super) url: String,
    /// From its start until it said that it was ready.
    pub(super) start: Duration,
}

impl Server {
    /// Starts a server on a database and waits until it is ready. More settings are flags of `podberth serve`.
    pub(super) async fn start(
        binary: &Path,
        database: &str,
        settings: &[String],
        client: &Client,
    ) -> Result<Self, String> {
        let begun = Instant::now();
        let mut server = Self::listening(binary, database, settings).await?;
        let ready = format!("{}/readyz", server.url);
        while let Err(error) = client.send(Method::GET, &ready, None, "").await {
            if begun.elapsed() > PATIENCE {
                return Err(format!("the server is not ready after {PATIENCE:?}: {}", String::from(error)));
            }
            sleep(Duration::from_millis(2)).await;
        }
        server.start = begun.elapsed();
        Ok(server)
    }

    /// Starts a server on a database and waits until it listens.
    pub(super) async fn listening(binary: &Path, database: &str, settings: &[String]) -> Result<Self, String> {
        let mut command = Command::new(binary);
        // Other variables of this process must not become settings of the server.
        command.env_clear().env("PODBERTH_DATABASE_URL", database).env("NO_COLOR", "1");
        command
            .args(["serve", "--listen=127.0.0.1:0", "--admission=none", "--log-level=warn,podberth::app=info"])
            .args(settings);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{} does not start: {error}", binary.display()))?;
        let pipe = child.stderr.take();
        let mut server = Self { child, url: String::new(), start: Duration::ZERO };

        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (listens, address) = oneshot::channel();
        let (kept, mut listens) = (log.clone(), Some(listens));
        thread::spawn(move || {
            for line in pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
                if let Some((_, url)) = line.split_once("listening on ") {
                    let url = url.split_whitespace().next().unwrap_or_default();
                    // Nobody listens any more after the first line.
                    let _ = listens.take().map(|listens| listens.send(url.to_owned()));
                }
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_back(line);
                let surplus = kept.len().saturating_sub(LINES);
                kept.drain(..surplus);
            }
        });
        let said = || {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.iter().map(String::as_str).collect::<Vec<_>>().join("; ")
        };
        server.url = match timeout(PATIENCE, address).await {
            Ok(Ok(url)) => url,
            Ok(Err(_)) => return Err(format!("the server ended before it listened: {}", said())),
            Err(_) => return Err(format!("the server does not listen after {PATIENCE:?}: {}", said())),
        };
        Ok(server)
    }

    /// Asks it to stop and waits until it has.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        self.signal("-TERM")?;
        let begun = Instant::now();
        while self.child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("the server does not stop within {PATIENCE:?}"));
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Lets it read its certificates again.
    pub(super) fn hang_up(&self) -> Result<(), String> {
        self.signal("-HUP")
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        // The standard library has no other signal than the one that kills.
        let sent = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status();
        sent.map(drop).map_err(|error| format!("the server cannot be sent a signal: {error}"))
    }

    /// `true` if it still runs.
    pub(super) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory now, in MB; `None` where the system does not tell.
    pub(super) fn resident(&self) -> Option<f64> {
        self.status("VmRSS:")
    }

    /// The most resident memory since the start or since [`Self::forget_peak`], in MB.
    pub(super) fn peak(&self) -> Option<f64> {
        self.status("VmHWM:")
    }

    /// Lets the peak begin anew.
    pub(super) fn forget_peak(&self) -> Result<(), String> {
        let path = format!("/proc/{}/clear_refs", self.child.id());
        fs::write(&path, "5").map_err(|error| format!("{path}: {error}"))
    }

    /// CPU time that it has taken, in seconds.
    pub(super) fn cpu(&self) -> Option<f64> {
        cpu_of(&self.child.id().to_string())
    }

    fn status(&self, field: &str) -> Option<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kilobytes * 1024.0 / 1e6)
    }
}

/// CPU time that a process has taken, in seconds; `self` is this one.
pub(super) fn cpu_of(process: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the command's name, which may hold anything; utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `stop`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The files with certificates: `--tls-cert-file`, `--tls-key-file`, `--client-ca-file`, `--client-crl-file`. They are read at the start, then every
//! [`EVERY`] and on SIGHUP.

use std::{fs::File, io::Read as _, path::Path, path::PathBuf, sync::Arc, time::Duration};

use metrics::{counter, gauge};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::sleep,
};

use crate::{
    api::check::Check,
    clock,
    config::Settings,
    net::{Files, Reload, Step, Tls},
    service::supervised::Supervised,
    telemetry::{TLS_CERTIFICATE_EXPIRY, TLS_RELOADS},
};

/// Time between two looks at the files.
const EVERY: Duration = Duration::from_secs(30);

/// Time until the next look at files that are perhaps being replaced.
const SOON: Duration = Duration::from_secs(1);

/// Bytes of a file, at most: revocation lists are long.
const LONGEST: u64 = 64 << 20;

/// The paths of the files.
#[derive(Clone, Debug)]
struct Paths {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
    revoked: Option<PathBuf>,
}

impl Paths {
    /// The contents of the files, all at once.
    fn read(&self) -> Result<Files, String> {
        let optional = |setting, path: Option<&PathBuf>| path.map(|path| read(setting, path)).transpose();
        Ok(Files {
            certificate: read("--tls-cert-file", &self.certificate)?,
            key: read("--tls-key-file", &self.key)?,
            client_authorities: optional("--client-ca-file", self.client_authorities.as_ref())?,
            revoked: optional("--client-crl-file", self.revoked.as_ref())?,
        })
    }
}

fn read(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("{setting}: the file cannot be read: {error}");
    // A pipe would block for ever.
    if !std::fs::metadata(path).map_err(wrong)?.is_file() {
        return Err(format!("{setting}: it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(wrong)?.take(LONGEST + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > LONGEST {
        return Err(format!("{setting}: the file is longer than {LONGEST} bytes"));
    }
    Ok(bytes)
}

/// The certificates of this process, which follow their files until this is dropped.
pub(super) struct Certificates {
    /// The certificates in force.
    pub(super) tls: Tls,
    _running: Supervised,
}

impl Certificates {
    /// Loads the certificates that the settings name; `None` where they name none.
    pub(super) async fn load(settings: &Settings) -> Result<Option<Self>, String> {
        let settings = settings.tls.clone();
        let (Some(certificate), Some(key)) = (settings.tls_cert_file, settings.tls_key_file) else { return Ok(None) };
        let (client_authorities, revoked) = (settings.client_ca_file, settings.client_crl_file);
        let paths = Arc::new(Paths { certificate, key, client_authorities, revoked });
        let tls = Tls::new(contents(&paths).await?, settings.tls_min_version)?;
        if let Some(remark) = tls.remark(clock::now().as_second()) {
            tracing::warn!("{remark}");
        }
        gauge!(TLS_CERTIFICATE_EXPIRY).set(tls.ends() as f64);
        let followed = tls.clone();
        let run = move || follow(paths.clone(), followed.clone());
        let running = Supervised::start("the loop that reads the certificates", SOON, run);
        Ok(Some(Self { tls, _running: running }))
    }

    /// Tells in `/readyz?verbose` what should be mended. The process stays ready: it has certificates, and all replicas have the same files.
    pub(super) fn check(&self) -> Check {
        let tls = self.tls.clone();
        Check::remarking("tls", move || tls.remark(clock::now().as_second()))
    }
}

async fn contents(paths: &Arc<Paths>) -> Result<Files, String> {
    let paths = paths.clone();
    spawn_blocking(move || paths.read()).await.map_err(|error| format!("the files cannot be read: {error}"))?
}

/// Looks at the files again and again.
async fn follow(paths: Arc<Paths>, tls: Tls) {
    let (mut reload, mut pause) = (Reload::new(tls.clone()), EVERY);
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be heard");
            return;
        }
    };
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            _ = hangups.recv() => {}
        }
        let step = reload.step(contents(&paths).await);
        pause = if step == Step::Doubted { SOON } else { EVERY };
        match step {
            Step::Same | Step::Doubted => {}
            Step::Replaced => {
                gauge!(TLS_CERTIFICATE_EXPIRY).set(tls.ends() as f64);
                counter!(TLS_RELOADS, "result" => "loaded").increment(1);
                tracing::info!("the certificates were loaded again");
            }
            Step::Refused(why) => {
                counter!(TLS_RELOADS, "result" => "refused").increment(1);
                tracing::error!("the certificates of before stay in force: {why}");
            }
        }
    }
}

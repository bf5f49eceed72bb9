//! The way to an API server, read from a kubeconfig file or from the pod that Podberth runs in.
//!
//! Errors are one line that names the field at fault, and show neither a secret nor the content of a file: callers of the HTTP API choose the
//! file's name.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use hyper::header::HeaderValue;
use kube::{
    Config,
    client::AuthError,
    config::{AuthInfo, Cluster, KubeConfigOptions, Kubeconfig, KubeconfigError, LoadDataError},
};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::wire::source::ClusterSource;

/// Longest kubeconfig file, and longest file that one names, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// The way to an API server.
pub(super) struct Access {
    pub(super) config: Config,
    /// Digest of all files that it was read from, but for those that kube reads again by itself.
    pub(super) digest: [u8; 32],
    /// Digest of the server's URL and authority.
    pub(super) server: [u8; 32],
    /// `true` if a program gives the credentials, which may end at a time that nobody tells.
    pub(super) by_program: bool,
}

/// Reads the way to the API server of a source. Reads files, so it belongs onto a thread that may block.
///
/// # Errors
/// Why it cannot be used, in one line without secrets.
pub(super) fn read(source: &ClusterSource, programs_allowed: bool) -> Result<Access, String> {
    let Some(file) = &source.kubeconfig_file else {
        if !source.in_cluster {
            return Err("the source names no API server: set kubeconfigFile, or inCluster".into());
        }
        // Token and authority of the service account are read again by kube.
        let config = Config::incluster().map_err(|error| format!("Podberth does not run in a cluster: {error}"))?;
        return Ok(Access { config, digest: [0; 32], server: [0; 32], by_program: false });
    };
    let of_file = |why: String| format!("kubeconfig {file}: {why}");
    from_file(Path::new(file), source.context.as_deref(), programs_allowed).map_err(of_file)
}

fn from_file(file: &Path, context: Option<&str>, programs_allowed: bool) -> Result<Access, String> {
    let mut digest = Sha256::new();
    digest.update(bounded(file)?);
    let kubeconfig = Kubeconfig::read_from(file).map_err(|error| told(&error))?;
    let (cluster, user) = chosen(&kubeconfig, context)?;
    let referred = [&cluster.certificate_authority, &user.client_certificate, &user.client_key];
    for referred in referred.into_iter().flatten() {
        // One that cannot be read is an error below, if it is used at all.
        digest.update(bounded(Path::new(referred)).unwrap_or_default());
    }
    let has_proxy = cluster.proxy_url.as_ref().is_some_and(|url| !url.is_empty());
    if has_proxy {
        return Err("proxy-url of the cluster is not supported: name a server that is reached directly".into());
    }
    let by_program = user.exec.is_some() || user.auth_provider.is_some();
    if by_program && !programs_allowed {
        return Err("the user's credentials come from a program (exec, auth-provider), which is not run unless Podberth is started with \
                    --allow-exec-credentials; use a token, a tokenFile or a client certificate"
            .into());
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    // Nothing in it waits; the thread may block in any case.
    let config = tokio::runtime::Handle::current().block_on(Config::from_custom_kubeconfig(kubeconfig, &options));
    let mut config = config.map_err(|error| told(&error))?;
    // The environment has a proxy for other hosts; the kubeconfig decides on its own server.
    config.proxy_url = None;
    if let Some(token) = &config.auth_info.token {
        let token = token.expose_secret().trim();
        if HeaderValue::try_from(format!("Bearer {token}")).is_err() {
            return Err("the user's token has characters that no token has: copy it again, in one line".into());
        }
        config.auth_info.token = Some(token.into());
    }
    let scheme = config.cluster_url.scheme_str();
    if !matches!(scheme, Some("http" | "https")) || config.cluster_url.authority().is_none() {
        return Err("the cluster's server must be a URL that begins with https:// or http://".into());
    }
    let mut server = Sha256::new();
    server.update(config.cluster_url.to_string());
    for authority in config.root_cert.iter().flatten() {
        server.update(authority);
    }
    Ok(Access { config, digest: digest.finalize().into(), server: server.finalize().into(), by_program })
}

/// The content of a file that can be one of a kubeconfig.
fn bounded(file: &Path) -> Result<Vec<u8>, String> {
    let about = fs::metadata(file).map_err(|error| format!("cannot be read: {error}"))?;
    if !about.is_file() || about.len() > MOST_BYTES {
        return Err(format!("is no file of at most {MOST_BYTES} bytes"));
    }
    let mut content = Vec::new();
    // It may have grown.
    let read = File::open(file).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut content));
    let read = read.map_err(|error| format!("cannot be read: {error}"))?;
    if read as u64 > MOST_BYTES {
        return Err(format!("is no file of at most {MOST_BYTES} bytes"));
    }
    Ok(content)
}

/// The cluster and the user of a context. kube finds them in the same way, and tells neither.
fn chosen(kubeconfig: &Kubeconfig, context: Option<&str>) -> Result<(Cluster, AuthInfo), String> {
    let name = context.or(kubeconfig.current_context.as_deref()).filter(|name| !name.is_empty());
    let Some(name) = name else { return Err("it has no current-context: name a context".into()) };
    let context = kubeconfig.contexts.iter().find(|one| one.name == name).and_then(|one| one.context.as_ref());
    let Some(context) = context else { return Err("it has no such context".into()) };
    let cluster = kubeconfig.clusters.iter().find(|one| one.name == context.cluster);
    let Some(cluster) = cluster.and_then(|one| one.cluster.clone()) else {
        return Err("it does not have the cluster of the context".into());
    };
    let user = context.user.as_ref().and_then(|user| kubeconfig.auth_infos.iter().find(|one| one.name == *user));
    Ok((cluster, user.and_then(|one| one.auth_info.clone()).unwrap_or_default()))
}

/// A fault of a kubeconfig.
pub(super) fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) | KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            "it is no kubeconfig".into()
        }
        KubeconfigError::ReadConfig(error, _) => format!("cannot be read: {error}"),
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "the cluster's server must be a URL that begins with https:// or http://".into()
        }
        KubeconfigError::LoadCertificateAuthority(error) => format!("certificate-authority {}", data(error)),
        KubeconfigError::LoadClientCertificate(error) => format!("client-certificate {}", data(error)),
        KubeconfigError::LoadClientKey(error) => format!("client-key {}", data(error)),
        KubeconfigError::ParseCertificates(_) => "certificate-authority has no certificates in PEM".into(),
        _ => "it cannot be used".into(),
    }
}

fn data(error: &LoadDataError) -> String {
    match error {
        LoadDataError::DecodeBase64(_) => "is not base64".into(),
        LoadDataError::ReadFile(error, _) => format!("cannot be read: {error}"),
        LoadDataError::NoBase64DataOrFile => "is missing".into(),
    }
}

/// A fault of credentials. kube's own words for some have a program's output in them.
pub(super) fn of_credentials(error: &AuthError) -> String {
    match error {
        AuthError::ReadTokenFile(error, _) => format!("tokenFile cannot be read: {error}"),
        AuthError::InvalidBearerToken(_) => "the token has characters that no token has".into(),
        AuthError::AuthExecStart(error) => format!("the program for credentials cannot be run: {error}"),
        AuthError::AuthExecRun { out, .. } => format!("the program for credentials failed: {}", out.status),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "the program for credentials answers with no ExecCredential".into()
        }
        _ => "the credentials cannot be used".into(),
    }
}

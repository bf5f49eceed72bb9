//! `podberth kubeconfig`: what kubectl and the clients of Kubernetes need to ask a server.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use hyper::{Method, Uri, http::uri::Authority};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::asked::{Asked, Credentials};
use crate::{live::DEFAULT_CLUSTER, service::clusters::check_name};

/// Bytes of a kubeconfig at most, as for kubectl's clients: it is no large file.
const LONGEST: u64 = 16 << 20;

/// Options of `podberth kubeconfig`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    asked: Asked,
    /// Name of the entries; those of a cluster other than the default one have its name behind it, as in podberth-prod
    #[arg(long, value_name = "NAME", default_value = "podberth")]
    name: String,
    /// A cluster to have a context for; may be repeated. The default one unless told
    #[arg(long = "cluster", value_name = "CLUSTER", conflicts_with = "all")]
    clusters: Vec<String>,
    /// A context for each cluster of the server
    #[arg(long)]
    all: bool,
    /// The kubeconfig to merge the entries into; entries of the same names are replaced, all others stay. Printed unless told
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// The output of the command.
pub struct Said {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub remark: String,
}

#[derive(Deserialize)]
struct Listed {
    items: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Runs the command.
///
/// # Errors
/// In one line.
pub async fn run(options: &Options) -> Result<Said, String> {
    let Options { asked, name, clusters, all, kubeconfig } = options;
    let url: Uri = asked.url().parse().map_err(|_| expected(&asked.server))?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url.authority().map_or("", Authority::as_str);
    if !is_http || authority.is_empty() || authority.contains('@') || url.query().is_some() {
        return Err(expected(&asked.server));
    }
    let credentials = asked.credentials()?;
    let clusters = if *all {
        let listed: Listed = asked.ask(Method::GET, "/clusters", Vec::new()).await?;
        listed.items.into_iter().map(|cluster| cluster.name).collect()
    } else if clusters.is_empty() {
        vec![DEFAULT_CLUSTER.to_owned()]
    } else {
        clusters.clone()
    };
    for cluster in &clusters {
        check_name(cluster).map_err(|error| format!("--cluster: {error}"))?;
    }
    let is_told_nothing = credentials.token.is_some() && url.scheme_str() == Some("http");
    let remark = if is_told_nothing {
        "kubectl sends a token over https alone: over http it asks as system:anonymous\n".to_owned()
    } else {
        String::new()
    };
    let entries = Entries { name, url: asked.url(), clusters: &clusters, credentials: &credentials };
    let Some(path) = kubeconfig else {
        return Ok(Said { output: entries.merged("")?, remark });
    };
    let in_file = |why: String| format!("--kubeconfig {}: {why}", path.display());
    let text = entries.merged(&before(path).map_err(in_file)?).map_err(in_file)?;
    replace(path, &text).map_err(|error| in_file(error.to_string()))?;
    let contexts: Vec<String> = clusters.iter().map(|cluster| entries.entry(cluster)).collect();
    let (file, contexts) = (path.display(), contexts.join(", "));
    let output = format!("{file} has the contexts {contexts}. Try: kubectl --kubeconfig {file} get nodes\n");
    Ok(Said { output, remark })
}

fn expected(server: &str) -> String {
    format!("--server {server:?}: expected a URL such as https://podberth.example:8080")
}

/// The text of a kubeconfig; empty where there is none.
fn before(path: &Path) -> Result<String, String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error.to_string()),
        Ok(of) if of.len() > LONGEST => return Err(format!("it is longer than {LONGEST} bytes")),
        Ok(_) => {}
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Replaces a file as a whole, with rights for its owner alone. A link stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone().into_os_string();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&beside, &path)).inspect_err(|_| drop(fs::remove_file(&beside)))
}

/// The entries of a server.
struct Entries<'a> {
    name: &'a str,
    url: &'a str,
    clusters: &'a [String],
    credentials: &'a Credentials,
}

impl Entries<'_> {
    /// The name of the entries of a cluster.
    fn entry(&self, cluster: &str) -> String {
        if cluster == DEFAULT_CLUSTER { self.name.to_owned() } else { format!("{}-{cluster}", self.name) }
    }

    /// A kubeconfig with the entries, and all else that it had.
    fn merged(&self, before: &str) -> Result<String, String> {
        let before: Option<Value> =
            serde_saphyr::from_str(before).map_err(|_| "it is no YAML: mend it, or name another file".to_owned())?;
        let mut config = match before {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(config)) => config,
            Some(_) => return Err("it is no kubeconfig".into()),
        };
        if config.get("kind").is_some_and(|kind| kind != "Config") {
            return Err("it is no kubeconfig: its kind is another one".into());
        }
        config.insert("apiVersion".into(), "v1".into());
        config.insert("kind".into(), "Config".into());
        for cluster in self.clusters {
            let entry = self.entry(cluster);
            let path = if cluster == DEFAULT_CLUSTER { String::new() } else { format!("/clusters/{cluster}") };
            let mut of_cluster = json!({"server": format!("{}{path}", self.url)});
            if let Some(authorities) = &self.credentials.authorities {
                of_cluster["certificate-authority-data"] = STANDARD.encode(authorities).into();
            }
            put(&mut config, "clusters", &entry, "cluster", &of_cluster)?;
            let namespace = namespace_of(&config, &entry);
            let mut context = json!({"cluster": entry, "user": self.name});
            if let Some(namespace) = namespace {
                context["namespace"] = namespace;
            }
            put(&mut config, "contexts", &entry, "context", &context)?;
        }
        put(&mut config, "users", self.name, "user", &self.user())?;
        let has_current = config.get("current-context").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        if let Some(cluster) = self.clusters.first().filter(|_| !has_current) {
            config.insert("current-context".into(), self.entry(cluster).into());
        }
        serde_saphyr::to_string(&config).map_err(|error| error.to_string())
    }

    fn user(&self) -> Value {
        let mut user = json!({});
        if let Some(token) = &self.credentials.token {
            user["token"] = token.as_str().into();
        }
        if let Some((certificate, key)) = &self.credentials.pair {
            user["client-certificate-data"] = STANDARD.encode(certificate).into();
            user["client-key-data"] = STANDARD.encode(key).into();
        }
        user
    }
}

/// The namespace that a context has already.
fn namespace_of(config: &Map<String, Value>, name: &str) -> Option<Value> {
    let contexts = config.get("contexts")?.as_array()?;
    let context = contexts.iter().find(|context| context["name"] == name)?;
    context["context"].get("namespace").cloned()
}

/// Puts an entry into a list, in place of the one of its name.
fn put(config: &mut Map<String, Value>, list: &str, name: &str, key: &str, value: &Value) -> Result<(), String> {
    let entries = config.entry(list).or_insert_with(|| json!([]));
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries.as_array_mut().ok_or_else(|| format!("it is no kubeconfig: {list} is no list"))?;
    let entry = json!({"name": name, key: value});
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        Some(old) => *old = entry,
        None => entries.push(entry),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(before: &str, clusters: &[&str], token: &str) -> Value {
        let credentials = Credentials { token: Some(token.into()), authorities: Some(b"CA".to_vec()), pair: None };
        let clusters: Vec<String> = clusters.iter().map(|&cluster| cluster.to_owned()).collect();
        let entries = Entries { name: "podberth", url: "https://h:1", clusters: &clusters, credentials: &credentials };
        serde_saphyr::from_str(&entries.merged(before).expect("a kubeconfig")).expect("YAML")
    }

    #[test]
    fn each_cluster_has_a_context() {
        let config = merged("", &["default", "prod"], "t");
        assert_eq!(
            config,
            json!({
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "podberth", "cluster": {"server": "https://h:1", "certificate-authority-data": "Q0E="}},
                    {"name": "podberth-prod",
                     "cluster": {"server": "https://h:1/clusters/prod", "certificate-authority-data": "Q0E="}},
                ],
                "contexts": [
                    {"name": "podberth", "context": {"cluster": "podberth", "user": "podberth"}},
                    {"name": "podberth-prod", "context": {"cluster": "podberth-prod", "user": "podberth"}},
                ],
                "users": [{"name": "podberth", "user": {"token": "t"}}],
                "current-context": "podberth",
            })
        );
    }

    #[test]
    fn other_entries_stay() {
        let before = "
current-context: mine
preferences: {colors: true}
users: [{name: me, user: {token: secret}}, {name: podberth, user: {token: old, username: x}}]
clusters: null
contexts: [{name: mine, context: {cluster: c, user: me}}, {name: podberth, context: {cluster: x, user: y, namespace: dev}}]
";
        let config = merged(before, &["default"], "new");
        assert_eq!((&config["current-context"], &config["preferences"]), (&"mine".into(), &json!({"colors": true})));
        assert_eq!(
            config["users"],
            json!([{"name": "me", "user": {"token": "secret"}}, {"name": "podberth", "user": {"token": "new"}}])
        );
        let own =
            json!({"name": "podberth", "context": {"cluster": "podberth", "user": "podberth", "namespace": "dev"}});
        assert_eq!(config["contexts"], json!([{"name": "mine", "context": {"cluster": "c", "user": "me"}}, own]));
        assert_eq!(
            merged(&serde_saphyr::to_string(&config).expect("YAML"), &["default"], "new"),
            config,
            "it may be repeated"
        );
    }

    #[test]
    fn file_that_is_no_kubeconfig_is_refused() {
        let credentials = Credentials { token: None, authorities: None, pair: None };
        let entries =
            Entries { name: "podberth", url: "https://h:1", clusters: &["default".into()], credentials: &credentials };
        for text in ["[]", "a: [", "kind: Pod", "users: {}", "text"] {
            let error = entries.merged(text).expect_err(text);
            assert!(error.starts_with("it is no "), "{error}");
        }
    }
}

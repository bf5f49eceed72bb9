//! kubectl by a certificate, by a token and acting as others. `KUBECTL_BIN` names binaries, separated by `:`; without it the one of the path is
//! asked, and without any the test says that it was skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use axum::{body::Body, http::Request};
use podberth::{
    net::{MinVersion, Tls},
    service::access::{
        Caller,
        tokens::{self, NewToken},
    },
};
use podberth_testkit::certificates::{Authority, Identity};
use serde_json::{Value, json};

use crate::{
    node,
    server::Server,
    tls::{ROOT, closed, files, secured},
};

/// A kubectl with one way to be known.
struct Kubectl<'k> {
    binary: &'k str,
    home: &'k Path,
    known_by: Vec<String>,
}

impl Kubectl<'_> {
    /// The output of a command; its complaint if it failed.
    fn run(&self, words: &str) -> Result<String, String> {
        let mut command = Command::new(self.binary);
        // No kubeconfig and no cache of the machine.
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).env("HOME", self.home);
        let command = command.args(&self.known_by).args(words.split_whitespace()).stdin(Stdio::null());
        let output = command.output().expect("kubectl starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (out, complaint) = (text(output.stdout), text(output.stderr));
        if output.status.success() { Ok(out) } else { Err(out + &complaint) }
    }

    fn refused(&self, words: &str, told: &str) {
        let complaint = self.run(words).expect_err(words);
        assert!(complaint.contains(told), "{} {words}: {complaint}", self.binary);
    }

    fn done(&self, words: &str, told: &str) {
        let output = self.run(words).unwrap_or_else(|complaint| panic!("{} {words}: {complaint}", self.binary));
        assert!(output.contains(told), "{} {words}: {output}", self.binary);
    }
}

async fn create(server: &Server, path: &str, object: Value) {
    let request = Request::post(path).header("authorization", format!("Bearer {ROOT}"));
    let request = request.header("content-type", "application/json").body(Body::from(object.to_string()));
    server.send(request.expect("a request")).await.is(201);
}

/// The words for a server and a certificate.
fn known(folder: &Path, port: u16, identity: Option<&Identity>) -> Vec<String> {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut words =
        vec![format!("--server=https://localhost:{port}"), format!("--certificate-authority={}", file("ca.crt"))];
    if let Some(identity) = identity {
        fs::write(folder.join("client.crt"), &identity.certificate).expect("it is written");
        fs::write(folder.join("client.key"), &identity.key).expect("it is written");
        words.push(format!("--client-certificate={}", file("client.crt")));
        words.push(format!("--client-key={}", file("client.key")));
    }
    words
}

fn ask_all(binary: &str, folder: &Path, port: u16, admin: &Identity, jane: &str) {
    let home: PathBuf = folder.join("home");
    let kubectl = |known_by| Kubectl { binary, home: &home, known_by };
    let by_token = |token: &str| [known(folder, port, None), vec![format!("--token={token}")]].concat();

    let root = kubectl(known(folder, port, Some(admin)));
    root.done("get nodes -o name", "node/n\n");
    root.done("auth can-i create placements.podberth.io", "yes");
    root.done("--as=jane get pods -n dev -o name", "");
    root.refused(
        "--as=jane get nodes",
        "nodes is forbidden: User \"jane\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
    );
    root.done("--as=kim --as-group=dev auth can-i list pods -n dev", "yes");

    let known_by_token = kubectl(by_token(jane));
    known_by_token.done("get pods -n dev -o name", "");
    known_by_token.refused("get pods", "User \"jane\" cannot list resource \"pods\"");
    known_by_token.done("auth can-i get pods -n dev", "yes");
    known_by_token.refused("auth can-i delete pods -n dev", "no");
    let rights = known_by_token.run("auth can-i --list -n dev").expect("a list");
    let pods = rights.lines().find(|line| line.starts_with("pods ")).unwrap_or_default();
    assert!(pods.contains("[get list watch]"), "{binary}: {rights}");
    known_by_token.refused("--as=admin get nodes", "User \"jane\" cannot impersonate resource \"users\"");
    match known_by_token.run("auth whoami -o json") {
        Ok(review) => assert!(review.contains("\"username\": \"jane\"") && review.contains("\"dev\""), "{review}"),
        // kubectl 1.20 has no such command, and 1.27 asks for versions that ended with it.
        Err(complaint) => {
            assert!(["unknown shorthand", "v1alpha1"].iter().any(|why| complaint.contains(why)), "{complaint}");
        }
    }

    kubectl(by_token("wrong")).refused("get nodes", "You must be logged in to the server");
    let mut elsewhere = by_token(jane);
    elsewhere[0] = format!("--server=https://127.0.0.1:{port}/clusters/other");
    kubectl(elsewhere).refused("get pods -n dev", "User \"jane\" cannot list resource \"pods\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_is_known_by_certificates_and_tokens() {
    let named = std::env::var("KUBECTL_BIN").unwrap_or_else(|_| "kubectl".into());
    let is_there = |binary: &&str| {
        let mut version = Command::new(binary);
        let version = version.args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let binaries: Vec<String> = named.split(':').filter(is_there).map(str::to_owned).collect();
    if binaries.is_empty() {
        eprintln!("skipped: {named} is not installed");
        return;
    }
    let authority = Authority::new("a");
    let tls = Tls::new(files(&authority.server(), Some(&authority), None), MinVersion::Tls12).expect("certificates");
    let server = closed().await;
    create(&server, "/api/v1/nodes", node("n", 4)).await;
    let binding = json!({"metadata": {"name": "dev"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"},
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"}]});
    create(&server, "/apis/rbac.authorization.k8s.io/v1/namespaces/dev/rolebindings", binding).await;
    let new = NewToken { name: "jane".into(), user: "jane".into(), groups: vec!["dev".into()], ..NewToken::default() };
    let jane = tokens::create(&server.state, &Caller::default(), new).await.expect("a token").token;
    let running = secured(&tls, server.router).await;
    let (port, admin) = (running.address.port(), authority.client("admin", "system:masters"));
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("ca.crt"), &authority.pem).expect("it is written");
    let asked = tokio::task::spawn_blocking(move || {
        for binary in &binaries {
            ask_all(binary, folder.path(), port, &admin, &jane);
        }
    });
    asked.await.expect("each is answered");
}

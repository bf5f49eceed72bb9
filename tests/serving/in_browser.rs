//! Pages in a real browser, Chromium: one of another origin and one under a rebound name get nothing, the served pages work. Skipped where there is no Chromium.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
};

use axum::{Extension, Router};
use podberth::api::browser::Guard;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    Running, node,
    server::{LATE, Server},
};

/// A page that attacks the server at `BASE`: the reply, or the error, of each attempt becomes a line of it.
const ATTACK: &str = r#"<!doctype html><title>page</title><pre id=out></pre><script>
const policy = JSON.stringify({kind: "Policy", apiVersion: "v1", priorities: [{name: "EqualPriority", weight: 7}]});
const attempts = [
  ["read", "/api/v1/nodes", {}],
  ["simple write", "/policy", {method: "POST", body: policy, mode: "no-cors"}],
  ["write", "/policy", {method: "PUT", body: policy, headers: {"content-type": "application/json"}}],
  ["delete", "/api/v1/nodes/secret-node", {method: "DELETE"}],
  ["credentials", "/api/v1/nodes", {credentials: "include"}],
];
(async () => {
  for (const [name, path, how] of attempts) {
    let told;
    try {
      const reply = await fetch("BASE" + path, how);
      told = reply.type + " " + reply.status + " " + (await reply.text());
    } catch (error) {
      told = "error " + error.name;
    }
    document.getElementById("out").append(name + ": " + told + "\n");
  }
  document.getElementById("out").append("done\n");
})();
</script>"#;

/// The document at a URL once its scripts have run; `None` where there is no Chromium.
async fn loaded(url: String, rules: &'static str) -> Option<String> {
    let run = move || {
        let profile = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("timeout");
        command.args([
            "-k",
            "5",
            "120",
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]);
        command.args([
            "--disable-background-networking",
            "--no-first-run",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.arg(format!("--host-resolver-rules={rules}")).arg(url);
        let output = command.stdin(Stdio::null()).output().expect("timeout is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let is_there = Command::new("chromium").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !is_there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: chromium is not installed");
        return None;
    }
    Some(tokio::task::spawn_blocking(run).await.expect("it runs"))
}

/// The server as `podberth serve` has it on loopback.
async fn guarded() -> (Server, Running) {
    let guard = Guard::new(
        &[IpAddr::V4(Ipv4Addr::LOCALHOST)],
        "none".parse().expect("hosts"),
        "none".parse().expect("origins"),
    );
    let server = Server::with(&[("nodes", node("secret-node", 4))]).await;
    let router: Router = server.router.clone().layer(Extension(guard));
    let running = Running::start(router, LATE).await;
    (server, running)
}

/// A server of one page. With `behind`, all other paths are passed on to that address as they came: to a browser that is a name whose address changes
/// after the page is loaded.
async fn page(text: String, behind: Option<SocketAddr>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let text = text.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 16 << 10];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let is_page = head.starts_with(b"GET / ");
                if let (false, Some(behind)) = (is_page, behind) {
                    let mut onward = TcpStream::connect(behind).await.expect("it listens");
                    let _ = onward.write_all(&head[..length]).await;
                    let _ = copy_bidirectional(&mut stream, &mut onward).await;
                    return;
                }
                let (code, text) = if is_page { ("200 OK", &*text) } else { ("404 Not Found", "") };
                let reply = format!(
                    "HTTP/1.1 {code}\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
                let _ = stream.write_all(reply.as_bytes()).await;
            });
        }
    });
    address
}

async fn nothing_has_changed(server: &Server) {
    assert!(!server.get("/policy").await.text().contains("EqualPriority"), "the page has changed the policy");
    server.get("/api/v1/nodes/secret-node").await.is(200);
}

/// The lines that the page has added.
fn lines(document: &str) -> Vec<&str> {
    let out = document.split_once("<pre id=\"out\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    out.unwrap_or_else(|| panic!("no page: {document}")).0.lines().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_gets_nothing() {
    let (server, running) = guarded().await;
    for host in ["127.0.0.1", "localhost"] {
        let base = format!("http://{host}:{}", running.address.port());
        let address = page(ATTACK.replace("BASE", &base), None).await;
        let Some(document) = loaded(format!("http://{address}/"), "").await else { return };
        let told = lines(&document);
        assert_eq!(told.last(), Some(&"done"), "{document}");
        assert!(!told.join("\n").contains("secret-node"), "{told:?}");
        assert_eq!(told.iter().filter(|line| line.contains("error TypeError")).count(), 4, "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("simple write: opaque 0")), "{told:?}");
        nothing_has_changed(&server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_under_a_rebound_name_gets_nothing() {
    let (server, running) = guarded().await;
    let address = page(ATTACK.replace("BASE", ""), Some(running.address)).await;
    let url = format!("http://rebound.test:{}/", address.port());
    let Some(document) = loaded(url, "MAP rebound.test 127.0.0.1").await else { return };
    let told = lines(&document);
    assert_eq!(told.last(), Some(&"done"), "{document}");
    assert!(!told.join("\n").contains("\"secret-node\""), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains("basic 421 ")).count(), 5, "{told:?}");
    nothing_has_changed(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_served_pages_work() {
    let (_, running) = guarded().await;
    let url = format!("http://localhost:{}/docs/", running.address.port());
    let Some(document) = loaded(url, "").await else { return };
    assert!(document.contains("data-tag=\"decisions\"") && document.contains("Authorize"), "{document}");
}

//! `podberth demo`: the first command for newcomers. It loads a small cluster, shows two decisions, and keeps serving.

use std::fmt::Write as _;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Method, Request, header},
};
use tower::ServiceExt;

use crate::wire::{explanation::Explanation, table};

const CLUSTER: &str = include_str!("../../examples/cluster.yaml");
/// Further nodes and pods, for the web page.
const MORE: &str = include_str!("../../examples/demo.yaml");
const PODS: [(&str, &str); 2] = [
    ("shop/web-4", include_str!("../../examples/pods/web.yaml")),
    ("ml/train-2", include_str!("../../examples/pods/impossible.yaml")),
];

/// Loads the demo's cluster through the server's own API and reports on its two pending pods.
///
/// # Errors
/// The server's reply, as one line, if it is not the expected one.
pub async fn introduce(router: &Router, url: &str) -> Result<String, String> {
    let pods = PODS.map(|(_, yaml)| yaml);
    post(router, "/import", "application/yaml", [CLUSTER, pods[0], pods[1]].join("\n---\n")).await?;
    let mut text = format!("See it in a browser: {url}/ui/\nA small cluster is loaded, in memory (Ctrl-C ends it).\n");
    for (name, _) in PODS {
        let question = serde_json::json!({ "podName": name }).to_string();
        let reply = post(router, "/explain", "application/json", question).await?;
        let explanation: Explanation = serde_json::from_slice(&reply).map_err(|e| e.to_string())?;
        text.push('\n');
        text.push_str(&table::render(&explanation, super::explain::terminal_width()));
    }
    post(router, "/import", "application/yaml", MORE.to_owned()).await?;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        r#"
Now it is your turn:

curl {url}/api/v1/nodes
curl {url}/explain -d '{{"podName": "shop/web-4"}}'
curl {url}/filter -d '{{"Pod": {{"metadata": {{"name": "mine"}}, "spec": {{"containers": [{{"name": "main"}}]}}}}, "NodeNames": ["worker-a1", "worker-c3", "gpu-a1"]}}'
curl {url}/policy

{url}/docs/ shows every call in a browser, {url}/ui/ the cluster."#
    );
    Ok(text)
}

async fn post(router: &Router, path: &str, content_type: &str, body: String) -> Result<Vec<u8>, String> {
    let request = Request::builder().method(Method::POST).uri(path).header(header::CONTENT_TYPE, content_type);
    let request = request.body(Body::from(body)).map_err(|e| e.to_string())?;
    let Ok(response) = router.clone().oneshot(request).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.map_err(|e| e.to_string())?;
    if status.is_success() { Ok(body.to_vec()) } else { Err(format!("{path}: {}", String::from_utf8_lossy(&body))) }
}

//! Behaviour that people and their tools expect of any HTTP service.

use serde_json::json;

use crate::{
    node, pod,
    server::{Server, Setup, memory},
};

#[tokio::test]
async fn the_root_leads_browsers_to_the_page_and_lists_the_paths_for_programs() {
    let server = Server::with(&[]).await;
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let sent = server.ask("GET", "/", browser, "").await;
    assert_eq!((sent.code, sent.header("location")), (303, Some("ui/")));
    for path in ["/ui/", "/clusters/prod/ui/"] {
        let page = server.ask("GET", path, browser, "").await;
        assert!(page.code == 200 && page.text().contains("<div id=\"app\">"), "{}", page.text());
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains("style-src 'self';") && !policy.contains("unsafe"), "{policy}");
        let script = page
            .text()
            .split("\"./")
            .find_map(|rest| rest.split('"').next().filter(|name| name.strip_suffix(".js").is_some()))
            .expect("a script")
            .to_owned();
        let reply = server.ask("GET", &format!("{path}{script}"), ("accept-encoding", "gzip"), "").await;
        assert_eq!((reply.code, reply.header("content-encoding")), (200, Some("gzip")), "{script}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(server.get("/ui/nothing.js").await.code, 404);
    let paths = server.get("/").await.json();
    for path in ["/filter", "/api/v1/nodes", "/policy"] {
        assert!(paths["paths"].as_array().is_some_and(|paths| paths.contains(&json!(path))), "{path}");
    }
    assert_eq!(server.get("/clusters/prod/").await.code, 200, "and of each cluster");
}

#[tokio::test]
async fn json_ends_with_one_line_feed() {
    let server = Server::with(&[("nodes", node("a", 4))]).await;
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]});
    let replies = [
        server.get("/api/v1/nodes").await,
        server.get("/api/v1/nodes/a").await,
        server.get("/api/v2/nowhere").await,
        server.get("/version").await,
        server.get("/policy").await,
        server.post("/filter", &question).await,
        server.post("/filter", "{").await,
        server.post("/explain", &json!({"pod": pod(1)})).await,
        server.put("/version", "").await,
    ];
    for reply in replies {
        let text = reply.text();
        assert!(text.ends_with("}\n") && !text.ends_with("\n\n"), "{text:?}");
        let told = reply.headers.get("content-length").map(|length| length.to_str().expect("text").to_owned());
        assert!(told.is_none_or(|told| told == text.len().to_string()));
    }
}

#[tokio::test]
async fn a_trailing_slash_is_ignored() {
    let server = Server::with(&[("nodes", node("a", 4))]).await;
    for path in
        ["/api/v1/nodes/", "/api/v1/nodes/a/", "/livez/", "/clusters/default/api/v1/nodes/", "/policy/?pretty=true"]
    {
        assert_eq!(server.get(path).await.code, 200, "{path}");
    }
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]});
    assert_eq!(server.post("/filter/", &question).await.json()["NodeNames"], json!(["a"]));
    assert_eq!(server.get("/docs").await.code, 308, "a page is read relative to its slash");
    assert_eq!(server.get("/docs/").await.code, 200);
    assert_eq!(server.get("/ui").await.code, 308);
}

#[tokio::test]
async fn unknown_query_names_are_reported() {
    let server = Server::with(&[("nodes", node("a", 4))]).await;
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]});
    let message = server.post("/filter?polcy=x", &question).await.refusal(400);
    assert!(message.contains("polcy") && message.contains("did you mean policy?"), "{message}");
    assert!(server.post("/clusters/default/import?replcae=true", "{}").await.refusal(400).contains("replace"));
    assert_eq!(server.get("/livez?verbose&timeout=1s").await.code, 200);

    let warned = server.get("/api/v1/nodes?labelSelektor=a%3Db").await;
    assert_eq!(warned.code, 200);
    assert!(warned.headers["warning"].to_str().expect("text").contains("did you mean labelSelector?"));
    assert!(!server.get("/api/v1/nodes?limit=1&timeoutSeconds=5").await.headers.contains_key("warning"));
}

#[tokio::test]
async fn the_process_is_measured_under_the_usual_names() {
    let server = Server::start(memory(&[]).await, Setup::default());
    let metrics = server.get("/metrics").await;
    for name in ["process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds", "process_max_fds"] {
        assert!(metrics.text().contains(&format!("\n{name} ")), "{name}");
    }
}

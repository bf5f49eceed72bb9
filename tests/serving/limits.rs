//! Limits of what users ask at a time, under floods.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Request, header},
};
use podberth::{
    api::middleware::Limits,
    service::{Freshness, access::authenticate::Authenticator, compute::compute_long},
    wire::access::{token, token_file},
};
use serde_json::json;
use tokio::sync::mpsc;
use tower::ServiceExt;

use crate::{
    Running,
    admission::Client,
    node, pod,
    server::{LATE, Reply, Server, Setup, memory},
};

const ROOT: &str = "pbt_the-token-of-the-first-user-of-all-these-tests";

/// A server that knows some users, who may do everything.
async fn server(limits: Limits) -> Server {
    let file = ["ann", "bob"].map(|user| format!("token-of-{user},{user},,system:masters\n")).concat();
    let mut fixed = token_file::parse(&file).expect("tokens");
    fixed.insert(token::digest(ROOT), Arc::new(Authenticator::first_user()));
    let freshness = Freshness { max_staleness: Duration::MAX, max_wait: LATE };
    let authenticator = Some(Authenticator::new(fixed));
    Server::start(memory(&[]).await, Setup { freshness, limits, authenticator, ..Setup::default() })
}

fn get(token: &str, path: &str) -> Request<Body> {
    let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.body(Body::empty()).expect("a request")
}

/// A user who floods the server keeps nobody else out: there is room in the queue, and it is the other's turn next.
#[tokio::test]
async fn a_user_is_served_while_another_one_floods() {
    let server = server(Limits { reads: 1, ..Setup::default().limits }).await;
    // Each waits for a revision that is not there yet, so that the first one keeps the only seat.
    let wait = "/policy?minRevision=1";
    let (answered, mut answers) = mpsc::unbounded_channel();
    let ask = |user: &'static str, path: &str| {
        let (server, request, answered) = (server.clone(), get(&format!("token-of-{user}"), path), answered.clone());
        tokio::spawn(async move {
            let reply = server.send(request).await;
            answered.send((user, reply)).expect("the test listens");
        });
    };
    // One has the seat, 1,024 wait, and two find no room.
    (0..1_027).for_each(|_| ask("ann", wait));
    for _ in 0..2 {
        let (_, reply) = answers.recv().await.expect("an answer");
        let status = reply.fails(429, "TooManyRequests");
        assert_eq!((reply.header("retry-after"), &status["details"]["retryAfterSeconds"]), (Some("1"), &json!(1)));
        assert!(status["message"].as_str().is_some_and(|told| told.contains("\"read\"")), "{status}");
    }
    ask("bob", "/policies");
    let (user, reply) = answers.recv().await.expect("an answer");
    assert_eq!((user, reply.code), ("ann", 429), "the last of those that wait gives way");
    // Other classes have seats of their own.
    let create = Request::post("/api/v1/nodes").header(header::AUTHORIZATION, "Bearer token-of-ann");
    let create = create.header("content-type", "application/json").body(node("n", 4).to_string().into());
    assert_eq!(server.send(create.expect("a request")).await.code, 201);
    let mut before_bob = 0;
    loop {
        let (user, reply) = answers.recv().await.expect("an answer");
        assert_eq!(reply.code, 200, "{}", reply.text());
        if user == "bob" {
            break;
        }
        before_bob += 1;
    }
    assert!(before_bob <= 3, "{before_bob} of the flood came first");
}

/// Long computations have all turns that they may have, and more wait: a scheduler notices nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filter_is_answered_while_explanations_wait_for_their_turn() {
    let server = Server::with(&[("nodes", node("a", 4))]).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(std::sync::Mutex::new(held));
    let busy: Vec<_> = (0..cores)
        .map(|_| {
            let (begun, held) = (begun.clone(), held.clone());
            tokio::spawn(compute_long(false, move || {
                begun.send(()).expect("the test listens");
                // Until the test has no sender any more.
                let _ = held.lock().map(|held| held.recv());
            }))
        })
        .collect();
    for _ in 0..cores.saturating_sub(1).max(1) {
        begins.recv().await.expect("it has a turn");
    }
    let explain = json!({"pod": pod(1)});
    let explaining: Vec<_> = (0..32)
        .map(|_| {
            let (server, explain) = (server.clone(), explain.clone());
            tokio::spawn(async move { server.post("/explain", explain).await.code })
        })
        .collect();
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]});
    for _ in 0..100 {
        assert_eq!(server.post("/filter", question.clone()).await.json()["NodeNames"], json!(["a"]));
    }
    assert!(cores < 2 || begins.try_recv().is_err(), "one core at least is left");
    assert!(!explaining.iter().any(tokio::task::JoinHandle::is_finished));
    drop(hold);
    for explaining in explaining {
        assert_eq!(explaining.await.expect("no panic"), 200);
    }
    for busy in busy {
        busy.await.expect("no panic").expect("it was computed");
    }
}

#[tokio::test]
async fn a_user_has_a_bounded_number_of_watches() {
    let server = server(Limits { watches_of_user: 1, ..Setup::default().limits }).await;
    let watch = async |user: &str| {
        let request = get(&format!("token-of-{user}"), "/api/v1/nodes?watch=1");
        server.router.clone().oneshot(request).await.expect("the router never fails")
    };
    let first = watch("ann").await;
    assert_eq!(first.status(), 200);
    let refused = watch("ann").await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().ok()), (429, Some("5")));
    assert_eq!(watch("bob").await.status(), 200);
    assert_eq!(server.send(get("token-of-ann", "/api/v1/nodes")).await.code, 200, "lists are none");
    drop(first);
    assert_eq!(watch("ann").await.status(), 200);
}

/// A client that sends slowly has no seat meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_bodies_hold_no_seat() {
    let server = Server::start(memory(&[("nodes", node("a", 4))]).await, Setup::default());
    let running = Running::start(server.router, LATE).await;
    let question = json!({"Pod": pod(1), "NodeNames": ["a"]}).to_string().into_bytes();
    // More than there are seats.
    let mut slow = Vec::new();
    for _ in 0..300 {
        slow.push(Client::begun(&running, &question).await);
    }
    Client::new(&running).await.ask(&question).await.says_that_it_fits();
    for client in &mut slow {
        client.write(question.get(question.len() - 1..).expect("the last byte")).await;
        client.reply().await.says_that_it_fits();
    }
    drop(slow);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_waits_after_too_many_failed_authentications() {
    let server = server(Setup::default().limits).await;
    let running = Running::start(server.router.clone(), LATE).await;
    let mut client = Client::new(&running).await;
    let mut ask = async |token: &str| {
        let head = format!("GET /livez HTTP/1.1\r\nhost: podberth\r\nauthorization: Bearer {token}\r\n\r\n");
        client.write(head.as_bytes()).await;
        client.reply().await.head
    };
    for _ in 0..30 {
        let head = ask("wrong").await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    }
    let head = ask("wrong").await;
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("\r\nretry-after: "), "{head}");
    assert!(ask("token-of-ann").await.starts_with("HTTP/1.1 200 "), "a valid token gets in");
    // In this process there is no connection, and so no address.
    let unknown: Reply = server.send(get("wrong", "/livez")).await;
    assert_eq!(unknown.code, 401);
    drop(client);
    running.end().await;
}

//! A server with the address, and a client of it; the messages of requests.

use std::{future::pending, net::SocketAddr};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Request},
};
use http_body_util::BodyExt;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use podberth::{
    api::{
        karmada::door,
        pace::Pace,
        serve::{Secure, Timeouts, serve_over},
    },
    wire::protobuf::Encoder,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

use crate::server::{LATE, Server, Setup, memory};

pub(crate) const SERVICE: &str = "/github.com.karmada_io.karmada.pkg.estimator.service.Estimator";
pub(crate) const REPLICAS: &str = "MaxAvailableReplicas";
pub(crate) const SETS: &str = "MaxAvailableComponentSets";
pub(crate) const UNSCHEDULABLE: &str = "GetUnschedulableReplicas";

const TIMEOUTS: Timeouts = Timeouts {
    idle: LATE,
    stalled: Pace { grace: LATE, bytes_per_second: 1 },
    grace: LATE,
    connections: 1_000,
    reply_bytes: 1 << 30,
    reply_wait: LATE,
};

/// The server of a test.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// A server that asks nobody who they are.
    pub(crate) async fn start() -> Self {
        Self::of(Setup::default(), None).await
    }

    pub(crate) async fn of(setup: Setup, secure: Option<Secure>) -> Self {
        let limits = setup.limits;
        let server = Server::start(memory(&[]).await, setup);
        let router = door(server.router.clone(), &limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        tokio::spawn(serve_over(listener, secure, router, TIMEOUTS, pending()));
        Self { server, address }
    }

    /// Stores objects in a cluster.
    pub(crate) async fn import(&self, cluster: &str, items: &[Value]) {
        let list = json!({"kind": "List", "apiVersion": "v1", "items": items});
        self.server.post(&format!("/clusters/{cluster}/import"), &list).await.is(200);
    }

    pub(crate) async fn client(&self) -> Client {
        Client::over(TcpStream::connect(self.address).await.expect("it listens")).await
    }
}

/// A connection.
pub(crate) struct Client(SendRequest<Body>);

/// The outcome of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) http: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Called {
    /// The status, of the trailers or else of the headers.
    pub(crate) fn code(&self) -> u32 {
        let of = self.trailers.as_ref().unwrap_or(&self.headers);
        of["grpc-status"].to_str().expect("text").parse().expect("a number")
    }

    /// The text of a refusal.
    pub(crate) fn message(&self) -> &str {
        self.headers["grpc-message"].to_str().expect("text")
    }

    /// The number of an answer.
    #[track_caller]
    pub(crate) fn number(&self) -> u64 {
        assert_eq!((self.http, self.code()), (200, 0), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/grpc");
        match &self.body[..] {
            [0, 0, 0, 0, 0] => 0,
            [0, 0, 0, 0, length, 8, digits @ ..] if usize::from(*length) == digits.len() + 1 => {
                digits.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
            }
            other => panic!("{other:?}"),
        }
    }
}

impl Client {
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Called {
        let reply = self.0.clone().send_request(request).await.expect("a reply");
        let (head, body) = reply.into_parts();
        let read = body.collect().await.expect("a body");
        let trailers = read.trailers().cloned();
        Called { http: head.status.as_u16(), headers: head.headers, body: read.to_bytes(), trailers }
    }

    /// Calls with a message.
    pub(crate) async fn call(&self, method: &str, message: Encoder) -> Called {
        self.send(request(method, &[], &framed(&message.into_bytes()))).await
    }
}

/// A request as gRPC clients send it, with further headers.
pub(crate) fn request(method: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Body> {
    let mut request = Request::post(format!("http://estimator{SERVICE}/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_vec())).expect("a request")
}

pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    [&[0][..], &u32::try_from(message.len()).expect("short").to_be_bytes(), message].concat()
}

fn entry(key: &str, value: &Encoder) -> Encoder {
    Encoder::default().text(1, key).message(2, value)
}

/// The requirements of a pod template, whose requests are field `requests` and whose priority class is field `class`.
pub(crate) fn requirements(template: &Value, class: u8, requests: u8) -> Encoder {
    let spec = &template["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value, field: u8, of: Encoder| {
        let texts = value.as_array().into_iter().flatten();
        texts.fold(of, |of, one| of.text(field, one.as_str().expect("a text")))
    };
    let mut claim = Encoder::default();
    for (key, value) in spec["nodeSelector"].as_object().into_iter().flatten() {
        claim = claim.message(2, &Encoder::default().text(1, key).text(2, &text(value)));
    }
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if let Some(terms) = required["nodeSelectorTerms"].as_array() {
        let expressions = |of: Encoder, field: u8, list: &Value| {
            list.as_array().into_iter().flatten().fold(of, |of, one| {
                let expression = Encoder::default().text(1, &text(&one["key"])).text(2, &text(&one["operator"]));
                of.message(field, &texts(&one["values"], 3, expression))
            })
        };
        let selector = terms.iter().fold(Encoder::default(), |selector, term| {
            let of = expressions(Encoder::default(), 1, &term["matchExpressions"]);
            selector.message(1, &expressions(of, 2, &term["matchFields"]))
        });
        claim = claim.message(4, &selector);
    }
    for toleration in spec["tolerations"].as_array().into_iter().flatten() {
        let fields = ["key", "operator", "value", "effect"];
        let of =
            (1..).zip(fields).fold(Encoder::default(), |of, (number, name)| of.text(number, &text(&toleration[name])));
        claim = claim.message(5, &of);
    }
    let mut message = Encoder::default().message(1, &claim);
    if requests == 5 {
        message = message.text(3, template["metadata"]["namespace"].as_str().unwrap_or_default());
    }
    message = message.text(class, spec["priorityClassName"].as_str().unwrap_or_default());
    let [container] = &spec["containers"].as_array().expect("containers")[..] else { panic!("one container") };
    for (name, amount) in container["resources"]["requests"].as_object().into_iter().flatten() {
        message = message.message(requests, &entry(name, &Encoder::default().text(1, &text(amount))));
    }
    message
}

/// So many pods of a template, as a component.
pub(crate) fn component(template: &Value, replicas: i32) -> Encoder {
    Encoder::default().text(1, "part").message(2, &requirements(template, 3, 4)).number(3, replicas)
}

/// The question how many pods of a template fit.
pub(crate) fn replicas(cluster: &str, template: &Value) -> Encoder {
    Encoder::default().text(1, cluster).message(2, &requirements(template, 4, 5))
}

/// A pod template that asks for CPU.
pub(crate) fn template(cpu: &str) -> Value {
    json!({"metadata": {"namespace": "shop"}, "spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}]}})
}

pub(crate) fn node(name: &str, cpu: &str) -> Value {
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu, "pods": "110"}}})
}

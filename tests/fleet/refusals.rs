//! Calls that have no answer.

use podberth::wire::protobuf::Encoder;

use crate::client::{REPLICAS, Running, SERVICE, component, framed, node, replicas, request, template};

#[tokio::test]
async fn what_cannot_be_answered_has_a_status() {
    let running = Running::start().await;
    running.import("eu-1", &[node("a", "4")]).await;
    let client = running.client().await;
    let good = replicas("eu-1", &template("1")).into_bytes();
    let whole = framed(&good);
    let mut flagged = whole.clone();
    flagged[0] = 1;
    let of = |cluster: &str| framed(&replicas(cluster, &template("1")).into_bytes());
    let amount = framed(&replicas("eu-1", &template("a lot")).into_bytes());
    let negative = Encoder::default().text(1, "b").message(2, &component(&template("1"), -1));
    let negative = framed(&replicas("eu-1", &template("1")).message(3, &negative).into_bytes());
    let large = framed(&vec![0; 4 << 20]);
    let larger = framed(&vec![0; (4 << 20) + 1]);
    for (why, method, headers, body, code, message) in [
        ("no such call", "MaxAvailablePods", &[][..], &whole, 12, "there is no call"),
        ("compressed", REPLICAS, &[("grpc-encoding", "gzip")], &whole, 12, "not to be compressed"),
        ("compressed", REPLICAS, &[], &flagged, 12, "not to be compressed"),
        ("unknown cluster", REPLICAS, &[], &of("us-1"), 5, "clusters.podberth.io \"us-1\" not found"),
        ("no cluster", REPLICAS, &[], &of(""), 3, "cluster: the cluster's name \"\""),
        ("a path", REPLICAS, &[], &of("eu-1/../us-1"), 3, "cluster: the cluster's name"),
        ("no message", REPLICAS, &[], &vec![], 3, "not one whole message"),
        ("half a message", REPLICAS, &[], &whole[..9].to_vec(), 3, "not one whole message"),
        ("two messages", REPLICAS, &[], &[&whole[..], &whole].concat(), 3, "not one whole message"),
        ("no protobuf", REPLICAS, &[], &framed(b"\x0a\x04eu-1\x12"), 3, "unexpected EOF"),
        ("no requirements", REPLICAS, &[], &framed(b"\x0a\x04eu-1\x10\x01"), 3, "wrong wireType"),
        ("no amount", REPLICAS, &[], &amount, 3, "requests"),
        ("negative", REPLICAS, &[], &negative, 3, "assumedWorkloads[0].components[0].replicas"),
        ("large", REPLICAS, &[], &large, 3, "illegal tag 0"),
        ("too large", REPLICAS, &[], &larger, 8, "larger than this operation takes"),
        ("no time", REPLICAS, &[("grpc-timeout", "soon")], &whole, 3, "grpc-timeout"),
        ("time is over", REPLICAS, &[("grpc-timeout", "0n")], &whole, 4, "the time of the call is over"),
    ] {
        let called = client.send(request(method, headers, body)).await;
        assert_eq!((called.http, called.code()), (200, code), "{why}: {called:?}");
        assert!(called.message().contains(message), "{why}: {called:?}");
        assert!(called.body.is_empty() && called.trailers.is_none(), "{why}: {called:?}");
        assert_eq!(called.headers["content-type"], "application/grpc", "{why}");
    }
    assert_eq!(client.send(request(REPLICAS, &[("grpc-timeout", "3S")], &whole)).await.number(), 4);

    // The address is for nothing else.
    for (method, media) in [("GET", "application/grpc"), ("POST", "application/json"), ("POST", "application/grpcs")] {
        let request =
            axum::http::Request::builder().method(method).uri(format!("http://estimator{SERVICE}/{REPLICAS}"));
        let called =
            client.send(request.header("content-type", media).body(whole.clone().into()).expect("a request")).await;
        assert_eq!(called.http, 415, "{method} {media}");
    }
}

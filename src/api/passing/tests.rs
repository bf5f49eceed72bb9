use axum::body::to_bytes;
use proptest::{collection::vec, prelude::*};

use super::*;

fn owned_by(method: &Method, path: &str, of: &str) -> Option<String> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    owned(&RequestInfo::of(method, of, path, query), of).map(str::to_owned)
}

#[test]
fn requests_about_a_cluster_go_to_its_owners() {
    for (method, path, of, cluster) in [
        (Method::GET, "/api/v1/nodes", "prod", Some("prod")),
        (Method::GET, "/api/v1/nodes?watch=true", "default", Some("default")),
        (Method::POST, "/filter", "prod", Some("prod")),
        (Method::POST, "/estimator/MaxAvailableReplicas", "prod", Some("prod")),
        (Method::GET, "/policy", "prod", Some("prod")),
        (Method::POST, "/forks", "prod", Some("prod")),
        (Method::GET, "/api/v1/pods", "fork:prod:a", Some("fork:prod:a")),
        (Method::PUT, "/clusters/east", "default", Some("east")),
        (Method::GET, "/clusters", "default", None),
        (Method::GET, "/tokens", "default", None),
        (Method::GET, "/metrics", "default", None),
        (Method::GET, "/readyz", "prod", None),
        (Method::GET, "/ui/", "default", None),
        (Method::GET, "/openapi/v2", "default", None),
    ] {
        assert_eq!(owned_by(&method, path, of).as_deref(), cluster, "{path} of {of}");
    }
}

#[test]
fn headers_of_one_connection_and_secrets_stay_here() {
    let mut headers = HeaderMap::new();
    for name in NOT_PASSED_ON.iter().chain(&["x-hop", "accept", "if-match", "x-forwarded-for", "impersonate-user"]) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("a"));
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close, X-Hop"));
    forget(&mut headers);
    let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["accept", "if-match", "impersonate-user", "x-forwarded-for"]);
}

#[tokio::test]
async fn a_body_that_nobody_read_is_had_back() {
    let lent = Lent::new(Body::from("text"));
    drop(Body::new(lent.clone()));
    assert!(lent.is_whole());
    let read = to_bytes(lent.back(), usize::MAX).await.expect("it can be read");
    assert_eq!(&*read, b"text");
    let lent = Lent::new(Body::from("text"));
    to_bytes(Body::new(lent.clone()), usize::MAX).await.expect("it can be read");
    assert!(!lent.is_whole() && !lent.is_broken());
}

proptest! {
    #[test]
    fn a_sender_arrives_as_the_user_who_is_known(
        name in ".{0,20}",
        uid in "[a-z0-9]{0,9}",
        groups in vec(".{0,12}", 0..4),
        extra in prop::collection::btree_map("[a-z./]{1,9}", vec(".{0,9}", 0..3), 0..3),
        peer in any::<[u8; 4]>(),
    ) {
        let user = User { uid, extra, ..User::new(&name, groups.iter().map(String::as_str)) };
        let header = Sender::of(&user, Some(Peer(peer.into()))).header().expect("a header");
        let sender = Sender::read(&header).expect("it is read");
        prop_assert_eq!(sender.peer, Some(IpAddr::from(peer)));
        let arrived = sender.user();
        prop_assert_eq!((&arrived.name, &arrived.uid, &arrived.groups, &arrived.extra), (&user.name, &user.uid, &user.groups, &user.extra));
    }

    #[test]
    fn random_bytes_are_no_sender(bytes in vec(any::<u8>(), 0..60), is_encoded in any::<bool>()) {
        let bytes = if is_encoded { BASE64_STANDARD.encode(&bytes).into_bytes() } else { bytes };
        if let Ok(header) = HeaderValue::from_bytes(&bytes) {
            prop_assert!(Sender::read(&header).is_none());
        }
    }
}

//! Bearer tokens that no other way knows: the API server of a mirrored cluster is asked about them (`TokenReview`).
//!
//! An answer holds for a time, as with kube-apiserver's webhook: a token that is revoked there is known here for two minutes at most. No answer, or one
//! that cannot be read, is no user. A bounded number of questions is under way at a time; further tokens are not known, so that invented ones do not
//! pile up at the API server.
//!
//! The answer may name any user and group but [`MASTERS`]: who may do everything in a cluster may not do everything here.
//!
//! Source: `apiserver/plugin/pkg/authenticator/token/webhook/webhook.go`, `pkg/kubeapiserver/authenticator/config.go`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};

use super::remembered::Remembered;
use crate::{
    clock,
    core::access::{AUTHENTICATED, MASTERS, User},
    service::{
        Service,
        source::{ApiRequest, mirrored},
    },
    wire::access::token::TokenDigest,
};

/// Seconds for which a token that is valid is known (`WebhookTokenAuthnCacheTTL`), and for which one that is not is refused without a question.
const VALID_SECONDS: i64 = 120;
const INVALID_SECONDS: i64 = 10;

/// Seconds after which a watch by such a token ends, so that its client shows the token again.
pub(super) const WATCHED_SECONDS: i64 = 600;

/// Questions under way at a time, and longest wait for an answer.
const AT_ONCE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest token that is asked about.
const LONGEST: usize = 16 << 10;

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Asks the API server of one cluster.
#[derive(Debug)]
pub struct Reviewer {
    cluster: Arc<str>,
    valid: Remembered,
    invalid: Remembered,
    turns: Semaphore,
}

/// The status of a review.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: Reviewed,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reviewed {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl Reviewer {
    /// Asks the API server of the cluster that a cluster mirrors.
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.into(),
            valid: Remembered::default(),
            invalid: Remembered::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// The user of a token; `None` if it has none, as far as can be told.
    pub(super) async fn user(&self, service: &Service, text: &str, digest: &TokenDigest) -> Option<Arc<User>> {
        let now = clock::now().as_second();
        if let Some((user, _)) = self.valid.get(digest, now) {
            return Some(user);
        }
        if text.len() > LONGEST || self.invalid.get(digest, now).is_some() {
            return None;
        }
        let Ok(_turn) = self.turns.try_acquire() else {
            tracing::debug!(cluster = &*self.cluster, "too many tokens are asked about");
            return None;
        };
        match timeout(PATIENCE, self.ask(service, text)).await {
            Ok(Ok(Some(user))) => {
                let user = Arc::new(user);
                self.valid.put(self.valid.epoch(), *digest, user.clone(), now + VALID_SECONDS);
                Some(user)
            }
            Ok(Ok(None)) => {
                self.invalid.put(self.invalid.epoch(), *digest, Arc::default(), now + INVALID_SECONDS);
                None
            }
            Ok(Err(why)) => {
                tracing::debug!(cluster = &*self.cluster, why, "the API server does not tell whose a token is");
                None
            }
            Err(_) => {
                tracing::debug!(cluster = &*self.cluster, "the API server did not tell in time whose a token is");
                None
            }
        }
    }

    /// The answer of the API server.
    async fn ask(&self, service: &Service, token: &str) -> Result<Option<User>, String> {
        let source = mirrored::of(service, &self.cluster).await.map_err(|error| error.to_string())?;
        let source = source.ok_or("the cluster mirrors none")?;
        let server = service.sources.server(&self.cluster, &source).await?;
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let request = ApiRequest {
            method: "POST",
            path: PATH.into(),
            content_type: "application/json",
            body: body.to_string().into(),
        };
        let reply = server.send(request).await?;
        if !matches!(reply.code, 200 | 201) {
            return Err(format!("HTTP {}", reply.code));
        }
        // The error may show a part of the reply, which has the token.
        let answer: Answer = serde_json::from_slice(&reply.body).map_err(|_| "the reply is no TokenReview")?;
        Ok(user_of(answer.status))
    }
}

/// The user of an answer.
fn user_of(Status { authenticated, user }: Status) -> Option<User> {
    let Reviewed { username, uid, groups, extra } = user;
    if !authenticated || username.is_empty() {
        return None;
    }
    let groups = groups.iter().map(String::as_str).filter(|group| !matches!(*group, MASTERS | AUTHENTICATED));
    let groups: Vec<&str> = groups.chain([AUTHENTICATED]).collect();
    Some(User { uid, extra, ..User::new(&username, groups) })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use async_trait::async_trait;

    use super::*;
    use crate::{
        extenders::Extenders,
        live::Clusters,
        service::{
            Freshness,
            source::{ApiReply, ApiServer, Connector, Sources, configure},
        },
        store,
        wire::{access::token::digest, source::ClusterSource},
    };

    /// Answers in turn, and counts the questions.
    #[derive(Clone, Debug, Default)]
    struct Scripted(Arc<(Mutex<Replies>, AtomicUsize)>);

    type Replies = VecDeque<Result<ApiReply, String>>;

    #[async_trait]
    impl Connector for Scripted {
        async fn connect(&self, _: &ClusterSource) -> Result<Arc<dyn ApiServer>, String> {
            Ok(Arc::new(self.clone()))
        }
    }

    #[async_trait]
    impl ApiServer for Scripted {
        async fn send(&self, request: ApiRequest) -> Result<ApiReply, String> {
            assert_eq!((request.method, &*request.path), ("POST", PATH));
            self.0.1.fetch_add(1, Ordering::SeqCst);
            self.0.0.lock().expect("no panic").pop_front().expect("an answer")
        }
    }

    impl Scripted {
        fn asked(&self) -> usize {
            self.0.1.load(Ordering::SeqCst)
        }

        fn answers(&self, answer: Result<(u16, &str), &str>) {
            let reply = |(code, body): (u16, &str)| ApiReply { code, body: body.to_owned().into(), retry_after: None };
            self.0.0.lock().expect("no panic").push_back(answer.map(reply).map_err(str::to_owned));
        }
    }

    async fn service(server: &Scripted) -> Service {
        let store = store::open("sqlite::memory:", &store::Options::default()).await.expect("an empty database");
        store.migrate().await.expect("it migrates");
        let clusters = Clusters::new(store, Duration::from_hours(1));
        let service = Service::new(clusters, Freshness::default(), Extenders::default());
        let service = Service { sources: Sources::by(Arc::new(server.clone())), ..service };
        let source = ClusterSource { in_cluster: true, ..ClusterSource::default() };
        configure::configure(&service, "prod", &source).await.expect("it is stored");
        service
    }

    #[tokio::test]
    async fn answers_hold_for_a_time_and_failures_are_no_users() {
        let server = Scripted::default();
        let (service, reviewer) = (service(&server).await, Reviewer::new("prod"));
        let user = async |token: &str| reviewer.user(&service, token, &digest(token)).await;
        let jane = r#"{"status": {"authenticated": true, "user": {"username": "jane", "uid": "7",
            "groups": ["dev", "system:masters", "system:authenticated"], "extra": {"a": ["b"]}}}}"#;
        server.answers(Ok((201, jane)));
        for _ in 0..3 {
            let known = user("a").await.expect("a user");
            assert_eq!((&*known.name, &*known.uid, known.is_master()), ("jane", "7", false));
            assert_eq!(known.groups.iter().map(|group| &**group).collect::<Vec<_>>(), ["dev", "system:authenticated"]);
        }
        assert_eq!(server.asked(), 1, "an answer is remembered");
        server.answers(Ok((201, r#"{"status": {"user": {}, "error": "it is expired"}}"#)));
        assert_eq!((user("b").await, user("b").await, server.asked()), (None, None, 2), "so is a refusal");
        for failure in [Ok((403, "{}")), Ok((201, "<html>")), Err("no route")] {
            let before = server.asked();
            server.answers(failure);
            assert_eq!((user("c").await, server.asked()), (None, before + 1), "a failure is not remembered");
        }
        server.answers(Ok((201, r#"{"status": {"authenticated": true, "user": {"username": ""}}}"#)));
        assert_eq!(user("d").await, None);
        assert_eq!(user(&"x".repeat(LONGEST + 1)).await, None);
        let other = Reviewer::new("no-mirror");
        assert_eq!(other.user(&service, "a", &digest("a")).await, None);
    }
}

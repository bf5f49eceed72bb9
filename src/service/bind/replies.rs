//! Replies of an API server to a bind, and what they mean.
//!
//! Only a reply tells that a bind did not happen: without one it may have, or may yet. Then the pod is looked at.
//!
//! Source: `pkg/registry/core/pod/storage/storage.go` (`BindingREST.Create`, `setPodNodeAndMetadata`),
//! `apiserver/pkg/storage/interfaces.go` (`Preconditions.Check`).

use std::time::Duration;

use crate::service::source::{
    ApiReply,
    requests::{PodShown, Reply, message},
};

/// The end of a bind that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The pod is on the node.
    Done,
    /// It is on another node.
    Taken(String),
    /// There is no pod of this uid any more.
    Gone,
    /// The API server does not bind it, and why.
    Refused(String),
    /// It is not known, and why.
    Unknown(String),
}

impl Delivered {
    /// In a word, for metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Done => "bound",
            Self::Taken(_) => "taken",
            Self::Gone => "gone",
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// The meaning of the reply to a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The pod is on the node.
    Done,
    /// It is on a node, perhaps by an earlier attempt.
    Assigned,
    /// There is no pod of this uid.
    Gone,
    /// This attempt did not bind it, and another one would not.
    Refused(String),
    /// Another attempt may bind it, if this one has not; after this time.
    Unclear(Unclear),
}

/// A reply, or none, that does not tell what is so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unclear {
    /// The words of the reply, or the reason why there is none.
    pub(super) why: String,
    /// When to ask again, if that was said.
    pub(super) after: Option<Duration>,
    /// `true` without a reply: the request may still be carried out.
    pub(super) is_lost: bool,
}

impl Unclear {
    fn of(reply: &ApiReply) -> Self {
        Self { why: message(reply), after: reply.retry_after, is_lost: false }
    }

    fn lost(why: &str) -> Self {
        Self { why: why.to_owned(), after: None, is_lost: true }
    }
}

/// Reads the reply to a binding.
pub(super) fn to_binding(reply: &Reply) -> Said {
    let reply = match reply {
        Ok(reply) => reply,
        Err(why) => return Said::Unclear(Unclear::lost(why)),
    };
    let told = message(reply);
    match reply.code {
        200..=299 => Said::Done,
        404 => Said::Gone,
        409 if told.contains("is already assigned to node") => Said::Assigned,
        409 if told.contains("Precondition failed: UID") => Said::Gone,
        // Etcd's own conflicts, which the API server gave up on.
        409 if told.contains("object has been modified") => Said::Unclear(Unclear::of(reply)),
        408 | 429 | 500..=599 => Said::Unclear(Unclear::of(reply)),
        // A webhook denies with any of these.
        400..=499 => Said::Refused(told),
        _ => Said::Unclear(Unclear::of(reply)),
    }
}

/// A pod that was looked at because of a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is on this node.
    On(String),
    /// It is on none.
    Waits,
    /// There is no pod of this uid.
    Gone,
    /// It could not be seen.
    Unclear(Unclear),
}

/// Reads the reply to a look at the pod of a uid.
pub(super) fn to_look(reply: &Reply, uid: &str) -> Found {
    let reply = match reply {
        Ok(reply) => reply,
        Err(why) => return Found::Unclear(Unclear::lost(why)),
    };
    match reply.code {
        200 => match PodShown::parse(&reply.body) {
            Ok(pod) => match pod.place() {
                (shown, _) if shown != uid => Found::Gone,
                (_, "") => Found::Waits,
                (_, node) => Found::On(node.to_owned()),
            },
            Err(error) => {
                let why = format!("the API server's pod cannot be read: {error}");
                Found::Unclear(Unclear { why, ..Unclear::default() })
            }
        },
        404 => Found::Gone,
        _ => Found::Unclear(Unclear::of(reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "that is what is read")]
    fn reply(code: u16, text: &str) -> Reply {
        let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": text, "code": code});
        Ok(ApiReply { code, body: status.to_string().into(), ..ApiReply::default() })
    }

    #[test]
    fn each_reply_to_a_binding_has_one_meaning() {
        let refused = |text: &str| Said::Refused(text.into());
        let unclear = |text: &str| Said::Unclear(Unclear { why: text.into(), ..Unclear::default() });
        let assigned = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"x\"";
        let recreated = "Operation cannot be fulfilled on pods/binding \"p\": Precondition failed: UID in precondition: a, UID in object meta: b";
        let modified =
            "Operation cannot be fulfilled on pods \"p\": the object has been modified; please apply your changes";
        let gates = "Operation cannot be fulfilled on pods/binding \"p\": pod p has non-empty .spec.schedulingGates";
        let denied = "admission webhook \"w.example\" denied the request: not today";
        let fault = "name in URL does not match name in Binding object";
        let table = [
            (201, "", Said::Done),
            (200, "", Said::Done),
            (409, assigned, Said::Assigned),
            (409, recreated, Said::Gone),
            (409, modified, unclear(modified)),
            (409, gates, refused(gates)),
            (409, denied, refused(denied)),
            (403, denied, refused(denied)),
            (403, "pods \"p\" is forbidden", refused("pods \"p\" is forbidden")),
            (401, "Unauthorized", refused("Unauthorized")),
            (400, fault, refused(fault)),
            (422, "invalid", refused("invalid")),
            (404, "pods \"p\" not found", Said::Gone),
            (429, "too many requests", unclear("too many requests")),
            (408, "timeout", unclear("timeout")),
            (500, "etcdserver: request timed out", unclear("etcdserver: request timed out")),
            (503, "the server is shutting down", unclear("the server is shutting down")),
            (302, "elsewhere", unclear("elsewhere")),
        ];
        for (code, text, said) in table {
            assert_eq!(to_binding(&reply(code, text)), said, "{code} {text}");
        }
        let lost = Unclear { why: "connection reset".into(), after: None, is_lost: true };
        assert_eq!(to_binding(&Err("connection reset".into())), Said::Unclear(lost));
        let later = ApiReply { code: 429, retry_after: Some(Duration::from_secs(3)), ..ApiReply::default() };
        assert!(
            matches!(to_binding(&Ok(later)), Said::Unclear(Unclear { after: Some(after), .. }) if after.as_secs() == 3)
        );
    }

    #[test]
    fn a_look_tells_the_node_of_the_pod_with_the_uid() {
        let pod = |uid: &str, node: &str| -> Reply {
            let body = serde_json::json!({"metadata": {"uid": uid}, "spec": {"nodeName": node}});
            Ok(ApiReply { code: 200, body: body.to_string().into(), ..ApiReply::default() })
        };
        assert_eq!(to_look(&pod("u", "x"), "u"), Found::On("x".into()));
        assert_eq!(to_look(&pod("u", ""), "u"), Found::Waits);
        assert_eq!(to_look(&pod("later", "x"), "u"), Found::Gone);
        assert_eq!(to_look(&reply(404, "pods \"p\" not found"), "u"), Found::Gone);
        for unclear in [reply(500, "no"), reply(403, "no"), Err("no".into()), reply(200, "")] {
            let found = to_look(&unclear, "u");
            let is_status = unclear.as_ref().is_ok_and(|reply| reply.code == 200);
            assert!(matches!(found, Found::Unclear(_)) != is_status, "{unclear:?}: {found:?}");
        }
    }
}

//! The webhook of the loop over node groups: it is told of target sizes and of nodes to delete.
//!
//! A message is sent until it is accepted with a code of success, at least once and with the same id each time. The newest target size of a group takes
//! the place of an earlier one that was not accepted. Whatever the webhook replies besides its code is passed over.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use metrics::counter;
use ring::hmac;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{clock, fetch::Fetcher, hex::hex, telemetry};

/// The longest reply that is read.
const MOST_BYTES: usize = 64 << 10;

/// The pauses after a message that was not accepted.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Time after which no further message is sent in a turn.
const LONGEST_ROUND: Duration = Duration::from_secs(2);

/// Messages that are sent in a row, so that a turn of the loop is not held up for long.
const AT_ONCE: usize = 64;

/// The action that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The group is to have `targetSize` nodes.
    SetTargetSize,
    /// The node is to be deleted, and the group to have `targetSize` nodes then.
    DeleteNode,
}

/// A message to the webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id, the same each time that it is sent.
    pub id: String,
    /// The cluster.
    pub cluster: String,
    /// The group.
    pub group: String,
    /// The action.
    pub action: Action,
    /// The number of nodes that the group is to have.
    pub target_size: u32,
    /// The group's name at the provider, where it has another one there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_group: Option<String>,
    /// The node to delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The name of its machine at the provider (`spec.providerID` of the node).
    #[serde(default, rename = "providerID", skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// Why.
    pub reason: String,
    /// When it was decided.
    pub time: Timestamp,
}

impl Message {
    /// Puts it into the messages that wait, in the place of one that says less than it.
    pub fn put_into(self, waiting: &mut Vec<Self>) {
        let is_outdated = |other: &Self| {
            other.group == self.group
                && match self.action {
                    Action::SetTargetSize => other.action == Action::SetTargetSize,
                    Action::DeleteNode => other.node == self.node,
                }
        };
        waiting.retain(|other| !is_outdated(other));
        waiting.push(self);
    }
}

/// The webhook.
#[derive(Debug)]
pub struct Webhook {
    url: String,
    key: Option<hmac::Key>,
    fetcher: Fetcher,
}

/// Whoever makes and deletes machines.
#[async_trait]
pub trait Hands: Debug + Send + Sync {
    /// Carries a message out, or sees to it. One that was carried out already does no harm.
    ///
    /// # Errors
    /// Why it is to be sent again.
    async fn carry_out(&self, message: &Message) -> Result<(), String>;
}

/// Pauses of a receiver that does not accept.
#[derive(Debug, Default)]
pub struct Patience {
    pause: Duration,
    until: Option<Instant>,
}

impl Webhook {
    /// The webhook at a URL. Messages are signed with the key, where there is one.
    pub fn new(url: String, key: Option<&[u8]>, fetcher: Fetcher) -> Self {
        Self { url, key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)), fetcher }
    }
}

/// Sends messages in their order until one is not accepted; returns the ids of those that were, and why the others wait.
pub async fn send(hands: &dyn Hands, messages: &[Message], patience: &mut Patience) -> (Vec<String>, Option<String>) {
    let mut accepted = Vec::new();
    if patience.until.is_some_and(|until| Instant::now() < until) {
        return (accepted, None);
    }
    let began = Instant::now();
    for message in messages.iter().take(AT_ONCE) {
        if began.elapsed() > LONGEST_ROUND {
            break;
        }
        let outcome = hands.carry_out(message).await;
        let result = if outcome.is_ok() { "accepted" } else { "failed" };
        counter!(telemetry::AUTOSCALE_MESSAGES, "outcome" => result).increment(1);
        match outcome {
            Ok(()) => accepted.push(message.id.clone()),
            Err(why) => {
                patience.pause = (patience.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                patience.until = Some(Instant::now() + patience.pause);
                return (accepted, Some(why));
            }
        }
    }
    *patience = Patience::default();
    (accepted, None)
}

#[async_trait]
impl Hands for Webhook {
    async fn carry_out(&self, message: &Message) -> Result<(), String> {
        let body = serde_json::to_vec(message).map_err(|error| error.to_string())?;
        let time = clock::now().as_second().to_string();
        let mut headers = vec![("x-podberth-delivery", message.id.as_str()), ("x-podberth-timestamp", time.as_str())];
        let signature = self.key.as_ref().map(|key| signature(key, &time, &body));
        headers.extend(signature.as_ref().map(|signature| ("x-podberth-signature", signature.as_str())));
        self.fetcher.post(&self.url, &headers, Bytes::from(body), MOST_BYTES).await.map(drop)
    }
}

/// The signature of a message: `sha256=` and HMAC-SHA256 of the time, a full stop and the body, in hexadecimal digits.
fn signature(key: &hmac::Key, time: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(time.as_bytes());
    context.update(b".");
    context.update(body);
    format!("sha256={}", hex(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(action: Action, node: Option<&str>, target_size: u32) -> Message {
        let (cluster, group) = ("default".into(), "big".into());
        let (node, reason) = (node.map(ToOwned::to_owned), "pods wait".into());
        Message {
            id: "1".into(),
            cluster,
            group,
            action,
            target_size,
            provider_group: None,
            node,
            provider_id: None,
            reason,
            time: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_signature_covers_the_time_and_the_body() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac secret
        let signed = signature(&key, "1700000000", b"{}");
        assert_eq!(signed, "sha256=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163");
        assert_ne!(signed, signature(&key, "1700000001", b"{}"));
        assert_ne!(signed, signature(&key, "1700000000", b"[]"));
    }

    #[test]
    fn a_newer_size_takes_the_place_of_an_older_one_and_each_node_is_named_once() {
        let mut waiting = Vec::new();
        message(Action::SetTargetSize, None, 3).put_into(&mut waiting);
        message(Action::DeleteNode, Some("a"), 2).put_into(&mut waiting);
        message(Action::DeleteNode, Some("b"), 1).put_into(&mut waiting);
        message(Action::DeleteNode, Some("a"), 1).put_into(&mut waiting);
        message(Action::SetTargetSize, None, 4).put_into(&mut waiting);
        let told: Vec<_> = waiting.iter().map(|message| (message.node.as_deref(), message.target_size)).collect();
        assert_eq!(told, [(Some("b"), 1), (Some("a"), 1), (None, 4)]);
    }
}

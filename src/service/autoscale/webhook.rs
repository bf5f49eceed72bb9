//! The webhook of the loop over node groups: it is told of target sizes and of nodes to delete.
//!
//! A message is sent until it is accepted with a code of success, at least once and with the same id each time. One that is refused holds no other back. The newest target size of a group takes
//! the place of an earlier one that was not accepted. Whatever the webhook replies besides its code is passed over.

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use metrics::counter;
use ring::hmac;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    clock,
    fetch::{FetchError, Fetcher},
    hex::hex,
    telemetry,
};

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
    async fn carry_out(&self, message: &Message) -> Result<(), NotAccepted>;
}

/// Why a message is to be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// The receiver answered so: others may be accepted.
    #[error("{0}")]
    Refused(String),
    /// There was no answer: none can be had for others either.
    #[error("{0}")]
    Unreached(String),
}

/// Pauses of messages that were not accepted, and of a receiver that does not answer.
#[derive(Debug, Default)]
pub struct Patience {
    receiver: Option<Pause>,
    messages: BTreeMap<String, Pause>,
}

/// A pause; each is twice as long as the one before.
#[derive(Clone, Copy, Debug)]
struct Pause {
    lasts: Duration,
    until: Instant,
}

impl Pause {
    fn after(before: Option<Self>) -> Self {
        let lasts = before.map_or(FIRST_PAUSE, |before| (before.lasts * 2).min(LONGEST_PAUSE));
        Self { lasts, until: Instant::now() + lasts }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Webhook {
    /// The webhook at a URL. Messages are signed with the key, where there is one.
    pub fn new(url: String, key: Option<&[u8]>, fetcher: Fetcher) -> Self {
        Self { url, key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)), fetcher }
    }
}

/// Sends messages in their order; returns the ids of those that were accepted, and why the last other one was not. One that was not accepted pauses by
/// itself, and comes after those that were not tried as often. Without an answer all pause.
pub async fn send<'m>(
    hands: &dyn Hands,
    messages: impl Iterator<Item = &'m Message>,
    patience: &mut Patience,
) -> (Vec<String>, Option<String>) {
    let (mut accepted, mut trouble) = (Vec::new(), None);
    let mut messages: Vec<&Message> = messages.collect();
    patience.messages.retain(|id, _| messages.iter().any(|message| message.id == *id));
    if patience.receiver.is_some_and(|pause| !pause.is_over()) {
        return (accepted, trouble);
    }
    messages.retain(|message| patience.messages.get(&message.id).is_none_or(Pause::is_over));
    messages.sort_by_key(|message| patience.messages.get(&message.id).map(|pause| pause.lasts));
    let began = Instant::now();
    for message in messages.into_iter().take(AT_ONCE) {
        if began.elapsed() > LONGEST_ROUND {
            break;
        }
        let outcome = hands.carry_out(message).await;
        let result = if outcome.is_ok() { "accepted" } else { "failed" };
        counter!(telemetry::AUTOSCALE_MESSAGES, "outcome" => result).increment(1);
        let is_answered = !matches!(outcome, Err(NotAccepted::Unreached(_)));
        match outcome {
            Ok(()) => accepted.push(message.id.clone()),
            Err(why) => {
                let pause = Pause::after(patience.messages.get(&message.id).copied());
                patience.messages.insert(message.id.clone(), pause);
                trouble = Some(why.to_string());
            }
        }
        if !is_answered {
            patience.receiver = Some(Pause::after(patience.receiver));
            break;
        }
        patience.receiver = None;
    }
    (accepted, trouble)
}

#[async_trait]
impl Hands for Webhook {
    async fn carry_out(&self, message: &Message) -> Result<(), NotAccepted> {
        let body = serde_json::to_vec(message).map_err(|error| NotAccepted::Refused(error.to_string()))?;
        let time = clock::now().as_second().to_string();
        let mut headers = vec![("x-podberth-delivery", message.id.as_str()), ("x-podberth-timestamp", time.as_str())];
        let signature = self.key.as_ref().map(|key| signature(key, &time, &body));
        headers.extend(signature.as_ref().map(|signature| ("x-podberth-signature", signature.as_str())));
        match self.fetcher.post(&self.url, &headers, Bytes::from(body), MOST_BYTES).await {
            Ok(_) => Ok(()),
            Err(FetchError::Unreached(why)) => Err(NotAccepted::Unreached(why)),
            Err(other) => Err(NotAccepted::Refused(other.to_string())),
        }
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

    /// Refuses one group, has no answer for another one, and accepts the rest.
    #[derive(Debug, Default)]
    struct Picky(std::sync::Mutex<Vec<String>>);

    #[async_trait]
    impl Hands for Picky {
        async fn carry_out(&self, message: &Message) -> Result<(), NotAccepted> {
            self.0.lock().expect("one thread").push(message.id.clone());
            match &*message.group {
                "refused" => Err(NotAccepted::Refused("the server answered 422".into())),
                "hangs" => Err(NotAccepted::Unreached("no reply within 10 s".into())),
                _ => Ok(()),
            }
        }
    }

    fn of_groups(groups: &[&str]) -> Vec<Message> {
        let one = |group: &&str| Message {
            id: (*group).to_owned(),
            group: (*group).to_owned(),
            ..message(Action::SetTargetSize, None, 1)
        };
        groups.iter().map(one).collect()
    }

    async fn sent(picky: &Picky, messages: &[Message], patience: &mut Patience) -> (Vec<String>, Vec<String>) {
        let (accepted, _) = send(picky, messages.iter(), patience).await;
        (std::mem::take(&mut *picky.0.lock().expect("one thread")), accepted)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_message_holds_no_other_back_and_pauses_ever_longer() {
        let (picky, mut patience) = (Picky::default(), Patience::default());
        let messages = of_groups(&["refused", "a", "b"]);
        let (tried, accepted) = sent(&picky, &messages, &mut patience).await;
        assert_eq!((tried.len(), accepted), (3, vec!["a".to_owned(), "b".to_owned()]));
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let rest = of_groups(&["refused", "c"]);
            assert_eq!(sent(&picky, &rest, &mut patience).await.0, ["c"], "it pauses by itself");
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(sent(&picky, &rest, &mut patience).await.0, ["c", "refused"], "others come first");
        }
        assert_eq!(sent(&picky, &[], &mut patience).await.0, [""; 0]);
        assert!(patience.messages.is_empty(), "pauses of messages that are gone are forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_answer_all_pause_and_the_one_without_comes_last() {
        let (picky, mut patience) = (Picky::default(), Patience::default());
        let messages = of_groups(&["hangs", "a"]);
        assert_eq!(sent(&picky, &messages, &mut patience).await.0, ["hangs"]);
        assert_eq!(sent(&picky, &messages, &mut patience).await.0, [""; 0]);
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(sent(&picky, &messages, &mut patience).await.0, ["a", "hangs"]);
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

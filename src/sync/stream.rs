//! The replies of an API server to a list and to a watch, read.

use std::{borrow::Cow, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use kube::client::Body;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::client::{self, Cut, Link};

/// Longest page of a list, in bytes. A longer one is asked for in smaller parts.
const MOST_PAGE: usize = 64 << 20;

/// Most items of a page: a few times as many as are asked for at most.
const MOST_ITEMS: usize = 20_000;

/// Longest event of a watch, in bytes. Kubernetes' objects have at most about 1.5 MiB (etcd).
const MOST_EVENT: usize = 8 << 20;

/// Longest error, in bytes.
const MOST_ERROR: usize = 1 << 20;

/// Longest message of an error that is told, in characters.
const MOST_TOLD: usize = 300;

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(default, borrow)]
    kind: Cow<'a, str>,
    pub(super) metadata: ListMeta,
    /// Go writes an empty list as `null` in some versions.
    #[serde(borrow, deserialize_with = "items")]
    pub(super) items: Vec<&'a RawValue>,
}

impl<'a> List<'a> {
    /// Reads a page of a kind's list. Nothing but such a list counts as one: an empty list deletes all that is mirrored.
    ///
    /// # Errors
    /// The description of the reply that came instead.
    pub(super) fn read(page: &'a [u8], kind: &str, is_first: bool) -> Result<Self, String> {
        let no_list = |why: String| {
            let told = serde_json::from_slice(page).ok().filter(|_| page.trim_ascii_start().starts_with(b"{"));
            let Told { kind: of, message } = told.unwrap_or_default();
            let what = if of.is_empty() { why } else { format!("its kind is {of:?}") };
            let message = if message.is_empty() { message } else { format!(": {message}") };
            printable(&format!("the reply is no {kind}List: {what}{message}"))
        };
        if !page.trim_ascii_start().starts_with(b"{") {
            return Err(no_list("it is no JSON object".into()));
        }
        let list: Self = serde_json::from_slice(page).map_err(|error| no_list(error.to_string()))?;
        let is_kind = list.kind.strip_suffix("List").is_some_and(|of| of.is_empty() || of == kind);
        if !is_kind && !list.kind.is_empty() {
            return Err(no_list(String::new()));
        }
        if is_first && list.metadata.resource_version.is_empty() {
            return Err(no_list("it has no metadata.resourceVersion".into()));
        }
        Ok(list)
    }
}

/// A reply that is no list.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    kind: String,
    message: String,
}

/// Items of a page, as many as there may be.
fn items<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Items;
    impl<'de> Visitor<'de> for Items {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of items")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                if items.len() >= MOST_ITEMS {
                    return Err(A::Error::custom(format!("it has more than {MOST_ITEMS} items")));
                }
                items.push(item);
            }
            Ok(items)
        }
    }
    from.deserialize_any(Items)
}

/// The place of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
}

/// An event of a watch. Its fields may come in any order.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) object: &'a RawValue,
}

/// An object of which only the version is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Versioned {
    pub(super) metadata: ListMeta,
}

/// An error of an API server.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Status {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) details: Option<StatusDetails>,
}

/// More of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct StatusDetails {
    pub(super) retry_after_seconds: u64,
}

/// Why there is no reply to be read.
#[derive(Debug)]
pub(super) enum Failure {
    /// The API server refuses.
    Refused { code: u16, retry_after: Option<Duration>, why: String },
    /// The reply is too long.
    TooLong,
    /// There is none.
    Lost(String),
}

/// A page of a list, unread.
pub(super) async fn page(link: &Link, path: &str) -> Result<Bytes, Failure> {
    let reply = open(link, path, "gzip").await?;
    link.rest(reply, MOST_PAGE).await.map_err(|cut| match cut {
        Cut::TooLong => Failure::TooLong,
        Cut::Broken(why) => Failure::Lost(why),
    })
}

/// The events of a watch. Not compressed: from 1.37 on each event is a member of its own, of which decoders read the first alone.
pub(super) async fn watch(link: &Link, path: &str) -> Result<Lines, Failure> {
    let reply = open(link, path, "identity").await?;
    Ok(Lines { body: reply.into_body(), buffer: BytesMut::new(), searched: 0 })
}

async fn open(link: &Link, path: &str, encoding: &'static str) -> Result<Response<Body>, Failure> {
    let reply = link.begin(client::get(path, encoding).map_err(Failure::Lost)?).await.map_err(Failure::Lost)?;
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }
    let retry_after = client::retry_after(&reply);
    let body = link.rest(reply, MOST_ERROR).await.unwrap_or_default();
    let mut refused = refusal(&body);
    if let Failure::Refused { code, retry_after: after, why } = &mut refused {
        *code = status.as_u16();
        *after = retry_after.or(*after);
        if why.is_empty() {
            why.push_str(status.canonical_reason().unwrap_or("an error"));
        }
        *why = format!("{} {why}", status.as_u16());
    }
    Err(refused)
}

/// An error as it was told.
pub(super) fn refusal(status: &[u8]) -> Failure {
    let status: Status = serde_json::from_slice(status).unwrap_or_default();
    let seconds = status.details.unwrap_or_default().retry_after_seconds;
    let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds));
    Failure::Refused { code: status.code, retry_after, why: printable(&status.message) }
}

/// A message as it is told.
pub(super) fn printable(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_TOLD).collect()
}

/// The lines of a watch.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// How much of the buffer has no end of a line.
    searched: usize,
}

impl Lines {
    /// The next line; `None` at the end. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, String> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Some(line));
            }
            if self.buffer.len() > MOST_EVENT {
                return Err(format!("an event is longer than {MOST_EVENT} bytes"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Some(Err(error)) => return Err(client::chain(&error)),
                // The rest of a line that was cut off says nothing.
                None => return Ok(None),
            }
        }
    }

    fn line(&mut self) -> Option<BytesMut> {
        loop {
            let end = self.buffer.get(self.searched..)?.iter().position(|byte| *byte == b'\n');
            let Some(end) = end else {
                self.searched = self.buffer.len();
                return None;
            };
            let at = std::mem::take(&mut self.searched) + end;
            let mut line = self.buffer.split_to(at + 1);
            line.truncate(at);
            if !line.trim_ascii().is_empty() {
                return Some(line);
            }
        }
    }
}

/// A text as the value of a query.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_of_the_kind_is_a_page() {
        let read = |page: &str, is_first| List::read(page.as_bytes(), "Pod", is_first).map(|list| list.items.len());
        for page in [
            r#"{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{},{}]}"#,
            r#" {"items":[1,{}],"metadata":{"resourceVersion":"7"}}"#,
        ] {
            assert_eq!(read(page, true), Ok(2), "{page}");
        }
        assert_eq!(read(r#"{"kind":"PodList","metadata":{"resourceVersion":"7"},"items":null}"#, true), Ok(0));
        assert_eq!(read(r#"{"metadata":{},"items":[{}]}"#, false), Ok(1), "a later page");
        for (page, why) in [
            ("{}", "metadata"),
            ("[]", "no JSON object"),
            (r#"[{"resourceVersion":"7"},[]]"#, "no JSON object"),
            ("<html>", "no JSON object"),
            (r#"{"metadata":{"resourceVersion":"7"}}"#, "items"),
            (r#"{"metadata":{},"items":[]}"#, "resourceVersion"),
            (r#"{"message":"moved"}"#, "moved"),
            (r#"{"kind":"NodeList","metadata":{"resourceVersion":"7"},"items":[]}"#, "its kind is \"NodeList\""),
            (r#"{"kind":"Pod","metadata":{"resourceVersion":"7"},"items":[]}"#, "its kind is \"Pod\""),
            (r#"{"kind":"Status","metadata":{},"message":"no way","code":200}"#, "its kind is \"Status\": no way"),
        ] {
            let told = read(page, true).expect_err(page);
            assert!(told.starts_with("the reply is no PodList: ") && told.contains(why), "{page}: {told}");
        }
        let many = format!(r#"{{"metadata":{{"resourceVersion":"7"}},"items":[0{}]}}"#, ",0".repeat(MOST_ITEMS));
        assert!(read(&many, true).is_err_and(|why| why.contains("more than 20000 items")));
    }

    #[tokio::test]
    async fn lines_are_told_without_empty_ones_and_the_rest() {
        let body = Body::from(b"one\n\n \ntwo\nrest".to_vec());
        let mut lines = Lines { body, buffer: BytesMut::new(), searched: 0 };
        for expected in [Some(&b"one"[..]), Some(b"two"), None] {
            assert_eq!(lines.next().await.expect("it is read").as_deref(), expected);
        }
    }
}

//! The answers of `/filter` and `/prioritize` as they are sent: each is written once, and nodes that were sent in full go
//! back out of the memory that they came in.

use std::{mem, ops::Range};

use bytes::Bytes;
use serde::Serialize;

use super::Candidates;
use crate::text::Text;

/// Shorter parts of a request are copied: that is cheaper than to send one by itself.
const WORTH_SHARING: usize = 4096;

/// The body of a reply, in pieces that are sent one after another.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    done: Vec<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// All of them, none empty.
    pub fn finish(mut self) -> Vec<Bytes> {
        self.close();
        self.done
    }

    fn write(&mut self, text: &str) {
        self.open.extend_from_slice(text.as_bytes());
    }

    fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        // Neither can text fail to be written as JSON, nor memory to take it.
        let _ = serde_json::to_writer(&mut self.open, value);
    }

    fn name(&mut self, name: &Text<'_>) {
        if name.is_plain() {
            self.open.push(b'"');
            self.write(name);
            self.open.push(b'"');
        } else {
            self.json(&**name);
        }
    }

    /// A part of the request.
    fn echo(&mut self, request: &Bytes, at: Range<usize>) {
        if at.len() < WORTH_SHARING {
            self.open.extend_from_slice(&request[at]);
        } else {
            self.close();
            self.done.push(request.slice(at));
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push(mem::take(&mut self.open).into());
        }
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(whole: Vec<u8>) -> Self {
        Self { done: Vec::new(), open: whole }
    }
}

/// Why a node does not fit, to be written for as many nodes as it holds for.
#[derive(Debug)]
pub struct Why(String);

impl Why {
    /// The verdict for such nodes.
    pub fn new(text: &str) -> Self {
        Self(serde_json::Value::from(text).to_string())
    }
}

/// Nodes that do not fit, by name, with the reason. Repeated names have equal reasons.
pub type Refused<'a> = Vec<(&'a str, &'a Why)>;

/// An answer of `/filter` to a question that can be answered, as [`super::ExtenderFilterResult`] is written: of the
/// candidates of a request those at these places, and why the others do not fit, where evicting pods could help and where
/// it cannot.
pub fn filter_result(
    request: &Bytes,
    candidates: &Candidates<'_>,
    fitting: &[usize],
    failed: Refused<'_>,
    unresolvable: Refused<'_>,
) -> Pieces {
    let mut reply = Pieces::default();
    match candidates {
        Candidates::Nodes(sent) => {
            reply.write(r#"{"Nodes":{"metadata":{},"items":["#);
            let mut run: Option<Range<usize>> = None;
            for node in fitting.iter().map(|at| &sent[*at].at) {
                run = Some(match run {
                    // Neighbours with nothing but a comma between them go out as one.
                    Some(run) if request[run.end..].first() == Some(&b',') && run.end + 1 == node.start => {
                        run.start..node.end
                    }
                    Some(run) => {
                        reply.echo(request, run);
                        reply.write(",");
                        node.clone()
                    }
                    None => node.clone(),
                });
            }
            if let Some(run) = run {
                reply.echo(request, run);
            }
            reply.write(r#"]},"NodeNames":null"#);
        }
        Candidates::Names(sent) => {
            reply.open.reserve(request.len());
            reply.write(r#"{"Nodes":null,"NodeNames":["#);
            for (place, at) in fitting.iter().enumerate() {
                reply.write(if place == 0 { "" } else { "," });
                reply.name(&sent[*at]);
            }
            reply.write("]");
        }
        Candidates::Absent => reply.write(r#"{"Nodes":null,"NodeNames":null"#),
    }
    for (list, mut refused) in [("FailedNodes", failed), ("FailedAndUnresolvableNodes", unresolvable)] {
        refused.sort_unstable_by_key(|(name, _)| *name);
        refused.dedup_by_key(|(name, _)| *name);
        reply.write(",\"");
        reply.write(list);
        reply.write("\":{");
        for (place, (name, why)) in refused.into_iter().enumerate() {
            reply.write(if place == 0 { "" } else { "," });
            reply.json(name);
            reply.write(":");
            reply.write(&why.0);
        }
        reply.write("}");
    }
    reply.write(r#","Error":""}"#);
    reply
}

/// An answer of `/prioritize`, as a list of [`super::HostPriority`] is written: each candidate of a request with its score.
pub fn host_priorities(candidates: &Candidates<'_>, scores: impl ExactSizeIterator<Item = i64>) -> Pieces {
    let mut reply = Pieces::from(Vec::with_capacity(2 + 48 * scores.len()));
    for (at, score) in scores.enumerate() {
        reply.write(if at == 0 { "[{\"Host\":" } else { ",{\"Host\":" });
        match candidates {
            Candidates::Names(sent) => reply.name(&sent[at]),
            Candidates::Nodes(sent) => reply.json(&sent[at].node.name),
            Candidates::Absent => {}
        }
        reply.write(",\"Score\":");
        reply.json(&score);
        reply.write("}");
    }
    reply.write(if reply.open.is_empty() { "[]" } else { "]" });
    reply
}

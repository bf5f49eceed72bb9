//! The bodies of `/filter` and `/prioritize`, read in one pass with as little copying as possible.
//!
//! This reader handles the JSON that clients send: names and nodes stay where they are in the body, and a node that was sent before is
//! skipped at once. Any other body goes to the full reader, [`ExtenderArgs`], which reads everything and reports faults.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{ExtenderArgs, KnownNodes, join, readable};
use crate::{
    allowance,
    decode::{self, DecodeError, GoJson},
    objects::{node, pod},
    text::Text,
};
use podberth_core::{
    model::{self, Node},
    snapshot::Snapshot,
};

/// A node that was sent in full.
#[derive(Clone, Debug)]
pub struct SentNode {
    /// Its place in the body, to be echoed byte for byte.
    pub at: Range<usize>,
    /// The parsed node.
    pub node: Arc<Node>,
}

/// The arguments of `/filter` and `/prioritize`.
#[derive(Debug)]
pub struct Args<'a> {
    /// The pod to place; `None` where none was sent.
    pub pod: Option<model::Pod>,
    /// The candidates.
    pub candidates: Candidates<'a>,
}

/// The candidates, in the form in which they were sent and the reply must be.
#[derive(Debug)]
pub enum Candidates<'a> {
    /// In full. Duplicates stay.
    Nodes(Vec<SentNode>),
    /// By name. Duplicates stay.
    Names(Vec<Text<'a>>),
    /// Neither list was sent.
    Absent,
}

/// The tools for reading full nodes.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    /// Those that were sent before.
    pub known: &'r KnownNodes,
    /// The stored nodes: a sent node that equals a stored one shares its memory.
    pub stored: &'r Snapshot,
    /// `true` if the images of the nodes are needed. If `false`, their images have no meaning.
    pub images: bool,
}

/// Memory of a candidate: its place in the list and in the reply, and its verdict.
const CANDIDATE: usize = 512;

/// Candidates that are charged for at once.
const CHARGED_AT_ONCE: usize = 256;

impl<'a> Args<'a> {
    /// Reads a request. If both lists are present the full one counts.
    ///
    /// # Errors
    /// If the body is not JSON, or a field has the wrong type or cannot be read.
    pub fn parse(body: &'a [u8], reading: Reading<'_>) -> Result<Self, DecodeError> {
        Walk { body, at: 0, reading }.args().map_or_else(|| Self::parse_in_full(body), Ok)
    }

    /// Parses by the full reader alone.
    ///
    /// # Errors
    /// As for [`Self::parse`].
    pub fn parse_in_full(body: &'a [u8]) -> Result<Self, DecodeError> {
        let args: ExtenderArgs<'a> = decode::from_slice(body)?;
        let candidates = args.nodes.as_ref().map_or(0, |list| list.items.len() * (CANDIDATE + size_of::<Node>()));
        allowance::charge(candidates + args.node_names.as_ref().map_or(0, |names| names.len() * CANDIDATE))?;
        let pod = args.pod.map(|pod| readable(pod.to_core(), "Pod")).transpose()?;
        let candidates = match (args.nodes, args.node_names) {
            (Some(list), _) => {
                let nodes = list.items.into_iter().enumerate().map(|(i, raw)| {
                    let path = format!("Nodes.items[{i}]");
                    let text = raw.get();
                    let node: node::Node = decode::from_slice(text.as_bytes())
                        .map_err(|e| DecodeError { field: join(&path, &e.field), ..e })?;
                    let start = text.as_ptr().addr() - body.as_ptr().addr();
                    // Placement does not read them.
                    let node = Node { facts: None, ..readable(node.to_core(), &path)? };
                    Ok(SentNode { at: start..start + text.len(), node: Arc::new(node) })
                });
                Candidates::Nodes(nodes.collect::<Result<_, DecodeError>>()?)
            }
            (None, Some(names)) => Candidates::Names(names.into_iter().map(Text::from).collect()),
            (None, None) => Candidates::Absent,
        };
        Ok(Self { pod, candidates })
    }
}

/// A value that is read as Go reads it.
struct Go<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Go<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(GoJson(deserializer)).map(Self)
    }
}

/// A position in the body. Each step returns `None` if the full reader is needed.
struct Walk<'a, 'r> {
    body: &'a [u8],
    at: usize,
    reading: Reading<'r>,
}

impl<'a> Walk<'a, '_> {
    fn args(mut self) -> Option<Args<'a>> {
        let (mut pod, mut nodes, mut names) = (None, None, None);
        self.members(|walk, key| {
            if key.eq_ignore_ascii_case("Pod") {
                once(&mut pod, walk.value::<Option<pod::Pod>>()?)
            } else if key.eq_ignore_ascii_case("Nodes") {
                let list = if walk.take_null()? { None } else { Some(walk.node_list()?) };
                once(&mut nodes, list)
            } else if key.eq_ignore_ascii_case("NodeNames") {
                let list = if walk.take_null()? { None } else { Some(walk.names()?) };
                once(&mut names, list)
            } else {
                walk.value::<IgnoredAny>().map(drop)
            }
        })?;
        if self.peek().is_some() {
            return None;
        }
        let pod = pod.flatten().map(|pod| pod.to_core().lenient().ok());
        let candidates = match (nodes.flatten(), names.flatten()) {
            (Some(nodes), _) => Candidates::Nodes(nodes),
            (None, Some(names)) => Candidates::Names(names),
            (None, None) => Candidates::Absent,
        };
        Some(Args { pod: pod.map_or(Some(None), |pod| pod.map(Some))?, candidates })
    }

    fn names(&mut self) -> Option<Vec<Text<'a>>> {
        // Checked once for all names.
        let (start, text) = (self.at, std::str::from_utf8(&self.body[self.at..]).ok()?);
        self.elements(CANDIDATE, |walk| match Text::plain_at(text.get(walk.at - start..)?) {
            Some((name, length)) => {
                walk.at += length;
                Some(name)
            }
            None => walk.value(),
        })
    }

    fn node_list(&mut self) -> Option<Vec<SentNode>> {
        let mut items = None;
        self.members(|walk, key| {
            if key.eq_ignore_ascii_case("items") {
                let list = if walk.take_null()? { Vec::new() } else { walk.nodes()? };
                once(&mut items, list)
            } else {
                walk.value::<IgnoredAny>().map(drop)
            }
        })?;
        Some(items.unwrap_or_default())
    }

    fn nodes(&mut self) -> Option<Vec<SentNode>> {
        self.elements(CANDIDATE + size_of::<Node>(), |walk| {
            let start = walk.at;
            let node = walk.node()?;
            Some(SentNode { at: start..walk.at, node })
        })
    }

    /// A list whose elements `element` reads; the result of each takes `bytes` of memory.
    fn elements<T>(&mut self, bytes: usize, mut element: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut elements = Vec::new();
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.peek()?;
            if elements.len() % CHARGED_AT_ONCE == CHARGED_AT_ONCE - 1 {
                allowance::charge(CHARGED_AT_ONCE * bytes).ok()?;
            }
            elements.push(element(self)?);
            if self.take(b',').is_none() {
                return self.take(b']').map(|()| elements);
            }
        }
    }

    fn node(&mut self) -> Option<Arc<Node>> {
        let Reading { known, stored, images } = self.reading;
        let text = &self.body[self.at..];
        if let Some((node, length)) = known.find(text, images) {
            self.at += length;
            return Some(node);
        }
        let (mut node, length) = node::borrowed::read(text, images)?;
        let node = match stored.node(&node.name).map(|info| &info.node) {
            Some(stored) if stored.is_but_for_images(&node) && (!images || stored.images == node.images) => {
                stored.clone()
            }
            Some(stored) if !images => {
                // So that the node, put in the place of the stored one, changes nothing about images.
                node.images.clone_from(&stored.images);
                Arc::new(node)
            }
            _ => Arc::new(node),
        };
        known.learn(&text[..length], &node, images);
        self.at += length;
        Some(node)
    }

    /// The members of the object here, each of whose values is to be taken.
    fn members(&mut self, mut member: impl FnMut(&mut Self, &str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            // A key that is null would be read as an empty text.
            let key = self.peek().filter(|first| *first == b'"').and_then(|_| self.value::<Text<'a>>())?;
            self.take(b':')?;
            member(self, &key)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    /// The value here, as a whole.
    fn value<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let mut values = serde_json::Deserializer::from_slice(&self.body[self.at..]).into_iter::<Go<T>>();
        let value = values.next()?.ok()?;
        self.at += values.byte_offset();
        Some(value.0)
    }

    /// Takes a `null`, if the text has one here.
    fn take_null(&mut self) -> Option<bool> {
        if self.peek()? == b'n' { self.value::<()>().map(|()| true) } else { Some(false) }
    }

    /// Takes a sign if it is the next one.
    fn take(&mut self, sign: u8) -> Option<()> {
        (self.peek()? == sign).then(|| self.at += 1)
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.body[self.at..];
        self.at += rest.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(rest.len());
        self.body.get(self.at).copied()
    }
}

/// For a repeated key the full reader is needed, which reports it.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use podberth_core::snapshot::Object;

    fn walked<'a>(body: &'a [u8], known: &KnownNodes, stored: &Snapshot, images: bool) -> Option<Args<'a>> {
        Walk { body, at: 0, reading: Reading { known, stored, images } }.args()
    }

    /// The meaning of a request as text: its nodes with their places and, if requested, their images.
    fn rendered(args: &Args<'_>, images: bool) -> String {
        let node = |sent: &SentNode| {
            let mut node = Node::clone(&sent.node);
            if !images {
                node.images.clear();
            }
            (sent.at.clone(), node)
        };
        match &args.candidates {
            Candidates::Nodes(nodes) => format!("{:?} {:?}", args.pod, nodes.iter().map(node).collect::<Vec<_>>()),
            Candidates::Names(names) => format!("{:?} {:?}", args.pod, names.iter().map(|n| &**n).collect::<Vec<_>>()),
            Candidates::Absent => format!("{:?}", args.pod),
        }
    }

    /// The members of an object, in any order and number, with the values that fit or with any.
    fn object(fields: Vec<(&'static str, BoxedStrategy<String>)>) -> BoxedStrategy<String> {
        let key = |key: &'static str| {
            prop_oneof![
                20 => Just(format!("{key:?}")),
                1 => Just(format!("{:?}", key.to_uppercase())),
                1 => Just(format!("\"\\u{:04x}{}\"", key.as_bytes()[0], &key[1..])),
            ]
        };
        let member = |(name, value): (&'static str, BoxedStrategy<String>)| {
            let value = prop_oneof![12 => value, 1 => Just("null".to_owned()), 1 => json()];
            (key(name), select(vec!["", " ", "\n\t"]), value).prop_map(|(k, blank, v)| format!("{k}{blank}:{blank}{v}"))
        };
        let members: Vec<_> = fields.into_iter().map(|field| member(field).boxed()).collect();
        let most = members.len();
        vec(proptest::strategy::Union::new(members), 0..=most)
            .prop_map(|members| format!("{{{}}}", members.join(", ")))
            .boxed()
    }

    fn list(element: BoxedStrategy<String>) -> BoxedStrategy<String> {
        vec(element, 0..3).prop_map(|elements| format!("[{}]", elements.join(","))).boxed()
    }

    fn one_of(texts: &'static [&'static str]) -> BoxedStrategy<String> {
        select(texts).prop_map(String::from).boxed()
    }

    fn text() -> BoxedStrategy<String> {
        one_of(&[
            r#""a""#,
            r#""b""#,
            r#""NoSchedule""#,
            r#""""#,
            r#""é""#,
            r#""\u0061\n""#,
            r#""\ud83d\ude00""#,
            r#""True""#,
        ])
    }

    fn amount() -> BoxedStrategy<String> {
        one_of(&[
            r#""4""#,
            r#""500m""#,
            r#""8Gi""#,
            "2",
            "-1",
            "0.5",
            "1e3",
            "-0.0",
            "98765432109876543210",
            "1e400",
            r#""x""#,
        ])
    }

    fn json() -> BoxedStrategy<String> {
        let leaf = prop_oneof![
            text(),
            amount(),
            one_of(&[
                "true",
                "false",
                "null",
                r#""\ud800""#,
                "\"\u{1}\"",
                "01",
                "nul",
                "",
                "{]",
                r#"{"a":1,}"#,
                "[1 2]"
            ])
        ];
        leaf.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                list(inner.clone().boxed()),
                object(vec![("name", inner.clone().boxed()), ("k", inner.boxed())])
            ]
        })
        .boxed()
    }

    fn map(value: &BoxedStrategy<String>) -> BoxedStrategy<String> {
        object(["cpu", "memory", "pods", "example.com/x"].map(|key| (key, value.clone())).into())
    }

    fn any_node() -> BoxedStrategy<String> {
        let avoid = one_of(&[
            r#""{\"preferAvoidPods\":[{\"podSignature\":{\"podController\":{\"kind\":\"ReplicaSet\",\"uid\":\"u\"}}}]}""#,
            r#""?""#,
        ]);
        let annotations = object(vec![("scheduler.alpha.kubernetes.io/preferAvoidPods", avoid), ("a", text())]);
        let time = one_of(&[r#""2026-01-01T00:00:00Z""#, r#""never""#]);
        let owner = object(vec![("kind", text()), ("controller", one_of(&["true", "false"]))]);
        let metadata = object(vec![
            ("name", text()),
            ("namespace", text()),
            ("uid", text()),
            ("resourceVersion", text()),
            ("creationTimestamp", time.clone()),
            ("labels", map(&text())),
            ("annotations", annotations),
            ("managedFields", json()),
            ("ownerReferences", list(owner)),
        ]);
        let taint = object(vec![("key", text()), ("value", text()), ("effect", text()), ("timeAdded", time.clone())]);
        let spec = object(vec![("unschedulable", one_of(&["true", "false"])), ("taints", list(taint))]);
        let image = object(vec![("names", list(text())), ("sizeBytes", one_of(&["1", "-7", "0"]))]);
        let condition = object(vec![("type", text()), ("status", text()), ("lastTransitionTime", time)]);
        let status = object(vec![
            ("allocatable", map(&amount())),
            ("capacity", map(&amount())),
            ("images", list(image)),
            ("conditions", list(condition)),
        ]);
        object(vec![("metadata", metadata), ("spec", spec), ("status", status), ("kind", text())])
    }

    fn any_body() -> BoxedStrategy<String> {
        let nodes = object(vec![("items", list(any_node())), ("metadata", json())]);
        let pod = object(vec![("metadata", object(vec![("name", text())])), ("spec", json())]);
        object(vec![("Pod", pod), ("Nodes", nodes), ("NodeNames", list(text())), ("other", json())])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_fast_reader_agrees_with_the_full_reader(body in any_body(), cut in any::<prop::sample::Index>(), put in vec(any::<u8>(), 0..2), spoil in any::<bool>(), images in any::<bool>()) {
            let mut body = body.into_bytes();
            if spoil {
                let at = cut.index(body.len());
                body.splice(at..body.len().min(at + 1), put);
            }
            let (known, none) = (KnownNodes::default(), Snapshot::default());
            let full = Args::parse_in_full(&body);
            if let Some(walked) = walked(&body, &known, &none, images) {
                let full = full.as_ref();
                prop_assert!(full.is_ok(), "{full:?}");
                prop_assert_eq!(rendered(&walked, images), full.map(|full| rendered(full, images)).unwrap_or_default());
            }
            let reading = Reading { known: &known, stored: &none, images };
            match (Args::parse(&body, reading), full) {
                (Ok(fast), Ok(full)) => prop_assert_eq!(rendered(&fast, images), rendered(&full, images)),
                (fast, full) => prop_assert_eq!(fast.err(), full.err()),
            }
        }

        #[test]
        fn known_and_stored_nodes_equal_their_text(nodes in vec(any_node(), 1..4), stored in vec(any::<bool>(), 4), images in vec(any::<bool>(), 3)) {
            // Long enough to be kept.
            let padded = |node: &String| node.replacen('{', &format!(r#"{{"pad":"{}","#, "x".repeat(600)), 1).replace(",}", "}");
            let nodes: Vec<String> = nodes.iter().map(padded).collect();
            let body = format!(r#"{{"Nodes":{{"items":[{}]}}}}"#, nodes.join(","));
            let Ok(full) = Args::parse_in_full(body.as_bytes()) else { return Ok(()) };
            let Candidates::Nodes(sent) = &full.candidates else { return Ok(()) };
            let objects = sent.iter().zip(&stored).filter(|(_, stored)| **stored);
            let snapshot: Snapshot = objects.map(|(sent, _)| Object::Node(Node::clone(&sent.node))).collect();
            let known = KnownNodes::default();
            for images in images {
                let reading = Reading { known: &known, stored: &snapshot, images };
                let again = Args::parse(body.as_bytes(), reading).map(|args| rendered(&args, images));
                prop_assert_eq!(again, Ok(rendered(&full, images)));
            }
        }
    }

    #[test]
    fn ordinary_requests_are_walked_and_known_nodes_shared() {
        let pad = "x".repeat(600);
        let node = format!(
            r#"{{"metadata":{{"name":"n","uid":"u","labels":{{"a":"b"}},"annotations":{{"pad":"{pad}"}}}},"spec":{{"taints":null}},"status":{{"capacity":{{"cpu":"4"}},"images":[{{"names":["i"],"sizeBytes":3}}],"conditions":[{{"type":"Ready","status":"True"}}]}}}}"#
        );
        let body = format!(
            r#" {{"Pod": {{"metadata":{{"name":"p"}}}}, "nodes":{{"metadata":{{}},"items":[{node}, {node}]}},"NodeNames":null}} "#
        );
        let (known, mut stored) = (KnownNodes::default(), Snapshot::default());
        let read =
            |stored: &Snapshot, images| match walked(body.as_bytes(), &known, stored, images).map(|a| a.candidates) {
                Some(Candidates::Nodes(nodes)) => nodes,
                other => panic!("{other:?}"),
            };
        let first = read(&stored, false);
        assert!(first.iter().all(|sent| body[sent.at.clone()] == node && sent.node.images.is_empty()));
        assert!(Arc::ptr_eq(&first[0].node, &first[1].node), "the second was known");
        let with_images = read(&stored, true);
        assert_eq!(with_images[0].node.images.len(), 1);
        assert!(Arc::ptr_eq(&with_images[0].node, &read(&stored, false)[1].node), "images do no harm");
        stored.apply(Object::Node(Node::clone(&with_images[0].node)));
        let fresh = KnownNodes::default();
        let Some(Args { candidates: Candidates::Nodes(sent), .. }) = walked(body.as_bytes(), &fresh, &stored, false)
        else {
            panic!("walked");
        };
        assert!(stored.node("n").is_some_and(|info| Arc::ptr_eq(&info.node, &sent[0].node)));
        assert!(walked(br#"{"Pod":null,"NodeNames":["a","\u0062"]}"#, &known, &stored, false).is_some());
    }
}

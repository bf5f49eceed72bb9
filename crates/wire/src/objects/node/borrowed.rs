//! Full nodes of requests, by the thousand: read in one pass, without copying the parts that are not read.
//!
//! Invariant: [`super::Node`] reads everything that is read here in the same way. Odd input (a repeated key, a wrong type) is not read here
//! but left to it, since it reports faults.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{avoided, effect};
use crate::{
    decode::GoJson,
    fault::{Faults, Path},
    objects::{
        converted,
        meta::{OwnerReference, instant},
        quantity::Written,
    },
    text::Text,
};
use podberth_core::model::{self, Image, Name, PREFER_AVOID_PODS, Resources, Taint};

/// The node at the beginning of `json` and the end of its text, or `None` if there is none or an odd one. Images are dropped unless `images` is
/// set.
pub fn read(json: &[u8], images: bool) -> Option<(model::Node, usize)> {
    if images { read_as::<Kept>(json) } else { read_as::<Checked>(json) }
}

fn read_as<I: Images>(json: &[u8]) -> Option<(model::Node, usize)> {
    let mut nodes = serde_json::Deserializer::from_slice(json).into_iter::<Node<'_, I>>();
    let node = nodes.next()?.ok()?;
    let end = nodes.byte_offset();
    // The fields passed over must be valid UTF-8 too.
    std::str::from_utf8(&json[..end]).ok()?;
    Some((converted(|faults| node.into_core(faults)).lenient().ok()?, end))
}

/// Keeps or drops the images on a node.
trait Images: Default {
    const KEPT: bool;
}

/// They are.
#[derive(Default)]
struct Kept;

impl Images for Kept {
    const KEPT: bool = true;
}

/// They are looked at for their types only.
#[derive(Default)]
struct Checked;

impl Images for Checked {
    const KEPT: bool = false;
}

/// A [`super::Node`] that copies nothing, and keeps images only if they are wanted.
struct Node<'a, I: Images>(Fields<'a, I>);

impl<'de: 'a, 'a, I: Images> Deserialize<'de> for Node<'a, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Fields::deserialize(GoJson(deserializer)).map(Self)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default, bound(deserialize = "I: Images"))]
struct Fields<'a, I: Images> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: Spec<'a>,
    #[serde(borrow)]
    status: Status<'a, I>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(dead_code, reason = "what decisions do not need is read for its type")]
struct Metadata<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    uid: Text<'a>,
    #[serde(borrow)]
    resource_version: Text<'a>,
    #[serde(borrow)]
    creation_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    deletion_timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    labels: Pairs<'a, Text<'a>>,
    #[serde(borrow)]
    annotations: Pairs<'a, Text<'a>>,
    owner_references: Vec<OwnerReference>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
#[allow(dead_code, reason = "what decisions do not need is read for its type")]
struct Spec<'a> {
    unschedulable: bool,
    #[serde(rename = "providerID", borrow)]
    provider_id: Text<'a>,
    #[serde(borrow)]
    taints: Vec<NodeTaint<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeTaint<'a> {
    #[serde(borrow)]
    key: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(borrow)]
    effect: Text<'a>,
    #[serde(borrow)]
    time_added: Option<Text<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, bound(deserialize = "I: Images"))]
struct Status<'a, I: Images> {
    #[serde(borrow)]
    capacity: Pairs<'a, Written<'a>>,
    #[serde(borrow)]
    allocatable: Option<Pairs<'a, Written<'a>>>,
    #[serde(borrow)]
    images: List<ContainerImage<'a, I>, I>,
    #[serde(borrow)]
    conditions: Vec<NodeCondition<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[allow(dead_code, reason = "what decisions do not need is read for its type")]
struct NodeCondition<'a> {
    #[serde(rename = "type", borrow)]
    condition_type: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow)]
    last_transition_time: Option<Text<'a>>,
}

impl<I: Images> Node<'_, I> {
    fn into_core(self, faults: &mut Faults) -> model::Node {
        let Fields { metadata, spec, status } = self.0;
        let mut allocatable = Resources::default();
        // Of a name given twice the last amount counts.
        for (name, written) in status.allocatable.unwrap_or(status.capacity).0 {
            if let Some(amount) = written.amount(&Path::ROOT, faults) {
                allocatable.set(&Name::from(&*name), amount);
            }
        }
        let taint = |taint: NodeTaint<'_>, faults: &mut Faults| {
            let added = taint.time_added.and_then(|text| instant(&text, &Path::ROOT, faults));
            let effect = effect(&taint.effect, &Path::ROOT, faults)?;
            Some(Taint { key: Name::from(&*taint.key), value: Name::from(&*taint.value), effect, added })
        };
        let avoid = metadata.annotations.0.iter().rfind(|(key, _)| **key == *PREFER_AVOID_PODS);
        model::Node {
            name: Name::from(&*metadata.name),
            labels: metadata.labels.0.iter().map(|(key, value)| (&**key, &**value)).collect(),
            unschedulable: spec.unschedulable,
            taints: spec.taints.into_iter().filter_map(|t| taint(t, faults)).collect(),
            allocatable,
            images: status.images.0.iter().map(ContainerImage::to_core).collect(),
            avoid_controllers: avoid.map_or_else(Vec::new, |(_, annotation)| avoided(annotation)),
            conditions: status
                .conditions
                .iter()
                .map(|c| (Name::from(&*c.condition_type), super::condition_status(&c.status)))
                .collect(),
            facts: None,
        }
    }
}

/// A map as its pairs, in their order.
struct Pairs<'a, V>(Vec<(Text<'a>, V)>);

impl<V> Default for Pairs<'_, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Reader<V> {
            type Value = Vec<(Text<'de>, V)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = entries.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Reader(PhantomData)).map(Self)
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default, bound(deserialize = "I: Images"))]
struct ContainerImage<'a, I: Images> {
    #[serde(borrow)]
    names: List<Text<'a>, I>,
    size_bytes: i64,
}

impl<I: Images> ContainerImage<'_, I> {
    fn to_core(&self) -> Image {
        Image { names: self.names.0.iter().map(|name| Name::from(&**name)).collect(), size: self.size_bytes }
    }
}

/// A list of images or of their names.
struct List<T, I: Images>(Vec<T>, PhantomData<I>);

impl<T, I: Images> Default for List<T, I> {
    fn default() -> Self {
        Self(Vec::new(), PhantomData)
    }
}

impl<'de, T: Deserialize<'de>, I: Images> Deserialize<'de> for List<T, I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T, I: Images>(List<T, I>);
        impl<'de, T: Deserialize<'de>, I: Images> Visitor<'de> for Reader<T, I> {
            type Value = List<T, I>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                let Self(mut list) = self;
                while let Some(element) = elements.next_element()? {
                    if I::KEPT {
                        list.0.push(element);
                    }
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Reader(List::default()))
    }
}

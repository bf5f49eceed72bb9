//! Names in a bundle replaced by others, each by the same everywhere, in their order: whatever compares them gives the same answer.
//!
//! Only texts at places that are known to hold names or values of labels are replaced. Keys of labels and taints, resources, ports and numbers stay, since
//! they have a meaning of their own.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    core::{cycle::tie_break, model},
    wire::{decision::Decision, explanation::Explanation},
};

/// Seeds that are tried.
const SEEDS: u64 = 20_000;

/// Fields that hold a name.
const NAMES: &[&str] = &[
    "name",
    "namespace",
    "uid",
    "image",
    "nodeName",
    "nominatedNodeName",
    "priorityClassName",
    "runtimeClassName",
    "hostIP",
];

/// Fields whose texts are all names or values of labels: maps of labels, lists of values, the names of images.
const VALUES: &[&str] = &["labels", "nodeSelector", "matchLabels", "values", "namespaces", "names"];

/// Fields that are not looked into.
const LEFT: &[&str] = &["resources", "allocatable", "capacity", "overhead", "schedulingGates", "annotations"];

/// Old names with their new ones.
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// Names for all that a bundle has.
    pub(super) fn of(bundle: &Value) -> Self {
        let mut found = BTreeSet::new();
        for part in ["pod", "cluster"] {
            visit(&mut bundle[part].clone(), "", &mut |text| {
                found.insert(text.clone());
            });
        }
        let digits = found.len().to_string().len();
        Self(found.into_iter().enumerate().map(|(at, name)| (name, format!("x{at:0digits$}"))).collect())
    }

    /// The new name of an old one.
    pub(super) fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// Replaces all of them.
    pub(super) fn rename(&self, bundle: &mut Value) {
        for part in ["pod", "cluster", "policy"] {
            visit(&mut bundle[part], if part == "policy" { POLICY } else { "" }, &mut |text| *text = self.get(text));
            if part != "policy" {
                tag_images(&mut bundle[part]);
            }
        }
    }
}

/// Gives all images a tag, as those without one mean `:latest`.
pub(super) fn tag_images(bundle: &mut Value) {
    images(bundle, &|image| {
        if image.rfind(':') <= image.rfind('/') {
            image.push_str(":latest");
        }
    });
}

fn images(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    Value::String(text) if name == "image" => change(text),
                    Value::Array(names) if name == "names" => {
                        let texts = names
                            .iter_mut()
                            .filter_map(|name| if let Value::String(text) = name { Some(text) } else { None });
                        texts.for_each(change);
                    }
                    value => images(value, change),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| images(value, change)),
        _ => {}
    }
}

/// A mark for policies, in which a `name` is that of a rule.
const POLICY: &str = "policy";

fn shown(text: &mut String, see: &mut dyn FnMut(&mut String)) {
    let has_meaning = text.is_empty() || text.parse::<i64>().is_ok() || text.starts_with("system-");
    if !has_meaning {
        see(text);
    }
}

/// Shows each text that is a name or a value of a label. Numbers stay, since rules compare them.
fn visit(value: &mut Value, of: &str, see: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                match value {
                    _ if LEFT.contains(&&**name) => {}
                    Value::String(text) if VALUES.contains(&of) || NAMES.contains(&&**name) && of != POLICY => {
                        shown(text, see);
                    }
                    // The value of a taint or a toleration; of labels in a selector.
                    Value::String(text) if name == "value" || of == "selector" => shown(text, see),
                    Value::String(_) => {}
                    value => visit(value, if of == POLICY && !VALUES.contains(&&**name) { POLICY } else { name }, see),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                match value {
                    Value::String(text) if VALUES.contains(&of) => shown(text, see),
                    Value::String(_) => {}
                    value => visit(value, of, see),
                }
            }
        }
        _ => {}
    }
}

/// A seed with which the node that was chosen wins among its equals under the new names too.
pub(super) fn seed_for(expected: &Explanation, names: &Names, decision: &Decision) -> u64 {
    let best = expected.nodes.iter().filter(|node| node.fits).map(|node| node.total).max();
    let tied: Vec<&str> =
        expected.nodes.iter().filter(|node| node.fits && Some(node.total) == best).map(|node| &*node.name).collect();
    let Some(chosen) = &expected.selected else { return decision.seed };
    let pod = model::Pod {
        namespace: names.get(&decision.pod.namespace).as_str().into(),
        name: names.get(&decision.pod.name).as_str().into(),
        uid: names.get(&decision.pod.uid).as_str().into(),
        ..model::Pod::default()
    };
    let wins = |seed: &u64| {
        let drawn = |node: &str| {
            let name = model::Name::from(names.get(node).as_str());
            (tie_break(*seed, &pod, &name), name)
        };
        tied.iter().min_by_key(|node| drawn(node)).is_some_and(|first| first == chosen)
    };
    (decision.seed..).take(SEEDS as usize).find(wins).unwrap_or(decision.seed)
}

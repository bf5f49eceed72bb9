//! Finds the line of a repeated key in a policy's text.
//!
//! kube-scheduler 1.22 refuses such a text with `line 3: key "name" already set in map`
//! (`apimachinery/pkg/runtime/serializer/json/json.go`, `sigs.k8s.io/yaml`, `UnmarshalStrict`).

use std::{collections::BTreeMap, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};

use super::{
    reader::{ALREADY_SET, child},
    tree::MAX_DEPTH,
};
use crate::yaml;
use podberth_core::policy::{Fault, Faults};

/// The faults of a text, those of repeated keys with their lines. JSON is read as the YAML that it is; where it is none, the
/// faults stay as they are.
pub(super) fn with_lines(mut faults: Faults, text: &str) -> Faults {
    let is_repeated = |fault: &Fault| fault.message.ends_with(ALREADY_SET);
    if faults.0.iter().any(is_repeated) {
        let mut lines = BTreeMap::new();
        if let Ok(places) = places(text) {
            places.gather("", &mut lines);
        }
        for fault in faults.0.iter_mut().filter(|fault| is_repeated(fault)) {
            if let Some(line) = lines.get_mut(&fault.field).and_then(Iterator::next) {
                fault.message = format!("line {line}: {}", fault.message);
            }
        }
    }
    faults
}

fn places(text: &str) -> Result<Places, serde_saphyr::Error> {
    let mut options = yaml::options(text.len());
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    if let Some(budget) = &mut options.budget {
        budget.max_depth = MAX_DEPTH;
    }
    serde_saphyr::from_str_with_options(text, options)
}

/// The places of a document's keys.
enum Places {
    Leaf,
    List(Vec<Places>),
    Map(Vec<(Spanned<String>, Places)>),
}

impl Places {
    /// The lines of keys that stood before in their object, by their paths.
    fn gather(&self, path: &str, lines: &mut BTreeMap<String, std::vec::IntoIter<u64>>) {
        match self {
            Self::Leaf => {}
            Self::List(items) => {
                items.iter().enumerate().for_each(|(i, item)| item.gather(&format!("{path}[{i}]"), lines));
            }
            Self::Map(entries) => {
                let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
                for (key, value) in entries {
                    seen.entry(&key.value).or_default().push(key.referenced.line());
                    value.gather(&child(path, &key.value), lines);
                }
                for (key, mut at) in seen.into_iter().filter(|(_, at)| at.len() > 1) {
                    at.remove(0);
                    lines.insert(child(path, key), at.into_iter());
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlacesVisitor)
    }
}

struct PlacesVisitor;

impl<'de> Visitor<'de> for PlacesVisitor {
    type Value = Places;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document")
    }

    fn visit_unit<E>(self) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_none<E>(self) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Places, D::Error> {
        Places::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Places, E> {
        Ok(Places::Leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Places, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Places::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Places, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Places::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use crate::policy;

    #[test]
    fn repeated_keys_are_reported_with_their_lines() {
        let told = |text: &str| {
            let faults = policy::parse(text).unwrap_err();
            faults.0.iter().map(ToString::to_string).filter(|fault| fault.contains("already")).collect::<Vec<_>>()
        };
        assert_eq!(
            told("kind: Policy\n\nkind: Policy\nkind: Policy\n"),
            [r#"kind: line 3: key "kind" already set in map"#, r#"kind: line 4: key "kind" already set in map"#,]
        );
        let json = "{\n\t\"kind\": \"Policy\",\n\t\"extenders\": [{\n\t\t\"urlPrefix\": \"http://x\",\n\t\t\"enableHttps\": true,\n\t\t\"weight\": 1, \"enableHttps\": true\n\t}]\n}";
        assert_eq!(told(json), [r#"extenders[0].enableHttps: line 6: key "enableHttps" already set in map"#]);
        let profile = "profiles:\n- schedulerName: a\n  schedulerName: b\n";
        assert_eq!(told(profile), [r#"profiles[0].schedulerName: line 3: key "schedulerName" already set in map"#]);
    }
}

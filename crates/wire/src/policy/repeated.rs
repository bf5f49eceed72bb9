//! Finds the line of a repeated key in a policy's text.
//!
//! kube-scheduler 1.22 refuses such a text with `line 3: key "name" already set in map`
//! (`apimachinery/pkg/runtime/serializer/json/json.go`, `sigs.k8s.io/yaml`, `UnmarshalStrict`).

use std::collections::BTreeMap;

use super::{
    places::{Keys, places},
    reader::{ALREADY_SET, child},
};
use podberth_core::policy::{Fault, Faults};

/// The faults of a text, those of repeated keys with their lines. JSON is read as the YAML that it is; where it is none, the
/// faults stay as they are.
pub(super) fn with_lines(mut faults: Faults, text: &str) -> Faults {
    let is_repeated = |fault: &Fault| fault.message.ends_with(ALREADY_SET);
    if faults.0.iter().any(is_repeated) {
        let mut lines = BTreeMap::new();
        if let Ok(keys) = places(text) {
            gather(&keys, "", &mut lines);
        }
        for fault in faults.0.iter_mut().filter(|fault| is_repeated(fault)) {
            if let Some(line) = lines.get_mut(&fault.field).and_then(Iterator::next) {
                fault.message = format!("line {line}: {}", fault.message);
            }
        }
    }
    faults
}

/// The lines of keys that stood before in their object, by their paths.
fn gather(keys: &Keys, path: &str, lines: &mut BTreeMap<String, std::vec::IntoIter<u64>>) {
    match keys {
        Keys::Leaf => {}
        Keys::List(items) => {
            items.iter().enumerate().for_each(|(i, item)| gather(&item.value, &format!("{path}[{i}]"), lines));
        }
        Keys::Map(entries) => {
            let mut seen: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
            for (key, value) in entries {
                seen.entry(&key.value).or_default().push(key.referenced.line());
                gather(value, &child(path, &key.value), lines);
            }
            for (key, mut at) in seen.into_iter().filter(|(_, at)| at.len() > 1) {
                at.remove(0);
                lines.insert(child(path, key), at.into_iter());
            }
        }
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

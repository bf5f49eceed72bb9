//! The lists and maps of stored kinds that patches do not treat as plain JSON.
//!
//! `lists.txt` is the one table: a line has a field (`Type.field`) or a type, its rule in a strategic merge patch, and its rule in
//! server-side apply. `-` stands for the rule of all others: a strategic merge patch replaces lists and merges objects, server-side apply
//! takes a list as one value and an object field by field.
//!
//! - Strategic merge: `merge(key)` merges a list of objects by their key, `merge` a list of texts, `replace` takes an object as a whole.
//! - Server-side apply: `map(key,…)` is a list of objects by their keys, `key=x` has a default, `key=` an empty text for one; `set` is a
//!   list of texts; `atomic` is one value, whatever it holds.
//!
//! Source: the tags `patchStrategy` and `patchMergeKey` of `k8s.io/api` 1.34, and the list and map types of
//! `client-go/applyconfigurations/internal/internal.go`. The types of fields stand in `validation/fields.txt`.

use std::{collections::HashMap, sync::LazyLock};

use super::path::Scalar;
use crate::{kinds::StoredKind, validation::fields};

/// The treatment of a field by a strategic merge patch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strategic {
    /// Lists are replaced, objects merged.
    #[default]
    Plain,
    /// The objects of the list are merged by this key.
    MergeBy(&'static str),
    /// The texts of the list are merged.
    MergeTexts,
    /// An object is replaced.
    Replace,
}

/// The treatment of a field by server-side apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Applied {
    /// A list is one value, the fields of an object are values of their own.
    #[default]
    Plain,
    /// One value.
    Atomic,
    /// A list of scalars, each a value of its own.
    Set,
    /// A list of objects, told apart by these fields.
    Map(Vec<KeyField>),
}

/// A field by which the objects of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyField {
    /// Its name.
    pub(super) name: &'static str,
    /// Its value where an object has none.
    pub(super) default: Option<Scalar>,
}

#[derive(Debug, Default)]
struct Rule {
    strategic: Strategic,
    applied: Applied,
}

/// The lines of the table: a field or a type, its rule in a strategic merge patch, and its rule in server-side apply.
pub(crate) fn lines() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    include_str!("lists.txt").lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        Some((words.next()?, words.next()?, words.next()?))
    })
}

static RULES: LazyLock<HashMap<&'static str, Rule>> =
    LazyLock::new(|| lines().map(|(at, strategic, applied)| (at, rule(strategic, applied))).collect());

fn rule(strategic: &'static str, applied: &'static str) -> Rule {
    let within = |text: &'static str, word: &str| text.strip_prefix(word)?.strip_suffix(')');
    let strategic = match strategic {
        "merge" => Strategic::MergeTexts,
        "replace" => Strategic::Replace,
        other => within(other, "merge(").map_or(Strategic::Plain, Strategic::MergeBy),
    };
    let applied = match applied {
        "atomic" => Applied::Atomic,
        "set" => Applied::Set,
        other => within(other, "map(").map_or(Applied::Plain, |keys| {
            Applied::Map(
                keys.split(',')
                    .map(|key| match key.split_once('=') {
                        None => KeyField { name: key, default: None },
                        Some((name, default)) => KeyField { name, default: Some(Scalar::of_word(default)) },
                    })
                    .collect(),
            )
        }),
    };
    Rule { strategic, applied }
}

/// The position of a value in an object of a stored kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The type of the objects there.
    of: Option<&'static str>,
    by_key: bool,
    rule: Option<&'static Rule>,
}

impl Place {
    /// A value of which nothing is known.
    const UNKNOWN: Self = Self { of: None, by_key: false, rule: None };

    /// An object of a kind.
    pub(super) fn root(kind: &StoredKind) -> Self {
        Self { of: Some(kind.fields()), ..Self::UNKNOWN }
    }

    /// A field of the object there, and whether its type names it, as opposed to a key of a map.
    pub(super) fn field(&self, name: &str) -> (Self, bool) {
        let Some(of) = self.of else { return (Self::UNKNOWN, false) };
        if self.by_key {
            return (Self { by_key: false, rule: None, ..*self }, false);
        }
        let Some(field) = fields::field(of, name) else { return (Self::UNKNOWN, false) };
        let rule = RULES_BY_TYPE.get(of).and_then(|rules| rules.get(name)).copied();
        (Self { of: field.of, by_key: field.by_key, rule }, true)
    }

    /// `true` if an object there may not have fields that its type does not name.
    pub(super) fn is_closed(&self) -> bool {
        !self.by_key && self.of.is_some_and(fields::is_known)
    }

    /// `true` if objects are expected there, or lists of them.
    pub(super) fn holds_objects(&self) -> bool {
        self.of.is_some_and(fields::is_known)
    }

    /// An item of the list there.
    pub(super) fn item(&self) -> Self {
        Self { rule: None, ..*self }
    }

    pub(super) fn strategic(&self) -> Strategic {
        self.rule.map_or(Strategic::Plain, |rule| rule.strategic)
    }

    /// The rule for a list there.
    pub(super) fn list(&self) -> &'static Applied {
        self.rule.map_or(&Applied::Plain, |rule| &rule.applied)
    }

    /// `true` if an object there is one value.
    pub(super) fn is_atomic_object(&self) -> bool {
        let of_type =
            || !self.by_key && self.of.and_then(|of| RULES.get(of)).is_some_and(|r| r.applied == Applied::Atomic);
        *self.list() == Applied::Atomic || of_type()
    }
}

static RULES_BY_TYPE: LazyLock<HashMap<&'static str, HashMap<&'static str, &'static Rule>>> = LazyLock::new(|| {
    let mut by_type: HashMap<&str, HashMap<&str, &Rule>> = HashMap::new();
    for (at, rule) in &*RULES {
        if let Some((of, field)) = at.rsplit_once('.') {
            by_type.entry(of).or_default().insert(field, rule);
        }
    }
    by_type
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds;

    #[test]
    fn every_line_names_a_known_field_or_type_and_a_rule() {
        for (at, rule) in &*RULES {
            let known = fields::is_known(at)
                || at.rsplit_once('.').is_some_and(|(of, field)| fields::field(of, field).is_some());
            assert!(known, "{at} is not in fields.txt");
            assert!(rule.strategic != Strategic::Plain || rule.applied != Applied::Plain, "{at} has no rule");
        }
    }

    #[test]
    fn strategic_merge_and_server_side_apply_differ_in_their_keys() {
        let pod = Place::root(kinds::by_api_version("v1", "Pod").expect("pods"));
        let container = pod.field("spec").0.field("containers").0.item();
        let (ports, named) = container.field("ports");
        assert!(named);
        assert_eq!(ports.strategic(), Strategic::MergeBy("containerPort"));
        let Applied::Map(keys) = ports.list() else { panic!("a map") };
        assert_eq!(keys[1], KeyField { name: "protocol", default: Some(Scalar::Text("TCP".into())) });
        assert_eq!(pod.field("spec").0.field("tolerations").0.strategic(), Strategic::Plain);
        let (labels, _) = pod.field("metadata").0.field("labels");
        assert!(!labels.field("app").1, "a key of a map is no named field");
    }
}

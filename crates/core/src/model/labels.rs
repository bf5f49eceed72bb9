//! Labels and the selectors that read them.
//!
//! Source: `apimachinery/pkg/labels/selector.go`, `apimachinery/pkg/apis/meta/v1/helpers.go` (`LabelSelectorAsSelector`).

use super::Name;

/// An object's labels: sorted by key, each key once, cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(std::sync::Arc<[(Name, Name)]>);

impl Labels {
    /// The value of `key`, if the object has that label.
    pub fn get(&self, key: &str) -> Option<&Name> {
        self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|i| &self.0[i].1)
    }

    /// `true` if the label exists, with any value.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All pairs in order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &(Name, Name)> {
        self.0.iter()
    }

    /// `true` if there are no labels.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Into<Name>, V: Into<Name>> FromIterator<(K, V)> for Labels {
    /// Of a key given twice, the last value stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let map: std::collections::BTreeMap<Name, Name> =
            pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self(map.into_iter().collect())
    }
}

/// The operator of a requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The label's value is one of these.
    In(Vec<Name>),
    /// The label is missing, or its value is none of these.
    NotIn(Vec<Name>),
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
    /// The label's value is an integer above this one (node selectors only).
    Gt(i64),
    /// The label's value is an integer below this one (node selectors only).
    Lt(i64),
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: Name,
    /// The operator.
    pub operator: Operator,
}

impl Requirement {
    /// As [`Selector::cost`]: values are compared one after the other.
    pub fn cost(&self) -> u64 {
        match &self.operator {
            Operator::In(values) | Operator::NotIn(values) => values.len() as u64 / 4,
            _ => 0,
        }
    }

    /// `true` if an object whose label has this value (`None`: the label is missing) meets the requirement.
    pub fn matches_value(&self, value: Option<&str>) -> bool {
        match (&self.operator, value) {
            (Operator::In(values), Some(v)) => values.iter().any(|w| &**w == v),
            (Operator::NotIn(values), Some(v)) => values.iter().all(|w| &**w != v),
            (Operator::Exists, Some(_)) | (Operator::NotIn(_) | Operator::DoesNotExist, None) => true,
            (Operator::Gt(bound), Some(v)) => integer(v).is_some_and(|v| v > *bound),
            (Operator::Lt(bound), Some(v)) => integer(v).is_some_and(|v| v < *bound),
            (Operator::DoesNotExist, Some(_)) | (_, None) => false,
        }
    }
}

/// A label value as Go's `strconv.ParseInt(v, 10, 64)` reads it.
fn integer(value: &str) -> Option<i64> {
    value.parse().ok()
}

/// A conjunction of requirements. Empty matches every object.
///
/// It does not stand for an absent selector: where Kubernetes says "nil selects nothing", the owner holds an `Option<Selector>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector(pub Vec<Requirement>);

impl Selector {
    /// The selector of a plain map, as services and replication controllers carry it: every pair must be there.
    pub fn from_map<K: Into<Name>, V: Into<Name>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(key, value)| Requirement { key: key.into(), operator: Operator::In(vec![value.into()]) })
                .collect(),
        )
    }

    /// `true` if an object with these labels meets every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().all(|r| r.matches_value(labels.get(&r.key).map(|v| &**v)))
    }

    /// A label that all selected objects have, if the selector implies one: the key and the only permitted value.
    pub fn needed_label(&self) -> Option<(&Name, &Name)> {
        self.0.iter().find_map(|requirement| match &requirement.operator {
            Operator::In(values) => match values.as_slice() {
                [only] => Some((&requirement.key, only)),
                _ => None,
            },
            _ => None,
        })
    }

    /// How many steps of [`work`](crate::work) it takes to hold it against one object.
    pub fn cost(&self) -> u64 {
        self.0.iter().fold(1, |cost, requirement| cost + requirement.cost())
    }

    /// `true` if it has no requirement and so matches everything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_on_present_and_missing_labels() {
        let labels: Labels = [("disk", "ssd"), ("cores", "8"), ("odd", "+8")].into_iter().collect();
        let yes = |key: &str, operator| Selector(vec![Requirement { key: key.into(), operator }]).matches(&labels);
        assert!(yes("disk", Operator::In(vec!["hdd".into(), "ssd".into()])));
        assert!(!yes("disk", Operator::In(vec![])));
        assert!(!yes("disk", Operator::NotIn(vec!["ssd".into()])));
        assert!(yes("rack", Operator::NotIn(vec!["r1".into()])), "a missing label is not in any list");
        assert!(yes("disk", Operator::Exists) && !yes("rack", Operator::Exists));
        assert!(!yes("disk", Operator::DoesNotExist) && yes("rack", Operator::DoesNotExist));
        assert!(yes("cores", Operator::Gt(7)) && !yes("cores", Operator::Gt(8)) && yes("cores", Operator::Lt(9)));
        assert!(!yes("disk", Operator::Gt(0)), "a value that is no integer is neither above nor below");
        assert!(yes("odd", Operator::Gt(7)), "Go's ParseInt reads a leading plus");
        assert!(!yes("rack", Operator::Lt(1)), "a missing label is neither above nor below");
    }

    #[test]
    fn the_empty_selector_matches_everything() {
        assert!(Selector::default().matches(&Labels::default()));
        assert!(Selector::from_map([("a", "1")]).matches(&[("a", "1"), ("b", "2")].into_iter().collect()));
        assert!(!Selector::from_map([("a", "1")]).matches(&Labels::default()));
    }
}

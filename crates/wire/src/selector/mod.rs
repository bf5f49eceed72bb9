//! The selectors of a query string: `labelSelector=app=web,tier in (a,b),!old` and `fieldSelector=spec.nodeName=n`.

use podberth_core::model::{Labels, Selector};

use self::fields::FieldRequirement;
pub use self::{
    fields::{Fields, NAMESPACE, NODE, Selectable},
    labels::parse_labels,
};

mod fields;
mod labels;
mod read;

/// Why a selector cannot be read, in the words of kube-apiserver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);

/// The selection of a list or a watch. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    labels: Selector,
    fields: Vec<FieldRequirement>,
    selectable: Fields,
}

/// The part of an object that selectors read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    namespace: Box<str>,
    name: Box<str>,
    labels: Labels,
    /// The values of [`Fields::list`], in its order.
    fields: Box<[Box<str>]>,
}

impl Selected {
    /// Reads it from a stored body, on which the bound node is laid. `None` if the body cannot be read.
    pub fn of(fields: Fields, body: &str) -> Option<Self> {
        read::selected(fields, body)
    }
}

impl Query {
    /// Reads both selectors; empty ones select everything.
    ///
    /// # Errors
    /// The first requirement with a fault.
    pub fn parse(selectable: Fields, label_selector: &str, field_selector: &str) -> Result<Self, SelectorError> {
        let labels = parse_labels(label_selector)?;
        let fields = selectable.parse(field_selector)?;
        Ok(Self { labels, fields, selectable })
    }

    /// `true` if it selects everything.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// How many steps of [`work`](podberth_core::work) it takes to hold the labels of one object against it.
    pub fn cost(&self) -> u64 {
        self.labels.cost()
    }

    /// `true` if a stored object is selected. An unreadable object is not.
    pub fn matches(&self, body: &str) -> bool {
        self.is_everything() || Selected::of(self.selectable, body).is_some_and(|object| self.selects(&object))
    }

    /// `true` if an object is selected.
    pub fn selects(&self, object: &Selected) -> bool {
        self.fields.iter().all(|required| required.holds(object)) && self.labels.matches(&object.labels)
    }

    /// The name that all selected objects have, if the field selector demands one.
    pub fn name(&self) -> Option<&str> {
        self.fields.iter().find_map(FieldRequirement::exact_name)
    }

    /// The node that all selected objects are on, if the field selector demands one.
    pub fn node(&self) -> Option<&str> {
        let node = self.selectable.node()?;
        self.fields.iter().find_map(|required| required.exact(node)).filter(|node| !node.is_empty())
    }

    /// `true` if the metadata's name and namespace alone decide which objects are selected.
    pub fn is_by_name(&self) -> bool {
        self.labels.is_empty() && self.fields.iter().all(FieldRequirement::is_metadata)
    }

    /// `true` if all selected objects have one name, are on one node, or are on none.
    pub fn is_narrow(&self) -> bool {
        let node = self.selectable.node();
        let is_of_node = |required: &FieldRequirement| node.is_some_and(|node| required.exact(node).is_some());
        self.fields.iter().any(|required| required.exact_name().is_some() || is_of_node(required))
    }

    /// `true` if objects of a name can be selected, whatever else they hold.
    pub fn may_select(&self, namespace: &str, name: &str) -> bool {
        self.fields.iter().all(|required| required.allows(namespace, name, None))
    }

    /// Like [`Self::may_select`], of objects on a node; "" for none.
    pub fn may_select_on(&self, namespace: &str, name: &str, node: &str) -> bool {
        let node = self.selectable.node().map(|at| (at, node));
        self.fields.iter().all(|required| required.allows(namespace, name, node))
    }

    /// Selects only the object of this name besides.
    pub fn also_named(&mut self, name: &str) {
        self.fields.push(FieldRequirement::name(name));
    }
}

impl Selected {
    /// The node that an object is on, of kinds that can be selected by it.
    pub fn node(&self, fields: Fields) -> Option<&str> {
        self.fields.get(fields.node()?).map(|node| &**node).filter(|node| !node.is_empty())
    }
}

#[cfg(test)]
mod tests {
    pub(super) const BODY: &str = r#"{"metadata":{"name":"p","namespace":"d","labels":{"app":"web","n":"5","empty":""}},
        "spec":{"nodeName":"n1","hostNetwork":true,"serviceAccountName":null,"other":[1]},"status":{"phase":"Running"}}"#;
}

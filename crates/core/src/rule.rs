//! Common parts of predicates and priorities: the release whose rules they follow, their arguments, their documentation.

pub use super::{
    argument::{Argument, Arguments, Declared, Form, LabelPresence, ResourceWeight, ShapePoint},
    release::Release,
};

/// The inputs of a rule's verdict on a pod, besides the pod's own demands (everything but its name and uid). It holds while only
/// pods without a rule about this pod come to the cluster's nodes or leave them. Later variants include the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reads {
    /// Nothing at all.
    Nothing,
    /// The judged node, and the pods on it.
    Node,
    /// Which nodes are candidates, and the node objects; no pods.
    Nodes,
    /// Anything, such as pods on other nodes.
    Cluster,
}

/// The part of a rule's registration that predicates and priorities share.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The name users write in a policy.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// The framework plugin of 1.22 that carried the rule.
    pub plugin: &'static str,
    /// The plugin of 1.34 that carries it; `None` where there is none any more.
    pub modern_plugin: Option<&'static str>,
    /// Its arguments.
    pub arguments: &'static [&'static dyn Declared],
    /// The source file of the rule, from whose `//!` lines [`Self::documentation`] is read.
    pub source: &'static str,
}

impl Identity {
    /// `true` if users may call the rule so: by its name or an alias, in letters exactly as written.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }

    /// The rule's documentation: the `//!` lines at the head of its file, as Markdown.
    pub fn documentation(&self) -> String {
        documentation(self.source)
    }
}

/// The documentation of a rule: the `//!` lines at the head of its file, as Markdown.
pub fn documentation(source: &str) -> String {
    source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n")
}

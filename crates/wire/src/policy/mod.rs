//! `kind: Policy` and `kind: KubeSchedulerConfiguration`, as JSON or YAML.

mod active;
mod added_affinity;
mod argument;
pub mod argument_schema;
mod catalog;
mod configuration;
mod extender;
mod json;
mod legacy;
mod older_plugins;
mod places;
mod reader;
mod render;
mod repeated;
mod reply;
pub mod revision;
pub mod schema;
mod spread;
mod tree;

pub use active::{ActivePredicate, ActivePriority, ActiveProfile, Remark};
pub use argument::argument_default;
pub use catalog::{PluginCatalog, PluginInfo};
pub use places::{Place, Places};
pub use render::{comments, extenders_policy, to_annotated_yaml, to_json, to_yaml};
pub use reply::{PolicyList, PolicyRevisionList, PolicyState, PolicySummary, RollbackRequest};

use std::{borrow::Cow, sync::Arc};

use podberth_core::policy::{Configuration, Conversion, Fault, Faults, Policy, Profile, Profiles, Warning};
use tree::Tree;

/// A document that configures how pods are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// `kind: Policy`, judged as 1.22.
    Policy(Policy),
    /// `kind: KubeSchedulerConfiguration`, or one profile of it, judged as 1.34.
    Configuration(Configuration),
}

impl Document {
    /// The compiled profile. A configuration may hold several: `scheduler_name` chooses one; `None` is `default-scheduler` or else the first. A
    /// Policy has one, with any name.
    ///
    /// # Errors
    /// All faults of the document. A document that [`parse`] accepted has only one possible fault: no profile has the requested name.
    /// profile has the name asked for.
    pub fn compile(&self, scheduler_name: Option<&str>) -> Result<Profile, Faults> {
        match self {
            Self::Policy(policy) => policy.compile(),
            Self::Configuration(configuration) => configuration.compile(scheduler_name),
        }
    }

    /// All compiled profiles.
    ///
    /// # Errors
    /// As for [`Self::compile`].
    pub fn compile_all(&self) -> Result<Profiles, Faults> {
        match self {
            Self::Policy(policy) => policy.compile().map(|profile| Arc::new(profile).into()),
            Self::Configuration(configuration) => configuration.compile_all(),
        }
    }

    /// Settings that the document's author may not have meant.
    pub fn lint(&self) -> Vec<Warning> {
        match self {
            Self::Policy(policy) => policy.lint(),
            Self::Configuration(configuration) => configuration.lint(),
        }
    }

    /// The closest KubeSchedulerConfiguration, with a note for each difference.
    ///
    /// # Errors
    /// All faults of the document; none if [`parse`] accepted it.
    pub fn convert(&self) -> Result<Conversion, Faults> {
        match self {
            Self::Policy(policy) => policy.convert(),
            Self::Configuration(configuration) => {
                let note = "is a KubeSchedulerConfiguration already: only what decides where pods go is kept";
                Ok(Conversion { configuration: configuration.clone(), notes: vec![Warning::new("", note)] })
            }
        }
    }
}

/// How strictly a document is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Plugins that do not exist are passed over with a warning.
    pub pass_unknown_plugins: bool,
    /// A text that begins with a brace may be YAML.
    pub yaml_in_braces: bool,
}

impl Reading {
    /// The options for stored texts: a text that was accepted once stays in use.
    pub const STORED: Self = Self { pass_unknown_plugins: true, yaml_in_braces: true };
}

/// Reads a JSON or YAML document. `kind` distinguishes the two forms or, if it is missing, the keys that only one of them has.
///
/// # Errors
/// All its faults, in form and in meaning, each with its field.
pub fn parse(text: &str) -> Result<Document, Faults> {
    parse_as(text, Reading::default())
}

/// Reads a document with the given options.
///
/// # Errors
/// All its faults, in form and in meaning, each with its field.
pub fn parse_as(text: &str, reading: Reading) -> Result<Document, Faults> {
    let Read { tree, text } = read(text, reading)?;
    let pass_unknown = reading.pass_unknown_plugins;
    let document = if is_configuration(&tree) {
        configuration::from_tree(&tree, pass_unknown).map(Document::Configuration)
    } else if is_profile(&tree) {
        configuration::from_profile_tree(&tree, pass_unknown).map(Document::Configuration)
    } else {
        legacy::from_tree(&tree).map(Document::Policy)
    };
    document.map_err(|faults| repeated::with_lines(faults, &text))
}

/// Reads a Policy: JSON or YAML, `kind: Policy`, `apiVersion: v1` (both may be missing). An empty text is a Policy of
/// defaults.
///
/// # Errors
/// Everything that is wrong with it, in form and in meaning, each fault with its field.
pub fn parse_policy(text: &str) -> Result<Policy, Faults> {
    let Read { tree, text } = read(text, Reading::default())?;
    legacy::from_tree(&tree).map_err(|faults| repeated::with_lines(faults, &text))
}

/// Reads a KubeSchedulerConfiguration or one profile of it, JSON or YAML. An empty text is the default profile.
///
/// # Errors
/// Everything that is wrong with it, in form and in meaning, each fault with its field.
pub fn parse_configuration(text: &str) -> Result<Configuration, Faults> {
    let Read { tree, text } = read(text, Reading::default())?;
    let configuration = if is_configuration(&tree) {
        configuration::from_tree(&tree, false)
    } else {
        configuration::from_profile_tree(&tree, false)
    };
    configuration.map_err(|faults| repeated::with_lines(faults, &text))
}

/// A document as a tree, and the text that it was read from.
struct Read<'t> {
    tree: Tree,
    text: Cow<'t, str>,
}

/// The document as a tree; of a ConfigMap, as kube-scheduler's `--policy-configmap` read it, the document in it.
fn read(text: &str, reading: Reading) -> Result<Read<'_>, Faults> {
    let parse = |text: &str| Tree::parse(text, reading.yaml_in_braces).map_err(|fault: Fault| Faults(vec![fault]));
    let tree = parse(text)?;
    match tree.text("kind") {
        Some("ConfigMap") => match tree.get("data").and_then(|data| data.text(CONFIG_MAP_KEY)) {
            Some(policy) => Ok(Read { tree: parse(policy)?, text: Cow::Owned(policy.to_owned()) }),
            None => Err(Faults(vec![Fault::new("data", format!("a ConfigMap has its policy under {CONFIG_MAP_KEY}"))])),
        },
        _ => Ok(Read { tree, text: Cow::Borrowed(text) }),
    }
}

/// The key of a ConfigMap that holds a policy.
///
/// Source: `pkg/scheduler/apis/config/types.go` of 1.22 (`SchedulerPolicyConfigMapKey`).
const CONFIG_MAP_KEY: &str = "policy.cfg";

fn is_configuration(tree: &Tree) -> bool {
    let of_group = |version: &str| version.starts_with(configuration::GROUP);
    match tree.text("kind") {
        Some(kind) => kind == configuration::KIND,
        None => tree.has("profiles") || tree.text("apiVersion").is_some_and(of_group),
    }
}

fn is_profile(tree: &Tree) -> bool {
    tree.text("kind").is_none() && ["schedulerName", "plugins", "pluginConfig"].iter().any(|key| tree.has(key))
}

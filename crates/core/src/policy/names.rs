//! The names of predicates and priorities through the releases, as tables.
//!
//! Source: `pkg/scheduler/framework/plugins/legacy_registry.go` of 1.22 and
//! `plugin/pkg/scheduler/algorithmprovider/defaults/defaults.go` of 1.6 and after.

use std::collections::BTreeSet;

use crate::{
    argument::{Declared, EntryForm},
    near::near,
    predicates, priorities,
    rule::Identity,
};

/// Scores all nodes alike; kube-scheduler skips it.
pub(super) const EQUAL_PRIORITY: &str = "EqualPriority";

/// A rule that is nothing without the argument of a policy entry, however that entry is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Argued {
    /// The rule.
    pub identity: &'static Identity,
    /// The argument.
    pub argument: &'static dyn Declared,
    /// The name under which 1.22 registers the rule. An entry of this name is taken for the registered rule, and its
    /// argument is not read.
    pub key: &'static str,
    /// Its form.
    pub form: EntryForm,
    /// `true` if the rule is a predicate.
    pub of_predicate: bool,
}

/// The predicates that need an argument.
pub(super) fn argued_predicates() -> impl Iterator<Item = Argued> {
    predicates::ALL.iter().flat_map(|r| argued(&r.identity, true))
}

/// The priorities that need one.
pub(super) fn argued_priorities() -> impl Iterator<Item = Argued> {
    priorities::ALL.iter().flat_map(|r| argued(&r.identity, false))
}

fn argued(identity: &'static Identity, of_predicate: bool) -> impl Iterator<Item = Argued> {
    identity.arguments.iter().filter_map(move |&argument| {
        let (key, form) = argument.entry()?;
        Some(Argued { identity, argument, key, form, of_predicate })
    })
}

/// The members of `argument` in an entry of `predicates`.
pub fn predicate_arguments() -> impl Iterator<Item = &'static dyn Declared> {
    argued_predicates().map(|argued| argued.argument)
}

/// The members of `argument` in an entry of `priorities`.
pub fn priority_arguments() -> impl Iterator<Item = &'static dyn Declared> {
    argued_priorities().map(|argued| argued.argument)
}

/// The arguments that stand in `pluginConfig`, each once.
pub fn plugin_arguments() -> impl Iterator<Item = &'static dyn Declared> {
    let identities = predicates::ALL.iter().map(|r| &r.identity).chain(priorities::ALL.iter().map(|r| &r.identity));
    let mut seen = BTreeSet::new();
    identities
        .flat_map(|identity| identity.arguments.iter().copied())
        .filter(move |argument| argument.entry().is_none() && seen.insert((argument.plugin(), argument.name())))
}

/// `true` if an entry of this name, whose rule this plugin carries, is configured by its argument.
pub(super) fn takes_an_argument(name: &str, plugin: &str) -> bool {
    argued_priorities().any(|argued| argued.identity.plugin == plugin && argued.key != name)
}

/// A hint for a name that is not registered: its successor, or the name that was probably meant.
pub(super) fn hint(name: &str, of_predicate: bool) -> String {
    if let Some(retired) = retired(name) {
        return format!(" (known {})", retired.fate);
    }
    let called = |identity: &'static Identity| std::iter::once(identity.name).chain(identity.aliases.iter().copied());
    let meant = if of_predicate {
        near(predicates::ALL.iter().flat_map(|r| called(&r.identity)), name)
    } else {
        near(priorities::ALL.iter().flat_map(|r| called(&r.identity)), name)
    };
    meant.map_or(String::new(), |meant| format!("; did you mean {meant:?}?"))
}

/// A name that 1.22 does not know any more.
pub(super) struct Retired {
    /// The name.
    pub name: &'static str,
    /// Its successor, or the reason why it is gone.
    pub fate: &'static str,
}

/// Names of older releases that 1.22 refuses.
pub(super) const RETIRED: &[Retired] = &[
    Retired {
        name: "CheckNodeCondition",
        fate: "until 1.17; since 1.12 the taints of NotReady and unreachable nodes do the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodeMemoryPressure",
        fate: "until 1.17; since 1.12 the taint node.kubernetes.io/memory-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodeDiskPressure",
        fate: "until 1.17; since 1.12 the taint node.kubernetes.io/disk-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "CheckNodePIDPressure",
        fate: "1.10 to 1.17; since 1.12 the taint node.kubernetes.io/pid-pressure does the same through PodToleratesNodeTaints",
    },
    Retired {
        name: "PodToleratesNodeNoExecuteTaints",
        fate: "1.8 to 1.17; PodToleratesNodeTaints looks at NoExecute taints as well",
    },
    Retired { name: "NoVolumeNodeConflict", fate: "1.7 to 1.9; CheckVolumeBinding took its place" },
    Retired { name: "ResourceLimitsPriority", fate: "1.9 to 1.19, behind the ResourceLimitsPriorityFunction gate" },
];

/// The entry of a retired name.
pub(super) fn retired(name: &str) -> Option<&'static Retired> {
    RETIRED.iter().find(|r| r.name == name)
}

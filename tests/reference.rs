//! The reference pages are read off the registries: that of predicates and priorities off the rules' own files, that of
//! stored kinds off their rows. Every rule is documented. `UPDATE=1` writes the pages.

use std::{collections::BTreeSet, fmt::Write, fs, path::Path};

use podberth::{
    core::{
        argument::{Declared, EntryForm, Form},
        policy::Profile,
        predicates::{self, Build, Standing},
        priorities,
        rule::{Identity, Release},
    },
    wire::{
        kinds::{self, Served, StoredKind},
        policy,
    },
};

const INTRODUCTION: &str = "\
# Predicates and priorities

<!-- Written by `UPDATE=1 cargo test --test reference` from the files of crates/core/src/predicates and crates/core/src/priorities. -->

A *predicate* rules nodes out. A *priority* scores the other nodes from 0 to 100. The total of a node is the sum of its scores,
each times the weight of its priority, unless a policy makes a [decision tree](decision-tree.md) of its priorities. This page
lists all of them by the names of a Policy; a KubeSchedulerConfiguration uses the names of their plugins. `POST /explain` shows
the verdict and the score of each one for a pod on each node of a cluster.

";

const PREDICATES: &str = "\
## Predicates

In order of evaluation: the first one that rules a node out gives the reason that kube-scheduler counts. *Always* means under every
policy, *by default* under policies without a list of predicates, and *when listed* only under policies that list it. Rules of older
releases, which no plugin of 1.22 carries, keep their own names.

| | Predicate | Plugin in 1.22 | Plugin in 1.34 | Runs |
|---|---|---|---|---|
";

const PRIORITIES: &str = "\
## Priorities

The weights are those of a Policy without a list of priorities (1.22), and of the default profile (1.34).

| Priority | Plugin in 1.22 | Weight | Plugin in 1.34 | Weight |
|---|---|---|---|---|
";

const ARGUMENTS: &str = "
## Arguments

The arguments of rules. A Policy gives an argument with the entry of a rule, in `argument`; the entry then has a name of your own:

```yaml
predicates:
- name: zone-is-known
  argument:
    labelsPresence: {labels: [topology.kubernetes.io/zone], presence: true}
```

A KubeSchedulerConfiguration gives it to a plugin:

```yaml
profiles:
- pluginConfig:
  - name: InterPodAffinity
    args: {hardPodAffinityWeight: 10}
```

A default stands for an argument that is not given. *None*: the rule does nothing without it.

| Rules | In a Policy | In a configuration | Type | Default | Meaning |
|---|---|---|---|---|---|
";

/// Headings of every rule's file.
const HEADINGS: [&str; 4] = ["# Rule", "# Policy name and framework plugin", "# Kubernetes source", "# Example"];
/// Further headings of a predicate's file.
const PREDICATE_HEADINGS: [&str; 2] = ["# Reason text", "# Can preemption help?"];

fn identities() -> impl Iterator<Item = (&'static Identity, &'static [&'static str])> {
    let predicates = predicates::ALL.iter().map(|r| (&r.identity, &PREDICATE_HEADINGS[..]));
    predicates.chain(priorities::ALL.iter().map(|r| (&r.identity, &[][..])))
}

/// A heading's anchor on the page.
fn link(identity: &Identity) -> String {
    format!("[`{}`](#{})", identity.name, identity.name.to_lowercase())
}

fn plugin(name: Option<&str>) -> String {
    name.map_or_else(|| "–".into(), |name| format!("`{name}`"))
}

/// The rule's own text, its headings two levels below the page's.
fn section(page: &mut String, identity: &Identity) {
    let _ = writeln!(page, "\n### {}\n", identity.name);
    if !identity.aliases.is_empty() {
        let aliases: Vec<String> = identity.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = writeln!(page, "Also called {}.\n", aliases.join(", "));
    }
    let mut fenced = false;
    for line in identity.documentation().lines() {
        fenced ^= line.starts_with("```");
        match line.strip_prefix("# ") {
            Some(heading) if !fenced => writeln!(page, "#### {heading}\n"),
            _ => writeln!(page, "{line}"),
        }
        .unwrap_or_default();
    }
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned() + PREDICATES;
    for (at, rule) in predicates::ALL.iter().enumerate() {
        let identity = &rule.identity;
        let carriers: Vec<&Identity> = match rule.build {
            Build::Rule(_) => vec![identity],
            Build::Group(members) => {
                members.iter().filter_map(|name| predicates::find(name)).map(|r| &r.identity).collect()
            }
        };
        let plugins = |of: fn(&Identity) -> String| carriers.iter().map(|c| of(c)).collect::<Vec<_>>().join(", ");
        let (old, modern) = (plugins(|c| plugin(Some(c.plugin))), plugins(|c| plugin(c.modern_plugin)));
        let runs = match rule.standing {
            Standing::Mandatory => "always",
            Standing::Default => "by default",
            Standing::Optional => "when listed",
            Standing::ProfilesOnly => "never in a policy, by default in profiles of 1.34",
        };
        let _ = writeln!(page, "| {} | {} | {old} | {modern} | {runs} |", at + 1, link(identity));
    }
    for rule in predicates::ALL {
        section(&mut page, &rule.identity);
    }
    page = page + "\n" + PRIORITIES;
    let modern = modern_profile();
    for rule in priorities::ALL {
        let identity = &rule.identity;
        let weight = |weight: Option<i64>| weight.map_or_else(|| "–".into(), |w| w.to_string());
        let in_profile = modern.priorities.iter().find(|p| p.name == identity.name).map(|p| p.weight);
        let (old, new) = (plugin(Some(identity.plugin)), plugin(identity.modern_plugin));
        let (old_weight, new_weight) = (weight(rule.default_weight), weight(in_profile));
        let _ = writeln!(page, "| {} | {old} | {old_weight} | {new} | {new_weight} |", link(identity));
    }
    for rule in priorities::ALL {
        section(&mut page, &rule.identity);
    }
    page + &arguments()
}

/// The table of arguments, each with the rules that read it.
fn arguments() -> String {
    let mut readers: Vec<(&'static dyn Declared, Vec<&Identity>)> = Vec::new();
    for (identity, _) in identities() {
        for &argument in identity.arguments {
            let same = |other: &dyn Declared| (other.plugin(), other.name()) == (argument.plugin(), argument.name());
            match readers.iter_mut().find(|(other, _)| same(*other)) {
                Some((_, rules)) => rules.push(identity),
                None => readers.push((argument, vec![identity])),
            }
        }
    }
    let mut table = ARGUMENTS.to_owned();
    for (argument, rules) in readers {
        let rules = rules.into_iter().map(link).collect::<Vec<_>>().join(", ");
        let (plugin, name, help) = (argument.plugin(), argument.name(), argument.help());
        let (in_policy, in_configuration) = match argument.form() {
            Form::Entry { .. } => (format!("`argument.{name}`"), "–".to_owned()),
            _ => (
                argument.in_policy().map_or_else(|| "–".into(), |member| format!("`{member}`")),
                format!("`{name}` of `{plugin}`"),
            ),
        };
        let (kind, default) = (kind(argument.form()), default(argument));
        let _ = writeln!(table, "| {rules} | {in_policy} | {in_configuration} | {kind} | {default} | {help} |");
    }
    table
}

/// The type of an argument, as users write it.
fn kind(form: Form) -> String {
    match form {
        Form::Entry { member, .. } => match member {
            EntryForm::Labels => "`{labels: […]}`",
            EntryForm::Label => "`{label: …}`",
            EntryForm::LabelsPresence => "`{labels: […], presence: true or false}`",
            EntryForm::LabelPresence => "`{label: …, presence: true or false}`",
            EntryForm::CapacityRatio => {
                "`{shape: [{utilization: 0 to 100, score: 0 to 10}, …], resources: [{name: …, weight: 1 or more}, …]}`"
            }
        }
        .into(),
        Form::Flag => "`true` or `false`".into(),
        Form::Integer { max } => format!("number, 0 to {max}"),
        Form::Names => "list of names".into(),
        Form::Resources => "list of `{name, weight}`".into(),
        Form::NodeAffinity => "`nodeAffinity` as in a pod".into(),
        Form::SpreadConstraints => "list of `topologySpreadConstraints` as in a pod, without `labelSelector`".into(),
        Form::ScoringStrategy => "`{type, resources, requestedToCapacityRatio: {shape}}`".into(),
    }
}

/// The default of an argument; the releases are named where they differ.
fn default(argument: &'static dyn Declared) -> String {
    let text = |release| match policy::argument_default(argument, release) {
        value if value.is_null() => "–".to_owned(),
        value => format!("`{value}`"),
    };
    if argument.entry().is_some() {
        return "none".into();
    }
    let (old, new) = (text(Release::V1_22), text(Release::V1_34));
    if old == new { new } else { format!("1.22 {old}, 1.34 {new}") }
}

fn modern_profile() -> Profile {
    let configuration = policy::parse_configuration(r#"{"schedulerName":"default-scheduler"}"#).expect("a profile");
    configuration.compile(None).expect("the default profile compiles")
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

const KINDS: &str = "\
# Stored kinds

<!-- Written by `UPDATE=1 cargo test --test reference` from the rows of crates/wire/src/kinds/table.rs. -->

These kinds are stored, with the paths and verbs that Kubernetes has for them, below `/clusters/{cluster}` for any cluster but
`default`. `POST /import` takes all of them at once, such as `kubectl get … -o json` prints them.

- *Read*: decisions read the kind. What they read of it is validated, and the live cache holds it.
- *Kept*: no decision reads the kind. Its metadata is validated: name, namespace, labels, annotations, owners, finalizers.
  All else is kept as it came. The live cache does not hold it.
- Events are one kind in two forms. What is stored through one of the paths is read through both, under the names that each
  form has for the fields.
- A kind that is not here is refused with 404; an import passes it over and counts it in `skipped`. Secrets are not stored
  on purpose: no decision reads them, and every reader of the state would see them.

| Kind | API version | Path | Short names | Namespaced | Subresources | Decisions |
|---|---|---|---|---|---|---|
";

const OWN_KINDS: &str = "
## Kinds with paths of their own

These are stored beside the others, under a name of their own in the database. They are served by handlers of their own, and
an import neither takes nor deletes them.

| Kind | Group | Path | Verbs |
|---|---|---|---|
";

fn kinds_page() -> String {
    let ticked = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let or_dash = |text: String| if text.is_empty() { "–".into() } else { text };
    let mut page = KINDS.to_owned();
    for row in kinds::shared() {
        let StoredKind { kind, plural, short_names, namespaced, subresources, .. } = row;
        let root = if row.group.is_empty() { "/api" } else { "/apis" };
        let version = row.api_version();
        let short = or_dash(ticked(short_names));
        let namespaced = if *namespaced { "yes" } else { "no" };
        let subresources: Vec<&str> = subresources.iter().map(|subresource| subresource.name()).collect();
        let subresources = or_dash(ticked(&subresources));
        let read = if row.core().is_some() { "read" } else { "kept" };
        let _ = writeln!(
            page,
            "| {kind} | `{version}` | `{root}/{version}/{plural}` | {short} | {namespaced} | {subresources} | {read} |"
        );
    }
    page += OWN_KINDS;
    for row in kinds::ALL {
        if let Served::Own(path) = row.served {
            let verbs: Vec<&str> = row.verbs.iter().map(|verb| verb.name()).collect();
            let _ = writeln!(page, "| {} | `{}` | `{path}` | {} |", row.kind, row.group, ticked(&verbs));
        }
    }
    page
}

#[test]
fn the_page_equals_the_documentation_of_the_rules() {
    kept("docs/predicates-and-priorities.md", &page());
}

#[test]
fn the_page_of_kinds_equals_the_rows() {
    kept("docs/stored-kinds.md", &kinds_page());
}

/// Compares a page with the one that is kept; `UPDATE=1` writes it.
fn kept(name: &str, current: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, current).expect("docs/ can be written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(current.lines()).position(|(old, new)| old != new);
    assert!(
        kept == current,
        "{name} is not what the code says (first difference: line {}). Refresh it: UPDATE=1 cargo test --test reference",
        differs.unwrap_or_else(|| kept.lines().count().min(current.lines().count())) + 1,
    );
}

#[test]
fn every_rule_documents_itself() {
    let mut problems = Vec::new();
    for (identity, more) in identities() {
        let documentation = identity.documentation();
        let lines: Vec<&str> = documentation.lines().map(str::trim).collect();
        for heading in HEADINGS.iter().chain(more) {
            match lines.iter().position(|line| line == heading) {
                None => problems.push(format!("{} lacks the heading {heading:?}", identity.name)),
                Some(at) if lines.get(at + 1).is_none_or(|line| line.is_empty() || line.starts_with("# ")) => {
                    problems.push(format!("{} has nothing under {heading:?}", identity.name));
                }
                Some(_) => {}
            }
        }
    }
    check(&problems);
}

#[test]
fn names_and_aliases_are_taken_once() {
    let mut seen = BTreeSet::new();
    let names = identities().flat_map(|(identity, _)| std::iter::once(&identity.name).chain(identity.aliases));
    check(&names.filter(|name| !seen.insert(**name)).map(|name| format!("{name} is taken")).collect::<Vec<_>>());
}

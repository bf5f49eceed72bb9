//! Compiles a Policy to a profile, or reports all its faults.
//!
//! Source: `pkg/scheduler/factory.go` (`createFromPolicy`), `pkg/scheduler/framework/plugins/legacy_registry.go`
//! (`ProcessPredicatePolicy`, `ProcessPriorityPolicy`, `AppendPredicateConfigs`) and
//! `pkg/scheduler/apis/config/validation/validation.go` (`ValidatePolicy`) of 1.22, which stop at the first fault.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ActivePredicate, ActivePriority, Combination, Fault, Faults, Policy, PredicateEntry, PriorityEntry, Profile,
    extender, levels,
    names::{self, Argued},
};
use crate::{
    argument::{EntryForm, Value, Values},
    model::Name,
    predicates::{self, Build, Standing, pod_fits_resources::IGNORED},
    priorities::{
        self,
        inter_pod_affinity::{HARD_WEIGHT, MAX_HARD_WEIGHT},
    },
    rule::{Arguments, Identity, LabelPresence, Release},
};

const RELEASE: Release = Release::V1_22;
/// `MaxWeight` in `pkg/scheduler/apis/config/types.go`.
const MAX_WEIGHT: i64 = i64::MAX / 10;
const MAX_EXTENDER_SCORE: i64 = 1000;

impl Policy {
    /// The compiled profile.
    ///
    /// # Errors
    /// All faults of the policy, each with its field.
    pub fn compile(&self) -> Result<Profile, Faults> {
        let mut compiler = Compiler::new(self);
        let chosen = compiler.chosen_predicates();
        let weights = compiler.chosen_priorities();
        compiler.judge_the_rest(&chosen);
        let Compiler { arguments, mut faults, .. } = compiler;
        let levels = levels::build(self, &arguments, &mut faults);
        let profile = Profile {
            predicates: build_predicates(&chosen, &arguments),
            priorities: match self.scoring.strategy {
                Combination::WeightedSum => build_priorities(&weights, &arguments),
                Combination::Lexicographic => levels,
            },
            always_check_all_predicates: self.always_check_all_predicates,
            combination: self.scoring.strategy,
            extender_max_score: self.scoring.extender_max_score,
            extenders: extender::in_order_of_use(&self.extenders),
            ..Profile::empty(RELEASE)
        };
        Faults::or(faults, profile)
    }
}

/// The state of compiling a policy's entries. Chosen rules are kept by their registered name.
struct Compiler<'p> {
    policy: &'p Policy,
    faults: Vec<Fault>,
    arguments: Arguments,
    /// Entries with the registered name of a rule that needs an argument, which must be in another entry.
    unargued: Vec<(String, Argued)>,
}

impl<'p> Compiler<'p> {
    fn new(policy: &'p Policy) -> Self {
        let mut arguments = Arguments::defaults(RELEASE);
        arguments.set(&IGNORED, extender::ignored_resources(&policy.extenders));
        if policy.hard_pod_affinity_symmetric_weight != 0 {
            arguments.set(&HARD_WEIGHT, policy.hard_pod_affinity_symmetric_weight);
        }
        Self { policy, faults: Vec::new(), arguments, unargued: Vec::new() }
    }

    fn fault(&mut self, field: String, message: impl Into<String>) {
        self.faults.push(Fault::new(field, message));
    }

    fn chosen_predicates(&mut self) -> BTreeSet<&'static str> {
        let mut chosen = standing(Standing::Mandatory);
        match &self.policy.predicates {
            None => chosen.extend(standing(Standing::Default)),
            Some(entries) => {
                for (i, entry) in entries.iter().enumerate() {
                    chosen.extend(self.predicate(&format!("predicates[{i}]"), entry).map(|identity| identity.name));
                }
            }
        }
        chosen
    }

    /// The rule of an entry, with its argument.
    fn predicate(&mut self, at: &str, entry: &PredicateEntry) -> Option<&'static Identity> {
        let given = entry.argument.as_ref().map(Values::len);
        if let Some(given) = given.filter(|given| *given != 1) {
            let why = format!("exactly 1 predicate argument is required, numArgs: {given}, predicate {}", entry.name);
            self.fault(format!("{at}.argument"), why);
            return None;
        }
        if let Some(argued) = names::argued_predicates().find(|argued| argued.key == &*entry.name) {
            self.unargued.push((at.to_owned(), argued));
            return Some(argued.identity);
        }
        let by_name =
            predicates::find(&entry.name).filter(|r| r.standing != Standing::ProfilesOnly).map(|r| &r.identity);
        if let Some(identity) = by_name.filter(|i| names::argued_predicates().all(|a| a.identity.name != i.name)) {
            return Some(identity);
        }
        let own = |argued: Argued| Some((argued, entry.argument.as_ref()?.of(argued.argument)?));
        let Some((argued, value)) = names::argued_predicates().find_map(own) else {
            return self.not_found(at, &entry.name, "predicate");
        };
        self.arguments.written.add(argued.argument, value.clone());
        Some(argued.identity)
    }

    /// The chosen priorities with their weights.
    fn chosen_priorities(&mut self) -> BTreeMap<&'static str, i64> {
        let Some(entries) = &self.policy.priorities else {
            return priorities::ALL
                .iter()
                .filter_map(|r| r.default_weight.map(|weight| (r.identity.name, weight)))
                .collect();
        };
        let mut weights = BTreeMap::new();
        let mut declared = BTreeMap::new();
        // Levels have no weights, and each is a rule of its own.
        let weighed = self.policy.scoring.strategy == Combination::WeightedSum;
        for (i, entry) in entries.iter().enumerate() {
            let at = format!("priorities[{i}]");
            if weighed && (entry.weight <= 0 || entry.weight >= MAX_WEIGHT) {
                let why = "should have a positive weight applied to it or it has overflown";
                self.fault(format!("{at}.weight"), format!("priority {} {why}", entry.name));
            }
            let argued = self.argument_of(&at, entry);
            if let Some(argued) = argued.filter(|_| weighed) {
                self.declare(&at, entry, argued, &mut declared);
            }
            let argument_is_at_fault = entry.argument.is_some() && argued.is_none();
            if &*entry.name != names::EQUAL_PRIORITY && !argument_is_at_fault {
                // The last entry wins, and is cut like Go's int32(weight).
                let identity = self.priority(&at, entry, argued);
                weights.extend(identity.map(|identity| (identity.name, i64::from(entry.weight as i32))));
            }
        }
        weights
    }

    /// The argument that configures a priority entry, if there is exactly one.
    fn argument_of(&mut self, at: &str, entry: &PriorityEntry) -> Option<Argued> {
        let argument = entry.argument.as_ref()?;
        let given: Vec<_> = names::argued_priorities().filter(|a| argument.of(a.argument).is_some()).collect();
        let why = match given.as_slice() {
            [argued] => return Some(*argued),
            [] => format!("no priority arguments set for priority {}", entry.name),
            more => {
                format!("exactly 1 priority argument is required, numArgs: {}, priority {}", more.len(), entry.name)
            }
        };
        self.fault(format!("{at}.argument"), why);
        None
    }

    /// Holds an entry with an argument against earlier ones of its kind (`validateCustomPriorities`).
    fn declare(
        &mut self,
        at: &str,
        entry: &PriorityEntry,
        argued: Argued,
        declared: &mut BTreeMap<&'static str, (Name, i64)>,
    ) {
        let (name, weight) = (&entry.name, entry.weight);
        match declared.get(argued.argument.name()) {
            Some((earlier, _)) if argued.form == EntryForm::CapacityRatio => {
                let kind = argued.identity.plugin;
                let why = format!("priority {name:?} redeclares custom priority {kind:?}, from: {earlier:?}");
                self.fault(format!("{at}.argument"), why);
                return;
            }
            Some((earlier, other)) if *other != weight => {
                let kind = argued.identity.name.trim_end_matches("Priority");
                let why = format!("{kind}  priority {name:?} has a different weight with {earlier:?}");
                self.fault(format!("{at}.weight"), why);
                return;
            }
            _ => {}
        }
        declared.insert(argued.argument.name(), (name.clone(), weight));
    }

    /// The rule of an entry, with its argument.
    fn priority(&mut self, at: &str, entry: &PriorityEntry, argued: Option<Argued>) -> Option<&'static Identity> {
        if let Some(argued) = names::argued_priorities().find(|argued| argued.key == &*entry.name) {
            self.unargued.push((at.to_owned(), argued));
            return Some(argued.identity);
        }
        let by_name = priorities::find(&entry.name).map(|r| &r.identity);
        if let Some(identity) = by_name.filter(|i| names::argued_priorities().all(|a| a.identity.name != i.name)) {
            return Some(identity);
        }
        let own = |argued: Argued| Some((argued, entry.argument.as_ref()?.of(argued.argument)?));
        let Some((argued, value)) = argued.and_then(own) else {
            return self.not_found(at, &entry.name, "priority");
        };
        argued.argument.check(value, &format!("{at}.argument"), &mut self.faults);
        self.arguments.written.add(argued.argument, value.clone());
        Some(argued.identity)
    }

    fn not_found(&mut self, at: &str, name: &str, what: &str) -> Option<&'static Identity> {
        let hint = names::hint(name, what == "predicate");
        self.fault(format!("{at}.name"), format!("{what} type not found for {name:?}{hint}"));
        None
    }

    /// Everything but the entries themselves.
    fn judge_the_rest(&mut self, chosen: &BTreeSet<&'static str>) {
        self.judge_unargued();
        self.judge_labels("predicates", names::argued_predicates());
        let policy = self.policy;
        if policy.scoring.strategy == Combination::WeightedSum {
            self.judge_labels("priorities", names::argued_priorities());
        }
        extender::validate("extenders", &policy.extenders, &mut self.faults);
        let ignores = !self.arguments.get(&IGNORED).is_empty();
        if ignores && !["GeneralPredicates", "PodFitsResources"].iter().any(|name| chosen.contains(name)) {
            let why = "can't find NodeResourcesFitArgs in plugin config: resources are to be ignored by the scheduler, \
                       but neither GeneralPredicates nor PodFitsResources looks at any";
            self.fault("extenders".to_owned(), why);
        }
        let weight = policy.hard_pod_affinity_symmetric_weight;
        if !(0..=MAX_HARD_WEIGHT).contains(&weight) {
            let why = "not in valid range [0-100]";
            self.faults.push(Fault::invalid("hardPodAffinitySymmetricWeight", weight, why));
        }
        let max = policy.scoring.extender_max_score;
        if !(1..=MAX_EXTENDER_SCORE).contains(&max) {
            let why = format!("not in valid range [1-{MAX_EXTENDER_SCORE}]");
            self.faults.push(Fault::invalid("scoring.extenderMaxScore", max, why));
        }
    }

    /// A rule called by its registered name takes the arguments that entries of other names brought (both plugins carry
    /// a predicate and a priority, and share their arguments). Where there are none, kube-scheduler refuses or crashes.
    fn judge_unargued(&mut self) {
        let written = |argued: &Argued| self.arguments.written.of(argued.argument).is_some_and(|v| v.entries() > 0);
        for (at, argued) in std::mem::take(&mut self.unargued) {
            let Argued { identity: Identity { plugin, .. }, argument, key, of_predicate, .. } = argued;
            let mut of_plugin = names::argued_predicates().chain(names::argued_priorities());
            let configured = written(&argued)
                || of_predicate && of_plugin.any(|other| other.identity.plugin == *plugin && written(&other));
            if !configured {
                let argument = argument.name();
                let why = format!(
                    "initializing plugin {plugin:?}: want args to be of type {plugin}Args, got <nil> (the argument of \
                     an entry named {key} is not read: give the entry a name of your own and {argument})"
                );
                self.faults.push(Fault::new(at, why));
            }
        }
    }

    fn judge_labels(&mut self, field: &str, argued: impl Iterator<Item = Argued>) {
        for argued in argued {
            if let Some(Value::Presences(entries)) = self.arguments.written.of(argued.argument) {
                label_conflicts(field, entries, &mut self.faults);
            }
        }
    }
}

fn standing(wanted: Standing) -> BTreeSet<&'static str> {
    predicates::ALL.iter().filter(|r| r.standing == wanted).map(|r| r.identity.name).collect()
}

/// Labels that are to be there and to be missing at once (`ValidateNodeLabelArgs`).
fn label_conflicts(field: &str, entries: &[LabelPresence], faults: &mut Vec<Fault>) {
    let all = |presence| entries.iter().filter(move |e| e.presence == presence).flat_map(|e| &e.labels);
    let absent: BTreeSet<_> = all(false).collect();
    for label in all(true).collect::<BTreeSet<_>>().intersection(&absent) {
        let why = "the label is to be present and to be absent: presentLabels conflict with absentLabels";
        faults.push(Fault::invalid_text(field, label, why));
    }
}

/// The chosen predicates in order of evaluation, each once even where several names bring it.
fn build_predicates(chosen: &BTreeSet<&'static str>, arguments: &Arguments) -> Vec<ActivePredicate> {
    let mut built = BTreeSet::new();
    let mut active = Vec::new();
    for called in predicates::ALL.iter().filter(|r| chosen.contains(r.identity.name)) {
        let members: Vec<_> = match &called.build {
            Build::Rule(build) => vec![(&called.identity, build)],
            Build::Group(names) => names
                .iter()
                .filter_map(|name| predicates::find(name))
                .filter_map(|member| match &member.build {
                    Build::Rule(build) => Some((&member.identity, build)),
                    Build::Group(_) => None,
                })
                .collect(),
        };
        for (member, build) in members {
            if built.insert(member.name) {
                let (name, plugin) = (called.identity.name, member.plugin);
                active.push(ActivePredicate { name, plugin, rule: build(arguments) });
            }
        }
    }
    active
}

fn build_priorities(weights: &BTreeMap<&'static str, i64>, arguments: &Arguments) -> Vec<ActivePriority> {
    let active = priorities::ALL.iter().filter_map(|r| {
        let Identity { name, plugin, .. } = r.identity;
        let weight = *weights.get(name)? as i32;
        let entries = names::argued_priorities()
            .find(|argued| argued.identity.name == name)
            .map_or(1, |argued| arguments.written.of(argued.argument).map_or(0, Value::entries));
        // Go multiplies as int32, and the framework reads a weight of 0 as 1.
        let weight = match weight.wrapping_mul(entries as i32) {
            0 => 1,
            weight => i64::from(weight),
        };
        Some(ActivePriority { name: name.into(), plugin, weight, tolerance: 0, rule: (r.build)(arguments) })
    });
    active.collect()
}

//! Arguments of rules. Each is declared once, as an [`Argument`] on the registration of the rules that read it: its place and form in documents, its
//! default, and the check of a value. These declarations drive the reading, writing and checking of documents; a rule takes its value when it is
//! built.

pub(crate) mod checks;

use std::{collections::BTreeMap, fmt};

use crate::{
    fault::Fault,
    model::{Name, NodeSelector, PreferredNode, TopologySpreadConstraint},
    release::Release,
};

/// An argument whose values are of type `T`.
#[derive(Debug)]
pub struct Argument<T: 'static> {
    /// The framework plugin that takes it: that of 1.22 for an argument of a Policy, else that of 1.34.
    pub plugin: &'static str,
    /// Its name as users write it.
    pub name: &'static str,
    /// How it is written.
    pub form: Form,
    /// The member of a Policy that sets it outside of the entries of rules; `None` where there is none.
    pub in_policy: Option<&'static str>,
    /// Its meaning: a noun phrase of one line, without a full stop.
    pub help: &'static str,
    /// The default value, by release.
    pub default: fn(Release) -> T,
    /// Reports faults of a written value besides those of its form; the path is that of the object which has the argument as a member.
    pub check: fn(&T, &str, &mut Vec<Fault>),
}

/// The JSON in which an argument is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In a Policy, as the member of an entry's `argument`: without one the rule is nothing.
    Entry {
        /// The name under which 1.22 registers the rule. An entry of this name is taken for the registered rule, and its
        /// argument is not read.
        key: &'static str,
        /// The shape of the member.
        member: EntryForm,
    },
    /// `true` or `false`, in `pluginConfig` as all that follow.
    Flag,
    /// A number.
    Integer {
        /// The largest value; the smallest is 0.
        max: i64,
    },
    /// A list of names.
    Names,
    /// A list of `{name, weight}`.
    Resources,
    /// The node affinity of a pod's spec.
    NodeAffinity,
    /// Topology spread constraints, with `defaultingType` beside them.
    SpreadConstraints,
    /// `{type, resources, requestedToCapacityRatio}`.
    ScoringStrategy,
}

/// The JSON of a member of `argument` in a Policy's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryForm {
    /// `{labels}`; several entries are one list.
    Labels,
    /// `{label}`; several entries are one list.
    Label,
    /// `{labels, presence}`, an item of a list.
    LabelsPresence,
    /// `{label, presence}`, an item of a list.
    LabelPresence,
    /// `{shape, resources}`; only one entry may have it.
    CapacityRatio,
}

macro_rules! values {
    ($($(#[$doc:meta])* $variant:ident($type:ty),)*) => {
        /// A value of an argument.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Value {
            $($(#[$doc])* $variant($type),)*
        }

        $(impl ArgumentType for $type {
            fn into_value(self) -> Value {
                Value::$variant(self)
            }

            fn of(value: &Value) -> Option<&Self> {
                match value {
                    Value::$variant(value) => Some(value),
                    _ => None,
                }
            }
        })*
    };
}

values! {
    /// Yes or no.
    Flag(bool),
    /// A number.
    Integer(i64),
    /// Names of resources or labels.
    Names(Vec<Name>),
    /// Labels that are to be there or to be missing.
    Presences(Vec<LabelPresence>),
    /// Resources with weights.
    Resources(Vec<ResourceWeight>),
    /// A line over the utilization of resources.
    CapacityRatio(CapacityRatio),
    /// Node affinity besides the pod's own.
    NodeAffinity(AddedAffinity),
    /// How pods without constraints are spread.
    Spreading(DefaultSpreading),
    /// How `NodeResourcesFit` scores.
    Strategy(ScoringStrategy),
}

/// A type of which arguments can be.
pub trait ArgumentType: Clone + fmt::Debug + 'static {
    /// As one of all values.
    fn into_value(self) -> Value;

    /// Out of any value; `None` where that is of another type.
    fn of(value: &Value) -> Option<&Self>;
}

/// `labelsPresence` of a predicate, or `labelPreference` of a priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelPresence {
    /// The node labels meant.
    pub labels: Vec<Name>,
    /// `true` if they must exist, `false` if they must be missing.
    pub presence: bool,
}

/// A resource with the weight it has in a score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceWeight {
    /// The resource.
    pub name: Name,
    /// Its weight; 0 stands for 1.
    pub weight: i64,
}

impl ResourceWeight {
    /// CPU and memory, the default of every score.
    pub fn cpu_and_memory() -> Vec<Self> {
        ["cpu", "memory"].map(|name| Self { name: name.into(), weight: 1 }).to_vec()
    }

    /// With 1 where no weight is written.
    pub fn weighted(resources: &[Self]) -> Vec<Self> {
        let weight = |r: &Self| if r.weight == 0 { 1 } else { r.weight };
        resources.iter().map(|r| Self { name: r.name.clone(), weight: weight(r) }).collect()
    }

    /// [`Self::weighted`]; CPU and memory if none are listed.
    pub fn scored(resources: &[Self]) -> Vec<Self> {
        if resources.is_empty() { Self::cpu_and_memory() } else { Self::weighted(resources) }
    }
}

/// One point of a utilization → score line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapePoint {
    /// Percent, 0..=100.
    pub utilization: i64,
    /// 0..=10, as written in policies and profiles.
    pub score: i64,
}

/// `requestedToCapacityRatioArguments`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityRatio {
    /// The line from utilization to score.
    pub shape: Vec<ShapePoint>,
    /// The resources looked at; with none, all nodes score 0. Of a resource listed twice the last weight counts.
    pub resources: Vec<ResourceWeight>,
}

/// `addedAffinity`: node affinity of every pod besides its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedAffinity {
    /// Required.
    pub required: Option<NodeSelector>,
    /// Preferred.
    pub preferred: Vec<PreferredNode>,
}

/// The spread constraints of pods that have none of their own; their selector is made from the pod's services and
/// controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultSpreading {
    /// kube-scheduler's own.
    System,
    /// These.
    List(Vec<TopologySpreadConstraint>),
}

/// How `NodeResourcesFit` scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoringStrategy {
    /// `LeastAllocated`, `MostAllocated` or `RequestedToCapacityRatio`.
    pub kind: Name,
    /// The scored resources; an empty list stands for CPU and memory. A weight of 0 stands for 1.
    pub resources: Vec<ResourceWeight>,
    /// The line of `RequestedToCapacityRatio`; `None` where none is written.
    pub shape: Option<Vec<ShapePoint>>,
}

impl ScoringStrategy {
    /// The kinds, the default first, with the plugin that each was in 1.22.
    pub const KINDS: [(&str, &str); 3] = [
        ("LeastAllocated", "NodeResourcesLeastAllocated"),
        ("MostAllocated", "NodeResourcesMostAllocated"),
        ("RequestedToCapacityRatio", "RequestedToCapacityRatio"),
    ];
}

impl Value {
    /// Takes in the value of a further entry: lists grow, anything else is replaced.
    fn add(&mut self, more: Self) {
        match (self, more) {
            (Self::Names(all), Self::Names(more)) => all.extend(more),
            (Self::Presences(all), Self::Presences(more)) => all.extend(more),
            (all, more) => *all = more,
        }
    }

    /// How many entries it is made of: the length of a list, else 1.
    pub(super) fn entries(&self) -> usize {
        match self {
            Self::Names(names) => names.len(),
            Self::Presences(presences) => presences.len(),
            _ => 1,
        }
    }

    /// `true` if no label is named.
    pub(super) fn names_no_label(&self) -> bool {
        match self {
            Self::Names(labels) => labels.is_empty(),
            Self::Presences(presences) => presences.iter().any(|presence| presence.labels.is_empty()),
            _ => false,
        }
    }
}

/// An argument with values of any type, as a registration lists it.
pub trait Declared: fmt::Debug + Sync {
    /// [`Argument::plugin`].
    fn plugin(&self) -> &'static str;
    /// [`Argument::name`].
    fn name(&self) -> &'static str;
    /// [`Argument::form`].
    fn form(&self) -> Form;
    /// [`Argument::in_policy`].
    fn in_policy(&self) -> Option<&'static str>;
    /// [`Argument::help`].
    fn help(&self) -> &'static str;
    /// [`Argument::default`].
    fn default_in(&self, release: Release) -> Value;
    /// Reports the faults of a written value: those of its form, then those of [`Argument::check`]. A value of another type has none here.
    fn check(&self, value: &Value, field: &str, faults: &mut Vec<Fault>);
}

impl<T: ArgumentType> Declared for Argument<T> {
    fn plugin(&self) -> &'static str {
        self.plugin
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn form(&self) -> Form {
        self.form
    }

    fn in_policy(&self) -> Option<&'static str> {
        self.in_policy
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn default_in(&self, release: Release) -> Value {
        (self.default)(release).into_value()
    }

    fn check(&self, value: &Value, field: &str, faults: &mut Vec<Fault>) {
        if let (Form::Integer { max }, Value::Integer(number)) = (self.form, value) {
            checks::range(format!("{field}.{}", self.name), *number, Some(max), faults);
        }
        if let Some(value) = T::of(value) {
            (self.check)(value, field, faults);
        }
    }
}

impl dyn Declared {
    /// The key and the form of an argument in a Policy's entry.
    pub fn entry(&self) -> Option<(&'static str, EntryForm)> {
        match self.form() {
            Form::Entry { key, member } => Some((key, member)),
            _ => None,
        }
    }
}

/// The check of an argument of which every value will do.
pub fn any<T>(_: &T, _: &str, _: &mut Vec<Fault>) {}

/// Values that are written, by argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(BTreeMap<(&'static str, &'static str), Value>);

impl Values {
    /// The value written; `None` where there is none.
    pub fn get<T: ArgumentType>(&self, argument: &Argument<T>) -> Option<&T> {
        self.of(argument).and_then(T::of)
    }

    /// The value written of any argument.
    pub fn of(&self, argument: &dyn Declared) -> Option<&Value> {
        self.0.get(&(argument.plugin(), argument.name()))
    }

    /// Writes a value in the place of any before.
    pub fn set<T: ArgumentType>(&mut self, argument: &Argument<T>, value: T) {
        self.put(argument, value.into_value());
    }

    /// Writes a value of any argument in the place of any before.
    pub fn put(&mut self, argument: &dyn Declared, value: Value) {
        self.0.insert((argument.plugin(), argument.name()), value);
    }

    /// Takes a value away.
    pub fn remove(&mut self, argument: &dyn Declared) {
        self.0.remove(&(argument.plugin(), argument.name()));
    }

    /// Takes in the value of a further entry.
    pub fn add(&mut self, argument: &dyn Declared, value: Value) {
        match self.0.get_mut(&(argument.plugin(), argument.name())) {
            Some(all) => all.add(value),
            None => self.put(argument, value),
        }
    }

    /// How many are written.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// `true` if none is written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The arguments of all rules, taken from a Policy or a profile once; each rule takes its own when it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The release whose rules apply.
    pub release: Release,
    /// The arguments as written; the rest is default.
    pub written: Values,
}

impl Arguments {
    /// The defaults of that release, for policies and profiles that do not set an argument.
    pub fn defaults(release: Release) -> Self {
        Self { release, written: Values::default() }
    }

    /// The value of an argument.
    pub fn get<T: ArgumentType>(&self, argument: &Argument<T>) -> T {
        self.written.get(argument).cloned().unwrap_or_else(|| (argument.default)(self.release))
    }

    /// Writes a value in the place of any before.
    pub fn set<T: ArgumentType>(&mut self, argument: &Argument<T>, value: T) {
        self.written.set(argument, value);
    }
}

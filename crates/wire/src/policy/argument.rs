//! Arguments of rules as they are written: one way for each form, whatever the argument.

use serde_json::{Value as Json, json};

use super::{
    added_affinity,
    json::{number_unless, object, texts},
    reader::{Field, Object},
    spread,
};
use podberth_core::{
    argument::{
        AddedAffinity, CapacityRatio, Declared, DefaultSpreading, EntryForm, Form, LabelPresence, ResourceWeight,
        ScoringStrategy, ShapePoint, Value, Values,
    },
    model::{InclusionPolicy, NodeSelectorTerm, Operator, Requirement, TopologySpreadConstraint, WhenUnsatisfiable},
    rule::Release,
};

/// The member beside spread constraints that says whether they count.
pub(super) const DEFAULTING: &str = "defaultingType";

/// The members in which a plugin's argument is written.
pub(super) fn members(argument: &dyn Declared) -> impl Iterator<Item = &'static str> {
    let beside = (argument.form() == Form::SpreadConstraints).then_some(DEFAULTING);
    std::iter::once(argument.name()).chain(beside)
}

/// The value of an argument among those of its plugin; `None` where it says nothing.
pub(super) fn read(argument: &dyn Declared, among: &Object<'_>) -> Option<Value> {
    let field = among.get(argument.name());
    match argument.form() {
        Form::Entry { member, .. } => entry_value(member, &field),
        Form::Flag => field.boolean().filter(|flag| *flag).map(Value::Flag),
        Form::Integer { .. } => field.small_integer().map(Value::Integer),
        Form::Names => Some(field.names()).filter(|names| !names.is_empty()).map(Value::Names),
        Form::Resources => Some(resources(&field)).filter(|listed| !listed.is_empty()).map(Value::Resources),
        Form::NodeAffinity => field.is_present().then(|| {
            let (required, preferred) = added_affinity::read(&field);
            Value::NodeAffinity(AddedAffinity { required, preferred })
        }),
        Form::SpreadConstraints => {
            let listed = spread::read(&field, &among.get(DEFAULTING));
            listed.map(|listed| Value::Spreading(DefaultSpreading::List(listed)))
        }
        Form::ScoringStrategy => scoring_strategy(&field).map(Value::Strategy),
    }
}

/// The members of an entry's `argument`.
pub(super) fn read_entry(field: &Field<'_>, declared: &[&'static dyn Declared]) -> Option<Values> {
    let known: Vec<&str> = declared.iter().map(|argument| argument.name()).collect();
    let object = field.object(&known)?;
    let mut values = Values::default();
    for argument in declared {
        if let Some(value) = read(*argument, &object) {
            values.put(*argument, value);
        }
    }
    Some(values)
}

fn entry_value(form: EntryForm, field: &Field<'_>) -> Option<Value> {
    let presence = |labels, object: &Object<'_>| {
        let presence = object.get("presence").boolean().unwrap_or_default();
        Value::Presences(vec![LabelPresence { labels, presence }])
    };
    Some(match form {
        EntryForm::Labels => Value::Names(field.object(&["labels"])?.get("labels").names()),
        EntryForm::Label => Value::Names(vec![field.object(&["label"])?.get("label").name()]),
        EntryForm::LabelsPresence => {
            let object = field.object(&["labels", "presence"])?;
            presence(object.get("labels").names(), &object)
        }
        EntryForm::LabelPresence => {
            let object = field.object(&["label", "presence"])?;
            presence(vec![object.get("label").name()], &object)
        }
        EntryForm::CapacityRatio => {
            let object = field.object(&["shape", "resources"])?;
            let (shape, resources) = (shape(&object.get("shape")), resources(&object.get("resources")));
            Value::CapacityRatio(CapacityRatio { shape, resources })
        }
    })
}

fn scoring_strategy(field: &Field<'_>) -> Option<ScoringStrategy> {
    let object = field.object(&["type", "resources", "requestedToCapacityRatio"])?;
    let ratio = object.get("requestedToCapacityRatio").object(&["shape"]);
    Some(ScoringStrategy {
        kind: object.get("type").name(),
        resources: resources(&object.get("resources")),
        shape: ratio.map(|ratio| shape(&ratio.get("shape"))),
    })
}

/// The points of a utilization → score line.
pub(super) fn shape(field: &Field<'_>) -> Vec<ShapePoint> {
    let point = |point: &Field<'_>| {
        let object = point.object(&["utilization", "score"])?;
        let number = |key: &str| object.get(key).small_integer().unwrap_or_default();
        Some(ShapePoint { utilization: number("utilization"), score: number("score") })
    };
    field
        .list()
        .unwrap_or_default()
        .iter()
        .map(|p| point(p).unwrap_or(ShapePoint { utilization: 0, score: 0 }))
        .collect()
}

/// Resources with weights; 0 where none is written.
pub(super) fn resources(field: &Field<'_>) -> Vec<ResourceWeight> {
    let resource = |resource: &Field<'_>| {
        let object = resource.object(&["name", "weight"])?;
        let weight = object.get("weight");
        let weight = weight.integer().unwrap_or(i64::from(weight.is_present()));
        Some(ResourceWeight { name: object.get("name").name(), weight })
    };
    field.list().unwrap_or_default().iter().filter_map(resource).collect()
}

/// The default of an argument, as users would write it; null where it says nothing.
pub fn argument_default(argument: &dyn Declared, release: Release) -> Json {
    let value = argument.default_in(release);
    let mut members = write(argument, Some(&value));
    members.retain(|(_, json)| !json.is_null());
    match members.as_slice() {
        [] => Json::Null,
        [(name, json)] if *name == argument.name() => json.clone(),
        _ => object(members),
    }
}

/// An argument of a plugin with its members; those that are empty say nothing.
pub(super) fn write(argument: &dyn Declared, value: Option<&Value>) -> Vec<(&'static str, Json)> {
    let is_system = match value {
        None => argument.form() == Form::SpreadConstraints,
        Some(value) => matches!(value, Value::Spreading(DefaultSpreading::System)),
    };
    if is_system {
        return vec![(DEFAULTING, "System".into())];
    }
    let json = match value {
        Some(Value::Spreading(DefaultSpreading::List(listed))) => {
            let listed = listed.iter().map(constraint).collect();
            return vec![(DEFAULTING, "List".into()), (argument.name(), listed)];
        }
        Some(Value::Flag(flag)) => (*flag).into(),
        Some(Value::Integer(number)) => (*number).into(),
        Some(Value::Names(names)) => texts(names),
        Some(Value::Resources(resources)) => write_resources(resources),
        Some(Value::NodeAffinity(added)) => node_affinity(added),
        Some(Value::Strategy(strategy)) => {
            let shape = strategy.shape.iter().flatten();
            let shape: Json = shape.map(|p| json!({"utilization": p.utilization, "score": p.score})).collect();
            object([
                ("type", (&*strategy.kind).into()),
                ("resources", write_resources(&strategy.resources)),
                ("requestedToCapacityRatio", object([("shape", shape)])),
            ])
        }
        // Only entries of a Policy have the last two, which is not written.
        None | Some(Value::Spreading(DefaultSpreading::System) | Value::Presences(_) | Value::CapacityRatio(_)) => {
            Json::Null
        }
    };
    vec![(argument.name(), json)]
}

fn node_affinity(added: &AddedAffinity) -> Json {
    let required = added.required.as_ref().map_or(
        Json::Null,
        |selector| json!({"nodeSelectorTerms": selector.0.iter().map(selector_term).collect::<Vec<_>>()}),
    );
    let preferred = added.preferred.iter();
    let preferred = preferred.map(|p| json!({"weight": p.weight, "preference": selector_term(&p.term)}));
    object([
        ("requiredDuringSchedulingIgnoredDuringExecution", required),
        ("preferredDuringSchedulingIgnoredDuringExecution", preferred.collect()),
    ])
}

fn write_resources(resources: &[ResourceWeight]) -> Json {
    let one = |r: &ResourceWeight| object([("name", (&*r.name).into()), ("weight", number_unless(0, r.weight))]);
    resources.iter().map(one).collect()
}

fn selector_term(term: &NodeSelectorTerm) -> Json {
    object([
        ("matchExpressions", term.match_expressions.iter().map(requirement).collect()),
        ("matchFields", term.match_fields.iter().map(requirement).collect()),
    ])
}

fn requirement(requirement: &Requirement) -> Json {
    let (operator, values) = match &requirement.operator {
        Operator::In(values) => ("In", texts(values)),
        Operator::NotIn(values) => ("NotIn", texts(values)),
        Operator::Exists => ("Exists", Json::Null),
        Operator::DoesNotExist => ("DoesNotExist", Json::Null),
        Operator::Gt(bound) => ("Gt", json!([bound.to_string()])),
        Operator::Lt(bound) => ("Lt", json!([bound.to_string()])),
    };
    object([("key", (&*requirement.key).into()), ("operator", operator.into()), ("values", values)])
}

fn constraint(constraint: &TopologySpreadConstraint) -> Json {
    let action = match constraint.when_unsatisfiable {
        WhenUnsatisfiable::DoNotSchedule => "DoNotSchedule",
        WhenUnsatisfiable::ScheduleAnyway => "ScheduleAnyway",
    };
    let inclusion = |policy: Option<InclusionPolicy>| match policy {
        None => "",
        Some(InclusionPolicy::Honor) => "Honor",
        Some(InclusionPolicy::Ignore) => "Ignore",
    };
    object([
        ("maxSkew", constraint.max_skew.into()),
        ("topologyKey", (&*constraint.topology_key).into()),
        ("whenUnsatisfiable", action.into()),
        ("minDomains", constraint.min_domains.into()),
        ("nodeAffinityPolicy", inclusion(constraint.node_affinity_policy).into()),
        ("nodeTaintsPolicy", inclusion(constraint.node_taints_policy).into()),
        ("matchLabelKeys", texts(&constraint.match_label_keys)),
    ])
}

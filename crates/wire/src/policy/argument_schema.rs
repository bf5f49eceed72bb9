//! The published shape of rule arguments, read off the registrations of the rules.

use std::{borrow::Cow, collections::BTreeMap};

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, Ref, RefOr, Schema, SchemaFormat, Type,
        schema::{ArrayBuilder, ArrayItems, KnownFormat, RefBuilder},
    },
};

use super::argument::DEFAULTING;
use crate::objects::affinity::{NodeAffinity, TopologySpreadConstraint};
use podberth_core::{
    argument::{Declared, EntryForm, Form},
    policy::{plugin_arguments, predicate_arguments, priority_arguments},
};

type Component = (String, RefOr<Schema>);

/// The argument of a predicate's entry in a Policy.
#[derive(Debug)]
pub struct PolicyPredicateArgument;

/// The argument of a priority's entry in a Policy.
#[derive(Debug)]
pub struct PolicyPriorityArgument;

/// The `args` of a plugin in a KubeSchedulerConfiguration.
#[derive(Debug)]
pub struct PluginArguments;

/// The form of an argument that lists labels.
#[derive(Debug, ToSchema)]
pub struct LabelsForm {
    /// Label keys.
    pub labels: Vec<String>,
}

/// The form of an argument that names a label.
#[derive(Debug, ToSchema)]
pub struct LabelForm {
    /// A label key.
    pub label: String,
}

/// The form of an argument that lists labels of nodes.
#[derive(Debug, ToSchema)]
pub struct LabelsPresenceForm {
    /// Label keys.
    pub labels: Vec<String>,
    /// `true`: nodes have all of the labels; `false`: nodes have none of them.
    pub presence: bool,
}

/// The form of an argument that names a label of nodes.
#[derive(Debug, ToSchema)]
pub struct LabelPresenceForm {
    /// A label key.
    pub label: String,
    /// `true`: nodes with the label; `false`: nodes without it.
    pub presence: bool,
}

/// The form of an argument with a line from utilization to score.
#[derive(Debug, ToSchema)]
pub struct CapacityRatioForm {
    /// The points of the line, by rising utilization.
    pub shape: Vec<UtilizationShapePoint>,
    /// The resources that count; cpu and memory alike where absent.
    #[schema(nullable = false)]
    pub resources: Option<Vec<WeightedResource>>,
}

/// A point of a line from utilization to score.
#[derive(Debug, ToSchema)]
pub struct UtilizationShapePoint {
    /// Per cent, 0 to 100.
    pub utilization: i32,
    /// 0 to 10.
    pub score: i32,
}

/// A resource and how much it counts.
#[derive(Debug, ToSchema)]
pub struct WeightedResource {
    /// Such as `cpu`.
    #[schema(example = "cpu")]
    pub name: String,
    /// 1 where absent.
    #[schema(nullable = false)]
    pub weight: Option<i64>,
}

/// The score of `NodeResourcesFit`.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ScoringStrategy {
    /// `LeastAllocated` (default), `MostAllocated` or `RequestedToCapacityRatio`.
    #[schema(nullable = false, rename = "type", example = "LeastAllocated")]
    pub kind: Option<String>,
    /// The resources that count; cpu and memory alike where absent.
    #[schema(nullable = false)]
    pub resources: Option<Vec<WeightedResource>>,
    /// For `RequestedToCapacityRatio`.
    #[schema(nullable = false)]
    pub requested_to_capacity_ratio: Option<RequestedToCapacityRatioParam>,
}

/// The line of the strategy `RequestedToCapacityRatio`.
#[derive(Debug, ToSchema)]
pub struct RequestedToCapacityRatioParam {
    /// The points of the line, by rising utilization.
    pub shape: Vec<UtilizationShapePoint>,
}

macro_rules! schemas {
    ($($name:ident($description:literal, $arguments:ident),)*) => {
        $(impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                object($description, $arguments()).into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn schemas(schemas: &mut Vec<Component>) {
                components($arguments(), schemas);
            }
        })*
    };
}

schemas! {
    PolicyPredicateArgument("Exactly one of its fields.", predicate_arguments),
    PolicyPriorityArgument("Exactly one of its fields.", priority_arguments),
    PluginArguments("The arguments that plugins read; each plugin has some of them.", plugin_arguments),
}

/// An object with a property for each argument. Of two plugins' arguments of one name the first gives the type.
fn object(description: &str, arguments: impl Iterator<Item = &'static dyn Declared>) -> Object {
    let mut properties: BTreeMap<&str, Vec<&dyn Declared>> = BTreeMap::new();
    let mut order = Vec::new();
    for argument in arguments {
        let same = properties.entry(argument.name()).or_default();
        if same.is_empty() {
            order.push(argument.name());
        }
        same.push(argument);
    }
    let mut object = ObjectBuilder::new().schema_type(Type::Object).description(Some(description));
    for name in order {
        let same = properties.remove(name).unwrap_or_default();
        let meaning = same.iter().map(|argument| meaning(*argument)).collect::<Vec<_>>().join(" ");
        if let Some(first) = same.first() {
            object = object.property(name, property(*first, &meaning));
            if first.form() == Form::SpreadConstraints {
                let meaning = format!("`System` (default) or `List`: the constraints of `{name}`.");
                object = object.property(DEFAULTING, described(Type::String, &meaning));
            }
        }
    }
    object.build()
}

/// A sentence about an argument.
fn meaning(argument: &dyn Declared) -> String {
    match argument.form() {
        Form::Entry { .. } => format!("{}.", argument.help()),
        _ => format!("Of `{}`: {}.", argument.plugin(), argument.help()),
    }
}

fn property(argument: &dyn Declared, meaning: &str) -> RefOr<Schema> {
    match argument.form() {
        Form::Entry { .. } => Ref::from_schema_name(component_name(argument.name())).into(),
        Form::Flag => described(Type::Boolean, meaning).into(),
        Form::Integer { max } => {
            let number = described(Type::Integer, meaning).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)));
            number.minimum(Some(0)).maximum(Some(max)).into()
        }
        Form::Names => list(ObjectBuilder::new().schema_type(Type::String), meaning),
        Form::Resources => list(Ref::from_schema_name(WeightedResource::name()), meaning),
        Form::NodeAffinity => reference(&NodeAffinity::name(), meaning),
        Form::SpreadConstraints => list(Ref::from_schema_name(TopologySpreadConstraint::name()), meaning),
        Form::ScoringStrategy => reference(&ScoringStrategy::name(), meaning),
    }
}

fn described(kind: Type, meaning: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind).description(Some(meaning))
}

fn list(items: impl Into<ArrayItems>, meaning: &str) -> RefOr<Schema> {
    ArrayBuilder::new().items(items).description(Some(meaning)).into()
}

fn reference(name: &str, meaning: &str) -> RefOr<Schema> {
    RefBuilder::new().ref_location_from_schema_name(name).description(Some(meaning)).into()
}

/// The components that the properties of these arguments refer to.
fn components(arguments: impl Iterator<Item = &'static dyn Declared>, schemas: &mut Vec<Component>) {
    for argument in arguments {
        match argument.form() {
            Form::Entry { member, .. } => {
                schemas.push((component_name(argument.name()), entry(member, meaning(argument))));
                if member == EntryForm::CapacityRatio {
                    CapacityRatioForm::schemas(schemas);
                }
            }
            Form::Resources => component::<WeightedResource>(schemas),
            Form::NodeAffinity => component::<NodeAffinity>(schemas),
            Form::SpreadConstraints => component::<TopologySpreadConstraint>(schemas),
            Form::ScoringStrategy => component::<ScoringStrategy>(schemas),
            Form::Flag | Form::Integer { .. } | Form::Names => {}
        }
    }
}

fn component<T: ToSchema>(schemas: &mut Vec<Component>) {
    schemas.push((T::name().into(), T::schema()));
    T::schemas(schemas);
}

/// The component of an entry's member: `labelPreference` is a `LabelPreferenceArgument`.
fn component_name(member: &str) -> String {
    let (first, rest) = member.split_at_checked(1).unwrap_or((member, ""));
    let name = first.to_uppercase() + rest;
    if name.ends_with("Arguments") { name } else { name + "Argument" }
}

/// The schema of an entry's member, described by its meaning.
fn entry(form: EntryForm, meaning: String) -> RefOr<Schema> {
    let mut schema = match form {
        EntryForm::Labels => LabelsForm::schema(),
        EntryForm::Label => LabelForm::schema(),
        EntryForm::LabelsPresence => LabelsPresenceForm::schema(),
        EntryForm::LabelPresence => LabelPresenceForm::schema(),
        EntryForm::CapacityRatio => CapacityRatioForm::schema(),
    };
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        object.description = Some(meaning);
    }
    schema
}

#[cfg(test)]
mod tests {
    use podberth_core::{
        argument::{Argument, any},
        model::Name,
    };
    use serde_json::{Value as Json, json};

    use super::*;

    const NUMBER: Argument<i64> = Argument {
        plugin: "Queue",
        name: "depth",
        form: Form::Integer { max: 7 },
        in_policy: None,
        help: "The length of the queue",
        default: |_| 1,
        check: any,
    };
    const LABEL: Argument<Vec<Name>> = Argument {
        plugin: "Rack",
        name: "sameRack",
        form: Form::Entry { key: "SameRack", member: EntryForm::Label },
        in_policy: None,
        help: "The label of racks",
        default: |_| Vec::new(),
        check: any,
    };

    fn properties(arguments: &[&'static dyn Declared]) -> Json {
        let schema = serde_json::to_value(object("Arguments.", arguments.iter().copied()));
        schema.expect("a schema is JSON")["properties"].clone()
    }

    #[test]
    fn declared_argument_is_a_property() {
        let number = json!({
            "type": "integer", "format": "int32", "minimum": 0, "maximum": 7,
            "description": "Of `Queue`: The length of the queue.",
        });
        let label = json!({"$ref": "#/components/schemas/SameRackArgument"});
        assert_eq!(properties(&[&NUMBER, &LABEL]), json!({"depth": number, "sameRack": label}));
        let mut found = Vec::new();
        components([&NUMBER as &dyn Declared, &LABEL].into_iter(), &mut found);
        let (name, schema) = found.pop().expect("the label's component");
        assert_eq!(name, "SameRackArgument");
        let schema = serde_json::to_value(schema).expect("a schema is JSON");
        assert_eq!(schema["description"], "The label of racks.");
        assert_eq!(schema["required"], json!(["label"]));
    }

    #[test]
    fn arguments_of_one_name_share_a_property() {
        const OTHER: Argument<i64> = Argument { plugin: "Pool", help: "The size of the pool", ..NUMBER };
        let found = properties(&[&NUMBER, &OTHER]);
        assert_eq!(
            found["depth"]["description"],
            "Of `Queue`: The length of the queue. Of `Pool`: The size of the pool."
        );
    }
}

//! Static types of expressions, as far as they are certain: an expression that surely has no truth as its value is refused before it is
//! ever evaluated.
//!
//! Where the checker of CEL would know more than is inferred here, the type is [`Type::Any`], and evaluation finds out.
//!
//! Source: `cel-go/checker/checker.go`, `cel-go/common/stdlib/standard.go`, `dynamic-resource-allocation/cel/compile.go`
//! (`CompileCELExpression`).

use std::fmt;

use super::{
    functions::Function,
    tree::{Access, Loop, LoopKind, Node, Operator},
    value::Value,
};

/// The beginning of the reason why an expression of another type is refused.
pub(super) const MUST: &str = "must evaluate to bool or the unknown type";

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Type {
    /// Unknown until there is a value: an attribute of a device, for one.
    Any,
    /// Unknown, but no truth.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Quantity,
    Semver,
    Kind,
    Device,
    List(Box<Type>),
    /// A map to this type. Its keys are of any.
    Map(Box<Type>),
    Optional(Box<Type>),
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any",
            Self::Dyn => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Quantity => "kubernetes.Quantity",
            Self::Semver => "kubernetes.Semver",
            Self::Kind => "type",
            Self::Device => "kubernetes.DRADevice",
            Self::List(of) => return write!(f, "list({of})"),
            Self::Map(of) => return write!(f, "map(string, {of})"),
            Self::Optional(of) => return write!(f, "optional_type({of})"),
        })
    }
}

type Result<T = Type> = std::result::Result<T, String>;

/// Checks that an expression can be a condition.
///
/// # Errors
/// The reason why it surely is none.
pub(super) fn condition(node: &Node) -> Result<()> {
    let mut scope = Scope { locals: Vec::new() };
    match scope.infer(node)? {
        Type::Bool | Type::Any => Ok(()),
        other => Err(format!("{MUST}, not {other}")),
    }
}

fn no_overload(operator: &str, sides: &[&Type]) -> String {
    let sides: Vec<String> = sides.iter().map(ToString::to_string).collect();
    format!("found no matching overload for '{operator}' applied to '({})'", sides.join(", "))
}

/// The type of values that are of one of two.
fn join(a: Type, b: &Type) -> Type {
    if a == *b { a } else { Type::Any }
}

struct Scope {
    /// Types of the variables of macros around.
    locals: Vec<Type>,
}

impl Scope {
    fn within(&mut self, types: impl IntoIterator<Item = Type>, node: &Node) -> Result {
        let before = self.locals.len();
        self.locals.extend(types);
        let found = self.infer(node);
        self.locals.truncate(before);
        found
    }

    /// Checks that a part of an expression can be a truth.
    fn truth(&mut self, operator: &str, node: &Node) -> Result<()> {
        match self.infer(node)? {
            Type::Bool | Type::Any => Ok(()),
            other => Err(no_overload(operator, &[&other])),
        }
    }

    fn infer(&mut self, node: &Node) -> Result {
        Ok(match node {
            Node::Literal(value) => of_value(value),
            Node::Device => Type::Device,
            Node::Local(at) => self.locals.get(*at).cloned().unwrap_or(Type::Any),
            Node::Select { of, field, access } => {
                let found = field_of(&self.infer(of)?, field)?;
                match access {
                    Access::Value => found,
                    Access::Presence => Type::Bool,
                    Access::Optional if matches!(found, Type::Optional(_)) => found,
                    Access::Optional => Type::Optional(Box::new(found)),
                }
            }
            Node::Index { of, key, optional } => {
                self.infer(key)?;
                let found = item_of(&self.infer(of)?)?;
                if *optional && !matches!(found, Type::Optional(_)) { Type::Optional(Box::new(found)) } else { found }
            }
            Node::Not(of) => {
                self.truth("!_", of)?;
                Type::Bool
            }
            Node::Negate(of) => match self.infer(of)? {
                found @ (Type::Int | Type::Double) => found,
                Type::Any | Type::Dyn => Type::Dyn,
                other => return Err(no_overload("-_", &[&other])),
            },
            Node::All(terms) | Node::Any(terms) => {
                let operator = if matches!(node, Node::All(_)) { "_&&_" } else { "_||_" };
                terms.iter().try_for_each(|term| self.truth(operator, term))?;
                Type::Bool
            }
            Node::If(parts) => {
                let [condition, then, other] = &**parts;
                self.truth("_?_:_", condition)?;
                join(self.infer(then)?, &self.infer(other)?)
            }
            Node::Binary(operator, sides) => {
                let (a, b) = (self.infer(&sides[0])?, self.infer(&sides[1])?);
                binary(*operator, a, b)?
            }
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|node| self.infer(node)).collect::<Result<Vec<Type>>>()?;
                result_of(function, &arguments)
            }
            Node::List(items) => {
                let mut of = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    of.push(match self.infer(item)? {
                        Type::Optional(inner) if *optional => *inner,
                        found => found,
                    });
                }
                Type::List(Box::new(of.into_iter().reduce(|a, b| join(a, &b)).unwrap_or(Type::Any)))
            }
            Node::Map(entries) => {
                let mut of = Vec::with_capacity(entries.len());
                for (key, value, optional) in entries {
                    self.infer(key)?;
                    of.push(match self.infer(value)? {
                        Type::Optional(inner) if *optional => *inner,
                        found => found,
                    });
                }
                Type::Map(Box::new(of.into_iter().reduce(|a, b| join(a, &b)).unwrap_or(Type::Any)))
            }
            Node::Loop(each) => self.repeat(each)?,
            Node::Bind(parts) => {
                let value = self.infer(&parts[0])?;
                self.within([value], &parts[1])?
            }
            Node::MapOptional { of, flat } => {
                let inner = match self.infer(&of[0])? {
                    Type::Optional(inner) => *inner,
                    _ => Type::Any,
                };
                let found = self.within([inner], &of[1])?;
                if *flat { found } else { Type::Optional(Box::new(found)) }
            }
        })
    }

    fn repeat(&mut self, each: &Loop) -> Result {
        let over = self.infer(&each.over)?;
        let variables = match (&over, each.two) {
            (Type::List(item), false) => vec![(**item).clone()],
            (Type::List(item), true) => vec![Type::Int, (**item).clone()],
            (Type::Map(value), true) => vec![Type::Any, (**value).clone()],
            (Type::Map(_) | Type::Any | Type::Dyn, two) => vec![Type::Any; 1 + usize::from(two)],
            (other, _) => return Err(format!("expression of type '{other}' cannot be range of a comprehension")),
        };
        if let Some(condition) = &each.condition {
            match self.within(variables.clone(), condition)? {
                Type::Bool | Type::Any => {}
                other => return Err(no_overload("_&&_", &[&Type::Bool, &other])),
            }
        }
        let result = match &each.result {
            Some(result) => self.within(variables, result)?,
            None => Type::Any,
        };
        Ok(match (each.kind, over) {
            (LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne, _) => Type::Bool,
            (LoopKind::List, _) => Type::List(Box::new(result)),
            (LoopKind::Map, _) => Type::Map(Box::new(result)),
            (LoopKind::Filter | LoopKind::SortBy, list @ Type::List(_)) => list,
            (LoopKind::Filter | LoopKind::SortBy, _) => Type::List(Box::new(Type::Any)),
        })
    }
}

fn of_value(value: &Value) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::Text,
        Value::Quantity(_) => Type::Quantity,
        Value::Semver(_) => Type::Semver,
        Value::Type(_) => Type::Kind,
        Value::List(_) => Type::List(Box::new(Type::Any)),
        Value::Map(_) => Type::Map(Box::new(Type::Any)),
        Value::Optional(_) => Type::Optional(Box::new(Type::Any)),
    }
}

/// The type of a field.
fn field_of(of: &Type, field: &str) -> Result {
    let by_domain = |of: Type| Type::Map(Box::new(Type::Map(Box::new(of))));
    match of {
        Type::Device => match field {
            "driver" => Ok(Type::Text),
            "attributes" => Ok(by_domain(Type::Any)),
            "capacity" => Ok(by_domain(Type::Quantity)),
            _ => Err(format!("undefined field '{field}'")),
        },
        Type::Map(value) => Ok((**value).clone()),
        Type::Any | Type::Dyn => Ok(Type::Any),
        Type::Optional(inner) => Ok(Type::Optional(Box::new(field_of(inner, field)?))),
        other => Err(format!("type '{other}' does not support field selection")),
    }
}

/// The type of an item.
fn item_of(of: &Type) -> Result {
    match of {
        Type::List(item) | Type::Map(item) => Ok((**item).clone()),
        Type::Any | Type::Dyn => Ok(Type::Any),
        Type::Optional(inner) => Ok(Type::Optional(Box::new(item_of(inner)?))),
        other => Err(no_overload("_[_]", &[other])),
    }
}

fn binary(operator: Operator, a: Type, b: Type) -> Result {
    use Operator as O;
    let (name, fits): (&str, &[Type]) = match operator {
        O::Equal | O::NotEqual | O::Less | O::LessEqual | O::Greater | O::GreaterEqual | O::In => {
            return Ok(Type::Bool);
        }
        O::Add => ("_+_", &[Type::Int, Type::Uint, Type::Double, Type::Text]),
        O::Subtract => ("_-_", &[Type::Int, Type::Uint, Type::Double]),
        O::Multiply => ("_*_", &[Type::Int, Type::Uint, Type::Double]),
        O::Divide => ("_/_", &[Type::Int, Type::Uint, Type::Double]),
        O::Remainder => ("_%_", &[Type::Int, Type::Uint]),
    };
    let is_open = |side: &Type| matches!(side, Type::Any | Type::Dyn);
    let is_fit = |side: &Type| fits.contains(side) || (operator == O::Add && matches!(side, Type::List(_)));
    match (is_open(&a), is_open(&b)) {
        (true, true) => Ok(Type::Dyn),
        (true, false) if is_fit(&b) => Ok(b),
        (false, true) if is_fit(&a) => Ok(a),
        (false, false) if a == b && is_fit(&a) => Ok(a),
        (false, false) if matches!((&a, &b), (Type::List(_), Type::List(_))) && is_fit(&a) => {
            Ok(Type::List(Box::new(Type::Any)))
        }
        _ => Err(no_overload(name, &[&a, &b])),
    }
}

/// The type of a function's result.
fn result_of(function: &Function, arguments: &[Type]) -> Type {
    let first = arguments.first();
    let list = |of: Type| Type::List(Box::new(of));
    let optional = |of: Type| Type::Optional(Box::new(of));
    match function.name {
        "matches" | "contains" | "startsWith" | "endsWith" | "isSorted" | "isQuantity" | "isInteger"
        | "isGreaterThan" | "isLessThan" | "isSemver" | "hasValue" | "bool" | "sets.contains" | "sets.intersects"
        | "sets.equivalent" => Type::Bool,
        "size" | "int" | "indexOf" | "lastIndexOf" | "sign" | "asInteger" | "compareTo" | "major" | "minor"
        | "patch" => Type::Int,
        "uint" => Type::Uint,
        "double" | "asApproximateFloat" => Type::Double,
        "string" | "find" | "charAt" | "lowerAscii" | "upperAscii" | "replace" | "substring" | "trim" | "join"
        | "strings.quote" => Type::Text,
        "findAll" | "split" => list(Type::Text),
        "lists.range" => list(Type::Int),
        "slice" | "flatten" | "sort" | "distinct" | "reverse" => match first {
            Some(found @ Type::List(_)) if function.name != "flatten" => found.clone(),
            _ => list(Type::Any),
        },
        "sum" | "min" | "max" => match first {
            Some(Type::List(item)) => (**item).clone(),
            _ => Type::Any,
        },
        "quantity" | "add" | "sub" => Type::Quantity,
        "semver" => Type::Semver,
        "type" => Type::Kind,
        "optional.of" | "optional.ofNonZeroValue" => optional(first.cloned().unwrap_or(Type::Any)),
        "optional.none" => optional(Type::Any),
        "value" => match first {
            Some(Type::Optional(inner)) => (**inner).clone(),
            _ => Type::Any,
        },
        "orValue" => match (first, arguments.get(1)) {
            (Some(Type::Optional(inner)), Some(other)) => join((**inner).clone(), other),
            _ => Type::Any,
        },
        "or" => first.cloned().unwrap_or(Type::Any),
        _ => Type::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Expression;

    fn fault(text: &str) -> Option<String> {
        Expression::condition(text).refusal()
    }

    #[test]
    fn conditions_are_truths_or_unknown() {
        for text in [
            "true",
            "device.driver == 'a'",
            "device.attributes['d'].b",
            "device.attributes[device.driver].b && !device.attributes['d'].c",
            "device.attributes['d'].?b.orValue(false)",
            "device.capacity['d'].memory.isGreaterThan(quantity('1Gi'))",
            "device.capacity['d'].memory.compareTo(quantity('1Gi')) >= 0",
            "'a' in device.attributes && has(device.attributes['d'].x)",
            "cel.bind(dra, device.attributes['d'], dra.a && dra.b)",
            "['a', 'b'].exists(x, x == device.driver)",
            "{'a': true}.a ? device.attributes['d'].b : false",
            "[1, 2].map(x, x * 2)[0] == 2",
            "device.attributes['d'].v.major() > 1",
            "device.attributes['d'].n + 1 > 2",
            "dyn(1) == 'a'",
            "[device.driver, 1][0]",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    #[test]
    fn expressions_that_are_surely_no_truth_are_refused() {
        for (text, of) in [
            ("1 + 1", "int"),
            ("'x'", "string"),
            ("2.5", "double"),
            ("null", "null_type"),
            ("device", "kubernetes.DRADevice"),
            ("device.driver", "string"),
            ("device.attributes", "map(string, map(string, any))"),
            ("device.attributes['d']", "map(string, any)"),
            ("device.capacity['d'].memory", "kubernetes.Quantity"),
            ("device.attributes['d'].?x", "optional_type(any)"),
            ("device.attributes['d'].n + 1", "int"),
            ("device.attributes['d'].n * device.attributes['d'].m", "dyn"),
            ("size(device.driver)", "int"),
            ("[1, 2].filter(x, x > 1)", "list(int)"),
            ("true ? 1 : 2", "int"),
            ("cel.bind(x, 1, x)", "int"),
            ("[true][0] ? 'a' : 'b'", "string"),
        ] {
            let expected = format!("must evaluate to bool or the unknown type, not {of}");
            assert_eq!(fault(text), Some(expected), "{text}");
        }
        for text in [
            "device.foo == 'a'",
            "!1",
            "true && 'a'",
            "1 + 'a' == 2",
            "1 ? true : false",
            "device.driver.x == 1",
            "-'a' == 1",
        ] {
            let fault = fault(text);
            assert!(fault.as_ref().is_some_and(|fault| fault.starts_with("compilation failed: ")), "{text}: {fault:?}");
        }
    }
}

//! Evaluation of a parsed expression, up to a cost.
//!
//! Source: `cel-go/interpreter/interpretable.go`, `cel-go/interpreter/attributes.go`. A side of `&&` or `||` that has no value does not count
//! if the other side decides.

use std::{cmp::Ordering, sync::Arc};

use super::{
    MOST_COST,
    tree::{Access, Loop, LoopKind, Node, Operator},
    value::{Map, Reason, Value, sorted, whole},
};
use crate::work;

/// The variable of an expression.
pub trait Variables {
    /// A field of `device`; `None` if it has no such field.
    fn field(&self, name: &str) -> Option<Value>;

    /// `device` as a whole.
    fn whole(&self) -> Value;
}

/// The end of an evaluation without a value.
enum Fault {
    /// There is no value here.
    NoValue(Reason),
    /// The cost is exceeded, whatever stands around.
    TooCostly,
}

impl<R: Into<Reason>> From<R> for Fault {
    fn from(reason: R) -> Self {
        Self::NoValue(reason.into())
    }
}

type Result<T = Value> = std::result::Result<T, Fault>;

/// The value of an expression.
pub(super) fn evaluate(node: &Node, variables: &dyn Variables, cost: &mut u64) -> std::result::Result<Value, Reason> {
    let mut evaluation = Evaluation { variables, locals: Vec::new(), left: MOST_COST };
    let value = evaluation.value(node);
    let spent = MOST_COST - evaluation.left;
    work::spend(1 + spent / 4);
    *cost = cost.saturating_add(spent);
    value.map_err(|fault| match fault {
        Fault::NoValue(reason) => reason,
        Fault::TooCostly => "operation cancelled: actual cost limit exceeded".into(),
    })
}

struct Evaluation<'e> {
    variables: &'e dyn Variables,
    /// Values of the variables of macros around.
    locals: Vec<Value>,
    /// The cost that is left.
    left: u64,
}

impl Evaluation<'_> {
    fn spend(&mut self, cost: u64) -> Result<()> {
        self.left = self.left.checked_sub(cost).ok_or(Fault::TooCostly)?;
        Ok(())
    }

    fn value(&mut self, node: &Node) -> Result {
        self.spend(1)?;
        Ok(match node {
            Node::Literal(value) => value.clone(),
            Node::Device => self.variables.whole(),
            Node::Local(at) => self.locals.get(*at).cloned().ok_or("a variable has no value")?,
            Node::Select { of, field, access } => return self.select(of, field, *access),
            Node::Index { of, key, optional } => return self.index(of, key, *optional),
            Node::Not(of) => Value::Bool(!self.condition(of)?),
            Node::Negate(of) => match self.value(of)? {
                Value::Int(value) => Value::Int(value.checked_neg().ok_or("integer overflow")?),
                Value::Double(value) => Value::Double(-value),
                _ => return Err("no such overload".into()),
            },
            Node::All(terms) => Value::Bool(self.join(terms, false)?),
            Node::Any(terms) => Value::Bool(self.join(terms, true)?),
            Node::If(parts) => {
                let [condition, then, other] = &**parts;
                return if self.condition(condition)? { self.value(then) } else { self.value(other) };
            }
            Node::Binary(operator, sides) => {
                let (a, b) = (self.value(&sides[0])?, self.value(&sides[1])?);
                self.spend(a.size().min(b.size()))?;
                if let (Operator::In, Value::List(items)) = (operator, &b) {
                    self.spend(items.len() as u64)?;
                }
                if *operator == Operator::Add {
                    self.spend(a.size() + b.size())?;
                }
                binary(*operator, &a, &b)?
            }
            Node::Call(function, arguments) => {
                let arguments = arguments.iter().map(|node| self.value(node)).collect::<Result<Vec<Value>>>()?;
                let size: u64 = arguments.iter().map(Value::size).sum();
                self.spend(size.saturating_mul(function.weight).saturating_add(function.fixed))?;
                let value = (function.call)(&arguments)?;
                self.spend(value.size())?;
                value
            }
            Node::List(items) => {
                let mut values = Vec::with_capacity(items.len());
                for (item, optional) in items {
                    let value = self.value(item)?;
                    values.extend(if *optional { of_optional(&value)? } else { Some(value) });
                }
                values.into()
            }
            Node::Map(entries) => return self.map(entries),
            Node::Loop(each) => return self.repeat(each),
            Node::Bind(parts) => {
                let value = self.value(&parts[0])?;
                return self.within(&[value], &parts[1]);
            }
            Node::MapOptional { of, flat } => {
                let Value::Optional(value) = self.value(&of[0])? else { return Err("no such overload".into()) };
                let Some(value) = value else { return Ok(Value::Optional(None)) };
                let mapped = self.within(&[(*value).clone()], &of[1])?;
                match mapped {
                    Value::Optional(_) if *flat => mapped,
                    _ if *flat => return Err("no such overload".into()),
                    mapped => Value::Optional(Some(Arc::new(mapped))),
                }
            }
        })
    }

    fn condition(&mut self, node: &Node) -> Result<bool> {
        match self.value(node)? {
            Value::Bool(value) => Ok(value),
            _ => Err("no such overload".into()),
        }
    }

    /// `||` of the terms if `decides` is `true`, else `&&` of them: a term that is `decides` decides, whatever stands beside it.
    fn join(&mut self, terms: &[Node], decides: bool) -> Result<bool> {
        let mut fault = None;
        for term in terms {
            match self.condition(term) {
                Ok(value) if value == decides => return Ok(decides),
                Ok(_) => {}
                Err(Fault::TooCostly) => return Err(Fault::TooCostly),
                Err(reason) => drop(fault.get_or_insert(reason)),
            }
        }
        fault.map_or(Ok(!decides), Err)
    }

    fn within(&mut self, values: &[Value], node: &Node) -> Result {
        let before = self.locals.len();
        self.locals.extend_from_slice(values);
        let value = self.value(node);
        self.locals.truncate(before);
        value
    }

    fn select(&mut self, of: &Node, field: &str, access: Access) -> Result {
        let found = if let Node::Device = of {
            // The fields of a device are known: another one does not compile in Kubernetes.
            Some(self.variables.field(field).ok_or_else(|| Reason::from(format!("undefined field '{field}'")))?)
        } else {
            match self.value(of)? {
                Value::Map(map) => {
                    self.spend(map.entries().len() as u64 / 8)?;
                    map.field(field).cloned()
                }
                Value::Optional(value) => {
                    let found = match value.as_deref() {
                        Some(Value::Map(map)) => map.field(field).cloned(),
                        Some(_) => return Err("no such overload".into()),
                        None => None,
                    };
                    return Ok(match access {
                        Access::Presence => Value::Bool(found.is_some()),
                        Access::Value | Access::Optional => Value::Optional(found.map(Arc::new)),
                    });
                }
                _ => return Err("no such overload".into()),
            }
        };
        match access {
            Access::Presence => Ok(Value::Bool(found.is_some())),
            Access::Optional => Ok(Value::Optional(found.map(Arc::new))),
            Access::Value => found.ok_or_else(|| Fault::NoValue(format!("no such key: {field}").into())),
        }
    }

    fn index(&mut self, of: &Node, key: &Node, optional: bool) -> Result {
        let (of, key) = (self.value(of)?, self.value(key)?);
        let (of, optional) = match of {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => ((*value).clone(), true),
            of => (of, optional),
        };
        let found = match &of {
            Value::Map(map) => {
                self.spend(map.entries().len() as u64 / 8)?;
                map.get(&key).cloned().ok_or_else(|| format!("no such key: {}", shown(&key)))
            }
            Value::List(items) => {
                let at = whole(&key).ok_or("no such overload")?;
                let found = usize::try_from(at).ok().and_then(|at| items.get(at));
                found.cloned().ok_or_else(|| format!("index out of bounds: {at}"))
            }
            _ => return Err("no such overload".into()),
        };
        if optional { Ok(Value::Optional(found.ok().map(Arc::new))) } else { Ok(found?) }
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Result {
        let mut map = Vec::with_capacity(entries.len());
        for (key, value, optional) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            let value = if *optional { of_optional(&value)? } else { Some(value) };
            if let Some(value) = value {
                self.enter(&mut map, key, value)?;
            }
        }
        Ok(Value::Map(Arc::new(Map::new(map))))
    }

    fn enter(&mut self, map: &mut Vec<(Value, Value)>, key: Value, value: Value) -> Result<()> {
        if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::String(_)) {
            return Err(format!("unsupported key type: {}", key.type_name()).into());
        }
        self.spend(1 + map.len() as u64 / 8)?;
        if map.iter().any(|(other, _)| other.is_same(&key)) {
            return Err(format!("insert failed: key {} already exists", shown(&key)).into());
        }
        map.push((key, value));
        Ok(())
    }

    fn repeat(&mut self, each: &Loop) -> Result {
        let rounds = rounds(&self.value(&each.over)?, each.two)?;
        let mut found = Vec::new();
        let (mut entries, mut keys) = (Vec::new(), Vec::new());
        let mut matching = 0_usize;
        let mut fault = None;
        for round in rounds {
            self.spend(1)?;
            let holds = match &each.condition {
                None => true,
                Some(condition) => match self.within(&round, condition) {
                    Ok(Value::Bool(holds)) => holds,
                    Err(Fault::TooCostly) => return Err(Fault::TooCostly),
                    // Another item may decide `all` and `exists`.
                    other => {
                        let reason = other.err().unwrap_or_else(|| "no such overload".into());
                        if !matches!(each.kind, LoopKind::All | LoopKind::Exists) {
                            return Err(reason);
                        }
                        fault.get_or_insert(reason);
                        continue;
                    }
                },
            };
            match each.kind {
                LoopKind::All if !holds => return Ok(Value::Bool(false)),
                LoopKind::Exists if holds => return Ok(Value::Bool(true)),
                LoopKind::ExistsOne => matching += usize::from(holds),
                LoopKind::Filter if holds => found.extend(round.into_iter().next()),
                LoopKind::List | LoopKind::Map | LoopKind::SortBy if holds => {
                    let Some(result) = &each.result else { continue };
                    let value = self.within(&round, result)?;
                    match (each.kind, round.into_iter().next()) {
                        (LoopKind::Map, Some(key)) => self.enter(&mut entries, key, value)?,
                        (LoopKind::SortBy, Some(item)) => keys.push((value, item)),
                        _ => found.push(value),
                    }
                }
                _ => {}
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        Ok(match each.kind {
            LoopKind::All => Value::Bool(true),
            LoopKind::Exists => Value::Bool(false),
            LoopKind::ExistsOne => Value::Bool(matching == 1),
            LoopKind::Filter | LoopKind::List => found.into(),
            LoopKind::Map => Value::Map(Arc::new(Map::new(entries))),
            LoopKind::SortBy => {
                self.spend(keys.len() as u64 * 16)?;
                sorted(keys)?
            }
        })
    }
}

/// The values of the variables in each round of a macro.
fn rounds(over: &Value, two: bool) -> Result<Vec<Vec<Value>>> {
    Ok(match over {
        Value::List(items) if two => {
            items.iter().enumerate().map(|(at, item)| vec![Value::Int(at as i64), item.clone()]).collect()
        }
        Value::List(items) => items.iter().map(|item| vec![item.clone()]).collect(),
        Value::Map(map) if two => map.entries().iter().map(|(key, value)| vec![key.clone(), value.clone()]).collect(),
        Value::Map(map) => map.entries().iter().map(|(key, _)| vec![key.clone()]).collect(),
        _ => return Err("no such overload".into()),
    })
}

fn of_optional(value: &Value) -> Result<Option<Value>> {
    match value {
        Value::Optional(value) => Ok(value.as_deref().cloned()),
        _ => Err("cannot initialize optional entry from non-optional value".into()),
    }
}

/// A key, for messages.
fn shown(key: &Value) -> String {
    match key {
        Value::String(text) => text.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        other => other.type_name().into(),
    }
}

fn binary(operator: Operator, a: &Value, b: &Value) -> std::result::Result<Value, Reason> {
    let compared = |holds: fn(Ordering) -> bool| {
        if a.is_ordered_with(b) {
            Ok(Value::Bool(a.compare(b).is_some_and(holds)))
        } else {
            Err("no such overload".into())
        }
    };
    match operator {
        Operator::Equal => a.equals(b).map(Value::Bool),
        Operator::NotEqual => a.equals(b).map(|same| Value::Bool(!same)),
        Operator::Less => compared(Ordering::is_lt),
        Operator::LessEqual => compared(Ordering::is_le),
        Operator::Greater => compared(Ordering::is_gt),
        Operator::GreaterEqual => compared(Ordering::is_ge),
        Operator::In => match b {
            Value::List(items) => Ok(Value::Bool(items.iter().any(|item| item.is_same(a)))),
            Value::Map(map) => Ok(Value::Bool(map.has(a))),
            _ => Err("no such overload".into()),
        },
        _ => arithmetic(operator, a, b),
    }
}

fn arithmetic(operator: Operator, a: &Value, b: &Value) -> std::result::Result<Value, Reason> {
    use Operator as O;
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            let (a, b) = (*a, *b);
            let value = match operator {
                O::Add => a.checked_add(b),
                O::Subtract => a.checked_sub(b),
                O::Multiply => a.checked_mul(b),
                O::Divide if b == 0 => return Err("division by zero".into()),
                O::Divide => a.checked_div(b),
                O::Remainder if b == 0 => return Err("modulus by zero".into()),
                _ => a.checked_rem(b),
            };
            value.map(Value::Int).ok_or_else(|| "integer overflow".into())
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let (a, b) = (*a, *b);
            let value = match operator {
                O::Add => a.checked_add(b),
                O::Subtract => a.checked_sub(b),
                O::Multiply => a.checked_mul(b),
                O::Divide if b == 0 => return Err("division by zero".into()),
                O::Divide => a.checked_div(b),
                O::Remainder if b == 0 => return Err("modulus by zero".into()),
                _ => a.checked_rem(b),
            };
            value.map(Value::Uint).ok_or_else(|| "unsigned integer overflow".into())
        }
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(match operator {
            O::Add => a + b,
            O::Subtract => a - b,
            O::Multiply => a * b,
            O::Divide => a / b,
            _ => return Err("no such overload".into()),
        })),
        (Value::String(a), Value::String(b)) if operator == O::Add => Ok([&**a, &**b].concat().into()),
        (Value::List(a), Value::List(b)) if operator == O::Add => {
            Ok(a.iter().chain(&**b).cloned().collect::<Vec<_>>().into())
        }
        _ => Err("no such overload".into()),
    }
}

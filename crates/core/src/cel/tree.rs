//! Expressions as trees that can be evaluated.

use std::sync::Arc;

use super::{functions::Function, value::Value};

/// A part of an expression.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// The variable `device`.
    Device,
    /// A variable of a macro, by its place among those in scope.
    Local(usize),
    Select {
        of: Box<Node>,
        field: Arc<str>,
        access: Access,
    },
    Index {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `&&` of all, or `||` of all.
    All(Vec<Node>),
    Any(Vec<Node>),
    If(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    Call(&'static Function, Vec<Node>),
    /// Items, each with `true` if it is an optional one.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Loop(Box<Loop>),
    /// `cel.bind`: the value of a new variable, and what it is for.
    Bind(Box<[Node; 2]>),
    /// `optMap` and `optFlatMap`.
    MapOptional {
        of: Box<[Node; 2]>,
        flat: bool,
    },
}

/// How a field is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `a.b`
    Value,
    /// `has(a.b)`
    Presence,
    /// `a.?b`
    Optional,
}

/// A macro over the items of a list or the entries of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub over: Node,
    pub kind: LoopKind,
    /// With two variables these are key and value, or index and item.
    pub two: bool,
    /// The condition, or that of a `map` or `transform` with one.
    pub condition: Option<Node>,
    /// The expression of what an item becomes; of `transformMapEntry` a map.
    pub result: Option<Node>,
}

/// The macros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map`, `transformList`
    List,
    /// `transformMap`
    Map,
    SortBy,
}

/// An operator with two sides, but not `&&` and `||`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

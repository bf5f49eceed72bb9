//! Expressions of the Common Expression Language (CEL), as device selectors have them.
//!
//! An expression is parsed once, when the object that has it is read, and evaluated for each device. Both are bounded: by the length and
//! the depth of the expression, and by a cost that evaluation may not exceed. Nothing here recurses deeper than [`parse::MOST_DEPTH`].
//!
//! The language is that of the CEL specification with the libraries that the API server of 1.34 gives to device selectors: optional
//! values, `cel.bind`, strings, lists, sets, regular expressions, quantities, semantic versions and comprehensions over two variables. Not
//! there are durations, timestamps, byte strings, messages, `format`, URLs and addresses; an expression with them does not compile here.
//! Types are checked when an expression is evaluated; before that only those of conditions, where they are certain (`types.rs`).
//!
//! # Why no crate
//!
//! The parsers of the `cel` crate (0.15) overflow the stack, and so end the process, on a few kilobytes of parentheses or `+`, and
//! its interpreter has no limit of cost. Expressions come from the network.
//!
//! Source: `apiserver/pkg/cel/environment/base.go`, `apiserver/pkg/cel/library`, `dynamic-resource-allocation/cel/compile.go`,
//! and the CEL specification (`google/cel-spec`, `doc/langdef.md`).

mod evaluate;
mod functions;
mod lexer;
mod parse;
mod semver;
mod strings;
mod tree;
mod types;
mod value;

use std::{borrow::Cow, fmt, sync::Arc};

pub use evaluate::Variables;
pub use semver::Semver;
pub use value::{Map, Value};

/// The longest expression in bytes (`CELSelectorExpressionMaxLength`).
pub const MOST_LENGTH: usize = 10 * 1024;

/// The highest cost of one evaluation (`CELSelectorExpressionMaxCost`).
pub const MOST_COST: u64 = 1_000_000;

/// A parsed expression. Clones share it.
#[derive(Clone)]
pub struct Expression {
    text: Arc<str>,
    parsed: Arc<Result<tree::Node, String>>,
}

impl Expression {
    /// Parses an expression over the variable `device`. A fault stays in the expression: each evaluation fails with it.
    pub fn parse(text: &str) -> Self {
        let parsed = if text.len() > MOST_LENGTH {
            Err(format!(
                "the expression has {} bytes, and may have {MOST_LENGTH}: split it into several selectors",
                text.len()
            ))
        } else {
            parse::parse(text)
        };
        Self { text: text.into(), parsed: Arc::new(parsed) }
    }

    /// Parses a condition on `device`. One that surely is no truth has a fault.
    pub fn condition(text: &str) -> Self {
        let Self { text, parsed } = Self::parse(text);
        match parsed.as_ref().as_ref().map(types::condition) {
            Ok(Err(fault)) => Self { text, parsed: Arc::new(Err(fault)) },
            _ => Self { text, parsed },
        }
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Why it cannot be evaluated, if so.
    pub fn fault(&self) -> Option<&str> {
        self.parsed.as_ref().as_ref().err().map(String::as_str)
    }

    /// Why the API server refuses it, if it does.
    pub fn refusal(&self) -> Option<String> {
        let fault = self.fault()?;
        Some(if fault.starts_with(types::MUST) { fault.to_owned() } else { format!("compilation failed: {fault}") })
    }

    /// Its value. The cost of the evaluation is added to `cost`.
    ///
    /// # Errors
    /// The reason why it has none.
    pub fn evaluate(&self, variables: &dyn Variables, cost: &mut u64) -> Result<Value, Cow<'static, str>> {
        match &*self.parsed {
            Ok(node) => evaluate::evaluate(node, variables, cost),
            Err(fault) => Err(fault.clone().into()),
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

#[cfg(test)]
mod tests;

//! Tokens of an expression → a tree that can be evaluated, with all names looked up.
//!
//! Source: the sections "Syntax" and "Macros" of the CEL specification; `cel-go/common/operators`, `cel-go/ext/bindings.go`,
//! `cel-go/ext/comprehensions.go`, `cel-go/cel/library.go` (`OptionalTypes`).

use super::{
    functions,
    lexer::{Token, tokens},
    tree::{Access, Loop, LoopKind, Node, Operator},
    value::Value,
};

/// The deepest that expressions may be nested. An evaluation needs so many frames of the stack.
pub(super) const MOST_DEPTH: u16 = 64;

/// Operators by level of precedence, the weakest first.
const LEVELS: [&[(&str, Operator)]; 3] = [
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("<=", Operator::LessEqual),
        ("<", Operator::Less),
        (">=", Operator::GreaterEqual),
        (">", Operator::Greater),
        ("in", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Remainder)],
];

/// Words that are no names (the section "Syntax").
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Names of types, which are values as well.
const TYPES: [&str; 9] = ["bool", "int", "uint", "double", "string", "list", "map", "null_type", "type"];

/// Parses an expression.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.len(), depth: 0, scope: Vec::new() };
    let (node, _) = parser.expression()?;
    match parser.tokens.get(parser.at) {
        None => Ok(node),
        Some((token, _)) => Err(parser.unexpected(&token.clone())),
    }
}

/// A node, and how deep it is.
type Deep = (Node, u16);

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    end: usize,
    depth: u16,
    /// The variables of macros around.
    scope: Vec<String>,
}

impl Parser {
    fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.end, |(_, at)| *at)
    }

    fn unexpected(&self, token: &Token) -> String {
        let shown = match token {
            Token::Name(name) | Token::Quoted(name) => name.chars().take(24).collect(),
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Text(_) => "a text".into(),
            _ => "a number".into(),
        };
        format!("at byte {}: {shown} is not expected here", self.place())
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.tokens.get(self.at), Some((Token::Sign(other), _)) if *other == sign)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.eat(sign) {
            return Ok(());
        }
        Err(match self.tokens.get(self.at) {
            Some((token, _)) => format!("{}: {sign} is", self.unexpected(&token.clone())),
            None => format!("at byte {}: the expression ends where {sign} is expected", self.end),
        })
    }

    /// A node above others, if it is not too deep.
    fn above(&self, node: Node, deepest: u16) -> Result<Deep, String> {
        if deepest >= MOST_DEPTH {
            return Err(format!("at byte {}: expressions may be nested {MOST_DEPTH} deep", self.place()));
        }
        Ok((node, deepest + 1))
    }

    fn expression(&mut self) -> Result<Deep, String> {
        if self.depth >= MOST_DEPTH {
            return Err(format!("at byte {}: expressions may be nested {MOST_DEPTH} deep", self.place()));
        }
        self.depth += 1;
        let found = self.conditional();
        self.depth -= 1;
        found
    }

    fn conditional(&mut self) -> Result<Deep, String> {
        let (condition, a) = self.joined("||")?;
        if !self.eat("?") {
            return Ok((condition, a));
        }
        let (then, b) = self.joined("||")?;
        self.expect(":")?;
        let (other, c) = self.expression()?;
        self.above(Node::If(Box::new([condition, then, other])), a.max(b).max(c))
    }

    /// Terms joined by `||`, or by `&&`.
    fn joined(&mut self, sign: &str) -> Result<Deep, String> {
        let is_or = sign == "||";
        let term = |parser: &mut Self| if is_or { parser.joined("&&") } else { parser.binary(0) };
        let (first, mut deepest) = term(self)?;
        if !self.is_sign(sign) {
            return Ok((first, deepest));
        }
        let mut terms = vec![first];
        while self.eat(sign) {
            let (next, depth) = term(self)?;
            terms.push(next);
            deepest = deepest.max(depth);
        }
        self.above(if is_or { Node::Any(terms) } else { Node::All(terms) }, deepest)
    }

    fn binary(&mut self, level: usize) -> Result<Deep, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let (mut left, mut deepest) = self.binary(level + 1)?;
        while let Some(operator) = self.operator(operators) {
            let (right, depth) = self.binary(level + 1)?;
            (left, deepest) = self.above(Node::Binary(operator, Box::new([left, right])), deepest.max(depth))?;
        }
        Ok((left, deepest))
    }

    fn operator(&mut self, operators: &[(&str, Operator)]) -> Option<Operator> {
        let text = match &self.tokens.get(self.at)?.0 {
            Token::Sign(sign) => *sign,
            Token::Name(name) => name,
            _ => return None,
        };
        let (_, operator) = operators.iter().find(|(sign, _)| *sign == text)?;
        self.at += 1;
        Some(*operator)
    }

    fn unary(&mut self) -> Result<Deep, String> {
        let mut signs = 0_usize;
        let sign = if self.is_sign("!") { "!" } else { "-" };
        while self.eat(sign) {
            signs += 1;
        }
        if signs == 0 {
            return self.member();
        }
        let is_odd = signs % 2 == 1;
        if sign == "-"
            && is_odd
            && let Some((Token::Int(value), _)) = self.tokens.get(self.at)
            && *value == 1 << 63
        {
            // The lowest number has no positive one.
            self.at += 1;
            return self.postfix((Node::Literal(Value::Int(i64::MIN)), 1));
        }
        let (of, depth) = self.member()?;
        let of = Box::new(of);
        match (sign, is_odd) {
            ("!", true) => self.above(Node::Not(of), depth),
            ("!", false) => self.above(Node::Not(Box::new(Node::Not(of))), depth + 1),
            (_, true) => self.above(Node::Negate(of), depth),
            (_, false) => self.above(Node::Negate(Box::new(Node::Negate(of))), depth + 1),
        }
    }

    fn member(&mut self) -> Result<Deep, String> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    /// Selections, calls and indices behind an expression.
    fn postfix(&mut self, of: Deep) -> Result<Deep, String> {
        let (mut node, mut depth) = of;
        loop {
            if self.eat("[") || self.is_sign("[?") {
                let optional = self.eat("[?");
                let (key, key_depth) = self.expression()?;
                self.expect("]")?;
                let index = Node::Index { of: Box::new(node), key: Box::new(key), optional };
                (node, depth) = self.above(index, depth.max(key_depth))?;
            } else if self.eat(".?") {
                let field = self.field()?.into();
                (node, depth) =
                    self.above(Node::Select { of: Box::new(node), field, access: Access::Optional }, depth)?;
            } else if self.eat(".") {
                let is_name = matches!(self.tokens.get(self.at), Some((Token::Name(_), _)));
                let field = self.field()?;
                (node, depth) = if is_name && self.eat("(") {
                    self.method(&field, (node, depth))?
                } else {
                    let field = field.into();
                    self.above(Node::Select { of: Box::new(node), field, access: Access::Value }, depth)?
                };
            } else {
                return Ok((node, depth));
            }
        }
    }

    fn field(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some((Token::Name(name), _)) if name != "in" => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            Some((Token::Quoted(name), _)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            Some((token, _)) => Err(self.unexpected(&token.clone())),
            None => Err(format!("at byte {}: the expression ends where a field is expected", self.end)),
        }
    }

    fn primary(&mut self) -> Result<Deep, String> {
        let Some((token, _)) = self.tokens.get(self.at).cloned() else {
            return Err(format!("at byte {}: the expression ends too early", self.end));
        };
        self.at += 1;
        let literal = |value: Value| Ok((Node::Literal(value), 1));
        match token {
            Token::Int(value) => match i64::try_from(value) {
                Ok(value) => literal(Value::Int(value)),
                Err(_) => Err(format!("at byte {}: number {value} is too large", self.place())),
            },
            Token::Uint(value) => literal(Value::Uint(value)),
            Token::Double(value) => literal(Value::Double(value)),
            Token::Text(text) => literal(text.into()),
            Token::Sign("(") => {
                let found = self.expression()?;
                self.expect(")")?;
                Ok(found)
            }
            Token::Sign(sign @ ("[" | "[?")) => self.list(sign == "[?"),
            Token::Sign(sign @ ("{" | "{?")) => self.map(sign == "{?"),
            Token::Name(name) => self.named(name),
            token => {
                self.at -= 1;
                Err(self.unexpected(&token))
            }
        }
    }

    fn list(&mut self, mut optional: bool) -> Result<Deep, String> {
        let (mut items, mut deepest) = (Vec::new(), 0);
        while !self.is_sign("]") || optional {
            let optional = std::mem::take(&mut optional) || self.eat("?");
            let (item, depth) = self.expression()?;
            items.push((item, optional));
            deepest = deepest.max(depth);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("]")?;
        self.above(Node::List(items), deepest)
    }

    fn map(&mut self, mut optional: bool) -> Result<Deep, String> {
        let (mut entries, mut deepest) = (Vec::new(), 0);
        while !self.is_sign("}") || optional {
            let optional = std::mem::take(&mut optional) || self.eat("?");
            let (key, a) = self.expression()?;
            self.expect(":")?;
            let (value, b) = self.expression()?;
            entries.push((key, value, optional));
            deepest = deepest.max(a).max(b);
            if !self.eat(",") {
                break;
            }
        }
        self.expect("}")?;
        self.above(Node::Map(entries), deepest)
    }

    /// A variable, a keyword, or a call of a function.
    fn named(&mut self, name: String) -> Result<Deep, String> {
        let node = match &*name {
            "true" | "false" => Node::Literal(Value::Bool(name == "true")),
            "null" => Node::Literal(Value::Null),
            "in" => {
                self.at -= 1;
                return Err(self.unexpected(&Token::Name(name)));
            }
            _ if self.is_sign("(") => return self.function(&name),
            _ if let Some(local) = self.scope.iter().rposition(|other| *other == name) => Node::Local(local),
            "device" => Node::Device,
            // Functions whose names have a dot.
            "cel" | "optional" | "sets" | "lists" | "strings" | "math" if self.is_sign(".") => {
                return self.dotted(&name);
            }
            _ if let Some(name) = TYPES.into_iter().find(|of_type| *of_type == name) => {
                Node::Literal(Value::Type(name))
            }
            _ if RESERVED.contains(&&*name) => {
                return Err(format!("at byte {}: reserved identifier: {name}", self.place()));
            }
            _ => return Err(undeclared(&name)),
        };
        Ok((node, 1))
    }

    fn dotted(&mut self, library: &str) -> Result<Deep, String> {
        self.at += 1;
        let name = format!("{library}.{}", self.field()?);
        if name != "cel.bind" || !self.eat("(") {
            return self.function(&name);
        }
        let variable = self.variable()?;
        self.expect(",")?;
        let (value, a) = self.expression()?;
        self.expect(",")?;
        let (then, b) = self.within(&[variable], Self::expression)?;
        self.expect(")")?;
        self.above(Node::Bind(Box::new([value, then])), a.max(b))
    }

    fn function(&mut self, name: &str) -> Result<Deep, String> {
        self.expect("(").map_err(|_| undeclared(name))?;
        if name == "has" {
            let (of, depth) = self.expression()?;
            self.expect(")")?;
            return match of {
                Node::Select { of, field, access: Access::Value } => {
                    Ok((Node::Select { of, field, access: Access::Presence }, depth))
                }
                _ => Err(format!("at byte {}: invalid argument to has() macro", self.place())),
            };
        }
        let arguments = self.arguments()?;
        self.call(name, false, arguments)
    }

    /// The arguments up to the closing bracket.
    fn arguments(&mut self) -> Result<Vec<Deep>, String> {
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn call(&self, name: &str, is_method: bool, arguments: Vec<Deep>) -> Result<Deep, String> {
        let function = functions::find(name, is_method, arguments.len()).ok_or_else(|| undeclared(name))?;
        let deepest = arguments.iter().map(|(_, depth)| *depth).max().unwrap_or_default();
        let arguments: Vec<Node> = arguments.into_iter().map(|(node, _)| node).collect();
        if function.name == "matches"
            && let Some(Node::Literal(Value::String(pattern))) = arguments.get(1)
        {
            functions::pattern(pattern)?;
        }
        self.above(Node::Call(function, arguments), deepest)
    }

    /// A macro or a function behind an expression.
    fn method(&mut self, name: &str, (of, depth): Deep) -> Result<Deep, String> {
        if let "optMap" | "optFlatMap" = name {
            let variable = self.variable()?;
            self.expect(",")?;
            let (then, deep) = self.within(&[variable], Self::expression)?;
            self.expect(")")?;
            let node = Node::MapOptional { of: Box::new([of, then]), flat: name == "optFlatMap" };
            return self.above(node, depth.max(deep));
        }
        if let Some((kind, two, parts)) = self.as_macro(name) {
            return self.repeat((of, depth), kind, two, parts);
        }
        let mut arguments = vec![(of, depth)];
        arguments.extend(self.arguments()?);
        self.call(name, true, arguments)
    }

    /// The macro of this name with so many arguments, if it is one: its kind, whether it has two variables, and what follows these.
    fn as_macro(&self, name: &str) -> Option<(LoopKind, bool, usize)> {
        use LoopKind as L;
        Some(match (name, self.count_arguments()) {
            ("all", 2) => (L::All, false, 1),
            ("all", 3) => (L::All, true, 1),
            ("exists", 2) => (L::Exists, false, 1),
            ("exists", 3) => (L::Exists, true, 1),
            ("exists_one" | "existsOne", 2) => (L::ExistsOne, false, 1),
            ("existsOne", 3) => (L::ExistsOne, true, 1),
            ("filter", 2) => (L::Filter, false, 1),
            ("map", count @ 2..=3) => (L::List, false, count - 1),
            ("transformList", count @ 3..=4) => (L::List, true, count - 2),
            ("transformMap", count @ 3..=4) => (L::Map, true, count - 2),
            ("sortBy", 2) => (L::SortBy, false, 1),
            _ => return None,
        })
    }

    /// How many arguments there are up to the closing bracket.
    fn count_arguments(&self) -> usize {
        let (mut depth, mut count) = (0_usize, 1);
        for (token, _) in &self.tokens[self.at..] {
            let Token::Sign(sign) = token else { continue };
            match *sign {
                "(" | "[" | "[?" | "{" | "{?" => depth += 1,
                ")" | "]" | "}" if depth == 0 => break,
                ")" | "]" | "}" => depth -= 1,
                "," if depth == 0 => count += 1,
                _ => {}
            }
        }
        count
    }

    fn repeat(&mut self, (over, depth): Deep, kind: LoopKind, two: bool, parts: usize) -> Result<Deep, String> {
        let mut variables = vec![self.variable()?];
        self.expect(",")?;
        if two {
            variables.push(self.variable()?);
            self.expect(",")?;
            if variables[0] == variables[1] {
                return Err(format!("at byte {}: duplicate iteration variable {}", self.place(), variables[0]));
            }
        }
        let inner = |parser: &mut Self| {
            let first = parser.expression()?;
            let second = if parts > 1 { Some(parser.expect(",").and_then(|()| parser.expression())?) } else { None };
            Ok((first, second))
        };
        let ((first, a), second) = self.within(&variables, inner)?;
        self.expect(")")?;
        let (second, b) = second.map_or((None, 0), |(node, depth)| (Some(node), depth));
        let (condition, result) = match (kind, second) {
            (LoopKind::List | LoopKind::Map, Some(result)) => (Some(first), Some(result)),
            (LoopKind::List | LoopKind::Map | LoopKind::SortBy, None) => (None, Some(first)),
            (_, _) => (Some(first), None),
        };
        self.above(Node::Loop(Box::new(Loop { over, kind, two, condition, result })), depth.max(a).max(b))
    }

    fn variable(&mut self) -> Result<String, String> {
        let name = self.field()?;
        if RESERVED.contains(&&*name) || ["true", "false", "null"].contains(&&*name) {
            return Err(format!("at byte {}: {name} cannot name a variable", self.place()));
        }
        Ok(name)
    }

    /// Parses with further variables in scope.
    fn within<T>(
        &mut self,
        variables: &[String],
        parse: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let before = self.scope.len();
        self.scope.extend_from_slice(variables);
        let found = parse(self);
        self.scope.truncate(before);
        found
    }
}

fn undeclared(name: &str) -> String {
    format!("undeclared reference to '{}' (in container '')", name.chars().take(64).collect::<String>())
}

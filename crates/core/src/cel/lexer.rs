//! Text of an expression → tokens.
//!
//! Source: the section "Syntax" of the CEL specification.

/// The smallest part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A name between backticks, which selects a field only.
    Quoted(String),
    /// A whole number without its sign.
    Int(u64),
    /// A whole number with the suffix `u`.
    Uint(u64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Operators and brackets, the longer ones first.
const SIGNS: [&str; 29] = [
    "&&", "||", "==", "!=", "<=", ">=", "[?", "{?", ".?", "(", ")", "[", "]", "{", "}", ".", ",", ":", "?", "+", "-",
    "*", "/", "%", "<", ">", "!", "=", "&",
];

/// The tokens, each with the place of its first byte.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, String> {
    let mut lexer = Lexer { text, at: 0 };
    let mut found = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        if lexer.rest().is_empty() {
            return Ok(found);
        }
        let token = lexer.token().map_err(|why| format!("at byte {start}: {why}"))?;
        found.push((token, start));
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            self.at += blanks;
            if !self.rest().starts_with("//") {
                return;
            }
            self.at += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }

    fn take_while(&mut self, holds: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.find(|c| !holds(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn token(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        if let Some(quoted) = rest.strip_prefix('`') {
            let length = quoted.find('`').ok_or("a name between backticks does not end")?;
            self.at += length + 2;
            return Ok(Token::Quoted(quoted[..length].into()));
        }
        let first = rest.chars().next().unwrap_or_default();
        if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            return self.number();
        }
        if let Some(text) = self.quotation() {
            return text.map(Token::Text);
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(Token::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').into()));
        }
        // `a ? .5 : b` and `a ?b : c` are no optional access.
        let sign =
            SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or_else(|| format!("unknown sign {first:?}"))?;
        self.at += sign.len();
        Ok(Token::Sign(sign))
    }

    fn number(&mut self) -> Result<Token, String> {
        let rest = self.rest();
        if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            let value = u64::from_str_radix(digits, 16).map_err(|_| format!("invalid number 0x{}", short(hex)))?;
            return Ok(self.suffixed(value));
        }
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit());
        let mut is_whole = true;
        if self.rest().starts_with('.') && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) {
            is_whole = false;
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            let after = self.rest()[1..].trim_start_matches(['+', '-']);
            if after.starts_with(|c: char| c.is_ascii_digit()) && self.rest().len() - after.len() <= 2 {
                is_whole = false;
                self.at = self.text.len() - after.len();
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        let digits = &self.text[start..self.at];
        if is_whole {
            let value = digits.parse().map_err(|_| format!("number {} is too large", short(digits)))?;
            return Ok(self.suffixed(value));
        }
        Ok(Token::Double(digits.parse().map_err(|_| format!("invalid number {}", short(digits)))?))
    }

    fn suffixed(&mut self, value: u64) -> Token {
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
            Token::Uint(value)
        } else {
            Token::Int(value)
        }
    }

    /// A text in quotes; `None` if there is none here.
    fn quotation(&mut self) -> Option<Result<String, String>> {
        let rest = self.rest();
        let raw = rest.starts_with(['r', 'R']);
        let quoted = &rest[usize::from(raw)..];
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| quoted.starts_with(quote))?;
        self.at += usize::from(raw) + quote.len();
        Some(self.text_until(quote, raw))
    }

    fn text_until(&mut self, quote: &str, raw: bool) -> Result<String, String> {
        let mut text = String::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(quote) {
                self.at += quote.len();
                return Ok(text);
            }
            let Some(c) = rest.chars().next() else { return Err("a text does not end".into()) };
            self.at += c.len_utf8();
            match c {
                '\n' | '\r' if quote.len() == 1 => return Err("a text does not end before its line does".into()),
                '\\' if !raw => text.push(self.escape()?),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(c) = self.rest().chars().next() else { return Err("a text does not end".into()) };
        self.at += c.len_utf8();
        let (digits, radix) = match c {
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\u{b}'),
            '\\' | '?' | '"' | '\'' | '`' => return Ok(c),
            'x' | 'X' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='3' => {
                self.at -= 1;
                (3, 8)
            }
            other => return Err(format!("unknown escape \\{other}")),
        };
        let code = self.rest().get(..digits).and_then(|code| u32::from_str_radix(code, radix).ok());
        self.at += digits;
        code.and_then(char::from_u32).ok_or_else(|| "an escape is no character".into())
    }
}

/// The beginning of a text, for messages.
fn short(text: &str) -> String {
    text.chars().take(24).collect()
}

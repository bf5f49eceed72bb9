//! `podberth explain`: a decision as a table, without a server.

use std::{fs, io::Read as _, path::Path};

use crate::{
    api::{
        explain::{ExplainRequest, answer},
        ground::PolicyQuery,
    },
    cluster::View,
    wire::{decode, explanation::Explanation, table, validation::fields, yaml},
};

/// Decides a case: the same question as the body of `POST /explain`, with its `cluster`, in JSON or YAML; `-` reads it
/// from standard input.
///
/// # Errors
/// One line on why there is no decision.
pub fn explain(case: &Path) -> Result<Explanation, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", case.display());
    let body = if case.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).map(|_| body)
    } else {
        fs::read(case)
    };
    let body = body.map_err(|e| at(&e))?;
    // YAML is a superset of JSON, but reading JSON as such is quicker and its errors are clearer.
    let is_yaml = !body.trim_ascii_start().starts_with(b"{");
    let json = yaml::to_json(&body, is_yaml).map_err(|e| at(&e))?;
    let examined = fields::examine("ExplainRequest", "", &json);
    if let Some(unknown) = examined.refused.first() {
        return Err(at(unknown));
    }
    let request: ExplainRequest = decode::from_slice(&examined.json).map_err(|e| at(&e))?;
    if request.cluster.is_none() {
        return Err(at(&"the case has no `cluster`; to ask about a stored one, POST it to a server's /explain"));
    }
    answer(&request, &PolicyQuery::default(), &View::default()).map_err(|e| at(&e))
}

/// The width of the terminal that standard output is; without one, of no terminal.
pub(super) fn terminal_width() -> u16 {
    terminal_size::terminal_size_of(std::io::stdout()).map_or(u16::MAX, |(width, _)| width.0.max(table::WIDTH))
}

/// The decision as text: a table, or JSON.
pub fn render(explanation: &Explanation, as_json: bool) -> String {
    if as_json {
        serde_json::to_string_pretty(explanation).unwrap_or_default() + "\n"
    } else {
        table::render(explanation, terminal_width())
    }
}

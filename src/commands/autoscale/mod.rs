//! `podberth autoscale` and `podberth reschedule`: a server is asked, and its answer printed as a table for people.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::Value;

use super::{asked::Asked, explain::documents, policy::Said};
use crate::{core::model::Quantity, live::DEFAULT_CLUSTER};

mod down;
mod hpa;
mod reschedule;
mod status;
mod up;
mod vpa;

/// The questions.
#[derive(Subcommand)]
pub enum Command {
    /// Show the node groups, what the loop over them does, and which nodes are not needed
    Status(Options),
    /// Show which node groups should become larger for the pods that fit nowhere
    Up(Options),
    /// Show which nodes could go, and what keeps the others
    Down(Options),
    /// Show how many replicas a workload should have
    Hpa(Options),
    /// Show what containers should request
    Vpa(Options),
}

/// The options of a question.
#[derive(Args)]
pub struct Options {
    /// The request in JSON or YAML, as POST takes it; - for standard input. Without it the stored objects are asked about
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The cluster
    #[arg(long, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// Print the whole answer as JSON
    #[arg(long)]
    json: bool,
    /// The server.
    #[command(flatten)]
    asked: Asked,
}

/// The options of `podberth reschedule`.
#[derive(Args)]
pub struct Reschedule {
    /// Do nothing but print who would be evicted. Nothing else can be asked for on the command line: the loop (--reschedule) evicts
    #[arg(long, required = true)]
    dry_run: bool,
    /// A DeschedulerPolicy (descheduler/v1alpha2) in JSON or YAML; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "file", conflicts_with = "file")]
    policy: Option<PathBuf>,
    /// Search for the fewest moves after which nothing is worse, in several rounds, instead of one cycle of the descheduler
    #[arg(long, conflicts_with = "file")]
    best: bool,
    /// Move so many pods at most
    #[arg(long, value_name = "N", conflicts_with = "file")]
    max_moves: Option<u64>,
    /// Options of all questions.
    #[command(flatten)]
    options: Options,
}

/// Asks, and renders the answer.
///
/// # Errors
/// The reason why there is no answer, as one line.
pub async fn run(command: &Command) -> Result<Said, String> {
    match command {
        Command::Status(options) => ask(Method::GET, "/autoscale/status", options, None, status::table).await,
        Command::Up(options) => ask(Method::POST, "/autoscale/scale-up", options, None, up::table).await,
        Command::Down(options) => ask(Method::POST, "/autoscale/scale-down", options, None, down::table).await,
        Command::Hpa(options) => ask(Method::POST, "/autoscale/hpa", options, None, hpa::table).await,
        Command::Vpa(options) => ask(Method::POST, "/autoscale/vpa", options, None, vpa::table).await,
    }
}

/// Asks who would be evicted.
///
/// # Errors
/// As for [`run`].
pub async fn reschedule(command: &Reschedule) -> Result<Said, String> {
    let policy = command.policy.as_deref().map(document).transpose()?;
    let until = if command.best { r#""best""# } else { r#""once""# };
    let most = command.max_moves.map(|most| format!(r#","maxMoves":{most}"#)).unwrap_or_default();
    let body = policy.map(|policy| format!(r#"{{"policy":{policy},"until":{until}{most}}}"#));
    ask(Method::POST, "/reschedule", &command.options, body, reschedule::table).await
}

async fn ask(
    method: Method,
    path: &str,
    options: &Options,
    body: Option<String>,
    table: fn(&Value) -> String,
) -> Result<Said, String> {
    let path = match &*options.cluster {
        DEFAULT_CLUSTER => path.to_owned(),
        name => format!("/clusters/{name}{path}"),
    };
    let file = options.file.as_deref().map(document).transpose()?;
    let body = body.or(file).unwrap_or_else(|| if method == Method::GET { String::new() } else { "{}".into() });
    let answer: Value = options.asked.ask(method, &path, body.into_bytes()).await?;
    let output = if options.json {
        serde_json::to_string_pretty(&answer).map_err(|error| error.to_string())? + "\n"
    } else {
        table(&answer)
    };
    Ok(Said { output, remarks: String::new(), good: true })
}

/// The document of a file, as JSON.
pub(super) fn document(path: &Path) -> Result<String, String> {
    let mut documents = documents(path)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(only), true) => Ok(only),
        _ => Err(format!("{}: one document is asked with", path.display())),
    }
}

/// A value of an answer as it is printed: texts without quotes, nothing for what is absent.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// An amount of bytes as people read it: `83.3Mi` for 87381333. What is no amount stays as it is.
pub(super) fn bytes(value: &Value) -> String {
    let told = text(value);
    let Ok(amount) = told.parse::<Quantity>() else { return told };
    let units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let (mut amount, mut unit) = (amount.approximate(), 0);
    while amount.abs() >= 1024.0 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = format!("{amount:.1}");
    format!("{}{}", digits.strip_suffix(".0").unwrap_or(&digits), units[unit])
}

/// The entries of a list in an answer.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

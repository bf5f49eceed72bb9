//! `podberth explain`: a decision as a table, without a server.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Deserialize;

use crate::{
    live::View,
    service::explain::{ExplainRequest, answer},
    wire::{decode, explanation::Explanation, table, validation::fields, yaml},
};

/// Bytes of a file at most.
const LARGEST: u64 = 1 << 30;

/// The options of the command.
#[derive(Debug, Args)]
pub struct Options {
    /// The whole case in one file: {pod, cluster, policy or profile, preempt, suggestions, seed} as for POST /explain, in JSON or YAML; - for
    /// standard input
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present_any = ["pod", "case"],
        conflicts_with_all = ["pod", "cluster", "policy", "preempt", "suggestions", "case"]
    )]
    file: Option<PathBuf>,
    /// Short form of --file
    #[arg(value_name = "FILE", hide = true, conflicts_with_all = ["pod", "cluster", "policy", "preempt", "suggestions"])]
    case: Option<PathBuf>,
    /// The pod, or a Deployment, Job, … with its pod template; JSON or YAML, - for standard input
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pod: Option<PathBuf>,
    /// With --pod: the cluster, as `kubectl get nodes,pods,… -A -o json` prints it, as manifests, or as an object with one list per
    /// kind; - for standard input
    #[arg(long, value_name = "FILE", requires = "pod")]
    cluster: Option<PathBuf>,
    /// With --pod: a Policy or KubeSchedulerConfiguration to use instead of the default
    #[arg(long, value_name = "FILE", requires = "pod")]
    policy: Option<PathBuf>,
    /// With --pod: show which pods would have to leave if the pod fits nowhere
    #[arg(long, requires = "pod")]
    preempt: bool,
    /// With --pod: suggest changes with which the pod would fit if it fits nowhere
    #[arg(long, requires = "pod")]
    suggestions: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The printed decision.
#[derive(Debug)]
pub struct Said {
    /// Text for standard output.
    pub output: String,
    /// Unknown fields, one per line, for standard error.
    pub warnings: String,
}

/// Decides a case without a server.
///
/// # Errors
/// The reason why there is no decision, as one line.
pub fn explain(options: &Options) -> Result<Said, String> {
    let (name, request) = match (&options.file, &options.pod, &options.cluster) {
        (None, Some(pod), Some(cluster)) => (None, composed(options, pod, cluster)?),
        (file, ..) => {
            let file = file.as_deref().or(options.case.as_deref()).unwrap_or(Path::new("-"));
            (Some(file), one(file)?)
        }
    };
    let at = |error: &dyn std::fmt::Display| match name {
        Some(name) => format!("{}: {error}", name.display()),
        None => error.to_string(),
    };
    let examined = fields::examine("ExplainRequest", "", request.as_bytes());
    if let Some(unknown) = examined.refused.first() {
        return Err(at(unknown));
    }
    let request: ExplainRequest = decode::from_slice(&examined.json).map_err(|e| at(&e))?;
    if request.cluster.is_none() {
        return Err(at(&"the case has no `cluster`; to ask about a stored one, POST it to a server's /explain"));
    }
    let explanation = answer(&request, None, &View::default()).map_err(|e| at(&e))?;
    let warnings = examined.odd.iter().map(|odd| format!("warning: {}\n", at(odd))).collect::<Vec<_>>().concat();
    Ok(Said { output: render(&explanation, options.json), warnings })
}

/// Combines the files of a question into one request body.
fn composed(options: &Options, pod: &Path, cluster: &Path) -> Result<String, String> {
    let mut fields = vec![format!("\"pod\":{}", one(pod)?), format!("\"cluster\":{}", whole_cluster(cluster)?)];
    if let Some(policy) = &options.policy {
        fields.push(format!("\"policy\":{}", one(policy)?));
    }
    fields.push(format!("\"preempt\":{},\"suggestions\":{}", options.preempt, options.suggestions));
    Ok(format!("{{{}}}", fields.join(",")))
}

/// The single document of a file.
fn one(path: &Path) -> Result<String, String> {
    let mut documents = documents(path)?;
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (last, before) => {
            let found = before + usize::from(last.is_some());
            let path = path.display();
            Err(format!("{path}: expected one document, found {found}; manifests of a cluster are for --cluster"))
        }
    }
}

/// Turns a cluster into the form that a request takes: manifests become an array.
pub(super) fn whole_cluster(path: &Path) -> Result<String, String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Head {
        kind: String,
    }
    let mut documents = documents(path)?;
    let is_object = |text: &str| {
        let head: Head = serde_json::from_str(text).unwrap_or_default();
        !head.kind.is_empty() && !head.kind.ends_with("List")
    };
    match &mut documents[..] {
        [only] if !is_object(only) => Ok(std::mem::take(only)),
        many => Ok(format!("[{}]", many.join(","))),
    }
}

/// The documents of a file, as JSON.
pub(super) fn documents(path: &Path) -> Result<Vec<String>, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let body = contents(path).map_err(|e| at(&e))?;
    let is_yaml = !matches!(body.trim_ascii_start().first(), Some(b'{' | b'['));
    // YAML is nearly a superset of JSON, but reading JSON as such is quicker and its errors are clearer.
    let read = yaml::documents(&body, is_yaml);
    read.or_else(|error| yaml::documents(&body, true).map_err(|_| at(&error)))
}

/// The contents of a file; - for standard input.
pub(super) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let source: Box<dyn Read> =
        if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(fs::File::open(path)?) };
    let mut body = Vec::new();
    let length = source.take(LARGEST + 1).read_to_end(&mut body)?;
    if length as u64 > LARGEST {
        return Err(io::Error::other(format!("there are more than {LARGEST} bytes: divide the file")));
    }
    Ok(body)
}

/// The width of the terminal on standard output; unlimited without a terminal.
pub(super) fn terminal_width() -> u16 {
    terminal_size::terminal_size_of(io::stdout()).map_or(u16::MAX, |(width, _)| width.0.max(table::WIDTH))
}

/// The decision as text: a table, or JSON.
pub fn render(explanation: &Explanation, as_json: bool) -> String {
    if as_json {
        serde_json::to_string_pretty(explanation).unwrap_or_default() + "\n"
    } else {
        table::render(explanation, terminal_width())
    }
}

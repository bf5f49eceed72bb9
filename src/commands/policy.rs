//! `podberth policy`: checks and converts policy files without a server.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};

use crate::{
    core::policy::Faults,
    wire::policy::{Reading, comments, parse, parse_as, to_json, to_yaml},
};

/// The subcommands for policies.
#[derive(Subcommand)]
pub enum Command {
    /// Report all faults and warnings of policy files; exits with 1 if there is a fault
    Check {
        /// Policies (Kubernetes 1.6 to 1.22) or KubeSchedulerConfigurations, JSON or YAML; - for standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Refuse plugins that Podberth does not have, or ignore them with a warning
        #[arg(long, value_enum, default_value = "refuse")]
        unknown_plugins: UnknownPlugins,
    },
    /// Print the KubeSchedulerConfiguration v1 that comes closest to a Policy; notes go to standard error
    Convert {
        /// The policy, JSON or YAML; - for standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Output format
        #[arg(short, long, value_enum, default_value = "yaml")]
        output: Output,
    },
    /// Ask a server what would change if another policy were in force
    Diff(Box<super::policy_diff::Options>),
}

/// The treatment of plugins that Podberth does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum UnknownPlugins {
    /// They are faults.
    #[default]
    Refuse,
    /// They are ignored with a warning.
    Warn,
}

/// The output format of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// As YAML.
    Yaml,
    /// As JSON.
    Json,
}

/// The output of a command.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Text for standard output.
    pub output: String,
    /// Text for standard error.
    pub remarks: String,
    /// `true` if there is no fault.
    pub good: bool,
}

/// Carries a command out.
pub fn run(command: &Command) -> Said {
    match command {
        Command::Check { files, unknown_plugins } => check(files, *unknown_plugins),
        Command::Convert { file, output } => {
            convert(file, *output).unwrap_or_else(|remarks| Said { remarks, ..Said::default() })
        }
        // It needs a runtime, and is carried out by `policy_diff::run`.
        Command::Diff(_) => Said::default(),
    }
}

/// One line for each fault and each warning of each file.
fn check(files: &[PathBuf], unknown_plugins: UnknownPlugins) -> Said {
    let reading = Reading { pass_unknown_plugins: unknown_plugins == UnknownPlugins::Warn, ..Reading::default() };
    let mut said = Said { good: true, ..Said::default() };
    for file in files {
        let name = file.display();
        match read(file).and_then(|text| parse_as(&text, reading).map_err(|faults| lines(file, &faults))) {
            Err(errors) => {
                said.good = false;
                said.output.push_str(&errors);
            }
            Ok(document) => {
                let warnings = document.lint();
                let lines = warnings.iter().map(|warning| format!("{name}: warning: {warning}\n"));
                said.output.extend(lines);
                let verdict = match warnings.len() {
                    0 => format!("{name}: ok\n"),
                    1 => format!("{name}: ok, 1 warning\n"),
                    count => format!("{name}: ok, {count} warnings\n"),
                };
                said.output.push_str(&verdict);
            }
        }
    }
    said
}

/// The configuration and its notes, or the reasons why there is none.
fn convert(file: &Path, output: Output) -> Result<Said, String> {
    let document = parse(&read(file)?).map_err(|faults| lines(file, &faults))?;
    let conversion = document.convert().map_err(|faults| lines(file, &faults))?;
    let configuration = &conversion.configuration;
    let output = match output {
        Output::Yaml => to_yaml(configuration).map_err(|error| line(file, &error))?,
        Output::Json => format!("{:#}\n", to_json(configuration)),
    };
    Ok(Said { output, remarks: comments(&conversion.notes), good: true })
}

fn read(file: &Path) -> Result<String, String> {
    let text = if file.as_os_str() == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(file) };
    text.map_err(|error| line(file, &error))
}

fn lines(file: &Path, faults: &Faults) -> String {
    faults.0.iter().map(|fault| line(file, fault)).collect()
}

fn line(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: error: {error}\n", file.display())
}

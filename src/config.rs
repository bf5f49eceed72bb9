//! Settings. Each has one name in three places: the flag `--max-body-bytes`, the variable `PODBERTH_MAX_BODY_BYTES`, and the key
//! `max-body-bytes` of the file that `--config` names. The command line overrides the environment, which overrides the file, which
//! overrides the default. No other file reads the environment.
//!
//! To add a setting, add a field to [`Settings`]; everything else is read off it.

use std::{error::Error, fmt, fs, path::Path, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, Command, CommandFactory, FromArgMatches, ValueEnum,
    builder::{BoolishValueParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
    parser::ValueSource,
};
use hyper::Uri;
use serde_json::{Map, Value};
use tracing_subscriber::EnvFilter;

use crate::{
    core::{policy::ExtenderHosts, waiting::Loops},
    features,
    origin::Origins,
    telemetry::LogFormat,
};

mod audit;
mod autoscale;
mod database;
mod decisions;
mod hpa;
mod karmada;
mod limits;
mod replicas;
mod shown;
mod sync;
mod tls;
mod values;

pub(crate) use self::values::duration;
use self::values::{bytes, cluster_names, collector, count, public_url, ratio, up_to_an_hour};
pub use self::{
    audit::AuditSettings,
    autoscale::{Autoscale, AutoscaleSettings, Reschedule},
    database::{DatabasePlans, DatabaseSettings, shows_password},
    decisions::DecisionSettings,
    hpa::HpaSettings,
    karmada::KarmadaSettings,
    limits::LimitSettings,
    replicas::ReplicaSettings,
    sync::SyncSettings,
    tls::TlsSettings,
    values::ClusterNames,
};

const ENVIRONMENT_PREFIX: &str = "PODBERTH_";

/// The settings of a running Podberth.
#[derive(Clone, Args)]
pub struct Settings {
    /// File of settings in YAML or JSON; its keys are the names of these options
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print the settings in force as such a file, without passwords, and end
    #[arg(long)]
    pub print_config: bool,

    /// Address to listen on; with port 0 the log names the free port that was taken
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    pub listen: String,

    /// URL at which other servers reach this one, for /extender/config; where it is not set, that is the host that the request names
    #[arg(long, value_name = "URL", value_parser = public_url)]
    pub public_url: Option<String>,

    /// Hosts that requests may name besides localhost, names below it and IP addresses: none, any, or a list of name, name:port and
    /// *.domain. The host is checked if --listen is a loopback address or hosts are named here. Without the check a web page could
    /// have its own name resolved to this machine, and read and change its state
    #[arg(long, value_name = "HOSTS", default_value = "none")]
    pub allowed_hosts: ExtenderHosts,

    /// Origins of web pages that may send requests from a browser: none, or a list of scheme://host:port. Pages of other origins can
    /// change nothing
    #[arg(long, value_name = "ORIGINS", default_value = "none")]
    pub allowed_origins: Origins,

    /// Settings of TLS.
    #[command(flatten)]
    pub tls: TlsSettings,

    /// Clients that must be known: auto, all unless this process listens on a loopback address and has none of --token-auth-file,
    /// --bootstrap-token-file, --client-ca-file and --authentication-config; required, all; none, nobody: then everybody who reaches it may
    /// do everything
    #[arg(long, value_name = "WHEN", value_enum, default_value = "auto")]
    pub auth: Auth,

    /// File of tokens, as kube-apiserver reads it: token,user,uid,"group1,group2" on each line; sha256:DIGEST may stand in place of a
    /// token. It is read at the start
    #[arg(long, value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,

    /// File with a token of 32 characters or more, whose holder may do everything. Without it, --token-auth-file and --client-ca-file the first
    /// process that asks makes such a token, stores its digest, and prints it once on standard error
    #[arg(long, value_name = "FILE")]
    pub bootstrap_token_file: Option<PathBuf>,

    /// Settings of the record of requests.
    #[command(flatten)]
    pub audit: AuditSettings,

    /// Settings of the record of decisions.
    #[command(flatten)]
    pub decisions: DecisionSettings,

    /// File with the issuers of JSON Web Tokens (OpenID Connect, Kubernetes service accounts), as kube-apiserver reads it: kind
    /// AuthenticationConfiguration, without CEL expressions. It is read at the start, the issuers' keys again and again
    #[arg(long, value_name = "FILE")]
    pub authentication_config: Option<PathBuf>,

    /// Settings of the database.
    #[command(flatten)]
    pub database: DatabaseSettings,

    /// Rules for what clients write: those of Kubernetes' API server (defaults, validation, admission), or none, for facts that are fed
    /// from a real cluster. Imports are always facts
    #[arg(long, value_name = "RULES", default_value = "kubernetes", value_parser = ["kubernetes", "none"])]
    pub admission: String,

    /// Pods that Podberth schedules by itself as they come: a list of schedulerName, or cluster/schedulerName for pods of another cluster than
    /// the default one. Of several processes on a database one does it
    #[arg(long = "loop", value_name = "NAMES")]
    pub loops: Option<Loops>,

    /// Settings of replicas that share clusters.
    #[command(flatten)]
    pub replicas: ReplicaSettings,

    /// Settings of the estimator for Karmada's schedulers.
    #[command(flatten)]
    pub karmada: KarmadaSettings,

    /// Settings of live clusters.
    #[command(flatten)]
    pub sync: SyncSettings,

    /// Settings of autoscaling.
    #[command(flatten)]
    pub autoscaling: AutoscaleSettings,

    /// Settings of the loop over HorizontalPodAutoscalers.
    #[command(flatten)]
    pub scaling: HpaSettings,

    /// Time for which an Event is kept after it happened last; 0s keeps Events for ever
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub event_ttl: Duration,

    /// How long to keep superseded versions of objects, for reading the past (?revision=) and for forks; 0s keeps none. All processes on a
    /// database should agree
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub history_retention: Duration,

    /// Interval between compactions, which remove what need not be kept; one process compacts for all
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub compact_interval: Duration,

    /// Least time over which readers of changes can resume; readers further behind read everything again
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub compact_keep_age: Duration,

    /// Least number of revisions over which readers of changes can resume
    #[arg(long, value_name = "N", default_value = "10000")]
    pub compact_keep_revisions: u64,

    /// Do not update the database's schema at the start (run `podberth migrate` instead)
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub no_migrate: bool,

    /// Log level: error, warn, info, debug, trace, or by module as in info,podberth_store=debug
    #[arg(long, value_name = "FILTER", default_value = "info", value_parser = filter)]
    pub log_level: EnvFilterText,

    /// Format of log lines
    #[arg(long, value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// URL of an OpenTelemetry collector that takes traces by OTLP over HTTP, as http://collector:4318; no traces unless it is set
    #[arg(long, value_name = "URL", value_parser = collector)]
    pub otlp_endpoint: Option<Uri>,

    /// Share of requests that are traced, 0 to 1; a client's own choice in traceparent overrides it
    #[arg(long, value_name = "RATIO", default_value = "1", value_parser = ratio)]
    pub trace_ratio: f64,

    /// Serve CPU profiles of this process at /debug/pprof/profile, to everybody who can reach it
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new().try_map(profiling))]
    pub profiling: bool,

    /// Largest body of a request; kube-apiserver has this limit too
    #[arg(long, value_name = "BYTES", default_value = "3Mi", value_parser = bytes)]
    pub max_body_bytes: usize,

    /// Largest body of /filter, /prioritize, /explain and /import; 5,000 full nodes are 25 to 75 megabytes
    #[arg(long, value_name = "BYTES", default_value = "256Mi", value_parser = bytes)]
    pub max_bulk_body_bytes: usize,

    /// Memory for bodies over 1 MiB, in total; requests that find no room wait. A process needs this much, an eighth of it for
    /// smaller bodies, --max-decoded-bytes, --max-replies-bytes, and its snapshots
    #[arg(long, value_name = "BYTES", default_value = "512Mi", value_parser = bytes)]
    pub max_bodies_bytes: usize,

    /// Memory for parsed bodies, in total; bodies of many small items take far more than their bytes. One request may take three
    /// quarters of it and is answered 413 beyond that; a request that finds none left is answered 503
    #[arg(long, value_name = "BYTES", default_value = "512Mi", value_parser = bytes)]
    pub max_decoded_bytes: usize,

    /// Memory for replies over 64 KiB that wait for their clients, in total. If there is no room, the reply whose client has read
    /// nothing for longest is given up; a reply that finds no room within --max-body-wait is answered 503
    #[arg(long, value_name = "BYTES", default_value = "256Mi", value_parser = bytes)]
    pub max_replies_bytes: usize,

    /// Longest wait of a request for room for its body, and of a reply for room; then it is answered 503
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub max_body_wait: Duration,

    /// Longest wait for the body of a request, in total; one second more for each --min-body-rate bytes received. Then it is
    /// answered 408
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub body_timeout: Duration,

    /// Bytes per second at which bodies must arrive and replies must be read, once --body-timeout or --idle-timeout is used up
    #[arg(long, value_name = "BYTES", default_value = "16Ki", value_parser = bytes)]
    pub min_body_rate: usize,

    /// Maximum number of connections; one more closes the one that was idle for longest. Default: three quarters of the files that
    /// the process may open, at most 10000
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_connections: Option<usize>,

    /// Compress (gzip) replies to GET from this many bytes on, for clients that accept it; kube-apiserver does so from 128Ki on. It
    /// saves network and costs time. Nothing is compressed unless it is set
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub compress_replies_from: Option<usize>,

    /// Hosts at which the extenders of policies may be called: none, any, or a list of name, name:port, *.domain and address:port (IPv6 in brackets).
    /// Everybody who can write a policy or call /explain can make this server call them
    #[arg(long, value_name = "HOSTS", default_value = "none")]
    pub downstream_extenders: ExtenderHosts,

    /// Largest reply of such an extender; a longer one counts as no reply
    #[arg(long, value_name = "BYTES", default_value = "64Mi", value_parser = bytes)]
    pub max_downstream_reply_bytes: usize,

    /// Policy to put in force at the start, like kube-scheduler's flag of that name: kind Policy (Kubernetes 1.6 to 1.22) or
    /// KubeSchedulerConfiguration, JSON or YAML. It becomes a new revision of the default cluster's policy unless that policy says
    /// the same already
    #[arg(long, value_name = "FILE")]
    pub policy_config_file: Option<PathBuf>,

    /// How long the victims that /preempt named count as gone for their preemptor while the state still has them; at most 1h, 0s
    /// turns this off
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = up_to_an_hour)]
    pub remember_victims: Duration,

    /// How long scores assume that a pod is on the node to which /filter and /prioritize sent it, while the state does not show it
    /// there; at most 1h. If the state lags behind the cluster, set twice the lag. Nothing is assumed unless it is set
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = up_to_an_hour)]
    pub assume_extender_binds: Duration,

    /// Revisions of each policy that are kept for rollbacks, besides the one in force
    #[arg(long, value_name = "N", default_value = "20")]
    pub policy_history: usize,

    /// Maximum bytes of these revisions, per policy; the oldest go first
    #[arg(long, value_name = "BYTES", default_value = "4Mi", value_parser = bytes)]
    pub policy_history_bytes: usize,

    /// How long each of these revisions is kept after it came into force
    #[arg(long, value_name = "DURATION", default_value = "2160h", value_parser = duration)]
    pub policy_history_age: Duration,

    /// Maximum age of the snapshot while the database is away or slow; beyond it this process is not ready and decides nothing. The database is
    /// asked for changes at least four times within it, or every 250 ms
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub max_staleness: Duration,

    /// Longest wait for the snapshot of a request with minRevision or consistent
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub max_snapshot_wait: Duration,

    /// Changes that may be queued for one cluster; further ones are answered 429
    #[arg(long, value_name = "N", default_value = "4096")]
    pub max_waiting_changes: usize,

    /// Settings of the limits of what users ask.
    #[command(flatten)]
    pub limits: LimitSettings,

    /// Events that are kept of each watched kind in each cluster. A watch that falls further behind, or asks for an older revision,
    /// ends with 410 Expired, and its client lists again
    #[arg(long, value_name = "N", default_value = "20000")]
    pub watch_history: usize,

    /// Maximum bytes of these events, per kind and cluster. A kind that is watched also has its objects in memory, until five minutes
    /// after the last watch
    #[arg(long, value_name = "BYTES", default_value = "64Mi", value_parser = bytes)]
    pub watch_history_bytes: usize,

    /// Clusters that may be created, besides the default one: a list of names. Unless names are listed, a write to a path creates the
    /// cluster that the path names. Existing clusters stay usable. In the file of settings it may have {name, source} as well: clusters
    /// that mirror live ones, with the fields of PUT /clusters/{name}
    #[arg(long, value_name = "NAMES", value_parser = cluster_names)]
    pub clusters: Option<ClusterNames>,

    /// Time without requests after which a cluster is released from memory; the next request loads it again
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub release_after: Duration,

    /// Maximum number of clusters in memory, besides those in use; the one used the longest ago is released first
    #[arg(long, value_name = "N", default_value = "1000")]
    pub max_live_clusters: usize,

    /// Longest time of a request until its reply begins; its computation ends then, or when its client disconnects
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub request_timeout: Duration,

    /// Close a connection after this time without a request, or if its client reads nothing of its reply. Keep it above the 90s for
    /// which Go clients keep a connection, so that they never send into one that is being closed
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    pub idle_timeout: Duration,

    /// How long to keep serving, not ready, after the signal to stop, so that load balancers notice
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub shutdown_delay: Duration,

    /// How long requests in progress may take to finish after that
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = duration)]
    pub shutdown_grace: Duration,
}

impl Settings {
    /// The settings of `podberth demo`: a database in memory, and only warnings and errors in the log.
    ///
    /// # Panics
    /// Never: the settings are spelled out here and have defaults.
    #[expect(clippy::expect_used, reason = "the words stand here, and every setting has a default")]
    pub fn for_demo(listen: String) -> Self {
        let words =
            ["demo", "--database-url=sqlite::memory:", "--log-level=warn", "--auth=none", "--listen"].map(String::from);
        let matches = Self::augment_args(Command::new("demo")).get_matches_from(words.into_iter().chain([listen]));
        Self::from_arg_matches(&matches).expect("every setting has a default")
    }
}

/// The clients that are asked who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// All, unless the process can be reached from its own machine alone and was not told of any user.
    #[default]
    Auto,
    /// All.
    Required,
    /// None.
    None,
}

/// A log filter in text form that is known to parse.
#[derive(Clone, Debug)]
pub struct EnvFilterText(String);

impl EnvFilterText {
    /// The filter. It drops the lines of the database library unless they are asked for by its name, since Podberth reports the
    /// relevant ones in its own words.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::new(format!("sqlx=off,sqlx_core=off,sqlx_postgres=off,sqlx_sqlite=off,{}", self.0))
    }
}

fn filter(text: &str) -> Result<EnvFilterText, String> {
    EnvFilter::try_new(text).map(|_| EnvFilterText(text.to_owned())).map_err(|error| error.to_string())
}

/// Profiles are served only by a binary that can take them.
fn profiling(wanted: bool) -> Result<bool, String> {
    if wanted { features::built_in("pprof").map(|()| true) } else { Ok(false) }
}

/// The reason why a command line gives no command.
#[derive(Debug)]
pub enum Failure {
    /// Help or the version was requested.
    Show(clap::Error),
    /// The settings in force were requested.
    Print(String),
    /// The command line, the environment or the file has a fault; the text is one line.
    Wrong(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Show(page) => page.fmt(f),
            Self::Print(text) | Self::Wrong(text) => f.write_str(text),
        }
    }
}

impl Error for Failure {}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::Show(error),
            _ => Self::Wrong(one_line(&error)),
        }
    }
}

/// Lists the environment variables that begin like settings but are none, each with the setting that is probably meant. The
/// variables that Kubernetes sets for a Service named `podberth` (`PODBERTH_PORT_8080_TCP`) are ignored.
pub fn unknown_variables() -> Vec<(String, Option<String>)> {
    let settings = Settings::augment_args(Command::new("settings"));
    let known: Vec<String> = settings.get_arguments().filter_map(|one| one.get_long()).map(variable).collect();
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let of_service = |name: &str| {
        let rest = name.trim_start_matches(ENVIRONMENT_PREFIX);
        rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")
    };
    let unknown =
        names.filter(|name| name.starts_with(ENVIRONMENT_PREFIX) && !known.contains(name) && !of_service(name));
    let nearest = |name: &str| {
        let words = |name: &str| name.trim_start_matches(ENVIRONMENT_PREFIX).replace('_', "-").to_lowercase();
        let found = settings.clone().try_get_matches_from(["settings", &format!("--{}=", words(name))]).err();
        suggested(&found?).map(|name| variable(&name))
    };
    unknown.map(|name| (name.clone(), nearest(&name))).collect()
}

/// The variable of a setting.
fn variable(setting: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", setting.replace('-', "_").to_uppercase())
}

/// The option that clap suggests.
fn suggested(error: &clap::Error) -> Option<String> {
    match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(name)) => Some(name.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

/// Parses a command line; values come also from the environment and from the configuration file.
pub fn parse<C: CommandFactory + FromArgMatches>(arguments: impl IntoIterator<Item = String>) -> Result<C, Failure> {
    let mut arguments: Vec<String> = arguments.into_iter().collect();
    let command = C::command().mut_subcommands(with_environment);
    let of_variable = |error: clap::Error| told_of_variable(error, &arguments);
    let mut matches = command.clone().try_get_matches_from(&arguments).map_err(of_variable)?;

    let subcommand = matches.subcommand().and_then(|(name, given)| Some((command.find_subcommand(name)?, given)));
    if let Some((subcommand, given)) = subcommand
        && let Ok(Some(path)) = given.try_get_one::<PathBuf>("config")
    {
        let in_file = |message: String| Failure::Wrong(format!("{}: {message}", path.display()));
        for (key, value) in read_file(path).map_err(in_file)? {
            let setting = subcommand.get_arguments().find(|argument| is_setting(argument, &key));
            let setting = setting.ok_or_else(|| in_file(unknown(subcommand, &key)))?;
            if !matches!(
                given.value_source(setting.get_id().as_str()),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            ) {
                arguments.push(format!("--{key}={value}"));
            }
        }
        // Faults without the file were reported above.
        matches = command.clone().try_get_matches_from(&arguments).map_err(|error| in_file(one_line(&error)))?;
    }
    let subcommand = matches.subcommand().and_then(|(name, given)| Some((command.find_subcommand(name)?, given)));
    if let Some((subcommand, given)) = subcommand
        && let Ok(Some(true)) = given.try_get_one::<bool>("print_config")
    {
        return Err(Failure::Print(shown::settings(subcommand, given)));
    }
    Ok(C::from_arg_matches(&matches)?)
}

/// The fault, reported for the environment variable if the value came from one.
fn told_of_variable(error: clap::Error, arguments: &[String]) -> Failure {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return error.into() };
    let option = option.split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let is_given = arguments.iter().any(|word| word.split('=').next() == Some(&option));
    let variable = variable(option.trim_start_matches('-'));
    match Failure::from(error) {
        Failure::Wrong(line) if !is_given && std::env::var_os(&variable).is_some() => {
            Failure::Wrong(format!("{variable}: {line}"))
        }
        failure => failure,
    }
}

/// Prefixes of the settings that commands other than `serve` show in their help. These commands accept the other settings too,
/// so that one file serves all commands.
const WITHOUT_A_SERVER: [&str; 4] = ["config", "database-", "log-", "print-config"];

/// Gives each setting of a subcommand its environment variable, if the subcommand has settings.
fn with_environment(subcommand: Command) -> Command {
    if !subcommand.get_arguments().any(|argument| argument.get_id() == "config") {
        return subcommand;
    }
    let settings = Settings::augment_args(Command::new("settings"));
    let serves = subcommand.get_name() == "serve";
    subcommand.mut_args(|argument| match argument.get_long() {
        Some(name) if settings.get_arguments().any(|setting| setting.get_id() == argument.get_id()) => {
            let hidden = !serves && !WITHOUT_A_SERVER.iter().any(|prefix| name.starts_with(prefix));
            let variable = variable(name);
            argument.env(variable).hide(hidden)
        }
        _ => argument,
    })
}

fn is_setting(argument: &clap::Arg, key: &str) -> bool {
    argument.get_long() == Some(key) && argument.get_env().is_some() && !matches!(key, "config" | "print-config")
}

/// The setting that may be a list in the file.
const CLUSTERS: &str = "clusters";

/// The settings of a file, each as text in the form of the command line.
fn read_file(path: &Path) -> Result<Vec<(String, String)>, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let settings: Option<Map<String, Value>> =
        serde_saphyr::from_str(&text).map_err(|error| first_line(&error.to_string()))?;
    let mut listed = Vec::new();
    for (key, value) in settings.unwrap_or_default() {
        match value {
            Value::Null => {}
            Value::String(text) => listed.push((key, text)),
            Value::Bool(_) | Value::Number(_) => listed.push((key, value.to_string())),
            Value::Array(_) if key == CLUSTERS => listed.push((key, value.to_string())),
            Value::Array(_) | Value::Object(_) => return Err(format!("{key} must be a single value")),
        }
    }
    Ok(listed)
}

/// Names a key that is no setting, and the nearest setting.
fn unknown(subcommand: &Command, key: &str) -> String {
    let attempt = subcommand.clone().try_get_matches_from([subcommand.get_name(), &format!("--{key}=")]);
    match attempt.err().as_ref().and_then(suggested) {
        Some(nearest) => format!("unknown setting {key:?}; did you mean {nearest:?}?"),
        None => format!("unknown setting {key:?}; `podberth serve --help` lists them"),
    }
}

/// clap's message without its usage lines.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message: Vec<&str> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information")).collect();
    message.join(" ").trim_start_matches("error: ").to_owned()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds with and without the features; CI runs it both ways.
    #[test]
    fn settings_of_features_that_are_not_built_in_are_refused() {
        let refused = |word: &str| {
            let command = Settings::augment_args(Command::new("serve"));
            command.try_get_matches_from(["serve", word]).err().map(|error| one_line(&error))
        };
        for (word, name) in [("--otlp-endpoint=http://127.0.0.1:4318", "otlp"), ("--profiling", "pprof")] {
            let remedy = format!("cargo build --features {name}");
            let is_refused = refused(word)
                .is_some_and(|why| why.contains(word.split('=').next().unwrap_or(word)) && why.contains(&remedy));
            assert_eq!(is_refused, features::built_in(name).is_err(), "{word}");
        }
        assert_eq!(refused("--profiling=false"), None);
    }
}

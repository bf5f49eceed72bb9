//! `podberth sync --once`: a look at a live cluster, with no database and no rights but read.

use std::io::Write;

use clap::{Args, ValueEnum};

use crate::{
    features,
    wire::source::{ClusterSource, Trim},
};

/// Options of `podberth sync`.
#[derive(Args)]
pub struct Options {
    /// List each kind once and end. `podberth serve --kubeconfig` follows a cluster
    #[arg(long, required = true)]
    once: bool,
    /// The kubeconfig file of the cluster
    #[arg(long, value_name = "FILE", required_unless_present = "in_cluster")]
    kubeconfig: Option<String>,
    /// The context of that file; its current one unless told
    #[arg(long, value_name = "CONTEXT", requires = "kubeconfig")]
    context: Option<String>,
    /// The cluster in which this runs as a pod
    #[arg(long, conflicts_with = "kubeconfig")]
    in_cluster: bool,
    /// The kinds to list, as in pods,replicasets.apps; those that decisions read unless told
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kinds: Option<Vec<String>>,
    /// The parts of objects to keep
    #[arg(long, value_enum, default_value = "scheduling")]
    trim: Parts,
    /// Run the programs that the kubeconfig names for credentials
    #[arg(long)]
    allow_exec_credentials: bool,
}

/// The parts of objects that are kept.
#[derive(Clone, Copy, ValueEnum)]
enum Parts {
    /// Without field managers, environment, commands, statuses of containers
    Scheduling,
    /// All
    Full,
}

impl Options {
    fn source(&self) -> ClusterSource {
        ClusterSource {
            kubeconfig_file: self.kubeconfig.clone(),
            context: self.context.clone(),
            in_cluster: self.in_cluster,
            kinds: self.kinds.clone(),
            trim: match self.trim {
                Parts::Scheduling => Trim::Scheduling,
                Parts::Full => Trim::Full,
            },
            ..ClusterSource::default()
        }
    }
}

/// Writes the cluster to `output`, and returns a line about it for standard error.
///
/// # Errors
/// Why it cannot be read, in one line.
#[cfg(feature = "sync")]
pub async fn run(options: &Options, output: &mut (dyn Write + Send)) -> Result<String, String> {
    use crate::sync::{client::KubeConnector, once};

    features::built_in("sync")?;
    let connector = KubeConnector::new(options.allow_exec_credentials);
    let source = options.source();
    if let Some(fault) = source.faults().first() {
        return Err(format!("--{}: {}", fault.field, fault.message));
    }
    let counted = once::list(&connector, &source, output).await?;
    let objects: u64 = counted.iter().filter_map(|kind| kind.objects).sum();
    let absent: Vec<&str> = counted.iter().filter(|kind| kind.objects.is_none()).map(|kind| &*kind.kind).collect();
    let unreadable: u64 = counted.iter().map(|kind| kind.unreadable).sum();
    let mut remarks = vec![format!("{objects} objects of {} kinds\n", counted.len() - absent.len())];
    if !absent.is_empty() {
        remarks.push(format!("not served by the API server: {}\n", absent.join(", ")));
    }
    if unreadable > 0 {
        remarks.push(format!("left out, since they cannot be read: {unreadable} objects\n"));
    }
    Ok(remarks.concat())
}

/// As with the feature.
///
/// # Errors
/// Always: it is not built in.
#[cfg(not(feature = "sync"))]
#[expect(clippy::unused_async, reason = "the same call as with the feature")]
pub async fn run(options: &Options, _: &mut (dyn Write + Send)) -> Result<String, String> {
    let _ = (options.source(), options.once, options.allow_exec_credentials);
    Err(features::built_in("sync").err().unwrap_or_default())
}

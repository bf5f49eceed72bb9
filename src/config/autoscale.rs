//! Settings of autoscaling.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values::duration;

/// Doing of the loop over node groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Autoscale {
    /// There is no loop; `/autoscale/...` answers.
    #[default]
    Off,
    /// The loop notes what it would do, which `GET /autoscale/status` shows.
    Advise,
    /// The loop does it.
    Act,
}

/// Doing of the rescheduling loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Reschedule {
    /// There is no loop; `/reschedule` answers.
    #[default]
    Off,
    /// The loop notes what it would move.
    Propose,
    /// The loop evicts pods.
    Act,
}

/// The settings of autoscaling.
#[derive(Clone, Debug, Args)]
pub struct AutoscaleSettings {
    /// The loop over node groups: off; advise, which notes what it would do; or act, which changes target sizes, drains nodes and tells the webhook. Of
    /// several processes on a database one does it
    #[arg(long, value_name = "WHAT", value_enum, default_value = "off")]
    pub autoscale: Autoscale,

    /// Clusters whose node groups the loop looks after, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "default")]
    pub autoscale_clusters: Vec<String>,

    /// Time between two turns of the loop
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub autoscale_interval: Duration,

    /// Time for which no node is removed after a node group became larger
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    pub autoscale_delay_after_add: Duration,

    /// The rescheduling loop, which moves running pods to better places: off; propose, which notes in the record of decisions what it would move; or act,
    /// which evicts the pods within their disruption budgets. Of several processes on a database one does it
    #[arg(long, value_name = "WHAT", value_enum, default_value = "off")]
    pub reschedule: Reschedule,

    /// File with the DeschedulerPolicy (descheduler/v1alpha2) of the rescheduling loop, JSON or YAML
    #[arg(long, value_name = "FILE")]
    pub reschedule_policy: Option<PathBuf>,

    /// Clusters that the rescheduling loop looks after, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "default")]
    pub reschedule_clusters: Vec<String>,

    /// Time between two turns of the rescheduling loop
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub reschedule_interval: Duration,

    /// URL that is told of changed target sizes and of nodes to delete; see docs/autoscale.md
    #[arg(long, value_name = "URL")]
    pub autoscale_webhook: Option<String>,

    /// Address of a cloud provider by cluster-autoscaler's externalgrpc contract, as https://HOST:PORT, in place of a webhook
    #[arg(long, value_name = "URL", conflicts_with = "autoscale_webhook")]
    pub autoscale_provider: Option<String>,

    /// File with the authorities in PEM by which --autoscale-provider is known; those of the public internet where it is not given
    #[arg(long, value_name = "FILE", requires = "autoscale_provider")]
    pub autoscale_provider_ca_file: Option<PathBuf>,

    /// File with the certificate in PEM that is shown to --autoscale-provider
    #[arg(long, value_name = "FILE", requires = "autoscale_provider_key_file")]
    pub autoscale_provider_cert_file: Option<PathBuf>,

    /// File with the key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "autoscale_provider_cert_file")]
    pub autoscale_provider_key_file: Option<PathBuf>,

    /// File with the key by which messages to --autoscale-webhook are signed
    #[arg(long, value_name = "FILE", requires = "autoscale_webhook")]
    pub autoscale_webhook_key_file: Option<PathBuf>,

    /// File with the authorities in PEM by which --autoscale-webhook is known; those of the public internet where it is not given
    #[arg(long, value_name = "FILE", requires = "autoscale_webhook")]
    pub autoscale_webhook_ca_file: Option<PathBuf>,
}

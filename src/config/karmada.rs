//! Settings of the estimator for Karmada's schedulers.

use clap::Args;

/// The settings of the estimator for Karmada's schedulers.
#[derive(Clone, Debug, Args)]
pub struct KarmadaSettings {
    /// Address at which Karmada's schedulers ask by gRPC how many pods a cluster takes; Karmada's own estimators listen on port 10352. With
    /// --tls-cert-file it is served over TLS. Off loopback it needs --client-ca-file, unless --auth=none is said
    #[arg(long, value_name = "HOST:PORT")]
    pub karmada_listen: Option<String>,
}

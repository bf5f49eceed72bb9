//! Settings of TLS, with kube-apiserver's names.

use std::path::PathBuf;

use clap::Args;

use crate::net::MinVersion;

/// The settings of TLS.
#[derive(Clone, Debug, Args)]
pub struct TlsSettings {
    /// File with the server's certificate in PEM, and behind it those between it and its authority: then everything is served over TLS, by
    /// HTTP/1.1 and HTTP/2. The files with certificates are read again every 30 seconds and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// File with the key of the server's certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_key_file: Option<PathBuf>,

    /// Oldest version of TLS: VersionTLS12 or VersionTLS13
    #[arg(long, value_name = "VERSION", default_value = "VersionTLS12")]
    pub tls_min_version: MinVersion,

    /// File with the authorities of client certificates in PEM. A client with a certificate of theirs is the user that its common name (CN)
    /// names, in the groups that its organizations (O) name; a client without one may have a token
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub client_ca_file: Option<PathBuf>,

    /// File with revocation lists (CRL) in PEM, or one in DER. Then each of the authorities needs one that has not expired, and
    /// clients with a revoked certificate are refused
    #[arg(long, value_name = "FILE", requires = "client_ca_file")]
    pub client_crl_file: Option<PathBuf>,
}

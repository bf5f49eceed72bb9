//! `/extender/config`: the file that makes kube-scheduler call this server.

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    cluster::{CameByKey, ClusterName},
    extract::Query,
    openapi::DecisionErrors,
    state::AppState,
};
use crate::{
    core::policy::{Configuration, Extender, TlsConfig, TlsFiles},
    live::DEFAULT_CLUSTER,
    net::Secured,
    origin::Authority,
    service::{
        context,
        error::{Error, Result},
    },
    wire::policy::{extenders_policy, schema::PolicyDocument, to_yaml},
};

/// Time that kube-scheduler waits for a reply. It is kube-scheduler's default, written down so that it is seen.
const TIMEOUT_NANOS: i64 = 5_000_000_000;

/// The default of `certificates`.
const CERTIFICATES: &str = "/etc/kubernetes/podberth";

/// Values of `version`, for kube-scheduler from 1.25 on, and up to 1.22.
const V1: &str = "v1";
const POLICY: &str = "policy";

/// The file to make.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ConfigQuery {
    /// `v1` (the default): a KubeSchedulerConfiguration for `kube-scheduler --config`, from 1.25 on; `policy`: a Policy for
    /// `--policy-config-file`, up to 1.22
    #[param(required = false, value_type = String, nullable = false)]
    version: Option<String>,
    /// A named policy that decides, in place of the default one
    #[param(required = false, value_type = String, nullable = false)]
    policy: Option<String>,
    /// `true`: this server also records the binds, in place of kube-scheduler
    #[param(required = false, value_type = bool, nullable = false)]
    bind: Option<bool>,
    /// `false`: pods wait while this server is away; default `true`
    #[param(required = false, value_type = bool, nullable = false)]
    ignorable: Option<bool>,
    /// The folder on kube-scheduler's machine that has `ca.crt`, and `scheduler.crt` and `scheduler.key` where clients may have certificates;
    /// default `/etc/kubernetes/podberth`. Only over https
    #[param(required = false, value_type = String, nullable = false)]
    certificates: Option<String>,
}

/// The certificates that kube-scheduler needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Certificates {
    None,
    /// The authority of the server.
    Authority,
    /// That, and the certificate by which kube-scheduler is known.
    Both,
}

/// The configuration of kube-scheduler
///
/// The file that makes kube-scheduler call this server for every pod, with the address at which the request reached it (or the setting
/// `public-url`). Asked for below `/key/<token>/`, its address has `/key/TOKEN`: put the token there. Over https it names the files with the
/// authority of this server and, where clients may have certificates and no token is in the path, with kube-scheduler's own certificate. `version=v1` is YAML, `version=policy` is JSON; each is complete as it is.
#[utoipa::path(get, path = "/extender/config", operation_id = "getExtenderConfig", tag = "extender", params(ConfigQuery),
    responses((status = 200, description = "The file.",
        content((PolicyDocument = "application/json"), (String = "application/yaml"))), DecisionErrors))]
pub async fn read(
    State(state): State<AppState>,
    ClusterName(cluster): ClusterName,
    Query(query): Query<ConfigQuery>,
    by_key: Option<Extension<CameByKey>>,
    secured: Option<Extension<Secured>>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response> {
    let address = match &state.manner.public_url {
        Some(url) => url.clone(),
        None if secured.is_some() => format!("https://{}", named_host(&headers, &uri)?),
        None => format!("http://{}", named_host(&headers, &uri)?),
    };
    let asks_clients = secured.is_some_and(|Extension(secured)| secured.tls.asks_clients());
    let certificates = match (address.starts_with("https:"), asks_clients && by_key.is_none()) {
        (true, true) => Certificates::Both,
        (true, false) => Certificates::Authority,
        (false, _) => Certificates::None,
    };
    if let Some(name) = query.policy.as_deref().filter(|name| !name.is_empty()) {
        // A file that names a policy that does not exist would not work.
        context::chosen(&*context::view(&state, &cluster).await?, Some(name))?;
    }
    // The caller knows the token; nothing that is sent or stored here has one in it.
    let key = if by_key.is_some() { "/key/TOKEN" } else { "" };
    let extender = query.extender(&format!("{address}{key}"), &cluster, certificates);
    match query.version.as_deref() {
        None | Some("" | V1) => {
            let configuration = Configuration {
                api_version: Configuration::API_VERSION.into(),
                profiles: Vec::new(),
                extenders: vec![extender],
                remarks: Vec::new(),
            };
            let yaml = to_yaml(&configuration).map_err(Error::internal)?;
            Ok(([(header::CONTENT_TYPE, "application/yaml")], yaml).into_response())
        }
        Some(POLICY) => Ok(Json(extenders_policy(&[extender])).into_response()),
        Some(other) => Err(Error::BadRequest(format!(
            "version: Unsupported value: {other:?}: supported values: \"{V1}\", \"{POLICY}\""
        ))),
    }
}

impl ConfigQuery {
    /// This server as an extender.
    fn extender(&self, address: &str, cluster: &str, certificates: Certificates) -> Extender {
        let url_prefix =
            if cluster == DEFAULT_CLUSTER { address.to_owned() } else { format!("{address}/clusters/{cluster}") };
        let query = match self.policy.as_deref() {
            None | Some("") => String::new(),
            Some(name) => format!("?policy={name}"),
        };
        Extender {
            url_prefix,
            filter_verb: format!("filter{query}"),
            prioritize_verb: format!("prioritize{query}"),
            preempt_verb: format!("preempt{query}"),
            bind_verb: if self.bind == Some(true) { format!("bind{query}") } else { String::new() },
            weight: 1,
            enable_https: certificates != Certificates::None,
            tls: self.tls(certificates),
            http_timeout_nanos: TIMEOUT_NANOS,
            node_cache_capable: true,
            ignorable: self.ignorable != Some(false),
            ..Extender::default()
        }
    }
}

impl ConfigQuery {
    /// The files with certificates. kube-scheduler trusts every server if it has `enableHTTPS` and no authority (`pkg/scheduler/extender.go`,
    /// `makeTransport`).
    fn tls(&self, certificates: Certificates) -> Option<TlsConfig> {
        let folder = self.certificates.as_deref().filter(|folder| !folder.is_empty()).unwrap_or(CERTIFICATES);
        let file = |name: &str| format!("{}/{name}", folder.trim_end_matches('/'));
        let files = match certificates {
            Certificates::None => return None,
            Certificates::Authority => TlsFiles { ca: file("ca.crt"), ..TlsFiles::default() },
            Certificates::Both => {
                TlsFiles { ca: file("ca.crt"), cert: file("scheduler.crt"), key: file("scheduler.key") }
            }
        };
        Some(TlsConfig { files, ..TlsConfig::default() })
    }
}

/// The host and port that a request names.
fn named_host(headers: &HeaderMap, uri: &Uri) -> Result<String> {
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok()).map(str::trim);
    let host =
        named.filter(|host| !host.is_empty()).or_else(|| uri.authority().map(axum::http::uri::Authority::as_str));
    let host = host.filter(|host| Authority::parse(host).is_some()).ok_or_else(|| {
        Error::BadRequest("the request names no host (header Host): set --public-url to this server's address".into())
    })?;
    Ok(host.to_owned())
}

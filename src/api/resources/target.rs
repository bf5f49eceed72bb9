//! The object of a path.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::Deserialize;

use crate::{
    api::{cluster::ClusterName, extract::Path, served::Served},
    live::SYSTEM_CLUSTER,
    service::{
        error::{Error, Result},
        objects::Target,
    },
};

/// The variables that paths of stored objects can have.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Variables {
    namespace: Option<String>,
    name: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Ok(ClusterName(cluster)) = ClusterName::from_request_parts(parts, state).await;
        let Path(variables) = Path::<Variables>::from_request_parts(parts, state).await?;
        let served = parts.extensions.get::<Served>();
        let Served(kind) = *served.ok_or_else(|| Error::internal("a route does not say which kind it serves"))?;
        let cluster = if kind.is_of_all() { SYSTEM_CLUSTER.into() } else { cluster };
        Ok(Self { cluster, kind, namespace: variables.namespace, name: variables.name.unwrap_or_default() })
    }
}

//! Sharing clusters with other replicas: the certificate of this one, the address for the others, and the way to them.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{Error, karmada::Door};
use crate::{
    api::{
        passing::{Passing, received},
        serve::Secure,
    },
    config::Settings,
    net::Identity,
    service::replicas::{Replicas, members::Replica},
};

/// The part of this process in sharing clusters.
pub(super) struct Sharing {
    pub(super) replicas: Replicas,
    pub(super) passing: Passing,
    /// The address for other replicas; `None` if this one owns nothing.
    pub(super) door: Option<(TcpListener, Secure)>,
}

impl Sharing {
    /// The server at the address, in front of the API.
    pub(super) fn door(self, router: &Router) -> Option<Door> {
        let (listener, secure) = self.door?;
        Some((listener, Some(secure), received(router.clone(), self.replicas)))
    }
}

/// Opens the address for other replicas; `None` if clusters are not shared.
pub(super) async fn open(settings: &Settings, holder: Uuid) -> Result<Option<Sharing>, Error> {
    let of = &settings.replicas;
    if !of.share_clusters {
        return Ok(None);
    }
    let url = settings.database.url().unwrap_or_default();
    if !url.starts_with("postgres") {
        return Err(Error::Replicas("--share-clusters needs PostgreSQL: only one process can use SQLite".into()));
    }
    let identity = Identity::new().map_err(Error::Replicas)?;
    let (mut door, mut own) = (None, None);
    if of.own_clusters {
        let Some(listen) = &of.replica_listen else {
            let message = "--share-clusters needs --replica-listen HOST:PORT, at which other replicas reach this one, \
                           or --own-clusters=false";
            return Err(Error::Replicas(message.into()));
        };
        let cannot_listen = |error| Error::Listen(listen.clone(), error);
        let listener = TcpListener::bind(listen).await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        own = Some(advertised(of.advertise_url.as_deref(), address)?);
        door = Some((listener, Secure::of_replicas(identity.server().map_err(Error::Replicas)?)));
    }
    let replicas = Replicas::of(Replica { pin: identity.pin(), url: own.map(Into::into) }, holder);
    let known = replicas.clone();
    let client = identity.client(move |pin| known.knows(pin)).map_err(Error::Replicas)?;
    let limits = &settings.limits;
    let most = [limits.max_watches, limits.max_requests_inflight, limits.max_mutating_requests_inflight];
    let passing = Passing::new(replicas.clone(), client, most.into_iter().fold(0, usize::saturating_add));
    Ok(Some(Sharing { replicas, passing, door }))
}

/// The URL at which other replicas reach this one.
fn advertised(told: Option<&str>, address: SocketAddr) -> Result<String, Error> {
    match told {
        Some(url) => Ok(url.to_owned()),
        None if address.ip().is_unspecified() => {
            let message = format!(
                "other replicas cannot reach {address}: name the address at which they reach this one, as --advertise-url \
                 https://10.0.0.5:{}",
                address.port()
            );
            Err(Error::Replicas(message))
        }
        None => Ok(format!("https://{address}")),
    }
}

//! The live clusters of this process: the way to their API servers, and their mirrors.

use uuid::Uuid;

use crate::service::{Service, source::Sources};
#[cfg(feature = "sync")]
use crate::sync::{Watching, client::KubeConnector, mirror};

/// The way to live clusters, where it is built in.
#[derive(Debug)]
pub(super) struct Live {
    #[cfg(feature = "sync")]
    connector: KubeConnector,
}

/// The mirrors of this process; they end when this is dropped.
pub(super) struct Mirrors {
    #[cfg(feature = "sync")]
    running: mirror::Mirrors,
}

#[cfg(feature = "sync")]
impl Live {
    /// If `programs_allowed`, the programs are run that kubeconfig files name for credentials.
    pub(super) fn new(programs_allowed: bool) -> Self {
        Self { connector: KubeConnector::new(programs_allowed) }
    }

    /// For the service.
    pub(super) fn sources(&self) -> Sources {
        Sources::by(std::sync::Arc::new(self.connector.clone()))
    }

    /// Starts the mirrors of all clusters that have a source.
    pub(super) fn mirrors(&self, service: &Service, holder: Uuid) -> Mirrors {
        Mirrors { running: mirror::Mirrors::start(service, holder, &self.connector, Watching::default()) }
    }
}

#[cfg(feature = "sync")]
impl Mirrors {
    /// Ends them, so that other processes go on at once.
    pub(super) async fn end(self) {
        self.running.end().await;
    }
}

#[cfg(not(feature = "sync"))]
#[expect(clippy::unused_self, reason = "the same calls as with the feature")]
impl Live {
    pub(super) fn new(_: bool) -> Self {
        Self {}
    }

    pub(super) fn sources(&self) -> Sources {
        Sources::default()
    }

    pub(super) fn mirrors(&self, _: &Service, _: Uuid) -> Mirrors {
        Mirrors {}
    }
}

#[cfg(not(feature = "sync"))]
#[expect(clippy::unused_async, reason = "the same calls as with the feature")]
impl Mirrors {
    pub(super) async fn end(self) {}
}

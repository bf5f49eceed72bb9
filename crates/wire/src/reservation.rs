//! Reservations: decisions about pods that are not facts yet.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The store's kind under which reservations are kept, each under its pod's namespace and name.
pub const KIND: &str = "reservations.podberth.io";

/// The meaning of a reservation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub enum ReservationKind {
    /// The pod counts as running on the node: it is about to be bound there.
    #[default]
    Assumed,
    /// Room was made for the pod on the node, which pods of a lower priority may not take (`status.nominatedNodeName`).
    Nominated,
}

/// A stored reservation. The node of an assumed pod is stored beside it, since it is judged like a bind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// The pod's uid: a later pod of this name does not get the reservation.
    pub pod_uid: String,
    /// Its meaning.
    pub kind: ReservationKind,
    /// When it lapses, RFC 3339.
    pub until: String,
}

/// A request to reserve a node for a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReservationRequest {
    /// The node's name.
    #[schema(example = "node-a")]
    pub node: String,
    /// Its meaning; `Assumed` if absent.
    pub kind: ReservationKind,
    /// After how many seconds it lapses; 30 where absent, a day at most.
    #[schema(nullable = false, example = 30)]
    pub ttl_seconds: Option<u32>,
    /// The pod's uid: with it a later pod of this name is not affected.
    #[schema(rename = "podUID")]
    #[serde(rename = "podUID")]
    pub pod_uid: String,
}

/// A node reserved for a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The pod's namespace.
    #[schema(example = "default")]
    pub namespace: String,
    /// The pod's name.
    #[schema(example = "web")]
    pub pod: String,
    /// The pod's uid.
    #[serde(rename = "podUID")]
    #[schema(rename = "podUID")]
    pub pod_uid: String,
    /// The node's name.
    #[schema(example = "node-a")]
    pub node: String,
    /// Its meaning.
    pub kind: ReservationKind,
    /// When it lapses, RFC 3339.
    #[schema(example = "2026-01-02T15:04:05Z")]
    pub until: String,
    /// The cluster's revision of its last change.
    #[schema(example = 42)]
    pub revision: u64,
}

/// All reservations of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReservationList {
    /// By namespace and name.
    pub items: Vec<Reservation>,
    /// The cluster's revision at which they were read.
    #[schema(example = 42)]
    pub revision: u64,
}

impl Stored {
    /// Reads a stored reservation.
    ///
    /// # Errors
    /// When the body is none.
    pub fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// `true` if its time is over. A reservation with an unreadable end counts as expired.
    pub fn has_lapsed(&self, now: Timestamp) -> bool {
        !self.until.parse::<Timestamp>().is_ok_and(|until| until > now)
    }
}

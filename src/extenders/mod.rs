//! Calls to the extenders of a policy, when Podberth itself decides: kube-scheduler's side of the protocol.
//!
//! [`Extenders`] keeps one client per extender (connections, a bound on concurrent calls) for all policies and their revisions. A [`Chain`]
//! has the extenders of one policy in their order. Replies become data of the core
//! ([`ExtenderAnswers`](crate::core::extenders::ExtenderAnswers)); nothing is decided here.
//!
//! A call always ends with a reply or a [`Failure`] within its `httpTimeout`, which includes waiting for a turn, name look-up, connecting and
//! the last byte of the reply. Redirects are not followed, proxies are not used, and only hosts that the operator named ([`ExtenderHosts`])
//! are called.
//!
//! Source: `pkg/scheduler/extender.go`, `pkg/scheduler/schedule_one.go` (`findNodesThatPassExtenders`, `prioritizeNodes`,
//! `extendersBinding`), `pkg/scheduler/framework/preemption/preemption.go` (`callExtenders`).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::BoxFuture;

use crate::{
    core::{
        model::Name,
        policy::{Extender, ExtenderHosts},
        snapshot::NamespacedName,
    },
    wire::extender_calls::PodDocument,
};

mod failure;
mod judge;
mod peer;
mod tls;
mod victims;

pub use failure::{Cause, Failure, Verb};
pub use judge::{Filtered, Scored};
pub use victims::{Bound, Preempted, Victims};

use peer::Peer;
pub(crate) use peer::chain_of;
pub use peer::label;

/// How many extenders are remembered with their connections.
const REMEMBERED: usize = 64;

/// How extenders are called.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which may be called at all.
    pub hosts: ExtenderHosts,
    /// Bytes of an answer at most; a longer one is cut off and counts as none.
    pub reply_bytes: usize,
    /// Calls of one extender at once; others wait, within their timeout.
    pub concurrency: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { hosts: ExtenderHosts::None, reply_bytes: 64 << 20, concurrency: 16 }
    }
}

/// All known extenders, with their connections. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Extenders(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    options: Options,
    /// The most recently used last.
    peers: Mutex<VecDeque<Arc<Peer>>>,
}

/// Where a policy came from; it keeps the labels of metrics from growing without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is stored: calls are counted by the extender's host and port.
    Stored,
    /// It came with a request: calls are counted under `(request)`.
    Request,
}

/// The extenders of one policy, in the order of calls.
#[derive(Clone, Debug)]
pub struct Chain {
    peers: Vec<Arc<Peer>>,
    origin: Origin,
}

/// The documents of nodes and pods, for extenders that want them in full (`nodeCacheCapable: false`).
pub trait Documents: Send + Sync {
    /// Nodes as JSON objects, in the order of the names; `None` for one that is not there.
    ///
    /// # Errors
    /// One line on why there are none at all.
    fn nodes<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>>;

    /// Pods as JSON objects, in the order of the names; `None` for one that is not there.
    ///
    /// # Errors
    /// One line on why there are none at all.
    fn pods<'a>(&'a self, names: &'a [NamespacedName]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>>;
}

impl Extenders {
    /// No extender is connected to before its first call.
    pub fn new(options: Options) -> Self {
        Self(Arc::new(Shared { options, peers: Mutex::default() }))
    }

    /// `true` if any extender may be called at all.
    pub fn is_on(&self) -> bool {
        self.0.options.hosts != ExtenderHosts::None
    }

    /// Why this process never calls an extender; `None` where it may.
    pub fn refusal(&self, extender: &Extender) -> Option<String> {
        self.peer(extender).client.as_ref().err().map(ToString::to_string)
    }

    /// The extenders of a policy, as its profile lists them. Cheap: clients are kept from call to call.
    pub fn chain(&self, extenders: &[Extender], origin: Origin) -> Chain {
        Chain { peers: extenders.iter().map(|extender| self.peer(extender)).collect(), origin }
    }

    fn peer(&self, extender: &Extender) -> Arc<Peer> {
        // The queue is whole after any panic: each change of it is one call.
        let mut peers = self.0.peers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = peers.iter().position(|peer| peer.extender == *extender).and_then(|at| peers.remove(at));
        let peer = known.unwrap_or_else(|| Arc::new(Peer::new(extender, &self.0.options)));
        peers.push_back(peer.clone());
        if peers.len() > REMEMBERED {
            peers.pop_front();
        }
        peer
    }
}

impl Chain {
    /// `true` if there is no extender to call.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// `true` if one of them handles this pod.
    pub fn is_about(&self, pod: &PodDocument) -> bool {
        [Verb::Filter, Verb::Prioritize, Verb::Preempt, Verb::Bind]
            .into_iter()
            .any(|verb| self.asked(verb, pod).next().is_some())
    }

    /// `true` if the extender of this URL is asked about the victims of this pod.
    pub fn knows_victims(&self, pod: &PodDocument, extender: &str) -> bool {
        self.asked(Verb::Preempt, pod).any(|peer| *peer.name == *extender)
    }

    /// How long all of them together may take for one bind.
    pub fn patience(&self) -> Duration {
        self.peers.iter().fold(Duration::ZERO, |sum, peer| sum.saturating_add(peer.time()))
    }

    /// The URL of the extender that binds this pod, if there is one.
    pub fn binder<'a>(&'a self, pod: &'a PodDocument) -> Option<&'a str> {
        self.asked(Verb::Bind, pod).next().map(|peer| &*peer.name)
    }

    /// Those that have a verb and are about this pod: without managed resources about any, else about those that name
    /// one of them.
    fn asked<'a>(&'a self, verb: Verb, pod: &'a PodDocument) -> impl Iterator<Item = &'a Arc<Peer>> {
        self.peers.iter().filter(move |peer| {
            let managed = &peer.extender.managed_resources;
            let is_interested = managed.is_empty() || managed.iter().any(|r| pod.names_resource(&r.name));
            is_interested && !verb.of(&peer.extender).is_empty()
        })
    }
}

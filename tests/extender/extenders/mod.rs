//! The extenders of a policy, as Podberth calls them: over real sockets, against peers that behave and peers that do not.

mod calls;
mod explained;
mod peer;
mod scheduled;
mod tls;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use podberth::{
    core::{
        model::Name,
        policy::{Extender, ExtenderHosts},
        snapshot::NamespacedName,
    },
    extenders::{Chain, Documents, Extenders, Options, Origin},
    wire::extender_calls::PodDocument,
};
use serde_json::Value;

use crate::server::{Server, Setup, memory};

/// Long enough for any machine, where an answer is expected.
const PATIENT: Duration = Duration::from_mins(5);
/// Where none is expected.
const IMPATIENT: Duration = Duration::from_millis(100);
/// Bytes of an answer at most.
const LONGEST: usize = 1 << 20;

fn options() -> Options {
    Options { hosts: ExtenderHosts::Any, reply_bytes: LONGEST, ..Options::default() }
}

/// A server that calls the extenders of its policies.
async fn calling(objects: &[(&str, Value)], extenders: Options) -> Server {
    let extenders = Extenders::new(extenders);
    Server::start(memory(objects).await, Setup { extenders, ..Setup::default() })
}

/// An extender with all verbs that knows the nodes.
fn extender(url: &str) -> Extender {
    Extender {
        url_prefix: url.into(),
        filter_verb: "filter".into(),
        prioritize_verb: "prioritize".into(),
        preempt_verb: "preempt".into(),
        bind_verb: "bind".into(),
        weight: 2,
        node_cache_capable: true,
        http_timeout_nanos: i64::try_from(PATIENT.as_nanos()).expect("a short time"),
        ..Extender::default()
    }
}

fn impatient(url: &str) -> Extender {
    Extender { http_timeout_nanos: i64::try_from(IMPATIENT.as_nanos()).expect("a short time"), ..extender(url) }
}

fn chain(extenders: &[Extender]) -> Chain {
    Extenders::new(options()).chain(extenders, Origin::Stored)
}

fn names(names: &[&str]) -> Vec<Name> {
    names.iter().map(|name| Name::from(*name)).collect()
}

fn pod() -> PodDocument {
    PodDocument::parse(
        br#"{"metadata":{"name":"p","namespace":"shop","uid":"u","own":{"field":1}},
            "spec":{"containers":[{"name":"c","resources":{"limits":{"example.com/gpu":"1"}}}]}}"#,
    )
    .expect("a pod")
}

/// Documents by name.
#[derive(Default)]
struct Given(BTreeMap<&'static str, &'static str>);

impl Documents for Given {
    fn nodes<'a>(&'a self, names: &'a [Name]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(async move { Ok(names.iter().map(|name| self.0.get(&**name).map(|text| (*text).into())).collect()) })
    }

    fn pods<'a>(&'a self, names: &'a [NamespacedName]) -> BoxFuture<'a, Result<Vec<Option<Arc<str>>>, String>> {
        Box::pin(
            async move { Ok(names.iter().map(|(_, name)| self.0.get(&**name).map(|text| (*text).into())).collect()) },
        )
    }
}

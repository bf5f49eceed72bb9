//! The seats of requests: which class a request is of, and how many seats that has.
//!
//! See [`crate::service::limits`] for the classes.

use axum::{
    body::HttpBody,
    extract::{MatchedPath, Request},
    http::Method,
};

use super::{
    access::request_info::is_watch,
    health,
    seat::{Held, Pending},
};
use crate::service::{
    compute::small_turns,
    error::Result,
    limits::{Flow, Seats, Watches},
};

/// The class of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It tells the health of the process.
    Exempt,
    /// A scheduler waits for it.
    Extender,
    /// It reads.
    Read,
    /// It may change something.
    Write,
    /// A watch.
    Watch,
    /// A long computation, which takes its seat when it begins.
    Heavy,
}

impl Class {
    fn of(request: &Request) -> Self {
        let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
        match path {
            "/filter" | "/prioritize" | "/preempt" | "/bind" => Self::Extender,
            "/explain"
            | "/import"
            | "/simulate"
            | "/placements/estimate"
            | "/estimator/{method}"
            | "/autoscale/scale-down"
            | "/reschedule"
            | "/autoscale/scale-up"
            | "/policy/diff"
            | "/pending"
            | "/nodes/{name}/fit"
            | "/replay"
            | "/decisions/{id}/explain"
            | "/decisions/{id}/bundle" => Self::Heavy,
            _ if health::is_plain_text(path) || path == "/version" => Self::Exempt,
            _ if !matches!(*request.method(), Method::GET | Method::HEAD) => Self::Write,
            _ if path.contains("/watch/") || request.uri().query().is_some_and(is_watch) => Self::Watch,
            _ => Self::Read,
        }
    }
}

/// The seats of a process.
#[derive(Debug)]
pub(super) struct Seating {
    extender: Seats,
    read: Seats,
    write: Seats,
    watches: Watches,
}

impl Seating {
    /// So many seats for reads and writes, and so many watches for each user.
    pub(super) fn new(reads: usize, writes: usize, watches: usize) -> Self {
        Self {
            extender: Seats::new("extender", small_turns()),
            read: Seats::new("read", reads),
            write: Seats::new("write", writes),
            watches: Watches::new(watches),
        }
    }

    /// The place of a request, which takes its seat now if it has no body, or none that is read. `has_bound`: its flow may have only so many watches.
    pub(super) async fn place(&self, request: &mut Request, flow: &Flow, has_bound: bool) -> Result<Held> {
        let class = Class::of(request);
        let seats = match class {
            Class::Extender => &self.extender,
            Class::Write => &self.write,
            Class::Read | Class::Watch => &self.read,
            Class::Exempt | Class::Heavy => return Ok(Held::default()),
        };
        let watch = if class == Class::Watch && has_bound { Some(self.watches.one_more(flow)?) } else { None };
        let pending = Pending::new(seats, flow);
        if request.body().is_end_stream() || matches!(*request.method(), Method::GET | Method::HEAD) {
            pending.take_for(0).await?;
        } else {
            request.extensions_mut().insert(pending.clone());
        }
        Ok(Held::new(pending, watch))
    }
}

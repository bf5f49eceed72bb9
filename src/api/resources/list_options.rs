//! The query of a list or a watch (`meta/v1` ListOptions), read and refused as kube-apiserver does.
//!
//! Source: `apimachinery/pkg/apis/meta/internalversion/validation/validation.go`, `.../internalversion/defaults.go`,
//! `apimachinery/pkg/runtime/conversion.go` (flags and numbers), `apiserver/pkg/endpoints/handlers/get.go` (`ListResource`).

use std::time::Duration;

use serde::Deserialize;

use super::page;
use crate::{
    api::{
        context::AtQuery,
        queries::{is_set, number},
    },
    service::{
        error::{Error, Result},
        objects::{Begin, NotOlder, Selection, Target},
        past::At,
    },
    wire::{
        fault::{Faults, Path},
        selector,
    },
};

/// The revision of which the list or watch is to be (`resourceVersionMatch`).
const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

const NOT_WITH_CONTINUE: &str = "resourceVersionMatch is forbidden when continue is provided";

/// Longest time of a watch, of those that ask for more.
const LONGEST_WATCH: Duration = Duration::from_hours(365 * 24);

/// The query of a list or a watch.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ListQuery {
    label_selector: String,
    field_selector: String,
    limit: Option<String>,
    #[serde(rename = "continue")]
    token: String,
    resource_version: String,
    resource_version_match: String,
    watch: Option<String>,
    allow_watch_bookmarks: Option<String>,
    send_initial_events: Option<String>,
    timeout_seconds: Option<String>,
    revision: Option<String>,
    at: Option<String>,
}

/// A watch as it was asked for.
#[derive(Debug)]
pub(super) struct WatchOptions {
    pub(super) selector: selector::Query,
    pub(super) begin: Begin,
    /// `true` if bookmarks are wanted.
    pub(super) bookmarks: bool,
    /// The time after which it ends; `None`: the server's choice.
    pub(super) timeout: Option<Duration>,
}

impl ListQuery {
    /// `true` for a watch.
    pub(super) fn is_watch(&self) -> bool {
        self.watch.as_deref().is_some_and(is_set)
    }

    /// The selection by labels and fields. The name of a path counts as a field.
    pub(super) fn selector(&self, target: &Target) -> Result<selector::Query> {
        let parsed = selector::Query::parse(target.kind.selectable, &self.label_selector, &self.field_selector);
        let mut parsed = parsed.map_err(|error| Error::BadRequest(error.to_string()))?;
        if !target.name.is_empty() {
            if !self.field_selector.is_empty() && parsed.name() != Some(&target.name) {
                return Err(Error::BadRequest("fieldSelector metadata.name doesn't match requested name".into()));
            }
            parsed.also_named(&target.name);
        }
        Ok(parsed)
    }

    /// The objects that a list is to have.
    pub(super) fn selection(&self, target: &Target) -> Result<Selection> {
        let (limit, _) = self.numbers()?;
        self.check_list()?;
        let selector = self.selector(target)?;
        let wanted = revision(&self.resource_version)
            .map_err(|why| Error::BadRequest(format!("invalid resource version: {why}")))?;
        if !self.token.is_empty() && wanted.is_some() {
            return Err(Error::BadRequest("specifying resource version is not allowed when using continue".into()));
        }
        let from = page::parse(&self.token)?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        // A list of any revision comes from a cache there, which takes no limit.
        let limit = limit.filter(|_| self.resource_version != "0");
        let not_older = match (wanted, &*self.resource_version_match) {
            (None, _) => NotOlder::Any,
            (Some(wanted), EXACT) => NotOlder::Exactly(wanted),
            // As it was before there was a match (`apiserver/pkg/storage/etcd3/store.go`).
            (Some(wanted), "") if limit.is_some() => NotOlder::Exactly(wanted),
            (Some(wanted), _) => NotOlder::Than(wanted),
        };
        Ok(Selection { selector, limit, from, not_older, at: None })
    }

    /// The past that a list is of.
    pub(super) fn at(&self) -> Result<At> {
        past(self.revision.as_ref(), self.at.as_ref(), &self.resource_version)
    }

    /// The watch that is asked for.
    pub(super) fn watch(&self, target: &Target) -> Result<WatchOptions> {
        let (_, timeout) = self.numbers()?;
        if self.revision.is_some() || self.at.is_some() {
            return Err(Error::BadRequest(
                "a watch has no revision or at: it begins behind its resourceVersion".into(),
            ));
        }
        let is_legacy = matches!(&*self.resource_version, "" | "0");
        let (mut initial, mut matched) =
            (self.send_initial_events.as_deref().map(is_set), &*self.resource_version_match);
        if initial.is_none() && matched.is_empty() && is_legacy {
            (initial, matched) = (Some(true), NOT_OLDER_THAN);
        }
        self.check_watch(initial.is_some(), matched)?;
        let selector = self.selector(target)?;
        let wanted = revision(&self.resource_version).map_err(Error::BadRequest)?;
        let begin = match (initial, &*self.resource_version, wanted) {
            (None | Some(false), _, Some(revision)) => Begin::After(revision),
            (initial, "", _) => Begin::Newest { objects: initial != Some(false) },
            (initial, _, wanted) => {
                Begin::NotOlder { revision: wanted.unwrap_or_default(), objects: initial != Some(false) }
            }
        };
        let timeout = timeout.filter(|seconds| *seconds != 0);
        Ok(WatchOptions {
            selector,
            begin,
            bookmarks: self.allow_watch_bookmarks.as_deref().is_some_and(is_set),
            timeout: timeout
                .map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(LONGEST_WATCH)),
        })
    }

    /// The limit and the timeout.
    fn numbers(&self) -> Result<(Option<i64>, Option<i64>)> {
        let read = |text: &Option<String>| text.as_deref().map(number).transpose();
        Ok((read(&self.limit)?, read(&self.timeout_seconds)?))
    }

    fn check_list(&self) -> Result<()> {
        let (mut faults, at) = (Faults::default(), Path::ROOT.child("resourceVersionMatch"));
        let matched = &*self.resource_version_match;
        if !matched.is_empty() {
            if self.resource_version.is_empty() {
                faults.forbidden(&at, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.token.is_empty() {
                faults.forbidden(&at, NOT_WITH_CONTINUE);
            }
            if !matches!(matched, EXACT | NOT_OLDER_THAN) {
                faults.not_supported(&at, matched, &[EXACT, NOT_OLDER_THAN, ""]);
            }
            if matched == EXACT && self.resource_version == "0" {
                faults.forbidden(&at, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.send_initial_events.is_some() {
            faults.forbidden(&Path::ROOT.child("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        Error::check_options("ListOptions", faults)
    }

    fn check_watch(&self, has_initial: bool, matched: &str) -> Result<()> {
        let (mut faults, at) = (Faults::default(), Path::ROOT.child("resourceVersionMatch"));
        if has_initial && matched != NOT_OLDER_THAN {
            faults.forbidden(&at, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
        }
        if !matched.is_empty() {
            if !has_initial {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                faults.forbidden(&at, why);
            }
            if matched != NOT_OLDER_THAN {
                faults.not_supported(&at, matched, &[NOT_OLDER_THAN]);
            }
            if !self.token.is_empty() {
                faults.forbidden(&at, NOT_WITH_CONTINUE);
            }
        }
        Error::check_options("ListOptions", faults)
    }
}

/// The query of a single object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadQuery {
    resource_version: String,
    revision: Option<String>,
    at: Option<String>,
}

impl ReadQuery {
    /// The past that the object is of.
    pub(super) fn at(&self) -> Result<At> {
        past(self.revision.as_ref(), self.at.as_ref(), &self.resource_version)
    }

    /// The revision that the object must have reached.
    pub(super) fn not_older(&self) -> Result<Option<u64>> {
        revision(&self.resource_version).map_err(Error::BadRequest)
    }
}

/// The past that a read is of.
fn past(revision: Option<&String>, at: Option<&String>, resource_version: &str) -> Result<At> {
    if (revision.is_some() || at.is_some()) && !resource_version.is_empty() {
        return Err(Error::BadRequest("revision and at exclude resourceVersion".into()));
    }
    AtQuery { revision: revision.cloned(), at: at.cloned() }.parse()
}

/// A revision; `None` for none in particular.
fn revision(text: &str) -> Result<Option<u64>, String> {
    match text {
        "" | "0" => Ok(None),
        _ => text.parse().map(|revision| Some(revision).filter(|revision| *revision > 0)).map_err(|_| {
            format!("resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")
        }),
    }
}

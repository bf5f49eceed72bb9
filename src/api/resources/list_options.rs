//! The query of a list or a watch (`meta/v1` ListOptions), read and refused as kube-apiserver does.
//!
//! Source: `apimachinery/pkg/apis/meta/internalversion/validation/validation.go`, `.../internalversion/defaults.go`,
//! `apimachinery/pkg/runtime/conversion.go` (flags and numbers), `apiserver/pkg/endpoints/handlers/get.go` (`ListResource`).

use std::time::Duration;

use serde::Deserialize;

use super::page;
use crate::{
    service::{
        error::{Error, Result, Subject},
        objects::{Begin, NotOlder, Selection, Target},
    },
    wire::{selector, status::StatusCause},
};

/// The revision of which the list or watch is to be (`resourceVersionMatch`).
const EXACT: &str = "Exact";
const NOT_OLDER_THAN: &str = "NotOlderThan";

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
        flag(self.watch.as_deref()) == Some(true)
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
        Ok(Selection { selector, limit, from, not_older })
    }

    /// The watch that is asked for.
    pub(super) fn watch(&self, target: &Target) -> Result<WatchOptions> {
        let (_, timeout) = self.numbers()?;
        let is_legacy = matches!(&*self.resource_version, "" | "0");
        let (mut initial, mut matched) = (flag(self.send_initial_events.as_deref()), &*self.resource_version_match);
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
            bookmarks: flag(self.allow_watch_bookmarks.as_deref()) == Some(true),
            timeout: timeout
                .map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(LONGEST_WATCH)),
        })
    }

    /// The limit and the timeout.
    fn numbers(&self) -> Result<(Option<i64>, Option<i64>)> {
        Ok((number(self.limit.as_deref())?, number(self.timeout_seconds.as_deref())?))
    }

    fn check_list(&self) -> Result<()> {
        let matched = &*self.resource_version_match;
        let mut causes = Vec::new();
        if !matched.is_empty() {
            if self.resource_version.is_empty() {
                causes.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.token.is_empty() {
                causes.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(matched, EXACT | NOT_OLDER_THAN) {
                causes.push(unsupported(matched, &[EXACT, NOT_OLDER_THAN, ""]));
            }
            if matched == EXACT && self.resource_version == "0" {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                causes.push(forbidden("resourceVersionMatch", why));
            }
        }
        if self.send_initial_events.is_some() {
            causes.push(forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        refused(causes)
    }

    fn check_watch(&self, has_initial: bool, matched: &str) -> Result<()> {
        let mut causes = Vec::new();
        if has_initial && matched != NOT_OLDER_THAN {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            causes.push(forbidden("resourceVersionMatch", why));
        }
        if !matched.is_empty() {
            if !has_initial {
                let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
                causes.push(forbidden("resourceVersionMatch", why));
            }
            if matched != NOT_OLDER_THAN {
                causes.push(unsupported(matched, &[NOT_OLDER_THAN]));
            }
            if !self.token.is_empty() {
                causes.push(forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
        }
        refused(causes)
    }
}

/// The query of a single object.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ReadQuery {
    resource_version: String,
}

impl ReadQuery {
    /// The revision that the object must have reached.
    pub(super) fn not_older(&self) -> Result<Option<u64>> {
        revision(&self.resource_version).map_err(Error::BadRequest)
    }
}

/// A flag; anything but `false` and `0` sets it.
fn flag(value: Option<&str>) -> Option<bool> {
    value.map(|value| !matches!(value, "false" | "0"))
}

fn number(value: Option<&str>) -> Result<Option<i64>> {
    let Some(text) = value else { return Ok(None) };
    text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        Error::BadRequest(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
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

fn forbidden(field: &str, why: &str) -> StatusCause {
    StatusCause { reason: "FieldValueForbidden".into(), message: format!("Forbidden: {why}"), field: field.into() }
}

fn unsupported(value: &str, supported: &[&str]) -> StatusCause {
    let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
    let message = format!("Unsupported value: {value:?}: supported values: {}", supported.join(", "));
    StatusCause { reason: "FieldValueNotSupported".into(), message, field: "resourceVersionMatch".into() }
}

fn refused(causes: Vec<StatusCause>) -> Result<()> {
    if causes.is_empty() {
        return Ok(());
    }
    Err(Error::Invalid { subject: Subject::new("meta.k8s.io", "ListOptions", ""), causes })
}

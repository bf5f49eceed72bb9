//! List objects: all, of a namespace, by selectors, page by page.
//!
//! A page is read at the store's newest revision. Every page has the `resourceVersion` of the first page, so that a client that lists in pages and
//! then follows from there misses nothing. An object changed between two pages may appear twice.

use std::fmt::Write as _;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;

use super::{examine, page::Page, show, target::Target};
use crate::{
    api::{
        context::compute,
        error::{ApiError, Result},
        extract::Query,
        replies::{self, ListTurn},
        state::AppState,
    },
    core::work,
    service::objects::with_node,
    store::{self, Record},
    wire::{document, kinds::StoredKind, selector},
};

/// Steps of work that reading one object's labels takes.
const SELECTED: u64 = 128;

/// Number of objects read at a time while searching by selectors.
const SEARCHED_AT_ONCE: usize = 1_000;

/// The query of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ListQuery {
    label_selector: String,
    field_selector: String,
    limit: Option<i64>,
    #[serde(rename = "continue")]
    token: String,
    resource_version: String,
    resource_version_match: String,
    watch: String,
}

impl ListQuery {
    /// The selection.
    pub(crate) fn selector(&self) -> Result<selector::Query> {
        let parsed = selector::Query::parse(&self.label_selector, &self.field_selector);
        parsed.map_err(|error| ApiError::BadRequest(error.to_string()))
    }

    /// Largest number of items; 0 and absent stand for all.
    fn limit(&self) -> Result<Option<usize>> {
        match self.limit {
            None | Some(0) => Ok(None),
            Some(limit) => usize::try_from(limit)
                .map(Some)
                .map_err(|_| ApiError::BadRequest(format!("limit: Invalid value: {limit}: must not be negative"))),
        }
    }

    fn is_watch(&self) -> bool {
        !matches!(self.watch.as_str(), "" | "0" | "false")
    }

    /// Checks that the requested revision exists and is not compacted.
    fn check_revision(&self, head: u64) -> Result<()> {
        let Some(wanted) = examine::revision(&self.resource_version)? else { return Ok(()) };
        if !self.token.is_empty() {
            return Err(ApiError::BadRequest("specifying resource version is not allowed when using continue".into()));
        }
        if wanted > head {
            return Err(ApiError::Timeout(format!("Too large resource version: {wanted}, current: {head}")));
        }
        if self.resource_version_match == "Exact" && wanted != head {
            return Err(ApiError::Expired(format!(
                "the resource version {wanted} is no longer kept, only the newest, {head}"
            )));
        }
        Ok(())
    }
}

/// GET of a collection.
pub(super) async fn list(
    State(state): State<AppState>,
    target: Target,
    Query(query): Query<ListQuery>,
) -> Result<Response> {
    if query.is_watch() {
        return Err(ApiError::BadRequest("watch is not built yet: list again".into()));
    }
    let (selector, limit) = (query.selector()?, query.limit()?);
    let from = Page::parse(&query.token)?;
    if let Some(page) = &from {
        let head = state.store.head(&target.cluster).await?;
        if page.revision < head.compact_revision || page.revision > head.revision {
            return Err(ApiError::Expired(
                "the continue token is too old: list again without it to get the newest state".into(),
            ));
        }
    } else if !query.resource_version.is_empty() {
        query.check_revision(state.store.head(&target.cluster).await?.revision)?;
    }

    let mut found = find(&state, &target, &selector, limit, from).await?;
    let turn = found.turn.take();
    let kind = target.kind;
    let text = compute(move || render(kind, &found)).await??;
    let mut reply = show::json(StatusCode::OK, text);
    if let Some(turn) = turn {
        reply.extensions_mut().insert(turn);
    }
    Ok(reply)
}

/// A page of a list.
pub(super) struct Found {
    /// The objects.
    pub items: Vec<Record>,
    revision: u64,
    next: Option<Page>,
    remaining: Option<u64>,
    /// Where it may be a whole collection.
    turn: Option<ListTurn>,
}

/// The selected objects, read page by page of the store if selectors exclude some.
pub(super) async fn find(
    state: &AppState,
    target: &Target,
    selector: &selector::Query,
    limit: Option<usize>,
    from: Option<Page>,
) -> Result<Found> {
    let everything = selector.is_everything();
    let is_whole = limit.is_none_or(|limit| limit > SEARCHED_AT_ONCE);
    let mut found = Found {
        items: Vec::new(),
        revision: from.as_ref().map_or(0, |page| page.revision),
        next: None,
        remaining: None,
        turn: if is_whole { Some(replies::list_turn().await?) } else { None },
    };
    let mut after = from.map(|page| (page.namespace, page.name));
    loop {
        let missing = limit.map(|limit| limit.saturating_sub(found.items.len()));
        let at_once = if everything { missing } else { missing.map(|missing| missing.max(SEARCHED_AT_ONCE)) };
        let query = store::ListQuery {
            kind: target.kind.key().into(),
            namespace: target.namespace.clone(),
            after: after.take(),
            limit: at_once,
        };
        let page = state.store.list(&target.cluster, &query).await?;
        if found.revision == 0 {
            found.revision = page.revision;
        }
        let mut remaining = page.remaining.unwrap_or(0);
        let read = page.items.len();
        let (looked_at, last, selected) = if everything {
            select(page.items, None, missing)?
        } else {
            let selector = selector.clone();
            compute(move || select(page.items, Some(&selector), missing)).await??
        };
        after = last;
        found.items.extend(selected);
        remaining = remaining.saturating_add(read.saturating_sub(looked_at) as u64);
        if remaining == 0 {
            return Ok(found);
        }
        if limit.is_some_and(|limit| found.items.len() >= limit) {
            found.next = after.map(|(namespace, name)| Page { revision: found.revision, namespace, name });
            found.remaining = everything.then_some(remaining);
            return Ok(found);
        }
    }
}

/// A namespace and a name.
type Place = (String, String);

/// At most this many selected objects of a page; the number of objects examined, and the last of these.
fn select(
    records: Vec<Record>,
    selector: Option<&selector::Query>,
    most: Option<usize>,
) -> Result<(usize, Option<Place>, Vec<Record>)> {
    let (mut looked_at, mut last, mut selected) = (0, None, Vec::new());
    for record in records {
        if most.is_some_and(|most| selected.len() >= most) {
            break;
        }
        looked_at += 1;
        last = Some((record.key.namespace.clone(), record.key.name.clone()));
        if let Some(selector) = selector {
            work::spend(SELECTED + selector.cost());
            if !selector.matches(&with_node(&record)?) {
                continue;
            }
        }
        selected.push(record);
    }
    Ok((looked_at, last, selected))
}

/// The list as JSON.
fn render(kind: &StoredKind, found: &Found) -> Result<String> {
    let length = found.items.iter().fold(256_usize, |sum, record| sum.saturating_add(record.body.len() + 128));
    let mut text = String::with_capacity(length);
    let _ = write!(
        text,
        r#"{{"kind":"{}List","apiVersion":"{}","metadata":{{"resourceVersion":"{}""#,
        kind.kind,
        kind.api_version(),
        found.revision
    );
    if let Some(next) = &found.next {
        let _ = write!(text, r#","continue":"{}""#, next.token());
    }
    if let Some(remaining) = found.remaining {
        let _ = write!(text, r#","remainingItemCount":{remaining}"#);
    }
    text.push_str("},\"items\":[");
    for (i, record) in found.items.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        document::render_into(&mut text, &with_node(record)?, kind, record.revision);
    }
    text.push_str("]}");
    Ok(text)
}

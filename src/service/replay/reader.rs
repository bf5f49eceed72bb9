//! Reading of the decisions that are to be made again, a part of a batch at a time: the newest batch first, since views of the past are made by going
//! back, and the decisions of a batch in their order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;

use crate::{
    service::{
        Service,
        compute::compute,
        decisions::KIND,
        error::{Error, Result},
        memory,
    },
    store::{Entry, EntryId, Order, Scan},
    wire::decision::Decision,
};

/// Read at a time.
pub(super) const AT_ONCE: usize = 500;

/// Bytes of the records of decisions that are read by their ids at a time, which one decision may exceed.
const MOST_BYTES: usize = 4 << 20;

/// Memory of a record in parts of its length: itself, and its parsed form.
const COPIES: usize = 3;

/// Bits of an id that number the decisions of a batch.
const NUMBERS: u32 = 20;

/// The common part of the ids of a batch.
pub(super) fn batch_of(id: EntryId) -> u128 {
    id.uuid().as_u128() >> NUMBERS << NUMBERS
}

/// A record that was read.
pub(super) struct Read {
    /// The id of its entry.
    pub(super) id: EntryId,
    /// The decision, or why there is none.
    pub(super) decision: std::result::Result<Decision, &'static str>,
    /// The length of the record.
    pub(super) bytes: usize,
}

impl Read {
    /// Reads an entry.
    pub(super) fn of(entry: &Entry) -> Self {
        let decision = Decision::parse(&entry.body).map_err(|_| "its record cannot be read by this release");
        Self { id: entry.id, decision, bytes: entry.body.len() }
    }
}

/// The decisions that are asked for.
pub(super) enum Wanted {
    /// These.
    Named(Vec<EntryId>),
    /// Those from a time on, or all.
    Since(Option<Timestamp>),
}

/// Reads decisions, each once.
pub(super) struct Reader {
    cluster: Arc<str>,
    /// Of the pages of all decisions; `None` where they are named, or after the last page.
    scan: Option<Scan>,
    /// The rest of a page, the newest first.
    page: VecDeque<Entry>,
    /// A batch that is read on its own.
    within: Option<(u128, Scan)>,
    /// Ids, the next one last.
    named: Vec<EntryId>,
    /// Memory that was taken for the largest page.
    charged: usize,
}

impl Reader {
    /// A reader of decisions. `after`: the last one that was made again by an earlier request.
    pub(super) fn new(cluster: &Arc<str>, wanted: Wanted, after: Option<EntryId>) -> Self {
        let mut reader = Self {
            cluster: cluster.clone(),
            scan: None,
            page: VecDeque::new(),
            within: None,
            named: Vec::new(),
            charged: 0,
        };
        match wanted {
            Wanted::Named(mut ids) => {
                let order = |id: &EntryId| (batch_of(*id), std::cmp::Reverse(*id));
                ids.sort_unstable_by_key(order);
                ids.dedup();
                ids.retain(|id| after.is_none_or(|after| order(id) < order(&after)));
                reader.named = ids;
            }
            Wanted::Since(since) => {
                reader.within =
                    after.map(|after| (batch_of(after), Scan { after: Some(after), ..of_batch(cluster, after) }));
                let first = after.and_then(first_of);
                reader.scan = Some(Scan { since, after: first, limit: AT_ONCE, ..Scan::all(cluster.clone(), KIND) });
            }
        }
        reader
    }

    /// The next decisions: some of one batch, in their order. `None` after the last one.
    ///
    /// # Errors
    /// Those of the store, and [`Error::TooMuch`].
    pub(super) async fn next(&mut self, service: &Service) -> Result<Option<Vec<Read>>> {
        if !self.named.is_empty() {
            return self.next_named(service).await.map(Some);
        }
        loop {
            if let Some((batch, mut scan)) = self.within.take() {
                let found = service.store.scan(&scan).await?;
                if found.next.is_some() {
                    scan.after = found.next;
                    self.within = Some((batch, scan));
                }
                let entries: Vec<Entry> =
                    found.entries.into_iter().filter(|entry| batch_of(entry.id) == batch).collect();
                if !entries.is_empty() {
                    return self.parsed(entries).await.map(Some);
                }
                continue;
            }
            if self.page.is_empty() {
                let Some(scan) = &mut self.scan else { return Ok(None) };
                let found = service.store.scan(scan).await?;
                self.page = found.entries.into();
                scan.after = found.next;
                if found.next.is_none() {
                    self.scan = None;
                }
            }
            let Some(batch) = self.page.front().map(|first| batch_of(first.id)) else { continue };
            let count = self.page.iter().take_while(|entry| batch_of(entry.id) == batch).count();
            let mut group: Vec<Entry> = self.page.drain(..count).collect();
            match (&mut self.scan, group.first()) {
                // It may go on behind the page.
                (Some(scan), Some(newest)) if self.page.is_empty() => {
                    scan.after = first_of(newest.id);
                    self.within = Some((batch, of_batch(&self.cluster, newest.id)));
                }
                _ => {
                    group.reverse();
                    return self.parsed(group).await.map(Some);
                }
            }
        }
    }

    /// The next ones of those that are named.
    async fn next_named(&mut self, service: &Service) -> Result<Vec<Read>> {
        let (mut entries, mut missing, mut bytes) = (Vec::new(), Vec::new(), 0);
        let batch = self.named.last().map(|id| batch_of(*id));
        while let Some(id) = self.named.pop_if(|id| Some(batch_of(*id)) == batch) {
            let scan = Scan { only: Some(id), ..Scan::all(self.cluster.clone(), KIND) };
            match service.store.scan(&scan).await?.entries.pop() {
                Some(entry) => {
                    bytes += entry.body.len();
                    entries.push(entry);
                }
                None => missing.push(id),
            }
            if bytes >= MOST_BYTES || entries.len() + missing.len() >= AT_ONCE {
                break;
            }
        }
        let mut reads = self.parsed(entries).await?;
        let gone = |id| Read { id, decision: Err("there is no such decision, or not any more"), bytes: 0 };
        reads.extend(missing.into_iter().map(gone));
        reads.sort_unstable_by_key(|read| read.id);
        Ok(reads)
    }

    async fn parsed(&mut self, entries: Vec<Entry>) -> Result<Vec<Read>> {
        let bytes = entries.iter().map(|entry| entry.body.len()).sum::<usize>().saturating_mul(COPIES);
        if bytes > self.charged {
            memory::charge(bytes - self.charged)?;
            self.charged = bytes;
        }
        compute(move || entries.iter().map(Read::of).collect()).await
    }
}

/// The first id of the batch of an id.
fn first_of(id: EntryId) -> Option<EntryId> {
    EntryId::from_bytes(&batch_of(id).to_be_bytes()).ok()
}

/// The last decision of an earlier reply, by its `continue`.
///
/// # Errors
/// [`Error::BadRequest`]
pub(super) fn after(text: Option<&str>) -> Result<Option<EntryId>> {
    let after = text.filter(|text| !text.is_empty()).map(str::parse::<EntryId>).transpose();
    after.map_err(|_| Error::BadRequest("continue: it is not of a reply of /replay".into()))
}

/// All entries of the batch of an entry, the first ones first, with others of that microsecond.
pub(super) fn of_batch(cluster: &Arc<str>, of: EntryId) -> Scan {
    let until = of.at().checked_add(Duration::from_micros(1)).ok();
    let order = Order::OldestFirst;
    Scan { since: Some(of.at()), until, order, limit: AT_ONCE, ..Scan::all(cluster.clone(), KIND) }
}

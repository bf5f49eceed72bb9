//! A walk through a batch: its decisions one after the other, each on the state on which it was made.
//!
//! Every placement is put once. A decision that cannot be put again ends the walk for those after it.

use std::{collections::HashMap, sync::Arc};

use super::{
    compared::{Replayed, compared},
    head::{Found, Head, as_reason, placed, sent},
    reader::{AT_ONCE, Read, batch_of, of_batch},
};
use crate::{
    core::{batch::Batch, model::Pod, snapshot::Snapshot, summary::summarize},
    live::View,
    service::{
        Service,
        compute::{compute, compute_long},
        decisions,
        error::Result,
        past,
        schedule::{Again, Batched, decide_again},
    },
    store::EntryId,
    wire::decision::{Carried, Decision, DecisionOutcome},
};

/// Bytes of the pods of placements that are kept.
const MOST_KEPT: usize = 64 << 20;

/// A place in a batch, or at a single decision of none.
pub(super) struct Walk {
    batch: u128,
    /// `None`: nothing of it can be made again.
    head: Option<Head>,
    working: Option<Batched>,
    /// A placement that is put once another decision follows.
    pending: Option<(Arc<Pod>, Decision)>,
    /// The number of placements so far.
    placed: usize,
    /// The last decision that is behind.
    behind: Option<EntryId>,
    /// Why the decisions from here on cannot be made again.
    broken: Option<String>,
    /// Earlier views that pods are read from.
    views: HashMap<u64, Found<Arc<View>>>,
    /// The placements so far, where they are kept, and their bytes.
    kept: Option<(Vec<Decision>, usize)>,
}

/// Work on the decisions of a walk.
pub(super) trait Visit: Send + 'static {
    /// Comes to a decision; `false` before it is done ends the walk.
    fn goes_on(&mut self) -> bool {
        true
    }

    /// Works on a decision, and passes it.
    fn visit(&mut self, walk: &mut Walk, read: Read);
}

/// Goes through some decisions of one batch, which are in their order. `walk`: where an earlier call ended. Returns the decisions that are left.
///
/// # Errors
/// Those of the store, and those that stop it.
pub(super) async fn through<V: Visit>(
    service: &Service,
    cluster: &Arc<str>,
    walk: Option<Walk>,
    reads: Vec<Read>,
    mut visitor: V,
) -> Result<(Option<Walk>, V, usize)> {
    let Some(batch) = reads.first().map(|read| batch_of(read.id)) else { return Ok((walk, visitor, 0)) };
    let mut walk = walk.filter(|walk| walk.batch == batch);
    let mut left = reads.into_iter().collect::<std::collections::VecDeque<_>>();
    while !left.is_empty() {
        let mut here = match walk {
            Some(walk) => walk,
            None => match left.iter().find_map(|read| read.decision.as_ref().ok()) {
                Some(first) => Walk::begin(service, cluster, batch, first, false).await?,
                None => Walk::nowhere(batch),
            },
        };
        if let Some(read) = left.front().filter(|read| here.lacks(read)) {
            here = here.fill(service, cluster, read.id).await?;
        }
        here.load(service, cluster, left.iter().filter_map(|read| read.decision.as_ref().ok())).await?;
        let is_over;
        (walk, visitor, left, is_over) = compute_long(true, move || {
            let mut is_first = true;
            while let Some(read) = left.front() {
                if !visitor.goes_on() {
                    return (Some(here), visitor, left, true);
                }
                // What lies before the first was read just now.
                if !is_first && here.lacks(read) {
                    break;
                }
                is_first = false;
                if let Some(read) = left.pop_front() {
                    let id = read.id;
                    visitor.visit(&mut here, read);
                    here.behind = Some(id);
                }
            }
            (Some(here), visitor, left, false)
        })
        .await?;
        if is_over {
            break;
        }
    }
    Ok((walk, visitor, left.len()))
}

impl Walk {
    fn nowhere(batch: u128) -> Self {
        Self {
            batch,
            head: None,
            working: None,
            pending: None,
            placed: 0,
            behind: None,
            broken: None,
            views: HashMap::new(),
            kept: None,
        }
    }

    /// Begins at the first decision of a batch. `keep`: the placements on the way are kept.
    async fn begin(service: &Service, cluster: &Arc<str>, batch: u128, first: &Decision, keep: bool) -> Result<Self> {
        let mut walk = Self { kept: keep.then(Default::default), ..Self::nowhere(batch) };
        match Head::of(service, cluster, first).await? {
            Ok(head) => walk.head = Some(head),
            Err(why) => walk.broken = Some(why),
        }
        match first.batch.as_ref().and_then(|batch| batch.carried.clone()) {
            Some(carried) if walk.head.is_some() => walk.carry(service, cluster, carried).await,
            _ => Ok(walk),
        }
    }

    /// Goes to a decision. `keep`: the placements on the way are kept.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn to(service: &Service, cluster: &Arc<str>, decision: &Decision, keep: bool) -> Result<Self> {
        let Ok(id) = decision.id.parse::<EntryId>() else { return Ok(Self::nowhere(0)) };
        let mut walk = Self::begin(service, cluster, batch_of(id), decision, keep).await?;
        let read = Read { id, decision: Ok(decision.clone()), bytes: 0 };
        if walk.lacks(&read) {
            walk = walk.fill(service, cluster, id).await?;
        }
        walk.load(service, cluster, std::iter::once(decision)).await?;
        Ok(walk)
    }

    /// The common part of the decisions.
    pub(super) fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// The placements before, where they are kept.
    pub(super) fn kept(&self) -> &[Decision] {
        self.kept.as_ref().map_or(&[], |(kept, _)| kept)
    }

    /// `true` if placements before a decision are not read yet.
    fn lacks(&self, read: &Read) -> bool {
        let place = read.decision.as_ref().ok().and_then(|decision| decision.batch.as_ref()).map(|batch| batch.place);
        let is_there = self.behind.is_some_and(|behind| gap(behind, read.id) == 0);
        self.head.is_some() && self.broken.is_none() && !is_there && place.is_some_and(|place| place > self.placed)
    }

    /// Puts the placements that counted at the beginning of the batch.
    async fn carry(self, service: &Service, cluster: &Arc<str>, carried: Carried) -> Result<Self> {
        let Carried { batch, from, count } = carried;
        let mut walk = self;
        let (Ok(first), Some(end)) = (batch.parse::<EntryId>(), from.checked_add(count)) else {
            walk.broken = Some("the record of the placements before its batch is odd".into());
            return Ok(walk);
        };
        let mut scan = of_batch(cluster, first);
        loop {
            let page = service.store.scan(&scan).await?;
            let reads: Vec<Read> = compute(move || page.entries.iter().map(Read::of).collect()).await?;
            let in_range = |decision: &Decision| {
                let batch = decision.batch.as_ref().filter(|of| of.id == batch);
                is_placed(decision) && batch.is_some_and(|of| (from..end).contains(&of.place))
            };
            let some: Vec<Decision> =
                reads.into_iter().filter_map(|read| read.decision.ok()).filter(in_range).collect();
            walk.load(service, cluster, some.iter()).await?;
            walk = compute_long(true, move || {
                for decision in some {
                    walk.put_carried(decision);
                }
                walk
            })
            .await?;
            if page.next.is_none() || walk.broken.is_some() {
                break;
            }
            scan.after = page.next;
        }
        if walk.placed != count && walk.broken.is_none() {
            walk.broken = Some(missing(count.saturating_sub(walk.placed), count));
        }
        Ok(walk)
    }

    fn put_carried(&mut self, decision: Decision) {
        let pod = if decision.effects.claims > 0 {
            Err("a placement before its batch chose volumes or devices".into())
        } else {
            self.pod(&decision).map(|(pod, _)| pod)
        };
        self.pass(decision, pod);
    }

    /// Passes the decisions before one that are not read yet.
    async fn fill(self, service: &Service, cluster: &Arc<str>, to: EntryId) -> Result<Self> {
        let mut walk = self;
        let mut scan = of_batch(cluster, to);
        scan.after = walk.behind;
        loop {
            let between = walk.behind.map_or_else(|| number(to), |behind| gap(behind, to));
            scan.limit = between.clamp(1, AT_ONCE);
            let page = service.store.scan(&scan).await?;
            let is_last = page.next.is_none() || page.entries.last().is_none_or(|last| last.id >= to);
            let batch = walk.batch;
            let reads: Vec<Read> = compute(move || {
                let before = page.entries.iter().filter(|entry| entry.id < to && batch_of(entry.id) == batch);
                before.map(Read::of).collect()
            })
            .await?;
            walk.load(service, cluster, reads.iter().filter_map(|read| read.decision.as_ref().ok())).await?;
            walk = compute_long(true, move || {
                for read in reads {
                    walk.behind = Some(read.id);
                    let Ok(decision) = read.decision else { continue };
                    let pod = walk.come_to(&decision).map(|(pod, _)| pod);
                    walk.pass(decision, pod);
                }
                walk
            })
            .await?;
            if is_last || walk.broken.is_some() {
                return Ok(walk);
            }
            scan.after = page.next;
        }
    }

    /// Gets the views that pods of decisions are read from.
    async fn load(
        &mut self,
        service: &Service,
        cluster: &Arc<str>,
        decisions: impl Iterator<Item = &Decision>,
    ) -> Result<()> {
        let Some(head) = self.head.as_ref().filter(|_| self.broken.is_none()) else { return Ok(()) };
        let before = std::mem::take(&mut self.views);
        for decision in decisions.filter(|decision| decision.pod.body.is_none()) {
            let revision = decision.pod.revision.unwrap_or(decision.revision);
            if revision == head.revision || self.views.contains_key(&revision) {
                continue;
            }
            let view = match before.get(&revision) {
                Some(view) => view.clone(),
                None => as_reason(past::view_at(service, cluster, revision).await)?,
            };
            self.views.insert(revision, view);
        }
        Ok(())
    }

    /// The pod that the next decision judged, and `true` if it came with its request; or why the decision cannot be made again.
    pub(super) fn come_to(&self, decision: &Decision) -> Found<(Arc<Pod>, bool)> {
        self.stands_at(decision)?;
        self.pod(decision)
    }

    /// The common part of the next decision, or why it cannot be made again.
    pub(super) fn stands_at(&self, decision: &Decision) -> Found<&Head> {
        if let Some(why) = &decision.unrepeatable {
            return Err(why.clone());
        }
        if let Some(why) = &self.broken {
            return Err(why.clone());
        }
        let Some(head) = &self.head else { return Err("the state that it was made on is not known".into()) };
        head.check(decision)?;
        let place = decision.batch.as_ref().map_or(0, |batch| batch.place);
        if place > self.placed {
            return Err(missing(place - self.placed, place));
        }
        if place < self.placed {
            return Err(format!(
                "its record is odd: it has the place {place}, and {} pods were placed before",
                self.placed
            ));
        }
        Ok(head)
    }

    fn pod(&self, decision: &Decision) -> Found<(Arc<Pod>, bool)> {
        let of = &decision.pod;
        if let Some(body) = &of.body {
            return sent(body.get()).map(|pod| (pod, true));
        }
        let revision = of.revision.unwrap_or(decision.revision);
        let view = match (&self.head, self.views.get(&revision)) {
            (Some(head), _) if head.revision == revision => &head.view,
            (_, Some(Ok(view))) => view,
            (_, Some(Err(why))) => return Err(why.clone()),
            (_, None) => return Err(format!("its pod was read at revision {revision}")),
        };
        let stored = view.snapshot.pod(&of.namespace, &of.name).filter(|stored| *stored.uid == *of.uid);
        let stored = stored.ok_or_else(|| format!("the pod is not in the cluster at revision {revision}"))?;
        Ok((stored.clone(), false))
    }

    /// Goes past a decision as it was recorded. `pod`: the pod that it judged, or why the decision cannot be made again.
    pub(super) fn pass(&mut self, decision: Decision, pod: Found<Arc<Pod>>) {
        if !is_placed(&decision) {
            return;
        }
        if let Some((kept, bytes)) = &mut self.kept {
            *bytes = bytes.saturating_add(decision.pod.body.as_ref().map_or(0, |body| body.get().len()));
            if *bytes > MOST_KEPT {
                self.broken
                    .get_or_insert_with(|| format!("the pods placed before it have more than {MOST_KEPT} bytes"));
                return;
            }
            kept.push(decision.clone());
        }
        match pod {
            Ok(pod) => {
                self.put_pending();
                self.pending = Some((pod, decision));
                self.placed += 1;
            }
            Err(why) => {
                let id = &decision.id;
                let told = || format!("the decision {id} before it in its batch cannot be made again: {why}");
                self.broken.get_or_insert_with(told);
            }
        }
    }

    /// The batch as the next decision sees it.
    fn working(&mut self) -> Option<&mut Batched> {
        let head = self.head.as_ref()?;
        if self.working.is_none() {
            self.working = Some(Batch::new(head.chosen.profile().clone(), head.base(), head.options));
        }
        self.put_pending();
        self.working.as_mut()
    }

    fn put_pending(&mut self) {
        let Some((pod, decision)) = self.pending.take() else { return };
        let Some(batch) = self.working() else { return };
        let placed = placed(&decision, batch.snapshot());
        if decision.effects.claims == 0 {
            batch.put(&pod, &placed);
        } else {
            batch.settle(&pod, placed);
        }
    }

    /// The cluster as the next decision sees it.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        if self.working.is_none() && self.pending.is_none() {
            return self.head.as_ref().map(Head::base).unwrap_or_default();
        }
        self.working().map(|batch| batch.snapshot().clone()).unwrap_or_default()
    }

    /// Makes a decision again, and passes it as it was recorded.
    pub(super) fn decide(&mut self, decision: &Decision, pod: &Arc<Pod>, is_sent: bool) -> Replayed {
        let Some(batch) = self.working() else { return Replayed::Skipped(String::new()) };
        let before = batch.snapshot().clone();
        let has_summary = decision.verdicts.is_some() || decision.scores.is_some();
        let summary = has_summary.then(|| summarize(batch.profile(), pod, &before, decision.seed, decisions::BEST));
        let answer = match decide_again(batch, pod.clone(), is_sent) {
            Again::Nothing(why) => Replayed::Skipped(why),
            Again::Said(said) => compared(decision, &said, summary.as_ref()),
        };
        if matches!(answer, Replayed::Identical) {
            self.placed += usize::from(is_placed(decision));
        } else {
            // Those after it saw what was recorded.
            batch.rebase(before);
            self.pass(decision.clone(), Ok(pod.clone()));
        }
        answer
    }
}

/// `true` if a decision of a batch gave its pod a node.
fn is_placed(decision: &Decision) -> bool {
    decision.batch.is_some() && decision.node.is_some() && decision.outcome != DecisionOutcome::Unschedulable
}

fn missing(count: usize, of: usize) -> String {
    format!("{count} of the {of} placements before it in its batch are not recorded")
}

/// The number of an entry in its batch.
fn number(id: EntryId) -> usize {
    usize::try_from(id.uuid().as_u128() - batch_of(id)).unwrap_or(usize::MAX)
}

/// The number of decisions between two of a batch.
fn gap(from: EntryId, to: EntryId) -> usize {
    number(to).saturating_sub(number(from)).saturating_sub(1)
}

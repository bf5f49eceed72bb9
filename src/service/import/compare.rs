//! The objects of an import, compared with the stored ones.

use std::collections::{HashMap, HashSet};

use super::read::{Import, Incoming};
use crate::{
    core::snapshot::Snapshot,
    service::{
        Service,
        error::Result,
        objects::{admission, is_absent, stamp},
    },
    store::{Body, Key, ListQuery, Precondition, Record},
    wire::{deletion::Meta, document::Document, kinds, volume_choice::kept_choice},
};

/// Stored objects that are compared at a time.
const PAGE: usize = 2_000;

/// A stored object that the body does not have.
pub(super) struct Gone {
    pub(super) key: Key,
    /// The object, if objects of the body name it as their owner: its deletion must not collect them.
    pub(super) owner: Option<Record>,
}

/// The uids of all owners that objects of the body name.
fn owners(objects: &[Incoming]) -> HashSet<String> {
    let mut owners = HashSet::new();
    for object in objects {
        let told = match &object.incomplete {
            Some(document) => Meta::of(document),
            // Most have none, and need not be read for it.
            None if find(&object.body, b"\"ownerReferences\"") => {
                Document::parse(&object.body).and_then(|one| Meta::of(&one))
            }
            None => continue,
        };
        owners.extend(told.unwrap_or_default().owner_references.into_iter().map(|owner| owner.uid));
    }
    owners
}

fn find(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Settles objects by the stored ones, counts the changes (`dry_run`), and finds the stored objects that the body does not have (`replace`). Reads
/// no more of the store than needed.
pub(super) async fn compare(
    service: &Service,
    cluster: &str,
    import: &mut Import,
    replace: bool,
    dry_run: bool,
) -> Result<Vec<Gone>> {
    let Import { objects, report, classes } = import;
    let owners = if replace { owners(objects) } else { HashSet::new() };
    let mut gone = Vec::new();
    let mut settle = |object: &mut Incoming, stored: Option<&Record>| {
        object.settle(stored, classes);
        if dry_run {
            let same_object = stored.filter(|record| record.uid == object.uid);
            let count = match same_object {
                None => &mut report.created,
                Some(record) if record.body == object.body && record.node == object.node => &mut report.unchanged,
                Some(_) => &mut report.updated,
            };
            *count += 1;
        }
    };
    for kind in kinds::imported() {
        let wanting = objects.iter_mut().filter(|object| {
            std::ptr::eq(kind, object.kind)
                && (dry_run || object.is_unbound || object.unsettled.is_some() || object.incomplete.is_some())
        });
        let mut wanting: HashMap<Key, &mut Incoming> = wanting.map(|object| (object.key.clone(), object)).collect();
        if replace {
            let mut query = ListQuery { limit: Some(PAGE), ..ListQuery::all(kind.key()) };
            loop {
                let page = service.store.list(cluster, &query).await?;
                query.after = page.items.last().map(|record| (record.key.namespace.clone(), record.key.name.clone()));
                for record in page.items {
                    if let Some(object) = wanting.remove(&record.key) {
                        settle(object, Some(&record));
                    } else {
                        let key = record.key.clone();
                        gone.push(Gone { owner: owners.contains(&record.uid).then_some(record), key });
                    }
                }
                if page.remaining.is_none() || query.after.is_none() {
                    break;
                }
            }
        } else {
            let keys: Vec<Key> = wanting.keys().cloned().collect();
            for keys in keys.chunks(PAGE) {
                for record in service.store.find(cluster, keys).await? {
                    if let Some(object) = wanting.remove(&record.key) {
                        settle(object, Some(&record));
                    }
                }
            }
        }
        for object in wanting.into_values() {
            settle(object, None);
        }
    }
    let kept: HashSet<&Key> = objects.iter().map(|object| &object.key).collect();
    gone.retain(|one| !kept.contains(&one.key));
    Ok(gone)
}

/// Gives an object the uid and creation time that it lacks: those of the stored object of its name, or new ones.
fn complete(mut document: Document, stored: Option<&Record>) -> Document {
    let mut fresh = Document::default();
    stamp(&mut fresh);
    let stored = stored.and_then(|record| Document::parse(&record.body).ok());
    for field in ["uid", "creationTimestamp"] {
        let value = stored.as_ref().and_then(|stored| stored.metadata(field)).or_else(|| fresh.metadata(field));
        if let (true, Some(value)) = (is_absent(document.metadata(field)), value) {
            document.set_metadata(field, value.to_owned());
        }
    }
    document
}

impl Incoming {
    /// Copies the fields that only the stored object has; `None` if there is none.
    fn settle(&mut self, stored: Option<&Record>, classes: &Snapshot) {
        if let Some(document) = self.incomplete.take() {
            let document = admission::fill_in_imported(self.kind, document, stored, classes);
            let document = complete(document, stored);
            self.uid = document.metadata_text("uid").unwrap_or_default();
            self.body = document.into_body().into();
            self.unsettled = self.unsettled.take().map(|_| self.body.clone());
        }
        if let Some(told) = &self.unsettled {
            let same = stored.filter(|record| record.uid == self.uid);
            let kept = same.and_then(|record| kept_choice(told, &record.body).ok()).flatten();
            self.body = kept.map_or_else(|| told.clone(), Body::from);
            self.precondition = at(stored);
        }
        if self.is_unbound {
            self.node = stored.filter(|record| record.uid == self.uid).and_then(|record| record.node.clone());
            self.precondition = at(stored);
        }
    }
}

/// That the object is as it was when it was compared.
fn at(stored: Option<&Record>) -> Precondition {
    stored.map_or_else(Precondition::absent, |record| Precondition::revision(record.revision))
}

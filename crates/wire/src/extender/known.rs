//! Nodes that were sent before, so that they need no parsing: kube-scheduler sends the same ones for every pod.
//!
//! A node is recognized by its text alone. Its uid with its `resourceVersion` would not do, since a what-if request sends a changed node under
//! the old version; its place would not do, since kube-scheduler's order changes.
//!
//! Only a fingerprint of the text is kept: the universal hash NH (RFC 4418, section 5.2) of words of 64 bits, with a key of this process and
//! with its second half by Toeplitz. Two different texts of one length share it with a probability of 2⁻¹²⁸, whatever an attacker sends. It is
//! computed as fast as memory is read. A node's text is an object in braces, so if the bytes of a known node are found, the object ends with
//! them.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustc_hash::FxBuildHasher;

use podberth_core::model::{Name, Node};

/// Length of the text by which a node is found. It contains the fields that distinguish nodes and versions as Go clients write them.
const HEAD: usize = 512;

/// Longer nodes are read each time.
const LONGEST: usize = 64 << 10;

/// Bytes of nodes that are known at most, of all clusters together: as many as a large request has.
const MOST: usize = 256 << 20;

/// How many clusters have known nodes: each has an equal share.
static SHARERS: AtomicUsize = AtomicUsize::new(0);

/// The parsed nodes of one cluster that were sent in full.
#[derive(Debug, Default)]
pub struct KnownNodes(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_head: HashMap<u64, Entry, FxBuildHasher>,
    /// The newest text of each node is known, and no other.
    heads: HashMap<Name, u64, FxBuildHasher>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    length: usize,
    fingerprint: Fingerprint,
    node: Arc<Node>,
    /// `true` if `node` has the images of the text.
    images: bool,
}

impl KnownNodes {
    /// The node at the beginning of `text` and its length, if it was read before.
    pub(super) fn find(&self, text: &[u8], images: bool) -> Option<(Arc<Node>, usize)> {
        let head = head(text)?;
        let entry = self.lock().by_head.get(&head).cloned()?;
        let known = text.get(..entry.length).filter(|_| entry.images || !images)?;
        (fingerprint(known) == entry.fingerprint).then_some((entry.node, entry.length))
    }

    /// Takes a node in that was read from all of `text`.
    pub(super) fn learn(&self, text: &[u8], node: &Arc<Node>, images: bool) {
        let Some(head) = head(text) else { return };
        if text.len() > LONGEST {
            return;
        }
        let entry = Entry { length: text.len(), fingerprint: fingerprint(text), node: node.clone(), images };
        self.lock().insert(head, entry);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic between two of its changes leaves at worst something that is not found, or forgotten late.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn insert(&mut self, head: u64, entry: Entry) {
        if self.bytes == 0 {
            SHARERS.fetch_add(1, Ordering::Relaxed);
        }
        if self.bytes + entry.length > MOST / SHARERS.load(Ordering::Relaxed).max(1) {
            self.by_head.clear();
            self.heads.clear();
            self.bytes = 0;
        }
        self.forget(head);
        if let Some(older) = self.heads.get(&entry.node.name).copied() {
            self.forget(older);
        }
        self.bytes += entry.length;
        self.heads.insert(entry.node.name.clone(), head);
        self.by_head.insert(head, entry);
    }

    fn forget(&mut self, head: u64) {
        if let Some(entry) = self.by_head.remove(&head) {
            self.bytes -= entry.length;
            self.heads.remove(&entry.node.name);
        }
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if self.bytes > 0 {
            SHARERS.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn head(text: &[u8]) -> Option<u64> {
    text.get(..HEAD).map(|head| FxBuildHasher.hash_one(head))
}

type Fingerprint = [u128; 2];

/// A word for each of the text, and two more for the second half.
static KEY: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let random = RandomState::new();
    (0..LONGEST / mem::size_of::<u64>() + 2).map(|word| random.hash_one(word)).collect()
});

/// Of a text of at most [`LONGEST`] bytes.
fn fingerprint(text: &[u8]) -> Fingerprint {
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let add = |[first, second]: Fingerprint, pair: &[u8], key: &[u64]| {
        let (a, b) = (word(&pair[..8]), word(&pair[8..]));
        let product = |k: u64, l: u64| u128::from(a.wrapping_add(k)) * u128::from(b.wrapping_add(l));
        [first.wrapping_add(product(key[0], key[1])), second.wrapping_add(product(key[2], key[3]))]
    };
    let keys = KEY.windows(4).step_by(2);
    let pairs = text.chunks_exact(16);
    let rest = pairs.remainder();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    let rest = (!rest.is_empty()).then_some(&last[..]);
    pairs.chain(rest).zip(keys).fold([0; 2], |sums, (pair, key)| add(sums, pair, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, note: &str) -> String {
        format!(r#"{{"metadata":{{"name":"{name}","annotations":{{"note":"{note}{}"}}}}}}"#, "x".repeat(HEAD))
    }

    fn node(name: &str) -> Arc<Node> {
        Arc::new(Node { name: name.into(), ..Node::default() })
    }

    #[test]
    fn a_node_is_known_by_the_whole_of_its_text() {
        let (known, a) = (KnownNodes::default(), text("a", ""));
        assert!(known.find(a.as_bytes(), false).is_none());
        known.learn(a.as_bytes(), &node("a"), false);
        let followed = format!("{a},{a}]");
        let (found, length) = known.find(followed.as_bytes(), false).expect("known");
        assert_eq!((&*found.name, length), ("a", a.len()));
        assert!(known.find(a.as_bytes(), true).is_none(), "read without images");
        for at in 0..a.len() {
            let mut other = a.clone().into_bytes();
            other[at] ^= 1;
            assert!(known.find(&other, false).is_none(), "another at {at}");
            assert!(known.find(&a.as_bytes()[..at], false).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn the_newest_text_of_a_name_takes_the_place_of_the_older() {
        let known = KnownNodes::default();
        let (old, new, other) = (text("a", "old"), text("a", "new"), text("b", ""));
        known.learn(old.as_bytes(), &node("a"), true);
        known.learn(other.as_bytes(), &node("b"), true);
        known.learn(new.as_bytes(), &node("a"), true);
        let found = [&old, &new, &other].map(|text| known.find(text.as_bytes(), true).is_some());
        assert_eq!(found, [false, true, true]);
        assert_eq!(known.lock().bytes, new.len() + other.len());
    }

    #[test]
    fn short_and_long_texts_are_not_kept() {
        let known = KnownNodes::default();
        for odd in ["{}".to_owned(), text("a", &"x".repeat(LONGEST))] {
            known.learn(odd.as_bytes(), &node("a"), true);
            assert!(known.find(odd.as_bytes(), true).is_none());
        }
        assert_eq!(known.lock().bytes, 0);
    }
}

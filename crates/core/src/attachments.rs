//! Volume attachments, by name and by node, so that counting those of one node does not visit all of them.

use std::sync::Arc;

use imbl::OrdMap;

use super::model::{Name, VolumeAttachment};

/// The volume attachments of a cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Attachments {
    by_name: OrdMap<Name, Arc<VolumeAttachment>>,
    /// In order of their names.
    by_node: OrdMap<Name, Vec<Arc<VolumeAttachment>>>,
}

impl Attachments {
    /// Those to a node, in order of their names.
    pub(super) fn to(&self, node: &str) -> &[Arc<VolumeAttachment>] {
        self.by_node.get(node).map_or(&[], Vec::as_slice)
    }

    /// `true` if both share their memory. `false` does not mean that they differ.
    pub(super) fn ptr_eq(&self, other: &Self) -> bool {
        self.by_name.ptr_eq(&other.by_name)
    }

    /// Adds an attachment, or puts it in the place of the one that had its name.
    pub(super) fn insert(&mut self, attachment: VolumeAttachment) {
        self.remove(&attachment.name);
        let attachment = Arc::new(attachment);
        self.by_name.insert(attachment.name.clone(), attachment.clone());
        let on_node = self.by_node.entry(attachment.node_name.clone()).or_default();
        let at = on_node.partition_point(|other| other.name < attachment.name);
        on_node.insert(at, attachment);
    }

    /// Takes an attachment out; nothing happens where it is not there.
    pub(super) fn remove(&mut self, name: &Name) {
        let Some(old) = self.by_name.remove(name) else { return };
        let Some(mut on_node) = self.by_node.remove(&old.node_name) else { return };
        on_node.retain(|other| other.name != *name);
        if !on_node.is_empty() {
            self.by_node.insert(old.node_name.clone(), on_node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attachments_are_found_by_node_wherever_they_move() {
        let attachment = |name: &str, node: &str| VolumeAttachment {
            name: name.into(),
            attacher: "csi.example.com".into(),
            node_name: node.into(),
            volume_name: "pv".into(),
        };
        let mut attachments = Attachments::default();
        for (name, node) in [("b", "n1"), ("a", "n1"), ("c", "n2"), ("b", "n2")] {
            attachments.insert(attachment(name, node));
        }
        let names = |attachments: &Attachments, node: &str| {
            attachments.to(node).iter().map(|a| a.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names(&attachments, "n1"), names(&attachments, "n2")),
            (vec!["a".into()], vec!["b".into(), "c".into()])
        );
        attachments.remove(&"a".into());
        attachments.remove(&"unknown".into());
        assert!(attachments.to("n1").is_empty());
        let mut anew = Attachments::default();
        for name in ["c", "b"] {
            anew.insert(attachment(name, "n2"));
        }
        assert_eq!(attachments, anew, "nothing is left of what went");
    }
}

//! # Rule
//! The more of the pod's images a node already holds, by size, the higher its score. An image that few nodes hold counts less, so that
//! not all its pods go to them:
//!
//! ```text
//! sum   = Σ over the pod's containers: size of its image on the node × nodes that hold it / all nodes   each rounded down
//! score = (sum − 23Mi) × 100 / (1000Mi × containers − 23Mi)                       sum first brought into that range
//! ```
//!
//! Images are compared by name; one without tag or digest means `:latest`.
//!
//! # Policy name and framework plugin
//! `ImageLocalityPriority`, by default with weight 1; plugin `ImageLocality`.
//!
//! # Kubernetes source
//! `pkg/scheduler/framework/plugins/imagelocality/image_locality.go`. 1.34 counts init containers, in the sum and in their
//! number; 1.22 does not. Where nodes tell different sizes for one image, the first node to come counts for all
//! (`addNodeImageStates` in `pkg/scheduler/internal/cache/cache.go`). 1.6 (`image_locality.go` in
//! `plugin/pkg/scheduler/algorithm/priorities`) scored 0 to 10, by sizes alone, in ten steps from 23 MiB to 1000 MiB, and
//! completed no names.
//!
//! # Example
//! A pod of one container whose image of 500Mi is on both of two nodes: (500 − 23) × 100 / 977 = 48 on each. Were it on one
//! node only, it would count as 250Mi: 23 there and 0 on the other.

use super::{Priority, Registration, Scores, arithmetic::percent, scores::narrow};
use crate::{
    block::places,
    index::ImageState,
    model::{Name, Pod},
    node_set::NodeSet,
    rule::{Identity, Reads, Release},
    snapshot::Snapshot,
};

/// Images below this total size do not count.
const MIN_SIZE: i64 = 23 * 1024 * 1024;
/// The largest image size per container that counts.
const MAX_SIZE_PER_CONTAINER: i64 = 1000 * 1024 * 1024;

/// The registry's line.
pub(super) const REGISTRATION: Registration = Registration {
    identity: Identity {
        name: "ImageLocalityPriority",
        aliases: &[],
        plugin: "ImageLocality",
        modern_plugin: Some("ImageLocality"),
        arguments: &[],
        source: include_str!("image_locality.rs"),
    },
    default_weight: Some(1),
    build: |arguments| Box::new(ImageLocality { release: arguments.release }),
};

struct ImageLocality {
    release: Release,
}

impl Priority for ImageLocality {
    fn score(&self, pod: &Pod, snapshot: &Snapshot, candidates: &NodeSet<'_>) -> Scores {
        let init = if self.release.facts().scores_init_images { &pod.spec.init_images[..] } else { &[] };
        let containers = (init.len() + pod.spec.images.len()) as i64;
        let scaled = |image: &Name| {
            let state = snapshot.image(&with_tag(image))?;
            let spread = state.nodes() as f64 / snapshot.node_count() as f64;
            Some((state, (state.size as f64 * spread) as i64))
        };
        let present: Vec<(&ImageState, i64)> = init.iter().chain(&pod.spec.images).filter_map(scaled).collect();
        if present.is_empty() {
            return Scores::Same(scale(0, containers));
        }
        let score = |sum| narrow(scale(sum, containers));
        Scores::Each(candidates.map_parts(|part, scores| {
            let held = |(image, size): &(&ImageState, i64)| (image.holders(part.block.number()) & part.marked, *size);
            let here: Vec<(u64, i64)> = present.iter().map(held).filter(|(holders, _)| *holders != 0).collect();
            // Nodes are mostly parted by few images: those that hold the same are scored together.
            let mut left = part.marked;
            while left != 0 {
                let first = 1 << left.trailing_zeros();
                let (mut alike, mut sum) = (left, 0_i64);
                for (holders, size) in &here {
                    if holders & first != 0 {
                        alike &= holders;
                        sum = sum.saturating_add(*size);
                    } else {
                        alike &= !holders;
                    }
                }
                if alike == part.marked {
                    scores.fill(score(sum));
                    return;
                }
                let score = score(sum);
                places(alike).for_each(|at| scores[(part.marked & ((1 << at) - 1)).count_ones() as usize] = score);
                left &= !alike;
            }
        }))
    }

    fn reads(&self, _: &Pod, _: &Snapshot) -> Reads {
        Reads::Node
    }
}

fn with_tag(image: &Name) -> Name {
    // A colon before the last slash belongs to the registry's port.
    if image.rfind(':') > image.rfind('/') { image.clone() } else { format!("{image}:latest").into() }
}

fn scale(sum: i64, containers: i64) -> i64 {
    let most = MAX_SIZE_PER_CONTAINER.saturating_mul(containers);
    if most <= MIN_SIZE {
        return 0;
    }
    percent(sum.clamp(MIN_SIZE, most) - MIN_SIZE, most - MIN_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NodeBuilder, node, pod, priority, scores_of};
    use crate::{model::Image, rule::Arguments};

    fn holds(node: NodeBuilder, names: &[&str], mebibytes: i64) -> NodeBuilder {
        let image = Image { names: names.iter().map(|n| Name::from(*n)).collect(), size: mebibytes * 1024 * 1024 };
        node.with(|node| node.images.push(image))
    }

    fn scores(release: Release, init: &[&str], images: &[&str], nodes: &[NodeBuilder]) -> Vec<i64> {
        let rule = priority("ImageLocalityPriority", &Arguments::defaults(release));
        let names = |list: &[&str]| list.iter().map(|n| Name::from(*n)).collect();
        let pod = pod("p").with(|pod| {
            let spec = pod.spec_mut();
            (spec.init_images, spec.images) = (names(init), names(images));
        });
        scores_of(&*rule, pod, nodes)
    }

    #[test]
    fn images_count_by_size_and_spread() {
        let nodes = [
            holds(holds(node("a"), &["app:1", "app@sha256:0"], 500), &["db:latest"], 40),
            holds(node("b"), &["app:1"], 500),
            node("c"),
            holds(node("d"), &["huge:1"], 8000),
        ];
        // a, b: 500 × 2/4 = 250; (250-23)×100/(1000-23) = 23.2
        assert_eq!(scores(Release::V1_22, &[], &["app:1"], &nodes), [23, 23, 0, 0]);
        // a: 250 + 40 × 1/4 = 260; (260-23)×100/(2000-23) = 11.98
        assert_eq!(scores(Release::V1_22, &[], &["app:1", "db"], &nodes), [11, 11, 0, 0]);
        // d: 8000/4 = 2000, at most 1000
        assert_eq!(scores(Release::V1_22, &[], &["huge:1"], &nodes), [0, 0, 0, 100]);
        // a: 40/4 = 10, less than 23
        assert_eq!(scores(Release::V1_22, &[], &["db:latest"], &nodes), [0, 0, 0, 0]);
        assert_eq!(scores(Release::V1_22, &[], &[], &nodes), [0, 0, 0, 0]);
    }

    #[test]
    fn the_size_that_came_first_counts_on_all_nodes() {
        let nodes = [holds(node("a"), &["app:1"], 523), holds(node("b"), &["app:1"], 900)];
        // (523-23)×100/(1000-23) = 51.2
        assert_eq!(scores(Release::V1_22, &[], &["app:1"], &nodes), [51, 51]);
    }

    #[test]
    fn init_containers_count_in_1_34() {
        let nodes = [holds(node("a"), &["app:1"], 523), holds(node("b"), &["init:1"], 800)];
        // a: 261.5; (261.5-23)×100/977 = 24.4
        assert_eq!(scores(Release::V1_22, &["init:1"], &["app:1"], &nodes), [24, 0]);
        // a: (261.5-23)×100/1977 = 12.1; b: 400; (400-23)×100/1977 = 19.1
        assert_eq!(scores(Release::V1_34, &["init:1"], &["app:1"], &nodes), [12, 19]);
    }

    #[test]
    fn a_name_without_tag_means_latest() {
        let tagged = |name: &str| with_tag(&Name::from(name)).to_string();
        assert_eq!(tagged("nginx"), "nginx:latest");
        assert_eq!(tagged("host:5000/nginx"), "host:5000/nginx:latest");
        assert_eq!(tagged("host:5000/nginx:1"), "host:5000/nginx:1");
        assert_eq!(tagged("nginx@sha256:00"), "nginx@sha256:00");
    }
}

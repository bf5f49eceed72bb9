//! Properties of recommendations.

use proptest::prelude::*;

use super::*;
use crate::model::Labels;

const MINUTE: i64 = 60_000_000_000;
const DAY: i64 = 1440 * MINUTE;

fn container(pod: &str, name: &str, series: Vec<Series>) -> ContainerUsage {
    let labels: Labels = [("app", "web")].into_iter().collect();
    let (pod, container) = (pod.into(), name.into());
    ContainerUsage { pod, labels, container, matched: true, series, ..ContainerUsage::default() }
}

fn advised(usage: &[ContainerUsage], history: &[(Name, Aggregate)], policies: &Policies) -> Advised {
    recommend(Asked { usage, history, policies, options: &Options::default() })
}

fn series() -> impl Strategy<Value = Series> {
    let values = || prop::collection::vec(0_i64..20_000, 0..8);
    (0_i64..20, 1_i64..3_000, 0_u64..200, values(), values()).prop_map(|(start, every, count, cpu, memory)| Series {
        start: start * DAY / 2,
        every: every * MINUTE,
        count,
        cpu,
        memory: memory.into_iter().map(|mega| mega * 1_000_000).collect(),
    })
}

fn usage() -> impl Strategy<Value = Vec<ContainerUsage>> {
    let one = (0..3, 0..2, prop::collection::vec(series(), 0..3), prop::collection::vec(0_i64..20, 0..2));
    prop::collection::vec(one, 1..5).prop_map(|all| {
        let made = all.into_iter().map(|(pod, name, series, ooms)| {
            let ooms = ooms.into_iter().map(|day| Oom { at: day * DAY / 2, requested: None }).collect();
            ContainerUsage { ooms, ..container(&format!("web-{pod}"), &format!("c{name}"), series) }
        });
        let by_name: BTreeMap<_, _> = made.map(|one| ((one.pod.clone(), one.container.clone()), one)).collect();
        by_name.into_values().collect()
    })
}

proptest! {
    #[test]
    fn target_lies_between_its_bounds(usage in usage()) {
        for of in advised(&usage, &[], &Policies::default()).recommended {
            prop_assert!(of.lower.cpu <= of.target.cpu && of.target.cpu <= of.upper.cpu, "{of:?}");
            prop_assert!(of.lower.memory <= of.target.memory && of.target.memory <= of.upper.memory, "{of:?}");
        }
    }

    #[test]
    fn limits_hold_for_every_amount(usage in usage(), min in 1_i64..500, more in 0_i64..5_000) {
        let (min, max) = (Quantity::from_milli(min), Quantity::from_milli(min + more));
        let policy = Policy {
            container: "*".into(),
            min: Limits { cpu: Some(min), memory: None },
            max: Limits { cpu: Some(max), memory: Some(Quantity::from_units(1 << 30)) },
            ..Policy::default()
        };
        let policies = Policies { containers: vec![policy], ..Policies::default() };
        for of in advised(&usage, &[], &policies).recommended {
            for limits in [of.target, of.lower, of.upper] {
                prop_assert!(limits.cpu >= Some(min) && limits.cpu <= Some(max));
                prop_assert!(limits.memory <= Some(Quantity::from_units(1 << 30)));
            }
        }
    }

    #[test]
    fn order_of_containers_in_the_request_has_no_meaning(usage in usage()) {
        let mut turned = usage.clone();
        turned.reverse();
        let (a, b) = (advised(&usage, &[], &Policies::default()), advised(&turned, &[], &Policies::default()));
        prop_assert_eq!(a.discarded, b.discarded);
        for (a, b) in a.recommended.iter().zip(&b.recommended) {
            prop_assert_eq!(&a.container, &b.container);
            prop_assert_eq!(a.why.samples, b.why.samples);
        }
    }

    #[test]
    fn stored_usage_continues_where_it_ended(first in usage(), second in usage()) {
        let options = Options::default();
        // The second part comes after the first, in one request and in two.
        let later = |part: &[ContainerUsage]| -> Vec<ContainerUsage> {
            let mut part = part.to_vec();
            for container in &mut part {
                container.series.iter_mut().for_each(|series| series.start += 10_000 * DAY);
                container.ooms.iter_mut().for_each(|oom| oom.at += 10_000 * DAY);
            }
            part
        };
        let second = later(&second);
        let before = {
            let mut before = advised(&first, &[], &Policies::default());
            without_open_peaks(&mut before, &first, 0);
            before
        };
        let history: Vec<(Name, Aggregate)> = before
            .known
            .iter()
            .map(|(name, known)| (name.clone(), Aggregate::restored(&options, &known.exact()).unwrap()))
            .collect();
        let mut again = second.clone();
        for (container, window) in first.iter().zip(&before.windows) {
            let same = |one: &ContainerUsage| one.pod == container.pod && one.container == container.container;
            match again.iter_mut().find(|one| same(one)) {
                Some(one) => one.window = *window,
                None => again.push(ContainerUsage { series: vec![], ooms: vec![], window: *window, ..container.clone() }),
            }
        }
        let split = advised(&again, &history, &Policies::default());
        let mut whole = first.clone();
        for container in second {
            match whole.iter_mut().find(|one| one.pod == container.pod && one.container == container.container) {
                Some(one) => {
                    one.series.extend(container.series);
                    one.ooms.extend(container.ooms);
                }
                None => whole.push(container),
            }
        }
        let whole = advised(&whole, &[], &Policies::default());
        prop_assert_eq!(split.recommended.len(), whole.recommended.len());
        for (a, b) in split.recommended.iter().zip(&whole.recommended) {
            prop_assert_eq!(a.why.samples, b.why.samples);
            prop_assert_eq!(a.why.confidence.to_bits(), b.why.confidence.to_bits());
        }
    }
}

#[test]
fn container_without_samples_gets_the_minimum() {
    let all = advised(&[container("web-0", "main", vec![])], &[], &Policies::default());
    let [of] = all.recommended.as_slice() else { panic!("one container") };
    assert_eq!(of.target.cpu, Some(Quantity::from_milli(25)));
    assert_eq!(of.upper.memory, Some(Quantity::from_units(250 << 20)));
}

#[test]
fn container_that_is_off_shares_no_minimum() {
    let policy = Policy { container: "off".into(), off: true, ..Policy::default() };
    let policies = Policies { containers: vec![policy], ..Policies::default() };
    let usage = [container("web-0", "main", vec![]), container("web-0", "off", vec![])];
    let all = advised(&usage, &[], &policies);
    assert_eq!(all.recommended.len(), 1);
    assert_eq!(all.recommended[0].target.cpu, Some(Quantity::from_milli(25)));
}

#[test]
fn peak_of_an_open_interval_is_in_no_checkpoint() {
    let series = Series { start: 0, every: MINUTE, count: 5, cpu: vec![], memory: vec![500_000_000] };
    let usage = [container("web-0", "main", vec![series])];
    let mut all = advised(&usage, &[], &Policies::default());
    without_open_peaks(&mut all, &usage, 5 * MINUTE);
    assert!(all.known["main"].rounded().memory.weights.is_empty());
    let mut all = advised(&usage, &[], &Policies::default());
    without_open_peaks(&mut all, &usage, 2 * DAY);
    assert_eq!(all.known["main"].rounded().memory.weights.len(), 1);
}

//! Devices for claims: rules in tables, and the search against all choices there are.

use proptest::prelude::*;

use super::{DeviceIndex, PodClaims};
use crate::{
    model::{
        AttributeName, ConstraintRule, DeviceConstraint, DeviceCount, DeviceReach, ExactRequest, NodeSelector,
        NodeSelectorTerm, Operator, PodClaimSource, Requirement, ResourceClaim,
    },
    snapshot::{Object, Snapshot},
    testing::{PodBuilder, cluster, device_class, node, pod, resource_claim, resource_slice, wants},
    verdict::Verdict,
};

/// A node `a` with two devices of model 1 and one of model 2, all on rack 7 or without rack, and one device for all nodes of another driver.
fn objects() -> Vec<Object> {
    vec![
        node("a").into(),
        node("b").label("rack", "7").into(),
        device_class("gpu", &["device.driver == 'gpu.example.com'"]),
        device_class("one", &["device.attributes['gpu.example.com'].model == 1"]),
        device_class("broken", &["device.attributes['gpu.example.com'].color == 1"]),
        resource_slice("s-a")
            .on("a")
            .device("g0", &[("model", 1), ("rack", 7)])
            .device("g1", &[("model", 1)])
            .device("g2", &[("model", 2), ("rack", 7)])
            .into(),
    ]
}

fn verdict(more: Vec<Object>, pod: PodBuilder, on: &str) -> Verdict {
    let snapshot = cluster(objects().into_iter().chain(more));
    let pod = pod.build();
    match PodClaims::of(&pod, snapshot.devices()) {
        Err(fault) => Verdict::unresolvable(fault),
        Ok(claims) => claims.check(snapshot.node(on).expect("a node")),
    }
}

fn reason(more: Vec<Object>, pod: PodBuilder, on: &str) -> String {
    verdict(more, pod, on).reasons().first().map(ToString::to_string).unwrap_or_default()
}

const NONE: &str = "cannot allocate all claims";

#[test]
fn a_claim_takes_free_devices_of_its_class_that_the_node_reaches() {
    let all = |class| ExactRequest { count: DeviceCount::All, ..wants(class, 1) };
    let cases = [
        (resource_claim("c").request(wants("gpu", 3)), ""),
        (resource_claim("c").request(wants("gpu", 4)), NONE),
        (resource_claim("c").request(wants("one", 2)), ""),
        (resource_claim("c").request(wants("one", 2)).request(wants("gpu", 1)), ""),
        (resource_claim("c").request(wants("gpu", 1)).request(wants("one", 2)), ""),
        (resource_claim("c").request(wants("gpu", 2)).request(wants("one", 2)), NONE),
        (resource_claim("c").request(wants("gpu", 2)).matching("gpu.example.com/rack"), ""),
        (resource_claim("c").request(wants("gpu", 3)).matching("gpu.example.com/rack"), NONE),
        (resource_claim("c").request(wants("one", 2)).matching("gpu.example.com/rack"), NONE),
        (resource_claim("c").request(all("one")).request(wants("gpu", 1)), ""),
        (resource_claim("c").request(all("gpu")).request(wants("gpu", 1)), NONE),
        (resource_claim("c").first_of(vec![wants("gpu", 4), wants("one", 2)]), ""),
        (resource_claim("c").first_of(vec![wants("gpu", 4), wants("one", 3)]), NONE),
        (
            resource_claim("c").request(wants("gpu", 33)),
            "claim default/c: number of requested devices 33 exceeds the claim limit of 32",
        ),
        (
            resource_claim("c").request(wants("broken", 1)),
            "class broken: selector #0: CEL runtime error: no such key: color",
        ),
        (resource_claim("c").request(wants("gone", 1)), "request r0: device class gone does not exist"),
        (
            resource_claim("c").first_of(vec![wants("gpu", 1), wants("gone", 1)]),
            "request r0/s1: device class gone does not exist",
        ),
        (resource_claim("c").with(|c| c.terminating = true), "resourceclaim \"c\" is being deleted"),
        (
            resource_claim("c").request(ExactRequest { requests_capacity: true, ..wants("gpu", 1) }),
            "claim default/c, request r0: has capacity requests, but the DRAConsumableCapacity feature is disabled",
        ),
        (
            resource_claim("c").request(all("gpu")).matching("gpu.example.com/rack"),
            "claim default/c, request r0: cannot add device gpu.example.com/s-a/g1 because a claim constraint would not be satisfied",
        ),
    ];
    for (claim, told) in cases {
        let shown = format!("{claim:?}");
        assert_eq!(reason(vec![claim.into()], pod("p").devices("c"), "a"), told, "{shown}");
    }
    let one = || vec![resource_claim("c").request(wants("gpu", 1)).into()];
    assert_eq!(reason(one(), pod("p").devices("c"), "b"), NONE, "the slice is another node's");
}

#[test]
fn devices_of_other_claims_are_taken_and_admin_access_shares_them() {
    let taken = |admin: bool| {
        vec![
            resource_claim("held").has(&["s-a/g0", "s-a/g1"]).into(),
            resource_claim("c").request(ExactRequest { admin_access: admin, ..wants("one", 1) }).into(),
        ]
    };
    assert_eq!(reason(taken(false), pod("p").devices("c"), "a"), NONE);
    assert_eq!(reason(taken(true), pod("p").devices("c"), "a"), "");
    let two =
        vec![resource_claim("c").request(wants("gpu", 2)).into(), resource_claim("d").request(wants("gpu", 2)).into()];
    assert_eq!(reason(two, pod("p").devices("c").devices("d"), "a"), NONE, "the claims of a pod share no device");
}

#[test]
fn claims_that_have_devices_fit_where_these_can_be_used() {
    let rack = Requirement { key: "rack".into(), operator: Operator::In(vec!["7".into()]) };
    let term = NodeSelectorTerm { match_expressions: vec![rack], ..NodeSelectorTerm::default() };
    let here = NodeSelector(vec![term]);
    let held = || {
        let claim = resource_claim("c").has(&["pool/x"]).with(|c| {
            let allocation = c.allocation.as_mut().expect("it has one");
            allocation.node_selector = Some(here.clone());
        });
        vec![claim.into()]
    };
    assert_eq!(reason(held(), pod("p").devices("c"), "b"), "");
    assert_eq!(reason(held(), pod("p").devices("c"), "a"), "resourceclaim not available on the node");
    assert_eq!(reason(vec![], pod("p").devices("c"), "a"), "could not find claim \"default/c\"");
}

#[test]
fn a_claim_from_a_template_belongs_to_its_pod() {
    let from = |source: PodClaimSource| pod("p").devices("x").with(|p| p.resource_claims[0].source = source);
    let made = |uid: Option<&str>| {
        let uid = uid.map(Into::into);
        vec![resource_claim("p-x").request(wants("gpu", 1)).with(|c| c.controller_uid = uid).into()]
    };
    let not_made = "pod \"default/p\": ResourceClaim not created yet";
    let not_owner = "ResourceClaim default/p-x was not created for pod default/p (pod is not owner)";
    let unknown = "pod \"default/p\", spec.resourceClaim \"x\": none of the supported fields are set";
    assert_eq!(reason(vec![], from(PodClaimSource::NotMade), "a"), not_made);
    assert_eq!(reason(vec![], from(PodClaimSource::Needless), "a"), "");
    assert_eq!(reason(vec![], from(PodClaimSource::Unknown), "a"), unknown);
    let from_made = || from(PodClaimSource::Made("p-x".into()));
    assert_eq!(reason(made(Some("uid-p")), from_made(), "a"), "");
    assert_eq!(reason(made(Some("other")), from_made(), "a"), not_owner);
    assert_eq!(reason(made(None), from_made(), "a"), not_owner);
}

#[test]
fn only_whole_pools_of_the_newest_generation_count() {
    let all = || ExactRequest { count: DeviceCount::All, ..wants("gpu", 1) };
    let claim = |request| resource_claim("c").request(request).into();
    let newer = |count| -> Object {
        resource_slice("new")
            .on("a")
            .device("n0", &[])
            .with(|s| (s.pool, s.generation, s.slice_count) = ("s-a".into(), 2, count))
            .into()
    };
    let fits = |more, request| reason(vec![more, claim(request)], pod("p").devices("c"), "a");
    assert_eq!(fits(newer(1), wants("gpu", 1)), "");
    assert_eq!(fits(newer(1), wants("gpu", 2)), NONE, "the old devices are gone");
    assert_eq!(fits(newer(2), wants("gpu", 1)), "", "a part of the pool will do for a number");
    let told = "claim default/c, request r0: asks for all devices, but resource pool gpu.example.com/s-a is currently being updated";
    assert_eq!(fits(newer(2), all()), told);
    let twice: Object = resource_slice("dup").on("a").device("d", &[]).device("d", &[]).into();
    assert_eq!(fits(twice.clone(), wants("gpu", 4)), "pool dup is invalid: duplicate device name d");
    let told =
        "claim default/c, request r0: asks for all devices, but resource pool gpu.example.com/dup is currently invalid";
    assert_eq!(fits(twice, all()), told);
}

#[test]
fn devices_that_1_34_does_not_allocate_by_default_are_passed_over() {
    let one = || resource_claim("c").request(wants("gpu", 4)).into();
    let slice = |change: fn(&mut crate::model::ResourceSlice)| {
        resource_slice("more").on("a").device("x", &[]).with(change).into()
    };
    let fits = |change| reason(vec![slice(change), one()], pod("p").devices("c"), "a");
    assert_eq!(fits(|_| ()), "");
    assert_eq!(fits(|s| s.devices[0].consumes_counters = true), NONE);
    assert_eq!(fits(|s| s.devices[0].has_binding_conditions = true), NONE);
    assert_eq!(fits(|s| s.reach = DeviceReach::None), NONE);
}

#[test]
fn alternatives_that_want_all_devices_follow_1_34_1() {
    let all = |class| ExactRequest { count: DeviceCount::All, ..wants(class, 1) };
    let never: Object = device_class("never", &["false"]);
    let reason = |alternatives| {
        let claim = resource_claim("c").first_of(alternatives).into();
        reason(vec![never.clone(), claim], pod("p").devices("c"), "a")
    };
    assert_eq!(reason(vec![all("one")]), "");
    assert_eq!(
        reason(vec![wants("gpu", 9), all("one")]),
        NONE,
        "behind its first device eight of the first are missing"
    );
    assert_eq!(reason(vec![all("never"), all("one")]), NONE, "nothing suits the first, and so nothing the second");
    assert_eq!(reason(vec![all("never"), wants("one", 2)]), "", "a number of devices is looked up for itself");
}

#[test]
fn hopeless_searches_end() {
    // Thirty alike devices, of which each claim wants fifteen, and the last a sixteenth: alike devices are tried once.
    let many = (0..30).fold(resource_slice("many").on("a"), |slice, i| slice.device(&format!("d{i}"), &[("same", 1)]));
    let same = "device.attributes['gpu.example.com'].?same.orValue(0) == 1";
    let claims = ["c", "d"].map(|name| resource_claim(name).request(wants("same", 16)).into());
    let more = [many.into(), device_class("same", &[same])].into_iter().chain(claims).collect();
    assert_eq!(reason(more, pod("p").devices("c").devices("d"), "a"), NONE);
    // Devices that all differ: the search gives up.
    let many = (0..40).fold(resource_slice("many").on("a"), |slice, i| slice.device(&format!("d{i}"), &[("same", i)]));
    let all = "has(device.attributes['gpu.example.com'].same)";
    let claim = resource_claim("c").request(wants("same", 16)).request(wants("same", 1)).request(wants("never", 1));
    let claim = claim.with(|c| {
        let rule = ConstraintRule::Distinct(AttributeName::new("gpu.example.com/same"));
        c.constraints.push(DeviceConstraint { requests: vec![], rule });
    });
    let more = vec![many.into(), device_class("same", &[all]), device_class("never", &["false"]), claim.into()];
    assert_eq!(reason(more, pod("p").devices("c"), "a"), "timed out trying to allocate devices");
}

/// A request of the model: how many (0 for all), whether only devices with `a == 0`, admin access.
type ModelRequest = Vec<(i64, bool, bool)>;

fn request((count, picky, admin): (i64, bool, bool)) -> ExactRequest {
    let class = if picky { "picky" } else { "any" };
    let count = if count == 0 { DeviceCount::All } else { DeviceCount::Exact(count) };
    ExactRequest { count, admin_access: admin, ..wants(class, 1) }
}

/// Devices with attributes `a` and, unless it is 2, `b`, and `true` if they are taken.
type ModelDevice = (i64, i64, bool);

/// `true` if some choice of alternatives and devices meets all requests from this one on.
fn is_possible(
    devices: &[ModelDevice],
    claims: &[(Vec<ModelRequest>, u8)],
    at: (usize, usize),
    used: &mut Vec<(usize, usize)>,
) -> bool {
    let Some((requests, rule)) = claims.get(at.0) else { return true };
    let Some(alternatives) = requests.get(at.1) else { return is_possible(devices, claims, (at.0 + 1, 0), used) };
    alternatives.iter().any(|&(count, picky, admin)| {
        let suits = |device: &ModelDevice| !picky || device.0 == 0;
        (0_u32..1 << devices.len()).any(|set| {
            let chosen: Vec<usize> = (0..devices.len()).filter(|i| set & (1 << i) != 0).collect();
            let all = devices.iter().filter(|device| suits(device)).count();
            let right = if count == 0 { all > 0 && chosen.len() == all } else { chosen.len() as i64 == count };
            let free = |i: &usize| {
                if admin {
                    !used.contains(&(at.0, *i))
                } else {
                    !devices[*i].2 && used.iter().all(|(_, other)| other != i)
                }
            };
            if !right || !chosen.iter().all(|i| suits(&devices[*i]) && free(i)) {
                return false;
            }
            used.extend(chosen.iter().map(|i| (at.0, *i)));
            let values: Vec<i64> =
                used.iter().filter(|(claim, _)| *claim == at.0).map(|(_, i)| devices[*i].1).collect();
            let distinct = || values.iter().enumerate().all(|(i, value)| !values[..i].contains(value));
            let holds = match rule {
                0 => true,
                1 => !values.contains(&2) && values.windows(2).all(|pair| pair[0] == pair[1]),
                _ => !values.contains(&2) && distinct(),
            };
            let possible = holds && is_possible(devices, claims, (at.0, at.1 + 1), used);
            used.truncate(used.len() - chosen.len());
            possible
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_search_finds_devices_exactly_where_there_are_some(
        devices in proptest::collection::vec((0_i64..2, 0_i64..3, proptest::bool::weighted(0.2)), 0..6),
        claims in proptest::collection::vec((proptest::collection::vec(
            prop_oneof![
                3 => (0_i64..3, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(|one| vec![one]),
                1 => proptest::collection::vec((1_i64..3, any::<bool>(), Just(false)), 2..3),
            ], 1..3), 0_u8..3), 1..3),
    ) {
        let mut slice = resource_slice("s").on("a");
        for (i, (a, b, _)) in devices.iter().enumerate() {
            let attributes = [("a", *a), ("b", *b)];
            slice = slice.device(&format!("d{i}"), &attributes[..if *b == 2 { 1 } else { 2 }]);
        }
        let taken: Vec<String> = (0..devices.len()).filter(|i| devices[*i].2).map(|i| format!("s/d{i}")).collect();
        let held = resource_claim("held").has(&taken.iter().map(String::as_str).collect::<Vec<_>>());
        let mut objects: Vec<Object> = vec![
            node("a").into(),
            slice.into(),
            held.into(),
            device_class("any", &[]),
            device_class("picky", &["device.attributes['gpu.example.com'].a == 0"]),
        ];
        let mut new = pod("p");
        for (i, (requests, rule)) in claims.iter().enumerate() {
            let mut claim = resource_claim(&format!("c{i}"));
            for alternatives in requests {
                claim = match &alternatives[..] {
                    [one] => claim.request(request(*one)),
                    several => claim.first_of(several.iter().copied().map(request).collect()),
                };
            }
            let b = AttributeName::new("gpu.example.com/b");
            let rule = match rule { 0 => None, 1 => Some(ConstraintRule::Match(b)), _ => Some(ConstraintRule::Distinct(b)) };
            objects.push(claim.with(|c| c.constraints.extend(rule.map(|rule| DeviceConstraint { requests: vec![], rule }))).into());
            new = new.devices(&format!("c{i}"));
        }
        let snapshot: Snapshot = objects.into_iter().collect();
        let new = new.build();
        let found = PodClaims::of(&new, snapshot.devices()).expect("they exist");
        let on = snapshot.node("a").expect("a node");
        let possible = is_possible(&devices, &claims, (0, 0), &mut Vec::new());
        let fits = found.check(on).fits();
        // Where a claim wants all devices under a condition, 1.34.1 gives the pod up at the first choice that breaks it (`allocateDevice`, `must`).
        let gives_up = claims.iter().any(|(requests, rule)| *rule > 0 && requests.iter().flatten().any(|(count, ..)| *count == 0));
        prop_assert!(fits == possible || gives_up && possible, "it fits: {fits}; it is possible: {possible}");
        let choices = found.choices(on);
        prop_assert_eq!(choices.len(), if fits { claims.len() } else { 0 });
        let mut given = std::collections::BTreeSet::new();
        let mut after = snapshot.clone();
        for (claim, allocation) in choices {
            let allocation = allocation.expect("it had none");
            for result in &allocation.results {
                prop_assert!(result.admin_access || given.insert(result.id.clone()), "a device twice");
            }
            after.apply(Object::ResourceClaim(ResourceClaim { allocation: Some(allocation), ..(*claim).clone() }));
        }
        if fits {
            let settled = PodClaims::of(&new, after.devices()).expect("they exist");
            prop_assert!(settled.check(on).fits(), "the claims that have their devices fit there");
        }
    }

    #[test]
    fn an_index_does_not_remember_what_went(
        steps in proptest::collection::vec((0_u8..4, 0_u8..3, proptest::option::of(0_u8..3), any::<bool>()), 0..30),
    ) {
        let (mut index, mut left) = (DeviceIndex::default(), std::collections::BTreeMap::new());
        for (kind, name, of, remove) in steps {
            let named = format!("n{name}");
            let object = if kind < 2 {
                let has = of.map(|of| format!("p/d{of}"));
                let claim = resource_claim(&named);
                claim.clone().has(&has.iter().map(String::as_str).collect::<Vec<_>>()).into()
            } else {
                let slice = resource_slice(&named);
                let slice: Object = match of { None => slice.with(|s| s.reach = DeviceReach::All).into(), Some(of) => slice.on(&format!("node{of}")).into() };
                slice
            };
            match (&object, remove) {
                (Object::ResourceClaim(claim), false) => index.insert_claim(claim.clone()),
                (Object::ResourceClaim(claim), true) => index.remove_claim(&(claim.namespace.clone(), claim.name.clone())),
                (Object::ResourceSlice(slice), false) => index.insert_slice(slice.clone()),
                (Object::ResourceSlice(slice), true) => index.remove_slice(&slice.name),
                _ => {}
            }
            let key = (kind < 2, name);
            if remove { left.remove(&key); } else { left.insert(key, object); }
        }
        let mut anew = DeviceIndex::default();
        for object in left.into_values() {
            match object {
                Object::ResourceClaim(claim) => anew.insert_claim(claim),
                Object::ResourceSlice(slice) => anew.insert_slice(slice),
                _ => {}
            }
        }
        prop_assert_eq!(index, anew);
    }
}

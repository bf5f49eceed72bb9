//! The search for devices on one node, for all claims of a pod that have none.
//!
//! The search tries candidates in order of pool, slice and place in the slice, and goes back where it is stuck; the first solution counts.
//! It finds what an exhaustive search over all orders finds, and skips two kinds of detours: the devices of one request are chosen in
//! one order only, since they are a set, and where a device led nowhere, one that differs in nothing that is asked for leads nowhere either.
//! It still takes exponential time at worst, so it ends after [`MOST_STEPS`], as kube-scheduler ends it after ten seconds.
//!
//! Two oddities of 1.34.1 are kept, since they decide which nodes fit. Both are about alternatives (`firstAvailable`) that want all devices:
//! while the devices of the second are collected, the selectors of the first decide ([`Search::collect`]); and behind the first
//! device of an alternative, the list of the first alternative goes on ([`Search::next_of_all`]).
//!
//! Source: `structured/internal/experimental/allocator_experimental.go` (`Allocate`, `validateDeviceRequest`, `allocateOne`,
//! `allocateDevice`).

use std::{
    cell::{Cell, OnceCell},
    collections::HashMap,
    sync::Arc,
};

use super::{
    DeviceIndex,
    constraint::Constraint,
    pools::{Pool, pools},
    reach::selector,
    selector::Seen,
};
use crate::{
    model::{
        AllocatedDevice, AttributeValue, Device, DeviceAllocation, DeviceClass, DeviceCount, DeviceId, ExactRequest,
        MOST_DEVICES_OF_CLAIM, Name, ResourceClaim, ResourceSlice,
    },
    node_info::NodeInfo,
    work,
};

/// The most candidates that a search looks at on one node. [`COST_OF_STEP`] units of cost of expressions count as one.
pub(super) const MOST_STEPS: u64 = 1 << 17;

/// Units of cost of expressions that count as a step.
const COST_OF_STEP: u64 = 64;

/// The most requests and devices of a pod's claims together: the depth of the search.
const MOST_DEPTH: usize = 256;

/// Why a node gives no devices.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// They are taken, or do not suit.
    None,
    /// The search would take too long.
    TooLong,
    /// A fault in a claim, a class or a pool, for which kube-scheduler gives up the pod.
    Fault(String),
}

/// The end of a branch of the search.
enum Stop {
    /// A claim would have more devices than it may: earlier choices do not change that.
    TooMany,
    TooLong,
    Fault(String),
}

/// A claim without devices, with the classes of its requests.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub claim: &'a Arc<ResourceClaim>,
    pub requests: Vec<WantedRequest<'a>>,
}

/// A request of such a claim.
#[derive(Debug)]
pub(super) struct WantedRequest<'a> {
    pub name: &'a Name,
    /// `true` if it has alternatives, even if only one.
    pub has_alternatives: bool,
    pub alternatives: Vec<(&'a ExactRequest, &'a DeviceClass)>,
}

impl WantedRequest<'_> {
    /// The name of an alternative as constraints know it.
    fn alternative(&self, at: usize) -> Option<&str> {
        self.alternatives.get(at).filter(|_| self.has_alternatives).map(|(request, _)| &*request.name)
    }
}

impl Wanted<'_> {
    /// Namespace and name, for messages.
    fn shown(&self) -> String {
        format!("{}/{}", self.claim.namespace, self.claim.name)
    }
}

/// The devices that each of these claims would get on the node.
///
/// # Errors
/// Why they do not all get theirs.
pub(super) fn allocate(
    wanted: &[Wanted<'_>],
    devices: &DeviceIndex,
    node: &NodeInfo,
) -> Result<Vec<DeviceAllocation>, Failure> {
    let pools = pools(devices, node);
    let mut search = Search::new(wanted, devices, &pools);
    match search.prepare().and_then(|()| search.go_on(Place::default(), false)) {
        Ok(true) => Ok(search.allocations(node.name())),
        Ok(false) => Err(Failure::None),
        Err(Stop::TooMany) => Err(Failure::Fault("allocation max size exceeded".into())),
        Err(Stop::TooLong) => Err(Failure::TooLong),
        Err(Stop::Fault(fault)) => Err(Failure::Fault(fault)),
    }
}

/// A device of a pool.
struct Candidate<'p> {
    seen: Seen<'p>,
    device: &'p Device,
    slice: &'p ResourceSlice,
    id: DeviceId,
    /// Another claim has it.
    is_taken: bool,
    /// The claims of the pod that it has been chosen for, by number.
    chosen_for: Vec<usize>,
}

/// The next device that is needed.
#[derive(Clone, Copy, Default)]
struct Place {
    claim: usize,
    request: usize,
    alternative: usize,
    /// How many devices of the request have been chosen.
    device: usize,
    /// The candidate from which the choice goes on.
    from: usize,
}

/// Devices of one alternative.
struct Slot {
    count: usize,
    /// Those that an alternative wants that wants all.
    all: Option<Vec<usize>>,
}

/// A chosen device.
struct Chosen {
    request: Name,
    candidate: usize,
    admin_access: bool,
}

struct Search<'s, 'p> {
    wanted: &'s [Wanted<'s>],
    pools: &'p [Pool],
    candidates: Vec<Candidate<'p>>,
    /// The first candidate of each pool.
    starts: Vec<usize>,
    /// By claim, request and alternative.
    slots: HashMap<(usize, usize, usize), Slot>,
    /// Which candidates suit which alternative.
    suits: HashMap<(usize, usize, usize, usize), bool>,
    constraints: Vec<Vec<Constraint<'s>>>,
    chosen: Vec<Vec<Chosen>>,
    /// Numbers of the kinds of candidates; equal ones differ in nothing that is asked for. `None` where the place in a list counts.
    kinds: OnceCell<Option<Vec<u32>>>,
    steps: u64,
    /// The cost of the expressions so far.
    cost: Cell<u64>,
}

impl<'s, 'p: 's> Search<'s, 'p> {
    fn new(wanted: &'s [Wanted<'s>], devices: &DeviceIndex, pools: &'p [Pool]) -> Self {
        let (mut candidates, mut starts) = (Vec::new(), Vec::new());
        for pool in pools {
            starts.push(candidates.len());
            for slice in &pool.slices {
                work::spend_on(slice.devices.len() * 2);
                candidates.extend(slice.devices.iter().map(|device| {
                    let id = DeviceId {
                        driver: slice.driver.clone(),
                        pool: slice.pool.clone(),
                        device: device.name.clone(),
                    };
                    let is_taken = devices.is_taken(&id);
                    let seen = Seen::new(device, &slice.driver);
                    Candidate { seen, device, slice, id, is_taken, chosen_for: Vec::new() }
                }));
            }
        }
        Self {
            wanted,
            pools,
            candidates,
            starts,
            slots: HashMap::new(),
            suits: HashMap::new(),
            constraints: Vec::new(),
            chosen: wanted.iter().map(|_| Vec::new()).collect(),
            kinds: OnceCell::new(),
            steps: 0,
            cost: Cell::new(0),
        }
    }

    /// Checks the requests and counts the devices that they need.
    fn prepare(&mut self) -> Result<(), Stop> {
        for (at, wanted) in self.wanted.iter().enumerate() {
            let mut least = 0_usize;
            for (request_at, request) in wanted.requests.iter().enumerate() {
                if request.alternatives.iter().any(|(request, _)| request.requests_capacity) {
                    let (claim, name) = (wanted.shown(), request.name);
                    return Err(Stop::Fault(format!(
                        "claim {claim}, request {name}: has capacity requests, but the DRAConsumableCapacity feature is disabled"
                    )));
                }
                let mut fewest: Option<usize> = None;
                for alternative in 0..request.alternatives.len() {
                    let slot = self.collect(at, request_at, alternative)?;
                    fewest = Some(fewest.map_or(slot.count, |fewest| fewest.min(slot.count)));
                    self.slots.insert((at, request_at, alternative), slot);
                }
                least = least.saturating_add(fewest.unwrap_or(0));
            }
            if least > MOST_DEVICES_OF_CLAIM {
                let claim = wanted.shown();
                return Err(Stop::Fault(format!(
                    "claim {claim}: number of requested devices {least} exceeds the claim limit of {MOST_DEVICES_OF_CLAIM}"
                )));
            }
            let mut constraints = Vec::new();
            for (i, constraint) in wanted.claim.constraints.iter().enumerate() {
                constraints.push(Constraint::new(constraint).ok_or_else(|| {
                    let claim = wanted.shown();
                    Stop::Fault(format!(
                        "claim {claim}, constraint #{i}: empty constraint (unsupported constraint type?)"
                    ))
                })?);
            }
            self.constraints.push(constraints);
        }
        self.suits.clear();
        let depth = self.depth();
        if depth > MOST_DEPTH {
            return Err(Stop::Fault(format!(
                "the claims have up to {depth} requests and devices together, and may have {MOST_DEPTH}: split the pod"
            )));
        }
        Ok(())
    }

    /// The depth of the search.
    fn depth(&self) -> usize {
        let mut counts: HashMap<(usize, usize), usize> = HashMap::new();
        for ((claim, request, _), slot) in &self.slots {
            let count = counts.entry((*claim, *request)).or_default();
            *count = (*count).max(slot.count.min(MOST_DEVICES_OF_CLAIM));
        }
        self.wanted.len() + counts.values().map(|count| 1 + count).sum::<usize>()
    }

    /// The devices that an alternative needs.
    fn collect(&mut self, claim: usize, request: usize, alternative: usize) -> Result<Slot, Stop> {
        let wanted = &self.wanted[claim];
        let (exact, _) = wanted.requests[request].alternatives[alternative];
        let about = || format!("claim {}, request {}", wanted.shown(), exact.name);
        if let Some(i) = exact.selectors.iter().position(Option::is_none) {
            let about = about();
            return Err(Stop::Fault(format!(
                "{about}, selector #{i}: CEL expression empty (unsupported selector type?)"
            )));
        }
        match &exact.count {
            DeviceCount::Exact(count) => Ok(Slot { count: usize::try_from(*count).unwrap_or(0), all: None }),
            DeviceCount::Unknown(mode) => Err(Stop::Fault(format!("{}: unsupported count mode {mode}", about()))),
            DeviceCount::All => {
                // 1.34.1 remembers a result under the alternative before.
                let remembered = alternative.saturating_sub(1);
                let mut all = Vec::new();
                for (at, pool) in self.pools.iter().enumerate() {
                    if pool.is_incomplete || pool.repeated.is_some() {
                        let state = if pool.is_incomplete { "being updated" } else { "invalid" };
                        return Err(Stop::Fault(format!(
                            "{}: asks for all devices, but resource pool {} is currently {state}",
                            about(),
                            pool.id()
                        )));
                    }
                    let end = self.starts.get(at + 1).copied().unwrap_or(self.candidates.len());
                    for candidate in self.starts[at]..end {
                        if self.is_suitable((claim, request, alternative), remembered, candidate)? {
                            all.push(candidate);
                        }
                    }
                }
                Ok(Slot { count: all.len(), all: Some(all) })
            }
        }
    }

    /// `true` if the candidate meets the selectors of an alternative and its class.
    fn is_suitable(
        &mut self,
        (claim, request, alternative): (usize, usize, usize),
        remembered: usize,
        candidate: usize,
    ) -> Result<bool, Stop> {
        if self.candidates[candidate].device.has_binding_conditions {
            return Ok(false);
        }
        let key = (claim, request, remembered, candidate);
        if let Some(suits) = self.suits.get(&key) {
            return Ok(*suits);
        }
        if self.is_over() {
            return Err(Stop::TooLong);
        }
        let suits = self.suits_now(claim, request, alternative, candidate).map_err(Stop::Fault)?;
        self.suits.insert(key, suits);
        Ok(suits)
    }

    fn suits_now(&self, claim: usize, request: usize, alternative: usize, candidate: usize) -> Result<bool, String> {
        let wanted = &self.wanted[claim];
        let (exact, class) = wanted.requests[request].alternatives[alternative];
        let seen = &self.candidates[candidate].seen;
        let meets = |selector| {
            let mut cost = self.cost.get();
            let meets = seen.meets(selector, &mut cost);
            self.cost.set(cost);
            meets
        };
        for (i, selector) in class.selectors.iter().enumerate() {
            let Some(selector) = selector else {
                return Err(format!(
                    "class {}: selector #{i}: CEL expression empty (unsupported selector type?)",
                    class.name
                ));
            };
            if !meets(selector).map_err(|fault| format!("class {}: selector #{i}: {fault}", class.name))? {
                return Ok(false);
            }
        }
        for (i, selector) in exact.selectors.iter().enumerate() {
            let Some(selector) = selector else { return Ok(false) };
            if !meets(selector).map_err(|fault| format!("claim {}: selector #{i}: {fault}", wanted.shown()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(&mut self) -> Result<(), Stop> {
        work::spend(1);
        self.steps += 1;
        if self.is_over() { Err(Stop::TooLong) } else { Ok(()) }
    }

    /// `true` if the search has taken too long.
    fn is_over(&self) -> bool {
        self.steps + self.cost.get() / COST_OF_STEP > MOST_STEPS
    }

    /// Chooses all devices from this place on; `false` if there are none. `is_chosen` says that the alternative has been decided on.
    fn go_on(&mut self, place: Place, is_chosen: bool) -> Result<bool, Stop> {
        self.step()?;
        let Some(wanted) = self.wanted.get(place.claim) else { return Ok(true) };
        let Some(request) = wanted.requests.get(place.request) else {
            // A later claim that has too many is no reason to give up this one.
            return match self.go_on(Place { claim: place.claim + 1, ..Place::default() }, false) {
                Err(Stop::TooMany) => Ok(false),
                other => other,
            };
        };
        if request.has_alternatives && !is_chosen {
            return self.try_alternatives(place, request.alternatives.len());
        }
        let Some(slot) = self.slots.get(&(place.claim, place.request, place.alternative)) else { return Ok(false) };
        if slot.all.as_ref().is_some_and(Vec::is_empty) {
            return Ok(false);
        }
        if place.device >= slot.count {
            return self.go_on(Place { claim: place.claim, request: place.request + 1, ..Place::default() }, false);
        }
        if self.chosen[place.claim].len() + slot.count - place.device > MOST_DEVICES_OF_CLAIM {
            return Err(Stop::TooMany);
        }
        if slot.all.is_some() { self.next_of_all(place, is_chosen) } else { self.next_of_count(place, is_chosen) }
    }

    fn try_alternatives(&mut self, place: Place, count: usize) -> Result<bool, Stop> {
        let mut all_have_too_many = true;
        for alternative in 0..count {
            match self.go_on(Place { alternative, ..place }, true) {
                Ok(true) => return Ok(true),
                Ok(false) => all_have_too_many = false,
                Err(Stop::TooMany) => {}
                Err(stop) => return Err(stop),
            }
        }
        if all_have_too_many { Err(Stop::TooMany) } else { Ok(false) }
    }

    /// Takes the next of all devices: the order does not matter, so that no other is tried.
    fn next_of_all(&mut self, place: Place, is_chosen: bool) -> Result<bool, Stop> {
        let slot = self.slots.get(&(place.claim, place.request, place.alternative));
        let Some(candidate) = slot.and_then(|slot| slot.all.as_ref()?.get(place.device)).copied() else {
            return Ok(false);
        };
        if !self.choose(place, candidate, true)? {
            return Ok(false);
        }
        // 1.34.1 goes on with the first alternative.
        let done = self.go_on(Place { alternative: 0, device: place.device + 1, ..place }, is_chosen);
        if !matches!(done, Ok(true)) {
            self.give_back(place, candidate);
        }
        done
    }

    /// Tries every candidate for the next device.
    fn next_of_count(&mut self, place: Place, is_chosen: bool) -> Result<bool, Stop> {
        let (exact, _) = self.wanted[place.claim].requests[place.request].alternatives[place.alternative];
        let mut led_nowhere: Vec<u32> = Vec::new();
        for at in 0..self.pools.len() {
            if let Some(name) = &self.pools[at].repeated {
                let pool = self.pools[at].name();
                return Err(Stop::Fault(format!("pool {pool} is invalid: duplicate device name {name}")));
            }
            let end = self.starts.get(at + 1).copied().unwrap_or(self.candidates.len());
            for candidate in self.starts[at].max(place.from)..end {
                self.step()?;
                if self.is_in_use(candidate, place.claim, exact.admin_access) {
                    continue;
                }
                let key = (place.claim, place.request, place.alternative);
                if !self.is_suitable(key, place.alternative, candidate)? {
                    continue;
                }
                if !led_nowhere.is_empty() && self.kind_of(candidate).is_some_and(|kind| led_nowhere.contains(&kind)) {
                    continue;
                }
                if !self.choose(place, candidate, false)? {
                    continue;
                }
                let next = Place { device: place.device + 1, from: candidate + 1, ..place };
                match self.go_on(next, is_chosen) {
                    Ok(true) => return Ok(true),
                    done => {
                        self.give_back(place, candidate);
                        done?;
                    }
                }
                led_nowhere.extend(self.kind_of(candidate));
            }
        }
        Ok(false)
    }

    /// `true` if the device cannot be chosen any more. With admin access only a second time for one claim is too much.
    fn is_in_use(&self, candidate: usize, claim: usize, admin_access: bool) -> bool {
        let candidate = &self.candidates[candidate];
        if admin_access {
            candidate.chosen_for.contains(&claim)
        } else {
            candidate.is_taken || !candidate.chosen_for.is_empty()
        }
    }

    /// Chooses a device, if it is free and the conditions of the claim hold with it. `must`: there is no other choice.
    fn choose(&mut self, place: Place, candidate: usize, must: bool) -> Result<bool, Stop> {
        let wanted = &self.wanted[place.claim];
        let request = &wanted.requests[place.request];
        let (exact, _) = request.alternatives[place.alternative];
        if self.is_in_use(candidate, place.claim, exact.admin_access) {
            return Ok(false);
        }
        let Candidate { device, slice, .. } = self.candidates[candidate];
        if device.consumes_counters {
            return Ok(false);
        }
        let alternative = request.alternative(place.alternative);
        for i in 0..self.constraints[place.claim].len() {
            if self.constraints[place.claim][i].add(request.name, alternative, device, &slice.driver) {
                continue;
            }
            if must {
                let (claim, name, id) = (wanted.shown(), &exact.name, &self.candidates[candidate].id);
                return Err(Stop::Fault(format!(
                    "claim {claim}, request {name}: cannot add device {}/{}/{} because a claim constraint would not be satisfied",
                    id.driver, id.pool, id.device
                )));
            }
            for constraint in &mut self.constraints[place.claim][..i] {
                constraint.remove(request.name, alternative);
            }
            return Ok(false);
        }
        self.candidates[candidate].chosen_for.push(place.claim);
        let name = match alternative {
            None => request.name.clone(),
            Some(alternative) => format!("{}/{alternative}", request.name).into(),
        };
        self.chosen[place.claim].push(Chosen { request: name, candidate, admin_access: exact.admin_access });
        Ok(true)
    }

    /// Takes back the device that was chosen last.
    fn give_back(&mut self, place: Place, candidate: usize) {
        let request = &self.wanted[place.claim].requests[place.request];
        let alternative = request.alternative(place.alternative);
        for constraint in &mut self.constraints[place.claim] {
            constraint.remove(request.name, alternative);
        }
        self.candidates[candidate].chosen_for.retain(|claim| *claim != place.claim);
        self.chosen[place.claim].pop();
    }

    fn kind_of(&self, candidate: usize) -> Option<u32> {
        let kinds = self.kinds.get_or_init(|| self.kinds());
        kinds.as_ref().and_then(|kinds| kinds.get(candidate)).copied()
    }

    /// Kinds of candidates, by all that the claims ask about them.
    fn kinds(&self) -> Option<Vec<u32>> {
        type Kind<'k> = (bool, bool, Vec<Result<bool, usize>>, Vec<Option<&'k AttributeValue>>);
        if self.slots.values().any(|slot| slot.all.is_some()) {
            return None;
        }
        let mut found: HashMap<u64, Vec<(Kind<'_>, u32)>> = HashMap::new();
        let (mut kinds, mut count) = (Vec::with_capacity(self.candidates.len()), 0_u32);
        for (at, candidate) in self.candidates.iter().enumerate() {
            let mut suits = Vec::new();
            for (claim, wanted) in self.wanted.iter().enumerate() {
                for (request, alternatives) in wanted.requests.iter().enumerate() {
                    for alternative in 0..alternatives.alternatives.len() {
                        work::spend(1);
                        // A fault is told where the search meets it, which also ends there when it has taken too long.
                        let is_over = self.is_over();
                        let told = || self.suits_now(claim, request, alternative, at).map_err(|_| at);
                        suits.push(if is_over { Err(at) } else { told() });
                    }
                }
            }
            let constraints = self.constraints.iter().flatten();
            let values = constraints.map(|c| c.value_of(candidate.device, &candidate.slice.driver)).collect();
            let kind: Kind<'_> = (candidate.is_taken, candidate.device.consumes_counters, suits, values);
            let same = found.entry(u64::from(kind.0) * 2 + u64::from(kind.1)).or_default();
            work::spend_on(same.len());
            let number = same.iter().find(|(other, _)| *other == kind).map(|(_, number)| *number);
            kinds.push(number.unwrap_or_else(|| {
                count += 1;
                same.push((kind, count));
                count
            }));
        }
        Some(kinds)
    }

    /// The solution.
    fn allocations(&self, node: &Name) -> Vec<DeviceAllocation> {
        let result = |chosen: &Chosen| AllocatedDevice {
            request: chosen.request.clone(),
            id: self.candidates[chosen.candidate].id.clone(),
            admin_access: chosen.admin_access,
        };
        let allocation = |chosen: &Vec<Chosen>| DeviceAllocation {
            results: chosen.iter().map(result).collect(),
            node_selector: selector(chosen.iter().map(|chosen| self.candidates[chosen.candidate].slice), node),
        };
        self.chosen.iter().map(allocation).collect()
    }
}

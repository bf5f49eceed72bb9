//! Seats and a short queue that is fair by flow, as a state machine.
//!
//! Flows take turns (round robin), and those that wait in one flow are served in their order. If the queue is full, the one that came last to
//! the longest flow gives way to one of a shorter flow, so that no flow keeps others out.
//!
//! Kubernetes shuffles flows over a fixed number of queues instead (`apiserver/pkg/util/flowcontrol`); a queue for each flow that waits needs no luck.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// Names one that waits.
pub(super) type Ticket = u64;

/// The answer to one who asks for a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has a seat.
    Seated,
    /// It waits; another one may have been sent away for it.
    Waits(Ticket, Option<Ticket>),
    /// The queue is full.
    Refused,
}

/// Seats, and those that wait for them.
#[derive(Debug)]
pub(super) struct Fair<F> {
    seats: usize,
    most_waiting: usize,
    taken: usize,
    waiting: usize,
    /// Those that wait, by flow.
    flows: HashMap<F, VecDeque<Ticket>>,
    /// The flows in which some wait, in the order of their turns.
    turns: VecDeque<F>,
    next: Ticket,
}

impl<F: Clone + Eq + Hash> Fair<F> {
    /// At least one seat, all free.
    pub(super) fn new(seats: usize, most_waiting: usize) -> Self {
        Self {
            seats: seats.max(1),
            most_waiting,
            taken: 0,
            waiting: 0,
            flows: HashMap::new(),
            turns: VecDeque::new(),
            next: 0,
        }
    }

    /// Asks for a seat. `is_begun`: it is a part of something that has begun, and is never refused.
    pub(super) fn ask(&mut self, flow: &F, is_begun: bool) -> Answer {
        if self.taken < self.seats {
            self.taken += 1;
            return Answer::Seated;
        }
        let sent_away = if is_begun || self.waiting < self.most_waiting {
            None
        } else {
            let own = self.flows.get(flow).map_or(0, VecDeque::len);
            match self.last_of_longest(own + 1) {
                Some(last) => Some(last),
                None => return Answer::Refused,
            }
        };
        let ticket = self.next;
        self.next += 1;
        let queue = self.flows.entry(flow.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(flow.clone());
        }
        queue.push_back(ticket);
        self.waiting += 1;
        Answer::Waits(ticket, sent_away)
    }

    /// Takes the last one out of the longest flow, if that has more than so many.
    fn last_of_longest(&mut self, more_than: usize) -> Option<Ticket> {
        let (flow, _) =
            self.flows.iter().filter(|(_, queue)| queue.len() > more_than).max_by_key(|(_, queue)| queue.len())?;
        let flow = flow.clone();
        let last = self.flows.get_mut(&flow)?.pop_back()?;
        self.waiting -= 1;
        self.forget_if_empty(&flow);
        Some(last)
    }

    /// A seat is free: the one that gets it.
    pub(super) fn free(&mut self) -> Option<Ticket> {
        let next = self.turns.pop_front().and_then(|flow| {
            let queue = self.flows.get_mut(&flow)?;
            let ticket = queue.pop_front()?;
            if queue.is_empty() {
                self.flows.remove(&flow);
            } else {
                self.turns.push_back(flow);
            }
            Some(ticket)
        });
        match next {
            Some(_) => self.waiting -= 1,
            None => self.taken = self.taken.saturating_sub(1),
        }
        next
    }

    /// One that waits is gone; `false` if it does not wait any more.
    pub(super) fn leave(&mut self, flow: &F, ticket: Ticket) -> bool {
        let Some(queue) = self.flows.get_mut(flow) else { return false };
        let Some(at) = queue.iter().position(|one| *one == ticket) else { return false };
        queue.remove(at);
        self.waiting -= 1;
        self.forget_if_empty(flow);
        true
    }

    fn forget_if_empty(&mut self, flow: &F) {
        if self.flows.get(flow).is_some_and(VecDeque::is_empty) {
            self.flows.remove(flow);
            self.turns.retain(|turn| turn != flow);
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flows_take_turns() {
        let mut fair = Fair::new(1, 100);
        assert_eq!(fair.ask(&"a", false), Answer::Seated);
        let mut owners = BTreeMap::new();
        for flow in ["a", "a", "a", "b", "b", "c"] {
            let Answer::Waits(ticket, None) = fair.ask(&flow, false) else { panic!("there is room") };
            owners.insert(ticket, flow);
        }
        let served: Vec<&str> =
            std::iter::from_fn(|| fair.free()).filter_map(|ticket| owners.get(&ticket).copied()).collect();
        assert_eq!(served, ["a", "b", "c", "a", "b", "a"]);
        assert_eq!(fair.taken, 0);
    }

    #[test]
    fn a_full_queue_makes_room_for_a_shorter_flow() {
        let mut fair = Fair::new(1, 4);
        fair.ask(&"a", false);
        let tickets: Vec<Answer> = (0..5).map(|_| fair.ask(&"a", false)).collect();
        assert_eq!(tickets[4], Answer::Refused);
        assert_eq!(fair.ask(&"b", false), Answer::Waits(4, Some(3)), "the last of the others gives way");
        assert_eq!(fair.ask(&"b", false), Answer::Waits(5, Some(2)), "and again, while it is longer");
        assert_eq!(fair.ask(&"b", false), Answer::Refused, "now both are as long");
        assert_eq!(fair.ask(&"b", true), Answer::Waits(6, None), "one that has begun is not refused");
        assert!(fair.leave(&"b", 4) && !fair.leave(&"b", 4) && !fair.leave(&"a", 3));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Ask(u8, bool),
        Free,
        /// One of those that wait, by its place.
        Leave(usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0_u8..5, prop::bool::weighted(0.1)).prop_map(|(flow, is_begun)| Step::Ask(flow, is_begun)),
            3 => Just(Step::Free),
            1 => any::<usize>().prop_map(Step::Leave),
        ]
    }

    proptest! {
        /// No seat is given twice or lost; a flow is passed over by no other more than once; one is refused only if no flow is longer than its own by
        /// more than one.
        #[test]
        fn seats_are_given_fairly(seats in 1_usize..4, most in 0_usize..8, steps in prop::collection::vec(any_step(), 0..200)) {
            let mut fair = Fair::new(seats, most);
            let (mut waiting, mut seated) = (Vec::<(Ticket, u8)>::new(), 0_usize);
            // By flow: how often each other flow was served since it waits without being served.
            let mut passed: BTreeMap<u8, BTreeMap<u8, usize>> = BTreeMap::new();
            let length = |waiting: &[(Ticket, u8)], flow: u8| waiting.iter().filter(|(_, of)| *of == flow).count();
            for step in steps {
                match step {
                    Step::Ask(flow, is_begun) => match fair.ask(&flow, is_begun) {
                        Answer::Seated => {
                            prop_assert!(waiting.is_empty(), "others wait");
                            seated += 1;
                        }
                        Answer::Waits(ticket, sent_away) => {
                            if let Some(sent_away) = sent_away {
                                let at = waiting.iter().position(|(one, _)| *one == sent_away).expect("it waited");
                                let (_, of) = waiting.remove(at);
                                prop_assert!(of != flow && length(&waiting, of) > length(&waiting, flow));
                                if length(&waiting, of) == 0 { passed.remove(&of); }
                            }
                            if length(&waiting, flow) == 0 { passed.insert(flow, BTreeMap::new()); }
                            waiting.push((ticket, flow));
                        }
                        Answer::Refused => {
                            prop_assert!(!is_begun && waiting.len() >= most);
                            let own = length(&waiting, flow);
                            prop_assert!((0..5).all(|other| length(&waiting, other) <= own + 1));
                        }
                    },
                    Step::Free if seated == 0 => {}
                    Step::Free => match fair.free() {
                        None => {
                            prop_assert!(waiting.is_empty());
                            seated -= 1;
                        }
                        Some(ticket) => {
                            let at = waiting.iter().position(|(one, _)| *one == ticket).expect("it waited");
                            let (_, of) = waiting.remove(at);
                            prop_assert!(!waiting[..at].iter().any(|(_, other)| *other == of), "a flow keeps its order");
                            passed.remove(&of);
                            for counts in passed.values_mut() {
                                let count = counts.entry(of).or_default();
                                *count += 1;
                                prop_assert!(*count <= 1, "a flow was passed over twice by another");
                            }
                            if length(&waiting, of) > 0 { passed.insert(of, BTreeMap::new()); }
                        }
                    },
                    Step::Leave(_) if waiting.is_empty() => {}
                    Step::Leave(at) => {
                        let (ticket, of) = waiting.remove(at % waiting.len());
                        prop_assert!(fair.leave(&of, ticket));
                        if length(&waiting, of) == 0 { passed.remove(&of); }
                    }
                }
                prop_assert!(seated <= seats && fair.taken == seated);
                prop_assert_eq!(fair.waiting(), waiting.len());
                prop_assert!(waiting.is_empty() || seated == seats, "a seat is free though some wait");
                prop_assert_eq!(fair.flows.len(), fair.turns.len());
            }
        }
    }
}

//! Go's `sort.Sort`, whose result for equal items is not their order: beyond twelve candidates the cluster autoscaler examines equal ones in the order
//! that this leaves.
//!
//! Source: Go's `sort/zsortinterface.go` (`pdqsort`).

/// Up to so many items are sorted by insertion, which keeps the order of equal ones.
const MOST_INSERTED: usize = 12;
/// From so many items on the pivot is a median of medians.
const SHORTEST_NINTHER: usize = 50;
/// From so many items on nearly sorted ones are mended.
const SHORTEST_SHIFTING: usize = 50;
/// So many pairs are mended at most.
const MOST_STEPS: usize = 5;
/// Swaps among nine items that are in descending order.
const DESCENDING: usize = 4 * 3;

/// Sorts items as Go does.
pub(super) fn sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let length = items.len();
    if length > 1 {
        let bad_pivots = (usize::BITS - length.leading_zeros()) as usize;
        Sorting { items, less }.sort(0, length, bad_pivots);
    }
}

struct Sorting<'a, T, L> {
    items: &'a mut [T],
    less: L,
}

impl<T, L: Fn(&T, &T) -> bool> Sorting<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        (self.less)(&self.items[a], &self.items[b])
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.items.swap(a, b);
    }

    fn sort(&mut self, mut from: usize, mut to: usize, mut bad_pivots: usize) {
        let (mut was_balanced, mut was_partitioned) = (true, true);
        loop {
            let length = to - from;
            if length <= MOST_INSERTED {
                self.insert(from, to);
                return;
            }
            if bad_pivots == 0 {
                self.heap_sort(from, to);
                return;
            }
            if !was_balanced {
                self.break_patterns(from, to);
                bad_pivots -= 1;
            }
            let (mut pivot, swaps) = self.pivot(from, to);
            let mut may_be_sorted = swaps == 0;
            if swaps == DESCENDING {
                self.items[from..to].reverse();
                pivot = (to - 1) - (pivot - from);
                may_be_sorted = true;
            }
            if was_balanced && was_partitioned && may_be_sorted && self.mend(from, to) {
                return;
            }
            if from > 0 && !self.less(from - 1, pivot) {
                from = self.part_equal(from, to, pivot);
                continue;
            }
            let (middle, partitioned) = self.part(from, to, pivot);
            was_partitioned = partitioned;
            let (left, right) = (middle - from, to - middle);
            if left < right {
                was_balanced = left >= length / 8;
                self.sort(from, middle, bad_pivots);
                from = middle + 1;
            } else {
                was_balanced = right >= length / 8;
                self.sort(middle + 1, to, bad_pivots);
                to = middle;
            }
        }
    }

    fn insert(&mut self, from: usize, to: usize) {
        for i in from + 1..to {
            let mut j = i;
            while j > from && self.less(j, j - 1) {
                self.swap(j, j - 1);
                j -= 1;
            }
        }
    }

    fn sift_down(&mut self, low: usize, high: usize, first: usize) {
        let mut root = low;
        loop {
            let mut child = 2 * root + 1;
            if child >= high {
                return;
            }
            if child + 1 < high && self.less(first + child, first + child + 1) {
                child += 1;
            }
            if !self.less(first + root, first + child) {
                return;
            }
            self.swap(first + root, first + child);
            root = child;
        }
    }

    fn heap_sort(&mut self, from: usize, to: usize) {
        let high = to - from;
        for i in (0..=(high - 1) / 2).rev() {
            self.sift_down(i, high, from);
        }
        for i in (0..high).rev() {
            self.swap(from, from + i);
            self.sift_down(0, i, from);
        }
    }

    fn part(&mut self, from: usize, to: usize, pivot: usize) -> (usize, bool) {
        self.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        let mut is_parted = true;
        loop {
            while i <= j && self.less(i, from) {
                i += 1;
            }
            while i <= j && !self.less(j, from) {
                j -= 1;
            }
            if i > j {
                self.swap(j, from);
                return (j, is_parted);
            }
            is_parted = false;
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    fn part_equal(&mut self, from: usize, to: usize, pivot: usize) -> usize {
        self.swap(from, pivot);
        let (mut i, mut j) = (from + 1, to - 1);
        loop {
            while i <= j && !self.less(from, i) {
                i += 1;
            }
            while i <= j && self.less(from, j) {
                j -= 1;
            }
            if i > j {
                return i;
            }
            self.swap(i, j);
            i += 1;
            j -= 1;
        }
    }

    /// Sorts what is nearly sorted; `true` if it is sorted then.
    fn mend(&mut self, from: usize, to: usize) -> bool {
        let mut i = from + 1;
        for _ in 0..MOST_STEPS {
            while i < to && !self.less(i, i - 1) {
                i += 1;
            }
            if i == to {
                return true;
            }
            if to - from < SHORTEST_SHIFTING {
                return false;
            }
            self.swap(i, i - 1);
            if i - from >= 2 {
                let mut j = i - 1;
                while j >= 1 && self.less(j, j - 1) {
                    self.swap(j, j - 1);
                    j -= 1;
                }
            }
            if to - i >= 2 {
                let mut j = i + 1;
                while j < to && self.less(j, j - 1) {
                    self.swap(j, j - 1);
                    j += 1;
                }
            }
        }
        false
    }

    /// Scatters three items by numbers that follow from the length alone.
    fn break_patterns(&mut self, from: usize, to: usize) {
        let length = to - from;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let modulus = 1_usize << (usize::BITS - length.leading_zeros());
        let middle = from + (length / 4) * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let mut other = usize::try_from(random & (modulus as u64 - 1)).unwrap_or_default();
            if other >= length {
                other -= length;
            }
            self.swap(at, from + other);
        }
    }

    /// A pivot, and how many pairs among those looked at were out of order.
    fn pivot(&self, from: usize, to: usize) -> (usize, usize) {
        let length = to - from;
        let mut swaps = 0;
        let (mut i, mut j, mut k) = (from + length / 4, from + length / 4 * 2, from + length / 4 * 3);
        if length >= SHORTEST_NINTHER {
            for place in [&mut i, &mut j, &mut k] {
                *place = self.median(*place - 1, *place, *place + 1, &mut swaps);
            }
        }
        j = self.median(i, j, k, &mut swaps);
        (j, swaps)
    }

    fn median(&self, a: usize, b: usize, c: usize, swaps: &mut usize) -> usize {
        let mut ordered = |a: usize, b: usize| {
            if self.less(b, a) {
                *swaps += 1;
                (b, a)
            } else {
                (a, b)
            }
        };
        let (a, b) = ordered(a, b);
        let (b, _) = ordered(b, c);
        ordered(a, b).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_items_keep_their_order_and_more_are_sorted_as_go_sorts_them() {
        let sorted = |keys: &[u32]| {
            let mut items: Vec<(u32, usize)> = keys.iter().copied().zip(0..).collect();
            sort(&mut items, |a, b| a.0 < b.0);
            items.into_iter().map(|(_, place)| place).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&[1, 0, 1, 0]), [1, 3, 0, 2]);
        assert_eq!(sorted(&[1; 13]), (0..13).collect::<Vec<_>>());
        // Seen in a cluster of the cluster autoscaler with thirteen candidates.
        assert_eq!(sorted(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1]), [6, 1, 2, 3, 4, 5, 0, 7, 8, 9, 11, 12, 10]);
        for length in [0_u32, 1, 2, 12, 13, 49, 50, 51, 200, 1000] {
            for modulus in [1, 2, 3, 7, 1000] {
                let keys: Vec<u32> = (0..length).map(|i| (i * 7919 + i * i) % 1009 % modulus).collect();
                let order = sorted(&keys);
                assert!(order.windows(2).all(|pair| keys[pair[0]] <= keys[pair[1]]), "{length} {modulus}");
                let mut places = order.clone();
                places.sort_unstable();
                assert_eq!(places, (0..keys.len()).collect::<Vec<_>>());
            }
        }
    }
}

//! # Rule
//! Usage is kept as a histogram whose buckets grow by 5 %. The weight of a sample halves with each half-life of its age (24 hours), so that what was used last counts most.
//!
//! The first bucket is 10 milli-CPU or 10 MB wide, the last one begins above 1,000 CPUs or 1 TB. Of all samples in a bucket nothing but their weight is kept, and a percentile is the
//! end of its bucket: usage of 1 and of 9 milli-CPU both give 10.
//!
//! # Kubernetes source
//! `vertical-pod-autoscaler/pkg/recommender/util/histogram.go`, `decaying_histogram.go`, `histogram_options.go`; the limits are those of `model/aggregations_config.go`.
//!
//! # Example
//! A sample of 100 milli-CPU that is two days old weighs a quarter of one that is new.

use std::collections::BTreeMap;

use crate::advise::Advice;

/// The registry's line.
pub(super) const ADVICE: Advice =
    Advice { name: "DecayingHistogram", kind: super::KIND, source: include_str!("histogram.rs") };

/// Each bucket is so much wider than the one before.
const RATIO: f64 = 1.05;
/// Buckets of each resource: the last one begins at 100,000 times the width of the first.
pub const BUCKETS: usize = 176;
/// The weight below which a bucket counts as empty.
const EPSILON: f64 = 0.0001;
/// Half-lives after which weights are brought back to a size that floats hold well.
const MOST_HALF_LIVES: i128 = 100;
/// The largest weight of a bucket in a checkpoint.
const CHECKPOINT_WEIGHT: f64 = 10_000.0;
/// Nanoseconds from the year 1, from which Go counts, to 1970.
const YEAR_ONE: i128 = 62_135_596_800_000_000_000;

/// Weights of samples by their size, decaying with age.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The width of the first bucket.
    first: f64,
    half_life: i64,
    weights: Vec<f64>,
    total: f64,
    /// The first bucket that is not empty; the last bucket where all are.
    low: usize,
    /// The last bucket that is not empty; 0 where all are.
    high: usize,
    /// A sample of this time has its own weight; `None` before the first sample.
    reference: Option<i128>,
}

/// A histogram in its stored form: weights in ten-thousandths of the heaviest bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stored<W> {
    /// In nanoseconds since 1970.
    pub reference: Option<i64>,
    /// The weight of each bucket that is not empty.
    pub weights: BTreeMap<usize, W>,
    /// The sum of all weights.
    pub total: f64,
}

/// Why a stored histogram cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StoredError {
    /// The weights are no sum.
    #[error("totalWeight: {0} is not a weight: it must be a number that is not negative")]
    Total(f64),
    /// There is no such bucket.
    #[error("bucketWeights[{0}]: there are {BUCKETS} buckets, from 0")]
    Bucket(usize),
}

impl Histogram {
    /// An empty histogram of CPUs.
    pub(super) fn of_cpu(half_life: i64) -> Self {
        Self::new(0.01, half_life)
    }

    /// An empty histogram of bytes.
    pub(super) fn of_memory(half_life: i64) -> Self {
        Self::new(1e7, half_life)
    }

    fn new(first: f64, half_life: i64) -> Self {
        let half_life = half_life.max(1);
        Self { first, half_life, weights: vec![0.0; BUCKETS], total: 0.0, low: BUCKETS - 1, high: 0, reference: None }
    }

    /// Adds a sample that was taken at this time.
    pub(super) fn add(&mut self, value: f64, weight: f64, at: i64) {
        let (bucket, weight) = (self.bucket(value), weight * self.decay(at));
        self.weights[bucket] += weight;
        self.total += weight;
        if self.weights[bucket] >= EPSILON {
            self.low = self.low.min(bucket);
            self.high = self.high.max(bucket);
        }
    }

    /// Takes a sample away that was added before.
    pub(super) fn subtract(&mut self, value: f64, weight: f64, at: i64) {
        let (bucket, weight) = (self.bucket(value), weight * self.decay(at));
        let less = |of: f64| if of - weight < EPSILON { 0.0 } else { of - weight };
        self.total = less(self.total);
        self.weights[bucket] = less(self.weights[bucket]);
        self.tighten();
    }

    /// Adds all samples of another histogram of the same resource.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        if let Some(reference) = self.reference.max(other.reference) {
            for of in [&mut *self, &mut other] {
                if of.reference < Some(reference) {
                    of.shift(reference);
                }
            }
        }
        if other.low <= other.high {
            for (weight, more) in self.weights[other.low..=other.high].iter_mut().zip(&other.weights[other.low..]) {
                *weight += more;
            }
        }
        self.total += other.total;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }

    /// The end of the bucket in which this part of the weight is reached; 0 for an empty histogram.
    pub(super) fn percentile(&self, part: f64) -> f64 {
        if self.weights[self.low] < EPSILON {
            return 0.0;
        }
        let threshold = part * self.total;
        let (mut sum, mut bucket) = (0.0, self.low);
        while bucket < self.high {
            sum += self.weights[bucket];
            if sum >= threshold {
                break;
            }
            bucket += 1;
        }
        self.start((bucket + 1).min(BUCKETS - 1))
    }

    /// The weights as a checkpoint keeps them: rounded, and without those that are next to nothing.
    pub fn rounded(&self) -> Stored<u32> {
        let heaviest = self.filled().map(|(_, weight)| weight).fold(0.0, f64::max);
        let ratio = CHECKPOINT_WEIGHT / heaviest;
        let rounded = self.filled().map(|(bucket, weight)| (bucket, (weight * ratio + 0.5).floor() as u32));
        let weights = rounded.filter(|(_, weight)| *weight > 0).collect();
        Stored { reference: self.reference(), weights, total: self.total }
    }

    /// The weights as they are.
    pub fn exact(&self) -> Stored<f64> {
        let weights = self.filled().filter(|(_, weight)| *weight > 0.0).collect();
        Stored { reference: self.reference(), weights, total: self.total }
    }

    /// A histogram like this one, with the weights that were stored.
    ///
    /// # Errors
    /// [`StoredError`].
    pub(super) fn restored<W: Copy + Into<f64>>(mut self, stored: &Stored<W>) -> Result<Self, StoredError> {
        if !stored.total.is_finite() || stored.total < 0.0 {
            return Err(StoredError::Total(stored.total));
        }
        if let Some((&bucket, _)) = stored.weights.range(BUCKETS..).next() {
            return Err(StoredError::Bucket(bucket));
        }
        let sum: f64 = stored.weights.values().map(|weight| -> f64 { (*weight).into() }).sum();
        if sum > 0.0 && sum.is_finite() {
            let ratio = stored.total / sum;
            for (&bucket, &weight) in &stored.weights {
                self.weights[bucket] += weight.into() * ratio;
                self.low = self.low.min(bucket);
                self.high = self.high.max(bucket);
            }
            self.total += stored.total;
            self.tighten();
        }
        self.reference = stored.reference.map(i128::from);
        Ok(self)
    }

    fn reference(&self) -> Option<i64> {
        self.reference.and_then(|reference| i64::try_from(reference).ok())
    }

    fn filled(&self) -> impl Iterator<Item = (usize, f64)> {
        let all = self.weights.iter().copied().enumerate();
        all.skip(self.low).take((self.high + 1).saturating_sub(self.low))
    }

    /// The bucket of a value.
    fn bucket(&self, value: f64) -> usize {
        if value < self.first {
            return 0;
        }
        let bucket = (value * (RATIO - 1.0) / self.first + 1.0).ln() / RATIO.ln();
        (bucket as usize).min(BUCKETS - 1)
    }

    /// The least value of a bucket.
    fn start(&self, bucket: usize) -> f64 {
        if bucket == 0 { 0.0 } else { self.first * (power(RATIO, bucket) - 1.0) / (RATIO - 1.0) }
    }

    /// The weight of a sample of this time.
    fn decay(&mut self, at: i64) -> f64 {
        let most = i128::from(self.half_life) * MOST_HALF_LIVES;
        let reference = match self.reference {
            Some(reference) if i128::from(at) <= reference + most => reference,
            _ => self.shift(at.into()),
        };
        ((i128::from(at) - reference) as f64 / self.half_life as f64).exp2()
    }

    /// Makes a whole number of half-lives near this time the reference. Percentiles stay as they are.
    fn shift(&mut self, to: i128) -> i128 {
        let half_life = i128::from(self.half_life);
        let over = (to + YEAR_ONE).rem_euclid(half_life);
        let to = if over * 2 < half_life { to - over } else { to - over + half_life };
        // Before the first sample there is nothing to scale.
        let factor = self.reference.map_or(0.0, |from| {
            let half_lives = ((from - to) as f64 / half_life as f64 + 0.5).floor();
            half_lives.exp2()
        });
        if self.low <= self.high {
            for weight in &mut self.weights[self.low..=self.high] {
                *weight *= factor;
            }
        }
        self.total *= factor;
        self.tighten();
        self.reference = Some(to);
        to
    }

    /// Passes over buckets that have become empty.
    fn tighten(&mut self) {
        while self.weights[self.low] < EPSILON && self.low < BUCKETS - 1 {
            self.low += 1;
        }
        while self.weights[self.high] < EPSILON && self.high > 0 {
            self.high -= 1;
        }
    }
}

/// A power by repeated squaring, equal on all machines.
fn power(mut base: f64, mut exponent: usize) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 86_400_000_000_000;

    #[test]
    fn last_bucket_begins_at_the_largest_value() {
        let (cpu, memory) = (Histogram::of_cpu(DAY), Histogram::of_memory(DAY));
        assert!(cpu.start(BUCKETS - 1) >= 1000.0 && cpu.start(BUCKETS - 2) < 1000.0);
        assert!(memory.start(BUCKETS - 1) >= 1e12 && memory.start(BUCKETS - 2) < 1e12);
    }

    #[test]
    fn percentile_is_the_end_of_the_bucket() {
        for cores in [0.001, 0.009] {
            let mut usage = Histogram::of_cpu(DAY);
            usage.add(cores, 1.0, 0);
            assert_eq!((usage.percentile(0.9) * 1000.0) as i64, 10, "{cores}");
        }
    }

    #[test]
    fn sample_loses_half_its_weight_with_each_half_life() {
        let mut usage = Histogram::of_cpu(DAY);
        usage.add(0.1, 1.0, 0);
        usage.add(5.0, 1.0, 2 * DAY);
        // 1/5 of the weight is old: the 19th percentile is the old value, the 21st the new one.
        assert!(usage.percentile(0.19) < 0.2 && usage.percentile(0.21) > 4.0);
    }

    proptest! {
        #[test]
        fn percentiles_grow_with_the_part_and_cover_their_samples(samples in prop::collection::vec((1_u32..1_000_000, 0_i64..400), 1..50)) {
            let mut usage = Histogram::of_cpu(DAY);
            let last = samples.iter().map(|(_, hour)| *hour).max().unwrap_or_default();
            for (milli, hour) in &samples {
                usage.add(f64::from(*milli) / 1000.0, 1.0, hour * DAY / 24);
            }
            let of: Vec<f64> = (0..=10).map(|tenth| usage.percentile(f64::from(tenth) / 10.0)).collect();
            prop_assert!(of.windows(2).all(|pair| pair[0] <= pair[1]));
            let newest = samples.iter().filter(|(_, hour)| *hour == last).map(|(milli, _)| *milli).max().unwrap_or_default();
            prop_assert!(usage.percentile(1.0) >= f64::from(newest) / 1000.0 || newest > 990_000);
        }

        #[test]
        fn merging_parts_equals_adding_all(samples in prop::collection::vec((1_u32..100_000, 0_i64..4_000, any::<bool>()), 1..50)) {
            let (mut all, mut parts) = (Histogram::of_cpu(DAY), [Histogram::of_cpu(DAY), Histogram::of_cpu(DAY)]);
            for (milli, hour, which) in &samples {
                all.add(f64::from(*milli) / 1000.0, 1.0, hour * DAY / 24);
                parts[usize::from(*which)].add(f64::from(*milli) / 1000.0, 1.0, hour * DAY / 24);
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            prop_assert!((merged.total - all.total).abs() <= 1e-9 * all.total.max(1.0) || merged.reference != all.reference);
        }

        #[test]
        fn exact_form_restores_all_weights(samples in prop::collection::vec((1_u32..100_000, 0_i64..4_000), 0..50)) {
            let mut usage = Histogram::of_memory(DAY);
            for (mega, hour) in &samples {
                usage.add(f64::from(*mega) * 1e6, 1.0, hour * DAY / 24);
            }
            let again = Histogram::of_memory(DAY).restored(&usage.exact()).unwrap();
            for tenth in 0..=10 {
                let part = f64::from(tenth) / 10.3;
                prop_assert_eq!(again.percentile(part).to_bits(), usage.percentile(part).to_bits());
            }
        }
    }

    #[test]
    fn stored_weights_out_of_range_are_refused() {
        let empty = || Histogram::of_cpu(DAY);
        let stored = |total, bucket| Stored { reference: None, weights: [(bucket, 1_u32)].into(), total };
        assert!(matches!(empty().restored(&stored(f64::NAN, 1)), Err(StoredError::Total(_))));
        assert!(matches!(empty().restored(&stored(-1.0, 1)), Err(StoredError::Total(_))));
        assert_eq!(empty().restored(&stored(1.0, BUCKETS)), Err(StoredError::Bucket(BUCKETS)));
    }
}

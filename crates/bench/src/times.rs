//! How long things took.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// Durations, the shortest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Times {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A percentile in milliseconds: the smallest that so many of a hundred do not exceed. 0 of none.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let place = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(place).map_or(0.0, |time| milliseconds(*time))
    }
}

/// In milliseconds.
pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Calls one after the other, `most` of them or as many as begin within `budget`, but at least ten. The first three do not
/// count. Each call answers how long it took.
pub(super) async fn sample<F>(most: usize, budget: Duration, mut call: impl FnMut() -> F) -> Result<Times, String>
where
    F: Future<Output = Result<Duration, String>>,
{
    let (begun, mut times) = (Instant::now(), Vec::new());
    for _ in 0..3 {
        call().await?;
    }
    while times.len() < most && (times.len() < 10 || begun.elapsed() < budget) {
        times.push(call().await?);
    }
    Ok(times.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times: Times = [4, 1, 3, 2].into_iter().map(Duration::from_millis).collect();
        // 4 × 50 / 100 = 2: the second; 4 × 99 / 100 rounds up to 4: the last.
        let whole =
            |times: &Times, percents: [usize; 3]| percents.map(|percent| times.percentile(percent).round() as i64);
        assert_eq!(whole(&times, [50, 99, 0]), [2, 4, 1]);
        assert_eq!(whole(&Times::default(), [50, 99, 0]), [0, 0, 0]);
    }
}

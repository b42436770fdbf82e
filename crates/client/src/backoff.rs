//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with jitter: each wait is drawn between half and all of a span that doubles with each failure.
///
/// Half of it is fixed, so that a lone client does not hammer; the other half is random, so that thousands that lost
/// the same edge do not come back in the same instant.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        Self { first, max, failures: 0 }
    }

    /// The next wait; `random` is any number.
    pub(crate) fn next(&mut self, random: u32) -> Duration {
        let span = self.first.saturating_mul(1 << self.failures.min(16)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        span / 2 + (span / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// All is well again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_bound_within_its_jitter() {
        for random in [0, 7, u32::MAX / 2, u32::MAX] {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
            for span_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
                let wait_ms = backoff.next(random).as_millis();
                assert!((span_ms / 2..=span_ms).contains(&wait_ms), "{wait_ms} of {span_ms}");
            }
            backoff.reset();
            assert!(backoff.next(random) <= Duration::from_millis(100));
        }
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        backoff.failures = u32::MAX;
        assert!(backoff.next(u32::MAX) <= Duration::from_secs(10));
    }
}

//! How long to wait before the next attempt: exponential, with jitter, bounded.
//!
//! Contract: the n-th delay is drawn from `[base, base x (1 + jitter)]` where base is `min x 2^n`, at most `max`; no
//! delay exceeds `max x (1 + jitter)`. Randomness is an argument, so that a test can choose it.

use std::time::Duration;

/// Why parameters make no backoff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackoff {
    /// A first delay of zero would stay zero for ever.
    #[error("the first delay is zero")]
    ZeroMin,
    /// The last delay is below the first.
    #[error("the longest delay is below the first")]
    MaxBelowMin,
    /// Jitter is a share from 0 to 1.
    #[error("the jitter is not between 0 and 1")]
    Jitter,
}

/// The parameters of a backoff.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    jitter: f64,
}

impl Backoff {
    /// The first delay, the longest, and the share of a delay that may be added at random so that many who failed
    /// together do not come back together.
    ///
    /// # Errors
    /// [`InvalidBackoff`], where that describes no backoff.
    pub fn try_new(min: Duration, max: Duration, jitter: f64) -> Result<Self, InvalidBackoff> {
        if min.is_zero() {
            Err(InvalidBackoff::ZeroMin)
        } else if max < min {
            Err(InvalidBackoff::MaxBelowMin)
        } else if !(0.0..=1.0).contains(&jitter) {
            Err(InvalidBackoff::Jitter)
        } else {
            Ok(Self { min, max, jitter })
        }
    }

    /// The delay after `failures` failures in a row (0 for the first), with 64 random bits.
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let base = self.min.saturating_mul(2u32.saturating_pow(failures)).min(self.max);
        // 53 bits fill a float's mantissa.
        let share = (random >> 11) as f64 / (1u64 << 53) as f64;
        base.saturating_add(base.mul_f64(self.jitter * share))
    }

    /// Counts the failures.
    pub fn attempts(self) -> Attempts {
        Attempts { backoff: self, failures: 0 }
    }
}

/// A backoff and how often in a row it was needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempts {
    backoff: Backoff,
    failures: u32,
}

impl Attempts {
    /// Counts a failure and says how long to wait.
    pub fn failed(&mut self, random: u64) -> Duration {
        let delay = self.backoff.delay(self.failures, random);
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Starts over.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(Backoff::try_new(Duration::ZERO, MS, 0.0), Err(InvalidBackoff::ZeroMin));
        assert_eq!(Backoff::try_new(MS * 2, MS, 0.0), Err(InvalidBackoff::MaxBelowMin));
        for jitter in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Backoff::try_new(MS, MS, jitter), Err(InvalidBackoff::Jitter));
        }
    }

    #[test]
    fn delays_double_up_to_the_longest_and_start_over() {
        let mut attempts = Backoff::try_new(MS * 100, MS * 500, 0.0).expect("valid").attempts();
        let delays: Vec<_> = (0..5).map(|_| attempts.failed(u64::MAX).as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 500, 500]);
        assert_eq!(attempts.failures(), 5);
        attempts.succeeded();
        assert_eq!(attempts.failed(0), MS * 100);
    }

    proptest! {
        #[test]
        fn delays_stay_within_bounds(
            min_us in 1u64..10_000_000,
            more_us in 0u64..100_000_000,
            jitter in 0.0f64..=1.0,
            failures: u32,
            random: u64,
        ) {
            let (min, max) = (Duration::from_micros(min_us), Duration::from_micros(min_us + more_us));
            let delay = Backoff::try_new(min, max, jitter).expect("valid").delay(failures, random);
            prop_assert!(delay >= min);
            // A nanosecond for the rounding of the float.
            prop_assert!(delay <= max + max.mul_f64(jitter) + Duration::from_nanos(1));
        }

        #[test]
        fn more_failures_never_wait_less(failures in 0u32..u32::MAX, random: u64) {
            let backoff = Backoff::try_new(MS, MS * 10_000, 0.5).expect("valid");
            prop_assert!(backoff.delay(failures + 1, random) >= backoff.delay(failures, random));
        }

        #[test]
        fn more_randomness_waits_longer(a: u64, b: u64) {
            let backoff = Backoff::try_new(MS, MS, 1.0).expect("valid");
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(backoff.delay(0, low) <= backoff.delay(0, high));
        }
    }
}

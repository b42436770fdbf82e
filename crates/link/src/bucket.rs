//! A token bucket of eight bytes.

use std::time::Duration;

use rally_units::Instant;

/// Allows `burst` at once and one each `period` in the long run.
///
/// It keeps only the moment at which it would be full again (the generic cell rate algorithm), so that a connection's
/// limits cost a word each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes one; false if there is none, and then nothing is taken.
    #[must_use]
    pub fn take(&mut self, now: Instant, per_s: u32, burst: u32) -> bool {
        let period = Duration::from_secs(1) / per_s;
        let full_at = self.full_at.max(now) + period;
        if full_at.since(now) > period * burst {
            return false;
        }
        self.full_at = full_at;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::default();
        let start = Instant::from_millis(10_000);
        assert_eq!((0..200).filter(|_| bucket.take(start, 60, 120)).count(), 120);
        // A second later, 60 more have come in.
        let later = Instant::from_millis(11_000);
        assert_eq!((0..200).filter(|_| bucket.take(later, 60, 120)).count(), 60);
        // After a long rest, a burst and no more.
        let rested = Instant::from_millis(900_000);
        assert_eq!((0..200).filter(|_| bucket.take(rested, 60, 120)).count(), 120);
    }
}

//! This node's lease: whether it may still speak for what it owns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rally_units::Instant;

/// How long a lease lives in Redis after a renewal.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// How often it is renewed.
pub(crate) const RENEW: Duration = Duration::from_millis(250);
/// How long after *sending* its last successful renewal a node may speak. Shorter than the lease: whoever sees the
/// lease gone knows that the node has been silent for 250 ms.
pub(crate) const HOLDS: Duration = Duration::from_millis(750);

/// The last successful renewal, readable from any thread without a lock.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    /// Nanoseconds of the clock, 0 for never.
    renewed_sent_ns: Arc<AtomicU64>,
    /// How often it has not held between two renewals.
    lapses: Arc<AtomicU64>,
}

impl Lease {
    /// When the last renewal that succeeded was sent. `None` before the first.
    pub fn last_renewed_sent(&self) -> Option<Instant> {
        match self.renewed_sent_ns.load(Ordering::Acquire) {
            0 => None,
            ns => Some(Instant::from_nanos(ns)),
        }
    }

    /// Whether this node may speak for what it owns: for 750 ms after a renewal was sent.
    pub fn holds(&self, now: Instant) -> bool {
        self.last_renewed_sent().is_some_and(|sent| now.since(sent) < HOLDS)
    }

    /// How often it has lapsed and come back. Ask after [`holds`](Self::holds): a process that stood still may find its
    /// lease renewed already when it first looks, and must know all the same that it did not hold meanwhile.
    pub fn lapses(&self) -> u64 {
        self.lapses.load(Ordering::Acquire)
    }

    /// A renewal sent at `sent` has succeeded.
    pub(crate) fn renewed(&self, sent: Instant) {
        // Before it holds again, so that nobody sees that without this.
        if self.last_renewed_sent().is_some_and(|before| sent.since(before) >= HOLDS) {
            self.lapses.fetch_add(1, Ordering::AcqRel);
        }
        self.renewed_sent_ns.fetch_max(sent.as_nanos().max(1), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_for_750_ms_after_the_renewal_was_sent() {
        let lease = Lease::default();
        assert!(!lease.holds(Instant::from_millis(5)));
        lease.renewed(Instant::from_millis(1_000));
        assert!(lease.holds(Instant::from_millis(1_749)));
        assert!(!lease.holds(Instant::from_millis(1_750)));
        // A late answer to an older renewal changes nothing.
        lease.renewed(Instant::from_millis(900));
        assert_eq!(lease.last_renewed_sent(), Some(Instant::from_millis(1_000)));
        assert_eq!(lease.lapses(), 0);
        lease.renewed(Instant::from_millis(1_749));
        assert_eq!(lease.lapses(), 0);
        // Looked at only now, it holds; that it did not is known.
        lease.renewed(Instant::from_millis(2_499));
        assert!(lease.holds(Instant::from_millis(2_500)));
        assert_eq!(lease.lapses(), 1);
    }
}

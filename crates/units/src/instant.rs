//! A moment on one machine's monotonic clock, in integer nanoseconds.
//!
//! Shells read the clock (one that counts suspension, see `service::clock`); everything below is told the time.
//! Instants of two machines cannot be compared, and none travels on the wire.

use std::{
    ops::{Add, AddAssign, Sub},
    time::Duration,
};

/// Nanoseconds since some fixed moment of this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The moment this many nanoseconds after the clock's zero.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// The moment this many milliseconds after the clock's zero: for tests that count in milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment this long before, or the clock's zero.
    #[must_use]
    pub const fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(ago.as_nanos() as u64))
    }

    /// Time from `earlier` to this moment, zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// Saturating, like [`Instant::since`].
    fn sub(self, rhs: Self) -> Duration {
        self.since(rhs)
    }
}

//! Ticks and sub-steps, and the one formula that turns a tick into a deadline.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Instant;

/// Ticks a second. A snapshot goes out at each.
pub const TICK_HZ: u32 = 60;

/// Physics sub-steps in one tick: 240 a second.
pub const SUB_STEPS_PER_TICK: u32 = 4;

/// Count of ticks since a match was created, in every state of the match. 32 bits last for two years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tick(pub u32);

impl Tick {
    /// The tick after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Count of sub-steps in play: the match clock. It stands still in countdowns and pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubStep(pub u32);

impl fmt::Display for SubStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When the ticks of a loop are due: tick `n` at `start + n / (60 * parts)` seconds.
///
/// The division is done once per deadline on the whole product, in integer nanoseconds. Adding a rounded
/// period instead would drift: 16 ms would run at 62.5 Hz.
#[derive(Clone, Copy, Debug)]
pub struct TickSchedule {
    start: Instant,
    parts: u32,
}

impl TickSchedule {
    /// A schedule whose step 0 is due at `start`, with `parts` steps in each tick (its phases).
    pub const fn new(start: Instant, parts: u32) -> Self {
        assert!(parts > 0, "a tick has at least one part");
        Self { start, parts }
    }

    /// When step `n` is due.
    pub const fn due(&self, n: u64) -> Instant {
        let steps_per_s = (TICK_HZ * self.parts) as u128;
        let offset_ns = n as u128 * 1_000_000_000 / steps_per_s;
        Instant::from_nanos(self.start.as_nanos() + offset_ns as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_do_not_drift() {
        let schedule = TickSchedule::new(Instant::from_nanos(7), 4);
        assert_eq!(schedule.due(0).as_nanos(), 7);
        assert_eq!(schedule.due(1).as_nanos(), 7 + 4_166_666);
        assert_eq!(schedule.due(240).as_nanos(), 7 + 1_000_000_000);
        let day = 240 * 86_400;
        assert_eq!(schedule.due(day).as_nanos(), 7 + 86_400 * 1_000_000_000);
    }
}

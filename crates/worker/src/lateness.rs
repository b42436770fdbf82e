//! How late the steps are: the 99th percentile of the last second, for the registry.

use std::time::Duration;

use rally_units::Instant;

use crate::pacing::PHASES;

const WINDOW: Duration = Duration::from_secs(1);
const STEPS_PER_S: usize = rally_units::TICK_HZ as usize * PHASES;

/// The last window's lateness, in microseconds.
#[derive(Debug)]
pub(crate) struct Lateness {
    window_us: Vec<u32>,
    window_start: Instant,
    p99_us: u32,
}

impl Lateness {
    pub(crate) fn new() -> Self {
        Self { window_us: Vec::with_capacity(2 * STEPS_PER_S), window_start: Instant::default(), p99_us: 0 }
    }

    pub(crate) fn record(&mut self, lateness: Duration) {
        // A loop that catches up runs more steps than fit a second; those beyond are like the ones before.
        if self.window_us.len() < self.window_us.capacity() {
            self.window_us.push(u32::try_from(lateness.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// Of the last whole window.
    pub(crate) fn p99_us(&mut self, now: Instant) -> u32 {
        if now.since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.window_us.sort_unstable();
            let at = (self.window_us.len() * 99).div_ceil(100).saturating_sub(1);
            self.p99_us = self.window_us.get(at).copied().unwrap_or(0);
            self.window_us.clear();
        }
        self.p99_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_of_the_last_second() {
        let mut lateness = Lateness::new();
        for us in 1..=100 {
            lateness.record(Duration::from_micros(us));
        }
        let now = Instant::from_millis(5_000);
        assert_eq!(lateness.p99_us(now), 99);
        lateness.record(Duration::from_micros(7));
        assert_eq!(lateness.p99_us(now), 99, "the window is not over");
        assert_eq!(lateness.p99_us(now + WINDOW), 7);
        assert_eq!(lateness.p99_us(now + WINDOW * 2), 0);
    }
}

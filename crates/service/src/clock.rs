//! The clocks of this machine: the only place that reads them for the state machines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rally_units::Instant;
use rustix::time::{ClockId, clock_gettime};

/// Now, on a clock that never jumps and goes on while the machine is suspended. One that stood still (as
/// `std::time::Instant`'s does) would let a worker that was suspended believe that its lease is still good.
pub fn now() -> Instant {
    let t = clock_gettime(ClockId::Boottime);
    let (s, ns) = (u64::try_from(t.tv_sec).unwrap_or(0), u64::try_from(t.tv_nsec).unwrap_or(0));
    Instant::from_nanos(s * 1_000_000_000 + ns)
}

/// Milliseconds since 1970 by the wall clock, which people set: for display and storage, never for deadlines.
pub fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Sleeps until a moment of [`now`]'s clock. tokio's timer has a grain of a millisecond and rounds up.
pub async fn sleep_until(deadline: Instant) {
    // tokio's clock stands still during suspension, so that we may wake early by ours: look again.
    loop {
        let left = deadline.since(now());
        if left == Duration::ZERO {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_agrees_with_the_uptime() {
        let before = now();
        let uptime = std::fs::read_to_string("/proc/uptime").expect("uptime");
        let after = now();
        assert!(before <= after);
        let seconds: f64 = uptime.split(' ').next().and_then(|s| s.parse().ok()).expect("a number");
        let ours = after.as_nanos() as f64 / 1e9;
        assert!((ours - seconds).abs() < 5.0, "{ours} against {seconds}");
    }

    #[test]
    fn the_wall_clock_counts_from_1970() {
        // 2020 and 2200.
        assert!((1_577_836_800_000..7_258_118_400_000).contains(&wall_ms()));
    }

    #[tokio::test]
    async fn sleeping_ends_at_the_deadline_not_before() {
        let deadline = now() + Duration::from_millis(20);
        sleep_until(deadline).await;
        assert!(now() >= deadline);
    }
}

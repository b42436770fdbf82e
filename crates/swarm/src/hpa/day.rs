//! How many players there are over a day: few in the early morning, most in the evening, always a little more or less
//! than a moment ago; and at noon, within a minute, far more for twenty minutes.

use std::f64::consts::TAU;

/// A day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    /// Players at its height, the spike aside.
    pub(super) peak_players: f64,
    /// How many times as many there are in the spike.
    pub(super) spike: f64,
}

const HOUR_S: u32 = 60 * 60;
/// When there are fewest; twelve hours later there are most.
const LEAST_AT_S: u32 = 5 * HOUR_S;
/// Of the height, at the least.
const LEAST: f64 = 0.1;
/// How much more or less there are from one minute to the next.
const RIPPLE: f64 = 0.03;
const SPIKE_RISES_S: u32 = 60;
const SPIKE_LASTS_S: u32 = 20 * 60;
const SPIKE_FALLS_S: u32 = 10 * 60;

impl Day {
    /// Its length.
    pub(super) const SECONDS: u32 = 24 * HOUR_S;
    /// When the spike begins.
    pub(super) const SPIKE_S: u32 = 12 * HOUR_S;
    /// When all of it is there.
    pub(super) const SPIKE_RISEN_S: u32 = Self::SPIKE_S + SPIKE_RISES_S;

    /// Players at this second.
    pub(super) fn players(&self, second: u32) -> f64 {
        let turn = |period_s: u32, from_s: u32| (f64::from(second) - f64::from(from_s)) / f64::from(period_s) * TAU;
        let base = LEAST + (1.0 - LEAST) * (0.5 - 0.5 * turn(Self::SECONDS, LEAST_AT_S).cos());
        // Periods that have nothing to do with each other, nor with the autoscaler's.
        let ripple = 1.0 + RIPPLE * 0.5 * (turn(7 * 60 + 1, 0).sin() + turn(11 * 60 + 3, 0).sin());
        self.peak_players * base * ripple * (1.0 + (self.spike - 1.0) * spike(second))
    }
}

/// How much of the spike there is: 0 to 1.
fn spike(second: u32) -> f64 {
    let since = f64::from(second) - f64::from(Day::SPIKE_S);
    let (rises, lasts, falls) = (f64::from(SPIKE_RISES_S), f64::from(SPIKE_LASTS_S), f64::from(SPIKE_FALLS_S));
    if since < 0.0 {
        0.0
    } else if since < rises {
        since / rises
    } else {
        (1.0 - (since - rises - lasts) / falls).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_quiet_at_night_and_full_in_the_evening_with_a_spike_at_noon() {
        let day = Day { peak_players: 1_000.0, spike: 2.0 };
        let near = |second, expected: f64| {
            let players = day.players(second);
            assert!((players / expected - 1.0).abs() <= RIPPLE + 0.001, "{second}: {players}");
        };
        near(LEAST_AT_S, 100.0);
        near(LEAST_AT_S + 12 * HOUR_S, 1_000.0);
        let calm = Day { spike: 1.0, ..day };
        for (second, times) in [(-1, 1.0), (0, 1.0), (30, 1.5), (60, 2.0), (1_260, 2.0), (1_560, 1.5), (1_860, 1.0)] {
            let second = Day::SPIKE_S.saturating_add_signed(second);
            assert!((day.players(second) / calm.players(second) - times).abs() < 1e-9, "{second}");
        }
    }
}

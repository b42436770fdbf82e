//! When the loop's steps are due. A step is a quarter of a tick: at each, the matches of one phase tick.
//!
//! Deadlines come from one formula in integer nanoseconds ([`TickSchedule`]), so they do not drift. A loop that is
//! late catches up by running steps back to back, for at most [`CATCH_UP_TICKS_MAX`] ticks; what is beyond that is
//! shed: the schedule starts anew, and the matches' clocks have simply stood still.

use std::time::Duration;

use rally_units::{Instant, TICK_HZ, TickSchedule};

/// Phases over which the matches of a worker are spread, so that their sends do not come in one burst.
pub(crate) const PHASES: usize = 4;

/// Ticks run back to back at most. Five are 83 ms: beyond that a rally would visibly jump.
pub(crate) const CATCH_UP_TICKS_MAX: u64 = 5;

const CATCH_UP_STEPS_MAX: u64 = CATCH_UP_TICKS_MAX * PHASES as u64;

/// Bundles a second that a node sends or receives before phases are merged (each is a message for Redis).
const BUNDLES_PER_S_MAX: u32 = 2_400;

/// Matches that go out in one burst before the tick is spread over more of them. A bundle costs its sender, Redis and its
/// receiver a wake-up each, far more than a match in it does; a burst of so many is written within a few milliseconds.
const MATCHES_PER_BURST_MAX: usize = 256;

/// The schedule of one loop.
#[derive(Debug)]
pub(crate) struct Pacing {
    schedule: TickSchedule,
    /// The step of `schedule` that is due next.
    next: u64,
    /// Steps taken under schedules before this one, so that phases go round without a break.
    before: u64,
}

/// What to do at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing is due before then.
    Wait(Instant),
    /// Run this phase's step, which is late by this much.
    Step { phase: usize, lateness: Duration },
}

impl Pacing {
    pub(crate) fn new(start: Instant) -> Self {
        Self { schedule: TickSchedule::new(start, PHASES as u32), next: 0, before: 0 }
    }

    /// What to do now, and how many ticks were shed if the loop was too late to catch up.
    pub(crate) fn poll(&mut self, now: Instant) -> (Pace, u64) {
        let due = self.schedule.due(self.next);
        if now < due {
            return (Pace::Wait(due), 0);
        }
        let lateness = now - due;
        let mut shed_ticks = 0;
        if now >= self.schedule.due(self.next + CATCH_UP_STEPS_MAX) {
            // Whole ticks. A machine that was suspended is late by days: this must not count them one by one.
            shed_ticks = (lateness.as_nanos() * u128::from(TICK_HZ) / 1_000_000_000) as u64;
            self.restart(now);
        }
        let phase = ((self.before + self.next) % PHASES as u64) as usize;
        self.next += 1;
        (Pace::Step { phase, lateness }, shed_ticks)
    }

    /// Starts anew at `now`.
    fn restart(&mut self, now: Instant) {
        self.before += self.next;
        self.next = 0;
        self.schedule = TickSchedule::new(now, PHASES as u32);
    }
}

/// In how many bursts a tick's bundles go out: 1, 2 or 4, as many as the matches need and the peers allow.
#[derive(Debug)]
pub(crate) struct Bursts {
    now: usize,
    wanted: usize,
}

impl Bursts {
    pub(crate) const fn new() -> Self {
        Self { now: 1, wanted: 1 }
    }

    /// A worker sends to `edges` edges; an edge receives from `workers` workers. Counts from the next tick on.
    pub(crate) fn adapt(&mut self, matches: usize, edges: usize, workers: usize) {
        let peers = u32::try_from(edges.max(workers)).unwrap_or(u32::MAX);
        let needed = match matches.div_ceil(MATCHES_PER_BURST_MAX) {
            0 | 1 => 1,
            2 => 2,
            _ => 4,
        };
        let fits = |bursts: &u32| *bursts <= needed && peers.saturating_mul(TICK_HZ * bursts) <= BUNDLES_PER_S_MAX;
        self.wanted = [4, 2].into_iter().find(fits).unwrap_or(1) as usize;
    }

    /// The phases that run at the step of `phase`. Each runs once a tick, also in that in which the number changes.
    pub(crate) fn at(&mut self, phase: usize) -> std::ops::Range<usize> {
        if phase == 0 {
            self.now = self.wanted;
        }
        let width = PHASES / self.now;
        if phase.is_multiple_of(width) { phase..phase + width } else { phase..phase }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Instant {
        Instant::from_millis(1_000 + ms)
    }

    #[test]
    fn phases_go_round_four_to_a_tick() {
        let mut pacing = Pacing::new(at_ms(0));
        let mut now = at_ms(0);
        let mut phases = Vec::new();
        while phases.len() < 240 {
            match pacing.poll(now).0 {
                Pace::Wait(due) => now = due,
                Pace::Step { phase, lateness } => {
                    assert_eq!(lateness, Duration::ZERO);
                    phases.push(phase);
                }
            }
        }
        assert!(phases.iter().enumerate().all(|(i, phase)| *phase == i % PHASES));
        // The 240th step after the first is due a second after it, to the nanosecond.
        assert_eq!(pacing.poll(now).0, Pace::Wait(at_ms(1_000)));
    }

    #[test]
    fn a_short_stall_is_caught_up() {
        let mut pacing = Pacing::new(at_ms(0));
        let mut steps = 0;
        let now = at_ms(80);
        while let (Pace::Step { .. }, shed) = pacing.poll(now) {
            assert_eq!(shed, 0);
            steps += 1;
        }
        assert_eq!(steps, 20, "80 ms hold 19.2 steps, and the first was due at 0");
    }

    #[test]
    fn a_long_stall_is_shed_and_counted() {
        let mut pacing = Pacing::new(at_ms(0));
        let (pace, shed) = pacing.poll(at_ms(1_000));
        assert_eq!(shed, 60);
        assert!(matches!(pace, Pace::Step { phase: 0, .. }), "{pace:?}");
        let (pace, shed) = pacing.poll(at_ms(1_000));
        assert_eq!(shed, 0);
        assert!(matches!(pace, Pace::Wait(_)), "the schedule has started anew");
    }

    #[test]
    fn a_machine_that_slept_for_a_year_goes_on_at_once() {
        let mut pacing = Pacing::new(at_ms(0));
        const YEAR_S: u64 = 365 * 86_400;
        let started = std::time::Instant::now();
        assert_eq!(pacing.poll(at_ms(YEAR_S * 1_000)).1, YEAR_S * 60);
        assert!(started.elapsed() < Duration::from_millis(10), "in one step, not one for each tick");
    }

    #[test]
    fn many_matches_spread_a_tick_and_many_peers_merge_it_again() {
        let bursts_of = |matches, edges, workers| {
            let mut bursts = Bursts::new();
            bursts.adapt(matches, edges, workers);
            bursts.at(0);
            bursts.now
        };
        assert_eq!([0, 256, 257, 512, 513, 5_000].map(|matches| bursts_of(matches, 2, 2)), [1, 1, 2, 2, 4, 4]);
        let peers = [(2, 2), (10, 3), (11, 3), (3, 20), (21, 1)];
        assert_eq!(peers.map(|(edges, workers)| bursts_of(1_000, edges, workers)), [4, 4, 2, 2, 1]);
    }

    #[test]
    fn each_phase_runs_once_a_tick_while_peers_come_and_go() {
        let mut bursts = Bursts::new();
        for step in 0..400 {
            bursts.adapt(1_000, [2, 11, 21, 12][step / 3 % 4], 1);
            let phase = step % PHASES;
            if phase == 0 {
                // Every number of bursts begins with phase 0, so a tick's phases are those until the next such step.
                let mut all: Vec<usize> = bursts.at(0).collect();
                for phase in 1..PHASES {
                    bursts.adapt(1_000, [21, 2, 11][(step + phase) % 3], 1);
                    all.extend(bursts.at(phase));
                }
                assert_eq!(all, [0, 1, 2, 3]);
            }
        }
    }
}

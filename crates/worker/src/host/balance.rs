//! Moving matches away from a worker that is late, or busier than the others: slowly, so that what is measured meanwhile
//! is the effect, and a load that is only passing moves little.

use std::time::Duration;

use rally_units::{Instant, MatchId};

use super::{Host, hosted::Standing, moves::Why};

/// Ticks that are later than this, in the 99th percentile, are late.
const LATE_US: u32 = 4_000;
/// For how long ticks must have been late.
const LATE_FOR: Duration = Duration::from_secs(5);
/// From one move to the next.
const MOVE_EVERY: Duration = Duration::from_millis(250);
/// By how many matches this worker must be ahead of the others' mean, and by which part of it.
const AHEAD_MIN: u32 = 8;
const AHEAD_PART: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Balance {
    late_since: Option<Instant>,
    next_move: Instant,
}

impl Host {
    /// How late ticks have been in the last second, in the 99th percentile.
    pub(crate) fn balance(&mut self, now: Instant, tick_lateness_us: u32) {
        if tick_lateness_us > LATE_US {
            self.balance.late_since.get_or_insert(now);
        } else {
            self.balance.late_since = None;
        }
        let me = self.config.me;
        let others: Vec<u32> = self
            .recovery
            .peers
            .iter()
            .filter(|peer| peer.node != me && !peer.draining)
            .map(|peer| peer.matches)
            .collect();
        if self.draining || others.is_empty() || now < self.balance.next_move || self.moves.going_len() > 0 {
            return;
        }
        let is_late = self.balance.late_since.is_some_and(|since| now.since(since) >= LATE_FOR);
        let mean = others.iter().sum::<u32>() / others.len() as u32;
        let mine = u32::try_from(self.load()).unwrap_or(u32::MAX);
        let is_ahead = mine > mean + AHEAD_MIN.max(mean / AHEAD_PART);
        // Whoever is late and has the least is not helped by the others, who would be later.
        if is_ahead || (is_late && mine > mean / 2) {
            self.balance.next_move = now + MOVE_EVERY;
            if let Some(match_id) = self.any_live() {
                self.want_move(match_id, None, Why::Balance);
            }
        }
    }

    fn any_live(&self) -> Option<MatchId> {
        let live = self.phases.iter().flatten().find(|(_, hosted)| hosted.standing == Standing::Live);
        live.map(|(match_id, _)| *match_id)
    }
}

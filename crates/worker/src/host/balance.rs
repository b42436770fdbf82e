//! What a worker does about too much work. At once, and one step each second: spectators get every third snapshot, then
//! players every second one, then no new matches are taken. And slowly, so that what is measured meanwhile is the effect,
//! and a load that is only passing moves little: matches move to other workers, also when this one is merely busier.

use std::time::Duration;

use rally_units::{Instant, MatchId, Tick};

use super::{Host, hosted::Standing, moves::Why};

/// Ticks that are later than this, in the 99th percentile, are late: matches had better move away.
const LATE_US: u32 = 4_000;
/// By three ticks: this worker hardly keeps up, and leaves something out until it does. (At five, ticks are shed.) Less is
/// what a machine shows that is busy with something else for a moment.
const OVERLOADED_US: u32 = 50_000;
/// For how long ticks must have been late.
const LATE_FOR: Duration = Duration::from_secs(5);
/// From one move to the next.
const MOVE_EVERY: Duration = Duration::from_millis(250);
/// By how many matches this worker must be ahead of the others' mean, and by which part of it.
const AHEAD_MIN: u32 = 8;
const AHEAD_PART: u32 = 4;

/// From one step of shedding to the next.
const SHED_EVERY: Duration = Duration::from_secs(1);
/// For how long ticks must have been well in time before a step is taken back.
const CALM_FOR: Duration = Duration::from_secs(5);
/// Every third snapshot is 20 Hz, every second one 30 Hz.
const SPECTATORS_EVERY: u32 = 3;
const PLAYERS_EVERY: u32 = 2;

/// How much is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Shed {
    #[default]
    Nothing = 0,
    /// Edges with spectators alone get fewer snapshots.
    Spectators = 1,
    /// And those with players.
    Players = 2,
    /// And no matches are taken.
    Matches = 3,
}

impl Shed {
    const ALL: [Self; 4] = [Self::Nothing, Self::Spectators, Self::Players, Self::Matches];

    fn more(self) -> Self {
        Self::ALL[(self as usize + 1).min(3)]
    }

    fn less(self) -> Self {
        Self::ALL[(self as usize).saturating_sub(1)]
    }

    /// Whether an edge gets the snapshot of this tick.
    pub(super) fn shows(self, tick: Tick, has_player: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::Spectators => tick.0.is_multiple_of(SPECTATORS_EVERY) || has_player(),
            Self::Players | Self::Matches => {
                tick.0.is_multiple_of(if has_player() { PLAYERS_EVERY } else { SPECTATORS_EVERY })
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Balance {
    pub(super) shed: Shed,
    shed_at: Instant,
    calm_since: Option<Instant>,
    late_since: Option<Instant>,
    overloaded_since: Option<Instant>,
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
        self.shed(now, tick_lateness_us);
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
        // Whoever is late and has no more than the others is not helped by them: on a machine that is busy with something
        // else all are late, and matches would go round.
        if is_ahead || (is_late && mine > mean + 1) {
            self.balance.next_move = now + MOVE_EVERY;
            if let Some(match_id) = self.any_live() {
                self.want_move(match_id, None, Why::Balance);
            }
        }
    }

    fn shed(&mut self, now: Instant, tick_lateness_us: u32) {
        let balance = &mut self.balance;
        let before = balance.shed;
        if tick_lateness_us > OVERLOADED_US {
            balance.calm_since = None;
            // The first second of it may be a start, or a stall.
            let lasts = now.since(*balance.overloaded_since.get_or_insert(now)) >= SHED_EVERY;
            if lasts && now.since(balance.shed_at) >= SHED_EVERY {
                balance.shed = balance.shed.more();
            }
        } else {
            balance.overloaded_since = None;
            if tick_lateness_us > OVERLOADED_US / 2 {
                balance.calm_since = None;
            } else if now.since(*balance.calm_since.get_or_insert(now)) >= CALM_FOR {
                balance.calm_since = Some(now);
                balance.shed = balance.shed.less();
            }
        }
        if balance.shed != before {
            balance.shed_at = now;
            self.metrics.shed.set(f64::from(balance.shed as u8));
            tracing::warn!(shed = ?balance.shed, tick_lateness_us, "leaves out more or less");
        }
    }

    fn any_live(&self) -> Option<MatchId> {
        let live = self.phases.iter().flatten().find(|(_, hosted)| hosted.standing == Standing::Live);
        live.map(|(match_id, _)| *match_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectators_first_then_players_then_new_matches() {
        let shown =
            |shed: Shed, has_player: bool| (0..60).filter(|tick| shed.shows(Tick(*tick), || has_player)).count();
        let rates = Shed::ALL.map(|shed| (shown(shed, true), shown(shed, false)));
        assert_eq!(rates, [(60, 60), (60, 20), (30, 20), (30, 20)]);
        assert_eq!(Shed::Nothing.less(), Shed::Nothing);
        assert_eq!(Shed::Matches.more(), Shed::Matches);
    }
}

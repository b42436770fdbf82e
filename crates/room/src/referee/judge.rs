//! Who is missing for how long, and what follows from it.

use rally_sim::Side;

use super::{Reason, Referee, SeatKind, Stage};
use crate::limits::{
    ABANDONED_TICKS, AWAY_GRACE_TICKS, AWAY_TICKS_MAX, NO_SHOW_TICKS, OPEN_SEAT_EMPTY_TICKS_MAX, OPEN_SEAT_TICKS_MAX,
    READY_TICKS_MAX,
};

/// How a match ends: who wins, and why.
type Verdict = (Option<Side>, Reason);

impl Referee {
    pub(super) fn count_absences(&mut self) {
        let waiting = self.stage == Stage::Waiting;
        for side in Side::ALL {
            if self.setup.seats[side.index()] != SeatKind::Person {
                continue;
            }
            let player = &mut self.players[side.index()];
            if waiting
                && !player.ready
                && let Some(ticks) = &mut player.unready_ticks
            {
                *ticks += 1;
            }
            if player.there {
                continue;
            }
            player.absent_ticks += 1;
            player.away_ticks += u32::from(!waiting);
        }
        let has_people = self.people().next().is_some();
        if has_people && self.people().all(|(_, player)| !player.there) {
            self.empty_ticks += 1;
        }
    }

    /// Whether somebody has been away for so long that the match must pause.
    pub(super) fn someone_is_lost(&self) -> bool {
        self.people().any(|(_, player)| !player.there && player.absent_ticks >= AWAY_GRACE_TICKS)
    }

    /// Whether a side has let the other wait for too long.
    pub(super) fn is_late(&self, side: Side) -> bool {
        if self.setup.seats[self.holder(side).index()] != SeatKind::Person {
            return false;
        }
        let player = self.player(side);
        let absent = !player.there && player.absent_ticks >= NO_SHOW_TICKS;
        let unready = !player.ready && player.unready_ticks.is_some_and(|ticks| ticks >= READY_TICKS_MAX);
        absent || unready
    }

    /// Before play: whether a player does not come.
    pub(super) fn judge_arrival(&self) -> Option<Verdict> {
        if self.setup.seats.contains(&SeatKind::Open) {
            return if self.empty_ticks >= OPEN_SEAT_EMPTY_TICKS_MAX {
                Some((None, Reason::Abandoned))
            } else if self.tick.0 >= OPEN_SEAT_TICKS_MAX {
                Some((None, Reason::NoShow))
            } else {
                None
            };
        }
        let late = Side::ALL.map(|side| self.is_late(side));
        if late == [true; 2] {
            return Some((None, Reason::NoShow));
        }
        let side = Side::ALL.into_iter().find(|side| late[side.index()])?;
        let opponent = side.opponent();
        // An opponent who is away for a moment comes back, or is late soon.
        self.is_there(opponent).then_some((self.setup.no_show_wins.then_some(opponent), Reason::NoShow))
    }

    /// Since the first countdown: whether a player's time away is up, or nobody is left.
    pub(super) fn judge_absence(&self) -> Option<Verdict> {
        for (side, player) in self.people() {
            if player.there || player.away_ticks < AWAY_TICKS_MAX {
                continue;
            }
            let opponent = side.opponent();
            if self.setup.seats[opponent.index()] != SeatKind::Person {
                // There is no other person: nobody is left.
                return Some((None, Reason::Abandoned));
            }
            if self.is_there(opponent) {
                return Some((Some(opponent), Reason::Timeout));
            }
        }
        (self.empty_ticks >= ABANDONED_TICKS).then_some((None, Reason::Abandoned))
    }
}

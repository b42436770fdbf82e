//! What a match says of itself: to those who come in, and at its end.

use rally_protocol::client::v1::{MatchJoined, Mode, Place, Player, Side, Skill};
use rally_units::TICK_HZ;

use super::{Ending, Joined, Replaced, Room, SIDES};
use crate::{
    FinishedMatch, FinishedPlayer, PlayerStats, Who,
    convert::{self, side_to_rules, side_to_wire},
    log::End,
    referee::Outcome,
    seats::Holder,
};

impl Room {
    /// The whole picture, for a session that has just come in.
    pub(super) fn joined(&self, place: Place, generation: u16, replaced: Option<Replaced>) -> Joined {
        let rules = self.referee.world().rules();
        let picture = MatchJoined {
            match_id: self.id,
            side: place,
            players: SIDES.map(|side| self.player(side)),
            mode: self.mode,
            phase: self.phase(),
            snapshot: convert::snapshot(&self.view()),
            classic: rules.classic,
            score_to_win: rules.score_to_win,
            private: self.private,
            // What is pending goes out with the next tick, or with a goal that is held back, after this.
            last_event: self.last_told(),
            over: match &self.ending {
                Ending::Recorded(over) => Some(over.clone()),
                _ => None,
            },
        };
        Joined { place, generation, picture, replaced }
    }

    fn player(&self, side: Side) -> Option<Player> {
        let seat = self.seats.get(side);
        let (user, bot) = match seat.holder {
            Holder::Open => return None,
            Holder::Bot(level) => (None, Some(level)),
            Holder::User { id, .. } => (Some(id), None),
        };
        let rules_side = side_to_rules(side);
        Some(Player {
            user,
            name: seat.holder.name(),
            bot,
            skill: self.skill(side),
            connected: bot.is_some() || seat.session.is_some(),
            ready: self.referee.is_ready(rules_side),
            pauses_left: self.referee.pauses_left(rules_side),
            away_left_s: self.referee.away_left_s(rules_side),
        })
    }

    fn skill(&self, side: Side) -> Option<Skill> {
        (!self.referee.world().rules().classic).then_some(self.seats.get(side).skill)
    }

    /// All that the match leaves behind.
    pub(super) fn finished(&self, outcome: Outcome) -> FinishedMatch {
        let world = self.referee.world();
        let ended = self.referee.tick_count();
        let rules = world.rules();
        let (score, duration) = (world.score(), world.clock());
        // The record stays until the result is recorded: should this owner end before, the next one hands it out.
        let mut record = self.record.clone();
        record.log.close(End::new(ended, world.hash(), world.score(), outcome));
        let players = SIDES.map(|side| {
            let holder = &self.seats.get(side).holder;
            let away_ms = u64::from(self.referee.away_ticks(side_to_rules(side))) * 1000 / u64::from(TICK_HZ);
            FinishedPlayer {
                who: match holder {
                    Holder::Open => Who::Nobody,
                    _ if self.mode == Mode::Local && side == Side::Right => Who::Shared,
                    Holder::Bot(level) => Who::Bot(*level),
                    Holder::User { id, .. } => Who::User(*id),
                },
                name: holder.name(),
                skill: self.skill(side),
                present: outcome.present[side.index()],
                stats: PlayerStats { disconnected_ms: away_ms, ..record.stats[side.index()] },
            }
        });
        FinishedMatch {
            id: self.id,
            epoch: self.epoch,
            mode: self.mode,
            classic: rules.classic,
            private: self.private,
            score_to_win: rules.score_to_win,
            players,
            score,
            winner: outcome.winner.map(side_to_wire),
            reason: convert::reason_to_wire(outcome.reason),
            started: self.referee.started(),
            ended,
            duration,
            events: record.events,
            replay: record.log,
        }
    }
}

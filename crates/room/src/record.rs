//! What is written down while a match goes on: statistics, events worth keeping, the replay log.

use rally_sim::{Event, PowerUpKind, Side, Skill};
use rally_units::{SubStep, Tick};

use crate::{
    Counters, convert,
    finished::{PlayerStats, RecordedEvent, RecordedKind},
    limits::RECORDED_EVENTS_MAX,
    log::{Action, ReplayLog},
    referee::Setup,
};

#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// All but the time away, which the referee counts.
    pub(crate) stats: [PlayerStats; 2],
    pub(crate) events: Vec<RecordedEvent>,
    pub(crate) log: ReplayLog,
    score: [u8; 2],
}

impl Record {
    pub(crate) fn new(setup: Setup) -> Self {
        let score = setup.resumed_at.unwrap_or_default();
        Self { stats: Default::default(), events: Vec::new(), log: ReplayLog::new(setup), score }
    }

    /// As it was, at another owner.
    pub(crate) fn rebuilt(stats: [PlayerStats; 2], events: Vec<RecordedEvent>, log: ReplayLog, score: [u8; 2]) -> Self {
        Self { stats, events, log, score }
    }

    /// Notes an action that was taken after this tick.
    pub(crate) fn action(&mut self, tick: Tick, action: Action, counters: &mut Counters) {
        counters.replays_cut += u32::from(self.log.push(tick, action));
    }

    /// The score with all goals noted so far. Within a tick the world is ahead of this.
    pub(crate) fn score(&self) -> [u8; 2] {
        self.score
    }

    /// Notes what the rules told; `n` is the number of its `match_event`, if it has one.
    pub(crate) fn played(&mut self, n: u32, clock: SubStep, event: Event, counters: &mut Counters) {
        match event {
            Event::Hit { side, speed, .. } => {
                let stats = &mut self.stats[side.index()];
                stats.paddle_hits += 1;
                stats.fastest_ball = stats.fastest_ball.max(speed);
            }
            Event::SkillUsed { side, skill } => {
                let stats = &mut self.stats[side.index()];
                stats.skills_used += 1;
                stats.skills_successful += u32::from(skill == Skill::Dash);
                self.keep(n, clock, side, RecordedKind::Skill(convert::skill_to_wire(skill)), counters);
            }
            Event::SmashHit { side } => self.stats[side.index()].skills_successful += 1,
            Event::Goal { scorer, y } => {
                self.score[scorer.index()] = self.score[scorer.index()].saturating_add(1);
                self.keep(n, clock, scorer, RecordedKind::Goal { y, score: self.score }, counters);
            }
            Event::PowerUpCollected { side, kind, .. } => {
                let collected = match kind {
                    PowerUpKind::Split => 0,
                    PowerUpKind::Blackout => 1,
                    PowerUpKind::Blackhole => 2,
                };
                self.stats[side.index()].power_ups[collected] += 1;
                self.keep(n, clock, side, RecordedKind::PowerUp(convert::power_up_to_wire(kind)), counters);
            }
            Event::Served { .. } | Event::PowerUpSpawned { .. } | Event::PowerUpExpired { .. } | Event::SplitEnded => {}
        }
    }

    fn keep(&mut self, n: u32, clock: SubStep, side: Side, kind: RecordedKind, counters: &mut Counters) {
        // Goals are few, and a match without its last one would be a riddle.
        if self.events.len() >= RECORDED_EVENTS_MAX && !matches!(kind, RecordedKind::Goal { .. }) {
            counters.events_unrecorded += 1;
            return;
        }
        self.events.push(RecordedEvent { n, clock, side: convert::side_to_wire(side), kind });
    }
}

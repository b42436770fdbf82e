//! What happened in a tick, for scores, statistics, sounds and the record of a match.
//!
//! The caller owns one [`Events`] and passes it to every tick, which empties it first: it holds what happened in that
//! one call. Its room is the sum of what the rules can do at most, so nothing is ever dropped and nothing allocates.

use arrayvec::ArrayVec;
use rally_units::{SUB_STEPS_PER_TICK, SubStep};

use crate::{BALLS_MAX, POWER_UPS_MAX, PowerUpKind, Side, Skill};

/// Most events of one sub-step. A ball hits at most one paddle (they are 1830 u apart) and leaves at most once; a
/// player uses at most one skill; one power-up appears at most, and each of the others is taken or runs out; a split
/// ends; one serve follows. The smash of a press is announced once, so there are at most two.
const PER_SUB_STEP_MAX: usize = 2 * BALLS_MAX + 2 * 2 + 1 + POWER_UPS_MAX + 1 + 1;

/// Most events of one tick.
pub const EVENTS_MAX: usize = PER_SUB_STEP_MAX * SUB_STEPS_PER_TICK as usize;

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A ball leaves the centre.
    Served {
        /// The side it flies to.
        towards: Side,
    },
    /// A paddle hit a ball.
    Hit {
        /// The paddle's.
        side: Side,
        /// Of the ball afterwards, in u/s.
        speed: f64,
        /// Whether the hit fell within a smash.
        smash: bool,
    },
    /// A press that was accepted.
    SkillUsed {
        /// Who pressed.
        side: Side,
        /// What was used.
        skill: Skill,
    },
    /// A smash met its first ball. Comes once for a press, so that no more smashes succeed than were used.
    SmashHit {
        /// Whose smash.
        side: Side,
    },
    /// A ball passed a side line.
    Goal {
        /// Who scored.
        scorer: Side,
        /// Where the ball passed, in u.
        y: f64,
    },
    /// A power-up appeared.
    PowerUpSpawned {
        /// What it does.
        kind: PowerUpKind,
        /// Its centre, in u.
        x: f64,
        /// Its centre, in u.
        y: f64,
    },
    /// A ball took a power-up.
    PowerUpCollected {
        /// Who gets it.
        side: Side,
        /// What it does.
        kind: PowerUpKind,
        /// Its centre, in u.
        x: f64,
        /// Its centre, in u.
        y: f64,
    },
    /// A power-up ran out before anyone took it.
    PowerUpExpired {
        /// What it would have done.
        kind: PowerUpKind,
        /// Its centre, in u.
        x: f64,
        /// Its centre, in u.
        y: f64,
    },
    /// A split is over: its time ran out, or the last ball left.
    SplitEnded,
}

/// What happened in one tick, in order, each with the zero-based index of its sub-step.
#[derive(Clone, Debug, Default)]
pub struct Events(ArrayVec<(SubStep, Event), EVENTS_MAX>);

impl Events {
    /// An empty buffer, to be used for all ticks.
    pub fn new() -> Self {
        Self::default()
    }

    /// All events, in the order in which they happened.
    pub fn iter(&self) -> impl Iterator<Item = (SubStep, Event)> + '_ {
        self.0.iter().copied()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn push(&mut self, at: SubStep, event: Event) {
        let pushed = self.0.try_push((at, event));
        debug_assert!(pushed.is_ok(), "EVENTS_MAX counts every event that the rules allow");
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = (SubStep, Event);
    type IntoIter = std::iter::Copied<std::slice::Iter<'a, (SubStep, Event)>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().copied()
    }
}

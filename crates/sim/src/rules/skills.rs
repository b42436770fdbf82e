//! What a press does.

use crate::{Event, Events, Side, Skill, World, field::SUB_STEPS_PER_S};

/// What a smash makes of a ball's speed, on top of the hit's own factor.
const SMASH_FACTOR: f64 = 1.2;

impl Skill {
    /// Sub-steps from an accepted press until the next can be.
    pub const fn cooldown_sub_steps(self) -> u16 {
        match self {
            Self::Smash => 3 * SUB_STEPS_PER_S,
            Self::Dash => 5 * SUB_STEPS_PER_S,
        }
    }

    /// Sub-steps in which the skill is in force, the one of its press included.
    pub const fn active_sub_steps(self) -> u16 {
        match self {
            Self::Smash => SUB_STEPS_PER_S / 5,
            Self::Dash => SUB_STEPS_PER_S * 3 / 10,
        }
    }
}

/// One player's skill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkillState {
    /// Which one was chosen.
    pub skill: Skill,
    /// Sub-steps until a press counts again.
    pub cooldown_sub_steps: u16,
    /// Sub-steps for which it is still in force.
    pub active_sub_steps: u16,
    /// Whether the smash in force has met a ball.
    pub(crate) met: bool,
}

impl SkillState {
    pub(crate) const fn ready(skill: Skill) -> Self {
        Self { skill, cooldown_sub_steps: 0, active_sub_steps: 0, met: false }
    }

    /// What a smash in force makes of the speed of a ball that is hit now.
    pub(crate) fn smash_factor(&self) -> Option<f64> {
        (self.skill == Skill::Smash && self.active_sub_steps > 0).then_some(SMASH_FACTOR)
    }

    /// Notes that the smash met a ball; whether that was its first.
    pub(crate) fn meet(&mut self) -> bool {
        !std::mem::replace(&mut self.met, true)
    }

    /// Whether a dash is in force.
    pub(crate) fn dashes(&self) -> bool {
        self.skill == Skill::Dash && self.active_sub_steps > 0
    }
}

/// Lets a sub-step pass for the skills, then takes the presses that are waiting.
pub(crate) fn step(world: &mut World, events: &mut Events) {
    for side in Side::ALL {
        let state = &mut world.skills[side.index()];
        state.cooldown_sub_steps = state.cooldown_sub_steps.saturating_sub(1);
        state.active_sub_steps = state.active_sub_steps.saturating_sub(1);

        let pressed = std::mem::take(&mut world.paddles[side.index()].pressed);
        if pressed && state.cooldown_sub_steps == 0 && !world.rules.classic {
            state.cooldown_sub_steps = state.skill.cooldown_sub_steps();
            state.active_sub_steps = state.skill.active_sub_steps();
            state.met = false;
            events.push(world.clock, Event::SkillUsed { side, skill: state.skill });
        }
    }
}

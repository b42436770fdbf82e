//! The rules of Pong as a pure function: (state, inputs of a tick, random stream of the match) -> (state, events).
//!
//! [`World`] is the whole state of a match in play, its random stream included. The same seed and the same inputs at
//! the same ticks give the same [`World::hash`] on every machine: there is no clock, no entropy, no ordering by hash,
//! and sines come from `libm`. A tick allocates nothing.
//!
//! What a match is before, between and after play (countdowns, pauses, absences, results) is the business of the crate
//! above: it decides when to call [`World::tick`]. The match clock is the count of sub-steps taken here.
//!
//! Units: lengths in world units (u), speeds in u/s, times in sub-steps of 1/240 s. The origin is the top left corner
//! of the field and y grows downward.

mod events;
pub mod field;
mod input;
mod math;
mod rules;
mod snapshot;
mod world;

pub use events::{EVENTS_MAX, Event, Events};
pub use input::{Dir, Input, InvalidDir, Rules, Side, Skill};
pub use rules::{
    ball::{BALLS_MAX, Ball},
    paddle::Paddle,
    power_ups::{Effects, POWER_UPS_MAX, PowerUp, PowerUpKind},
    skills::SkillState,
};
pub use snapshot::{RestoreError, SAVE_BYTES_MAX};
pub use world::World;

/// Version of the rules. It rises with every change after which the same inputs lead elsewhere: a replay is only
/// verified by the rules that made it.
pub const RULES_VERSION: u32 = 1;

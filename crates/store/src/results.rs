//! What a match leaves behind, as plain values.

use jiff::Timestamp;
use rally_units::{Epoch, MatchId, SubStep, Tick};
use serde_json::Value;

use crate::{EndReason, RatingChange, Score, Side, StoreError};

/// Events of a match that are recorded at most. Later ones are dropped and counted: hours of play, and a result must
/// not fail because of its trimmings.
pub const EVENTS_MAX: usize = 10_000;

/// Bytes of input log of one match, all segments together, that are recorded at most: hours of two busy players.
/// A larger replay is dropped as a whole and counted.
pub const REPLAY_BYTES_MAX: usize = 8 << 20;

/// What a match leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchResult {
    /// The match.
    pub match_id: MatchId,
    /// Goals.
    pub score: Score,
    /// Who won. `None` if and only if the match is void: reason `abandoned`, or `no_show` outside of tournaments.
    pub winner: Option<Side>,
    /// Why it ended.
    pub reason: EndReason,
    /// When play began, if it did. Kept only if [`start_match`](crate::Store::start_match) did not note it.
    pub started_at: Option<Timestamp>,
    /// When it ended, which may be long before it could be recorded.
    pub ended_at: Timestamp,
    /// Time in play.
    pub duration: SubStep,
    /// Statistics of left and right.
    pub players: [PlayerStats; 2],
    /// What happened, in order of `n`. Of several with the same `n`, the first is kept.
    pub events: Vec<MatchEvent>,
    /// The replay, in the order of its segments.
    pub replay: Vec<ReplaySegment>,
}

/// Statistics of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayerStats {
    /// Balls hit by the paddle.
    pub paddle_hits: u32,
    /// Speed of the fastest ball hit, in world units a second.
    pub fastest_ball: f64,
    /// Power-ups collected.
    pub power_ups: PowerUps,
    /// Skills used.
    pub skills_used: u32,
    /// Skills that met a ball.
    pub skills_successful: u32,
    /// Time away, in milliseconds.
    pub disconnected_ms: u32,
}

/// Power-ups collected, by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerUps {
    /// Split balls.
    pub split: u32,
    /// Darkened opponents.
    pub blackout: u32,
    /// Black holes.
    pub blackhole: u32,
}

/// The kinds of event that are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A goal: scorer and height.
    Goal,
    /// A power-up was collected.
    PowerUp,
    /// A skill was used.
    Skill,
}

impl EventKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::PowerUp => "power_up",
            Self::Skill => "skill",
        }
    }
}

/// Something that happened in a match.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchEvent {
    /// Its number in the match. Rises; may have holes.
    pub n: u32,
    /// Match clock.
    pub clock: SubStep,
    /// What it was.
    pub kind: EventKind,
    /// The kind's own fields.
    pub data: Value,
}

/// A stretch of a match that can be played again from its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaySegment {
    /// Seed of the random stream.
    pub seed: u64,
    /// Version of the rules.
    pub rules_version: u16,
    /// Every accepted input with its tick, in the writer's own form.
    pub input_log: Vec<u8>,
    /// State hashes, each with its tick.
    pub hashes: Vec<(Tick, u64)>,
}

/// A result as it stands in Postgres.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The match.
    pub match_id: MatchId,
    /// Goals.
    pub score: Score,
    /// Who won; `None` if the match is void.
    pub winner: Option<Side>,
    /// Why it ended.
    pub reason: EndReason,
    /// What it did to the ratings of left and right, if it was rated.
    pub ratings: Option<[RatingChange; 2]>,
}

/// Why a result was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// Another owner holds the match now. Nothing was written.
    #[error("the match is at epoch {current}")]
    Fenced {
        /// The epoch that Postgres has granted last.
        current: Epoch,
    },
    /// A result stands already, perhaps by an earlier try of the caller: this one.
    #[error("the result was recorded before")]
    AlreadyRecorded(Box<Finished>),
    /// There is no such match.
    #[error("no such match")]
    NoSuchMatch,
    /// The store failed. The result may have been recorded: try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FinishError {
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::AlreadyRecorded(_) => "already_recorded",
            Self::NoSuchMatch => "no_such_match",
            Self::Store(error) => error.kind.as_str(),
        }
    }
}

//! What a match leaves behind.

use rally_protocol::client::v1::{EndReason, Level, Mode, PowerUp, Side, Skill};
use rally_units::{Epoch, MatchId, SubStep, Tick, UserId};

use crate::log::ReplayLog;

/// Everything that is committed about a match before anyone is told that it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedMatch {
    /// Which match.
    pub id: MatchId,
    /// Under which owner it ended.
    pub epoch: Epoch,
    /// Its kind.
    pub mode: Mode,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Only reachable by its link.
    pub private: bool,
    /// Goals that win.
    pub score_to_win: u8,
    /// Left, right.
    pub players: [FinishedPlayer; 2],
    /// Left, right.
    pub score: [u8; 2],
    /// `None` if the match is void: nobody won, nobody's rating changes.
    pub winner: Option<Side>,
    /// Why it ended.
    pub reason: EndReason,
    /// When play first began, in ticks since the match's creation; `None` if it never did.
    pub started: Option<Tick>,
    /// When it ended, in ticks since its creation.
    pub ended: Tick,
    /// Time in play.
    pub duration: SubStep,
    /// Goals, power-ups and skills, in order of `n`.
    pub events: Vec<RecordedEvent>,
    /// For playing it again.
    pub replay: ReplayLog,
}

/// One player's part.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedPlayer {
    /// Who played.
    pub who: Who,
    /// The name that was shown.
    pub name: String,
    /// The skill; `None` in classic mode.
    pub skill: Option<Skill>,
    /// Whether the player was there at the end. After `no_show`, who was there may be queued again.
    pub present: bool,
    /// What the player did.
    pub stats: PlayerStats,
}

/// Who had a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// A person.
    User(UserId),
    /// The bot.
    Bot(Level),
    /// The second person at the keyboard of the left one.
    Shared,
    /// Nobody: the seat of a private match that was never taken.
    Nobody,
}

/// What one player did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PlayerStats {
    /// Balls hit.
    pub paddle_hits: u32,
    /// Speed of the fastest ball hit, in u/s.
    pub fastest_ball: f64,
    /// Power-ups collected, by [`PowerUp::number`]: split, blackout, blackhole.
    pub power_ups: [u32; 3],
    /// Presses that were accepted.
    pub skills_used: u32,
    /// Those that did something: a smash must have met a ball; a dash always counts.
    pub skills_successful: u32,
    /// Time without a connection while the match was on, in ms.
    pub disconnected_ms: u64,
}

/// One event worth keeping.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecordedEvent {
    /// The number of its `match_event`.
    pub n: u32,
    /// When, on the match clock.
    pub clock: SubStep,
    /// Whose.
    pub side: Side,
    /// What.
    pub kind: RecordedKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RecordedKind {
    /// The side scored.
    Goal {
        /// Where the ball passed, in u.
        y: f64,
        /// The new score, left and right.
        score: [u8; 2],
    },
    /// The side collected this.
    PowerUp(PowerUp),
    /// The side used this.
    Skill(Skill),
}

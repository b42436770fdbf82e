//! Why a match refuses what it is asked.

use rally_protocol::client::v1::{ErrorCode, Side};

/// A no, for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", code.as_str())]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// For people.
    pub detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(code: ErrorCode, detail: &'static str) -> Self {
        Self { code, detail }
    }
}

/// Why a session does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// This seat is open, and the user must first be written down for it: let the store do so, call
    /// [`Room::claim`](crate::Room::claim), and join again.
    #[error("the {side} seat is open and not claimed yet")]
    NeedsClaim {
        /// The open seat.
        side: Side,
    },
    /// No.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why an input was not taken. Nobody is told: each is a repetition, a latecomer, or a fault of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputRefusal {
    /// Nobody has this seat, or the bot does.
    #[error("no player on this seat")]
    NoPlayer,
    /// The seat's player is away, and the paddle stands still.
    #[error("the player is away")]
    Away,
    /// Of an older attachment of the player.
    #[error("an older generation")]
    OldGeneration,
    /// Of a generation that was never given out.
    #[error("an unknown generation")]
    UnknownGeneration,
    /// Was here before. Usual: edges repeat inputs.
    #[error("a repetition")]
    Duplicate,
    /// More than [`WAITING_INPUTS_MAX`](crate::limits::WAITING_INPUTS_MAX) ahead.
    #[error("too far ahead")]
    TooFarAhead,
    /// The match is over.
    #[error("the match is over")]
    Over,
}

impl InputRefusal {
    /// Every reason, for counters that are registered beforehand.
    pub const ALL: [Self; 7] = [
        Self::NoPlayer,
        Self::Away,
        Self::OldGeneration,
        Self::UnknownGeneration,
        Self::Duplicate,
        Self::TooFarAhead,
        Self::Over,
    ];

    /// A fixed label for counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NoPlayer => "no_player",
            Self::Away => "away",
            Self::OldGeneration => "old_generation",
            Self::UnknownGeneration => "unknown_generation",
            Self::Duplicate => "duplicate",
            Self::TooFarAhead => "too_far_ahead",
            Self::Over => "over",
        }
    }
}

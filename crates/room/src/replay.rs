//! Playing a log again.

use rally_units::Tick;

use crate::log::ReplayLog;

/// Where a match played again differs from its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Made by other rules: only the program of that version can play it.
    #[error("made by version {0} of the rules")]
    Rules(u32),
    /// The state differs.
    #[error("at tick {tick} the state's hash is {got:016x}, the log says {expected:016x}")]
    Hash {
        /// After which tick.
        tick: Tick,
        /// What the log says.
        expected: u64,
        /// What came out.
        got: u64,
    },
    /// An action that was accepted is not possible.
    #[error("at tick {tick} an action is not possible")]
    Action {
        /// After which tick.
        tick: Tick,
    },
    /// The match ends at another tick, or otherwise.
    #[error("at tick {tick} the match ends otherwise")]
    End {
        /// After which tick.
        tick: Tick,
    },
}

/// Plays the log again from its seed and compares every hash and the result. A log that was cut is verified up to
/// there.
///
/// # Errors
/// The first difference.
pub fn verify(log: &ReplayLog) -> Result<(), Mismatch> {
    let _ = log;
    unimplemented!()
}

//! The replay log: every action that changed a match, each with its tick, and the hashes that playing it again must
//! give.

use rally_sim::{Dir, Side, Skill};
use rally_units::Tick;

/// What changes a match apart from time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A player (or the bot) moves the paddle.
    Input {
        /// Whose.
        side: Side,
        /// Held from now on.
        dir: Dir,
        /// The skill.
        press: bool,
    },
    /// A player is ready.
    Ready(Side),
    /// A player pauses.
    Pause(Side),
    /// A player resumes.
    Resume(Side),
    /// A player gives up.
    Forfeit(Side),
    /// A player is there.
    Attach(Side),
    /// A player is lost.
    Detach(Side),
    /// An open seat is taken by a player with this skill.
    Claim(Side, Skill),
}

/// The log of one match: at most [`LOG_BYTES_MAX`](crate::limits::LOG_BYTES_MAX) of actions and a hash each second.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayLog {}

/// Why bytes are no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Of a version that we do not know.
    #[error("unknown version {0}")]
    Version(u8),
    /// They end too soon.
    #[error("truncated")]
    Truncated,
    /// A field holds what it never can.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// They go on after the log.
    #[error("{0} bytes are left over")]
    LeftOver(usize),
}

impl ReplayLog {
    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads what [`ReplayLog::encode`] wrote. Never panics, whatever the bytes.
    ///
    /// # Errors
    /// If the bytes are no log.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let _ = bytes;
        unimplemented!()
    }

    /// What the match's chance was drawn from.
    pub fn seed(&self) -> u64 {
        unimplemented!()
    }

    /// The rules that made it.
    pub fn rules_version(&self) -> u32 {
        unimplemented!()
    }

    /// The tick from which on nothing was logged, because the log was full.
    pub fn cut(&self) -> Option<Tick> {
        unimplemented!()
    }

    /// The state's hash after each of these ticks, in order.
    pub fn hashes(&self) -> impl Iterator<Item = (Tick, u64)> + '_ {
        std::iter::empty()
    }
}

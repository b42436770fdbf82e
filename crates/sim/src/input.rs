//! Who plays, with what skill, and what a player may say: a direction and a press.

/// One half of the field and the player in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Defends x = 0.
    Left,
    /// Defends x = 1920.
    Right,
}

impl Side {
    /// Both sides, left first: the order of every `[T; 2]` in this crate.
    pub const ALL: [Self; 2] = [Self::Left, Self::Right];

    /// Place of this side in a `[T; 2]`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The other side.
    #[must_use]
    pub const fn opponent(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// What a press does. Each player chooses one before the match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Skill {
    /// The next hit within 48 sub-steps is 1.2 times as fast.
    #[default]
    Smash,
    /// The paddle moves at 2000 u/s for 72 sub-steps.
    Dash,
}

/// What a match is played by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// No skills and no power-ups.
    pub classic: bool,
    /// Of the left and of the right player.
    pub skills: [Skill; 2],
    /// Goals that win, at least 1. There is no two-point lead.
    pub score_to_win: u8,
}

impl Default for Rules {
    fn default() -> Self {
        Self { classic: false, skills: [Skill::default(); 2], score_to_win: 11 }
    }
}

/// Where a paddle is told to go. y grows downward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(i8)]
pub enum Dir {
    /// Towards y = 0.
    Up = -1,
    /// Nowhere.
    #[default]
    Stay = 0,
    /// Towards y = 1080.
    Down = 1,
}

/// A direction that is none of -1, 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a direction is -1, 0 or 1, not {0}")]
pub struct InvalidDir(pub i8);

impl TryFrom<i8> for Dir {
    type Error = InvalidDir;

    fn try_from(value: i8) -> Result<Self, InvalidDir> {
        match value {
            -1 => Ok(Self::Up),
            0 => Ok(Self::Stay),
            1 => Ok(Self::Down),
            other => Err(InvalidDir(other)),
        }
    }
}

impl From<Dir> for i8 {
    fn from(dir: Dir) -> Self {
        dir as Self
    }
}

/// What one player says at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// Held until the next input of this player.
    pub dir: Dir,
    /// One press of the skill's key. It is used at the next sub-step or lost to the cooldown.
    pub press: bool,
}

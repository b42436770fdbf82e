//! The plain values of the store, and how they stand in columns.
//!
//! Logic and ports do not know each other: these resemble the types of the room and of the protocol, and a shell
//! converts.

use rally_units::{Epoch, Incarnation, NodeId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;

macro_rules! text_enum {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The text in Postgres, which is that of the API too.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The one that is written so.
            pub fn parse(text: &str) -> Option<Self> {
                Self::read(text).ok()
            }

            pub(crate) fn read(text: &str) -> Result<Self, $crate::error::Fault> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::error::Fault::Malformed(stringify!($name))),
                }
            }
        }
    };
}
pub(crate) use text_enum;

text_enum! {
    /// The kinds of match.
    Mode {
        /// Rated, by the queue.
        Ranked = "ranked",
        /// By the queue.
        Casual = "casual",
        /// By the queue, without skills and power-ups.
        Classic = "classic",
        /// By invitation.
        Duel = "duel",
        /// Against the bot.
        Practice = "practice",
        /// Two people on one connection.
        Local = "local",
        /// Rated, of a tournament.
        Tournament = "tournament",
    }
}

impl Mode {
    /// True if a match of this mode changes its players' ratings.
    pub const fn is_rated(self) -> bool {
        matches!(self, Self::Ranked | Self::Tournament)
    }
}

text_enum! {
    /// A half of the field.
    Side {
        /// Left.
        Left = "left",
        /// Right.
        Right = "right",
    }
}

text_enum! {
    /// Why a match ended.
    EndReason {
        /// A player reached the score to win.
        Score = "score",
        /// A player was away for too long.
        Timeout = "timeout",
        /// A player gave up.
        Forfeit = "forfeit",
        /// A player did not come.
        NoShow = "no_show",
        /// Nobody was left, or the match was lost. No winner.
        Abandoned = "abandoned",
    }
}

impl Side {
    /// Index of this side in arrays of left and right.
    pub const fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }
}

/// How well a bot plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BotLevel {
    /// Looks less often and misjudges.
    Easy,
    /// Looks once a second.
    Normal,
    /// Looks 10 times a second and uses its skill.
    Hard,
}

/// Who plays a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seat {
    /// A guest or an account, who is in no other match meanwhile.
    Player(UserId),
    /// The bot.
    Bot(BotLevel),
    /// Nobody yet: [`Store::claim_seat`](crate::Store::claim_seat).
    Open,
    /// The second person on the other side's connection.
    Shared,
}

impl Seat {
    pub(crate) fn columns(self) -> (&'static str, Option<Uuid>) {
        match self {
            Self::Player(user) => ("player", Some(user.as_uuid())),
            Self::Bot(BotLevel::Easy) => ("bot_easy", None),
            Self::Bot(BotLevel::Normal) => ("bot_normal", None),
            Self::Bot(BotLevel::Hard) => ("bot_hard", None),
            Self::Open => ("open", None),
            Self::Shared => ("shared", None),
        }
    }

    pub(crate) fn read(seat: &str, user: Option<Uuid>) -> Result<Self, Fault> {
        Ok(match (seat, user) {
            ("player", Some(user)) => Self::Player(UserId::from_uuid(user)),
            ("bot_easy", None) => Self::Bot(BotLevel::Easy),
            ("bot_normal", None) => Self::Bot(BotLevel::Normal),
            ("bot_hard", None) => Self::Bot(BotLevel::Hard),
            ("open", None) => Self::Open,
            ("shared", None) => Self::Shared,
            _ => return Err(Fault::Malformed("Seat")),
        })
    }

    /// The person on this seat, if one is known.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::Player(user) => Some(user),
            Self::Bot(_) | Self::Open | Self::Shared => None,
        }
    }
}

/// Goals of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Score {
    /// Of the left player.
    pub left: u16,
    /// Of the right player.
    pub right: u16,
}

impl Score {
    pub(crate) fn read(row: &Row) -> Result<Self, Fault> {
        let score = |column| -> Result<u16, Fault> {
            u16::try_from(row.try_get::<_, i32>(column)?).map_err(|_| Fault::Malformed("Score"))
        };
        Ok(Self { left: score("score_left")?, right: score("score_right")? })
    }
}

/// One life of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The node.
    pub node: NodeId,
    /// Which of its lives: a restarted node does not own what it owned before.
    pub incarnation: Incarnation,
}

impl Owner {
    pub(crate) fn columns(self) -> (i64, i64) {
        (self.node.to_bits().cast_signed(), self.incarnation.to_bits().cast_signed())
    }

    pub(crate) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            node: NodeId::from_bits(row.try_get::<_, i64>("owner_node")?.cast_unsigned()),
            incarnation: Incarnation::from_bits(row.try_get::<_, i64>("owner_incarnation")?.cast_unsigned()),
        })
    }
}

/// Who has the word for a match, and under which epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ownership {
    /// The owner.
    pub owner: Owner,
    /// Its epoch.
    pub epoch: Epoch,
}

impl Ownership {
    pub(crate) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self { owner: Owner::read(row)?, epoch: read_epoch(row)? })
    }
}

pub(crate) fn epoch_column(epoch: Epoch) -> i64 {
    i64::from(epoch.0)
}

pub(crate) fn read_epoch(row: &Row) -> Result<Epoch, Fault> {
    u32::try_from(row.try_get::<_, i64>("epoch")?).map(Epoch).map_err(|_| Fault::Malformed("Epoch"))
}

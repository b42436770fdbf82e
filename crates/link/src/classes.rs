//! What each type of message is limited as: how often a connection may send such, beside what it may send in all.
//!
//! What costs a question to Redis or Postgres, or is told to many, is rarer than a key that is pressed.

/// What messages are limited as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageClass {
    /// Keys and pings.
    Live,
    /// Wishes in a match: told to all in it.
    Wish,
    /// Coming and going, invitations: each asks Redis or Postgres.
    Ask,
    /// What is said: stored, and told to many. What one says in all is counted in the whole cluster too.
    Talk,
    /// What is told and forgotten.
    Signal,
    /// Who one is, and what one shows.
    Session,
}

impl MessageClass {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Live, Self::Wish, Self::Ask, Self::Talk, Self::Signal, Self::Session];

    /// So many a second for ever, and so many at once.
    pub const fn rate(self) -> (u32, u32) {
        match self {
            Self::Live => (60, 120),
            Self::Wish | Self::Talk | Self::Signal => (5, 20),
            // Who comes back joins 32 channels and 8 matches at once, perhaps having left as many.
            Self::Ask => (10, 100),
            Self::Session => (1, 10),
        }
    }

    /// For counters.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Live => "too_fast_live",
            Self::Wish => "too_fast_wish",
            Self::Ask => "too_fast_ask",
            Self::Talk => "too_fast_talk",
            Self::Signal => "too_fast_signal",
            Self::Session => "too_fast_session",
        }
    }

    /// The class of a type of message; `None`: somebody has forgotten to give it one.
    pub fn of(message: &str) -> Option<Self> {
        CLASSES.iter().find(|(name, _)| *name == message).map(|(_, class)| *class)
    }
}

/// Each type of message that a client sends, the most frequent first.
pub const CLASSES: &[(&str, MessageClass)] = &[
    ("input", MessageClass::Live),
    ("ping", MessageClass::Live),
    ("chat_send", MessageClass::Talk),
    ("typing", MessageClass::Signal),
    ("read", MessageClass::Signal),
    ("chat_edit", MessageClass::Talk),
    ("ready", MessageClass::Wish),
    ("pause", MessageClass::Wish),
    ("resume", MessageClass::Wish),
    ("forfeit", MessageClass::Wish),
    ("replay_control", MessageClass::Wish),
    ("match_join", MessageClass::Ask),
    ("match_leave", MessageClass::Ask),
    ("channel_join", MessageClass::Ask),
    ("channel_leave", MessageClass::Ask),
    ("queue_join", MessageClass::Ask),
    ("queue_leave", MessageClass::Ask),
    ("rematch", MessageClass::Ask),
    ("duel_invite", MessageClass::Ask),
    ("duel_answer", MessageClass::Ask),
    ("duel_cancel", MessageClass::Ask),
    ("status", MessageClass::Session),
    ("auth", MessageClass::Session),
    ("hello", MessageClass::Session),
];

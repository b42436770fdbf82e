//! Postgres behind our own types: migrations, users, matches with their epochs, results.
//!
//! [`Store`] is a handle on a pool of connections. Every operation
//! - takes a connection (waiting at most [`StoreConfig::acquire_timeout`]) and then finishes or fails within
//!   [`StoreConfig::operation_timeout`], also when the server is stopped, unreachable or silent;
//! - is one statement or one transaction: it has happened wholly or not at all;
//! - may have happened although it failed with [`StoreErrorKind::Unavailable`], when only the answer was lost. All can
//!   be repeated: the repetition finds what the first one did and says so.
//!
//! # The authority over a match
//! Each owner of a match is granted a higher [`Epoch`](rally_units::Epoch): the first by [`Store::create_matches`], the
//! next ones by [`Store::take`]. Every write for a match names its writer's epoch, which is compared with that of the
//! row under its lock: a former owner gets [`FenceError::Fenced`] (or the like of the operation), and nothing is
//! written.
//!
//! # Order of locks
//! A match's row or a channel's, then users' rows in the order of their ids. Only [`Store::create_matches`] starts with users, and the
//! matches that it writes are its own. Whoever inserts into `active_seats` holds the user's row.

mod accounts;
mod boards;
mod chat;
mod codes;
mod config;
mod create;
mod error;
mod finish;
mod friends;
mod groups;
mod history;
mod identities;
mod logins;
mod matches;
mod metrics;
mod migrate;
mod notifications;
mod ownership;
mod pool;
mod profiles;
mod rating;
mod reports;
mod results;
mod retention;
mod said;
mod seats;
mod second_factor;
mod states;
mod types;
mod users;

pub use accounts::{CodeHash, Credentials, NewAccount, RegisterError, Role};
#[doc(hidden)]
pub use boards::{around_sql, friends_sql};
pub use chat::{
    Appended, MENTIONS_MAX, MESSAGES_MAX, Message, NewMessage, OwnChannel, OwnGroup, SEARCH_CHARS_MAX, SearchHit,
    Stretch, UNREAD_MAX,
};
#[doc(hidden)]
pub use chat::{SEARCH_MESSAGES_SQL, channel_query};
pub use config::{ConfigError, StoreConfig, wants_tls};
pub use create::{CreateError, NewMatch};
pub use error::{FenceError, StoreError, StoreErrorKind};
pub use friends::{Acquaintance, BLOCKS_MAX, BefriendError, Befriended, Blocked, FRIENDS_MAX};
pub use groups::{
    Banned, Departure, GROUP_BANS_MAX, GROUP_MEMBERS_MAX, GROUP_TITLE_CHARS_MAX, GROUPS_PER_USER_MAX, Group,
    GroupError, GroupMember, GroupRole, Invitation, Invited, SLOW_S_MAX,
};
#[doc(hidden)]
pub use history::matches_sql;
pub use history::{
    Cursor, ListedMatch, ListedSide, MatchDetail, MatchFilter, MatchSort, PAGE_MAX, Page, RecordedEvent, SideStats,
};
pub use identities::{Identity, Linked, Unlinked};
pub use logins::{AGENT_CHARS_MAX, Exchanged, LOGINS_MAX, Login};
pub use migrate::{MigrateError, SchemaError, schema_version_needed};
pub use notifications::{NOTIFICATIONS_MAX, Notification, NotificationKind, StoredNotification};
pub use ownership::ActiveMatch;
pub use pool::Store;
#[doc(hidden)]
pub use profiles::{CURVE_SQL, RANK_SQL, SEARCH_SQL, leaderboard_sql};
pub use profiles::{
    Census, ChangeProfileError, FriendRequests, LeaderboardSort, PlayerTotals, Profile, ProfileChange, RANK_MAX,
    Ranked, RatingPoint,
};
pub use rating::{Rating, RatingChange};
pub use reports::{
    OPEN_REPORTS_MAX, OUTCOME_CHARS_MAX, REPORT_CHARS_MAX, Report, ReportAbout, ReportError, ReportReason,
};
pub use results::{
    EVENTS_MAX, EventKind, FinishError, Finished, MatchEvent, MatchResult, PlayerStats, PowerUps, REPLAY_BYTES_MAX,
    ReplaySegment,
};
pub use retention::{Old, Place, RETENTION_BATCH_MAX, Swept};
pub use said::{SAID_MAX, Said};
pub use seats::ClaimError;
pub use states::{MatchState, SeatState};
pub use types::{BotLevel, EndReason, Mode, Owner, Ownership, Score, Seat, Side};
pub use users::{CreateUserError, User, UserKind};

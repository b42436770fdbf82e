//! Oneself, others, how they do, and who is whose friend.

use jiff::Timestamp;
use rally_protocol::{
    client::v1::{Mode, UserInfo},
    limits::USERNAME_CHARS_MAX,
};
use rally_store::{FriendRequests, LeaderboardSort};
use rally_units::{MatchId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    super::{
        body::{Fields, ReadFields},
        query::{PageCursor, Paging},
        schemas,
    },
    Username,
};

/// `GET /users/me`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Me {
    /// The user.
    pub user: PublicUser,
    /// The match one plays in.
    #[serde(rename = "match")]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub match_id: Option<MatchId>,
    /// The queue one waits in.
    #[schema(value_type = Option<schemas::Mode>)]
    pub queue: Option<Mode>,
    /// What one has chosen.
    pub settings: Settings,
}

/// What a user has chosen, which is nobody else's affair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Settings {
    /// What the page is shown in, by ISO 639-1.
    pub language: String,
    /// From whom requests for friendship come through: `all`, `friends_of_friends`, `none`.
    pub friend_requests: &'static str,
    /// Whether one tells others how far one has read, and sees the same of them.
    pub read_receipts: bool,
}

/// What everybody may see of somebody.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PublicUser {
    /// Id.
    #[schema(value_type = String, format = Uuid)]
    pub id: UserId,
    /// Name.
    pub name: String,
    /// Whether it is a name for a visit.
    pub guest: bool,
    /// Strength.
    pub rating: f64,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When the user was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// Where the picture is, if there is one.
    pub avatar: Option<String>,
}

/// `PATCH /users/me`: what is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct PatchMe {
    /// Another name.
    pub username: Option<Username>,
    /// Another language, by ISO 639-1.
    #[schema(pattern = "^[a-z]{2}$")]
    pub language: Option<String>,
    /// From whom requests for friendship come through: `all`, `friends_of_friends`, `none`.
    #[schema(value_type = Option<String>, pattern = "^(all|friends_of_friends|none)$")]
    pub friend_requests: Option<FriendRequests>,
    /// Whether one tells others how far one has read, and sees the same of them.
    pub read_receipts: Option<bool>,
}

impl ReadFields for PatchMe {
    fn read(fields: &mut Fields) -> Option<Self> {
        let username = fields.optional("username");
        let language = fields.optional::<String>("language");
        if let Some(Some(language)) = &language {
            let two_letters = language.len() == 2 && language.bytes().all(|byte| byte.is_ascii_lowercase());
            fields.check(two_letters, "language", "expected two small letters of ISO 639-1");
        }
        let friend_requests =
            fields.word("friend_requests", FriendRequests::parse, "expected all, friends_of_friends or none");
        let read_receipts = fields.optional("read_receipts");
        Some(Self {
            username: username?,
            language: language?,
            friend_requests: friend_requests?,
            read_receipts: read_receipts?,
        })
    }
}

/// `GET /users?search=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSearch {
    /// How names begin.
    pub prefix: String,
    /// Users at most.
    pub limit: usize,
}

impl ReadFields for UserSearch {
    fn read(fields: &mut Fields) -> Option<Self> {
        let prefix = fields.required::<String>("search");
        if let Some(prefix) = &prefix {
            let fits = (1..=USERNAME_CHARS_MAX).contains(&prefix.len())
                && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            fields.check(fits, "search", "expected 1 to 20 characters of A-Z, a-z, 0-9 and _");
        }
        let paging = fields.paging();
        Some(Self { prefix: prefix?, limit: paging?.limit.min(20) })
    }
}

/// Some users.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Users {
    /// By name.
    pub items: Vec<PublicUser>,
}

/// `GET /users/{id}/stats`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct UserStats {
    /// Strength.
    pub rating: f64,
    /// How unsure it is.
    pub rating_deviation: f64,
    /// Place in the leaderboard by rating; absent without a rated match, and beyond 10,000.
    pub rank: Option<u64>,
    /// Matches against people, but for void ones.
    pub matches: u64,
    /// Those won.
    pub wins: u64,
    /// Those lost.
    pub losses: u64,
    /// Goals scored.
    pub goals_for: u64,
    /// Goals conceded.
    pub goals_against: u64,
    /// Seconds in play.
    pub play_s: f64,
    /// Ratings after the last rated matches, at most 200, the oldest first.
    pub rating_curve: Vec<RatingPoint>,
}

/// A point of a rating curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct RatingPoint {
    /// When the match ended.
    pub at: Timestamp,
    /// The rating after it.
    pub rating: f64,
}

/// `GET /leaderboard`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderboardQuery {
    /// By what: `rating` or `wins`.
    pub by: LeaderboardSort,
    /// Of whom.
    pub scope: Scope,
    /// Which page.
    pub paging: Paging,
}

impl ReadFields for LeaderboardQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let by = fields.word(
            "by",
            |word| match word {
                "rating" => Some(LeaderboardSort::Rating),
                "wins" => Some(LeaderboardSort::Wins),
                _ => None,
            },
            "expected rating or wins",
        );
        let scope = fields.word(
            "scope",
            |word| match word {
                "global" => Some(Scope::Global),
                "friends" => Some(Scope::Friends),
                "around" => Some(Scope::Around),
                _ => None,
            },
            "expected global, friends or around",
        );
        let paging = fields.paging();
        Some(Self { by: by?.unwrap_or(LeaderboardSort::Rating), scope: scope?.unwrap_or_default(), paging: paging? })
    }
}

/// Whom a leaderboard shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Everybody.
    #[default]
    Global,
    /// The one who asks, and that one's friends.
    Friends,
    /// The one who asks, and those who are a little better and a little worse.
    Around,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RankedUser {
    /// Place, from 1 on; of friends the place among them; absent beyond the first 10,000.
    pub rank: Option<u64>,
    /// Who.
    #[schema(value_type = String, format = Uuid)]
    pub id: UserId,
    /// Name.
    pub name: String,
    /// Whether it is a name for a visit.
    pub guest: bool,
    /// Strength.
    pub rating: f64,
    /// Matches against people.
    pub matches: u64,
    /// Those won.
    pub wins: u64,
}

/// A page of a leaderboard.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Leaderboard {
    /// `rating` or `wins`.
    pub by: &'static str,
    /// The best first.
    pub items: Vec<RankedUser>,
    /// For `cursor`, if there may be more.
    #[schema(value_type = Option<String>)]
    pub next: Option<PageCursor>,
    /// Where the one who asks stands, if signed in, ranked, and among the first 10,000.
    pub own_rank: Option<u64>,
}

/// A body that names a user: `POST /friends`, `POST /friends/requests`, `POST /blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema)]
pub struct SomeUser {
    /// Whom.
    #[schema(value_type = String, format = Uuid)]
    pub user: UserId,
}

impl ReadFields for SomeUser {
    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self { user: fields.required("user")? })
    }
}

/// What a request for friendship has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Befriend {
    /// `requested`; `accepted`, if the other had asked; `unchanged`.
    pub state: &'static str,
}

/// Somebody with whom one has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FriendView {
    /// Who.
    #[schema(value_type = schemas::UserInfo)]
    pub user: UserInfo,
    /// Since when.
    pub since: Timestamp,
    /// When that one was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// Of a request: `incoming` or `outgoing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
}

/// `GET /friends`, `GET /friends/requests`, `GET /blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Friends {
    /// By name.
    pub items: Vec<FriendView>,
}

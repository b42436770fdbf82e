//! Profiles: what people show of themselves, how they are found, and how they rank.

use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;

use crate::{
    Cursor, PAGE_MAX, Page, Rating, Store, StoreError, User, UserKind,
    error::Fault,
    history::rows_to_read,
    metrics::failed,
    pool::{execute, query, query_opt},
    types::text_enum,
    users::{self, read_rating},
};

/// Ranks are counted up to here; what lies beyond would take too long to count.
pub const RANK_MAX: i64 = 10_000;

/// The statement that reads a rating curve: the last 200 rated matches of a user (`$1`), the newest first.
#[doc(hidden)]
pub const CURVE_SQL: &str = "SELECT m.ended_at, s.rating_after FROM (
        SELECT match_id, rating_after FROM match_player_stats WHERE user_id = $1 AND rating_after IS NOT NULL
        ORDER BY match_id DESC LIMIT 200) s
    JOIN matches m ON m.id = s.match_id ORDER BY s.match_id DESC";

/// The statements that count who is better than a user (`$1`), up to so many (`$2`): by rating, by wins. In order, so that the
/// index is walked: a plan for any user would else read all users for the best of them.
#[doc(hidden)]
pub const RANK_SQL: [&str; 2] = [
    "SELECT (SELECT count(*) FROM (SELECT FROM users b
            WHERE b.rating_deviation < 350 AND b.deleted_at IS NULL AND (b.rating, b.id) > (u.rating, u.id)
            ORDER BY b.rating DESC, b.id DESC LIMIT $2) better) FROM users u
        WHERE u.id = $1 AND u.rating_deviation < 350 AND u.deleted_at IS NULL",
    "SELECT (SELECT count(*) FROM (SELECT FROM player_totals b
            WHERE b.wins > 0 AND (b.wins, b.user_id) > (t.wins, t.user_id)
            ORDER BY b.wins DESC, b.user_id DESC LIMIT $2) better)
        FROM player_totals t WHERE t.user_id = $1 AND t.wins > 0",
];

/// Users are counted up to here, and estimated beyond.
const COUNTED_MAX: i64 = 10_000;

text_enum! {
    /// From whom requests for friendship come through.
    FriendRequests {
        /// From everybody.
        All = "all",
        /// From friends of one's friends.
        FriendsOfFriends = "friends_of_friends",
        /// From nobody.
        None = "none",
    }
}

/// What somebody shows of himself, and has chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The user.
    pub user: User,
    /// What the page is shown in, by ISO 639-1.
    pub language: String,
    /// From whom requests for friendship come through.
    pub friend_requests: FriendRequests,
    /// Whether the user tells others how far they have been read, and sees the same of them.
    pub read_receipts: bool,
    /// When the user was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
    /// When the picture was set, if there is one.
    pub avatar_at: Option<Timestamp>,
}

/// What is to be changed of a profile; `None`: stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange<'a> {
    /// Another name.
    pub name: Option<&'a str>,
    /// Another language: two small letters.
    pub language: Option<&'a str>,
    /// Another choice.
    pub friend_requests: Option<FriendRequests>,
    /// Another choice.
    pub read_receipts: Option<bool>,
}

/// Why a profile was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeProfileError {
    /// An account has this name.
    #[error("the name belongs to an account")]
    UsernameTaken,
    /// There is no such user (any more).
    #[error("no such user")]
    NoSuchUser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a player has done in all finished matches against other people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlayerTotals {
    /// Matches that were not void.
    pub matches: u64,
    /// Those that were won.
    pub wins: u64,
    /// Goals scored.
    pub goals_for: u64,
    /// Goals conceded.
    pub goals_against: u64,
    /// Time in play.
    pub play_sub_steps: u64,
}

/// A point of a rating curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RatingPoint {
    /// When the match ended.
    pub at: Timestamp,
    /// The rating after it.
    pub rating: f64,
}

/// What a leaderboard is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderboardSort {
    /// The highest rating first, of those who have played a rated match.
    Rating,
    /// The most matches won first.
    Wins,
}

/// A line of a leaderboard.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The user.
    pub user: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The name.
    pub name: String,
    /// Strength.
    pub rating: Rating,
    /// Matches, and those that were won.
    pub totals: (u64, u64),
}

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// Guests and accounts; an estimate beyond 10,000.
    pub players: u64,
    /// Matches that live.
    pub live_matches: u64,
}

pub(crate) const RANKED_COLUMNS: &str = "u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility,
    coalesce(t.matches, 0) AS matches, coalesce(t.wins, 0) AS wins";

/// The statement that reads so many rows of a leaderboard along its index. `$1` and `$2`: key and id to begin behind.
#[doc(hidden)]
pub fn leaderboard_sql(sort: LeaderboardSort, from_cursor: bool, rows: usize) -> String {
    match sort {
        LeaderboardSort::Rating => {
            let behind = if from_cursor { " AND (u.rating, u.id) < ($1, $2)" } else { "" };
            format!(
                "SELECT {RANKED_COLUMNS} FROM (
                    SELECT * FROM users u WHERE u.rating_deviation < 350 AND u.deleted_at IS NULL{behind}
                    ORDER BY u.rating DESC, u.id DESC LIMIT {rows}) u
                LEFT JOIN player_totals t ON t.user_id = u.id ORDER BY u.rating DESC, u.id DESC"
            )
        }
        LeaderboardSort::Wins => {
            let behind = if from_cursor { " AND (wins, user_id) < ($1::float8::bigint, $2::uuid)" } else { "" };
            format!(
                "SELECT {RANKED_COLUMNS} FROM (
                    SELECT * FROM player_totals WHERE wins > 0{behind}
                    ORDER BY wins DESC, user_id DESC LIMIT {rows}) t
                JOIN users u ON u.id = t.user_id ORDER BY t.wins DESC, t.user_id DESC"
            )
        }
    }
}

/// The statement that finds accounts by how their names begin. `$1` and `$2`: from this on, to this; `$3`: rows.
#[doc(hidden)]
pub const SEARCH_SQL: &str = "SELECT id, kind, name, rating, rating_deviation, volatility, created_at FROM users
    WHERE kind = 'account' AND lower(name) ~>=~ $1 AND lower(name) ~<~ $2 ORDER BY lower(name) USING ~<~ LIMIT $3";

impl Store {
    /// What somebody shows; `None`: there is no such user, or none any more.
    ///
    /// # Errors
    /// The store failed.
    pub async fn profile(&self, id: UserId) -> Result<Option<Profile>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, u.rating, u.rating_deviation, u.volatility, u.created_at,
                u.language, u.friend_requests, u.read_receipts, u.last_seen_at, a.updated_at AS avatar_at
            FROM users u LEFT JOIN avatars a ON a.user_id = u.id WHERE u.id = $1 AND u.deleted_at IS NULL";
        self.run("profile", async |client| {
            query_opt(client, SQL, &[&id.as_uuid()]).await?.map(|row| read_profile(&row)).transpose()
        })
        .await
    }

    /// Changes what somebody shows.
    ///
    /// # Errors
    /// The name belongs to another account, there is no such user, or the store failed.
    pub async fn change_profile(&self, id: UserId, change: &ProfileChange<'_>) -> Result<(), ChangeProfileError> {
        const OPERATION: &str = "change_profile";
        const TAKEN: &str = "SELECT FROM users WHERE kind = 'account' AND lower(name) = lower($2) AND id <> $1";
        const SQL: &str = "UPDATE users SET name = coalesce($2, name), language = coalesce($3, language),
                friend_requests = coalesce($4, friend_requests), read_receipts = coalesce($5, read_receipts)
            WHERE id = $1 AND deleted_at IS NULL";
        self.run(OPERATION, async |client| {
            let id = id.as_uuid();
            if let Some(name) = change.name
                && query_opt(client, TAKEN, &[&id, &name]).await?.is_some()
            {
                return Ok(Err(ChangeProfileError::UsernameTaken));
            }
            let friend_requests = change.friend_requests.map(FriendRequests::as_str);
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&id, &change.name, &change.language, &friend_requests, &change.read_receipts];
            match execute(client, SQL, &params).await {
                Ok(0) => Ok(Err(ChangeProfileError::NoSuchUser)),
                Ok(_) => Ok(Ok(())),
                // Somebody was quicker.
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    Ok(Err(ChangeProfileError::UsernameTaken))
                }
                Err(error) => Err(error.into()),
            }
        })
        .await?
        .inspect_err(|error| {
            failed(
                OPERATION,
                match error {
                    ChangeProfileError::UsernameTaken => "username_taken",
                    ChangeProfileError::NoSuchUser => "no_such_user",
                    ChangeProfileError::Store(error) => error.kind.as_str(),
                },
            );
        })
    }

    /// Accounts whose names begin so, in whatever case of letters; by name, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn search_users(&self, prefix: &str, limit: usize) -> Result<Vec<User>, StoreError> {
        let from = prefix.to_lowercase();
        // Behind everything that begins so: no character is greater.
        let to = format!("{from}\u{10ffff}");
        let limit = limit.clamp(1, PAGE_MAX) as i64;
        self.run("search_users", async |client| {
            query(client, SEARCH_SQL, &[&from, &to, &limit]).await?.iter().map(users::read).collect()
        })
        .await
    }

    /// What a player has done so far.
    ///
    /// # Errors
    /// The store failed.
    pub async fn player_totals(&self, id: UserId) -> Result<PlayerTotals, StoreError> {
        const SQL: &str = "SELECT matches, wins, goals_for, goals_against, play_sub_steps FROM player_totals
            WHERE user_id = $1";
        self.run("player_totals", async |client| {
            let row = query_opt(client, SQL, &[&id.as_uuid()]).await?;
            row.map_or(Ok(PlayerTotals::default()), |row| {
                Ok(PlayerTotals {
                    matches: count(&row, "matches")?,
                    wins: count(&row, "wins")?,
                    goals_for: count(&row, "goals_for")?,
                    goals_against: count(&row, "goals_against")?,
                    play_sub_steps: count(&row, "play_sub_steps")?,
                })
            })
        })
        .await
    }

    /// The ratings after the last rated matches of a player, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn rating_curve(&self, id: UserId) -> Result<Vec<RatingPoint>, StoreError> {
        self.run("rating_curve", async |client| {
            let rows = query(client, CURVE_SQL, &[&id.as_uuid()]).await?;
            let point =
                |row: &Row| Ok(RatingPoint { at: row.try_get("ended_at")?, rating: row.try_get("rating_after")? });
            rows.iter().rev().map(point).collect()
        })
        .await
    }

    /// A page of a leaderboard. `limit` is 1 to [`PAGE_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn leaderboard(
        &self,
        sort: LeaderboardSort,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Ranked>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let sql = leaderboard_sql(sort, from.is_some(), rows_to_read(limit));
        let items = self
            .run("leaderboard", async |client| {
                let rows = match &from {
                    None => query(client, &sql, &[]).await?,
                    Some(cursor) => query(client, &sql, &[&cursor.key, &cursor.id]).await?,
                };
                rows.iter().take(limit).map(read_ranked).collect()
            })
            .await?;
        Ok(Page::new(items, limit, |ranked| cursor_of(sort, ranked)))
    }

    /// Where a user stands in a leaderboard, from 1 on; `None`: not in it, or beyond [`RANK_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn rank(&self, sort: LeaderboardSort, id: UserId) -> Result<Option<u64>, StoreError> {
        let [rating, wins] = RANK_SQL;
        let sql = match sort {
            LeaderboardSort::Rating => rating,
            LeaderboardSort::Wins => wins,
        };
        self.run("rank", async |client| {
            let Some(row) = query_opt(client, sql, &[&id.as_uuid(), &RANK_MAX]).await? else { return Ok(None) };
            let better: i64 = row.try_get(0)?;
            Ok((better < RANK_MAX).then(|| u64::try_from(better).unwrap_or_default() + 1))
        })
        .await
    }

    /// How many players and live matches there are.
    ///
    /// # Errors
    /// The store failed.
    pub async fn census(&self) -> Result<Census, StoreError> {
        // Counting a million rows each second would be the dearest statement of all.
        const SQL: &str = "SELECT
                (SELECT count(*) FROM (SELECT FROM users LIMIT $1) AS up_to_here) AS counted,
                (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'users'::regclass) AS estimated,
                (SELECT count(*) FROM matches WHERE ended_at IS NULL) AS live";
        self.run("census", async |client| {
            let row = query_opt(client, SQL, &[&COUNTED_MAX]).await?.ok_or(Fault::Malformed("absence of a census"))?;
            let (counted, estimated) = (count(&row, "counted")?, count(&row, "estimated")?);
            let all_counted = counted < COUNTED_MAX.unsigned_abs();
            let players = if all_counted { counted } else { counted.max(estimated) };
            Ok(Census { players, live_matches: count(&row, "live")? })
        })
        .await
    }

    /// Sets a picture: PNG, drawn by us. `false`: there is no such user.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_avatar(&self, id: UserId, png: &[u8]) -> Result<bool, StoreError> {
        const SQL: &str = "INSERT INTO avatars (user_id, png)
            SELECT id, $2 FROM users WHERE id = $1 AND deleted_at IS NULL
            ON CONFLICT (user_id) DO UPDATE SET png = excluded.png, updated_at = now()";
        self.run("set_avatar", async |client| Ok(execute(client, SQL, &[&id.as_uuid(), &png]).await? > 0)).await
    }

    /// A picture, and when it was set.
    ///
    /// # Errors
    /// The store failed.
    pub async fn avatar(&self, id: UserId) -> Result<Option<(Vec<u8>, Timestamp)>, StoreError> {
        const SQL: &str = "SELECT png, updated_at FROM avatars WHERE user_id = $1";
        self.run("avatar", async |client| match query_opt(client, SQL, &[&id.as_uuid()]).await? {
            Some(row) => Ok(Some((row.try_get("png")?, row.try_get("updated_at")?))),
            None => Ok(None),
        })
        .await
    }

    /// Takes a picture away.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_avatar(&self, id: UserId) -> Result<(), StoreError> {
        const SQL: &str = "DELETE FROM avatars WHERE user_id = $1";
        self.run("remove_avatar", async |client| {
            execute(client, SQL, &[&id.as_uuid()]).await?;
            Ok(())
        })
        .await
    }

    /// Notes that these users were connected until now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_seen(&self, users: &[UserId]) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE users SET last_seen_at = now() WHERE id = ANY($1) AND deleted_at IS NULL";
        let ids: Vec<Uuid> = users.iter().map(|user| user.as_uuid()).collect();
        self.run("note_seen", async |client| {
            execute(client, SQL, &[&ids]).await?;
            Ok(())
        })
        .await
    }
}

/// Where the page begins that follows this line.
pub(crate) fn cursor_of(sort: LeaderboardSort, ranked: &Ranked) -> Cursor {
    let key = match sort {
        LeaderboardSort::Rating => ranked.rating.rating,
        LeaderboardSort::Wins => ranked.totals.1 as f64,
    };
    Cursor { key, id: ranked.user.as_uuid() }
}

fn read_profile(row: &Row) -> Result<Profile, Fault> {
    Ok(Profile {
        user: users::read(row)?,
        language: row.try_get("language")?,
        friend_requests: FriendRequests::read(row.try_get("friend_requests")?)?,
        read_receipts: row.try_get("read_receipts")?,
        last_seen_at: row.try_get("last_seen_at")?,
        avatar_at: row.try_get("avatar_at")?,
    })
}

pub(crate) fn read_ranked(row: &Row) -> Result<Ranked, Fault> {
    Ok(Ranked {
        user: UserId::from_uuid(row.try_get("id")?),
        kind: UserKind::read(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        rating: read_rating(row)?,
        totals: (count(row, "matches")?, count(row, "wins")?),
    })
}

fn count(row: &Row, column: &'static str) -> Result<u64, Fault> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| Fault::Malformed(column))
}

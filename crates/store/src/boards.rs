//! Leaderboards of a few: of one's friends, and of those who stand next to one.

use rally_units::UserId;

use crate::{
    Cursor, LeaderboardSort, PAGE_MAX, Page, Ranked, Store, StoreError,
    history::rows_to_read,
    pool::query,
    profiles::{RANKED_COLUMNS, cursor_of, read_ranked},
};

/// The statement that reads so many who are better than a user (`$1`), the user, and as many who are worse: along the
/// leaderboard's index in both directions.
#[doc(hidden)]
pub fn around_sql(sort: LeaderboardSort, each: usize) -> String {
    let own = each + 1;
    match sort {
        LeaderboardSort::Rating => {
            let ranked = "rating_deviation < 350 AND deleted_at IS NULL";
            format!(
                "SELECT {RANKED_COLUMNS} FROM (SELECT rating, id FROM users WHERE id = $1 AND {ranked}) me
                CROSS JOIN LATERAL (
                    (SELECT * FROM users WHERE {ranked} AND (users.rating, users.id) > (me.rating, me.id)
                    ORDER BY users.rating, users.id LIMIT {each})
                    UNION ALL
                    (SELECT * FROM users WHERE {ranked} AND (users.rating, users.id) <= (me.rating, me.id)
                    ORDER BY users.rating DESC, users.id DESC LIMIT {own})
                ) u LEFT JOIN player_totals t ON t.user_id = u.id ORDER BY u.rating DESC, u.id DESC"
            )
        }
        LeaderboardSort::Wins => format!(
            "SELECT {RANKED_COLUMNS} FROM (SELECT wins, user_id FROM player_totals WHERE user_id = $1 AND wins > 0) me
            CROSS JOIN LATERAL (
                (SELECT * FROM player_totals b WHERE b.wins > 0 AND (b.wins, b.user_id) > (me.wins, me.user_id)
                ORDER BY b.wins, b.user_id LIMIT {each})
                UNION ALL
                (SELECT * FROM player_totals b WHERE b.wins > 0 AND (b.wins, b.user_id) <= (me.wins, me.user_id)
                ORDER BY b.wins DESC, b.user_id DESC LIMIT {own})
            ) t JOIN users u ON u.id = t.user_id ORDER BY t.wins DESC, t.user_id DESC"
        ),
    }
}

/// The statement that reads so many of a user (`$1`) and the user's friends, who are 500 at most. `$2` and `$3`: key and
/// id to begin behind. What they are ordered by is looked up of all of them, the rest of those alone who are on the page.
#[doc(hidden)]
pub fn friends_sql(sort: LeaderboardSort, from_cursor: bool, rows: usize) -> String {
    // By themselves: the planner would start helpers for a scan over so many users otherwise, which takes ten times as
    // long as the whole of it.
    const FRIENDS: &str = "WITH f AS MATERIALIZED (
            SELECT $1::uuid AS id
            UNION ALL SELECT high FROM friendships WHERE low = $1 AND accepted_at IS NOT NULL
            UNION ALL SELECT low FROM friendships WHERE high = $1 AND accepted_at IS NOT NULL)";
    let behind = |key: &str, id: &str, cast: &str| {
        if from_cursor { format!(" AND ({key}, {id}) < ($2::float8{cast}, $3::uuid)") } else { String::new() }
    };
    match sort {
        LeaderboardSort::Rating => format!(
            "{FRIENDS} SELECT {RANKED_COLUMNS} FROM (
                SELECT u.* FROM f JOIN users u ON u.id = f.id
                WHERE u.deleted_at IS NULL AND u.rating_deviation < 350{}
                ORDER BY u.rating DESC, u.id DESC LIMIT {rows}) u
            LEFT JOIN player_totals t ON t.user_id = u.id ORDER BY u.rating DESC, u.id DESC",
            behind("u.rating", "u.id", "")
        ),
        // Who is deleted is nobody's friend any more.
        LeaderboardSort::Wins => format!(
            "{FRIENDS} SELECT {RANKED_COLUMNS} FROM (
                SELECT t.* FROM f JOIN player_totals t ON t.user_id = f.id WHERE t.wins > 0{}
                ORDER BY t.wins DESC, t.user_id DESC LIMIT {rows}) t
            JOIN users u ON u.id = t.user_id ORDER BY t.wins DESC, u.id DESC",
            behind("t.wins", "t.user_id", "::bigint")
        ),
    }
}

impl Store {
    /// Those next to a user in a leaderboard: up to `limit / 2` better ones, the user, and as many who are worse. Empty
    /// if the user is not ranked.
    ///
    /// # Errors
    /// The store failed.
    pub async fn leaderboard_around(
        &self,
        sort: LeaderboardSort,
        user: UserId,
        limit: usize,
    ) -> Result<Vec<Ranked>, StoreError> {
        let each = rows_to_read(limit.clamp(1, PAGE_MAX)) / 2;
        let sql = around_sql(sort, each);
        self.run("leaderboard_around", async |client| {
            query(client, &sql, &[&user.as_uuid()]).await?.iter().map(read_ranked).collect()
        })
        .await
    }

    /// A page of the leaderboard of a user and the user's friends. `limit` is 1 to [`PAGE_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn leaderboard_of_friends(
        &self,
        sort: LeaderboardSort,
        user: UserId,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<Ranked>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let sql = friends_sql(sort, from.is_some(), rows_to_read(limit));
        let user = user.as_uuid();
        let items = self
            .run("leaderboard_of_friends", async |client| {
                let rows = match &from {
                    None => query(client, &sql, &[&user]).await?,
                    Some(cursor) => query(client, &sql, &[&user, &cursor.key, &cursor.id]).await?,
                };
                rows.iter().take(limit).map(read_ranked).collect()
            })
            .await?;
        Ok(Page::new(items, limit, |ranked| cursor_of(sort, ranked)))
    }
}

//! Finished matches: lists of them, and one in full.
//!
//! Ids of matches rise with time, so that the newest come first by their id alone. Every list is read a page at a time,
//! from a [`Cursor`] on, along an index.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::{MatchId, SubStep, UserId};
use serde_json::Value;
use tokio_postgres::{Row, types::ToSql};
use uuid::Uuid;

use crate::{
    EndReason, Mode, PlayerStats, PowerUps, Score, Seat, Side, Store, StoreError,
    error::Fault,
    pool::{query, query_opt},
};

/// Rows of a page at most.
pub const PAGE_MAX: usize = 100;

/// Where a page ends, and the next one begins: behind the row with this key and id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cursor {
    /// What rows are sorted by, in their order; nothing where that is the id.
    pub key: f64,
    /// Of rows with the same key, by their ids.
    pub id: Uuid,
}

/// Some rows, and where to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    pub(crate) fn new(items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let next = if items.len() < limit { None } else { items.last().map(cursor) };
        Self { items, next }
    }
}

/// What matches are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatchSort {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
    /// Those first that took longest.
    Longest,
}

/// Which matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchFilter {
    /// Those of this player.
    pub user: Option<UserId>,
    /// Those of this mode.
    pub mode: Option<Mode>,
}

/// One side of a match, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedSide {
    /// Who sat there.
    pub seat: Seat,
    /// The player's name, as it is now.
    pub name: Option<String>,
}

/// A match, as it is listed.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedMatch {
    /// The match.
    pub id: MatchId,
    /// Its kind.
    pub mode: Mode,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Who sat left and right.
    pub sides: [ListedSide; 2],
    /// Goals.
    pub score: Score,
    /// Who won.
    pub winner: Option<Side>,
    /// Why it ended; `None` while it lives.
    pub reason: Option<EndReason>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When play began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Time in play.
    pub duration: SubStep,
}

/// What a side has done in a match.
#[derive(Clone, Debug, PartialEq)]
pub struct SideStats {
    /// Which side.
    pub side: Side,
    /// Its statistics.
    pub stats: PlayerStats,
    /// The rating before and after, if the match was rated.
    pub rating: Option<(f64, f64)>,
}

/// A match in full, but for its events and its replay.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchDetail {
    /// As it is listed.
    pub listed: ListedMatch,
    /// What both sides have done; empty while it lives, and if it is void.
    pub sides: Vec<SideStats>,
    /// Whether it can be played again.
    pub has_replay: bool,
}

/// Something that happened in a match, as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Its number in the match.
    pub n: u32,
    /// Match clock.
    pub clock: SubStep,
    /// `goal`, `power_up` or `skill`.
    pub kind: String,
    /// The kind's own fields.
    pub data: Value,
}

const COLUMNS: &str = "m.id, m.mode, m.classic, m.left_seat, m.left_user, m.right_seat, m.right_user,
    m.score_left, m.score_right, m.winner, m.reason, m.created_at, m.started_at, m.ended_at, m.duration_sub_steps,
    l.name AS left_name, r.name AS right_name";
const JOINS: &str = "LEFT JOIN users l ON l.id = m.left_user LEFT JOIN users r ON r.id = m.right_user";

/// How many rows a statement reads for a page of so many. The number stands in the statement, where the planner sees
/// it: with a parameter it would plan for a tenth of the table. A few numbers keep statements few.
pub(crate) fn rows_to_read(limit: usize) -> usize {
    [10, 20, 50].into_iter().find(|rows| limit <= *rows).unwrap_or(PAGE_MAX)
}

/// The statement that lists so many matches: one index scan, or two for the two seats that a user may have had, and
/// nothing sorted but their pages. `$1` and `$2`: key and id to begin behind, then the user and the mode, as far as
/// they are asked for.
#[doc(hidden)]
pub fn matches_sql(filter: MatchFilter, sort: MatchSort, from_cursor: bool, rows: usize) -> String {
    let (order, behind) = match sort {
        MatchSort::Newest => ("id DESC", "id < $2 AND $1::float8 IS NOT NULL"),
        MatchSort::Oldest => ("id", "id > $2 AND $1::float8 IS NOT NULL"),
        MatchSort::Longest => {
            ("duration_sub_steps DESC, id DESC", "(duration_sub_steps, id) < ($1::float8::bigint, $2::uuid)")
        }
    };
    let mut next = 1;
    let mut conditions = String::from("winner IS NOT NULL");
    if from_cursor {
        next = 3;
        conditions += &format!(" AND {behind}");
    }
    let user = filter.user.is_some().then(|| {
        next += 1;
        next - 1
    });
    if filter.mode.is_some() {
        conditions += &format!(" AND mode = ${next}");
    }
    let page = |and: &str| {
        format!("(SELECT id, duration_sub_steps FROM matches WHERE {conditions}{and} ORDER BY {order} LIMIT {rows})")
    };
    let pages = match user {
        None => page(""),
        Some(n) => {
            let (left, right) = (page(&format!(" AND left_user = ${n}")), page(&format!(" AND right_user = ${n}")));
            format!("({left} UNION ALL {right} ORDER BY {order} LIMIT {rows})")
        }
    };
    let order = order.replace("id", "m.id").replace("duration_sub_steps", "m.duration_sub_steps");
    format!("SELECT {COLUMNS} FROM {pages} AS page JOIN matches m ON m.id = page.id {JOINS} ORDER BY {order}")
}

impl Store {
    /// Finished matches, but for those that are void. `limit` is 1 to [`PAGE_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn matches(
        &self,
        filter: MatchFilter,
        sort: MatchSort,
        from: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ListedMatch>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let sql = matches_sql(filter, sort, from.is_some(), rows_to_read(limit));
        let (user, mode) = (filter.user.map(UserId::as_uuid), filter.mode.map(|mode| mode.as_str()));
        let mut params: Vec<&(dyn ToSql + Sync)> = Vec::new();
        if let Some(cursor) = &from {
            params.extend([&cursor.key as &(dyn ToSql + Sync), &cursor.id]);
        }
        if let Some(user) = &user {
            params.push(user);
        }
        if let Some(mode) = &mode {
            params.push(mode);
        }
        let items = self
            .run("matches", async |client| {
                query(client, &sql, &params).await?.iter().take(limit).map(read_listed).collect()
            })
            .await?;
        Ok(Page::new(items, limit, |listed: &ListedMatch| Cursor {
            key: match sort {
                MatchSort::Longest => f64::from(listed.duration.0),
                MatchSort::Newest | MatchSort::Oldest => 0.0,
            },
            id: listed.id.as_uuid(),
        }))
    }

    /// A match in full; also one that lives.
    ///
    /// # Errors
    /// The store failed.
    pub async fn match_detail(&self, id: MatchId) -> Result<Option<MatchDetail>, StoreError> {
        const SIDES: &str = "SELECT side, paddle_hits, fastest_ball, power_ups_split, power_ups_blackout,
                power_ups_blackhole, skills_used, skills_successful, disconnected_ms, rating_before, rating_after
            FROM match_player_stats WHERE match_id = $1 ORDER BY side";
        let listed = format!(
            "SELECT {COLUMNS}, EXISTS (SELECT FROM replays WHERE match_id = m.id) AS has_replay
            FROM matches m {JOINS} WHERE m.id = $1"
        );
        self.run("match_detail", async |client| {
            let id = id.as_uuid();
            let Some(row) = query_opt(client, &listed, &[&id]).await? else { return Ok(None) };
            let sides = query(client, SIDES, &[&id]).await?;
            Ok(Some(MatchDetail {
                listed: read_listed(&row)?,
                sides: sides.iter().map(read_side).collect::<Result<_, Fault>>()?,
                has_replay: row.try_get("has_replay")?,
            }))
        })
        .await
    }

    /// What was recorded of a match, in order, from this number on. `limit` is at most 1,000.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recorded_events(
        &self,
        id: MatchId,
        from: u32,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        const SQL: &str = "SELECT n, clock_sub_steps, kind, data FROM match_events
            WHERE match_id = $1 AND n >= $2 ORDER BY n LIMIT $3";
        let limit = limit.min(1_000) as i64;
        self.run("recorded_events", async |client| {
            query(client, SQL, &[&id.as_uuid(), &i64::from(from), &limit]).await?.iter().map(read_event).collect()
        })
        .await
    }

    /// Whether there is (or was) such a match.
    ///
    /// # Errors
    /// The store failed.
    pub async fn has_match(&self, id: MatchId) -> Result<bool, StoreError> {
        self.run("has_match", async |client| exists(client, id).await).await
    }
}

async fn exists(client: &impl GenericClient, id: MatchId) -> Result<bool, Fault> {
    Ok(query_opt(client, "SELECT FROM matches WHERE id = $1", &[&id.as_uuid()]).await?.is_some())
}

fn read_listed(row: &Row) -> Result<ListedMatch, Fault> {
    let side = |seat, user, name| -> Result<ListedSide, Fault> {
        Ok(ListedSide { seat: Seat::read(row.try_get(seat)?, row.try_get(user)?)?, name: row.try_get(name)? })
    };
    Ok(ListedMatch {
        id: MatchId::from_uuid(row.try_get("id")?),
        mode: Mode::read(row.try_get("mode")?)?,
        classic: row.try_get("classic")?,
        sides: [side("left_seat", "left_user", "left_name")?, side("right_seat", "right_user", "right_name")?],
        score: Score::read(row)?,
        winner: row.try_get::<_, Option<&str>>("winner")?.map(Side::read).transpose()?,
        reason: row.try_get::<_, Option<&str>>("reason")?.map(EndReason::read).transpose()?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        duration: SubStep(number(row, "duration_sub_steps")?),
    })
}

fn read_side(row: &Row) -> Result<SideStats, Fault> {
    let (before, after): (Option<f64>, Option<f64>) = (row.try_get("rating_before")?, row.try_get("rating_after")?);
    Ok(SideStats {
        side: Side::read(row.try_get("side")?)?,
        stats: PlayerStats {
            paddle_hits: number(row, "paddle_hits")?,
            fastest_ball: row.try_get("fastest_ball")?,
            power_ups: PowerUps {
                split: number(row, "power_ups_split")?,
                blackout: number(row, "power_ups_blackout")?,
                blackhole: number(row, "power_ups_blackhole")?,
            },
            skills_used: number(row, "skills_used")?,
            skills_successful: number(row, "skills_successful")?,
            disconnected_ms: number(row, "disconnected_ms")?,
        },
        rating: before.zip(after),
    })
}

fn read_event(row: &Row) -> Result<RecordedEvent, Fault> {
    Ok(RecordedEvent {
        n: number(row, "n")?,
        clock: SubStep(number(row, "clock_sub_steps")?),
        kind: row.try_get("kind")?,
        data: row.try_get("data")?,
    })
}

fn number(row: &Row, column: &'static str) -> Result<u32, Fault> {
    u32::try_from(row.try_get::<_, i64>(column)?).map_err(|_| Fault::Malformed(column))
}

//! Finished matches, leaderboards, and how much is going on.

use axum::{
    Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rally_fabric::Role;
use rally_protocol::client::v1::ErrorCode;
use rally_store::{BotLevel, LeaderboardSort, ListedMatch, ListedSide, MatchFilter, Page, Seat};

use super::{
    Api,
    caller::Caller,
    ids::{MatchPath, UserPath},
    live,
    query::{PageCursor, Paging, Query},
    types::{
        Census, EventsQuery, Leaderboard, LeaderboardQuery, MatchEvents, MatchSide, MatchSummary, MatchView, Matches,
        MatchesQuery, RankedUser, RecordedEvent, Replay, ReplaySegment, Scope, SideStats,
    },
    users::{SUB_STEPS_PER_SECOND, find},
};
use crate::error::Problem;

/// Events of a page.
const EVENTS_MAX: usize = 1_000;

/// Everybody's finished matches, or those that are played now.
pub(super) async fn matches(
    State(api): State<Api>,
    _caller: Caller,
    Query(query): Query<MatchesQuery>,
) -> Result<Response, Problem> {
    match query.live {
        true => live::list(&api).await.map(|list| Json(list).into_response()),
        false => list(&api, query, None).await.map(IntoResponse::into_response),
    }
}

/// Somebody's finished matches.
pub(super) async fn matches_of(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<UserPath>,
    Query(query): Query<MatchesQuery>,
) -> Result<Json<Matches>, Problem> {
    let user = find(&api, &id).await?.user.id;
    list(&api, query, Some(user)).await
}

async fn list(api: &Api, query: MatchesQuery, user: Option<rally_units::UserId>) -> Result<Json<Matches>, Problem> {
    let MatchesQuery { mode, sort, live: _, paging } = query;
    let filter = MatchFilter { user, mode };
    let page = api.store.matches(filter, sort, paging.cursor(), paging.limit).await?;
    let next = next_of(&page, paging);
    Ok(Json(Matches { items: page.items.into_iter().map(listed).collect(), next }))
}

fn next_of<T>(page: &Page<T>, paging: Paging) -> Option<PageCursor> {
    let rows = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
    page.next.map(|cursor| PageCursor { cursor, rows_before: paging.rows_before().saturating_add(rows) })
}

/// As it is listed.
pub(super) fn listed(listed: ListedMatch) -> MatchSummary {
    MatchSummary {
        id: listed.id,
        mode: listed.mode.as_str(),
        classic: listed.classic,
        players: listed.sides.map(side),
        score: [listed.score.left, listed.score.right],
        winner: listed.winner.map(rally_store::Side::as_str),
        reason: listed.reason.map(rally_store::EndReason::as_str),
        created_at: listed.created_at,
        started_at: listed.started_at,
        ended_at: listed.ended_at,
        duration_s: f64::from(listed.duration.0) / SUB_STEPS_PER_SECOND,
    }
}

fn side(side: ListedSide) -> MatchSide {
    let bot = match side.seat {
        Seat::Bot(BotLevel::Easy) => Some("easy"),
        Seat::Bot(BotLevel::Normal) => Some("normal"),
        Seat::Bot(BotLevel::Hard) => Some("hard"),
        Seat::Player(_) | Seat::Open | Seat::Shared => None,
    };
    MatchSide { user: side.seat.user(), name: side.name, bot }
}

fn no_match() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is no such match")
}

/// One match in full.
pub(super) async fn get(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<MatchPath>,
) -> Result<Json<MatchView>, Problem> {
    let detail = api.store.match_detail(id.match_id().ok_or_else(no_match)?).await?.ok_or_else(no_match)?;
    let sides = detail.sides.into_iter().map(|side| {
        let stats = side.stats;
        SideStats {
            side: side.side.as_str(),
            paddle_hits: stats.paddle_hits,
            fastest_ball: stats.fastest_ball,
            power_ups_split: stats.power_ups.split,
            power_ups_blackout: stats.power_ups.blackout,
            power_ups_blackhole: stats.power_ups.blackhole,
            skills_used: stats.skills_used,
            skills_successful: stats.skills_successful,
            disconnected_ms: stats.disconnected_ms,
            rating_before: side.rating.map(|(before, _)| before),
            rating_after: side.rating.map(|(_, after)| after),
        }
    });
    Ok(Json(MatchView { summary: listed(detail.listed), statistics: sides.collect(), has_replay: detail.has_replay }))
}

/// What happened in a match: goals, power-ups, skills.
pub(super) async fn events(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<MatchPath>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<MatchEvents>, Problem> {
    let id = id.match_id().ok_or_else(no_match)?;
    let events = api.store.recorded_events(id, query.from, EVENTS_MAX).await?;
    if events.is_empty() && !api.store.has_match(id).await? {
        return Err(no_match());
    }
    let next_n = if events.len() < EVENTS_MAX { None } else { events.last().map(|event| event.n + 1) };
    let items = events.into_iter().map(|event| RecordedEvent {
        n: event.n,
        at_s: f64::from(event.clock.0) / SUB_STEPS_PER_SECOND,
        event: event.kind,
        data: event.data,
    });
    Ok(Json(MatchEvents { items: items.collect(), next_n }))
}

/// What a match can be played again from.
pub(super) async fn replay(
    State(api): State<Api>,
    _caller: Caller,
    Path(id): Path<MatchPath>,
) -> Result<Json<Replay>, Problem> {
    let id = id.match_id().ok_or_else(no_match)?;
    let segments = api.store.replay(id).await?;
    if segments.is_empty() {
        return Err(Problem::new(ErrorCode::NotFound, "there is no replay of such a match"));
    }
    let segments = segments.into_iter().map(|segment| ReplaySegment {
        seed: segment.seed.to_string(),
        rules_version: segment.rules_version,
        input_log: STANDARD.encode(segment.input_log),
        hashes: segment.hashes.into_iter().map(|(tick, hash)| (tick.0, hash.to_string())).collect(),
    });
    Ok(Json(Replay { match_id: id, segments: segments.collect() }))
}

/// Who is best.
pub(super) async fn leaderboard(
    State(api): State<Api>,
    caller: Option<Caller>,
    Query(LeaderboardQuery { by, scope, paging }): Query<LeaderboardQuery>,
) -> Result<Json<Leaderboard>, Problem> {
    let own = caller.as_ref().map(|caller| caller.user.id);
    let page = async {
        let who = || own.ok_or_else(|| Problem::unauthenticated("sign in to see where you stand"));
        Ok::<_, Problem>(match scope {
            Scope::Global => api.store.leaderboard(by, paging.cursor(), paging.limit).await?,
            Scope::Friends => api.store.leaderboard_of_friends(by, who()?, paging.cursor(), paging.limit).await?,
            Scope::Around => Page { items: api.store.leaderboard_around(by, who()?, paging.limit).await?, next: None },
        })
    };
    let rank_of_caller = async {
        match &caller {
            Some(caller) => api.store.rank(by, caller.user.id).await,
            None => Ok(None),
        }
    };
    let (page, own_rank) = tokio::join!(page, rank_of_caller);
    let (page, own_rank) = (page?, own_rank?);
    let next = next_of(&page, paging);
    let first = match scope {
        Scope::Global | Scope::Friends => Some(u64::from(paging.rows_before()) + 1),
        Scope::Around => {
            let before = page.items.iter().position(|ranked| Some(ranked.user) == own).unwrap_or_default() as u64;
            own_rank.map(|own_rank| own_rank.saturating_sub(before).max(1))
        }
    };
    let items = (0..).zip(page.items).map(|(n, ranked)| RankedUser {
        rank: first.map(|first| first + n),
        id: ranked.user,
        name: ranked.name,
        guest: ranked.kind == rally_store::UserKind::Guest,
        rating: ranked.rating.rating,
        matches: ranked.totals.0,
        wins: ranked.totals.1,
    });
    Ok(Json(Leaderboard {
        by: match by {
            LeaderboardSort::Rating => "rating",
            LeaderboardSort::Wins => "wins",
        },
        items: items.collect(),
        next,
        own_rank,
    }))
}

/// What is kept of the answer to `/stats`, and for how long: whatever asks, Postgres counts once a second.
const CENSUS: &str = "stats";
const CENSUS_FOR: std::time::Duration = std::time::Duration::from_secs(1);

/// How much is going on.
pub(super) async fn stats(State(api): State<Api>) -> Result<Json<Census>, Problem> {
    let online = api.fabric.nodes().iter().filter(|node| node.role == Role::Edge).map(|node| node.load.items).sum();
    let cache = api.fabric.cache();
    match cache.get(CENSUS).await {
        Ok(Some(kept)) => {
            if let Ok((players, live_matches)) = serde_json::from_slice(&kept) {
                return Ok(Json(Census { players, live_matches, online }));
            }
        }
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "statistics are counted without a cache"),
    }
    let counted = api.store.census().await?;
    let kept = serde_json::to_vec(&(counted.players, counted.live_matches)).unwrap_or_default();
    // Redis away: the next one counts again.
    let _ = cache.put(CENSUS, kept.into(), CENSUS_FOR).await;
    Ok(Json(Census { players: counted.players, live_matches: counted.live_matches, online }))
}

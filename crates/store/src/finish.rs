//! Recording a result: once, in one transaction, before anyone is told.

use deadpool_postgres::{GenericClient, Transaction};
use rally_units::{Epoch, MatchId, Tick, UserId};
use serde_json::{Value, json};
use tokio::try_join;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    EVENTS_MAX, EndReason, FinishError, Finished, MatchResult, Mode, REPLAY_BYTES_MAX, Rating, RatingChange,
    ReplaySegment, Score, Seat, Side, Store, StoreError,
    error::Fault,
    metrics::{dropped, failed},
    pool::{execute, query, query_opt},
    rating,
    seats::free_seats,
    types::read_epoch,
    users::read_rating,
};

impl Store {
    /// Records a result, exactly once: score, statistics, events, replay, ratings and an outbox row; and frees the
    /// players. All of it or nothing.
    ///
    /// # Errors
    /// The epoch is not the match's, a result was recorded before, or the store failed.
    pub async fn finish(&self, result: &MatchResult, epoch: Epoch) -> Result<Finished, FinishError> {
        const OPERATION: &str = "finish";
        self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let finished = finish(&tx, result, epoch).await?;
            tx.commit().await?;
            Ok(finished)
        })
        .await?
        .inspect_err(|error| failed(OPERATION, error.label()))
    }

    /// How a match ended; `None` if it has not, or there is none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn recorded_result(&self, match_id: MatchId) -> Result<Option<Finished>, StoreError> {
        self.run("recorded_result", async |client| recorded(client, match_id).await).await
    }

    /// The segments of a match's replay, in order; none if there is no replay.
    ///
    /// # Errors
    /// The store failed.
    pub async fn replay(&self, match_id: MatchId) -> Result<Vec<ReplaySegment>, StoreError> {
        const SQL: &str = "SELECT seed, rules_version, input_log, hash_ticks, hashes
            FROM replays WHERE match_id = $1 ORDER BY segment";
        self.run("replay", async |client| {
            query(client, SQL, &[&match_id.as_uuid()]).await?.iter().map(read_segment).collect()
        })
        .await
    }
}

impl Store {
    /// Matches that have a replay, in the order of their ids, at most `limit` of those after `after`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn replays_after(&self, after: Option<MatchId>, limit: usize) -> Result<Vec<MatchId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT match_id FROM replays WHERE match_id > $1 ORDER BY match_id LIMIT $2";
        let after = after.map_or(Uuid::nil(), |after| after.as_uuid());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run("replays_after", async |client| {
            let rows = query(client, SQL, &[&after, &limit]).await?;
            rows.iter().map(|row| Ok(MatchId::from_uuid(row.try_get("match_id")?))).collect()
        })
        .await
    }
}

/// What the locked row of a match says about those who play it.
struct Played {
    mode: Mode,
    users: [Option<UserId>; 2],
}

async fn finish(
    tx: &Transaction<'_>,
    result: &MatchResult,
    epoch: Epoch,
) -> Result<Result<Finished, FinishError>, Fault> {
    const LOCK: &str = "SELECT epoch, ended_at IS NOT NULL AS ended, mode, left_seat, left_user, right_seat, right_user
        FROM matches WHERE id = $1 FOR NO KEY UPDATE";
    let Some(row) = query_opt(tx, LOCK, &[&result.match_id.as_uuid()]).await? else {
        return Ok(Err(FinishError::NoSuchMatch));
    };
    let current = read_epoch(&row)?;
    if current != epoch {
        return Ok(Err(FinishError::Fenced { current }));
    }
    if row.try_get("ended")? {
        let recorded = recorded(tx, result.match_id).await?.ok_or(Fault::Malformed("absence of a result"))?;
        return Ok(Err(FinishError::AlreadyRecorded(Box::new(recorded))));
    }
    let played = Played {
        mode: Mode::read(row.try_get("mode")?)?,
        users: [
            Seat::read(row.try_get("left_seat")?, row.try_get("left_user")?)?.user(),
            Seat::read(row.try_get("right_seat")?, row.try_get("right_user")?)?.user(),
        ],
    };

    let ratings = match (result.winner, played.users) {
        (Some(winner), [Some(left), Some(right)]) if played.mode.is_rated() => {
            Some(rate(tx, [left, right], winner).await?)
        }
        _ => None,
    };
    // Sent together: none needs another's answer.
    try_join!(
        write_match(tx, result),
        write_stats(tx, result, &played, ratings, Side::Left),
        write_stats(tx, result, &played, ratings, Side::Right),
        write_events(tx, result),
        write_replay(tx, result),
        write_outbox(tx, result, &played),
        async { Ok(free_seats(tx, result.match_id).await.map(drop)?) },
    )?;
    Ok(Ok(Finished {
        match_id: result.match_id,
        score: result.score,
        winner: result.winner,
        reason: result.reason,
        ratings,
    }))
}

/// Rates two players by their locked rows, so that results of other matches cannot come between.
async fn rate(tx: &Transaction<'_>, users: [UserId; 2], winner: Side) -> Result<[RatingChange; 2], Fault> {
    const LOCK: &str = "SELECT id, rating, rating_deviation, volatility FROM users
        WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    const WRITE: &str =
        "UPDATE users u SET rating = n.rating, rating_deviation = n.deviation, volatility = n.volatility
        FROM unnest($1::uuid[], $2::float8[], $3::float8[], $4::float8[]) AS n(id, rating, deviation, volatility)
        WHERE u.id = n.id";
    let ids = users.map(UserId::as_uuid);
    let mut before: [Option<Rating>; 2] = [None; 2];
    for row in query(tx, LOCK, &[&ids.as_slice()]).await? {
        let id: Uuid = row.try_get("id")?;
        before[usize::from(id != ids[0])] = Some(read_rating(&row)?);
    }
    let [Some(left), Some(right)] = before else {
        return Err(Fault::Malformed("absence of a player"));
    };
    let after = rating::after([left, right], winner);
    execute(
        tx,
        WRITE,
        &[
            &ids.as_slice(),
            &after.map(|r| r.rating).as_slice(),
            &after.map(|r| r.deviation).as_slice(),
            &after.map(|r| r.volatility).as_slice(),
        ],
    )
    .await?;
    Ok([
        RatingChange { user: users[0], before: left.rating, after: after[0].rating },
        RatingChange { user: users[1], before: right.rating, after: after[1].rating },
    ])
}

async fn write_match(tx: &Transaction<'_>, result: &MatchResult) -> Result<(), Fault> {
    const SQL: &str = "UPDATE matches SET score_left = $2, score_right = $3, winner = $4, reason = $5,
            started_at = coalesce(started_at, $6), ended_at = $7, duration_sub_steps = $8 WHERE id = $1";
    execute(
        tx,
        SQL,
        &[
            &result.match_id.as_uuid(),
            &i32::from(result.score.left),
            &i32::from(result.score.right),
            &result.winner.map(Side::as_str),
            &result.reason.as_str(),
            &result.started_at,
            &result.ended_at,
            &i64::from(result.duration.0),
        ],
    )
    .await?;
    Ok(())
}

async fn write_stats(
    tx: &Transaction<'_>,
    result: &MatchResult,
    played: &Played,
    ratings: Option<[RatingChange; 2]>,
    side: Side,
) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO match_player_stats (match_id, side, user_id, paddle_hits, fastest_ball,
            power_ups_split, power_ups_blackout, power_ups_blackhole, skills_used, skills_successful, disconnected_ms,
            rating_before, rating_after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    let stats = &result.players[side.index()];
    let rating = ratings.map(|ratings| ratings[side.index()]);
    execute(
        tx,
        SQL,
        &[
            &result.match_id.as_uuid(),
            &side.as_str(),
            &played.users[side.index()].map(UserId::as_uuid),
            &i64::from(stats.paddle_hits),
            &stats.fastest_ball,
            &i64::from(stats.power_ups.split),
            &i64::from(stats.power_ups.blackout),
            &i64::from(stats.power_ups.blackhole),
            &i64::from(stats.skills_used),
            &i64::from(stats.skills_successful),
            &i64::from(stats.disconnected_ms),
            &rating.map(|rating| rating.before),
            &rating.map(|rating| rating.after),
        ],
    )
    .await?;
    Ok(())
}

async fn write_events(tx: &Transaction<'_>, result: &MatchResult) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO match_events (match_id, n, clock_sub_steps, kind, data)
        SELECT $1::uuid, e.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::jsonb[]) AS e
        ON CONFLICT (match_id, n) DO NOTHING";
    let kept = &result.events[..result.events.len().min(EVENTS_MAX)];
    if kept.len() < result.events.len() {
        dropped("events", result.events.len() - kept.len());
    }
    if kept.is_empty() {
        return Ok(());
    }
    let n: Vec<i64> = kept.iter().map(|event| i64::from(event.n)).collect();
    let clock: Vec<i64> = kept.iter().map(|event| i64::from(event.clock.0)).collect();
    let kind: Vec<&str> = kept.iter().map(|event| event.kind.as_str()).collect();
    let data: Vec<&Value> = kept.iter().map(|event| &event.data).collect();
    execute(tx, SQL, &[&result.match_id.as_uuid(), &n, &clock, &kind, &data]).await?;
    Ok(())
}

async fn write_replay(tx: &Transaction<'_>, result: &MatchResult) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO replays (match_id, segment, seed, rules_version, input_log, hash_ticks, hashes)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let log_bytes: usize = result.replay.iter().map(|segment| segment.input_log.len()).sum();
    if log_bytes > REPLAY_BYTES_MAX {
        dropped("replay", 1);
        return Ok(());
    }
    for (number, segment) in (0i32..).zip(&result.replay) {
        let (ticks, hashes): (Vec<i64>, Vec<i64>) =
            segment.hashes.iter().map(|(tick, hash)| (i64::from(tick.0), hash.cast_signed())).unzip();
        execute(
            tx,
            SQL,
            &[
                &result.match_id.as_uuid(),
                &number,
                &segment.seed.cast_signed(),
                &i32::from(segment.rules_version),
                &segment.input_log,
                &ticks,
                &hashes,
            ],
        )
        .await?;
    }
    Ok(())
}

async fn write_outbox(tx: &Transaction<'_>, result: &MatchResult, played: &Played) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO outbox (kind, payload) VALUES ('match_finished', $1)";
    let payload = json!({
        "match": result.match_id,
        "mode": played.mode.as_str(),
        "players": played.users,
        "score": [result.score.left, result.score.right],
        "winner": result.winner.map(Side::as_str),
        "reason": result.reason.as_str(),
        "ended_at": result.ended_at.to_string(),
    });
    execute(tx, SQL, &[&payload]).await?;
    Ok(())
}

async fn recorded(client: &impl GenericClient, match_id: MatchId) -> Result<Option<Finished>, Fault> {
    const SQL: &str = "SELECT m.score_left, m.score_right, m.winner, m.reason,
            l.user_id AS left_user, l.rating_before AS left_before, l.rating_after AS left_after,
            r.user_id AS right_user, r.rating_before AS right_before, r.rating_after AS right_after
        FROM matches m
        LEFT JOIN match_player_stats l ON l.match_id = m.id AND l.side = 'left'
        LEFT JOIN match_player_stats r ON r.match_id = m.id AND r.side = 'right'
        WHERE m.id = $1 AND m.ended_at IS NOT NULL";
    let Some(row) = query_opt(client, SQL, &[&match_id.as_uuid()]).await? else {
        return Ok(None);
    };
    let change = |user, before, after| -> Result<Option<RatingChange>, Fault> {
        let user: Option<Uuid> = row.try_get(user)?;
        let (before, after): (Option<f64>, Option<f64>) = (row.try_get(before)?, row.try_get(after)?);
        Ok(match (user, before, after) {
            (Some(user), Some(before), Some(after)) => {
                Some(RatingChange { user: UserId::from_uuid(user), before, after })
            }
            _ => None,
        })
    };
    let left = change("left_user", "left_before", "left_after")?;
    let right = change("right_user", "right_before", "right_after")?;
    Ok(Some(Finished {
        match_id,
        score: Score::read(&row)?,
        winner: row.try_get::<_, Option<&str>>("winner")?.map(Side::read).transpose()?,
        reason: EndReason::read(row.try_get("reason")?)?,
        ratings: left.zip(right).map(|(left, right)| [left, right]),
    }))
}

fn read_segment(row: &Row) -> Result<ReplaySegment, Fault> {
    let ticks: Vec<i64> = row.try_get("hash_ticks")?;
    let hashes: Vec<i64> = row.try_get("hashes")?;
    let hashes = ticks
        .into_iter()
        .zip(hashes)
        .map(|(tick, hash)| {
            let tick = u32::try_from(tick).map_err(|_| Fault::Malformed("Tick"))?;
            Ok((Tick(tick), hash.cast_unsigned()))
        })
        .collect::<Result<_, Fault>>()?;
    Ok(ReplaySegment {
        seed: row.try_get::<_, i64>("seed")?.cast_unsigned(),
        rules_version: u16::try_from(row.try_get::<_, i32>("rules_version")?)
            .map_err(|_| Fault::Malformed("rules version"))?,
        input_log: row.try_get("input_log")?,
        hashes,
    })
}

//! Seats: what makes "one match at a time" true.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::{GenericClient, Transaction};
use rally_units::{Epoch, MatchId, UserId};
use uuid::Uuid;

use crate::{
    FenceError, Seat, Side, Store, StoreError,
    error::Fault,
    metrics::failed,
    pool::{execute, query, query_opt},
    types::read_epoch,
};

/// Why a seat was not claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The seat is not open: somebody has it, or it was never one to be claimed.
    #[error("the seat is taken")]
    Taken,
    /// The player sits in a match already, which may be this one.
    #[error("the user is in match {match_id}")]
    AlreadyInMatch {
        /// The match that the player is in.
        match_id: MatchId,
    },
    /// There is no such user.
    #[error("no such user")]
    NoSuchUser,
    /// The match is at another epoch, has ended, or does not exist.
    #[error(transparent)]
    Fence(#[from] FenceError),
}

impl From<StoreError> for ClaimError {
    fn from(error: StoreError) -> Self {
        Self::Fence(error.into())
    }
}

impl Store {
    /// Gives an open seat of a live match to a player. Claiming it again is fine.
    ///
    /// # Errors
    /// The seat or the player is not free, the caller's epoch is not the match's, or the store failed.
    pub async fn claim_seat(
        &self,
        match_id: MatchId,
        side: Side,
        user: UserId,
        epoch: Epoch,
    ) -> Result<(), ClaimError> {
        const OPERATION: &str = "claim_seat";
        self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let claimed = claim(&tx, match_id, side, user, epoch).await?;
            tx.commit().await?;
            Ok(claimed)
        })
        .await?
        .inspect_err(|error| {
            failed(
                OPERATION,
                match error {
                    ClaimError::Taken => "taken",
                    ClaimError::AlreadyInMatch { .. } => "already_in_match",
                    ClaimError::NoSuchUser => "no_such_user",
                    ClaimError::Fence(error) => error.label(),
                },
            );
        })
    }
}

/// Lets the players of a match go.
pub(crate) async fn free_seats(client: &impl GenericClient, match_id: MatchId) -> Result<u64, tokio_postgres::Error> {
    execute(client, "DELETE FROM active_seats WHERE match_id = $1", &[&match_id.as_uuid()]).await
}

/// Locks users in the order of their ids, and returns those that exist. Whoever inserts seats does this before, so
/// that nobody else can seat the same users meanwhile.
pub(crate) async fn lock_users(tx: &Transaction<'_>, users: &[Uuid]) -> Result<HashSet<Uuid>, Fault> {
    const SQL: &str = "SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    query(tx, SQL, &[&users]).await?.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// Where these users sit now.
pub(crate) async fn seated(tx: &Transaction<'_>, users: &[Uuid]) -> Result<HashMap<UserId, MatchId>, Fault> {
    const SQL: &str = "SELECT user_id, match_id FROM active_seats WHERE user_id = ANY($1)";
    query(tx, SQL, &[&users])
        .await?
        .iter()
        .map(|row| Ok((UserId::from_uuid(row.try_get("user_id")?), MatchId::from_uuid(row.try_get("match_id")?))))
        .collect()
}

async fn claim(
    tx: &Transaction<'_>,
    match_id: MatchId,
    side: Side,
    user: UserId,
    epoch: Epoch,
) -> Result<Result<(), ClaimError>, Fault> {
    const LOCK: &str = "SELECT epoch, ended_at IS NOT NULL AS ended, left_seat, left_user, right_seat, right_user
        FROM matches WHERE id = $1 FOR NO KEY UPDATE";
    const SIT_LEFT: &str = "UPDATE matches SET left_seat = 'player', left_user = $2 WHERE id = $1";
    const SIT_RIGHT: &str = "UPDATE matches SET right_seat = 'player', right_user = $2 WHERE id = $1";
    const HOLD: &str = "INSERT INTO active_seats (user_id, match_id) VALUES ($1, $2)";

    let Some(row) = query_opt(tx, LOCK, &[&match_id.as_uuid()]).await? else {
        return Ok(Err(FenceError::NoSuchMatch.into()));
    };
    let current = read_epoch(&row)?;
    if current != epoch {
        return Ok(Err(FenceError::Fenced { current }.into()));
    }
    if row.try_get("ended")? {
        return Ok(Err(FenceError::Ended.into()));
    }
    let (seat, sit) = match side {
        Side::Left => (Seat::read(row.try_get("left_seat")?, row.try_get("left_user")?)?, SIT_LEFT),
        Side::Right => (Seat::read(row.try_get("right_seat")?, row.try_get("right_user")?)?, SIT_RIGHT),
    };
    match seat {
        Seat::Open => {}
        Seat::Player(holder) if holder == user => return Ok(Ok(())),
        Seat::Player(_) | Seat::Bot(_) | Seat::Shared => return Ok(Err(ClaimError::Taken)),
    }
    let users = [user.as_uuid()];
    if lock_users(tx, &users).await?.is_empty() {
        return Ok(Err(ClaimError::NoSuchUser));
    }
    if let Some(match_id) = seated(tx, &users).await?.get(&user) {
        return Ok(Err(ClaimError::AlreadyInMatch { match_id: *match_id }));
    }
    execute(tx, sit, &[&match_id.as_uuid(), &user.as_uuid()]).await?;
    execute(tx, HOLD, &[&user.as_uuid(), &match_id.as_uuid()]).await?;
    Ok(Ok(()))
}

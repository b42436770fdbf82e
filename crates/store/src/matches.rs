//! A match's life between its creation and its result: start, goals, and being called off.

use deadpool_postgres::GenericClient;
use rally_units::{Epoch, MatchId};

use crate::{
    EndReason, FenceError, Ownership, Score, Store,
    error::Fault,
    metrics::failed,
    pool::{execute, query_opt},
    seats::free_seats,
    types::{epoch_column, read_epoch},
};

impl Store {
    /// Notes that a match is in play. Saying so again is fine.
    ///
    /// # Errors
    /// The epoch is not the match's, the match has ended, or the store failed.
    pub async fn start_match(&self, match_id: MatchId, epoch: Epoch) -> Result<(), FenceError> {
        const SQL: &str = "UPDATE matches SET started_at = coalesce(started_at, now())
            WHERE id = $1 AND epoch = $2 AND ended_at IS NULL";
        const OPERATION: &str = "start_match";
        self.run(OPERATION, async |client| {
            let params = (match_id.as_uuid(), epoch_column(epoch));
            let touched = execute(client, SQL, &[&params.0, &params.1]).await?;
            judge(client, touched, match_id, epoch).await
        })
        .await?
        .inspect_err(|error| failed(OPERATION, error.label()))
    }

    /// Writes the score of a match that has begun. Repeated and late writes are fine: a score never falls.
    ///
    /// # Errors
    /// The epoch is not the match's, the match has ended, or the store failed.
    pub async fn record_goal(&self, match_id: MatchId, epoch: Epoch, score: Score) -> Result<(), FenceError> {
        const SQL: &str = "UPDATE matches
            SET score_left = greatest(score_left, $3), score_right = greatest(score_right, $4),
                started_at = coalesce(started_at, now())
            WHERE id = $1 AND epoch = $2 AND ended_at IS NULL";
        const OPERATION: &str = "record_goal";
        self.run(OPERATION, async |client| {
            let (left, right) = (i32::from(score.left), i32::from(score.right));
            let params = (match_id.as_uuid(), epoch_column(epoch));
            let touched = execute(client, SQL, &[&params.0, &params.1, &left, &right]).await?;
            judge(client, touched, match_id, epoch).await
        })
        .await?
        .inspect_err(|error| failed(OPERATION, error.label()))
    }

    /// Ends a match without a result and frees its players: one that never started, or one that was lost. Whoever
    /// sweeps up after a dead owner takes the match first, and then is the owner for this. The owner is compared and
    /// not the epoch alone: of two workers that were asked to create a match, each believes in the first epoch, and only
    /// one has the match. The reason is `no_show` or `abandoned`: the others have a winner.
    ///
    /// # Errors
    /// The match is not this owner's at this epoch, has ended, or the store failed.
    pub async fn void_match(&self, match_id: MatchId, held: Ownership, reason: EndReason) -> Result<(), FenceError> {
        const END: &str = "UPDATE matches SET ended_at = now(), reason = $3
            WHERE id = $1 AND epoch = $2 AND owner_node = $4 AND owner_incarnation = $5 AND ended_at IS NULL";
        const OPERATION: &str = "void_match";
        self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let Ownership { owner, epoch } = held;
            let params = (match_id.as_uuid(), epoch_column(epoch));
            let (node, incarnation) = owner.columns();
            let touched = execute(&tx, END, &[&params.0, &params.1, &reason.as_str(), &node, &incarnation]).await?;
            let verdict = judge(&tx, touched, match_id, epoch).await?;
            if verdict.is_ok() {
                // A statement of its own: it must see the seat that was being claimed until the row was ours.
                free_seats(&tx, match_id).await?;
            }
            tx.commit().await?;
            Ok(verdict)
        })
        .await?
        .inspect_err(|error| failed(OPERATION, error.label()))
    }
}

/// Says why a conditional update touched no row.
async fn judge(
    client: &impl GenericClient,
    touched: u64,
    match_id: MatchId,
    epoch: Epoch,
) -> Result<Result<(), FenceError>, Fault> {
    const SQL: &str = "SELECT epoch, ended_at IS NOT NULL AS ended FROM matches WHERE id = $1";
    if touched > 0 {
        return Ok(Ok(()));
    }
    let Some(row) = query_opt(client, SQL, &[&match_id.as_uuid()]).await? else {
        return Ok(Err(FenceError::NoSuchMatch));
    };
    // Epochs only rise and an end is for ever: at the same epoch it was the end, or another owner.
    let current = read_epoch(&row)?;
    let ended: bool = row.try_get("ended")?;
    Ok(Err(if current == epoch && ended { FenceError::Ended } else { FenceError::Fenced { current } }))
}

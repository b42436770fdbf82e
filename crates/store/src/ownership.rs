//! Who has the word for a match: the fencing that everything durable rests on.

use std::collections::HashMap;

use rally_units::{Epoch, MatchId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Owner, Ownership, Side, Store, StoreError,
    error::Fault,
    pool::{query, query_opt},
    types::{epoch_column, read_epoch},
};

/// Rows that one statement touches at most: long batches hold their locks for long.
pub(crate) const BATCH_MAX: usize = 100;

/// The match that a player is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveMatch {
    /// The match.
    pub match_id: MatchId,
    /// The player's side.
    pub side: Side,
    /// Who has the word for it.
    pub ownership: Ownership,
}

impl Store {
    /// The match in which this player sits, if any.
    ///
    /// # Errors
    /// The store failed.
    pub async fn active_match(&self, user: UserId) -> Result<Option<ActiveMatch>, StoreError> {
        const SQL: &str = "SELECT m.id, m.owner_node, m.owner_incarnation, m.epoch,
                m.left_user IS NOT DISTINCT FROM s.user_id AS is_left
            FROM active_seats s JOIN matches m ON m.id = s.match_id WHERE s.user_id = $1";
        self.run("active_match", async |client| {
            let row = query_opt(client, SQL, &[&user.as_uuid()]).await?;
            row.map(|row| {
                Ok(ActiveMatch {
                    match_id: MatchId::from_uuid(row.try_get("id")?),
                    side: if row.try_get("is_left")? { Side::Left } else { Side::Right },
                    ownership: Ownership::read(&row)?,
                })
            })
            .transpose()
        })
        .await
    }

    /// Who has the word for a live match. `None` if there is no such match or it has ended: then
    /// [`Store::recorded_result`] tells how.
    ///
    /// # Errors
    /// The store failed.
    pub async fn owner_of(&self, match_id: MatchId) -> Result<Option<Ownership>, StoreError> {
        const SQL: &str = "SELECT owner_node, owner_incarnation, epoch FROM matches WHERE id = $1 AND ended_at IS NULL";
        self.run("owner_of", async |client| {
            query_opt(client, SQL, &[&match_id.as_uuid()]).await?.map(|row| Ownership::read(&row)).transpose()
        })
        .await
    }

    /// Makes `owner` the owner of those of these live matches that are still at the expected epoch, each at the next
    /// one. Returns what it took; of several owners that try the same, one gets it. Trying again is fine: what the
    /// same owner took from the same epoch before is returned again.
    ///
    /// # Errors
    /// The store failed. Some matches may have been taken.
    pub async fn take(&self, expected: &[(MatchId, Epoch)], owner: Owner) -> Result<Vec<(MatchId, Epoch)>, StoreError> {
        // The rows are locked in the order of their ids, or two takers of the same matches would lock each other out.
        // Whoever had to wait for a lock has the conditions checked again on the row as it is then.
        const SQL: &str = "WITH wanted AS (
                SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS w(id, expected)
            ), locked AS (
                SELECT m.id, w.expected FROM matches m JOIN wanted w USING (id)
                WHERE m.ended_at IS NULL AND (m.epoch = w.expected
                    OR (m.epoch = w.expected + 1 AND m.owner_node = $3 AND m.owner_incarnation = $4))
                ORDER BY m.id FOR NO KEY UPDATE OF m
            )
            UPDATE matches m SET epoch = l.expected + 1, owner_node = $3, owner_incarnation = $4
            FROM locked l
            WHERE m.id = l.id
            RETURNING m.id, m.epoch";
        self.in_batches("take", SQL, expected, owner).await
    }

    /// Which of these live matches are still `owner`'s at these epochs: asked after a lapse, before anything is sent.
    ///
    /// # Errors
    /// The store failed.
    pub async fn confirm(&self, held: &[(MatchId, Epoch)], owner: Owner) -> Result<Vec<(MatchId, Epoch)>, StoreError> {
        const SQL: &str = "SELECT m.id, m.epoch
            FROM matches m JOIN unnest($1::uuid[], $2::bigint[]) AS h(id, epoch) USING (id, epoch)
            WHERE m.ended_at IS NULL AND m.owner_node = $3 AND m.owner_incarnation = $4";
        self.in_batches("confirm", SQL, held, owner).await
    }

    /// The owners of all live matches, each with their number. Whoever watches leases finds the dead among them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn live_owners(&self) -> Result<HashMap<Owner, u64>, StoreError> {
        const SQL: &str = "SELECT owner_node, owner_incarnation, count(*) AS matches
            FROM matches WHERE ended_at IS NULL GROUP BY owner_node, owner_incarnation";
        self.run("live_owners", async |client| {
            let rows = query(client, SQL, &[]).await?;
            rows.iter().map(|row| Ok((Owner::read(row)?, row.try_get::<_, i64>("matches")?.unsigned_abs()))).collect()
        })
        .await
    }

    /// At most 100 live matches of an owner, with their epochs: to be taken, then asked for again.
    ///
    /// # Errors
    /// The store failed.
    pub async fn live_matches_of(&self, owner: Owner) -> Result<Vec<(MatchId, Epoch)>, StoreError> {
        const SQL: &str = "SELECT id, epoch FROM matches
            WHERE ended_at IS NULL AND owner_node = $1 AND owner_incarnation = $2 LIMIT $3";
        let (node, incarnation) = owner.columns();
        self.run("live_matches_of", async |client| {
            let rows = query(client, SQL, &[&node, &incarnation, &(BATCH_MAX as i64)]).await?;
            rows.iter().map(read).collect()
        })
        .await
    }

    /// All live matches of an owner, with their epochs.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all_live_matches_of(&self, owner: Owner) -> Result<Vec<(MatchId, Epoch)>, StoreError> {
        const SQL: &str = "SELECT id, epoch FROM matches
            WHERE ended_at IS NULL AND owner_node = $1 AND owner_incarnation = $2 ORDER BY id";
        let (node, incarnation) = owner.columns();
        self.run("all_live_matches_of", async |client| {
            query(client, SQL, &[&node, &incarnation]).await?.iter().map(read).collect()
        })
        .await
    }

    async fn in_batches(
        &self,
        operation: &'static str,
        sql: &str,
        matches: &[(MatchId, Epoch)],
        owner: Owner,
    ) -> Result<Vec<(MatchId, Epoch)>, StoreError> {
        let (node, incarnation) = owner.columns();
        let mut held = Vec::with_capacity(matches.len());
        for batch in matches.chunks(BATCH_MAX) {
            let (ids, epochs): (Vec<Uuid>, Vec<i64>) =
                batch.iter().map(|(id, epoch)| (id.as_uuid(), epoch_column(*epoch))).unzip();
            let rows = self
                .run(operation, async |client| Ok(query(client, sql, &[&ids, &epochs, &node, &incarnation]).await?))
                .await?;
            for row in &rows {
                held.push(read(row).map_err(|fault| StoreError::new(operation, fault))?);
            }
        }
        Ok(held)
    }
}

fn read(row: &Row) -> Result<(MatchId, Epoch), Fault> {
    Ok((MatchId::from_uuid(row.try_get("id")?), read_epoch(row)?))
}

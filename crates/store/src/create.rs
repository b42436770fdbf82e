//! Creating matches and seating their players, in batches of which each match goes through or not by itself.

use std::collections::{BTreeSet, HashMap, HashSet};

use deadpool_postgres::Transaction;
use rally_units::{Epoch, MatchId, UserId};
use uuid::Uuid;

use crate::{
    Mode, Owner, Ownership, Seat, Store, StoreError,
    error::Fault,
    metrics::failed,
    ownership::BATCH_MAX,
    pool::{execute, query},
    seats::{lock_users, seated},
    types::epoch_column,
};

/// A match to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMatch {
    /// Chosen by the caller beforehand, so that creating it again is noticed.
    pub id: MatchId,
    /// Kind of match.
    pub mode: Mode,
    /// Without skills and power-ups.
    pub classic: bool,
    /// Nobody else may watch.
    pub private: bool,
    /// Goals that win.
    pub score_to_win: u16,
    /// Seed of the match's random stream.
    pub seed: u64,
    /// Version of the rules that it is played by.
    pub rules_version: u16,
    /// Who plays left and right.
    pub seats: [Seat; 2],
    /// Who has the word for it at first.
    pub owner: Owner,
}

impl NewMatch {
    fn users(&self) -> impl Iterator<Item = UserId> {
        self.seats.iter().filter_map(|seat| seat.user())
    }
}

/// Why one match of a batch was not created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// A player sits in another match, which may be one before it in the batch.
    #[error("user {user} is in match {match_id}")]
    AlreadyInMatch {
        /// The player.
        user: UserId,
        /// The match that the player is in.
        match_id: MatchId,
    },
    /// A match with this id was created before, perhaps by an earlier try of the caller.
    #[error("the match exists, at epoch {}", .0.epoch)]
    AlreadyExists(Ownership),
    /// A player does not exist.
    #[error("no such user: {0}")]
    NoSuchUser(UserId),
    /// Both seats name the same player.
    #[error("user {0} cannot play against itself")]
    AgainstItself(UserId),
}

impl CreateError {
    const fn label(self) -> &'static str {
        match self {
            Self::AlreadyInMatch { .. } => "already_in_match",
            Self::AlreadyExists(_) => "already_exists",
            Self::NoSuchUser(_) => "no_such_user",
            Self::AgainstItself(_) => "against_itself",
        }
    }
}

impl Store {
    /// Creates matches at epoch 1 and seats their players: up to 100 in one transaction, more in several. A match that
    /// cannot be created leaves nothing behind and does not disturb the others.
    ///
    /// Returns one result for each match, in order.
    ///
    /// # Errors
    /// The store failed. Some matches may have been created; repeating the call answers
    /// [`CreateError::AlreadyExists`] for them, with their owner.
    pub async fn create_matches(&self, matches: &[NewMatch]) -> Result<Vec<Result<Epoch, CreateError>>, StoreError> {
        const OPERATION: &str = "create_matches";
        let mut results = Vec::with_capacity(matches.len());
        for batch in matches.chunks(BATCH_MAX) {
            let created = self
                .run(OPERATION, async |client| {
                    let tx = client.transaction().await?;
                    let created = create(&tx, batch).await?;
                    tx.commit().await?;
                    Ok(created)
                })
                .await?;
            results.extend(created);
        }
        for error in results.iter().filter_map(|result| result.err()) {
            failed(OPERATION, error.label());
        }
        Ok(results)
    }
}

async fn create(tx: &Transaction<'_>, batch: &[NewMatch]) -> Result<Vec<Result<Epoch, CreateError>>, Fault> {
    let users: BTreeSet<Uuid> = batch.iter().flat_map(NewMatch::users).map(UserId::as_uuid).collect();
    let users: Vec<Uuid> = users.into_iter().collect();
    let known = lock_users(tx, &users).await?;
    // Only now, with a snapshot of its own: until the users were locked, somebody else may have seated them.
    let mut seated = seated(tx, &users).await?;

    // `None`: the match exists, and its owner is looked up below.
    let mut results = Vec::with_capacity(batch.len());
    let mut fresh = Vec::with_capacity(batch.len());
    for new in batch {
        results.push(match admit(new, &known, &seated) {
            Some(Ok(epoch)) => {
                seated.extend(new.users().map(|user| (user, new.id)));
                fresh.push(new);
                Some(Ok(epoch))
            }
            verdict => verdict,
        });
    }

    let inserted = insert_matches(tx, &fresh).await?;
    for (result, new) in results.iter_mut().zip(batch) {
        if matches!(result, Some(Ok(_))) && !inserted.contains(&new.id) {
            *result = None;
        }
    }
    fresh.retain(|new| inserted.contains(&new.id));
    insert_seats(tx, &fresh).await?;

    let existing: Vec<Uuid> =
        results.iter().zip(batch).filter(|(result, _)| result.is_none()).map(|(_, new)| new.id.as_uuid()).collect();
    let owners = if existing.is_empty() { HashMap::new() } else { ownerships(tx, &existing).await? };
    results
        .into_iter()
        .zip(batch)
        .map(|(result, new)| match result {
            Some(result) => Ok(result),
            None => {
                let owner = owners.get(&new.id).ok_or(Fault::Malformed("absence of a match"))?;
                Ok(Err(CreateError::AlreadyExists(*owner)))
            }
        })
        .collect()
}

fn admit(
    new: &NewMatch,
    known: &HashSet<Uuid>,
    seated: &HashMap<UserId, MatchId>,
) -> Option<Result<Epoch, CreateError>> {
    if let [Some(left), Some(right)] = new.seats.map(Seat::user)
        && left == right
    {
        return Some(Err(CreateError::AgainstItself(left)));
    }
    for user in new.users() {
        if !known.contains(&user.as_uuid()) {
            return Some(Err(CreateError::NoSuchUser(user)));
        }
        match seated.get(&user) {
            Some(match_id) if *match_id == new.id => return None,
            Some(match_id) => return Some(Err(CreateError::AlreadyInMatch { user, match_id: *match_id })),
            None => {}
        }
    }
    Some(Ok(Epoch::FIRST))
}

/// Inserts matches and returns those that did not exist before.
async fn insert_matches(tx: &Transaction<'_>, fresh: &[&NewMatch]) -> Result<HashSet<MatchId>, Fault> {
    const SQL: &str = "INSERT INTO matches (id, mode, classic, private, score_to_win, seed, rules_version,
            left_seat, left_user, right_seat, right_user, owner_node, owner_incarnation, epoch)
        SELECT n.*, $14::bigint FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::boolean[], $5::integer[],
            $6::bigint[], $7::integer[], $8::text[], $9::uuid[], $10::text[], $11::uuid[], $12::bigint[],
            $13::bigint[]) AS n(id)
        ORDER BY n.id
        ON CONFLICT (id) DO NOTHING RETURNING id";
    fn column<T>(fresh: &[&NewMatch], of: impl Fn(&NewMatch) -> T) -> Vec<T> {
        fresh.iter().map(|new| of(new)).collect()
    }
    if fresh.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = query(
        tx,
        SQL,
        &[
            &column(fresh, |new| new.id.as_uuid()),
            &column(fresh, |new| new.mode.as_str()),
            &column(fresh, |new| new.classic),
            &column(fresh, |new| new.private),
            &column(fresh, |new| i32::from(new.score_to_win)),
            &column(fresh, |new| new.seed.cast_signed()),
            &column(fresh, |new| i32::from(new.rules_version)),
            &column(fresh, |new| new.seats[0].columns().0),
            &column(fresh, |new| new.seats[0].columns().1),
            &column(fresh, |new| new.seats[1].columns().0),
            &column(fresh, |new| new.seats[1].columns().1),
            &column(fresh, |new| new.owner.columns().0),
            &column(fresh, |new| new.owner.columns().1),
            &epoch_column(Epoch::FIRST),
        ],
    )
    .await?;
    rows.iter().map(|row| Ok(MatchId::from_uuid(row.try_get("id")?))).collect()
}

async fn insert_seats(tx: &Transaction<'_>, fresh: &[&NewMatch]) -> Result<(), Fault> {
    const SQL: &str = "INSERT INTO active_seats (user_id, match_id) SELECT * FROM unnest($1::uuid[], $2::uuid[])";
    let (users, matches): (Vec<Uuid>, Vec<Uuid>) =
        fresh.iter().flat_map(|new| new.users().map(|user| (user.as_uuid(), new.id.as_uuid()))).unzip();
    if !users.is_empty() {
        execute(tx, SQL, &[&users, &matches]).await?;
    }
    Ok(())
}

async fn ownerships(tx: &Transaction<'_>, ids: &[Uuid]) -> Result<HashMap<MatchId, Ownership>, Fault> {
    const SQL: &str = "SELECT id, owner_node, owner_incarnation, epoch FROM matches WHERE id = ANY($1)";
    query(tx, SQL, &[&ids])
        .await?
        .iter()
        .map(|row| Ok((MatchId::from_uuid(row.try_get("id")?), Ownership::read(row)?)))
        .collect()
}

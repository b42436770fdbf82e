//! Friends, requests for friendship, and blocks.
//!
//! Two people have one row, whoever asked. A block ends what there was between them, and keeps new requests away in
//! both directions.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Store, StoreError, UserKind,
    error::Fault,
    metrics::failed,
    pool::{execute, query, query_opt},
};

/// Friends and requests of a user at most, together.
pub const FRIENDS_MAX: i64 = 500;
/// People whom a user blocks at most.
pub const BLOCKS_MAX: i64 = 1_000;

/// Somebody with whom one has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// Who.
    pub user: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The name.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether the other has asked, of a request.
    pub is_incoming: bool,
    /// When the other was last connected, if that is known.
    pub last_seen_at: Option<Timestamp>,
}

/// What a request for friendship has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Befriended {
    /// It waits for an answer.
    Requested,
    /// The other had asked before: friends now.
    Accepted,
    /// It was so before: friends, or a request of one's own that waits.
    Unchanged,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum BefriendError {
    /// There is no such user, or it is oneself.
    #[error("no such user")]
    NoSuchUser,
    /// The other does not take requests from this user. A block is not told apart.
    #[error("the user takes no requests from this one")]
    Refused,
    /// One of them has too many.
    #[error("too many friends and requests")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a block has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// The two had to do with each other, and have no more.
    Parted,
    /// They had nothing to do with each other: nobody has anything to be told.
    Apart,
    /// There is no such user, it is oneself, or one blocks too many.
    Refused,
}

/// Both rows, in the order in which all rows of users are locked: of a block and requests between two people one waits for
/// the other.
const LOCK_BOTH: &str = "SELECT id, friend_requests FROM users
    WHERE id IN ($1, $2) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE";

fn pair(a: UserId, b: UserId) -> (Uuid, Uuid) {
    let (a, b) = (a.as_uuid(), b.as_uuid());
    (a.min(b), a.max(b))
}

impl Store {
    /// Asks for somebody's friendship, or accepts what the other has asked for.
    ///
    /// # Errors
    /// There is no such user, the other does not want it, there are too many, or the store failed.
    pub async fn befriend(&self, user: UserId, other: UserId) -> Result<Befriended, BefriendError> {
        const OPERATION: &str = "befriend";
        self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            let befriended = befriend(&tx, user, other).await?;
            tx.commit().await?;
            Ok(befriended)
        })
        .await?
        .inspect_err(|error| {
            failed(
                OPERATION,
                match error {
                    BefriendError::NoSuchUser => "no_such_user",
                    BefriendError::Refused => "refused",
                    BefriendError::TooMany => "too_many",
                    BefriendError::Store(error) => error.kind.as_str(),
                },
            );
        })
    }

    /// Accepts a request. `false`: the other has not asked.
    ///
    /// # Errors
    /// The store failed.
    pub async fn accept_friend(&self, user: UserId, other: UserId) -> Result<bool, StoreError> {
        const SQL: &str = "UPDATE friendships SET accepted_at = coalesce(accepted_at, now())
            WHERE low = $1 AND high = $2 AND requested_by = $3";
        let (low, high) = pair(user, other);
        self.run("accept_friend", async |client| Ok(execute(client, SQL, &[&low, &high, &other.as_uuid()]).await? > 0))
            .await
    }

    /// Ends a friendship (`is_friend`), or takes a request back or declines it. `false`: there was none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unfriend(&self, user: UserId, other: UserId, is_friend: bool) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM friendships
            WHERE low = $1 AND high = $2 AND (accepted_at IS NOT NULL) = $3";
        let (low, high) = pair(user, other);
        self.run("unfriend", async |client| Ok(execute(client, SQL, &[&low, &high, &is_friend]).await? > 0)).await
    }

    /// Friends, or the requests that wait in both directions; by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn acquaintances(&self, user: UserId, are_friends: bool) -> Result<Vec<Acquaintance>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, u.last_seen_at, f.requested_by = u.id AS is_incoming,
                coalesce(f.accepted_at, f.requested_at) AS since
            FROM (SELECT high AS other, * FROM friendships WHERE low = $1
                UNION ALL SELECT low AS other, * FROM friendships WHERE high = $1) f
            JOIN users u ON u.id = f.other
            WHERE (f.accepted_at IS NOT NULL) = $2 ORDER BY lower(u.name), u.id";
        self.run("acquaintances", async |client| {
            query(client, SQL, &[&user.as_uuid(), &are_friends]).await?.iter().map(read).collect()
        })
        .await
    }

    /// The friends of a user, by their ids.
    ///
    /// # Errors
    /// The store failed.
    pub async fn friend_ids(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "SELECT high FROM friendships WHERE low = $1 AND accepted_at IS NOT NULL
            UNION ALL SELECT low FROM friendships WHERE high = $1 AND accepted_at IS NOT NULL";
        self.run("friend_ids", async |client| ids(client, SQL, user).await).await
    }

    /// Blocks somebody, and ends what there was between the two.
    ///
    /// # Errors
    /// The store failed.
    pub async fn block(&self, user: UserId, other: UserId) -> Result<Blocked, StoreError> {
        const BLOCK: &str = "INSERT INTO blocks (user_id, blocked_id)
            SELECT $1, u.id FROM users u WHERE u.id = $2 AND u.id <> $1
                AND (SELECT count(*) FROM blocks WHERE user_id = $1) < $3
            ON CONFLICT (user_id, blocked_id) DO UPDATE SET created_at = blocks.created_at";
        const END: &str = "DELETE FROM friendships WHERE low = $1 AND high = $2";
        let (low, high) = pair(user, other);
        self.run("block", async |client| {
            let tx = client.transaction().await?;
            query(&tx, LOCK_BOTH, &[&low, &high]).await?;
            if execute(&tx, BLOCK, &[&user.as_uuid(), &other.as_uuid(), &BLOCKS_MAX]).await? == 0 {
                return Ok(Blocked::Refused);
            }
            let parted = execute(&tx, END, &[&low, &high]).await? > 0;
            tx.commit().await?;
            Ok(if parted { Blocked::Parted } else { Blocked::Apart })
        })
        .await
    }

    /// Blocks somebody no more. `false`: it was not so.
    ///
    /// # Errors
    /// The store failed.
    pub async fn unblock(&self, user: UserId, other: UserId) -> Result<bool, StoreError> {
        const SQL: &str = "DELETE FROM blocks WHERE user_id = $1 AND blocked_id = $2";
        self.run("unblock", async |client| Ok(execute(client, SQL, &[&user.as_uuid(), &other.as_uuid()]).await? > 0))
            .await
    }

    /// Whom a user blocks; by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn blocked(&self, user: UserId) -> Result<Vec<Acquaintance>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, NULL::timestamptz AS last_seen_at, false AS is_incoming,
                b.created_at AS since
            FROM blocks b JOIN users u ON u.id = b.blocked_id WHERE b.user_id = $1 ORDER BY lower(u.name), u.id";
        self.run("blocked", async |client| query(client, SQL, &[&user.as_uuid()]).await?.iter().map(read).collect())
            .await
    }

    /// Whom a user blocks, by their ids.
    ///
    /// # Errors
    /// The store failed.
    pub async fn blocked_ids(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "SELECT blocked_id FROM blocks WHERE user_id = $1";
        self.run("blocked_ids", async |client| ids(client, SQL, user).await).await
    }

    /// Whom each of these users blocks, and whether each tells others how far it has read; of those that there are.
    ///
    /// # Errors
    /// The store failed.
    pub async fn wishes(&self, users: &[UserId]) -> Result<Vec<(UserId, Vec<UserId>, bool)>, StoreError> {
        const SQL: &str = "SELECT u.id, u.read_receipts, array_remove(array_agg(b.blocked_id), NULL) AS blocked
            FROM users u LEFT JOIN blocks b ON b.user_id = u.id WHERE u.id = ANY($1) GROUP BY u.id";
        let users: Vec<Uuid> = users.iter().map(|user| user.as_uuid()).collect();
        self.run("wishes", async |client| {
            let rows = query(client, SQL, &[&users]).await?;
            let read = |row: &Row| {
                let blocked: Vec<Uuid> = row.try_get("blocked")?;
                let blocked = blocked.into_iter().map(UserId::from_uuid).collect();
                Ok((UserId::from_uuid(row.try_get("id")?), blocked, row.try_get("read_receipts")?))
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Whether these two may meet: both exist, and neither blocks the other.
    ///
    /// # Errors
    /// The store failed.
    pub async fn may_meet(&self, a: UserId, b: UserId) -> Result<bool, StoreError> {
        self.run("may_meet", async |client| may_meet(client, a, b).await).await
    }
}

pub(crate) async fn may_meet(client: &impl GenericClient, a: UserId, b: UserId) -> Result<bool, Fault> {
    const SQL: &str = "SELECT (SELECT count(*) FROM users WHERE id IN ($1, $2) AND deleted_at IS NULL) = 2
        AND NOT EXISTS (SELECT FROM blocks WHERE (user_id, blocked_id) IN (($1, $2), ($2, $1)))";
    match query_opt(client, SQL, &[&a.as_uuid(), &b.as_uuid()]).await? {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(false),
    }
}

async fn befriend(
    tx: &impl GenericClient,
    user: UserId,
    other: UserId,
) -> Result<Result<Befriended, BefriendError>, Fault> {
    const FOUND: &str = "SELECT requested_by, accepted_at IS NOT NULL AS accepted FROM friendships
        WHERE low = $1 AND high = $2";
    const ACCEPT: &str = "UPDATE friendships SET accepted_at = now() WHERE low = $1 AND high = $2";
    const COMMON: &str = "SELECT EXISTS (
        SELECT FROM (SELECT high AS f FROM friendships WHERE low = $1 AND accepted_at IS NOT NULL
            UNION ALL SELECT low FROM friendships WHERE high = $1 AND accepted_at IS NOT NULL) mine
        JOIN (SELECT high AS f FROM friendships WHERE low = $2 AND accepted_at IS NOT NULL
            UNION ALL SELECT low FROM friendships WHERE high = $2 AND accepted_at IS NOT NULL) theirs USING (f))";
    const COUNT: &str = "SELECT greatest(
        (SELECT count(*) FROM friendships WHERE low = $1 OR high = $1),
        (SELECT count(*) FROM friendships WHERE low = $2 OR high = $2))";
    const REQUEST: &str = "INSERT INTO friendships (low, high, requested_by) VALUES ($1, $2, $3)";
    let (me, them) = (user.as_uuid(), other.as_uuid());
    let rows = query(tx, LOCK_BOTH, &[&me, &them]).await?;
    let Some(their_row) = rows.iter().find(|row| row.try_get::<_, Uuid>("id").ok() == Some(them)) else {
        return Ok(Err(BefriendError::NoSuchUser));
    };
    if me == them || rows.len() < 2 {
        return Ok(Err(BefriendError::NoSuchUser));
    }
    if !may_meet(tx, user, other).await? {
        return Ok(Err(BefriendError::Refused));
    }
    let (low, high) = pair(user, other);
    if let Some(row) = query_opt(tx, FOUND, &[&low, &high]).await? {
        let by: Uuid = row.try_get("requested_by")?;
        if row.try_get("accepted")? || by == me {
            return Ok(Ok(Befriended::Unchanged));
        }
        execute(tx, ACCEPT, &[&low, &high]).await?;
        return Ok(Ok(Befriended::Accepted));
    }
    let wanted = match their_row.try_get::<_, &str>("friend_requests")? {
        "all" => true,
        "friends_of_friends" => match query_opt(tx, COMMON, &[&me, &them]).await? {
            Some(row) => row.try_get(0)?,
            None => false,
        },
        _ => false,
    };
    if !wanted {
        return Ok(Err(BefriendError::Refused));
    }
    let count: i64 = match query_opt(tx, COUNT, &[&me, &them]).await? {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    if count >= FRIENDS_MAX {
        return Ok(Err(BefriendError::TooMany));
    }
    execute(tx, REQUEST, &[&low, &high, &me]).await?;
    Ok(Ok(Befriended::Requested))
}

async fn ids(client: &impl GenericClient, sql: &str, user: UserId) -> Result<Vec<UserId>, Fault> {
    let rows = query(client, sql, &[&user.as_uuid()]).await?;
    rows.iter().map(|row| Ok(UserId::from_uuid(row.try_get(0)?))).collect()
}

fn read(row: &Row) -> Result<Acquaintance, Fault> {
    Ok(Acquaintance {
        user: UserId::from_uuid(row.try_get("id")?),
        kind: UserKind::read(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        since: row.try_get("since")?,
        is_incoming: row.try_get("is_incoming")?,
        last_seen_at: row.try_get("last_seen_at")?,
    })
}

//! Removing what nobody needs any more, a few rows at a time.
//!
//! Each batch is a transaction of its own that first takes an advisory lock, so that one node in the cluster is at it at a
//! time; who does not get the lock does nothing. A batch reads and removes so many rows at most, whatever there is: it
//! holds nobody up for longer than that takes. All of it may be done again, at any time, by anybody.

use std::time::Duration;

use deadpool_postgres::GenericClient;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::{
    Store, StoreError,
    error::Fault,
    pool::{execute, query, query_opt},
};

/// Key of the lock: "rally" and a number, as for migrations.
const LOCK_KEY: i64 = i64::from_be_bytes(*b"\0\0rally\x02");

/// Guests of a batch that are removed one by one, where they cannot be together. The others wait for the next time.
const ALONE_MAX: usize = 100;

/// Rows of a batch at most.
pub const RETENTION_BATCH_MAX: usize = 10_000;

/// What is removed when it is old enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Old {
    /// Logins that nobody has used until they expired.
    Logins,
    /// Codes for passwords and addresses that have expired.
    Codes,
    /// Notifications that have expired, and those that nobody has read for so long.
    Notifications,
    /// What others were to learn of a change, whether they have or not: after so long they read it from the tables.
    Outbox,
    /// Reports that were closed so long ago.
    Reports,
    /// What was said, and the channels of matches in which nothing is left.
    Chat,
    /// Replays of matches that ended so long ago.
    Replays,
    /// What happened in matches that ended so long ago. Their results and statistics stay.
    Events,
    /// Guests who are signed in nowhere, whom nobody has seen for so long, and who have left nothing behind: no match,
    /// no message, no friendship.
    Guests,
}

impl Old {
    /// All of them, in the order in which they are removed.
    pub const ALL: [Self; 9] = [
        Self::Logins,
        Self::Codes,
        Self::Notifications,
        Self::Outbox,
        Self::Reports,
        Self::Chat,
        Self::Replays,
        Self::Events,
        Self::Guests,
    ];

    /// As metrics and logs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logins => "logins",
            Self::Codes => "codes",
            Self::Notifications => "notifications",
            Self::Outbox => "outbox",
            Self::Reports => "reports",
            Self::Chat => "chat",
            Self::Replays => "replays",
            Self::Events => "events",
            Self::Guests => "guests",
        }
    }
}

/// What a batch has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Rows that are gone.
    pub removed: u64,
    /// Where the next batch goes on; `None`: there is nothing more.
    pub next: Option<Place>,
}

/// Where a batch begins. The first one begins at [`Place::START`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(Uuid);

impl Place {
    /// Before everything.
    pub const START: Self = Self(Uuid::nil());
}

impl Store {
    /// Removes at most `batch` rows (1 to [`RETENTION_BATCH_MAX`]) that are older than this. `None`: another node is at it.
    ///
    /// # Errors
    /// The store failed; nothing is removed then.
    pub async fn remove_old(
        &self,
        what: Old,
        kept_for: Duration,
        from: Place,
        batch: usize,
    ) -> Result<Option<Swept>, StoreError> {
        let batch = batch.clamp(1, RETENTION_BATCH_MAX) as i64;
        self.run("remove_old", async |client| {
            let tx = client.transaction().await?;
            let locked = query_opt(&tx, "SELECT pg_try_advisory_xact_lock($1) AS locked", &[&LOCK_KEY]).await?;
            if !locked.is_some_and(|row| row.get("locked")) {
                return Ok(None);
            }
            let swept = match what {
                Old::Guests => remove_guests(&tx, kept_for, from, batch).await?,
                Old::Chat => counted(remove_chat(&tx, kept_for, batch).await?, batch),
                what => counted(execute(&tx, simple(what), &[&kept_for.as_secs_f64(), &batch]).await?, batch),
            };
            tx.commit().await?;
            Ok(Some(swept))
        })
        .await
    }
}

/// There may be more where a batch is full.
fn counted(removed: u64, batch: i64) -> Swept {
    Swept { removed, next: (i64::try_from(removed) == Ok(batch)).then_some(Place::START) }
}

/// `$1`: seconds, `$2`: rows. What is in use at this moment is left for another time. Ids of matches, notifications and
/// reports rise with time (UUIDs of version 7): those below the one that such an id would have are read along the primary
/// key, and what they say themselves is asked all the same.
const fn simple(what: Old) -> &'static str {
    match what {
        Old::Logins => {
            "DELETE FROM logins WHERE id = ANY(ARRAY(SELECT id FROM logins
                WHERE expires_at < now() - make_interval(secs => $1) ORDER BY expires_at LIMIT $2
                FOR UPDATE SKIP LOCKED))"
        }
        Old::Codes => {
            "DELETE FROM account_codes c USING (SELECT user_id, purpose FROM account_codes
                WHERE expires_at < now() - make_interval(secs => $1) ORDER BY expires_at LIMIT $2
                FOR UPDATE SKIP LOCKED) old WHERE (c.user_id, c.purpose) = (old.user_id, old.purpose)"
        }
        Old::Notifications => {
            "DELETE FROM notifications WHERE id = ANY(ARRAY(SELECT id FROM (
                (SELECT id FROM notifications WHERE expires_at < now() ORDER BY expires_at LIMIT $2)
                UNION
                (SELECT id FROM notifications WHERE id < id_of(now() - make_interval(secs => $1))
                    AND created_at < now() - make_interval(secs => $1) ORDER BY id LIMIT $2)) old LIMIT $2))"
        }
        Old::Outbox => {
            "DELETE FROM outbox WHERE id = ANY(ARRAY(SELECT id FROM (
                SELECT id, created_at FROM outbox ORDER BY id LIMIT $2) first
                WHERE created_at < now() - make_interval(secs => $1)))"
        }
        Old::Reports => {
            "DELETE FROM reports WHERE id = ANY(ARRAY(SELECT id FROM reports
                WHERE id < id_of(now() - make_interval(secs => $1))
                    AND closed_at < now() - make_interval(secs => $1) ORDER BY id LIMIT $2))"
        }
        Old::Replays => {
            "DELETE FROM replays WHERE ctid = ANY(ARRAY(SELECT r.ctid FROM replays r
                WHERE r.match_id < id_of(now() - make_interval(secs => $1)) AND EXISTS (SELECT FROM matches m
                    WHERE m.id = r.match_id AND m.ended_at < now() - make_interval(secs => $1))
                ORDER BY r.match_id LIMIT $2))"
        }
        Old::Events => {
            "DELETE FROM match_events WHERE ctid = ANY(ARRAY(SELECT e.ctid FROM match_events e
                WHERE e.match_id < id_of(now() - make_interval(secs => $1)) AND EXISTS (SELECT FROM matches m
                    WHERE m.id = e.match_id AND m.ended_at < now() - make_interval(secs => $1))
                ORDER BY e.match_id LIMIT $2))"
        }
        // These have functions of their own.
        Old::Chat | Old::Guests => "",
    }
}

async fn remove_chat(tx: &impl GenericClient, kept_for: Duration, batch: i64) -> Result<u64, Fault> {
    const SQL: &str = "DELETE FROM channel_messages WHERE ctid = ANY(ARRAY(SELECT ctid FROM channel_messages
        WHERE sent_at < now() - make_interval(secs => $1) LIMIT $2)) RETURNING channel";
    // As whoever says something there does: nobody says anything in between.
    const LOCK: &str = "SELECT name FROM channels WHERE name = ANY($1) AND (name LIKE 'match:%' OR name LIKE 'watch:%')
        ORDER BY name FOR UPDATE SKIP LOCKED";
    const EMPTY: &str = "SELECT name FROM unnest($1::text[]) AS n (name)
        WHERE NOT EXISTS (SELECT FROM channel_messages m WHERE m.channel = n.name)";
    const READS: &str = "DELETE FROM channel_reads WHERE channel = ANY($1)";
    const CHANNELS: &str = "DELETE FROM channels WHERE name = ANY($1)";
    let rows = query(tx, SQL, &[&kept_for.as_secs_f64(), &batch]).await?;
    let removed = rows.len() as u64;
    let mut names: Vec<String> = rows.iter().map(|row| row.try_get("channel")).collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    for narrower in [LOCK, EMPTY] {
        let rows = query(tx, narrower, &[&names]).await?;
        names = rows.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?;
    }
    execute(tx, READS, &[&names]).await?;
    execute(tx, CHANNELS, &[&names]).await?;
    Ok(removed)
}

/// Looks at the next guests in the order of their ids, however many of them can go.
async fn remove_guests(
    tx: &impl GenericClient,
    kept_for: Duration,
    Place(from): Place,
    batch: i64,
) -> Result<Swept, Fault> {
    const LOOKED_AT: &str = "SELECT id FROM users WHERE id > $2 AND id < id_of(now() - make_interval(secs => $1))
        ORDER BY id LIMIT $3";
    // What refers to a user keeps it. What is only about itself goes with it.
    const FREE: &str = "SELECT u.id FROM users u WHERE u.id = ANY($2) AND u.kind = 'guest' AND u.deleted_at IS NULL
            AND u.created_at < now() - make_interval(secs => $1)
            AND (u.last_seen_at IS NULL OR u.last_seen_at < now() - make_interval(secs => $1))
            AND NOT EXISTS (SELECT FROM logins x WHERE x.user_id = u.id AND x.expires_at > now())
            AND NOT EXISTS (SELECT FROM matches x WHERE x.left_user = u.id)
            AND NOT EXISTS (SELECT FROM matches x WHERE x.right_user = u.id)
            AND NOT EXISTS (SELECT FROM match_player_stats x WHERE x.user_id = u.id)
            AND NOT EXISTS (SELECT FROM active_seats x WHERE x.user_id = u.id)
            AND NOT EXISTS (SELECT FROM channel_messages x WHERE x.user_id = u.id)
            AND NOT EXISTS (SELECT FROM friendships x WHERE x.low = u.id)
            AND NOT EXISTS (SELECT FROM friendships x WHERE x.high = u.id)
            AND NOT EXISTS (SELECT FROM blocks x WHERE x.blocked_id = u.id)
            AND NOT EXISTS (SELECT FROM group_members x WHERE x.user_id = u.id)
            AND NOT EXISTS (SELECT FROM group_bans x WHERE x.user_id = u.id)
            AND NOT EXISTS (SELECT FROM notifications x WHERE x.from_id = u.id)
            AND NOT EXISTS (SELECT FROM reports x WHERE x.user_id = u.id OR x.reporter_id = u.id)
        FOR UPDATE SKIP LOCKED";
    const OWN: [&str; 8] = [
        "DELETE FROM logins WHERE user_id = ANY($1)",
        "DELETE FROM avatars WHERE user_id = ANY($1)",
        "DELETE FROM notifications WHERE user_id = ANY($1)",
        "DELETE FROM channel_reads WHERE user_id = ANY($1)",
        "DELETE FROM blocks WHERE user_id = ANY($1)",
        "DELETE FROM group_invitations WHERE user_id = ANY($1)",
        "DELETE FROM group_mutes WHERE user_id = ANY($1)",
        "DELETE FROM users WHERE id = ANY($1)",
    ];
    let ids = async |sql: &str, params: &[&(dyn tokio_postgres::types::ToSql + Sync)]| -> Result<Vec<Uuid>, Fault> {
        let rows = query(tx, sql, params).await?;
        Ok(rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
    };
    let kept_for_s = kept_for.as_secs_f64();
    let looked_at = ids(LOOKED_AT, &[&kept_for_s, &from, &batch]).await?;
    let next = looked_at.last().filter(|_| i64::try_from(looked_at.len()) == Ok(batch)).map(|last| Place(*last));
    let free = ids(FREE, &[&kept_for_s, &looked_at]).await?;
    if free.is_empty() {
        return Ok(Swept { removed: 0, next });
    }
    // Together if nothing else refers to any of them; else each by itself.
    if forget(tx, &free, &OWN).await? {
        return Ok(Swept { removed: free.len() as u64, next });
    }
    let mut removed = 0;
    for one in free.iter().take(ALONE_MAX) {
        removed += u64::from(forget(tx, std::slice::from_ref(one), &OWN).await?);
    }
    Ok(Swept { removed, next })
}

/// Removes these guests, unless something refers to one of them.
async fn forget(tx: &impl GenericClient, guests: &[Uuid], statements: &[&str]) -> Result<bool, Fault> {
    tx.batch_execute("SAVEPOINT guests").await?;
    for sql in statements {
        match execute(tx, sql, &[&guests]).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
                tx.batch_execute("ROLLBACK TO guests").await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
    }
    tx.batch_execute("RELEASE guests").await?;
    Ok(true)
}

//! Groups: people who talk in a channel of their own.
//!
//! Whatever changes a group is done under the lock of its channel's row, under which its messages are appended too: who
//! has been put out or silenced says nothing more, whatever is under way. Each has a rank, and does nothing to who has
//! the same or a higher one. A group has one owner for as long as it is; when that one goes, the eldest of the highest
//! rank is next.

mod members;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use rally_units::{GroupId, UserId};
use tokio_postgres::Row;
use uuid::Uuid;

pub use members::{Banned, GroupMember, Invited};

use crate::{
    Store, StoreError, UserKind,
    error::Fault,
    metrics::failed,
    pool::{execute, query, query_opt},
    types::text_enum,
};

/// Members and invitations of a group at most, together.
pub const GROUP_MEMBERS_MAX: i64 = 200;
/// Groups of a user at most; and as many invitations.
pub const GROUPS_PER_USER_MAX: i64 = 50;
/// People whom a group keeps out at most.
pub const GROUP_BANS_MAX: i64 = 1_000;
/// Characters of a title at most.
pub const GROUP_TITLE_CHARS_MAX: usize = 60;
/// Slow mode at most.
pub const SLOW_S_MAX: u32 = 21_600;

text_enum! {
    /// What one is in a group.
    GroupRole {
        /// Talks, and invites.
        Member = "member",
        /// Keeps order among members.
        Moderator = "moderator",
        /// Does everything.
        Owner = "owner",
    }
}

impl GroupRole {
    const fn rank(self) -> u8 {
        match self {
            Self::Member => 0,
            Self::Moderator => 1,
            Self::Owner => 2,
        }
    }

    /// Whether this one keeps order among others.
    pub const fn moderates(self) -> bool {
        self.rank() > 0
    }

    /// Whether this one may do something to that one.
    pub const fn is_above(self, other: Self) -> bool {
        self.rank() > other.rank()
    }
}

/// A group, as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub id: GroupId,
    /// What it is called.
    pub title: String,
    /// Slow mode, in seconds; 0: off.
    pub slow_s: u32,
    /// Since when.
    pub created_at: Timestamp,
    /// What the member is in it.
    pub role: GroupRole,
}

/// Why something was not done in a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no such group, or not for this user.
    #[error("no such group")]
    NoSuchGroup,
    /// There is no such user, or not in this group, or not for this user.
    #[error("no such user")]
    NoSuchUser,
    /// This user may not.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A bound is reached.
    #[error("{0}")]
    TooMany(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GroupError {
    const fn label(&self) -> &'static str {
        match self {
            Self::NoSuchGroup => "no_such_group",
            Self::NoSuchUser => "no_such_user",
            Self::Forbidden(_) => "forbidden",
            Self::TooMany(_) => "too_many",
            Self::Store(error) => error.kind.as_str(),
        }
    }
}

/// What one has been invited to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The group.
    pub group: GroupId,
    /// What it is called.
    pub title: String,
    /// By whom.
    pub by: UserId,
    /// Guest or account.
    pub by_kind: UserKind,
    /// The name.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
}

/// What a change leads to, of which others want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Somebody is gone.
    Left,
    /// And this one is the owner now.
    Succeeded(UserId),
    /// And with that one, the last, the group.
    Ended,
}

type Outcome<T> = Result<Result<T, GroupError>, Fault>;

/// The name of a group's channel.
pub(crate) fn channel_of(id: GroupId) -> String {
    format!("group:{id}")
}

/// Locks a group by its channel. `false`: there is none.
async fn lock(tx: &impl GenericClient, id: GroupId) -> Result<bool, Fault> {
    const LOCK: &str = "SELECT FROM channels WHERE name = $1 FOR NO KEY UPDATE";
    Ok(query_opt(tx, LOCK, &[&channel_of(id)]).await?.is_some())
}

pub(crate) async fn role_in(
    client: &impl GenericClient,
    id: GroupId,
    user: UserId,
) -> Result<Option<GroupRole>, Fault> {
    const SQL: &str = "SELECT role FROM group_members WHERE group_id = $1 AND user_id = $2";
    let row = query_opt(client, SQL, &[&id.as_uuid(), &user.as_uuid()]).await?;
    row.map(|row| GroupRole::read(row.try_get("role")?)).transpose()
}

async fn count(client: &impl GenericClient, sql: &str, id: Uuid) -> Result<i64, Fault> {
    match query_opt(client, sql, &[&id]).await? {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(0),
    }
}

/// Locks a user's row, and tells whether there is room for one more group.
async fn has_room(tx: &impl GenericClient, user: UserId) -> Outcome<()> {
    const LOCK: &str = "SELECT FROM users WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE";
    const COUNT: &str = "SELECT count(*) FROM group_members WHERE user_id = $1";
    if query_opt(tx, LOCK, &[&user.as_uuid()]).await?.is_none() {
        return Ok(Err(GroupError::NoSuchUser));
    }
    if count(tx, COUNT, user.as_uuid()).await? >= GROUPS_PER_USER_MAX {
        return Ok(Err(GroupError::TooMany("in too many groups")));
    }
    Ok(Ok(()))
}

/// Makes somebody a member who, as far as reading goes, has read everything.
async fn enter(tx: &impl GenericClient, id: GroupId, user: UserId, role: GroupRole) -> Result<(), Fault> {
    const ENTER: &str = "INSERT INTO group_members (group_id, user_id, role) VALUES ($1, $2, $3)";
    const READ: &str = "INSERT INTO channel_reads (user_id, channel, read_offset)
        SELECT $1, name, last_offset FROM channels WHERE name = $2
        ON CONFLICT (user_id, channel) DO UPDATE SET read_offset = excluded.read_offset";
    execute(tx, ENTER, &[&id.as_uuid(), &user.as_uuid(), &role.as_str()]).await?;
    execute(tx, READ, &[&user.as_uuid(), &channel_of(id)]).await?;
    Ok(())
}

/// Takes somebody out, and sees to who is next.
async fn depart(tx: &impl GenericClient, id: GroupId, user: UserId) -> Result<Departure, Fault> {
    const OUT: &str = "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2";
    const NEXT: &str = "UPDATE group_members SET role = 'owner' WHERE group_id = $1 AND user_id = (
            SELECT user_id FROM group_members WHERE group_id = $1
            ORDER BY (role = 'moderator') DESC, joined_at, user_id LIMIT 1)
        RETURNING user_id";
    let role = role_in(tx, id, user).await?;
    execute(tx, OUT, &[&id.as_uuid(), &user.as_uuid()]).await?;
    if role != Some(GroupRole::Owner) {
        return Ok(Departure::Left);
    }
    match query_opt(tx, NEXT, &[&id.as_uuid()]).await? {
        Some(row) => Ok(Departure::Succeeded(UserId::from_uuid(row.try_get("user_id")?))),
        None => {
            end(tx, id).await?;
            Ok(Departure::Ended)
        }
    }
}

/// Ends a group. What was said in it is out of everybody's reach, and is deleted next.
async fn end(tx: &impl GenericClient, id: GroupId) -> Result<(), Fault> {
    execute(tx, "DELETE FROM groups WHERE id = $1", &[&id.as_uuid()]).await?;
    Ok(())
}

/// Takes somebody who wants to be forgotten out of all groups.
pub(crate) async fn forget(tx: &impl GenericClient, user: UserId) -> Result<Vec<GroupId>, Fault> {
    const GROUPS: &str = "SELECT group_id FROM group_members WHERE user_id = $1 ORDER BY group_id";
    const REST: [&str; 3] = [
        "DELETE FROM group_invitations WHERE user_id = $1 OR invited_by = $1",
        "DELETE FROM group_bans WHERE user_id = $1",
        "DELETE FROM group_mutes WHERE user_id = $1",
    ];
    let mut ended = Vec::new();
    for row in query(tx, GROUPS, &[&user.as_uuid()]).await? {
        let id = GroupId::from_uuid(row.try_get("group_id")?);
        lock(tx, id).await?;
        if depart(tx, id, user).await? == Departure::Ended {
            ended.push(id);
        }
    }
    for statement in REST {
        execute(tx, statement, &[&user.as_uuid()]).await?;
    }
    Ok(ended)
}

impl Store {
    /// Does something in a group, under its lock, on behalf of a member.
    async fn in_group<T>(
        &self,
        operation: &'static str,
        id: GroupId,
        actor: UserId,
        work: impl AsyncFnOnce(&Transaction<'_>, GroupRole) -> Outcome<T>,
    ) -> Result<T, GroupError> {
        let done = self.run(operation, async |client| {
            let tx = client.transaction().await?;
            let role = if lock(&tx, id).await? { role_in(&tx, id, actor).await? } else { None };
            let Some(role) = role else { return Ok(Err(GroupError::NoSuchGroup)) };
            let done = work(&tx, role).await?;
            if done.is_ok() {
                tx.commit().await?;
            }
            Ok(done)
        });
        done.await?.inspect_err(|error| failed(operation, error.label()))
    }

    /// Makes a group, whose owner is its first member.
    ///
    /// # Errors
    /// The user is in too many, there is no such user, or the store failed.
    pub async fn create_group(&self, owner: UserId, title: &str) -> Result<Group, GroupError> {
        const OPERATION: &str = "create_group";
        const CHANNEL: &str = "INSERT INTO channels (name) VALUES ($1)";
        const GROUP: &str = "INSERT INTO groups (id, title) VALUES ($1, $2) RETURNING created_at";
        // All its bits are random but those that say so: its number tells nobody when it was made.
        let id = GroupId::from_uuid(Uuid::new_v4());
        let made = self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            execute(&tx, CHANNEL, &[&channel_of(id)]).await?;
            if let Err(refused) = has_room(&tx, owner).await? {
                return Ok(Err(refused));
            }
            let made = query_opt(&tx, GROUP, &[&id.as_uuid(), &title]).await?;
            let made = made.ok_or(Fault::Malformed("absence of a group"))?;
            enter(&tx, id, owner, GroupRole::Owner).await?;
            tx.commit().await?;
            let created_at = made.try_get("created_at")?;
            Ok(Ok(Group { id, title: title.to_owned(), slow_s: 0, created_at, role: GroupRole::Owner }))
        });
        made.await?.inspect_err(|error| failed(OPERATION, error.label()))
    }

    /// A group, as this member sees it; `None`: there is none, or the user is no member.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group(&self, id: GroupId, user: UserId) -> Result<Option<Group>, StoreError> {
        const SQL: &str = "SELECT g.title, g.created_at, c.slow_s, m.role
            FROM groups g JOIN channels c ON c.name = $3
            JOIN group_members m ON m.group_id = g.id AND m.user_id = $2 WHERE g.id = $1";
        self.run("group", async |client| {
            let row = query_opt(client, SQL, &[&id.as_uuid(), &user.as_uuid(), &channel_of(id)]).await?;
            row.map(|row| {
                Ok(Group {
                    id,
                    title: row.try_get("title")?,
                    slow_s: seconds(&row, "slow_s")?,
                    created_at: row.try_get("created_at")?,
                    role: GroupRole::read(row.try_get("role")?)?,
                })
            })
            .transpose()
        })
        .await
    }

    /// What a user is in a group; `None`: nothing.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group_role(&self, id: GroupId, user: UserId) -> Result<Option<GroupRole>, StoreError> {
        self.run("group_role", async |client| role_in(client, id, user).await).await
    }

    /// Renames a group, or changes how slow it is; `None` stays.
    ///
    /// # Errors
    /// The user does not keep order there, or the store failed.
    pub async fn change_group(
        &self,
        id: GroupId,
        actor: UserId,
        title: Option<&str>,
        slow_s: Option<u32>,
    ) -> Result<(), GroupError> {
        const TITLE: &str = "UPDATE groups SET title = $2 WHERE id = $1";
        const SLOW: &str = "UPDATE channels SET slow_s = $2 WHERE name = $1";
        self.in_group("change_group", id, actor, async |tx, role| {
            if !role.moderates() {
                return Ok(Err(GroupError::Forbidden("only its owner and moderators may do this")));
            }
            if let Some(title) = title {
                execute(tx, TITLE, &[&id.as_uuid(), &title]).await?;
            }
            if let Some(slow_s) = slow_s {
                execute(tx, SLOW, &[&channel_of(id), &slow_column(slow_s)]).await?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Ends a group. Returns who was in it, or was about to be.
    ///
    /// # Errors
    /// The user is not its owner, or the store failed.
    pub async fn delete_group(&self, id: GroupId, actor: UserId) -> Result<Vec<UserId>, GroupError> {
        const ALL: &str = "SELECT user_id FROM group_members WHERE group_id = $1
            UNION ALL SELECT user_id FROM group_invitations WHERE group_id = $1";
        let all = self
            .in_group("delete_group", id, actor, async |tx, role| {
                if role != GroupRole::Owner {
                    return Ok(Err(GroupError::Forbidden("only its owner may do this")));
                }
                let all = user_ids(&query(tx, ALL, &[&id.as_uuid()]).await?)?;
                end(tx, id).await?;
                Ok(Ok(all))
            })
            .await?;
        self.clear_group(id).await;
        Ok(all)
    }

    /// Deletes what was said in a group that is no more, as long as Postgres lets us: nobody can read it.
    pub(crate) async fn clear_group(&self, id: GroupId) {
        const SOME: &str = "DELETE FROM channel_messages WHERE channel = $1 AND message_offset IN
            (SELECT message_offset FROM channel_messages WHERE channel = $1 LIMIT 5000)";
        let channel = channel_of(id);
        loop {
            let cleared = self.run("clear_group", async |client| Ok(execute(client, SOME, &[&channel]).await?)).await;
            match cleared {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let _ = self
            .run("clear_group", async |client| {
                execute(client, "DELETE FROM channel_reads WHERE channel = $1", &[&channel]).await?;
                execute(client, "DELETE FROM channels WHERE name = $1", &[&channel]).await?;
                Ok(())
            })
            .await;
    }

    /// Changes how slow a channel is that is no group's. It comes into being, if it has not yet.
    ///
    /// # Errors
    /// The store failed.
    pub async fn set_slow_mode(&self, channel: &str, slow_s: u32) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO channels (name, slow_s) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET slow_s = excluded.slow_s";
        self.run("set_slow_mode", async |client| {
            execute(client, SQL, &[&channel, &slow_column(slow_s)]).await?;
            Ok(())
        })
        .await
    }
}

fn slow_column(slow_s: u32) -> i32 {
    i32::try_from(slow_s.min(SLOW_S_MAX)).unwrap_or_default()
}

pub(crate) fn seconds(row: &Row, column: &'static str) -> Result<u32, Fault> {
    u32::try_from(row.try_get::<_, i32>(column)?).map_err(|_| Fault::Malformed(column))
}

fn user_ids(rows: &[Row]) -> Result<Vec<UserId>, Fault> {
    rows.iter().map(|row| Ok(UserId::from_uuid(row.try_get("user_id")?))).collect()
}

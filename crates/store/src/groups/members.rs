//! Who is in a group, who is about to be, who is kept out, and who is silent.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::{GroupId, UserId};
use uuid::Uuid;

use super::{
    Departure, GROUP_BANS_MAX, GROUP_MEMBERS_MAX, GROUPS_PER_USER_MAX, GroupError, GroupRole, Invitation, Outcome,
    count, depart, enter, has_room, role_in, user_ids,
};
use crate::{
    Store, StoreError, UserKind,
    error::Fault,
    friends::may_meet,
    pool::{execute, query, query_opt},
};

/// Somebody in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    /// Who.
    pub user: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The name.
    pub name: String,
    /// What one is there.
    pub role: GroupRole,
    /// Since when.
    pub joined_at: Timestamp,
    /// Until when one says nothing there.
    pub muted_until: Option<Timestamp>,
}

/// Somebody who may come into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invited {
    /// Who.
    pub user: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The name.
    pub name: String,
    /// When it was said.
    pub at: Timestamp,
}

/// Somebody who is kept out of a group.
pub type Banned = Invited;

const NOT_ABOVE: GroupError = GroupError::Forbidden("only somebody of a higher rank may do this");
const NO_MODERATOR: GroupError = GroupError::Forbidden("only its owner and moderators may do this");

/// The role of somebody to whom something is to be done by somebody of this role.
async fn below(tx: &impl GenericClient, id: GroupId, actor: GroupRole, user: UserId) -> Outcome<GroupRole> {
    Ok(match role_in(tx, id, user).await? {
        None => Err(GroupError::NoSuchUser),
        Some(role) if actor.is_above(role) => Ok(role),
        Some(_) => Err(NOT_ABOVE),
    })
}

impl Store {
    /// Everybody in a group, the owner first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group_members(&self, id: GroupId) -> Result<Vec<GroupMember>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, m.role, m.joined_at, x.muted_until
            FROM group_members m JOIN users u ON u.id = m.user_id
            LEFT JOIN group_mutes x ON x.group_id = m.group_id AND x.user_id = m.user_id AND x.muted_until > now()
            WHERE m.group_id = $1
            ORDER BY CASE m.role WHEN 'owner' THEN 0 WHEN 'moderator' THEN 1 ELSE 2 END, lower(u.name), u.id";
        self.run("group_members", async |client| {
            let rows = query(client, SQL, &[&id.as_uuid()]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(GroupMember {
                    user: UserId::from_uuid(row.try_get("id")?),
                    kind: UserKind::read(row.try_get("kind")?)?,
                    name: row.try_get("name")?,
                    role: GroupRole::read(row.try_get("role")?)?,
                    joined_at: row.try_get("joined_at")?,
                    muted_until: row.try_get("muted_until")?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// The ids of everybody in a group.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group_member_ids(&self, id: GroupId) -> Result<Vec<UserId>, StoreError> {
        const SQL: &str = "SELECT user_id FROM group_members WHERE group_id = $1";
        self.run("group_member_ids", async |client| user_ids(&query(client, SQL, &[&id.as_uuid()]).await?)).await
    }

    /// Of these, who is not in the group beside him.
    ///
    /// # Errors
    /// The store failed.
    pub async fn strangers(&self, pairs: &[(GroupId, UserId)]) -> Result<Vec<(GroupId, UserId)>, StoreError> {
        const SQL: &str = "SELECT x.group_id, x.user_id FROM unnest($1::uuid[], $2::uuid[]) AS x (group_id, user_id)
            WHERE NOT EXISTS
                (SELECT FROM group_members m WHERE m.group_id = x.group_id AND m.user_id = x.user_id)";
        let (groups, users): (Vec<Uuid>, Vec<Uuid>) =
            pairs.iter().map(|(group, user)| (group.as_uuid(), user.as_uuid())).unzip();
        self.run("strangers", async |client| {
            let rows = query(client, SQL, &[&groups, &users]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok((GroupId::from_uuid(row.try_get("group_id")?), UserId::from_uuid(row.try_get("user_id")?)))
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Who has been invited and has not answered, the latest last.
    ///
    /// # Errors
    /// The store failed.
    pub async fn group_invited(&self, id: GroupId) -> Result<Vec<Invited>, StoreError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, i.created_at FROM group_invitations i
            JOIN users u ON u.id = i.user_id WHERE i.group_id = $1 ORDER BY i.created_at, u.id";
        self.run("group_invited", async |client| people(client, SQL, id).await).await
    }

    /// What a user has been invited to and has not answered, the latest first. Not by people whom the user blocks.
    ///
    /// # Errors
    /// The store failed.
    pub async fn invitations(&self, user: UserId) -> Result<Vec<Invitation>, StoreError> {
        const SQL: &str = "SELECT g.id, g.title, u.id AS by, u.kind, u.name, i.created_at FROM group_invitations i
            JOIN groups g ON g.id = i.group_id JOIN users u ON u.id = i.invited_by
            WHERE i.user_id = $1 AND NOT EXISTS (SELECT FROM blocks b WHERE b.user_id = $1 AND b.blocked_id = u.id)
            ORDER BY i.created_at DESC, g.id";
        self.run("invitations", async |client| {
            let rows = query(client, SQL, &[&user.as_uuid()]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok(Invitation {
                    group: GroupId::from_uuid(row.try_get("id")?),
                    title: row.try_get("title")?,
                    by: UserId::from_uuid(row.try_get("by")?),
                    by_kind: UserKind::read(row.try_get("kind")?)?,
                    by_name: row.try_get("name")?,
                    at: row.try_get("created_at")?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }

    /// Invites somebody, on behalf of a member. `false`: it was so before, or that one is in already.
    ///
    /// # Errors
    /// There is no such user, one of the two blocks the other, that one is kept out (only moderators may let somebody in
    /// again, by [`Self::unban_member`]), a bound is reached, or the store failed.
    pub async fn invite_member(&self, id: GroupId, actor: UserId, user: UserId) -> Result<bool, GroupError> {
        const BANNED: &str = "SELECT FROM group_bans WHERE group_id = $1 AND user_id = $2";
        const HERE: &str = "SELECT (SELECT count(*) FROM group_members WHERE group_id = $1)
            + (SELECT count(*) FROM group_invitations WHERE group_id = $1)";
        const THEIRS: &str = "SELECT count(*) FROM group_invitations WHERE user_id = $1";
        const INVITE: &str = "INSERT INTO group_invitations (group_id, user_id, invited_by) VALUES ($1, $2, $3)
            ON CONFLICT (group_id, user_id) DO NOTHING";
        self.in_group("invite_member", id, actor, async |tx, _| {
            let (group, them) = (id.as_uuid(), user.as_uuid());
            if role_in(tx, id, user).await?.is_some() {
                return Ok(Ok(false));
            }
            if actor == user || !may_meet(tx, actor, user).await? {
                return Ok(Err(GroupError::NoSuchUser));
            }
            if query_opt(tx, BANNED, &[&group, &them]).await?.is_some() {
                return Ok(Err(GroupError::Forbidden("that user is kept out of this group")));
            }
            let invited = execute(tx, INVITE, &[&group, &them, &actor.as_uuid()]).await? > 0;
            if invited && count(tx, HERE, group).await? > GROUP_MEMBERS_MAX {
                return Ok(Err(GroupError::TooMany("the group is full")));
            }
            if invited && count(tx, THEIRS, them).await? > GROUPS_PER_USER_MAX {
                return Ok(Err(GroupError::TooMany("that user has too many invitations")));
            }
            Ok(Ok(invited))
        })
        .await
    }

    /// Takes an invitation back: who has made it, or a moderator.
    ///
    /// # Errors
    /// There is none, the user may not, or the store failed.
    pub async fn uninvite_member(&self, id: GroupId, actor: UserId, user: UserId) -> Result<(), GroupError> {
        const BY: &str = "SELECT invited_by FROM group_invitations WHERE group_id = $1 AND user_id = $2";
        self.in_group("uninvite_member", id, actor, async |tx, role| {
            let Some(row) = query_opt(tx, BY, &[&id.as_uuid(), &user.as_uuid()]).await? else {
                return Ok(Err(GroupError::NoSuchUser));
            };
            if !role.moderates() && UserId::from_uuid(row.try_get("invited_by")?) != actor {
                return Ok(Err(NO_MODERATOR));
            }
            drop_invitation(tx, id, user).await?;
            Ok(Ok(()))
        })
        .await
    }

    /// Declines an invitation. `false`: there was none.
    ///
    /// # Errors
    /// The store failed.
    pub async fn decline_invitation(&self, id: GroupId, user: UserId) -> Result<bool, StoreError> {
        self.run("decline_invitation", async |client| drop_invitation(client, id, user).await).await
    }

    /// Comes into a group to which one has been invited. `false`: one was in already.
    ///
    /// # Errors
    /// One has not been invited, is in too many groups, or the store failed.
    pub async fn join_group(&self, id: GroupId, user: UserId) -> Result<bool, GroupError> {
        const OPERATION: &str = "join_group";
        let joined = self.run(OPERATION, async |client| {
            let tx = client.transaction().await?;
            if !super::lock(&tx, id).await? {
                return Ok(Err(GroupError::NoSuchGroup));
            }
            if role_in(&tx, id, user).await?.is_some() {
                return Ok(Ok(false));
            }
            // An invitation does not outlive a ban, and its group takes it along.
            if !drop_invitation(&tx, id, user).await? {
                return Ok(Err(GroupError::NoSuchGroup));
            }
            if let Err(refused) = has_room(&tx, user).await? {
                return Ok(Err(refused));
            }
            enter(&tx, id, user, GroupRole::Member).await?;
            tx.commit().await?;
            Ok(Ok(true))
        });
        joined.await?.inspect_err(|error| crate::metrics::failed(OPERATION, error.label()))
    }

    /// Leaves a group. With its last member it ends.
    ///
    /// # Errors
    /// One is not in it, or the store failed.
    pub async fn leave_group(&self, id: GroupId, user: UserId) -> Result<Departure, GroupError> {
        let departure =
            self.in_group("leave_group", id, user, async |tx, _| Ok(Ok(depart(tx, id, user).await?))).await?;
        if departure == Departure::Ended {
            self.clear_group(id).await;
        }
        Ok(departure)
    }

    /// Puts somebody of a lower rank out.
    ///
    /// # Errors
    /// The user may not, that one is not in it, or the store failed.
    pub async fn kick_member(&self, id: GroupId, actor: UserId, user: UserId) -> Result<(), GroupError> {
        self.in_group("kick_member", id, actor, async |tx, role| {
            if let Err(refused) = below(tx, id, role, user).await? {
                return Ok(Err(refused));
            }
            depart(tx, id, user).await?;
            Ok(Ok(()))
        })
        .await
    }

    /// Puts somebody of a lower rank out, and keeps him out; also who is not in it. `false`: it was so before.
    ///
    /// # Errors
    /// The user may not, there is no such user, too many are kept out, or the store failed.
    pub async fn ban_member(&self, id: GroupId, actor: UserId, user: UserId) -> Result<bool, GroupError> {
        const EXISTS: &str = "SELECT FROM users WHERE id = $1 AND deleted_at IS NULL";
        const BAN: &str = "INSERT INTO group_bans (group_id, user_id, banned_by) VALUES ($1, $2, $3)
            ON CONFLICT (group_id, user_id) DO NOTHING";
        const COUNT: &str = "SELECT count(*) FROM group_bans WHERE group_id = $1";
        self.in_group("ban_member", id, actor, async |tx, role| {
            let (group, them) = (id.as_uuid(), user.as_uuid());
            if !role.moderates() {
                return Ok(Err(NO_MODERATOR));
            }
            match role_in(tx, id, user).await? {
                Some(theirs) if !role.is_above(theirs) => return Ok(Err(NOT_ABOVE)),
                Some(_) => drop(depart(tx, id, user).await?),
                None if query_opt(tx, EXISTS, &[&them]).await?.is_none() => return Ok(Err(GroupError::NoSuchUser)),
                None => {}
            }
            drop_invitation(tx, id, user).await?;
            let banned = execute(tx, BAN, &[&group, &them, &actor.as_uuid()]).await? > 0;
            if banned && count(tx, COUNT, group).await? > GROUP_BANS_MAX {
                return Ok(Err(GroupError::TooMany("too many are kept out")));
            }
            Ok(Ok(banned))
        })
        .await
    }

    /// Keeps somebody out no more; a new invitation brings him back.
    ///
    /// # Errors
    /// The user may not, it was not so, or the store failed.
    pub async fn unban_member(&self, id: GroupId, actor: UserId, user: UserId) -> Result<(), GroupError> {
        const UNBAN: &str = "DELETE FROM group_bans WHERE group_id = $1 AND user_id = $2";
        self.in_group("unban_member", id, actor, async |tx, role| {
            if !role.moderates() {
                return Ok(Err(NO_MODERATOR));
            }
            let unbanned = execute(tx, UNBAN, &[&id.as_uuid(), &user.as_uuid()]).await? > 0;
            Ok(if unbanned { Ok(()) } else { Err(GroupError::NoSuchUser) })
        })
        .await
    }

    /// Who is kept out, the latest last.
    ///
    /// # Errors
    /// The user may not know, or the store failed.
    pub async fn group_bans(&self, id: GroupId, actor: UserId) -> Result<Vec<Banned>, GroupError> {
        const SQL: &str = "SELECT u.id, u.kind, u.name, b.created_at FROM group_bans b
            JOIN users u ON u.id = b.user_id WHERE b.group_id = $1 ORDER BY b.created_at, u.id";
        self.in_group("group_bans", id, actor, async |tx, role| {
            if !role.moderates() {
                return Ok(Err(NO_MODERATOR));
            }
            Ok(Ok(people(tx, SQL, id).await?))
        })
        .await
    }

    /// Makes a member a moderator, or the other way round. A new owner takes the old one's place, who moderates from
    /// then on.
    ///
    /// # Errors
    /// The user is not its owner, that one is not in it, or the store failed.
    pub async fn set_group_role(
        &self,
        id: GroupId,
        actor: UserId,
        user: UserId,
        to: GroupRole,
    ) -> Result<(), GroupError> {
        const SET: &str = "UPDATE group_members SET role = $3 WHERE group_id = $1 AND user_id = $2";
        self.in_group("set_group_role", id, actor, async |tx, role| {
            if role != GroupRole::Owner {
                return Ok(Err(GroupError::Forbidden("only its owner may do this")));
            }
            if let Err(refused) = below(tx, id, role, user).await? {
                return Ok(Err(refused));
            }
            let (group, moderator) = (id.as_uuid(), GroupRole::Moderator.as_str());
            if to == GroupRole::Owner {
                execute(tx, SET, &[&group, &actor.as_uuid(), &moderator]).await?;
            }
            execute(tx, SET, &[&group, &user.as_uuid(), &to.as_str()]).await?;
            Ok(Ok(()))
        })
        .await
    }

    /// Silences a member of a lower rank until then; `None`: no longer.
    ///
    /// # Errors
    /// The user may not, that one is not in it, or the store failed.
    pub async fn mute_member(
        &self,
        id: GroupId,
        actor: UserId,
        user: UserId,
        until: Option<Timestamp>,
    ) -> Result<(), GroupError> {
        const MUTE: &str = "INSERT INTO group_mutes (group_id, user_id, muted_until) VALUES ($1, $2, $3)
            ON CONFLICT (group_id, user_id) DO UPDATE SET muted_until = excluded.muted_until";
        const UNMUTE: &str = "DELETE FROM group_mutes WHERE group_id = $1 AND user_id = $2";
        self.in_group("mute_member", id, actor, async |tx, role| {
            if let Err(refused) = below(tx, id, role, user).await? {
                return Ok(Err(refused));
            }
            let (group, them) = (id.as_uuid(), user.as_uuid());
            match until {
                Some(until) => execute(tx, MUTE, &[&group, &them, &until]).await?,
                None => execute(tx, UNMUTE, &[&group, &them]).await?,
            };
            Ok(Ok(()))
        })
        .await
    }
}

async fn drop_invitation(client: &impl GenericClient, id: GroupId, user: UserId) -> Result<bool, Fault> {
    const SQL: &str = "DELETE FROM group_invitations WHERE group_id = $1 AND user_id = $2";
    Ok(execute(client, SQL, &[&id.as_uuid(), &user.as_uuid()]).await? > 0)
}

async fn people(client: &impl GenericClient, sql: &str, id: GroupId) -> Result<Vec<Invited>, Fault> {
    let rows = query(client, sql, &[&id.as_uuid()]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Invited {
            user: UserId::from_uuid(row.try_get("id")?),
            kind: UserKind::read(row.try_get("kind")?)?,
            name: row.try_get("name")?,
            at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

//! What people are told until they have read it.
//!
//! Each user has at most [`NOTIFICATIONS_MAX`]: the oldest go. What is about the same thing (by its mark) is told once for
//! as long as it is unread. Nothing comes from somebody whom the user blocks.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{
    Store, StoreError, UserKind,
    error::Fault,
    pool::{execute, query, query_opt},
    types::text_enum,
};

/// Notifications of a user at most.
pub const NOTIFICATIONS_MAX: i64 = 200;

text_enum! {
    /// What a notification is about.
    NotificationKind {
        /// Somebody asks for one's friendship.
        FriendRequest = "friend_request",
        /// Somebody has accepted it.
        FriendAccepted = "friend_accepted",
        /// Somebody has named one in a channel.
        Mention = "mention",
        /// One is invited to a group: `subject`.
        GroupInvitation = "group_invitation",
        /// One is invited to a duel: `subject` is the invitation.
        DuelInvitation = "duel_invitation",
        /// A tournament calls: `subject`.
        TournamentCall = "tournament_call",
    }
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What it is about.
    pub kind: NotificationKind,
    /// On whose account: nothing is told of somebody whom the user blocks.
    pub from: Option<UserId>,
    /// The group, the invitation, the tournament.
    pub subject: Option<Uuid>,
    /// The channel, as nodes call it.
    pub channel: Option<String>,
    /// The message in it.
    pub offset: Option<u64>,
    /// What was said, or what it is called: at most 500 characters.
    pub text: Option<String>,
    /// Of no interest after this.
    pub expires_at: Option<Timestamp>,
}

impl Notification {
    /// One of this kind, on somebody's account.
    pub const fn new(kind: NotificationKind, from: UserId) -> Self {
        Self { kind, from: Some(from), subject: None, channel: None, offset: None, text: None, expires_at: None }
    }

    /// What tells it from others to the same user.
    fn mark(&self) -> String {
        let kind = self.kind.as_str();
        match (self.subject, &self.channel, self.offset, self.from) {
            (Some(subject), ..) => format!("{kind}:{subject}"),
            (None, Some(channel), Some(offset), _) => format!("{kind}:{channel}:{offset}"),
            (.., from) => format!("{kind}:{}", from.map(|from| from.to_string()).unwrap_or_default()),
        }
    }
}

/// Something that somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNotification {
    /// Those of later ones are greater.
    pub id: Uuid,
    /// What.
    pub notification: Notification,
    /// The name and kind of whose account it is on.
    pub from: Option<(UserId, UserKind, String)>,
    /// When.
    pub at: Timestamp,
}

const COLUMNS: &str = "n.id, n.kind, n.from_id, u.kind AS from_kind, u.name AS from_name, n.subject, n.channel,
    n.message_offset, n.body, n.created_at, n.expires_at";

impl Store {
    /// Tells a user something, who finds it until it is read. `None`: there is no such user, it is told already, or it
    /// comes from somebody whom the user blocks.
    ///
    /// # Errors
    /// The store failed. Trying again is safe.
    pub async fn notify(
        &self,
        user: UserId,
        notification: &Notification,
    ) -> Result<Option<StoredNotification>, StoreError> {
        const EXPIRED: &str = "DELETE FROM notifications WHERE user_id = $1 AND expires_at <= now()";
        const INSERT: &str = "INSERT INTO notifications
                (id, user_id, kind, mark, from_id, subject, channel, message_offset, body, expires_at)
            SELECT $1, u.id, $3, $4, $5, $6, $7, $8, $9, $10 FROM users u WHERE u.id = $2 AND u.deleted_at IS NULL
                AND NOT EXISTS (SELECT FROM blocks b WHERE b.user_id = $2 AND b.blocked_id = $5)
            ON CONFLICT (user_id, mark) DO NOTHING";
        const TRIM: &str = "DELETE FROM notifications WHERE user_id = $1 AND id IN
            (SELECT id FROM notifications WHERE user_id = $1 ORDER BY id DESC OFFSET $2)";
        let told =
            format!("SELECT {COLUMNS} FROM notifications n LEFT JOIN users u ON u.id = n.from_id WHERE n.id = $1");
        let Notification { kind, from, subject, channel, offset, text, expires_at } = notification;
        let (id, them, mark, from) = (Uuid::now_v7(), user.as_uuid(), notification.mark(), from.map(UserId::as_uuid));
        let offset = offset.and_then(|offset| i64::try_from(offset).ok());
        self.run("notify", async |client| {
            let tx = client.transaction().await?;
            execute(&tx, EXPIRED, &[&them]).await?;
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 10] =
                [&id, &them, &kind.as_str(), &mark, &from, subject, channel, &offset, text, expires_at];
            let told = if execute(&tx, INSERT, &params).await? > 0 {
                execute(&tx, TRIM, &[&them, &NOTIFICATIONS_MAX]).await?;
                query_opt(&tx, &told, &[&id]).await?.map(|row| read(&row)).transpose()?
            } else {
                None
            };
            tx.commit().await?;
            Ok(told)
        })
        .await
    }

    /// What a user is told and has not read, the latest first; `before`: only what is older than this one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn notifications(
        &self,
        user: UserId,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<StoredNotification>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM notifications n LEFT JOIN users u ON u.id = n.from_id
            WHERE n.user_id = $1 AND n.id < $2 AND (n.expires_at IS NULL OR n.expires_at > now())
                AND NOT EXISTS (SELECT FROM blocks b WHERE b.user_id = $1 AND b.blocked_id = n.from_id)
            ORDER BY n.id DESC LIMIT $3"
        );
        let before = before.unwrap_or(Uuid::max());
        let limit = limit.clamp(1, crate::PAGE_MAX) as i64;
        self.run("notifications", async |client| {
            query(client, &sql, &[&user.as_uuid(), &before, &limit]).await?.iter().map(read).collect()
        })
        .await
    }

    /// A user has read these, or all up to `through`: they are gone. Returns how many that were.
    ///
    /// # Errors
    /// The store failed.
    pub async fn read_notifications(
        &self,
        user: UserId,
        ids: &[Uuid],
        through: Option<Uuid>,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM notifications WHERE user_id = $1 AND (id = ANY($2) OR id <= $3)";
        self.run("read_notifications", async |client| {
            Ok(execute(client, SQL, &[&user.as_uuid(), &ids, &through]).await?)
        })
        .await
    }

    /// Something of this kind has been settled otherwise: on whose account it was, or what it was about.
    ///
    /// # Errors
    /// The store failed.
    pub async fn settle_notification(
        &self,
        user: UserId,
        kind: NotificationKind,
        from: Option<UserId>,
        subject: Option<Uuid>,
    ) -> Result<(), StoreError> {
        self.run("settle_notification", async |client| settle(client, user, kind, from, subject).await).await
    }
}

async fn settle(
    client: &impl GenericClient,
    user: UserId,
    kind: NotificationKind,
    from: Option<UserId>,
    subject: Option<Uuid>,
) -> Result<(), Fault> {
    const SQL: &str = "DELETE FROM notifications
        WHERE user_id = $1 AND kind = $2 AND ($3::uuid IS NULL OR from_id = $3) AND ($4::uuid IS NULL OR subject = $4)";
    let from = from.map(UserId::as_uuid);
    execute(client, SQL, &[&user.as_uuid(), &kind.as_str(), &from, &subject]).await?;
    Ok(())
}

fn read(row: &Row) -> Result<StoredNotification, Fault> {
    let from: Option<UserId> = row.try_get::<_, Option<Uuid>>("from_id")?.map(UserId::from_uuid);
    let name: Option<String> = row.try_get("from_name")?;
    let kind = row.try_get::<_, Option<&str>>("from_kind")?.map(UserKind::read).transpose()?;
    let offset: Option<i64> = row.try_get("message_offset")?;
    Ok(StoredNotification {
        id: row.try_get("id")?,
        notification: Notification {
            kind: NotificationKind::read(row.try_get("kind")?)?,
            from,
            subject: row.try_get("subject")?,
            channel: row.try_get("channel")?,
            offset: offset.and_then(|offset| u64::try_from(offset).ok()),
            text: row.try_get("body")?,
            expires_at: row.try_get("expires_at")?,
        },
        from: from.zip(kind).zip(name).map(|((id, kind), name)| (id, kind, name)),
        at: row.try_get("created_at")?,
    })
}

//! The channels that one has: with whom, in which groups, and how much there is to read.

use jiff::Timestamp;
use rally_units::{GroupId, UserId};

use super::offset_of;
use crate::{GroupRole, Store, StoreError, groups::seconds, pool::query};

/// Unread messages are counted up to here.
pub const UNREAD_MAX: u32 = 100;

/// A channel that one has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnChannel {
    /// Its name.
    pub name: String,
    /// Of its last message.
    pub last_offset: u64,
    /// How far one has read.
    pub read_offset: u64,
    /// What others have said after that, up to [`UNREAD_MAX`]. Edits do not count, nor do people whom one blocks.
    pub unread: u32,
    /// Of a group's.
    pub group: Option<OwnGroup>,
}

/// What one sees of one's group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnGroup {
    /// Which.
    pub id: GroupId,
    /// What it is called.
    pub title: String,
    /// What one is in it.
    pub role: GroupRole,
    /// Slow mode, in seconds; 0: off.
    pub slow_s: u32,
    /// Until when one says nothing there.
    pub muted_until: Option<Timestamp>,
}

impl Store {
    /// The names of the channels of a user, groups and direct ones: at most 500 of these.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_channel_names(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        const SQL: &str = "(SELECT channel AS name FROM channel_reads
                WHERE user_id = $1 AND channel LIKE 'direct:%' ORDER BY channel LIMIT 500)
            UNION ALL SELECT 'group:' || group_id FROM group_members WHERE user_id = $1";
        self.run("own_channel_names", async |client| {
            let rows = query(client, SQL, &[&user.as_uuid()]).await?;
            rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
        })
        .await
    }

    /// The channels of a user: groups, and direct ones in which something was said; the last used first, at most a
    /// hundred direct ones.
    ///
    /// # Errors
    /// The store failed.
    pub async fn own_channels(&self, user: UserId) -> Result<Vec<OwnChannel>, StoreError> {
        const SQL: &str = "
            WITH own AS (
                (SELECT c.name, c.last_offset, c.slow_s, r.read_offset, m.sent_at AS used_at,
                    NULL::uuid AS id, NULL::text AS title, NULL::text AS role, NULL::timestamptz AS muted_until
                FROM channel_reads r JOIN channels c ON c.name = r.channel
                JOIN channel_messages m ON m.channel = c.name AND m.message_offset = c.last_offset
                WHERE r.user_id = $1 AND r.channel LIKE 'direct:%' ORDER BY m.sent_at DESC LIMIT 100)
                UNION ALL
                SELECT c.name, c.last_offset, c.slow_s, coalesce(r.read_offset, 0), coalesce(m.sent_at, g.created_at),
                    g.id, g.title, gm.role, x.muted_until
                FROM group_members gm JOIN groups g ON g.id = gm.group_id
                JOIN channels c ON c.name = 'group:' || g.id
                LEFT JOIN channel_reads r ON r.user_id = $1 AND r.channel = c.name
                LEFT JOIN channel_messages m ON m.channel = c.name AND m.message_offset = c.last_offset
                LEFT JOIN group_mutes x ON x.group_id = g.id AND x.user_id = $1 AND x.muted_until > now()
                WHERE gm.user_id = $1
            )
            SELECT own.*, (SELECT count(*) FROM (
                SELECT FROM channel_messages m WHERE m.channel = own.name AND m.message_offset > own.read_offset
                    AND m.user_id <> $1 AND m.edits IS NULL AND m.body <> ''
                    AND NOT EXISTS (SELECT FROM blocks b WHERE b.user_id = $1 AND b.blocked_id = m.user_id)
                LIMIT $2) new) AS unread
            FROM own ORDER BY used_at DESC, name";
        self.run("own_channels", async |client| {
            let mut channels = Vec::new();
            for row in query(client, SQL, &[&user.as_uuid(), &i64::from(UNREAD_MAX)]).await? {
                let id: Option<uuid::Uuid> = row.try_get("id")?;
                let group = match id {
                    Some(id) => Some(OwnGroup {
                        id: GroupId::from_uuid(id),
                        title: row.try_get("title")?,
                        role: GroupRole::read(row.try_get("role")?)?,
                        slow_s: seconds(&row, "slow_s")?,
                        muted_until: row.try_get("muted_until")?,
                    }),
                    None => None,
                };
                channels.push(OwnChannel {
                    name: row.try_get("name")?,
                    last_offset: offset_of(&row, "last_offset")?,
                    read_offset: offset_of(&row, "read_offset")?,
                    unread: u32::try_from(row.try_get::<_, i64>("unread")?).unwrap_or(UNREAD_MAX),
                    group,
                });
            }
            Ok(channels)
        })
        .await
    }
}

//! What was said: messages of channels, each with an offset that rises by one.
//!
//! Messages are appended many at a time, under the lock of their channel's row. So offsets rise in the order of
//! commits: who has read up to one has read everything before it. An edit is a message of its own that names the one
//! whose text it replaces; with an empty text it takes it back, and then what it said is deleted.

mod append;
mod mentions;
mod own;
mod search;

use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

pub use mentions::MENTIONS_MAX;
pub use own::{OwnChannel, OwnGroup, UNREAD_MAX};
pub use search::{SEARCH_CHARS_MAX, SearchHit};
#[doc(hidden)]
pub use search::{SEARCH_MESSAGES_SQL, channel_query};

use crate::{
    Store, StoreError, UserKind,
    error::Fault,
    pool::{execute, query, query_opt},
};

/// Messages of a page at most.
pub const MESSAGES_MAX: usize = 100;

/// A message to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// Who says it.
    pub user: UserId,
    /// The sender's own mark: the same twice is one message.
    pub nonce: String,
    /// What is said: 1 to 500 characters; empty only in an edit, which then takes the message back.
    pub text: String,
    /// The offset of the message whose text this is to be.
    pub edits: Option<u64>,
    /// Who is named in it.
    pub mentions: Vec<UserId>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It stands in the channel: this one, or the one that came with the same mark before.
    Stored {
        /// The message.
        message: Message,
        /// Whether it had been stored before.
        repeated: bool,
    },
    /// It edits what is not there, is somebody else's, or is older than five minutes.
    NotEditable,
    /// The sender is in the group no longer, or one of the two of a direct channel blocks the other.
    NotAllowed,
    /// The sender is to say nothing here until then.
    Muted {
        /// When it is over.
        until: Timestamp,
    },
    /// The channel is slow, and the sender was too quick.
    TooSoon {
        /// When the next message is let through.
        until: Timestamp,
    },
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in the channel.
    pub offset: u64,
    /// Its id.
    pub id: Uuid,
    /// Who said it.
    pub user: UserId,
    /// Guest or account.
    pub kind: UserKind,
    /// The sender's name, as it is now.
    pub name: String,
    /// What was said; empty: it was taken back.
    pub text: String,
    /// The sender's own mark.
    pub nonce: String,
    /// The offset of the message whose text this is.
    pub edits: Option<u64>,
    /// Who is named in it.
    pub mentions: Vec<UserId>,
    /// When.
    pub sent_at: Timestamp,
}

/// A stretch of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// In order.
    pub messages: Vec<Message>,
    /// The offset of the channel's last message; 0: there is none.
    pub last_offset: u64,
}

const COLUMNS: &str = "m.message_offset, m.id, m.user_id, u.kind, u.name, m.body, m.nonce, m.edits,
    m.mentions, m.sent_at";

impl Store {
    /// Appends messages to a channel, in this order; answers for each what became of it.
    ///
    /// # Errors
    /// The store failed. Trying again is safe: marks tell what was stored.
    pub async fn append_messages(&self, channel: &str, new: &[NewMessage]) -> Result<Vec<Appended>, StoreError> {
        self.run("append_messages", async |client| {
            let tx = client.transaction().await?;
            let appended = append::append(&tx, channel, new).await?;
            tx.commit().await?;
            Ok(appended)
        })
        .await
    }

    /// The messages after an offset, the first [`MESSAGES_MAX`] of them.
    ///
    /// # Errors
    /// The store failed.
    pub async fn messages_after(&self, channel: &str, after: u64) -> Result<Stretch, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM channel_messages m JOIN users u ON u.id = m.user_id
            WHERE m.channel = $1 AND m.message_offset > $2 ORDER BY m.message_offset LIMIT $3"
        );
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.stretch("messages_after", channel, &sql, after, (MESSAGES_MAX, false)).await
    }

    /// The last messages before an offset, at most [`MESSAGES_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn messages_before(
        &self,
        channel: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Stretch, StoreError> {
        let limit = limit.clamp(1, MESSAGES_MAX);
        let sql = format!(
            "SELECT {COLUMNS} FROM channel_messages m JOIN users u ON u.id = m.user_id
            WHERE m.channel = $1 AND m.message_offset < $2 ORDER BY m.message_offset DESC LIMIT $3"
        );
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        self.stretch("messages_before", channel, &sql, before, (limit, true)).await
    }

    async fn stretch(
        &self,
        operation: &'static str,
        channel: &str,
        sql: &str,
        offset: i64,
        (limit, backwards): (usize, bool),
    ) -> Result<Stretch, StoreError> {
        const LAST: &str = "SELECT last_offset FROM channels WHERE name = $1";
        self.run(operation, async |client| {
            // The end first: what is appended in between is then beyond it, and comes by itself.
            let last = query_opt(client, LAST, &[&channel]).await?;
            let last_offset = last.map_or(Ok(0), |row| offset_of(&row, "last_offset"))?;
            let rows = query(client, sql, &[&channel, &offset, &(limit as i64)]).await?;
            let mut messages = rows.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
            if backwards {
                messages.reverse();
            }
            messages.retain(|message| message.offset <= last_offset);
            Ok(Stretch { messages, last_offset })
        })
        .await
    }

    /// Notes how far somebody has read; never less than before. Whoever was named up to there knows it now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_read(&self, channel: &str, user: UserId, offset: u64) -> Result<(), StoreError> {
        const SQL: &str = "WITH noted AS (
                INSERT INTO channel_reads (user_id, channel, read_offset)
                SELECT $1, name, least($3, last_offset) FROM channels WHERE name = $2
                ON CONFLICT (user_id, channel) DO UPDATE
                    SET read_offset = greatest(channel_reads.read_offset, excluded.read_offset))
            DELETE FROM notifications
            WHERE user_id = $1 AND kind = 'mention' AND channel = $2 AND message_offset <= $3";
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.run("note_read", async |client| {
            execute(client, SQL, &[&user.as_uuid(), &channel, &offset]).await?;
            Ok(())
        })
        .await
    }

    /// Opens the direct channel of two people: from now on it is among [`Self::own_channels`] of both.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open_direct(&self, channel: &str, people: [UserId; 2]) -> Result<(), StoreError> {
        const MAKE: &str = "INSERT INTO channels (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
        const READS: &str = "INSERT INTO channel_reads (user_id, channel, read_offset)
            SELECT unnest($2::uuid[]), $1, 0 ON CONFLICT (user_id, channel) DO NOTHING";
        let people = people.map(UserId::as_uuid);
        self.run("open_direct", async |client| {
            execute(client, MAKE, &[&channel]).await?;
            execute(client, READS, &[&channel, &people.as_slice()]).await?;
            Ok(())
        })
        .await
    }
}

fn read(row: &Row) -> Result<Message, Fault> {
    let edits: Option<i64> = row.try_get("edits")?;
    Ok(Message {
        offset: offset_of(row, "message_offset")?,
        id: row.try_get("id")?,
        user: UserId::from_uuid(row.try_get("user_id")?),
        kind: UserKind::read(row.try_get("kind")?)?,
        name: row.try_get("name")?,
        text: row.try_get("body")?,
        nonce: row.try_get("nonce")?,
        edits: edits.map(|offset| u64::try_from(offset).map_err(|_| Fault::Malformed("offset"))).transpose()?,
        mentions: row.try_get::<_, Vec<Uuid>>("mentions")?.into_iter().map(UserId::from_uuid).collect(),
        sent_at: row.try_get("sent_at")?,
    })
}

fn offset_of(row: &Row, column: &'static str) -> Result<u64, Fault> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| Fault::Malformed(column))
}

//! What was said: messages of channels, each with an offset that rises by one.
//!
//! Messages are appended many at a time, under the lock of their channel's row. So offsets rise in the order of
//! commits: who has read up to one has read everything before it. An edit is a message of its own that names the one
//! whose text it replaces; with an empty text it takes it back.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use rally_units::UserId;
use tokio_postgres::Row;
use uuid::Uuid;

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
    /// What was said.
    pub text: String,
    /// The sender's own mark.
    pub nonce: String,
    /// The offset of the message whose text this is.
    pub edits: Option<u64>,
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

const COLUMNS: &str = "m.message_offset, m.id, m.user_id, u.kind, u.name, m.body, m.nonce, m.edits, m.sent_at";

impl Store {
    /// Appends messages to a channel, in this order; answers for each what became of it.
    ///
    /// # Errors
    /// The store failed. Trying again is safe: marks tell what was stored.
    pub async fn append_messages(&self, channel: &str, new: &[NewMessage]) -> Result<Vec<Appended>, StoreError> {
        self.run("append_messages", async |client| {
            let tx = client.transaction().await?;
            let appended = append(&tx, channel, new).await?;
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

    /// Notes how far somebody has read; never less than before.
    ///
    /// # Errors
    /// The store failed.
    pub async fn note_read(&self, channel: &str, user: UserId, offset: u64) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO channel_reads (user_id, channel, read_offset)
            SELECT $1, name, least($3, last_offset) FROM channels WHERE name = $2
            ON CONFLICT (user_id, channel) DO UPDATE
                SET read_offset = greatest(channel_reads.read_offset, excluded.read_offset)";
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        self.run("note_read", async |client| {
            execute(client, SQL, &[&user.as_uuid(), &channel, &offset]).await?;
            Ok(())
        })
        .await
    }

    /// Opens the direct channel of two people: from now on it is among [`Self::direct_channels`] of both.
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

    /// The direct channels of a user in which something was said, the last used first: name, last offset, and how far
    /// the user has read. At most a hundred.
    ///
    /// # Errors
    /// The store failed.
    pub async fn direct_channels(&self, user: UserId) -> Result<Vec<(String, u64, u64)>, StoreError> {
        const SQL: &str = "SELECT c.name, c.last_offset, r.read_offset
            FROM channel_reads r JOIN channels c ON c.name = r.channel
            JOIN channel_messages m ON m.channel = c.name AND m.message_offset = c.last_offset
            WHERE r.user_id = $1 AND r.channel LIKE 'direct:%' ORDER BY m.sent_at DESC LIMIT 100";
        self.run("direct_channels", async |client| {
            let rows = query(client, SQL, &[&user.as_uuid()]).await?;
            rows.iter()
                .map(|row| Ok((row.try_get("name")?, offset_of(row, "last_offset")?, offset_of(row, "read_offset")?)))
                .collect()
        })
        .await
    }
}

async fn append(tx: &impl GenericClient, channel: &str, new: &[NewMessage]) -> Result<Vec<Appended>, Fault> {
    const MAKE: &str = "INSERT INTO channels (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
    const LOCK: &str = "SELECT last_offset FROM channels WHERE name = $1 FOR NO KEY UPDATE";
    const EDITABLE: &str = "SELECT message_offset, user_id FROM channel_messages
        WHERE channel = $1 AND message_offset = ANY($2) AND edits IS NULL
            AND sent_at > now() - interval '5 minutes'";
    const INSERT: &str = "INSERT INTO channel_messages (channel, message_offset, id, user_id, nonce, body, edits)
        SELECT $1, n.* FROM unnest($2::bigint[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[]) AS n";
    const RAISE: &str = "UPDATE channels SET last_offset = $2 WHERE name = $1";
    execute(tx, MAKE, &[&channel]).await?;
    let row = query_opt(tx, LOCK, &[&channel]).await?.ok_or(Fault::Malformed("absence of a channel"))?;
    let mut last: i64 = row.try_get(0)?;
    let before = last;

    // What came with the same marks before, in this batch or in an earlier one.
    let (users, nonces): (Vec<Uuid>, Vec<&str>) =
        new.iter().map(|message| (message.user.as_uuid(), message.nonce.as_str())).unzip();
    let mut known = stored(tx, channel, &users, &nonces).await?;
    let edited: Vec<i64> = new.iter().filter_map(|message| i64::try_from(message.edits?).ok()).collect();
    let mut editable = HashMap::new();
    if !edited.is_empty() {
        for row in query(tx, EDITABLE, &[&channel, &edited]).await? {
            editable.insert(row.try_get::<_, i64>(0)?, row.try_get::<_, Uuid>(1)?);
        }
    }

    let (mut offsets, mut ids, mut senders, mut marks, mut bodies, mut edits) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut repeated = Vec::with_capacity(new.len());
    let mut refused = vec![false; new.len()];
    for (n, message) in new.iter().enumerate() {
        let user = message.user.as_uuid();
        let mark = (user, message.nonce.clone());
        let is_known = known.contains_key(&mark)
            || new[..n]
                .iter()
                .zip(&refused)
                .any(|(earlier, refused)| !refused && earlier.user == message.user && earlier.nonce == message.nonce);
        repeated.push(is_known);
        if is_known {
            continue;
        }
        let edits_offset = message.edits.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX));
        if edits_offset.is_some_and(|offset| editable.get(&offset) != Some(&user)) {
            refused[n] = true;
            continue;
        }
        last += 1;
        offsets.push(last);
        ids.push(Uuid::now_v7());
        senders.push(user);
        marks.push(message.nonce.as_str());
        bodies.push(message.text.as_str());
        edits.push(edits_offset);
    }
    if last > before {
        execute(tx, INSERT, &[&channel, &offsets, &ids, &senders, &marks, &bodies, &edits]).await?;
        execute(tx, RAISE, &[&channel, &last]).await?;
        known = stored(tx, channel, &users, &nonces).await?;
    }
    new.iter()
        .zip(repeated)
        .zip(refused)
        .map(|((message, repeated), refused)| {
            if refused {
                return Ok(Appended::NotEditable);
            }
            let mark = (message.user.as_uuid(), message.nonce.clone());
            let message = known.get(&mark).cloned().ok_or(Fault::Malformed("absence of a message"))?;
            Ok(Appended::Stored { message, repeated })
        })
        .collect()
}

/// What stands in a channel with these marks.
async fn stored(
    tx: &impl GenericClient,
    channel: &str,
    users: &[Uuid],
    nonces: &[&str],
) -> Result<HashMap<(Uuid, String), Message>, Fault> {
    let sql = format!(
        "SELECT {COLUMNS} FROM unnest($2::uuid[], $3::text[]) AS n (user_id, nonce)
        JOIN channel_messages m ON m.channel = $1 AND m.user_id = n.user_id AND m.nonce = n.nonce
        JOIN users u ON u.id = m.user_id"
    );
    let rows = query(tx, &sql, &[&channel, &users, &nonces]).await?;
    let messages = rows.iter().map(read);
    messages.map(|message| message.map(|m| ((m.user.as_uuid(), m.nonce.clone()), m))).collect()
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
        sent_at: row.try_get("sent_at")?,
    })
}

fn offset_of(row: &Row, column: &'static str) -> Result<u64, Fault> {
    u64::try_from(row.try_get::<_, i64>(column)?).map_err(|_| Fault::Malformed(column))
}

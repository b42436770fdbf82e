//! What somebody has said, for the file in which they get all that is kept of them.

use jiff::Timestamp;
use rally_units::UserId;

use crate::{Store, StoreError, error::Fault, pool::query};

/// Messages that are read at once.
pub const SAID_MAX: usize = 10_000;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// In which channel.
    pub channel: String,
    /// Its place there.
    pub offset: i64,
    /// The place of the message that it changes, if it does.
    pub edits: Option<i64>,
    /// What.
    pub text: String,
    /// When.
    pub sent_at: Timestamp,
}

impl Store {
    /// What a user has said last, the newest first, at most [`SAID_MAX`].
    ///
    /// # Errors
    /// The store failed.
    pub async fn said_by(&self, user: UserId) -> Result<Vec<Said>, StoreError> {
        const SQL: &str = "SELECT channel, message_offset, edits, body, sent_at FROM channel_messages
            WHERE user_id = $1 ORDER BY sent_at DESC, channel, message_offset LIMIT $2";
        self.run("said_by", async |client| {
            let rows = query(client, SQL, &[&user.as_uuid(), &(SAID_MAX as i64)]).await?;
            let read = |row: &tokio_postgres::Row| {
                Ok::<_, Fault>(Said {
                    channel: row.try_get("channel")?,
                    offset: row.try_get("message_offset")?,
                    edits: row.try_get("edits")?,
                    text: row.try_get("body")?,
                    sent_at: row.try_get("sent_at")?,
                })
            };
            rows.iter().map(read).collect()
        })
        .await
    }
}

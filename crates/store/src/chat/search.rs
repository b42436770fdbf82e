//! Searching what was said, in channels that the caller may read.

use std::fmt::Write as _;

use rally_units::UserId;
use uuid::Uuid;

use super::{MESSAGES_MAX, Message, read};
use crate::{Store, StoreError, pool::query};

/// Characters of what is looked for at most.
pub const SEARCH_CHARS_MAX: usize = 100;

/// A message that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    /// Where.
    pub channel: String,
    /// What.
    pub message: Message,
}

/// The statement. `$1`: what is looked for, `$2`: [`channel_query`], `$3`: the channels, `$4`: who asks, `$5`: behind
/// which id, `$6`: rows.
#[doc(hidden)]
pub const SEARCH_MESSAGES_SQL: &str = "SELECT m.message_offset, m.id, m.user_id, u.kind, u.name, m.body, m.nonce,
        m.edits, m.mentions, m.sent_at, m.channel
    FROM channel_messages m JOIN users u ON u.id = m.user_id
    WHERE (to_tsvector('simple', m.body) || array_to_tsvector(ARRAY['#' || m.channel]))
            @@ (websearch_to_tsquery('simple', $1) && $2::text::tsquery)
        AND numnode(websearch_to_tsquery('simple', $1)) > 0
        AND NOT m.replaced AND m.body <> '' AND m.channel = ANY($3)
        AND NOT EXISTS (SELECT FROM blocks b WHERE b.user_id = $4 AND b.blocked_id = m.user_id)
        AND m.id < $5
    ORDER BY m.id DESC LIMIT $6";

/// The part of the search that names channels, as the index knows them.
#[doc(hidden)]
pub fn channel_query(channels: &[String]) -> String {
    let mut query = String::new();
    for channel in channels {
        // Quoted: what stands between is taken as it is.
        let name = channel.replace('\\', "\\\\").replace('\'', "''");
        let or = if query.is_empty() { "" } else { " | " };
        // Writing to a String cannot fail.
        let _ = write!(query, "{or}'#{name}'");
    }
    query
}

impl Store {
    /// What was said in these channels with all of these words (in quotes: one after the other; with a dash: without),
    /// the latest first, at most [`MESSAGES_MAX`]. Not by people whom the user blocks. Edited messages are found by what
    /// they say now. `before`: only what was said before this message.
    ///
    /// # Errors
    /// The store failed.
    pub async fn search_messages(
        &self,
        user: UserId,
        words: &str,
        channels: &[String],
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<SearchHit>, StoreError> {
        if channels.is_empty() {
            return Ok(Vec::new());
        }
        let named = channel_query(channels);
        let before = before.unwrap_or(Uuid::max());
        let limit = limit.clamp(1, MESSAGES_MAX) as i64;
        self.run("search_messages", async |client| {
            let me = user.as_uuid();
            let rows = query(client, SEARCH_MESSAGES_SQL, &[&words, &named, &channels, &me, &before, &limit]).await?;
            rows.iter().map(|row| Ok(SearchHit { channel: row.try_get("channel")?, message: read(row)? })).collect()
        })
        .await
    }
}

//! What was said in a channel, page by page.

use jiff::Timestamp;
use rally_protocol::client::v1::UserInfo;
use rally_units::{MatchId, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    body::{Fields, ReadFields},
    schemas,
};

/// `GET /channels/{name}/messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessagesQuery {
    /// Those before this offset; absent: the last.
    pub before: Option<u64>,
    /// Messages at most.
    pub limit: usize,
}

impl ReadFields for MessagesQuery {
    fn read(fields: &mut Fields) -> Option<Self> {
        let before = fields.parsed("before", "expected an offset");
        let paging = fields.paging();
        Some(Self { before: before?, limit: paging?.limit })
    }
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChatMessageView {
    /// Its place in the channel.
    pub offset: u64,
    /// The message's own id.
    #[schema(value_type = String, format = Uuid)]
    pub id: MatchId,
    /// Who said it.
    #[schema(value_type = schemas::UserInfo)]
    pub from: UserInfo,
    /// What; empty: it was taken back.
    pub text: String,
    /// The offset of an earlier message whose text this is; empty: it is taken back.
    pub edits: Option<u64>,
    /// Who is named in it, by their ids.
    #[schema(value_type = Vec<String>)]
    pub mentions: Vec<UserId>,
    /// When.
    pub sent_at: Timestamp,
}

/// Some rows, in order, with more before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// For `before`, if there may be more.
    pub next_before: Option<u64>,
}

//! What edges tell each other on topics.

use std::collections::HashSet;

use rally_fabric::{Fabric, PresenceChange, RedisError};
use rally_protocol::client::{
    codec::{Encoding, Messages as _},
    v1::{ChatMessage, GroupChanged, Notified, ServerMessage, UserInfo},
};
use rally_store::{Message, UserKind};
use rally_units::{MatchId, SessionId, UserId};
use serde::{Deserialize, Serialize};

/// The topic on which every edge hears of people.
pub(super) const PEOPLE: &str = "people";

/// The topic of a channel.
pub(super) fn topic_of(key: &str) -> String {
    format!("chat:{key}")
}

/// Something about people.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeopleNews {
    /// Sessions have come, changed or gone.
    Presence(Vec<PresenceChange>),
    /// A friendship has changed, which `to` is told of.
    Friend {
        /// Who is told.
        to: UserId,
        /// With whom.
        about: UserInfo,
        /// `requested`, `accepted`, `removed`.
        change: String,
    },
    /// Somebody blocks others than before, or wishes otherwise.
    Blocks(UserId),
    /// A message for connections of somebody.
    Tell {
        /// Who is told.
        to: UserId,
        /// By which connection; all of them if absent.
        session: Option<SessionId>,
        /// What, as JSON.
        message: String,
    },
    /// A group has changed.
    Group {
        /// Who is told.
        to: Vec<UserId>,
        /// What.
        changed: GroupChanged,
        /// Whose channel is closed, whatever they read at the moment.
        closed: Vec<UserId>,
    },
    /// Somebody is told something.
    Notified {
        /// Who.
        to: UserId,
        /// What.
        notified: Notified,
    },
}

impl PeopleNews {
    /// A message for one connection of somebody, or for all.
    pub(super) fn tell(to: UserId, session: Option<SessionId>, message: &ServerMessage) -> Self {
        // Our own messages can be encoded.
        let json = message.encode(Encoding::Json).unwrap_or_default();
        Self::Tell { to, session, message: String::from_utf8(json).unwrap_or_default() }
    }
}

/// Something in a channel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChannelNews {
    /// Somebody has said something: in order.
    Messages(Vec<Said>),
    /// The channel has come this far: who has less has missed something.
    Last(u64),
    /// Somebody is about to say something.
    Typing(UserId),
    /// Somebody has read up to here.
    Read(UserId, u64),
}

/// A message on its way between edges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) offset: u64,
    id: MatchId,
    pub(super) from: UserInfo,
    text: String,
    nonce: String,
    edits: Option<u64>,
    sent_at_ms: u64,
    #[serde(default)]
    mentions: Vec<UserId>,
}

impl From<Message> for Said {
    fn from(message: Message) -> Self {
        Self {
            offset: message.offset,
            id: MatchId::from_uuid(message.id),
            from: UserInfo { id: message.user, name: message.name, guest: message.kind == UserKind::Guest },
            text: message.text,
            nonce: message.nonce,
            edits: message.edits,
            mentions: message.mentions,
            sent_at_ms: u64::try_from(message.sent_at.as_millisecond()).unwrap_or_default(),
        }
    }
}

impl Said {
    /// Whether a reader who blocks these does not see it. What takes something back is seen whoever has done it.
    pub(super) fn is_hidden_from(&self, blocked: Option<&HashSet<UserId>>) -> bool {
        let takes_back = self.edits.is_some() && self.text.is_empty();
        !takes_back && blocked.is_some_and(|blocked| blocked.contains(&self.from.id))
    }

    /// As a client reads it; only the sender sees the mark.
    pub(super) fn to_client(&self, channel: String, reader: UserId) -> ChatMessage {
        ChatMessage {
            channel,
            offset: self.offset,
            id: self.id,
            from: self.from.clone(),
            text: self.text.clone(),
            sent_at: self.sent_at_ms,
            nonce: (self.from.id == reader).then(|| self.nonce.clone()),
            edits: self.edits,
            mentions: self.mentions.clone(),
        }
    }
}

/// Tells all edges something about people.
///
/// # Errors
/// Redis is away.
pub(crate) async fn announce(fabric: &Fabric, news: &PeopleNews) -> Result<(), RedisError> {
    // Writing these fields to memory cannot fail.
    fabric.topics().publish(PEOPLE, &serde_json::to_vec(news).unwrap_or_default()).await
}

/// Tells all edges with members of a channel something.
///
/// # Errors
/// Redis is away.
pub(super) async fn tell(fabric: &Fabric, key: &str, news: &ChannelNews) -> Result<(), RedisError> {
    fabric.topics().publish(&topic_of(key), &serde_json::to_vec(news).unwrap_or_default()).await
}

//! Who is connected where: for each user a set of sessions, each with its edge's life and what it shows.
//!
//! A session counts while that life of its edge lives; so a dead edge leaves no ghosts, although its entries stay for a
//! while. Each session writes its own entry only.

use std::{collections::HashMap, time::Duration};

use rally_protocol::{client::v1::Status, names};
use rally_units::{Incarnation, MatchId, NodeId, SessionId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    Fabric, RedisError,
    commands::{Call, Script},
};

/// How long entries stay that nobody renews.
pub const PRESENCE_FOR: Duration = Duration::from_secs(180);

/// KEYS: user. ARGV: ms, session, the edge's life, entry. An empty entry removes what that life has written.
static PUT: Script = Script::fixed(
    r"
if ARGV[4] == '' then
    local held = redis.call('HGET', KEYS[1], ARGV[2])
    if held and string.sub(held, 1, #ARGV[3]) == ARGV[3] then redis.call('HDEL', KEYS[1], ARGV[2]) end
    return 0
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3] .. ARGV[4])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
",
);
static GET: Script = Script::fixed("return redis.call('HGETALL', KEYS[1])");

/// What a session shows, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Its edge.
    pub node: NodeId,
    /// The edge's life.
    pub incarnation: Incarnation,
    /// What it shows.
    pub status: Status,
    /// The match that it plays.
    pub match_id: Option<MatchId>,
}

/// A session's entry, to be written or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceChange {
    /// Whose.
    pub user: UserId,
    /// Which session.
    pub session: SessionId,
    /// What stands there from now on, or did until now.
    pub presence: Presence,
    /// Whether it is gone from that edge. If it has gone on at another, that entry stays.
    pub gone: bool,
}

/// Reads and writes entries.
#[derive(Clone, Debug)]
pub struct PresenceSet {
    fabric: Fabric,
}

impl Fabric {
    /// Who is connected where.
    pub fn presence(&self) -> PresenceSet {
        PresenceSet { fabric: self.clone() }
    }
}

impl PresenceSet {
    /// Writes entries, in pipelines.
    ///
    /// # Errors
    /// Redis is away; some may have been written.
    pub async fn put(&self, changes: &[PresenceChange]) -> Result<(), RedisError> {
        let calls = changes.iter().map(|change| {
            // Writing these fields to memory cannot fail.
            let presence = change.presence;
            let entry = serde_json::to_vec(&presence).unwrap_or_default();
            Call::keys([names::presence(change.user)])
                .arg(PRESENCE_FOR.as_millis())
                .arg(change.session)
                .arg(format_args!("{}{}", presence.node, presence.incarnation))
                .bytes(if change.gone { Vec::new() } else { entry })
        });
        self.fabric.commands().eval_many("put_presence", &PUT, calls.collect()).await.map(drop)
    }

    /// The entries of users, in the order of the users; of edges that live and of others.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn get(&self, users: &[UserId]) -> Result<Vec<HashMap<SessionId, Presence>>, RedisError> {
        let calls = users.iter().map(|user| Call::keys([names::presence(*user)]));
        let answers = self.fabric.commands().eval_many("get_presence", &GET, calls.collect()).await?;
        let read = |answer: fred::types::Value| -> HashMap<SessionId, Presence> {
            let flat: Vec<String> = answer.convert().unwrap_or_default();
            let pairs = flat.chunks_exact(2);
            // What cannot be read was written by a newer version: that session is not seen by this one.
            pairs.filter_map(|pair| Some((pair[0].parse().ok()?, read_entry(&pair[1])?))).collect()
        };
        Ok(answers.into_iter().map(read).collect())
    }
}

/// Bytes of an edge's life in front of an entry: node and incarnation, 16 digits each.
const LIFE_BYTES: usize = 32;

fn read_entry(entry: &str) -> Option<Presence> {
    serde_json::from_str(entry.get(LIFE_BYTES..)?).ok()
}

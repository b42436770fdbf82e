//! Who owns a match, as a cache of what Postgres says.

use std::time::Duration;

use rally_protocol::names;
use rally_units::{Epoch, Incarnation, MatchId, NodeId};

use crate::{
    Fabric, RedisError,
    commands::{Call, Script, malformed},
};

/// How long an entry lives. Its owner asserts it again every 3 s.
const OWNER_TTL: Duration = Duration::from_secs(10);

/// KEYS: the owner. ARGV: epoch, node and incarnation, ms. The entry is "node incarnation epoch".
static SET_OWNER: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
local epoch = held and tonumber(string.match(held, '(%d+)$'))
if epoch and epoch > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[1], 'PX', ARGV[3])
return 1
",
);

/// KEYS: the owner. ARGV: epoch.
static CLEAR_OWNER: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
local epoch = held and tonumber(string.match(held, '(%d+)$'))
if not epoch or epoch > tonumber(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
",
);

/// KEYS: the owner.
static GET_OWNER: Script = Script::fixed("return redis.call('GET', KEYS[1])");

/// The owner of a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The worker.
    pub node: NodeId,
    /// In which life.
    pub incarnation: Incarnation,
    /// By which right.
    pub epoch: Epoch,
}

/// A match and its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The match.
    pub match_id: MatchId,
    /// Its owner.
    pub owner: Owner,
}

impl Fabric {
    /// Who owns this match, as far as Redis knows. `None` means: ask Postgres.
    pub async fn owner(&self, match_id: MatchId) -> Result<Option<Owner>, RedisError> {
        const OPERATION: &str = "owner";
        let held = self.commands().eval(OPERATION, &GET_OWNER, Call::keys([names::owner(match_id)])).await?;
        held.as_string().map(|text| parse(&text).ok_or(malformed(OPERATION, "owner"))).transpose()
    }

    /// Asserts owners, in pipelines. An entry of a higher epoch stays. Returns how many were accepted.
    pub async fn set_owners(&self, owned: &[Owned]) -> Result<usize, RedisError> {
        let calls = owned.iter().map(|Owned { match_id, owner }| {
            Call::keys([names::owner(*match_id)])
                .arg(owner.epoch)
                .arg(format_args!("{} {}", owner.node, owner.incarnation))
                .arg(OWNER_TTL.as_millis())
        });
        let answers = self.commands().eval_many("set_owners", &SET_OWNER, calls.collect()).await?;
        Ok(answers.iter().filter(|answer| answer.as_i64() == Some(1)).count())
    }

    /// Forgets an owner, unless a higher epoch stands there by now. Returns whether it stood there.
    pub async fn clear_owner(&self, match_id: MatchId, epoch: Epoch) -> Result<bool, RedisError> {
        let call = Call::keys([names::owner(match_id)]).arg(epoch);
        Ok(self.commands().eval("clear_owner", &CLEAR_OWNER, call).await?.as_i64() == Some(1))
    }
}

fn parse(text: &str) -> Option<Owner> {
    let mut words = text.split(' ');
    let node = words.next()?.parse().ok()?;
    let incarnation = words.next()?.parse().ok()?;
    let epoch = Epoch(words.next()?.parse().ok()?);
    Some(Owner { node, incarnation, epoch })
}

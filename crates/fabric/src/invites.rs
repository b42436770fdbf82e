//! Invitations to duels, and who wants a rematch: kept until they expire, and taken once.

use std::time::Duration;

use bytes::Bytes;
use rally_protocol::names;
use rally_units::{MatchId, UserId};

use crate::{
    Fabric, RedisError,
    commands::{Call, Script},
};

/// Invitations to one user at once.
pub const INVITES_MAX: u32 = 8;

/// KEYS: invitations to a user. ARGV: ms, how many at most, invitation, from whom, what it says. One of the same user
/// makes room for it. Returns whether there was room.
static PUT: Script = Script::fixed(
    r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all, others = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  local ends, from = string.match(all[i + 1], '^(%d+) (%S+) ')
  if tonumber(ends) <= now or from == ARGV[4] then
    redis.call('HDEL', KEYS[1], all[i])
  else
    others = others + 1
  end
end
if others >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[3], string.format('%.0f', now + ARGV[1]) .. ' ' .. ARGV[4] .. ' ' .. ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
",
);
/// KEYS: invitations to a user. ARGV: invitation, by whom it has to be, or nothing. Returns what it says.
static TAKE: Script = Script::fixed(
    r"
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then return false end
local ends, from, says = string.match(held, '^(%d+) (%S+) (.*)$')
if ARGV[2] ~= '' and from ~= ARGV[2] then return false end
redis.call('HDEL', KEYS[1], ARGV[1])
local time = redis.call('TIME')
if tonumber(ends) <= time[1] * 1000 + math.floor(time[2] / 1000) then return false end
return says
",
);
/// KEYS: who wants a rematch. ARGV: ms, who, what it says. Returns what the other has said, if so.
static REMATCH: Script = Script::fixed(
    r"
local held = redis.call('GET', KEYS[1])
local who, says = string.match(held or '', '^(%S+) (.*)$')
if who and who ~= ARGV[2] then
  redis.call('DEL', KEYS[1])
  return says
end
redis.call('SET', KEYS[1], ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[1])
return false
",
);

/// Keeps invitations. What they say is the edges' affair.
#[derive(Clone, Debug)]
pub struct Invites {
    fabric: Fabric,
}

impl Fabric {
    /// Invitations.
    pub fn invites(&self) -> Invites {
        Invites { fabric: self.clone() }
    }
}

impl Invites {
    /// Keeps an invitation from one to another, for so long, in place of an earlier one. `false`: [`INVITES_MAX`] others
    /// wait.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn put(
        &self,
        invite: MatchId,
        [from, to]: [UserId; 2],
        says: Bytes,
        keep_for: Duration,
    ) -> Result<bool, RedisError> {
        let call = Call::keys([names::invites(to)]).arg(keep_for.as_millis().max(1)).arg(INVITES_MAX);
        let call = call.arg(invite).arg(from).bytes(says);
        Ok(self.fabric.commands().eval("put_invite", &PUT, call).await?.as_i64() == Some(1))
    }

    /// Takes an invitation to a user; `None`: it has expired, was taken, or is for somebody else.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn take(&self, invite: MatchId, to: UserId) -> Result<Option<Bytes>, RedisError> {
        let call = Call::keys([names::invites(to)]).arg(invite).arg("");
        Ok(self.fabric.commands().eval("take_invite", &TAKE, call).await?.into_bytes())
    }

    /// Takes an invitation back. `false`: it has expired, was taken, or is somebody else's.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn cancel(&self, invite: MatchId, [from, to]: [UserId; 2]) -> Result<bool, RedisError> {
        let call = Call::keys([names::invites(to)]).arg(invite).arg(from);
        Ok(self.fabric.commands().eval("cancel_invite", &TAKE, call).await?.into_bytes().is_some())
    }

    /// One of the two of a finished match wants another. If the other does already, what that one said is taken; else
    /// this is kept for so long.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn rematch(
        &self,
        finished: MatchId,
        who: UserId,
        says: Bytes,
        keep_for: Duration,
    ) -> Result<Option<Bytes>, RedisError> {
        let call = Call::keys([names::rematch(finished)]).arg(keep_for.as_millis().max(1)).arg(who).bytes(says);
        Ok(self.fabric.commands().eval("rematch", &REMATCH, call).await?.into_bytes())
    }
}

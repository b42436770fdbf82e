//! Logins that have ended while access tokens of theirs are still out there.
//!
//! Each is kept for as long as such a token may be good. A number that rises with each change tells edges cheaply
//! whether they have read all of them.

use std::time::Duration;

use rally_protocol::names;
use rally_units::LoginId;

use crate::{
    Fabric, RedisError,
    commands::{Call, Script},
};

/// Ended logins that are kept; beyond that those that would be forgotten soonest are.
pub const REVOKED_MAX: usize = 100_000;

/// KEYS: the logins by the time at which they are forgotten (ms of Redis' clock), the number. ARGV: ms to keep them, how
/// many at most, logins.
static ADD: Script = Script::fixed(
    r"
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
for n = 3, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[n]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
-- The time, so that it rises also after Redis has lost its memory.
return redis.call('SET', KEYS[2], t[1] .. string.format('%06d', t[2]), 'PX', 2 * ARGV[1])
",
);

/// KEYS: as above. ARGV: the number that the asker has read. Answers the number, and if it is another one, how many ms
/// each login is kept yet.
static READ: Script = Script::fixed(
    r"
local number = redis.call('GET', KEYS[2]) or '0'
if number == ARGV[1] then return {number} end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local answer = {number}
local all = redis.call('ZRANGE', KEYS[1], '(' .. now, '+inf', 'BYSCORE', 'WITHSCORES')
for n = 1, #all, 2 do
    answer[#answer + 1] = all[n]
    answer[#answer + 1] = tostring(math.floor(all[n + 1] - now))
end
return answer
",
);

/// Ended logins, as far as Redis knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevokedLogins {
    /// Where one has read to.
    pub number: u64,
    /// Each with the time for which it is kept yet; empty if nothing has changed.
    pub logins: Vec<(LoginId, Duration)>,
}

/// Keeps ended logins.
#[derive(Clone, Debug)]
pub struct Revocations {
    fabric: Fabric,
}

impl Fabric {
    /// Ended logins.
    pub fn revocations(&self) -> Revocations {
        Revocations { fabric: self.clone() }
    }
}

impl Revocations {
    fn keys() -> Call {
        Call::keys([names::REVOKED.to_owned(), names::REVOKED_NUMBER.to_owned()])
    }

    /// Keeps these for so long.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn add(&self, logins: &[LoginId], keep_for: Duration) -> Result<(), RedisError> {
        if logins.is_empty() {
            return Ok(());
        }
        let call = Self::keys().arg(keep_for.as_millis().max(1)).arg(REVOKED_MAX);
        let call = logins.iter().fold(call, |call, login| call.arg(login));
        self.fabric.commands().eval("revoke_logins", &ADD, call).await.map(drop)
    }

    /// All of them, unless nothing has changed since this number.
    ///
    /// # Errors
    /// Redis is away.
    pub async fn since(&self, number: u64) -> Result<RevokedLogins, RedisError> {
        let answer = self.fabric.commands().eval("revoked_logins", &READ, Self::keys().arg(number)).await?;
        let words: Vec<String> = answer.convert().unwrap_or_default();
        let mut words = words.into_iter();
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let mut logins = Vec::new();
        while let (Some(login), Some(ms)) = (words.next(), words.next()) {
            if let (Ok(login), Ok(ms)) = (login.parse(), ms.parse()) {
                logins.push((login, Duration::from_millis(ms)));
            }
        }
        Ok(RevokedLogins { number, logins })
    }
}
